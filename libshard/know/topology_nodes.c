/* SPDX-License-Identifier: MIT */
/*
 * The text of CLUSTER NODES, read and written:
 *
 *   ID HOST:PORT[@CPORT][,HOSTNAME[,AUX=VALUE...]] FLAGS MASTER PING PONG EPOCH LINK SLOT...
 *
 * What we write has three things more than servers write, so that it reads
 * back whole: an id or a master that is not known is "-", a master without an
 * id is named by its address, and a single server has the flag "single" (only
 * then may its host be a path).
 */
#include "know/topology.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
	const char *word;
	unsigned flag;
} flag_words[] = {
	{"myself", SHARD_NODE_MYSELF},       {"master", SHARD_NODE_MASTER},   {"slave", SHARD_NODE_REPLICA},
	{"fail?", SHARD_NODE_PFAIL},         {"fail", SHARD_NODE_FAIL},       {"noaddr", SHARD_NODE_NOADDR},
	{"handshake", SHARD_NODE_HANDSHAKE}, {"loading", SHARD_NODE_LOADING}, {"replica", SHARD_NODE_REPLICA},
};

#define FLAG_WORDS (sizeof(flag_words) / sizeof(flag_words[0]))

/* ---- reading ---- */

/* A replica whose master may stand on a later line. */
struct pending {
	struct shard__text master;
	uint16_t replica;
};

struct nodes_parser {
	struct shard__builder b;
	struct pending *pending;
	size_t pending_count, pending_room;
};

enum { ID, ADDR, FLAGS, MASTER, PING, PONG, EPOCH, LINK, FIELDS };

static unsigned parse_flags(struct shard__text words, bool *single)
{
	unsigned flags = 0;
	struct shard__text word;
	*single = false;
	while (shard__next_word(&words, ',', &word)) {
		for (size_t i = 0; i < FLAG_WORDS; i++) {
			if (shard__text_is(word, flag_words[i].word))
				flags |= flag_words[i].flag;
		}
		*single |= shard__text_is(word, "single");
	}
	return flags;
}

/* The part of TEXT before SEPARATOR, all of it where there is none; *REST is what follows. */
static struct shard__text cut_first(struct shard__text text, char separator, struct shard__text *rest)
{
	const char *at = text.len ? memchr(text.at, separator, text.len) : NULL;
	struct shard__text head = {text.at, at ? (size_t)(at - text.at) : text.len};
	*rest = at ? (struct shard__text){at + 1, text.len - head.len - 1} : (struct shard__text){"", 0};
	return head;
}

static int parse_addr(struct shard__builder *b, struct shard__text text, struct shard__announced *node)
{
	struct shard__text names, cport, digits;
	uint64_t port, bus = 0;
	text = cut_first(text, ',', &names);
	node->hostname = cut_first(names, ',', &names);
	text = cut_first(text, '@', &cport);
	if (!shard__cut_last(text, ':', &node->host, &digits) || !shard__number(digits, UINT16_MAX, &port) ||
	    (cport.len && !shard__number(cport, UINT16_MAX, &bus)))
		return shard__builder_refuse(b, "a node's address is malformed");
	node->port = (long long)port;
	if (!port && !node->host.len && !(node->flags & SHARD_NODE_MYSELF))
		node->flags |= SHARD_NODE_NOADDR;
	return SHARD_OK;
}

/* [slot->-id] or [slot-<-id] */
static int parse_open(struct shard__builder *b, struct shard__text word)
{
	static const char *const arrows[] = {"->-", "-<-"};
	struct shard__text inside = {word.at + 1, word.len - 1};
	uint64_t slot;
	for (size_t i = 0; i < 2 && inside.len && inside.at[inside.len - 1] == ']'; i++) {
		const char *arrow = memmem(inside.at, inside.len, arrows[i], 3);
		if (!arrow)
			continue;
		struct shard__text digits = {inside.at, (size_t)(arrow - inside.at)};
		struct shard__text peer = {arrow + 3, inside.len - digits.len - 4};
		if (!shard__number(digits, SHARD_SLOTS - 1, &slot))
			return shard__builder_refuse(b, "a slot out of range");
		return shard__builder_open(b, (long long)slot, i == 1, peer);
	}
	return shard__builder_refuse(b, "an open slot is malformed");
}

