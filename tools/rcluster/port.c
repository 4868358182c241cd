/* SPDX-License-Identifier: MIT */
#include "port.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cli.h"
#include "text.h"

#define TCP_LISTEN_STATE 0x0A

union address {
	struct sockaddr any;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
};

static socklen_t make_address(const char *host, unsigned port, union address *address)
{
	memset(address, 0, sizeof(*address));
	if (inet_pton(AF_INET, host, &address->v4.sin_addr) == 1) {
		address->v4.sin_family = AF_INET;
		address->v4.sin_port = htons((uint16_t)port);
		return sizeof(address->v4);
	}
	if (inet_pton(AF_INET6, host, &address->v6.sin6_addr) == 1) {
		address->v6.sin6_family = AF_INET6;
		address->v6.sin6_port = htons((uint16_t)port);
		return sizeof(address->v6);
	}
	return 0;
}

bool port_is_loopback(const char *host)
{
	union address address;

	if (!make_address(host, 0, &address))
		return false;
	if (address.any.sa_family == AF_INET)
		return ntohl(address.v4.sin_addr.s_addr) >> 24 == 127;
	return IN6_IS_ADDR_LOOPBACK(&address.v6.sin6_addr);
}

/* Opens a socket and hands it to DO (bind or connect). Returns the socket, or -1 with errno. */
static int open_socket(const char *host, unsigned port, int (*act)(int, const struct sockaddr *, socklen_t))
{
	union address address;
	socklen_t len = make_address(host, port, &address);
	int fd = socket(address.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	const int on = 1;

	if (fd < 0)
		return -1;
	/* As the server does it: what is left of old connections is no obstacle. */
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (act(fd, &address.any, len)) {
		int saved = errno;

		close(fd);
		errno = saved;
		return -1;
	}
	return fd;
}

bool port_is_free(const char *host, unsigned port)
{
	int fd = open_socket(host, port, bind);
	bool is_free = fd >= 0 && !listen(fd, 1);

	if (fd >= 0)
		close(fd);
	return is_free;
}

bool port_accepts(const char *host, unsigned port)
{
	int fd = open_socket(host, port, connect);

	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

/* The inode of the socket that listens on PORT, from a table of /proc/net; 0: none. */
static unsigned long listening_inode(const char *table, unsigned port)
{
	FILE *file = fopen(table, "re");
	unsigned long found = 0;
	char line[512];

	while (file && !found && fgets(line, sizeof(line), file)) {
		unsigned local, state;
		unsigned long inode;

		if (sscanf(line, " %*u: %*[0-9A-Fa-f]:%x %*[0-9A-Fa-f]:%*x %x %*s %*s %*s %*s %*s %lu", &local, &state,
			   &inode) == 3 &&
		    local == port && state == TCP_LISTEN_STATE)
			found = inode;
	}
	if (file)
		fclose(file);
	return found;
}

static bool process_has_socket(const char *pid, unsigned long inode)
{
	char *path = text("/proc/%s/fd", pid);
	char *wanted = text("socket:[%lu]", inode);
	DIR *dir = opendir(path);
	struct dirent *entry;
	bool has = false;

	while (dir && !has && (entry = readdir(dir))) {
		char target[64];
		ssize_t len = readlinkat(dirfd(dir), entry->d_name, target, sizeof(target) - 1);

		if (len > 0) {
			target[len] = '\0';
			has = !strcmp(target, wanted);
		}
	}
	if (dir)
		closedir(dir);
	free(wanted);
	free(path);
	return has;
}

/* " by NAME (pid N)", or "" where it is not to be seen (another user's). malloc'ed. */
static char *describe_holder(unsigned port)
{
	unsigned long inode = listening_inode("/proc/net/tcp", port);
	DIR *dir = opendir("/proc");
	struct dirent *entry;
	char *holder = NULL;

	if (!inode)
		inode = listening_inode("/proc/net/tcp6", port);
	while (inode && dir && !holder && (entry = readdir(dir))) {
		if (!isdigit((unsigned char)*entry->d_name) || !process_has_socket(entry->d_name, inode))
			continue;
		char *path = text("/proc/%s/comm", entry->d_name);
		char *name = file_read(path);

		holder = text(" by %.*s (pid %s)", name ? (int)strcspn(name, "\n") : 1, name ? name : "?",
			      entry->d_name);
		free(name);
		free(path);
	}
	if (dir)
		closedir(dir);
	return holder ? holder : text("%s", "");
}

static bool block_is_free(const char *host, unsigned port, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		if (!port_is_free(host, port + i) || !port_is_free(host, port + i + BUS_OFFSET))
			return false;
	return true;
}

/* A base port from which a cluster of this size could start; 0: none was found. */
static unsigned find_block(const struct layout *layout)
{
	unsigned count = layout_count(layout);
	unsigned step = (count + 99) / 100 * 100;

	for (unsigned port = layout->port + step; port + count - 1 <= PORT_MAX; port += step)
		if (block_is_free(layout->bind, port, count))
			return port;
	return 0;
}

static void complain(const struct layout *layout, unsigned node, unsigned port, bool all)
{
	unsigned other = all ? find_block(layout) : 0;
	char *holder = describe_holder(port);
	char *bus = port == layout_port(layout, node) ? text("%s", "")
						      : text(" (the bus port of %u)", layout_port(layout, node));

	if (other)
		cli_error("port %u%s is in use%s: choose another with --port, for example --port %u", port, bus, holder,
			  other);
	else
		cli_error("port %u%s is in use%s: node %u cannot start until it is free%s", port, bus, holder,
			  layout_port(layout, node), all ? "; choose another with --port" : "");
	free(bus);
	free(holder);
}

bool port_check(const struct layout *layout, const bool which[])
{
	for (unsigned i = 0; i < layout_count(layout); i++) {
		unsigned port = layout_port(layout, i);

		if (which && !which[i])
			continue;
		if (port_is_free(layout->bind, port))
			port += BUS_OFFSET;
		if (!port_is_free(layout->bind, port)) {
			complain(layout, i, port, !which);
			return false;
		}
	}
	return true;
}
