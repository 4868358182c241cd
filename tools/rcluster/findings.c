/* SPDX-License-Identifier: MIT */
#include "findings.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "keys.h"
#include "text.h"

static const char *const kind_names[] = {
	[FINDING_SILENT] = "silent",       [FINDING_FAILED] = "failed",   [FINDING_DISAGREE] = "disagree",
	[FINDING_OPEN] = "open",           [FINDING_UNCOVERED] = "uncovered", [FINDING_CLAIMED] = "claimed",
	[FINDING_STRAY] = "stray",
};

/* SLOTS is taken over. */
__attribute__((format(printf, 5, 6))) static void add(struct findings *to, enum finding_kind kind, int node,
						     char *slots, const char *format, ...)
{
	va_list args;
	char *line;

	va_start(args, format);
	if (vasprintf(&line, format, args) < 0)
		line = text("out of memory");
	va_end(args);
	to->finding = cli_realloc(to->finding, (to->count + 1) * sizeof(*to->finding));
	to->finding[to->count++] = (struct finding){kind, node, slots, line};
}

/* The slots that are set, as "5,10-12"; NULL: none. */
static char *slots_text(const bool slots[SHARD_SLOTS])
{
	char *out = NULL;

	for (unsigned first = 0, last; first < SHARD_SLOTS; first = last + 1) {
		char *longer;

		for (last = first; slots[first] && last + 1 < SHARD_SLOTS && slots[last + 1];)
			last++;
		if (!slots[first])
			continue;
		longer = first == last ? text("%s%s%u", out ? out : "", out ? "," : "", first)
				       : text("%s%s%u-%u", out ? out : "", out ? "," : "", first, last);
		free(out);
		out = longer;
	}
	return out;
}

static void find_silent(struct findings *to, const struct view *view)
{
	for (size_t i = 0; i < view->count; i++) {
		const struct view_node *node = &view->node[i];

		if (!node->map)
			add(to, FINDING_SILENT, (int)i, NULL, "does not answer: %s", node->error);
		else if (node->flags & (SHARD_NODE_FAIL | SHARD_NODE_PFAIL))
			add(to, FINDING_FAILED, (int)i, NULL, "another node has it marked as %sfailed",
			    node->flags & SHARD_NODE_FAIL ? "" : "possibly ");
		else if (!node->ok)
			add(to, FINDING_FAILED, (int)i, NULL, "its cluster_state is not ok");
		else if (node->flags & SHARD_NODE_REPLICA && !node->link_up)
			add(to, FINDING_FAILED, (int)i, NULL, "the link to its master is down");
	}
}

static void find_disagreement(struct findings *to, const struct view *view)
{
	char why[VIEW_WHY_SIZE];
	int first = -1;

	for (size_t i = 0; i < view->count; i++) {
		if (!view->node[i].map)
			continue;
		if (first < 0)
			first = (int)i;
		else if (!view_same(view, (unsigned)first, (unsigned)i, why))
			add(to, FINDING_DISAGREE, (int)i, NULL, "%s", why);
	}
}

static bool same_opening(const struct view_open *a, const struct view_open *b)
{
	return a->node == b->node && a->importing == b->importing && !strcmp(a->peer_id, b->peer_id);
}

/* All that a node has open with one other, the same way, is one finding. */
static void find_open(struct findings *to, const struct view *view)
{
	for (size_t i = 0; i < view->open_count; i++) {
		const struct view_open *open = &view->open[i];
		bool slots[SHARD_SLOTS] = {false};
		bool seen = false;

		for (size_t j = 0; j < view->open_count; j++) {
			if (!same_opening(open, &view->open[j]))
				continue;
			seen = seen || j < i;
			slots[view->open[j].slot] = true;
		}
		if (!seen)
			add(to, FINDING_OPEN, (int)open->node, slots_text(slots), "has slots open, %s %s",
			    open->importing ? "importing from" : "migrating to",
			    open->peer < 0 ? open->peer_id : view->node[open->peer].addr);
	}
}

static bool owns(const struct view_node *node, unsigned slot)
{
	int owner = shard_topology_owner(node->map, slot);

	return owner >= 0 && shard_topology_node(node->map, (size_t)owner)->flags & SHARD_NODE_MYSELF;
}

