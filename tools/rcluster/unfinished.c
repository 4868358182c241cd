/* SPDX-License-Identifier: MIT */
#include "unfinished.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <shard/uri.h>

#include "cli.h"
#include "text.h"

void unfinished_init(struct unfinished *unfinished, const char *target_id, char *title)
{
	char *dir = shard_runtime_dir(true);

	unfinished->title = title;
	unfinished->path = dir ? text("%s/reshard-%s", dir, target_id) : NULL;
	free(dir);
}

void unfinished_finish(struct unfinished *unfinished)
{
	free(unfinished->path);
	free(unfinished->title);
	*unfinished = (struct unfinished){0};
}

bool unfinished_found(const struct unfinished *unfinished)
{
	size_t len = strlen(unfinished->title);
	char *content = unfinished->path ? file_read(unfinished->path) : NULL;
	bool found = content && !strncmp(content, unfinished->title, len) && content[len] == '\n';

	free(content);
	return found;
}

void unfinished_keep(const struct unfinished *unfinished, const struct plan *plan, const struct view *view)
{
	char *lines = plan_text(plan, view), *content = text("%s\n%s", unfinished->title, lines);

	if (!unfinished->path || !file_write(unfinished->path, content))
		cli_error("%s: the plan cannot be kept (%s): if this is interrupted, save what is left of it for --plan",
			  unfinished->path ? unfinished->path : "the runtime directory", strerror(errno));
	free(content);
	free(lines);
}

void unfinished_drop(const struct unfinished *unfinished)
{
	if (unfinished->path && unlink(unfinished->path) && errno != ENOENT)
		cli_error("%s: %s", unfinished->path, strerror(errno));
}
