/*
 * bell.h - the port that wakes another process of this broker (an eventfd in src/os).
 *
 * Who is woken looks at its dirty set in the shared pages (ipc/bell.h). Only who sleeps is rung.
 */
#ifndef IO_BELL_H
#define IO_BELL_H

struct bell_port {
	void (*ring)(struct bell_port *b, unsigned proc);	/* proc: see ipc/bell.h */
};

#endif
