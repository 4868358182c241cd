/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <stdlib.h>

#include "admin.h"
#include "cli.h"
#include "findings.h"
#include "info.h"
#include "show.h"
#include "verb.h"

struct wish {
	struct admin admin;
	bool json, strays;
};

enum { OPTION_JSON = 0x100, OPTION_STRAYS };

static const struct argp_option options[] = {
	{"json", OPTION_JSON, NULL, 0, "One JSON object", 0},
	{"search-multiple-owners", OPTION_STRAYS, NULL, 0,
	 "Look for keys, too, that a master holds in slots which are not its own", 0},
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
	case OPTION_STRAYS:
		wish->strays = true;
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
	.doc = "Checks that all nodes answer and agree, that no slot is open and that all slots have an owner. Exit "
	       "status 1 where something is not so.",
};

static void print_json(const struct admin *admin, const struct findings *findings)
{
	json_t *all = info_json(&admin->view);

	json_object_set_new(all, "ok", json_boolean(!findings->count));
	json_object_set_new(all, "findings", findings_json(findings, &admin->view));
	show_json(all);
}

static int check(const struct wish *wish)
{
	const struct admin *admin = &wish->admin;
	struct findings findings;
	int status = CLI_FAILED;

	if (findings_look(&findings, admin, wish->strays)) {
		if (wish->json)
			print_json(admin, &findings);
		else
			info_print(&admin->view);
		if (!findings.count && !wish->json)
			printf("ok: %zu nodes agree, no slot is open, all %d slots have an owner\n", admin->view.count,
			       SHARD_SLOTS);
		fflush(stdout);
		findings_report(&findings, &admin->view);
		status = findings.count ? CLI_NO : CLI_OK;
	}
	findings_finish(&findings);
	return status;
}

int verb_check(int argc, char *argv[])
{
	struct wish wish = {0};
	int status = CLI_FAILED;

	verb_parse(&argp, argc, argv, &wish);
	admin_words(&wish.admin, 0, "");
	if (admin_open(&wish.admin))
		status = check(&wish);
	admin_close(&wish.admin);
	return status;
}
