/* SPDX-License-Identifier: MIT */
#include "describe.h"

#include <stdio.h>

static const char *const of_pools[][2] = {
	{"client_eof", "# eof on client connections"},
	{"client_err", "# errors on client connections"},
	{"client_connections", "# active client connections"},
	{"server_ejects", "# times backend server was ejected"},
	{"forward_error", "# times we encountered a forwarding error"},
	{"fragments", "# fragments created from a multi-vector request"},
};

static const char *const of_servers[][2] = {
	{"server_eof", "# eof on server connections"},
	{"server_err", "# errors on server connections"},
	{"server_timedout", "# timeouts on server connections"},
	{"server_connections", "# active server connections"},
	{"server_ejected_at", "timestamp when server was ejected in usec since epoch"},
	{"requests", "# requests"},
	{"request_bytes", "total request bytes"},
	{"responses", "# responses"},
	{"response_bytes", "total response bytes"},
	{"in_queue", "# requests in incoming queue"},
	{"in_queue_bytes", "current request bytes in incoming queue"},
	{"out_queue", "# requests in outgoing queue"},
	{"out_queue_bytes", "current request bytes in outgoing queue"},
};

void describe_stats(void)
{
	printf("pool stats:\n");
	for (size_t i = 0; i < sizeof(of_pools) / sizeof(of_pools[0]); i++)
		printf("  %-20s\"%s\"\n", of_pools[i][0], of_pools[i][1]);
	printf("\nserver stats:\n");
	for (size_t i = 0; i < sizeof(of_servers) / sizeof(of_servers[0]); i++)
		printf("  %-20s\"%s\"\n", of_servers[i][0], of_servers[i][1]);
}
