/* SPDX-License-Identifier: MIT */
#include "survey.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <shard/tracking.h>

#include "errors.h"
#include "fs.h"

#define CHECKS_AT_ONCE 10000
#define CHECKS_ENOUGH 64 /* to find one key that is there */
#define ROUNDS 64
/* With -o sep the index is a convenience: where it would be larger, each listing asks the servers. */
#define SHOWN_BYTES_MAX ((size_t)256 << 20)

/* Somebody who wants to know. */
struct want {
	struct want *prev, *next;
	struct survey *survey; /* NULL: it does not wait any more */
	unsigned holds;        /* checks under way, and its own */
	char *prefix;
	size_t len;
	enum survey_depth depth;
	survey_done done;
	void *ctx;
	shard_timer *timer;
	size_t checks; /* under way */
	unsigned rounds;
	int error;
	/* Of a listing of its own. */
	struct index *index;
	shard_scan *scan;
};

/* A key that is being asked for. */
struct check {
	struct check *prev, *next;
	struct check **head;
	uint64_t hash;
	bool stale; /* it has changed since */
	struct want *want; /* held */
	size_t len;
	char key[];
};

static void evaluate(struct want *want);

/* ---- wants ---- */

static void drop_want(struct want *want)
{
	if (--want->holds)
		return;
	free(want->prefix);
	free(want);
}

static void leave(struct want *want)
{
	shard_scan_destroy(want->scan);
	shard_timer_cancel(want->timer);
	want->scan = NULL;
	want->timer = NULL;
	if (want->next)
		want->next->prev = want->prev;
	*(want->prev ? &want->prev->next : &want->survey->wants) = want->next;
	want->survey = NULL;
}

/* The key that is called as the directory is; NULL: another name has it, or nobody asks for it. */
static const char *value_of(const struct want *want, size_t *len)
{
	const struct tree *tree = &want->survey->fs->tree;

	if (tree->shown || !want->len || want->depth == SURVEY_EXISTS)
		return NULL;
	*len = want->len - tree->sep_len;
	return want->prefix;
}

static void answer(struct want *want, const struct index *index, int error)
{
	struct survey_view view = {.index = index};
	struct index *own = want->index;
	const char *value;
	size_t len;

	if (!error) {
		view.dir = index_dir(index, want->prefix, want->len);
		if (view.dir && !index_sure(view.dir))
			view.dir = NULL;
		value = value_of(want, &len);
		view.value = value && index_get(index, value, len) == INDEX_SURE;
	}
	leave(want);
	want->done(want->ctx, error ? NULL : &view, error);
	index_destroy(own);
	drop_want(want);
}

static void late(void *ctx)
{
	struct want *want = ctx;

	want->timer = NULL;
	answer(want, NULL, ETIMEDOUT);
}

/* ---- the index ---- */

static bool is_tracked(const struct fs *fs)
{
	shard_mark mark;
	unsigned nodes, tracked;

	if (!fs->cache.tracking)
		return false;
	shard_tracking_count(fs->cache.tracking, &nodes, &tracked);
	return nodes && tracked == nodes && shard_tracking_mark(fs->cache.tracking, "", 0, &mark);
}

static struct check **checks_of(struct survey *survey, uint64_t hash)
{
	return &survey->checks[hash % SURVEY_CHECKS];
}

static void forget_index(struct survey *survey)
{
	shard_scan_destroy(survey->scan);
	survey->scan = NULL;
	index_destroy(survey->index);
	survey->index = NULL;
	for (size_t i = 0; i < SURVEY_CHECKS; i++)
		for (struct check *check = survey->checks[i]; check; check = check->next)
			check->stale = true;
}

/* Those who wait for the index go on, with or without it. */
static void wake_all(struct survey *survey)
{
	/* Each leaves, or asks; one that asks again goes to the front. */
	for (bool again = true; again;) {
		again = false;
		for (struct want *want = survey->wants; want && !again; want = want->next) {
			if (want->scan || want->checks || survey->scan)
				continue;
			again = true;
			evaluate(want);
		}
	}
}

static bool is_over(const struct survey *survey)
{
	return survey->fs->tree.shown && index_bytes(survey->index) > SHOWN_BYTES_MAX;
}

