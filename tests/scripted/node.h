/* SPDX-License-Identifier: MIT */
/*
 * Fake nodes: sockets, the commands that they hear, the rules that answer. The
 * private side of scripted.h.
 */
#ifndef SCRIPTED_NODE_H
#define SCRIPTED_NODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct node;
struct connection;

/*
 * A command is heard; then a rule answers it as soon as all that came before
 * it on its connection is answered, or the test expects it and then answers.
 */
struct command {
	struct command *next;      /* in its connection */
	struct command *next_told; /* in its node: expected, not yet answered */
	struct connection *from;
	unsigned connection; /* its number */
	uint64_t when;       /* the how-many-th command of the world it is */
	bool expected;
	int argc;
	char **argv;
	size_t *lens;
};

struct buffer {
	char *bytes;
	size_t len, room;
};

struct connection {
	struct node *node;
	struct connection *next;
	int fd;
	unsigned number;
	struct buffer in, out;
	struct command *first, **end; /* heard and not answered */
	uint32_t events;
	bool eof;
};

struct rule {
	struct rule *next;
	char *pattern;
	char *reply;
	char *(*function)(void *ctx, struct node *node, const struct command *command);
	void *ctx;
	bool slots; /* gives the layout */
	bool manual;
};

struct listener {
	struct node *node;
	int fd;
};

struct node {
	char name[8];
	char addr[64];
	char path[108];
	uint16_t port, port6;
	struct listener listener, listener6, listener_unix;
	int fillers[4]; /* connections that stop its SYN queue */
	struct connection *connections;
	struct connection *last; /* where the last expected command came from; NULL once it is closed */
	unsigned last_number;
	struct command *told, **told_end;
	struct rule *rules;
	char *layout; /* NULL: the world's */
	char **history;
	size_t history_len, history_room;
	unsigned accepted, reads;
};

extern struct node nodes[NODES];

int nodes_open(void);
void nodes_close(void);
int nodes_fd(void);      /* readable when nodes_step() has work */
void nodes_step(void);
bool nodes_busy(void);   /* bytes wait to be sent or read */
void rules_default(struct node *node);
/* A command that no rule answers and nobody expected, the oldest of NODE; NULL: of all nodes. */
struct command *node_unexpected(const struct node *node);
void command_expected(struct command *command);
void command_print(const struct command *command, char *text, size_t size);
/* What a node heard that is no command; NULL: nothing. */
const char *nodes_complaint(void);

void buffer_add(struct buffer *buffer, const void *bytes, size_t len);
void quote(const void *bytes, size_t len, char *text, size_t size);

char *slots_reply(const char *layout, size_t *len); /* malloc'ed */
const char *node_layout_of(const struct node *node);
void layout_reset(void);
void transcript_print(void);
void transcript_clear(void);

#endif
