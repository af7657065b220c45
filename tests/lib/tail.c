/* tail.c - see tail.h. */
#include "tail.h"

#include <string.h>
#include <time.h>
#include <unistd.h>

#include "raw.h"

#define ASK_MS 15000
#define WAIT_MS 200
#define PART_BYTES (1 << 20)

struct feed {
	struct tail *t;
	int part;
};

static void on_record(void *ctx, int64_t offset, const uint8_t *value, uint32_t len)
{
	struct feed *f = ctx;

	view_record(f->t->view, f->part, offset, value, len);
}

static uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* Partitions of a topic stand together. */
static int topic_end(const struct tail *t, int first)
{
	int i = first;

	while (i < t->parts_n && strcmp(t->parts[i].topic, t->parts[first].topic) == 0)
		i++;
	return i;
}

static void ask(struct tail *t, struct buf *b, int32_t correlation)
{
	size_t at = raw_begin(b, RAW_FETCH, 11, correlation, "tail");
	uint32_t topics = 0;

	for (int i = 0; i < t->parts_n; i = topic_end(t, i))
		topics++;
	buf_be32(b, UINT32_MAX);	/* replica */
	buf_be32(b, WAIT_MS);
	buf_be32(b, 1);
	buf_be32(b, 16 << 20);
	buf_u8(b, 0);
	buf_be32(b, 0);			/* no session */
	buf_be32(b, UINT32_MAX);
	buf_be32(b, topics);
	for (int i = 0; i < t->parts_n; i = topic_end(t, i)) {
		raw_str(b, t->parts[i].topic);
		buf_be32(b, (uint32_t)(topic_end(t, i) - i));
		for (int k = i; k < topic_end(t, i); k++) {
			buf_be32(b, (uint32_t)t->parts[k].partition);
			buf_be32(b, UINT32_MAX);
			buf_be64(b, (uint64_t)t->view->next_offset[k]);
			buf_be64(b, UINT64_MAX);
			buf_be32(b, PART_BYTES);
		}
	}
	buf_be32(b, 0);			/* nothing forgotten */
	raw_str(b, "");
	raw_end(b, at);
}

static void take_records(struct tail *t, int part, const uint8_t *p, uint32_t len)
{
	struct feed f = { t, part };

	for (uint32_t at = 0; len - at >= RAW_BATCH_HEAD;) {
		uint32_t n = be32_get(p + at + 8) + 12;

		if (n < RAW_BATCH_HEAD || n > len - at)
			break;			/* a batch that is cut short is asked for again */
		int64_t last = (int64_t)be64_get(p + at) + be32_get(p + at + 23);
		if (last >= t->view->next_offset[part] && raw_batch_walk(p + at, n, on_record, &f) != OK) {
			t->damaged++;
			t->view->next_offset[part] = last + 1;
		}
		at += n;
	}
	t->seen = t->view->records;
}

static int find(const struct tail *t, const uint8_t *name, uint32_t len, int32_t partition)
{
	for (int i = 0; i < t->parts_n; i++)
		if (t->parts[i].partition == partition && strlen(t->parts[i].topic) == len &&
		    memcmp(t->parts[i].topic, name, len) == 0)
			return i;
	return -1;
}

static int take_part(struct tail *t, struct cursor *a, const uint8_t *name, uint32_t name_len, bool *behind)
{
	uint32_t index, aborted, replica, len;
	uint64_t hw, skip;
	uint16_t code;

	if (cursor_be32(a, &index) || cursor_be16(a, &code) || cursor_be64(a, &hw) || cursor_be64(a, &skip) ||
	    cursor_be64(a, &skip) || cursor_be32(a, &aborted))
		return E_BAD;
	if (aborted != UINT32_MAX && !cursor_take(a, (size_t)aborted * 16))
		return E_BAD;
	if (cursor_be32(a, &replica) || cursor_be32(a, &len))
		return E_BAD;
	const uint8_t *records = cursor_take(a, len == UINT32_MAX ? 0 : len);
	int part = find(t, name, name_len, (int32_t)index);
	if (!records || part < 0)
		return E_BAD;
	if (code != 0) {
		t->errors++;
		*behind = true;
		return OK;
	}
	if (len != UINT32_MAX)
		take_records(t, part, records, len);
	*behind |= t->view->next_offset[part] < (int64_t)hw;
	return OK;
}

static int take(struct tail *t, struct cursor a, bool *behind)
{
	uint32_t correlation, throttle, session, topics, parts;
	uint16_t code, name_len;

	*behind = false;
	if (cursor_be32(&a, &correlation) || cursor_be32(&a, &throttle) || cursor_be16(&a, &code) ||
	    cursor_be32(&a, &session) || cursor_be32(&a, &topics) || code != 0)
		return E_BAD;
	for (uint32_t i = 0; i < topics; i++) {
		const uint8_t *name;

		if (cursor_be16(&a, &name_len) || !(name = cursor_take(&a, name_len)) || cursor_be32(&a, &parts))
			return E_BAD;
		for (uint32_t k = 0; k < parts; k++)
			if (take_part(t, &a, name, name_len, behind) != OK)
				return E_BAD;
	}
	return OK;
}

void tail_run(struct tail *t, const _Atomic int *stop, int wait_ms)
{
	struct buf out, in;
	uint64_t until = 0;
	int fd = -1;

	buf_init(&out, 1 << 20);
	buf_init(&in, (size_t)64 << 20);
	for (int32_t n = 1;; n++) {
		bool stopping = *stop, behind = true;

		if (stopping && !until)
			until = now_ms() + (uint64_t)wait_ms;
		if (until && now_ms() > until)
			break;
		if (fd < 0 && (fd = raw_connect(t->port, ASK_MS)) < 0) {
			nanosleep(&(struct timespec){ 0, 20000000 }, NULL);
			continue;
		}
		buf_reset(&out);
		ask(t, &out, n);
		t->fetches++;
		int err = raw_call(fd, &out, &in);
		if (err == OK)
			err = take(t, cursor_of(in.p, in.len), &behind);
		if (err != OK) {
			t->reconnects++;
			t->damaged += err == E_BAD;
			close(fd);
			fd = -1;
			continue;
		}
		if (stopping && !behind)
			break;
	}
	if (fd >= 0)
		close(fd);
	buf_release(&out);
	buf_release(&in);
}
