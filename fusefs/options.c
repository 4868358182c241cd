/* SPDX-License-Identifier: MIT */
#define FUSE_USE_VERSION 312

#include "options.h"

#include <argp.h>
#include <limits.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <fuse_log.h>
#include <fuse_opt.h>

#include "cli.h"
#include "fstab.h"
#include "setting.h"

#define CACHE_SIZE ((size_t)64 << 20)
#define ID_MAX 4294967294 /* (uid_t)-1 is nobody's */

static bool debugging; /* -o debug */

/* libfuse writes a line in pieces. */
static void report(enum fuse_log_level level, const char *format, va_list args)
{
	static char line[512];
	size_t len = strlen(line);

	if (level > FUSE_LOG_WARNING) {
		if (debugging)
			vfprintf(stderr, format, args);
		return;
	}
	vsnprintf(line + len, sizeof(line) - len, format, args);
	char *end = strchr(line, '\n');
	if (!end)
		return;
	*end = '\0';
	cli_error("%s", strncmp(line, "fuse: ", 6) == 0 ? line + 6 : line);
	line[0] = '\0';
}

static const struct argp_option arguments[] = {
	{"foreground", 'f', NULL, 0, "Stay in the foreground, with errors of the background on stderr", 0},
	{"options", 'o', "OPTIONS", 0,
	 "Mount options, with commas: ro, allow_other, uid=N, gid=N, umask=OCTAL, ttl=keep|clear|SECONDS, "
	 "uri=URI, password_file=FILE, timeout=MS, sep=SEPARATOR, tree, scratch=keys|memory, cache=coherent|off|pages, "
	 "cache_size=MB, commit=auto|close|write, inotify, and libfuse's",
	 0},
	{0},
};

static const struct argp_child children[] = {{&cli_connect_argp, 0, NULL, 0}, {0}};

/* ---- -o ---- */

static void take_uid(struct options *options, const char *value)
{
	options->uid = (uid_t)cli_number("-o uid=", value, 0, ID_MAX);
}

static void take_gid(struct options *options, const char *value)
{
	options->gid = (gid_t)cli_number("-o gid=", value, 0, ID_MAX);
}

static void take_umask(struct options *options, const char *value)
{
	size_t len = strspn(value, "01234567");
	unsigned long mask = len && !value[len] ? strtoul(value, NULL, 8) : ULONG_MAX;

	if (mask > 0777)
		cli_usage("-o umask=: an octal number from 0 to 777 is wanted, not \"%s\"", value);
	options->umask = (mode_t)mask;
}

static void take_scratch(struct options *options, const char *value)
{
	options->scratch = strcmp(value, "memory") == 0;
	if (!options->scratch && strcmp(value, "keys") != 0)
		cli_usage("-o scratch=: keys or memory is wanted, not \"%s\"", value);
}

static void take_cache(struct options *options, const char *value)
{
	options->pages = strcmp(value, "pages") == 0;
	options->cache = options->pages || strcmp(value, "coherent") == 0;
	if (!options->cache && strcmp(value, "off") != 0)
		cli_usage("-o cache=: off, coherent or pages is wanted, not \"%s\"", value);
}

static void take_inotify(struct options *options, const char *value)
{
	options->inotify = true;
	if (*value)
		cli_usage("-o inotify: no value is wanted");
}

static void take_sep(struct options *options, const char *value)
{
	if (!*value)
		cli_usage("-o sep=: a separator is wanted, as in sep=:");
	if (strchr(value, '/'))
		cli_usage("-o sep=: a separator without / is wanted, not \"%s\"; -o tree is for keys with /", value);
	free(options->separator);
	options->separator = fstab_unescape(value);
}

static void take_tree(struct options *options, const char *value)
{
	if (*value)
		cli_usage("-o tree: no value is wanted");
	options->tree = true;
}

static void take_uri(struct options *options, const char *value)
{
	if (!*value)
		cli_usage("-o uri=: a value is wanted");
	free(options->connect.uri_text);
	options->connect.uri_text = fstab_unescape(value);
}

static void take_password_file(struct options *options, const char *value)
{
	if (!*value)
		cli_usage("-o password_file=: a value is wanted");
	free(options->password_file);
	options->password_file = fstab_unescape(value);
	options->connect.password_file = options->password_file;
}

