/* relay.c - see relay.h. */
#include "broker/relay.h"

#include <stddef.h>
#include <string.h>

#include "base/assert.h"
#include "base/be.h"
#include "broker/api.h"
#include "broker/forward.h"
#include "broker/worker.h"
#include "wire/kafka_api.h"

#define BUCKETS 256
#define OWN_MAX 64			/* requests of our own that wait for the stream */
#define REPLY_FRAME_MAX ((uint32_t)256 << 20)
#define RETRY_MIN_US 5000
#define RETRY_MAX_US 200000

struct call {				/* in the request's arena */
	struct relay *r;
	struct req *q;
	uint64_t id;
	bool sent, again;		/* again: its first receiver died with it */
	struct call *prev, *next;	/* all, oldest first */
	struct call *chain;
};

struct own {				/* a request of our own that waits for the stream */
	struct own *next;
	uint32_t len;
	uint8_t frame[];
};

struct relay {
	struct worker *w;
	char address[256];
	struct net_conn *nc;		/* NULL: closed */
	bool up;
	uint64_t next_id;
	struct call *first, *last;
	struct call *bucket[BUCKETS];
	uint32_t pending;
	struct own *own, **own_end;
	uint32_t own_n;
	uint64_t retry_us;		/* pause before the next connect */
	struct wait_timer retry;
};

static void unlink_call(struct call *c)
{
	struct relay *r = c->r;
	struct call **at = &r->bucket[c->id % BUCKETS];

	while (*at != c)
		at = &(*at)->chain;
	*at = c->chain;
	if (c->prev)
		c->prev->next = c->next;
	else
		r->first = c->next;
	if (c->next)
		c->next->prev = c->prev;
	else
		r->last = c->prev;
	r->pending--;
}

static struct call *find_call(struct relay *r, uint64_t id)
{
	struct call *c = r->bucket[id % BUCKETS];

	while (c && c->id != id)
		c = c->chain;
	return c;
}

/* ---- sending -------------------------------------------------------------------------------- */

static void send_frame(struct relay *r, uint64_t id, int listener, const char *peer,
		       const uint8_t *frame, uint32_t len)
{
	uint16_t peer_len = (uint16_t)strlen(peer);
	uint32_t n = 8 + 1 + 1 + 2 + peer_len + len;
	uint8_t *p = mem_resize(NULL, (size_t)n + 4);

	be32_put(p, n);
	be64_put(p + 4, id);
	p[12] = FORWARD_VERSION;
	p[13] = (uint8_t)listener;
	be16_put(p + 14, peer_len);
	memcpy(p + 16, peer, peer_len);
	memcpy(p + 16 + peer_len, frame, len);
	struct net_piece piece = { .kind = NET_MEM, .mem = p, .len = (uint64_t)n + 4,
				   .release = mem_free, .release_ctx = p };
	r->w->env->net->calls->send(r->nc, &piece, 1);
}

static void send_call(struct call *c)
{
	struct req *q = c->q;
	struct net *net = q->w->env->net;

	c->sent = true;
	send_frame(c->r, c->id, q->conn->listener, net->calls->peer(q->conn->nc), q->frame, q->frame_len);
}

/* ---- failing -------------------------------------------------------------------------------- */

static void fail(struct call *c)
{
	struct req *q = c->q;

	unlink_call(c);
	q->on_gone = NULL;
	wait_timer_stop(&q->w->waits, &q->timer);
	count_add(q->w, COUNT_RELAY_LOST, 1);
	if (!relay_error(q))
		req_close(q);
}

static void on_waited(struct wait_timer *t)
{
	struct req *q = (struct req *)((char *)t - offsetof(struct req, timer));

	fail(q->op);
}

static void on_gone(struct req *q)
{
	unlink_call(q->op);
	req_no_answer(q);
}

/* ---- the stream ----------------------------------------------------------------------------- */

static void open_stream(struct relay *r);

static void on_retry(struct wait_timer *t)
{
	struct relay *r = (struct relay *)((char *)t - offsetof(struct relay, retry));

	if (!r->nc && (r->pending > 0 || r->own))
		open_stream(r);
}

