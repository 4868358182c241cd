/* SPDX-License-Identifier: MIT */
#include "out.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli.h"

#define OUT_MIN (64 * 1024)
#define OUT_PIECE 4096 /* PIPE_BUF: a pipe that polls writable takes so much without blocking */

void out_init(struct out *out, int fd)
{
	*out = (struct out){.fd = fd, .closed_status = CLI_OK};
}

void out_finish(struct out *out)
{
	shard_watch_remove(out->watch);
	free(out->data);
	*out = (struct out){.fd = -1};
}

static void look_at_descriptor(struct out *out)
{
	struct stat st;

	out->may_block = fstat(out->fd, &st) || !S_ISREG(st.st_mode);
}

void out_make_room(struct out *out, size_t size)
{
	size_t wanted = out->size ? out->size : OUT_MIN;

	if (!out->data)
		look_at_descriptor(out);
	if (out->sent) {
		memmove(out->data, out->data + out->sent, out_waiting(out));
		out->len -= out->sent;
		out->sent = 0;
	}
	while (wanted - out->len < size)
		wanted *= 2;
	if (wanted == out->size)
		return;
	out->data = cli_realloc(out->data, wanted);
	out->size = wanted;
}

void out_put(struct out *out, const void *data, size_t len)
{
	char *to = out_reserve(out, len);

	if (len)
		memcpy(to, data, len);
	out->len += len;
}

void out_text(struct out *out, const char *text)
{
	out_put(out, text, strlen(text));
}

void out_number(struct out *out, long long number)
{
	char digits[24];
	char *p = digits + sizeof(digits);
	unsigned long long rest = number < 0 ? -(unsigned long long)number : (unsigned long long)number;

	do
		*--p = (char)('0' + rest % 10);
	while (rest /= 10);
	if (number < 0)
		*--p = '-';
	out_put(out, p, (size_t)(digits + sizeof(digits) - p));
}

/* ---- writing ---- */

_Noreturn static void end_on_error(const struct out *out, int error)
{
	if (error == EPIPE)
		exit(out->closed_status);
	cli_error("standard output: %s", strerror(error));
	exit(CLI_FAILED);
}

static bool wait_writable(const struct out *out, int timeout_ms)
{
	struct pollfd p = {.fd = out->fd, .events = POLLOUT};
	int n;

	do
		n = poll(&p, 1, timeout_ms);
	while (n < 0 && errno == EINTR);
	return n != 0;
}

/* One write(2). Returns how much it took: 0 where somebody made the descriptor non-blocking and it is full. */
static size_t write_some(const struct out *out, const char *data, size_t len)
{
	ssize_t n;

	do
		n = write(out->fd, data, len);
	while (n < 0 && errno == EINTR);
	if (n < 0 && errno == EAGAIN)
		return 0;
	if (n < 0)
		end_on_error(out, errno);
	return (size_t)n;
}

static void write_all(const struct out *out, const char *data, size_t len)
{
	while (len) {
		size_t n = write_some(out, data, len);

		if (!n)
			wait_writable(out, -1);
		data += n;
		len -= n;
	}
}

void out_push(struct out *out)
{
	if (!out->may_block)
		return out_flush(out);
	while (out->sent < out->len && wait_writable(out, 0)) {
		size_t n = out_waiting(out);

		n = write_some(out, out->data + out->sent, n < OUT_PIECE ? n : OUT_PIECE);
		if (!n)
			return;
		out->sent += n;
	}
	if (out->sent == out->len)
		out->sent = out->len = 0;
}

static void on_writable(void *ctx, uint32_t events)
{
	out_push(ctx);
}

void out_drain(struct out *out, shard_client *client)
{
	out_push(out);
	if (!out_waiting(out)) {
		shard_watch_remove(out->watch);
		out->watch = NULL;
	} else if (!out->watch) {
		out->watch = shard_watch_add(client, out->fd, EPOLLOUT, on_writable, out);
		if (!out->watch)
			out_flush(out);
	}
}

void out_flush(struct out *out)
{
	if (out->sent < out->len)
		write_all(out, out->data + out->sent, out_waiting(out));
	out->sent = out->len = 0;
}

void out_direct(struct out *out, const void *data, size_t len)
{
	out_flush(out);
	write_all(out, data, len);
}
