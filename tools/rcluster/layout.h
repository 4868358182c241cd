/* SPDX-License-Identifier: MIT */
/*
 * The layout of a local cluster: how many nodes, on which ports, in which
 * directory. It is kept in DIR/cluster; node files are in DIR/PORT.
 *
 * Nodes are numbered from 0, node I listens on port + I. In a cluster that was
 * made with its size of now, nodes 0..masters-1 are the first masters and node
 * masters + J starts as a replica of node J % masters; what it grew by since
 * has the last numbers.
 */
#ifndef RCLUSTER_LAYOUT_H
#define RCLUSTER_LAYOUT_H

#include <stdbool.h>
#include <stddef.h>

#define BUS_OFFSET 10000
#define NODES_MAX 1000
#define PORT_MAX (65535 - BUS_OFFSET)
#define BIND_SIZE 46
#define ADDR_SIZE (BIND_SIZE + 8)

struct layout {
	char *dir; /* absolute */
	unsigned masters;
	unsigned replicas; /* of each master */
	unsigned port;     /* of node 0 */
	char bind[BIND_SIZE];
	char server[16]; /* the name of the program that runs it; "": any, it was made before that was recorded */
	char *conf;      /* lines "KEY VALUE" for each node's configuration; NULL: none */
	bool formed;     /* the nodes were joined: from then on there may be data */
};

unsigned layout_count(const struct layout *layout);
unsigned layout_port(const struct layout *layout, unsigned node);

/* The node that listens on PORT, or -1. */
int layout_find(const struct layout *layout, unsigned port);

/* A file in the directory of NODE, or (FILE "") that directory. malloc'ed. */
char *layout_path(const struct layout *layout, unsigned node, const char *file);

/* "host:port" of NODE. */
const char *layout_addr(const struct layout *layout, unsigned node, char addr[ADDR_SIZE]);

/* Adds a line to the configuration. */
void layout_add_conf(struct layout *layout, const char *line);

/* Whether the configuration has this line. */
bool layout_has_conf(const struct layout *layout, const char *line);

/* The URI of the cluster, its first masters as seeds. malloc'ed. */
char *layout_uri(const struct layout *layout);

enum layout_found {
	LAYOUT_FOUND,
	LAYOUT_NONE, /* DIR holds no cluster */
	LAYOUT_BAD   /* it does, but it cannot be read; an error was printed */
};

/* Reads DIR/cluster. LAYOUT takes over a copy of DIR; free with layout_finish(). */
enum layout_found layout_read(struct layout *layout, const char *dir);
bool layout_write(const struct layout *layout); /* false: an error was printed */
void layout_remove(const struct layout *layout);
void layout_finish(struct layout *layout);

#endif
