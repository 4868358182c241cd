/* SPDX-License-Identifier: MIT */
#ifndef RPROXY_DESCRIBE_H
#define RPROXY_DESCRIBE_H

void describe_stats(void); /* on standard output, in nutcracker's words */

#endif
