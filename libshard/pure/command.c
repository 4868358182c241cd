/* SPDX-License-Identifier: MIT */
#include <endian.h>

#include "pure/command.h"

#define NAME_SHORT 8
#define NAME_LONG 24
#define EACH_BYTE(byte) (0x0101010101010101ull * (byte))

/* What is rare stays out of the way of what is not: inlined, it would cost every request its saved registers. */
#define APART __attribute__((noinline))

/*
 * What commands[] is found by: entry I is for command I. The integers hold
 * each byte of its name at least once, and with the length they are the name.
 * A name of up to eight bytes has only a head.
 */
struct entry {
	uint64_t head, tail, middle;
	uint16_t tag; /* its length, and 256 times the extra of its container (0: it has none) */
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

/* LEN: 1..NAME_SHORT. Loads overlap, here and below, so that no length needs a loop. */
static inline uint64_t read_short(const char *text, size_t len)
{
	if (len >= 4)
		return load4(text) | load4(text + len - 4) << 32;
	const unsigned char *byte = (const unsigned char *)text;
	return byte[0] | (unsigned)byte[len / 2] << 8 | (unsigned)byte[len - 1] << 16;
}

/* Capital and small letters become the same, and so do some other bytes: enough to hash, not to compare. */
static inline uint64_t fold(uint64_t part)
{
	return part | EACH_BYTE(0x20);
}

/* No two names of the table have the same place (scripts/make-command-table: hash and displace). */
static inline unsigned place_of(uint64_t folded)
{
	uint64_t hash = folded * HASH_HEAD;
	return slots[((unsigned)(hash >> 32) + displacements[hash >> 57]) % HASH_SLOTS];
}

/* Whether READ is KNOWN but for the case of its letters: they are the bytes of KNOWN with both 0x40 and 0x20. */
static inline bool is_same(uint64_t read, uint64_t known)
{
	return (read | (known & known >> 1 & EACH_BYTE(0x20))) == known;
}

static inline const shard_command *look_up_short(unsigned container, const char *text, size_t len)
{
	uint64_t head = read_short(text, len);
	unsigned i = place_of(fold(head) + container);
	const struct entry *entry = &entries[i];
	return entry->tag == (container << 8 | len) && is_same(head, entry->head) ? &commands[i] : NULL;
}

static const shard_command *look_up_long(unsigned container, const char *text, size_t len)
{
	if (len - 1 >= NAME_LONG)
		return NULL;
	uint64_t head = load8(text), tail = load8(text + len - 8), middle = len > 16 ? load8(text + 8) : 0;
	uint64_t folded = (fold(head) + container) ^ fold(tail) * HASH_TAIL;
	if (len > 16)
		folded ^= fold(middle) * HASH_MIDDLE;
	unsigned i = place_of(folded);
	const struct entry *entry = &entries[i];
	bool same = entry->tag == (container << 8 | len) && is_same(head, entry->head) && is_same(tail, entry->tail) &&
		    is_same(middle, entry->middle);
	return same ? &commands[i] : NULL;
}

static inline const shard_command *look_up(unsigned container, const char *text, size_t len)
{
	return len - 1 < NAME_SHORT ? look_up_short(container, text, len) : look_up_long(container, text, len);
}

/* The subcommand of a container, else COMMAND itself. */
static APART const shard_command *find_sub(const shard_command *command, int argc, const char *const argv[],
					   const size_t argvlen[])
{
	const shard_command *sub = argc > 1 ? look_up(command->extra, argv[1], argvlen[1]) : NULL;
	return sub ? sub : command;
}

static APART const shard_command *find_long(int argc, const char *const argv[], const size_t argvlen[])
{
	const shard_command *command = look_up_long(0, argv[0], argvlen[0]);
	return command && command->flags & SHARD_CMD_CONTAINER ? find_sub(command, argc, argv, argvlen) : command;
}

static APART const shard_command *find_strings(int argc, const char *const argv[])
{
	const size_t argvlen[2] = {strlen(argv[0]), argc > 1 ? strlen(argv[1]) : 0};
	return shard_command_find(argc, argv, argvlen);
}

/* On the way of every request: what is not a short name or has subcommands is left to others. */
const shard_command *shard_command_find(int argc, const char *const argv[], const size_t argvlen[])
{
	if (argc < 1)
		return NULL;
	if (!argvlen)
		return find_strings(argc, argv);
	if (argvlen[0] - 1 >= NAME_SHORT)
		return find_long(argc, argv, argvlen);
	const shard_command *command = look_up_short(0, argv[0], argvlen[0]);
	return command && command->flags & SHARD_CMD_CONTAINER ? find_sub(command, argc, argv, argvlen) : command;
}

size_t shard_command_count(void)
{
	return COMMAND_COUNT;
}

const shard_command *shard_command_at(size_t i)
{
	return i < COMMAND_COUNT ? &commands[i] : NULL;
}
