/* produce_check.c - see produce_check.h. */
#include "broker/produce_check.h"

#include <stddef.h>

#include "broker/worker.h"
#include "part/batch_in.h"
#include "wire/codec.h"
#include "wire/kafka_error.h"

#define PLAIN_MIN ((uint64_t)64 << 20)	/* a batch may unpack to this much, or ... */
#define PLAIN_FACTOR 16			/* ... this many times max.message.bytes: bounds work (trap 36) */
#define COMPRESSION_PRODUCER 255
/* A batch that is larger than these, compressed or plain, is unpacked by the other thread: 256 KiB take
 * gzip a millisecond, and what one client sends must not be felt by the others. */
#define TURN_PACKED (64u << 10)
#define TURN_PLAIN (256u << 10)

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
	ret->early = c->verdict <= BATCH_BAD_CRC || c->verdict == BATCH_TOO_LARGE || c->verdict == BATCH_CODEC;
	if (c->record_errors_n <= 0)
		return;
	ret->record_errors = arena_array(&q->arena, (size_t)c->record_errors_n, sizeof(int32_t));
	if (!ret->record_errors)
		return;
	memcpy(ret->record_errors, c->record_errors, (size_t)c->record_errors_n * sizeof(int32_t));
	ret->record_errors_n = c->record_errors_n;
}

/* compression.type names a codec and the batch has another one (trap 35). */
static bool wants_recode(const struct image_conf *conf, const struct batch_checked *c)
{
	return conf->compression != COMPRESSION_PRODUCER && conf->compression != batch_codec(&c->head);
}

static int recode(const struct image_conf *conf, const uint8_t *p, const struct batch_checked *c,
		  uint8_t head[BATCH_HEAD], struct codec *codec, struct buf *out)
{
	buf_init(out, (size_t)conf->max_message_bytes);
	int err = batch_recode(p, c, head, conf->compression, conf->compression_level, c->plain_bytes,
			       codec_port(codec), out);

	if (err != OK)
		buf_release(out);
	return err;
}

static void take_recoded(struct worker *w, struct buf *out, uint8_t head[BATCH_HEAD], struct part_batch *batch,
			 struct produce_checked *ret)
{
	size_t len;

	ret->recoded = buf_steal(out, &len);
	memcpy(head, ret->recoded, BATCH_HEAD);
	batch->rest = ret->recoded + BATCH_HEAD;
	batch->rest_len = (uint32_t)len - BATCH_HEAD;
	count_add(w, COUNT_CONVERSIONS, 1);
}

static struct batch_rules rules_of(struct req *q, const struct image_conf *conf)
{
	uint64_t plain = (uint64_t)conf->max_message_bytes * PLAIN_FACTOR;

	return (struct batch_rules){
		.batch_bytes_max = (uint32_t)conf->max_message_bytes,
		.record_bytes_max = q->w->conf.record_max_bytes,
		.plain_bytes_max = plain > PLAIN_MIN ? plain : PLAIN_MIN,
		.compacted = (conf->cleanup & 2) != 0,
		.log_append_time = conf->timestamp_type == 1,
		.no_zstd = q->version < 7,
		.now_ms = worker_wall_ms(q->w),
		.before_max_ms = conf->timestamp_before_max_ms,
		.after_max_ms = conf->timestamp_after_max_ms,
	};
}

/* The verdict as an answer; true: there is none against it, *batch is ready but for another codec. */
static bool take_verdict(struct req *q, const struct batch_rules *rules, const struct batch_checked *c,
			 struct bytes records, uint8_t head[BATCH_HEAD], struct part_batch *batch,
			 struct produce_checked *ret)
{
	if (c->verdict != BATCH_OK) {
		refused(q, c, ret);
		return false;
	}
	if (c->head.attributes & BATCH_TRANSACTIONAL) {
		/* No transaction can be open here, so none matches (trap 44). */
		ret->error = KAFKA_INVALID_TXN_STATE;
		return false;
	}
	part_batch_in(batch, head, records.p, rules, c);
	return true;
}

static void recode_failed(struct produce_checked *ret, int err)
{
	ret->error = err == E_LIMIT ? KAFKA_MESSAGE_TOO_LARGE : KAFKA_CORRUPT_MESSAGE;
}

static unsigned codec_of(struct bytes records)
{
	return records.len > BATCH_HEAD ? records.p[22] & 7u : BATCH_PLAIN;
}

bool produce_check(struct req *q, const struct image_topic *t, struct bytes records,
		   uint8_t head[BATCH_HEAD], struct part_batch *batch, struct produce_checked *ret)
{
	struct worker *w = q->w;
	struct batch_rules rules = rules_of(q, &t->conf);
	struct batch_checked c;
	struct buf out;

	*ret = (struct produce_checked){ 0 };
	if (codec_of(records) != BATCH_PLAIN) {
		if (records.len > (int32_t)TURN_PACKED)
			return false;
		rules.plain_bytes_max = TURN_PLAIN;
	}
	batch_check(records.p, records.len < 0 ? 0 : (size_t)records.len, &rules, codec_port(w->codec), &c);
	if (c.verdict == BATCH_BOMB)
		return false;
	if (c.verdict == BATCH_OK && wants_recode(&t->conf, &c) && records.len > (int32_t)TURN_PACKED)
		return false;
	if (!take_verdict(q, &rules, &c, records, head, batch, ret))
		return true;
	if (wants_recode(&t->conf, &c)) {
		int err = recode(&t->conf, records.p, &c, head, w->codec, &out);

		if (err != OK)
			recode_failed(ret, err);
		else
			take_recoded(w, &out, head, batch, ret);
	}
	ret->bytes = BATCH_HEAD + batch->rest_len;
	return true;
}

/* On the other thread. */
static void big_run(struct work *work)
{
	struct produce_big *b = (struct produce_big *)((char *)work - offsetof(struct produce_big, work));
	struct codec *codec = b->q->w->work_codec;

	if (batch_check(b->records.p, (size_t)b->records.len, &b->rules, codec_port(codec), &b->checked) != BATCH_OK ||
	    !wants_recode(&b->conf, &b->checked))
		return;
	batch_store_head(b->records.p, &b->rules, &b->checked, b->head);
	b->recode_err = recode(&b->conf, b->records.p, &b->checked, b->head, codec, &b->recoded);
}

static void big_done(struct work *work)
{
	struct produce_big *b = (struct produce_big *)((char *)work - offsetof(struct produce_big, work));

	if (take_verdict(b->q, &b->rules, &b->checked, b->records, b->head, b->batch, b->ret)) {
		if (b->recode_err != OK)
			recode_failed(b->ret, b->recode_err);
		else if (b->recoded.p)
			take_recoded(b->q->w, &b->recoded, b->head, b->batch, b->ret);
		b->ret->bytes = BATCH_HEAD + b->batch->rest_len;
	}
	buf_release(&b->recoded);
	b->done(b);
}

void produce_check_big(struct produce_big *b, struct req *q, const struct image_topic *t, struct bytes records,
		       uint8_t head[BATCH_HEAD], struct part_batch *batch, struct produce_checked *ret)
{
	void (*done)(struct produce_big *) = b->done;

	*b = (struct produce_big){
		.work = { .run = big_run, .done = big_done }, .q = q, .conf = t->conf, .records = records,
		.head = head, .batch = batch, .ret = ret, .rules = rules_of(q, &t->conf), .done = done,
	};
	count_add(q->w, COUNT_BIG_BATCHES, 1);
	q->w->env->work->submit(q->w->env->work, &b->work);
}
