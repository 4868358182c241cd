/* SPDX-License-Identifier: MIT */
/* Addresses: any bytes are one or are refused; the first byte says which room and which default port. */
#include <shard/uri.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MUST(condition)                                                                                                \
	do {                                                                                                           \
		if (!(condition))                                                                                      \
			__builtin_trap();                                                                              \
	} while (0)

/* Written as MOVED writes it and as a URI does, an address is the same again. */
static void check_again(const char *host, uint16_t port)
{
	static const char *const formats[] = {"%s:%u", "[%s]:%u"};
	char text[300], again[256];
	uint16_t port_again;
	for (size_t i = 0; i < (strchr(host, ':') ? 2 : 1); i++) {
		int len = snprintf(text, sizeof(text), formats[i], host, (unsigned)port);
		MUST(shard_split_addr(text, (size_t)len, 0, again, sizeof(again), &port_again));
		MUST(strcmp(host, again) == 0 && port == port_again);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!size)
		return 0;
	size_t room = *data & 1 ? 256 : *data >> 4;
	uint16_t default_port = *data & 2 ? 6379 : 0, port = 0;
	char *host = malloc(room ? room : 1);
	if (host && shard_split_addr((const char *)data + 1, size - 1, default_port, host, room, &port)) {
		MUST(port && strlen(host) < room);
		check_again(host, port);
	}
	free(host);
	return 0;
}
