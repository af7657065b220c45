/*
 * counters.h - the numbers that every process of a broker counts and /metrics adds up.
 *
 * One list (proto/counters.def): a name for code, the Prometheus name with its labels, and a help text.
 * A counter's place is its place in the list; the words are in the shared pages (ipc/bell.h), one set
 * a process, so a restarted process goes on counting where the dead one stopped.
 */
#ifndef BROKER_COUNTERS_H
#define BROKER_COUNTERS_H

#include "ipc/bell.h"

enum counter {
#define COUNTER(id, name, labels, help) COUNT_##id,
#include "proto/counters.def"
#undef COUNTER
	COUNTERS_N
};

_Static_assert(COUNTERS_N <= BELL_COUNTERS, "the shared pages have room for every counter");

#endif
