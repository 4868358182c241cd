/* SPDX-License-Identifier: MIT */
/* MULTI ... EXEC: kept until EXEC, then sent as one block to the node of its keys. */
#ifndef RPROXY_TRANSACTION_H
#define RPROXY_TRANSACTION_H

#include "proxy.h"

void transaction_multi(struct query *query, struct words *words);
void transaction_exec(struct query *query, struct words *words);
void transaction_discard(struct query *query, struct words *words);
void transaction_unwatch(struct query *query, struct words *words);

/* Within a block: queues REQUEST, or returns false where it is to be handled at once (EXEC, DISCARD, ...). */
bool transaction_takes(struct query *query, const struct words *words);
void transaction_forget(struct session *session);

#endif
