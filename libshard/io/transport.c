/* SPDX-License-Identifier: MIT */
#include "io/transport.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <unistd.h>

static int plain_connected(struct transport *transport, uint32_t *events)
{
	int error = 0;
	socklen_t len = sizeof(error);

	*events = EPOLLOUT;
	if (getsockopt(transport->fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
		return -1;
	if (error == 0)
		return 1;
	errno = error;
	return error == EINPROGRESS || error == EALREADY ? 0 : -1;
}

static ssize_t plain_read(struct transport *transport, void *buf, size_t size)
{
	return recv(transport->fd, buf, size, MSG_DONTWAIT);
}

/* One system call, where epoll_wait() and recv() are two: a waiting one costs a third of a whole round trip. */
static ssize_t plain_await(struct transport *transport, void *buf, size_t size)
{
	struct timeval short_while = {.tv_usec = 1000}; /* one tick of the kernel's clock */

	if (!transport->awaits) {
		if (setsockopt(transport->fd, SOL_SOCKET, SO_RCVTIMEO, &short_while, sizeof(short_while)) < 0 ||
		    fcntl(transport->fd, F_SETFL, fcntl(transport->fd, F_GETFL) & ~O_NONBLOCK) < 0)
			return -1;
		transport->awaits = true;
	}
	return recv(transport->fd, buf, size, 0);
}

static ssize_t plain_writev(struct transport *transport, const struct iovec *iov, int count)
{
	struct msghdr message = {.msg_iov = (struct iovec *)iov, .msg_iovlen = (size_t)count};

	/* As writev(2), but a closed peer must not raise SIGPIPE in somebody's program. */
	return sendmsg(transport->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void plain_close(struct transport *transport)
{
	close(transport->fd);
	transport->fd = -1;
}

static const struct transport_ops plain_ops = {
	.connected = plain_connected,
	.read = plain_read,
	.await = plain_await,
	.writev = plain_writev,
	.close = plain_close,
};

static void tune_tcp(int fd)
{
	int on = 1, idle = 15, interval = 5, count = 3;

	/* None of these is worth failing for. */
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof(idle));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof(interval));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof(count));
}

int transport_open(struct transport *transport, const struct sockaddr *addr, socklen_t len)
{
	int fd = socket(addr->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -1;
	if (addr->sa_family != AF_UNIX)
		tune_tcp(fd);
	if (connect(fd, addr, len) < 0 && errno != EINPROGRESS) {
		int error = errno;

		close(fd);
		errno = error;
		return -1;
	}
	transport->ops = &plain_ops;
	transport->fd = fd;
	transport->awaits = false;
	return 0;
}
