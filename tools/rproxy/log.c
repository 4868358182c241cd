/* SPDX-License-Identifier: MIT */
#include "log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli.h"

static const char *log_path;
static int log_fd = STDERR_FILENO;
static int log_level = LOG_NOTICE_; /* atomic */

#define LEVEL_MAX 11

bool log_open(const char *path, int level)
{
	log_level = level;
	log_path = path;
	if (!path)
		return true;
	log_fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
	if (log_fd >= 0)
		return true;
	cli_error("%s: the log cannot be opened: %s", path, strerror(errno));
	log_fd = STDERR_FILENO;
	return false;
}

/* The new file takes the old one's descriptor, so that no thread sees a closed one. */
void log_reopen(void)
{
	int fd;

	if (!log_path)
		return;
	fd = open(log_path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
	if (fd < 0) {
		log_error("%s: the log cannot be opened anew: %s", log_path, strerror(errno));
		return;
	}
	dup3(fd, log_fd, O_CLOEXEC);
	close(fd);
}

void log_level_change(int by)
{
	int level = __atomic_load_n(&log_level, __ATOMIC_RELAXED) + by;

	if (level < 0 || level > LEVEL_MAX)
		return;
	__atomic_store_n(&log_level, level, __ATOMIC_RELAXED);
	log_line(0, "verbosity is %d now", level);
}

void log_line(int level, const char *format, ...)
{
	char text[1200];
	struct timespec now;
	struct tm tm;
	va_list args;
	size_t len;
	int n;

	if (level > __atomic_load_n(&log_level, __ATOMIC_RELAXED))
		return;
	clock_gettime(CLOCK_REALTIME, &now);
	localtime_r(&now.tv_sec, &tm);
	len = strftime(text, sizeof(text), "[%Y-%m-%d %H:%M:%S", &tm);
	len += (size_t)snprintf(text + len, sizeof(text) - len, ".%03ld] rproxy: ", now.tv_nsec / 1000000);
	va_start(args, format);
	n = vsnprintf(text + len, sizeof(text) - len - 1, format, args);
	va_end(args);
	if (n > 0)
		len += (size_t)n < sizeof(text) - len - 1 ? (size_t)n : sizeof(text) - len - 2;
	text[len++] = '\n';
	if (write(log_fd, text, len) < 0)
		return; /* there is nobody to tell */
}
