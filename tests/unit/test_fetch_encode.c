/* test_fetch_encode.c - the hand-written encoder of Fetch answers against the tables of the schema. */
#include "worker_env.h"

#include "broker/fetch.h"
#include "wire/kafka_gen.h"
#include "wire/wire.h"
#include "wire/kafka_error.h"

struct expected {			/* the same answer as a generated message */
	struct fetch_response m;
	struct fetch_response_fetchable_topic_response t[2];
	struct fetch_response_partition_data p[3];
	struct fetch_response_node_endpoint at;
};

static const struct fetch_want want[3] = {
	{ .topic = { "a", 1 }, .topic_id = { { 1 } }, .partition = 4 },
	{ .topic = { "a", 1 }, .topic_id = { { 1 } }, .partition = 5 },
	{ .topic = { "b", 1 }, .topic_id = { { 2 } }, .partition = 6 },
};

#define LEADER 3

/* round: bit 0 read_committed, bit 1 the last partition is left out. */
static void make(int16_t v, int round, struct fetch_got got[3], struct expected *x)
{
	wire_init(&wire_fetch_response, &x->m);
	for (int i = 0; i < 3; i++) {
		got[i] = (struct fetch_got){ .high_watermark = 10 + i, .last_stable = 9, .log_start = 1,
					     .diverging_end = -1, .leader = -1, .leader_epoch = -1 };
		wire_init(&wire_fetch_response_partition_data, &x->p[i]);
		x->p[i].partition_index = want[i].partition;
		x->p[i].high_watermark = 10 + i;
		x->p[i].last_stable_offset = 9;
		x->p[i].log_start_offset = v >= 5 ? 1 : -1;
		x->p[i].aborted_transactions_n = round & 1 ? 0 : -1;
		x->p[i].records = (struct bytes){ (const uint8_t *)"", 0 };
	}
	if (v >= 12) {
		got[0].diverging_end = x->p[0].diverging_epoch.end_offset = 7;
		got[0].diverging_epoch = x->p[0].diverging_epoch.epoch = 2;
	}
	if (v >= 16) {
		got[1].leader = x->p[1].current_leader.leader_id = LEADER;
		got[1].leader_epoch = x->p[1].current_leader.leader_epoch = 8;
		got[1].error = x->p[1].error_code = 6;
		x->at = (struct fetch_response_node_endpoint){ LEADER, STR("h"), 9, STR("r1") };
		x->m.node_endpoints = &x->at;
		x->m.node_endpoints_n = 1;
	}
	if (v < 12) {			/* trap 59; and an unknown partition has an array, not null */
		got[0].error = KAFKA_KAFKA_STORAGE_ERROR;
		x->p[0].error_code = v <= 5 ? KAFKA_NOT_LEADER_OR_FOLLOWER : KAFKA_KAFKA_STORAGE_ERROR;
		got[1].error = x->p[1].error_code = KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
		x->p[1].aborted_transactions_n = 0;
	}
	for (int i = 0; i < 2; i++) {
		wire_init(&wire_fetch_response_fetchable_topic_response, &x->t[i]);
		if (v >= 13)
			x->t[i].topic_id = want[i * 2].topic_id;
		else
			x->t[i].topic = want[i * 2].topic;
		x->t[i].partitions = &x->p[i * 2];
		x->t[i].partitions_n = 2 - i;
	}
	x->m.responses = x->t;
	x->m.responses_n = round & 2 ? 1 : 2;
	x->m.throttle_time_ms = 5;
	x->m.session_id = v >= 7 ? 77 : 0;
	got[2].left_out = round & 2;
}

Test(fetch_encode, is_that_of_the_tables)
{
	struct we e;
	struct worker *w = we_up(&e);
	struct fetch_want *wants[3];
	struct image_endpoint at = { .host = STR("h"), .port = 9 };
	const int32_t leader = LEADER;
	const struct str rack = STR("r1");

	for (int i = 0; i < 3; i++)
		wants[i] = (struct fetch_want *)&want[i];
	for (int16_t v = 4; v <= 18; v++)
		for (int round = 0; round < 4; round++) {
			struct fetch_got got[3];
			struct expected x;
			struct reply *r = reply_new(w);
			struct buf b;

			make(v, round, got, &x);
			struct fetch_answer a = { .version = v, .throttle_ms = 5, .session_id = 77,
				.committed = round & 1, .wants = wants, .got = got, .n = 3, .endpoints = &at,
				.endpoint_ids = &leader, .endpoint_racks = &rack, .endpoints_n = v >= 16 };
			fetch_encode(&a, r);
			buf_init(&b, 1 << 20);
			cr_assert_eq(wire_encode(&wire_fetch_response, v, &x.m, &b), OK, "v%d", v);
			cr_assert_eq(r->buf.len - 4, b.len, "v%d round %d", v, round);
			cr_assert_eq(memcmp(r->buf.p + 4, b.p, b.len), 0, "v%d round %d", v, round);
			buf_release(&b);
			reply_drop(r);
		}
	we_down(&e);
}
