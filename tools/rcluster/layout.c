/* SPDX-License-Identifier: MIT */
#include "layout.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "port.h"
#include "text.h"

unsigned layout_count(const struct layout *layout)
{
	return layout->masters * (1 + layout->replicas);
}

unsigned layout_port(const struct layout *layout, unsigned node)
{
	return layout->port + node;
}

int layout_find(const struct layout *layout, unsigned port)
{
	if (port < layout->port || port - layout->port >= layout_count(layout))
		return -1;
	return (int)(port - layout->port);
}

char *layout_path(const struct layout *layout, unsigned node, const char *file)
{
	return text("%s/%u%s%s", layout->dir, layout_port(layout, node), *file ? "/" : "", file);
}

const char *layout_addr(const struct layout *layout, unsigned node, char addr[ADDR_SIZE])
{
	bool v6 = strchr(layout->bind, ':') != NULL;

	snprintf(addr, ADDR_SIZE, "%s%s%s:%u", v6 ? "[" : "", layout->bind, v6 ? "]" : "", layout_port(layout, node));
	return addr;
}

char *layout_uri(const struct layout *layout)
{
	char *uri = text("redis://");
	char addr[ADDR_SIZE];

	for (unsigned i = 0; i < layout->masters; i++) {
		char *longer = text("%s%s%s", uri, i ? "," : "", layout_addr(layout, i, addr));

		free(uri);
		uri = longer;
	}
	return uri;
}

void layout_add_conf(struct layout *layout, const char *line)
{
	char *longer = text("%s%s\n", layout->conf ? layout->conf : "", line);

	free(layout->conf);
	layout->conf = longer;
}

bool layout_has_conf(const struct layout *layout, const char *line)
{
	size_t len = strlen(line);

	for (const char *at = layout->conf; at && *at; at = strchr(at, '\n') + 1)
		if (!strncmp(at, line, len) && at[len] == '\n')
			return true;
	return false;
}

static bool take_number(const char *value, long min, long max, unsigned *number)
{
	long n;

	if (!text_number(value, min, max, &n))
		return false;
	*number = (unsigned)n;
	return true;
}

static bool take_line(struct layout *layout, const char *name, const char *value)
{
	if (!strcmp(name, "masters"))
		return take_number(value, 1, NODES_MAX, &layout->masters);
	if (!strcmp(name, "replicas"))
		return take_number(value, 0, NODES_MAX, &layout->replicas);
	if (!strcmp(name, "port"))
		return take_number(value, 1, PORT_MAX, &layout->port);
	if (!strcmp(name, "formed"))
		return (layout->formed = !strcmp(value, "yes")) || !strcmp(value, "no");
	if (!strcmp(name, "bind") && port_is_loopback(value) && strlen(value) < BIND_SIZE) {
		strcpy(layout->bind, value);
		return true;
	}
	if (!strcmp(name, "server") && strlen(value) < sizeof(layout->server)) {
		strcpy(layout->server, value);
		return true;
	}
	if (!strcmp(name, "conf")) {
		layout_add_conf(layout, value);
		return true;
	}
	return false;
}

static bool take(struct layout *layout, char *content, const char *path)
{
	unsigned number = 0;
	char *save;

	for (char *line = strtok_r(content, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		char *value = strchr(line, ' ');

		number++;
		if (value)
			*value++ = '\0';
		if (!value || !take_line(layout, line, value)) {
			cli_error("%s: line %u is not understood: %s", path, number, line);
			return false;
		}
	}
	if (!layout->masters || !layout->port || !*layout->bind || layout_count(layout) > NODES_MAX ||
	    layout->port + layout_count(layout) - 1 > PORT_MAX) {
		cli_error("%s: not the layout of a cluster", path);
		return false;
	}
	return true;
}

enum layout_found layout_read(struct layout *layout, const char *dir)
{
	char *path = text("%s/cluster", dir);
	char *content = file_read(path);
	enum layout_found found = LAYOUT_BAD;

	*layout = (struct layout){.dir = text("%s", dir)};
	if (content)
		found = take(layout, content, path) ? LAYOUT_FOUND : LAYOUT_BAD;
	else if (errno == ENOENT || errno == ENOTDIR)
		found = LAYOUT_NONE;
	else
		cli_error("%s: %s", path, strerror(errno));
	free(content);
	free(path);
	return found;
}

/* The lines of the configuration, each after "conf ". malloc'ed. */
static char *conf_lines(const struct layout *layout)
{
	char *lines = text("%s", "");

	for (const char *at = layout->conf; at && *at; at = strchr(at, '\n') + 1) {
		char *longer = text("%sconf %.*s\n", lines, (int)strcspn(at, "\n"), at);

		free(lines);
		lines = longer;
	}
	return lines;
}

bool layout_write(const struct layout *layout)
{
	char *path = text("%s/cluster", layout->dir);
	char *conf = conf_lines(layout);
	char *content = text("masters %u\nreplicas %u\nport %u\nbind %s\nformed %s\n%s%s%s%s", layout->masters,
			     layout->replicas, layout->port, layout->bind, layout->formed ? "yes" : "no",
			     *layout->server ? "server " : "", layout->server, *layout->server ? "\n" : "", conf);
	bool ok = file_write(path, content);

	if (!ok)
		cli_error("%s: %s", path, strerror(errno));
	free(content);
	free(conf);
	free(path);
	return ok;
}

void layout_remove(const struct layout *layout)
{
	char *path = text("%s/cluster", layout->dir);

	unlink(path);
	free(path);
}

void layout_finish(struct layout *layout)
{
	free(layout->dir);
	free(layout->conf);
	layout->dir = layout->conf = NULL;
}
