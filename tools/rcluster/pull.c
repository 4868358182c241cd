/* SPDX-License-Identifier: MIT */
#include "pull.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sha2.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cli.h"
#include "progress.h"
#include "text.h"
#include "wait.h"

#define BLOCK ((size_t)256 << 10)
#define LINE_MAX_BYTES 512
#define MARK_SIZE 40 /* what a server that does not know the length puts behind the file */
#define POLL_MS 100
#define RDB_MAGIC "REDIS"
#define RDB_LEAST 18 /* magic, version, end, checksum */

enum state { STATE_CONNECT, STATE_REPLIES, STATE_LENGTH, STATE_BYTES, STATE_DONE };

struct line {
	char text[LINE_MAX_BYTES];
	size_t len;
};

struct flow {
	struct pull *pull;
	enum state state;
	int socket, file;
	char *request; /* all commands but SYNC, which waits for their answers; sent of it */
	size_t sent, length;
	unsigned replies; /* that are to come before the file's length */
	unsigned reply;   /* number of the one that is next */
	bool auth;        /* the first of them is AUTH's */
	struct line line;
	uint64_t left;        /* bytes of the file that are to come; where no mark is used */
	bool marked;
	char mark[MARK_SIZE], tail[MARK_SIZE]; /* the last bytes that came, which may be the mark */
	size_t tail_len;
	SHA2_CTX sha;
	int64_t heard; /* now_ms() of the last byte */
};

static bool fail(struct flow *flow, const char *format, ...) __attribute__((format(printf, 2, 3)));

static bool fail(struct flow *flow, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	if (!*flow->pull->error)
		vsnprintf(flow->pull->error, sizeof(flow->pull->error), format, args);
	va_end(args);
	flow->state = STATE_DONE;
	return false;
}

/* ---- the request ---- */

static char *command(int argc, const char *const argv[])
{
	char *all = text("*%d\r\n", argc);

	for (int i = 0; i < argc; i++) {
		char *longer = text("%s$%zu\r\n%s\r\n", all, strlen(argv[i]), argv[i]);

		free(all);
		all = longer;
	}
	return all;
}

/* REPLCONF's answers are not looked at: older servers know less of it, and then do as they always did. */
static void make_request(struct flow *flow, const shard_uri *uri)
{
	char *auth = text("%s", ""), *rdb_only, *capa;

	if (uri->password) {
		free(auth);
		auth = uri->user ? command(3, (const char *[]){"AUTH", uri->user, uri->password})
				 : command(2, (const char *[]){"AUTH", uri->password});
		flow->auth = true;
	}
	rdb_only = command(3, (const char *[]){"REPLCONF", "rdb-only", "1"});
	capa = command(3, (const char *[]){"REPLCONF", "capa", "eof"});
	flow->request = text("%s%s%s", auth, rdb_only, capa);
	flow->length = strlen(flow->request);
	flow->replies = 2 + flow->auth;
	explicit_bzero(auth, strlen(auth));
	free(auth);
	free(rdb_only);
	free(capa);
}

