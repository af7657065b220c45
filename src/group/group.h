/*
 * group.h - one group and its members, as the files of this folder share them.
 *
 * A group has a type; only the classic one exists today, the others hang on the same object
 * (blueprint: convertible online), so everything that is the classic protocol's own is named so.
 *
 *        +--------- a member joins ----------+
 *        |                                   v
 *     Empty <--- nobody is left ---- PreparingRebalance <----+----------------+
 *        |                                   |               |                |
 *        |                          all have joined     join, leave,     join, leave,
 *        |                                   v          expiry           expiry
 *        |                          CompletingRebalance -----+                |
 *        |                                   |                                |
 *        |                      the leader's assignment is in the log         |
 *        |                                   v                                |
 *        +---- deleted ---> Dead          Stable -----------------------------+
 */
#ifndef GROUP_GROUP_H
#define GROUP_GROUP_H

#include "base/buf.h"
#include "group/shard.h"
#include "group/smap.h"
#include "group/timers.h"

enum group_type { GROUP_CLASSIC };

enum group_state {
	GROUP_EMPTY,
	GROUP_PREPARING,
	GROUP_COMPLETING,
	GROUP_STABLE,
	GROUP_DEAD,
	GROUP_STATES
};

struct group;

struct gmember {
	struct smap_node by_id;			/* key: id */
	struct smap_node by_instance;		/* in group->statics when instance.len >= 0 */
	struct gmember *next, *prev;		/* in order of joining */
	struct group *g;
	struct str id, instance, client_id, client_host;	/* owned */
	int32_t session_ms, rebalance_ms;
	struct group_proto *protos;		/* owned; in order of preference */
	int32_t protos_n;
	struct bytes assignment;		/* owned; what the log says */
	struct group_call *join, *sync;		/* parked */
	bool is_new;				/* in its first join (trap 69) */
	bool owes_sync;				/* joined this generation, has not synced */
	struct gtimer session;
};

struct gpending {				/* got MEMBER_ID_REQUIRED, has not come back (trap 64) */
	struct smap_node by_id;
	struct group *g;
	struct str id;
	struct gtimer timer;
};

struct gvote {					/* how many members support a protocol */
	struct str name;			/* owned */
	int32_t members;
};

struct goffset {
	int32_t partition;
	int32_t leader_epoch;
	int64_t offset;
	int64_t committed_ms;
	int64_t expires_ms;			/* -1: by the retention of the broker */
	struct str metadata;			/* owned */
	struct uuid topic_id;
};

struct gtopic {
	struct smap_node by_name;
	struct str name;
	struct goffset *v;			/* by partition */
	int32_t n, cap;
	bool missing;				/* the last look did not find the topic */
};

struct group {
	struct smap_node by_id;
	struct shard *s;
	enum group_type type;
	enum group_state state, previous;
	int64_t state_ms;			/* wall clock of the last change; -1: not known */
	bool stored;				/* the log has a metadata record of it */
	struct str id;
	struct str protocol_type;		/* null: a simple group that only commits offsets */
	struct str protocol;			/* null: none chosen */
	int32_t generation;
	struct gmember *leader;
	struct gmember *first, *last;
	int32_t joining, owing;			/* members with a parked join; that owe a sync */
	struct smap members, statics, pending;
	struct gvote *votes;
	int32_t votes_n;
	bool newcomer;				/* somebody came during the initial delay */
	int64_t delay_ms, remaining_ms;		/* of the initial delay */
	bool initial;				/* join_timer is the initial delay's */
	struct gtimer join_timer, sync_timer;
	struct smap topics;			/* committed offsets */
};

enum write_then {				/* what shard_written() goes on with */
	THEN_NOTHING,
	THEN_SYNC,				/* the leader's assignment is in the log: Stable */
	THEN_STATIC,				/* a static member has a new id */
};

struct write_record {
	uint32_t key_at, key_len, value_at;
	int32_t value_len;			/* -1: tombstone */
};

