/* hostile.h - what the attacks of the hostile-input test share; hostile.c runs them, attacks.c is them. */
#ifndef TESTS_HOSTILE_H
#define TESTS_HOSTILE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/rng.h"

#define HOSTILE_FDS 12000

struct hostile {
	int port;
	struct rng rng;
	int fd[HOSTILE_FDS];		/* open connections, closed at the end of a window */
	int n;
	uint64_t sent[HOSTILE_FDS];	/* bytes, for attacks that drip */
	int cursor;
	int idle_max;			/* connections of the idle attack */
	struct buf frame, answer;
	uint64_t done;			/* things tried, for the report */
	uint64_t wrong;			/* answers that were not the expected ones */
};

struct attack {
	const char *name;
	void (*begin)(struct hostile *h);	/* of a window; NULL: nothing */
	void (*step)(struct hostile *h);	/* again and again; short, paces itself */
};

extern const struct attack attacks[];
extern const int attacks_n;

/* A connection, not blocking, kept in h->fd; -1: refused. */
int hostile_open(struct hostile *h);
void hostile_close(struct hostile *h, int i);	/* the last one takes its place */
void hostile_close_all(struct hostile *h);
/* Makes the compressed bombs, once. */
void hostile_prepare(void);

#endif
