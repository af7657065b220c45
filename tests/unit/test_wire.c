/* test_wire.c - the schema codec: hostile bytes, versions, defaults, gaps; API table, error codes. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "wire/kafka_api.h"
#include "wire/kafka_error.h"
#include "wire/kafka_gen.h"
#include "wire/record_gen.h"

static size_t unhex(const char *s, uint8_t *to)
{
	size_t n = 0;

	for (; s[0] && s[1]; s += s[2] == ' ' ? 3 : 2) {
		unsigned v;

		cr_assert_eq(sscanf(s, "%2x", &v), 1);
		to[n++] = (uint8_t)v;
	}
	return n;
}

/* What decoding these bytes says; used for bytes no encoder would write. */
static const struct {
	const char *what;
	const struct wire_type *t;
	int version;
	const char *hex;
	int err;
} hostile[] = {
	{ "nothing", &wire_metadata_request, 1, "", E_SHORT },
	{ "null where the version knows none", &wire_metadata_request, 0, "ffffffff", E_BAD },
	{ "null where it does", &wire_metadata_request, 1, "ffffffff", OK },
	{ "a count below null", &wire_metadata_request, 1, "fffffffe", E_BAD },
	{ "more elements than bytes", &wire_metadata_request, 1, "00000002 0001", E_SHORT },
	{ "two billion elements", &wire_metadata_request, 1, "7fffffff", E_LIMIT },
	{ "an element that is null", &wire_metadata_request, 1, "00000001 ffff", E_BAD },
	{ "a string longer than the rest", &wire_metadata_request, 1, "00000001 0005 61", E_SHORT },
	{ "a string length below null", &wire_metadata_request, 1, "00000001 fffe", E_BAD },
	{ "bytes behind", &wire_metadata_request, 1, "ffffffff 00", E_BAD },
	{ "a compact null string", &wire_find_coordinator_request, 3, "00 00 00", E_BAD },
	{ "a compact string of 32768", &wire_find_coordinator_request, 3, "81 80 02 00 00", E_BAD },
	{ "a uvarint of six bytes", &wire_find_coordinator_request, 3, "ff ff ff ff ff 01", E_BAD },
	{ "a uvarint of 36 bits", &wire_find_coordinator_request, 3, "ff ff ff ff 7f", E_BAD },
	{ "a uvarint that ends", &wire_find_coordinator_request, 3, "ff ff", E_SHORT },
	{ "a compact count of 4 billion", &wire_find_coordinator_request, 4, "00 ff ff ff ff 0f", E_BAD },
	{ "a good request", &wire_find_coordinator_request, 3, "02 67 00 00", OK },
	{ "an unknown tag", &wire_find_coordinator_request, 3, "02 67 00 01 63 02 aa bb", OK },
	{ "an unknown tag that ends", &wire_find_coordinator_request, 3, "02 67 00 01 63 02 aa", E_SHORT },
	{ "tags that do not rise", &wire_find_coordinator_request, 3, "02 67 00 02 05 00 05 00", E_BAD },
	{ "10,001 tags", &wire_find_coordinator_request, 3, "02 67 00 91 4e", E_LIMIT },
	{ "4 billion tags", &wire_find_coordinator_request, 3, "02 67 00 ff ff ff ff 0f", E_LIMIT },
	{ "a known tag of the right size", &wire_transaction_log_value, 1,
	  "0000000000000001 0001 00000001 00 00 0000000000000001 0000000000000001 01 02 02 0007", OK },
	{ "a known tag that is too short", &wire_transaction_log_value, 1,
	  "0000000000000001 0001 00000001 00 00 0000000000000001 0000000000000001 01 02 01 07", E_BAD },
	{ "a known tag that is too long", &wire_transaction_log_value, 1,
	  "0000000000000001 0001 00000001 00 00 0000000000000001 0000000000000001 01 02 03 000700",
	  E_BAD },
	{ "a boolean of 7 is true", &wire_metadata_request, 4, "ffffffff 07", OK },
	{ "records that are null", &wire_produce_request, 3,
	  "ffff ffff 00000001 00000001 0001 74 00000001 00000000 ffffffff", OK },
};

