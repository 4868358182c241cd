/* SPDX-License-Identifier: MIT */
#include "connect.h"

#include <stdlib.h>
#include <string.h>

#include "cli.h"

/* One error for each line. */
static void report(char *why)
{
	for (char *line = strtok(why, "\n"); line; line = strtok(NULL, "\n"))
		cli_error("%s", line);
}

/* Prints what is wrong where there is something. Takes WHY. */
static void report_failure(int error, char *why)
{
	if (why)
		report(why);
	else
		cli_error("%s", shard_strerror(error));
	free(why);
}

bool cli_pool_find(const char *path, const char *name, shard_pool_file **file, const shard_pool **pool)
{
	char *why = NULL;
	int error = shard_pool_file_load(path, file, &why);

	if (error) {
		report_failure(error, why);
		return false;
	}
	*pool = shard_pool_find(*file, name, &why);
	if (*pool)
		return true;
	report_failure(SHARD_EPOOL, why);
	shard_pool_file_free(*file);
	*file = NULL;
	return false;
}

bool cli_pool_serves(const struct cli_connect *connect)
{
	const shard_pool *pool = connect->pool;

	if (!pool->redis)
		cli_error(
			"%s:%u: pool '%s': a pool of memcached servers (redis: false); only redis: true can be served",
			connect->pool_file->path, pool->line, pool->name);
	else if (pool->distribution == SHARD_RANDOM)
		cli_error(
			"%s:%u: pool '%s': distribution: random puts a key on any server, so none can be found again; "
			"choose another",
			connect->pool_file->path, pool->line, pool->name);
	return pool->redis && pool->distribution != SHARD_RANDOM;
}

/* "redis://HOST:PORT,HOST:PORT,..."; malloc'ed */
static char *uri_of(const shard_pool *pool)
{
	size_t size = sizeof("redis://");
	char *text, *at;

	for (size_t i = 0; i < pool->server_count; i++)
		size += strlen(pool->server[i].addr) + 1;
	text = at = cli_alloc(size);
	at = stpcpy(at, "redis://");
	for (size_t i = 0; i < pool->server_count; i++) {
		if (i)
			*at++ = ',';
		at = stpcpy(at, pool->server[i].addr);
	}
	return text;
}

static char *copy(const char *text)
{
	return text ? strcpy(cli_alloc(strlen(text) + 1), text) : NULL;
}

bool cli_pool_as_uri(struct cli_connect *connect)
{
	const shard_pool *pool = connect->pool;
	char *text = uri_of(pool), *why = NULL;
	shard_uri *uri;
	int error = shard_uri_parse(text, &uri, &why);

	free(text);
	if (error) {
		cli_error("%s:%u: pool '%s': %s", connect->pool_file->path, pool->line, pool->name,
			  why ? why : shard_strerror(error));
		free(why);
		return false;
	}
	uri->password = copy(connect->uri->password ? connect->uri->password : pool->redis_auth);
	uri->user = copy(connect->uri->password ? connect->uri->user : pool->redis_user);
	shard_uri_free(connect->uri);
	connect->uri = uri;
	if (!connect->timeout_ms)
		connect->timeout_ms = pool->timeout_ms;
	connect->pool = NULL;
	shard_pool_file_free(connect->pool_file);
	connect->pool_file = NULL;
	return true;
}
