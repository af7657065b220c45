/* consume.c - moldau consume: prints the records of a topic. man/moldau-consume.1 */
#include <jansson.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "kclient.h"
#include "wire/batch.h"
#include "wire/codec.h"
#include "wire/kafka_api.h"

/* options: moldau-consume.1 */
static const struct cli_option options[] = {
	{ "from-beginning", false, NULL, "start at the oldest record" },
	{ "offset", true, "N", "start at this offset (needs --partition)" },
	{ "partition", true, "N", "only this partition" },
	{ "count", true, "N", "stop after this many records" },
	{ "exit-at-end", false, NULL, "stop at the end of all partitions" },
	{ "keys", false, NULL, "print the key and a tab before the value" },
	CLI_COMMON
};

#define PARTS_MAX 1024
#define FETCH_BYTES (4 << 20)
#define PLAIN_MAX (256u << 20)
#define OFFSET_OUT_OF_RANGE 1

struct part {
	int32_t id, leader;
	int64_t next, end;		/* end: high watermark seen last; -1: not yet */
};

struct consumer {
	struct kc *k;
	const struct cli *c;
	const char *topic;
	struct part part[PARTS_MAX];
	int n;
	struct codec *port;
	struct buf plain;
	int64_t left;			/* records still to print; -1: no limit */
};

static void print_json(struct consumer *s, struct part *p, const struct batch_record *r)
{
	json_t *j = json_pack("{ss si sI sI}", "topic", s->topic, "partition", (int)p->id, "offset",
			      (json_int_t)r->offset, "timestamp", (json_int_t)r->timestamp);

	cli_json_bytes(j, "key", r->key.p, r->key.len);
	cli_json_bytes(j, "value", r->value.p, r->value.len);
	cli_print_json(j, JSON_COMPACT);
}

static void print(struct consumer *s, struct part *p, const struct batch_record *r)
{
	if (cli_json(s->c)) {
		print_json(s, p, r);
		return;
	}
	if (cli_has(s->c, "keys")) {
		if (r->key.len > 0)
			fwrite(r->key.p, 1, (size_t)r->key.len, stdout);
		putchar('\t');
	}
	if (r->value.len > 0)
		fwrite(r->value.p, 1, (size_t)r->value.len, stdout);
	putchar('\n');
}

/* All whole batches of an answer; OK, or E_BAD and what batch_* say. */
static int take(struct consumer *s, struct part *p, struct bytes records)
{
	const uint8_t *at = records.p;
	size_t len = records.len > 0 ? (size_t)records.len : 0;

	while (len >= BATCH_HEAD && s->left != 0) {
		struct batch_head h;
		struct batch_records it;
		struct batch_record r;
		const uint8_t *plain;
		size_t plain_len;
		int err = batch_parse(at, len, &h);

		if (err == E_SHORT)
			return OK;
		if (err != OK)
			return err;
		if (!batch_crc_ok(at, &h))
			return E_CRC;
		err = batch_plain(at, &h, codec_port(s->port), &s->plain, &plain, &plain_len);
		if (err != OK)
			return err;
		batch_records_init(&it, &h, plain, plain_len);
		while (!(h.attributes & BATCH_CONTROL) && s->left != 0 && (err = batch_records_next(&it, &r)) == OK)
			if (r.offset >= p->next) {
				print(s, p, &r);
				s->left -= s->left > 0;
			}
		p->next = batch_last_offset(&h) + 1;
		at += h.bytes;
		len -= h.bytes;
	}
	return OK;
}

static int out_of_range(struct consumer *s, const struct part *p)
{
	char what[128], range[128];
	int64_t first = -1, end = -1;
	int16_t code;

	snprintf(what, sizeof what, "partition %d has no offset %lld", p->id, (long long)p->next);
	bool known = kc_list_offset(s->k, p->leader, str_of(s->topic), p->id, -2, &code, &first) == OK && code == 0 &&
		     kc_list_offset(s->k, p->leader, str_of(s->topic), p->id, -1, &code, &end) == OK && code == 0;

	snprintf(range, sizeof range, "its records have the offsets %lld to %lld", (long long)first,
		 (long long)end - 1);
	if (first == end)
		snprintf(range, sizeof range, "it has no records; the next one gets the offset %lld", (long long)end);
	cli_error(what, known ? range : NULL, "Give one of these, or --from-beginning instead of --offset.");
	return CLI_FAILED;
}

