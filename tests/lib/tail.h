/*
 * tail.h - a consumer that follows partitions over every death of the cluster and feeds a view.
 *
 * One connection, Fetch 11 without a session; reconnects and goes on at its own positions. Each batch
 * is checked (CRC, records), each record goes to view_record(). Runs on the thread that calls it.
 */
#ifndef TESTS_TAIL_H
#define TESTS_TAIL_H

#include <stdatomic.h>
#include <stdint.h>

#include "view.h"

struct tail {
	int port;
	const struct load_part *parts;
	int parts_n;
	struct view *view;
	_Atomic uint64_t fetches, reconnects, errors, damaged;
	_Atomic uint64_t seen;		/* records so far */
};

/* Until *stop is set and every partition was read to the high watermark after that, or wait_ms more. */
void tail_run(struct tail *t, const _Atomic int *stop, int wait_ms);

#endif
