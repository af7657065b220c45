/* rawlog.c - see rawlog.h. Includes nothing of the product on purpose. */
#include "rawlog.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FILES_MAX 65536
#define EPOCHS_MAX 4096
#define PRODUCERS_MAX 8192
#define REPORT_MAX 20

struct reader {
	const char *dir;
	char file[400];
	rawlog_record_fn *fn;
	void *ctx;
	struct rawlog_stats *st;
	int64_t next;				/* offset that must follow */
	int64_t last_epoch;
	struct { long long epoch, start; } epoch[EPOCHS_MAX];
	int epochs, epoch_at;
	struct { int64_t id, next; } *producer;	/* open addressing; id 0: free, stored + 1 */
	uint32_t table[256];
};

static void wrong(struct reader *r, size_t pos, const char *what, long long got, long long want)
{
	if (++r->st->errors <= REPORT_MAX)
		fprintf(stderr, "%s at %zu: %s: %lld, not %lld\n", r->file, pos, what, got, want);
}

static uint64_t number(const uint8_t *p, int bytes)
{
	uint64_t v = 0;

	for (int i = 0; i < bytes; i++)
		v = v << 8 | p[i];
	return v;
}

/* Castagnoli's polynomial, bit by bit into a table, byte by byte over the data. */
static void make_table(uint32_t *t)
{
	for (uint32_t i = 0; i < 256; i++) {
		uint32_t c = i;

		for (int k = 0; k < 8; k++)
			c = c & 1 ? 0x82f63b78u ^ c >> 1 : c >> 1;
		t[i] = c;
	}
}

static uint32_t checksum(const uint32_t *t, const uint8_t *p, size_t n)
{
	uint32_t c = 0xffffffffu;

	while (n-- > 0)
		c = t[(c ^ *p++) & 0xff] ^ c >> 8;
	return ~c;
}

static int zigzag(const uint8_t **p, const uint8_t *end, int64_t *ret)
{
	uint64_t v = 0;

	for (int shift = 0; shift < 64; shift += 7) {
		if (*p == end)
			return -1;
		uint8_t b = *(*p)++;
		v |= (uint64_t)(b & 0x7f) << shift;
		if (b < 0x80) {
			*ret = (int64_t)(v >> 1) ^ -(int64_t)(v & 1);
			return 0;
		}
	}
	return -1;
}

/* length, attributes, timestamp delta, offset delta, key, value, headers. */
static int read_record(struct reader *r, const uint8_t **p, const uint8_t *end, int64_t base, int64_t want)
{
	int64_t bytes, delta, key, value, skip;
	const uint8_t *q, *stop;

	if (zigzag(p, end, &bytes) || bytes < 1 || bytes > end - *p)
		return -1;
	q = *p + 1;
	stop = *p + bytes;
	*p = stop;
	if (zigzag(&q, stop, &skip) || zigzag(&q, stop, &delta) || delta != want || zigzag(&q, stop, &key))
		return -1;
	if (key > 0) {
		if (key > stop - q)
			return -1;
		q += key;
	}
	if (zigzag(&q, stop, &value) || value < 0 || value > stop - q)
		return -1;
	r->st->records++;
	r->fn(r->ctx, base + delta, q, (uint32_t)value);
	return 0;
}

static void check_epoch(struct reader *r, size_t pos, int64_t epoch, int64_t base)
{
	if (epoch < r->last_epoch)
		wrong(r, pos, "leader epoch goes back", epoch, r->last_epoch);
	r->last_epoch = epoch;
	while (r->epoch_at + 1 < r->epochs && r->epoch[r->epoch_at + 1].start <= base)
		r->epoch_at++;
	if (r->epochs == 0 || r->epoch[r->epoch_at].epoch != epoch || r->epoch[r->epoch_at].start > base)
		wrong(r, pos, "leader epoch is not that of leader-epoch-checkpoint", epoch,
		      r->epochs ? r->epoch[r->epoch_at].epoch : -1);
}

static void check_sequence(struct reader *r, size_t pos, int64_t id, int64_t sequence, int64_t n)
{
	uint64_t at = (uint64_t)id * UINT64_C(0x9E3779B97F4A7C15) >> 51;	/* 13 bits */

	for (int i = 0; i < PRODUCERS_MAX; i++, at = (at + 1) % PRODUCERS_MAX) {
		if (r->producer[at].id != 0 && r->producer[at].id != id + 1)
			continue;
		if (r->producer[at].id == 0)
			r->producer[at].next = 0;
		r->producer[at].id = id + 1;
		if (sequence != r->producer[at].next)
			wrong(r, pos, "sequence of a producer", sequence, r->producer[at].next);
		r->producer[at].next = sequence + n;
		return;
	}
}

