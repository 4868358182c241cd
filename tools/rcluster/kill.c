/* SPDX-License-Identifier: MIT */
#include <signal.h>

#include "send.h"
#include "verb.h"

int verb_kill(int argc, char *argv[])
{
	static const struct send send = {
		.doc = "Kills the node with this port, as a crash does.",
		.number = SIGKILL,
		.after = SERVER_STOPPED,
	};

	return send_run(&send, argc, argv);
}
