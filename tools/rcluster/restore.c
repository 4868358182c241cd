/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "admin.h"
#include "cli.h"
#include "findings.h"
#include "loader.h"
#include "manifest.h"
#include "steps.h"
#include "text.h"
#include "transfer.h"
#include "verb.h"
#include "wait.h"

struct wish {
	struct admin admin;
	bool replace;
};

enum { OPTION_REPLACE = 0x100 };

static const struct argp_option options[] = {
	{"replace", OPTION_REPLACE, NULL, 0, "Also into a cluster that holds keys: those of the backup overwrite them", 0},
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
	case OPTION_REPLACE:
		wish->replace = true;
		return 0;
	}
	return ARGP_ERR_UNKNOWN;
}

static const struct argp_child children[] = {{.argp = &admin_argp}, {0}};

static const struct argp argp = {
	.options = options,
	.parser = parse_option,
	.children = children,
	.args_doc = "[HOST:PORT] DIR",
	.doc = "Puts all keys of a backup into a cluster, whatever its layout. The checksums are verified first.",
};

static bool is_empty(const struct wish *wish)
{
	const struct view *view = &wish->admin.view;

	for (size_t i = 0; i < view->count && !wish->replace; i++) {
		if (!view_is_master(&view->node[i]) || !view->node[i].keys)
			continue;
		cli_error("%s: holds %lld keys: --replace lets those of the backup overwrite them, which also goes on with "
			  "a restore that was cut off",
			  view->node[i].addr, view->node[i].keys);
		return false;
	}
	return true;
}

static bool give_functions(const struct wish *wish, struct loader *loader)
{
	const struct view *view = &wish->admin.view;
	char *sock = text("%s/sock", loader->dir);
	shard_reply *functions = NULL;
	bool ok = steps_take_functions(loader->client, sock, wish->admin.timeout_ms, &functions);

	for (size_t i = 0; i < view->count && ok && functions; i++)
		if (view_is_master(&view->node[i]))
			ok = steps_give_functions(&wish->admin, view->node[i].addr, functions);
	shard_reply_free(functions);
	free(sock);
	return ok;
}

static bool restore_file(struct wish *wish, const char *rdb, struct transfer *sum)
{
	struct transfer transfer = {
		.to = wish->admin.client,
		.timeout_ms = wish->admin.connect.timeout_ms ? wish->admin.connect.timeout_ms : TRANSFER_TIMEOUT_MS,
		.copy = true,
		.replace = wish->replace,
	};
	struct loader loader;
	bool ok = loader_start(&loader, rdb, transfer.timeout_ms) && give_functions(wish, &loader);

	if (ok) {
		transfer.from = loader.client;
		ok = transfer_run(&transfer);
		sum->done += transfer.done;
		sum->conflicts += transfer.conflicts;
		sum->failures += transfer.failures;
		sum->interrupted |= transfer.interrupted;
	}
	loader_stop(&loader);
	return ok;
}

static bool restore(struct wish *wish, const char *dir)
{
	json_t *nodes = manifest_read(dir), *node;
	char *real = nodes ? realpath(dir, NULL) : NULL;
	struct transfer sum = {0};
	bool ok = real && is_empty(wish);
	size_t i;

	json_array_foreach(nodes, i, node) {
		char *rdb = text("%s/%s", real ? real : dir, json_string_value(json_object_get(node, "file")));

		ok = ok && restore_file(wish, rdb, &sum);
		free(rdb);
	}
	if (ok)
		printf("%llu keys restored from %zu snapshots\n", (unsigned long long)sum.done,
		       json_array_size(nodes));
	else if (sum.done)
		cli_error("%llu keys are restored, but not all%s: the same with --replace goes on",
			  (unsigned long long)sum.done, sum.interrupted ? " (interrupted)" : "");
	free(real);
	json_decref(nodes);
	return ok;
}

int verb_restore(int argc, char *argv[])
{
	struct wish wish = {0};
	const char *dir;
	bool ok;

	verb_parse(&argp, argc, argv, &wish);
	catch_interrupts();
	dir = admin_words(&wish.admin, 1, "DIR")[0];
	ok = admin_open(&wish.admin) && findings_none(&wish.admin) && restore(&wish, dir);
	admin_close(&wish.admin);
	return ok ? CLI_OK : CLI_FAILED;
}
