/* SPDX-License-Identifier: MIT */
#include "local.h"

#include <stdlib.h>

#include "cli.h"
#include "lock.h"
#include "place.h"
#include "text.h"

enum { OPTION_DIR = 0x200, OPTION_WAIT };

/* --dir alone is the table from its second row on. */
static const struct argp_option wait_options[] = {
	{"wait", OPTION_WAIT, "SECONDS", 0, "Give up what is not done by then (30)", 0},
	{"dir", OPTION_DIR, "DIR", 0, "The directory of the cluster (default: see rcluster(1))", 0},
	{0},
};

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct local_options *options = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		state->err_stream = NULL; /* see cli_parse() */
		return 0;
	case OPTION_DIR:
		options->dir = arg;
		return 0;
	case OPTION_WAIT:
		options->wait_ms = (unsigned)cli_number("--wait", arg, 1, 24 * 3600) * 1000;
		return 0;
	case ARGP_KEY_ARG: /* that the verb itself did not take */
		cli_usage("%s: no argument is wanted here", text_shown(arg));
	}
	return ARGP_ERR_UNKNOWN;
}

const struct argp local_dir_argp = {.options = wait_options + 1, .parser = parse_option};
const struct argp local_wait_argp = {.options = wait_options, .parser = parse_option};

enum layout_found local_open(struct local *local, const struct local_options *options, enum local_need need)
{
	char *dir = place_choose(options->dir);
	enum layout_found found = LAYOUT_BAD;

	*local = (struct local){.lock = -1};
	if (dir)
		found = layout_read(&local->layout, dir);
	if (found == LAYOUT_FOUND && need == LOCAL_CHANGE) {
		local->lock = lock_take(dir, options->wait_ms ? options->wait_ms : LOCAL_WAIT_MS);
		layout_finish(&local->layout);
		found = local->lock < 0 ? LAYOUT_BAD : layout_read(&local->layout, dir); /* as it is now */
	}
	if (found != LAYOUT_FOUND)
		local_close(local);
	free(dir);
	return found;
}

void local_close(struct local *local)
{
	layout_finish(&local->layout);
	lock_release(local->lock);
	local->lock = -1;
}

void local_complain_none(const struct local_options *options)
{
	if (options->dir)
		cli_error("%s holds no cluster: rcluster up --dir makes one", options->dir);
	else
		cli_error("there is no local cluster: rcluster up makes one");
}

bool local_must_open(struct local *local, const struct local_options *options, enum local_need need)
{
	enum layout_found found = local_open(local, options, need);

	if (found == LAYOUT_NONE)
		local_complain_none(options);
	return found == LAYOUT_FOUND;
}

int local_node(const struct local *local, const char *word)
{
	const struct layout *layout = &local->layout;
	long port;
	int node = text_number(word, 1, 65535, &port) ? layout_find(layout, (unsigned)port) : -1;

	if (node < 0)
		cli_error("%s is no node of the cluster in %s: its ports are %u to %u", text_shown(word), layout->dir,
			  layout->port, layout->port + layout_count(layout) - 1);
	return node;
}
