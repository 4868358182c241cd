/* SPDX-License-Identifier: MIT */
#include "plan.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "text.h"

void plan_init(struct plan *plan)
{
	memset(plan->target, 0xff, sizeof(plan->target));
}

size_t plan_count(const struct plan *plan)
{
	size_t count = 0;

	for (unsigned slot = 0; slot < SHARD_SLOTS; slot++)
		count += plan->target[slot] >= 0;
	return count;
}

/* The end of the run of slots that move alike. */
static unsigned run_of(const struct plan *plan, const struct view *view, unsigned first)
{
	unsigned last = first;

	while (last + 1 < SHARD_SLOTS && plan->target[last + 1] == plan->target[first] &&
	       (plan->target[first] < 0 || view->owner[last + 1] == view->owner[first]))
		last++;
	return last;
}

void plan_print(const struct plan *plan, const struct view *view)
{
	for (unsigned first = 0, last; first < SHARD_SLOTS; first = last + 1) {
		last = run_of(plan, view, first);
		if (plan->target[first] >= 0)
			printf("%u-%u %s %s\n", first, last, view->node[view->owner[first]].addr,
			       view->node[plan->target[first]].addr);
	}
	fflush(stdout);
}

char *plan_text(const struct plan *plan, const struct view *view)
{
	char *content = NULL;
	size_t size = 0;
	FILE *file = open_memstream(&content, &size);

	for (unsigned first = 0, last; file && first < SHARD_SLOTS; first = last + 1) {
		last = run_of(plan, view, first);
		if (plan->target[first] >= 0)
			fprintf(file, "%u-%u %s %s\n", first, last, view->node[view->owner[first]].id,
				view->node[plan->target[first]].id);
	}
	if (!file || fclose(file)) {
		free(content);
		content = text("%s", "");
	}
	return content;
}

json_t *plan_json(const struct plan *plan, const struct view *view)
{
	json_t *moves = json_array();

	for (unsigned first = 0, last; first < SHARD_SLOTS; first = last + 1) {
		last = run_of(plan, view, first);
		if (plan->target[first] >= 0)
			json_array_append_new(moves, json_pack("{s:i, s:i, s:s, s:s}", "first", (int)first, "last",
							       (int)last, "source",
							       view->node[view->owner[first]].addr, "target",
							       view->node[plan->target[first]].addr));
	}
	return json_pack("{s:I, s:o}", "slots", (json_int_t)plan_count(plan), "moves", moves);
}

/* ---- reading ---- */

#define LINE_MAX_BYTES 1024

struct line {
	const char *path;
	unsigned number;
};

static bool refuse(const struct line *line, const char *what, const char *why)
{
	cli_error("%s: line %u: %s: %s", line->path, line->number, what, why);
	return false;
}

static bool read_range(const struct line *line, char *word, long *first, long *last)
{
	char *dash = strchr(word, '-');

	if (dash)
		*dash = '\0';
	if (!text_number(word, 0, SHARD_SLOTS - 1, first) ||
	    !text_number(dash ? dash + 1 : word, *first, SHARD_SLOTS - 1, last))
		return refuse(line, "FIRST-LAST", "two slots from 0 to 16383 are wanted");
	return true;
}

static bool read_node(const struct line *line, const struct view *view, const char *word, int *node)
{
	char why[VIEW_WHY_SIZE];

	*node = view_find(view, word, why);
	if (*node < 0) {
		cli_error("%s: line %u: %s", line->path, line->number, why);
		return false;
	}
	if (!view_is_master(&view->node[*node]))
		return refuse(line, word, "not a master that answers");
	return true;
}

