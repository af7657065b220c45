/*
 * frames_os.h - buffers that frames are received into: hot ones are used again first, and what is not
 * used goes back to the system within a second or two, so that an idle process owns none.
 */
#ifndef OS_FRAMES_OS_H
#define OS_FRAMES_OS_H

#include <stdbool.h>
#include <stdint.h>

#include "io/loop.h"

#define FRAMES_CLASSES 10		/* 4 KiB, 8 KiB ... 2 MiB; larger ones are not kept */

struct frames_class {			/* of buffers of one size */
	struct frame_head *top;		/* last given back, first taken */
	uint32_t n, low;		/* kept; fewest since the last trim */
};

struct frames {
	struct frames_class class[FRAMES_CLASSES];
	uint64_t kept_bytes;
	uint64_t out_bytes;		/* of buffers handed out */
	struct loop *loop;
	struct loop_timer trim;
	bool trim_armed;
};

void frames_init(struct frames *f, struct loop *loop);
uint8_t *frames_new(struct frames *f, uint32_t len);
/* Bytes that fit the buffer: at least what was asked for. */
uint64_t frames_room(const uint8_t *frame);
/* frame may be NULL. */
void frames_free(struct frames *f, uint8_t *frame);

#endif
