/* SPDX-License-Identifier: MIT */
/* The runtime directory, in a directory of this test's own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include <shard/uri.h>

#include "topology_help.h"

static char base[256], dir[300];

/* The path of a file in the runtime directory; valid until the next call but one. */
static const char *file(const char *name)
{
	static char path[2][400];
	static unsigned turn;
	char *to = path[turn++ % 2];
	snprintf(to, sizeof(path[0]), "%s/%s", dir, name);
	return to;
}

static void write_text(const char *path, const char *text)
{
	FILE *out = fopen(path, "w");
	assert_non_null(out);
	fputs(text, out);
	assert_int_equal(fclose(out), 0);
}

static int setup(void **state)
{
	const char *tmp = getenv("TMPDIR");
	snprintf(base, sizeof(base), "%.200s/shard-runtime.XXXXXX", tmp ? tmp : "/tmp");
	if (!mkdtemp(base))
		return -1;
	snprintf(dir, sizeof(dir), "%s/shard", base);
	umask(022);
	setenv("XDG_RUNTIME_DIR", base, 1);
	unsetenv("SHARD_URI");
	return 0;
}

static int teardown(void **state)
{
	glob_t found;
	if (glob(file("*"), GLOB_PERIOD, NULL, &found) == 0) {
		for (size_t i = 0; i < found.gl_pathc; i++)
			unlink(found.gl_pathv[i]);
		globfree(&found);
	}
	if (rmdir(dir) != 0)
		unlink(dir);
	return rmdir(base);
}

static shard_uri *uri_of(const char *text)
{
	shard_uri *uri;
	assert_int_equal(shard_uri_parse(text, &uri, NULL), SHARD_OK);
	return uri;
}

/* The path of the one stored topology; valid until the next call. */
static const char *stored(void)
{
	static char path[400];
	glob_t found;
	assert_int_equal(glob(file("topology-*"), 0, NULL, &found), 0);
	assert_int_equal(found.gl_pathc, 1);
	snprintf(path, sizeof(path), "%s", found.gl_pathv[0]);
	globfree(&found);
	return path;
}

/* ---- the directory ---- */

static void the_directory_is_made_for_us_alone(void **state)
{
	struct stat st;
	assert_null(shard_runtime_dir(false));
	assert_int_equal(errno, ENOENT);
	char *path = shard_runtime_dir(true);
	assert_string_equal(path, dir);
	assert_int_equal(stat(dir, &st), 0);
	assert_int_equal(st.st_mode, S_IFDIR | 0700);
	free(path);
	path = shard_runtime_dir(false);
	assert_string_equal(path, dir);
	free(path);
}

static void without_a_runtime_directory_of_the_session_it_is_in_tmp(void **state)
{
	char expected[64];
	snprintf(expected, sizeof(expected), "/tmp/shard-%u", (unsigned)geteuid());
	static const char *const unusable[] = {"", "relative"};
	for (size_t i = 0; i < 2; i++) {
		setenv("XDG_RUNTIME_DIR", unusable[i], 1);
		char *path = shard_runtime_dir(false);
		if (path)
			assert_string_equal(path, expected);
		else
			assert_int_not_equal(errno, 0);
		free(path);
	}
}

static void a_directory_that_others_may_write_is_refused(void **state)
{
	assert_int_equal(mkdir(dir, 0700), 0);
	assert_int_equal(chmod(dir, 0777), 0);
	assert_null(shard_runtime_dir(true));
	assert_int_equal(errno, EPERM);
	assert_int_equal(chmod(dir, 0770), 0);
	assert_null(shard_runtime_dir(false));
	assert_int_equal(errno, EPERM);
}

static void a_directory_of_another_user_is_refused(void **state)
{
	if (geteuid() != 0)
		skip();
	assert_int_equal(mkdir(dir, 0700), 0);
	assert_int_equal(chown(dir, 12345, 12345), 0);
	assert_null(shard_runtime_dir(true));
	assert_int_equal(errno, EPERM);
}

