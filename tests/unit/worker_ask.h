/* worker_ask.h - frames to and from a worker over ports in memory, and the requests that most tests begin with. */
#ifndef UNIT_WORKER_ASK_H
#define UNIT_WORKER_ASK_H

#include "worker_env.h"

#include "broker/api.h"
#include "wire/batch.h"
#include "wire/kafka_api.h"
#include "wire/kafka_gen.h"
#include "wire/wire.h"

static struct arena arena;

/* ---- frames ---------------------------------------------------------------------------------- */

static void raw(struct net_conn *c, const void *p, uint32_t len)
{
	buf_be32(&c->in, len);
	buf_put(&c->in, p, len);
}

/* A whole request; the correlation id is key * 100 + version. */
static void ask(struct net_conn *c, int16_t key, int16_t version, const void *m)
{
	const struct kafka_api *api = kafka_api(key);
	struct buf b;

	buf_init(&b, 16 << 20);
	buf_be16(&b, (uint16_t)key);
	buf_be16(&b, (uint16_t)version);
	buf_be32(&b, (uint32_t)(key * 100 + version));
	buf_be16(&b, 2);
	buf_put(&b, "me", 2);
	if (version >= api->flexible)
		buf_u8(&b, 0);
	cr_assert_eq(wire_encode(api->request, version, m, &b), OK, "%s %d", api->name, version);
	raw(c, b.p, (uint32_t)b.len);
	buf_release(&b);
}

/* Takes the next answer out of what was sent; false: there is none. */
static bool answer(struct net_conn *c, int16_t key, int16_t version, void *m)
{
	const struct kafka_api *api = kafka_api(key);
	static uint8_t frame[8 << 20];

	if (c->out.len < 4)
		return false;
	uint32_t len = be32_get(c->out.p), head = 4;
	cr_assert_leq(len + 4, c->out.len);
	memcpy(frame, c->out.p + 4, len);
	memmove(c->out.p, c->out.p + 4 + len, c->out.len - 4 - len);
	c->out.len -= 4 + len;
	cr_assert_eq(be32_get(frame), (uint32_t)(key * 100 + version));
	if (version >= api->flexible && key != API_KEY_API_VERSIONS)
		cr_assert_eq(frame[head++], 0);
	cr_assert_eq(wire_decode(api->response, version, frame + head, len - head, &arena, m), OK,
		     "%s %d", api->name, version);
	return true;
}

static void begin(void)
{
	arena_init(&arena, 1 << 16, 64 << 20);
}

static void end(struct we *e)
{
	arena_release(&arena);
	we_down(e);
}

/* ---- produce and fetch ------------------------------------------------------------------------ */

static struct bytes batch_of(int n, int64_t pid, int32_t seq)
{
	static struct batch_builder b;
	static bool made;
	struct batch_stamp s = BATCH_STAMP;
	const uint8_t *p;
	size_t len;

	if (!made)
		batch_builder_init(&b, 1 << 20);
	made = true;
	for (int i = 0; i < n; i++)
		cr_assert_eq(batch_builder_add(&b, 1700000000000 + i, BYTES_NULL,
					       (struct bytes){ (const uint8_t *)"value", 5 }, NULL, 0), OK);
	s.producer_id = pid;
	s.producer_epoch = pid < 0 ? -1 : 0;
	s.base_sequence = pid < 0 ? -1 : seq;
	cr_assert_eq(batch_builder_finish(&b, &s, NULL, &p, &len), OK);
	uint8_t *copy = arena_alloc(&arena, len);
	memcpy(copy, p, len);
	batch_builder_release(&b);
	made = false;
	return (struct bytes){ copy, (int32_t)len };
}

static void send_produce(struct we *e, struct net_conn *c, int16_t version, int topic, int32_t part, int16_t acks,
			 struct bytes records)
{
	struct produce_request m;
	struct produce_request_topic_produce_data t = { .name = STR("") };
	struct produce_request_partition_produce_data p = { part, records };

	wire_init(&wire_produce_request, &m);
	if (version >= 13)
		t.topic_id = e->im.t[topic].id;
	else
		t.name = str_of(e->im.t[topic].name);
	t.partition_data = &p;
	t.partition_data_n = 1;
	m.acks = acks;
	m.timeout_ms = 1000;
	m.topic_data = &t;
	m.topic_data_n = 1;
	ask(c, API_KEY_PRODUCE, version, &m);
}

typedef struct produce_response_partition_produce_response produced;

static bool got_produce(struct net_conn *c, int16_t version, produced *ret)
{
	struct produce_response a;

	if (!answer(c, API_KEY_PRODUCE, version, &a))
		return false;
	cr_assert_eq(a.responses_n, 1);
	cr_assert_eq(a.responses[0].partition_responses_n, 1);
	*ret = a.responses[0].partition_responses[0];
	return true;
}

#endif
