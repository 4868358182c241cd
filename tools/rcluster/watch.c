/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include <shard/client.h>

#include "ask.h"
#include "cli.h"
#include "health.h"
#include "local.h"
#include "table.h"
#include "verb.h"
#include "wait.h"

#define ANSWER_MS 500
#define PERIOD_MS 1000
#define TERMINAL_CLEAR "\033[H\033[2J"
#define TERMINAL_HOME "\033[H"
#define TERMINAL_END_OF_LINE "\033[K\n"
#define TERMINAL_CLEAR_BELOW "\033[J"

struct wish {
	struct local_options local;
	long long seconds; /* 0: for ever */
};

enum { OPTION_SECONDS = 0x100 };

static const struct argp_option options[] = {
	{"seconds", OPTION_SECONDS, "N", 0, "End after N seconds", 0},
	{0},
};

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct wish *wish = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &wish->local;
		return 0;
	case OPTION_SECONDS:
		wish->seconds = cli_number("--seconds", arg, 1, 1000000000);
		return 0;
	}
	return ARGP_ERR_UNKNOWN;
}

static const struct argp_child children[] = {{.argp = &local_dir_argp}, {0}};

static const struct argp argp = {
	.options = options,
	.parser = parse_option,
	.children = children,
	.doc = "Shows all nodes anew every second, until it is interrupted.",
};

static void print_heading(FILE *out, const char *eol, const struct health *health, const struct layout *layout)
{
	char now[32] = "", why[WHY_SIZE];
	int problem = health_first_problem(health, layout, why);
	time_t seconds = time(NULL);
	struct tm broken;

	if (localtime_r(&seconds, &broken))
		strftime(now, sizeof(now), "%F %T", &broken);
	if (problem < 0)
		fprintf(out, "%s  all is well: %u nodes in %s%s", now, health->count, layout->dir, eol);
	else
		fprintf(out, "%s  node %u: %s%s", now, layout_port(layout, (unsigned)problem), why, eol);
	fputs(eol, out);
}

/* Built aside and written at once, so that a terminal does not flicker. Returns whether it was written. */
static bool draw(const struct health *health, const struct layout *layout, bool terminal, bool first)
{
	const char *eol = terminal ? TERMINAL_END_OF_LINE : "\n";
	char *block = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&block, &size);
	bool ok;

	if (!out)
		return false;
	if (terminal)
		fputs(first ? TERMINAL_CLEAR : TERMINAL_HOME, out);
	else if (!first)
		fputs(eol, out);
	print_heading(out, eol, health, layout);
	table_print(out, TABLE_COLUMNS, eol, health, layout);
	if (terminal)
		fputs(TERMINAL_CLEAR_BELOW, out);
	ok = !fclose(out) && fwrite(block, 1, size, stdout) == size && !fflush(stdout);
	free(block);
	return ok;
}

/* Ends quietly when the reader has gone, or a signal asks for it. */
static void watch(shard_client *client, const struct layout *layout, long long blocks)
{
	bool terminal = isatty(STDOUT_FILENO);
	int64_t next = now_ms();
	bool drawn;

	for (long long i = 0; !blocks || i < blocks; i++) {
		struct health health;
		int64_t left;

		health_look(&health, client, layout, ANSWER_MS);
		drawn = draw(&health, layout, terminal, i == 0);
		health_finish(&health);
		next += PERIOD_MS;
		left = next - now_ms();
		if (!drawn || !pause_ms(left > 0 ? (unsigned)left : 0))
			return;
	}
}

int verb_watch(int argc, char *argv[])
{
	struct wish wish = {0};
	struct local local;
	shard_client *client;

	verb_parse(&argp, argc, argv, &wish);
	catch_interrupts();
	if (!local_must_open(&local, &wish.local, LOCAL_READ))
		return CLI_FAILED;
	client = ask_client(&local.layout);
	if (client)
		watch(client, &local.layout, wish.seconds);
	shard_client_destroy(client);
	local_close(&local);
	return client ? CLI_OK : CLI_FAILED;
}
