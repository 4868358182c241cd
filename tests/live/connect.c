/* SPDX-License-Identifier: MIT */
#include "connect.h"

shard_client *connect_to(const char *text, unsigned timeout_ms)
{
	shard_options options;
	shard_client *made = NULL;
	shard_uri *uri = NULL;

	shard_options_init(&options);
	options.timeout_ms = timeout_ms;
	if (shard_uri_parse(text, &uri, NULL) != SHARD_OK)
		return NULL;
	options.uri = uri;
	if (shard_client_create(&made, &options) != SHARD_OK)
		made = NULL;
	shard_uri_free(uri);
	return made;
}
