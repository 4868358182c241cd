/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "admin.h"
#include "cli.h"
#include "manifest.h"
#include "pull.h"
#include "steps.h"
#include "text.h"
#include "verb.h"
#include "wait.h"

#define IDLE_MS 60000

/* A backup under way: the masters that own slots, and their files. */
struct backup {
	struct admin *admin;
	const char *dir;
	size_t count;
	struct pull *pull;
	int *node;    /* of the view */
	char **name;  /* of its file */
	char (*ip)[64];
	char (*owner)[VIEW_ID_SIZE]; /* of each slot, by the first look */
};

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	(void)arg;
	if (key != ARGP_KEY_INIT)
		return ARGP_ERR_UNKNOWN;
	state->child_inputs[0] = state->input;
	return 0;
}

static const struct argp_child children[] = {{.argp = &admin_argp}, {0}};

static const struct argp argp = {
	.parser = parse_option,
	.children = children,
	.args_doc = "[HOST:PORT] DIR",
	.doc = "Writes a snapshot of every master, an RDB file, into DIR, and a manifest that tells of their slots, sizes "
	       "and checksums.",
};

/* Whether every slot has one owner who can be asked for its keys. Replicas may be away. */
static bool is_complete(const struct view *view)
{
	unsigned covered = view_covered(view);

	if (view->open_count) {
		cli_error("%s: slot %u is half-moved: rcluster fix goes on with it",
			  view->node[view->open[0].node].addr, view->open[0].slot);
		return false;
	}
	if (covered < SHARD_SLOTS) {
		cli_error("%u slots have no owner: their keys would be missing", SHARD_SLOTS - covered);
		return false;
	}
	for (size_t i = 0; i < view->count; i++) {
		if (!view->node[i].slots || view_answers(&view->node[i]))
			continue;
		cli_error("%s: does not answer, and owns %u slots: %s", view->node[i].addr, view->node[i].slots,
			  view->node[i].error);
		return false;
	}
	return true;
}

/* DIR may be there, and what a backup that was cut off left in it; a backup itself is not overwritten. */
static bool make_place(const char *dir)
{
	char *manifest = text("%s/" MANIFEST_FILE, dir);
	struct stat st;
	bool ok = false;

	if (mkdir(dir, 0700) && errno != EEXIST)
		cli_error("%s: %s", text_shown(dir), strerror(errno));
	else if (stat(dir, &st) || !S_ISDIR(st.st_mode))
		cli_error("%s: is not a directory", dir);
	else if (!access(manifest, F_OK))
		cli_error("%s: holds a backup already: choose another directory, or remove that one", dir);
	else if (access(dir, W_OK | X_OK))
		cli_error("%s: %s", dir, strerror(errno));
	else
		ok = true;
	free(manifest);
	return ok;
}

static bool prepare(struct backup *backup)
{
	const struct view *view = &backup->admin->view;

	backup->pull = allocate(view->count, sizeof(*backup->pull));
	backup->node = allocate(view->count, sizeof(*backup->node));
	backup->name = allocate(view->count, sizeof(*backup->name));
	backup->ip = allocate(view->count, sizeof(*backup->ip));
	backup->owner = allocate(SHARD_SLOTS, sizeof(*backup->owner));
	for (unsigned slot = 0; slot < SHARD_SLOTS; slot++)
		memcpy(backup->owner[slot], view->node[view->owner[slot]].id, VIEW_ID_SIZE);
	for (size_t i = 0; i < view->count; i++) {
		const struct view_node *node = &view->node[i];
		struct pull *pull = &backup->pull[backup->count];

		if (!node->slots)
			continue;
		backup->node[backup->count] = (int)i;
		backup->name[backup->count] = text("redis-node-%s-%u-%s.rdb", node->host, node->port, node->id);
		pull->addr = text("%s", node->addr);
		pull->path = text("%s/%s.part", backup->dir, backup->name[backup->count]);
		unlink(pull->path);
		if (!steps_resolve(node->addr, backup->ip[backup->count], sizeof(*backup->ip), &pull->port))
			return false;
		pull->host = backup->ip[backup->count++];
	}
	return true;
}

