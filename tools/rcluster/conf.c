/* SPDX-License-Identifier: MIT */
#include "conf.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "cli.h"
#include "text.h"

#define KEY_MAX 64
#define VALUE_MAX 4096

static const struct {
	const char *key; /* one that ends in '-': all that begin so */
	const char *why;
} refused[] = {
	{"port", "--port sets it"},
	{"bind", "--bind sets it"},
	{"dir", "--dir sets it"},
	{"daemonize", "rcluster itself keeps nodes in the background"},
	{"supervised", "rcluster itself keeps nodes in the background"},
	{"unixsocket", "each node would take it from the one before"},
	{"logfile", "rcluster tail reads the log where it is"},
	{"pidfile", "rcluster keeps one of its own"},
	{"include", "a file of others may set anything"},
	{"cluster-enabled", "it is a cluster"},
	{"cluster-config-file", "it is a file in each node's directory"},
	{"cluster-port", "bus ports are 10000 above the ports"},
	{"cluster-announce-", "local nodes are where they listen"},
	{"replicaof", "nodes of a cluster find their master themselves"},
	{"slaveof", "nodes of a cluster find their master themselves"},
	{"requirepass", "rcluster speaks to its nodes without a password"},
	{"user", "rcluster speaks to its nodes without a password"},
	{"aclfile", "rcluster speaks to its nodes without a password"},
	{"rename-command", "rcluster needs the commands by their names"},
	{"tls-", "rcluster speaks to its nodes without TLS"},
};

static void refuse(const char *key)
{
	for (size_t i = 0; i < sizeof(refused) / sizeof(*refused); i++) {
		size_t len = strlen(refused[i].key);
		bool prefix = refused[i].key[len - 1] == '-';

		if (prefix ? !strncasecmp(key, refused[i].key, len) : !strcasecmp(key, refused[i].key))
			cli_usage("--conf: %s cannot be set: %s", key, refused[i].why);
	}
}

char *conf_line(const char *arg)
{
	size_t len = strcspn(arg, "=");
	const char *value = arg + len + 1;
	char key[KEY_MAX];

	for (size_t i = 0; i < len; i++)
		if (!isalnum((unsigned char)arg[i]) && arg[i] != '-' && arg[i] != '_' && arg[i] != '.')
			cli_usage("--conf: %s does not begin with the name of a setting", arg);
	if (!len || !arg[len] || len >= sizeof(key))
		cli_usage("--conf: %s is not KEY=VALUE", text_shown(arg));
	snprintf(key, sizeof(key), "%.*s", (int)len, arg);
	refuse(key);
	if (strpbrk(value, "\r\n"))
		cli_usage("--conf: the value of %s holds the end of a line", key);
	if (strlen(value) > VALUE_MAX)
		cli_usage("--conf: the value of %s is longer than %d bytes", key, VALUE_MAX);
	return text("%s %s", key, *value ? value : "\"\"");
}
