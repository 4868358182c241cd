/* SPDX-License-Identifier: MIT */
#include "busy.h"

#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "cli.h"

#define BUSY_MIN 1024

void busy_finish(struct busy *busy)
{
	free(busy->entry);
	*busy = (struct busy){0};
}

uint64_t busy_hash(const void *key, size_t len)
{
	return XXH3_64bits(key, len);
}

static bool is_free(const struct busy_entry *entry)
{
	return !entry->readers && !entry->writers;
}

/* The place of HASH, or the free one where it would go. */
static size_t find(const struct busy *busy, uint64_t hash)
{
	size_t i = hash & (busy->size - 1);

	while (!is_free(&busy->entry[i]) && busy->entry[i].hash != hash)
		i = (i + 1) & (busy->size - 1);
	return i;
}

bool busy_blocks(const struct busy *busy, uint64_t hash, bool writes)
{
	const struct busy_entry *entry;

	if (!busy->count)
		return false;
	entry = &busy->entry[find(busy, hash)];
	return entry->writers || (writes && entry->readers);
}

static void grow(struct busy *busy)
{
	struct busy old = *busy;

	busy->size = old.size ? old.size * 2 : BUSY_MIN;
	busy->entry = cli_alloc(busy->size * sizeof(*busy->entry));
	memset(busy->entry, 0, busy->size * sizeof(*busy->entry));
	for (size_t i = 0; i < old.size; i++)
		if (!is_free(&old.entry[i]))
			busy->entry[find(busy, old.entry[i].hash)] = old.entry[i];
	free(old.entry);
}

void busy_add(struct busy *busy, uint64_t hash, bool writes)
{
	struct busy_entry *entry;

	if (busy->count * 2 >= busy->size)
		grow(busy);
	entry = &busy->entry[find(busy, hash)];
	busy->count += is_free(entry);
	entry->hash = hash;
	*(writes ? &entry->writers : &entry->readers) += 1;
}

/* Frees place I, and moves up those behind it that could not be found any more. */
static void close_gap(struct busy *busy, size_t i)
{
	size_t mask = busy->size - 1;

	for (size_t j = (i + 1) & mask; !is_free(&busy->entry[j]); j = (j + 1) & mask) {
		size_t home = busy->entry[j].hash & mask;

		if (((j - home) & mask) < ((j - i) & mask))
			continue;
		busy->entry[i] = busy->entry[j];
		i = j;
	}
	busy->entry[i] = (struct busy_entry){0};
	busy->count--;
}

void busy_remove(struct busy *busy, uint64_t hash, bool writes)
{
	size_t i = find(busy, hash);

	*(writes ? &busy->entry[i].writers : &busy->entry[i].readers) -= 1;
	if (is_free(&busy->entry[i]))
		close_gap(busy, i);
}
