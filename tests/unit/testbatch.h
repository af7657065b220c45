/* testbatch.h - small record batches with a right CRC, and a lock port over plain words. */
#ifndef UNIT_TESTBATCH_H
#define UNIT_TESTBATCH_H

#include "base/be.h"
#include "base/crc32c.h"
#include "io/lock.h"
#include "part/part.h"

struct testbatch {
	int64_t pid;			/* -1: none */
	int16_t epoch;
	int32_t seq;
	uint32_t records;
	int64_t ts;
	uint32_t body;			/* bytes behind the header */
	bool txn;
	int control;			/* 0: data; 1: abort marker; 2: commit marker */
};

/* Lays the batch at p (61 + body bytes) and describes it for part_append(). */
static inline struct part_batch testbatch_make(const struct testbatch *b, uint8_t *p)
{
	static const uint8_t record[] = { 0x2e, 0, 0, 0, 8, 0, 0, 0, 0, 12, 0, 0, 0, 0, 0, 7, 0 };
	uint32_t body = b->control ? sizeof record : b->body;
	uint16_t attr = (uint16_t)((b->txn ? 0x10 : 0) | (b->control ? 0x20 : 0));

	memset(p, 0, 61);
	be32_put(p + 8, 49 + body);
	p[16] = 2;
	be16_put(p + 21, attr);
	be32_put(p + 23, b->records - 1);
	be64_put(p + 27, (uint64_t)b->ts);
	be64_put(p + 35, (uint64_t)b->ts);
	be64_put(p + 43, (uint64_t)b->pid);
	be16_put(p + 51, (uint16_t)b->epoch);
	be32_put(p + 53, (uint32_t)b->seq);
	be32_put(p + 57, b->records);
	for (uint32_t i = 0; i < body; i++)
		p[61 + i] = (uint8_t)(b->seq + (int32_t)i);
	if (b->control) {
		memcpy(p + 61, record, sizeof record);
		p[61 + 8] = b->control == 2;
	}
	be32_put(p + 17, crc32c(0, p + 21, 40 + body));
	return (struct part_batch){ .head = p, .rest = p + 61, .rest_len = body,
		.records = b->records, .max_timestamp = b->ts, .producer_id = b->pid,
		.producer_epoch = b->epoch, .base_sequence = b->seq, .transactional = b->txn,
		.control = b->control != 0 };
}

struct testlock {			/* a word is 0 free, 1 held, 2 owner died, 3 lost */
	struct lock_port port;
};

static void tl_init(struct lock_port *l, struct lock_word *w)
{
	(void)l;
	memset(w, 0, sizeof *w);
}

static enum lock_result tl_try(struct lock_port *l, struct lock_word *w, struct lock_held **ret)
{
	(void)l;
	*ret = (struct lock_held *)w;
	switch (w->opaque[0]) {
	case 0:
		w->opaque[0] = 1;
		return LOCK_OK;
	case 1:
		return LOCK_BUSY;
	case 2:
		w->opaque[0] = 4;	/* held, not yet consistent */
		return LOCK_OWNER_DIED;
	default:
		return LOCK_LOST;
	}
}

static void tl_consistent(struct lock_port *l, struct lock_word *w, struct lock_held *h)
{
	(void)l, (void)h;
	w->opaque[0] = 1;
}

static void tl_release(struct lock_port *l, struct lock_word *w, struct lock_held *h)
{
	(void)l, (void)h;
	w->opaque[0] = w->opaque[0] == 4 ? 3 : 0;
}

static inline void testlock_init(struct testlock *l)
{
	l->port = (struct lock_port){ tl_init, tl_try, tl_consistent, tl_release };
}

#endif
