/*
 * role.h - what a process of the broker is given at its start, and the four roles.
 *
 * A role is a set of callbacks over ports; it includes nothing of src/os. main.c (and the
 * simulator) fill the environment. A role returns from start() at once; the loop runs it.
 */
#ifndef BROKER_ROLE_H
#define BROKER_ROLE_H

#include "base/rng.h"
#include "io/clock.h"
#include "io/disk.h"
#include "io/loop.h"
#include "io/net.h"
#include "io/work.h"
#include "ipc/bell.h"
#include "part/part.h"

struct conf;				/* base/conf.h */
struct image;

struct role_listener {			/* one entry of `listeners` */
	const char *name;		/* "PLAINTEXT" */
	const char *protocol;		/* of listener.security.protocol.map */
	int idx;
};

struct role_env {
	struct conf *conf;
	struct loop *loop;
	struct net *net;
	struct disk *disk;
	struct work_port *work;		/* workers only */
	struct lock_port *lock;
	struct clock *clock;
	struct rng rng;
	struct bells *bells;
	struct part_table *table;	/* NULL in the agent until it has made or attached it */
	unsigned proc;			/* enum of ipc/bell.h */
	int idx;			/* worker or groups number */
	int workers, groups;		/* how many there are */
	uint64_t memory_bytes;		/* of this machine */
	int32_t node_id;
	const char *log_dir;
	const char *run_dir;		/* unix sockets: agent.sock, groups-<n>.sock, worker-<n>.sock */
	const struct role_listener *listeners;
	int n_listeners;
	/* Opens the newest published image (mapped read-only); E_AGAIN: none yet. */
	int (*image_map)(struct role_env *env, struct image **ret);
	void (*image_unmap)(struct role_env *env, struct image *im);
	/* Agent: publishes a block as the next generation and nudges everyone. */
	int (*image_publish)(struct role_env *env, const void *block, size_t bytes);
	/* Agent: attaches the table, or makes it (`make`) when none can be trusted; fills env->table.
	 * E_AGAIN: there is none and it was not to be made. E_DAMAGED: others use it, a reset is asked for. */
	int (*table_open)(struct role_env *env, const struct part_id *id, bool make);
	/* One line to the log: level, message, detail, hint (the last two may be NULL). */
	void (*log)(struct role_env *env, int level, const char *msg, const char *detail,
		    const char *hint);
	/* The partition table cannot be trusted any more: the supervisor ends every process that uses it, and
	 * it is made anew from the files. Logged once. */
	void (*reset)(struct role_env *env, const char *why);
	/* Agent: the supervisor holds a copy of this descriptor too, which it takes over; -1: the last one is
	 * in use, let go of those before. */
	void (*hold)(struct role_env *env, int fd);
	/* Role is ready to serve: the supervisor is told. */
	void (*ready)(struct role_env *env);
	void *role;			/* the role's own state */
};

/* Called by main after the environment is complete. < 0: the process exits with a message; E_FOREIGN and
 * E_VERSION end the broker (super.h, enum super_status), for starting again will not help. */
int worker_start(struct role_env *env);
int agent_start(struct role_env *env);
int groups_start(struct role_env *env);
int storage_start(struct role_env *env);

/* Called by the loop when the bell rang or the role was nudged. */
void worker_wake(struct role_env *env);
void agent_wake(struct role_env *env);
void groups_wake(struct role_env *env);
void storage_wake(struct role_env *env);

/* Worker: a client connection was accepted by, or handed to, this worker. */
void worker_adopt(struct role_env *env, int fd, int listener_idx);
/* Another process of this broker connected (agent.sock, groups-<n>.sock); fd is the role's now. */
void agent_peer(struct role_env *env, int fd);
void groups_peer(struct role_env *env, int fd);

/* The settings that may change did: what was made from them is made anew. */
void agent_reload(struct role_env *env);

/* TERM: finish what is in flight, then loop->stop(loop, 0). */
void worker_drain(struct role_env *env);
void agent_drain(struct role_env *env);
void groups_drain(struct role_env *env);
void storage_drain(struct role_env *env);

#endif
