/* SPDX-License-Identifier: MIT */
#include <signal.h>

#include "send.h"
#include "verb.h"

int verb_pause(int argc, char *argv[])
{
	static const struct send send = {
		.doc = "Pauses the node with this port: it keeps its connections and does not answer.",
		.number = SIGSTOP,
		.after = SERVER_PAUSED,
	};

	return send_run(&send, argc, argv);
}
