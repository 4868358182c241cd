/* SPDX-License-Identifier: MIT */
#include "worker.h"

#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "log.h"

#define SERVICES_AT_ONCE 64

uint64_t worker_now(struct worker *worker)
{
	struct timespec now;

	if (!worker->now) {
		clock_gettime(CLOCK_MONOTONIC, &now);
		worker->now = (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
	}
	return worker->now;
}

/* ---- its services ---- */

static bool watch_services(struct worker *worker)
{
	for (size_t i = 0; worker->service_count > 1 && i < worker->service_count; i++) {
		struct epoll_event event = {.events = EPOLLIN, .data.ptr = worker->service[i]};
		int fd = shard_client_fd(worker->service[i]->client);

		if (fd < 0 || (epoll_ctl(worker->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0 && errno != EEXIST))
			return false;
	}
	return true;
}

static bool make_services(struct worker *worker, struct config *config)
{
	worker->service = calloc(config->pool_count, sizeof(struct service *));
	if (!worker->service)
		return false;
	for (; worker->service_count < config->pool_count; worker->service_count++) {
		struct service *service = service_create(worker, &config->pool[worker->service_count]);

		if (!service)
			return false;
		worker->service[worker->service_count] = service;
	}
	return watch_services(worker);
}

static void free_services(struct worker *worker)
{
	for (size_t i = 0; i < worker->service_count; i++)
		service_destroy(worker->service[i]);
	free(worker->service);
	worker->service = NULL;
	worker->service_count = 0;
}

static void worker_free(struct worker *worker)
{
	free_services(worker);
	query_store_free(worker);
	while (worker->chunks) {
		struct chunk *chunk = worker->chunks;

		worker->chunks = chunk->next;
		free(chunk);
	}
	words_finish(&worker->words);
	bytes_finish(&worker->scratch);
	if (worker->epoll_fd >= 0)
		close(worker->epoll_fd);
	if (worker->wake_fd >= 0)
		close(worker->wake_fd);
	pthread_mutex_destroy(&worker->lock);
	pthread_cond_destroy(&worker->done);
	free(worker->buffer);
	free(worker);
}

struct worker *worker_create(unsigned number, struct config *config)
{
	struct worker *worker = calloc(1, sizeof(*worker));

	if (!worker)
		return NULL;
	worker->number = number;
	worker->config = config;
	pthread_mutex_init(&worker->lock, NULL);
	pthread_cond_init(&worker->done, NULL);
	worker->buffer = malloc(READ_SIZE);
	worker->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	worker->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (worker->buffer && worker->epoll_fd >= 0 && worker->wake_fd >= 0 && make_services(worker, config))
		return worker;
	worker_free(worker);
	return NULL;
}

/* ---- a new configuration ---- */

static struct service *heir_of(struct worker *worker, size_t first, const struct service *old)
{
	for (size_t i = first; i < worker->service_count; i++)
		if (!strcmp(worker->service[i]->config->name, old->config->name))
			return worker->service[i];
	return NULL;
}

static bool make_room(struct worker *worker, size_t more)
{
	struct service **grown = realloc(worker->service, (worker->service_count + more) * sizeof(struct service *));

	if (grown)
		worker->service = grown;
	return grown;
}

static void reload(struct worker *worker, struct config *config)
{
	size_t old = worker->service_count;

	if (!make_room(worker, config->pool_count)) {
		log_error("out of memory: the old configuration stays");
		return;
	}
	worker->config = config;
	for (size_t i = 0; i < config->pool_count; i++) {
		struct service *service = service_create(worker, &config->pool[i]);

		if (service)
			worker->service[worker->service_count++] = service;
	}
	if (!watch_services(worker))
		log_error("a pool cannot be watched: %s", strerror(errno));
	for (size_t i = 0; i < old; i++) {
		struct service *service = worker->service[i];

		service->leaving = true;
		service->heir = heir_of(worker, old, service);
		service_stop_listening(service);
		session_move_idle(service);
	}
}

/* Services that are not needed any more. An heir may leave before those whose heir it is: they get its own. */
static void bury(struct worker *worker)
{
	size_t kept = 0;

	for (size_t i = 0; i < worker->service_count; i++) {
		struct service *service = worker->service[i];

		while (service->heir && service->heir->leaving)
			service->heir = service->heir->heir;
		if (!service->leaving || service->sessions)
			continue;
		for (size_t k = 0; k < worker->service_count; k++)
			if (worker->service[k] && worker->service[k]->heir == service)
				worker->service[k]->heir = service->heir;
		if (worker->service_count > 1)
			epoll_ctl(worker->epoll_fd, EPOLL_CTL_DEL, shard_client_fd(service->client), NULL);
		service_destroy(service);
		worker->service[i] = NULL;
	}
	for (size_t i = 0; i < worker->service_count; i++)
		if (worker->service[i])
			worker->service[kept++] = worker->service[i];
	worker->service_count = kept;
}

/* ---- its life ---- */

static void wait_for_all(struct worker *worker)
{
	struct epoll_event event[SERVICES_AT_ONCE];
	int n = epoll_wait(worker->epoll_fd, event, SERVICES_AT_ONCE, worker->soon ? 1 : -1);

	worker->now = 0;
	for (int i = 0; i < n; i++) {
		struct service *service = event[i].data.ptr;

		if (shard_client_process(service->client) != SHARD_OK)
			return;
	}
}

/* What other threads want. Returns whether it is to go on. */
static bool obey(struct worker *worker)
{
	bool over;

	pthread_mutex_lock(&worker->lock);
	over = worker->over;
	if (worker->next_config && !over)
		reload(worker, worker->next_config);
	worker->next_config = NULL;
	for (size_t i = 0; worker->asked && i < worker->service_count; i++)
		snapshot_add(worker->asked, worker->service[i]);
	worker->asked = NULL;
	worker->told = false;
	pthread_cond_broadcast(&worker->done);
	pthread_mutex_unlock(&worker->lock);
	return !over;
}

static bool tick(struct worker *worker)
{
	bool leaving = false;

	if (worker->service_count > 1)
		wait_for_all(worker);
	else if (shard_client_wait(worker->service[0]->client, worker->soon ? 1 : -1) != SHARD_OK)
		return false;
	worker->soon = session_flush_all(worker);
	worker->now = 0;
	for (size_t i = 0; i < worker->service_count; i++)
		leaving |= worker->service[i]->leaving;
	if (leaving)
		bury(worker);
	return !worker->told || obey(worker);
}

static void *run(void *arg)
{
	while (tick(arg))
		;
	return NULL;
}

bool worker_start(struct worker *worker)
{
	int error = pthread_create(&worker->thread, NULL, run, worker);

	if (error)
		log_error("a thread cannot be started: %s", strerror(error));
	return !error;
}

/* ---- for other threads; they hold the lock ---- */

static void wake(struct worker *worker)
{
	uint64_t one = 1;

	if (write(worker->wake_fd, &one, sizeof(one)) < 0)
		log_error("a thread cannot be woken: %s", strerror(errno));
}

void worker_reload(struct worker *worker, struct config *config)
{
	pthread_mutex_lock(&worker->lock);
	worker->next_config = config;
	wake(worker);
	while (worker->next_config)
		pthread_cond_wait(&worker->done, &worker->lock);
	pthread_mutex_unlock(&worker->lock);
}

void worker_report(struct worker *worker, struct snapshot *snapshot)
{
	struct timespec limit;

	clock_gettime(CLOCK_REALTIME, &limit);
	limit.tv_sec += 1;
	pthread_mutex_lock(&worker->lock);
	worker->asked = snapshot;
	wake(worker);
	while (worker->asked && pthread_cond_timedwait(&worker->done, &worker->lock, &limit) != ETIMEDOUT)
		;
	worker->asked = NULL;
	pthread_mutex_unlock(&worker->lock);
}

void worker_stop(struct worker *worker)
{
	pthread_mutex_lock(&worker->lock);
	worker->over = true;
	wake(worker);
	pthread_mutex_unlock(&worker->lock);
}

void worker_join(struct worker *worker)
{
	pthread_join(worker->thread, NULL);
	worker_free(worker);
}
