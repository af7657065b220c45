/* frames_os.c - see frames_os.h. */
#include "os/frames_os.h"

#include <malloc.h>

#include "base/mem.h"

#define SHIFT 12			/* smallest buffer: 4 KiB */
#define KEPT_MAX ((uint64_t)16 << 20)
#define TRIM_US 1000000

struct frame_head {			/* in front of each frame */
	uint64_t cap;			/* with this head */
	struct frame_head *next;	/* while it is kept */
};

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
	unsigned k = class_of(bytes);
	struct frame_head *h;

	if (k < FRAMES_CLASSES && f->class[k].top) {
		struct frames_class *p = &f->class[k];

		h = p->top;
		p->top = h->next;
		p->n--;
		p->low = p->n < p->low ? p->n : p->low;
		f->kept_bytes -= h->cap;
	} else {
		bytes = k < FRAMES_CLASSES ? UINT64_C(1) << (SHIFT + k) : bytes;
		h = mem_resize(NULL, bytes);
		h->cap = bytes;
	}
	f->out_bytes += h->cap;
	return (uint8_t *)(h + 1);
}

uint64_t frames_room(const uint8_t *frame)
{
	return ((const struct frame_head *)(const void *)frame - 1)->cap - sizeof(struct frame_head);
}

void frames_free(struct frames *f, uint8_t *frame)
{
	if (!frame)
		return;
	struct frame_head *h = (struct frame_head *)(void *)frame - 1;
	unsigned k = class_of(h->cap);

	f->out_bytes -= h->cap;
	if (k == FRAMES_CLASSES || f->kept_bytes + h->cap > KEPT_MAX) {
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

void frames_init(struct frames *f, struct loop *loop)
{
	*f = (struct frames){ .loop = loop, .trim.fire = trim };
	f->trim.user = f;
}
