/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "command_line.h"

/* ---- twice ---- */

static bool is_idempotent(const char *text)
{
	struct line line = line_split(text);
	const shard_command *command = shard_command_find(ARGS(&line));
	assert_non_null(command);
	bool result = shard_command_idempotent(command, ARGS(&line));
	line_drop(&line);
	return result;
}

/* LINES: command lines, each but the last one ended by "; ". */
static void check_each(const char *lines, bool wanted)
{
	char text[128];
	while (*lines) {
		size_t len = strcspn(lines, ";");
		assert_true(len < sizeof(text));
		memcpy(text, lines, len);
		text[len] = '\0';
		if (is_idempotent(text) != wanted)
			fail_msg("%s: %s", text, wanted ? "not idempotent" : "idempotent");
		lines += len + strspn(lines + len, "; ");
	}
}

static void these_may_be_sent_twice(void **state)
{
	static const char lines[] =
		"GET k; XREAD BLOCK 0 STREAMS k 0; EVAL_RO x 0; PING; INFO; CONFIG GET *; CONFIG SET a b; "
		"SET k v; SET k v EX 10; set k v px 10 keepttl; SET k v EXAT 1; SET k nx; SETEX k 1 v; "
		"PSETEX k 1 v; MSET a 1; HMSET h f v; LSET l 0 v; SETRANGE k 1 v; EXPIRE k 10; "
		"PEXPIREAT k 9999999999999; GETEX k; GETEX k PERSIST; GETEX k EX 10; RESTORE k 0 x REPLACE; "
		"RESTORE k 0 x ABSTTL replace; COPY a b REPLACE; FUNCTION LOAD REPLACE x; FLUSHALL; "
		"SCRIPT LOAD x; SORT k; GEORADIUS k 0 0 1 km; BITFIELD k GET u8 0; SUNIONSTORE d a b; "
		"ZINTERSTORE d 2 a b; BITOP OR d a; ZRANGESTORE d s 0 1; PFMERGE d a; CLUSTER SETSLOT 1 STABLE; "
		"COMMAND";
	check_each(lines, true);
}

static void these_may_not(void **state)
{
	static const char lines[] =
		"INCR k; INCRBY k 1; DECR k; INCRBYFLOAT k 1; HINCRBY h f 1; ZINCRBY z 1 m; APPEND k v; "
		"LPUSH l v; RPUSH l v; LPOP l; RPOP l; SPOP s; BLPOP l 0; LMOVE a b LEFT LEFT; DEL k; UNLINK k; "
		"RENAME a b; GETSET k v; GETDEL k; SADD s m; SREM s m; HSET h f v; HDEL h f; ZADD z 1 m; "
		"XADD x * f v; SETNX k v; MSETNX k v; SET k v NX; SET k v xx; SET k v GET; SET k v EX 10 NX; "
		"SET k v IFEQ w; SET k v nonesuch; EXPIRE k -1; EXPIRE k 0; EXPIRE k 10 NX; EXPIRE k \"\"; "
		"GETEX k EXAT 1; GETEX k PXAT 1; PERSIST k; RESTORE k 0 replace; COPY replace b; COPY a replace; "
		"FUNCTION LOAD replace; SORT k STORE d; GEORADIUS k 0 0 1 km STORE d; BITFIELD k INCRBY u8 0 1; "
		"BITFIELD k get u8 0 set u8 0 1; SETBIT k 0 1; SUNIONSTORE d a d; ZUNIONSTORE d 2 a d; "
		"ZUNIONSTORE d x a; BITOP NOT d d; EVAL x 0; FCALL f 0; PUBLISH c m; SPUBLISH c m; SWAPDB 0 1; "
		"LTRIM l 1 2; LREM l 0 v; LINSERT l BEFORE a b; CLUSTER ADDSLOTS 1; CLUSTER FAILOVER; CLUSTER; "
		"CONFIG nonesuch; SHUTDOWN; DELIFEQ k v; MIGRATE h 1 k 0 5";
	check_each(lines, false);
}

/* ---- waiting ---- */

static void a_time_out_is_read_from_the_line(void **state)
{
	static const struct {
		const char *line;
		long long ms; /* -1: does not wait */
	} cases[] = {
		{"GET k", -1},
		{"CONFIG", -1},
		{"BLPOP a b 2", 2000},
		{"BLPOP a 0", 0},
		{"BRPOP a 0.5", 500},
		{"BRPOP a .5", 500},
		{"BRPOP a 1.", 1000},
		{"BZPOPMIN a 0.0001", 1},
		{"BZPOPMAX a 1.00000001", 1001},
		{"BZPOPMAX a 1.2340", 1234},
		{"BLMOVE a b LEFT RIGHT 3", 3000},
		{"BRPOPLPUSH a b 4", 4000},
		{"BLMPOP 1.5 1 a LEFT", 1500},
		{"BZMPOP 0 1 a MIN", 0},
		{"XREAD STREAMS a 0", -1},
		{"XREAD COUNT 1 STREAMS block 0", -1},
		{"XREAD BLOCK 0 STREAMS a 0", 0},
		{"XREAD COUNT 1 block 250 STREAMS a 0", 250},
		{"XREADGROUP GROUP BLOCK c STREAMS a >", -1},
		{"XREADGROUP GROUP g c BLOCK 10 STREAMS a >", 10},
		{"WAIT 1 100", 100},
		{"WAIT 1 0", 0},
		{"WAITAOF 1 1 100", 100},
		{"BLPOP a 1e1", 10000},
		{"BLPOP a 1.5E-1", 150},
		{"BLPOP a 25e+2", 2500000},
		{"BLPOP a 1e-9", 1},
		{"BLPOP a 0e9", 0},
		/* what cannot be read */
		{"BLPOP a", 1},
		{"BLPOP", 1},
		{"BLMPOP", 1},
		{"BLPOP a -1", 1},
		{"BLPOP a abc", 1},
		{"BLPOP a 1.2.3", 1},
		{"BLPOP a .", 1},
		{"BLPOP a 1e", 1},
		{"BLPOP a e5", 1},
		{"BLPOP a inf", 1},
		{"BLPOP a \"\"", 1},
		{"XREAD BLOCK x STREAMS a 0", 1},
		{"XREAD BLOCK", -1},
		/* no overflow */
		{"BLPOP a 99999999999999999999999999999999", 1ll << 53},
		{"BLPOP a 9007199254740992", 1ll << 53},
		{"BLPOP a 0.99999999999999999999999999999999", 1000},
		{"WAIT 1 9223372036854775808", 1ll << 53},
		{"BLPOP a 1e999999999999", 1ll << 53},
		{"BLPOP a 1e-999999999999", 1},
		{"BLPOP a 100000000000000000000000000000e-28", 10000},
	};
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct line line = line_split(cases[i].line);
		const shard_command *command = shard_command_find(ARGS(&line));
		long long ms = 99;
		bool blocks = shard_command_blocks(command, ARGS(&line), &ms);
		if (blocks != (cases[i].ms >= 0) || ms != (cases[i].ms < 0 ? 0 : cases[i].ms))
			fail_msg("%s: %d, %lld ms", cases[i].line, blocks, ms);
		assert_int_equal(shard_command_blocks(command, ARGS(&line), NULL), blocks);
		line_drop(&line);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(these_may_be_sent_twice),
		cmocka_unit_test(these_may_not),
		cmocka_unit_test(a_time_out_is_read_from_the_line),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
