/* SPDX-License-Identifier: MIT */
#include "send.h"

#include "cli.h"
#include "local.h"
#include "text.h"
#include "verb.h"
#include "wait.h"

#define WAIT_MS 5000

struct wish {
	struct local_options local;
	const char *port;
};

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct wish *wish = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &wish->local;
		return 0;
	case ARGP_KEY_ARG:
		if (wish->port)
			cli_usage("one PORT only: %s is too many", text_shown(arg));
		wish->port = arg;
		return 0;
	case ARGP_KEY_NO_ARGS:
		cli_usage("PORT is missing");
	}
	return ARGP_ERR_UNKNOWN;
}

static const struct argp_child children[] = {{.argp = &local_dir_argp}, {0}};

static int send_to(const struct send *send, const struct layout *layout, unsigned node)
{
	int64_t end = now_ms() + WAIT_MS;
	unsigned port = layout_port(layout, node);

	if (!server_signal(layout, node, send->number)) {
		cli_error("node %u is not running: rcluster up starts it", port);
		return CLI_NO;
	}
	while (server_look(layout, node, NULL) != send->after) {
		if (now_ms() >= end || !pause_ms(2)) {
			cli_error("node %u has not taken the signal yet", port);
			return CLI_FAILED;
		}
	}
	return CLI_OK;
}

int send_run(const struct send *send, int argc, char *argv[])
{
	const struct argp argp = {.parser = parse_option, .args_doc = "PORT", .doc = send->doc, .children = children};
	struct wish wish = {0};
	struct local local;
	int status = CLI_FAILED, node;

	verb_parse(&argp, argc, argv, &wish);
	catch_interrupts();
	if (!local_must_open(&local, &wish.local, LOCAL_READ))
		return CLI_FAILED;
	node = local_node(&local, wish.port);
	if (node >= 0)
		status = send_to(send, &local.layout, (unsigned)node);
	local_close(&local);
	return status;
}