static void try_later(struct relay *r)
{
	r->retry_us = r->retry_us == 0 ? RETRY_MIN_US : r->retry_us * 2;
	if (r->retry_us > RETRY_MAX_US)
		r->retry_us = RETRY_MAX_US;
	wait_timer_set(&r->w->waits, &r->retry, worker_now_us(r->w) + r->retry_us);
}

static void on_connect(void *user, struct net_conn *nc, int err)
{
	struct relay *r = user;

	(void)nc;
	if (err != OK)
		return;			/* on_close follows */
	r->up = true;
	r->retry_us = 0;
	for (struct own *o = r->own, *next; o; o = next) {
		next = o->next;
		send_frame(r, ++r->next_id, 0, "", o->frame, o->len);
		mem_free(o);
	}
	r->own = NULL;
	r->own_end = &r->own;
	r->own_n = 0;
	for (struct call *c = r->first; c; c = c->next) {
		if (c->sent)
			continue;
		wait_timer_stop(&r->w->waits, &c->q->timer);
		send_call(c);
	}
}

/*
 * The coordinator process died with the request in its hands: may it be asked again? What it had
 * not written died with it, and these give the same result when they were written; so a client
 * does not notice a death. Once only, lest a request that kills goes round.
 */
static bool ask_again(struct call *c)
{
	switch (c->q->api->key) {
	case KAFKA_OFFSET_COMMIT:
	case KAFKA_OFFSET_FETCH:
	case KAFKA_FIND_COORDINATOR:
	case KAFKA_JOIN_GROUP:
	case KAFKA_HEARTBEAT:
	case KAFKA_SYNC_GROUP:
		break;
	default:
		return false;
	}
	if (c->again)
		return false;
	c->again = true;
	c->sent = false;
	c->q->timer.fire = on_waited;
	wait_timer_set(&c->q->w->waits, &c->q->timer, worker_now_us(c->q->w) + RELAY_WAIT_MS * 1000);
	return true;
}

static void on_close(void *user, struct net_conn *nc, int err)
{
	struct relay *r = user;

	(void)nc;
	(void)err;
	r->nc = NULL;
	r->up = false;
	for (struct call *c = r->first, *next; c; c = next) {
		next = c->next;
		if (c->sent && !ask_again(c))
			fail(c);
	}
	if (r->pending > 0)
		try_later(r);
}

static void answer(struct call *c, const uint8_t *p, uint32_t len)
{
	struct req *q = c->q;

	unlink_call(c);
	q->on_gone = NULL;
	struct reply *reply = reply_new(q->w);
	buf_put(&reply->buf, p, len);
	if (reply->buf.bad) {
		reply_drop(reply);
		req_close(q);
		return;
	}
	req_reply(q, reply);
}

static void on_frame(void *user, struct net_conn *nc, uint8_t *frame, uint32_t len)
{
	struct relay *r = user;
	struct net *net = r->w->env->net;

	if (len < 9) {
		net->calls->frame_free(net, frame);
		net->calls->abort(nc);
		return;
	}
	struct call *c = find_call(r, be64_get(frame));
	if (c && c->sent) {
		switch (frame[8]) {
		case FORWARD_ANSWER:
			answer(c, frame + 9, len - 9);
			break;
		case FORWARD_CLOSE: {
			struct req *q = c->q;

			unlink_call(c);
			q->on_gone = NULL;
			req_close(q);
			break;
		}
		default:		/* FORWARD_LATER, or what a newer peer may say */
			fail(c);
			break;
		}
	}
	net->calls->frame_free(net, frame);
}

static void open_stream(struct relay *r)
{
	static const struct net_events events = {
		.on_frame = on_frame, .on_close = on_close, .on_connect = on_connect,
	};
	struct net *net = r->w->env->net;

	if (net->calls->connect(net, r->address, &events, r, REPLY_FRAME_MAX, &r->nc) != OK) {
		r->nc = NULL;
		try_later(r);
	}
}

/* ---- what others call ----------------------------------------------------------------------- */