static int parse_slots(struct shard__builder *b, struct shard__text word, uint16_t owner)
{
	struct shard__text last;
	uint64_t from, to;
	if (*word.at == '[')
		return parse_open(b, word);
	struct shard__text first = cut_first(word, '-', &last);
	if (first.len == word.len)
		last = first;
	if (!shard__number(first, SHARD_SLOTS - 1, &from) || !shard__number(last, SHARD_SLOTS - 1, &to))
		return shard__builder_refuse(b, "a slot out of range");
	return shard__builder_range(b, (long long)from, (long long)to, owner);
}

static int remember_master(struct nodes_parser *p, uint16_t replica, struct shard__text master)
{
	if (shard__text_is(master, "-"))
		return SHARD_OK;
	if (p->pending_count == p->pending_room) {
		size_t room = p->pending_room ? p->pending_room * 2 : 16;
		struct pending *grown = realloc(p->pending, room * sizeof(*grown));
		if (!grown)
			return SHARD_ENOMEM;
		p->pending = grown;
		p->pending_room = room;
	}
	p->pending[p->pending_count++] = (struct pending){master, replica};
	return SHARD_OK;
}

static int find_master(const shard_topology *t, struct shard__text master)
{
	struct shard__text host, digits;
	uint64_t port;
	char name[SHARD__HOST_SIZE];
	if (!shard__cut_last(master, ':', &host, &digits))
		return shard__topology_find_id(t, master);
	if (host.len >= sizeof(name) || !shard__number(digits, UINT16_MAX, &port))
		return -1;
	memcpy(name, host.at, host.len);
	name[host.len] = '\0';
	return shard_topology_find_addr(t, name, (uint16_t)port);
}

static int parse_line(struct nodes_parser *p, struct shard__text line)
{
	struct shard__builder *b = &p->b;
	struct shard__text field[FIELDS], word;
	uint64_t epoch;
	uint16_t index;
	bool single;
	for (size_t i = 0; i < FIELDS; i++) {
		if (!shard__next_word(&line, ' ', &field[i]))
			return shard__builder_refuse(b, "a line has fewer than eight fields");
	}
	if (!shard__number(field[EPOCH], UINT64_MAX, &epoch))
		return shard__builder_refuse(b, "a node's epoch is no number");

	struct shard__announced node = {.flags = parse_flags(field[FLAGS], &single)};
	if (!shard__text_is(field[ID], "-"))
		node.id = field[ID];
	if (shard__text_is(field[LINK], "disconnected"))
		node.flags |= SHARD_NODE_LINK_DOWN;
	b->topology->single |= single;
	if (epoch > b->topology->epoch)
		b->topology->epoch = epoch;

	int error = parse_addr(b, field[ADDR], &node);
	if (!error)
		error = shard__builder_node(b, &node, &index);
	if (!error)
		b->topology->node[index]->epoch = epoch;
	if (!error)
		error = remember_master(p, index, field[MASTER]);
	while (!error && shard__next_word(&line, ' ', &word))
		error = parse_slots(b, word, index);
	return error;
}

int shard__topology_from_nodes(const char *text, size_t len, const char *asked_host, uint16_t asked_port,
			       shard__address_fn map, void *ctx, shard_topology **topology, const char **why)
{
	struct nodes_parser p = {.pending = NULL};
	struct shard__text rest = {text, len}, line;
	int error = shard__builder_init(&p.b, asked_host, asked_port, map, ctx);
	while (!error && shard__next_word(&rest, '\n', &line)) {
		if (line.at[line.len - 1] == '\r')
			line.len--;
		error = parse_line(&p, line);
	}
	if (!error && p.b.topology->single && p.b.topology->node_count != 1)
		error = shard__builder_refuse(&p.b, "a single server among others");
	for (size_t i = 0; !error && i < p.pending_count; i++)
		shard__builder_replica(&p.b, p.pending[i].replica, find_master(p.b.topology, p.pending[i].master));
	free(p.pending);
	return shard__builder_finish(&p.b, error, topology, why);
}

int shard_topology_from_nodes(const char *text, size_t len, const char *asked_host, uint16_t asked_port,
			      shard_topology **topology, const char **why)
{
	return shard__topology_from_nodes(text, len, asked_host, asked_port, NULL, NULL, topology, why);
}

/* ---- writing ---- */

