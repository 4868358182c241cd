/* SPDX-License-Identifier: MIT */
/*
 * route_helper FILE POOL [EJECTED...]: keys come on standard input, four bytes
 * of length (little-endian) before each; for each a line says the number of
 * its server in the pool, -1 for none.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <shard/pool.h>
#include <shard/ring.h>

static int die(const char *what)
{
	fprintf(stderr, "route_helper: %s\n", what);
	return 2;
}

static int route_all(const shard_ring *ring)
{
	static unsigned char key[1 << 20];
	unsigned char size[4];

	while (fread(size, 1, sizeof(size), stdin) == sizeof(size)) {
		size_t len = size[0] | (size_t)size[1] << 8 | (size_t)size[2] << 16 | (size_t)size[3] << 24;

		if (len > sizeof(key) || fread(key, 1, len, stdin) != len)
			return die("a key is too long, or cut off");
		printf("%d\n", shard_ring_route(ring, key, len));
	}
	return fflush(stdout) ? die("standard output cannot be written") : 0;
}

static int ring_of(const shard_pool *pool, char **numbers, shard_ring **ring)
{
	bool *ejected = calloc(pool->server_count, sizeof(*ejected));
	int error = SHARD_ENOMEM;

	if (!ejected)
		return error;
	for (; *numbers; numbers++) {
		unsigned long number = strtoul(*numbers, NULL, 10);

		if (number < pool->server_count)
			ejected[number] = true;
	}
	error = shard_pool_ring(pool, ejected, ring);
	free(ejected);
	return error;
}

int main(int argc, char **argv)
{
	shard_pool_file *file;
	const shard_pool *pool;
	shard_ring *ring;
	char *why = NULL;
	int status;

	if (argc < 3)
		return die("usage: route_helper FILE POOL [EJECTED...]");
	if (shard_pool_file_load(argv[1], &file, &why))
		return die(why ? why : "the file cannot be loaded");
	pool = shard_pool_find(file, argv[2], &why);
	if (!pool)
		status = die(why ? why : "no such pool");
	else if (ring_of(pool, argv + 3, &ring))
		status = die("no ring");
	else {
		status = route_all(ring);
		shard_ring_free(ring);
	}
	free(why);
	shard_pool_file_free(file);
	return status;
}
