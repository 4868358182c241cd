/* SPDX-License-Identifier: MIT */
/* Making, running and ending a client; watches and timers. */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "client/internal.h"
#include "pure/resp.h"

/* ---- forks ---- */

unsigned fork_generation;
static pthread_once_t fork_once = PTHREAD_ONCE_INIT;

static void forked_in_child(void)
{
	fork_generation++;
}

static void watch_forks(void)
{
	pthread_atfork(NULL, NULL, forked_in_child);
}

int client_refusal(const shard_client *client)
{
	return client->destroying ? SHARD_ECANCELED : SHARD_EFORK;
}

/* ---- making ---- */

void shard_options_init(shard_options *options)
{
	*options = (shard_options){
		.timeout_ms = 5000,
		.connect_timeout_ms = 1000,
		.refresh_ms = 60000,
		.pause_ms = 1000,
	};
}

uint32_t client_random(shard_client *client)
{
	uint64_t x = client->random;

	/* xorshift64 (Marsaglia): jitter and choices, no secrets */
	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	client->random = x;
	return (uint32_t)(x >> 32);
}

static bool append_command(char **text, size_t *len, unsigned *count, int argc, const char *const argv[])
{
	size_t size = resp_command_size(argc, argv, NULL);
	char *grown = malloc(*len + size);

	if (!grown)
		return false;
	if (*len) {
		memcpy(grown, *text, *len);
		explicit_bzero(*text, *len);
	}
	free(*text);
	resp_command_write(grown + *len, argc, argv, NULL);
	*text = grown;
	*len += size;
	++*count;
	return true;
}

struct credentials {
	const char *user, *password;
	int db;
};

/* The URI's, and what it leaves open the pool's. */
static struct credentials credentials_of(const shard_uri *uri, const shard_pool *pool)
{
	struct credentials who = {0};

	if (uri)
		who = (struct credentials){uri->user, uri->password, uri->db};
	if (pool && !who.password) {
		who.user = pool->redis_user;
		who.password = pool->redis_auth;
	}
	if (pool && !who.db)
		who.db = pool->redis_db;
	return who;
}

/* What is said first on each connection. */
static bool make_greeting(const struct credentials *who, bool replica, char **text, size_t *len, unsigned *count)
{
	const char *const named[] = {"AUTH", who->user, who->password};
	const char *const plain[] = {"AUTH", who->password};
	const char *const readonly[] = {"READONLY"};
	char db[16];
	const char *const select[] = {"SELECT", db};
	bool ok = true;

	if (who->db)
		snprintf(db, sizeof(db), "%d", who->db);
	if (who->password && who->user && *who->user)
		ok = append_command(text, len, count, 3, named);
	else if (who->password)
		ok = append_command(text, len, count, 2, plain);
	if (ok && who->db)
		ok = append_command(text, len, count, 2, select);
	if (ok && replica)
		ok = append_command(text, len, count, 1, readonly);
	return ok;
}

static bool add_seeds(shard_client *client, const shard_uri *uri)
{
	client->seeds = calloc(uri->seed_count, sizeof(struct client_node *));
	if (!client->seeds)
		return false;
	for (size_t i = 0; i < uri->seed_count; i++) {
		struct client_node *node = node_get(client, uri->seed[i].host, uri->seed[i].port);

		if (!node)
			return false;
		node->seed = true;
		client->seeds[client->seed_count++] = node;
	}
	return true;
}

static void silence_due(struct timer *timer)
{
	shard_client *client = list_entry(timer, shard_client, silence_timer);

	node_check_silence(client);
	if (client->pending)
		timer_start(&client->loop.wheel, timer, client->loop.now + client->pause_ms / 4 + 1);
}