static int fetch(struct consumer *s, struct part *p, int32_t wait_ms)
{
	struct fetch_request q;
	struct fetch_response r;
	struct fetch_request_fetch_topic t;
	struct fetch_request_fetch_partition fp;

	wire_init(&wire_fetch_request, &q);
	memset(&t, 0, sizeof t);
	memset(&fp, 0, sizeof fp);
	q.replica_id = -1;
	q.max_wait_ms = wait_ms;
	q.min_bytes = 1;
	q.max_bytes = FETCH_BYTES;
	q.session_epoch = -1;
	q.topics = &t;
	q.topics_n = 1;
	t.topic = str_of(s->topic);
	t.partitions = &fp;
	t.partitions_n = 1;
	fp.partition = p->id;
	fp.current_leader_epoch = -1;
	fp.fetch_offset = p->next;
	fp.last_fetched_epoch = -1;
	fp.log_start_offset = -1;
	fp.partition_max_bytes = FETCH_BYTES;
	arena_reset(kc_arena(s->k));
	int err = kc_call(s->k, p->leader, KAFKA_FETCH, kc_version(s->k, KAFKA_FETCH, 11), &wire_fetch_request,
			  &q, &wire_fetch_response, &r);
	if (err == OK && (r.responses_n != 1 || r.responses[0].partitions_n != 1))
		err = r.error_code != 0 ? OK : E_BAD;
	if (err != OK)
		return kc_fail(s->k, "cannot fetch", err);
	if (r.error_code != 0)
		return kc_refused("cannot fetch", r.error_code, STR_NULL);
	struct fetch_response_partition_data *d = &r.responses[0].partitions[0];
	if (d->error_code == OFFSET_OUT_OF_RANGE)
		return out_of_range(s, p);
	if (d->error_code != 0)
		return kc_refused("cannot fetch", d->error_code, STR_NULL);
	p->end = d->high_watermark;
	err = take(s, p, d->records);
	return err == OK ? CLI_OK : kc_fail(s->k, "a record batch cannot be read", err);
}

static int offset_of(struct consumer *s, struct part *p, int64_t timestamp)
{
	int16_t code;
	int err = kc_list_offset(s->k, p->leader, str_of(s->topic), p->id, timestamp, &code, &p->next);

	if (err != OK)
		return kc_fail(s->k, "cannot list offsets", err);
	return code != 0 ? kc_refused("cannot list offsets", code, STR_NULL) : CLI_OK;
}

static int find_parts(struct consumer *s)
{
	struct metadata_response m;
	int64_t only = cli_number(s->c, "partition", -1, 0, INT32_MAX);
	int err = kc_metadata(s->k, s->topic, &m), st = CLI_OK;

	if (err != OK)
		return kc_fail(s->k, "cannot find the topic", err);
	if (m.topics_n != 1 || m.topics[0].error_code != 0)
		return kc_refused(s->topic, m.topics_n == 1 ? m.topics[0].error_code : (int16_t)3, STR_NULL);
	for (int32_t i = 0; i < m.topics[0].partitions_n && s->n < PARTS_MAX; i++) {
		struct metadata_response_metadata_response_partition *mp = &m.topics[0].partitions[i];

		if (only < 0 || only == mp->partition_index)
			s->part[s->n++] = (struct part){ mp->partition_index, mp->leader_id, 0, -1 };
	}
	if (s->n == 0) {
		cli_error("the topic has no such partition", NULL, NULL);
		return CLI_FAILED;
	}
	for (int i = 0; i < s->n && st == CLI_OK; i++) {
		if (cli_has(s->c, "offset"))
			s->part[i].next = cli_number(s->c, "offset", 0, 0, INT64_MAX);
		else
			st = offset_of(s, &s->part[i], cli_has(s->c, "from-beginning") ? -2 : -1);
	}
	return st;
}

/* Who read our output is gone: nothing would tell us before the next record. */
static bool unread(void)
{
	struct pollfd p = { .fd = STDOUT_FILENO };

	return poll(&p, 1, 0) > 0 && (p.revents & (POLLERR | POLLNVAL));
}

static int run(struct consumer *s)
{
	int st = find_parts(s);

	while (st == CLI_OK && s->left != 0 && !unread()) {
		bool at_end = true;

		for (int i = 0; i < s->n && st == CLI_OK && s->left != 0; i++) {
			struct part *p = &s->part[i];

			/* Who lags is asked without waiting; the last one of a quiet round waits. */
			bool wait = at_end && i == s->n - 1 && !cli_has(s->c, "exit-at-end");
			st = fetch(s, p, wait ? 500 : 0);
			at_end &= p->next >= p->end;
		}
		fflush(stdout);
		if (at_end && cli_has(s->c, "exit-at-end"))
			break;
	}
	return st;
}

int cmd_consume(int argc, char **argv)
{
	static const struct codec_limits limits = { .zstd_window_log = 27, .block_bytes_max = 16u << 20 };
	struct cli c;

	if (!cli_parse(&c, "moldau consume", "moldau consume TOPIC [OPTION]...", options, argc, argv))
		return CLI_USAGE;
	if (c.n_args != 1 || (cli_has(&c, "offset") && !cli_has(&c, "partition"))) {
		cli_error(c.n_args != 1 ? "name one topic" : "--offset needs --partition",
			  "moldau consume TOPIC [OPTION]...", NULL);
		return CLI_USAGE;
	}
	struct consumer *s = mem_alloc(sizeof *s);
	s->c = &c;
	s->topic = c.args[0];
	s->left = cli_number(&c, "count", -1, 1, INT64_MAX);
	s->port = codec_new(&limits);
	buf_init(&s->plain, PLAIN_MAX);
	s->k = kc_open(&c);
	int st = s->k ? run(s) : CLI_UNREACHABLE;
	fflush(stdout);
	if (s->k)
		kc_close(s->k);
	codec_free(s->port);
	buf_release(&s->plain);
	mem_free(s);
	return st;
}
