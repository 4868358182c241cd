/* SPDX-License-Identifier: MIT */
/*
 * What is done with which command. A command without a line here is sent where the library's table says; one that
 * neither knows, to a server, which answers that it does not know it.
 */
#include "command.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "command_stats.h"
#include "local.h"
#include "log.h"
#include "options.h"
#include "proxy.h"
#include "transaction.h"
#include "worker.h"

/* clang-format off */
static struct command commands[] = {
/* ---- as nutcracker knows them: how many words they have at least and at most (0: any number) ---- */
#define ONE(name) {name, forward, 2, 2, RULE_FIRST_KEY, 0},
#define TWO(name) {name, forward, 3, 3, RULE_FIRST_KEY, 0},
#define THREE(name) {name, forward, 4, 4, RULE_FIRST_KEY, 0},
#define FOUR(name) {name, forward, 5, 5, RULE_FIRST_KEY, 0},
#define ANY(name) {name, forward, 2, 0, RULE_FIRST_KEY, 0},
	ONE("persist") ONE("pttl") ONE("ttl") ONE("type") ONE("dump") ONE("decr") ONE("get") ONE("getdel") ONE("incr")
	ONE("strlen") ONE("hgetall") ONE("hkeys") ONE("hlen") ONE("hvals") ONE("llen") ONE("scard") ONE("smembers")
	ONE("zcard")
	TWO("expire") TWO("pexpire") TWO("expireat") TWO("pexpireat") TWO("append") TWO("decrby") TWO("getbit")
	TWO("getset") TWO("incrby") TWO("incrbyfloat") TWO("setnx") TWO("hexists") TWO("hget") TWO("hstrlen")
	TWO("lindex") TWO("rpoplpush") TWO("sismember") TWO("zrank") TWO("zrevrank") TWO("zscore")
	THREE("getrange") THREE("setex") THREE("psetex") THREE("setbit") THREE("setrange") THREE("hincrby")
	THREE("hincrbyfloat") THREE("hsetnx") THREE("lrange") THREE("lrem") THREE("lset") THREE("ltrim") THREE("smove")
	THREE("zcount") THREE("zlexcount") THREE("zincrby") THREE("zremrangebylex") THREE("zremrangebyrank")
	THREE("zremrangebyscore")
	FOUR("linsert") FOUR("lmove")
	ANY("sort") ANY("copy") ANY("bitcount") ANY("bitpos") ANY("bitfield") ANY("exists") ANY("getex") ANY("set")
	ANY("hdel") ANY("hmget") ANY("hmset") ANY("hscan") ANY("hset") ANY("hrandfield") ANY("lpush") ANY("lpushx")
	ANY("rpush") ANY("rpushx") ANY("lpop") ANY("rpop") ANY("lpos") ANY("sadd") ANY("srem") ANY("sdiff")
	ANY("sdiffstore") ANY("sinter") ANY("sinterstore") ANY("sunion") ANY("sunionstore") ANY("srandmember")
	ANY("sscan") ANY("spop") ANY("smismember") ANY("pfadd") ANY("pfcount") ANY("pfmerge") ANY("zadd")
	ANY("zinterstore") ANY("zunionstore") ANY("zdiffstore") ANY("zmscore") ANY("zpopmin") ANY("zpopmax")
	ANY("zrandmember") ANY("zrange") ANY("zrangebylex") ANY("zrangebyscore") ANY("zrangestore") ANY("zrem")
	ANY("zrevrange") ANY("zrevrangebylex") ANY("zrevrangebyscore") ANY("zscan") ANY("geoadd") ANY("geodist")
	ANY("geohash") ANY("geopos") ANY("georadius") ANY("georadiusbymember") ANY("geosearch") ANY("geosearchstore")
	ANY("restore")
	{"zdiff", forward, 2, 0, RULE_KEYS, 0}, {"zinter", forward, 2, 0, RULE_KEYS, 0},
	{"zunion", forward, 2, 0, RULE_KEYS, 0},
	{"eval", forward, 4, 0, RULE_KEYS, 0}, {"evalsha", forward, 4, 0, RULE_KEYS, 0},
	{"mget", forward, 2, 0, RULE_SPLIT, 0}, {"del", forward, 2, 0, RULE_SPLIT, 0},
	{"unlink", forward, 2, 0, RULE_SPLIT, 0}, {"touch", forward, 2, 0, RULE_SPLIT, 0},
	{"mset", forward, 3, 0, RULE_PAIRS, 0},

/* ---- what rproxy answers; -1 words: nutcracker does not know it ---- */
	{"ping", local_ping, 1, 1, RULE_LOCAL, 0},
	{"quit", local_quit, 1, 1, RULE_BEFORE_AUTH, 0},
	{"auth", local_auth, 2, 2, RULE_BEFORE_AUTH, 0},
	{"post", local_http, -1, 0, RULE_BEFORE_AUTH, 0},
	{"host:", local_http, -1, 0, RULE_BEFORE_AUTH, 0},
	{"echo", local_echo, -1, 0, RULE_LOCAL, 0},
	{"hello", local_hello, -1, 0, RULE_BEFORE_AUTH, 0},
	{"select", local_select, -1, 0, RULE_LOCAL, 0},
	{"client", local_client, -1, 0, RULE_LOCAL, 0},
	{"command", local_command, 1, 1, RULE_LOCAL, 0},
	{"info", local_info, -1, 0, RULE_LOCAL, 0},
	{"reset", local_reset, -1, 0, RULE_BEFORE_AUTH, 0},
	{"scan", local_scan, -1, 0, RULE_LOCAL, 0},
	{"keys", local_keys, -1, 0, RULE_LOCAL, 0},
	{"dbsize", forward, -1, 0, RULE_KEYS, 0},
	{"time", forward, -1, 0, RULE_KEYS, 0},
	{"lolwut", forward, -1, 0, RULE_KEYS, 0},
	{"randomkey", forward, -1, 0, RULE_KEYS, 0},
	{"script", forward, -1, 0, RULE_KEYS, 0},
	{"function", forward, -1, 0, RULE_KEYS, 0},
	{"publish", forward, -1, 0, RULE_KEYS, 0},
	{"flushdb", local_flush, -1, 0, RULE_KEYS, 0},
	{"flushall", local_flush, -1, 0, RULE_KEYS, 0},
	{"multi", transaction_multi, -1, 0, RULE_LOCAL, 0},
	{"exec", transaction_exec, -1, 0, RULE_LOCAL, 0},
	{"discard", transaction_discard, -1, 0, RULE_LOCAL, 0},
	{"unwatch", transaction_unwatch, -1, 0, RULE_LOCAL, 0},
};
/* clang-format on */