static int init_parts(shard_client *client, const shard_options *options)
{
	const struct credentials who = credentials_of(options->uri, options->pool);
	bool ok;

	list_init(&client->nodes);
	list_init(&client->waiting);
	list_init(&client->map_waiting);
	list_init(&client->group_waiting);
	list_init(&client->ended);
	list_init(&client->dirty);
	list_init(&client->scans);
	timer_init(&client->silence_timer, silence_due);
	map_init(client);
	if (getrandom(&client->random, sizeof(client->random), GRND_NONBLOCK) < 0)
		client->random = client->loop.now;
	client->random |= 1;
	client->seed_at = 0;
	ok = make_greeting(&who, false, &client->greeting, &client->greeting_len, &client->greeting_replies) &&
	     make_greeting(&who, true, &client->greeting_replica, &client->greeting_replica_len,
			   &client->greeting_replica_replies);
	if (!ok || options->pool)
		return ok ? pool_create(client, options->pool) : SHARD_ENOMEM;
	ok = add_seeds(client, options->uri) &&
	     (!options->topology || map_install(client, shard_topology_ref(options->topology), 0));
	return ok ? SHARD_OK : SHARD_ENOMEM;
}

/* Whether OPTIONS make sense together. */
static int check_options(const shard_options *options)
{
	const shard_pool *pool = options->pool;

	if ((!options->timeout_ms && !pool) || !options->connect_timeout_ms || !options->pause_ms)
		return SHARD_EINVAL;
	if (pool)
		return pool->redis && (pool->distribution != SHARD_RANDOM || options->any_server) ? SHARD_OK
												      : SHARD_EUNSUPPORTED;
	if (options->uri->scheme == SHARD_SCHEME_REDISS)
		return SHARD_EUNSUPPORTED;
	return options->uri->seed_count ? SHARD_OK : SHARD_EINVAL;
}

static void take_options(shard_client *client, const shard_options *options)
{
	const shard_pool *pool = options->pool;

	client->fork_generation = fork_generation;
	client->timeout_ms = options->timeout_ms || !pool ? options->timeout_ms : pool->timeout_ms;
	client->connect_timeout_ms = options->connect_timeout_ms;
	if (client->timeout_ms && client->connect_timeout_ms > client->timeout_ms && pool)
		client->connect_timeout_ms = client->timeout_ms;
	client->refresh_ms = options->refresh_ms;
	client->pause_ms = options->pause_ms;
	client->lazy = options->lazy && !pool;
	client->fair = options->fair;
	client->connections = pool ? pool->server_connections : 1;
	client->address_map = options->address_map;
	client->address_ctx = options->address_ctx;
}

static int create(shard_client **out, const shard_options *options)
{
	shard_client *client;
	int error = check_options(options);

	if (error)
		return error;
	pthread_once(&fork_once, watch_forks);
	client = calloc(1, sizeof(*client));
	if (!client)
		return SHARD_ENOMEM;
	take_options(client, options);
	if (loop_init(&client->loop) < 0) {
		error = errno == ENOMEM ? SHARD_ENOMEM : SHARD_ECONNECT;
		free(client);
		return error;
	}
	error = init_parts(client, options);
	if (error)
		shard_client_destroy(client);
	else
		*out = client;
	return error;
}

/* A pool whose servers are where a cluster is to be looked for. */
static int create_of_cluster(shard_client **out, const shard_options *options)
{
	const shard_pool *pool = options->pool;
	shard_options of_cluster = *options;
	shard_uri uri = {
		.user = options->uri && options->uri->password ? options->uri->user : pool->redis_user,
		.password = options->uri && options->uri->password ? options->uri->password : pool->redis_auth,
		.seed_count = pool->server_count,
	};
	int error;

	uri.seed = calloc(pool->server_count, sizeof(*uri.seed));
	if (!uri.seed)
		return SHARD_ENOMEM;
	for (size_t i = 0; i < pool->server_count; i++)
		uri.seed[i] = (shard_endpoint){(char *)pool->server[i].host, pool->server[i].port};
	of_cluster.uri = &uri;
	of_cluster.pool = NULL;
	if (!of_cluster.timeout_ms)
		of_cluster.timeout_ms = pool->timeout_ms ? pool->timeout_ms : UINT32_MAX;
	error = create(out, &of_cluster);
	free(uri.seed);
	return error;
}

static int create_from_file(shard_client **out, const shard_options *options)
{
	shard_options with_pool = *options;
	shard_pool_file *file;
	int error = shard_pool_file_load(options->uri->file, &file, NULL);

	if (error)
		return error;
	with_pool.pool = shard_pool_find(file, options->uri->pool, NULL);
	error = !with_pool.pool		? SHARD_EPOOL
		: with_pool.pool->cluster ? create_of_cluster(out, &with_pool)
					  : create(out, &with_pool);
	shard_pool_file_free(file);
	return error;
}

