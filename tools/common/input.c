/* SPDX-License-Identifier: MIT */
#include "input.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"

#define INPUT_BLOCK (256 * 1024)
#define INPUT_MAX ((size_t)3 << 30) /* a key and a value of 512 MB, escaped, are shorter */

void input_init(struct input *input, int fd, char delimiter, unsigned parts)
{
	*input = (struct input){.fd = fd, .delimiter = delimiter, .parts = parts};
}

void input_finish(struct input *input)
{
	free(input->data);
	*input = (struct input){.fd = -1, .ended = true};
}

static enum input_status take(struct input *input, size_t end, size_t next, char **data, size_t *len)
{
	*data = input->data + input->start;
	*len = end - input->start;
	input->start = input->scanned = next;
	input->seen = 0;
	input->number++;
	return INPUT_RECORD;
}

static enum input_status take_rest(struct input *input, char **data, size_t *len)
{
	if (input->start == input->end)
		return INPUT_END;
	if (input->delimiter == '\n' && !input->failed)
		return take(input, input->end, input->end, data, len);
	input->number++;
	input->start = input->scanned = input->end;
	return input->failed ? INPUT_END : INPUT_BROKEN;
}

enum input_status input_next(struct input *input, char **data, size_t *len)
{
	while (input->scanned < input->end) {
		size_t left = input->end - input->scanned;
		char *found = memchr(input->data + input->scanned, input->delimiter, left);

		input->scanned = found ? (size_t)(found - input->data) + 1 : input->end;
		if (found && ++input->seen == input->parts)
			return take(input, input->scanned - 1, input->scanned, data, len);
	}
	return input->ended ? take_rest(input, data, len) : INPUT_MORE;
}

/* Moves what is left to the front, and grows where a record fills the whole block. */
static bool make_room(struct input *input)
{
	if (input->start) {
		memmove(input->data, input->data + input->start, input->end - input->start);
		input->end -= input->start;
		input->scanned -= input->start;
		input->start = 0;
	}
	if (input->size - input->end >= INPUT_BLOCK / 2)
		return true;
	if (input->size >= INPUT_MAX) {
		cli_error("standard input: record %llu is too long", (unsigned long long)input->number + 1);
		return false;
	}
	input->size = input->size ? input->size * 2 : INPUT_BLOCK;
	input->data = cli_realloc(input->data, input->size);
	return true;
}

static ssize_t read_block(int fd, char *to, size_t size)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	for (;;) {
		ssize_t n = read(fd, to, size);

		if (n >= 0 || (errno != EINTR && errno != EAGAIN))
			return n;
		if (errno == EAGAIN) /* somebody made it non-blocking */
			poll(&p, 1, -1);
	}
}

void input_fill(struct input *input)
{
	ssize_t n;

	if (input->ended)
		return;
	if (!make_room(input)) {
		input->ended = input->failed = true;
		return;
	}
	n = read_block(input->fd, input->data + input->end, input->size - input->end);
	if (n > 0) {
		input->end += (size_t)n;
		input->taken += (uint64_t)n;
		return;
	}
	if (n < 0)
		cli_error("standard input: %s", strerror(errno));
	input->ended = true;
	input->failed = n < 0;
}

bool input_all(struct input *input, size_t max, char **data, size_t *len)
{
	while (!input->ended && input->end <= max)
		input_fill(input);
	*data = input->data;
	*len = input->end;
	if (input->end > max)
		cli_error("standard input: longer than a value may be (%zu bytes)", max);
	return !input->failed && input->end <= max;
}
