/* load.c - see load.h. */
#include "load.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/mem.h"
#include "base/rng.h"
#include "raw.h"

#define RECONNECT_MS 20
#define PRODUCE_TIMEOUT_MS 10000
#define BATCH_RECORDS_MAX 3

const char *const load_violation_name[LOAD_VIOLATIONS] = {
	"honest sequence or producer id refused", "a retry was answered with another offset",
	"unexpected error code", "malformed answer",
};

enum state { DOWN, CONNECTING, NAMING, RUNNING };	/* NAMING: waits for a producer id */

struct flight_part {
	int part;
	uint64_t counter;
	uint32_t records;
};

struct flight {
	int32_t correlation;
	uint64_t sent_us;
	int n;
	struct flight_part p[LOAD_PARTS_MAX];
};

struct client {
	int idx;
	enum state state;
	int fd;
	uint64_t start_at_us;		/* when DOWN */
	uint64_t asked_us;		/* when NAMING or CONNECTING */
	int64_t producer_id;		/* -1: none yet */
	int16_t epoch;
	int32_t correlation;
	uint32_t until_rotate;
	bool rotating;			/* drains, then gets another producer id */
	struct flight flight[LOAD_IN_FLIGHT_MAX];
	int first, in_flight;		/* a ring */
	int cursor;			/* topic of the next request */
	struct buf out;
	size_t out_at;
	uint8_t *in;
	size_t in_n, in_cap;
	struct load_seq seq[LOAD_PARTS_MAX];
};

struct load {
	struct load_conf conf;
	struct client *client[LOAD_CLIENTS_MAX];
	int topic_first[LOAD_PARTS_MAX + 1], topics;	/* parts of a topic stand together */
	struct load_stats stats;
	struct rng rng;
	uint64_t last_ack_us;
	bool stopping;
	char pad[8192];
};

static uint64_t now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static uint32_t mix(int client, int part, uint64_t counter)
{
	uint64_t h = ((uint64_t)client << 52 ^ (uint64_t)part << 44 ^ counter) * UINT64_C(0x9E3779B97F4A7C15);

	return (uint32_t)(h >> 33);
}

uint32_t load_batch_records(int client, int part, uint64_t counter)
{
	return 1 + mix(client, part, counter) % BATCH_RECORDS_MAX;
}

bool load_value(const uint8_t *v, uint32_t len, uint32_t *ret_client, uint64_t *ret_counter)
{
	uint64_t n[2] = { 0, 0 };
	uint32_t i = 0;

	for (int k = 0; k < 2; k++) {
		uint32_t from = i;

		for (; i < len && v[i] >= '0' && v[i] <= '9' && i - from < 15; i++)
			n[k] = n[k] * 10 + (uint64_t)(v[i] - '0');
		if (i == from || i == len || v[i++] != ' ')
			return false;
	}
	*ret_client = (uint32_t)n[0];
	*ret_counter = n[1];
	return true;
}

/* ---- requests ---- */

static void ask_producer_id(struct client *c)
{
	size_t at = raw_begin(&c->out, RAW_INIT_PRODUCER_ID, 1, ++c->correlation, "load");

	raw_str(&c->out, NULL);
	buf_be32(&c->out, 60000);
	raw_end(&c->out, at);
	c->state = NAMING;
	c->asked_us = now_us();
}

static void put_batch(struct load *l, struct client *c, int part, uint64_t counter, uint32_t records,
		      int64_t ts)
{
	struct load_seq *s = &c->seq[part];
	struct raw_batch b = raw_batch_begin(&c->out, c->producer_id, c->epoch, (int32_t)(counter - s->first), ts);

	for (uint32_t i = 0; i < records; i++) {
		char value[sizeof l->pad];
		uint64_t k = counter + i;
		int n = snprintf(value, 64, "%d %llu ", c->idx, (unsigned long long)k);
		uint32_t want = mix(part, c->idx, k) % (l->conf.record_bytes + 1);

		if (want > (uint32_t)n) {
			memcpy(value + n, l->pad, want - (uint32_t)n);
			n = (int)want;
		}
		raw_batch_record(&c->out, &b, value, (uint32_t)n);
	}
	raw_batch_end(&c->out, &b);
}