Test(wire, hostile_bytes)
{
	for (size_t i = 0; i < sizeof hostile / sizeof *hostile; i++) {
		uint8_t bytes[128], obj[4096];
		struct arena a;
		size_t n = unhex(hostile[i].hex, bytes);

		arena_init(&a, 1024, 1 << 20);
		cr_assert_leq(hostile[i].t->size, sizeof obj);
		int err = wire_decode(hostile[i].t, hostile[i].version, bytes, n, &a, obj);
		cr_expect_eq(err, hostile[i].err, "%s: %s", hostile[i].what, err_name(err));
		arena_release(&a);
	}
	cr_assert_eq(mem_live(), 0);
}

/* A count is checked before memory is taken: the arena stays as it was. */
Test(wire, counts_take_no_memory)
{
	static const uint8_t bytes[64] = { 0, 0, 0, 60 };	/* 60 strings of 2 bytes or more */
	struct metadata_request m;
	struct arena a;

	arena_init(&a, 16, 1 << 20);
	cr_assert_eq(wire_decode(&wire_metadata_request, 1, bytes, sizeof bytes, &a, &m), E_SHORT);
	cr_assert_eq(a.total, 0);
	arena_release(&a);
}

Test(wire, arena_limit)
{
	static const uint8_t bytes[1004] = { 0, 0, 1, 0xf4 };	/* 500 empty strings */
	struct metadata_request m;
	struct arena a;

	arena_init(&a, 16, 1024);
	cr_assert_eq(wire_decode(&wire_metadata_request, 1, bytes, sizeof bytes, &a, &m), E_LIMIT);
	arena_release(&a);
}

Test(wire, defaults)
{
	struct fetch_request f;
	struct fetch_response_partition_data p;

	wire_init(&wire_fetch_request, &f);
	cr_assert_eq(f.max_bytes, 0x7fffffff);
	cr_assert_eq(f.session_epoch, -1);
	cr_assert_eq(f.cluster_id.len, -1);
	cr_assert_eq(f.replica_state.replica_epoch, -1);
	cr_assert_eq(f.topics_n, 0);
	wire_init(&wire_fetch_response_partition_data, &p);
	cr_assert_eq(p.diverging_epoch.end_offset, -1);
	cr_assert_eq(p.preferred_read_replica, -1);
	cr_assert_eq(p.records.len, 0);
}

Test(wire, fields_a_version_lacks)
{
	struct find_coordinator_request f;
	struct heartbeat_request h;
	struct buf b;

	buf_init(&b, 1 << 16);
	/* group_instance_id may not be dropped silently. */
	wire_init(&wire_heartbeat_request, &h);
	h.group_id = h.member_id = STR("x");
	cr_assert_eq(wire_encode(&wire_heartbeat_request, 2, &h, &b), OK);
	h.group_instance_id = STR("i");
	buf_reset(&b);
	cr_assert_eq(wire_encode(&wire_heartbeat_request, 2, &h, &b), E_VERSION);
	cr_assert_eq(b.len, 0);
	cr_assert_eq(wire_encode(&wire_heartbeat_request, 3, &h, &b), OK);
	/* A null where none may be. */
	wire_init(&wire_find_coordinator_request, &f);
	f.key = STR_NULL;
	buf_reset(&b);
	cr_assert_eq(wire_encode(&wire_find_coordinator_request, 0, &f, &b), E_VERSION);
	/* The throttle time of an answer may be dropped. */
	struct heartbeat_response r;
	wire_init(&wire_heartbeat_response, &r);
	r.throttle_time_ms = 100;
	cr_assert_eq(wire_encode(&wire_heartbeat_response, 0, &r, &b), OK);
	cr_assert_eq(b.len, 2);
	buf_release(&b);
}

