/* SPDX-License-Identifier: MIT */
#include "info.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "admin.h"
#include "cli.h"
#include "show.h"
#include "text.h"
#include "verb.h"

#define COLUMNS 8
#define ID_SHOWN 8

static const char *const heading[COLUMNS] = {"NODE", "ID", "ROLE", "MASTER", "KEYS", "SLOTS", "REPLICAS", "STATE"};

static const char *role_of(const struct view_node *node)
{
	return node->flags & SHARD_NODE_MASTER ? "master" : node->flags & SHARD_NODE_REPLICA ? "replica" : "-";
}

static const char *state_of(const struct view_node *node)
{
	if (!node->map)
		return node->flags & SHARD_NODE_FAIL ? "fail" : "silent";
	if (!node->ok)
		return "down";
	return node->flags & SHARD_NODE_REPLICA && !node->link_up ? "unlinked" : "ok";
}

static unsigned replicas_of(const struct view *view, size_t master)
{
	unsigned count = 0;

	for (size_t i = 0; i < view->count; i++)
		count += view->node[i].master == (int)master;
	return count;
}

/* ---- for people ---- */

static void fill(char *cell[COLUMNS], const struct view *view, size_t index, bool whole)
{
	const struct view_node *node = &view->node[index];
	bool master = node->flags & SHARD_NODE_MASTER;

	cell[0] = text("%s", *node->addr ? node->addr : "-");
	cell[1] = text("%.*s", whole ? VIEW_ID_SIZE : ID_SHOWN, node->id);
	cell[2] = text("%s", role_of(node));
	cell[3] = text("%s", node->master < 0 ? "-" : view->node[node->master].addr);
	cell[4] = node->map ? text("%lld", node->keys) : text("-");
	cell[5] = master && node->slots ? text("%u", node->slots) : text(master ? "0" : "-");
	cell[6] = master ? text("%u", replicas_of(view, index)) : text("-");
	cell[7] = text("%s", state_of(node));
}

static void print_cells(const char *const cell[COLUMNS], const int width[COLUMNS])
{
	for (unsigned c = 0; c < COLUMNS; c++) {
		if (!width)
			printf("%s%s", c ? "\t" : "", cell[c]);
		else
			printf("%-*s%s", c + 1 < COLUMNS ? width[c] : 0, cell[c], c + 1 < COLUMNS ? "  " : "");
	}
	putchar('\n');
}

void info_print(const struct view *view)
{
	bool terminal = isatty(STDOUT_FILENO);
	char *(*row)[COLUMNS] = allocate(view->count, sizeof(*row));
	int width[COLUMNS];

	for (unsigned c = 0; c < COLUMNS; c++)
		width[c] = (int)strlen(heading[c]);
	for (size_t i = 0; i < view->count; i++) {
		fill(row[i], view, i, !terminal);
		for (unsigned c = 0; c < COLUMNS; c++)
			if ((int)strlen(row[i][c]) > width[c])
				width[c] = (int)strlen(row[i][c]);
	}
	if (terminal)
		print_cells(heading, width);
	for (size_t i = 0; i < view->count; i++) {
		print_cells((const char *const *)row[i], terminal ? width : NULL);
		for (unsigned c = 0; c < COLUMNS; c++)
			free(row[i][c]);
	}
	free(row);
}

/* ---- as JSON ---- */

static json_t *node_json(const struct view *view, size_t index)
{
	const struct view_node *node = &view->node[index];
	json_t *one = json_pack("{s:s, s:s, s:s, s:s, s:I}", "node", node->addr, "id", node->id, "role", role_of(node),
				"state", state_of(node), "epoch", (json_int_t)node->epoch);

	if (node->map)
		json_object_set_new(one, "keys", json_integer(node->keys));
	else
		json_object_set_new(one, "error", json_string(node->error));
	if (node->master >= 0)
		json_object_set_new(one, "master", json_string(view->node[node->master].id));
	if (node->flags & SHARD_NODE_MASTER) {
		char *slots = view_slots_text(view, (int)index);

		json_object_set_new(one, "slots", json_string(slots));
		json_object_set_new(one, "slot_count", json_integer(node->slots));
		json_object_set_new(one, "replicas", json_integer(replicas_of(view, index)));
		free(slots);
	}
	return one;
}

json_t *info_json(const struct view *view)
{
	json_t *nodes = json_array();
	json_int_t masters = 0, keys = 0;

	for (size_t i = 0; i < view->count; i++) {
		bool master = view->node[i].flags & SHARD_NODE_MASTER;

		json_array_append_new(nodes, node_json(view, i));
		masters += master;
		keys += master ? view->node[i].keys : 0;
	}
	return json_pack("{s:o, s:I, s:I, s:I}", "nodes", nodes, "masters", masters, "keys", keys, "covered",
			 (json_int_t)view_covered(view));
}

/* ---- the verb ---- */

struct wish {
	struct admin admin;
	bool json;
};

enum { OPTION_JSON = 0x100 };

static const struct argp_option options[] = {
	{"json", OPTION_JSON, NULL, 0, "One JSON object", 0},
	{0},
};

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct wish *wish = state->input;

	(void)arg;
	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &wish->admin;
		return 0;
	case OPTION_JSON:
		wish->json = true;
		return 0;
	}
	return ARGP_ERR_UNKNOWN;
}

static const struct argp_child children[] = {{.argp = &admin_argp}, {0}};

static const struct argp argp = {
	.options = options,
	.parser = parse_option,
	.children = children,
	.args_doc = "[HOST:PORT]",
	.doc = "A record a node: HOST:PORT ID ROLE MASTER KEYS SLOTS REPLICAS STATE, split by TABs, in columns on a "
	       "terminal. Exit status 1 where a node does not answer.",
};

int verb_info(int argc, char *argv[])
{
	struct wish wish = {0};
	int status = CLI_FAILED;

	verb_parse(&argp, argc, argv, &wish);
	admin_words(&wish.admin, 0, "");
	if (admin_open(&wish.admin)) {
		const struct view *view = &wish.admin.view;

		status = CLI_OK;
		if (wish.json)
			show_json(info_json(view));
		else
			info_print(view);
		fflush(stdout);
		for (size_t i = 0; i < view->count; i++) {
			if (view->node[i].map)
				continue;
			cli_error("%s: does not answer: %s", view->node[i].addr, view->node[i].error);
			status = CLI_NO;
		}
	}
	admin_close(&wish.admin);
	return status;
}