static bool may_send(const struct load *l, const struct load_seq *s)
{
	return !s->broken && s->in_flight < LOAD_IN_FLIGHT_MAX && (!l->stopping || s->next < s->sent);
}

/* One request with a batch of each partition of the next topic that may have one; false: there is none. */
static bool send_one(struct load *l, struct client *c)
{
	struct flight *f = &c->flight[(c->first + c->in_flight) % LOAD_IN_FLIGHT_MAX];
	int topic = -1, n = 0;
	struct timespec wall;

	for (int i = 0; i < l->topics && n == 0; i++) {
		topic = (c->cursor + i) % l->topics;
		for (int p = l->topic_first[topic]; p < l->topic_first[topic + 1]; p++)
			n += may_send(l, &c->seq[p]);
	}
	if (n == 0)
		return false;
	c->cursor = (topic + 1) % l->topics;
	clock_gettime(CLOCK_REALTIME, &wall);
	*f = (struct flight){ .correlation = ++c->correlation, .sent_us = now_us() };
	size_t at = raw_begin(&c->out, RAW_PRODUCE, 8, f->correlation, "load");
	raw_produce_head(&c->out, -1, PRODUCE_TIMEOUT_MS, l->conf.parts[l->topic_first[topic]].topic, n);
	for (int p = l->topic_first[topic]; p < l->topic_first[topic + 1]; p++) {
		struct load_seq *s = &c->seq[p];

		if (!may_send(l, s))
			continue;
		uint32_t records = load_batch_records(c->idx, p, s->next);
		size_t part = raw_produce_part(&c->out, l->conf.parts[p].partition);
		/* A retry is the same batch but for its time: the broker must go by the sequence. */
		put_batch(l, c, p, s->next, records, wall.tv_sec * 1000 + wall.tv_nsec / 1000000);
		raw_produce_part_end(&c->out, part);
		f->p[f->n++] = (struct flight_part){ p, s->next, records };
		atomic_fetch_add(&l->stats.retried, s->next < s->sent);
		s->next += records;
		if (s->sent < s->next)
			s->sent = s->next;
		s->in_flight++;
	}
	raw_end(&c->out, at);
	c->in_flight++;
	atomic_fetch_add(&l->stats.requests, 1);
	if (c->until_rotate > 0 && --c->until_rotate == 0)
		c->rotating = true;
	return true;
}

static bool all_acked(const struct load *l, const struct client *c)
{
	for (int p = 0; p < l->conf.parts_n; p++)
		if (c->seq[p].acked < c->seq[p].sent)
			return false;
	return true;
}

static void pump(struct load *l, struct client *c)
{
	if (c->rotating && c->in_flight == 0 && all_acked(l, c)) {
		ask_producer_id(c);
		return;
	}
	while (c->in_flight < l->conf.in_flight && send_one(l, c))
		continue;
}

/* ---- answers ---- */

static void broken_over(struct load_seq *s)
{
	if (s->broken && s->in_flight == 0) {
		s->broken = false;
		s->next = s->acked;
	}
}

static void note_offset(struct load *l, struct load_seq *s, const struct flight_part *f, int64_t offset)
{
	bool again = false;

	while (s->cap < f->counter + f->records) {
		uint64_t cap = s->cap ? s->cap * 2 : 1024;

		s->offset = mem_resize(s->offset, cap * sizeof *s->offset);
		for (uint64_t i = s->cap; i < cap; i++)
			s->offset[i] = LOAD_NONE;
		s->cap = cap;
	}
	for (uint32_t i = 0; i < f->records; i++) {
		uint32_t *o = &s->offset[f->counter + i], now = (uint32_t)(offset + i);

		again |= *o != LOAD_NONE;
		if (*o != LOAD_NONE && *o != now)
			atomic_fetch_add(&l->stats.bad[LOAD_MOVED], 1);
		*o = now;
	}
	if (again)
		return;
	uint64_t now = now_us();
	atomic_fetch_add(&l->stats.acks, 1);
	atomic_fetch_add(&l->stats.records, f->records);
	if (l->last_ack_us && now - l->last_ack_us > l->stats.longest_gap_us)
		l->stats.longest_gap_us = now - l->last_ack_us;
	l->last_ack_us = now;
}

