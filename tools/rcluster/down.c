/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "local.h"
#include "place.h"
#include "server.h"
#include "text.h"
#include "verb.h"
#include "wait.h"

struct wish {
	struct local_options local;
	bool wipe;
};

enum { OPTION_WIPE = 0x100 };

static const struct argp_option options[] = {
	{"wipe", OPTION_WIPE, NULL, 0, "Remove its data, logs and record too", 0},
	{0},
};

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct wish *wish = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &wish->local;
		return 0;
	case OPTION_WIPE:
		wish->wipe = true;
		return 0;
	}
	return ARGP_ERR_UNKNOWN;
}

static const struct argp_child children[] = {{.argp = &local_dir_argp}, {0}};

static const struct argp argp = {
	.options = options,
	.parser = parse_option,
	.children = children,
	.doc = "Stops the local cluster. Its data stays for the next up, but with --wipe.",
};

static bool stop_all(const struct layout *layout)
{
	unsigned count = layout_count(layout), left;
	bool *all = allocate(count, sizeof(*all));
	unsigned ran;

	memset(all, true, count * sizeof(*all));
	ran = server_stop(layout, all, SERVER_GRACE_MS, &left);
	if (left)
		cli_error("%u of %u nodes could not be ended: see rcluster status", left, ran);
	else if (ran)
		printf("stopped %u of %u nodes in %s\n", ran, count, layout->dir);
	else
		printf("nothing runs in %s\n", layout->dir);
	free(all);
	return !left;
}

int verb_down(int argc, char *argv[])
{
	struct wish wish = {0};
	struct local local;
	enum layout_found found;
	bool ok;

	verb_parse(&argp, argc, argv, &wish);
	catch_interrupts();
	found = local_open(&local, &wish.local, LOCAL_CHANGE);
	if (found == LAYOUT_NONE) {
		printf("there is no cluster%s%s: nothing to do\n", wish.local.dir ? " in " : "",
		       wish.local.dir ? wish.local.dir : "");
		return CLI_OK;
	}
	if (found != LAYOUT_FOUND)
		return CLI_FAILED;
	ok = stop_all(&local.layout) && (!wish.wipe || place_wipe(&local.layout));
	if (ok && wish.wipe)
		printf("removed its data\n");
	local_close(&local);
	return ok ? CLI_OK : CLI_FAILED;
}
