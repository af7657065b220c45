/*
 * groups.h - the groups process: what its files share. (Entry points are in role.h.)
 *
 * Is: sockets, the log and the clock around the pure coordinator (group/shard.h). A request comes as a
 * frame of a worker (forward.h), is decoded, waits for its coordinator partition, is run, and its
 * answer leaves when the high watermark covers everything that was appended before it.
 *
 * Invariants:
 *   P1 an answer that shows a state leaves only when the log holds that state durably (the high
 *      watermark is the gate); heartbeats show none and leave at once.
 *   P2 a partition whose leader epoch, slot or truncation generation changed is dropped whole: all its
 *      requests get NOT_COORDINATOR and its state is read from the log again.
 *   P3 records are replayed only after part_append() committed them (G1 of shard.h).
 */
#ifndef BROKER_GROUPS_H
#define BROKER_GROUPS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "broker/role.h"
#include "group/shard.h"
#include "meta/image.h"
#include "wire/kafka_api.h"

struct gproc;
struct greq;

struct gpeer {				/* one worker's stream */
	struct gproc *p;
	struct net_conn *nc;
	struct greq *first;		/* requests that it waits for */
};

struct gcall {				/* one operation of a request: port callbacks find their way by it */
	struct group_call call;
	struct greq *q;
	int32_t idx;			/* of DeleteGroups: which group; else 0 */
};

struct gbarrier {
	int32_t partition;
	uint64_t life;			/* of the partition: a later one means it was dropped */
	int64_t end;
};

struct greq {
	struct gproc *p;
	struct gpeer *peer;		/* NULL: gone, the answer is dropped */
	struct greq *prev, *next;	/* of the peer */
	struct greq *queue;		/* next in a partition's queue or in its held answers */
	uint64_t id;
	const struct kafka_api *api;
	int16_t version;
	int32_t correlation;
	int listener;
	uint8_t *frame;			/* of the net port; what is decoded are views of it */
	struct arena arena;
	void *msg;			/* the decoded request */
	struct gcall *call;
	int32_t turn;			/* DeleteGroups: the group that is next */
	void *op, *answer;		/* of the handler */
	struct gbarrier *bar;		/* what the answer waits for */
	int32_t bar_n, bar_cap;
	struct buf out;			/* the whole reply frame */
	uint64_t held_us;		/* since when it waits for the high watermark or the topic; 0: it does not */
};

enum gstate { G_ABSENT, G_LOADING, G_READY };

struct gload;

struct gshard {				/* one coordinator partition */
	struct gproc *p;
	int32_t partition;
	enum gstate state;
	uint64_t life;			/* +1 each time it is dropped */
	int32_t epoch;
	uint32_t slot;
	struct uuid topic;
	struct shard *s;
	struct gload *load;
	uint64_t load_us;		/* when the load began */
	uint64_t generation;		/* truncation generation of the log */
	int64_t end;			/* of the last append: what answers wait for */
	struct greq *wait_first, *wait_last;	/* a write is stuck: run later */
	struct greq *held_first, *held_last;	/* answers that wait for the high watermark */
	bool recheck_topics;
	bool running;			/* inside an operation: no other may begin */
};

struct gproc {
	struct role_env *env;
	struct group_port port;
	struct shard_conf conf;
	struct image *im;
	uint64_t im_gen;
	int32_t partitions;
	struct gshard *v;		/* all partitions; those of other processes stay absent */
	struct codec *codec;
	unsigned compression;		/* offsets.topic.compression.codec */
	uint64_t timeout_us;		/* offsets.commit.timeout.ms */
	struct loop_timer timer;
	struct net_conn *agent;
	bool agent_up;
	uint64_t create_us;		/* when the topic was asked for */
	struct greq *find_first, *find_last;	/* FindCoordinator before the topic is there */
	uint64_t agent_id;
	uint64_t topics_us;		/* next look for deleted topics; 0: none is due */
	int topics_looks;
	uint64_t crowded, crowded_us;	/* joins refused for memory when it was last logged, and when that was */
};

/* ---- groups.c ------------------------------------------------------------------------------ */

/* True: the partition is being read since a moment: q waits for it (api_group_run() comes then). */
bool groups_wait_load(struct gproc *p, struct str group, struct greq *q);
/* The partition of a group when it is served here and loaded; else NULL with Kafka's code. */
struct gshard *groups_shard(struct gproc *p, struct str group, int16_t *ret_error);
/* Runs q (api_group_run) on its partition, now or after a stuck write. */
void groups_run(struct gshard *sh, struct greq *q);
/* The answer waits for what this partition has appended so far. */
void groups_barrier(struct greq *q, struct gshard *sh);
/* q->out is complete: leaves when its barriers have passed. The request ends. */
void groups_answer(struct greq *q);
/* Ends the request; the worker closes the client's connection. */
void groups_close(struct greq *q);
/* Asks the agent to make __consumer_offsets; at most once a second. */
void groups_create_topic(struct gproc *p);
/* True: the topic is being made since a moment: q waits for it (api_group_begin() comes again then). */
bool groups_wait_topic(struct gproc *p, struct greq *q);

/* Everything is given back (tests); requests that wait are dropped. */
void groups_free(struct role_env *env);

/* ---- load.c -------------------------------------------------------------------------------- */

/* Starts reading the partition's log; groups_loaded() comes later from the loop. */
void load_start(struct gshard *sh);
void load_stop(struct gshard *sh);
/* Goes on after a pause (slot not ready, cold header). */
void load_poll(struct gshard *sh);
void groups_loaded(struct gshard *sh);

/* ---- api_group.c --------------------------------------------------------------------------- */

/* A decoded request: answers it, or gives it to groups_run(). */
void api_group_begin(struct greq *q);
/* Its turn on the partition has come. */
void api_group_run(struct greq *q, struct gshard *sh);
void api_group_reply(struct group_port *port, struct group_call *c, const void *response);
void api_group_fail(struct group_port *port, struct group_call *c, int16_t error);

#endif