static void take_max_read(struct options *options, const char *value)
{
	options->max_read = (unsigned)cli_number("-o max_read=", value, 0, UINT32_MAX);
}

static const struct {
	const char *name;
	void (*take)(struct options *options, const char *value);
} own_options[] = {
	{"uid", take_uid},         {"gid", take_gid},
	{"umask", take_umask},     {"cache", take_cache},
	{"scratch", take_scratch}, {"max_read", take_max_read},
	{"sep", take_sep},         {"tree", take_tree},
	{"uri", take_uri},         {"password_file", take_password_file},
	{"inotify", take_inotify},
};

/* Handed on to libfuse, which would complain only when the servers have been asked. */
static const char *const flags[] = {
	"ro",      "rw",     "suid",        "nosuid",     "dev",          "nodev",
	"exec",    "noexec", "async",       "sync",       "dirsync",      "atime",
	"noatime", "debug",  "allow_other", "allow_root", "auto_unmount", "default_permissions",
	NULL,
};
static const char *const texts[] = {"fsname", "subtype", "context", "fscontext", "defcontext", "rootcontext", NULL};

static bool is_one_of(const char *name, const char *const list[])
{
	while (*list && strcmp(*list, name) != 0)
		list++;
	return *list;
}

static void add(struct options *options, const char *option)
{
	if (fuse_opt_add_arg(options->mount, "-o") || fuse_opt_add_arg(options->mount, option)) {
		cli_error("out of memory");
		exit(CLI_FAILED);
	}
}

static bool take_own(struct options *options, const char *name, const char *value)
{
	const char *wanted = setting_known(name) ? setting_take(options, name, value) : NULL;

	if (wanted)
		cli_usage("-o %s=: %s is wanted, not \"%s\"", name, wanted, value);
	if (setting_known(name))
		return true;
	for (size_t i = 0; i < sizeof(own_options) / sizeof(*own_options); i++) {
		if (strcmp(own_options[i].name, name) == 0) {
			own_options[i].take(options, value);
			return true;
		}
	}
	return false;
}

/* VALUE: NULL where there is none. */
static void check_libfuses(const struct options *options, const char *name, const char *value)
{
	if (is_one_of(name, texts) && (!value || !*value))
		cli_usage("-o %s=: a value is wanted", name);
	else if (is_one_of(name, flags) && value)
		cli_usage("-o %s: no value is wanted", name);
	else if (is_one_of(name, texts) || is_one_of(name, flags))
		return;
	else if (options->connect.uri_text && strpbrk(name, "@:/."))
		cli_usage("-o uri=: a comma in the URI is written \\,"); /* what comes after one may be a password */
	else
		/* Its value stays untold: who mistakes the option may have given a secret. */
		cli_usage("-o %s: no such option", *name ? name : "\"\"");
}

/* One of the options between the commas. */
static void take_option(struct options *options, const char *text)
{
	char name[64];
	size_t len = strcspn(text, "=");
	const char *value = text[len] ? text + len + 1 : NULL;

	snprintf(name, sizeof(name), "%.*s", (int)(len < sizeof(name) ? len : sizeof(name) - 1), text);
	if (take_own(options, name, value ? value : "") || fstab_is_word(name))
		return;
	check_libfuses(options, name, value);
	/* What holds anyway; not every libfuse knows the word. */
	if (strcmp(name, "atime") != 0)
		add(options, text);
}

/* Options with commas between them; a backslash makes a comma part of a value. */
static void take_options(struct options *options, char *given)
{
	char *copy = strcpy(cli_alloc(strlen(given) + 1), given);

	for (char *text = copy, *end; *text; text = end) {
		end = fstab_option_end(text);
		if (*end)
			*end++ = '\0';
		if (*text)
			take_option(options, text);
	}
	explicit_bzero(copy, strlen(given));
	free(copy);
	fstab_mask(given);
}

/* Whether libfuse gets an option that begins so. */
static bool is_given(const struct options *options, const char *start)
{
	for (int i = 1; i < options->mount->argc; i++)
		if (strncmp(options->mount->argv[i], start, strlen(start)) == 0)
			return true;
	return false;
}

