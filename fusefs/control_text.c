/* SPDX-License-Identifier: MIT */
#include "control_text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <shard/slot.h>

#include "handle.h"
#include "pending.h"
#include "record.h"
#include "notice.h"
#include "setting.h"

static void put(struct record_writer *writer, const char *text)
{
	record_text(writer, "", text, strlen(text));
}

/* ---- nodes ---- */

static void put_flags(struct record_writer *writer, unsigned flags)
{
	static const struct {
		unsigned flag;
		const char *name;
	} names[] = {
		{SHARD_NODE_PFAIL, "fail?"},   {SHARD_NODE_FAIL, "fail"},       {SHARD_NODE_HANDSHAKE, "handshake"},
		{SHARD_NODE_NOADDR, "noaddr"}, {SHARD_NODE_LOADING, "loading"}, {SHARD_NODE_LINK_DOWN, "disconnected"},
	};
	const char *found[sizeof(names) / sizeof(*names)];
	size_t count = 0;

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		if (flags & names[i].flag)
			found[count++] = names[i].name;
	if (count)
		record_list(writer, "", found, count);
	else
		record_none(writer, "");
}

/* FIRST-LAST,FIRST-LAST... and how many they are. */
static void put_slots(struct record_writer *writer, const shard_topology *map, int node)
{
	struct out ranges;
	long long count = 0;

	out_init(&ranges, -1);
	for (unsigned first = 0, last; first < SHARD_SLOTS; first = last + 1) {
		int owner;

		shard_topology_range(map, first, &last, &owner);
		if (owner != node)
			continue;
		if (count)
			out_char(&ranges, ',');
		out_number(&ranges, first);
		if (last > first) {
			out_char(&ranges, '-');
			out_number(&ranges, last);
		}
		count += last - first + 1;
	}
	if (count)
		record_text(writer, "", ranges.data, ranges.len);
	else
		record_none(writer, "");
	record_number(writer, "", count);
	out_finish(&ranges);
}

static void put_node(struct record_writer *writer, const shard_topology *map, size_t i)
{
	const shard_node *node = shard_topology_node(map, i);
	bool replica = node->flags & SHARD_NODE_REPLICA;

	record_begin(writer);
	put(writer, node->addr);
	put(writer, replica ? "replica" : "master");
	if (node->master >= 0)
		put(writer, shard_topology_node(map, (size_t)node->master)->addr);
	else
		record_none(writer, "");
	put_flags(writer, node->flags);
	put_slots(writer, map, (int)i);
	record_end(writer);
}

static void put_servers(struct record_writer *writer, const shard_pool *pool)
{
	for (size_t i = 0; i < pool->server_count; i++) {
		record_begin(writer);
		put(writer, pool->server[i].name);
		put(writer, pool->server[i].addr);
		record_number(writer, "", pool->server[i].weight);
		record_end(writer);
	}
}

void control_print_nodes(struct fs *fs, const struct inode *inode, struct out *out)
{
	struct record_writer writer = {.format = RECORD_LINES, .out = out};
	const shard_topology *map = shard_client_topology(fs_client(fs));

	if (fs->options->connect.pool) {
		put_servers(&writer, fs->options->connect.pool);
	} else if (map && shard_topology_is_single(map)) {
		record_begin(&writer);
		put(&writer, shard_topology_node(map, 0)->addr);
		record_end(&writer);
	} else if (map) {
		for (size_t i = 0; i < shard_topology_node_count(map); i++)
			put_node(&writer, map, i);
	}
}

/* ---- slots ---- */

static void put_replicas(struct record_writer *writer, const shard_topology *map, int master)
{
	size_t count = shard_topology_node_count(map), found = 0;
	const char **addr = calloc(count, sizeof(*addr));

	for (size_t i = 0; i < count && addr; i++) {
		const shard_node *node = shard_topology_node(map, i);

		if (node->flags & SHARD_NODE_REPLICA && node->master == master)
			addr[found++] = node->addr;
	}
	record_list(writer, "", addr, found);
	free(addr);
}

static void put_range(struct record_writer *writer, const shard_topology *map, unsigned first, unsigned last, int owner)
{
	const shard_node *node = owner < 0 ? NULL : shard_topology_node(map, (size_t)owner);

	record_begin(writer);
	record_number(writer, "", first);
	record_number(writer, "", last);
	if (node)
		put(writer, node->addr);
	else
		record_none(writer, "");
	if (node && *node->id)
		put(writer, node->id);
	else
		record_none(writer, "");
	if (node)
		put_replicas(writer, map, owner);
	else
		record_none(writer, "");
	record_end(writer);
}

/* What rslots prints. A pool has none. */
void control_print_slots(struct fs *fs, const struct inode *inode, struct out *out)
{
	struct record_writer writer = {.format = RECORD_LINES, .out = out};
	const shard_topology *map = shard_client_topology(fs_client(fs));

	if (!map || shard_topology_is_pool(map))
		return;
	for (unsigned first = 0, last; first < SHARD_SLOTS; first = last + 1) {
		int owner;

		shard_topology_range(map, first, &last, &owner);
		put_range(&writer, map, first, last, owner);
	}
}

