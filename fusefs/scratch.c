/* SPDX-License-Identifier: MIT */
#include "scratch.h"

#include <fnmatch.h>
#include <string.h>

#include "options.h"
#include "pending.h"

/* vim's swap files and its test of a directory, sed -i, backups of emacs and vim, GNOME's editors. */
static const char *const patterns[] = {".*.sw?", "sed??????", "*~", "4913", ".goutputstream-*"};

bool scratch_wanted(const struct fs *fs, const char *key, size_t key_len)
{
	size_t start = tree_parent(&fs->tree, key, key_len);

	if (!fs->options->scratch || memchr(key, '\0', key_len))
		return false;
	for (size_t i = 0; i < sizeof(patterns) / sizeof(*patterns); i++)
		if (fnmatch(patterns[i], key + start, 0) == 0)
			return true;
	return false;
}

void scratch_keep(struct fs *fs, struct inode *inode)
{
	struct pending *pending = inode->pending;

	inode->scratch = true;
	pending->holds++;
	pending->next_scratch = fs->scratch;
	fs->scratch = pending;
}

void scratch_let_go(struct fs *fs, struct inode *inode)
{
	struct pending *pending = inode->pending, **at = &fs->scratch;

	while (*at != pending)
		at = &(*at)->next_scratch;
	*at = pending->next_scratch;
	inode->scratch = false;
	pending_drop(pending);
}

void scratch_finish(struct fs *fs)
{
	while (fs->scratch) {
		fs->scratch->inode->gone = true; /* nothing of it is to be stored */
		scratch_let_go(fs, fs->scratch->inode);
	}
}
