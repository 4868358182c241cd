/* SPDX-License-Identifier: MIT */
#include "longname.h"

#include <errno.h>
#include <stdio.h>

#include "errors.h"
#include "op.h"

struct search {
	struct op op;
	struct name name;
	void (*then)(fuse_req_t req, const char *key, size_t len);
	const char *node; /* in cluster mode: lent by the topology that is held */
	shard_topology *topology;
	shard_scan *scan; /* on a server without slots */
};

static void finish(struct op *op)
{
	struct search *search = (struct search *)op;

	shard_topology_unref(search->topology);
	shard_scan_destroy(search->scan);
}

static bool found_among(struct search *search, const shard_reply *keys, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (!name_matches(&search->name, keys[i].str, keys[i].len))
			continue;
		fuse_req_t req = op_answer(&search->op);
		if (req) {
			fuse_req_interrupt_func(req, NULL, NULL);
			search->then(req, keys[i].str, keys[i].len);
		}
		return true;
	}
	return false;
}

static void keys_came(struct op *op, const shard_result *result)
{
	struct search *search = (struct search *)op;

	if (op_failed(op, result))
		return;
	if (result->reply->type != SHARD_REPLY_ARRAY ||
	    !found_among(search, result->reply->element, result->reply->len))
		op_error(op, ENOENT);
}

static bool submit_slot(struct search *search, const char *subcommand, const char *count, op_step step)
{
	shard_call how = {.node = search->node};
	struct words words = {0};
	char slot[8];

	snprintf(slot, sizeof(slot), "%u", search->name.slot);
	words_text(&words, "CLUSTER");
	words_text(&words, subcommand);
	words_text(&words, slot);
	if (count)
		words_text(&words, count);
	return op_submit(&search->op, &words, &how, step);
}

static void count_came(struct op *op, const shard_result *result)
{
	char count[24];

	if (op_failed(op, result))
		return;
	if (result->reply->type != SHARD_REPLY_INTEGER || result->reply->integer <= 0) {
		op_error(op, ENOENT);
		return;
	}
	snprintf(count, sizeof(count), "%lld", result->reply->integer);
	submit_slot((struct search *)op, "GETKEYSINSLOT", count, keys_came);
}

static void batch_came(void *ctx, const shard_scan_batch *batch)
{
	struct search *search = ctx;

	if (search->op.req && !batch->error && !found_among(search, batch->keys, batch->count) && !batch->done &&
	    shard_scan_next(search->scan, batch_came, search) == SHARD_OK)
		return;
	op_error(&search->op, batch->error ? errors_of_code(batch->error) : ENOENT);
	op_drop(&search->op);
}

static void scan_all(struct search *search)
{
	shard_scan_options how = {.duplicates = true};

	search->scan = shard_scan_create(fs_client(search->op.fs), &how);
	if (search->scan && shard_scan_next(search->scan, batch_came, search) == SHARD_OK)
		op_hold(&search->op);
	else
		op_error(&search->op, ENOMEM);
}

static void start(struct search *search)
{
	shard_topology *topology = shard_client_topology(fs_client(search->op.fs));
	int owner = topology ? shard_topology_owner(topology, search->name.slot) : -1;

	if (topology && !shard_topology_has_slots(topology)) {
		scan_all(search);
		return;
	}
	if (owner < 0) {
		op_error(&search->op, EHOSTUNREACH);
		return;
	}
	search->topology = shard_topology_ref(topology);
	search->node = shard_topology_node(topology, (size_t)owner)->addr;
	submit_slot(search, "COUNTKEYSINSLOT", NULL, count_came);
}

void longname_look_up(fuse_req_t req, const struct name *name,
		      void (*then)(fuse_req_t req, const char *key, size_t len))
{
	struct inode *inode = inode_find_hashed(&fs_of(req)->inodes, name);

	if (inode) {
		then(req, inode->key, inode->key_len);
		return;
	}
	struct search *search = op_create(req, sizeof(*search), NULL, "", 0);
	if (!search)
		return;
	search->op.finish = finish;
	search->name = *name;
	search->then = then;
	start(search);
	op_drop(&search->op);
}
