/* part_conf.h - settings of a topic in the cluster image, as partitions take them. */
#ifndef BROKER_PART_CONF_H
#define BROKER_PART_CONF_H

#include "meta/image.h"
#include "part/part.h"

/* max_producer_age_ms: the broker's producer.id.expiration.ms. */
static inline struct part_conf part_conf_of(const struct image_conf *c, uint32_t max_producer_age_ms)
{
	return (struct part_conf){
		.segment_bytes = (uint64_t)c->segment_bytes,
		.segment_ms = (uint64_t)c->segment_ms,
		.segment_jitter_ms = (uint64_t)c->segment_jitter_ms,
		.index_interval_bytes = (uint32_t)c->index_interval_bytes,
		.max_producer_age_ms = max_producer_age_ms,
		.durability = (enum part_durability)c->durability,
	};
}

#endif
