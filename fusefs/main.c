/* SPDX-License-Identifier: MIT */
/*
 * shardfs: a cluster, mounted.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "mountpoint.h"
#include "options.h"
#include "session.h"

static int ready_fd = -1; /* tells the parent that the mount answers */

static void ready(void)
{
	if (ready_fd < 0)
		return;
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	setsid();
	if (chdir("/") < 0 || write(ready_fd, "", 1) != 1)
		return;
	close(ready_fd);
	for (int fd = 0; null >= 0 && fd <= 2; fd++)
		dup2(null, fd);
	if (null > 2)
		close(null);
}

/* ---- the servers ---- */

struct reach {
	const char *uri;
	bool done;
	int error;
};

static void reached(void *ctx, const shard_result *result)
{
	struct reach *reach = ctx;
	const char *hint = cli_connect_hint(result->error);

	reach->done = true;
	reach->error = result->error;
	if (result->error)
		cli_error_about(reach->uri, strlen(reach->uri), "%s%s%s", result->message, hint ? "; " : "",
				hint ? hint : "");
}

/* Of a pool some servers may be down: their keys cannot be had. */
static void pool_reached(void *ctx, const shard_result *result)
{
	struct reach *reach = ctx;
	size_t failed = 0;

	reach->done = true;
	for (size_t i = 0; i < result->part_count; i++) {
		const shard_result *part = &result->part[i];

		failed += part->error != SHARD_OK;
		if (part->error)
			cli_error_about(reach->uri, strlen(reach->uri), "%s", part->message);
	}
	if (failed == result->part_count)
		reach->error = result->error ? result->error : SHARD_ECONNECT;
}

static int ask_servers(struct cli_connect *connect, struct reach *reach)
{
	static const char *const ping[] = {"PING"};
	static const shard_call each = {.flags = SHARD_EACH_MASTER};

	if (!connect->pool)
		return shard_refresh(connect->client, reached, reach);
	return shard_submit(connect->client, 1, ping, NULL, &each, pool_reached, reach, NULL);
}

/* A mount without servers would only show errors: it is not made. */
static bool reach_servers(struct cli_connect *connect)
{
	char *uri = shard_uri_public(connect->uri);
	struct reach reach = {.uri = uri ? uri : ""};
	int error = ask_servers(connect, &reach);

	while (!error && !reach.done)
		error = shard_client_wait(connect->client, -1);
	if (error)
		cli_error("%s", shard_strerror(error));
	free(uri);
	return !error && !reach.error;
}

/* Always true. */
static bool warn_of_pool(const shard_pool *pool)
{
	if (pool && pool->hash == SHARD_HASH_CRC32 && pool->distribution == SHARD_KETAMA)
		cli_error("pool '%s': hash: crc32 has 15 bits: under ketama nearly every key is on one server",
			  pool->name);
	return true;
}

static int serve(struct options *options, const char *mountpoint)
{
	struct cli_connect *connect = &options->connect;
	int status = CLI_FAILED;

	if (cli_connect_open(connect, CLI_STREAM) && warn_of_pool(connect->pool) && reach_servers(connect) &&
	    session_serve(options, mountpoint, ready))
		status = CLI_OK;
	options_finish(options);
	return status;
}

/* The client must be made after the fork; the parent stays until the child is of use, or has said why not. */
static int serve_in_background(struct options *options, const char *mountpoint)
{
	int fds[2];
	char byte;

	if (pipe2(fds, O_CLOEXEC) < 0) {
		cli_error("cannot make a pipe: %s", strerror(errno));
		return CLI_FAILED;
	}
	switch (fork()) {
	case -1:
		cli_error("cannot fork: %s", strerror(errno));
		return CLI_FAILED;
	case 0:
		close(fds[0]);
		ready_fd = fds[1];
		return serve(options, mountpoint);
	}
	close(fds[1]);
	ssize_t n;
	do {
		n = read(fds[0], &byte, 1);
	} while (n < 0 && errno == EINTR);
	options_finish(options);
	return n == 1 ? CLI_OK : CLI_FAILED;
}

int main(int argc, char *argv[])
{
	struct options options;

	cli_start(argv);
	options_parse(&options, argc, argv);
	char *mountpoint = mountpoint_check(options.mountpoint);
	if (!mountpoint) {
		options_finish(&options);
		return CLI_FAILED;
	}
	int status = options.foreground ? serve(&options, mountpoint) : serve_in_background(&options, mountpoint);
	free(mountpoint);
	return status;
}
