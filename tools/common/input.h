/* SPDX-License-Identifier: MIT */
/*
 * Standard input in large blocks, cut into raw records in place.
 */
#ifndef INPUT_H
#define INPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct input {
	int fd;
	char delimiter;  /* '\n', or NUL */
	unsigned parts;  /* so many delimiters end a record */
	uint64_t number; /* of the record that came last: 1, 2, ... */
	uint64_t taken;  /* bytes read so far */
	bool ended;      /* no more will come */
	bool failed;     /* it ended with an error, which was reported */
	/* data[start..end-1] was read and not yet given out; no record ends before data[scanned]. */
	char *data;
	size_t start, end, scanned, size;
	unsigned seen; /* delimiters between start and scanned */
};

enum input_status {
	INPUT_RECORD,
	INPUT_MORE, /* input_fill() is needed first */
	INPUT_END,
	INPUT_BROKEN /* the last record is not complete */
};

void input_init(struct input *input, int fd, char delimiter, unsigned parts);
void input_finish(struct input *input);

/*
 * The next raw record, without its last delimiter. A last line that no
 * newline ends is a record; a last record that lacks a NUL is INPUT_BROKEN.
 * Out: *DATA, *LEN; the caller may write to them, and they live until
 * input_fill().
 */
enum input_status input_next(struct input *input, char **data, size_t *len);

/* One read(2): blocks until something can be read. An error is reported and ends the input. */
void input_fill(struct input *input);

/* Reads to the end. Out: *DATA (of INPUT), *LEN. Returns false where it failed or is longer than MAX; reported. */
bool input_all(struct input *input, size_t max, char **data, size_t *len);

#endif
