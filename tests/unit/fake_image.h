/* fake_image.h - the calls of meta/image.h over a few topics in static memory, for the worker's tests. */
#ifndef UNIT_FAKE_IMAGE_H
#define UNIT_FAKE_IMAGE_H

#include <string.h>

#include "meta/image.h"

#define FI_TOPICS 8
#define FI_PARTS 4

struct fi_topic {
	const char *name;
	struct uuid id;
	int32_t partitions;
	struct image_conf conf;
	uint32_t slot[FI_PARTS];
	int32_t leader[FI_PARTS];
	int32_t epoch;
	bool internal;
};

struct image {
	int n;
	int64_t zxid;
	struct fi_topic t[FI_TOPICS];
	uint16_t port;
};

static const int32_t fi_self[] = { 1 };

static inline struct image_conf fi_conf(void)
{
	return (struct image_conf){
		.retention_ms = 604800000, .retention_bytes = -1, .segment_bytes = 1 << 30, .segment_ms = 604800000,
		.max_message_bytes = 1048588, .timestamp_before_max_ms = INT64_MAX,
		.timestamp_after_max_ms = 3600000, .min_isr = 1, .index_interval_bytes = 4096,
		.compression = 255, .compression_level = INT32_MIN, .cleanup = 1,
	};
}

uint64_t image_gen(const struct image *im) { return (uint64_t)im->zxid; }
int64_t image_zxid(const struct image *im) { return im->zxid; }
struct str image_cluster_id(const struct image *im) { (void)im; return STR("AAAAAAAAAAAAAAAAAAAAAQ"); }
int32_t image_self(const struct image *im) { (void)im; return 1; }
int32_t image_controller(const struct image *im) { (void)im; return 1; }
uint32_t image_topics(const struct image *im) { return (uint32_t)im->n; }
uint32_t image_brokers(const struct image *im) { (void)im; return 1; }

void image_topic_at(const struct image *im, uint32_t idx, struct image_topic *ret)
{
	const struct fi_topic *t = &im->t[idx];

	*ret = (struct image_topic){ .name = str_of(t->name), .id = t->id, .internal = t->internal,
		.partitions = t->partitions, .conf = t->conf, .first = idx };
}

bool image_topic_by_name(const struct image *im, struct str name, struct image_topic *ret)
{
	for (int i = 0; i < im->n; i++)
		if (str_is(name, im->t[i].name)) {
			image_topic_at(im, (uint32_t)i, ret);
			return true;
		}
	return false;
}

bool image_topic_by_id(const struct image *im, const struct uuid *id, struct image_topic *ret)
{
	for (int i = 0; i < im->n; i++)
		if (uuid_eq(id, &im->t[i].id)) {
			image_topic_at(im, (uint32_t)i, ret);
			return true;
		}
	return false;
}

bool image_part(const struct image *im, const struct image_topic *t, int32_t partition,
		struct image_part *ret)
{
	const struct fi_topic *f = &im->t[t->first];

	if (partition < 0 || partition >= f->partitions)
		return false;
	*ret = (struct image_part){ .leader = f->leader[partition], .leader_epoch = f->epoch,
		.slot = f->slot[partition], .replicas = fi_self, .isr = fi_self, .elr = fi_self,
		.replicas_n = 1, .isr_n = 1 };
	return true;
}

void image_broker_at(const struct image *im, uint32_t idx, struct image_broker *ret)
{
	(void)im, (void)idx;
	*ret = (struct image_broker){ .id = 1, .rack = STR_NULL };
}

bool image_broker_by_id(const struct image *im, int32_t id, struct image_broker *ret)
{
	image_broker_at(im, 0, ret);
	return id == 1;
}

bool image_endpoint(const struct image *im, const struct image_broker *b, struct str listener,
		    struct image_endpoint *ret)
{
	(void)b;
	*ret = (struct image_endpoint){ .listener = listener, .host = STR("127.0.0.1"), .port = im->port };
	return str_is(listener, "PLAINTEXT");
}

#endif
