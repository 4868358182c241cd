/* SPDX-License-Identifier: MIT */
/*
 * TCP ports of this machine.
 */
#ifndef RCLUSTER_PORT_H
#define RCLUSTER_PORT_H

#include <stdbool.h>

#include "layout.h"

/* Whether HOST is an IP address of the loopback interface. */
bool port_is_loopback(const char *host);

/* Whether a server may listen on HOST:PORT. */
bool port_is_free(const char *host, unsigned port);

/* Whether someone accepts connections there. */
bool port_accepts(const char *host, unsigned port);

/*
 * Checks that the base and bus ports of the nodes that WHICH names (NULL: all
 * of them) are free. false: an error was printed that names the one that is
 * not, who holds it, and what to do.
 */
bool port_check(const struct layout *layout, const bool which[]);

#endif