/* A comma would end it. */
static void add_fsname(struct options *options, const char *source)
{
	static const char name[] = "fsname=";
	char *option = cli_alloc(sizeof(name) + 2 * strlen(source)), *to = stpcpy(option, name);

	for (; *source; source++) {
		if (*source == ',' || *source == '\\')
			*to++ = '\\';
		*to++ = *source;
	}
	*to = '\0';
	add(options, option);
	free(option);
}

static void complete(struct options *options)
{
	options->allow_other = is_given(options, "allow_other");
	if (options->allow_other && is_given(options, "allow_root"))
		cli_usage("-o allow_other and allow_root exclude each other");
	if (options->inotify && !options->cache)
		cli_usage("-o inotify: what changes is not known with -o cache=off");
	if (options->inotify && is_given(options, "ro") && !is_given(options, "rw"))
		cli_usage("-o inotify: with -o ro the kernel tells of nothing");
	if (options->tree && options->separator)
		cli_usage("-o sep= and tree exclude each other");
	if (options->inotify && (options->tree || options->separator))
		cli_usage("-o inotify: events are made in one directory alone, not with -o sep= or tree");
	/* As with all file systems of libfuse. */
	debugging = is_given(options, "debug");
	options->foreground |= debugging;
	if (!is_given(options, "fsname="))
		add(options, "fsname=shardfs");
	if (!is_given(options, "subtype="))
		add(options, "subtype=shardfs");
	if (options->max_read) {
		char text[32];

		snprintf(text, sizeof(text), "max_read=%u", options->max_read);
		add(options, text);
	}
	if (options->tree)
		options->separator = strcpy(cli_alloc(2), "/");
	/* Who lets others in wants the modes to mean something. */
	if (options->allow_other)
		add(options, "default_permissions");
}

/* ---- the command line ---- */

/* What mount(8) gives before the mount point: it is to be found in the table of mounts again. */
static void take_source(struct options *options)
{
	char *source = options->source;

	if (!source)
		return;
	if (!fstab_is_uri(source) && !fstab_is_nothing(source))
		cli_usage("before the mount point only none or a URI may stand; a second mount point is one too many");
	if (fstab_is_uri(source)) {
		if (options->connect.uri_text)
			cli_usage("the servers are named twice: before the mount point, and with -u or -o uri=");
		take_uri(options, source);
		cli_mask_uri(source);
	}
	if (!is_given(options, "fsname="))
		add_fsname(options, source);
}

static error_t parse_argument(int key, char *arg, struct argp_state *state)
{
	struct options *options = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &options->connect;
		return 0;
	case 'f':
		options->foreground = true;
		return 0;
	case 'o':
		take_options(options, arg);
		return 0;
	case ARGP_KEY_ARG:
		if (options->source)
			cli_usage("one mount point is wanted, the second one is one too many");
		options->source = options->mountpoint;
		options->mountpoint = arg;
		return 0;
	case ARGP_KEY_END:
		if (!options->mountpoint)
			cli_usage("a mount point is wanted");
		take_source(options);
		return 0;
	}
	return ARGP_ERR_UNKNOWN;
}

static const struct argp parser = {
	.options = arguments,
	.parser = parse_argument,
	.args_doc = "[SOURCE] MOUNTPOINT",
	.doc = "Mounts a Redis or Valkey cluster, or a single server: every key is a file.",
	.children = children,
};

void options_parse(struct options *options, int argc, char *argv[])
{
	fuse_set_log_func(report);
	*options = (struct options){
		.uid = getuid(), .gid = getgid(), .umask = 077, .cache = true, .cache_size = CACHE_SIZE};
	options->mount = calloc(1, sizeof(*options->mount));
	if (!options->mount || fuse_opt_add_arg(options->mount, cli_name)) {
		cli_error("out of memory");
		exit(CLI_FAILED);
	}
	cli_parse(&parser, argc, argv, 0, options);
	complete(options);
}

void options_finish(struct options *options)
{
	cli_connect_close(&options->connect);
	fuse_opt_free_args(options->mount);
	free(options->mount);
	free(options->password_file);
	free(options->separator);
}
