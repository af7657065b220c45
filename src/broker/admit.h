/*
 * admit.h - how many connections the broker takes: max.connections and max.connections.per.ip.
 *
 * The limits are the broker's, so the workers add up what all of them have in the shared pages. Two workers
 * that accept at the same moment may go over a limit by one each. Addresses are counted in two rows of hashed
 * cells (ipc/bell.h); the smaller cell counts, so that two addresses must share both to be taken for one.
 *
 * Differs from Kafka: a connection above max.connections is closed at once, where Kafka lets it wait in the
 * listen queue: the client learns of it and tries again.
 */
#ifndef BROKER_ADMIT_H
#define BROKER_ADMIT_H

#include <stdbool.h>
#include <stdint.h>

struct worker;

struct admit {				/* what a connection took */
	uint16_t cell[2];
};

/* At the start of a worker: what a predecessor held is free. */
void admit_init(struct worker *w);
/* False: refused, counted and logged; nothing is held. peer: the address as text. */
bool admit_take(struct worker *w, const char *peer, struct admit *ret);
void admit_give(struct worker *w, const struct admit *a);

#endif
