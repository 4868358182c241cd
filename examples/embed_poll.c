/* SPDX-License-Identifier: MIT */
/*
 * embed_poll: the client in a poll loop that is not its own. Each line of
 * standard input is a key; its value is printed when it comes. The loop never
 * blocks in the client, and would serve other descriptors meanwhile.
 *
 * All that it takes: watch shard_client_fd() for reading, and call
 * shard_client_process() when it is readable. Time-outs and what was just
 * submitted make it readable too.
 */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <shard/shard.h>

#include "args.h"

struct program {
	shard_client *client;
	char line[4096]; /* what was read and has no newline yet */
	size_t len;
	bool input_ended;
	int status;
};

/* What a request is about lives until its callback. */
struct question {
	struct program *program;
	char key[];
};

static void on_value(void *ctx, const shard_result *result)
{
	struct question *question = ctx;

	if (result->error) {
		fprintf(stderr, "embed_poll: %s: %s\n", question->key, result->message);
		question->program->status = 2;
	} else if (result->reply->type == SHARD_REPLY_NIL) {
		printf("%s: no such key\n", question->key);
	} else {
		printf("%s: %.*s\n", question->key, (int)result->reply->len, result->reply->str);
	}
	fflush(stdout);
	free(question);
}

static void ask(struct program *program, const char *key, size_t len)
{
	struct question *question = malloc(sizeof(*question) + len + 1);
	const char *argv[] = {"GET", NULL};

	if (!question)
		abort();
	question->program = program;
	memcpy(question->key, key, len);
	question->key[len] = '\0';
	argv[1] = question->key;
	if (shard_submit(program->client, 2, argv, NULL, NULL, on_value, question, NULL)) {
		program->status = 2;
		free(question);
	}
}

static void read_keys(struct program *program)
{
	ssize_t n = read(STDIN_FILENO, program->line + program->len, sizeof(program->line) - program->len);
	char *start = program->line, *end;

	if (n <= 0 || program->len + (size_t)n == sizeof(program->line))
		program->input_ended = true; /* the end, or a line that is too long */
	program->len += n > 0 ? (size_t)n : 0;
	while ((end = memchr(start, '\n', (size_t)(program->line + program->len - start)))) {
		ask(program, start, (size_t)(end - start));
		start = end + 1;
	}
	program->len -= (size_t)(start - program->line);
	memmove(program->line, start, program->len);
}

static void loop(struct program *program)
{
	struct pollfd fds[] = {
		{.fd = shard_client_fd(program->client), .events = POLLIN},
		{.fd = STDIN_FILENO, .events = POLLIN},
	};

	while (!program->input_ended || shard_client_pending(program->client)) {
		fds[1].fd = program->input_ended ? -1 : STDIN_FILENO;
		if (poll(fds, 2, -1) < 0)
			continue;
		if (fds[0].revents && shard_client_process(program->client))
			return;
		if (fds[1].revents)
			read_keys(program);
	}
}

int main(int argc, char *argv[])
{
	struct args args = {.doc = "Prints the values of the keys that it reads.", .words = ""};
	struct program program = {.client = args_client(&args, argc, argv)};

	if (!program.client)
		return 2;
	loop(&program);
	shard_client_destroy(program.client);
	args_finish(&args);
	return program.status;
}
