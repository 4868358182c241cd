/* SPDX-License-Identifier: MIT */
#include "steps.h"

#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <shard/uri.h>

#include "ask.h"
#include "cli.h"
#include "text.h"

#define HOST_SIZE 256

enum { OPTION_WAIT = 0x400 };

static const struct argp_option wait_options[] = {
	{"wait", OPTION_WAIT, "SECONDS", 0, "Give up what is not done by then (30)", 0},
	{0},
};

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	unsigned *wait_ms = state->input;

	if (key != OPTION_WAIT)
		return ARGP_ERR_UNKNOWN;
	*wait_ms = (unsigned)cli_number("--wait", arg, 1, 24 * 3600) * 1000;
	return 0;
}

const struct argp steps_wait_argp = {.options = wait_options, .parser = parse_option};

bool steps_tell(const struct admin *admin, const char *addr, int argc, const char *const argv[])
{
	struct ask ask = {.to = addr, .argc = argc, .words = argv};
	bool ok = ask_all(admin->client, NULL, &ask, 1, admin->timeout_ms);

	if (!ok)
		cli_error("%s: %s%s%s: %s", addr, argv[0], argc > 1 ? " " : "", argc > 1 ? argv[1] : "", ask.error);
	ask_finish(&ask, 1);
	return ok;
}

bool steps_agree(const struct view *view, char why[VIEW_WHY_SIZE])
{
	size_t first = 0;

	while (first < view->count && !view_answers(&view->node[first]))
		first++;
	for (size_t i = first + 1; i < view->count; i++)
		if (view_answers(&view->node[i]) && !view_same(view, (unsigned)first, (unsigned)i, why))
			return false;
	return true;
}

unsigned steps_replicas(const struct view *view, int master)
{
	unsigned count = 0;

	for (size_t i = 0; i < view->count; i++)
		count += view->node[i].flags & SHARD_NODE_REPLICA && view->node[i].master == master;
	return count;
}

int steps_neediest(const struct view *view, int not)
{
	unsigned fewest = 0;
	int best = -1;

	for (size_t i = 0; i < view->count; i++) {
		unsigned its;

		if (!view_is_master(&view->node[i]) || !view->node[i].slots || (int)i == not)
			continue;
		its = steps_replicas(view, (int)i);
		if (best < 0 || its < fewest) {
			best = (int)i;
			fewest = its;
		}
	}
	return best;
}

/* ---- REPLICATE ---- */

struct bond {
	char node[VIEW_ID_SIZE], master[VIEW_ID_SIZE];
};

/* Whether every node that answers sees the replica behind its master, and the link is up. */
static bool is_bound(const struct view *view, void *ctx, char why[VIEW_WHY_SIZE])
{
	const struct bond *bond = ctx;
	int node = view_find_id(view, bond->node);

	if (node < 0 || !view_answers(&view->node[node])) {
		snprintf(why, VIEW_WHY_SIZE, "%s does not answer", node < 0 ? bond->node : view->node[node].addr);
		return false;
	}
	for (size_t i = 0; i < view->count; i++) {
		const shard_topology *map = view->node[i].map;
		int self = map ? shard_topology_find_id(map, bond->node) : -1;
		int master = self < 0 ? -1 : shard_topology_node(map, (size_t)self)->master;

		if (!view_answers(&view->node[i]) ||
		    (master >= 0 && !strcmp(shard_topology_node(map, (size_t)master)->id, bond->master)))
			continue;
		snprintf(why, VIEW_WHY_SIZE, "%s does not see it yet", view->node[i].addr);
		return false;
	}
	if (!view->node[node].link_up)
		snprintf(why, VIEW_WHY_SIZE, "the link to its master is not up");
	return view->node[node].link_up && steps_agree(view, why);
}