static int take_batch(struct survey *survey, const shard_scan_batch *batch)
{
	int error = 0;

	for (size_t i = 0; !error && i < batch->count; i++) {
		const shard_reply *key = &batch->keys[i];
		/* What has changed since the listing began stays in doubt. */
		if (index_get(survey->index, key->str, key->len) == INDEX_NONE)
			error = index_set(survey->index, key->str, key->len, INDEX_SURE, NULL);
	}
	return error;
}

static int error_of(const shard_scan_batch *batch)
{
	if (batch->error == SHARD_ESERVER)
		return errors_of_words(batch->message);
	return batch->error ? errors_of_code(batch->error) : 0;
}

static void fail_all(struct survey *survey, int error)
{
	forget_index(survey);
	for (struct want *want = survey->wants, *next; want; want = next) {
		next = want->next;
		want->error = error;
	}
	wake_all(survey);
}

static void batch_came(void *ctx, const shard_scan_batch *batch)
{
	struct survey *survey = ctx;
	int error = error_of(batch);

	if (!error)
		error = take_batch(survey, batch);
	survey->too_large |= !error && is_over(survey);
	if (!error && !batch->done && !survey->too_large)
		error = errors_of_code(shard_scan_next(survey->scan, batch_came, survey));
	if (error) {
		fail_all(survey, error);
	} else if (survey->too_large) {
		forget_index(survey);
		wake_all(survey);
	} else if (batch->done) {
		shard_scan_destroy(survey->scan);
		survey->scan = NULL;
		wake_all(survey);
	}
}

static bool begin_index(struct survey *survey)
{
	static const shard_scan_options how = {.duplicates = true};

	forget_index(survey);
	survey->index = index_create(&survey->fs->tree);
	survey->scan = survey->index ? shard_scan_create(fs_client(survey->fs), &how) : NULL;
	if (survey->scan && shard_scan_next(survey->scan, batch_came, survey) == SHARD_OK)
		return true;
	forget_index(survey);
	return false;
}

/* ---- a listing of one's own ---- */

/* Of a key that is deeper than is asked for, the directory is enough. */
static int take_own(struct want *want, const shard_reply *key)
{
	size_t len = key->len, value_len = 0;
	const char *value = value_of(want, &value_len);

	if (value && len == value_len && memcmp(key->str, value, len) == 0)
		return index_set(want->index, key->str, len, INDEX_SURE, NULL);
	if (len < want->len || memcmp(key->str, want->prefix, want->len) != 0)
		return 0;
	if (want->depth != SURVEY_KEYS) {
		size_t next = tree_next(&want->survey->fs->tree, key->str, len, want->len);
		len = next ? next : len;
	}
	return index_set(want->index, key->str, len, INDEX_SURE, NULL);
}

static void own_came(void *ctx, const shard_scan_batch *batch)
{
	struct want *want = ctx;
	int error = error_of(batch);

	for (size_t i = 0; !error && i < batch->count; i++)
		error = take_own(want, &batch->keys[i]);
	bool enough = batch->done ||
		      (want->depth == SURVEY_EXISTS && index_dir(want->index, want->prefix, want->len));
	if (!error && !enough)
		error = errors_of_code(shard_scan_next(want->scan, own_came, want));
	if (error || enough)
		answer(want, want->index, error);
}

/* A pattern of all keys that begin with PREFIX; NULL when out of memory. */
static char *pattern_of(const char *prefix, size_t len, size_t *pattern_len)
{
	char *pattern = malloc(2 * len + 1), *to = pattern;

	if (!pattern)
		return NULL;
	for (size_t i = 0; i < len; i++) {
		if (prefix[i] && strchr("*?[]\\^", prefix[i]))
			*to++ = '\\';
		*to++ = prefix[i];
	}
	*to++ = '*';
	*pattern_len = (size_t)(to - pattern);
	return pattern;
}

static int begin_own(struct want *want)
{
	shard_scan_options how = {.duplicates = true};
	size_t len = want->len;

	value_of(want, &len); /* it begins as the others do */
	char *pattern = pattern_of(want->prefix, len, &how.match_len);

	how.match = pattern;
	want->index = index_create(&want->survey->fs->tree);
	if (pattern && want->index)
		want->scan = shard_scan_create(fs_client(want->survey->fs), &how);
	free(pattern);
	return want->scan ? errors_of_code(shard_scan_next(want->scan, own_came, want)) : ENOMEM;
}

/* ---- what is in doubt ---- */

