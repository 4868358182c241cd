/* SPDX-License-Identifier: MIT */
#include "type.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "errors.h"

/* get(m): the value, or false. put(m, v): nil, or an error. del(m), left(): see TYPE_REMOVE. */

#define KEY "local k = KEYS[1]\n"

#define HASH_FUNCTIONS                                                                                                 \
	KEY "local function get(m) return redis.call('HGET', k, m) end\n"                                              \
	    "local function put(m, v) redis.call('HSET', k, m, v) end\n"                                               \
	    "local function del(m) return redis.call('HDEL', k, m) end\n"                                              \
	    "local function left() return redis.call('HLEN', k) end\n"

#define SET_FUNCTIONS                                                                                                  \
	KEY "local function get(m) return redis.call('SISMEMBER', k, m) == 1 and '' end\n"                             \
	    "local function put(m, v) redis.call('SADD', k, m) end\n"                                                  \
	    "local function del(m) return redis.call('SREM', k, m) end\n"                                              \
	    "local function left() return redis.call('SCARD', k) end\n"

/* No text at all is the score 0. */
#define ZSET_FUNCTIONS                                                                                                 \
	KEY "local function get(m)\n"                                                                                  \
	    "  local s = redis.call('ZSCORE', k, m)\n"                                                                 \
	    "  return s and s .. '\\n'\n"                                                                              \
	    "end\n"                                                                                                    \
	    "local function put(m, v)\n"                                                                               \
	    "  v = string.match(v, '^%s*(.-)%s*$')\n"                                                                  \
	    "  redis.call('ZADD', k, v == '' and '0' or v, m)\n"                                                       \
	    "end\n"                                                                                                    \
	    "local function del(m) return redis.call('ZREM', k, m) end\n"                                              \
	    "local function left() return redis.call('ZCARD', k) end\n"

/* The elements keep their numbers when the last one goes; when the first does, all move. */
#define LIST_FUNCTIONS                                                                                                 \
	KEY "local function get(m) return redis.call('LINDEX', k, m) end\n"                                            \
	    "local function put(m, v)\n"                                                                               \
	    "  local i, n = tonumber(m), redis.call('LLEN', k)\n"                                                      \
	    "  if i > n then return redis.error_reply('ERR index out of range') end\n"                                 \
	    "  if i < n then redis.call('LSET', k, m, v) else redis.call('RPUSH', k, v) end\n"                         \
	    "end\n"                                                                                                    \
	    "local function del(m)\n"                                                                                  \
	    "  local i, n = tonumber(m), redis.call('LLEN', k)\n"                                                      \
	    "  if i >= n then return 0 end\n"                                                                          \
	    "  if i > 0 and i < n - 1 then return -1 end\n"                                                            \
	    "  redis.call(i == n - 1 and 'RPOP' or 'LPOP', k)\n"                                                       \
	    "  return 1\n"                                                                                             \
	    "end\n"                                                                                                    \
	    "local function left() return redis.call('LLEN', k) end\n"

#define SCRIPTS(FUNCTIONS)                                                                                             \
	{                                                                                                              \
		[TYPE_SET] = FUNCTIONS "return put(ARGV[1], ARGV[2]) or 1\n",                                          \
		[TYPE_MAKE] = FUNCTIONS "if get(ARGV[1]) then return 0 end\n"                                          \
					"return put(ARGV[1], ARGV[2]) or 1\n",                                         \
		[TYPE_APPEND] = FUNCTIONS "return put(ARGV[1], (get(ARGV[1]) or '') .. ARGV[2]) or 1\n",               \
		[TYPE_RANGE] = FUNCTIONS "local v, at, bytes = get(ARGV[1]), tonumber(ARGV[2]), ARGV[3]\n"             \
					 "if not v then return false end\n"                                            \
					 "v = v .. string.rep('\\0', at - #v)\n"                                       \
					 "v = string.sub(v, 1, at) .. bytes .. string.sub(v, at + #bytes + 1)\n"       \
					 "return put(ARGV[1], v) or 1\n",                                              \
		[TYPE_CUT] = FUNCTIONS "local v, size = get(ARGV[1]), tonumber(ARGV[2])\n"                             \
				       "if not v then return false end\n"                                              \
				       "v = string.sub(v, 1, size) .. string.rep('\\0', size - #v)\n"                  \
				       "return put(ARGV[1], v) or 1\n",                                                \
		[TYPE_REMOVE] = FUNCTIONS "return {del(ARGV[1]), left()}\n",                                           \
		[TYPE_MOVE] = FUNCTIONS "local v = get(ARGV[1])\n"                                                     \
					"if not v then return 0 end\n"                                                 \
					"if ARGV[3] == '1' and get(ARGV[2]) then return -1 end\n"                      \
					"put(ARGV[2], v)\n"                                                            \
					"del(ARGV[1])\n"                                                               \
					"return 1\n",                                                                  \
	}

