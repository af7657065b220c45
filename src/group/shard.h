/*
 * shard.h - one coordinator partition: the groups whose id hashes to one partition of
 * __consumer_offsets, and everything the process around it calls.
 *
 * Is: pure. An operation checks a request against the state and ends in one of three ways:
 *   - it answers (port->reply or port->fail, possibly other calls' too),
 *   - it keeps the call parked (JoinGroup, SyncGroup) until another event answers it,
 *   - it leaves a write: records that the process must append to the partition, then
 *     shard_written() with the outcome. Only shard_replay() changes what the records say, and it
 *     runs after the append succeeded; so a failed append leaves nothing to take back.
 * Is not: aware of logs, sockets or durability. The process holds answers back until the high
 * watermark covers what was appended before them.
 *
 * Invariants (checked by group_check() and the random test):
 *   G1 while a write is outstanding no operation, tick or replay is called.
 *   G2 members awaiting a join or sync are counted exactly; a parked call is answered once.
 *   G3 a sync answer of a generation carries the assignment that was appended for it.
 *   G4 state moves only along the table of group.c.
 *   G5 the state after replay of the log equals what acknowledged operations said.
 *
 * Later: the shape of __transaction_state is the same (shard_kind below); group types besides the
 * classic one hang on struct group's type.
 */
#ifndef GROUP_SHARD_H
#define GROUP_SHARD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/rng.h"
#include "base/str.h"

/* Answers of coordinators: Kafka's numbers (proto/errors.def). */
enum group_error {
	GE_UNKNOWN = -1,
	GE_NONE = 0,
	GE_UNKNOWN_TOPIC_OR_PARTITION = 3,
	GE_OFFSET_METADATA_TOO_LARGE = 12,
	GE_LOAD_IN_PROGRESS = 14,
	GE_NOT_AVAILABLE = 15,
	GE_NOT_COORDINATOR = 16,
	GE_ILLEGAL_GENERATION = 22,
	GE_INCONSISTENT_PROTOCOL = 23,
	GE_INVALID_GROUP_ID = 24,
	GE_UNKNOWN_MEMBER = 25,
	GE_INVALID_SESSION_TIMEOUT = 26,
	GE_REBALANCING = 27,
	GE_INVALID_COMMIT_SIZE = 28,
	GE_NON_EMPTY_GROUP = 68,
	GE_GROUP_NOT_FOUND = 69,
	GE_MEMBER_ID_REQUIRED = 79,
	GE_GROUP_FULL = 81,
	GE_FENCED_INSTANCE = 82,
	GE_SUBSCRIBED_TO_TOPIC = 86,
	GE_UNKNOWN_TOPIC_ID = 100,
};

struct shard_conf {			/* Kafka's setting of each */
	int32_t min_session_ms;		/* group.min.session.timeout.ms */
	int32_t max_session_ms;		/* group.max.session.timeout.ms */
	int32_t initial_delay_ms;	/* group.initial.rebalance.delay.ms */
	int32_t new_member_ms;		/* fixed: a new member's first join, 5 minutes (trap 69) */
	int32_t max_size;		/* group.max.size */
	int64_t members_bytes_max;	/* groups.memory.bytes, ours: of all shards of the port together */
	int32_t metadata_max;		/* offset.metadata.max.bytes, in UTF-16 units as Kafka counts */
	int64_t retention_ms;		/* offsets.retention.minutes */
	int64_t check_ms;		/* offsets.retention.check.interval.ms */
};

struct group_call {			/* one request; embedded in the process' own */
	int16_t version;
	struct str client_id;		/* as in the request header; null: "" */
	struct str client_host;		/* "/127.0.0.1" */
	struct arena *arena;		/* answers are built here; lives until reply() or fail() */
};

struct group_port {
	/* response: the generated struct of the call's API. Encoded before it returns. */
	void (*reply)(struct group_port *p, struct group_call *c, const void *response);
	/* The API's own answer for an error that concerns the whole call. */
	void (*fail)(struct group_port *p, struct group_call *c, int16_t error);
	int64_t members_bytes;		/* kept by the shards: what their members' protocols and assignments take */
	uint64_t crowded;		/* joins that were refused since they would take more than members_bytes_max */
};

struct shard;

/* port and conf must outlive it; rng is the shard's own (member ids, map seeds). */
struct shard *shard_new(const struct shard_conf *conf, struct group_port *port, uint64_t seed,
			int32_t partition, int32_t leader_epoch);
/* Parked calls, and the call of an outstanding write, are failed with `error`. */
void shard_free(struct shard *s, int16_t error);

/* ---- loading ------------------------------------------------------------------------------- */

/* One record of the log, in order. E_VERSION: a newer value than we know; E_BAD: malformed. Record
 * types of others (transactions, newer groups) are skipped: OK. */
int shard_replay(struct shard *s, struct bytes key, struct bytes value) MUST_CHECK;
/* The log was read up to its end: sessions start now. */
void shard_loaded(struct shard *s);

/* ---- time ---------------------------------------------------------------------------------- */

/* To be called before each of the calls below, and before shard_loaded(). */
void shard_now(struct shard *s, int64_t mono_ms, int64_t wall_ms);
/* Monotonic milliseconds of the next deadline or INT64_MAX. */
int64_t shard_next(const struct shard *s);
/* Runs what is due, until a write is outstanding. True: call again after the write. */
bool shard_tick(struct shard *s);

/* ---- the write that an operation left -------------------------------------------------------- */

