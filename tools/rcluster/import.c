/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include <shard/uri.h>

#include "admin.h"
#include "cli.h"
#include "findings.h"
#include "question.h"
#include "text.h"
#include "transfer.h"
#include "verb.h"
#include "wait.h"

struct wish {
	struct admin admin;
	struct cli_connect from;
	char *user, *password;
	bool ask_password, copy, replace;
};

enum { OPTION_FROM = 0x100, OPTION_USER, OPTION_PASS, OPTION_ASKPASS, OPTION_FILE, OPTION_COPY, OPTION_REPLACE };

static const struct argp_option options[] = {
	{"from", OPTION_FROM, "URI", 0, "Where the keys are: HOST:PORT, redis://..., unix://..., twemproxy:FILE[#POOL]", 0},
	{"from-user", OPTION_USER, "NAME", 0, "The user there", 0},
	{"from-pass", OPTION_PASS, "WORD", 0, "The password there; others may see it for a moment", 0},
	{"from-askpass", OPTION_ASKPASS, NULL, 0, "Ask for the password", 0},
	{"from-password-file", OPTION_FILE, "FILE", 0, "Take it from the first line of FILE", 0},
	{"copy", OPTION_COPY, NULL, 0, "Leave the keys there, too", 0},
	{"replace", OPTION_REPLACE, NULL, 0, "Overwrite keys of the cluster", 0},
	{0},
};

static char *take_secret(char *arg)
{
	char *copy = text("%s", arg);

	memset(arg, '*', strlen(arg));
	return copy;
}

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct wish *wish = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &wish->admin;
		return 0;
	case OPTION_FROM:
		free(wish->from.uri_text);
		wish->from.uri_text = admin_is_address(arg) && !strstr(arg, "://") && strncmp(arg, "twemproxy:", 10)
					      ? text("redis://%s", arg)
					      : text("%s", arg);
		cli_mask_uri(arg);
		return 0;
	case OPTION_USER:
		free(wish->user);
		wish->user = text("%s", arg);
		return 0;
	case OPTION_PASS:
		free(wish->password);
		wish->password = take_secret(arg);
		return 0;
	case OPTION_ASKPASS:
		wish->ask_password = true;
		return 0;
	case OPTION_FILE:
		wish->from.password_file = arg;
		return 0;
	case OPTION_COPY:
		wish->copy = true;
		return 0;
	case OPTION_REPLACE:
		wish->replace = true;
		return 0;
	}
	return ARGP_ERR_UNKNOWN;
}

static const struct argp_child children[] = {{.argp = &admin_argp}, {0}};

static const struct argp argp = {
	.options = options,
	.parser = parse_option,
	.children = children,
	.args_doc = "[HOST:PORT]",
	.doc = "Moves all keys of a server, of a pool behind twemproxy or of another cluster into the cluster, with "
	       "their times to live; --copy copies them.",
};

/* A line that is not shown while it is typed. */
static char *ask_password(void)
{
	struct termios before, quiet;
	bool terminal = !tcgetattr(STDIN_FILENO, &before);
	char *line;

	if (terminal) {
		quiet = before;
		quiet.c_lflag &= ~(tcflag_t)ECHO;
		tcsetattr(STDIN_FILENO, TCSAFLUSH, &quiet);
	}
	line = question_line("Password of the source: ");
	if (terminal) {
		tcsetattr(STDIN_FILENO, TCSAFLUSH, &before);
		fputc('\n', stderr);
	}
	return line;
}

static void set(char **what, const char *to)
{
	free(*what);
	*what = text("%s", to);
}

/* The environment's password is the cluster's, not the source's. */
static bool open_source(struct wish *wish)
{
	unsetenv("SHARD_PASSWORD");
	unsetenv("REDISCLI_AUTH");
	wish->from.timeout_ms = wish->admin.connect.timeout_ms;
	if (wish->ask_password && !wish->password && !(wish->password = ask_password()))
		return false;
	if (!cli_connect_resolve(&wish->from))
		return false;
	if (wish->user)
		set(&wish->from.uri->user, wish->user);
	if (wish->password)
		set(&wish->from.uri->password, wish->password);
	return cli_connect_open(&wish->from, CLI_STREAM) && cli_connect_map(&wish->from);
}

static void report(const struct transfer *t, bool copy)
{
	printf("%llu keys %s", (unsigned long long)t->done, copy ? "copied" : "moved");
	if (t->same)
		printf(", %llu of them were there already", (unsigned long long)t->same);
	printf("\n");
	fflush(stdout);
	if (t->conflicts)
		cli_error("%llu keys are in the cluster already with other values, and are as they were: --replace "
			  "overwrites them",
			  (unsigned long long)t->conflicts);
	if (t->interrupted)
		cli_error("interrupted: the same again goes on");
	else if (t->failures)
		cli_error("not all keys are there: the same again goes on");
}

static bool import(struct wish *wish)
{
	struct transfer transfer = {
		.from = wish->from.client,
		.to = wish->admin.client,
		.timeout_ms = wish->admin.connect.timeout_ms ? wish->admin.connect.timeout_ms : TRANSFER_TIMEOUT_MS,
		.copy = wish->copy,
		.replace = wish->replace,
	};
	bool ok;

	if (transfer_is_same_place(transfer.from, transfer.to, &ok)) {
		cli_error("the source is the cluster itself, or a part of it");
		return false;
	}
	if (!ok)
		return false;
	ok = transfer_run(&transfer);
	report(&transfer, wish->copy);
	return ok;
}

int verb_import(int argc, char *argv[])
{
	struct wish wish = {0};
	bool ok;

	verb_parse(&argp, argc, argv, &wish);
	catch_interrupts();
	admin_words(&wish.admin, 0, "");
	if (!wish.from.uri_text)
		cli_usage("--from is wanted: where the keys are");
	ok = admin_open(&wish.admin) && findings_none(&wish.admin) && open_source(&wish) && import(&wish);
	cli_connect_close(&wish.from);
	admin_close(&wish.admin);
	free(wish.user);
	if (wish.password)
		explicit_bzero(wish.password, strlen(wish.password));
	free(wish.password);
	return ok ? CLI_OK : CLI_FAILED;
}