static const struct type types[KIND_COUNT] = {
	[KIND_HASH] = {.name = "hash",
		       .member = KIND_MEMBER,
		       .get = "HGET",
		       .set = "HSET",
		       .exists = "HEXISTS",
		       .length = "HSTRLEN",
		       .scan = "HSCAN",
		       .scan_step = 2,
		       .script = SCRIPTS(HASH_FUNCTIONS)},
	[KIND_LIST] = {.name = "list",
		       .member = KIND_MEMBER,
		       .numbered = true,
		       .special = "%push",
		       .special_kind = KIND_PUSH,
		       .get = "LINDEX",
		       .script = SCRIPTS(LIST_FUNCTIONS)},
	[KIND_SET] = {.name = "set",
		      .member = KIND_TOKEN,
		      .get = "SISMEMBER",
		      .scan = "SSCAN",
		      .scan_step = 1,
		      .script = SCRIPTS(SET_FUNCTIONS)},
	[KIND_ZSET] = {.name = "zset",
		       .member = KIND_MEMBER,
		       .get = "ZSCORE",
		       .score = true,
		       .scan = "ZSCAN",
		       .scan_step = 2,
		       .script = SCRIPTS(ZSET_FUNCTIONS)},
	[KIND_STREAM] = {.name = "stream",
			 .special = "%log",
			 .special_kind = KIND_LOG,
			 .script = {[TYPE_REMOVE] = "redis.call('XLEN', KEYS[1])\n" /* another type is refused */
						    "return {redis.call('UNLINK', KEYS[1]), 0}\n"}},
};

const struct type *type_of(enum kind kind)
{
	return types[kind].name ? &types[kind] : NULL;
}

const struct type *type_of_op(const struct op *op)
{
	return type_of(op->inode->parent ? op->inode->parent->kind : op->inode->kind);
}

/* As printf() writes it, and no larger than an index can be. */
static bool is_number(const char *text, size_t len)
{
	if (!len || len > 10 || (len > 1 && text[0] == '0'))
		return false;
	return strspn(text, "0123456789") >= len;
}

enum kind type_kind_of(const struct type *type, const char *name, const struct name *decoded, const char *member)
{
	if (decoded->kind == NAME_RESERVED && type->special && strcmp(name, type->special) == 0)
		return type->special_kind;
	if (decoded->kind != NAME_KEY || (type->numbered && !is_number(member, decoded->key_len)))
		return KIND_NONE;
	return type->member;
}

void type_words(struct words *words, enum type_script script, const struct inode *dir, const char *member,
		size_t member_len)
{
	words_text(words, "EVAL");
	words_text(words, type_of(dir->kind)->script[script]);
	words_text(words, "1");
	words_add(words, dir->key, dir->key_len);
	words_add(words, member, member_len);
}

void type_words_of_op(struct words *words, enum type_script script, const struct op *op)
{
	const struct inode *dir = op->inode->parent ? op->inode->parent : op->inode;

	type_words(words, script, dir, op->member, op->member_len);
}

struct buffer *type_value(const struct type *type, const shard_reply *reply)
{
	struct buffer *value = buffer_create(reply->str, reply->len);

	if (value && type->score && buffer_write(value, reply->len, "\n", 1)) {
		buffer_unref(value);
		return NULL;
	}
	return value;
}

/* ---- a look at a member ---- */

static int take_value(const struct type *type, const shard_reply *reply, struct sight *sight)
{
	if (reply->type == SHARD_REPLY_NIL || (reply->type == SHARD_REPLY_INTEGER && !reply->integer))
		return 0;
	sight->kind = type->member;
	if (reply->type != SHARD_REPLY_STRING)
		return 0;
	sight->start = type_value(type, reply);
	if (!sight->start)
		return ENOMEM;
	sight->size = buffer_size(sight->start);
	sight->whole = true;
	return 0;
}

/* Of `exists` and `length`. */
static int take_length(const struct type *type, const shard_reply *reply, struct sight *sight)
{
	if (reply->len != 2)
		return EIO;
	for (size_t i = 0; i < 2; i++)
		if (reply->element[i].type != SHARD_REPLY_INTEGER)
			return reply->element[i].type == SHARD_REPLY_ERROR ? errors_of_reply(&reply->element[i]) : EIO;
	if (reply->element[0].integer)
		sight->kind = type->member;
	sight->size = (size_t)reply->element[1].integer;
	return 0;
}

static void looked(struct op *op, const shard_result *result)
{
	const struct type *type = type_of_op(op);
	struct sight *sight = &op->probe.sight;
	int error = errors_of_result(result);

	probe_finish(op);
	cache_look_came(op->fs, &op->probe.look, op->key, op->key_len, result->node);
	if (!error && result->reply->type == SHARD_REPLY_ARRAY)
		error = take_length(type, result->reply, sight);
	else if (!error)
		error = take_value(type, result->reply, sight);
	probe_date(op);
	op->probe.done(op, error);
}

static void add_command(struct words *words, const char *command, const struct op *op)
{
	words_text(words, command);
	words_key(words, op);
	words_member(words, op);
}

void type_look(struct op *op)
{
	const struct type *type = type_of_op(op);
	struct words words[2] = {0};

	cache_look_begins(op->fs, &op->probe.look, op->key, op->key_len);
	if (type->length && !op->probe.alone) {
		add_command(&words[0], type->exists, op);
		add_command(&words[1], type->length, op);
		op_submit_multi(op, 2, words, looked);
	} else {
		add_command(&words[0], type->get, op);
		op_submit(op, words, NULL, looked);
	}
}
