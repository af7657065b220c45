/*
 * keeper.h - the supervisor's state, shared by the files it is split into: main_super.c (children,
 * signals), main_open.c (what must be there before the first child), main_reload.c (SIGHUP, SIGUSR1),
 * main_upgrade.c (SIGUSR2).
 */
#ifndef BROKER_KEEPER_H
#define BROKER_KEEPER_H

#include <sys/types.h>

#include "broker/host.h"
#include "broker/super.h"

struct keeper {
	struct host *h;
	struct super policy;
	struct bell_port port;
	struct bells *bells;
	pid_t pid[SUPER_CHILDREN_MAX];
	pid_t checker;			/* it reads the new settings; 0: none does */
	bool upgrade;			/* and is the new release */
	uint64_t checker_ms;		/* since then */
	unsigned owed[SUPER_CHILDREN_MAX];	/* signals for when the child is ready, by bit */
	int n_held;			/* descriptors FD_HELD ... */
	int signals;			/* signalfd */
	bool killed;			/* the broker before us did not end by itself */
	bool served;			/* every role was ready once */
	bool end;
	uint64_t watchdog_ms, watched_ms;
};

/* Locks the log directory, opens listeners and doorbells, makes the shared pages, writes the settings
 * for children. What is wrong was logged. */
int keeper_open(struct keeper *k) MUST_CHECK;
/* No child lives: throws the partition table and the images away. */
void keeper_wipe(struct keeper *k);
/* After a clean end nothing in the run directory is of use: its memory is given back. */
void keeper_leave(struct keeper *k);

/* ---- main_upgrade.c ---- */

/* Becomes what is in the program file now, with the same process number, descriptors and children.
 * Returns only if that failed, which was logged. */
void keeper_become(struct keeper *k);
/* The other end of it: takes over what `list` names, instead of keeper_open(). */
int keeper_take_over(struct keeper *k, const char *list, uint64_t now_ms) MUST_CHECK;

/* ---- main_reload.c ---- */

/* upgrade: the program file is to take over, if it likes the settings. */
void keeper_reload(struct keeper *k, uint64_t now_ms, bool upgrade);
/* The checker ended. */
void keeper_checked(struct keeper *k, int status);
void keeper_tick_reload(struct keeper *k, uint64_t now_ms);
/* SIGHUP or SIGUSR1 to every child, to one that is starting once it serves. */
void keeper_owe(struct keeper *k, int signo);

#endif
