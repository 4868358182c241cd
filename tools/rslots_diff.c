/* SPDX-License-Identifier: MIT */
/* rslots --diff: what moves when a pool's file changes. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include <shard/uri.h>

#include "cli.h"
#include "rslots_compare.h"
#include "rslots_keys.h"
#include "rslots_layout.h"
#include "rslots_pool.h"

struct diff {
	const struct pool_query *query;
	struct out out;
	struct layout from, to;
	struct compare compare;
};

/* ---- the other pool ---- */

#define SCHEME "twemproxy:"

/* Cuts FILE#POOL at the last '#', where there is one. Out: *FILE, *POOL (NULL: not named), malloc'ed. */
static void split_name(const char *text, char **file, char **pool)
{
	const char *mark = strrchr(text, '#');
	size_t len = mark ? (size_t)(mark - text) : strlen(text);

	*file = cli_alloc(len + 1);
	memcpy(*file, text, len);
	(*file)[len] = '\0';
	*pool = NULL;
	if (!len)
		cli_usage("--diff: no file: write FILE or FILE#POOL");
	if (mark && mark[1])
		*pool = strcpy(cli_alloc(strlen(mark + 1) + 1), mark + 1);
}

/* Takes a twemproxy: URI apart. Returns false where it is none, reported. */
static bool split_uri(const char *text, char **file, char **pool)
{
	shard_uri *uri;
	char *why = NULL;
	int error = shard_uri_parse(text, &uri, &why);

	if (error) {
		cli_error("--diff: %s", why ? why : shard_strerror(error));
		free(why);
		return false;
	}
	*file = uri->file;
	*pool = uri->pool;
	uri->file = uri->pool = NULL;
	shard_uri_free(uri);
	return true;
}

/* A line for each line of WHY, which it takes. */
static void report(int error, char *why)
{
	if (!why)
		cli_error("%s", shard_strerror(error));
	for (char *line = why ? strtok(why, "\n") : NULL; line; line = strtok(NULL, "\n"))
		cli_error("%s", line);
	free(why);
}

/* The pool of this NAME; where none is named that of the same name as OURS, else the only one. Read once: it may be
   a pipe. */
static const shard_pool *find(const shard_pool_file *file, const char *name, const shard_pool *ours)
{
	const shard_pool *pool = name ? NULL : shard_pool_find(file, ours->name, NULL);
	char *why = NULL;

	if (!pool)
		pool = shard_pool_find(file, name, &why);
	if (!pool)
		report(SHARD_EPOOL, why);
	return pool;
}

static const shard_pool *load(const struct pool_query *query, shard_pool_file **loaded)
{
	bool is_uri = !strncasecmp(query->other, SCHEME, strlen(SCHEME));
	const shard_pool *pool = NULL;
	char *file = NULL, *name = NULL, *why = NULL;
	int error;

	if (!is_uri)
		split_name(query->other, &file, &name);
	else if (!split_uri(query->other, &file, &name))
		return NULL;
	error = shard_pool_file_load(file, loaded, &why);
	if (error)
		report(error, why);
	else
		pool = find(*loaded, name, query->pool);
	if (pool && pool->cluster) {
		cli_error("%s:%u: pool '%s': its servers are a cluster's, of which each slot has its own; --diff "
			  "compares pools of plain servers",
			  file, pool->line, pool->name);
		pool = NULL;
	}
	free(file);
	free(name);
	return pool;
}

/* ---- what a number does not tell ---- */

/* Names whose address is another one now. */
static void tell_addresses(const struct diff *diff)
{
	const shard_pool *from = diff->from.pool, *to = diff->to.pool;
	const struct move *first = NULL;
	size_t count = 0;

	for (size_t i = 0; i < diff->compare.moves.used; i++) {
		const struct move *move = &diff->compare.moves.move[i];

		if (strcmp(from->server[move->from].name, to->server[move->to].name) != 0)
			continue;
		first = first ? first : move;
		count++;
	}
	if (first)
		cli_error("%zu %s another address (%s: %s, then %s): keys that stay with the name move, too", count,
			  count == 1 ? "name has" : "names have", from->server[first->from].name,
			  from->server[first->from].addr, to->server[first->to].addr);
}