static size_t read_batch(struct reader *r, const uint8_t *p, size_t left, size_t pos)
{
	size_t len = left >= 61 ? (size_t)number(p + 8, 4) + 12 : 0;

	if (left < 61 || len > left || len < 61) {
		wrong(r, pos, "a batch that is cut short; bytes left", (long long)left, (long long)len);
		return 0;
	}
	int64_t base = (int64_t)number(p, 8), n = (int64_t)number(p + 57, 4);
	if (p[16] != 2) {
		wrong(r, pos, "magic", p[16], 2);
		return 0;
	}
	if (number(p + 17, 4) != checksum(r->table, p + 21, len - 21))
		wrong(r, pos, "checksum", (long long)number(p + 17, 4), checksum(r->table, p + 21, len - 21));
	if (base != r->next)
		wrong(r, pos, "base offset", base, r->next);
	if ((int64_t)number(p + 23, 4) != n - 1)
		wrong(r, pos, "last offset delta", (long long)number(p + 23, 4), n - 1);
	check_epoch(r, pos, (int32_t)number(p + 12, 4), base);
	int64_t id = (int64_t)number(p + 43, 8);
	if (id >= 0)
		check_sequence(r, pos, id, (int32_t)number(p + 53, 4), n);
	const uint8_t *q = p + 61, *end = p + len;
	for (int64_t i = 0; i < n; i++)
		if (read_record(r, &q, end, base, i) != 0) {
			wrong(r, pos, "record that makes no sense", i, n);
			break;
		}
	if (q != end)
		wrong(r, pos, "bytes behind the last record", end - q, 0);
	r->next = base + n;
	r->st->batches++;
	r->st->bytes += len;
	return len;
}

static void read_file(struct reader *r, const char *name)
{
	uint8_t *mem = NULL;
	long size = -1;
	FILE *f;

	snprintf(r->file, sizeof r->file, "%s/%s", r->dir, name);
	f = fopen(r->file, "rb");
	if (f && fseek(f, 0, SEEK_END) == 0 && (size = ftell(f)) >= 0 && fseek(f, 0, SEEK_SET) == 0)
		mem = malloc((size_t)size + 1);
	if (!mem || fread(mem, 1, (size_t)size, f) != (size_t)size) {
		wrong(r, 0, "the file cannot be read", size, 0);
	} else {
		if (strtoll(name, NULL, 10) != r->next)
			wrong(r, 0, "first offset by the file's name", strtoll(name, NULL, 10), r->next);
		for (size_t at = 0, n; at < (size_t)size; at += n)
			if ((n = read_batch(r, mem + at, (size_t)size - at, at)) == 0)
				break;
	}
	r->st->files++;
	free(mem);
	if (f)
		fclose(f);
}

/* Kafka's text: version 0, count, "epoch start" lines. */
static void read_epochs(struct reader *r)
{
	int version = -1, n = 0;
	FILE *f;

	snprintf(r->file, sizeof r->file, "%s/leader-epoch-checkpoint", r->dir);
	f = fopen(r->file, "r");
	if (!f || fscanf(f, "%d %d", &version, &n) != 2 || version != 0 || n > EPOCHS_MAX)
		wrong(r, 0, "leader-epoch-checkpoint cannot be read; version", version, 0);
	else
		while (r->epochs < n && fscanf(f, "%lld %lld", &r->epoch[r->epochs].epoch,
					       &r->epoch[r->epochs].start) == 2)
			r->epochs++;
	if (r->epochs != n)
		wrong(r, 0, "lines of leader-epoch-checkpoint", r->epochs, n);
	for (int i = 1; i < r->epochs; i++)
		if (r->epoch[i].epoch <= r->epoch[i - 1].epoch || r->epoch[i].start < r->epoch[i - 1].start)
			wrong(r, 0, "order of leader-epoch-checkpoint", r->epoch[i].epoch, r->epoch[i - 1].epoch);
	if ((uint64_t)r->epochs > r->st->epochs)
		r->st->epochs = (uint64_t)r->epochs;
	if (f)
		fclose(f);
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

void rawlog_read(const char *dir, rawlog_record_fn *fn, void *ctx, struct rawlog_stats *st)
{
	struct reader *r = calloc(1, sizeof *r);
	char **names = calloc(FILES_MAX, sizeof *names);
	struct dirent *e;
	size_t n = 0;
	DIR *d;

	if (!r || !names || !(r->producer = calloc(PRODUCERS_MAX, sizeof *r->producer)))
		abort();
	r->dir = dir;
	r->fn = fn;
	r->ctx = ctx;
	r->st = st;
	make_table(r->table);
	snprintf(r->file, sizeof r->file, "%s", dir);
	d = opendir(dir);
	if (!d)
		wrong(r, 0, "the folder cannot be read", -1, 0);
	while (d && (e = readdir(d)) && n < FILES_MAX)
		if (strlen(e->d_name) == 24 && strcmp(e->d_name + 20, ".log") == 0)
			names[n++] = strdup(e->d_name);
	if (d)
		closedir(d);
	qsort(names, n, sizeof *names, by_name);
	read_epochs(r);
	for (size_t i = 0; i < n; i++) {
		read_file(r, names[i]);
		free(names[i]);
	}
	free(names);
	free(r->producer);
	free(r);
}
