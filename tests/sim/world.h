/*
 * world.h - the simulator's first world: processes of one broker over one table and one disk.
 *
 * run.c      seeds, report
 * world.c    life of the world: processes, kills, interleaving, faults, power
 * work.c     what workers and the storage process do: calls of part/part.h, the clients behind them
 * scan.c     what is read is compared with what the clients know (W1 .. W4, W7, L1)
 * watch.c    the table and the files are compared with the protocol (T1 .. T14, L4 .. L6)
 *
 * The code under test is that of src/part and src/log. docs/simulator.md says what is modelled.
 */
#ifndef SIM_WORLD_H
#define SIM_WORLD_H

#include <setjmp.h>

#include "base/rng.h"
#include "heap.h"
#include "part/part.h"
#include "sim/sim.h"
#include "sim/sim_disk.h"
#include "sim/sim_lock.h"

#define WORKERS 3
#define STORAGE WORKERS
#define PROCS (WORKERS + 1)
#define PARTS 2
#define PRODUCERS 6
#define WINDOW 5			/* max.in.flight.requests.per.connection of an idempotent client */
#define OFFSETS 4096
#define BODY_MAX 700
#define DEPTH 2				/* processes that are stopped in the middle of a call while another runs */
#define DIR "/d"

/* What happened how often; each must have happened over the seeds of a run that asks for it. */
#define COUNTERS(X) \
	X(kill, "processes killed") X(kill_all, "all processes killed") X(loss, "power losses") \
	X(stop, "clean stops") X(attach, "tables attached again") X(preempt, "calls run inside another's call") \
	X(append, "appends that committed") X(group, "appends of several producers") X(dup, "duplicates answered") \
	X(busy, "locks found taken") X(fenced, "other leader epochs") X(stale, "other truncation generations") \
	X(order, "sequences refused") X(ghost, "requests of closed connections") X(reconnect, "connections changed") \
	X(ack, "batches acknowledged") X(abort, "transactions aborted") X(commit, "transactions committed") \
	X(read, "ranges read") X(cold, "cold ranges") X(scan, "partitions read whole") X(time, "timestamps looked up") \
	X(sync, "sync jobs") X(sync_told, "syncs told for the dead") X(sync_failed, "syncs that failed") \
	X(ckpt, "checkpoints") X(trunc, "truncations") X(start, "log starts moved") X(retain, "segments retired") \
	X(roll, "rolls by time") X(reserve, "reserves") X(reopen, "replicas recovered") X(lead, "leader epochs") \
	X(remove, "topics deleted") X(damage, "table records damaged") X(rot, "bits of small files flipped") \
	X(nospc, "appends refused: disk full") X(offline, "replicas offline") X(evict, "producers pushed out") \
	X(bump, "producer epochs") X(wake, "waiters rung") X(trunc_other, "truncations by a worker")
#define X(name, text) C_##name,
enum counter { COUNTERS(X) C_N };
#undef X

struct out {				/* a batch that a client sent and has no answer for */
	uint64_t tag;			/* the same in every retry; stands in the batch */
	int64_t id;
	int16_t epoch;
	int32_t seq;
	uint32_t records, body;
	int64_t ts;
	bool txn;
	int control;			/* 0, 1 abort, 2 commit */
	bool appended;
	int64_t base;
	struct part_ticket ticket;
};

struct producer {
	int part;
	int64_t id;			/* -1: not idempotent */
	int16_t epoch;
	bool transactional, open;	/* a transaction is open, for the client */
	int conn;			/* the worker that serves it */
	struct out out[WINDOW];
	int n;
	int32_t seq;			/* of the next batch */
	uint64_t acks;
};

struct cell {				/* what an offset holds, as far as anybody may rely on it */
	uint64_t tag;			/* 0: nothing known */
	bool acked;			/* else seen below a high watermark */
};

struct batch {				/* met by a scan */
	int64_t base, last, ts, id;
	int32_t epoch;
	bool txn;
	int control;
	bool aborts;			/* a marker that ended an open transaction, and aborted it */
	int64_t first;			/* its first offset */
};

struct scan {				/* a partition read whole; private to its process */
	struct batch v[OFFSETS];
	int n;
	int64_t stable;			/* last stable offset by what was read */
};

struct waiter {				/* a process that waits for a partition to be rung */
	bool hw, lock;			/* for the high watermark, for the partition's lock */
	bool hw_rung, lock_rung;
	int64_t seen_hw;
};

