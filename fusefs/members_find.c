/* SPDX-License-Identifier: MIT */
#include "members.h"

#include <errno.h>
#include <string.h>

#include "members_kept.h"
#include "type.h"

struct search {
	struct op op;
	struct name name;
	void (*then)(fuse_req_t req, struct inode *dir, const char *member, size_t len);
};

static bool found_among(struct search *search, const shard_reply *members)
{
	unsigned step = type_of_op(&search->op)->scan_step;

	for (size_t i = 0; i + step <= members->len; i += step) {
		const shard_reply *member = &members->element[i];
		if (!name_matches(&search->name, member->str, member->len))
			continue;
		fuse_req_t req = op_answer(&search->op);
		if (req) {
			fuse_req_interrupt_func(req, NULL, NULL);
			search->then(req, search->op.inode, member->str, member->len);
		}
		return true;
	}
	return false;
}

static void candidates_came(struct op *op, const shard_result *result)
{
	struct search *search = (struct search *)op;
	char cursor[24];

	if (op_failed(op, result))
		return;
	const shard_reply *members = members_scanned(result->reply, cursor);
	if (!members)
		op_error(op, EIO);
	else if (found_among(search, members))
		return;
	else if (!strcmp(cursor, "0"))
		op_error(op, ENOENT);
	else if (op->req)
		members_submit_scan(op, op->inode, cursor, candidates_came);
}

void members_find_hashed(fuse_req_t req, struct inode *dir, const struct name *name,
			 void (*then)(fuse_req_t req, struct inode *dir, const char *member, size_t len))
{
	const struct inode *child = dir->children;

	while (child && (child->gone || !name_matches(name, child->member, child->member_len)))
		child = child->older_sibling;
	if (child) {
		then(req, dir, child->member, child->member_len);
		return;
	}
	struct search *search = op_create(req, sizeof(*search), dir, NULL, 0);
	if (!search)
		return;
	search->name = *name;
	search->then = then;
	members_submit_scan(&search->op, dir, "0", candidates_came);
	op_drop(&search->op);
}
