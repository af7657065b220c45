/*
 * work.h - the port for computing that takes longer than a turn of the loop may: another thread does it.
 *
 * For few, big pieces (a batch that unpacks to megabytes), never for the usual case. One thread a
 * process, of lower priority than the loop, in order of submission.
 */
#ifndef IO_WORK_H
#define IO_WORK_H

struct work {
	/* On the other thread: touches only what it was given and nobody else uses meanwhile. */
	void (*run)(struct work *w);
	void (*done)(struct work *w);	/* in the loop, later, exactly once */
	struct work *next;		/* for the port only */
};

struct work_port {
	/* Never blocks and never calls done() itself; w belongs to the port until done(). */
	void (*submit)(struct work_port *p, struct work *w);
};

#endif