static void on_part(struct load *l, struct client *c, const struct flight_part *f, int16_t error, int64_t offset)
{
	struct load_seq *s = &c->seq[f->part];

	s->in_flight--;
	if (error == 0) {
		note_offset(l, s, f, offset);
		if (f->counter == s->acked)
			s->acked += f->records;
		else
			s->broken = true;	/* one in front of it failed: both are asked again */
		broken_over(s);
		return;
	}
	if (error > 0 && error < 128)
		atomic_fetch_add(&l->stats.error_code[error], 1);
	switch (error) {
	case 5: case 6: case 7: case 8: case 9: case 13: case 19: case 20: case 56: case 74: case 75:
		atomic_fetch_add(&l->stats.errors, 1);
		break;
	case 45:			/* behind one that failed it is what must happen */
		if (!s->broken)
			atomic_fetch_add(&l->stats.bad[LOAD_REFUSED], 1);
		break;
	case 46: case 47: case 59:
		atomic_fetch_add(&l->stats.bad[LOAD_REFUSED], 1);
		break;
	default:
		atomic_fetch_add(&l->stats.bad[LOAD_UNKNOWN], 1);
		break;
	}
	s->broken = true;
	broken_over(s);
}

/* The partition of a flight that an answer names. */
static const struct flight_part *find_part(const struct load *l, const struct flight *f, int32_t partition)
{
	for (int i = 0; i < f->n; i++)
		if (l->conf.parts[f->p[i].part].partition == partition)
			return &f->p[i];
	return NULL;
}

static int skip_string(struct cursor *c)
{
	uint16_t n;
	int err = cursor_be16(c, &n);

	return err ? err : n == UINT16_MAX || cursor_take(c, n) ? OK : E_SHORT;
}

/* Produce 8: topics [ name, [ index, error, base, append time, log start, [record errors], message ] ]. */
static int take_answer(struct load *l, struct client *c, struct cursor *a, struct flight *f)
{
	uint32_t topics, parts, errors, index, at;
	uint16_t code;
	uint64_t base, skip;
	int seen = 0;

	if (cursor_be32(a, &topics) || topics != 1 || skip_string(a) || cursor_be32(a, &parts) ||
	    parts != (uint32_t)f->n)
		return E_BAD;
	for (uint32_t i = 0; i < parts; i++) {
		if (cursor_be32(a, &index) || cursor_be16(a, &code) || cursor_be64(a, &base) ||
		    cursor_be64(a, &skip) || cursor_be64(a, &skip) || cursor_be32(a, &errors))
			return E_BAD;
		for (uint32_t k = 0; k < errors; k++)
			if (cursor_be32(a, &at) || skip_string(a))
				return E_BAD;
		if (skip_string(a))
			return E_BAD;
		const struct flight_part *p = find_part(l, f, (int32_t)index);
		if (!p)
			return E_BAD;
		on_part(l, c, p, (int16_t)code, (int64_t)base);
		seen++;
	}
	return seen == f->n ? OK : E_BAD;
}

static int take_producer_id(struct load *l, struct client *c, struct cursor *a)
{
	uint32_t throttle;
	uint16_t code, epoch;
	uint64_t id;

	if (cursor_be32(a, &throttle) || cursor_be16(a, &code) || cursor_be64(a, &id) || cursor_be16(a, &epoch))
		return E_BAD;
	if (code != 0) {		/* the coordinator is away: again later */
		atomic_fetch_add(&l->stats.errors, 1);
		return E_AGAIN;
	}
	c->producer_id = (int64_t)id;
	c->epoch = (int16_t)epoch;
	for (int p = 0; p < l->conf.parts_n; p++)
		c->seq[p].first = c->seq[p].next = c->seq[p].acked;
	c->rotating = false;
	c->until_rotate = l->conf.rotate ? l->conf.rotate / 2 + rng_below(&l->rng, l->conf.rotate) : 0;
	c->state = RUNNING;
	atomic_fetch_add(&l->stats.producer_ids, 1);
	return OK;
}

