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
	uint64_t out_bytes;		/* of buffers handed out: what lies in them, at least 4 KiB each */
	struct loop *loop;
	struct loop_timer trim, step;
	bool trim_armed;
	struct frame_head *going;	/* larger ones given back: freed a step at a time */
};

void frames_init(struct frames *f, struct loop *loop);
uint8_t *frames_new(struct frames *f, uint32_t len);
/* A frame that is said to be larger than 2 MiB begins with that much and grows as its bytes come: nobody gets
 * memory for an announcement. got: bytes that are in it; len: all of the frame. May move it. */
uint8_t *frames_grow(struct frames *f, uint8_t *frame, uint32_t got, uint32_t len);
/* So many bytes of it are in use. */
void frames_count(struct frames *f, uint8_t *frame, uint32_t bytes);
/* Bytes that fit the buffer: at least what was asked for, or 2 MiB less a head. */
uint64_t frames_room(const uint8_t *frame);
/* frame may be NULL. */
void frames_free(struct frames *f, uint8_t *frame);

#endif
