/* SPDX-License-Identifier: MIT */
#ifndef CONNECT_H
#define CONNECT_H

#include <shard/shard.h>

/* A client for the URI in TEXT; NULL: there is none. */
shard_client *connect_to(const char *text, unsigned timeout_ms);

#endif
