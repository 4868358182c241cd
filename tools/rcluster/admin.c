/* SPDX-License-Identifier: MIT */
#include "admin.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <shard/uri.h>

#include "cli.h"
#include "text.h"
#include "wait.h"

#define POLL_MS 20
#define HOST_SIZE 256

enum { OPTION_YES = 0x300 };

static const struct argp_option options[] = {
	{"yes", OPTION_YES, NULL, 0, "Ask nothing: the answer is yes", 0},
	{0},
};

static void take_word(struct admin *admin, const char *word)
{
	admin->word = cli_realloc(admin->word, (admin->word_count + 2) * sizeof(*admin->word));
	admin->word[admin->word_count++] = word;
	admin->word[admin->word_count] = NULL;
}

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct admin *admin = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		state->err_stream = NULL; /* see cli_parse() */
		state->child_inputs[0] = &admin->connect;
		return 0;
	case OPTION_YES:
		admin->yes = true;
		return 0;
	case ARGP_KEY_ARG:
		take_word(admin, arg);
		return 0;
	}
	return ARGP_ERR_UNKNOWN;
}

static const struct argp_child children[] = {{.argp = &cli_connect_argp}, {0}};

const struct argp admin_argp = {.options = options, .parser = parse_option, .children = children};

bool admin_is_address(const char *word)
{
	char host[HOST_SIZE];
	uint16_t port;

	return shard_split_addr(word, strlen(word), 0, host, sizeof(host), &port) && *host;
}

const char *const *admin_words(struct admin *admin, size_t more, const char *names)
{
	const char *space = *names ? " " : "";

	if (admin->word_count > more + 1)
		cli_usage("%s: is too much: [HOST:PORT]%s%s is wanted", text_shown(admin->word[more + 1]), space, names);
	if (admin->word_count < more)
		cli_usage("[HOST:PORT]%s%s is wanted", space, names);
	if (admin->word_count == more)
		return admin->word;
	admin->address = admin->word[0];
	if (!admin_is_address(admin->address))
		cli_usage("%s: is not HOST:PORT", text_shown(admin->address));
	if (admin->connect.uri_text)
		cli_usage("%s and -u: one of them is enough", admin->address);
	return admin->word + 1;
}

/* ---- the cluster ---- */

static char *uri_of(const char *address)
{
	char host[HOST_SIZE];
	uint16_t port;

	shard_split_addr(address, strlen(address), 0, host, sizeof(host), &port);
	return strchr(host, ':') ? text("redis://[%s]:%u", host, port) : text("redis://%s:%u", host, port);
}

bool admin_connect(struct admin *admin)
{
	shard_options out;
	int error;

	if (admin->address)
		admin->connect.uri_text = uri_of(admin->address);
	if (!cli_connect_resolve(&admin->connect))
		return false;
	if (admin->connect.uri->scheme != SHARD_SCHEME_REDIS) {
		cli_error("a cluster is wanted: HOST:PORT of one of its nodes, or redis://HOST:PORT");
		return false;
	}
	cli_connect_options(&admin->connect, &out);
	out.lazy = true;
	error = shard_client_create(&admin->client, &out);
	if (error)
		cli_error("%s", shard_strerror(error));
	admin->timeout_ms = admin->connect.timeout_ms ? admin->connect.timeout_ms : ADMIN_ANSWER_MS;
	return !error;
}

/* The first seed that answers tells of the others. */
static bool look(struct admin *admin, char why[VIEW_WHY_SIZE])
{
	const shard_uri *uri = admin->connect.uri;

	for (size_t i = 0; i < uri->seed_count; i++) {
		bool v6 = strchr(uri->seed[i].host, ':');
		char *addr = text("%s%s%s:%u", v6 ? "[" : "", uri->seed[i].host, v6 ? "]" : "", uri->seed[i].port);
		bool seen = view_look(&admin->view, admin->client, addr, admin->timeout_ms, why);

		free(addr);
		if (seen)
			return true;
	}
	return false;
}

bool admin_look(struct admin *admin)
{
	char why[VIEW_WHY_SIZE];
	const char *hint;

	view_finish(&admin->view);
	if (look(admin, why))
		return true;
	hint = cli_connect_hint(SHARD_ECONNECT);
	cli_error("%s%s%s", why, hint ? "; " : "", hint ? hint : "");
	return false;
}

bool admin_open(struct admin *admin)
{
	return admin_connect(admin) && admin_look(admin);
}

void admin_close(struct admin *admin)
{
	view_finish(&admin->view);
	shard_client_destroy(admin->client);
	cli_connect_close(&admin->connect);
	free(admin->word);
	*admin = (struct admin){0};
}

void admin_seed(struct admin *admin, int node)
{
	shard_endpoint *seed = admin->connect.uri->seed;

	for (size_t i = 1; i < admin->connect.uri->seed_count; i++)
		free(seed[i].host);
	admin->connect.uri->seed_count = 1;
	free(seed[0].host);
	seed[0].host = text("%s", admin->view.node[node].host);
	seed[0].port = admin->view.node[node].port;
}

int admin_node(const struct admin *admin, const char *word)
{
	char why[VIEW_WHY_SIZE];
	int node = view_find(&admin->view, word, why);

	if (node < 0)
		cli_error("%s", why);
	return node;
}

bool admin_wait(struct admin *admin, admin_condition condition, void *ctx, unsigned wait_ms, const char *what)
{
	int64_t end = now_ms() + wait_ms;
	char why[VIEW_WHY_SIZE];

	for (;;) {
		int64_t start = now_ms();

		view_finish(&admin->view);
		if (look(admin, why) && condition(&admin->view, ctx, why))
			return true;
		if (now_ms() >= end || !pause_ms(POLL_MS + (unsigned)(now_ms() - start)))
			break;
	}
	cli_error("%s: %s%s", what, interrupted() ? "interrupted: " : "", why);
	return false;
}

bool admin_agreed(const struct view *view, void *ctx, char why[VIEW_WHY_SIZE])
{
	(void)ctx;
	return view_agree(view, why);
}

bool admin_settled(const struct view *view, void *ctx, char why[VIEW_WHY_SIZE])
{
	int first = -1;

	(void)ctx;
	for (int i = 0; i < (int)view->count; i++) {
		if (!view_answers(&view->node[i]))
			continue;
		if (first >= 0 && !view_same(view, (unsigned)first, (unsigned)i, why))
			return false;
		if (first < 0)
			first = i;
	}
	return true;
}