bool shard_writing(const struct shard *s);
uint32_t shard_write_records(const struct shard *s);
/* value->len -1: a tombstone. Views until shard_written(). */
void shard_write_at(const struct shard *s, uint32_t i, struct bytes *key, struct bytes *value);
/* error: 0, or the coordinator's error for a failed append. The answers that it makes must wait
 * for the high watermark to cover the append. May leave another write. */
void shard_written(struct shard *s, int16_t error);

/* ---- operations ------------------------------------------------------------------------------ */

struct group_proto {
	struct str name;
	struct bytes metadata;
};
struct join_op {
	struct str group, member, instance, protocol_type;
	int32_t session_ms, rebalance_ms;	/* v0 has no rebalance timeout: the session's (trap 65) */
	const struct group_proto *protos;	/* in order of preference; lives as long as the call */
	int32_t protos_n;
};
struct join_member {
	struct str id, instance;
	struct bytes metadata;
};
struct join_answer {
	int16_t error;
	int32_t generation;
	struct str protocol_type, protocol, leader, member;
	bool skip_assignment;
	const struct join_member *v;
	int32_t n;
};
/* port->reply gets a struct join_answer. */
void shard_join(struct shard *s, struct group_call *c, const struct join_op *op);

struct sync_assignment {
	struct str member;
	struct bytes assignment;
};
struct sync_op {
	struct str group, member, instance, protocol_type, protocol;	/* the last two null before v5 */
	int32_t generation;
	const struct sync_assignment *v;
	int32_t n;
};
struct sync_answer {
	int16_t error;
	struct str protocol_type, protocol;
	struct bytes assignment;
};
/* port->reply gets a struct sync_answer. */
void shard_sync(struct shard *s, struct group_call *c, const struct sync_op *op);

struct heartbeat_op {
	struct str group, member, instance;
	int32_t generation;
};
/* port->reply gets an int16_t. */
void shard_heartbeat(struct shard *s, struct group_call *c, const struct heartbeat_op *op);

struct leave_member {
	struct str member, instance;
	int16_t error;				/* out */
};
struct leave_op {
	struct str group;
	struct leave_member *v;			/* one before v3 */
	int32_t n;
};
/* port->reply gets the op itself. */
void shard_leave(struct shard *s, struct group_call *c, struct leave_op *op);

struct offset_commit {			/* one partition of an OffsetCommit */
	struct str topic;
	struct uuid topic_id;		/* zero: not known */
	int32_t partition;
	int64_t offset;
	int32_t leader_epoch;
	struct str metadata;		/* null: "" */
	int16_t error;			/* in: not to be committed; out: of this partition */
};
struct offset_commit_op {
	struct str group, member, instance;
	int32_t generation;
	int64_t retention_ms;		/* v2-4; -1: none */
	struct offset_commit *v;
	int32_t n;
};
/* port->reply gets the op itself when each item has its error. A whole call's error comes by fail. */
void shard_commit(struct shard *s, struct group_call *c, struct offset_commit_op *op);

struct offset_found {
	int64_t offset;			/* -1: none */
	int32_t leader_epoch;
	struct str metadata;		/* a view into the state */
};
/* topic_id zero: do not compare (a deleted topic of the same name has other offsets). */
void shard_offset(struct shard *s, struct str group, struct str topic, const struct uuid *topic_id,
		  int32_t partition, struct offset_found *ret);
/* All committed offsets of a group; partitions of one topic in order. */
void shard_offsets_each(struct shard *s, struct str group,
			void (*on)(void *ctx, struct str topic, const struct uuid *topic_id,
				   int32_t partition, const struct offset_found *o), void *ctx);

struct offset_delete_op {
	struct str group;
	struct offset_commit *v;	/* topic, partition, error are used */
	int32_t n;
};
void shard_offset_delete(struct shard *s, struct group_call *c, struct offset_delete_op *op);

/* Deletes one group; the answer is an int16_t (Kafka's error) by port->reply. */
void shard_delete(struct shard *s, struct group_call *c, struct str group);

struct group_about {			/* of ListGroups */
	struct str id, protocol_type;
	const char *state, *type;
};
void shard_each(struct shard *s, void (*on)(void *ctx, const struct group_about *a), void *ctx);
struct describe_member {
	struct str id, instance, client_id, client_host;
	struct bytes metadata, assignment;
};
struct describe_answer {
	int16_t error;			/* GE_GROUP_NOT_FOUND: state is "Dead" then (trap 76) */
	const char *state;
	struct str protocol_type, protocol;
	struct describe_member *v;
	int32_t n;
};
/* Views into the state; v from the arena (GE_UNKNOWN when it is full). */
void shard_describe(struct shard *s, struct str group, struct arena *a, struct describe_answer *ret);

/* Writes tombstones for offsets of topics that are gone (trap 80). A topic counts as gone when two
 * calls in a row did not find it. Leaves a write when there is something; true: call again. */
bool shard_topics_gone(struct shard *s, bool (*exists)(void *ctx, struct str topic,
						       const struct uuid *topic_id), void *ctx);

/* ---- facts ----------------------------------------------------------------------------------- */

/* Java's String.hashCode over the UTF-16 units of a UTF-8 text. */
int32_t group_java_hash(struct str text);
/* Coordinator partition of a group or transactional id (kafka.md 5.6: |hash| mod n, |min| = 0). */
int32_t group_partition(struct str id, int32_t partitions);
/* UTF-16 units of a UTF-8 text. */
int32_t group_utf16_units(struct str text);

/* The name of a broken invariant, or NULL (tests). */
const char *shard_check(struct shard *s);
uint32_t shard_groups(const struct shard *s);

#endif
