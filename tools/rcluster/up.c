/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <shard/client.h>

#include "ask.h"
#include "cli.h"
#include "form.h"
#include "health.h"
#include "launch.h"
#include "layout.h"
#include "local.h"
#include "lock.h"
#include "place.h"
#include "port.h"
#include "server.h"
#include "text.h"
#include "verb.h"
#include "wait.h"

#define DEFAULT_MASTERS 3
#define DEFAULT_REPLICAS 1
#define DEFAULT_PORT 7000
#define DEFAULT_BIND "127.0.0.1"
#define STOP_MS 3000

/* What the command line asks for; -1 and NULL: not given. */
struct wish {
	struct local_options local;
	int masters;
	int replicas;
	int port;
	const char *bind;
};

/* One `up` under way. */
struct up {
	struct layout layout;
	int lock;
	int64_t begin, end;
	bool fresh;    /* the cluster has to be formed */
	bool *started; /* the nodes that this call starts */
	unsigned started_count;
};

static const struct argp_option options[] = {
	{"masters", 'm', "N", 0, "How many masters (3)", 0},
	{"replicas", 'r', "N", 0, "How many replicas each of them has (1)", 0},
	{"port", 'p', "PORT", 0, "The port of the first node (7000); the others follow, bus ports are 10000 above", 0},
	{"bind", 'b', "ADDRESS", 0, "The loopback address to listen on (127.0.0.1)", 0},
	{0},
};

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct wish *wish = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &wish->local;
		return 0;
	case 'm':
		wish->masters = (int)cli_number("--masters", arg, 1, NODES_MAX);
		return 0;
	case 'r':
		wish->replicas = (int)cli_number("--replicas", arg, 0, NODES_MAX - 1);
		return 0;
	case 'p':
		wish->port = (int)cli_number("--port", arg, 1, PORT_MAX);
		return 0;
	case 'b':
		if (!port_is_loopback(arg))
			cli_usage("--bind: %s is no loopback address (127.0.0.1, ::1): the servers have no password",
				  text_shown(arg));
		wish->bind = arg;
		return 0;
	}
	return ARGP_ERR_UNKNOWN;
}

static const struct argp_child children[] = {{.argp = &local_wait_argp}, {0}};

static const struct argp argp = {
	.options = options,
	.parser = parse_option,
	.children = children,
	.doc = "Starts a local cluster and returns when it is ready. The same again is no harm, and starts the nodes "
	       "that do not run.",
};

static void fill_layout(struct layout *layout, const struct wish *wish)
{
	layout->masters = wish->masters < 0 ? DEFAULT_MASTERS : (unsigned)wish->masters;
	layout->replicas = wish->replicas < 0 ? DEFAULT_REPLICAS : (unsigned)wish->replicas;
	layout->port = wish->port < 0 ? DEFAULT_PORT : (unsigned)wish->port;
	snprintf(layout->bind, sizeof(layout->bind), "%s", wish->bind ? wish->bind : DEFAULT_BIND);
	layout->formed = false;
}

static bool is_possible(const struct layout *layout)
{
	unsigned count = layout_count(layout);

	if (count > NODES_MAX)
		cli_error("%u nodes are too many: at most %d", count, NODES_MAX);
	else if (layout->port + count - 1 > PORT_MAX)
		cli_error(
			"%u nodes from port %u on: the last bus port (port + %d) would be above 65535: choose a lower "
			"--port",
			count, layout->port, BUS_OFFSET);
	else
		return true;
	return false;
}

static bool agrees(const struct layout *layout, const struct wish *wish)
{
	if ((wish->masters < 0 || (unsigned)wish->masters == layout->masters) &&
	    (wish->replicas < 0 || (unsigned)wish->replicas == layout->replicas) &&
	    (wish->port < 0 || (unsigned)wish->port == layout->port) &&
	    (!wish->bind || !strcmp(wish->bind, layout->bind)))
		return true;
	cli_error(
		"%s holds another cluster: --masters %u --replicas %u --port %u --bind %s: give those or none of them, "
		"another place with --dir, or remove it with rcluster down --wipe",
		layout->dir, layout->masters, layout->replicas, layout->port, layout->bind);
	return false;
}

