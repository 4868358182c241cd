/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "scripted.h"
#include "node.h"

struct node nodes[NODES];
struct node *n0 = &nodes[0], *n1 = &nodes[1], *n2 = &nodes[2], *n3 = &nodes[3], *n4 = &nodes[4], *n5 = &nodes[5];

char not_yet[1];

static int epfd = -1;
static uint64_t commands_heard;
static char complaint[256];

void buffer_add(struct buffer *buffer, const void *bytes, size_t len)
{
	if (buffer->len + len > buffer->room) {
		buffer->room = (buffer->len + len) * 2;
		buffer->bytes = realloc(buffer->bytes, buffer->room);
	}
	if (len > 0)
		memcpy(buffer->bytes + buffer->len, bytes, len);
	buffer->len += len;
}

static void buffer_drop(struct buffer *buffer, size_t len)
{
	if (len > 0)
		memmove(buffer->bytes, buffer->bytes + len, buffer->len - len);
	buffer->len -= len;
}

void quote(const void *bytes, size_t len, char *text, size_t size)
{
	const unsigned char *p = bytes;
	size_t at = 0;

	for (size_t i = 0; i < len && at + 8 < size; i++) {
		if (p[i] == '\r')
			at += snprintf(text + at, size - at, "\\r");
		else if (p[i] == '\n')
			at += snprintf(text + at, size - at, "\\n");
		else if (p[i] < ' ' || p[i] > '~')
			at += snprintf(text + at, size - at, "\\x%02x", p[i]);
		else
			text[at++] = (char)p[i];
		if (at > 160) {
			at += snprintf(text + at, size - at, "...");
			break;
		}
	}
	text[at] = '\0';
}

/* ---- commands ---- */

static void command_free(struct command *command)
{
	for (int i = 0; i < command->argc; i++)
		free(command->argv[i]);
	free(command->argv);
	free(command->lens);
	free(command);
}

void command_print(const struct command *command, char *text, size_t size)
{
	size_t at = 0;

	text[0] = '\0';
	for (int i = 0; i < command->argc && at + 2 < size; i++) {
		if (i > 0)
			text[at++] = ' ';
		quote(command->argv[i], command->lens[i], text + at, size - at);
		at += strlen(text + at);
	}
}

/* A decimal number and CRLF: its length in bytes, 0 when there is more to come, -1 when it is no such thing. */
static int number_line(const char *bytes, size_t len, char mark, long *number)
{
	const char *end = memchr(bytes, '\n', len);
	char *stop;

	if (len > 0 && bytes[0] != mark)
		return -1;
	if (!end)
		return len > 32 ? -1 : 0;
	*number = strtol(bytes + 1, &stop, 10);
	return stop == bytes + 1 || stop[0] != '\r' || stop + 1 != end || *number < 0 ? -1 : (int)(end + 1 - bytes);
}

/* One command at the head of BYTES: its length, 0: not whole, -1: no command. */
static long command_parse(const char *bytes, size_t len, struct command *command)
{
	long count, size;
	int step = number_line(bytes, len, '*', &count);
	size_t at = step;

	if (step <= 0 || count < 1)
		return step <= 0 ? step : -1;
	command->argv = calloc(count, sizeof(*command->argv));
	command->lens = calloc(count, sizeof(*command->lens));
	while (command->argc < count) {
		step = number_line(bytes + at, len - at, '$', &size);
		if (step <= 0)
			return step;
		at += step;
		if (len - at < (size_t)size + 2)
			return 0;
		if (memcmp(bytes + at + size, "\r\n", 2) != 0)
			return -1;
		command->argv[command->argc] = calloc(1, size + 1);
		memcpy(command->argv[command->argc], bytes + at, size);
		command->lens[command->argc++] = size;
		at += size + 2;
	}
	return (long)at;
}

static void history_add(struct node *node, const struct command *command)
{
	char text[1024];

	command_print(command, text, sizeof(text));
	note("%s#%u hears %s", node->name, command->connection, text);
	if (node->history_len == node->history_room) {
		node->history_room = node->history_room * 2 + 64;
		node->history = realloc(node->history, node->history_room * sizeof(*node->history));
	}
	node->history[node->history_len++] = strdup(text);
}

