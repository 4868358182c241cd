/* SPDX-License-Identifier: MIT */
#include "report.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "listen.h"
#include "log.h"
#include "options.h"
#include "stats_json.h"

#define PATIENCE_S 1 /* with one who does not read, or does not say what is wanted */
#define HEAD_MAX 8192

struct report {
	pthread_t thread;
	struct worker **worker;
	unsigned count;
	time_t since;
	int stats_fd, metrics_fd, end_fd;
};

static void send_all(int fd, const char *bytes, size_t len)
{
	while (len) {
		ssize_t n = send(fd, bytes, len, MSG_NOSIGNAL);

		if (n <= 0)
			return;
		bytes += n;
		len -= (size_t)n;
	}
}

static void look(const struct report *report, struct snapshot *snapshot)
{
	for (unsigned i = 0; i < report->count; i++)
		worker_report(report->worker[i], snapshot);
}

static void show_json(const struct report *report, int fd)
{
	struct snapshot snapshot = {0};
	struct bytes out = {0};

	look(report, &snapshot);
	stats_json(&out, &snapshot, report->since);
	send_all(fd, out.at, out.len);
	bytes_finish(&out);
	snapshot_finish(&snapshot);
}

/* The head of an HTTP request. Returns whether it came. */
static bool read_head(int fd, char *head)
{
	size_t len = 0;

	while (len < HEAD_MAX) {
		ssize_t n = recv(fd, head + len, HEAD_MAX - len, 0);

		if (n <= 0)
			return false;
		len += (size_t)n;
		head[len] = 0;
		if (strstr(head, "\r\n\r\n") || strstr(head, "\n\n"))
			return true;
	}
	return false;
}

static void answer(int fd, const char *status, const char *type, const struct bytes *body)
{
	struct bytes head = {0};

	bytes_format(&head, "HTTP/1.1 %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n", status,
		     type, body->len);
	send_all(fd, head.at, head.len);
	send_all(fd, body->at, body->len);
	bytes_finish(&head);
}

static void show_metrics(const struct report *report, int fd)
{
	struct snapshot snapshot = {0};
	struct bytes out = {0};
	char head[HEAD_MAX + 1];

	if (!read_head(fd, head))
		return;
	if (strncmp(head, "GET /metrics ", 13) && strncmp(head, "GET /metrics?", 13)) {
		bytes_string(&out, "rproxy: GET /metrics is what there is\n");
		answer(fd, strncmp(head, "GET ", 4) ? "405 Method Not Allowed" : "404 Not Found", "text/plain", &out);
	} else {
		look(report, &snapshot);
		stats_metrics(&out, &snapshot, report->since);
		answer(fd, "200 OK", "text/plain; version=0.0.4; charset=utf-8", &out);
		snapshot_finish(&snapshot);
	}
	bytes_finish(&out);
}

static void serve(const struct report *report, int listener,
		  void (*show)(const struct report *report, int fd))
{
	struct timeval patience = {.tv_sec = PATIENCE_S};
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

	if (fd < 0)
		return;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	show(report, fd);
	close(fd);
}

static void *run(void *arg)
{
	struct report *report = arg;

	for (;;) {
		struct pollfd fds[] = {
			{.fd = report->end_fd, .events = POLLIN},
			{.fd = report->stats_fd, .events = POLLIN},
			{.fd = report->metrics_fd, .events = POLLIN},
		};

		if (poll(fds, 3, -1) < 0 && errno != EINTR)
			return NULL;
		if (fds[0].revents)
			return NULL;
		if (fds[1].revents)
			serve(report, report->stats_fd, show_json);
		if (fds[2].revents)
			serve(report, report->metrics_fd, show_metrics);
	}
}

static void free_report(struct report *report)
{
	if (report->stats_fd >= 0)
		close(report->stats_fd);
	if (report->metrics_fd >= 0)
		close(report->metrics_fd);
	if (report->end_fd >= 0)
		close(report->end_fd);
	free(report);
}

static bool listen_all(struct report *report)
{
	char host[256];
	uint16_t port;

	if (options.stats_port) {
		report->stats_fd = listen_on(options.stats_addr, (uint16_t)options.stats_port, 0, 64, false);
		if (report->stats_fd < 0)
			return false;
	}
	if (!options.metrics)
		return true;
	if (!shard_split_addr(options.metrics, strlen(options.metrics), 0, host, sizeof(host), &port)) {
		log_error("--metrics %s: HOST:PORT is wanted", options.metrics);
		return false;
	}
	report->metrics_fd = listen_on(*host ? host : "127.0.0.1", port, 0, 64, false);
	return report->metrics_fd >= 0;
}

bool report_start(struct report **out, struct worker **worker, unsigned count)
{
	struct report *report;

	*out = NULL;
	if (!options.stats_port && !options.metrics)
		return true;
	report = calloc(1, sizeof(*report));
	if (!report)
		return false;
	*report = (struct report){
		.worker = worker,
		.count = count,
		.since = time(NULL),
		.stats_fd = -1,
		.metrics_fd = -1,
		.end_fd = eventfd(0, EFD_CLOEXEC),
	};
	if (report->end_fd >= 0 && listen_all(report) && pthread_create(&report->thread, NULL, run, report) == 0) {
		*out = report;
		return true;
	}
	free_report(report);
	return false;
}

void report_stop(struct report *report)
{
	uint64_t one = 1;

	if (!report)
		return;
	if (write(report->end_fd, &one, sizeof(one)) == sizeof(one))
		pthread_join(report->thread, NULL);
	free_report(report);
}
