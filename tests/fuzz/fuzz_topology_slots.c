/* SPDX-License-Identifier: MIT */
/* CLUSTER SLOTS and CLUSTER SHARDS: any reply, written as a literal (tests/lib/literal.h), is a map or is refused. */
#include "literal.h"
#include "topology_check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	shard_reply *reply = literal_parse((const char *)data, size);
	const char *why = NULL;
	shard_topology *t = NULL;
	if (!reply)
		return -1;
	int error = shard_topology_from_slots(reply, "127.0.0.1", 7000, &t, &why);
	check_topology(error, t, why);
	error = shard__topology_from_slots(reply, "/run/redis.sock", 0, check_map, NULL, &t, &why);
	check_topology(error, t, why);
	error = shard_topology_from_shards(reply, "127.0.0.1", 7000, &t, &why);
	check_topology(error, t, why);
	error = shard__topology_from_shards(reply, NULL, 0, check_map, NULL, &t, &why);
	check_topology(error, t, why);
	literal_free(reply);
	return 0;
}
