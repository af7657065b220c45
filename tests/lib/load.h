/*
 * load.h - idempotent produce load: pipelined connections that live through every death of the cluster.
 *
 * Each client has one connection, one producer id and a sequence per partition, keeps several requests
 * in flight, and does what a real client does with errors and lost connections: it asks again, in
 * order, from the first batch that was not acknowledged. It can change its producer id now and then.
 * What was acknowledged at which offset is kept for checkers. One thread runs all clients.
 *
 * A record is "<client> <counter> <padding>"; counters of a client in a partition start at 0 and
 * have no gaps. The number of records of a batch is a function of (client, partition, counter), so a
 * retry is byte for byte the same batch.
 */
#ifndef TESTS_LOAD_H
#define TESTS_LOAD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define LOAD_PARTS_MAX 64
#define LOAD_CLIENTS_MAX 64
#define LOAD_IN_FLIGHT_MAX 5		/* Kafka's limit of idempotent producers */
#define LOAD_NONE UINT32_MAX

struct load_part {
	const char *topic;		/* partitions of a topic stand together */
	int32_t partition;
};

struct load_conf {
	int port;
	int clients;
	const struct load_part *parts;
	int parts_n;
	int in_flight;			/* requests of a connection */
	uint32_t record_bytes;		/* largest value */
	uint64_t seed;
	uint32_t rotate;		/* requests between two producer ids of a client; 0: never */
	int ask_timeout_ms;		/* an answer that takes longer: the connection is given up */
};

struct load_seq {			/* a client in a partition */
	uint64_t acked;			/* counters below are acknowledged without a gap */
	uint64_t next;			/* of the next batch */
	uint64_t sent;			/* counters below may be in the log */
	uint64_t first;			/* counter of sequence 0 of the current producer id */
	uint32_t *offset;		/* of each counter that was acknowledged; LOAD_NONE: not yet */
	uint64_t cap;
	int in_flight;
	bool broken;			/* an error came: nothing is sent until all answers are in */
};

enum load_violation {
	LOAD_REFUSED,			/* a sequence or producer refused that was honest */
	LOAD_MOVED,			/* a retry was answered with another offset */
	LOAD_UNKNOWN,			/* an error that no honest client should see */
	LOAD_MALFORMED,			/* an answer that does not parse or was not asked for */
	LOAD_VIOLATIONS
};
extern const char *const load_violation_name[LOAD_VIOLATIONS];

struct load_stats {			/* read while it runs */
	_Atomic uint64_t acks;		/* batches acknowledged, each counted once */
	_Atomic uint64_t records;
	_Atomic uint64_t requests;
	_Atomic uint64_t retried;	/* batches sent again */
	_Atomic uint64_t errors;	/* partitions answered with a retriable error */
	_Atomic uint64_t reconnects;
	_Atomic uint64_t timeouts;	/* answers that did not come in time */
	_Atomic uint64_t producer_ids;
	_Atomic uint64_t longest_gap_us;	/* between two acknowledgements of anybody */
	_Atomic uint64_t bad[LOAD_VIOLATIONS];
	_Atomic uint64_t error_code[128];
};

struct load;

struct load *load_new(const struct load_conf *conf);
void load_free(struct load *l);
/* Runs until *stop, then until everything sent is acknowledged or drain_ms are over. True: all is. */
bool load_run(struct load *l, const _Atomic int *stop, int drain_ms);
struct load_stats *load_stats(struct load *l);
const struct load_seq *load_seq(const struct load *l, int client, int part);

/* The client and counter in a record's value; false: it is none of ours. */
bool load_value(const uint8_t *value, uint32_t len, uint32_t *ret_client, uint64_t *ret_counter);
/* Records of the batch that starts with this counter. */
uint32_t load_batch_records(int client, int part, uint64_t counter);

#endif
