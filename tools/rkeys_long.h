/* SPDX-License-Identifier: MIT */
/* The long form of rkeys: what is asked about each key, pipelined. */
#ifndef RKEYS_LONG_H
#define RKEYS_LONG_H

#include <stdbool.h>
#include <stddef.h>

#include <shard/client.h>

#include "record.h"

struct long_list {
	shard_client *client;
	struct record_writer *writer;
	size_t open; /* keys that wait for answers */
	bool failed; /* an error was reported */
};

/* Asks about KEY (copied); its record is printed when all answers are there, unless the key went away meanwhile. */
void long_list_add(struct long_list *list, const char *key, size_t len);

#endif