static void a_link_or_a_file_is_refused(void **state)
{
	assert_int_equal(symlink("/tmp", dir), 0);
	assert_null(shard_runtime_dir(true));
	assert_int_equal(errno, EPERM);
	assert_int_equal(unlink(dir), 0);
	write_text(dir, "");
	assert_null(shard_runtime_dir(true));
	assert_int_equal(errno, EPERM);
}

/* ---- the URI to use ---- */

static void assert_choice(const char *uri, bool recorded)
{
	bool is_recorded = !recorded;
	char *chosen = shard_uri_choose(&is_recorded);
	assert_string_equal(chosen, uri);
	assert_int_equal(is_recorded, recorded);
	free(chosen);
	chosen = shard_uri_choose(NULL);
	assert_string_equal(chosen, uri);
	free(chosen);
}

static void the_environment_comes_before_the_record_and_that_before_the_default(void **state)
{
	assert_choice(SHARD_URI_DEFAULT, false);
	free(shard_runtime_dir(true));
	write_text(file("local-cluster"), "redis://127.0.0.1:7000,127.0.0.1:7001\r\n/some/where\n");
	assert_choice("redis://127.0.0.1:7000,127.0.0.1:7001", true);
	setenv("SHARD_URI", "redis://h", 1);
	assert_choice("redis://h", false);
	setenv("SHARD_URI", "", 1);
	assert_choice("redis://127.0.0.1:7000,127.0.0.1:7001", true);
	unsetenv("SHARD_URI");
}

static void assert_damaged(void)
{
	bool recorded = true;
	errno = 0;
	assert_null(shard_uri_choose(&recorded));
	assert_int_equal(errno, EBADMSG);
	assert_false(recorded);
}

static void a_record_that_is_damaged_or_not_ours_is_an_error(void **state)
{
	static const char *const damaged[] = {"",           "\n",       "\nredis://h\n", "redis://h", "redis://h:70",
					      "redis://\n", "rubbish\n"};
	free(shard_runtime_dir(true));
	for (size_t i = 0; i < sizeof(damaged) / sizeof(*damaged); i++) {
		write_text(file("local-cluster"), damaged[i]);
		assert_damaged();
	}
	write_text(file("local-cluster"), "redis://h\n");
	assert_choice("redis://h", true);
	assert_int_equal(chmod(file("local-cluster"), 0666), 0);
	assert_damaged();
	assert_int_equal(rename(file("local-cluster"), file("other")), 0);
	assert_int_equal(symlink("other", file("local-cluster")), 0);
	assert_int_equal(chmod(file("other"), 0600), 0);
	assert_damaged();
	assert_int_equal(unlink(file("local-cluster")), 0);
	assert_int_equal(mkfifo(file("local-cluster"), 0600), 0);
	assert_damaged();
	setenv("SHARD_URI", "redis://h", 1);
	assert_choice("redis://h", false);
	unsetenv("SHARD_URI");
}

/* ---- topologies ---- */

static void a_stored_topology_is_loaded_whole(void **state)
{
	char *text = sample("nodes-redis-7");
	shard_topology *t = nodes(text);
	shard_uri *uri = uri_of("redis://u:secret@h:7000"), *same = uri_of("redis://h:7000/"),
		  *other = uri_of("redis://h");
	struct stat st;
	assert_null(shard_topology_load(uri));
	assert_true(shard_topology_store(uri, t));
	assert_true(shard_topology_store(uri, t));

	shard_topology *again = shard_topology_load(same);
	assert_non_null(again);
	assert_same(t, again);
	assert_null(shard_topology_load(other));
	assert_int_equal(stat(stored(), &st), 0);
	assert_int_equal(st.st_mode, S_IFREG | 0600);
	glob_t found;
	assert_int_equal(glob(file(".new*"), 0, NULL, &found), GLOB_NOMATCH);

	shard_uri_free(uri);
	shard_uri_free(same);
	shard_uri_free(other);
	shard_topology_unref(again);
	shard_topology_unref(t);
	free(text);
}

