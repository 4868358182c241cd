/* SPDX-License-Identifier: MIT */
/* nutcracker.yml: any bytes are pools that can be used, or are refused in words that can be shown. */
#include <shard/pool.h>
#include <shard/uri.h>

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#define MUST(condition)                                                                                                \
	do {                                                                                                           \
		if (!(condition))                                                                                      \
			__builtin_trap();                                                                              \
	} while (0)

/* What is quoted is bounded, and there is no more than a thousand lines and one. */
static void check_why(const char *why)
{
	size_t lines = 1, len = 0;

	MUST(*why);
	for (const char *at = why; *at; at++) {
		unsigned char c = (unsigned char)*at;

		MUST(c == '\n' || (c >= 0x20 && c != 0x7f));
		lines += c == '\n';
		len = c == '\n' ? 0 : len + 1;
		MUST(len < 1500);
		MUST(c != '\n' || strncmp(at + 1, "f:", 2) == 0);
	}
	MUST(lines <= 1001 && strncmp(why, "f:", 2) == 0);
}

static void check_server(const shard_pool_server *server)
{
	char host[256];
	uint16_t port;

	MUST(server->weight && server->weight <= INT_MAX && server->line);
	MUST(*server->host && *server->name && *server->addr);
	MUST(!server->port == (*server->host == '/'));
	if (!server->port) {
		MUST(strcmp(server->addr, server->host) == 0 && strlen(server->host) < 108);
		return;
	}
	MUST(shard_split_addr(server->addr, strlen(server->addr), 0, host, sizeof(host), &port));
	MUST(strcmp(host, server->host) == 0 && port == server->port);
}

static void check_pool(const shard_pool *pool)
{
	MUST(*pool->name && pool->line && pool->server_count);
	MUST(*pool->listen && *pool->listen_host && !pool->listen_port == (*pool->listen == '/'));
	MUST(pool->listen_mode <= 0777 && (!pool->listen_mode || !pool->listen_port));
	MUST(shard_hash_name(pool->hash) && shard_distribution_name(pool->distribution));
	MUST(!pool->hash_tag[0] == !pool->hash_tag[1]);
	MUST(pool->timeout_ms <= INT_MAX && pool->backlog >= 0 && pool->redis_db >= 0);
	MUST(pool->server_connections && pool->server_connections <= INT_MAX);
	MUST(!pool->redis_auth || (pool->redis && *pool->redis_auth));
	for (size_t i = 0; i < pool->server_count; i++)
		check_server(&pool->server[i]);
}

static void check_ring(const shard_pool *pool)
{
	shard_ring *ring;
	int server;

	MUST(shard_pool_ring(pool, NULL, &ring) == SHARD_OK);
	server = shard_ring_route(ring, "key", 3);
	MUST(server >= -1 && server < (int)pool->server_count);
	shard_ring_free(ring);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	shard_pool_file *file;
	char *why;
	int error = shard_pool_file_parse("f", (const char *)data, size, &file, &why);

	if (error) {
		MUST(error == SHARD_EPOOL && !file);
		check_why(why);
		free(why);
		return 0;
	}
	MUST(!why && file->pool_count);
	for (size_t i = 0; i < file->pool_count; i++) {
		check_pool(&file->pool[i]);
		MUST(shard_pool_find(file, file->pool[i].name, NULL) == &file->pool[i]);
	}
	MUST(!shard_pool_find(file, NULL, NULL) == (file->pool_count > 1));
	check_ring(&file->pool[0]);
	shard_pool_file_free(file);
	return 0;
}
