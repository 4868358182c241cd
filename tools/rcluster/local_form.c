/* SPDX-License-Identifier: MIT */
#include "local_form.h"

#include <stdio.h>
#include <stdlib.h>

#include "server.h"
#include "text.h"

/* A process that has ended, or is paused, is not waited for. */
static bool is_gone(void *ctx, size_t node, char why[FORM_WHY_SIZE])
{
	const struct layout *layout = ctx;
	enum server_state state = server_look(layout, (unsigned)node, NULL);

	if (state != SERVER_RUNNING)
		snprintf(why, FORM_WHY_SIZE, "%s", state == SERVER_PAUSED ? "paused" : "not running");
	return state != SERVER_RUNNING;
}

void local_form_init(struct form *form, shard_client *client, const struct layout *layout, int64_t end)
{
	unsigned count = layout_count(layout);

	*form = (struct form){.client = client, .count = count, .end = end, .gone = is_gone, .ctx = (void *)layout};
	form->node = allocate(count, sizeof(*form->node));
	for (unsigned i = 0; i < count; i++) {
		struct form_node *node = &form->node[i];
		char addr[ADDR_SIZE];

		node->addr = text("%s", layout_addr(layout, i, addr));
		node->host = layout->bind;
		node->port = layout_port(layout, i);
		node->master = i < layout->masters ? -1 : (int)((i - layout->masters) % layout->masters);
		if (node->master < 0) {
			node->first = form_first_slot(i, layout->masters);
			node->last = form_first_slot(i + 1, layout->masters) - 1;
		}
	}
}

void local_form_finish(struct form *form)
{
	for (size_t i = 0; i < form->count; i++)
		free((char *)form->node[i].addr);
	free(form->node);
	*form = (struct form){0};
}
