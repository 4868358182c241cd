/* SPDX-License-Identifier: MIT */
/*
 * Blocking calls: submit, then run the client until it is done. For programs
 * that have nothing else to do. They block up to the request's deadline, and
 * other requests of the client make progress meanwhile (their callbacks are
 * called). Not from within a callback.
 */
#ifndef SHARD_SYNC_H
#define SHARD_SYNC_H

#include <shard/client.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A result of the caller's own. */
typedef struct shard_answer {
	int error;                /* enum shard_error */
	const shard_reply *reply; /* as in shard_result; NULL where there is none */
	const char *message;
	const char *node;
	int slot;
	const struct shard_answer *part; /* as in shard_result; NULL where there are none */
	size_t part_count;
} shard_answer;

/*
 * Runs a command and waits for its end. Never returns NULL: what could not
 * even be submitted is an answer with that error. The caller frees it.
 */
SHARD_API SHARD_MUST_CHECK shard_answer *shard_do(shard_client *client, int argc, const char *const argv[],
						  const size_t argvlen[], const shard_call *how);

/* The same for words given as strings, ended by NULL: shard_dol(c, NULL, "SET", key, value, (char *)NULL). */
SHARD_API SHARD_MUST_CHECK shard_answer *shard_dol(shard_client *client, const shard_call *how, ...)
	__attribute__((sentinel));

/* MULTI ... EXEC, see shard_submit_multi(). */
SHARD_API SHARD_MUST_CHECK shard_answer *shard_do_multi(shard_client *client, size_t count,
							const shard_args commands[], const shard_call *how);

/* Fetches the map and waits for it. Returns SHARD_OK or why not. */
SHARD_API SHARD_MUST_CHECK int shard_do_refresh(shard_client *client);

SHARD_API void shard_answer_free(shard_answer *answer); /* NULL is fine */

#ifdef __cplusplus
}
#endif
#endif
