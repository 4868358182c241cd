/* SPDX-License-Identifier: MIT */
#include "table.h"

#include <stdlib.h>
#include <string.h>

#include <shard/topology.h>

#include "text.h"

#define COLUMNS 7

struct row {
	char *cell[COLUMNS];
};

static const char *const heading[COLUMNS] = {"PORT", "PID", "ROLE", "MASTER", "SLOTS", "STATE", "LINK"};

static char *slots_of(const shard_topology *map, int node)
{
	char *slots = text("%s", "");
	unsigned last;
	int owner;

	for (unsigned first = 0; first < SHARD_SLOTS; first = last + 1) {
		char *longer;

		shard_topology_range(map, first, &last, &owner);
		if (owner != node)
			continue;
		longer = text(first == last ? "%s%s%u" : "%s%s%u-%u", slots, *slots ? "," : "", first, last);
		free(slots);
		slots = longer;
	}
	if (!*slots) {
		free(slots);
		slots = text("-");
	}
	return slots;
}

static const char *state_of(const struct node_view *view)
{
	if (view->process == SERVER_STOPPED)
		return "stopped";
	if (view->process == SERVER_PAUSED)
		return "paused";
	if (view->loading)
		return "loading";
	if (*view->error)
		return "silent";
	return view->cluster_ok ? "ok" : "fail";
}

static const char *link_of(const struct node_view *view)
{
	if (!view->map || !view->replica)
		return "-";
	return view->link_up ? "up" : "down";
}

static void fill_role(struct row *row, const struct health *health, const struct layout *layout, unsigned node)
{
	int index;
	shard_topology *map = health_map_of(health, layout, node, &index);
	bool replica = index >= 0 && shard_topology_node(map, (size_t)index)->flags & SHARD_NODE_REPLICA;
	int master = replica ? shard_topology_node(map, (size_t)index)->master : -1;

	row->cell[2] = text("%s", index < 0 ? "-" : replica ? "replica" : "master");
	row->cell[3] = master < 0 ? text("-") : text("%u", shard_topology_node(map, (size_t)master)->port);
	row->cell[4] = index < 0 || replica ? text("-") : slots_of(map, index);
}

static void fill(struct row *row, const struct health *health, const struct layout *layout, unsigned node)
{
	const struct node_view *view = &health->node[node];

	row->cell[0] = text("%u", layout_port(layout, node));
	row->cell[1] = view->pid ? text("%ld", (long)view->pid) : text("-");
	fill_role(row, health, layout, node);
	row->cell[5] = text("%s", state_of(view));
	row->cell[6] = text("%s", link_of(view));
}

static void print_row(FILE *out, const char *const cell[], const int width[], const char *eol)
{
	for (unsigned c = 0; c < COLUMNS; c++) {
		if (!width)
			fprintf(out, "%s%s", c ? "\t" : "", cell[c]);
		else if (c + 1 < COLUMNS)
			fprintf(out, "%-*s  ", width[c], cell[c]);
		else
			fputs(cell[c], out);
	}
	fputs(eol, out);
}

static void measure(int width[COLUMNS], const struct row row[], unsigned count)
{
	for (unsigned c = 0; c < COLUMNS; c++) {
		width[c] = (int)strlen(heading[c]);
		for (unsigned i = 0; i < count; i++)
			if ((int)strlen(row[i].cell[c]) > width[c])
				width[c] = (int)strlen(row[i].cell[c]);
	}
}

void table_print(FILE *out, enum table_style style, const char *eol, const struct health *health,
		 const struct layout *layout)
{
	struct row *row = allocate(health->count, sizeof(*row));
	int width[COLUMNS];

	for (unsigned i = 0; i < health->count; i++)
		fill(&row[i], health, layout, i);
	measure(width, row, health->count);
	if (style == TABLE_COLUMNS)
		print_row(out, heading, width, eol);
	for (unsigned i = 0; i < health->count; i++) {
		print_row(out, (const char *const *)row[i].cell, style == TABLE_COLUMNS ? width : NULL,
			  style == TABLE_COLUMNS ? eol : "\n");
		for (unsigned c = 0; c < COLUMNS; c++)
			free(row[i].cell[c]);
	}
	free(row);
}
