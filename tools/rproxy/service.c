/* SPDX-License-Identifier: MIT */
/* A pool as one thread serves it: a client of its servers, and the clients that it has. */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "log.h"
#include "worker.h"

#define ACCEPTS 64        /* a tick */
#define ACCEPT_PAUSE_MS 100 /* when no descriptor is left */

static void accept_due(void *ctx)
{
	struct service *service = ctx;

	service->accept_again = NULL;
	shard_watch_set(service->listener, EPOLLIN);
}

/* Whoever waits stays in the backlog until there is room. */
static void pause_accepting(struct service *service)
{
	if (service->accept_again)
		return;
	shard_watch_set(service->listener, 0);
	service->accept_again = shard_timer_add(service->client, ACCEPT_PAUSE_MS, accept_due, service);
}

static bool is_full(struct service *service, int fd)
{
	static const char full[] = "-ERR max number of clients reached\r\n";
	const struct pool_config *config = service->config;
	unsigned share;

	if (!config->client_connections)
		return false;
	share = config->client_connections / service->worker->config->threads +
		(service->worker->number < config->client_connections % service->worker->config->threads);
	if (service->session_count < share)
		return false;
	count(&service->stats.client_refused, 1);
	if (!config->strict && send(fd, full, sizeof(full) - 1, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
		log_info("pool %s: a client too many is gone already", config->name);
	close(fd);
	return true;
}

static void on_connection(void *ctx, uint32_t events)
{
	struct service *service = ctx;
	int on = 1;

	(void)events;
	for (int i = 0; i < ACCEPTS; i++) {
		int fd = accept4(service->listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS)) {
			log_warn("pool %s: a client has to wait: %s", service->config->name, strerror(errno));
			pause_accepting(service);
		}
		if (fd < 0)
			return;
		if (service->config->listen_port)
			setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
		if (service->config->pool && service->config->pool->tcpkeepalive)
			setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
		if (!is_full(service, fd))
			session_open(service, fd);
	}
}

static void on_wake(void *ctx, uint32_t events)
{
	struct service *service = ctx;
	uint64_t number;

	(void)events;
	if (read(service->worker->wake_fd, &number, sizeof(number)) == sizeof(number))
		service->worker->told = true;
}

static int make_client(struct service *service)
{
	const struct pool_config *config = service->config;
	shard_options how;

	shard_options_init(&how);
	how.uri = config->uri;
	how.pool = config->pool;
	how.timeout_ms = config->timeout_ms ? config->timeout_ms : config->pool ? 0 : how.timeout_ms;
	how.fair = true;
	how.any_server = true;
	return shard_client_create(&service->client, &how);
}

struct service *service_create(struct worker *worker, const struct pool_config *config)
{
	struct service *service = calloc(1, sizeof(*service));
	int error;

	if (!service)
		return NULL;
	service->worker = worker;
	service->config = config;
	service->listen_fd = config->listen_fd[worker->number];
	config_use(config->of);
	service->latency = calloc(command_count(), sizeof(*service->latency));
	error = service->latency ? make_client(service) : SHARD_ENOMEM;
	if (error) {
		log_error("pool %s: %s", config->name, shard_strerror(error));
		service_destroy(service);
		return NULL;
	}
	service->listener = shard_watch_add(service->client, service->listen_fd, EPOLLIN, on_connection,
					    service);
	service->wake = shard_watch_add(service->client, worker->wake_fd, EPOLLIN, on_wake, service);
	if (service->listener && service->wake) {
		/* The map is there before the first client asks. */
		if (config->cluster && shard_refresh(service->client, NULL, NULL) != SHARD_OK)
			log_warn("pool %s: the map is fetched later", config->name);
		return service;
	}
	log_error("pool %s: %s", config->name, strerror(errno));
	service_destroy(service);
	return NULL;
}

void service_stop_listening(struct service *service)
{
	shard_timer_cancel(service->accept_again);
	shard_watch_remove(service->listener);
	service->accept_again = NULL;
	service->listener = NULL;
}

void service_destroy(struct service *service)
{
	if (!service)
		return;
	while (service->sessions)
		session_close(service->sessions);
	service_stop_listening(service);
	shard_watch_remove(service->wake);
	shard_client_destroy(service->client);
	for (size_t i = 0; i < service->server_count; i++)
		free(service->server[i]);
	free(service->server);
	free(service->latency);
	config_unuse(service->config->of);
	free(service);
}

/* ---- servers ---- */

static struct server_stats *add_server(struct service *service, const char *node)
{
	struct server_stats *server;

	if (service->server_count == SERVERS_MAX)
		return NULL;
	if (service->server_count == service->server_room) {
		size_t room = service->server_room ? service->server_room * 2 : 8;
		struct server_stats **grown = calloc(room, sizeof(struct server_stats *));

		if (!grown)
			return NULL;
		if (service->server_count)
			memcpy(grown, service->server, service->server_count * sizeof(*grown));
		free(service->server);
		service->server = grown;
		service->server_room = room;
	}
	server = calloc(1, sizeof(*server));
	if (!server)
		return NULL;
	strncpy(server->addr, node, sizeof(server->addr) - 1);
	service->server[service->server_count++] = server;
	return server;
}

struct server_stats *service_server(struct service *service, const char *node)
{
	unsigned place = (unsigned)((uintptr_t)node >> 5) % 16;
	struct server_stats *server = NULL;

	if (service->last[place].node == node && !strcmp(service->last[place].stats->addr, node))
		return service->last[place].stats;
	for (size_t i = 0; i < service->server_count && !server; i++)
		if (!strcmp(service->server[i]->addr, node))
			server = service->server[i];
	if (!server)
		server = add_server(service, node);
	if (server) {
		service->last[place].node = node;
		service->last[place].stats = server;
	}
	return server;
}
