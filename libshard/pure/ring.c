/* SPDX-License-Identifier: MIT */
#include <shard/ring.h>

#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "pure/ketama.h"

#define SERVERS_MAX 65535

/* How a ring answers: by its distribution, unless there is nothing to choose. */
enum way {
	BY_KETAMA = SHARD_KETAMA,
	BY_MODULA = SHARD_MODULA,
	BY_CHANCE = SHARD_RANDOM,
	BY_JUMP = SHARD_JUMP,
	BY_RENDEZVOUS = SHARD_RENDEZVOUS,
	ALONE, /* a pool of one server: nothing is hashed */
	NOBODY,
};

struct shard_ring {
	enum way way;
	shard_ring_options options;
	struct ketama ketama;
	size_t count;    /* of live servers */
	uint64_t weight; /* their sum */
	bool same_weights;
	struct ketama_server *live; /* jump, rendezvous: in the caller's order; else in that of names */
	uint64_t *ends;             /* where each one's weights end, added up */
	uint64_t *seed;             /* rendezvous: the hashes of their names */
	/* By the caller's index: how much of `whole` each has. */
	uint64_t *part;
	uint64_t whole;
	size_t servers;
};

static const char *const names[SHARD_DISTRIBUTION_COUNT] = {"ketama", "modula", "random", "jump", "rendezvous"};

const char *shard_distribution_name(int distribution)
{
	return distribution >= 0 && distribution < SHARD_DISTRIBUTION_COUNT ? names[distribution] : NULL;
}

int shard_distribution_find(const char *name)
{
	for (int i = 0; i < SHARD_DISTRIBUTION_COUNT; i++)
		if (!strcmp(names[i], name))
			return i;
	return -1;
}

/* ---- by weight ---- */

static int make_ends(struct shard_ring *ring)
{
	uint64_t end = 0;

	ring->ends = malloc((ring->count + 1) * sizeof(*ring->ends));
	if (!ring->ends)
		return SHARD_ENOMEM;
	for (size_t i = 0; i < ring->count; i++)
		ring->ends[i] = end += ring->live[i].weight;
	return SHARD_OK;
}

/* Who has the N-th unit of weight. */
static size_t place_of_unit(const struct shard_ring *ring, uint64_t n)
{
	size_t low = 0, high = ring->count - 1;

	if (ring->weight == ring->count)
		return (size_t)n;
	while (low < high) {
		size_t middle = (low + high) / 2;

		if (n < ring->ends[middle])
			high = middle;
		else
			low = middle + 1;
	}
	return low;
}

static uint64_t jump(uint64_t key, uint64_t buckets)
{
	int64_t b = -1, j = 0;

	while (j < (int64_t)buckets) {
		b = j;
		key = key * 2862933555777941757u + 1;
		j = (int64_t)((double)(b + 1) * ((double)(1LL << 31) / (double)((key >> 33) + 1)));
	}
	return (uint64_t)b;
}

/* Of U in (0, 1); with +, -, * and / alone, so that it is the same everywhere. */
static double minus_ln(double u)
{
	uint64_t bits;
	int64_t exponent;
	double s, square, sum = 0;

	memcpy(&bits, &u, sizeof(bits));
	exponent = (int64_t)(bits >> 52) - 1023;
	bits = (bits & (UINT64_MAX >> 12)) | 1023ull << 52;
	memcpy(&u, &bits, sizeof(u));
	if (u > 1.4142135623730951) {
		u /= 2;
		exponent++;
	}
	/* ln(u) = 2 artanh(s), whose series ends where doubles do: |s| < 0.172 */
	s = (u - 1) / (u + 1);
	square = s * s;
	for (int n = 21; n > 0; n -= 2)
		sum = sum * square + 1.0 / n;
	return -(2 * s * sum + (double)exponent * 0.6931471805599453);
}

static uint64_t mix(uint64_t x)
{
	x = (x ^ x >> 33) * 0xff51afd7ed558ccdu;
	x = (x ^ x >> 33) * 0xc4ceb9fe1a85ec53u;
	return x ^ x >> 33;
}

