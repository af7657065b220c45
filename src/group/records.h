/* records.h - reading Kafka's records of __consumer_offsets; everything is a view into the input. */
#ifndef GROUP_RECORDS_H
#define GROUP_RECORDS_H

#include "group/group.h"

enum record_kind { RECORD_OFFSET, RECORD_GROUP, RECORD_OTHER };

struct record_key {
	int16_t type;
	enum record_kind kind;
	struct str group, topic;
	int32_t partition;
};

struct record_group {
	int16_t version;
	struct str protocol_type, protocol, leader;
	int32_t generation;
	int64_t state_ms;
	int32_t members;		/* read with record_group_member(), this many times */
	const uint8_t *p, *end;
};

struct record_member {
	struct str id, instance, client_id, client_host;
	int32_t rebalance_ms, session_ms;
	struct bytes subscription, assignment;
};

/* All: OK, E_BAD, E_VERSION (a newer value). */
int record_key(struct bytes key, struct record_key *ret) MUST_CHECK;
int record_offset(struct bytes value, struct goffset *ret) MUST_CHECK;
int record_group_open(struct bytes value, struct record_group *ret) MUST_CHECK;
int record_group_member(struct record_group *g, struct record_member *ret) MUST_CHECK;

#endif
