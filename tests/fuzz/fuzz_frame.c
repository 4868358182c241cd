/* SPDX-License-Identifier: MIT */
/* Where a reply ends: the same in one piece and in many, and never behind what is there. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "pure/frame.h"

#define BULK_LIMIT 100000

#define MUST(condition)                                                                                                \
	do {                                                                                                           \
		if (!(condition))                                                                                      \
			__builtin_trap();                                                                              \
	} while (0)

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	enum resp_frame_state state, slowly = FRAME_MORE;
	struct resp_frame frame, slow;

	if (!size || size > 4096)
		return 0;
	resp_frame_begin(&frame);
	resp_frame_begin(&slow);
	state = resp_frame_scan(&frame, (const char *)bytes, size, BULK_LIMIT);
	for (size_t len = 1; len <= size && slowly == FRAME_MORE; len++) {
		char *part = malloc(len);

		MUST(part);
		memcpy(part, bytes, len);
		slowly = resp_frame_scan(&slow, part, len, BULK_LIMIT);
		MUST(slowly != FRAME_WHOLE || slow.at == len);
		free(part);
	}
	MUST(slowly == state);
	MUST(state != FRAME_WHOLE || (frame.at <= size && frame.at == slow.at));
	return 0;
}
