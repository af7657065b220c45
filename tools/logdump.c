/* logdump.c - moldau log dump FILE...: what is in segment files. man/moldau-log.1 */
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "cli.h"
#include "wire/batch.h"
#include "wire/codec.h"

/* options: moldau-log.1 */
static const struct cli_option options[] = {
	{ "records", false, NULL, "print the records of each batch too" },
	{ "output", true, "FORMAT", "table (default) or json" },
	{ "help", false, NULL, "this text" },
	{ NULL, false, NULL, NULL }
};

#define PLAIN_MAX (256u << 20)

struct dump {
	const struct cli *c;
	struct codec *port;
	struct buf plain;
	uint64_t batches, records, bad;
	const char *path;		/* of the batch that is dumped */
	uint64_t pos;
};

static void bad(struct dump *d, const char *what)
{
	char where[1200];

	d->bad++;
	snprintf(where, sizeof where, "%.1000s, the batch at position %llu", d->path, (unsigned long long)d->pos);
	cli_error(what, where, NULL);
}

/* Text between quotes, what is not printable as \xNN; a null as such. */
static void put_bytes(const char *name, struct bytes b)
{
	json_t *text = b.len > 0 ? json_stringn((const char *)b.p, (size_t)b.len) : NULL;
	bool utf8 = text != NULL;

	json_decref(text);
	if (b.len < 0) {
		printf(" %s: null", name);
		return;
	}
	printf(" %s: \"", name);
	for (int32_t i = 0; i < b.len; i++)
		if (b.p[i] == '"' || b.p[i] == '\\')
			printf("\\%c", b.p[i]);
		else if (b.p[i] < ' ' || b.p[i] == 0x7f || (b.p[i] > 0x7f && !utf8))
			printf("\\x%02x", b.p[i]);
		else
			putchar(b.p[i]);
	putchar('"');
}

static struct bytes bytes_of(struct str s)
{
	return (struct bytes){ (const uint8_t *)s.p, s.len };
}

static void dump_record(struct dump *d, struct batch_record *r)
{
	struct batch_header h;
	int err;

	if (!cli_json(d->c)) {
		printf("| offset: %lld timestamp: %lld", (long long)r->offset, (long long)r->timestamp);
		put_bytes("key", r->key);
		put_bytes("value", r->value);
		while ((err = batch_header_next(r, &h)) == OK) {
			put_bytes("header", bytes_of(h.key));
			put_bytes("is", h.value);
		}
		putchar('\n');
		if (err != E_NOENT)
			bad(d, "a record has malformed headers");
		return;
	}
	json_t *j = json_pack("{sI sI}", "offset", (json_int_t)r->offset, "timestamp", (json_int_t)r->timestamp);
	json_t *headers = json_array();

	cli_json_bytes(j, "key", r->key.p, r->key.len);
	cli_json_bytes(j, "value", r->value.p, r->value.len);
	json_object_set_new(j, "headers", headers);
	while ((err = batch_header_next(r, &h)) == OK) {
		json_t *o = json_object();

		cli_json_bytes(o, "key", (const uint8_t *)h.key.p, h.key.len);
		cli_json_bytes(o, "value", h.value.p, h.value.len);
		json_array_append_new(headers, o);
	}
	cli_print_json(j, JSON_COMPACT);
	if (err != E_NOENT)
		bad(d, "a record has malformed headers");
}

static void dump_records(struct dump *d, const uint8_t *at, const struct batch_head *h)
{
	const uint8_t *plain;
	size_t len;
	struct batch_records it;
	struct batch_record r;

	if (batch_plain(at, h, codec_port(d->port), &d->plain, &plain, &len) != OK) {
		bad(d, "the records of a batch cannot be decompressed");
		return;
	}
	batch_records_init(&it, h, plain, len);
	int err;
	while ((err = batch_records_next(&it, &r)) == OK)
		dump_record(d, &r);
	if (err != E_NOENT)
		bad(d, "a batch has malformed records");
}

