/* SPDX-License-Identifier: MIT */
#include "crew.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#define REQUESTS_A_TICK 64
#define ALONE_FOR 16  /* ticks */
#define LOOK_MS 20    /* the first looks so often at what the others have under way */

_Thread_local shard_client *fs_thread_client;

/* ---- the lock ---- */

static void lock(void *ctx)
{
	struct crew *crew = ctx;

	if (crew->count > 1)
		pthread_mutex_lock(&crew->lock);
}

static void unlock(void *ctx)
{
	struct crew *crew = ctx;

	if (crew->count > 1)
		pthread_mutex_unlock(&crew->lock);
}

/* ---- the loop ---- */

void crew_end(struct crew *crew)
{
	crew->ending = true;
	for (unsigned i = 0; i < crew->there; i++)
		shard_client_stop(crew->worker[i].client);
}

/* Whether there may be more to read. */
static bool serve_one(struct worker *worker)
{
	struct crew *crew = worker->crew;
	struct fuse_session *session = crew->fs->session;

	unlock(crew);
	int n = fuse_session_receive_buf(session, &worker->buf);
	lock(crew);
	if (n == -EINTR)
		return true;
	if (n == -EAGAIN)
		return false;
	if (n > 0)
		fuse_session_process_buf(session, &worker->buf);
	/* It does so at the first request, with one thread; where there are more, another may have seen the end. */
	crew->given_up |= n > 0 && crew->there == 1 && fuse_session_exited(session);
	if (n <= 0 || crew->given_up)
		crew_end(crew);
	return !crew->ending;
}

/*
 * A program that is alone waits for the answer: its command goes out before
 * anyone looks for a next request. Whether it is alone is looked at now and then.
 */
static void serve_alone(struct worker *worker)
{
	while (serve_one(worker) && !shard_client_pending(worker->client))
		;
}

static void serve_all(struct worker *worker)
{
	int served = 0, waiting = 0;

	while (served < REQUESTS_A_TICK && serve_one(worker)) {
		served++;
		waiting += shard_client_pending(worker->client) > 0;
	}
	worker->alone = waiting > 1 ? 0 : ALONE_FOR;
}

static void spawn_all(struct crew *crew);

static void on_fuse(void *ctx, uint32_t events)
{
	struct worker *worker = ctx;
	struct crew *crew = worker->crew;

	if (worker->alone && !shard_client_pending(worker->client)) {
		worker->alone--;
		serve_alone(worker);
	} else {
		serve_all(worker);
	}
	if (!crew->fs->answers || crew->given_up)
		return;
	if (crew->ready)
		crew->ready();
	crew->ready = NULL;
	if (crew->there == 1 && crew->count > 1 && !crew->ending)
		spawn_all(crew);
}

static int watch(struct worker *worker)
{
	/* Of several that wait the kernel wakes one. */
	uint32_t events = EPOLLIN | (worker->crew->count > 1 ? (uint32_t)EPOLLEXCLUSIVE : 0);

	worker->watch =
		shard_watch_add(worker->client, fuse_session_fd(worker->crew->fs->session), events, on_fuse, worker);
	if (!worker->watch)
		return errno;
	worker->crew->reading++;
	return 0;
}

static void leave(struct worker *worker)
{
	shard_watch_remove(worker->watch);
	worker->watch = NULL;
	worker->crew->reading--;
	pthread_cond_broadcast(&worker->crew->left);
}

/* ---- the other threads ---- */

static void *work(void *ctx)
{
	struct worker *worker = ctx;
	struct crew *crew = worker->crew;

	lock(crew);
	fs_thread_client = worker->client;
	if (!crew->ending)
		shard_client_run(worker->client);
	leave(worker);
	while (!crew->finished)
		shard_client_wait(worker->client, -1);
	unlock(crew);
	return NULL;
}

static int make_client(struct crew *crew, shard_client **client)
{
	shard_options options;
	int error;

	cli_connect_options(&crew->fs->options->connect, &options);
	options.topology = shard_client_topology(crew->fs->client);
	error = shard_client_create(client, &options);
	return error ? error : shard_client_share(*client, unlock, lock, crew);
}

/* Or why not, for people. */
static const char *spawn(struct crew *crew)
{
	struct worker *worker = &crew->worker[crew->there];
	int error = make_client(crew, &worker->client);
	const char *why = error ? shard_strerror(error) : NULL;

	worker->crew = crew;
	if (!why) {
		error = watch(worker);
		why = error ? strerror(error) : NULL;
	}
	if (!why) {
		error = pthread_create(&worker->thread, NULL, work, worker);
		why = error ? strerror(error) : NULL;
	}
	if (!why) {
		crew->there++;
		return NULL;
	}
	if (worker->watch)
		leave(worker);
	shard_client_destroy(worker->client);
	worker->client = NULL;
	return why;
}

static void spawn_all(struct crew *crew)
{
	while (crew->there < crew->count) {
		const char *why = spawn(crew);

		if (!why)
			continue;
		fs_say(crew->fs, "%u of %u threads serve the mount, no more can be had: %s", crew->there, crew->count,
		       why);
		return;
	}
}

/* ---- the start and the end ---- */

int crew_start(struct crew *crew, struct fs *fs, void (*ready)(void))
{
	pthread_mutexattr_t how;
	int error;

	crew->fs = fs;
	crew->count = fs->options->threads;
	crew->ready = ready;
	crew->there = 1;
	crew->worker[0].crew = crew;
	crew->worker[0].client = fs_thread_client = fs->client;
	fs->crew = crew;
	pthread_mutexattr_init(&how);
	/* What is done under it takes some microseconds. */
	pthread_mutexattr_settype(&how, PTHREAD_MUTEX_ADAPTIVE_NP);
	pthread_mutex_init(&crew->lock, &how);
	pthread_mutexattr_destroy(&how);
	pthread_cond_init(&crew->left, NULL);
	lock(crew);
	error = crew->count > 1 ? shard_client_share(fs->client, unlock, lock, crew) : SHARD_OK;
	return error == SHARD_OK ? 0 : error == SHARD_ENOMEM ? ENOMEM : errno ? errno : EIO;
}

int crew_watch(struct crew *crew)
{
	return watch(&crew->worker[0]);
}

void crew_serve(struct crew *crew)
{
	shard_client_run(crew->fs->client);
	crew_end(crew);
	leave(&crew->worker[0]);
	while (crew->reading)
		pthread_cond_wait(&crew->left, &crew->lock);
}

bool crew_wait(struct crew *crew)
{
	return shard_client_wait(crew->fs->client, crew->there > 1 ? LOOK_MS : -1) == SHARD_OK;
}

void crew_finish(struct crew *crew)
{
	if (!crew->fs)
		return;
	crew->finished = true;
	crew_end(crew);
	unlock(crew);
	for (unsigned i = 1; i < crew->there; i++)
		pthread_join(crew->worker[i].thread, NULL);
	if (crew->worker[0].watch) /* it never served */
		leave(&crew->worker[0]);
	for (unsigned i = 0; i < crew->there; i++) {
		free(crew->worker[i].buf.mem);
		if (i)
			shard_client_destroy(crew->worker[i].client);
	}
	pthread_cond_destroy(&crew->left);
	pthread_mutex_destroy(&crew->lock);
	crew->there = crew->count = 1;
}

size_t crew_pending(const struct crew *crew)
{
	size_t count = 0;

	for (unsigned i = 0; i < crew->there; i++)
		count += shard_client_pending(crew->worker[i].client);
	return count;
}
