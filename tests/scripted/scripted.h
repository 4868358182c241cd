/* SPDX-License-Identifier: MIT */
/*
 * Scripted nodes: a test is a dialogue. Fake nodes listen on free loopback
 * ports in this process; the test says what each must hear and what it answers:
 *
 *	start("0-8191 n0; 8192-16383 n1");
 *	struct ask *get = ask("GET", "foo");
 *	expect(n1, "GET", "foo");
 *	say(n1, "-MOVED 12182 127.0.0.1:%d\r\n", port(n2));
 *	expect(n2, "GET", "foo");
 *	say(n2, "$3\r\nbar\r\n");
 *	want_string(get, "bar");
 *
 * One thread: whatever waits (expect, want, until) runs the client, watched by
 * its one descriptor in poll(), and the nodes, until it is met or its deadline
 * passes; then the test fails with what was expected, what came, and the
 * transcript. Slots of the keys that tests use: b 3300, bar 5061, c 7365,
 * d 11298, foo 12182, a 15495.
 */
#ifndef SCRIPTED_H
#define SCRIPTED_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <shard/shard.h>

#define NODES 6
/* Masters of two halves: b, bar, c live on n0; d, foo, a on n1. */
#define TWO "0-8191 n0; 8192-16383 n1"
/* The same with two replicas each. */
#define TWO_WITH_REPLICAS "0-8191 n0 n2 n3; 8192-16383 n1 n4 n5"
#define PATIENCE_MS 3000 /* how long an expectation waits */

/* ---- the world: made anew for each test ---- */

struct node;
extern struct node *n0, *n1, *n2, *n3, *n4, *n5;
extern shard_client *client;
extern shard_options options; /* change before start() */

int world_setup(void **state);
/* Destroys the client and fails where a callback was not called exactly once, or a node heard what is no command. */
int world_teardown(void **state);
#define scripted(test) cmocka_unit_test_setup_teardown(test, world_setup, world_teardown)

