/* SPDX-License-Identifier: MIT */
#include "log.h"

#include <fcntl.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

#define BLOCK 4096
#define EXPLAIN_LINES 8

/* Where the last LINES lines begin; -1 with errno. */
static off_t find_start(int fd, unsigned lines)
{
	off_t end = lseek(fd, 0, SEEK_END);
	off_t at = end;
	unsigned seen = 0;
	char block[BLOCK];

	while (at > 0) {
		off_t start = at > BLOCK ? at - BLOCK : 0;
		ssize_t n = pread(fd, block, (size_t)(at - start), start);

		if (n <= 0)
			return n;
		for (ssize_t i = n - 1; i >= 0; i--)
			if (block[i] == '\n' && start + i != end - 1 && ++seen >= lines)
				return start + i + 1;
		at = start;
	}
	return at;
}

bool log_tail(int fd, unsigned lines, const char *prefix, FILE *out)
{
	off_t start = lines ? find_start(fd, lines) : lseek(fd, 0, SEEK_END);
	bool fresh = true;
	char block[BLOCK];
	ssize_t n;

	if (start < 0 || lseek(fd, start, SEEK_SET) < 0)
		return false;
	while ((n = read(fd, block, sizeof(block))) > 0) {
		for (ssize_t i = 0; i < n; i++) {
			if (fresh)
				fputs(prefix, out);
			fresh = block[i] == '\n';
			putc(block[i], out);
		}
	}
	return !n && !fflush(out);
}

void log_explain(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return;
	fprintf(stderr, "the end of %s:\n", path);
	log_tail(fd, EXPLAIN_LINES, "  ", stderr);
	close(fd);
}
