/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <stdlib.h>

#include "admin.h"
#include "cli.h"
#include "steps.h"
#include "verb.h"
#include "wait.h"

struct wish {
	struct admin admin;
	unsigned wait_ms;
};

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct wish *wish = state->input;

	(void)arg;
	if (key != ARGP_KEY_INIT)
		return ARGP_ERR_UNKNOWN;
	state->child_inputs[0] = &wish->admin;
	state->child_inputs[1] = &wish->wait_ms;
	return 0;
}

static const struct argp_child children[] = {{.argp = &admin_argp}, {.argp = &steps_wait_argp}, {0}};

static const struct argp argp = {
	.parser = parse_option,
	.children = children,
	.args_doc = "[HOST:PORT] NODE MASTER",
	.doc = "Makes NODE, a replica or a master without slots, a replica of MASTER, and waits until all nodes see it "
	       "and its link is up. Nodes are HOST:PORT or an id, or the beginning of one.",
};

static bool may_replicate(const struct view *view, int node, int master)
{
	const struct view_node *n = &view->node[node], *m = &view->node[master];

	if (node == master)
		cli_error("%s: a node is no replica of itself", n->addr);
	else if (!view_answers(n))
		cli_error("%s: does not answer: %s", n->addr, n->error);
	else if (!view_answers(m))
		cli_error("%s: does not answer: %s", m->addr, m->error);
	else if (m->flags & SHARD_NODE_REPLICA)
		cli_error("%s: is a replica itself%s%s", m->addr, m->master >= 0 ? ", of " : "",
			  m->master >= 0 ? view->node[m->master].addr : "");
	else if (!(n->flags & SHARD_NODE_REPLICA) && n->slots)
		cli_error("%s: is a master that owns %u slots: move them away first (rcluster reshard)", n->addr,
			  n->slots);
	else if (!(n->flags & SHARD_NODE_REPLICA) && n->keys > 0)
		cli_error("%s: holds %lld keys, which a replica would lose", n->addr, n->keys);
	else
		return true;
	return false;
}

static bool replicate(struct wish *wish, const char *node_word, const char *master_word)
{
	struct admin *admin = &wish->admin;
	int node = admin_node(admin, node_word);
	int master = node < 0 ? -1 : admin_node(admin, master_word);
	char node_id[VIEW_ID_SIZE], master_id[VIEW_ID_SIZE];

	if (master < 0 || !may_replicate(&admin->view, node, master))
		return false;
	snprintf(node_id, sizeof(node_id), "%s", admin->view.node[node].id);
	snprintf(master_id, sizeof(master_id), "%s", admin->view.node[master].id);
	if (!steps_replicate(admin, node, master, wish->wait_ms))
		return false;
	printf("%s is a replica of %s\n", admin->view.node[view_find_id(&admin->view, node_id)].addr,
	       admin->view.node[view_find_id(&admin->view, master_id)].addr);
	return true;
}

int verb_replicate(int argc, char *argv[])
{
	struct wish wish = {.wait_ms = STEPS_WAIT_MS};
	const char *const *word;
	bool ok;

	verb_parse(&argp, argc, argv, &wish);
	catch_interrupts();
	word = admin_words(&wish.admin, 2, "NODE MASTER");
	ok = admin_open(&wish.admin) && replicate(&wish, word[0], word[1]);
	admin_close(&wish.admin);
	return ok ? CLI_OK : CLI_FAILED;
}
