/* SPDX-License-Identifier: MIT */
#include "place.h"

#include <errno.h>
#include <ftw.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <shard/uri.h>

#include "cli.h"
#include "lock.h"
#include "text.h"

/* NULL: an error was printed; or (errno ENOENT) it is just not there and was not to be made. */
static char *runtime_dir(bool create)
{
	char *dir = shard_runtime_dir(create);
	int error = errno;

	if (!dir && (create || error != ENOENT))
		cli_error("the runtime directory ($XDG_RUNTIME_DIR/shard, else /tmp/shard-%ld) cannot be used: %s",
			  (long)getuid(), error == EPERM ? "it is not ours alone" : strerror(error));
	errno = error;
	return dir;
}

static char *record_path(bool create)
{
	char *dir = runtime_dir(create);
	char *path;

	if (!dir)
		return NULL;
	path = text("%s/local-cluster", dir);
	free(dir);
	return path;
}

static char *default_dir(void)
{
	const char *data = getenv("XDG_DATA_HOME");
	const char *home = getenv("HOME");
	char *runtime, *dir;

	if (data && *data == '/') /* anything else is to be ignored, by its specification */
		return text("%s/shard/cluster", data);
	if (home && *home == '/')
		return text("%s/.local/share/shard/cluster", home);
	runtime = runtime_dir(true);
	dir = runtime ? text("%s/cluster", runtime) : NULL;
	free(runtime);
	return dir;
}

static char *absolute(const char *given)
{
	char *cwd, *path;

	if (!*given || strchr(given, '\n')) {
		cli_error("--dir: not the name of a directory: '%s'", given);
		return NULL;
	}
	path = realpath(given, NULL);
	if (path)
		return path;
	if (*given == '/')
		return text("%s", given);
	cwd = getcwd(NULL, 0);
	if (cwd)
		path = text("%s/%s", cwd, given);
	else
		cli_error("%s: the current directory is not known: %s", given, strerror(errno));
	free(cwd);
	return path;
}

static char *made; /* the uppermost directory that this process has made */

static bool make_dir(const char *path)
{
	if (mkdir(path, 0700))
		return errno == EEXIST || errno == EISDIR || !access(path, X_OK);
	if (!made)
		made = realpath(path, NULL);
	return true;
}

/* Removes what this process has made of PATH, its directories from the last one up, where nothing else is in them. */
static void unmake(const char *path)
{
	char *real = made ? realpath(path, NULL) : NULL;

	while (real && !strncmp(real, made, strlen(made)) && !rmdir(real))
		*strrchr(real, '/') = '\0';
	free(real);
}

static bool make_dirs(char *path)
{
	for (char *slash = strchr(path + 1, '/');; slash = strchr(slash + 1, '/')) {
		bool ok;

		if (slash)
			*slash = '\0';
		ok = make_dir(path);
		if (!ok) {
			cli_error("cannot make %s: %s: give another place with --dir", path, strerror(errno));
			unmake(dirname(path));
			return false;
		}
		if (!slash)
			return true;
		*slash = '/';
	}
}

char *place_make(const char *given)
{
	char *dir = given ? absolute(given) : default_dir();
	char *real = NULL;

	if (dir && make_dirs(dir)) {
		real = realpath(dir, NULL);
		if (!real)
			cli_error("%s: %s", dir, strerror(errno));
	}
	free(dir);
	return real;
}

/* The second line of CONTENT; NULL where it is no directory, or does not end. */
static char *second_line(const char *content)
{
	const char *line = strchr(content, '\n');
	size_t len = line ? strcspn(line + 1, "\n") : 0;

	return len && line[1] == '/' && line[1 + len] ? text("%.*s", (int)len, line + 1) : NULL;
}

/* The second line of the record; NULL with errno: ENOENT, EBADMSG where it is damaged, or why it cannot be read. */
static char *read_record(const char *path)
{
	char *content = file_read(path), *dir;

	if (!content)
		return NULL;
	dir = second_line(content);
	free(content);
	if (!dir)
		errno = EBADMSG;
	return dir;
}

/* *DIR: the directory that is recorded; NULL: there is none. false: an error was printed. */
static bool recorded_dir(char **dir)
{
	char *path = record_path(false);
	bool ok;

	*dir = path ? read_record(path) : NULL;
	ok = *dir || errno == ENOENT;
	if (path && !ok)
		cli_error("%s: the record of the local cluster is damaged%s%s; rcluster up writes it anew, --dir names "
			  "the directory",
			  path, errno == EBADMSG ? "" : ": ", errno == EBADMSG ? "" : strerror(errno));
	free(path);
	return ok;
}

char *place_choose(const char *given)
{
	char *dir;

	if (given)
		return absolute(given);
	if (!recorded_dir(&dir))
		return NULL;
	return dir ? dir : default_dir();
}

bool place_record(const struct layout *layout)
{
	char *path = record_path(true);
	char *uri = layout_uri(layout);
	char *content = text("%s\n%s\n", uri, layout->dir);
	bool ok = path && file_write(path, content);

	if (path && !ok)
		cli_error("%s: %s", path, strerror(errno));
	free(content);
	free(uri);
	free(path);
	return ok;
}

static void forget(const char *dir)
{
	char *path = record_path(false);
	char *recorded = path ? read_record(path) : NULL;

	if (recorded && !strcmp(recorded, dir)) {
		unlink(path);
		rmdir(dirname(path)); /* the runtime directory, where nothing else is in it */
	}
	free(path);
	free(recorded);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *where)
{
	if (!remove(path) || errno == ENOENT)
		return 0;
	cli_error("cannot remove %s: %s", path, strerror(errno));
	return -1;
}

bool place_wipe_node(const struct layout *layout, unsigned node)
{
	char *dir = layout_path(layout, node, "");
	bool ok = access(dir, F_OK) || !nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);

	free(dir);
	return ok;
}

bool place_wipe_nodes(const struct layout *layout)
{
	bool ok = true;

	for (unsigned i = 0; i < layout_count(layout); i++)
		ok = place_wipe_node(layout, i) && ok;
	return ok;
}

void place_discard(const char *dir)
{
	char *standard, *file = text("%s/cluster", dir);
	bool kept = !access(file, F_OK);

	free(file);
	if (kept)
		return;
	lock_remove(dir);
	if (rmdir(dir))
		return;
	file = text("%s", dir);
	unmake(dirname(file));
	free(file);
	standard = default_dir();
	if (standard && !strcmp(standard, dir))
		rmdir(dirname(standard));
	free(standard);
}

bool place_wipe(const struct layout *layout)
{
	if (!place_wipe_nodes(layout))
		return false;
	layout_remove(layout);
	place_discard(layout->dir);
	forget(layout->dir);
	return true;
}
