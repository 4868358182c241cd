/* SPDX-License-Identifier: MIT */
#include "manifest.h"

#include <errno.h>
#include <sha2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include <shard/slot.h>

#include "cli.h"
#include "text.h"

bool manifest_write(const char *dir, json_t *nodes)
{
	char *path = text("%s/" MANIFEST_FILE, dir), *content, *lines;
	char when[32] = "";
	time_t now = time(NULL);
	struct tm utc;
	json_t *all;
	bool ok;

	if (gmtime_r(&now, &utc))
		strftime(when, sizeof(when), "%FT%TZ", &utc);
	all = json_pack("{sisssO}", "version", MANIFEST_VERSION, "created", when, "nodes", nodes);
	content = all ? json_dumps(all, JSON_INDENT(2)) : NULL;
	lines = text("%s\n", content ? content : "");
	ok = content && file_write(path, lines);
	if (!ok)
		cli_error("%s: %s", path, content ? strerror(errno) : "no memory is left");
	json_decref(all);
	json_decref(nodes);
	free(lines);
	free(content);
	free(path);
	return ok;
}

static bool is_node(const char *path, size_t number, const json_t *node)
{
	const char *id, *address, *slots, *file, *sha;
	json_int_t bytes, keys;

	if (json_unpack((json_t *)node, "{ssssssssss sI sI}", "id", &id, "address", &address, "slots", &slots, "file",
			&file, "sha256", &sha, "bytes", &bytes, "keys", &keys)) {
		cli_error("%s: node %zu is not complete: no manifest of rcluster backup", path, number);
		return false;
	}
	if (bytes <= 0) {
		cli_error("%s: node %zu: no file has %lld bytes", path, number, (long long)bytes);
		return false;
	}
	if (!*file || strchr(file, '/')) {
		cli_error("%s: node %zu: not a file of this directory: %s", path, number, text_shown(file));
		return false;
	}
	return true;
}

static bool is_intact(const char *dir, const json_t *node)
{
	char *path = text("%s/%s", dir, json_string_value(json_object_get(node, "file")));
	json_int_t bytes = json_integer_value(json_object_get(node, "bytes"));
	char sha[SHA256_DIGEST_STRING_LENGTH] = "";
	struct stat st;
	bool ok = false;

	if (stat(path, &st))
		cli_error("%s: %s", path, strerror(errno));
	else if (st.st_size != bytes)
		cli_error("%s: has %lld bytes, not %lld: it is damaged", path, (long long)st.st_size,
			  (long long)bytes);
	else if (!SHA256File(path, sha))
		cli_error("%s: %s", path, strerror(errno));
	else if (strcmp(sha, json_string_value(json_object_get(node, "sha256"))))
		cli_error("%s: its sha256 is not that of the manifest: it is damaged", path);
	else
		ok = true;
	free(path);
	return ok;
}

/* Marks the slots of TEXT, "0-5460,16383". Returns whether it is such, and none of them has been marked. */
static bool mark_slots(const char *slots, bool seen[SHARD_SLOTS])
{
	char *list = text("%s", slots), *save;
	bool ok = true;

	for (char *range = strtok_r(list, ",", &save); range && ok; range = strtok_r(NULL, ",", &save)) {
		char *dash = strchr(range, '-');
		long first, last;

		if (dash)
			*dash = '\0';
		ok = text_number(range, 0, SHARD_SLOTS - 1, &first) &&
		     text_number(dash ? dash + 1 : range, first, SHARD_SLOTS - 1, &last);
		for (long slot = first; ok && slot <= last; slot++) {
			ok = !seen[slot];
			seen[slot] = true;
		}
	}
	free(list);
	return ok;
}

/* Whether the nodes have each slot once: else keys would be missing, or come from two snapshots. */
static bool are_all_slots(const char *path, const json_t *nodes)
{
	bool seen[SHARD_SLOTS] = {false};
	const json_t *node;
	size_t i;

	json_array_foreach(nodes, i, node) {
		if (mark_slots(json_string_value(json_object_get(node, "slots")), seen))
			continue;
		cli_error("%s: node %zu: its slots are none, or another node's: it is damaged", path, i + 1);
		return false;
	}
	for (unsigned slot = 0; slot < SHARD_SLOTS; slot++) {
		if (seen[slot])
			continue;
		cli_error("%s: no node has slot %u: it is damaged", path, slot);
		return false;
	}
	return true;
}

/* All that is wrong is reported, not the first only. */
static bool are_intact(const char *dir, const char *path, const json_t *nodes)
{
	bool ok = json_array_size(nodes) > 0;
	const json_t *node;
	size_t i;

	if (!ok)
		cli_error("%s: names no node", path);
	json_array_foreach(nodes, i, node)
		ok = is_node(path, i + 1, node) && is_intact(dir, node) && ok;
	return ok && are_all_slots(path, nodes);
}

json_t *manifest_read(const char *dir)
{
	char *path = text("%s/" MANIFEST_FILE, dir);
	json_error_t error;
	json_t *all = json_load_file(path, 0, &error);
	json_t *nodes = json_incref(json_object_get(all, "nodes"));
	json_int_t version = json_integer_value(json_object_get(all, "version"));
	struct stat st;

	if (!all && stat(path, &st))
		cli_error("%s: %s: not a directory that rcluster backup has made", path, strerror(errno));
	else if (!all)
		cli_error("%s: line %d: %s", path, error.line, error.text);
	else if (version != MANIFEST_VERSION)
		cli_error("%s: version %lld of the manifest is not known here", path, (long long)version);
	else if (are_intact(dir, path, nodes))
		goto out;
	json_decref(nodes);
	nodes = NULL;
out:
	json_decref(all);
	free(path);
	return nodes;
}