static void end_check(struct check *check)
{
	*(check->prev ? &check->prev->next : check->head) = check->next;
	if (check->next)
		check->next->prev = check->prev;
	free(check);
}

static int settle(struct survey *survey, const struct check *check, bool there)
{
	if (check->stale || index_get(survey->index, check->key, check->len) != INDEX_UNSURE)
		return 0;
	return index_set(survey->index, check->key, check->len, there ? INDEX_SURE : INDEX_NONE, NULL);
}

static void check_came(void *ctx, const shard_result *result)
{
	struct check *check = ctx;
	struct want *want = check->want;
	struct survey *survey = want->survey;
	int error = errors_of_result(result);

	if (!error && result->reply->type != SHARD_REPLY_INTEGER)
		error = EIO;
	if (!error && survey)
		error = settle(survey, check, result->reply->integer);
	want->error = error ? error : want->error;
	end_check(check);
	if (--want->checks == 0 && survey)
		evaluate(want);
	drop_want(want);
}

static bool begin_check(struct want *want, const char *key, size_t len)
{
	struct survey *survey = want->survey;
	struct check *check = malloc(sizeof(*check) + len);
	const char *const argv[] = {"EXISTS", key};
	const size_t argvlen[] = {6, len};
	const shard_call how = {.timeout_ms = fs_timeout_ms(survey->fs)};

	if (!check)
		return false;
	*check = (struct check){.hash = name_hash(key, len), .want = want, .len = len};
	memcpy(check->key, key, len);
	check->head = checks_of(survey, check->hash);
	check->next = *check->head;
	if (check->next)
		check->next->prev = check;
	*check->head = check;
	if (shard_submit(fs_client(survey->fs), 2, argv, argvlen, &how, check_came, check, NULL) != SHARD_OK) {
		end_check(check);
		return false;
	}
	survey->fs->stats.commands++;
	want->holds++;
	want->checks++;
	return true;
}

struct gathering {
	struct want *want;
	const struct index *index;
	char *key; /* of the directory that is gone through */
	size_t len;
	size_t most;
};

static bool gather(void *ctx, const char *key, size_t len)
{
	struct gathering *gathering = ctx;
	struct want *want = gathering->want;

	if (!begin_check(want, key, len))
		want->error = ENOMEM;
	return !want->error && want->checks < gathering->most;
}

static void gather_below(struct gathering *gathering, const struct index_dir *dir, const char *prefix, size_t len)
{
	if (index_each_key(gathering->index, dir, prefix, len, INDEX_UNSURE, gather, gathering))
		gathering->want->error = ENOMEM;
}

/* Of a directory in one that is listed it is enough that one key is there. */
static void gather_entry(void *ctx, const struct index_entry *entry)
{
	struct gathering *gathering = ctx, below = *gathering;
	const struct tree *tree = &gathering->want->survey->fs->tree;
	bool unsure_dir = entry->dir && !index_sure(entry->dir);

	if ((entry->state != INDEX_UNSURE && !unsure_dir) || gathering->want->checks >= gathering->most)
		return;
	size_t end = gathering->len + entry->len;
	char *key = realloc(gathering->key, end + tree->sep_len + 1);
	if (!key) {
		gathering->want->error = ENOMEM;
		return;
	}
	gathering->key = key;
	memcpy(key + gathering->len, entry->piece, entry->len);
	if (entry->state == INDEX_UNSURE)
		gather(gathering, key, end);
	memcpy(key + end, tree->sep, tree->sep_len);
	below.most = gathering->want->checks + CHECKS_ENOUGH;
	if (unsure_dir)
		gather_below(&below, entry->dir, key, end + tree->sep_len);
}

static void gather_names(struct gathering *gathering, const struct index_dir *dir)
{
	const struct want *want = gathering->want;

	gathering->key = malloc(want->len + 1);
	if (!gathering->key) {
		gathering->want->error = ENOMEM;
		return;
	}
	memcpy(gathering->key, want->prefix, want->len);
	gathering->len = want->len;
	index_each(dir, gather_entry, gathering);
	free(gathering->key);
}

