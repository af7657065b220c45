/* frames_os.c - see frames_os.h. */
#include "os/frames_os.h"

#include <malloc.h>

#include "base/mem.h"

#define SHIFT 12			/* smallest buffer: 4 KiB */
#define KEPT_MAX ((uint64_t)16 << 20)
#define TRIM_US 1000000
/*
 * A large frame must cost the others no stall: it grows by moving page tables, never by copying (malloc maps
 * each block from MAPPED on and must not raise that bound by itself), and is given back in steps.
 */
#define MAPPED (1 << 20)
#define STEP_BYTES ((uint64_t)2 << 20)
#define STEP_US 1000

struct frame_head {			/* in front of each frame */
	uint64_t cap;			/* with this head */
	union {
		struct frame_head *next;	/* while it is kept, or going */
		uint64_t counted;		/* in out_bytes, while it is out */
	};
};

#define LARGEST (UINT64_C(1) << (SHIFT + FRAMES_CLASSES - 1))
#define COUNTED_MIN (UINT64_C(1) << SHIFT)

static unsigned class_of(uint64_t bytes)
{
	unsigned k = 0;

	while (k < FRAMES_CLASSES && bytes > UINT64_C(1) << (SHIFT + k))
		k++;
	return k;
}

uint8_t *frames_new(struct frames *f, uint32_t len)
{
	uint64_t bytes = sizeof(struct frame_head) + (uint64_t)len;
	unsigned k = class_of(bytes < LARGEST ? bytes : LARGEST);
	struct frame_head *h;

	if (f->class[k].top) {
		struct frames_class *p = &f->class[k];

		h = p->top;
		p->top = h->next;
		p->n--;
		p->low = p->n < p->low ? p->n : p->low;
		f->kept_bytes -= h->cap;
	} else {
		h = mem_resize(NULL, UINT64_C(1) << (SHIFT + k));
		h->cap = UINT64_C(1) << (SHIFT + k);
	}
	h->counted = COUNTED_MIN;
	f->out_bytes += COUNTED_MIN;
	return (uint8_t *)(h + 1);
}

static struct frame_head *head_of(uint8_t *frame)
{
	return (struct frame_head *)(void *)frame - 1;
}

uint8_t *frames_grow(struct frames *f, uint8_t *frame, uint32_t got, uint32_t len)
{
	struct frame_head *h = head_of(frame);
	uint64_t most = sizeof *h + (uint64_t)len;

	(void)f;
	if (got < h->cap - sizeof *h || h->cap >= most)
		return frame;
	h->cap = h->cap * 2 < most ? h->cap * 2 : most;
	h = mem_resize(h, h->cap);
	return (uint8_t *)(h + 1);
}

void frames_count(struct frames *f, uint8_t *frame, uint32_t bytes)
{
	struct frame_head *h = head_of(frame);

	if (bytes <= h->counted)
		return;
	f->out_bytes += bytes - h->counted;
	h->counted = bytes;
}

uint64_t frames_room(const uint8_t *frame)
{
	return ((const struct frame_head *)(const void *)frame - 1)->cap - sizeof(struct frame_head);
}

void frames_free(struct frames *f, uint8_t *frame)
{
	if (!frame)
		return;
	struct frame_head *h = head_of(frame);
	unsigned k = class_of(h->cap);

	f->out_bytes -= h->counted;
	if (h->cap > LARGEST) {
		h->next = f->going;
		f->going = h;
		if (!h->next)
			f->loop->calls->timer_set(f->loop, &f->step, 0);
		return;
	}
	if (f->kept_bytes + h->cap > KEPT_MAX) {
		mem_free(h);
		return;
	}
	h->next = f->class[k].top;
	f->class[k].top = h;
	f->class[k].n++;
	f->kept_bytes += h->cap;
	if (!f->trim_armed) {
		f->trim_armed = true;
		f->loop->calls->timer_set(f->loop, &f->trim, TRIM_US);
	}
}

/* What was kept all the time since the last look goes back to the system. */
static void trim(struct loop_timer *t)
{
	struct frames *f = t->user;
	uint64_t freed = 0;

	for (unsigned k = 0; k < FRAMES_CLASSES; k++) {
		struct frames_class *p = &f->class[k];

		for (; p->low > 0; p->low--) {
			struct frame_head *h = p->top;

			p->top = h->next;
			p->n--;
			freed += h->cap;
			mem_free(h);
		}
		p->low = p->n;
	}
	f->kept_bytes -= freed;
	f->trim_armed = f->kept_bytes > 0;
	if (f->trim_armed)
		f->loop->calls->timer_set(f->loop, &f->trim, TRIM_US);
	if (freed > 0)
		malloc_trim(0);
}

/* Shortens what is going by a step; its pages go back to the system. */
static void step(struct loop_timer *t)
{
	struct frames *f = t->user;
	struct frame_head *h = f->going;

	if (h->cap <= STEP_BYTES) {
		f->going = h->next;
		mem_free(h);
	} else {
		h->cap -= STEP_BYTES;
		f->going = mem_resize(h, h->cap);
	}
	if (f->going)
		f->loop->calls->timer_set(f->loop, &f->step, STEP_US);
}

void frames_init(struct frames *f, struct loop *loop)
{
	*f = (struct frames){ .loop = loop, .trim.fire = trim, .step.fire = step };
	f->trim.user = f->step.user = f;
	mallopt(M_MMAP_THRESHOLD, MAPPED);
}
