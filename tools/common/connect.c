/* SPDX-License-Identifier: MIT */
#include "connect.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli.h"

#define REMEMBER_MS 500
#define PASSWORD_MAX 4096
#define PASSWORD_MS 30000 /* the program at the other end of a pipe may have to ask a person */

enum { OPTION_TIMEOUT = 0x100, OPTION_PASSWORD_FILE, OPTION_PASSWORD };

static const struct argp_option options[] = {
	{"uri", 'u', "URI", 0,
	 "Where the servers are: redis://[[USER]:PASSWORD@]HOST[:PORT][,HOST[:PORT]...][/DB], unix:///PATH or "
	 "twemproxy:FILE[#POOL], a pool of a nutcracker.yml. Default: "
	 "$SHARD_URI, else the cluster that the last rcluster up started, else redis://127.0.0.1:6379",
	 0},
	{"timeout", OPTION_TIMEOUT, "MS", 0, "Deadline of one operation in milliseconds (5000)", 0},
	{"password-file", OPTION_PASSWORD_FILE, "FILE", 0,
	 "Take the password from the first line of FILE, else from the URI, $SHARD_PASSWORD or $REDISCLI_AUTH", 0},
	/* Else --password WORD would abbreviate --password-file, and an error would show the word. */
	{"password", OPTION_PASSWORD, "WORD", OPTION_HIDDEN, NULL, 0},
	{0},
};

void cli_mask_uri(char *uri)
{
	char *start = strstr(uri, "://");
	char *at = strrchr(uri, '@');

	if (!start || !at)
		return;
	start += 3;
	if (at > start)
		memset(start, '*', (size_t)(at - start));
}

static void take_uri(struct cli_connect *connect, char *arg)
{
	free(connect->uri_text);
	connect->uri_text = cli_alloc(strlen(arg) + 1);
	strcpy(connect->uri_text, arg);
	cli_mask_uri(arg);
}

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct cli_connect *connect = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		state->err_stream = NULL; /* see cli_parse() */
		return 0;
	case 'u':
		take_uri(connect, arg);
		return 0;
	case OPTION_TIMEOUT:
		connect->timeout_ms = (unsigned)cli_number("--timeout", arg, 1, 24 * 3600 * 1000);
		return 0;
	case OPTION_PASSWORD_FILE:
		connect->password_file = arg;
		return 0;
	case OPTION_PASSWORD:
		memset(arg, '*', strlen(arg));
		cli_usage("--password would show it to everybody: use --password-file FILE or $SHARD_PASSWORD");
	}
	return ARGP_ERR_UNKNOWN;
}

const struct argp cli_connect_argp = {.options = options, .parser = parse_option};

/* ---- the URI and its password ---- */

static bool recorded; /* the URI is that of the recorded local cluster */

const char *cli_connect_hint(int error)
{
	bool unreachable = error == SHARD_ECONNECT || error == SHARD_ENOROUTE;

	return recorded && unreachable ? "it is the local cluster of the last rcluster up: start it with rcluster up"
				       : NULL;
}

static char *copy_text(const char *text)
{
	return strcpy(cli_alloc(strlen(text) + 1), text);
}

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* read() of a descriptor that does not block, up to END. A pipe that no writer has opened yet is waited for, too. */
static ssize_t read_until(int fd, char *to, size_t size, int64_t end)
{
	for (;;) {
		struct pollfd p = {.fd = fd, .events = POLLIN};
		int64_t left = end - now_ms();
		ssize_t n;

		if (poll(&p, 1, left > 0 ? (int)left : 0) == 0) {
			errno = ETIMEDOUT;
			return -1;
		}
		n = read(fd, to, size);
		if (n >= 0 || (errno != EAGAIN && errno != EINTR))
			return n;
	}
}

/* Reads up to a newline, the end, or SIZE - 1 bytes; a pipe may give its line in pieces. Returns -1 with errno. */
static ssize_t read_line(const char *path, char *text, size_t size, unsigned timeout_ms)
{
	int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	int64_t end = now_ms() + timeout_ms;
	size_t len = 0;
	ssize_t n = fd < 0 ? -1 : 1;

	while (n > 0 && len < size - 1 && !memchr(text, '\n', len)) {
		n = read_until(fd, text + len, size - 1 - len, end);
		if (n > 0)
			len += (size_t)n;
	}
	text[len] = '\0';
	if (fd >= 0)
		close(fd); /* leaves errno alone: nothing was written */
	return n < 0 ? -1 : (ssize_t)len;
}

