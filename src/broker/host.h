/*
 * host.h - what the supervisor and the roles agree on: descriptors by number, files by name.
 * Used by main.c and the two files it is split into; not by roles.
 */
#ifndef BROKER_HOST_H
#define BROKER_HOST_H

#include "base/conf.h"
#include "ipc/bell.h"

/* Descriptors that a child inherits, by number. */
#define FD_EVENT 64			/* + proc: doorbells */
#define FD_LISTENER 130			/* + index of the listener */
#define FD_AGENT 150
#define FD_GROUPS 151			/* + index */
#define FD_WORKER 160			/* + index */
#define FD_LAST (FD_WORKER + PROC_WORKERS_MAX)

#define HOST_PARTS 131072u		/* slots of the partition table */
#define HOST_PRODUCERS 262144u

struct host {
	struct conf *conf;
	char run_dir[256], log_dir[256];
	int workers, groups;
	struct conf_listener listeners[CONF_LISTENERS_MAX];
	int n_listeners;
	int argc;
	char **argv;
};

/* The supervisor: runs until TERM; its exit status. */
int supervise(struct host *h);
/* One role; its exit status. */
int run_role(struct host *h, const char *role, int idx);

#endif