int shard_client_create(shard_client **out, const shard_options *options)
{
	*out = NULL;
	if (!options->uri && !options->pool)
		return SHARD_EINVAL;
	if (!options->pool && options->uri->scheme == SHARD_SCHEME_TWEMPROXY)
		return create_from_file(out, options);
	return options->pool && options->pool->cluster ? create_of_cluster(out, options) : create(out, options);
}

/* ---- ending ---- */

static void cancel_list(struct list *list)
{
	while (!list_empty(list))
		request_fail(list_entry(list->next, struct shard_request, item.link), SHARD_ECANCELED,
			     "the client was closed");
}

/* Everything on a connection is given up; what it still owes is forgotten with it. */
static void cancel_conns(shard_client *client)
{
	for (struct list *l = client->nodes.next; l != &client->nodes; l = l->next) {
		struct client_node *node = list_entry(l, struct client_node, all);

		while (!list_empty(&node->conns))
			conn_fail(list_entry(node->conns.next, struct conn, links), SHARD_ECONNECT,
				  "the client was closed");
	}
}

static void free_requests(shard_client *client)
{
	for (unsigned i = 0; i < SIZE_CLASSES; i++) {
		for (struct shard_request *req = client->free[i], *next; req; req = next) {
			next = req->ctx;
			free(req);
		}
	}
}

static void wipe(char *text, size_t len)
{
	if (text)
		explicit_bzero(text, len);
	free(text);
}

void shard_client_destroy(shard_client *client)
{
	if (!client)
		return;
	client->loop.forked = client_forked(client);
	/* From here on nothing more is taken: see client_refusal(). */
	client->destroying = true;
	client->fork_generation = fork_generation - 1;
	scan_cancel_all(client);
	for (bool more = true; more;) {
		cancel_conns(client);
		cancel_list(&client->waiting);
		cancel_list(&client->map_waiting);
		group_fail_waiting(client, SHARD_ECANCELED, "the client was closed");
		more = !list_empty(&client->ended);
		request_call_ended(client);
	}
	map_finish(client);
	node_destroy_all(client);
	pool_free(client->pool);
	free_requests(client);
	loop_finish(&client->loop);
	wipe(client->greeting, client->greeting_len);
	wipe(client->greeting_replica, client->greeting_replica_len);
	free(client->seeds);
	free(client);
}

/* ---- running ---- */

void client_tell(shard_client *client)
{
	if (client->embedded && !client->loop.in_tick && !client->destroying)
		loop_arm(&client->loop, true);
	loop_wake(&client->loop);
}

static int until_next(shard_client *client)
{
	uint64_t next = wheel_next(&client->loop.wheel), now = loop_now(&client->loop);

	if (next == UINT64_MAX)
		return -1;
	if (next <= now)
		return 0;
	/* The clock is cut to milliseconds: one more, or the last one is spent waking up. */
	return next - now < 60000 ? (int)(next - now) + 1 : 60000;
}

#define AWAIT_LIMIT_MS 10 /* whoever is to be back sooner does not wait for one connection alone */

static void tick(shard_client *client, int timeout_ms)
{
	int next, limit;

	/* What is found out here (a connection that is gone) may start timers: how long to wait is known after it. */
	node_flush(client);
	next = until_next(client);
	if (!list_empty(&client->ended))
		next = 0;
	limit = timeout_ms < 0 || (next >= 0 && next < timeout_ms) ? next : timeout_ms;
	if (client->fair || client->loop.leave || (limit >= 0 && limit < AWAIT_LIMIT_MS) || !node_await(client))
		loop_tick(&client->loop, limit);
	client->loop.in_tick = true;
	map_tell(client);
	tracking_tell(client);
	request_call_ended(client);
	node_flush(client);
	client->loop.in_tick = false;
	if (client->embedded)
		loop_arm(&client->loop, !list_empty(&client->ended));
}

