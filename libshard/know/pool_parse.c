/* SPDX-License-Identifier: MIT */
/*
 * From YAML to the values of directives. What nutcracker looks at is kept exactly: it refuses some tokens, then all
 * that is not pools of directives of which just one, whichever it is, has a list; and a list is as if its directive
 * stood there once for each element.
 */
#include "know/pool.h"

#include <string.h>

#include "know/pool_yaml.h"

struct parse {
	struct pool_reader *reader;
	const struct pool_yaml *yaml;
	const char *text;
	size_t len;
	yaml_parser_t parser;
	yaml_event_t event; /* the one looked at; YAML_NO_EVENT where there is no next one */
	unsigned depth;
	unsigned documents;
	size_t end; /* the events end there, in characters */
};

static unsigned line_of(yaml_mark_t mark)
{
	return (unsigned)mark.line + 1;
}

/* Where a pool ends is not known: the one that begins last before LINE. */
static const struct pool_draft *pool_at(const struct pool_reader *reader, unsigned line)
{
	size_t low = 0, high = reader->count;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (reader->draft[middle].pool.line <= line)
			low = middle + 1;
		else
			high = middle;
	}
	return low ? &reader->draft[low - 1] : NULL;
}

/* ---- errors of YAML itself ---- */

/* What cannot be decoded has an offset alone. */
static unsigned line_of_offset(const struct parse *p, size_t offset)
{
	unsigned line = 1;

	for (size_t i = 0; i < offset && i < p->len; i++)
		line += p->text[i] == '\n';
	return line;
}

static void syntax_error(struct parse *p, const yaml_parser_t *parser)
{
	unsigned line = line_of(parser->problem_mark);

	if (parser->error == YAML_MEMORY_ERROR)
		p->reader->no_memory = true;
	else if (parser->error == YAML_READER_ERROR)
		pool_mistake(p->reader, NULL, line_of_offset(p, parser->problem_offset), "not YAML: %s, at byte %zu",
			     parser->problem, parser->problem_offset);
	else if (parser->context)
		pool_mistake(p->reader, pool_at(p->reader, line), line, "not YAML: %s, at column %zu, %s from line %u",
			     parser->problem, parser->problem_mark.column + 1, parser->context,
			     line_of(parser->context_mark));
	else
		pool_mistake(p->reader, pool_at(p->reader, line), line, "not YAML: %s, at column %zu", parser->problem,
			     parser->problem_mark.column + 1);
}

static bool begin(struct parse *p)
{
	if (!p->yaml->parser_initialize(&p->parser)) {
		p->reader->no_memory = true;
		return false;
	}
	p->yaml->parser_set_input_string(&p->parser, (const unsigned char *)p->text, p->len);
	return true;
}

/* ---- events ---- */

static struct shard__text scalar(const struct parse *p)
{
	return (struct shard__text){(const char *)p->event.data.scalar.value, p->event.data.scalar.length};
}

static void drop_event(struct parse *p)
{
	/* It may be a password. */
	if (p->event.type == YAML_SCALAR_EVENT)
		explicit_bzero(p->event.data.scalar.value, p->event.data.scalar.length);
	p->yaml->event_delete(&p->event);
}

static void cut(struct parse *p, yaml_mark_t mark)
{
	drop_event(p);
	p->end = mark.index;
	p->reader->cut = true;
}

static unsigned here(const struct parse *p)
{
	return line_of(p->event.start_mark);
}

/* All that is above 3 is wrong; libyaml's time grows with the depth, squared. */
#define DEPTH_MAX 16

static void count_depth(struct parse *p)
{
	yaml_event_type_t type = p->event.type;

	if (type == YAML_MAPPING_END_EVENT || type == YAML_SEQUENCE_END_EVENT)
		p->depth--;
	else if (type == YAML_MAPPING_START_EVENT || type == YAML_SEQUENCE_START_EVENT)
		p->depth++;
	if (p->depth <= DEPTH_MAX)
		return;
	pool_mistake(p->reader, pool_at(p->reader, here(p)), here(p),
		     "has a depth greater than 2: it is %u, and what follows has not been looked at", p->depth);
	cut(p, p->event.start_mark);
}

