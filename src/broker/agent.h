/*
 * agent.h - the agent of a broker, inside: its state, shared by agent.c (quorum, mirror, image),
 * agent_register.c (this broker in the quorum), agent_parts.c (replicas hosted here) and agent_job.c (requests
 * forwarded to it).
 *
 * Way of a change: the quorum's feed -> mirror (meta/state.h) -> slots of the partition table and their
 * leaders -> image -> everybody. Nothing else changes what the broker believes. Requests make batches
 * for the quorum and are answered when what they asked for is in the published image.
 */
#ifndef BROKER_AGENT_H
#define BROKER_AGENT_H

#include <stdbool.h>
#include <stdint.h>

#include "broker/role.h"
#include "broker/super.h"
#include "client/quorum.h"
#include "meta/control.h"

#define LOG_INFO 1
#define LOG_WARN 2
#define LOG_ERROR 3

struct job;

struct agent {
	struct role_env *env;
	struct qclient *q;
	struct meta *m;			/* the mirror; empty until synced */
	struct meta *loading;		/* a snapshot on its way in, or NULL */
	char cluster_id[64];
	bool table_open;
	bool synced;			/* the mirror is a state that the cluster had */
	bool dirty;			/* changed since the last image */
	bool gone;			/* something may have been deleted: look for slots to free */
	bool ready_told, published, registering, registered;
	bool failed;			/* stopping: a newer release wrote the tree, or foreign storage */
	int64_t rival;			/* session of another broker with our node.id; 0: none */
	uint64_t rival_us;		/* since when */
	uint64_t workers_mine;		/* worker nodes of our session */
	uint32_t worker_gen[PROC_WORKERS_MAX];	/* which process of the worker the node stands for */
	uint64_t reopened_us;
	uint64_t workers_asked;		/* batches on their way */
	uint32_t pending;		/* hosted partitions that do not lead or serve yet */
	uint64_t pending_since_us;
	struct uuid incarnation;
	struct loop_timer tick, soon, reopen;
	struct peer *peers;
	struct job *queue, **queue_end;	/* not decided yet; the first may have a batch on its way */
	struct job *waiting;		/* committed, not in the image yet */
	int64_t ids_next, ids_end;	/* producer ids left of our block */
	int64_t image_zxid;
	struct conf_listener listeners[CONF_LISTENERS_MAX];
	int listeners_n;
};

/* ---- agent_parts.c ---- */

/* Slots and leaders as the mirror says; sets a->pending. */
void agent_parts(struct agent *a);
/* Frees the slots of replicas that are no longer hosted here; after the image without them. */
void agent_parts_gone(struct agent *a);

/* ---- agent_job.c ---- */

void agent_jobs(struct agent *a);	/* goes on with what can go on */
void agent_peer_adopt(struct agent *a, int fd);

/* ---- agent_register.c ---- */

/* The broker, then its workers, as nodes of the session; called again and again while the session lives. */
void agent_register(struct agent *a);

/* ---- agent.c ---- */

/* Ends this process, and the broker when starting again would not help (`why`). */
void agent_fail(struct agent *a, enum super_status why, const char *msg, const char *detail, const char *hint);
void agent_log(struct agent *a, int level, const char *msg, const char *detail, const char *hint);
uint64_t agent_now_us(const struct agent *a);

#endif
