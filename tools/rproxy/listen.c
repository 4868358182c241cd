/* SPDX-License-Identifier: MIT */
/* Sockets that are listened on. */
#include "listen.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "cli.h"
#include "log.h"

static int fail(int fd, const char *host, uint16_t port, const char *why)
{
	int error = errno;

	if (port)
		log_error("%s:%u: cannot be listened on: %s", host, port, why ? why : strerror(error));
	else
		log_error("%s: cannot be listened on: %s", host, why ? why : strerror(error));
	if (fd >= 0)
		close(fd);
	return -1;
}

static int listen_tcp(const char *host, uint16_t port, int backlog, bool shared)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV}, *found;
	char service[8];
	int fd, on = 1, error;

	snprintf(service, sizeof(service), "%u", port);
	error = getaddrinfo(!strcmp(host, "*") || !*host ? NULL : host, service, &hints, &found);
	if (error)
		return fail(-1, host, port, gai_strerror(error));
	fd = socket(found->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd >= 0) {
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
		if (shared)
			setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on));
	}
	if (fd < 0 || bind(fd, found->ai_addr, found->ai_addrlen) < 0 || listen(fd, backlog) < 0)
		fd = fail(fd, host, port, NULL);
	freeaddrinfo(found);
	return fd;
}

/* A socket of who runs no more is in the way; one that is listened on is not taken from who does. */
static bool clear_path(const struct sockaddr_un *addr)
{
	struct stat st;
	int fd;
	bool dead;

	if (lstat(addr->sun_path, &st) < 0)
		return errno == ENOENT;
	errno = EEXIST;
	if (!S_ISSOCK(st.st_mode))
		return false;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return false;
	dead = connect(fd, (const struct sockaddr *)addr, sizeof(*addr)) < 0 && errno == ECONNREFUSED;
	close(fd);
	errno = EADDRINUSE;
	return dead && unlink(addr->sun_path) == 0;
}

static int listen_unix(const char *path, unsigned mode, int backlog)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	mode_t mask;
	bool ok;

	if (fd < 0)
		return fail(fd, path, 0, NULL);
	if (strlen(path) >= sizeof(addr.sun_path))
		return fail(fd, path, 0, "the path is too long");
	strcpy(addr.sun_path, path);
	if (!clear_path(&addr))
		return fail(fd, path, 0, NULL);
	/* Nobody gets in before the mode is what it is to be. */
	mask = mode ? umask(0777 & ~mode) : umask(0);
	umask(mode ? 0777 & ~mode : mask);
	ok = bind(fd, (struct sockaddr *)&addr, sizeof(addr)) == 0 && (!mode || chmod(path, mode) == 0);
	umask(mask);
	return ok && listen(fd, backlog) == 0 ? fd : fail(fd, path, 0, NULL);
}

int listen_on(const char *host, uint16_t port, unsigned mode, int backlog, bool shared)
{
	return port ? listen_tcp(host, port, backlog, shared) : listen_unix(host, mode, backlog);
}