static void hear(struct connection *connection)
{
	for (;;) {
		struct command *command = calloc(1, sizeof(*command));
		long len = connection->in.len ? command_parse(connection->in.bytes, connection->in.len, command) : 0;

		if (len < 0 && !complaint[0]) {
			char text[200];

			quote(connection->in.bytes, connection->in.len, text, sizeof(text));
			snprintf(complaint, sizeof(complaint), "%s#%u heard what is no command: %s",
				 connection->node->name, connection->number, text);
		}
		if (len <= 0) {
			command_free(command);
			return;
		}
		buffer_drop(&connection->in, len);
		command->from = connection;
		command->connection = connection->number;
		command->when = ++commands_heard;
		*connection->end = command;
		connection->end = &command->next;
		history_add(connection->node, command);
	}
}

const char *nodes_complaint(void)
{
	return complaint[0] ? complaint : NULL;
}

void command_expected(struct command *command)
{
	struct node *node = command->from->node;

	command->expected = true;
	*node->told_end = command;
	node->told_end = &command->next_told;
	node->last = command->from;
	node->last_number = command->connection;
}

/* ---- connections ---- */

static void watch(struct connection *connection, int op)
{
	struct epoll_event event = {.data.ptr = connection};

	connection->events = EPOLLIN | (connection->out.len ? EPOLLOUT : 0);
	event.events = connection->events;
	epoll_ctl(epfd, op, connection->fd, &event);
}

/* Takes a connection's commands out of those that are to be answered. */
static void untell(struct connection *connection)
{
	struct node *node = connection->node;
	struct command **at = &node->told;

	while (*at) {
		if ((*at)->from == connection)
			*at = (*at)->next_told;
		else
			at = &(*at)->next_told;
	}
	node->told_end = at;
}

/* FORGET: nobody answers what was expected on it any more; else those answers are said to nobody. */
static void connection_close(struct connection *connection, bool forget)
{
	struct node *node = connection->node;
	struct command **at = &connection->first, *command;

	if (connection->fd < 0)
		return;
	close(connection->fd);
	connection->fd = -1;
	connection->in.len = connection->out.len = 0;
	if (forget)
		untell(connection);
	while ((command = *at)) {
		if (command->expected && !forget) {
			at = &command->next;
		} else {
			*at = command->next;
			command_free(command);
		}
	}
	connection->end = at;
	if (node->last == connection)
		node->last = NULL;
}

static void flush(struct connection *connection)
{
	ssize_t n;

	while (connection->fd >= 0 && connection->out.len > 0) {
		n = send(connection->fd, connection->out.bytes, connection->out.len, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0)
			break;
		buffer_drop(&connection->out, n);
	}
	if (connection->fd >= 0 && !!(connection->events & EPOLLOUT) != (connection->out.len > 0))
		watch(connection, EPOLL_CTL_MOD);
}

static void send_bytes(struct connection *connection, const void *bytes, size_t len)
{
	char text[256];

	quote(bytes, len, text, sizeof(text));
	note("%s#%u says %s%s", connection->node->name, connection->number, text,
	     connection->fd < 0 ? " (to a closed connection)" : "");
	if (connection->fd < 0)
		return;
	buffer_add(&connection->out, bytes, len);
	flush(connection);
}

static struct rule *rule_for(struct node *node, const struct command *command);
static bool rule_answer(struct rule *rule, struct node *node, struct command *command);

/* Answers by rule whatever stands at the head. */
static void answer_by_rules(struct connection *connection)
{
	while (connection->fd >= 0 && connection->first && !connection->first->expected) {
		struct command *command = connection->first;
		struct rule *rule = rule_for(connection->node, command);

		if (!rule || rule->manual || !rule_answer(rule, connection->node, command))
			return;
		connection->first = command->next;
		if (!connection->first)
			connection->end = &connection->first;
		command_free(command);
	}
}

static void connection_ready(struct connection *connection, uint32_t events)
{
	char bytes[65536];
	ssize_t n;

	if (events & EPOLLOUT)
		flush(connection);
	if (!(events & ~EPOLLOUT))
		return;
	connection->node->reads++;
	while ((n = recv(connection->fd, bytes, sizeof(bytes), MSG_DONTWAIT)) > 0)
		buffer_add(&connection->in, bytes, n);
	hear(connection);
	answer_by_rules(connection);
	if (connection->fd >= 0 && (n == 0 || (n < 0 && errno != EAGAIN))) {
		note("%s#%u is closed by the client", connection->node->name, connection->number);
		connection_close(connection, false);
	}
}

static void accept_one(struct listener *listener)
{
	struct node *node = listener->node;
	struct connection *connection;
	int fd = accept4(listener->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC), one = 1;

	if (fd < 0)
		return;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	connection = calloc(1, sizeof(*connection));
	connection->node = node;
	connection->fd = fd;
	connection->end = &connection->first;
	connection->number = ++node->accepted;
	connection->next = node->connections;
	node->connections = connection;
	watch(connection, EPOLL_CTL_ADD);
	note("%s#%u is open", node->name, connection->number);
}