static char *read_password(const char *path, unsigned timeout_ms)
{
	char text[PASSWORD_MAX + 2], *password = NULL;
	ssize_t n = read_line(path, text, sizeof(text), timeout_ms);
	size_t len = n < 0 ? 0 : strcspn(text, "\r\n");
	bool nul = n > 0 && len < (size_t)n && !text[len];

	text[len] = '\0';
	if (n < 0 && errno == ETIMEDOUT)
		cli_error_about(path, strlen(path), "nobody wrote a password there within %g s", timeout_ms / 1000.0);
	else if (n < 0)
		cli_error_about(path, strlen(path), "cannot read the password: %s", strerror(errno));
	else if (nul)
		cli_error_about(path, strlen(path), "holds a NUL, which no password may");
	else if (!len)
		cli_error_about(path, strlen(path), "holds no password");
	else if (len > PASSWORD_MAX)
		cli_error_about(path, strlen(path), "holds a password of more than %d bytes", PASSWORD_MAX);
	else
		password = copy_text(text);
	explicit_bzero(text, sizeof(text));
	return password;
}

static void set_password(shard_uri *uri, char *password)
{
	if (uri->password)
		explicit_bzero(uri->password, strlen(uri->password));
	free(uri->password);
	uri->password = password;
}

static bool find_password(const struct cli_connect *connect)
{
	const char *from_env = getenv("SHARD_PASSWORD");

	if (connect->password_file) {
		unsigned timeout_ms = connect->timeout_ms ? connect->timeout_ms : PASSWORD_MS;
		char *password = read_password(connect->password_file, timeout_ms);

		if (password)
			set_password(connect->uri, password);
		return password;
	}
	if (!from_env || !*from_env)
		from_env = getenv("REDISCLI_AUTH");
	/* The file of a pool may have one: it is nearer to the servers than the environment. */
	if (!connect->uri->password && !(connect->pool && connect->pool->redis_auth) && from_env && *from_env)
		set_password(connect->uri, copy_text(from_env));
	return true;
}

static bool parse_uri(struct cli_connect *connect, bool given)
{
	char *why = NULL;
	int error = shard_uri_parse(connect->uri_text, &connect->uri, &why);

	if (error)
		cli_error("%s: %s", given ? "URI" : "$SHARD_URI", why ? why : shard_strerror(error));
	free(why);
	return !error;
}

static void report_no_choice(int error)
{
	char *dir = error == EBADMSG ? shard_runtime_dir(false) : NULL;

	if (dir)
		cli_error("%s/local-cluster: the record of the local cluster is damaged; rcluster up writes it anew, "
			  "-u names other servers",
			  dir);
	else
		cli_error("%s", strerror(error));
	free(dir);
}

bool cli_connect_resolve(struct cli_connect *connect)
{
	bool given = connect->uri_text;

	recorded = false;
	if (!given)
		connect->uri_text = shard_uri_choose(&recorded);
	if (!connect->uri_text) {
		report_no_choice(errno);
		return false;
	}
	if (!parse_uri(connect, given))
		return false;
	if (connect->uri->scheme == SHARD_SCHEME_TWEMPROXY &&
	    (!cli_pool_find(connect->uri->file, connect->uri->pool, &connect->pool_file, &connect->pool) ||
	     (connect->pool->cluster && !cli_pool_as_uri(connect))))
		return false;
	return find_password(connect);
}

/* ---- the client ---- */

void cli_connect_options(const struct cli_connect *connect, shard_options *out)
{
	shard_options_init(out);
	out->uri = connect->uri;
	out->pool = connect->pool;
	if (connect->pool)
		out->timeout_ms = 0; /* the pool's */
	if (!connect->timeout_ms)
		return;
	out->timeout_ms = connect->timeout_ms;
	if (out->connect_timeout_ms > connect->timeout_ms)
		out->connect_timeout_ms = connect->timeout_ms;
}

