/* SPDX-License-Identifier: MIT */
/*
 * The subcommands: one file each, one row each in main.c's table.
 */
#ifndef RCLUSTER_VERB_H
#define RCLUSTER_VERB_H

#include <argp.h>

struct verb {
	const char *name;
	const char *summary;                /* a line of rcluster --help */
	int (*run)(int argc, char *argv[]); /* argv[0] is "rcluster NAME"; returns the exit status */
};

/* cli_parse() whose errors begin with "rcluster NAME". In order: what is no option keeps its place among them. */
void verb_parse_in_order(const struct argp *argp, int argc, char *argv[], void *input);
void verb_parse(const struct argp *argp, int argc, char *argv[], void *input);

int verb_up(int argc, char *argv[]);
int verb_down(int argc, char *argv[]);
int verb_status(int argc, char *argv[]);
int verb_restart(int argc, char *argv[]);
int verb_watch(int argc, char *argv[]);
int verb_tail(int argc, char *argv[]);
int verb_kill(int argc, char *argv[]);
int verb_pause(int argc, char *argv[]);
int verb_resume(int argc, char *argv[]);

/* Of any cluster: admin.h. */
int verb_check(int argc, char *argv[]);
int verb_info(int argc, char *argv[]);
int verb_create(int argc, char *argv[]);
int verb_add_node(int argc, char *argv[]);
int verb_del_node(int argc, char *argv[]);
int verb_replicate(int argc, char *argv[]);
int verb_failover(int argc, char *argv[]);
int verb_call(int argc, char *argv[]);
int verb_set_timeout(int argc, char *argv[]);
int verb_import(int argc, char *argv[]);
int verb_backup(int argc, char *argv[]);
int verb_restore(int argc, char *argv[]);
int verb_fix(int argc, char *argv[]);
int verb_reshard(int argc, char *argv[]);

#endif