/* ---- listening ---- */

static bool is_listener(const void *p)
{
	for (int i = 0; i < NODES; i++)
		if (p == &nodes[i].listener || p == &nodes[i].listener6 || p == &nodes[i].listener_unix)
			return true;
	return false;
}

static int bind_to(int family, uint16_t *at_port)
{
	struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
	struct sockaddr *to = family == AF_INET ? (struct sockaddr *)&v4 : (struct sockaddr *)&v6;
	socklen_t len = family == AF_INET ? sizeof(v4) : sizeof(v6);
	int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), one = 1;

	if (fd < 0)
		return -1;
	v4.sin_port = v6.sin6_port = htons(*at_port);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, to, len) < 0 || getsockname(fd, to, &len) < 0) {
		close(fd);
		return -1;
	}
	*at_port = ntohs(family == AF_INET ? v4.sin_port : v6.sin6_port);
	return fd;
}

static int listen_on(struct listener *listener, int fd)
{
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = listener};

	listener->fd = fd;
	if (fd < 0 || listen(fd, 128) < 0)
		return -1;
	return epoll_ctl(epfd, EPOLL_CTL_ADD, fd, &event);
}

static void fillers_close(struct node *node)
{
	for (size_t i = 0; i < sizeof(node->fillers) / sizeof(node->fillers[0]); i++) {
		if (node->fillers[i] > 0)
			close(node->fillers[i]);
		node->fillers[i] = 0;
	}
}

/* The port stays ours, so that nobody else answers there: bound, and not listening. */
static void listener_quiet(struct node *node)
{
	fillers_close(node);
	if (node->listener.fd >= 0)
		close(node->listener.fd);
	node->listener.fd = bind_to(AF_INET, &node->port);
	if (node->listener.fd < 0)
		blame(__FILE__, __LINE__, "cannot bind port %d again: %s", node->port, strerror(errno));
}

void node_down(struct node *node)
{
	note("%s is down", node->name);
	listener_quiet(node);
	hang_up_all(node);
}

void node_up(struct node *node)
{
	note("%s is up", node->name);
	listener_quiet(node);
	listen_on(&node->listener, node->listener.fd);
}

/* A queue of one, full: further SYNs are dropped. */
void node_deaf(struct node *node)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};

	note("%s is deaf", node->name);
	listener_quiet(node);
	to.sin_port = htons(node->port);
	listen(node->listener.fd, 0);
	for (size_t i = 0; i < sizeof(node->fillers) / sizeof(node->fillers[0]); i++) {
		node->fillers[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		if (connect(node->fillers[i], (struct sockaddr *)&to, sizeof(to)) < 0 && errno != EINPROGRESS)
			blame(__FILE__, __LINE__, "cannot fill the queue of port %d: %s", node->port, strerror(errno));
	}
}

const char *unix_path(struct node *node)
{
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	const char *dir = getenv("TMPDIR");
	int fd;

	if (node->path[0])
		return node->path;
	snprintf(node->path, sizeof(node->path), "%s/shard-scripted-%d-%s.sock", dir && strlen(dir) < 60 ? dir : "/tmp",
		 (int)getpid(), node->name);
	unlink(node->path);
	memcpy(to.sun_path, node->path, sizeof(to.sun_path));
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (bind(fd, (struct sockaddr *)&to, sizeof(to)) < 0 || listen_on(&node->listener_unix, fd) < 0)
		blame(__FILE__, __LINE__, "cannot listen on %s: %s", node->path, strerror(errno));
	return node->path;
}

int port6(struct node *node)
{
	if (!node->port6) {
		int fd = bind_to(AF_INET6, &node->port6);

		if (listen_on(&node->listener6, fd) < 0)
			node->port6 = 0;
	}
	return node->port6;
}

int number(const struct node *node)
{
	return (int)(node - nodes);
}

int port(const struct node *node)
{
	return node->port;
}

const char *addr(const struct node *node)
{
	return node->addr;
}

/* ---- rules ---- */

/* Whether TEXT begins with PATTERN's words. */
static bool begins(const char *text, const char *pattern)
{
	size_t len = strlen(pattern);

	return strncasecmp(text, pattern, len) == 0 && (text[len] == '\0' || text[len] == ' ' || len == 0);
}

static struct rule *rule_for(struct node *node, const struct command *command)
{
	char text[512];

