/* SPDX-License-Identifier: MIT */
/*
 * What all commands have in common: how they start, how they report an error,
 * how they end. A line on stderr is written with one write(2).
 */
#ifndef CLI_H
#define CLI_H

#include <argp.h>
#include <stdbool.h>
#include <stddef.h>

#include <shard/client.h>

enum cli_status {
	CLI_OK = 0,    /* all done */
	CLI_NO = 1,    /* a key was missing, a condition unmet, nothing deleted, a check found something */
	CLI_FAILED = 2 /* usage, or a failure */
};

/* The name that errors begin with: the last part of argv[0]. Set by cli_start(). */
extern const char *cli_name;

/* Called before a line is written to stderr (a progress bar clears itself); NULL: nobody. */
extern void (*cli_before_error)(void);

/*
 * To be called first in main(): opens descriptors 0, 1 and 2 where they are
 * closed (on something that refuses, so that no socket of ours becomes
 * standard output), ignores SIGPIPE and SIGXFSZ, sets the name, the version
 * and argp's exit status.
 */
void cli_start(char *argv[]);

/*
 * argp_parse() with errors of one line: it ends the process with CLI_FAILED
 * on a usage error. FLAGS are argp_parse()'s.
 */
void cli_parse(const struct argp *argp, int argc, char *argv[], unsigned flags, void *input);

/* A usage error: "NAME: TEXT (see NAME --help)". Ends the process. */
_Noreturn void cli_usage(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* A whole number of an option's argument between MIN and MAX, else a usage error that names OPTION. */
long long cli_number(const char *option, const char *text, long long min, long long max);

/* "NAME: TEXT" */
void cli_error(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* "NAME: THING: TEXT"; THING is any bytes (a key), shown on one line and shortened where it is long. */
void cli_error_about(const void *thing, size_t len, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* "NAME: THING: WHAT (NODE, slot N)" for a result that is not SHARD_OK. A THING of no bytes is left out. */
void cli_result_error(const void *thing, size_t len, const shard_result *result);

/*
 * Whether the reply of RESULT (no error) is of TYPE or nil. Out where it is not: *MISFIT, a failure that says so and
 * borrows from RESULT.
 */
bool cli_fits(const shard_result *result, shard_reply_type type, shard_result *misfit);

/* What the last argument of a line for people may become: BYTES as cli_error_about() shows them. Returns OUT. */
const char *cli_show(const void *bytes, size_t len, char *out, size_t out_size);

/* malloc() and realloc() that end the process with an error when there is no memory. */
void *cli_alloc(size_t size) __attribute__((malloc));
void *cli_realloc(void *old, size_t size);

#endif
