/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <stdlib.h>

#include <shard/client.h>

#include "ask.h"
#include "cli.h"
#include "handover.h"
#include "health.h"
#include "launch.h"
#include "local.h"
#include "server.h"
#include "text.h"
#include "verb.h"
#include "wait.h"

#define ANSWER_MS 1000

struct restart {
	const struct layout *layout;
	shard_client *client;
	char *program;
	unsigned wait_ms; /* for each node */
};

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	if (key != ARGP_KEY_INIT)
		return ARGP_ERR_UNKNOWN;
	state->child_inputs[0] = state->input;
	return 0;
}

static const struct argp_child children[] = {{.argp = &local_wait_argp}, {0}};

static const struct argp argp = {
	.parser = parse_option,
	.children = children,
	.doc = "Restarts one node after the other, replicas first, each time waiting until all is well again. A master "
	       "hands over to a replica before, so that clients see no outage.",
};

static bool is_well(struct restart *restart)
{
	char why[WHY_SIZE];
	struct health health;
	int problem;

	health_look(&health, restart->client, restart->layout, ANSWER_MS);
	problem = health_first_problem(&health, restart->layout, why);
	health_finish(&health);
	if (problem >= 0)
		cli_error("node %u: %s: nothing was restarted: rcluster up makes the cluster whole",
			  layout_port(restart->layout, (unsigned)problem), why);
	return problem < 0;
}

/* Returns the node that took over from NODE; -1: nobody had to or could; -2: an error was printed. */
static int hand_over(struct restart *restart, unsigned node, int64_t end)
{
	char why[WHY_SIZE];
	struct health health;
	int replica, problem = -1;

	health_look(&health, restart->client, restart->layout, ANSWER_MS);
	replica = handover_find(&health, restart->layout, node);
	health_finish(&health);
	if (replica >= 0)
		problem = handover_to(restart->client, restart->layout, node, (unsigned)replica, end, why);
	if (problem < 0)
		return replica;
	launch_explain(restart->layout, (unsigned)problem, why);
	return -2;
}

static bool cycle(struct restart *restart, unsigned node, int64_t end)
{
	bool *only = allocate(layout_count(restart->layout), sizeof(*only));
	char why[WHY_SIZE];
	unsigned left;
	int problem = -1;
	bool ok;

	only[node] = true;
	server_stop(restart->layout, only, SERVER_GRACE_MS, &left);
	ok = !left && launch(restart->layout, only, restart->program, end);
	if (ok)
		problem = health_wait(restart->client, restart->layout, end, why);
	if (left)
		cli_error("node %u could not be ended", layout_port(restart->layout, node));
	if (problem >= 0)
		launch_explain(restart->layout, (unsigned)problem, why);
	free(only);
	return ok && problem < 0;
}

static bool restart_node(struct restart *restart, unsigned node)
{
	int64_t end = now_ms() + restart->wait_ms;
	int replica = hand_over(restart, node, end);

	if (replica == -2 || !cycle(restart, node, end))
		return false;
	printf("%u restarted", layout_port(restart->layout, node));
	if (replica >= 0)
		printf(", %u is master in its place", layout_port(restart->layout, (unsigned)replica));
	printf("\n");
	fflush(stdout);
	return true;
}

/* Replicas first: a master that hands over then does so to a node that was restarted already. */
static void order_nodes(struct restart *restart, unsigned order[])
{
	unsigned count = layout_count(restart->layout), next = 0;
	struct health health;

	health_look(&health, restart->client, restart->layout, ANSWER_MS);
	for (unsigned i = 0; i < count; i++)
		if (health.node[i].replica)
			order[next++] = i;
	for (unsigned i = 0; i < count; i++)
		if (!health.node[i].replica)
			order[next++] = i;
	health_finish(&health);
}

static bool restart_all(struct restart *restart)
{
	unsigned count = layout_count(restart->layout);
	unsigned *order = allocate(count, sizeof(*order));
	bool ok = true;

	order_nodes(restart, order);
	for (unsigned i = 0; i < count && ok; i++)
		ok = restart_node(restart, order[i]);
	free(order);
	return ok;
}

int verb_restart(int argc, char *argv[])
{
	struct local_options options = {.wait_ms = LOCAL_WAIT_MS};
	struct restart restart = {0};
	struct local local;
	bool ok;

	verb_parse(&argp, argc, argv, &options);
	catch_interrupts();
	if (!local_must_open(&local, &options, LOCAL_CHANGE))
		return CLI_FAILED;
	restart.layout = &local.layout;
	restart.wait_ms = options.wait_ms;
	restart.program = server_find(local.layout.server);
	restart.client = restart.program ? ask_client(&local.layout) : NULL;
	ok = restart.client && is_well(&restart) && restart_all(&restart);
	shard_client_destroy(restart.client);
	free(restart.program);
	local_close(&local);
	return ok ? CLI_OK : CLI_FAILED;
}