	command_print(command, text, sizeof(text));
	for (struct rule *rule = node->rules; rule; rule = rule->next)
		if (begins(text, rule->pattern))
			return rule;
	return NULL;
}

/* False: not yet, or the node hung up and COMMAND is gone. */
static bool rule_answer(struct rule *rule, struct node *node, struct command *command)
{
	struct connection *connection = command->from;
	size_t len = 0;
	char *reply;

	if (rule->slots) {
		reply = slots_reply(node_layout_of(node), &len);
	} else if (rule->function) {
		reply = rule->function(rule->ctx, node, command);
		if (reply == not_yet)
			return false;
		len = reply ? strlen(reply) : 0;
	} else {
		reply = strdup(rule->reply);
		len = strlen(reply);
	}
	if (!reply) {
		note("%s#%u hangs up", node->name, connection->number);
		connection_close(connection, true);
		return false;
	}
	send_bytes(connection, reply, len);
	free(reply);
	return true;
}

static struct rule *rule_add(struct node *node, const char *pattern)
{
	struct rule *rule = calloc(1, sizeof(*rule));

	rule->pattern = strdup(pattern);
	rule->next = node->rules;
	node->rules = rule;
	return rule;
}

void on_call(struct node *node, const char *pattern, rule_function function, void *ctx)
{
	struct rule *rule;

	if (!node) {
		for (int i = 0; i < NODES; i++)
			on_call(&nodes[i], pattern, function, ctx);
		return;
	}
	rule = rule_add(node, pattern);
	rule->function = function;
	rule->ctx = ctx;
}

void on(struct node *node, const char *pattern, const char *reply)
{
	struct rule *rule;

	if (!node) {
		for (int i = 0; i < NODES; i++)
			on(&nodes[i], pattern, reply);
		return;
	}
	rule = rule_add(node, pattern);
	rule->manual = !reply;
	rule->reply = reply ? strdup(reply) : NULL;
}

void rules_default(struct node *node)
{
	on(node, "CLUSTER", "-ERR Unknown subcommand or wrong number of arguments\r\n");
	rule_add(node, "CLUSTER SLOTS")->slots = true;
	on(node, "READONLY", "+OK\r\n");
	on(node, "READWRITE", "+OK\r\n");
	on(node, "SELECT", "+OK\r\n");
	on(node, "AUTH", "+OK\r\n");
}

int words(const struct command *command)
{
	return command->argc;
}

const char *word(const struct command *command, int i)
{
	return i < command->argc ? command->argv[i] : "";
}

unsigned connection_of(const struct command *command)
{
	return command->connection;
}

void interject(const struct command *command, const void *bytes, size_t len)
{
	send_bytes(command->from, bytes, len);
}

/* ---- all of them ---- */

int nodes_open(void)
{
	epfd = epoll_create1(EPOLL_CLOEXEC);
	complaint[0] = '\0';
	for (int i = 0; i < NODES; i++) {
		struct node *node = &nodes[i];

		memset(node, 0, sizeof(*node));
		snprintf(node->name, sizeof(node->name), "n%d", i);
		node->told_end = &node->told;
		node->listener = node->listener6 = node->listener_unix = (struct listener){.node = node, .fd = -1};
		if (listen_on(&node->listener, bind_to(AF_INET, &node->port)) < 0)
			return -1;
		snprintf(node->addr, sizeof(node->addr), "127.0.0.1:%d", node->port);
		rules_default(node);
	}
	return 0;
}

static void connection_free(struct connection *connection)
{
	struct command *next;

	for (struct command *command = connection->first; command; command = next) {
		next = command->next;
		command_free(command);
	}
	free(connection->in.bytes);
	free(connection->out.bytes);
	free(connection);
}

static void node_free(struct node *node)
{
	struct connection *connection;
	struct rule *rule;
	int fds[3] = {node->listener.fd, node->listener6.fd, node->listener_unix.fd};

	for (connection = node->connections; connection; connection = connection->next)
		connection_close(connection, true);
	node->told = NULL; /* those of connections that the client had closed */
	while ((connection = node->connections)) {
		node->connections = connection->next;
		connection_free(connection);
	}
	while ((rule = node->rules)) {
		node->rules = rule->next;
		free(rule->pattern);
		free(rule->reply);
		free(rule);
	}
	for (size_t i = 0; i < node->history_len; i++)
		free(node->history[i]);
	free(node->history);
	free(node->layout);
	fillers_close(node);
	for (int i = 0; i < 3; i++)
		if (fds[i] >= 0)
			close(fds[i]);
	if (node->path[0])
		unlink(node->path);
}