static size_t rendezvous(const struct shard_ring *ring, uint64_t hash)
{
	bool same = ring->same_weights;
	double best = -1;
	size_t found = 0;

	for (size_t i = 0; i < ring->count; i++) {
		/* 52 bits and the half are what a double holds exactly: U is never 1, whose logarithm is 0. */
		double u = ((double)(mix(hash ^ ring->seed[i]) >> 12) + 0.5) * 0x1p-52;
		double score = same ? u : (double)ring->live[i].weight / minus_ln(u);

		if (score > best) {
			best = score;
			found = i;
		}
	}
	return found;
}

static uint64_t next_random(void)
{
	static _Thread_local uint64_t state;
	uint64_t z;

	/* splitmix64 (Steele, Lea, Flood 2014) */
	if (!state)
		state = (uint64_t)(uintptr_t)&state ^ 0x9e3779b97f4a7c15u;
	z = state += 0x9e3779b97f4a7c15u;
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

/* ---- making ---- */

/* Length first, then bytes. */
static int by_name(const void *a, const void *b)
{
	const struct ketama_server *x = a, *y = b;
	int order;

	if (x->name_len != y->name_len)
		return x->name_len < y->name_len ? -1 : 1;
	order = memcmp(x->name, y->name, x->name_len);
	return order ? order : x->index < y->index ? -1 : 1;
}

static bool in_callers_order(const struct shard_ring *ring)
{
	return ring->options.distribution == SHARD_JUMP || ring->options.distribution == SHARD_RENDEZVOUS;
}

/* Takes those who are not ejected. */
static int take_servers(struct shard_ring *ring, const shard_ring_server *servers, size_t count)
{
	uint64_t sum = 0;

	ring->servers = count;
	ring->same_weights = true;
	ring->live = malloc((count + 1) * sizeof(*ring->live));
	if (!ring->live)
		return SHARD_ENOMEM;
	for (size_t i = 0; i < count; i++) {
		sum += servers[i].weight;
		if (!servers[i].weight || sum > INT32_MAX)
			return SHARD_EINVAL;
		if (servers[i].ejected)
			continue;
		ring->live[ring->count++] = (struct ketama_server){
			.name = servers[i].name,
			.name_len = strlen(servers[i].name),
			.weight = servers[i].weight,
			.index = (unsigned)i,
		};
		ring->weight += servers[i].weight;
		ring->same_weights &= servers[i].weight == ring->live[0].weight;
	}
	if (!in_callers_order(ring))
		qsort(ring->live, ring->count, sizeof(*ring->live), by_name);
	return SHARD_OK;
}

static int make_seeds(struct shard_ring *ring)
{
	ring->seed = malloc((ring->count + 1) * sizeof(*ring->seed));
	if (!ring->seed)
		return SHARD_ENOMEM;
	for (size_t i = 0; i < ring->count; i++)
		ring->seed[i] = XXH3_64bits(ring->live[i].name, ring->live[i].name_len);
	return SHARD_OK;
}

static int make_parts(struct shard_ring *ring)
{
	bool weightless = ring->options.distribution == SHARD_RANDOM;

	ring->part = calloc(ring->servers + 1, sizeof(*ring->part));
	if (!ring->part)
		return SHARD_ENOMEM;
	if (ring->options.distribution == SHARD_KETAMA) {
		ring->whole = 1ull << 32;
		ketama_widths(&ring->ketama, ring->part);
		return SHARD_OK;
	}
	ring->whole = weightless ? ring->count : ring->weight;
	for (size_t i = 0; i < ring->count; i++)
		ring->part[ring->live[i].index] = weightless ? 1 : ring->live[i].weight;
	return SHARD_OK;
}

static enum way way_of(const struct shard_ring *ring)
{
	if (!ring->count || (ring->options.distribution == SHARD_KETAMA && !ring->ketama.count))
		return NOBODY;
	return ring->servers == 1 ? ALONE : (enum way)ring->options.distribution;
}

static int make(struct shard_ring *ring, const shard_ring_server *servers, size_t count)
{
	int error = take_servers(ring, servers, count);

	if (!error && ring->options.distribution == SHARD_KETAMA)
		error = ketama_init(&ring->ketama, ring->live, ring->count, ring->weight);
	if (!error && ring->options.distribution == SHARD_RENDEZVOUS)
		error = make_seeds(ring);
	if (!error)
		error = make_ends(ring);
	if (!error)
		error = make_parts(ring);
	for (size_t i = 0; i < ring->count; i++)
		ring->live[i].name = NULL;
	ring->way = way_of(ring);
	return error;
}

int shard_ring_create(shard_ring **out, const shard_ring_options *options, const shard_ring_server *servers,
		      size_t count)
{
	struct shard_ring *ring;
	int error;

	*out = NULL;
	if (count > SERVERS_MAX || !shard_distribution_name(options->distribution) || !shard_hash_name(options->hash))
		return SHARD_EINVAL;
	ring = calloc(1, sizeof(*ring));
	if (!ring)
		return SHARD_ENOMEM;
	ring->options = *options;
	error = make(ring, servers, count);
	if (error) {
		shard_ring_free(ring);
		return error;
	}
	*out = ring;
	return SHARD_OK;
}

void shard_ring_free(shard_ring *ring)
{
	if (!ring)
		return;
	free(ring->live);
	free(ring->ends);
	free(ring->seed);
	free(ring->part);
	ketama_finish(&ring->ketama);
	free(ring);
}

/* ---- using ---- */

/* What of the key is hashed. */
static const char *tag_of(const struct shard_ring *ring, const char *key, size_t *len)
{
	const char *tag = ring->options.hash_tag, *open, *close;

	if (!tag[0] && !tag[1])
		return key;
	open = memchr(key, tag[0], *len);
	close = open ? memchr(open + 1, tag[1], *len - (size_t)(open + 1 - key)) : NULL;
	if (!close || close == open + 1)
		return key;
	*len = (size_t)(close - open - 1);
	return open + 1;
}

uint64_t shard_ring_hash(const shard_ring *ring, const void *key, size_t len)
{
	const void *hashed = len ? tag_of(ring, key, &len) : "";

	if (in_callers_order(ring))
		return XXH3_64bits(hashed, len);
	return len ? shard_hash(ring->options.hash, hashed, len) : 0;
}

static int server_at(const struct shard_ring *ring, size_t place)
{
	return (int)ring->live[place].index;
}

/* Not inlined: what these need of registers, ketama does not have to save. */
static __attribute__((noinline)) int route_otherwise(const struct shard_ring *ring, uint64_t hash)
{
	switch (ring->way) {
	case BY_MODULA:
		return server_at(ring, place_of_unit(ring, (uint32_t)hash % ring->weight));
	case BY_CHANCE:
		return server_at(ring, next_random() % ring->count);
	case BY_JUMP:
		return server_at(ring, place_of_unit(ring, jump(hash, ring->weight)));
	case BY_RENDEZVOUS:
		return server_at(ring, rendezvous(ring, hash));
	case ALONE:
		return server_at(ring, 0);
	default:
		return -1;
	}
}

int shard_ring_route_hash(const shard_ring *ring, uint64_t hash)
{
	if (ring->way == BY_KETAMA)
		return (int)ketama_find(&ring->ketama, (uint32_t)hash);
	return route_otherwise(ring, hash);
}

int shard_ring_route(const shard_ring *ring, const void *key, size_t len)
{
	/* As twemproxy: a pool of one server does no hashing. */
	return shard_ring_route_hash(ring, ring->way >= ALONE ? 0 : shard_ring_hash(ring, key, len));
}

size_t shard_ring_point_count(const shard_ring *ring)
{
	return ring->ketama.count;
}

uint32_t shard_ring_point(const shard_ring *ring, size_t i, int *server)
{
	*server = (int)ketama_index(ring->ketama.point[i]);
	return ketama_value(ring->ketama.point[i]);
}

double shard_ring_share(const shard_ring *ring, int server)
{
	if (server < 0 || (size_t)server >= ring->servers || !ring->count)
		return 0;
	return (double)ring->part[server] / (double)ring->whole;
}
