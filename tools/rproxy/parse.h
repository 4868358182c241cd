/* SPDX-License-Identifier: MIT */
/* Requests as clients send them: RESP2 arrays of strings and, where allowed, plain lines. */
#ifndef RPROXY_PARSE_H
#define RPROXY_PARSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PARSE_WORDS_MAX (1 << 20)
#define PARSE_BULK_MAX ((size_t)512 << 20)

/* The words of a request: where they begin in its bytes, and how long they are. */
struct words {
	size_t count, room;
	size_t *at;
	size_t *len;
	const char **argv; /* words_point() */
};

/* What is known of a request that has not come whole. All zero at its beginning. */
struct parse {
	size_t at;     /* looked at; behind PARSE_WHOLE its end */
	size_t need;   /* there is no use in going on before so many bytes are there */
	size_t expect; /* words; 0: not known yet */
	const char *why; /* PARSE_BAD */
};

enum parse_state { PARSE_MORE, PARSE_WHOLE, PARSE_BAD };

/*
 * Goes on with the request that begins at DATA, of which LEN bytes are there. WORDS gets its words; of a whole one
 * without words (an empty line, "*0") there are none. LINES: plain lines are taken, too.
 */
enum parse_state parse_request(struct parse *parse, const char *data, size_t len, bool lines, struct words *words);

/* Fills in argv, for a request at DATA. */
static inline void words_point(struct words *words, const char *data)
{
	for (size_t i = 0; i < words->count; i++)
		words->argv[i] = data + words->at[i];
}

bool words_add(struct words *words, size_t at, size_t len); /* false: no memory */
void words_finish(struct words *words);

#endif