bool steps_replicate(struct admin *admin, int node, int master, unsigned wait_ms)
{
	const struct view *view = &admin->view;
	char *addr = text("%s", view->node[node].addr);
	char *what = text("%s as a replica of %s", addr, view->node[master].addr);
	struct bond bond;
	bool ok;

	snprintf(bond.node, sizeof(bond.node), "%s", view->node[node].id);
	snprintf(bond.master, sizeof(bond.master), "%s", view->node[master].id);
	ok = steps_tell(admin, addr, 3, (const char *[]){"CLUSTER", "REPLICATE", bond.master}) &&
	     admin_wait(admin, is_bound, &bond, wait_ms, what);
	free(what);
	free(addr);
	return ok;
}

/* ---- functions ---- */

struct payload {
	shard_reply *reply;
	int error;
	char message[160];
};

static void on_payload(void *ctx, const shard_result *result)
{
	struct payload *payload = ctx;

	payload->error = result->error;
	snprintf(payload->message, sizeof(payload->message), "%s", result->message);
	if (!result->error)
		payload->reply = shard_reply_copy(result->reply);
}

static void call_binary(shard_client *client, const char *addr, unsigned timeout_ms, const shard_args *args,
			struct payload *payload)
{
	const shard_call how = {.flags = SHARD_ONCE, .timeout_ms = timeout_ms, .node = addr};

	*payload = (struct payload){0};
	payload->error =
		shard_submit(client, args->argc, args->argv, args->argvlen, &how, on_payload, payload, NULL);
	if (payload->error)
		snprintf(payload->message, sizeof(payload->message), "%s", shard_strerror(payload->error));
	else
		shard_client_run(client);
}

bool steps_take_functions(shard_client *client, const char *from, unsigned timeout_ms, shard_reply **functions)
{
	const shard_args dump = {2, (const char *[]){"FUNCTION", "DUMP"}, NULL};
	struct payload payload;
	bool known;

	call_binary(client, from, timeout_ms, &dump, &payload);
	known = !payload.error || !strstr(payload.message, "unknown command");
	if (known && payload.error)
		cli_error("%s: FUNCTION DUMP: %s", from, payload.message);
	*functions = payload.reply && payload.reply->type == SHARD_REPLY_STRING ? payload.reply : NULL;
	if (!*functions)
		shard_reply_free(payload.reply);
	return !known || !payload.error;
}

bool steps_give_functions(const struct admin *admin, const char *to, const shard_reply *functions)
{
	const char *argv[] = {"FUNCTION", "RESTORE", functions->str, "REPLACE"};
	const size_t len[] = {8, 7, functions->len, 7};
	struct payload answer;

	call_binary(admin->client, to, admin->timeout_ms, &(shard_args){4, argv, len}, &answer);
	if (answer.error)
		cli_error("%s: FUNCTION RESTORE: %s", to, answer.message);
	shard_reply_free(answer.reply);
	return !answer.error;
}

bool steps_copy_functions(const struct admin *admin, const char *from, const char *to)
{
	shard_reply *functions = NULL;
	bool ok = steps_take_functions(admin->client, from, admin->timeout_ms, &functions);

	if (ok && functions)
		ok = steps_give_functions(admin, to, functions);
	shard_reply_free(functions);
	return ok;
}

/* ---- addresses ---- */

bool steps_resolve(const char *address, char *ip, size_t ip_size, unsigned *port)
{
	const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
	struct addrinfo *all = NULL;
	char host[HOST_SIZE];
	uint16_t number = 0;
	int error;

	if (!shard_split_addr(address, strlen(address), 0, host, sizeof(host), &number) || !*host)
		cli_usage("%s is not HOST:PORT", text_shown(address));
	*port = number;
	error = getaddrinfo(host, NULL, &hints, &all);
	if (!error)
		error = getnameinfo(all->ai_addr, all->ai_addrlen, ip, (socklen_t)ip_size, NULL, 0, NI_NUMERICHOST);
	if (all)
		freeaddrinfo(all);
	if (error)
		cli_error("%s: %s", address, gai_strerror(error));
	return !error;
}

char *steps_addr(const char *ip, unsigned port)
{
	return strchr(ip, ':') ? text("[%s]:%u", ip, port) : text("%s:%u", ip, port);
}
