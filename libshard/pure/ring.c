/* SPDX-License-Identifier: MIT */
#include <shard/ring.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

#include <md5.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#define SERVERS_MAX 65535
#define POINTS_A_SERVER 160
#define POINTS_A_HASH 4
#define NOBODY 0xffff

/* A server that gets keys. */
struct live {
	unsigned index; /* in the caller's order */
	unsigned weight;
	uint64_t seed;    /* rendezvous */
	const char *name; /* while the ring is made */
	size_t name_len;
};

struct shard_ring {
	shard_ring_options options;
	size_t count;      /* of live servers */
	uint64_t weight;   /* their sum */
	bool same_weights;
	struct live *live; /* jump, rendezvous: in the caller's order; else in that of names */
	uint64_t *ends;    /* modula, jump: where each one's weights end, added up */
	/* ketama: value << 16 | place in `live`, sorted. */
	uint64_t *point;
	size_t point_count;
	/* The first point whose value is not below bucket << shift; one more at the end. */
	uint32_t *first;
	unsigned shift;
	unsigned servers;
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

/* ---- ketama ---- */

/* Every step rounded to a float, as twemproxy's compiler does it on x86-64. */
static size_t hashes_of(unsigned weight, uint64_t total, size_t servers)
{
	volatile float share = (float)weight / (float)total;
	volatile float points = share * POINTS_A_SERVER;

	points = points / POINTS_A_HASH;
	points = points * (float)servers;
	points = (float)((double)points + 0.0000000001);
	return (size_t)points;
}

static uint32_t le32(const unsigned char *p)
{
	return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

/* "name-0", "name-1", ...: each digest gives four points. Returns the end. */
static uint64_t *add_points(uint64_t *at, const struct live *server, size_t place, size_t hashes)
{
	MD5_CTX begun, ctx;
	unsigned char digest[MD5_DIGEST_LENGTH];
	char text[24];

	MD5Init(&begun);
	MD5Update(&begun, (const unsigned char *)server->name, server->name_len);
	for (size_t i = 0; i < hashes; i++) {
		int n = snprintf(text, sizeof(text), "-%zu", i);

		ctx = begun;
		MD5Update(&ctx, (const unsigned char *)text, (size_t)n);
		MD5Final(digest, &ctx);
		for (unsigned k = 0; k < POINTS_A_HASH; k++)
			*at++ = (uint64_t)le32(digest + 4 * k) << 16 | place;
	}
	return at;
}

#define DIGIT 11
#define DIGITS (1u << DIGIT)

/* By value, three digits of it; stable, so equal values stay in the order of servers. */
static void sort_points(uint64_t *point, uint64_t *spare, size_t count)
{
	for (unsigned pass = 0; pass < 3; pass++) {
		unsigned down = 16 + pass * DIGIT;
		size_t start[DIGITS + 1] = {0};
		uint64_t *swap = point;

		for (size_t i = 0; i < count; i++)
			start[(point[i] >> down & (DIGITS - 1)) + 1]++;
		for (unsigned d = 0; d < DIGITS; d++)
			start[d + 1] += start[d];
		for (size_t i = 0; i < count; i++)
			spare[start[point[i] >> down & (DIGITS - 1)]++] = point[i];
		point = spare;
		spare = swap;
	}
}

static uint32_t value_of(uint64_t point)
{
	return (uint32_t)(point >> 16);
}

/* About one point a bucket. */
static int index_points(struct shard_ring *ring)
{
	size_t buckets = 1;
	size_t i = 0;

	ring->shift = 32;
	while (buckets < ring->point_count && ring->shift > 8) {
		buckets *= 2;
		ring->shift--;
	}
	ring->first = malloc((buckets + 1) * sizeof(*ring->first));
	if (!ring->first)
		return SHARD_ENOMEM;
	for (size_t b = 0; b < buckets; b++) {
		while (i < ring->point_count && (uint64_t)value_of(ring->point[i]) < (uint64_t)b << ring->shift)
			i++;
		ring->first[b] = (uint32_t)i;
	}
	ring->first[buckets] = (uint32_t)ring->point_count;
	return SHARD_OK;
}

static int make_ketama(struct shard_ring *ring)
{
	size_t room = 0;
	uint64_t *at, *spare;

	for (size_t i = 0; i < ring->count; i++)
		room += hashes_of(ring->live[i].weight, ring->weight, ring->count) * POINTS_A_HASH;
	ring->point_count = room;
	/* One behind them stands for the first: the ring closes. */
	ring->point = malloc((room + 1) * sizeof(*ring->point));
	spare = malloc((room + 1) * sizeof(*spare));
	if (!ring->point || !spare) {
		free(spare);
		return SHARD_ENOMEM;
	}
	at = spare;
	for (size_t i = 0; i < ring->count; i++)
		at = add_points(at, &ring->live[i], i, hashes_of(ring->live[i].weight, ring->weight, ring->count));
	/* An odd number of passes: what was in `spare` ends in `point`. */
	sort_points(spare, ring->point, room);
	free(spare);
	ring->point[room] = UINT64_MAX << 16 | (room ? ring->point[0] & 0xffff : NOBODY);
	return index_points(ring);
}

static int ketama_place(const struct shard_ring *ring, uint32_t hash)
{
	const uint64_t *point = ring->point + ring->first[ring->shift < 32 ? hash >> ring->shift : 0];
	uint64_t wanted = (uint64_t)hash << 16;

	while (*point < wanted)
		point++;
	return (int)(*point & 0xffff);
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
static int place_of_unit(const struct shard_ring *ring, uint64_t n)
{
	size_t low = 0, high = ring->count - 1;

	if (ring->weight == ring->count)
		return (int)n;
	while (low < high) {
		size_t middle = (low + high) / 2;

		if (n < ring->ends[middle])
			high = middle;
		else
			low = middle + 1;
	}
	return (int)low;
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

static int rendezvous(const struct shard_ring *ring, uint64_t hash)
{
	bool same = ring->same_weights;
	double best = -1;
	size_t found = 0;

	for (size_t i = 0; i < ring->count; i++) {
		/* 52 bits and the half are what a double holds exactly: U is never 1, whose logarithm is 0. */
		double u = ((double)(mix(hash ^ ring->live[i].seed) >> 12) + 0.5) * 0x1p-52;
		double score = same ? u : (double)ring->live[i].weight / minus_ln(u);

		if (score > best) {
			best = score;
			found = i;
		}
	}
	return (int)found;
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
	const struct live *x = a, *y = b;
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

static int take_servers(struct shard_ring *ring, const shard_ring_server *servers, size_t count)
{
	uint64_t sum = 0;

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
		ring->live[ring->count++] = (struct live){
			.index = (unsigned)i,
			.weight = servers[i].weight,
			.name = servers[i].name,
			.name_len = strlen(servers[i].name),
			.seed = XXH3_64bits(servers[i].name, strlen(servers[i].name)),
		};
		ring->weight += servers[i].weight;
		ring->same_weights &= servers[i].weight == ring->live[0].weight;
	}
	ring->servers = (unsigned)count;
	if (!in_callers_order(ring))
		qsort(ring->live, ring->count, sizeof(*ring->live), by_name);
	return SHARD_OK;
}

static int make(struct shard_ring *ring, const shard_ring_server *servers, size_t count)
{
	int error = take_servers(ring, servers, count);

	if (!error && ring->options.distribution == SHARD_KETAMA)
		error = make_ketama(ring);
	else if (!error)
		error = make_ends(ring);
	for (size_t i = 0; i < ring->count; i++)
		ring->live[i].name = NULL;
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
	free(ring->point);
	free(ring->first);
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

static int server_at(const struct shard_ring *ring, int place)
{
	return place == NOBODY ? -1 : (int)ring->live[place].index;
}

int shard_ring_route_hash(const shard_ring *ring, uint64_t hash)
{
	if (!ring->count)
		return -1;
	/* Even where its weight is too small for a single point. */
	if (ring->servers == 1)
		return (int)ring->live[0].index;
	switch (ring->options.distribution) {
	case SHARD_KETAMA:
		return server_at(ring, ketama_place(ring, (uint32_t)hash));
	case SHARD_MODULA:
		return server_at(ring, place_of_unit(ring, (uint32_t)hash % ring->weight));
	case SHARD_JUMP:
		return server_at(ring, place_of_unit(ring, jump(hash, ring->weight)));
	case SHARD_RENDEZVOUS:
		return server_at(ring, rendezvous(ring, hash));
	default:
		return (int)ring->live[next_random() % ring->count].index;
	}
}

int shard_ring_route(const shard_ring *ring, const void *key, size_t len)
{
	/* As twemproxy: a pool of one server does no hashing. */
	return shard_ring_route_hash(ring, ring->servers == 1 ? 0 : shard_ring_hash(ring, key, len));
}

size_t shard_ring_point_count(const shard_ring *ring)
{
	return ring->point_count;
}

uint32_t shard_ring_point(const shard_ring *ring, size_t i, int *server)
{
	*server = server_at(ring, (int)(ring->point[i] & 0xffff));
	return value_of(ring->point[i]);
}

/* ---- shares ---- */

static double ketama_share(const struct shard_ring *ring, int server)
{
	double share = 0;

	for (size_t i = 0; i < ring->point_count; i++) {
		uint64_t value = value_of(ring->point[i]);
		/* From behind the point before it, round the ring for the first. */
		uint64_t before =
			i ? value_of(ring->point[i - 1]) : (uint64_t)value_of(ring->point[ring->point_count - 1]);
		uint64_t width = i ? value - before : value + (1ull << 32) - before;

		if (server_at(ring, (int)(ring->point[i] & 0xffff)) == server)
			share += (double)width;
	}
	return share / 0x1p32;
}

static const struct live *live_of(const struct shard_ring *ring, int server)
{
	for (size_t i = 0; i < ring->count; i++)
		if ((int)ring->live[i].index == server)
			return &ring->live[i];
	return NULL;
}

double shard_ring_share(const shard_ring *ring, int server)
{
	const struct live *live = live_of(ring, server);

	if (!live)
		return 0;
	switch (ring->options.distribution) {
	case SHARD_KETAMA:
		return ketama_share(ring, server);
	case SHARD_RANDOM:
		return 1 / (double)ring->count;
	default:
		return (double)live->weight / (double)ring->weight;
	}
}
