/* SPDX-License-Identifier: MIT */
/*
 * A nutcracker.yml while it is read: its pools as far as they are known, and all that is wrong with it.
 */
#ifndef SHARD_KNOW_POOL_H
#define SHARD_KNOW_POOL_H

#include <shard/pool.h>

#include "base/arena.h"
#include "pure/addr.h"

enum pool_directive {
	POOL_LISTEN,
	POOL_HASH,
	POOL_HASH_TAG,
	POOL_DISTRIBUTION,
	POOL_TIMEOUT,
	POOL_BACKLOG,
	POOL_CLIENT_CONNECTIONS,
	POOL_REDIS,
	POOL_REDIS_AUTH,
	POOL_REDIS_USER,
	POOL_REDIS_DB,
	POOL_PRECONNECT,
	POOL_AUTO_EJECT_HOSTS,
	POOL_TCPKEEPALIVE,
	POOL_REUSEPORT,
	POOL_EJECT_KEEPS_RING,
	POOL_CLUSTER,
	POOL_STRICT,
	POOL_SERVER_CONNECTIONS,
	POOL_SERVER_RETRY_TIMEOUT,
	POOL_SERVER_FAILURE_LIMIT,
	POOL_SERVERS,
	POOL_DIRECTIVES
};

struct pool_draft {
	shard_pool pool;
	unsigned seen[POOL_DIRECTIVES]; /* the line of each; 0: it is not there */
	bool bad[POOL_DIRECTIVES];      /* it is there, and wrong */
	bool broken;                    /* what stands for the pool is not even a mapping */
	unsigned list;                  /* the line of its sequence; 0: there is none */
	shard_pool_server *server;      /* of pool.server_count */
	size_t server_room;
};

struct pool_mistake {
	unsigned line; /* 0: of the file as a whole */
	char *text;
};

struct pool_reader {
	struct arena arena; /* of all the strings */
	struct pool_draft *draft;
	size_t count, room;
	bool cut; /* the rest of the file has not been looked at */
	bool no_memory;
	struct pool_mistake *mistake;
	size_t mistake_count, mistake_room;
	bool more; /* mistakes than are kept: there is no use in reading on */
};

/* ---- pool_reader.c ---- */

void pool_reader_finish(struct pool_reader *reader);
bool pool_reader_no_memory(const struct pool_reader *reader);

/* Both return NULL when out of memory, and note it. */
struct pool_draft *pool_reader_add(struct pool_reader *reader, struct shard__text name, unsigned line);
char *pool_reader_copy(struct pool_reader *reader, struct shard__text text);

/* One more of the *ROOM in ARRAY, an array of COUNT parts of SIZE bytes. Returns it, or NULL when out of memory. */
void *pool_reader_grow(struct pool_reader *reader, void *array, size_t count, size_t *room, size_t size);

/* ---- pool_mistake.c ---- */

/* Notes what is wrong; POOL is NULL where it is not of a pool. */
__attribute__((format(printf, 4, 5))) void pool_mistake(struct pool_reader *reader, const struct pool_draft *pool,
							unsigned line, const char *format, ...);

/* All of them by their lines, a line each, malloc'ed; NULL when out of memory. */
char *pool_mistake_text(struct pool_reader *reader, const char *path);

/* Text of a file as it is shown: not too long, and with control characters escaped. */
struct pool_quote {
	char text[4 * 80 + 8];
};
struct pool_quote pool_quote(struct shard__text text);
struct pool_quote pool_quote_string(const char *string);

struct strbuf;
void pool_quote_all(struct strbuf *out, const char *string); /* however long it is */

/* ---- pool_parse.c ---- */

struct pool_yaml;

/* Fills READER from the text of a file. */
void pool_parse(struct pool_reader *reader, const struct pool_yaml *yaml, const char *text, size_t len);

/* ---- pool_directive.c ---- */

/* -1: there is none of this name. */
int pool_directive_find(struct shard__text name);
const char *pool_directive_name(int directive);

/* One value of a directive; all values of a list come here, one by one. */
void pool_directive_set(struct pool_reader *reader, struct pool_draft *draft, int directive, struct shard__text value,
			unsigned line);
void pool_directive_unknown(struct pool_reader *reader, struct pool_draft *draft, struct shard__text name,
			    unsigned line);

/* ---- pool_address.c ---- */

/* What they parse goes into DRAFT. They return whether it was right. */
bool pool_address_listen(struct pool_reader *reader, struct pool_draft *draft, struct shard__text value, unsigned line);
bool pool_address_server(struct pool_reader *reader, struct pool_draft *draft, struct shard__text value, unsigned line);

/* ---- pool_check.c ---- */

/* What can be told only when all of the file is known. */
void pool_check(struct pool_reader *reader);

#endif
