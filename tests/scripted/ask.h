/* SPDX-License-Identifier: MIT */
#ifndef SCRIPTED_ASK_H
#define SCRIPTED_ASK_H

/* -1 and a message where a request was not called back exactly once. */
int asks_check(void);
void asks_free(void);

#endif
