/* SPDX-License-Identifier: MIT */
#include "rslots_machine.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "cli.h"

struct machine {
	const shard_pool_server *server;
	char host[INET6_ADDRSTRLEN]; /* an IPv6 address in its one short form; empty for all else */
	unsigned *number;
};

static void fill(struct machine *machine, const shard_pool_server *server, unsigned *number)
{
	struct in6_addr addr;

	*machine = (struct machine){.server = server, .number = number};
	if (server->port && inet_pton(AF_INET6, server->host, &addr) == 1)
		inet_ntop(AF_INET6, &addr, machine->host, sizeof(machine->host));
}

static int by_address(const void *a, const void *b)
{
	const struct machine *x = a, *y = b;
	const char *host_x = *x->host ? x->host : x->server->host;
	const char *host_y = *y->host ? y->host : y->server->host;

	if (x->server->port != y->server->port)
		return x->server->port < y->server->port ? -1 : 1;
	return x->server->port ? strcasecmp(host_x, host_y) : strcmp(host_x, host_y);
}

void machines_number(const shard_pool *a, const shard_pool *b, unsigned *number_a, unsigned *number_b)
{
	size_t count = a->server_count + b->server_count;
	struct machine *machine = cli_alloc(count * sizeof(*machine));
	unsigned number = 0;

	for (size_t i = 0; i < a->server_count; i++)
		fill(&machine[i], &a->server[i], &number_a[i]);
	for (size_t i = 0; i < b->server_count; i++)
		fill(&machine[a->server_count + i], &b->server[i], &number_b[i]);
	qsort(machine, count, sizeof(*machine), by_address);
	for (size_t i = 0; i < count; i++) {
		number += i && by_address(&machine[i - 1], &machine[i]);
		*machine[i].number = number;
	}
	free(machine);
}
