/* SPDX-License-Identifier: MIT */
#include "kind.h"

#include <stddef.h>
#include <string.h>

static const struct {
	const char *type;
	enum kind kind;
} kinds[] = {
	{"none", KIND_NONE}, {"string", KIND_STRING}, {"hash", KIND_HASH},     {"list", KIND_LIST},
	{"set", KIND_SET},   {"zset", KIND_ZSET},     {"stream", KIND_STREAM},
};

enum kind kind_of_type(const char *type)
{
	for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++)
		if (strcmp(type, kinds[i].type) == 0)
			return kinds[i].kind;
	return KIND_OTHER;
}
