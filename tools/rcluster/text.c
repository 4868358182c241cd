/* SPDX-License-Identifier: MIT */
#include "text.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli.h"

#define FILE_MAX (64 * 1024)

char *text(const char *format, ...)
{
	va_list args;
	char *result;

	va_start(args, format);
	if (vasprintf(&result, format, args) < 0) {
		cli_error("out of memory");
		exit(CLI_FAILED);
	}
	va_end(args);
	return result;
}

void *allocate(size_t count, size_t size)
{
	return memset(cli_alloc(count * size), 0, count * size);
}

const char *text_shown(const char *word)
{
	return *word ? word : "\"\"";
}

bool text_number(const char *word, long min, long max, long *number)
{
	char *end;

	if (*word < '0' || *word > '9')
		return false;
	errno = 0;
	*number = strtol(word, &end, 10);
	return !errno && !*end && *number >= min && *number <= max;
}

char *file_read(const char *path)
{
	char *content = allocate(FILE_MAX + 1, 1);
	int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC); /* a pipe in its place ends at once */
	size_t have = 0;
	ssize_t n = -1;

	if (fd < 0)
		goto out;
	while (have < FILE_MAX && (n = read(fd, content + have, FILE_MAX - have)) > 0)
		have += n;
	close(fd);
out:
	if (n < 0) {
		free(content);
		return NULL;
	}
	return content;
}

static bool write_all(int fd, const char *content)
{
	size_t len = strlen(content);

	while (len) {
		ssize_t n = write(fd, content, len);

		if (n < 0 && errno != EINTR)
			return false;
		if (n > 0) {
			content += n;
			len -= n;
		}
	}
	return true;
}

bool file_write(const char *path, const char *content)
{
	char *temporary = text("%s.XXXXXX", path);
	int fd = mkostemp(temporary, O_CLOEXEC);
	bool ok = fd >= 0;
	int saved;

	if (ok) {
		ok = write_all(fd, content);
		ok = !close(fd) && ok;
		ok = ok && !rename(temporary, path);
		saved = errno;
		if (!ok)
			unlink(temporary);
		errno = saved;
	}
	free(temporary);
	return ok;
}