static int on_answer(struct load *l, struct client *c, const uint8_t *p, uint32_t len)
{
	struct cursor a = cursor_of(p, len);
	uint32_t correlation;

	if (cursor_be32(&a, &correlation))
		return E_BAD;
	if (c->state == NAMING)
		return correlation == (uint32_t)c->correlation ? take_producer_id(l, c, &a) : E_BAD;
	if (c->in_flight == 0 || c->flight[c->first].correlation != (int32_t)correlation)
		return E_BAD;
	struct flight *f = &c->flight[c->first];
	c->first = (c->first + 1) % LOAD_IN_FLIGHT_MAX;
	c->in_flight--;
	return take_answer(l, c, &a, f);
}

/* ---- connections ---- */

static void go_down(struct load *l, struct client *c)
{
	if (c->fd >= 0)
		close(c->fd);
	if (c->state > CONNECTING)
		atomic_fetch_add(&l->stats.reconnects, 1);
	c->fd = -1;
	c->state = DOWN;
	c->start_at_us = now_us() + 1000 * (RECONNECT_MS / 2 + rng_below(&l->rng, RECONNECT_MS));
	c->in_flight = 0;
	c->in_n = 0;
	c->out_at = 0;
	buf_reset(&c->out);
	for (int p = 0; p < l->conf.parts_n; p++) {
		struct load_seq *s = &c->seq[p];

		s->in_flight = 0;
		s->broken = false;
		s->next = s->acked;
	}
}

static void connected(struct client *c)
{
	c->state = RUNNING;
	if (c->producer_id < 0)
		ask_producer_id(c);
}

static void go_up(struct load *l, struct client *c)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons((uint16_t)l->conf.port),
				 .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int one = 1;

	c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	must(c->fd >= 0);
	setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	c->state = CONNECTING;
	c->asked_us = now_us();
	if (connect(c->fd, (struct sockaddr *)&a, sizeof a) == 0)
		connected(c);
	else if (errno != EINPROGRESS)
		go_down(l, c);
}

static void write_some(struct load *l, struct client *c)
{
	while (c->out_at < c->out.len) {
		ssize_t got = send(c->fd, c->out.p + c->out_at, c->out.len - c->out_at, MSG_NOSIGNAL);

		if (got < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (got <= 0) {
			go_down(l, c);
			return;
		}
		c->out_at += (size_t)got;
	}
	c->out_at = 0;
	buf_reset(&c->out);
}

static void read_some(struct load *l, struct client *c)
{
	if (c->in_cap - c->in_n < 65536) {
		c->in_cap = c->in_n + 131072;
		c->in = mem_resize(c->in, c->in_cap);
	}
	ssize_t got = recv(c->fd, c->in + c->in_n, c->in_cap - c->in_n, 0);
	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (got <= 0) {
		go_down(l, c);
		return;
	}
	c->in_n += (size_t)got;
	size_t at = 0;
	while (c->in_n - at >= 4) {
		uint32_t len = be32_get(c->in + at);

		if (c->in_n - at - 4 < len)
			break;
		int err = on_answer(l, c, c->in + at + 4, len);
		if (err != OK) {
			if (err != E_AGAIN)
				atomic_fetch_add(&l->stats.bad[LOAD_MALFORMED], 1);
			go_down(l, c);
			return;
		}
		at += 4 + len;
	}
	memmove(c->in, c->in + at, c->in_n - at);
	c->in_n -= at;
}

static void check_time(struct load *l, struct client *c, uint64_t now)
{
	uint64_t limit = (uint64_t)l->conf.ask_timeout_ms * 1000;
	uint64_t since = c->state == RUNNING ? (c->in_flight ? c->flight[c->first].sent_us : now) : c->asked_us;

	if (c->state == DOWN || now < since || now - since < limit)
		return;
	atomic_fetch_add(&l->stats.timeouts, 1);
	go_down(l, c);
}

static void on_event(struct load *l, struct client *c, short what)
{
	if (c->state == CONNECTING && (what & (POLLOUT | POLLERR | POLLHUP))) {
		int e = 0;
		socklen_t len = sizeof e;

		if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &e, &len) != 0 || e != 0) {
			go_down(l, c);
			return;
		}
		connected(c);
	}
	if (c->state > CONNECTING && (what & (POLLIN | POLLERR | POLLHUP)))
		read_some(l, c);
}