static void a_single_server_is_remembered_as_one(void **state)
{
	shard_topology *t;
	shard_uri *uri = uri_of("unix:///run/redis.sock");
	assert_int_equal(shard_topology_single("/run/redis.sock", 0, &t), SHARD_OK);
	assert_true(shard_topology_store(uri, t));
	shard_topology *again = shard_topology_load(uri);
	assert_same(t, again);
	shard_topology_unref(again);
	shard_topology_unref(t);
	shard_uri_free(uri);
}

static void a_damaged_file_is_no_topology(void **state)
{
	static const char *const damaged[] = {
		"",
		"# shard topology 1 redis://h:6379\n",
		"# shard topology 1 redis://h:6379",
		"# shard topology 1 redis://other:6379\na h:1@2 master - 0 0 1 connected 0-9\n",
		"# shard topology 2 redis://h:6379\na h:1@2 master - 0 0 1 connected 0-9\n",
		"# shard topology 1 redis://h:6379\na h:1@2 master - 0 0 1 connected 0-9",
		"# shard topology 1 redis://h:6379\na h:1@2 master - 0 0 1 connected 0-99999\n",
		"a h:1@2 master - 0 0 1 connected 0-9\n",
	};
	shard_topology *t = nodes("a h:1@2 master - 0 0 1 connected 0-9\n");
	shard_uri *uri = uri_of("redis://h");
	assert_true(shard_topology_store(uri, t));
	for (size_t i = 0; i < sizeof(damaged) / sizeof(damaged[0]); i++) {
		write_text(stored(), damaged[i]);
		assert_null(shard_topology_load(uri));
	}
	assert_true(shard_topology_store(uri, t));
	shard_topology *again = shard_topology_load(uri);
	assert_same(t, again);
	shard_topology_unref(again);
	shard_topology_unref(t);
	shard_uri_free(uri);
}

static void a_link_is_neither_followed_nor_written_through(void **state)
{
	shard_topology *t = nodes("a h:1@2 master - 0 0 1 connected 0-9\n");
	shard_uri *uri = uri_of("redis://h");
	assert_true(shard_topology_store(uri, t));
	char name[400];
	struct stat st;
	snprintf(name, sizeof(name), "%s", stored());
	assert_int_equal(rename(name, file("victim")), 0);
	assert_int_equal(symlink("victim", name), 0);
	assert_null(shard_topology_load(uri));
	write_text(file("victim"), "precious");
	assert_true(shard_topology_store(uri, t));
	assert_int_equal(lstat(name, &st), 0);
	assert_true(S_ISREG(st.st_mode));
	assert_int_equal(stat(file("victim"), &st), 0);
	assert_int_equal(st.st_size, strlen("precious"));
	shard_topology_unref(t);
	shard_uri_free(uri);
}

static void where_nothing_can_be_kept_nothing_is(void **state)
{
	shard_topology *t = nodes("a h:1@2 master - 0 0 1 connected 0-9\n"), *none = nodes("");
	shard_uri *uri = uri_of("redis://h");
	assert_false(shard_topology_store(uri, none));
	write_text(dir, "");
	assert_false(shard_topology_store(uri, t));
	assert_null(shard_topology_load(uri));
	shard_topology_unref(t);
	shard_topology_unref(none);
	shard_uri_free(uri);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(the_directory_is_made_for_us_alone),
		CASE(without_a_runtime_directory_of_the_session_it_is_in_tmp),
		CASE(a_directory_that_others_may_write_is_refused),
		CASE(a_directory_of_another_user_is_refused),
		CASE(a_link_or_a_file_is_refused),
		CASE(the_environment_comes_before_the_record_and_that_before_the_default),
		CASE(a_record_that_is_damaged_or_not_ours_is_an_error),
		CASE(a_stored_topology_is_loaded_whole),
		CASE(a_single_server_is_remembered_as_one),
		CASE(a_damaged_file_is_no_topology),
		CASE(a_link_is_neither_followed_nor_written_through),
		CASE(where_nothing_can_be_kept_nothing_is),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
