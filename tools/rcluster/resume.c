/* SPDX-License-Identifier: MIT */
#include <signal.h>

#include "send.h"
#include "verb.h"

int verb_resume(int argc, char *argv[])
{
	static const struct send send = {
		.doc = "Lets the node with this port, which was paused, go on.",
		.number = SIGCONT,
		.after = SERVER_RUNNING,
	};

	return send_run(&send, argc, argv);
}
