/* SPDX-License-Identifier: MIT */
/* Requests that rproxy answers. */
#ifndef RPROXY_LOCAL_H
#define RPROXY_LOCAL_H

#include "proxy.h"

void local_ping(struct query *query, struct words *words);
void local_quit(struct query *query, struct words *words);
bool local_strict_quit(struct session *session); /* nutcracker's: closes behind the answers that are due */
void local_auth(struct query *query, struct words *words);
void local_http(struct query *query, struct words *words);
void local_echo(struct query *query, struct words *words);
void local_hello(struct query *query, struct words *words);
void local_select(struct query *query, struct words *words);
void local_client(struct query *query, struct words *words);
void local_command(struct query *query, struct words *words);
void local_info(struct query *query, struct words *words);
void local_reset(struct query *query, struct words *words);
void local_flush(struct query *query, struct words *words);

/* ---- scan.c ---- */
void local_scan(struct query *query, struct words *words);
void local_keys(struct query *query, struct words *words);

/* Whether word I is TEXT, in any case of letters. */
bool local_is(const struct words *words, size_t i, const char *text);
/* "-ERR wrong number of arguments ..." */
void local_wrong_number(struct query *query);

#endif
