/* SPDX-License-Identifier: MIT */
#include "cli.h"

#include <errno.h>
#include <poll.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <shard/shard.h>

#include "connect.h"

#define LINE_SIZE 2048
#define THING_SIZE 300

const char *cli_name = "shard";
void (*cli_before_error)(void);

static void print_version(FILE *stream, struct argp_state *state)
{
	fprintf(stream, "%s (shard) %s\n", cli_name, SHARD_VERSION);
}

/* A closed descriptor would be given to the next socket: open it on what refuses reading (0) or writing (1, 2). */
static void open_standard(void)
{
	for (int fd = 0; fd <= 2; fd++)
		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", fd == 0 ? O_WRONLY : O_RDONLY) != fd)
			_exit(CLI_FAILED);
}

/* What stdio holds (--help, --version, the lines of rcluster) is written at the end: a full disk shows only then. */
static void check_output(void)
{
	struct pollfd out = {.fd = STDOUT_FILENO};

	errno = 0;
	if ((!fflush(stdout) && !ferror(stdout)) || errno == EPIPE)
		return;
	/* What failed earlier has left no errno: a pipe without a reader tells. */
	if (poll(&out, 1, 0) > 0 && (out.revents & POLLERR))
		return;
	cli_error("standard output: %s", errno ? strerror(errno) : "an error when writing");
	_exit(CLI_FAILED);
}

void cli_start(char *argv[])
{
	open_standard();
	atexit(check_output);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN); /* what ulimit -f ends is an error that is told */
	if (argv[0]) {
		char *slash = strrchr(argv[0], '/');

		if (slash)
			argv[0] = slash + 1; /* getopt begins its errors with it */
		if (*argv[0])
			cli_name = argv[0];
	}
	argp_program_version_hook = print_version;
	argp_err_exit_status = CLI_FAILED;
}

/*
 * Cuts the value out of what getopt says about an option that nobody knows, for it may be a secret:
 * "unrecognized option '--name=value'", "option '--n=value' is ambiguous; possibilities: '--name' '--new'".
 */
static void cut_value(char *said)
{
	bool ambiguous = !strncmp(said, "option", strlen("option"));
	const char *mark = ambiguous ? "' is ambiguous" : "'";
	char *value = strchr(said, '='), *end = NULL;

	for (char *next = value; next && (next = strstr(next, mark)); next++)
		end = next;
	if (end)
		memmove(value, end, strlen(end) + 1);
	else if (value)
		*value = '\0';
}

enum { OPTION_HANG = 0x7000 };

/* argp has a hidden --HANG, which sleeps for an hour. */
static const struct argp_option refused[] = {
	{"HANG", OPTION_HANG, "SECONDS", OPTION_ARG_OPTIONAL | OPTION_HIDDEN, NULL, 0},
	{0},
};

static error_t refuse(int key, char *arg, struct argp_state *state)
{
	if (key == OPTION_HANG)
		cli_usage("unrecognized option '--HANG'");
	return ARGP_ERR_UNKNOWN;
}

/* argp_parse(); *SAID: what getopt would have said on stderr, malloc'ed. */
static error_t parse(const struct argp *argp, int argc, char *argv[], unsigned flags, void *input, char **said)
{
	static const struct argp refusals = {.options = refused, .parser = refuse};
	const struct argp_child children[] = {{argp, 0, NULL, 0}, {&refusals, 0, NULL, 0}, {0}};
	const struct argp all = {.children = children};
	FILE *real = stderr, *memory;
	size_t len;
	error_t error;

	*said = NULL;
	memory = open_memstream(said, &len);
	if (memory)
		stderr = memory;
	error = argp_parse(&all, argc, argv, flags, NULL, input);
	stderr = real;
	if (memory)
		fclose(memory);
	return error;
}

void cli_parse(const struct argp *argp, int argc, char *argv[], unsigned flags, void *input)
{
	size_t prefix = strlen(argv[0]) + strlen(": ");
	char *said;

	/* Without an err_stream argp leaves it at the line that getopt prints, and returns. */
	if (parse(argp, argc, argv, flags, input, &said)) {
		if (!said || strlen(said) <= prefix)
			cli_usage("wrong usage");
		cut_value(said + prefix);
		said[strcspn(said, "\n")] = '\0';
		cli_usage("%s", said + prefix);
	}
	free(said);
}

/* ---- lines on stderr ---- */

struct line {
	char text[LINE_SIZE];
	size_t len;
};

static void line_vadd(struct line *line, const char *format, va_list args)
{
	size_t room = sizeof(line->text) - line->len;
	int n = vsnprintf(line->text + line->len, room, format, args);

	if (n > 0)
		line->len += (size_t)n < room ? (size_t)n : room - 1;
}

