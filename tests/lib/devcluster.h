/*
 * devcluster.h - `moldau dev` as a child of a test: start, processes by role, deaths, metrics, end.
 *
 * Tells what the tests must be able to account for: the living processes, and those that the log says were
 * replaced (by the supervisor, or by moldau dev when it was the supervisor or the quorum).
 */
#ifndef TESTS_DEVCLUSTER_H
#define TESTS_DEVCLUSTER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum dev_role { DEV_WORKER, DEV_AGENT, DEV_GROUPS, DEV_STORAGE, DEV_SUPERVISOR, DEV_QUORUM, DEV_ROLES };
extern const char *const dev_role_name[DEV_ROLES];

#define DEV_PROCS_MAX 64
#define DEV_ARGS_MAX 40

struct dev_proc {
	pid_t pid;
	enum dev_role role;
};

struct dev_cluster {
	char dir[200];			/* data, log and run files; made by dev_start() when empty */
	char bin[300];			/* folder of moldau, moldau-broker, moldau-quorum */
	char log[240];
	int port, metrics_port;
	pid_t pid;
	int ready_fd;
};

/* A free port of 127.0.0.1. */
int dev_free_port(void);
/* Starts it and waits until it is ready; settings: NAME=VALUE, NULL at the end. False: said why. */
bool dev_start(struct dev_cluster *d, int workers, const char *const *settings);
/* The living processes; how many. */
int dev_scan(struct dev_cluster *d, struct dev_proc *v);
/* Runs the moldau command of d->bin; true: it ended with 0. */
bool dev_moldau(struct dev_cluster *d, const char *const *args);
/* Sum of a metric over its labels; labels NULL or a part of what stands in {}; -1: no answer. */
double dev_metric(struct dev_cluster *d, const char *name, const char *labels);
/* TERM, then waits; the exit status, or -1 when it had to be killed. */
int dev_stop(struct dev_cluster *d, int seconds);
/* Lines of the log that contain text. */
int dev_log_count(struct dev_cluster *d, const char *text);
/* Process ids in "a process ended and is replaced" lines, with their role; how many. */
int dev_replaced(struct dev_cluster *d, struct dev_proc *v, int max);
/* Files that look like a core. */
int dev_cores(struct dev_cluster *d);
void dev_remove(struct dev_cluster *d);		/* the folder */

#endif
