/* SPDX-License-Identifier: MIT */
#include "mountpoint.h"

#include <errno.h>
#include <fcntl.h>
#include <mntent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "cli.h"

/* By the table of mounts: to touch a dead mount fails, to touch a stopped one hangs. */
static bool mounted_already(const char *path)
{
	FILE *mounts = setmntent("/proc/self/mounts", "re");
	bool found = false;

	for (struct mntent *entry; mounts && (entry = getmntent(mounts));)
		if (strcmp(entry->mnt_dir, path) == 0)
			found = strcmp(entry->mnt_type, "fuse.shardfs") == 0;
	if (mounts)
		endmntent(mounts);
	return found;
}

static char *report(const char *path, const char *text)
{
	cli_error_about(path, strlen(path), "%s", text);
	return NULL;
}

static char *report_mounted(const char *path)
{
	cli_error_about(path, strlen(path), "is a mount of shardfs already; fusermount3 -u ends it");
	return NULL;
}

/* PATH made absolute without a look at what it names; the part before its last '/' is made real. */
static char *absolute(const char *path)
{
	char *copy = strdup(path), *result = NULL, *dir;
	size_t len = copy ? strlen(copy) : 0;

	while (len > 1 && copy[len - 1] == '/')
		copy[--len] = '\0';
	char *slash = copy ? strrchr(copy, '/') : NULL;
	const char *name = slash ? slash + 1 : copy;
	if (!copy || !*name || strcmp(name, ".") == 0 || strcmp(name, "..") == 0) {
		free(copy);
		return NULL;
	}
	if (slash)
		*slash = '\0';
	dir = realpath(!slash ? "." : *copy ? copy : "/", NULL);
	if (dir) {
		result = malloc(strlen(dir) + strlen(name) + 2);
		if (result)
			stpcpy(stpcpy(stpcpy(result, dir), dir[1] ? "/" : ""), name);
	}
	free(dir);
	free(copy);
	return result;
}

static bool parent_says_mounted(const char *path)
{
	char *guess = absolute(path);
	bool mounted = guess && mounted_already(guess);

	free(guess);
	return mounted;
}

/* To hide one of these stops the whole machine. */
static bool is_the_systems(const char *real)
{
	static const char *const roots[] = {"/proc", "/sys", "/dev"};

	if (!strcmp(real, "/"))
		return true;
	for (size_t i = 0; i < sizeof(roots) / sizeof(*roots); i++) {
		size_t len = strlen(roots[i]);

		if (!strncmp(real, roots[i], len) && (real[len] == '/' || !real[len]))
			return true;
	}
	return false;
}

char *mountpoint_check(const char *path)
{
	struct stat st;

	if (parent_says_mounted(path))
		return report_mounted(path);
	char *real = realpath(path, NULL);
	if (!real && errno == ENOENT)
		return report(path, "no such directory; make it first (mkdir)");
	if (!real && errno == ENOTCONN)
		return report(path, "a file system whose daemon is gone is mounted here; fusermount3 -u ends it");
	if (!real)
		return report(path, strerror(errno));
	if (mounted_already(real)) {
		free(real);
		return report_mounted(path);
	}
	if (is_the_systems(real)) {
		free(real);
		return report(path, "the system needs what is there; mount on a directory of its own");
	}
	if (stat(real, &st) < 0 || !S_ISDIR(st.st_mode)) {
		free(real);
		return report(path, "not a directory");
	}
	return real;
}

/* ---- what is mounted now ---- */

/* The id of the mount that a path ends in; -1 where it cannot be known. To open with O_PATH asks no file system. */
static int mount_id(const char *path)
{
	char name[64], line[256];
	int id = -1, fd = open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC);

	snprintf(name, sizeof(name), "/proc/self/fdinfo/%d", fd);
	FILE *info = fd < 0 ? NULL : fopen(name, "re");
	while (info && id < 0 && fgets(line, sizeof(line), info))
		(void)!sscanf(line, "mnt_id: %d", &id);
	if (info)
		fclose(info);
	if (fd >= 0)
		close(fd);
	return id;
}

/*
 * Goes through the table of mounts until one has this id, or where ID is -1 this device. Returns its device; 0 with
 * errno 0 where there is none, else with what kept it from looking.
 */
static dev_t find_mount(int id, dev_t device)
{
	FILE *table = fopen("/proc/self/mountinfo", "re");
	char *line = NULL;
	size_t size = 0;
	dev_t found = 0;

	if (table)
		errno = 0;
	while (table && !found && getline(&line, &size, table) > 0) {
		unsigned major, minor;
		int row;

		if (sscanf(line, "%d %*d %u:%u", &row, &major, &minor) == 3 &&
		    (id < 0 ? makedev(major, minor) == device : row == id))
			found = makedev(major, minor);
	}
	free(line);
	if (table)
		fclose(table);
	return found;
}

dev_t mountpoint_device(const char *path)
{
	int id = mount_id(path);

	return id < 0 ? 0 : find_mount(id, 0);
}

bool mountpoint_exists(dev_t device)
{
	return find_mount(-1, device) || errno;
}
