/* SPDX-License-Identifier: MIT */
/*
 * libyaml, loaded when the first file of pools is read: who has a cluster pays nothing for it.
 */
#ifndef SHARD_KNOW_POOL_YAML_H
#define SHARD_KNOW_POOL_YAML_H

#include <yaml.h>

/* What we use of it, by its names there. */
struct pool_yaml {
	__typeof__(&yaml_parser_initialize) parser_initialize;
	__typeof__(&yaml_parser_delete) parser_delete;
	__typeof__(&yaml_parser_set_input_string) parser_set_input_string;
	__typeof__(&yaml_parser_scan) parser_scan;
	__typeof__(&yaml_token_delete) token_delete;
	__typeof__(&yaml_parser_parse) parser_parse;
	__typeof__(&yaml_event_delete) event_delete;
};

/* NULL: it cannot be loaded; *WHY says why, in static storage. Any number of threads may call it. */
const struct pool_yaml *pool_yaml_load(const char **why);

#endif