struct proc {
	struct sim_event event;
	struct world *w;
	int id;
	struct sim_disk disk;
	struct sim_lock lock;
	struct heap heap;
	struct part_table *table;
	bool alive, started, inside;	/* inside: in the middle of a call */
	bool appending;			/* of an append */
	uint64_t allocs;		/* of its heap when it took the lock for an append */
	jmp_buf death;
	struct part_sync job;			/* storage: in flight */
	bool syncing;
	bool clean;			/* the checkpoint it found was of a clean stop */
	bool done;			/* it wrote the checkpoint of a clean stop */
	uint32_t job_slot;
	struct partition *reserving;
	struct waiter wait[PARTS];
	struct scan *scan;
	uint8_t bytes[PRODUCERS * WINDOW][61 + BODY_MAX];
};

struct partition {
	struct uuid topic;
	uint32_t slot;			/* PART_SLOT_NONE: the agent has to open it */
	struct cell cell[OFFSETS];
	int64_t start;			/* largest log start anybody asked for */
	bool verify;			/* nothing known may lie behind the end: after a boot */
	bool removing;
	bool leaks;			/* a process was killed while it reserved blocks */
	bool retains;			/* retention has run: it may have moved the log start */
};

struct world {
	struct sim sim;
	struct sim_fs *fs;
	struct part_limits lim;
	struct part_id id;
	void *mem;
	struct proc proc[PROCS];
	struct proc *running;
	int depth;
	struct producer prod[PRODUCERS];
	struct partition part[PARTS];
	struct out ghost;
	int ghost_part, ghost_conn;
	struct uuid ghost_topic;
	struct part_conf conf;
	struct part_retention keep;
	int32_t epoch;
	uint64_t tags, ids, topics;
	uint32_t kill_ppm, preempt_ppm;
	bool calm;			/* the last phase: no faults any more */
	bool ending;			/* the broker stops; only kills are left */
	bool hold;			/* nobody else may run now */
	uint32_t truncate_percent;	/* of what the storage process does */
	bool loose;			/* producers may be forgotten: the slab is small or they expire early */
	bool stopping;
	uint64_t reboot_us;		/* when a replica went offline: the machine is started again */
	struct sim_disk eye;		/* the checker's own view of the files */
	struct watch *watch;
	bool watching;
	const char *broken;		/* the invariant that does not hold */
	char detail[200];
};

extern uint64_t counted[C_N];
extern bool tracing;

static inline void count(enum counter c)
{
	counted[c]++;
}

/* world.c */
struct world *world_new(uint64_t seed);
void world_free(struct world *w);
/* One event and perhaps a fault. */
void world_step(struct world *w);
/* No faults any more. */
void world_calm(struct world *w);
/* All processes end in order and the power goes; then everything must be there. */
void world_end(struct world *w);
void broken(struct world *w, const char *what, const char *text, long long a, long long b);
void trace(struct world *w, struct proc *p, const char *what, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
/* Where a process may be killed, or stopped while others run. */
void world_point(struct world *w, const char *name);
/* Prints what happened at points: name, kills, interleavings. */
void points_print(void);
/* Names the points where nobody was killed, or nobody else ran; false: none. */
bool points_missing(void);
/* A mask that a call returned: who is in it is rung. */
void world_ring(struct world *w, uint64_t mask, int part);
/* The client's window goes to another worker, from its first batch on. */
void producer_reconnect(struct world *w, struct producer *d);

/* Another topic of the same name takes the place of the one that was deleted. */
void world_topic_new(struct world *w, int part);

/* work.c */
void worker_step(struct world *w, struct proc *p);
void storage_step(struct world *w, struct proc *p);

/* scan.c */
void check_view(struct world *w, int part, const struct part_view *v);
void scan_whole(struct world *w, struct proc *p, int part);
void read_somewhere(struct world *w, struct proc *p, int part);

/* watch.c */
void watch_new(struct world *w);
void watch_free(struct world *w);
void watch_boot(struct world *w);	/* a new table: nothing to compare with */
void watch_point(struct world *w);	/* anywhere */
void watch_rest(struct world *w);	/* between two calls */
void watch_append(struct world *w, struct proc *p, const char *point);	/* p is in the middle of an append */
void watch_damage(struct world *w);	/* damages a record, which its next owner must notice */

#endif
