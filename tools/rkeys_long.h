/* SPDX-License-Identifier: MIT */
/* The long form of rkeys: what is asked about each key, pipelined. */
#ifndef RKEYS_LONG_H
#define RKEYS_LONG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <shard/client.h>

#include "record.h"

struct long_list {
	shard_client *client;
	struct record_writer *writer;
	bool slots;        /* the servers have some; else "-" */
	size_t open;       /* keys that wait for answers */
	uint64_t failures; /* keys; the first are reported one by one */
};

/* Asks about KEY (copied); its record is printed when all answers are there, unless the key went away meanwhile. */
void long_list_add(struct long_list *list, const char *key, size_t len);

/* At the end: says how many more keys failed than were reported. Returns whether none did. */
bool long_list_end(const struct long_list *list);

#endif
