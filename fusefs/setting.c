/* SPDX-License-Identifier: MIT */
#include "setting.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LINE_BYTES 256

static const char *const commit_names[] = {
	[TRANSACTION_AUTO] = "auto", [TRANSACTION_CLOSE] = "close", [TRANSACTION_WRITE] = "write"};

/* A whole number from 1 to MAX. */
static bool number(const char *text, long long max, long long *out)
{
	char *end;

	errno = 0;
	*out = strtoll(text, &end, 10);
	return !errno && *text >= '0' && *text <= '9' && !*end && *out >= 1 && *out <= max;
}

static bool take_commit(struct options *options, const char *value)
{
	for (int i = 0; i < 3; i++) {
		if (strcmp(value, commit_names[i]) == 0) {
			options->commit = (enum transaction_mode)i;
			return true;
		}
	}
	return false;
}

static bool take_ttl(struct options *options, const char *value)
{
	long long seconds = 0;
	bool keep = strcmp(value, "keep") == 0, clear = strcmp(value, "clear") == 0;

	if (!keep && !clear && !number(value, 1000000000000, &seconds))
		return false;
	options->ttl = keep ? TTL_KEEP : clear ? TTL_CLEAR : TTL_SECONDS;
	options->ttl_seconds = (unsigned long long)seconds;
	return true;
}

static bool take_timeout(struct options *options, const char *value)
{
	long long ms;

	if (!number(value, 86400000, &ms))
		return false;
	options->connect.timeout_ms = (unsigned)ms;
	return true;
}

static bool take_cache_size(struct options *options, const char *value)
{
	long long mb;

	if (!number(value, 1 << 20, &mb))
		return false;
	options->cache_size = (size_t)mb << 20;
	return true;
}

static const struct setting {
	const char *name;
	bool (*take)(struct options *options, const char *value);
	const char *wanted;
} settings[] = {
	{"commit", take_commit, "auto, close or write"},
	{"ttl", take_ttl, "keep, clear or seconds: a whole number from 1 to 1000000000000"},
	{"timeout", take_timeout, "a whole number from 1 to 86400000, in milliseconds,"},
	{"cache_size", take_cache_size, "a whole number from 1 to 1048576, in MB,"},
};

static const struct setting *find(const char *name)
{
	for (size_t i = 0; i < sizeof(settings) / sizeof(*settings); i++)
		if (strcmp(settings[i].name, name) == 0)
			return &settings[i];
	return NULL;
}

bool setting_known(const char *name)
{
	return find(name);
}

const char *setting_take(struct options *options, const char *name, const char *value)
{
	const struct setting *setting = find(name);

	return setting->take(options, value) ? NULL : setting->wanted;
}

static bool take_line(struct options *options, const char *text, size_t len)
{
	char line[LINE_BYTES];

	if (!len)
		return true;
	if (len >= sizeof(line) || memchr(text, '\0', len))
		return false;
	memcpy(line, text, len);
	line[len] = '\0';
	char *space = strchr(line, ' ');
	if (!space)
		return false;
	*space = '\0';
	return setting_known(line) && !setting_take(options, line, space + 1);
}

bool setting_take_lines(struct options *options, const char *text, size_t len)
{
	struct options changed = *options;

	for (const char *end = text + len; text < end;) {
		const char *stop = memchr(text, '\n', (size_t)(end - text));
		size_t line = (size_t)((stop ? stop : end) - text);

		if (!take_line(&changed, text, line))
			return false;
		text += line + 1;
	}
	*options = changed;
	return true;
}

const char *setting_commit_name(const struct options *options)
{
	return commit_names[options->commit];
}

const char *setting_ttl_text(const struct options *options, char text[24])
{
	if (options->ttl == TTL_SECONDS)
		snprintf(text, 24, "%llu", options->ttl_seconds);
	else
		strcpy(text, options->ttl == TTL_KEEP ? "keep" : "clear");
	return text;
}
