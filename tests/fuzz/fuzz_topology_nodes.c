/* SPDX-License-Identifier: MIT */
/* CLUSTER NODES: any text is a map or is refused, and a map survives being written and read again. */
#include "topology_check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *why = NULL;
	shard_topology *t = NULL;
	int error = shard_topology_from_nodes((const char *)data, size, "::1", 7000, &t, &why);
	check_topology(error, t, why);
	error = shard__topology_from_nodes((const char *)data, size, "", 0, check_map, NULL, &t, &why);
	check_topology(error, t, why);
	return 0;
}