static void report_unsupported(const struct cli_connect *connect, int error)
{
	char *public = shard_uri_public(connect->uri);
	const char *name = public ? public : "URI";

	if (error == SHARD_EUNSUPPORTED && connect->uri->scheme == SHARD_SCHEME_REDISS)
		cli_error("%s: TLS is not supported yet; use redis://", name);
	else
		cli_error("%s: %s", name, shard_strerror(error));
	free(public);
}

bool cli_connect_open(struct cli_connect *connect, enum cli_connect_mode mode)
{
	shard_options out;
	int error;

	if ((!connect->uri && !cli_connect_resolve(connect)) || (connect->pool && !cli_pool_serves(connect)))
		return false;
	cli_connect_options(connect, &out);
	if (mode == CLI_ONE_SHOT && !connect->pool) {
		connect->believed = shard_topology_load(connect->uri);
		out.topology = connect->believed;
		out.lazy = true;
	}
	error = shard_client_create(&connect->client, &out);
	if (error)
		report_unsupported(connect, error);
	return !error;
}

/* ---- the map ---- */

struct refresh {
	bool done;
	bool quiet;
	bool late; /* nobody waits for it any more */
	int error;
};

static void on_refreshed(void *ctx, const shard_result *result)
{
	struct refresh *refresh = ctx;

	refresh->done = true;
	refresh->error = result->error;
	if (result->error && !refresh->quiet)
		cli_result_error(NULL, 0, result);
}

shard_topology *cli_connect_map(struct cli_connect *connect)
{
	struct refresh refresh = {0};
	int error = shard_refresh(connect->client, on_refreshed, &refresh);

	while (!error && !refresh.done)
		error = shard_client_wait(connect->client, -1);
	if (error)
		cli_error("%s", shard_strerror(error));
	return error || refresh.error ? NULL : shard_client_topology(connect->client);
}

static void on_remember_late(void *ctx)
{
	struct refresh *refresh = ctx;

	refresh->late = true;
}

/* A quiet refresh that takes no longer than an answer which is there already may be kept waiting. */
static bool refresh_quietly(shard_client *client)
{
	static struct refresh refresh = {.quiet = true}; /* a late one calls back when the client is destroyed */
	shard_timer *timer = shard_timer_add(client, REMEMBER_MS, on_remember_late, &refresh);

	if (!timer || shard_refresh(client, on_refreshed, &refresh))
		return false;
	while (!refresh.done && !refresh.late)
		if (shard_client_wait(client, -1))
			return false;
	if (!refresh.late)
		shard_timer_cancel(timer);
	return refresh.done && !refresh.error;
}

void cli_connect_remember(struct cli_connect *connect)
{
	shard_topology *now = shard_client_topology(connect->client);
	char *dir;

	if (connect->pool || (connect->believed && now == connect->believed))
		return;
	dir = shard_runtime_dir(true);
	if (dir && refresh_quietly(connect->client))
		now = shard_client_topology(connect->client);
	if (dir && now)
		(void)!shard_topology_store(connect->uri, now); /* a cache: the next one asks again */
	free(dir);
}

static bool same_map(const shard_topology *a, const shard_topology *b)
{
	char *x = shard_topology_format(a), *y = shard_topology_format(b);
	bool same = x && y && !strcmp(x, y);

	free(x);
	free(y);
	return same;
}

void cli_connect_keep(struct cli_connect *connect, const shard_topology *now)
{
	if (!connect->believed || !same_map(connect->believed, now))
		(void)!shard_topology_store(connect->uri, now);
}

void cli_connect_close(struct cli_connect *connect)
{
	shard_client_destroy(connect->client);
	shard_topology_unref(connect->believed);
	shard_uri_free(connect->uri);
	shard_pool_file_free(connect->pool_file);
	if (connect->uri_text)
		explicit_bzero(connect->uri_text, strlen(connect->uri_text));
	free(connect->uri_text);
	*connect = (struct cli_connect){0};
}

bool cli_once(struct cli_connect *connect, const char *thing, const shard_args *command, const shard_call *how,
	      shard_callback callback, void *ctx)
{
	int error =
		shard_submit(connect->client, command->argc, command->argv, command->argvlen, how, callback, ctx, NULL);

	if (!error)
		error = shard_client_run(connect->client);
	if (error)
		cli_error_about(thing, strlen(thing), "%s", shard_strerror(error));
	return !error;
}
