/* SPDX-License-Identifier: MIT */
#include "launch.h"

#include <stdlib.h>

#include "cli.h"
#include "log.h"
#include "server.h"
#include "wait.h"

#define POLL_MS 5

void launch_explain(const struct layout *layout, unsigned node, const char *why)
{
	char *log;

	if (interrupted()) {
		cli_error("interrupted");
		return;
	}
	log = layout_path(layout, node, SERVER_LOG);
	cli_error("node %u: %s", layout_port(layout, node), why);
	log_explain(log);
	free(log);
}

static const char *wait_listening(const struct layout *layout, unsigned node, int64_t end)
{
	while (!server_listens(layout, node)) {
		if (server_look(layout, node, NULL) == SERVER_STOPPED)
			return "the server ended at once";
		if (now_ms() >= end)
			return "the server does not listen yet: giving up";
		if (!pause_ms(POLL_MS))
			return "interrupted";
	}
	return NULL;
}

bool launch(const struct layout *layout, const bool which[], const char *program, int64_t end)
{
	for (unsigned i = 0; i < layout_count(layout); i++)
		if (which[i] && (!server_prepare(layout, i) || !server_start(layout, i, program)))
			return false;
	for (unsigned i = 0; i < layout_count(layout); i++) {
		const char *why = which[i] ? wait_listening(layout, i, end) : NULL;

		if (why) {
			launch_explain(layout, i, why);
			return false;
		}
	}
	return true;
}