/* ---- keyslot ---- */

static const char *owner_of(const shard_topology *map, unsigned slot)
{
	int owner = map ? shard_topology_owner(map, slot) : -1;

	return owner < 0 ? NULL : shard_topology_node(map, (size_t)owner)->addr;
}

void control_print_keyslot(struct fs *fs, const struct inode *inode, struct out *out)
{
	struct record_writer writer = {.format = RECORD_LINES, .out = out};
	char *key = malloc(inode->member_len + 1);
	const char *addr;

	if (!key)
		return;
	struct name name = name_decode(inode->member, inode->member_len, key);
	record_begin(&writer);
	if (fs->options->connect.pool) {
		addr = shard_client_node_of(fs_client(fs), key, name.key_len);
	} else {
		unsigned slot = name.kind == NAME_HASHED ? name.slot : shard_slot(key, name.key_len);

		record_number(&writer, "", slot);
		addr = owner_of(shard_client_topology(fs_client(fs)), slot);
	}
	if (addr)
		put(&writer, addr);
	else
		record_none(&writer, "");
	record_end(&writer);
	free(key);
}

/* ---- stats, config ---- */

static void put_value(struct out *out, const char *name, unsigned long long value)
{
	out_text(out, name);
	out_char(out, ' ');
	out_number(out, (long long)value);
	out_char(out, '\n');
}

static void put_word(struct out *out, const char *name, const char *value)
{
	out_text(out, name);
	out_char(out, ' ');
	for (; *value; value++)
		out_char(out, *value == '\n' ? ' ' : *value);
	out_char(out, '\n');
}

static void put_errors(struct out *out, const struct stats *stats)
{
	char name[48];

	for (int i = 0; i < STATS_ERRORS; i++) {
		const char *word = strerrorname_np(i);

		if (!stats->error[i])
			continue;
		snprintf(name, sizeof(name), "error_%s", word ? word : "other");
		put_value(out, name, stats->error[i]);
	}
}

static unsigned long long open_handles(const struct fs *fs)
{
	unsigned long long count = 0;

	for (const struct handle *handle = fs->handles; handle; handle = handle->next)
		count++;
	return count;
}

void control_print_stats(struct fs *fs, const struct inode *inode, struct out *out)
{
	static const char *const names[] = {
#define X(name) [STATS_##name] = #name,
		STATS_OPS(X)
#undef X
	};
	const struct stats *stats = &fs->stats;
	unsigned nodes = 0, tracked = 0;

	if (fs->cache.tracking)
		shard_tracking_count(fs->cache.tracking, &nodes, &tracked);
	for (int i = 0; i < STATS_OP_COUNT; i++)
		put_value(out, names[i], stats->op[i]);
	put_value(out, "cache_hits", fs->cache.hits);
	put_value(out, "cache_misses", fs->cache.misses);
	put_value(out, "cache_changes", fs->cache.changes);
	put_value(out, "cache_bytes", fs->inodes.fresh_bytes);
	put_value(out, "tracked_nodes", tracked);
	if (fs->notice) {
		put_value(out, "inotify_told", notice_events(fs));
		put_value(out, "inotify_left_out", notice_dropped(fs));
	}
	put_value(out, "handles", open_handles(fs));
	put_value(out, "inodes", fs->inodes.count);
	put_value(out, "commits", stats->commits);
	put_value(out, "commits_under_way", fs->commits);
	put_value(out, "commands", stats->commands);
	put_value(out, "commands_under_way", shard_client_pending(fs_client(fs)));
	put_value(out, "latency_count", stats_timed(stats));
	put_value(out, "latency_p50_us", stats_within_us(stats, 0.5));
	put_value(out, "latency_p99_us", stats_within_us(stats, 0.99));
	put_errors(out, stats);
}

void control_print_config(struct fs *fs, const struct inode *inode, struct out *out)
{
	const struct options *options = fs->options;
	char *uri = shard_uri_public(options->connect.uri), text[24];

	put_word(out, "uri", uri ? uri : "-");
	put_word(out, "mountpoint", options->mountpoint);
	put_value(out, "timeout", fs_timeout_ms(fs));
	put_word(out, "commit", setting_commit_name(options));
	put_word(out, "ttl", setting_ttl_text(options, text));
	put_word(out, "cache", options->pages ? "pages" : options->cache ? "coherent" : "off");
	put_value(out, "cache_size", options->cache_size >> 20);
	put_word(out, "tree", options->tree ? "yes" : "no");
	put_word(out, "sep", options->separator && !options->tree ? options->separator : "-");
	put_word(out, "inotify", options->inotify ? "yes" : "no");
	put_word(out, "scratch", options->scratch ? "memory" : "keys");
	put_value(out, "uid", options->uid);
	put_value(out, "gid", options->gid);
	snprintf(text, sizeof(text), "%03o", (unsigned)options->umask);
	put_word(out, "umask", text);
	put_word(out, "allow_other", options->allow_other ? "yes" : "no");
	put_value(out, "max_read", options->max_read);
	free(uri);
}
