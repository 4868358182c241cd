/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <shard/client.h>

#include "ask.h"
#include "cli.h"
#include "conf.h"
#include "form.h"
#include "grow.h"
#include "health.h"
#include "launch.h"
#include "layout.h"
#include "local.h"
#include "local_form.h"
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
#define CONF_MAX (32 * 1024) /* of all lines: they are kept in the layout */

/* What the command line asks for; -1 and NULL: not given. */
struct wish {
	struct local_options local;
	int masters;
	int replicas;
	int port;
	const char *bind;
	bool valkey;
	struct layout conf; /* just its configuration: what --conf asks for */
};

/* One `up` under way. */
struct up {
	struct layout layout;
	int lock;
	int64_t begin, end;
	bool fresh;    /* the cluster has to be formed */
	bool grown;    /* the layout is larger than the one that is recorded */
	bool joining;  /* nodes may have joined: the recorded layout stays what it is */
	unsigned old_masters, old_replicas;
	bool *started; /* the nodes that this call starts */
	unsigned started_count;
};

enum { OPTION_CONF = 0x100, OPTION_VALKEY };

static const struct argp_option options[] = {
	{"masters", 'm', "N", 0, "How many masters (3)", 0},
	{"replicas", 'r', "N", 0, "How many replicas each of them has (1)", 0},
	{"port", 'p', "PORT", 0, "The port of the first node (7000); the others follow, bus ports are 10000 above", 0},
	{"bind", 'b', "ADDRESS", 0, "The loopback address to listen on (127.0.0.1)", 0},
	{"conf", OPTION_CONF, "KEY=VALUE", 0, "A setting for each node's redis.conf; may be given again and again", 0},
	{"valkey", OPTION_VALKEY, NULL, 0, "From valkey-server, also where redis-server is there", 0},
	{0},
};

static void add_conf(struct wish *wish, const char *arg)
{
	char *line = conf_line(arg);

	layout_add_conf(&wish->conf, line);
	free(line);
	if (strlen(wish->conf.conf) > CONF_MAX)
		cli_usage("--conf: more than %d bytes in all", CONF_MAX);
}

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
	case OPTION_CONF:
		add_conf(wish, arg);
		return 0;
	case OPTION_VALKEY:
		wish->valkey = true;
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
	       "that do not run; with more masters or replicas than before it adds nodes.",
};

