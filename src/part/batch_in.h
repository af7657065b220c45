/* batch_in.h - a checked batch (wire/batch.h) as part_append() takes it. */
#ifndef PART_BATCH_IN_H
#define PART_BATCH_IN_H

#include "part/part.h"
#include "wire/batch.h"

/* head: 61 private bytes, written here and stamped by part_append(). p: the batch as sent; both must
 * live until part_append() returned. c->verdict is BATCH_OK. */
static inline void part_batch_in(struct part_batch *b, uint8_t head[BATCH_HEAD], const uint8_t *p,
				 const struct batch_rules *rules, const struct batch_checked *c)
{
	batch_store_head(p, rules, c, head);
	*b = (struct part_batch){
		.head = head,
		.rest = p + BATCH_HEAD,
		.rest_len = c->head.bytes - BATCH_HEAD,
		.records = (uint32_t)c->head.last_offset_delta + 1,
		.max_timestamp = c->max_timestamp,
		.producer_id = c->head.producer_id,
		.producer_epoch = c->head.producer_epoch,
		.base_sequence = c->head.base_sequence,
		.transactional = c->head.attributes & BATCH_TRANSACTIONAL,
		.control = c->head.attributes & BATCH_CONTROL,
		.from_coordinator = rules->internal,
	};
}

#endif