static void find_claims(struct findings *to, const struct view *view)
{
	for (size_t i = 0; i < view->count; i++) {
		bool slots[SHARD_SLOTS] = {false};
		char *claimed;

		for (unsigned slot = 0; slot < SHARD_SLOTS && view_is_master(&view->node[i]); slot++)
			slots[slot] = view->owner[slot] != (int)i && owns(&view->node[i], slot);
		claimed = slots_text(slots);
		if (claimed)
			add(to, FINDING_CLAIMED, (int)i, claimed, "says that it owns slots that another owns");
	}
}

static void find_uncovered(struct findings *to, const struct view *view)
{
	unsigned covered = view_covered(view);

	if (covered < SHARD_SLOTS)
		add(to, FINDING_UNCOVERED, -1, view_slots_text(view, VIEW_NOBODY), "%u slots of %d have no owner",
		    SHARD_SLOTS - covered, SHARD_SLOTS);
}

static bool find_strays(struct findings *to, const struct admin *admin)
{
	const struct view *view = &admin->view;
	long long *keys = allocate(SHARD_SLOTS, sizeof(*keys));
	bool ok = true;

	for (size_t i = 0; i < view->count && ok; i++) {
		bool slots[SHARD_SLOTS] = {false};
		long long strays = 0;

		if (!view_is_master(&view->node[i]))
			continue;
		ok = keys_count(admin, (unsigned)i, keys);
		for (unsigned slot = 0; slot < SHARD_SLOTS && ok; slot++) {
			slots[slot] = view->owner[slot] != (int)i && keys[slot] > 0;
			strays += slots[slot] ? keys[slot] : 0;
		}
		if (ok && strays)
			add(to, FINDING_STRAY, (int)i, slots_text(slots), "holds %lld keys of slots that are not its own",
			    strays);
	}
	free(keys);
	return ok;
}

bool findings_look(struct findings *findings, const struct admin *admin, bool strays)
{
	*findings = (struct findings){0};
	find_silent(findings, &admin->view);
	find_disagreement(findings, &admin->view);
	find_open(findings, &admin->view);
	find_claims(findings, &admin->view);
	find_uncovered(findings, &admin->view);
	return !strays || find_strays(findings, admin);
}

void findings_finish(struct findings *findings)
{
	for (size_t i = 0; i < findings->count; i++) {
		free(findings->finding[i].slots);
		free(findings->finding[i].text);
	}
	free(findings->finding);
	*findings = (struct findings){0};
}

void findings_report(const struct findings *findings, const struct view *view)
{
	for (size_t i = 0; i < findings->count; i++) {
		const struct finding *f = &findings->finding[i];
		const char *where = f->node < 0 ? "" : view->node[f->node].addr;

		/* An agreement that is missing names its two nodes itself. */
		if (f->kind == FINDING_DISAGREE || !*where)
			where = NULL;
		cli_error("%s%s%s%s%s", where ? where : "", where ? ": " : "", f->text, f->slots ? ": " : "",
			  f->slots ? f->slots : "");
	}
}

json_t *findings_json(const struct findings *findings, const struct view *view)
{
	json_t *all = json_array();

	for (size_t i = 0; i < findings->count; i++) {
		const struct finding *f = &findings->finding[i];
		json_t *one = json_pack("{s:s, s:s}", "kind", kind_names[f->kind], "text", f->text);

		if (f->node >= 0)
			json_object_set_new(one, "node", json_string(view->node[f->node].addr));
		if (f->slots)
			json_object_set_new(one, "slots", json_string(f->slots));
		json_array_append_new(all, one);
	}
	return all;
}

static bool matters(const struct finding *finding, const struct view *view)
{
	return (finding->kind != FINDING_SILENT && finding->kind != FINDING_FAILED) ||
	       (finding->node >= 0 && view->node[finding->node].flags & SHARD_NODE_MASTER);
}

static bool none(const struct admin *admin, bool all)
{
	struct findings findings;
	size_t kept = 0, all_count;

	findings_look(&findings, admin, false);
	for (size_t i = 0; i < findings.count; i++) {
		struct finding finding = findings.finding[i];

		if (!all && !matters(&finding, &admin->view))
			continue;
		findings.finding[i] = findings.finding[kept];
		findings.finding[kept++] = finding;
	}
	all_count = findings.count;
	findings.count = kept;
	findings_report(&findings, &admin->view);
	findings.count = all_count;
	findings_finish(&findings);
	return !kept;
}

bool findings_none(const struct admin *admin)
{
	return none(admin, true);
}

bool findings_movable(const struct admin *admin)
{
	return none(admin, false);
}
