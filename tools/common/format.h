/* SPDX-License-Identifier: MIT */
/*
 * What tools that read or print records have in common: -0, -j, and the
 * choice between one key, several, and standard input.
 */
#ifndef FORMAT_H
#define FORMAT_H

#include <argp.h>
#include <stddef.h>

#include "connect.h"
#include "record.h"

#define WORDS_LAZY_MAX 16 /* so many keys are not worth a round trip for the map */

/* -0 and -j as a child parser. Its input is an enum record_format *. */
extern const struct argp format_argp;

/* The words of a command line: argv's, in order. */
struct words {
	char **word;
	size_t count;
};

/* Adds an argument; argp's vector is long enough for all: allocated at the first. */
void words_add(struct words *words, char *arg, const struct argp_state *state);

/* Whether the words are `-` alone; `-` among others is a usage error. */
bool words_are_input(const struct words *words);

/* How to connect for these words. */
enum cli_connect_mode words_mode(const struct words *words);

/* The parsers that a tool's argp has as children, in the order of their inputs. */
extern const struct argp_child format_children[];  /* 0: cli_connect_argp, 1: format_argp */
extern const struct argp_child connect_children[]; /* 0: cli_connect_argp */

#endif