struct shard_write {
	bool on;
	struct buf bytes;
	struct write_record *v;
	uint32_t n, cap;
	enum write_then then;
	struct group *g;			/* of SYNC, STATIC */
	int32_t generation;			/* of SYNC */
	struct gmember *member;			/* of STATIC: with its old protocols in ... */
	struct group_proto *old_protos;
	int32_t old_protos_n, old_session_ms, old_rebalance_ms;
	struct str old_id;			/* owned */
	struct group_call *call;		/* answered with response when the write succeeded */
	const void *response;
};

struct shard {
	const struct shard_conf *conf;
	struct group_port *port;
	struct rng rng;
	int32_t partition, epoch;
	int64_t mono, wall;
	bool loading;
	struct smap groups;
	struct timers timers;
	struct gtimer expiry;
	struct shard_write w;
};

#define GROUP_WRITE_MAX 4000		/* records of one write of expiry; the rest follows */

/* ---- group.c ------------------------------------------------------------------------------- */

struct str text_keep(struct str t);
void text_drop(struct str *t);

struct group *group_find(struct shard *s, struct str id);
struct group *group_new(struct shard *s, struct str id);
void group_free(struct group *g);		/* parked calls must be answered before */
void group_move(struct group *g, enum group_state to);
const char *group_state_name(const struct group *g);

struct gmember *member_find(const struct group *g, struct str id);
struct gmember *member_by_instance(const struct group *g, struct str instance);
struct gmember *member_add(struct group *g, struct str id, struct str instance, struct str client_id,
			   struct str client_host);
void member_remove(struct group *g, struct gmember *m);
void member_rename(struct group *g, struct gmember *m, struct str id);
/* Takes copies. */
void member_set_protos(struct group *g, struct gmember *m, const struct group_proto *v, int32_t n);
/* Gives the old ones to the caller (protos_free). */
struct group_proto *member_swap_protos(struct group *g, struct gmember *m, struct group_proto *v,
				       int32_t n, int32_t *ret_n);
struct group_proto *protos_copy(const struct group_proto *v, int32_t n);
void protos_free(struct group_proto *v, int32_t n);
int64_t protos_bytes(const struct group_proto *v, int32_t n);
struct bytes member_metadata(const struct gmember *m, struct str protocol);
struct gpending *pending_find(const struct group *g, struct str id);
void pending_remove(struct group *g, struct gpending *p);

/* True: every member supports one of v (trap 65). */
bool group_supports(const struct group *g, struct str type, const struct group_proto *v, int32_t n);
/* The protocol that wins by votes; null: no members. A view. */
struct str group_vote(const struct group *g);
/* A member reads this topic (or its subscription cannot be read): its offsets stay. */
bool group_subscribed(const struct group *g, struct str topic);
int32_t group_max_rebalance_ms(const struct group *g);
const char *group_check(const struct group *g);

/* ---- records.c: Kafka's record formats -------------------------------------------------------- */

/* A write is begun by the first record of it. */
void write_group(struct shard *s, const struct group *g, struct str protocol, struct str leader,
		 const struct gmember *renamed, struct str new_id,
		 struct bytes (*assignment)(void *ctx, const struct gmember *m), void *ctx);
void write_group_gone(struct shard *s, struct str group);
void write_offset(struct shard *s, struct str group, const struct offset_commit *o, int64_t now_ms,
		  int64_t expires_ms);
void write_offset_gone(struct shard *s, struct str group, struct str topic, int32_t partition);
/* Answers c with response when the write is done, or at once when there is none. */
void reply_after(struct shard *s, struct group_call *c, const void *response);

/* ---- offsets.c ------------------------------------------------------------------------------ */

void offset_set(struct group *g, struct str topic, int32_t partition, const struct goffset *o);
void offset_drop(struct group *g, struct str topic, int32_t partition);
void offsets_free(struct group *g);
/* Expiry (trap 74): leaves a write; true: there is more. */
bool offsets_expire(struct shard *s);

/* ---- classic.c ------------------------------------------------------------------------------ */

void classic_synced(struct shard *s, struct group *g, int32_t generation, int16_t error);
void classic_static_done(struct shard *s, int16_t error);
/* Sessions of members after the load. */
void classic_loaded(struct group *g);
/* Everybody who is parked gets `error`. */
void classic_fail_all(struct group *g, int16_t error);

#endif
