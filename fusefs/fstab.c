/* SPDX-License-Identifier: MIT */
#include "fstab.h"

#include <stddef.h>
#include <string.h>

#include "cli.h"
#include "connect.h"

static bool is_one_of(const char *text, const char *const list[])
{
	while (*list && strcmp(*list, text) != 0)
		list++;
	return *list;
}

bool fstab_is_word(const char *name)
{
	static const char *const words[] = {"defaults", "auto",   "noauto", "user",    "nouser",  "users", "owner",
					    "group",    "nofail", "fail",   "_netdev", "comment", NULL};

	return is_one_of(name, words) || strncmp(name, "x-", 2) == 0 || strncmp(name, "X-", 2) == 0;
}

bool fstab_is_uri(const char *source)
{
	return strstr(source, "://") || strncmp(source, "twemproxy:", 10) == 0;
}

bool fstab_is_nothing(const char *source)
{
	static const char *const names[] = {"none", "shardfs", NULL};

	return is_one_of(source, names);
}

char *fstab_unescape(const char *text)
{
	char *copy = cli_alloc(strlen(text) + 1), *to = copy;

	for (; *text; text++) {
		if (*text == '\\' && (text[1] == ',' || text[1] == '\\'))
			text++;
		*to++ = *text;
	}
	*to = '\0';
	return copy;
}

char *fstab_option_end(char *text)
{
	for (; *text && *text != ','; text++)
		text += *text == '\\' && text[1];
	return text;
}

void fstab_mask(char *options)
{
	for (char *end; *options; options = end) {
		char stop;

		end = fstab_option_end(options);
		stop = *end;
		*end = '\0';
		if (strncmp(options, "uri=", 4) == 0)
			cli_mask_uri(options + 4);
		*end = stop;
		end += stop != '\0';
	}
}
