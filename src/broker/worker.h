/*
 * worker.h - one worker process: what its parts share. (The entry points are in role.h.)
 *
 * A turn of the loop: frames are decoded and dispatched; appends are gathered per partition and
 * done at the turn hook, one write and one commit each; answers of the turn then leave in one
 * send per connection. Everything here is private memory of this process but the partition table, the
 * cluster image (read-only) and the shared pages of bells and counters.
 */
#ifndef BROKER_WORKER_H
#define BROKER_WORKER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "broker/conn.h"
#include "broker/counters.h"
#include "broker/role.h"
#include "broker/wait.h"
#include "meta/image.h"

struct codec;
struct fetch;
struct fetch_cache;
struct part_batch;
struct relay;

#define WORKER_CREATING 64		/* names of topics whose creation was asked for lately */

struct creating {
	uint64_t at_us;
	int32_t len;
	char name[249];
};

struct worker_conf {			/* broker settings, read once at the start */
	uint32_t max_frame;		/* socket.request.max.bytes */
	uint32_t fetch_max_bytes;	/* fetch.max.bytes */
	uint32_t fetch_sessions;	/* max.incremental.fetch.session.cache.slots */
	uint32_t producer_age_ms;	/* producer.id.expiration.ms */
	int32_t offsets_partitions;	/* offsets.topic.num.partitions */
	uint64_t idle_us;		/* connections.max.idle.ms; 0: for ever */
	bool auto_create;		/* auto.create.topics.enable */
	uint32_t record_max_bytes;	/* max.decompressed.message.bytes */
	int32_t describe_max;		/* max.request.partition.size.limit */
	uint32_t max_conns;		/* max.connections */
	uint32_t max_conns_per_ip;	/* max.connections.per.ip; UINT32_MAX: not counted */
};

struct worker {
	struct role_env *env;
	struct worker_conf conf;
	struct image *im;		/* NULL: none published yet */
	uint64_t im_unread;		/* a generation that could not be read; the next tick tries again */
	uint64_t im_gen;
	struct waits waits;
	struct conn *conns;
	uint32_t conns_n;
	uint64_t refused_log_us;	/* when a refused connection was last logged */
	size_t decoded_max;		/* of one request, see worker_image() */
	struct req *spare_reqs;
	uint32_t spare_reqs_n;
	struct reply *spare_replies;
	uint32_t spare_replies_n;
	struct part_batch *append_v;	/* PART_BATCHES_MAX, for one part_append() */
	struct fetch *fetch_ready;	/* long polls to look at in this turn */
	struct codec *codec;
	struct codec *work_codec;	/* the same for env->work's thread */
	struct fetch_cache *sessions;
	struct creating creating[WORKER_CREATING];
	unsigned ticks;
	struct relay *agent;
	struct relay *groups[PROC_GROUPS_MAX];
	struct loop_timer tick;		/* heartbeat, image, retries of what was parked on a lock */
	_Atomic uint64_t *counters;
	bool draining;
	bool ready;
	bool behind;			/* BELL_BEHIND as last seen: no Produce is begun */
	uint64_t drain_until_us;
};

static inline void count_add(struct worker *w, enum counter c, uint64_t n)
{
	/* Only this process writes its counters. */
	uint64_t v = atomic_load_explicit(&w->counters[c], memory_order_relaxed);

	atomic_store_explicit(&w->counters[c], v + n, memory_order_relaxed);
}

static inline uint64_t worker_now_us(struct worker *w)
{
	return w->env->clock->mono_us(w->env->clock);
}

static inline int64_t worker_wall_ms(struct worker *w)
{
	return w->env->clock->wall_ms(w->env->clock);
}

/* A new generation of the image replaces the old one, between two requests: nothing keeps views into it. Before each
 * request, so that whoever was told of a change by another process finds it here. */
void worker_image(struct worker *w);
/* Marks everyone in `mask` for `slot`; our own waiters are served at once. */
void worker_wake_mask(struct worker *w, uint64_t mask, uint32_t slot);

/* api_fetch.c: looks again at the long polls that were woken. */
void fetch_run_ready(struct worker *w);

/* After the loop has ended, for tests and the simulator; a process just exits. */
void worker_free(struct role_env *env);

#endif