void nodes_close(void)
{
	for (int i = 0; i < NODES; i++)
		node_free(&nodes[i]);
	memset(nodes, 0, sizeof(nodes));
	if (epfd >= 0)
		close(epfd);
	epfd = -1;
}

int nodes_fd(void)
{
	return epfd;
}

void nodes_step(void)
{
	struct epoll_event events[64];
	int count = epoll_wait(epfd, events, 64, 0);

	for (int i = 0; i < count; i++) {
		struct connection *connection = events[i].data.ptr;

		if (is_listener(connection))
			accept_one(events[i].data.ptr);
		else if (connection->fd >= 0)
			connection_ready(connection, events[i].events);
	}
	/* A rule may have changed since a command came. */
	for (int i = 0; i < NODES; i++)
		for (struct connection *c = nodes[i].connections; c; c = c->next)
			answer_by_rules(c);
}

struct command *node_unexpected(const struct node *node)
{
	struct command *oldest = NULL;

	for (int i = 0; i < NODES; i++) {
		if (node && node != &nodes[i])
			continue;
		for (struct connection *c = nodes[i].connections; c; c = c->next) {
			struct command *command = c->first;

			for (; command; command = command->next) {
				struct rule *rule = command->expected ? NULL : rule_for(&nodes[i], command);

				if (!command->expected && (!rule || rule->manual))
					break;
			}
			if (command && (!oldest || command->when < oldest->when))
				oldest = command;
		}
	}
	return oldest;
}

/* ---- what tests say ---- */

static struct command *answered(struct node *node)
{
	struct command *command = node->told;

	if (!command)
		blame(__FILE__, __LINE__, "%s is to answer, but nothing was expected", node->name);
	if (command->from->fd >= 0 && command->from->first != command)
		blame(__FILE__, __LINE__, "%s is to answer out of order", node->name);
	return command;
}

static void answer_done(struct node *node, struct command *command)
{
	struct connection *connection = command->from;
	struct command **at = &connection->first;

	node->told = command->next_told;
	if (!node->told)
		node->told_end = &node->told;
	while (*at != command)
		at = &(*at)->next;
	*at = command->next;
	if (!*at)
		connection->end = at;
	command_free(command);
	answer_by_rules(connection);
}

void say_part(struct node *node, const void *bytes, size_t len)
{
	send_bytes(answered(node)->from, bytes, len);
}

void say_bytes(struct node *node, const void *bytes, size_t len)
{
	struct command *command = answered(node);

	send_bytes(command->from, bytes, len);
	answer_done(node, command);
}

void say(struct node *node, const char *format, ...)
{
	va_list args;
	char *text;
	int len;

	va_start(args, format);
	len = vasprintf(&text, format, args);
	va_end(args);
	say_bytes(node, text, len);
	free(text);
}

void blurt(struct node *node, const char *format, ...)
{
	va_list args;
	char *text;
	int len;

	va_start(args, format);
	len = vasprintf(&text, format, args);
	va_end(args);
	if (node->last)
		send_bytes(node->last, text, len);
	free(text);
}

void forget(struct node *node)
{
	for (struct connection *c = node->connections; c; c = c->next)
		if (c->fd < 0)
			untell(c);
}

void hang_up(struct node *node)
{
	if (!node->last)
		return;
	note("%s#%u hangs up", node->name, node->last->number);
	connection_close(node->last, true);
}

void hang_up_all(struct node *node)
{
	note("%s hangs up all", node->name);
	for (struct connection *c = node->connections; c; c = c->next)
		connection_close(c, true);
}

unsigned heard(struct node *node, const char *pattern)
{
	unsigned count = 0;

	for (int i = 0; i < NODES; i++)
		for (size_t j = 0; (!node || node == &nodes[i]) && j < nodes[i].history_len; j++)
			count += begins(nodes[i].history[j], pattern);
	return count;
}

unsigned connection(struct node *node)
{
	return node->last_number;
}

unsigned connections(struct node *node)
{
	unsigned count = 0;

	for (struct connection *c = node->connections; c; c = c->next)
		count += c->fd >= 0;
	return count;
}

unsigned connections_ever(struct node *node)
{
	return node->accepted;
}

unsigned unanswered(struct node *node)
{
	unsigned count = 0;

	for (struct connection *c = node->connections; c; c = c->next)
		for (struct command *command = c->first; c->fd >= 0 && command; command = command->next)
			count++;
	return count;
}

unsigned reads(struct node *node)
{
	return node->reads;
}
