/* test_worker_limits.c - what one client may take from the others, and what is not served yet. */
#include "worker_ask.h"

#include "broker/counters.h"
#include "wire/codec.h"
#include "wire/kafka_error.h"

/* A batch whose one record is `bytes` zeros, compressed with gzip. */
static struct bytes packed_batch_of(uint32_t bytes)
{
	struct batch_builder b;
	struct batch_stamp s = BATCH_STAMP;
	struct codec *codec = codec_new(&CODEC_LIMITS);
	uint8_t *zeros = mem_alloc(bytes);
	const uint8_t *p;
	size_t len;

	batch_builder_init(&b, (size_t)bytes + 100);
	cr_assert_eq(batch_builder_add(&b, 1700000000000, BYTES_NULL, (struct bytes){ zeros, (int32_t)bytes }, NULL, 0),
		     OK);
	s.codec = BATCH_GZIP;
	cr_assert_eq(batch_builder_finish(&b, &s, codec_port(codec), &p, &len), OK);
	uint8_t *copy = arena_alloc(&arena, len);
	memcpy(copy, p, len);
	batch_builder_release(&b);
	mem_free(zeros);
	codec_free(codec);
	return (struct bytes){ copy, (int32_t)len };
}

/* Trap 36: what one client sends is not unpacked for long while the others wait, and never without end. */
Test(worker_limits, big_batches_are_unpacked_off_the_loop)
{
	static const struct {
		uint32_t plain;
		int16_t error;
		uint64_t off_loop;
	} cases[] = {
		{ 1000, KAFKA_NONE, 0 }, { 300000, KAFKA_NONE, 1 }, { 60u << 20, KAFKA_NONE, 2 },
		{ 70u << 20, KAFKA_MESSAGE_TOO_LARGE, 3 },
	};
	struct we e;
	produced p;

	we_up(&e);
	begin();
	struct net_conn *c = env_client(&e), *other = env_client(&e);
	int64_t offset = 0;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		uint64_t before = we_works_done;

		send_produce(&e, c, 9, 0, 0, -1, packed_batch_of(cases[i].plain));
		send_produce(&e, other, 9, 0, 1, -1, batch_of(1, -1, 0));
		env_turn(&e);
		cr_assert(got_produce(c, 9, &p));
		cr_assert_eq(p.error_code, cases[i].error, "%u: %d", cases[i].plain, p.error_code);
		cr_assert_eq(p.base_offset, p.error_code ? -1 : offset++);
		cr_assert(got_produce(other, 9, &p));
		cr_assert_eq(p.error_code, KAFKA_NONE);
		cr_assert_eq(we_works_done - before, cases[i].off_loop > 0);
	}
	/* C7: the next one does not overtake it. */
	send_produce(&e, c, 9, 0, 0, -1, packed_batch_of(300000));
	send_produce(&e, c, 9, 0, 0, -1, batch_of(1, -1, 0));
	env_turn(&e);
	for (int i = 0; i < 2; i++) {
		cr_assert(got_produce(c, 9, &p));
		cr_assert_eq(p.base_offset, offset++);
	}
	/* The client goes away meanwhile: the batch is appended all the same (C2). */
	send_produce(&e, c, 9, 0, 0, -1, packed_batch_of(300000));
	we_step(&e);
	cr_assert(we_works != NULL);
	env_hang_up(&e, c);
	env_turn(&e);
	send_produce(&e, other, 9, 0, 0, -1, batch_of(1, -1, 0));
	env_turn(&e);
	cr_assert(got_produce(other, 9, &p));
	cr_assert_eq(p.base_offset, offset + 1);
	end(&e);
}

/* C4: a client that comes before the first image waits; its topics are not said to be unknown. */
Test(worker_limits, no_answer_before_the_first_image)
{
	struct we e;
	struct worker *w = we_up(&e);
	struct metadata_request_metadata_request_topic t = { .name = STR("t") };
	struct metadata_request m;
	struct metadata_response a;

	begin();
	struct net_conn *c = env_client(&e);
	w->im = NULL;
	*bell_word(w->env->bells, BELL_IMAGE_GEN) = w->im_unread = 1;	/* it could not be read, until the next tick */
	w->ready = false;
	wire_init(&wire_metadata_request, &m);
	m.topics = &t;
	m.topics_n = 1;
	ask(c, API_KEY_METADATA, 1, &m);
	ask(c, API_KEY_METADATA, 1, &m);
	env_turn(&e);
	cr_assert_eq(c->out.len, 0);
	env_sleep(&e, 200);
	for (int i = 0; i < 2; i++) {
		cr_assert(answer(c, API_KEY_METADATA, 1, &a));
		cr_assert_eq(a.topics[0].error_code, KAFKA_NONE);
	}
	end(&e);
}

/* max.connections, max.connections.per.ip: the next one is closed, and room that is given back is given out. */
Test(worker_limits, connections_are_limited)
{
	struct we e;
	struct worker *w = we_up(&e);

	begin();
	for (int per_ip = 0; per_ip < 2; per_ip++) {
		struct net_conn *c[3];

		w->conf.max_conns = per_ip ? INT32_MAX : 2;
		w->conf.max_conns_per_ip = per_ip ? 2 : UINT32_MAX;
		w->refused_log_us = e.now_us;		/* said just now */
		for (int i = 0; i < 3; i++)
			c[i] = env_client(&e);
		env_turn(&e);
		cr_assert(!c[0]->dead && !c[1]->dead && c[2]->dead);
		env_hang_up(&e, c[0]);
		c[0] = env_client(&e);
		env_turn(&e);
		cr_assert(!c[0]->dead);
		env_hang_up(&e, c[0]);
		env_hang_up(&e, c[1]);
	}
	cr_assert_eq(atomic_load(&w->counters[COUNT_CONNECTIONS_REFUSED]), 2);
	end(&e);
}

/* A request that unfolds to more than the cluster can be asked for is not decoded to its end. */
Test(worker_limits, a_request_may_not_unfold_without_end)
{
	struct we e;
	struct metadata_request m;
	enum { N = 100000 };

	we_up(&e);
	begin();
	struct net_conn *c = env_client(&e);
	wire_init(&wire_metadata_request, &m);
	m.topics = arena_array(&arena, N, sizeof *m.topics);
	m.topics_n = N;
	for (int i = 0; i < N; i++)
		m.topics[i].name = STR("x");
	ask(c, API_KEY_METADATA, 4, &m);
	env_turn(&e);
	cr_assert(c->dead);
	end(&e);
}