/* Makes the client. It is given LAYOUT as its topology: it fetches no map before it has a reason to. */
void start(const char *layout);
/* The same, but it is told nothing: it asks for the map first, and will hear LAYOUT. */
void start_cold(const char *layout);
/* The URI that start() uses; n0 where it is not called. */
void seeds(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* It serves a pool; no layout. */
void start_pool(const shard_pool *pool);
void stop(void); /* destroys the client */

uint64_t now_ms(void);
void turn(int wait_ms);   /* one turn of the client and the nodes */
void settle(void);        /* turns until nobody has anything to do */
void run_for(unsigned ms);

/*
 * For how long the machine kept this process waiting since the test began:
 * what a time may take is lengthened by so much.
 */
unsigned late_ms(void);
/* From BEGAN to now it took LOW to HIGH milliseconds. */
#define want_time(began, low, high) check_time(__FILE__, __LINE__, "it", now_ms() - (began), low, high)
/* The same of a request; waits for its end. */
#define want_took(ask, low, high)                                                                                      \
	do {                                                                                                           \
		want_done(ask);                                                                                        \
		check_time(__FILE__, __LINE__, said(ask), (ask)->ended - (ask)->began, low, high);                     \
	} while (0)

#define until(condition)                                                                                               \
	do {                                                                                                           \
		uint64_t began_ = now_ms();                                                                            \
		for (;;) {                                                                                             \
			if (condition)                                                                                 \
				break;                                                                                 \
			if (now_ms() - began_ > PATIENCE_MS + late_ms())                                               \
				blame(__FILE__, __LINE__, "never came true: %s", #condition);                          \
			turn(10);                                                                                      \
		}                                                                                                      \
	} while (0)

/* Fails the test: the message and the transcript of the nodes. */
void blame(const char *file, int line, const char *format, ...) __attribute__((noreturn, format(printf, 3, 4)));
void note(const char *format, ...) __attribute__((format(printf, 1, 2))); /* a line of the transcript */

#define check(condition, ...)                                                                                          \
	do {                                                                                                           \
		if (!(condition))                                                                                      \
			blame(__FILE__, __LINE__, __VA_ARGS__);                                                        \
	} while (0)
#define check_count(got, wanted)                                                                                       \
	do {                                                                                                           \
		long long got_ = (got), wanted_ = (wanted);                                                            \
		if (got_ != wanted_)                                                                                   \
			blame(__FILE__, __LINE__, "%s is %lld, expected %lld", #got, got_, wanted_);                   \
	} while (0)

/* ---- layouts ---- */

/*
 * "0-8191 n0 n2; 8192-16383 n1": ranges, each with its master and its replicas.
 * A node may announce another host: "n0@" (empty), "n0@nil", "n0@?", "n0@10.0.0.9",
 * and another port: "n0@10.0.0.9:7".
 */
void layout(const char *text);                       /* what all nodes answer to CLUSTER SLOTS from now on */
void node_layout(struct node *node, const char *text); /* what one of them answers */
extern int slots_style;                              /* 3, 4 or 7: the Redis whose format it is; 7 at first */
const char *slots(const char *layout);               /* the bytes of the reply; good until the next call */
shard_topology *topology(const char *layout);        /* one reference */

/* ---- nodes ---- */

int number(const struct node *node); /* n3: 3 */
int port(const struct node *node);
const char *addr(const struct node *node); /* "127.0.0.1:port" */
const char *unix_path(struct node *node);  /* makes it listen on a unix socket, too */
int port6(struct node *node);              /* makes it listen on ::1, too; 0 where there is no IPv6 */

/*
 * Waits for the next command that NODE hears and that no rule answers; it must
 * be these words (the first without regard to case).
 */
#define expect(node, ...)                                                                                              \
	expect_words(__FILE__, __LINE__, node, (const char *const[]){__VA_ARGS__, NULL}, NULL)
#define expect_bytes(node, words, lens) expect_words(__FILE__, __LINE__, node, words, lens)
/* The same, of any node; returns it. */
#define expect_somewhere(...) expect_anywhere(__FILE__, __LINE__, (const char *const[]){__VA_ARGS__, NULL})
/* For MS milliseconds NODE hears nothing that rules do not answer; NULL: no node does. */
#define quiet(node, ms) expect_quiet(__FILE__, __LINE__, node, ms)

/*
 * Answers the oldest command of NODE that was expected and not yet answered.
 * One call, one answer; say_part() sends bytes of an answer that is not yet whole.
 */
void say(struct node *node, const char *format, ...) __attribute__((format(printf, 2, 3)));
void say_bytes(struct node *node, const void *bytes, size_t len);
void say_part(struct node *node, const void *bytes, size_t len);
/* Bytes that answer nothing, on the connection of the last command that was expected. */
void blurt(struct node *node, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* What was expected on connections that the client has closed since is not to be answered any more. */
void forget(struct node *node);
void hang_up(struct node *node);     /* closes the connection of the last command that was expected */
void hang_up_all(struct node *node); /* closes all its connections */
void node_down(struct node *node);   /* the same, and its port refuses */
void node_up(struct node *node);
void node_deaf(struct node *node);   /* its port answers no SYN */

/*
 * A rule: commands that begin with PATTERN's words are answered with REPLY at
 * once; NULL: they are to be expected again. The rule that was made last wins.
 * NODE NULL: all nodes. At first CLUSTER SLOTS gives the layout, READONLY,
 * READWRITE, SELECT and AUTH give +OK, other CLUSTER commands an error.
 */
void on(struct node *node, const char *pattern, const char *reply);
const char *bulk(const char *text); /* as a bulk string; good until the next call */

/*
 * A rule that computes: FUNCTION returns the reply, malloc'ed; NULL: hang up;
 * not_yet: ask again in the next turn.
 */
extern char not_yet[];
struct command;
typedef char *(*rule_function)(void *ctx, struct node *node, const struct command *command);
void on_call(struct node *node, const char *pattern, rule_function function, void *ctx);
int words(const struct command *command);
const char *word(const struct command *command, int i); /* ends in a NUL */
unsigned connection_of(const struct command *command);
/* Sends bytes on the command's connection, before what the function returns. */
void interject(const struct command *command, const void *bytes, size_t len);

unsigned heard(struct node *node, const char *pattern); /* how many commands that begin so; NULL: all nodes */
/* Which connection of NODE (1, 2...) the last expected command came by. */
unsigned connection(struct node *node);
unsigned connections(struct node *node);       /* open now */
unsigned connections_ever(struct node *node);
unsigned unanswered(struct node *node);        /* commands that it heard and did not answer */
unsigned reads(struct node *node);             /* how many turns brought it bytes */

/* ---- requests ---- */

struct ask_part {
	int error;
	shard_reply *reply;
	char message[128];
	char node[64];
	int slot;
};

/* A request and what became of it; the world frees it. */
struct ask {
	char text[64];
	int submitted; /* what shard_submit() returned */
	shard_request *handle;
	unsigned calls;
	uint64_t began, ended; /* ms */
	unsigned order;        /* the how-many-th callback of the world it was: 1, 2... */
	int error;
	shard_reply *reply;
	char message[256];
	char node[64];
	int slot;
	struct ask_part *part;
	size_t part_count;
	void (*then)(struct ask *ask); /* called in the callback */
	void *ctx;
	struct ask *next;
};

#define ask(...) ask_words(NULL, (const char *const[]){__VA_ARGS__, NULL}, NULL)
#define ask_how(how, ...) ask_words(how, (const char *const[]){__VA_ARGS__, NULL}, NULL)
#define ask_flags(flag, ...) ask_how((&(shard_call){.flags = (flag)}), __VA_ARGS__)
struct ask *ask_words(const shard_call *how, const char *const argv[], const size_t argvlen[]);
/* Must be accepted, as with ask(); this one may be refused: see submitted. */
struct ask *ask_try(const shard_call *how, const char *const argv[]);
/* MULTI, the commands (each a string of words), EXEC. */
struct ask *ask_multi(const shard_call *how, size_t count, const char *const commands[]);
struct ask *ask_refresh(void);

/* Each waits for the callback first. */
#define want_string(ask, text) want_reply(__FILE__, __LINE__, ask, SHARD_REPLY_STRING, text, 0)
#define want_status(ask, text) want_reply(__FILE__, __LINE__, ask, SHARD_REPLY_STATUS, text, 0)
#define want_integer(ask, n) want_reply(__FILE__, __LINE__, ask, SHARD_REPLY_INTEGER, NULL, n)
#define want_nil(ask) want_reply(__FILE__, __LINE__, ask, SHARD_REPLY_NIL, NULL, 0)
#define want_server_error(ask, text) want_reply(__FILE__, __LINE__, ask, SHARD_REPLY_ERROR, text, 0)
#define want_array(ask, count) want_elements(__FILE__, __LINE__, ask, count)
#define want_error(ask, code) want_failure(__FILE__, __LINE__, ask, code)
#define want_done(ask) want_end(__FILE__, __LINE__, ask)
/* No callback yet. */
#define want_open(ask) check((ask)->calls == 0, "%s: has ended already: %s", (ask)->text, said(ask))
#define want_part(ask, i, code, text) want_part_of(__FILE__, __LINE__, ask, i, code, text)
const char *said(const struct ask *ask); /* what became of it, for people */

/* ---- what the macros call ---- */

void expect_words(const char *file, int line, struct node *node, const char *const argv[], const size_t lens[]);
struct node *expect_anywhere(const char *file, int line, const char *const argv[]);
void expect_quiet(const char *file, int line, struct node *node, unsigned ms);
void want_end(const char *file, int line, struct ask *ask);
void check_time(const char *file, int line, const char *what, uint64_t took, unsigned low, unsigned high);
void want_reply(const char *file, int line, struct ask *ask, shard_reply_type type, const char *text, long long n);
void want_elements(const char *file, int line, struct ask *ask, size_t count);
void want_failure(const char *file, int line, struct ask *ask, int code);
void want_part_of(const char *file, int line, struct ask *ask, size_t i, int code, const char *text);

/* Runs a program's tests; "PROGRAM PATTERN" runs those whose names contain PATTERN. */
#define run(tests) run_scripted(#tests, tests, sizeof(tests) / sizeof((tests)[0]), argc, argv)
int run_scripted(const char *name, const struct CMUnitTest *tests, size_t count, int argc, char *argv[]);

#endif
