/*
 * append.h - appends of one turn, gathered per partition into one write and one commit each (P1).
 *
 * append_submit() queues; append_run() at the turn hook does them. An append whose partition is locked by
 * another process stays at the head of its partition's queue, so that the order per partition and connection
 * holds; it is tried again when the lock's holder rings, and at the worker's tick.
 */
#ifndef BROKER_APPEND_H
#define BROKER_APPEND_H

#include "part/part.h"
#include "wire/batch.h"

struct worker;

struct append {				/* embedded by the caller; its until done() */
	struct append *next;
	uint32_t slot;
	int32_t epoch;			/* leader epoch that the caller saw */
	struct uuid topic_id;
	struct part_conf conf;
	struct part_batch batch;	/* in and out */
	uint8_t head[BATCH_HEAD];
	int err;			/* of the call; OK: look at batch.err */
	struct part_appended ret;	/* valid when err is OK */
	void (*done)(struct append *a);
};

void append_submit(struct worker *w, struct append *a);
/* Does what was gathered. */
void append_run(struct worker *w);
/* Everything that is parked on a lock is tried again at the next append_run(). */
void append_retry(struct worker *w);

#endif
