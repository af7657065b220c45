/*
 * image.h - the cluster image: one immutable, pointer-free block that the agent publishes and every
 * process of the broker reads. A new generation is a new block; readers drop the old one.
 *
 * Pure: a builder makes a block from the tree's contents; readers search it. All lookups are
 * O(log n) or better and never trust a length that they did not check against the block's size.
 * Everything a hot path needs of a topic (settings resolved over topic, cluster and broker
 * defaults) is a fixed struct here, so a worker never parses a setting.
 */
#ifndef META_IMAGE_H
#define META_IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

struct image;				/* handle on a checked block */

struct image_conf {			/* a topic's effective settings; names and units as Kafka's */
	int64_t retention_ms, retention_bytes;
	int64_t segment_bytes, segment_ms, segment_jitter_ms;
	int64_t max_message_bytes;
	int64_t timestamp_before_max_ms, timestamp_after_max_ms;
	int64_t file_delete_delay_ms;
	int32_t min_isr;
	int32_t index_interval_bytes;
	int32_t compression_level;
	uint8_t timestamp_type;		/* 0 CreateTime, 1 LogAppendTime */
	uint8_t compression;		/* 0..4 a codec, 255: "producer" */
	uint8_t cleanup;		/* 1 delete, 2 compact, 3 both */
	uint8_t durability;		/* enum part_durability */
	uint8_t unclean_election;
	uint8_t pad[3];
};

struct image_topic {
	struct str name;		/* views into the block */
	struct uuid id;
	bool internal;
	int32_t partitions;		/* all of 0 .. partitions - 1 exist */
	struct image_conf conf;
	uint32_t first;			/* handle for image_part() */
};

struct image_part {
	int32_t leader;			/* node id; -1: none */
	int32_t leader_epoch;
	int32_t partition_epoch;
	uint32_t slot;			/* in the part table of this broker; UINT32_MAX: no replica here */
	const int32_t *replicas, *isr, *elr;
	int32_t replicas_n, isr_n, elr_n;
};

struct image_endpoint {
	struct str listener, host;
	uint16_t port;
};

struct image_broker {
	int32_t id;
	int64_t epoch;
	struct str rack;		/* null: none */
	bool fenced;
	uint32_t first;			/* handle for image_endpoint() */
};

/* Checks a block once (E_BAD, E_VERSION); the handle borrows it. Free with image_close(). */
int image_open(const void *block, size_t bytes, struct image **ret) MUST_CHECK;
void image_close(struct image *im);

uint64_t image_gen(const struct image *im);
int64_t image_zxid(const struct image *im);
struct str image_cluster_id(const struct image *im);
int32_t image_self(const struct image *im);		/* node id of this broker */
int32_t image_controller(const struct image *im);	/* some live broker; -1: none */

bool image_topic_by_name(const struct image *im, struct str name, struct image_topic *ret);
bool image_topic_by_id(const struct image *im, const struct uuid *id, struct image_topic *ret);
uint32_t image_topics(const struct image *im);
/* In order of name. idx < image_topics(). */
void image_topic_at(const struct image *im, uint32_t idx, struct image_topic *ret);
bool image_part(const struct image *im, const struct image_topic *t, int32_t partition,
		struct image_part *ret);
uint32_t image_brokers(const struct image *im);
void image_broker_at(const struct image *im, uint32_t idx, struct image_broker *ret);
bool image_broker_by_id(const struct image *im, int32_t id, struct image_broker *ret);
/* The endpoint of a broker on the listener the client came in by; false: it has none (trap 19). */
bool image_endpoint(const struct image *im, const struct image_broker *b, struct str listener,
		    struct image_endpoint *ret);

#endif
