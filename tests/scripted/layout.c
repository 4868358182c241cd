/* SPDX-License-Identifier: MIT */
/* Replies of CLUSTER SLOTS from a line of text. */
#include "scripted.h"
#include "node.h"

int slots_style = 7;

static char *world_layout;

static void add(struct buffer *out, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void add(struct buffer *out, const char *format, ...)
{
	char text[512];
	va_list args;
	int len;

	va_start(args, format);
	len = vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	buffer_add(out, text, len);
}

static void add_bulk(struct buffer *out, const char *text)
{
	if (strcmp(text, "nil") == 0)
		add(out, "$-1\r\n");
	else
		add(out, "$%zu\r\n%s\r\n", strlen(text), text);
}

/* "n0", "n0@host", "n0@host:port" */
static void add_node(struct buffer *out, const char *token)
{
	int index = token[1] - '0', at_port;
	const char *at = strchr(token, '@');
	char host[128] = "127.0.0.1", id[41], *colon;

	if (token[0] != 'n' || index < 0 || index >= NODES)
		blame(__FILE__, __LINE__, "a layout names the node '%s'", token);
	at_port = port(&nodes[index]);
	if (at) {
		snprintf(host, sizeof(host), "%s", at + 1);
		colon = strrchr(host, ':');
		if (colon) {
			at_port = atoi(colon + 1);
			*colon = '\0';
		}
	}
	add(out, "*%d\r\n", slots_style < 4 ? 2 : slots_style < 7 ? 3 : 4);
	add_bulk(out, host);
	add(out, ":%d\r\n", at_port);
	snprintf(id, sizeof(id), "%040d", index + 1);
	if (slots_style >= 4)
		add_bulk(out, id);
	if (slots_style >= 7)
		add(out, "*0\r\n");
}

static void add_range(struct buffer *out, char *text)
{
	struct buffer members = {0};
	char *save, *token = strtok_r(text, " ", &save);
	int first = 0, last = 0, count = 0;

	if (!token || sscanf(token, "%d-%d", &first, &last) != 2)
		blame(__FILE__, __LINE__, "a layout has no range in '%s'", text);
	for (token = strtok_r(NULL, " ", &save); token; token = strtok_r(NULL, " ", &save), count++)
		add_node(&members, token);
	add(out, "*%d\r\n:%d\r\n:%d\r\n", 2 + count, first, last);
	buffer_add(out, members.bytes, members.len);
	free(members.bytes);
}

char *slots_reply(const char *layout_text, size_t *len)
{
	struct buffer body = {0}, out = {0};
	char *copy = strdup(layout_text), *save, *range;
	int count = 0;

	for (range = strtok_r(copy, ";", &save); range; range = strtok_r(NULL, ";", &save)) {
		range += strspn(range, " ");
		if (*range) {
			add_range(&body, range);
			count++;
		}
	}
	add(&out, "*%d\r\n", count);
	buffer_add(&out, body.bytes, body.len);
	*len = out.len;
	buffer_add(&out, "", 1);
	free(body.bytes);
	free(copy);
	return out.bytes;
}

const char *slots(const char *text)
{
	static char *reply;
	size_t len;

	free(reply);
	reply = slots_reply(text, &len);
	return reply;
}

const char *bulk(const char *text)
{
	static char *reply;

	free(reply);
	if (asprintf(&reply, "$%zu\r\n%s\r\n", strlen(text), text) < 0)
		abort();
	return reply;
}

const char *node_layout_of(const struct node *node)
{
	return node->layout ? node->layout : world_layout ? world_layout : "";
}

void layout(const char *text)
{
	char *copy = strdup(text);

	free(world_layout);
	world_layout = copy;
}

void node_layout(struct node *node, const char *text)
{
	free(node->layout);
	node->layout = text ? strdup(text) : NULL;
}

void layout_reset(void)
{
	free(world_layout);
	world_layout = NULL;
	slots_style = 7;
}

/* ---- the same as a topology ---- */

/* Just enough RESP for what slots_reply() makes. */
static const char *read_value(const char *p, shard_reply *value)
{
	char mark = *p++;
	long n = strtol(p, (char **)&p, 10);
	shard_reply *elements;

	p += 2;
	*value = (shard_reply){.type = SHARD_REPLY_NIL};
	if (mark == ':') {
		value->type = SHARD_REPLY_INTEGER;
		value->integer = n;
	} else if (mark == '$' && n >= 0) {
		*value = (shard_reply){.type = SHARD_REPLY_STRING, .len = n, .str = strndup(p, n)};
		p += n + 2;
	} else if (mark == '*') {
		elements = calloc(n + 1, sizeof(*elements));
		for (long i = 0; i < n; i++)
			p = read_value(p, &elements[i]);
		*value = (shard_reply){.type = SHARD_REPLY_ARRAY, .len = n, .element = elements};
	}
	return p;
}

static void free_value(const shard_reply *value)
{
	if (value->type == SHARD_REPLY_STRING)
		free((char *)value->str);
	if (value->type != SHARD_REPLY_ARRAY)
		return;
	for (size_t i = 0; i < value->len; i++)
		free_value(&value->element[i]);
	free((shard_reply *)value->element);
}

shard_topology *topology(const char *text)
{
	shard_topology *map = NULL;
	const char *why = "";
	shard_reply reply;
	size_t len;
	char *bytes = slots_reply(text, &len);

	read_value(bytes, &reply);
	if (shard_topology_from_slots(&reply, "127.0.0.1", n0->port, &map, &why) != SHARD_OK)
		blame(__FILE__, __LINE__, "the layout '%s' is refused: %s", text, why);
	free_value(&reply);
	free(bytes);
	return map;
}