static yaml_event_type_t next(struct parse *p)
{
	drop_event(p);
	if (p->reader->cut)
		return YAML_NO_EVENT;
	if (!p->yaml->parser_parse(&p->parser, &p->event)) {
		syntax_error(p, &p->parser);
		/* What cannot be decoded has no mark of its own. */
		cut(p, p->parser.error == YAML_READER_ERROR ? p->parser.mark : p->parser.problem_mark);
	} else if (p->reader->more) {
		cut(p, p->event.start_mark);
	} else {
		count_depth(p);
	}
	return p->event.type;
}

/* Goes to the last event of the node whose first is looked at. */
static void skip(struct parse *p)
{
	unsigned depth = 0;

	do {
		if (p->event.type == YAML_MAPPING_START_EVENT || p->event.type == YAML_SEQUENCE_START_EVENT)
			depth++;
		if (p->event.type == YAML_MAPPING_END_EVENT || p->event.type == YAML_SEQUENCE_END_EVENT)
			depth--;
	} while (depth && next(p) != YAML_NO_EVENT);
}

static void skip_next(struct parse *p)
{
	if (next(p) != YAML_NO_EVENT)
		skip(p);
}

static bool is_end(yaml_event_type_t type)
{
	return type == YAML_NO_EVENT || type == YAML_MAPPING_END_EVENT || type == YAML_SEQUENCE_END_EVENT;
}

/* ---- a pool ---- */

/* What is no text. Of an alias the tokens tell. */
static void refuse_value(struct parse *p, struct pool_draft *pool, int directive)
{
	const char *name = pool_directive_name(directive);

	pool->bad[directive] = true;
	if (!pool->seen[directive])
		pool->seen[directive] = here(p);
	if (p->event.type == YAML_MAPPING_START_EVENT)
		pool_mistake(
			p->reader, pool, here(p),
			"has a depth greater than 2: directive \"%s\" cannot hold \"key: value\"; is there a space "
			"behind a colon?",
			name);
	else if (p->event.type == YAML_SEQUENCE_START_EVENT)
		pool_mistake(p->reader, pool, here(p),
			     "has more than one sequence directive: directive \"%s\" has a list in its list", name);
}

/* DIRECTIVE is -1 where it is unknown, which has been told. */
static void take_value(struct parse *p, struct pool_draft *pool, int directive)
{
	if (directive >= 0 && p->event.type == YAML_SCALAR_EVENT)
		pool_directive_set(p->reader, pool, directive, scalar(p), here(p));
	else if (directive >= 0)
		refuse_value(p, pool, directive);
	skip(p);
}

static void take_list(struct parse *p, struct pool_draft *pool, int directive)
{
	if (pool->list)
		pool_mistake(p->reader, pool, here(p),
			     "has more than one sequence directive: there is a list on line %u, and only one is "
			     "allowed, that of the servers",
			     pool->list);
	else
		pool->list = here(p);
	while (!is_end(next(p)))
		take_value(p, pool, directive);
}

static void take_directive(struct parse *p, struct pool_draft *pool)
{
	int directive;

	if (p->event.type != YAML_SCALAR_EVENT) {
		pool_mistake(p->reader, pool, here(p), "has invalid \"key:value\" at depth 2: a key is a word");
		skip(p);
		skip_next(p);
		return;
	}
	directive = pool_directive_find(scalar(p));
	if (directive < 0)
		pool_directive_unknown(p->reader, pool, scalar(p), here(p));
	if (next(p) == YAML_SEQUENCE_START_EVENT)
		take_list(p, pool, directive);
	else if (p->event.type != YAML_NO_EVENT)
		take_value(p, pool, directive);
}

static void take_pool(struct parse *p)
{
	struct shard__text name = scalar(p);
	struct pool_draft *pool = pool_reader_add(p->reader, name, here(p));
	yaml_event_type_t type;

	if (!pool) {
		skip_next(p);
		return;
	}
	if (!name.len)
		pool_mistake(p->reader, NULL, here(p), "a pool has no name");
	else if (memchr(name.at, 0, name.len))
		pool_mistake(p->reader, pool, here(p), "its name has a NUL byte in it");
	type = next(p);
	if (type == YAML_MAPPING_START_EVENT) {
		while (!is_end(next(p)))
			take_directive(p, pool);
	} else if (type != YAML_NO_EVENT) {
		pool->broken = true;
		pool_mistake(p->reader, pool, pool->pool.line,
			     "has invalid mapping \"key:\" at depth 1: below it, indented, stand its directives, "
			     "\"key: value\" each");
		skip(p);
	}
}

