/* produce.c - moldau produce: lines of the standard input become records. man/moldau-produce.1 */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/be.h"
#include "kclient.h"
#include "wire/batch.h"
#include "wire/codec.h"
#include "wire/kafka_api.h"

/* options: moldau-produce.1 */
static const struct cli_option options[] = {
	{ "partition", true, "N", "send to this partition" },
	{ "key-separator", true, "TEXT", "what stands before TEXT in a line is the key" },
	{ "acks", true, "N", "all (default), 1 or 0" },
	{ "compression", true, "CODEC", "none (default), gzip, snappy, lz4 or zstd" },
	{ "batch", true, "RECORDS", "at most this many records a batch (default 1000)" },
	CLI_COMMON
};

#define PARTS_MAX 1024
#define BATCH_BYTES (900 << 10)

struct producer {
	struct kc *k;
	const struct cli *c;
	const char *topic;
	struct uuid topic_id;
	int32_t parts, leader[PARTS_MAX];
	int32_t turn;			/* where records without a key go */
	int16_t acks;
	unsigned codec;
	struct codec *port;
	int64_t batch_max;
	struct batch_builder b[PARTS_MAX];
	uint64_t sent, batches;
};

/* Kafka's murmur2 of the default partitioner. */
static uint32_t murmur2(const uint8_t *p, size_t n)
{
	const uint32_t m = 0x5bd1e995;
	uint32_t h = 0x9747b28c ^ (uint32_t)n;

	for (; n >= 4; p += 4, n -= 4) {
		uint32_t k;

		memcpy(&k, p, 4);
		k *= m;
		k ^= k >> 24;
		h = h * m ^ k * m;
	}
	if (n >= 3)
		h ^= (uint32_t)p[2] << 16;
	if (n >= 2)
		h ^= (uint32_t)p[1] << 8;
	if (n >= 1)
		h = (h ^ p[0]) * m;
	h ^= h >> 13;
	h *= m;
	return h ^ h >> 15;
}

static int flush(struct producer *p, int32_t part)
{
	struct batch_stamp stamp = BATCH_STAMP;
	struct produce_request q;
	struct produce_response r;
	struct produce_request_topic_produce_data t;
	struct produce_request_partition_produce_data d;
	const uint8_t *batch;
	size_t len;
	int32_t records = p->b[part].records;

	if (records == 0)
		return CLI_OK;
	stamp.codec = p->codec;
	int err = batch_builder_finish(&p->b[part], &stamp, codec_port(p->port), &batch, &len);
	if (err != OK)
		return kc_fail(p->k, "cannot build a batch", err);
	wire_init(&wire_produce_request, &q);
	memset(&t, 0, sizeof t);
	memset(&d, 0, sizeof d);
	q.transactional_id = STR_NULL;
	q.acks = p->acks;
	q.timeout_ms = 30000;
	q.topic_data = &t;
	q.topic_data_n = 1;
	t.name = str_of(p->topic);
	t.partition_data = &d;
	t.partition_data_n = 1;
	d.index = part;
	d.records = (struct bytes){ batch, (int32_t)len };
	int v = kc_version(p->k, KAFKA_PRODUCE, 9);
	err = kc_call(p->k, p->leader[part], KAFKA_PRODUCE, v, &wire_produce_request, &q,
		      &wire_produce_response, p->acks == 0 ? NULL : &r);
	if (err != OK)
		return kc_fail(p->k, "cannot produce", err);
	if (p->acks != 0) {
		if (r.responses_n != 1 || r.responses[0].partition_responses_n != 1)
			return kc_fail(p->k, "cannot produce", E_BAD);
		int16_t code = r.responses[0].partition_responses[0].error_code;

		if (code != 0)
			return kc_refused("the records were refused", code,
					  r.responses[0].partition_responses[0].error_message);
	}
	p->sent += (uint64_t)records;
	p->batches++;
	arena_reset(kc_arena(p->k));
	return CLI_OK;
}

