/*
 * fetch_session.h - incremental fetch sessions (KIP-227; traps 48, 54, 55), private to one worker.
 *
 * A session remembers which partitions a client wants and what it was told, so that requests and
 * answers carry differences only. Sessions are not shared between workers: an id that another
 * worker gave is unknown here (70), and the client starts a full one. Bounded: at most `max` sessions;
 * a new one may push out one that nobody used for two minutes, or whose connection is gone.
 *
 * Invariants
 *   S1 a session with a request in processing is busy: it is neither changed, evicted nor freed by others.
 *   S2 wants of a session are in the order in which they are served; each (topic, partition) once.
 */
#ifndef BROKER_FETCH_SESSION_H
#define BROKER_FETCH_SESSION_H

#include "base/rng.h"
#include "broker/fetch.h"
#include "wire/kafka_gen.h"

#define FETCH_EPOCH_FINAL (-1)

struct conn;
struct fetch_cache;

struct fetch_session {
	int32_t id;			/* > 0 */
	int32_t epoch;			/* what the next request must carry */
	bool by_id;			/* topics by id (v13+) */
	bool busy;			/* S1 */
	bool dead;			/* closed while busy: freed when it is put back */
	const struct conn *owner;	/* NULL: its connection is gone */
	uint64_t used_us;
	uint32_t n;
	struct fetch_want *first, *last;
	struct fetch_want **hash;
	uint32_t hash_cap;
	struct fetch_session *chain;
	struct fetch_session *older, *newer;	/* by use */
};

struct fetch_cache *fetch_cache_new(uint32_t max, struct rng *rng);
void fetch_cache_free(struct fetch_cache *c);

/*
 * An incremental request (session epoch > 0): finds the session, applies added and forgotten
 * partitions, and makes it busy. Returns Kafka's code: 70, 71, 106 with *ret untouched, or 0.
 * *ret NULL with 0: the session is empty now and was closed.
 */
int16_t fetch_session_take(struct fetch_cache *c, const struct fetch_request *m, bool by_id,
			   uint64_t now_us, struct fetch_session **ret);
/* After the answer of an incremental request: moves on the epoch; those at v[] that had records go to the
 * tail. */
void fetch_session_put(struct fetch_cache *c, struct fetch_session *s);
/* A full request names an old session: it is closed. */
void fetch_session_close(struct fetch_cache *c, int32_t id);
/* A new session over copies of the wants with what the client is told now; 0: no room, the answer has no
 * session. */
int32_t fetch_session_make(struct fetch_cache *c, const struct conn *owner, bool by_id,
			   struct fetch_want *const *wants, const struct fetch_got *got, uint32_t n,
			   uint64_t now_us, bool *ret_evicted);
/* Trap 48: this partition was served, others go first next time. */
void fetch_session_to_tail(struct fetch_session *s, struct fetch_want *w);
void fetch_sessions_conn_gone(struct fetch_cache *c, const struct conn *conn);

/* A partition of a request as a want; the strings stay the request's. */
void fetch_want_of(const struct fetch_request_fetch_topic *t, const struct fetch_request_fetch_partition *p,
		   struct fetch_want *ret);

#endif