__attribute__((format(printf, 2, 3))) static void line_add(struct line *line, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	line_vadd(line, format, args);
	va_end(args);
}

/* One line stays one line, and sends nothing to a terminal that it would obey. */
static void line_write(struct line *line)
{
	if (line->len > sizeof(line->text) - 2)
		line->len = sizeof(line->text) - 2;
	for (size_t i = 0; i < line->len; i++)
		if ((unsigned char)line->text[i] < ' ' || line->text[i] == 0x7f)
			line->text[i] = ' ';
	line->text[line->len++] = '\n';
	if (cli_before_error)
		cli_before_error();
	if (write(STDERR_FILENO, line->text, line->len) < 0)
		return; /* there is nobody to tell */
}

static void line_begin(struct line *line)
{
	line->len = 0;
	line_add(line, "%s: ", cli_name);
}

void cli_error(const char *format, ...)
{
	struct line line;
	va_list args;

	line_begin(&line);
	va_start(args, format);
	line_vadd(&line, format, args);
	va_end(args);
	line_write(&line);
}

void cli_usage(const char *format, ...)
{
	struct line line;
	va_list args;

	line_begin(&line);
	va_start(args, format);
	line_vadd(&line, format, args);
	va_end(args);
	line_add(&line, " (see %s --help)", cli_name);
	line_write(&line);
	exit(CLI_FAILED);
}

const char *cli_show(const void *bytes, size_t len, char *out, size_t out_size)
{
	const unsigned char *p = bytes;
	size_t n = 0;

	for (size_t i = 0; i < len; i++) {
		if (n + 8 > out_size) {
			memcpy(out + n, "...", 3);
			n += 3;
			break;
		}
		if (p[i] < ' ' || p[i] == 0x7f)
			n += (size_t)snprintf(out + n, out_size - n, "\\x%02x", p[i]);
		else
			out[n++] = (char)p[i];
	}
	out[n] = '\0';
	return out;
}

static void line_thing(struct line *line, const void *thing, size_t len)
{
	char shown[THING_SIZE];

	line_add(line, "%s: ", len ? cli_show(thing, len, shown, sizeof(shown)) : "\"\"");
}

void cli_error_about(const void *thing, size_t len, const char *format, ...)
{
	struct line line;
	va_list args;

	line_begin(&line);
	line_thing(&line, thing, len);
	va_start(args, format);
	line_vadd(&line, format, args);
	va_end(args);
	line_write(&line);
}

static const char *result_text(const shard_result *result)
{
	return result->message && *result->message ? result->message : shard_strerror(result->error);
}

void cli_result_error(const void *thing, size_t len, const shard_result *result)
{
	const char *hint = cli_connect_hint(result->error);
	const char *node = result->node ? result->node : "";
	const char *text = result_text(result);
	struct line line;

	if (*node && strstr(text, node))
		node = "";
	line_begin(&line);
	if (thing)
		line_thing(&line, thing, len);
	line_add(&line, "%s", text);
	if (*node && result->slot >= 0)
		line_add(&line, " (%s, slot %d)", node, result->slot);
	else if (*node)
		line_add(&line, " (%s)", node);
	else if (result->slot >= 0)
		line_add(&line, " (slot %d)", result->slot);
	if (hint)
		line_add(&line, "; %s", hint);
	line_write(&line);
}

bool cli_fits(const shard_result *result, shard_reply_type type, shard_result *misfit)
{
	if (result->reply->type == type || result->reply->type == SHARD_REPLY_NIL)
		return true;
	*misfit = (shard_result){
		.error = SHARD_EPROTOCOL,
		.message = "not an answer to this command; is it a Redis server?",
		.node = result->node,
		.slot = result->slot,
	};
	return false;
}

/* ---- numbers, memory ---- */

long long cli_number(const char *option, const char *text, long long min, long long max)
{
	char *end;
	long long number;

	errno = 0;
	number = strtoll(text, &end, 10);
	if (errno || end == text || *end || number < min || number > max || !strchr("-0123456789", text[0]))
		cli_usage("%s: a whole number from %lld to %lld is wanted, not \"%s\"", option, min, max, text);
	return number;
}

static void *check_memory(void *p, size_t size)
{
	if (!p && size) {
		cli_error("out of memory");
		exit(CLI_FAILED);
	}
	return p;
}

void *cli_alloc(size_t size)
{
	return check_memory(malloc(size ? size : 1), size ? size : 1);
}

void *cli_realloc(void *old, size_t size)
{
	return check_memory(realloc(old, size ? size : 1), size ? size : 1);
}