static void dump_batch(struct dump *d, const uint8_t *at, const struct batch_head *h, uint64_t pos)
{
	bool whole = batch_crc_ok(at, h);

	d->bad += !whole;
	d->batches++;
	d->records += (uint64_t)h->records;
	printf(cli_json(d->c) ?
	       "{\"base_offset\":%lld,\"last_offset\":%lld,\"records\":%d,\"position\":%llu,\"bytes\":%u,"
	       "\"codec\":\"%s\",\"producer_id\":%lld,\"producer_epoch\":%d,\"base_sequence\":%d,"
	       "\"leader_epoch\":%d,\"max_timestamp\":%lld,\"transactional\":%s,\"control\":%s,\"crc_ok\":%s}\n" :
	       "baseOffset: %lld lastOffset: %lld count: %d position: %llu size: %u compression: %s "
	       "producerId: %lld producerEpoch: %d baseSequence: %d partitionLeaderEpoch: %d "
	       "maxTimestamp: %lld transactional: %s control: %s crcOk: %s\n",
	       (long long)h->base_offset, (long long)batch_last_offset(h), h->records, (unsigned long long)pos,
	       h->bytes, batch_codec(h) == 0 ? "none" : codec_name(batch_codec(h)), (long long)h->producer_id,
	       h->producer_epoch, h->base_sequence, h->leader_epoch, (long long)h->max_timestamp,
	       h->attributes & BATCH_TRANSACTIONAL ? "true" : "false", h->attributes & BATCH_CONTROL ? "true" : "false",
	       whole ? "true" : "false");
	if (whole && cli_has(d->c, "records"))
		dump_records(d, at, h);
}

static int dump_file(struct dump *d, const char *path)
{
	FILE *f = fopen(path, "re");
	uint8_t head[BATCH_HEAD], *mem = NULL;
	uint64_t pos = 0;
	size_t got;

	if (!f) {
		cli_error("cannot read a file", path, strerror(errno));
		return CLI_FAILED;
	}
	if (!cli_json(d->c))
		printf("Dumping %s\n", path);
	while ((got = fread(head, 1, sizeof head, f)) == sizeof head) {
		struct batch_head h;
		int err = batch_parse(head, sizeof head, &h);

		if ((err != OK && err != E_SHORT) || h.bytes > PLAIN_MAX)
			break;
		mem = mem_resize(mem, h.bytes);
		memcpy(mem, head, sizeof head);
		if (fread(mem + sizeof head, 1, h.bytes - sizeof head, f) != h.bytes - sizeof head)
			break;
		d->path = path;
		d->pos = pos;
		dump_batch(d, mem, &h, pos);
		pos += h.bytes;
		got = 0;
	}
	fclose(f);
	mem_free(mem);
	if (got == 0)
		return CLI_OK;
	char what[128];
	snprintf(what, sizeof what, "at position %llu there is no whole batch", (unsigned long long)pos);
	cli_error(path, what, "The file of a running broker may end in a batch that is being written.");
	return CLI_FAILED;
}

int cmd_log(int argc, char **argv)
{
	static const struct codec_limits limits = { .zstd_window_log = 27, .block_bytes_max = 16u << 20 };
	struct cli c;
	int st = CLI_OK;

	if (!cli_parse(&c, "moldau log", "moldau log dump [OPTION]... FILE...", options, argc, argv))
		return CLI_USAGE;
	if (cli_verb(&c, &(struct cli_verb){ "dump", 1, 63, "FILE..." }, 1) < 0)
		return CLI_USAGE;
	struct dump d = { .c = &c, .port = codec_new(&limits) };
	buf_init(&d.plain, PLAIN_MAX);
	for (int i = 1; i < c.n_args; i++)
		if (dump_file(&d, c.args[i]) != CLI_OK)
			st = CLI_FAILED;
	codec_free(d.port);
	buf_release(&d.plain);
	return d.bad > 0 ? CLI_FAILED : st;
}