static bool dial(struct flow *flow)
{
	const struct pull *pull = flow->pull;
	union {
		struct sockaddr any;
		struct sockaddr_in v4;
		struct sockaddr_in6 v6;
	} to = {0};
	socklen_t len = 0;

	if (inet_pton(AF_INET, pull->host, &to.v4.sin_addr) == 1) {
		to.v4.sin_family = AF_INET;
		to.v4.sin_port = htons((uint16_t)pull->port);
		len = sizeof(to.v4);
	} else if (inet_pton(AF_INET6, pull->host, &to.v6.sin6_addr) == 1) {
		to.v6.sin6_family = AF_INET6;
		to.v6.sin6_port = htons((uint16_t)pull->port);
		len = sizeof(to.v6);
	}
	if (!len)
		return fail(flow, "not an IP address");
	flow->socket = socket(to.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (flow->socket < 0 || (connect(flow->socket, &to.any, len) && errno != EINPROGRESS))
		return fail(flow, "%s", strerror(errno));
	return true;
}

static bool start(struct flow *flow, struct pull *pull, const shard_uri *uri)
{
	*flow = (struct flow){.pull = pull, .socket = -1, .file = -1, .heard = now_ms()};
	pull->bytes = 0;
	*pull->error = '\0';
	SHA256Init(&flow->sha);
	make_request(flow, uri);
	flow->file = open(pull->path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (flow->file < 0)
		return fail(flow, "%s: %s", pull->path, strerror(errno));
	return dial(flow);
}

/* ---- what comes ---- */

static bool keep(struct flow *flow, const char *bytes, size_t len)
{
	SHA256Update(&flow->sha, (const uint8_t *)bytes, len);
	flow->pull->bytes += len;
	while (len) {
		ssize_t n = write(flow->file, bytes, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return fail(flow, "%s: %s", flow->pull->path, strerror(errno));
		bytes += n;
		len -= (size_t)n;
	}
	return true;
}

/* All but the last MARK_SIZE bytes are the file's for sure. */
static bool take_marked(struct flow *flow, const char *bytes, size_t len)
{
	size_t all = flow->tail_len + len, sure = all > MARK_SIZE ? all - MARK_SIZE : 0;
	size_t of_tail = sure < flow->tail_len ? sure : flow->tail_len, of_bytes = sure - of_tail;

	if (!keep(flow, flow->tail, of_tail) || !keep(flow, bytes, of_bytes))
		return false;
	memmove(flow->tail, flow->tail + of_tail, flow->tail_len - of_tail);
	flow->tail_len -= of_tail;
	memcpy(flow->tail + flow->tail_len, bytes + of_bytes, len - of_bytes);
	flow->tail_len += len - of_bytes;
	if (flow->tail_len == MARK_SIZE && !memcmp(flow->tail, flow->mark, MARK_SIZE))
		flow->state = STATE_DONE;
	return true;
}

static bool take_bytes(struct flow *flow, const char *bytes, size_t len)
{
	size_t part = len < flow->left ? len : (size_t)flow->left;

	if (flow->marked)
		return take_marked(flow, bytes, len);
	if (!keep(flow, bytes, part))
		return false;
	flow->left -= part;
	if (!flow->left)
		flow->state = STATE_DONE; /* what comes behind is the stream of changes */
	return true;
}

static bool take_length(struct flow *flow, const char *text)
{
	char *end;

	if (!*text)
		return true; /* "\n": it is at work */
	if (*text == '-')
		return fail(flow, "SYNC: %s", text + 1);
	if (*text != '$')
		return fail(flow, "SYNC: an answer that is not understood");
	if (!strncmp(text, "$EOF:", 5) && strlen(text) == 5 + MARK_SIZE) {
		memcpy(flow->mark, text + 5, MARK_SIZE);
		flow->marked = true;
	} else {
		flow->left = strtoull(text + 1, &end, 10);
		if (*end || !flow->left)
			return fail(flow, "SYNC: an answer that is not understood");
	}
	flow->state = STATE_BYTES;
	return true;
}

static bool begin_sync(struct flow *flow)
{
	static const char sync[] = "*1\r\n$4\r\nSYNC\r\n";
	ssize_t n = send(flow->socket, sync, sizeof(sync) - 1, MSG_NOSIGNAL); /* nothing else is on its way */

	if (n != sizeof(sync) - 1)
		return fail(flow, "SYNC: %s", n < 0 ? strerror(errno) : "not sent");
	flow->state = STATE_LENGTH;
	return true;
}

static bool take_line(struct flow *flow, const char *text)
{
	if (flow->state == STATE_LENGTH)
		return take_length(flow, text);
	if (!*text)
		return true;
	if (flow->auth && !flow->reply && *text == '-')
		return fail(flow, "AUTH: %s", text + 1);
	if (!strncmp(text, "-NOAUTH", 7) || !strncmp(text, "-NOPERM", 7))
		return fail(flow, "%s", text + 1);
	return ++flow->reply < flow->replies || begin_sync(flow);
}

/* Lines, up to the file itself. Returns how many bytes were used. */
static size_t take_text(struct flow *flow, const char *bytes, size_t len)
{
	size_t used = 0;

	while (used < len && (flow->state == STATE_REPLIES || flow->state == STATE_LENGTH)) {
		char c = bytes[used++];

		if (c == '\n') {
			flow->line.text[flow->line.len] = '\0';
			flow->line.len = 0;
			take_line(flow, flow->line.text);
		} else if (c != '\r' && flow->line.len < LINE_MAX_BYTES - 1) {
			flow->line.text[flow->line.len++] = c;
		}
	}
	return used;
}

static void receive(struct flow *flow, char *block)
{
	ssize_t n = read(flow->socket, block, BLOCK);
	size_t used;

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		fail(flow, "the connection ended before the snapshot was complete%s%s", n < 0 ? ": " : "",
		     n < 0 ? strerror(errno) : "");
		return;
	}
	flow->heard = now_ms();
	used = take_text(flow, block, (size_t)n);
	if (flow->state == STATE_BYTES && used < (size_t)n)
		take_bytes(flow, block + used, (size_t)n - used);
}

static void transmit(struct flow *flow)
{
	int error = 0;
	socklen_t size = sizeof(error);
	ssize_t n;

	if (getsockopt(flow->socket, SOL_SOCKET, SO_ERROR, &error, &size) || error) {
		fail(flow, "%s", strerror(error));
		return;
	}
	n = send(flow->socket, flow->request + flow->sent, flow->length - flow->sent, MSG_NOSIGNAL);
	if (n < 0 && errno != EAGAIN && errno != EINTR)
		fail(flow, "%s", strerror(errno));
	else if (n > 0 && (flow->sent += (size_t)n) == flow->length)
		flow->state = STATE_REPLIES;
}

/* ---- all of them ---- */

static bool is_snapshot(const struct flow *flow)
{
	char magic[sizeof(RDB_MAGIC)] = "";
	int fd = open(flow->pull->path, O_RDONLY | O_CLOEXEC);
	bool ok = fd >= 0 && read(fd, magic, sizeof(magic) - 1) == (ssize_t)sizeof(magic) - 1 &&
		  !strcmp(magic, RDB_MAGIC) && flow->pull->bytes >= RDB_LEAST;

	if (fd >= 0)
		close(fd);
	return ok;
}

static bool finish(struct flow *flow)
{
	if (!*flow->pull->error && fsync(flow->file))
		fail(flow, "%s: %s", flow->pull->path, strerror(errno));
	if (!*flow->pull->error && !is_snapshot(flow))
		fail(flow, "what came is no snapshot");
	if (!*flow->pull->error)
		SHA256End(&flow->sha, flow->pull->sha256);
	if (flow->socket >= 0)
		close(flow->socket);
	if (flow->file >= 0) {
		close(flow->file);
		if (*flow->pull->error)
			unlink(flow->pull->path);
	}
	explicit_bzero(flow->request, flow->length);
	free(flow->request);
	return !*flow->pull->error;
}

/* Waits a moment for any of them. Returns how many go on. */
static size_t turn(struct flow flow[], struct pollfd fds[], size_t count, char *block, unsigned idle_ms)
{
	size_t open = 0;

	for (size_t i = 0; i < count; i++) {
		bool done = flow[i].state == STATE_DONE;

		fds[i] = (struct pollfd){.fd = done ? -1 : flow[i].socket,
					 .events = flow[i].state == STATE_CONNECT ? POLLOUT : POLLIN};
		open += !done;
	}
	if (!open || (poll(fds, count, POLL_MS) < 0 && errno != EINTR))
		return 0;
	for (size_t i = 0; i < count; i++) {
		if (flow[i].state == STATE_DONE)
			continue;
		if (interrupted())
			fail(&flow[i], "interrupted");
		else if (fds[i].revents && flow[i].state == STATE_CONNECT)
			transmit(&flow[i]);
		else if (fds[i].revents)
			receive(&flow[i], block);
		else if (now_ms() - flow[i].heard > idle_ms)
			fail(&flow[i], "nothing came for %u s", idle_ms / 1000);
	}
	return open;
}

static uint64_t total(const struct pull pull[], size_t count)
{
	uint64_t bytes = 0;

	for (size_t i = 0; i < count; i++)
		bytes += pull[i].bytes;
	return bytes;
}

bool pull_all(struct pull pull[], size_t count, const shard_uri *uri, unsigned idle_ms)
{
	struct flow *flow = allocate(count, sizeof(*flow));
	struct pollfd *fds = allocate(count, sizeof(*fds));
	char *block = cli_alloc(BLOCK);
	struct progress progress;
	bool ok = true;

	progress_init(&progress, "bytes");
	for (size_t i = 0; i < count; i++)
		start(&flow[i], &pull[i], uri);
	while (turn(flow, fds, count, block, idle_ms))
		progress_show(&progress, total(pull, count), 0, 0);
	progress_end(&progress);
	for (size_t i = 0; i < count; i++)
		ok = finish(&flow[i]) && ok;
	free(block);
	free(fds);
	free(flow);
	return ok;
}
