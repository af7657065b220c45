/* produce_check.c - see produce_check.h. */
#include "broker/produce_check.h"

#include "broker/worker.h"
#include "part/batch_in.h"
#include "wire/codec.h"
#include "wire/kafka_error.h"

#define PLAIN_MIN ((uint64_t)64 << 20)	/* a batch may unpack to this much, or ... */
#define PLAIN_FACTOR 16			/* ... this many times max.message.bytes: bounds work (trap 36) */
#define COMPRESSION_PRODUCER 255

static void count_verdict(struct worker *w, enum batch_verdict v)
{
	if (v == BATCH_BAD_CRC)
		count_add(w, COUNT_BAD_CRC, 1);
	else if (v == BATCH_MAGIC)
		count_add(w, COUNT_BAD_MAGIC, 1);
	else if (v == BATCH_NO_KEY)
		count_add(w, COUNT_NO_KEY, 1);
	else if (v == BATCH_BASE_OFFSET || v == BATCH_COUNT || v == BATCH_SEQUENCE)
		count_add(w, COUNT_BAD_SEQUENCE, 1);
}

static void refused(struct req *q, const struct batch_checked *c, struct produce_checked *ret)
{
	count_verdict(q->w, c->verdict);
	ret->error = batch_verdict_kafka(c->verdict);
	ret->message = batch_verdict_text(c->verdict);
	if (c->record_errors_n <= 0)
		return;
	ret->record_errors = arena_array(&q->arena, (size_t)c->record_errors_n, sizeof(int32_t));
	if (!ret->record_errors)
		return;
	memcpy(ret->record_errors, c->record_errors, (size_t)c->record_errors_n * sizeof(int32_t));
	ret->record_errors_n = c->record_errors_n;
}

/* compression.type names a codec and the batch has another one (trap 35). */
static int recode(struct worker *w, const struct image_topic *t, const uint8_t *p,
		  const struct batch_checked *c, uint8_t head[BATCH_HEAD], struct part_batch *batch,
		  struct produce_checked *ret)
{
	struct buf out;
	size_t len;

	buf_init(&out, (size_t)t->conf.max_message_bytes);
	int err = batch_recode(p, c, head, t->conf.compression, t->conf.compression_level,
			       c->plain_bytes, codec_port(w->codec), &out);
	if (err != OK) {
		buf_release(&out);
		return err;
	}
	ret->recoded = buf_steal(&out, &len);
	memcpy(head, ret->recoded, BATCH_HEAD);
	batch->rest = ret->recoded + BATCH_HEAD;
	batch->rest_len = (uint32_t)len - BATCH_HEAD;
	count_add(w, COUNT_CONVERSIONS, 1);
	return OK;
}

void produce_check(struct req *q, const struct image_topic *t, struct bytes records,
		   uint8_t head[BATCH_HEAD], struct part_batch *batch, struct produce_checked *ret)
{
	struct worker *w = q->w;
	const struct image_conf *conf = &t->conf;
	uint64_t plain = (uint64_t)conf->max_message_bytes * PLAIN_FACTOR;
	struct batch_rules rules = {
		.batch_bytes_max = (uint32_t)conf->max_message_bytes,
		.record_bytes_max = w->conf.record_max_bytes,
		.plain_bytes_max = plain > PLAIN_MIN ? plain : PLAIN_MIN,
		.compacted = (conf->cleanup & 2) != 0,
		.log_append_time = conf->timestamp_type == 1,
		.no_zstd = q->version < 7,
		.now_ms = worker_wall_ms(w),
		.before_max_ms = conf->timestamp_before_max_ms,
		.after_max_ms = conf->timestamp_after_max_ms,
	};
	struct batch_checked c;

	*ret = (struct produce_checked){ 0 };
	if (batch_check(records.p, records.len < 0 ? 0 : (size_t)records.len, &rules,
			codec_port(w->codec), &c) != BATCH_OK) {
		refused(q, &c, ret);
		return;
	}
	if (c.head.attributes & BATCH_TRANSACTIONAL) {
		/* No transaction can be open here, so none matches (trap 44). */
		ret->error = KAFKA_INVALID_TXN_STATE;
		return;
	}
	part_batch_in(batch, head, records.p, &rules, &c);
	if (conf->compression != COMPRESSION_PRODUCER && conf->compression != batch_codec(&c.head)) {
		int err = recode(w, t, records.p, &c, head, batch, ret);

		if (err != OK) {
			ret->error = err == E_LIMIT ? KAFKA_MESSAGE_TOO_LARGE : KAFKA_CORRUPT_MESSAGE;
			return;
		}
	}
	ret->bytes = BATCH_HEAD + batch->rest_len;
}

void produce_part_conf(const struct worker *w, const struct image_conf *c, struct part_conf *ret)
{
	*ret = (struct part_conf){
		.segment_bytes = (uint64_t)c->segment_bytes,
		.segment_ms = (uint64_t)c->segment_ms,
		.segment_jitter_ms = (uint64_t)c->segment_jitter_ms,
		.index_interval_bytes = (uint32_t)c->index_interval_bytes,
		.max_producer_age_ms = w->conf.producer_age_ms,
		.durability = (enum part_durability)c->durability,
	};
}