static void finish(struct backup *backup)
{
	for (size_t i = 0; i < backup->count; i++) {
		unlink(backup->pull[i].path); /* of one that did not get to its end */
		free((char *)backup->pull[i].addr);
		free((char *)backup->pull[i].path);
		free(backup->name[i]);
	}
	free(backup->pull);
	free(backup->node);
	free(backup->name);
	free(backup->ip);
	free(backup->owner);
}

static json_t *describe(const struct backup *backup)
{
	const struct view *view = &backup->admin->view;
	json_t *nodes = json_array();

	for (size_t i = 0; i < backup->count; i++) {
		const struct view_node *node = &view->node[backup->node[i]];
		char *slots = view_slots_text(view, backup->node[i]);

		json_array_append_new(nodes, json_pack("{ss ss ss ss sI sI ss}", "id", node->id, "address", node->addr,
						       "slots", slots, "file", backup->name[i], "bytes",
						       (json_int_t)backup->pull[i].bytes, "keys",
						       (json_int_t)node->keys, "sha256", backup->pull[i].sha256));
		free(slots);
	}
	return nodes;
}

/* A slot that changed hands meanwhile may be in no snapshot, or in two. */
static bool same_owners(struct backup *backup)
{
	const struct view *view;

	if (!admin_look(backup->admin))
		return false;
	view = &backup->admin->view;
	for (unsigned slot = 0; slot < SHARD_SLOTS; slot++) {
		if (view->owner[slot] >= 0 && !strcmp(view->node[view->owner[slot]].id, backup->owner[slot]))
			continue;
		cli_error("slot %u has changed its owner meanwhile: nothing was kept, try again", slot);
		return false;
	}
	if (view->open_count)
		cli_error("slot %u is being moved: nothing was kept, try again", view->open[0].slot);
	return !view->open_count;
}

static bool name_files(const struct backup *backup)
{
	for (size_t i = 0; i < backup->count; i++) {
		char *path = text("%s/%s", backup->dir, backup->name[i]);
		bool ok = !rename(backup->pull[i].path, path);

		if (!ok)
			cli_error("%s: %s", path, strerror(errno));
		free(path);
		if (!ok)
			return false;
	}
	return true;
}

static bool take(struct backup *backup)
{
	unsigned idle_ms = backup->admin->connect.timeout_ms > IDLE_MS ? backup->admin->connect.timeout_ms : IDLE_MS;
	uint64_t bytes = 0;
	json_t *nodes;

	if (!pull_all(backup->pull, backup->count, backup->admin->connect.uri, idle_ms)) {
		for (size_t i = 0; i < backup->count; i++)
			if (*backup->pull[i].error)
				cli_error("%s: %s", backup->pull[i].addr, backup->pull[i].error);
		return false;
	}
	nodes = describe(backup); /* by the first look, which the second one has to equal */
	if (!same_owners(backup) || !name_files(backup)) {
		json_decref(nodes);
		return false;
	}
	for (size_t i = 0; i < backup->count; i++)
		bytes += backup->pull[i].bytes;
	if (!manifest_write(backup->dir, nodes))
		return false;
	printf("%zu snapshots, %llu bytes, in %s\n", backup->count, (unsigned long long)bytes, backup->dir);
	return true;
}

int verb_backup(int argc, char *argv[])
{
	struct admin admin = {0};
	struct backup backup = {.admin = &admin};
	bool ok = false;

	verb_parse(&argp, argc, argv, &admin);
	catch_interrupts();
	backup.dir = admin_words(&admin, 1, "DIR")[0];
	if (admin_open(&admin) && is_complete(&admin.view) && make_place(backup.dir))
		ok = prepare(&backup) && take(&backup);
	finish(&backup);
	admin_close(&admin);
	return ok ? CLI_OK : CLI_FAILED;
}
