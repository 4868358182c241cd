/* SPDX-License-Identifier: MIT */
#include "io/resolve.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/un.h>
#include <unistd.h>

/* What the thread and the loop share; whoever lets go last frees it. */
struct job {
	int event_fd;
	int holders;
	int error; /* of getaddrinfo() */
	struct addrinfo *found;
	uint16_t port;
	char host[];
};

struct resolve {
	struct list grave; /* first: loop_bury() */
	struct loop_source source;
	struct loop *loop;
	struct job *job;
	unsigned nth;
	resolve_callback callback;
	void *ctx;
};

socklen_t resolve_numeric(const char *host, uint16_t port, struct sockaddr_storage *storage)
{
	struct sockaddr_in *in = (struct sockaddr_in *)storage;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)storage;
	struct sockaddr_un *un = (struct sockaddr_un *)storage;

	memset(storage, 0, sizeof(*storage));
	if (!port) {
		size_t len = strlen(host);

		if (len >= sizeof(un->sun_path))
			return 0;
		un->sun_family = AF_UNIX;
		memcpy(un->sun_path, host, len + 1);
		return sizeof(*un);
	}
	if (inet_pton(AF_INET, host, &in->sin_addr) == 1) {
		in->sin_family = AF_INET;
		in->sin_port = htons(port);
		return sizeof(*in);
	}
	if (inet_pton(AF_INET6, host, &in6->sin6_addr) == 1) {
		in6->sin6_family = AF_INET6;
		in6->sin6_port = htons(port);
		return sizeof(*in6);
	}
	return 0;
}

static void let_go(struct job *job)
{
	if (__atomic_sub_fetch(&job->holders, 1, __ATOMIC_ACQ_REL))
		return;
	if (job->found)
		freeaddrinfo(job->found);
	close(job->event_fd);
	free(job);
}

static void *look_up(void *arg)
{
	struct job *job = arg;
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG};
	uint64_t one = 1;
	char port[8];

	snprintf(port, sizeof(port), "%u", job->port);
	job->error = getaddrinfo(job->host, port, &hints, &job->found);
	/* The descriptor is the hand-over: what was written above is seen by who reads it. */
	if (write(job->event_fd, &one, sizeof(one)) < 0)
		job->error = EAI_SYSTEM;
	let_go(job);
	return NULL;
}

static void free_resolve(struct resolve *resolve)
{
	loop_remove(resolve->loop, &resolve->source);
	let_go(resolve->job);
	loop_bury(resolve->loop, resolve);
}

static void answer_ready(struct loop_source *source, uint32_t events)
{
	struct resolve *resolve = list_entry(source, struct resolve, source);
	struct job *job = resolve->job;
	resolve_callback callback = resolve->callback;
	void *ctx = resolve->ctx;
	struct sockaddr_storage addr;
	socklen_t len = 0;
	const char *error = "";
	const struct addrinfo *found = job->found;
	bool more = false;
	uint64_t count;

	(void)events;
	if (read(source->fd, &count, sizeof(count)) != sizeof(count))
		return;
	for (unsigned i = 0; i < resolve->nth && found; i++)
		found = found->ai_next;
	if (job->error || !found) {
		error = job->error ? gai_strerror(job->error) : "no address";
	} else {
		len = found->ai_addrlen;
		memcpy(&addr, found->ai_addr, len);
		more = found->ai_next;
	}
	free_resolve(resolve);
	callback(ctx, len ? (struct sockaddr *)&addr : NULL, len, more, error);
}

static int start_thread(struct job *job)
{
	pthread_attr_t attr;
	pthread_t thread;
	sigset_t all, old;
	int error;

	/* Signals are the program's: none may choose this thread. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	error = pthread_create(&thread, &attr, look_up, job);
	pthread_attr_destroy(&attr);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return error;
}

struct resolve *resolve_start(struct loop *loop, const char *host, uint16_t port, unsigned nth,
			      resolve_callback callback, void *ctx)
{
	size_t len = strlen(host);
	struct resolve *resolve = calloc(1, sizeof(*resolve));
	struct job *job = calloc(1, sizeof(*job) + len + 1);
	int error = ENOMEM;

	if (!resolve || !job)
		goto fail;
	memcpy(job->host, host, len + 1);
	job->port = port;
	job->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (job->event_fd < 0) {
		error = errno;
		goto fail;
	}
	*resolve = (struct resolve){
		.source = {.ready = answer_ready, .fd = job->event_fd},
		.loop = loop,
		.job = job,
		.nth = nth,
		.callback = callback,
		.ctx = ctx,
	};
	if (loop_add(loop, &resolve->source, EPOLLIN) < 0) {
		error = errno;
		goto fail_fd;
	}
	job->holders = 2;
	error = start_thread(job);
	if (!error)
		return resolve;
	loop_remove(loop, &resolve->source);
fail_fd:
	close(job->event_fd);
fail:
	free(job);
	free(resolve);
	errno = error;
	return NULL;
}

void resolve_cancel(struct resolve *resolve)
{
	if (resolve)
		free_resolve(resolve);
}
