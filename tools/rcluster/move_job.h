/* SPDX-License-Identifier: MIT */
/*
 * A move from the inside: what move.c, move_atomic.c, move_step.c, move_keys.c and move_same.c share.
 */
#ifndef RCLUSTER_MOVE_JOB_H
#define RCLUSTER_MOVE_JOB_H

#include "ask.h"
#include "move.h"
#include "progress.h"

enum stage {
	STAGE_LIST,        /* GETKEYSINSLOT on the source, before anything is changed */
	STAGE_LEAVE,       /* a left-over: NODE target on the source */
	STAGE_IMPORTING,   /* on the target; of a left-over: on the source, so that it serves its keys */
	STAGE_MIGRATING,   /* on the source, and GETKEYSINSLOT behind it */
	STAGE_KEYS,        /* MIGRATE, and GETKEYSINSLOT behind the last */
	STAGE_AGAIN,       /* GETKEYSINSLOT */
	STAGE_STABLE,      /* a left-over: on the source */
	STAGE_NODE_TARGET, /* NODE target on these */
	STAGE_NODE_SOURCE,
	STAGE_NODE_OTHERS,
	STAGE_DONE,
	STAGE_ASIDE,       /* holds a big key that was not allowed yet */
	STAGE_DROPPED      /* an error, or an interrupt */
};

/* One slot under way. */
struct job {
	const struct move_task *task;
	enum stage stage;
	char slot[8];
	shard_reply *list; /* keys that the source has; NULL: none */
	long long *size;   /* of each, by MEMORY USAGE */
	size_t next;       /* the first that was not sent yet */
	bool busy;         /* a key was there on both sides */
	unsigned tries;    /* to settle keys on both sides */
	int64_t since_ms;  /* when what passes by itself began to hinder it; 0: nothing does */
};

/* How quick a node's MIGRATE is. */
struct pace {
	double us_per_unit;  /* see key_units() */
	double units;        /* sent in this round */
	unsigned long long round_us;
};

struct move {
	struct admin *admin;
	const struct move_options *options;
	const struct move_task *task;
	size_t count;
	bool *begun;          /* of each task */
	bool big_allowed;
	bool failed;          /* nothing new is begun */
	struct job *job;      /* those under way */
	size_t job_count, job_room;
	struct job *aside;    /* set aside for their big keys */
	size_t aside_count;
	struct pace *pace;    /* of each node */
	/* The questions of this round, and which job each is of. */
	struct ask *ask;
	size_t *ask_job;
	size_t ask_count, ask_room;
	bool migrates;        /* MIGRATE is among them */
	bool hindered;        /* an answer was that it may be asked again */
	struct move_totals *totals;
	struct progress progress;
	unsigned long long keys_whole; /* how many keys there are to move; 0: not known */
	int64_t started_ms;
};

/* A question to NODE about JOB, for this round; its words are the caller's. */
struct ask *move_ask(struct move *move, size_t job, int node);

const struct view_node *move_node(const struct move *move, int node);

/* "WHAT (NODE, slot N): WHY", and nothing new is begun. */
void move_fail(struct move *move, struct job *job, int node, const char *what, const char *why);

/* The progress bar. */
void move_show(struct move *move);

/* ---- move_atomic.c ---- */

/* The tasks that the servers can do by themselves: they are begun, and done or failed, afterwards. Blocks. */
void atomic_run(struct move *move);

/* ---- move_step.c ---- */

/* What a job asks in its stage, for this round. */
void step_ask(struct move *move, size_t job);

/* All answers of the round: each job gets its next stage. */
void step_answers(struct move *move);

/* ---- move_keys.c ---- */

/* Takes a list over (GETKEYSINSLOT's answer). False: it is not one. */
bool keys_take_list(struct job *job, const shard_reply *reply);
void keys_drop_list(struct job *job);

/* MEMORY USAGE of the keys of all jobs in STAGE that have lists without sizes, at once. */
bool keys_measure(struct move *move, enum stage stage);

/* Whether the list holds a key that is too big to be moved unasked. */
bool keys_hold_big(const struct move *move, const struct job *job);

/* The MIGRATEs of this round for one job; returns whether there were any. */
bool keys_send(struct move *move, size_t job);

/* Its answer: the job goes on, lists again, or fails. */
void keys_answered(struct move *move, struct job *job, const struct ask *ask);

/* After a round that took US microseconds. */
void keys_learn(struct move *move, unsigned long long us);

void keys_free_ask(struct ask *ask);

/* ---- move_same.c ---- */

/*
 * Keys of JOB's list that are there on both sides, after a time-out or a crash: those whose DUMPs are equal are
 * settled, others are an error that names them. Blocks. Returns whether the job can go on.
 */
bool same_settle(struct move *move, struct job *job);

#endif
