/* SPDX-License-Identifier: MIT */
/* Nodes by what a person calls them, and slots as a person reads them. */
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <shard/uri.h>

#include "text.h"
#include "view.h"

#define HOST_SIZE 256

static int find_at(const struct view *view, const char *host, uint16_t port)
{
	for (size_t i = 0; i < view->count; i++)
		if (view->node[i].port == port && !strcmp(view->node[i].host, host))
			return (int)i;
	return -1;
}

/* By the addresses that the name stands for ("localhost"). */
static int find_resolved(const struct view *view, const char *host, uint16_t port)
{
	const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
	struct addrinfo *all = NULL;
	char numeric[NI_MAXHOST];
	int found = -1;

	if (getaddrinfo(host, NULL, &hints, &all))
		return -1;
	for (struct addrinfo *a = all; a && found < 0; a = a->ai_next)
		if (!getnameinfo(a->ai_addr, a->ai_addrlen, numeric, sizeof(numeric), NULL, 0, NI_NUMERICHOST))
			found = find_at(view, numeric, port);
	freeaddrinfo(all);
	return found;
}

static int find_addr(const struct view *view, const char *word, char why[VIEW_WHY_SIZE])
{
	char host[HOST_SIZE];
	uint16_t port;
	int node;

	if (!shard_split_addr(word, strlen(word), 0, host, sizeof(host), &port)) {
		snprintf(why, VIEW_WHY_SIZE, "%s: neither HOST:PORT nor an id", word);
		return -1;
	}
	node = find_at(view, host, port);
	if (node < 0)
		node = find_resolved(view, host, port);
	if (node < 0)
		snprintf(why, VIEW_WHY_SIZE, "%s: the cluster has no node of this address", word);
	return node;
}

int view_find(const struct view *view, const char *word, char why[VIEW_WHY_SIZE])
{
	size_t len = strlen(word), matches = 0;
	int found = -1;

	if (strchr(word, ':'))
		return find_addr(view, word, why);
	if (!len || strspn(word, "0123456789abcdefABCDEF") != len) {
		snprintf(why, VIEW_WHY_SIZE, "%s: neither HOST:PORT nor an id", text_shown(word));
		return -1;
	}
	for (size_t i = 0; i < view->count; i++) {
		if (strncasecmp(view->node[i].id, word, len))
			continue;
		matches++;
		found = (int)i;
	}
	if (matches == 1)
		return found;
	if (matches)
		snprintf(why, VIEW_WHY_SIZE, "%s: the ids of %zu nodes begin so: give more of it", word, matches);
	else
		snprintf(why, VIEW_WHY_SIZE, "%s: the cluster has no node of this id", word);
	return -1;
}

unsigned view_covered(const struct view *view)
{
	unsigned covered = 0;

	for (unsigned slot = 0; slot < SHARD_SLOTS; slot++)
		covered += view->owner[slot] >= 0;
	return covered;
}

char *view_slots_text(const struct view *view, int node)
{
	char *out = NULL;
	size_t size;
	FILE *stream = open_memstream(&out, &size);
	const char *comma = "";

	for (unsigned first = 0, last; stream && first < SHARD_SLOTS; first = last + 1) {
		for (last = first; last + 1 < SHARD_SLOTS && view->owner[last + 1] == view->owner[first];)
			last++;
		if (view->owner[first] != node)
			continue;
		fprintf(stream, first == last ? "%s%u" : "%s%u-%u", comma, first, last);
		comma = ",";
	}
	if (!stream || fclose(stream))
		return text("?");
	return out;
}
