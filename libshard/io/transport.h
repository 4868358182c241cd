/* SPDX-License-Identifier: MIT */
/*
 * How bytes travel: what a connection needs of TCP, of a unix socket, and of
 * TLS when it comes. A transport owns one non-blocking descriptor.
 */
#ifndef SHARD_IO_TRANSPORT_H
#define SHARD_IO_TRANSPORT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>

struct transport {
	const struct transport_ops *ops;
	int fd;
	bool awaits; /* the descriptor was prepared for it */
};

struct transport_ops {
	/*
	 * Goes on connecting (and shaking hands) after the descriptor became
	 * writable. Returns 1: connected; 0: not yet, *EVENTS says what to
	 * wait for; -1 with errno.
	 */
	int (*connected)(struct transport *transport, uint32_t *events);
	/* As read(2) and writev(2) on a non-blocking descriptor. */
	ssize_t (*read)(struct transport *transport, void *buf, size_t size);
	/* As read, but where there is nothing it waits for some milliseconds before it fails with EAGAIN. */
	ssize_t (*await)(struct transport *transport, void *buf, size_t size);
	ssize_t (*writev)(struct transport *transport, const struct iovec *iov, int count);
	void (*close)(struct transport *transport);
};

/* Begins to connect to ADDR. Returns 0 (wait until it is writable) or -1 with errno. */
int transport_open(struct transport *transport, const struct sockaddr *addr, socklen_t len);

#endif
