/* SPDX-License-Identifier: MIT */
/*
 * Records: any raw record is cut into fields or refused with a reason, and fields that are printed are read again as
 * they were. The first byte chooses the format and the number of fields.
 * Built with tools/common's record.c, json.c, out.c and libjansson.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "record.h"

#define MUST(condition)                                                                                                \
	do {                                                                                                           \
		if (!(condition))                                                                                      \
			__builtin_trap();                                                                              \
	} while (0)

static const char *const names[] = {"key", "value"};

/* What out.c wants of cli.c. */
void cli_error(const char *format, ...)
{
	abort();
}

void *cli_realloc(void *old, size_t size)
{
	void *p = realloc(old, size);

	MUST(p);
	return p;
}

static bool can_write(const struct record_writer *writer, const struct record_field fields[], unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		if (!record_can(writer, fields[i].data, fields[i].len))
			return false;
	return true;
}

static void check_again(struct out *out, enum record_format format, const struct record_field fields[], unsigned count)
{
	struct record_field again[2];
	char *raw = out->data;
	size_t len = out->len - 1; /* without its last delimiter */

	MUST(raw[len] == (format == RECORD_NUL ? '\0' : '\n'));
	MUST(format == RECORD_NUL || !memchr(raw, '\n', len));
	MUST(!record_split(format, raw, len, names, count, again));
	for (unsigned i = 0; i < count; i++)
		MUST(again[i].len == fields[i].len && !memcmp(again[i].data, fields[i].data, fields[i].len));
}

/* What was read in one format is printed in each, and read again. */
static void check_writing(const struct record_field fields[], unsigned count)
{
	for (enum record_format format = RECORD_LINES; format <= RECORD_JSON; format++) {
		struct out out;
		struct record_writer writer = {.format = format, .out = &out};

		out_init(&out, -1);
		if (can_write(&writer, fields, count)) {
			record_begin(&writer);
			for (unsigned i = 0; i < count; i++)
				record_text(&writer, names[i], fields[i].data, fields[i].len);
			record_end(&writer);
			check_again(&out, format, fields, count);
		}
		out_finish(&out);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct record_field fields[2] = {0};
	enum record_format format;
	unsigned count;
	const char *why;
	char *raw;

	if (!size)
		return 0;
	format = data[0] % 3;
	count = 1 + data[0] / 3 % 2;
	raw = malloc(size);
	MUST(raw);
	memcpy(raw, data + 1, size - 1);
	why = record_split(format, raw, size - 1, names, count, fields);
	MUST(!why || *why);
	for (unsigned i = 0; i < count && !why; i++)
		MUST(fields[i].data >= raw && fields[i].data + fields[i].len <= raw + size - 1);
	if (!why)
		check_writing(fields, count);
	free(raw);
	return 0;
}