/* Asks for what the answer depends on; nothing: it is known. */
static void begin_checks(struct want *want, const struct index *index, const struct index_dir *dir)
{
	size_t len = 0;
	const char *value = value_of(want, &len);
	struct gathering gathering = {
		.want = want, .index = index, .most = want->depth == SURVEY_EXISTS ? CHECKS_ENOUGH : CHECKS_AT_ONCE};

	if (value && index_get(index, value, len) == INDEX_UNSURE)
		gather(&gathering, value, len);
	if (!dir || !index_unsure(dir) || (want->depth == SURVEY_EXISTS && index_sure(dir)))
		return;
	if (want->depth == SURVEY_NAMES)
		gather_names(&gathering, dir);
	else
		gather_below(&gathering, dir, want->prefix, want->len);
}

static void look(struct want *want)
{
	const struct index *index = want->survey->index;

	begin_checks(want, index, index_dir(index, want->prefix, want->len));
	if (!want->checks)
		answer(want, index, want->error);
}

/* Begins what the answer takes next. */
static void evaluate(struct want *want)
{
	struct survey *survey = want->survey;
	bool tracked = is_tracked(survey->fs);
	int error = want->error;

	if (survey->index && !tracked) {
		want->holds++;
		survey_lost(survey);
		bool answered = !want->survey;
		drop_want(want);
		if (answered)
			return;
	}
	if (want->scan)
		return;
	if (!error && survey->scan)
		return;
	if (!error && survey->index && want->rounds++ < ROUNDS) {
		look(want);
		return;
	}
	if (!error && !survey->index && tracked && !survey->too_large && begin_index(survey))
		return;
	if (!error)
		error = begin_own(want);
	if (error)
		answer(want, NULL, error);
}

/* ---- */

void survey_ask(struct survey *survey, const char *prefix, size_t len, enum survey_depth depth, survey_done done,
		void *ctx)
{
	struct want *want = calloc(1, sizeof(*want));
	char *copy = malloc(len + 1);
	struct fs *fs = survey->fs;

	if (!want || !copy) {
		free(want);
		free(copy);
		done(ctx, NULL, ENOMEM);
		return;
	}
	if (len)
		memcpy(copy, prefix, len);
	*want = (struct want){.survey = survey, .holds = 1, .ctx = ctx, .prefix = copy, .len = len,
			      .depth = depth, .done = done, .next = survey->wants};
	if (want->next)
		want->next->prev = want;
	survey->wants = want;
	want->timer = shard_timer_add(fs_client(fs), fs_timeout_ms(fs), late, want);
	evaluate(want);
}

void survey_changed(struct survey *survey, const char *key, size_t len)
{
	uint64_t hash;

	if (!survey->index)
		return;
	hash = name_hash(key, len);
	for (struct check *check = *checks_of(survey, hash); check; check = check->next)
		if (check->hash == hash)
			check->stale = true;
	if (index_set(survey->index, key, len, INDEX_UNSURE, NULL))
		survey_lost(survey);
}

void survey_lost(struct survey *survey)
{
	bool waited = survey->scan;

	forget_index(survey);
	/* Not for another listing of all keys, which could be lost as well. */
	for (struct want *want = survey->wants, *next; want && waited; want = next) {
		next = want->next;
		if (want->scan || want->checks)
			continue;
		int error = begin_own(want);
		if (error)
			answer(want, NULL, error);
	}
}

static bool is_live(const struct survey *survey)
{
	return survey->index && !survey->scan && is_tracked(survey->fs);
}

bool survey_knows(const struct survey *survey, const char *prefix, size_t len, bool *there)
{
	const struct index_dir *dir = is_live(survey) ? index_dir(survey->index, prefix, len) : NULL;

	*there = dir && index_sure(dir);
	return *there || (is_live(survey) && (!dir || !index_unsure(dir)));
}

bool survey_has_other(const struct survey *survey, const char *prefix, size_t prefix_len, const char *key, size_t len,
		      bool dir)
{
	const struct index_dir *above, *below;
	size_t own;

	if (!is_live(survey))
		return false;
	above = index_dir(survey->index, prefix, prefix_len);
	below = dir ? index_dir(survey->index, key, len) : NULL;
	own = below ? index_sure(below) : index_get(survey->index, key, len) == INDEX_SURE;
	return above && index_sure(above) > own;
}

void survey_start(struct survey *survey, struct fs *fs)
{
	survey->fs = fs;
}

void survey_stop(struct survey *survey)
{
	while (survey->wants)
		answer(survey->wants, NULL, EIO);
	forget_index(survey);
}
