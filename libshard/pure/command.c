/* SPDX-License-Identifier: MIT */
#include <endian.h>

#include "pure/command.h"

#define NAME_MAX_LEN 24
#define EACH_BYTE(byte) (0x0101010101010101ull * (byte))

/*
 * A name as three integers, which together hold each of its bytes at least
 * once; with its length they are the name. Names of up to eight bytes have
 * only a head.
 */
struct name {
	uint64_t head, tail, middle;
};

/* What commands[] is found by: entry I is for command I. */
struct entry {
	struct name name;
	uint8_t len;
	uint8_t container; /* extra of the container that it is a subcommand of, or 0 */
};

#include "pure/command_table.inc"

#define COMMAND_COUNT (sizeof(commands) / sizeof(commands[0]))

static inline uint64_t load8(const char *text)
{
	uint64_t value;
	memcpy(&value, text, sizeof(value));
	return le64toh(value);
}

static inline uint64_t load4(const char *text)
{
	uint32_t value;
	memcpy(&value, text, sizeof(value));
	return le32toh(value);
}

/* LEN: 1..NAME_MAX_LEN. Loads overlap, so that no length needs a loop. */
static inline struct name read_name(const char *text, size_t len)
{
	struct name name = {0};
	if (len >= 8) {
		name.head = load8(text);
		name.tail = load8(text + len - 8);
		if (len > 16)
			name.middle = load8(text + 8);
	} else if (len >= 4) {
		name.head = load4(text) | load4(text + len - 4) << 32;
	} else {
		const unsigned char *byte = (const unsigned char *)text;
		name.head = byte[0] | (unsigned)byte[len / 2] << 8 | (unsigned)byte[len - 1] << 16;
	}
	return name;
}

/* The same for capital and small letters; no two names of the table have the same (scripts/make-command-table). */
static inline uint64_t hash_name(struct name name, size_t len, unsigned container)
{
	const uint64_t fold = EACH_BYTE(0x20);
	uint64_t hash = (name.head | fold) + container;
	if (len > 8)
		hash ^= (name.tail | fold) * HASH_TAIL;
	if (len > 16)
		hash ^= (name.middle | fold) * HASH_MIDDLE;
	return (hash ^ (uint64_t)len << 56) * HASH_HEAD;
}

/* Whether READ is KNOWN but for the case of its letters: they are the bytes of KNOWN with both 0x40 and 0x20. */
static inline bool is_same(uint64_t read, uint64_t known)
{
	return (read | (known & known >> 1 & EACH_BYTE(0x20))) == known;
}

static inline const shard_command *look_up(unsigned container, const char *text, size_t len)
{
	if (len - 1 >= NAME_MAX_LEN)
		return NULL;
	struct name name = read_name(text, len);
	uint64_t hash = hash_name(name, len, container);
	unsigned displacement = displacements[hash >> 57];
	unsigned i = slots[((unsigned)(hash >> 32) + displacement) % HASH_SLOTS];
	const struct entry *entry = &entries[i];
	if (entry->len != len || entry->container != container || !is_same(name.head, entry->name.head))
		return NULL;
	if (len > 8 && !(is_same(name.tail, entry->name.tail) && is_same(name.middle, entry->name.middle)))
		return NULL;
	return &commands[i];
}

const shard_command *shard_command_find(int argc, const char *const argv[], const size_t argvlen[])
{
	if (argc < 1)
		return NULL;
	const struct command_line line = {argc, argv, argvlen};
	const shard_command *command = look_up(0, argv[0], command_len(&line, 0));
	if (command && command->flags & SHARD_CMD_CONTAINER && argc > 1) {
		const shard_command *sub = look_up(command->extra, argv[1], command_len(&line, 1));
		if (sub)
			return sub;
	}
	return command;
}

size_t shard_command_count(void)
{
	return COMMAND_COUNT;
}

const shard_command *shard_command_at(size_t i)
{
	return i < COMMAND_COUNT ? &commands[i] : NULL;
}
