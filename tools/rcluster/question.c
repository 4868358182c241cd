/* SPDX-License-Identifier: MIT */
#include "question.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "wait.h"

bool question_possible(void)
{
	return isatty(STDIN_FILENO);
}

__attribute__((format(printf, 1, 0))) static void put(const char *format, va_list args)
{
	fflush(stdout);
	if (cli_before_error)
		cli_before_error();
	vfprintf(stderr, format, args);
	fflush(stderr);
}

static char *read_line(void)
{
	char *line = NULL;
	size_t size = 0;

	if (getline(&line, &size, stdin) < 0) {
		free(line);
		cli_error(interrupted() ? "interrupted: nothing was done" : "the input has ended: there is no answer");
		return NULL;
	}
	line[strcspn(line, "\r\n")] = '\0';
	return line;
}

bool question_yes(bool yes, const char *format, ...)
{
	va_list args;
	char *line;
	bool agreed;

	if (yes)
		return true;
	if (!question_possible()) {
		cli_error("nothing is done without an answer, and standard input is no terminal: --yes answers yes");
		return false;
	}
	va_start(args, format);
	put(format, args);
	va_end(args);
	fputs(" (type 'yes' to go on): ", stderr);
	line = read_line();
	agreed = line && (!strcmp(line, "yes") || !strcmp(line, "y"));
	if (line && !agreed)
		cli_error("not done: the answer was not 'yes'");
	free(line);
	return agreed;
}

char *question_line(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	put(format, args);
	va_end(args);
	return read_line();
}
