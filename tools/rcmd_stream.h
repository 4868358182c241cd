/* SPDX-License-Identifier: MIT */
/* rcmd -: commands from standard input. */
#ifndef RCMD_STREAM_H
#define RCMD_STREAM_H

#include <shard/client.h>

/* Runs to the end of the input. Returns the exit status. */
int run_stream(shard_client *client);

#endif
