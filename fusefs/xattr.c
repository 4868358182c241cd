/* SPDX-License-Identifier: MIT */
/*
 * Extended attributes: user.redis.{ttl,type,encoding,slot,node}. They are
 * shown by name only: a copy must not carry them elsewhere.
 */
#include "ops.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/xattr.h>
#include <string.h>

#include <shard/slot.h>

#define PREFIX "user.redis."

struct query {
	struct op op;
	size_t size;
};

static void reply_text(fuse_req_t req, const char *text, size_t len, size_t size)
{
	if (!size)
		fuse_reply_xattr(req, len);
	else if (size < len)
		fuse_reply_err(req, ERANGE);
	else
		fuse_reply_buf(req, text, len);
}

static void text_came(struct op *op, const shard_result *result)
{
	const shard_reply *reply = result->reply;

	if (op_failed(op, result))
		return;
	if ((reply->type != SHARD_REPLY_STATUS && reply->type != SHARD_REPLY_STRING) || shard_reply_is(reply, "none"))
		op_error(op, ENOENT);
	else if (op->req)
		reply_text(op_answer(op), reply->str, reply->len, ((struct query *)op)->size);
}

static void ttl_came(struct op *op, const shard_result *result)
{
	char text[24];

	if (op_failed(op, result))
		return;
	if (result->reply->type != SHARD_REPLY_INTEGER || result->reply->integer == -2) {
		op_error(op, ENOENT);
	} else if (op->req) {
		int len = snprintf(text, sizeof(text), "%lld", result->reply->integer);
		reply_text(op_answer(op), text, (size_t)len, ((struct query *)op)->size);
	}
}

static void submit_ttl(struct op *op)
{
	op_submit_key(op, "TTL", ttl_came);
}

static void submit_type(struct op *op)
{
	op_submit_key(op, "TYPE", text_came);
}

static void submit_encoding(struct op *op)
{
	struct words words = {0};

	words_text(&words, "OBJECT");
	words_text(&words, "ENCODING");
	words_key(&words, op);
	op_submit(op, &words, NULL, text_came);
}

static void reply_slot(struct op *op)
{
	shard_topology *map = shard_client_topology(fs_client(op->fs));
	char text[8];

	if (map && shard_topology_is_pool(map)) {
		op_error(op, ENODATA);
		return;
	}
	int len = snprintf(text, sizeof(text), "%u", shard_slot(op->key, op->key_len));

	reply_text(op_answer(op), text, (size_t)len, ((struct query *)op)->size);
}

static void reply_node(struct op *op)
{
	const char *addr = shard_client_node_of(fs_client(op->fs), op->key, op->key_len);

	if (addr)
		reply_text(op_answer(op), addr, strlen(addr), ((struct query *)op)->size);
	else
		op_error(op, ENODATA);
}

static const struct {
	const char *name;
	void (*get)(struct op *op);
} attributes[] = {
	{"ttl", submit_ttl},  {"type", submit_type}, {"encoding", submit_encoding},
	{"slot", reply_slot}, {"node", reply_node},
};

static int find(const char *name)
{
	size_t prefix = strlen(PREFIX);

	if (strncmp(name, PREFIX, prefix) != 0)
		return -1;
	for (size_t i = 0; i < sizeof(attributes) / sizeof(*attributes); i++)
		if (strcmp(name + prefix, attributes[i].name) == 0)
			return (int)i;
	return -1;
}

void xattr_none(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size)
{
	fuse_reply_err(req, strncmp(name, "user.", 5) == 0 ? ENODATA : EOPNOTSUPP);
}

void xattr_get(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size)
{
	int i = ino == FUSE_ROOT_ID ? -1 : find(name);

	if (i < 0) {
		/* Not ENODATA for what the kernel and ls ask for: they would ask again for every file. */
		fuse_reply_err(req, strncmp(name, "user.", 5) == 0 ? ENODATA : EOPNOTSUPP);
		return;
	}
	struct query *query = op_create(req, sizeof(*query), fs_inode(fs_of(req), ino), NULL, 0);
	if (!query)
		return;
	query->size = size;
	if (inode_in_memory(query->op.inode))
		op_error(&query->op, ENODATA);
	else
		attributes[i].get(&query->op);
	op_drop(&query->op);
}

/* ---- the expiry ---- */

#define TTL_MAX 1000000000000

struct expiry {
	struct op op;
	long long seconds; /* -1: none */
};

static void expiry_set(struct op *op, const shard_result *result)
{
	if (op_failed(op, result))
		return;
	/* PERSIST says 0 of a key that has no expiry, too. */
	bool there = result->reply->type == SHARD_REPLY_INTEGER &&
		     (result->reply->integer || ((struct expiry *)op)->seconds < 0);
	cache_wrote(op->fs, op->key, op->key_len);
	op_error(op, there ? 0 : ENOENT);
}

static void stored(struct op *op, int error)
{
	struct expiry *expiry = (struct expiry *)op;
	struct words words = {0};
	char seconds[24];

	if (error || inode_in_memory(op->inode)) {
		op_error(op, error ? error : ESTALE);
		return;
	}
	if (expiry->seconds < 0) {
		op_submit_key(op, "PERSIST", expiry_set);
		return;
	}
	snprintf(seconds, sizeof(seconds), "%lld", expiry->seconds);
	words_text(&words, "EXPIRE");
	words_key(&words, op);
	words_text(&words, seconds);
	op_submit(op, &words, NULL, expiry_set);
}

static void set_expiry(fuse_req_t req, fuse_ino_t ino, long long seconds)
{
	struct expiry *expiry = op_create(req, sizeof(*expiry), fs_inode(fs_of(req), ino), NULL, 0);

	if (!expiry)
		return;
	expiry->op.keeps_on = true;
	expiry->seconds = seconds;
	pending_publish(expiry->op.inode, &expiry->op, stored);
	op_drop(&expiry->op);
}

/* Seconds from 1 on, or -1. */
static bool parse_seconds(const char *value, size_t size, long long *seconds)
{
	char text[16], *end;

	if (!size || size >= sizeof(text))
		return false;
	memcpy(text, value, size);
	text[size] = '\0';
	if (text[size - 1] == '\n')
		text[--size] = '\0';
	*seconds = strtoll(text, &end, 10);
	return size && end == text + size && text[0] != ' ' && text[0] != '+' &&
	       (*seconds == -1 || (*seconds > 0 && *seconds <= TTL_MAX));
}

static bool is_ttl(const char *name)
{
	return strcmp(name, PREFIX "ttl") == 0;
}

void xattr_set(fuse_req_t req, fuse_ino_t ino, const char *name, const char *value, size_t size, int flags)
{
	long long seconds;

	if (ino == FUSE_ROOT_ID || find(name) < 0)
		fuse_reply_err(req, EOPNOTSUPP);
	else if (!is_ttl(name))
		fuse_reply_err(req, EPERM);
	else if (flags & XATTR_CREATE)
		fuse_reply_err(req, EEXIST);
	else if (!parse_seconds(value, size, &seconds))
		fuse_reply_err(req, EINVAL);
	else
		set_expiry(req, ino, seconds);
}

void xattr_remove(fuse_req_t req, fuse_ino_t ino, const char *name)
{
	if (ino == FUSE_ROOT_ID || find(name) < 0)
		fuse_reply_err(req, EOPNOTSUPP);
	else if (!is_ttl(name))
		fuse_reply_err(req, EPERM);
	else
		set_expiry(req, ino, -1);
}

void xattr_list(fuse_req_t req, fuse_ino_t ino, size_t size)
{
	reply_text(req, "", 0, size);
}
