/* SPDX-License-Identifier: MIT */
/* What the parsers have in common: addresses, ranges and roles as servers announce them, checked. */
#include "know/topology.h"

#include <string.h>

/* Ranges may repeat and overlap, but not without end: a reply is paid for by the slot. */
#define RANGES_MAX (4 * SHARD_SLOTS)

int shard__builder_init(struct shard__builder *b, const char *asked_host, uint16_t asked_port, shard__address_fn map,
			void *ctx)
{
	*b = (struct shard__builder){
		.topology = shard__topology_new(),
		.asked_host = asked_host ? asked_host : "",
		.asked_port = asked_port,
		.map = map,
		.ctx = ctx,
	};
	return b->topology ? SHARD_OK : SHARD_ENOMEM;
}

int shard__builder_refuse(struct shard__builder *b, const char *why)
{
	b->why = why;
	return SHARD_EPROTOCOL;
}

int shard__builder_finish(struct shard__builder *b, int error, shard_topology **topology, const char **why)
{
	if (!error) {
		*topology = b->topology;
		return SHARD_OK;
	}
	shard_topology_unref(b->topology);
	if (why)
		*why = b->why ? b->why : shard_strerror(error);
	return error;
}

/* An address on its way from the wire to the node. */
struct address {
	char host[SHARD__HOST_SIZE]; /* "": not to be dialled */
	uint16_t port;
};

/* A node that names no host is where we asked; behind a unix socket that is this machine. */
static void use_asked(const struct shard__builder *b, struct address *address)
{
	const char *host = b->asked_host;
	if (*host == '/' && address->port)
		host = "127.0.0.1";
	if (!address->port)
		address->port = b->asked_port;
	if (strlen(host) < sizeof(address->host))
		strcpy(address->host, host);
}

static void use_map(const struct shard__builder *b, struct address *address)
{
	b->map(b->ctx, address->host, sizeof(address->host), &address->port);
	address->host[sizeof(address->host) - 1] = '\0';
	if (*address->host == '/')
		address->port = 0;
}

static int resolve(struct shard__builder *b, const struct shard__announced *a, struct address *address)
{
	*address = (struct address){.port = (uint16_t)a->port};
	if (a->port < 0 || a->port > UINT16_MAX)
		return shard__builder_refuse(b, "a port out of range");
	if (a->flags & SHARD_NODE_NOADDR || shard__text_is(a->host, "?"))
		return SHARD_OK;

	bool path = b->topology->single && a->host.len && *a->host.at == '/';
	if (!a->host.len) {
		use_asked(b, address);
	} else if (a->host.len < sizeof(address->host) && (path || shard__host_ok(a->host))) {
		memcpy(address->host, a->host.at, a->host.len);
		address->port = path ? 0 : address->port;
	} else {
		return shard__builder_refuse(b, "a node's address is malformed");
	}
	if (b->map && shard__to_dial(address->host, address->port))
		use_map(b, address);
	return SHARD_OK;
}

/* A name of a node is a word that can stand in CLUSTER NODES; servers use 40 hex digits. */
static bool id_ok(struct shard__text id)
{
	if (id.len > 64)
		return false;
	for (size_t i = 0; i < id.len; i++) {
		char c = id.at[i];
		if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' ||
		      c == '_'))
			return false;
	}
	return !shard__text_is(id, "-");
}

static int find(const shard_topology *t, struct shard__text id, const struct address *address)
{
	int at = shard__topology_find_id(t, id);
	if (at >= 0 || !*address->host)
		return at;
	at = shard_topology_find_addr(t, address->host, address->port);
	bool other = at >= 0 && id.len && *t->node[at]->id;
	return other ? -1 : at;
}

/* A node that leads one range and follows in another is a master. (NOADDR is up to the address alone.) */
static void merge_flags(shard_node *node, unsigned flags)
{
	if (flags & SHARD_NODE_MASTER) {
		node->flags &= ~SHARD_NODE_REPLICA;
		node->master = -1;
		flags &= ~SHARD_NODE_REPLICA;
	} else if (node->flags & SHARD_NODE_MASTER) {
		flags &= ~SHARD_NODE_REPLICA;
	}
	node->flags |= flags & ~SHARD_NODE_NOADDR;
}

int shard__builder_node(struct shard__builder *b, const struct shard__announced *a, uint16_t *index)
{
	shard_topology *t = b->topology;
	struct address address;
	int error = resolve(b, a, &address);
	if (error)
		return error;
	if (!id_ok(a->id))
		return shard__builder_refuse(b, "a node's id is malformed");
	struct shard__text hostname = shard__host_ok(a->hostname) ? a->hostname : (struct shard__text){"", 0};

	int at = find(t, a->id, &address);
	if (at < 0) {
		if (t->node_count == SHARD__NOBODY)
			return shard__builder_refuse(b, "too many nodes");
		at = (int)t->node_count;
		if (!shard__topology_add(t, a->id, address.host, address.port, hostname, a->flags))
			return SHARD_ENOMEM;
	} else if (a->id.len && !*t->node[at]->id && !shard__topology_set_id(t, (size_t)at, a->id)) {
		return SHARD_ENOMEM;
	}
	merge_flags(t->node[at], a->flags);
	*index = (uint16_t)at;
	return SHARD_OK;
}

void shard__builder_replica(struct shard__builder *b, uint16_t replica, int master)
{
	shard_node *node = b->topology->node[replica];
	if (node->flags & SHARD_NODE_REPLICA && master != replica)
		node->master = master;
}

/* N times VALUE, by moves that double. */
static void fill(uint16_t *at, size_t n, uint16_t value)
{
	at[0] = value;
	for (size_t done = 1; done < n; done *= 2)
		memcpy(at + done, at, (done < n - done ? done : n - done) * sizeof(*at));
}

int shard__builder_range(struct shard__builder *b, long long first, long long last, uint16_t owner)
{
	if (first < 0 || last < first || last >= SHARD_SLOTS)
		return shard__builder_refuse(b, "a slot out of range");
	if (++b->ranges > RANGES_MAX)
		return shard__builder_refuse(b, "too many ranges of slots");
	fill(b->topology->owner + first, (size_t)(last - first) + 1, owner);
	return SHARD_OK;
}

int shard__builder_open(struct shard__builder *b, long long slot, bool importing, struct shard__text peer)
{
	if (slot < 0 || slot >= SHARD_SLOTS)
		return shard__builder_refuse(b, "a slot out of range");
	if (!peer.len || !id_ok(peer))
		return shard__builder_refuse(b, "a node's id is malformed");
	if (++b->ranges > RANGES_MAX)
		return shard__builder_refuse(b, "too many ranges of slots");
	return shard__topology_add_open(b->topology, (uint16_t)slot, importing, peer) ? SHARD_OK : SHARD_ENOMEM;
}
