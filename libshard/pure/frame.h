/* SPDX-License-Identifier: MIT */
/*
 * Where a reply ends, without looking at what is in it: for who passes its
 * bytes on. Any nesting, any number of elements; the bytes may come in pieces.
 */
#ifndef SHARD_PURE_FRAME_H
#define SHARD_PURE_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct resp_frame {
	size_t at;     /* what has been looked at; may lie behind the bytes that are there */
	uint64_t left; /* elements that are still to come */
};

enum resp_frame_state { FRAME_MORE, FRAME_WHOLE, FRAME_BAD };

static inline void resp_frame_begin(struct resp_frame *frame)
{
	*frame = (struct resp_frame){.left = 1};
}

/*
 * Goes on through DATA, which begins with the reply and has LEN bytes by now.
 * FRAME_WHOLE: it ends at frame->at. FRAME_BAD: it is no RESP2. A string of
 * more than BULK_MAX bytes is bad, too.
 */
enum resp_frame_state resp_frame_scan(struct resp_frame *frame, const char *data, size_t len, size_t bulk_max);

#endif
