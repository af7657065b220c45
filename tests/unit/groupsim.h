/*
 * groupsim.h - one coordinator partition over an array as its log, with a clock that the test moves.
 * Used by the unit tests and by the program that runs planted bugs.
 */
#ifndef GROUPSIM_H
#define GROUPSIM_H

#include "group/shard.h"

enum { K_OTHER, K_JOIN, K_SYNC, K_CODE, K_LEAVE, K_COMMIT };

struct sim_call {
	struct group_call call;
	struct arena arena;
	struct sim_call *next;
	int kind;
	int done;			/* answers; more than one is a bug */
	int16_t error;
	int32_t generation, members;
	char member[128], leader[128], text[256];
	char ids[16][128];
	bool skip;
	int32_t asked_generation;	/* of a sync */
	struct group_proto proto;
};

struct sim_record {
	uint8_t *p;
	int32_t key_len, value_len;
};

struct sim {
	struct group_port port;
	struct shard_conf conf;
	struct shard *s;
	uint64_t seed;
	int64_t mono, wall;
	struct sim_call *calls;
	struct sim_record *log;
	uint32_t log_n;
};

void sim_init(struct sim *t, uint64_t seed);
void sim_ready(struct sim *t);			/* loaded, serving */
void sim_free(struct sim *t);
/* The process dies and reads the log again; parked calls get 16. */
void sim_restart(struct sim *t);
/* Ends the outstanding write: 0 = it is in the log. */
void sim_append(struct sim *t, int16_t error);
/* Time goes on; what timers write is appended. */
void sim_pass(struct sim *t, int64_t ms);
struct sim_call *sim_call(struct sim *t, int16_t version);
struct sim_call *sim_join(struct sim *t, int16_t version, const char *group, const char *member,
			  const char *instance, const char *type, int32_t session_ms, const char *protocol);
/* Assigns "a" to everybody. */
struct sim_call *sim_sync(struct sim *t, const char *group, const char *member, int32_t generation);
int16_t sim_beat(struct sim *t, const char *group, const char *member, int32_t generation);
int16_t sim_beat_static(struct sim *t, const char *group, const char *member, const char *instance,
			int32_t generation);
int16_t sim_leave(struct sim *t, const char *group, const char *member, const char *instance);
int16_t sim_commit(struct sim *t, int16_t version, const char *group, const char *member,
		   int32_t generation, const char *topic, int32_t partition, int64_t offset);
int64_t sim_offset(struct sim *t, const char *group, const char *topic, int32_t partition);
int16_t sim_delete(struct sim *t, const char *group);
/* A random run of so many steps. NULL or the broken invariant; counts (may be NULL): syncs that
 * were answered, commits, restarts, expired sessions. */
const char *sim_random(uint64_t seed, int steps, uint64_t counts[4]);

#endif