static int add(struct producer *p, const char *line, size_t len)
{
	const char *sep = cli_value(p->c, "key-separator", NULL);
	struct bytes key = BYTES_NULL, value = { (const uint8_t *)line, (int32_t)len };
	struct timespec now;
	int32_t part = (int32_t)cli_number(p->c, "partition", -1, 0, p->parts - 1);
	const char *at = sep && *sep ? memmem(line, len, sep, strlen(sep)) : NULL;

	if (at) {
		key = (struct bytes){ (const uint8_t *)line, (int32_t)(at - line) };
		value.p = (const uint8_t *)at + strlen(sep);
		value.len = (int32_t)((size_t)(line + len - at) - strlen(sep));
	}
	if (part < 0)
		part = key.len >= 0 ? (int32_t)((murmur2(key.p, (size_t)key.len) & 0x7fffffff) % (uint32_t)p->parts)
				    : p->turn;
	clock_gettime(CLOCK_REALTIME, &now);
	int64_t ms = (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
	for (int try = 0; try < 2; try++) {
		if (p->b[part].records < p->batch_max &&
		    batch_builder_add(&p->b[part], ms, key, value, NULL, 0) == OK)
			return CLI_OK;
		int st = flush(p, part);
		if (st != CLI_OK)
			return st;
		if (key.len < 0 && !cli_has(p->c, "partition"))
			p->turn = (p->turn + 1) % p->parts;
	}
	cli_error("a line is longer than a batch can be (900 KiB)", NULL, NULL);
	return CLI_FAILED;
}

static int find_topic(struct producer *p)
{
	for (int try = 0; try < 50; try++) {
		struct metadata_response m;
		int err = kc_metadata(p->k, p->topic, &m);

		if (err != OK)
			return kc_fail(p->k, "cannot find the topic", err);
		if (m.topics_n != 1 || m.topics[0].error_code == 3) {
			cli_error("there is no such topic", p->topic, "Create it: moldau topics create NAME");
			return CLI_FAILED;
		}
		bool ready = m.topics[0].error_code == 0 && m.topics[0].partitions_n > 0;
		for (int32_t i = 0; ready && i < m.topics[0].partitions_n && i < PARTS_MAX; i++)
			ready = m.topics[0].partitions[i].leader_id >= 0;
		if (!ready) {
			struct timespec pause = { 0, 100000000 };

			nanosleep(&pause, NULL);
			continue;
		}
		p->parts = m.topics[0].partitions_n < PARTS_MAX ? m.topics[0].partitions_n : PARTS_MAX;
		for (int32_t i = 0; i < p->parts; i++)
			p->leader[m.topics[0].partitions[i].partition_index % PARTS_MAX] =
				m.topics[0].partitions[i].leader_id;
		arena_reset(kc_arena(p->k));
		return CLI_OK;
	}
	cli_error("the topic has partitions without a leader", p->topic, "Try again in a moment.");
	return CLI_FAILED;
}

static int run(struct producer *p)
{
	char *line = NULL;
	size_t cap = 0;
	int st = find_topic(p);

	for (int32_t i = 0; st == CLI_OK && i < p->parts; i++)
		batch_builder_init(&p->b[i], BATCH_BYTES);
	for (ssize_t n; st == CLI_OK && (n = getline(&line, &cap, stdin)) >= 0;)
		st = add(p, line, (size_t)n - (n > 0 && line[n - 1] == '\n'));
	for (int32_t i = 0; st == CLI_OK && i < p->parts; i++)
		st = flush(p, i);
	free(line);
	if (cli_json(p->c))
		printf("{\"sent\":%llu,\"batches\":%llu}\n", (unsigned long long)p->sent,
		       (unsigned long long)p->batches);
	else
		fprintf(stderr, "sent %llu record%s in %llu batch%s\n", (unsigned long long)p->sent,
			p->sent == 1 ? "" : "s", (unsigned long long)p->batches, p->batches == 1 ? "" : "es");
	for (int32_t i = 0; i < p->parts; i++)
		batch_builder_release(&p->b[i]);
	return st;
}

int cmd_produce(int argc, char **argv)
{
	static const struct codec_limits limits = { .zstd_window_log = 27, .block_bytes_max = 16u << 20 };
	struct cli c;

	if (!cli_parse(&c, "moldau produce", "moldau produce TOPIC [OPTION]...", options, argc, argv))
		return CLI_USAGE;
	const char *acks = cli_value(&c, "acks", "all"), *codec = cli_value(&c, "compression", "none");
	int id = strcmp(codec, "none") == 0 ? 0 : codec_by_name(str_of(codec));
	if (c.n_args != 1 || id < 0 || (strcmp(acks, "all") != 0 && strcmp(acks, "1") != 0 && strcmp(acks, "0") != 0)) {
		cli_error(c.n_args != 1 ? "name one topic" : id < 0 ? "unknown codec" : "--acks is all, 1 or 0",
			  "moldau produce TOPIC [OPTION]...", NULL);
		return CLI_USAGE;
	}
	struct producer *p = mem_alloc(sizeof *p);
	p->c = &c;
	p->topic = c.args[0];
	p->acks = (int16_t)(strcmp(acks, "all") == 0 ? -1 : acks[0] - '0');
	p->codec = (unsigned)id;
	p->batch_max = cli_number(&c, "batch", 1000, 1, 1000000);
	p->port = codec_new(&limits);
	p->k = kc_open(&c);
	int st = p->k ? run(p) : CLI_UNREACHABLE;
	if (p->k)
		kc_close(p->k);
	codec_free(p->port);
	mem_free(p);
	return st;
}
