/*
 * host.h - what the supervisor and the roles agree on: descriptors by number, files by name.
 * Used by main.c and the files it is split into (main_*.c); not by roles.
 */
#ifndef BROKER_HOST_H
#define BROKER_HOST_H

#include "base/conf.h"
#include "ipc/bell.h"
#include "part/part.h"

#define HOST_METRICS_MAX 4		/* metrics.listeners */
#define HOST_HELD_MAX 16		/* liveness connections held for the agents */

/* Descriptors that a child inherits or the supervisor holds, by number. */
#define FD_EVENT 64			/* + proc: doorbells */
#define FD_LISTENER 130			/* + index of the listener */
#define FD_METRICS 146			/* + index */
#define FD_AGENT 150
#define FD_GROUPS 151			/* + index */
#define FD_WORKER 160			/* + index */
#define FD_HOLD (FD_WORKER + PROC_WORKERS_MAX)	/* supervisor's end of the pair, and the agent's */
#define FD_HAND (FD_HOLD + 1)
#define FD_LOCK (FD_HOLD + 2)		/* of the log directory */
#define FD_RUN_LOCK (FD_HOLD + 3)
#define FD_TABLE (FD_HOLD + 4)		/* partition table and shared pages, where there is no tmpfs */
#define FD_PAGES (FD_HOLD + 5)
#define FD_HELD (FD_HOLD + 6)
#define FD_LAST (FD_HELD + HOST_HELD_MAX - 1)

/* Of descriptors, role names and messages between the processes: changed with any of them. */
#define HOST_LAYOUT 1
/* In the environment of a supervisor that takes over from the one before it: path of the list. */
#define HOST_HANDOVER "MOLDAU_HANDOVER"

/* Letters on the pair. */
#define HAND_LIVE 'L'			/* a liveness connection: hold it */
#define HAND_WATCHED 'W'		/* the last one is at work: let go of the others */

struct host {
	struct conf *conf;
	char run_dir[256], log_dir[256];
	char program[512];		/* the file that the supervisor was started from */
	char settings[300];		/* the settings in force, for children: <run_dir>/settings */
	char table[300], pages[300];	/* paths of the shared memory */
	bool no_tmpfs;			/* it is no file in run_dir, but descriptors of the supervisor */
	struct part_limits limits;
	int workers, groups;
	struct conf_listener listeners[CONF_LISTENERS_MAX];
	int n_listeners;
	int n_metrics;
	int argc;
	char **argv;
};

/* ---- main_conf.c ---- */

/* Settings of the command line and its file into h->conf, checked; OK, or < 0 with err[CONF_ERR_BYTES]. */
int host_settings(struct host *h, bool quiet, char *err);
/* The settings in force that a handover list lies beside, instead of those of the command line. */
int host_settings_in_force(struct host *h, const char *handover, char *err);
/* What has to be the same for processes of two releases to work together: "1.2.3". */
void host_layout(char *ret, size_t cap);
int host_write_settings(const struct conf *c, const char *path);
/* h->conf against the settings in force at `settings`: writes <settings>.new, which may be put in their
 * place, and logs what changes and what needs a restart. */
int host_check_reload(struct host *h, const char *settings);
/* Takes over from h->settings what a reload may change. */
void host_reload(struct host *h);

/* The supervisor: runs until TERM; its exit status. */
int supervise(struct host *h);
/* One role; its exit status. */
int run_role(struct host *h, const char *role, int idx);

#endif
