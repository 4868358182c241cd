/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "text.h"
#include "verb.h"

static int verb_help(int argc, char *argv[]);

static const struct verb verbs[] = {
	{"up", "start a local cluster, or what does not run of it", verb_up},
	{"down", "stop it; its data stays, but with --wipe", verb_down},
	{"status", "a line a node; exit status 1 where something is not well", verb_status},
	{"restart", "restart node after node, clients seeing no outage", verb_restart},
	{"watch", "show the status anew every second", verb_watch},
	{"tail", "follow the log of a node", verb_tail},
	{"kill", "kill a node (SIGKILL)", verb_kill},
	{"pause", "pause a node (SIGSTOP)", verb_pause},
	{"resume", "resume a paused node (SIGCONT)", verb_resume},
	{"check", "check a cluster: agreement, open slots, coverage", verb_check},
	{"info", "the masters of a cluster: keys, slots, replicas", verb_info},
	{"create", "make a cluster of empty nodes", verb_create},
	{"add-node", "add an empty node, as a master or a replica", verb_add_node},
	{"del-node", "take a node out, its slots and replicas moved away", verb_del_node},
	{"replicate", "make a node the replica of a master", verb_replicate},
	{"failover", "make a replica the master in its master's place", verb_failover},
	{"call", "send a command to all nodes", verb_call},
	{"import", "move the keys of a server, a pool or a cluster into a cluster", verb_import},
	{"backup", "write a snapshot of every master, and a manifest, into a directory", verb_backup},
	{"restore", "put the keys of a backup into a cluster, whatever its layout", verb_restore},
	{"set-timeout", "set cluster-node-timeout on all nodes", verb_set_timeout},
	{"fix", "mend a cluster: half-moved slots, slots without an owner", verb_fix},
	{"reshard", "move slots with their keys to a master", verb_reshard},
	{"help", "explain a command", verb_help},
};

#define VERBS (sizeof(verbs) / sizeof(*verbs))

static const struct verb *find_verb(const char *name)
{
	for (size_t i = 0; i < VERBS; i++)
		if (!strcmp(verbs[i].name, name))
			return &verbs[i];
	return NULL;
}

/* The table of verbs, behind the options in --help. */
static char *filter_help(int key, const char *original, void *input)
{
	char *help;

	if (key != ARGP_KEY_HELP_POST_DOC)
		return (char *)original;
	help = text("Commands:\n");
	for (size_t i = 0; i < VERBS; i++) {
		char *longer = text("%s  %-10s %s\n", help, verbs[i].name, verbs[i].summary);

		free(help);
		help = longer;
	}
	return help;
}

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	char ***rest = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		state->err_stream = NULL; /* see cli_parse() */
		return 0;
	case ARGP_KEY_ARG:
		*rest = state->argv + state->next - 1;
		state->next = state->argc;
		return 0;
	case ARGP_KEY_NO_ARGS:
		cli_usage("a command is missing");
	}
	return ARGP_ERR_UNKNOWN;
}

static const struct argp argp = {
	.parser = parse_option,
	.args_doc = "COMMAND [ARGUMENT...]",
	.doc = "A local cluster from the installed redis-server or valkey-server, and the administration of any cluster. "
	       "`rcluster COMMAND --help` tells more."
	       "\v-",
	.help_filter = filter_help,
};

static int run(const struct verb *verb, int argc, char *argv[])
{
	int status;

	argv[0] = text("%s %s", cli_name, verb->name);
	status = verb->run(argc, argv);
	free(argv[0]);
	return status;
}

static const struct verb *must_find_verb(const char *name)
{
	const struct verb *verb = find_verb(name);

	if (!verb)
		cli_usage("%s: no such command", text_shown(name));
	return verb;
}

/* `rcluster help` is `rcluster --help`, `rcluster help up` is `rcluster up --help`. */
static int verb_help(int argc, char *argv[])
{
	static char option[] = "--help";
	char *command[] = {(char *)cli_name, option, NULL};

	if (argc > 2)
		cli_usage("help %s: no more words are wanted", argv[1]);
	if (argc > 1)
		return run(must_find_verb(argv[1]), 2, command);
	cli_parse(&argp, 2, command, 0, NULL);
	return CLI_OK;
}

int main(int argc, char *argv[])
{
	char **rest = NULL;

	cli_start(argv);
	argv[0] = (char *)cli_name;
	cli_parse(&argp, argc, argv, ARGP_IN_ORDER, &rest);
	return run(must_find_verb(*rest), argc - (int)(rest - argv), rest);
}
