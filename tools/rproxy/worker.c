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
	worker->buffer = malloc(READ_SIZE);
	worker->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	worker->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (worker->buffer && worker->epoll_fd >= 0 && worker->wake_fd >= 0 && make_services(worker, config))
		return worker;
	worker_free(worker);
	return NULL;
}

/* ---- its life ---- */

static void wait_for_all(struct worker *worker)
{
	struct epoll_event event[SERVICES_AT_ONCE];
	int n = epoll_wait(worker->epoll_fd, event, SERVICES_AT_ONCE, -1);

	worker->now = 0;
	for (int i = 0; i < n; i++) {
		struct service *service = event[i].data.ptr;

		if (shard_client_process(service->client) != SHARD_OK)
			return;
	}
}

static void tick(struct worker *worker)
{
	if (worker->service_count > 1)
		wait_for_all(worker);
	else if (shard_client_wait(worker->service[0]->client, -1) != SHARD_OK)
		return;
	session_flush_all(worker);
	worker->now = 0;
}

static void *run(void *arg)
{
	struct worker *worker = arg;

	while (__atomic_load_n(&worker->told, __ATOMIC_ACQUIRE) != TOLD_STOP)
		tick(worker);
	return NULL;
}

bool worker_start(struct worker *worker)
{
	int error = pthread_create(&worker->thread, NULL, run, worker);

	if (error)
		log_error("a thread cannot be started: %s", strerror(error));
	return !error;
}

void worker_tell(struct worker *worker, int told, struct config *config)
{
	uint64_t one = 1;

	worker->next_config = config;
	__atomic_store_n(&worker->told, told, __ATOMIC_RELEASE);
	if (write(worker->wake_fd, &one, sizeof(one)) < 0)
		log_error("a thread cannot be woken: %s", strerror(errno));
}

void worker_join(struct worker *worker)
{
	pthread_join(worker->thread, NULL);
	worker_free(worker);
}