int shard_client_process(shard_client *client)
{
	if (client_forked(client))
		return SHARD_EFORK;
	tick(client, 0);
	return SHARD_OK;
}

int shard_client_wait(shard_client *client, int timeout_ms)
{
	if (client_forked(client))
		return SHARD_EFORK;
	tick(client, timeout_ms);
	return SHARD_OK;
}

int shard_client_run(shard_client *client)
{
	client->stopped = false;
	while (!client->stopped && (client->pending || client->watches)) {
		int error = shard_client_wait(client, -1);

		if (error)
			return error;
	}
	return SHARD_OK;
}

void shard_client_stop(shard_client *client)
{
	client->stopped = true;
	loop_wake(&client->loop);
}

int shard_client_share(shard_client *client, void (*leave)(void *ctx), void (*enter)(void *ctx), void *ctx)
{
	if (client_forked(client))
		return client_refusal(client);
	if (!leave || !enter || client->loop.in_tick)
		return SHARD_EINVAL;
	if (loop_share(&client->loop, leave, enter, ctx) == 0)
		return SHARD_OK;
	return errno == ENOMEM ? SHARD_ENOMEM : SHARD_ECONNECT;
}

int shard_client_fd(shard_client *client)
{
	int fd = loop_embed(&client->loop);

	client->embedded = fd >= 0;
	return fd;
}

size_t shard_client_pending(const shard_client *client)
{
	return client->pending;
}

/* ---- watches and timers ---- */

struct shard_watch {
	struct list grave; /* first: loop_bury() */
	struct loop_source source;
	shard_client *client;
	void (*callback)(void *ctx, uint32_t events);
	void *ctx;
};

static void watch_ready(struct loop_source *source, uint32_t events)
{
	struct shard_watch *watch = list_entry(source, struct shard_watch, source);

	watch->callback(watch->ctx, events);
}

shard_watch *shard_watch_add(shard_client *client, int fd, uint32_t events,
			     void (*callback)(void *ctx, uint32_t events), void *ctx)
{
	struct shard_watch *watch;

	if (client_forked(client)) {
		errno = EINVAL;
		return NULL;
	}
	watch = calloc(1, sizeof(*watch));
	if (!watch)
		return NULL;
	watch->source = (struct loop_source){.ready = watch_ready, .fd = fd};
	watch->client = client;
	watch->callback = callback;
	watch->ctx = ctx;
	if (loop_add(&client->loop, &watch->source, events) < 0) {
		int error = errno;

		free(watch);
		errno = error;
		return NULL;
	}
	client->watches++;
	return watch;
}

int shard_watch_set(shard_watch *watch, uint32_t events)
{
	if (client_forked(watch->client)) {
		errno = EINVAL;
		return -1;
	}
	return loop_set(&watch->client->loop, &watch->source, events);
}

void shard_watch_remove(shard_watch *watch)
{
	if (!watch)
		return;
	watch->client->loop.forked = client_forked(watch->client);
	loop_remove(&watch->client->loop, &watch->source);
	watch->client->watches--;
	loop_bury(&watch->client->loop, watch);
}

struct shard_timer {
	struct timer timer;
	shard_client *client;
	void (*callback)(void *ctx);
	void *ctx;
};

static void user_timer_expired(struct timer *timer)
{
	struct shard_timer *own = list_entry(timer, struct shard_timer, timer);
	void (*callback)(void *ctx) = own->callback;
	void *ctx = own->ctx;

	own->client->watches--;
	free(own);
	callback(ctx);
}

shard_timer *shard_timer_add(shard_client *client, unsigned ms, void (*callback)(void *ctx), void *ctx)
{
	struct shard_timer *timer = malloc(sizeof(*timer));

	if (!timer)
		return NULL;
	timer_init(&timer->timer, user_timer_expired);
	timer->client = client;
	timer->callback = callback;
	timer->ctx = ctx;
	timer_start(&client->loop.wheel, &timer->timer, loop_now(&client->loop) + ms);
	client->watches++;
	client_touched(client);
	return timer;
}

void shard_timer_cancel(shard_timer *timer)
{
	if (!timer)
		return;
	timer_stop(&timer->timer);
	timer->client->watches--;
	free(timer);
}