static void fill_layout(struct layout *layout, const struct wish *wish)
{
	layout->masters = wish->masters < 0 ? DEFAULT_MASTERS : (unsigned)wish->masters;
	layout->replicas = wish->replicas < 0 ? DEFAULT_REPLICAS : (unsigned)wish->replicas;
	layout->port = wish->port < 0 ? DEFAULT_PORT : (unsigned)wish->port;
	snprintf(layout->bind, sizeof(layout->bind), "%s", wish->bind ? wish->bind : DEFAULT_BIND);
	layout->formed = false;
	free(layout->conf);
	layout->conf = wish->conf.conf ? text("%s", wish->conf.conf) : NULL;
	snprintf(layout->server, sizeof(layout->server), "%s", wish->valkey ? SERVER_VALKEY : "");
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

/* A setting that is asked for and that the cluster was not made with; NULL: there is none. malloc'ed. */
static char *find_new_conf(const struct layout *layout, const struct wish *wish)
{
	for (const char *at = wish->conf.conf; at && *at; at = strchr(at, '\n') + 1) {
		char *line = text("%.*s", (int)strcspn(at, "\n"), at);

		if (!layout_has_conf(layout, line))
			return line;
		free(line);
	}
	return NULL;
}

static bool agrees(const struct layout *layout, const struct wish *wish)
{
	char *conf = find_new_conf(layout, wish);

	if (conf)
		cli_error("%s: the cluster there was made without %s: write it into each node's redis.conf and use "
			  "rcluster restart, or make a new cluster",
			  layout->dir, conf);
	else if (wish->valkey && strcmp(layout->server, SERVER_VALKEY))
		cli_error("%s: the cluster there was made with %s, whose data stay with it: another place with --dir, "
			  "or remove it with rcluster down --wipe",
			  layout->dir, *layout->server ? layout->server : SERVER_REDIS);
	else if ((wish->port >= 0 && (unsigned)wish->port != layout->port) ||
		 (wish->bind && strcmp(wish->bind, layout->bind)))
		cli_error("%s holds another cluster: --masters %u --replicas %u --port %u --bind %s: give those or "
			  "none of them, another place with --dir, or remove it with rcluster down --wipe",
			  layout->dir, layout->masters, layout->replicas, layout->port, layout->bind);
	else
		return true;
	free(conf);
	return false;
}

static bool shrinks(const struct layout *layout, const struct wish *wish)
{
	if ((wish->masters < 0 || (unsigned)wish->masters >= layout->masters) &&
	    (wish->replicas < 0 || (unsigned)wish->replicas >= layout->replicas))
		return false;
	cli_error("%s holds a cluster of --masters %u --replicas %u: it can grow, but not shrink; make a smaller one "
		  "in another place with --dir, or remove it first with rcluster down --wipe",
		  layout->dir, layout->masters, layout->replicas);
	return true;
}

/* Whether the directories of new nodes are not there: what is in them would be of others. */
static bool have_room(const struct up *up)
{
	const struct layout *layout = &up->layout;
	bool free_of_others = true;

	for (unsigned i = up->old_masters * (1 + up->old_replicas); i < layout_count(layout) && free_of_others; i++) {
		char *dir = layout_path(layout, i, "");

		free_of_others = access(dir, F_OK);
		if (!free_of_others)
			cli_error("%s: is there already, so node %u cannot be made: move it away", dir,
				  layout_port(layout, i));
		free(dir);
	}
	return free_of_others;
}

/* The recorded cluster, with the nodes that it is to have from now on. */
static bool adapt(struct up *up, const struct wish *wish)
{
	struct layout *layout = &up->layout;

	if (!agrees(layout, wish) || shrinks(layout, wish))
		return false;
	up->old_masters = layout->masters;
	up->old_replicas = layout->replicas;
	if (wish->masters >= 0)
		layout->masters = (unsigned)wish->masters;
	if (wish->replicas >= 0)
		layout->replicas = (unsigned)wish->replicas;
	up->grown = layout->masters != up->old_masters || layout->replicas != up->old_replicas;
	return is_possible(layout) && have_room(up);
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
		return adapt(up, wish);
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
		return !up->grown || layout_write(&up->layout);
	program = server_find(up->layout.server);
	if (program && up->fresh)
		snprintf(up->layout.server, sizeof(up->layout.server), "%s", strrchr(program, '/') + 1);
	ok = program && port_check(&up->layout, up->fresh ? NULL : up->started) &&
	     ((!up->fresh && !up->grown) || layout_write(&up->layout)) && launch(&up->layout, up->started, program, up->end);
	free(program);
	return ok;
}

static int form(struct up *up, shard_client *client, char why[WHY_SIZE])
{
	struct form form;
	int problem;

	local_form_init(&form, client, &up->layout, up->end);
	problem = form_cluster(&form, why);
	local_form_finish(&form);
	return problem;
}

static bool make_ready(struct up *up)
{
	shard_client *client;
	char why[WHY_SIZE];
	int problem;

	client = ask_client(&up->layout);
	if (!client)
		return false;
	up->joining = true;
	if (up->fresh)
		problem = form(up, client, why);
	else
		problem = grow_cluster(client, &up->layout, up->end, why);
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

/* Nodes that the larger layout would have had hold nothing yet. */
static void forget_growth(struct up *up)
{
	struct layout *layout = &up->layout;

	for (unsigned i = up->old_masters * (1 + up->old_replicas); i < layout_count(layout); i++)
		if (up->started[i])
			place_wipe_node(layout, i);
	layout->masters = up->old_masters;
	layout->replicas = up->old_replicas;
	layout_write(layout);
}

static void undo(struct up *up)
{
	if (up->started)
		server_stop(&up->layout, up->started, STOP_MS, NULL);
	if (up->started && up->grown && !up->joining)
		forget_growth(up);
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
	free(wish.conf.conf);
	return ok ? CLI_OK : CLI_FAILED;
}
