/* SPDX-License-Identifier: MIT */
#include "rcmd_print.h"

#include <string.h>

#include "cli.h"

static void put_reply(struct out *out, const shard_reply *reply)
{
	switch (reply->type) {
	case SHARD_REPLY_NIL:
		break;
	case SHARD_REPLY_ERROR:
		out_put(out, reply->str, reply->len);
		out_char(out, '\n');
		break;
	case SHARD_REPLY_STATUS:
	case SHARD_REPLY_STRING:
	case SHARD_REPLY_RAW:
		out_put(out, reply->str, reply->len);
		break;
	case SHARD_REPLY_INTEGER:
		out_number(out, reply->integer);
		break;
	case SHARD_REPLY_ARRAY:
		for (size_t i = 0; i < reply->len; i++) {
			if (i)
				out_char(out, '\n');
			put_reply(out, &reply->element[i]);
		}
		break;
	}
}

void print_reply(struct out *out, const shard_reply *reply)
{
	put_reply(out, reply);
	out_char(out, '\n');
}

/* Errors inside an array (of EXEC, of a script) are printed where they stand, and reported too. */
static bool report_errors(const char *name, const shard_reply *reply, const shard_result *of)
{
	bool none = true;

	if (reply->type == SHARD_REPLY_ERROR) {
		cli_result_error(
			name, strlen(name),
			&(shard_result){
				.error = SHARD_ESERVER, .message = reply->str, .node = of->node, .slot = of->slot});
		return false;
	}
	for (size_t i = 0; reply->type == SHARD_REPLY_ARRAY && i < reply->len; i++)
		none &= report_errors(name, &reply->element[i], of);
	return none;
}

static bool print_one(struct out *out, const char *name, const shard_result *result)
{
	if (result->error) {
		cli_result_error(name, strlen(name), result);
		return false;
	}
	print_reply(out, result->reply);
	return report_errors(name, result->reply, result);
}

static void print_node(struct out *out, const char *node)
{
	out_text(out, "# ");
	out_text(out, node);
	out_char(out, '\n');
}

bool print_result(struct out *out, const char *name, const shard_result *result, bool per_node,
		  const shard_topology *map)
{
	bool single = map && shard_topology_is_single(map), none = true;

	if (!result->part_count || (!per_node && !result->error))
		return print_one(out, name, result);
	for (size_t i = 0; i < result->part_count; i++) {
		const shard_result *part = &result->part[i];

		if (per_node && !single && !part->error)
			print_node(out, part->node);
		if (per_node || part->error)
			none &= print_one(out, name, part);
	}
	return none;
}