/* ---- the file ---- */

static void take_root(struct parse *p)
{
	if (p->event.type != YAML_MAPPING_START_EVENT) {
		pool_mistake(p->reader, NULL, here(p),
			     "has no \"key:\" at depth 0: a file is pools, \"NAME:\" and below it, indented, their "
			     "directives");
		skip(p);
		return;
	}
	while (!is_end(next(p))) {
		if (p->event.type == YAML_SCALAR_EVENT) {
			take_pool(p);
			continue;
		}
		pool_mistake(p->reader, NULL, here(p), "has invalid \"key:value\" at depth 1: a pool's name is a word");
		skip(p);
		skip_next(p);
	}
}

static void parse_events(struct parse *p)
{
	if (!begin(p))
		return;
	p->event.type = YAML_NO_EVENT;
	while (next(p) != YAML_NO_EVENT && p->event.type != YAML_STREAM_END_EVENT) {
		if (p->event.type == YAML_STREAM_START_EVENT || p->event.type == YAML_DOCUMENT_END_EVENT)
			continue;
		if (p->event.type != YAML_DOCUMENT_START_EVENT)
			take_root(p);
		else if (++p->documents > 1)
			pool_mistake(p->reader, NULL, here(p), "must contain only 1 document; this is number %u",
				     p->documents);
	}
	if (!p->documents && !p->reader->cut)
		pool_mistake(p->reader, NULL, 1, "must contain only 1 document; found 0 documents: it is empty");
	drop_event(p);
	p->yaml->parser_delete(&p->parser);
}

/* ---- tokens ---- */

static const struct {
	yaml_token_type_t type;
	const char *name, *instead;
} refused[] = {
	{YAML_VERSION_DIRECTIVE_TOKEN, "version directive", "leave out the line \"%YAML\""},
	{YAML_TAG_DIRECTIVE_TOKEN, "tag directive", "leave out the line \"%TAG\""},
	{YAML_DOCUMENT_START_TOKEN, "document start", "leave out the line \"---\""},
	{YAML_DOCUMENT_END_TOKEN, "document end", "leave out the line \"...\""},
	{YAML_FLOW_SEQUENCE_START_TOKEN, "flow sequence start",
	 "write a list as lines \"- ELEMENT\", or quote the \"[\""},
	{YAML_FLOW_MAPPING_START_TOKEN, "flow mapping start",
	 "write a line for each \"key: value\", or quote the \"{\""},
	{YAML_ALIAS_TOKEN, "alias", "write out what it stands for, or quote the \"*\""},
	{YAML_ANCHOR_TOKEN, "anchor", "leave it out, or quote the \"&\""},
	{YAML_TAG_TOKEN, "tag", "leave it out, or quote the \"!\""},
};

static void check_token(struct parse *p, const yaml_token_t *token)
{
	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
		if (refused[i].type == token->type)
			pool_mistake(p->reader, pool_at(p->reader, line_of(token->start_mark)),
				     line_of(token->start_mark), "%s token is disallowed: %s", refused[i].name,
				     refused[i].instead);
}

static void drop_token(struct parse *p, yaml_token_t *token)
{
	if (token->type == YAML_SCALAR_TOKEN)
		explicit_bzero(token->data.scalar.value, token->data.scalar.length);
	p->yaml->token_delete(token);
}

/* What the events do not show. Where the scanner fails, the events have told it. */
static void parse_tokens(struct parse *p)
{
	yaml_token_type_t type = YAML_NO_TOKEN;
	yaml_token_t token;

	if (!begin(p))
		return;
	do {
		if (!p->yaml->parser_scan(&p->parser, &token)) {
			p->reader->no_memory |= p->parser.error == YAML_MEMORY_ERROR;
			break;
		}
		type = token.type;
		if (token.start_mark.index > p->end || p->reader->more)
			type = YAML_NO_TOKEN;
		else
			check_token(p, &token);
		drop_token(p, &token);
	} while (type != YAML_STREAM_END_TOKEN && type != YAML_NO_TOKEN);
	p->yaml->parser_delete(&p->parser);
}

void pool_parse(struct pool_reader *reader, const struct pool_yaml *yaml, const char *text, size_t len)
{
	struct parse p = {.reader = reader, .yaml = yaml, .text = len ? text : "", .len = len, .end = SIZE_MAX};

	parse_events(&p);
	parse_tokens(&p);
}