Test(wire, encode_limits)
{
	struct sasl_handshake_request s;
	static char big[40000];
	struct buf b;

	memset(big, 'x', sizeof big);
	buf_init(&b, 100);
	wire_init(&wire_sasl_handshake_request, &s);
	s.mechanism = (struct str){ big, 32768 };
	cr_assert_eq(wire_encode(&wire_sasl_handshake_request, 0, &s, &b), E_LIMIT);
	cr_assert(!b.bad);
	s.mechanism.len = 32767;
	cr_assert_eq(wire_encode(&wire_sasl_handshake_request, 0, &s, &b), E_LIMIT);
	cr_assert(b.bad);
	buf_release(&b);
	/* A message of no bytes, also at the end of a full buffer. */
	struct api_versions_request v;
	wire_init(&wire_api_versions_request, &v);
	buf_init(&b, 0);
	cr_assert_eq(wire_encode(&wire_api_versions_request, 0, &v, &b), OK);
	cr_assert_eq(b.len, 0);
	buf_release(&b);
}

/* Records that lie in a file: what comes out with gaps filled is what comes out without gaps. */
Test(wire, gaps)
{
	static uint8_t data[2][300];
	struct fetch_response f;
	struct fetch_response_fetchable_topic_response topic;
	struct fetch_response_partition_data parts[3];
	struct wire_gap gaps[2];
	struct buf whole, holes;
	size_t size;
	int n;

	memset(data[0], 0xaa, sizeof data[0]);
	memset(data[1], 0xbb, sizeof data[1]);
	wire_init(&wire_fetch_response, &f);
	wire_init(&wire_fetch_response_fetchable_topic_response, &topic);
	for (int i = 0; i < 3; i++)
		wire_init(&wire_fetch_response_partition_data, &parts[i]);
	f.responses = &topic;
	f.responses_n = 1;
	topic.topic = STR("t");
	topic.partitions = parts;
	topic.partitions_n = 3;
	buf_init(&whole, 1 << 16);
	buf_init(&holes, 1 << 16);
	parts[0].records = (struct bytes){ data[0], 300 };
	parts[2].records = (struct bytes){ data[1], 150 };
	cr_assert_eq(wire_encode(&wire_fetch_response, 12, &f, &whole), OK);
	buf_be32(&holes, 0);				/* gaps count from the buffer's start */
	parts[0].records.p = parts[2].records.p = NULL;
	cr_assert_eq(wire_encode_gaps(&wire_fetch_response, 12, &f, &holes, gaps, 1, &n), E_LIMIT);
	cr_assert_eq(holes.len, 4);
	cr_assert_eq(wire_encode_gaps(&wire_fetch_response, 12, &f, &holes, gaps, 2, &n), OK);
	cr_assert_eq(n, 2);
	cr_assert_eq(gaps[0].len, 300);
	cr_assert_eq(gaps[1].field, &parts[2].records);
	cr_assert_eq(wire_size(&wire_fetch_response, 12, &f, &size), OK);
	cr_assert_eq(size, whole.len);
	cr_assert_eq(holes.len - 4 + 450, whole.len);
	cr_assert_eq(memcmp(holes.p + 4, whole.p, gaps[0].at - 4), 0);
	cr_assert_eq(memcmp(whole.p + gaps[0].at - 4, data[0], 300), 0);
	size_t middle = gaps[1].at - gaps[0].at;
	cr_assert_eq(memcmp(holes.p + gaps[0].at, whole.p + gaps[0].at - 4 + 300, middle), 0);
	cr_assert_eq(memcmp(whole.p + gaps[1].at - 4 + 300, data[1], 150), 0);
	buf_release(&whole);
	buf_release(&holes);
}

Test(wire, print)
{
	struct sasl_authenticate_request s;
	struct buf b;

	buf_init(&b, 1 << 10);
	wire_init(&wire_sasl_authenticate_request, &s);
	s.auth_bytes = (struct bytes){ (const uint8_t *)"\0user\0pw", 8 };
	wire_print(&wire_sasl_authenticate_request, 1, &s, &b);
	buf_u8(&b, 0);
	cr_assert_str_eq((char *)b.p, "SaslAuthenticateRequest v1 {auth_bytes=***}");
	struct sasl_handshake_request h;
	wire_init(&wire_sasl_handshake_request, &h);
	h.mechanism = STR("a\"b\n");
	buf_reset(&b);
	wire_print(&wire_sasl_handshake_request, 0, &h, &b);
	buf_u8(&b, 0);
	cr_assert_str_eq((char *)b.p, "SaslHandshakeRequest v0 {mechanism=\"a\\\"b\\x0a\"}");
	buf_release(&b);
}

