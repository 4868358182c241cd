/* SPDX-License-Identifier: MIT */
#include "know/pool_yaml.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define LIBRARY "libyaml-0.so.2"

static struct pool_yaml yaml;
static char failure[256];
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void fail(void)
{
	const char *reason = dlerror();

	snprintf(failure, sizeof(failure), "%s", reason ? reason : "it lacks a function");
}

static bool find(void *library, const char *name, void *function)
{
	void *address = dlsym(library, name);

	/* As POSIX has it: a pointer to a function has the size of one to an object. */
	memcpy(function, &address, sizeof(address));
	return address;
}

static bool find_all(void *library)
{
	return find(library, "yaml_parser_initialize", &yaml.parser_initialize) &&
	       find(library, "yaml_parser_delete", &yaml.parser_delete) &&
	       find(library, "yaml_parser_set_input_string", &yaml.parser_set_input_string) &&
	       find(library, "yaml_parser_scan", &yaml.parser_scan) &&
	       find(library, "yaml_token_delete", &yaml.token_delete) &&
	       find(library, "yaml_parser_parse", &yaml.parser_parse) &&
	       find(library, "yaml_event_delete", &yaml.event_delete);
}

static void load(void)
{
	void *library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);

	if (library && find_all(library))
		return;
	fail();
	if (library)
		dlclose(library);
}

const struct pool_yaml *pool_yaml_load(const char **why)
{
	pthread_once(&once, load);
	*why = failure;
	return *failure ? NULL : &yaml;
}
