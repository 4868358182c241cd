/* SPDX-License-Identifier: MIT */
/*
 * What a result of the library is to a program that uses files.
 */
#ifndef FUSEFS_ERRORS_H
#define FUSEFS_ERRORS_H

#include <shard/client.h>

/* The errno of RESULT; 0 for SHARD_OK, whatever the reply is (a nil too). */
int errors_of_result(const shard_result *result);

/* The errno of an enum shard_error that came without a reply. */
int errors_of_code(int error);

/* The errno of an error reply. */
int errors_of_words(const char *words); /* an error reply's, with a NUL */
int errors_of_reply(const shard_reply *reply);

#endif
