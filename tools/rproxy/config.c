/* SPDX-License-Identifier: MIT */
#include "config.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "listen.h"
#include "log.h"
#include "options.h"

/* One error for each line. */
static void report(char *why)
{
	for (char *line = strtok(why, "\n"); line; line = strtok(NULL, "\n"))
		log_error("%s", line);
	free(why);
}

static void of_pool(struct pool_config *to, const shard_pool *pool)
{
	to->name = pool->name;
	to->pool = pool;
	to->listen_host = pool->listen_host;
	to->listen_port = pool->listen_port;
	to->listen_mode = pool->listen_mode;
	to->backlog = pool->backlog;
	to->password = pool->redis_auth;
	to->user = pool->redis_user;
	to->client_connections = pool->client_connections;
	to->strict = pool->strict || options.strict;
	to->cluster = pool->cluster;
}

static bool serves(const struct config *config)
{
	bool ok = true;

	for (size_t i = 0; i < config->file->pool_count; i++) {
		const shard_pool *pool = &config->file->pool[i];

		if (pool->redis)
			continue;
		log_error("%s:%u: pool '%s': a pool of memcached servers (redis: false) is not served yet: write \"redis: "
			  "true\" where its servers are Redis's", config->file->path, pool->line, pool->name);
		ok = false;
	}
	return ok;
}

static bool load_file(struct config *config, const char *path)
{
	char *why = NULL;
	int error = shard_pool_file_load(path, &config->file, &why);

	if (error) {
		if (why)
			report(why);
		else
			log_error("%s: %s", path, shard_strerror(error));
		return false;
	}
	if (!serves(config))
		return false;
	config->pool_count = config->file->pool_count;
	config->pool = calloc(config->pool_count, sizeof(*config->pool));
	for (size_t i = 0; config->pool && i < config->pool_count; i++)
		of_pool(&config->pool[i], &config->file->pool[i]);
	return config->pool;
}

/* "host:port", "port" or "/path". */
static bool parse_listen(struct pool_config *pool, const char *text)
{
	static char host[256];
	uint16_t port;

	if (*text == '/') {
		pool->listen_host = text;
		return true;
	}
	if (strchr(text, ':')) {
		if (!shard_split_addr(text, strlen(text), 0, host, sizeof(host), &port))
			return false;
		pool->listen_host = *host ? host : "127.0.0.1";
		pool->listen_port = port;
		return true;
	}
	pool->listen_host = "127.0.0.1";
	pool->listen_port = (uint16_t)cli_number("--listen", text, 1, 65535);
	return true;
}

static bool of_uri(struct config *config, const struct options *how)
{
	struct pool_config *pool = config->pool = calloc(1, sizeof(*config->pool));

	if (!pool)
		return false;
	config->pool_count = 1;
	pool->name = "main";
	if (how->connect.pool) {
		of_pool(pool, how->connect.pool);
	} else {
		pool->uri = how->connect.uri;
		pool->cluster = true;
		pool->password = pool->uri->password;
		pool->user = pool->uri->user;
		pool->backlog = 512;
	}
	pool->strict |= how->strict;
	pool->timeout_ms = how->connect.timeout_ms;
	if (!how->listen && pool->listen_host)
		return true;
	if (parse_listen(pool, how->listen ? how->listen : "127.0.0.1:6380"))
		return true;
	log_error("--listen %s: HOST:PORT, PORT or /PATH of a unix socket is wanted", how->listen);
	return false;
}

struct config *config_load(const struct options *how)
{
	struct config *config = calloc(1, sizeof(*config));
	bool ok;

	if (!config)
		return NULL;
	config->threads = how->threads;
	config->users = 1;
	ok = how->conf_file ? load_file(config, how->conf_file) : of_uri(config, how);
	for (size_t i = 0; i < config->pool_count && config->pool; i++)
		config->pool[i].of = config;
	if (ok)
		return config;
	config_unuse(config);
	return NULL;
}

/* ---- listening ---- */

static bool same_place(const struct pool_config *a, const struct pool_config *b)
{
	return a->listen_port == b->listen_port && a->listen_mode == b->listen_mode &&
	       !strcmp(a->listen_host, b->listen_host);
}

static bool take_over(struct pool_config *pool, struct config *old)
{
	for (size_t i = 0; old && i < old->pool_count; i++) {
		if (!old->pool[i].listen_fd || !same_place(pool, &old->pool[i]))
			continue;
		pool->listen_fd = old->pool[i].listen_fd;
		old->pool[i].listen_fd = NULL;
		return true;
	}
	return false;
}

/* Sockets that share a port get it beside another program's, too, where that one shares it: then clients are split. */
static bool is_free(const struct pool_config *pool)
{
	int fd = listen_on(pool->listen_host, pool->listen_port, 0, pool->backlog, false);

	return fd >= 0 && !close(fd);
}

static bool open_all(struct pool_config *pool, unsigned threads)
{
	bool wanted = pool->pool && pool->pool->reuseport;

	if (threads > 1 && pool->listen_port && !wanted && !is_free(pool))
		return false;
	pool->listen_fd = calloc(threads, sizeof(int));
	if (!pool->listen_fd)
		return false;
	for (unsigned i = 0; i < threads; i++)
		pool->listen_fd[i] = -1;
	for (unsigned i = 0; i < threads; i++) {
		/* Threads share a unix socket: the kernel has no way of parting it. */
		pool->listen_fd[i] = i && !pool->listen_port
					     ? pool->listen_fd[0]
					     : listen_on(pool->listen_host, pool->listen_port, pool->listen_mode,
							 pool->backlog, threads > 1 || wanted);
		if (pool->listen_fd[i] < 0)
			return false;
	}
	return true;
}

bool config_listen(struct config *config, struct config *old)
{
	for (size_t i = 0; i < config->pool_count; i++)
		if (!take_over(&config->pool[i], old) && !open_all(&config->pool[i], config->threads))
			return false;
	return true;
}

void config_return(struct config *config, struct config *old)
{
	for (size_t i = 0; i < old->pool_count; i++)
		if (!old->pool[i].listen_fd)
			take_over(&old->pool[i], config);
}

static void close_all(struct pool_config *pool, unsigned threads)
{
	for (unsigned i = 0; pool->listen_fd && i < threads; i++)
		if (pool->listen_fd[i] >= 0 && (!i || pool->listen_port))
			close(pool->listen_fd[i]);
	if (pool->listen_fd && !pool->listen_port)
		unlink(pool->listen_host);
	free(pool->listen_fd);
}

void config_use(struct config *config)
{
	__atomic_add_fetch(&config->users, 1, __ATOMIC_RELAXED);
}

void config_unuse(struct config *config)
{
	if (!config || __atomic_sub_fetch(&config->users, 1, __ATOMIC_ACQ_REL))
		return;
	for (size_t i = 0; config->pool && i < config->pool_count; i++)
		close_all(&config->pool[i], config->threads);
	free(config->pool);
	shard_pool_file_free(config->file);
	free(config);
}