#define COMMANDS (sizeof(commands) / sizeof(commands[0]))

/* Everything else. */
struct command command_other = {"other", forward, -1, 0, RULE_KEYS, 0};

size_t command_count(void)
{
	return COMMANDS + 1;
}

const char *command_name(size_t stat)
{
	return stat < COMMANDS ? commands[stat].name : command_other.name;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct command *)a)->name, ((const struct command *)b)->name);
}

void command_init(void)
{
	qsort(commands, COMMANDS, sizeof(commands[0]), by_name);
	for (size_t i = 0; i < COMMANDS; i++)
		commands[i].stat = (uint16_t)i;
	command_other.stat = COMMANDS;
}

static const struct command *look_up(const char *name, size_t len)
{
	size_t low = 0, high = COMMANDS;

	while (low < high) {
		size_t middle = (low + high) / 2;
		const char *other = commands[middle].name;
		size_t other_len = strlen(other);
		int order = strncasecmp(name, other, len < other_len ? len : other_len);

		if (!order && len != other_len) /* a NUL in NAME ends no name */
			order = len < other_len ? -1 : 1;
		if (!order)
			return &commands[middle];
		if (order < 0)
			high = middle;
		else
			low = middle + 1;
	}
	return &command_other;
}

/* The few that a client uses are found by their length and ends. */
static const struct command *find(struct worker *worker, const char *name, size_t len)
{
	unsigned place;
	const struct command *known;

	if (!len)
		return &command_other;
	place = ((unsigned)(len * 7) + (name[0] & 31u) * 3 + (name[len - 1] & 31u)) % 64;
	known = worker->recent[place];
	if (known && strlen(known->name) == len && !strncasecmp(name, known->name, len))
		return known;
	known = look_up(name, len);
	if (known != &command_other)
		worker->recent[place] = known;
	return known;
}

/* Whether nutcracker takes such a line. */
static bool strict_takes(const struct command *command, size_t count)
{
	if (command->min < 0 || count < (size_t)command->min || (command->max && count > (size_t)command->max))
		return false;
	return command->rule != RULE_PAIRS || count % 2;
}

bool command_handle(struct session *session, struct words *words)
{
	const struct command *command = find(session->service->worker, words->argv[0], words->len[0]);
	struct query *query;

	if (session->service->config->strict) {
		if (!strict_takes(command, words->count) || command->handle == local_quit)
			return command->handle == local_quit && local_strict_quit(session);
	}
	query = query_create(session, command);
	if (!query)
		return false;
	if (!session->authed && command->rule != RULE_BEFORE_AUTH)
		query_error(query, "NOAUTH Authentication required%s",
			      session->service->config->strict ? "" : ".");
	else if (session->block && transaction_takes(query, words))
		return true;
	else
		command->handle(query, words);
	return true;
}

void command_stats(const struct query *query)
{
	uint64_t now = worker_now(query->service->worker), took = now - query->start;

	histogram_add(&query->service->latency[query->command->stat], took);
	if (options.slow_ms && took > options.slow_ms * 1000ull)
		log_warn("slow: pool %s: %s took %.3f ms (client %llu)", query->service->config->name,
			 query->command->name, (double)took / 1000,
			 query->session ? (unsigned long long)query->session->id : 0);
}
