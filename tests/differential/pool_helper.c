/* SPDX-License-Identifier: MIT */
/*
 * Reads paths of files of pools from standard input, a line each. For each it writes, as JSON on a line, what came of
 * it: an error's words, or all that the file says.
 */
#include <shard/pool.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void write_string(const char *name, const char *text)
{
	printf("\"%s\": ", name);
	if (!text) {
		fputs("null, ", stdout);
		return;
	}
	putchar('"');
	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;

		if (c < 0x20 || c == '"' || c == '\\' || c == 0x7f)
			printf("\\u%04x", c);
		else
			putchar(c);
	}
	fputs("\", ", stdout);
}

static void write_server(const shard_pool_server *server)
{
	putchar('{');
	write_string("host", server->host);
	write_string("name", server->name);
	write_string("addr", server->addr);
	printf("\"port\": %u, \"weight\": %u}", server->port, server->weight);
}

static void write_pool(const shard_pool *pool)
{
	putchar('{');
	write_string("name", pool->name);
	write_string("listen", pool->listen);
	write_string("hash", shard_hash_name(pool->hash));
	write_string("distribution", shard_distribution_name(pool->distribution));
	write_string("redis_auth", pool->redis_auth);
	printf("\"timeout\": %u, \"servers\": [", pool->timeout_ms);
	for (size_t i = 0; i < pool->server_count; i++) {
		fputs(i ? ", " : "", stdout);
		write_server(&pool->server[i]);
	}
	fputs("]}", stdout);
}

static void write_file(const char *path)
{
	shard_pool_file *file;
	char *why;
	int error = shard_pool_file_load(path, &file, &why);

	putchar('{');
	write_string("why", why);
	printf("\"error\": %d, \"pools\": [", error);
	for (size_t i = 0; !error && i < file->pool_count; i++) {
		fputs(i ? ", " : "", stdout);
		write_pool(&file->pool[i]);
	}
	puts("]}");
	fflush(stdout);
	shard_pool_file_free(file);
	free(why);
}

int main(void)
{
	char *line = NULL;
	size_t room = 0;
	ssize_t len;

	while ((len = getline(&line, &room, stdin)) > 0) {
		line[len - 1] = 0;
		write_file(line);
	}
	free(line);
	return 0;
}
