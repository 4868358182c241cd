/* SPDX-License-Identifier: MIT */
#include "ring_help.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { NAME = 32 };

shard_ring *ring_of(int distribution, int hash, const shard_ring_server *servers, size_t count)
{
	shard_ring_options options = {.distribution = distribution, .hash = hash};
	shard_ring *ring;

	assert_int_equal(shard_ring_create(&ring, &options, servers, count), SHARD_OK);
	assert_non_null(ring);
	return ring;
}

shard_ring_server *ring_servers(size_t count)
{
	shard_ring_server *servers = calloc(count, sizeof(*servers) + NAME);
	char *names = (char *)(servers + count);

	for (size_t i = 0; i < count; i++) {
		snprintf(names + NAME * i, NAME, "server%zu", i + 1);
		servers[i] = (shard_ring_server){.name = names + NAME * i, .weight = 1};
	}
	return servers;
}

int ring_route_text(const shard_ring *ring, const char *key)
{
	return shard_ring_route(ring, key, strlen(key));
}