static void tell_databases(const struct diff *diff)
{
	int from = diff->from.pool->redis_db, to = diff->to.pool->redis_db;

	if (from != to)
		cli_error("redis_db is %d, then %d: keys that stay are looked for in another database, which is not "
			  "counted",
			  from, to);
}

/* Whether hash tags change, and keys with one are not among those that were counted. */
static bool tags_uncounted(const struct diff *diff)
{
	return !diff->query->keys.count && memcmp(diff->from.pool->hash_tag, diff->to.pool->hash_tag, 2) != 0;
}

/* What moves of the keys with such a tag. */
static void tell_tagged(const struct diff *diff, const char tag[2])
{
	struct compare compare;
	char shown[16];

	if (!tags_uncounted(diff) || (!tag[0] && !tag[1]))
		return;
	compare_init(&compare, &diff->from, &diff->to);
	compare_tagged(&compare, tag);
	cli_error("hash_tag differs: %.3f of the keys with a tag in %s move, give or take %.3f",
		  (double)compare.moves.moved / (double)compare.total, cli_show(tag, 2, shown, sizeof(shown)),
		  compare_error(&compare));
	compare_finish(&compare);
}

static void tell_whole(const struct diff *diff)
{
	const struct compare *compare = &diff->compare;
	double share = compare->total ? (double)compare->moves.moved / (double)compare->total : 0;
	unsigned long long total = compare->total;
	const char *which = tags_uncounted(diff) ? "keys without a tag" : "keys";
	char text[16] = "0";

	if (share > 0)
		snprintf(text, sizeof(text), "%.6f", share);
	if (diff->query->keys.count)
		cli_error("%s of %llu %s", text, total, total == 1 ? "key moves" : "keys move");
	else if (compare->sampled)
		cli_error("%s of all %s move, give or take %.3f (%llu random keys were tried)", text, which,
			  compare_error(compare), total);
	else
		cli_error("%s of all %s move", text, which);
}

/* ---- all ---- */

static int add_key(void *ctx, const char *key, size_t len)
{
	struct diff *diff = ctx;

	compare_key(&diff->compare, key, len);
	return CLI_OK;
}

static void print(struct diff *diff)
{
	struct record_writer writer = {.format = diff->query->format, .out = &diff->out};
	const struct moves *moves = &diff->compare.moves;

	for (size_t i = 0; i < moves->used; i++) {
		const char *from = diff->from.pool->server[moves->move[i].from].name;
		const char *to = diff->to.pool->server[moves->move[i].to].name;

		record_begin(&writer);
		pool_put_share(&writer, (double)moves->move[i].count / (double)diff->compare.total);
		record_text(&writer, "from", from, strlen(from));
		record_text(&writer, "to", to, strlen(to));
		record_end(&writer);
	}
}

static int run(struct diff *diff)
{
	const struct pool_query *query = diff->query;
	int status = CLI_OK;

	out_init(&diff->out, STDOUT_FILENO);
	compare_init(&diff->compare, &diff->from, &diff->to);
	if (query->keys.count)
		status = keys_walk(&query->keys, query->format, &diff->out, add_key, diff);
	else
		compare_all(&diff->compare);
	moves_sort(&diff->compare.moves);
	print(diff);
	out_flush(&diff->out);
	tell_addresses(diff);
	tell_databases(diff);
	tell_tagged(diff, diff->from.pool->hash_tag);
	tell_tagged(diff, diff->to.pool->hash_tag);
	tell_whole(diff);
	compare_finish(&diff->compare);
	out_finish(&diff->out);
	return status;
}

int pool_diff(const struct pool_query *query)
{
	struct diff diff = {.query = query};
	shard_pool_file *file = NULL;
	const shard_pool *other = load(query, &file);
	int status = CLI_FAILED;

	if (other && layout_init(&diff.from, query->path, query->pool) && layout_init(&diff.to, file->path, other) &&
	    layout_has_places(&diff.from) && layout_has_places(&diff.to))
		status = run(&diff);
	layout_finish(&diff.from);
	layout_finish(&diff.to);
	shard_pool_file_free(file);
	return status;
}
