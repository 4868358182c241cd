/* SPDX-License-Identifier: MIT */
/*
 * Records: what the tools read and print.
 *
 *   RECORD_LINES  a line; fields are split by TAB; in fields \\ \t \n \r \0 and \xHH stand for bytes
 *   RECORD_NUL    every field ends in NUL, nothing is escaped
 *   RECORD_JSON   a line with one JSON object; bytes that are not UTF-8 are {"base64":"..."}
 *
 * Reading is pure: no I/O, and no memory but what JSON needs.
 */
#ifndef RECORD_H
#define RECORD_H

#include <stdbool.h>
#include <stddef.h>

#include "out.h"

enum record_format { RECORD_LINES, RECORD_NUL, RECORD_JSON };

struct record_field {
	const char *data;
	size_t len;
};

/*
 * Cuts a raw record (without its last delimiter) into exactly COUNT fields,
 * decoding them in place. NAMES are the members wanted of a JSON object; it
 * may have more.
 * Out: FIELDS, pointing into DATA.
 * Returns NULL, or a static phrase that says what is wrong.
 */
const char *record_split(enum record_format format, char *data, size_t len, const char *const names[], unsigned count,
			 struct record_field fields[]);

/* Whether BYTES are valid UTF-8 (no surrogates, nothing overlong). */
bool record_is_utf8(const char *bytes, size_t len);

/* ---- writing ---- */

struct record_writer {
	enum record_format format;
	struct out *out;
	unsigned fields; /* of the record under way */
};

/* Whether a field can be written at all: RECORD_NUL cannot carry a NUL. */
bool record_can(const struct record_writer *writer, const void *data, size_t len);

void record_begin(struct record_writer *writer);
void record_text(struct record_writer *writer, const char *name, const void *data, size_t len);
void record_number(struct record_writer *writer, const char *name, long long number);
void record_none(struct record_writer *writer, const char *name); /* "-", JSON: null */
/* A list of words without commas: joined by commas; JSON: an array. */
void record_list(struct record_writer *writer, const char *name, const char *const words[], size_t count);
void record_end(struct record_writer *writer);

#endif