static bool all_done(const struct load *l)
{
	for (int i = 0; i < l->conf.clients; i++)
		if (!all_acked(l, l->client[i]))
			return false;
	return true;
}

static void turn(struct load *l)
{
	struct pollfd v[LOAD_CLIENTS_MAX];
	struct client *who[LOAD_CLIENTS_MAX];
	uint64_t now = now_us();
	int n = 0;

	for (int i = 0; i < l->conf.clients; i++) {
		struct client *c = l->client[i];

		if (c->state == DOWN && now >= c->start_at_us)
			go_up(l, c);
		if (c->state == RUNNING)
			pump(l, c);
		if (c->state > CONNECTING)
			write_some(l, c);
		check_time(l, c, now);
		if (c->fd < 0)
			continue;
		who[n] = c;
		v[n++] = (struct pollfd){ c->fd, (short)(POLLIN |
			(c->state == CONNECTING || c->out.len > c->out_at ? POLLOUT : 0)), 0 };
	}
	if (poll(v, (nfds_t)n, 5) <= 0)
		return;
	for (int i = 0; i < n; i++)
		if (v[i].revents && who[i]->fd == v[i].fd)
			on_event(l, who[i], v[i].revents);
}

/* ---- life ---- */

struct load *load_new(const struct load_conf *conf)
{
	struct load *l = mem_alloc(sizeof *l);

	must(conf->clients <= LOAD_CLIENTS_MAX && conf->parts_n <= LOAD_PARTS_MAX);
	must(conf->in_flight <= LOAD_IN_FLIGHT_MAX && conf->record_bytes + 64 < sizeof l->pad);
	l->conf = *conf;
	rng_init(&l->rng, conf->seed);
	memset(l->pad, 'x', sizeof l->pad);
	for (int p = 0; p < conf->parts_n; p++)
		if (p == 0 || strcmp(conf->parts[p].topic, conf->parts[p - 1].topic) != 0)
			l->topic_first[l->topics++] = p;
	l->topic_first[l->topics] = conf->parts_n;
	for (int i = 0; i < conf->clients; i++) {
		struct client *c = l->client[i] = mem_alloc(sizeof *c);

		c->idx = i;
		c->fd = -1;
		c->producer_id = -1;
		c->cursor = i % l->topics;
		buf_init(&c->out, (size_t)64 << 20);
	}
	return l;
}

void load_free(struct load *l)
{
	for (int i = 0; i < l->conf.clients; i++) {
		struct client *c = l->client[i];

		if (c->fd >= 0)
			close(c->fd);
		for (int p = 0; p < l->conf.parts_n; p++)
			mem_free(c->seq[p].offset);
		buf_release(&c->out);
		mem_free(c->in);
		mem_free(c);
	}
	mem_free(l);
}

bool load_run(struct load *l, const _Atomic int *stop, int drain_ms)
{
	l->stopping = false;
	while (!*stop)
		turn(l);
	l->stopping = true;
	for (uint64_t until = now_us() + (uint64_t)drain_ms * 1000; !all_done(l) && now_us() < until;)
		turn(l);
	return all_done(l);
}

struct load_stats *load_stats(struct load *l)
{
	return &l->stats;
}

const struct load_seq *load_seq(const struct load *l, int client, int part)
{
	return &l->client[client]->seq[part];
}