static void write_flags(FILE *out, const shard_topology *t, const shard_node *node)
{
	unsigned left = node->flags;
	const char *comma = "";
	if (t->single) {
		fputs("single", out);
		comma = ",";
	}
	for (size_t i = 0; i < FLAG_WORDS; i++) {
		if (!(left & flag_words[i].flag))
			continue;
		left &= ~flag_words[i].flag;
		fprintf(out, "%s%s", comma, flag_words[i].word);
		comma = ",";
	}
	if (!*comma)
		fputs("noflags", out);
}

static const char *master_word(const shard_topology *t, const shard_node *node)
{
	const shard_node *master = node->master < 0 ? NULL : t->node[node->master];
	if (!master || (!*master->id && master->flags & SHARD_NODE_NOADDR))
		return "-";
	return *master->id ? master->id : master->addr;
}

static void write_node(FILE *out, const shard_topology *t, size_t index)
{
	const shard_node *node = t->node[index];
	fprintf(out, "%s %s:%u@0", *node->id ? node->id : "-", node->host, (unsigned)node->port);
	if (*node->hostname)
		fprintf(out, ",%s", node->hostname);
	fputc(' ', out);
	write_flags(out, t, node);
	fprintf(out, " %s 0 0 %llu %s", master_word(t, node), index ? 0 : (unsigned long long)t->epoch,
		node->flags & SHARD_NODE_LINK_DOWN ? "disconnected" : "connected");
}

/* The ranges of all nodes, found in one pass over the slots: those of a node are linked in their order. */
struct ranges {
	uint16_t first[SHARD_SLOTS], last[SHARD_SLOTS], next[SHARD_SLOTS];
	uint16_t head[]; /* of each node */
};

#define END 0xffff

/* malloc'ed; NULL when out of memory. */
static struct ranges *find_ranges(const shard_topology *t)
{
	struct ranges *r = malloc(sizeof(*r) + t->node_count * sizeof(r->head[0]));
	if (!r)
		return NULL;
	memset(r->head, 0xff, t->node_count * sizeof(r->head[0]));
	uint16_t count = 0;
	for (int slot = SHARD_SLOTS - 1; slot >= 0; slot--) {
		uint16_t owner = t->owner[slot];
		if (owner == SHARD__NOBODY)
			continue;
		uint16_t head = r->head[owner];
		if (head != END && r->first[head] == slot + 1) {
			r->first[head] = (uint16_t)slot;
			continue;
		}
		r->first[count] = r->last[count] = (uint16_t)slot;
		r->next[count] = head;
		r->head[owner] = count++;
	}
	return r;
}

static void write_slots(FILE *out, const struct ranges *r, size_t node)
{
	for (uint16_t i = r->head[node]; i != END; i = r->next[i])
		fprintf(out, r->first[i] == r->last[i] ? " %u" : " %u-%u", (unsigned)r->first[i], (unsigned)r->last[i]);
}

static void write_open(FILE *out, const shard_topology *t)
{
	for (size_t i = 0; i < t->open_count; i++)
		fprintf(out, " [%u%s%s]", t->open[i].slot, t->open[i].importing ? "-<-" : "->-", t->open[i].peer);
}

/* A path of a socket, or a mapped host, may hold what would end a field. */
static bool can_write(const shard_topology *t)
{
	for (size_t i = 0; i < t->node_count; i++) {
		const char *host = t->node[i]->host;
		bool path = *host == '/';
		for (const unsigned char *c = (const unsigned char *)host; *c; c++) {
			if (*c <= ' ' || *c == ',' || *c == '@' || *c == 0x7f)
				return false;
		}
		if (path && !t->single)
			return false;
	}
	return true;
}

static void write_topology(FILE *out, const shard_topology *t, const struct ranges *ranges)
{
	for (size_t i = 0; i < t->node_count; i++) {
		write_node(out, t, i);
		write_slots(out, ranges, i);
		if (!i)
			write_open(out, t);
		fputc('\n', out);
	}
}

char *shard_topology_format(const shard_topology *t)
{
	char *text = NULL;
	size_t size;
	if (!can_write(t)) {
		errno = EINVAL;
		return NULL;
	}
	struct ranges *ranges = find_ranges(t);
	FILE *out = ranges ? open_memstream(&text, &size) : NULL;
	if (out) {
		write_topology(out, t, ranges);
		bool failed = ferror(out);
		if (fclose(out) || failed) {
			free(text);
			text = NULL;
		}
	}
	free(ranges);
	return text;
}