Test(kafka_api, rows)
{
	static const int16_t served[] = { 0, 1, 2, 3, 8, 9, 10, 11, 12, 13, 14, 15, 16, 18, 19, 20, 22,
					  23, 32, 37, 42, 44, 60 };
	size_t i = 0;

	cr_assert_eq(kafka_apis_n, 95);
	cr_assert_null(kafka_api(-1));
	cr_assert_null(kafka_api(95));
	for (int16_t k = 0; k < 95; k++) {
		const struct kafka_api *a = kafka_api(k);

		cr_assert_eq(a->key, k);
		cr_assert_eq(a->max < a->min, k >= 4 && k <= 7);
		if (a->max < a->min) {
			cr_assert_null(a->request);
			continue;
		}
		char name[80];
		snprintf(name, sizeof name, "%sRequest", a->name);
		cr_assert_str_eq(a->request->name, name);
		cr_assert(wire_has(a->request, a->min) && wire_has(a->request, a->max));
		cr_assert(wire_has(a->response, a->min) && wire_has(a->response, a->max));
		cr_assert_eq(a->request->flexible_min, a->flexible);
		cr_assert_eq(a->response->flexible_min, a->flexible);
		if (i < sizeof served / sizeof *served && k == served[i]) {
			cr_assert_neq(a->served_by, API_NONE, "%d", k);
			i++;
		}
	}
	cr_assert_eq(i, sizeof served / sizeof *served);
}

Test(kafka_api, special_rows)
{
	const struct kafka_api *produce = kafka_api(KAFKA_PRODUCE), *v = kafka_api(KAFKA_API_VERSIONS);

	cr_assert_eq(produce->advertised_min, 0);
	cr_assert(!kafka_api_serves(produce, 2));
	cr_assert(kafka_api_serves(produce, 3));
	cr_assert(kafka_api_serves(produce, 13));
	cr_assert(!kafka_api_serves(produce, 14));
	cr_assert_eq(kafka_api(KAFKA_INIT_PRODUCER_ID)->max, 5);
	cr_assert_eq(kafka_api(KAFKA_INIT_PRODUCER_ID)->request->vmax, 6);
	cr_assert_eq(kafka_request_header_version(v, 2), 1);
	cr_assert_eq(kafka_request_header_version(v, 3), 2);
	cr_assert_eq(kafka_response_header_version(v, 3), 0);
	cr_assert_eq(kafka_response_header_version(produce, 8), 0);
	cr_assert_eq(kafka_response_header_version(produce, 9), 1);
	cr_assert_eq(kafka_request_header_version(kafka_api(KAFKA_SASL_HANDSHAKE), 1), 1);
	cr_assert_eq(kafka_profile(STR("4.4"))->n, kafka_apis_n);
	cr_assert_null(kafka_profile(STR("0.8")));
}

Test(kafka_error, names)
{
	cr_assert_str_eq(kafka_error_name(-1), "UNKNOWN_SERVER_ERROR");
	cr_assert_str_eq(kafka_error_name(KAFKA_NOT_LEADER_OR_FOLLOWER), "NOT_LEADER_OR_FOLLOWER");
	cr_assert_eq(KAFKA_NOT_LEADER_OR_FOLLOWER, 6);
	cr_assert_eq(KAFKA_KAFKA_STORAGE_ERROR, 56);
	cr_assert_str_eq(kafka_error_name(136), "CONTROLLER_ID_NOT_REGISTERED");
	cr_assert_str_eq(kafka_error_name(137), "UNKNOWN");
	cr_assert(kafka_error_retriable(14) && !kafka_error_refresh(14));
	cr_assert(kafka_error_retriable(6) && kafka_error_refresh(6));
	cr_assert(!kafka_error_retriable(0) && !kafka_error_retriable(-300));
}
