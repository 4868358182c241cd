/* SPDX-License-Identifier: MIT */
#ifndef RPROXY_LISTEN_H
#define RPROXY_LISTEN_H

#include <stdbool.h>
#include <stdint.h>

/*
 * Listens on HOST:PORT, or, PORT 0, on the path HOST with this MODE (0: as umask has it). SHARED: others may listen
 * there, too (SO_REUSEPORT). Returns a descriptor, or -1: the error is in the log.
 */
int listen_on(const char *host, uint16_t port, unsigned mode, int backlog, bool shared);

#endif
