/* SPDX-License-Identifier: MIT */
/* The keys of one slot: which of them are wanted, in which order, and their places. */
#include "client/scan.h"

#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "pure/glob.h"

#define SLOT_BITS 14

struct slot_item {
	uint64_t hash;
	const shard_reply *key;
};

/* ---- places ---- */

unsigned slot_turn(unsigned number)
{
	unsigned result = 0;

	for (int i = 0; i < SLOT_BITS; i++)
		result |= (number >> i & 1) << (SLOT_BITS - 1 - i);
	return result;
}

static uint64_t place_of(unsigned turn, uint64_t hash)
{
	return (uint64_t)turn << PLACE_HASH_BITS | hash >> (64 - PLACE_HASH_BITS);
}

uint64_t shard_place(const void *key, size_t len)
{
	return place_of(slot_turn(shard_slot(key, len)), XXH3_64bits(key, len));
}

/* Two bytes behind a prefix give any CRC16; which ones, the CRC's shift register tells when it is run backwards. */
void slot_probe_key(unsigned slot, char key[SLOT_PROBE_LEN])
{
	char bytes[SLOT_PROBE_LEN] = "\1shard";
	unsigned crc = slot ^ shard_crc16(bytes, sizeof(bytes));

	for (int i = 0; i < 16; i++)
		crc = crc & 1 ? (crc ^ 0x1021) >> 1 | 0x8000 : crc >> 1;
	bytes[SLOT_PROBE_LEN - 2] = (char)(crc >> 8);
	bytes[SLOT_PROBE_LEN - 1] = (char)crc;
	memcpy(key, bytes, sizeof(bytes));
}

/* ---- the keys of a slot ---- */

bool slot_keys_room(struct slot_walk *walk, size_t count)
{
	size_t room = count + count / 2;

	if (count <= walk->item_room)
		return true;
	free(walk->item);
	free(walk->key);
	free(walk->place);
	walk->item = malloc(room * sizeof(*walk->item));
	walk->key = malloc(room * sizeof(*walk->key));
	walk->place = malloc(room * sizeof(*walk->place));
	walk->item_room = walk->item && walk->key && walk->place ? room : 0;
	return walk->item_room;
}

static bool wanted(const struct shard_scan *scan, const shard_reply *key)
{
	return !scan->match || glob_match(scan->match, scan->match_len, key->str, key->len);
}

static int compare(const void *left, const void *right)
{
	const struct slot_item *a = left, *b = right;
	size_t len = a->key->len < b->key->len ? a->key->len : b->key->len;
	int order;

	if (a->hash != b->hash)
		return a->hash < b->hash ? -1 : 1;
	order = memcmp(a->key->str, b->key->str, len);
	return order ? order : (a->key->len > b->key->len) - (a->key->len < b->key->len);
}

static size_t collect(struct shard_scan *scan, shard_reply *const part[2])
{
	struct slot_item *item = scan->walk.item;
	size_t count = 0;

	for (int p = 0; p < 2; p++) {
		for (size_t i = 0; part[p] && i < part[p]->len; i++) {
			const shard_reply *key = &part[p]->element[i];

			if (wanted(scan, key))
				item[count++] = (struct slot_item){
					XXH3_64bits(key->str, key->len) >> (64 - PLACE_HASH_BITS), key};
		}
	}
	return count;
}

size_t slot_keys_sort(struct shard_scan *scan, unsigned turn, shard_reply *const part[2])
{
	struct slot_walk *walk = &scan->walk;
	size_t count = collect(scan, part), kept = 0;

	if (count)
		qsort(walk->item, count, sizeof(*walk->item), compare);
	for (size_t i = 0; i < count; i++) {
		uint64_t place = (uint64_t)turn << PLACE_HASH_BITS | walk->item[i].hash;

		if (place < walk->from || (i && !compare(&walk->item[i - 1], &walk->item[i])))
			continue;
		walk->key[kept] = *walk->item[i].key;
		walk->place[kept++] = place;
	}
	return kept;
}

size_t slot_keys_pick(struct shard_scan *scan, const shard_reply *keys)
{
	size_t kept = 0;

	for (size_t i = 0; keys && i < keys->len; i++)
		if (wanted(scan, &keys->element[i]))
			scan->walk.key[kept++] = keys->element[i];
	return kept;
}

void slot_keys_finish(struct slot_walk *walk)
{
	free(walk->item);
	free(walk->key);
	free(walk->place);
}
