/* SPDX-License-Identifier: MIT */
/*
 * Requests of rproxy's clients: what is read in one piece and in many is the same, words lie within their request, and
 * a request made anew from its words is read as it was. Built with tools/rproxy/parse.c.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../tools/rproxy/parse.h"

#define MUST(condition)                                                                                                \
	do {                                                                                                           \
		if (!(condition))                                                                                      \
			__builtin_trap();                                                                              \
	} while (0)

/* DATA, a byte more each time, as it comes over a slow line. */
static enum parse_state parse_slowly(const char *data, size_t size, bool lines, struct parse *parse, struct words *words)
{
	enum parse_state state = PARSE_MORE;

	for (size_t len = 1; len <= size && state == PARSE_MORE; len++) {
		/* Bytes behind LEN must not be looked at: the sanitizer sees where they are. */
		char *part = malloc(len);

		MUST(part);
		memcpy(part, data, len);
		state = parse_request(parse, part, len, lines, words);
		free(part);
	}
	return state;
}

static void check_again(const struct words *words)
{
	size_t size = 32, at;
	struct parse parse = {0};
	struct words again = {0};
	char *text;

	for (size_t i = 0; i < words->count; i++)
		size += words->len[i] + 32;
	text = malloc(size);
	MUST(text);
	at = (size_t)sprintf(text, "*%zu\r\n", words->count);
	for (size_t i = 0; i < words->count; i++) {
		at += (size_t)sprintf(text + at, "$%zu\r\n", words->len[i]);
		memcpy(text + at, words->argv[i], words->len[i]);
		at += words->len[i];
		memcpy(text + at, "\r\n", 2);
		at += 2;
	}
	MUST(parse_request(&parse, text, at, false, &again) == PARSE_WHOLE && parse.at == at);
	words_point(&again, text);
	MUST(again.count == words->count);
	for (size_t i = 0; i < words->count; i++)
		MUST(again.len[i] == words->len[i] && !memcmp(again.argv[i], words->argv[i], words->len[i]));
	words_finish(&again);
	free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	bool lines = size && bytes[0] & 1;
	const char *data = (const char *)bytes + 1;
	struct parse whole = {0}, slow = {0};
	struct words words = {0}, slow_words = {0};
	enum parse_state state;

	if (size < 2 || size > 4096)
		return 0;
	size--;
	state = parse_request(&whole, data, size, lines, &words);
	MUST(parse_slowly(data, size, lines, &slow, &slow_words) == state);
	MUST(state != PARSE_BAD || whole.why);
	if (state == PARSE_WHOLE) {
		MUST(whole.at == slow.at && whole.at <= size && words.count == slow_words.count);
		words_point(&words, data);
		for (size_t i = 0; i < words.count; i++) {
			MUST(words.at[i] == slow_words.at[i] && words.len[i] == slow_words.len[i]);
			MUST(words.at[i] + words.len[i] <= whole.at);
		}
		if (words.count)
			check_again(&words);
	}
	words_finish(&words);
	words_finish(&slow_words);
	return 0;
}