void relay_request(struct relay *r, struct req *q)
{
	struct call *c = arena_alloc(&q->arena, sizeof *c);

	if (!c) {
		req_close(q);
		return;
	}
	*c = (struct call){ .r = r, .q = q, .id = ++r->next_id, .prev = r->last };
	if (r->last)
		r->last->next = c;
	else
		r->first = c;
	r->last = c;
	c->chain = r->bucket[c->id % BUCKETS];
	r->bucket[c->id % BUCKETS] = c;
	r->pending++;
	q->op = c;
	q->on_gone = on_gone;
	count_add(r->w, COUNT_RELAYED, 1);
	if (r->up) {
		send_call(c);
		return;
	}
	q->timer.fire = on_waited;
	wait_timer_set(&r->w->waits, &q->timer, worker_now_us(r->w) + RELAY_WAIT_MS * 1000);
	if (!r->nc && r->retry.at == 0)
		open_stream(r);
}

bool relay_own(struct relay *r, const uint8_t *frame, uint32_t len)
{
	if (r->up) {
		send_frame(r, ++r->next_id, 0, "", frame, len);
		return true;
	}
	if (r->own_n == OWN_MAX)
		return false;
	struct own *o = mem_resize(NULL, sizeof *o + len);

	o->next = NULL;
	o->len = len;
	memcpy(o->frame, frame, len);
	*r->own_end = o;
	r->own_end = &o->next;
	r->own_n++;
	if (!r->nc && r->retry.at == 0)
		open_stream(r);
	return true;
}

struct relay *relay_new(struct worker *w, const char *name)
{
	struct relay *r = mem_alloc(sizeof *r);
	struct str parts[] = { STR("unix:"), str_of(w->env->run_dir), STR("/"), str_of(name), STR(".sock") };
	size_t at = 0;

	r->w = w;
	r->own_end = &r->own;
	r->retry.fire = on_retry;
	for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
		must(at + (size_t)parts[i].len < sizeof r->address);
		memcpy(r->address + at, parts[i].p, (size_t)parts[i].len);
		at += (size_t)parts[i].len;
	}
	return r;
}

void relay_free(struct relay *r)
{
	if (!r)
		return;
	wait_timer_stop(&r->w->waits, &r->retry);
	for (struct own *o = r->own, *next; o; o = next) {
		next = o->next;
		mem_free(o);
	}
	must(r->pending == 0 && !r->nc);
	mem_free(r);
}

/* Java's String.hashCode() of an ASCII or UTF-8 text (code units of the basic plane). */
static int32_t java_hash(const uint8_t *p, size_t len)
{
	uint32_t h = 0;

	for (size_t i = 0; i < len;) {
		uint32_t c = p[i++];
		int more = c >= 0xf0 ? 3 : c >= 0xe0 ? 2 : c >= 0xc0 ? 1 : 0;

		c &= more == 3 ? 0x07 : more == 2 ? 0x0f : more == 1 ? 0x1f : 0xff;
		for (; more > 0 && i < len; more--)
			c = c << 6 | (p[i++] & 0x3f);
		if (c >= 0x10000) {	/* a surrogate pair */
			h = h * 31 + (0xd800 + ((c - 0x10000) >> 10));
			c = 0xdc00 + ((c - 0x10000) & 0x3ff);
		}
		h = h * 31 + c;
	}
	return (int32_t)h;
}

/* The group id is the first field of every request about one group. */
static struct str first_string(const struct req *q)
{
	const uint8_t *p = q->body, *end = p + q->body_len;
	uint32_t n = 0;

	if (!q->flexible) {
		if (q->body_len < 2)
			return STR_NULL;
		n = be16_get(p);
		p += 2;
	} else {
		for (unsigned shift = 0; p < end && shift < 28; shift += 7) {
			n |= (uint32_t)(*p & 0x7f) << shift;
			if (!(*p++ & 0x80))
				break;
		}
		if (n-- == 0)
			return STR_NULL;
	}
	if (n > (size_t)(end - p))
		return STR_NULL;
	return (struct str){ (const char *)p, (int32_t)n };
}

struct relay *relay_route(struct worker *w, struct req *q)
{
	struct str group = w->env->groups > 1 ? first_string(q) : STR_NULL;

	if (group.len <= 0)
		return w->groups[0];
	int32_t h = java_hash((const uint8_t *)group.p, (size_t)group.len) & INT32_MAX;
	return w->groups[h % w->conf.offsets_partitions % w->env->groups];
}
