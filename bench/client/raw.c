/* SPDX-License-Identifier: MIT */
/*
 * The floor: raw sockets. GETs are encoded beforehand, a tick is one epoll_wait,
 * one recv and one write a node, replies are not parsed but counted by their
 * bytes (all values are of one length). A copy of each request into one buffer
 * is cheaper than a writev of a thousand small parts.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "workload.h"

enum {
	REQUEST_LEN = 13 + 5 + KEY_LEN + 2, /* *2 $3 GET, $16, key */
	REPLY_LEN = 5 + VALUE_LEN + 2       /* $16, value */
};

struct lane {
	int fd;
	size_t received; /* bytes of a reply that is not whole yet */
	char *out;       /* room for a window */
	size_t out_len;
};

struct raw_side {
	struct workload *workload;
	struct lane lane[CLUSTER_NODES_MAX];
	int epoll;
	char (*request)[REQUEST_LEN + 1]; /* one for each key */
	size_t to_send;
	size_t pending;
};

static void queue_one(struct raw_side *side)
{
	const struct key *key = workload_next(side->workload);
	struct lane *lane = &side->lane[key->node];

	memcpy(lane->out + lane->out_len, side->request[key - side->workload->keys], REQUEST_LEN);
	lane->out_len += REQUEST_LEN;
	side->to_send--;
	side->pending++;
}

/* Blocks where a socket is full: a server reads whatever comes, so it cannot be for ever. */
static int lane_write(struct lane *lane)
{
	for (size_t done = 0; done < lane->out_len;) {
		ssize_t n = write(lane->fd, lane->out + done, lane->out_len - done);

		if (n < 0)
			return -1;
		done += (size_t)n;
	}
	lane->out_len = 0;
	return 0;
}

static int write_all(struct raw_side *side)
{
	for (size_t i = 0; i < side->workload->cluster.count; i++)
		if (lane_write(&side->lane[i]))
			return -1;
	return 0;
}

static int lane_read(struct raw_side *side, struct lane *lane)
{
	static char buffer[1 << 16];
	ssize_t n = recv(lane->fd, buffer, sizeof(buffer), MSG_DONTWAIT);
	size_t replies;

	if (n <= 0)
		return -1;
	lane->received += (size_t)n;
	replies = lane->received / REPLY_LEN;
	lane->received %= REPLY_LEN;
	side->pending -= replies;
	for (; replies && side->to_send; replies--)
		queue_one(side);
	return 0;
}

static int tick(struct raw_side *side)
{
	struct epoll_event event[CLUSTER_NODES_MAX];
	int count = epoll_wait(side->epoll, event, CLUSTER_NODES_MAX, -1);

	for (int i = 0; i < count; i++)
		if (lane_read(side, event[i].data.ptr))
			return -1;
	return write_all(side);
}

static int raw_run(void *self, size_t count)
{
	struct raw_side *side = self;

	side->to_send = count;
	for (size_t i = 0; i < side->workload->window && side->to_send; i++)
		queue_one(side);
	if (write_all(side))
		return -1;
	while (side->pending)
		if (tick(side))
			return -1;
	return 0;
}

static void raw_close(void *self)
{
	struct raw_side *side = self;

	for (size_t i = 0; i < side->workload->cluster.count; i++) {
		if (side->lane[i].fd > 0)
			close(side->lane[i].fd);
		free(side->lane[i].out);
	}
	close(side->epoll);
	free(side->request);
	free(side);
}

static int lane_open(struct raw_side *side, size_t i)
{
	const struct cluster_node *node = &side->workload->cluster.node[i];
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)node->port)};
	struct lane *lane = &side->lane[i];
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = lane};
	int one = 1;

	lane->out = malloc(side->workload->window * REQUEST_LEN);
	lane->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (!lane->out || lane->fd < 0 || inet_pton(AF_INET, node->host, &address.sin_addr) != 1)
		return -1;
	if (connect(lane->fd, (struct sockaddr *)&address, sizeof(address)))
		return -1;
	setsockopt(lane->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	return epoll_ctl(side->epoll, EPOLL_CTL_ADD, lane->fd, &event);
}

static void encode(struct raw_side *side)
{
	for (size_t i = 0; i < side->workload->key_count; i++)
		snprintf(side->request[i], sizeof(side->request[i]), "*2\r\n$3\r\nGET\r\n$%d\r\n%s\r\n", KEY_LEN,
			 side->workload->keys[i].name);
}

static void *raw_open(struct workload *workload)
{
	struct raw_side *side = calloc(1, sizeof(*side));
	char(*request)[REQUEST_LEN + 1] = calloc(workload->key_count, sizeof(*request));

	if (!side || !request) {
		free(side);
		free(request);
		return NULL;
	}
	side->workload = workload;
	side->epoll = epoll_create1(EPOLL_CLOEXEC);
	side->request = request;
	encode(side);
	for (size_t i = 0; i < workload->cluster.count; i++)
		if (lane_open(side, i)) {
			fprintf(stderr, "bench-client: %s:%d: cannot connect\n", workload->cluster.node[i].host,
				workload->cluster.node[i].port);
			raw_close(side);
			return NULL;
		}
	return side;
}

const struct contestant contestant_raw = {"raw", raw_open, raw_run, raw_close};
