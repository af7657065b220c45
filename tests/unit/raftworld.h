/*
 * raftworld.h - several of the production's struct raft over a network and disks that a test bends: time in
 * milliseconds, messages that are delayed, doubled, lost and cut one way, disks that stall, crashes that
 * forget what was not durable. Checks the safety invariants of raft.h after every step; a broken one is told
 * and counted.
 */
#ifndef TESTS_RAFTWORLD_H
#define TESTS_RAFTWORLD_H

#include "raft/raft.h"

#define RW_NODES 9
#define RW_LOG 6000
#define RW_WIRE 2048

struct rw_entry {
	uint64_t term;
	enum raft_entry_type type;
	struct raft_config config;
};

struct rw_node {
	struct raft r;
	struct raft_store store;
	struct rw_entry log[RW_LOG];	/* [1..last]: what is in memory and on the disk */
	uint64_t last, durable, base;
	uint64_t term_on_disk, vote_on_disk;
	bool recovering_on_disk, alive, stalled, paused;
	uint64_t commit, at_ms, passed_round;
	uint64_t upto;			/* of its log nothing behind it can be read back for peers; 0: all can */
	struct {			/* a sync under way: what was the log's end when it began; 0: none */
		uint64_t index, term;
	} sync;
	struct {			/* the newest read: its round, the commit it will see; 0: none */
		uint64_t round, index, floor;	/* floor: the newest that was committed when it was asked for */
	} read;
	struct raft_config base_config;
};

struct rw_packet {
	bool used;
	bool late;			/* a second copy, until rw_late() */
	uint64_t at_ms;
	struct raft_msg m;
	struct rw_entry v[RAFT_BATCH_MAX];
	struct raft_config config;	/* SNAPSHOT: of its index */
};

struct rw {
	uint64_t now;
	uint32_t n;
	struct rw_node node[RW_NODES];	/* node i has the number i + 1 */
	struct rw_packet wire[RW_WIRE];
	bool cut[RW_NODES][RW_NODES];	/* from, to */
	bool held[RW_NODES][RW_NODES];	/* what is on its way stays there */
	uint32_t loss, doubled;		/* percent */
	uint32_t delay_ms;		/* 1 .. delay_ms, a tenth up to 200 when wild */
	bool wild;
	uint32_t sync_chance;		/* one in so many ticks a disk finishes; 1: at once */
	struct rng rng;
	uint64_t leader_of[4096];	/* by term */
	struct rw_entry committed[RW_LOG];
	uint64_t max_commit;
	uint64_t elections, truncated, images, broken, handed_over, steps, damaged;
	const char *what;		/* the first that broke */
	bool quiet;			/* nothing of it is printed: it is wanted */
	/* What happened, in words; NULL: nobody listens. */
	void (*trace)(void *user, const char *line);
	void *user;
};

struct rw *rw_new(uint32_t voters, uint32_t nodes, uint64_t seed);
void rw_free(struct rw *w);
void rw_tick(struct rw *w);
void rw_run(struct rw *w, uint32_t ms);
/* The event goes to node i (0 based) with all that follows; raft_step()'s answer. */
int rw_step(struct rw *w, uint32_t i, struct raft_event ev, struct raft_effects *ret);
void rw_crash(struct rw *w, uint32_t i);
void rw_start(struct rw *w, uint32_t i);
/* The disk is new, and so is the number that belongs to it. */
void rw_wipe(struct rw *w, uint32_t i, uint32_t as);
/* It asks for votes now, as if its leader had told it to. */
void rw_elect(struct rw *w, uint32_t i);
/* A sync begins, and ends: what it tells then is of the log as it was. */
void rw_sync(struct rw *w, uint32_t i);
void rw_synced(struct rw *w, uint32_t i);
/* What is on its way from i to k is doubled; the copies arrive when they are let. */
void rw_double(struct rw *w, uint32_t i, uint32_t k);
void rw_late(struct rw *w, uint32_t i, uint32_t k);
int rw_read(struct rw *w, uint32_t i);
int rw_propose(struct rw *w, uint32_t i, uint32_t count);
int rw_change(struct rw *w, uint32_t i, const struct raft_config *c);
/* The leader of the highest term that is alive, or -1. */
int rw_leader(const struct rw *w);
/* Drops the log of node i up to its commit index, as after a snapshot. */
void rw_compact(struct rw *w, uint32_t i);
void rw_isolate(struct rw *w, uint32_t i, bool on);
const char *rw_role(enum raft_role r);

#endif