/* Clears away what a call that was cut off left behind: no cluster was formed, so there is no data. */
static bool clear_unformed(struct up *up)
{
	bool *all = allocate(layout_count(&up->layout), sizeof(*all));
	unsigned left;
	bool ok;

	memset(all, true, layout_count(&up->layout) * sizeof(*all));
	server_stop(&up->layout, all, STOP_MS, &left);
	ok = !left && place_wipe_nodes(&up->layout);
	if (ok)
		layout_remove(&up->layout);
	free(all);
	return ok;
}

static bool find_layout(struct up *up, const struct wish *wish, const char *dir)
{
	enum layout_found found = layout_read(&up->layout, dir);

	if (found == LAYOUT_BAD)
		return false;
	if (found == LAYOUT_FOUND && up->layout.formed)
		return agrees(&up->layout, wish);
	if (found == LAYOUT_FOUND && !clear_unformed(up))
		return false;
	fill_layout(&up->layout, wish);
	up->fresh = true;
	return is_possible(&up->layout);
}

static bool find_stopped(struct up *up)
{
	up->started = allocate(layout_count(&up->layout), sizeof(*up->started));
	for (unsigned i = 0; i < layout_count(&up->layout); i++) {
		enum server_state state = server_look(&up->layout, i, NULL);

		if (state == SERVER_PAUSED) {
			cli_error("node %u is paused: rcluster resume %u", layout_port(&up->layout, i),
				  layout_port(&up->layout, i));
			return false;
		}
		up->started[i] = state == SERVER_STOPPED;
		up->started_count += up->started[i];
	}
	return true;
}

static bool start(struct up *up)
{
	char *program;
	bool ok;

	if (!up->started_count)
		return true;
	program = server_find();
	ok = program && port_check(&up->layout, up->fresh ? NULL : up->started) &&
	     (!up->fresh || layout_write(&up->layout)) && launch(&up->layout, up->started, program, up->end);
	free(program);
	return ok;
}

static bool make_ready(struct up *up)
{
	shard_client *client = ask_client(&up->layout);
	char why[WHY_SIZE];
	int problem = -1;

	if (!client)
		return false;
	if (up->fresh)
		problem = form_cluster(client, &up->layout, up->end, why);
	if (problem < 0)
		problem = health_wait(client, &up->layout, up->end, why);
	if (problem >= 0)
		launch_explain(&up->layout, (unsigned)problem, why);
	shard_client_destroy(client);
	return problem < 0;
}

static bool record(struct up *up)
{
	if (up->fresh) {
		up->layout.formed = true;
		if (!layout_write(&up->layout))
			return false;
	}
	return place_record(&up->layout);
}

static void announce(const struct up *up)
{
	const struct layout *layout = &up->layout;
	char *uri = layout_uri(layout);

	if (up->started_count)
		printf("ready after %.1f s", (double)(now_ms() - up->begin) / 1000);
	else
		printf("already running");
	printf(": %u masters, %u replicas, ports %u-%u, in %s\n%s\n", layout->masters,
	       layout->masters * layout->replicas, layout->port, layout->port + layout_count(layout) - 1, layout->dir,
	       uri);
	free(uri);
}

static void undo(struct up *up)
{
	if (up->started)
		server_stop(&up->layout, up->started, STOP_MS, NULL);
}

static bool up_in(const char *dir, const struct wish *wish)
{
	struct up up = {.begin = now_ms()};
	bool ok;

	up.end = up.begin + wish->local.wait_ms;
	up.lock = lock_take(dir, wish->local.wait_ms);
	if (up.lock < 0)
		return false;
	ok = find_layout(&up, wish, dir) && find_stopped(&up) && start(&up) && make_ready(&up) && record(&up);
	if (ok)
		announce(&up);
	else
		undo(&up);
	place_discard(dir);
	lock_release(up.lock);
	free(up.started);
	layout_finish(&up.layout);
	return ok;
}

int verb_up(int argc, char *argv[])
{
	struct wish wish = {.local.wait_ms = LOCAL_WAIT_MS, .masters = -1, .replicas = -1, .port = -1};
	bool ok;
	char *dir;

	verb_parse(&argp, argc, argv, &wish);
	catch_interrupts();
	dir = place_make(wish.local.dir);
	ok = dir && up_in(dir, &wish);
	free(dir);
	return ok ? CLI_OK : CLI_FAILED;
}
