/* SPDX-License-Identifier: MIT */
#include "progress.h"

#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "cli.h"

#define FIRST_MS 1000
#define EVERY_MS 200
#define BAR_MAX 40

static uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static void write_stderr(const char *text, size_t len)
{
	if (write(STDERR_FILENO, text, len) < 0)
		return; /* a bar: nothing depends on it */
}

static void clear_line(void)
{
	write_stderr("\r\033[K", 4);
}

void progress_init(struct progress *progress, const char *unit)
{
	*progress = (struct progress){.unit = unit};
	progress->on = isatty(STDERR_FILENO) && !isatty(STDOUT_FILENO);
	if (progress->on)
		progress->started_ms = now_ms();
}

int progress_wait_ms(const struct progress *progress)
{
	return progress->on ? EVERY_MS : -1;
}

static unsigned terminal_width(void)
{
	struct winsize size;

	return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) || !size.ws_col ? 80 : size.ws_col;
}

/* "\r[####    ] " of what the terminal has room for beside TEXT_LEN columns. Returns its length. */
static size_t draw_bar(char *to, uint64_t part, uint64_t whole, size_t text_len)
{
	size_t room = terminal_width() > text_len + 5 ? terminal_width() - text_len - 5 : 0;
	size_t width = room < BAR_MAX ? room : BAR_MAX;
	size_t full = part < whole ? (size_t)((double)part / (double)whole * (double)width) : width;

	if (width < 5)
		return 0;
	to[0] = '[';
	memset(to + 1, '#', full);
	memset(to + 1 + full, ' ', width - full);
	memcpy(to + 1 + width, "] ", 2);
	return width + 3;
}

/* ", 1:05 left" */
static int put_eta(char *to, size_t size, uint64_t gone_ms, uint64_t part, uint64_t whole)
{
	double rest = part < whole ? (double)gone_ms / 1000 * (double)(whole - part) / (double)part : 0;
	unsigned long long seconds = (unsigned long long)(rest + 0.5);

	return snprintf(to, size, ", %llu:%02llu left", seconds / 60, seconds % 60);
}

static void draw(struct progress *progress, uint64_t done, uint64_t part, uint64_t whole)
{
	char text[128], line[256] = "\r";
	uint64_t rate = done * 1000 / (progress->drawn_ms - progress->started_ms);
	int percent = whole ? (int)((double)(part < whole ? part : whole) * 100 / (double)whole) : 0;
	size_t len = 1;
	int n;

	n = snprintf(text, sizeof(text), "%llu %s, %llu/s", (unsigned long long)done, progress->unit,
		     (unsigned long long)rate);
	if (whole)
		n += snprintf(text + n, sizeof(text) - (size_t)n, ", %d%%", percent);
	if (progress->eta && whole && part)
		n += put_eta(text + n, sizeof(text) - (size_t)n, progress->drawn_ms - progress->started_ms, part, whole);
	if (whole)
		len += draw_bar(line + 1, part, whole, (size_t)n);
	n = snprintf(line + len, sizeof(line) - len, "%s\033[K", text);
	write_stderr(line, len + (size_t)n);
	cli_before_error = clear_line;
}

void progress_show(struct progress *progress, uint64_t done, uint64_t part, uint64_t whole)
{
	uint64_t now;

	if (!progress->on)
		return;
	now = now_ms();
	if (now - progress->started_ms < FIRST_MS || now - progress->drawn_ms < EVERY_MS)
		return;
	progress->drawn_ms = now;
	draw(progress, done, part, whole);
}

void progress_end(struct progress *progress)
{
	if (progress->on && progress->drawn_ms)
		clear_line();
	progress->on = false;
	cli_before_error = NULL;
}