static bool add_range(struct plan *plan, const struct line *line, const struct view *view, long first, long last,
		      const int node[2])
{
	char word[16];

	for (long slot = first; slot <= last; slot++) {
		snprintf(word, sizeof(word), "slot %ld", slot);
		if (view->owner[slot] == node[1])
			continue;
		if (view->owner[slot] != node[0])
			return refuse(line, word, "neither SOURCE nor TARGET owns it");
		if (plan->target[slot] >= 0 && plan->target[slot] != node[1])
			return refuse(line, word, "an earlier line moves it elsewhere");
		plan->target[slot] = (int16_t)node[1];
	}
	return true;
}

static bool read_line(struct plan *plan, const struct line *line, const struct view *view, char *content)
{
	char *save, *word[4];
	int node[2];
	long first, last;
	size_t words = 0;

	content[strcspn(content, "#")] = '\0';
	for (char *w = strtok_r(content, " \t\r", &save); w && words < 4; w = strtok_r(NULL, " \t\r", &save))
		word[words++] = w;
	if (!words)
		return true;
	if (words != 3)
		return refuse(line, "a plan", "FIRST-LAST SOURCE TARGET is wanted");
	return read_range(line, word[0], &first, &last) && read_node(line, view, word[1], &node[0]) &&
	       read_node(line, view, word[2], &node[1]) && add_range(plan, line, view, first, last, node);
}

/* The next line into CONTENT. Returns 1; 0: there is none; -1: it is none of a plan, which was told. */
static int next_line(struct line *line, FILE *file, char content[LINE_MAX_BYTES])
{
	size_t len = 0;
	int c;

	line->number++;
	while ((c = getc(file)) != EOF && c != '\n') {
		if (!c || len + 1 == LINE_MAX_BYTES) {
			refuse(line, "a plan", c ? "the line is too long" : "the line holds a NUL");
			return -1;
		}
		content[len++] = (char)c;
	}
	content[len] = '\0';
	return c == '\n' || len;
}

bool plan_read(struct plan *plan, const struct view *view, const char *path)
{
	bool standard = !strcmp(path, "-");
	FILE *file = standard ? stdin : fopen(path, "re");
	struct line line = {standard ? "standard input" : path, 0};
	char content[LINE_MAX_BYTES];
	int state;

	plan_init(plan);
	if (!file) {
		cli_error("%s: %s", text_shown(path), strerror(errno));
		return false;
	}
	while ((state = next_line(&line, file, content)) > 0 && read_line(plan, &line, view, content))
		;
	if (!state && ferror(file)) {
		cli_error("%s: %s", line.path, strerror(errno));
		state = -1;
	}
	if (!standard)
		fclose(file);
	return !state;
}

/* ---- making ---- */

static void take_slots(struct plan *plan, const struct view *view, int source, int target, unsigned count)
{
	for (unsigned slot = 0; slot < SHARD_SLOTS && count; slot++) {
		if (view->owner[slot] != source || plan->target[slot] >= 0)
			continue;
		plan->target[slot] = (int16_t)target;
		count--;
	}
}

void plan_share(struct plan *plan, const struct view *view, const int sources[], size_t source_count, int target,
		unsigned count)
{
	unsigned long total = 0, given = 0, before = 0;

	for (size_t i = 0; i < source_count; i++)
		total += view->node[sources[i]].slots;
	if (count > total)
		count = (unsigned)total;
	/* What is rounded away at one is made up for at the next. */
	for (size_t i = 0; i < source_count && total; i++) {
		unsigned share;

		before += view->node[sources[i]].slots;
		share = (unsigned)((before * count + total / 2) / total - given);
		take_slots(plan, view, sources[i], target, share);
		given += share;
	}
}

struct move_task *plan_tasks(const struct plan *plan, const struct view *view, size_t *count)
{
	struct move_task *task = allocate(plan_count(plan) + 1, sizeof(*task));

	*count = 0;
	for (unsigned slot = 0; slot < SHARD_SLOTS; slot++)
		if (plan->target[slot] >= 0)
			task[(*count)++] = (struct move_task){(uint16_t)slot, view->owner[slot], plan->target[slot],
							      MOVE_OWNED};
	return task;
}
