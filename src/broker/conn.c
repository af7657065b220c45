/* conn.c - see conn.h. */
#include "broker/conn.h"

#include <stddef.h>

#include "base/assert.h"
#include "base/be.h"
#include "broker/api.h"
#include "broker/worker.h"
#include "wire/kafka_api.h"
#include "wire/wire.h"

#define ARENA_CHUNK 2048		/* a parked long poll keeps one chunk */
#define SPARE_REQS_MAX 256
#define QUEUED_MAX ((uint64_t)1 << 20)	/* answers not yet sent, above which no request is begun */
#define PIPE_REQS 64			/* Produce requests of a connection in processing at once ... */
#define PIPE_BYTES ((uint64_t)2 << 20)	/* ... and their frames, above which none is begun */

/* ---- requests ------------------------------------------------------------------------------- */

/* A request that did not come from a client (auto-creation); has no connection. */
static struct req *req_new(struct worker *w)
{
	struct req *q = w->spare_reqs;

	if (q) {
		w->spare_reqs = q->next;
		w->spare_reqs_n--;
		struct arena arena = q->arena;
		*q = (struct req){ .arena = arena };
	} else {
		q = mem_alloc(sizeof *q);
		arena_init(&q->arena, ARENA_CHUNK, w->decoded_max);
	}
	q->w = w;
	q->arena.max = w->decoded_max;
	q->start_us = worker_now_us(w);
	return q;
}

static void frame_give(struct req *q)
{
	if (q->frame)
		q->w->env->net->calls->frame_free(q->w->env->net, q->frame);
	q->frame = NULL;
}

static void req_free(struct req *q)
{
	struct worker *w = q->w;

	wait_timer_stop(&w->waits, &q->timer);
	frame_give(q);
	arena_reset(&q->arena);
	if (w->spare_reqs_n >= SPARE_REQS_MAX) {
		arena_release(&q->arena);
		mem_free(q);
		return;
	}
	q->next = w->spare_reqs;
	w->spare_reqs = q;
	w->spare_reqs_n++;
}

int req_keep_small(struct req *q)
{
	uint8_t *copy = arena_alloc(&q->arena, q->body_len + 1);
	char *id = arena_alloc(&q->arena, (size_t)q->client_id.len + 1);

	if (!copy || !id)
		return E_LIMIT;
	memcpy(copy, q->body, q->body_len);
	memcpy(id, q->client_id.p, (size_t)q->client_id.len);
	q->client_id.p = id;
	q->body = copy;
	frame_give(q);
	return OK;
}

void *req_decode(struct req *q, const struct wire_type *type, size_t bytes)
{
	void *obj = arena_alloc(&q->arena, bytes);
	/* Bytes behind the message are no error, as in Kafka. */
	int err = obj ? wire_decode_some(type, q->version, q->body, q->body_len, &q->arena, obj, NULL) : E_LIMIT;

	if (err == OK)
		return obj;
	count_add(q->w, COUNT_BAD_FRAMES, 1);
	req_close(q);
	return NULL;
}

/* ---- the end of a request ------------------------------------------------------------------- */

static void conn_take(struct conn *c, uint8_t *frame, uint32_t len);

static void conn_free(struct conn *c)
{
	struct worker *w = c->w;

	wait_timer_stop(&w->waits, &c->mute_timer);
	if (c->stash)
		w->env->net->calls->frame_free(w->env->net, c->stash);
	if (c->prev)
		c->prev->next = c->next;
	else
		w->conns = c->next;
	if (c->next)
		c->next->prev = c->prev;
	w->conns_n--;
	admit_give(w, &c->admit);
	atomic_store_explicit(&bell_load(w->env->bells, w->env->proc)->conns, w->conns_n,
			      memory_order_relaxed);
	count_add(w, COUNT_CONNECTIONS_CLOSED, 1);
	mem_free(c);
}

static void conn_close(struct conn *c)
{
	if (c->closing)
		return;
	c->closing = true;
	c->w->env->net->calls->close(c->nc);
}

static void mute(struct conn *c)
{
	if (!c->muted)
		c->w->env->net->calls->mute(c->nc);
	c->muted = true;
}

/* May this frame be begun now? (C1) */
static bool may_begin(const struct conn *c, const uint8_t *frame, uint32_t len)
{
	struct worker *w = c->w;
	bool produce = len >= 2 && be16_get(frame) == API_KEY_PRODUCE;

	if (!w->ready || c->mute_until_us || w->env->net->calls->queued_bytes(c->nc) > QUEUED_MAX)
		return false;
	if ((produce && w->behind) || c->checking > 0)	/* C6, C7 */
		return false;
	if (!c->first)
		return true;
	return produce && !w->draining && c->last->api->key == API_KEY_PRODUCE && !c->last->close &&
	       c->reqs < PIPE_REQS && c->frame_bytes < PIPE_BYTES;
}

static void resume(struct conn *c)
{
	struct worker *w = c->w;

	if (c->closing)
		return;
	if (c->stash) {
		if (!may_begin(c, c->stash, c->stash_len))
			return;
		uint8_t *frame = c->stash;

		c->stash = NULL;
		conn_take(c, frame, c->stash_len);
		if (c->closing || c->stash)
			return;
	}
	if (!w->ready || c->mute_until_us || (c->first && c->last->api->key != API_KEY_PRODUCE))
		return;
	if (c->muted)
		w->env->net->calls->unmute(c->nc);
	c->muted = false;
}

static void on_throttle_over(struct wait_timer *t)
{
	struct conn *c = (struct conn *)((char *)t - offsetof(struct conn, mute_timer));

	c->mute_until_us = 0;
	resume(c);
}

/* Trap 10: the answer has gone at once, the connection is read again when the time is over. */
static void throttle(struct conn *c, uint32_t ms)
{
	c->mute_until_us = worker_now_us(c->w) + (uint64_t)ms * 1000;
	mute(c);
	wait_timer_set(&c->w->waits, &c->mute_timer, c->mute_until_us);
}

/* The answer has gone or there is none. */
static void first_end(struct conn *c)
{
	struct req *q = c->first;
	uint32_t throttle_ms = q->throttle_ms;
	bool close = q->close;

	c->first = q->next;
	if (!c->first)
		c->last = NULL;
	c->reqs--;
	if (q->reply && !c->closing)
		reply_send(q->reply, c->nc);
	else
		reply_drop(q->reply);
	q->reply = NULL;
	req_free(q);
	if (c->closing)
		return;
	if (close)
		conn_close(c);
	else if (throttle_ms > 0)
		throttle(c, throttle_ms);
}

/* The handler is through with it. */
static void req_done(struct req *q, struct reply *r, bool close)
{
	struct conn *c = q->conn;

	if (!c) {
		reply_drop(r);
		req_free(q);
		return;
	}
	must(!q->done);			/* C3 */
	q->done = true;
	q->close = close;
	q->reply = r;
	c->frame_bytes -= q->frame_len;
	if (c->first != q) {		/* C5 */
		wait_timer_stop(&c->w->waits, &q->timer);
		frame_give(q);
		arena_reset(&q->arena);
		return;
	}
	while (c->first && c->first->done)
		first_end(c);
	if (c->w->draining && !c->first)
		conn_close(c);
	else
		resume(c);
}

void req_no_answer(struct req *q)
{
	req_done(q, NULL, false);
}

void req_reply(struct req *q, struct reply *r)
{
	req_done(q, r, false);
}

void req_close(struct req *q)
{
	req_done(q, NULL, true);
}

struct reply *req_reply_begin(struct req *q)
{
	struct reply *r = reply_new(q->w);

	buf_be32(&r->buf, (uint32_t)q->correlation);
	if (q->flexible && q->api->key != API_KEY_API_VERSIONS)	/* trap 2 */
		buf_u8(&r->buf, 0);
	return r;
}

void req_answer(struct req *q, const struct wire_type *type, const void *obj)
{
	struct reply *r = req_reply_begin(q);

	if (wire_encode(type, q->version, obj, &r->buf) != OK || r->buf.bad) {
		q->w->env->log(q->w->env, 3, "an answer could not be encoded", q->api->name,
			       "the connection is closed; this is a bug");
		reply_drop(r);
		req_close(q);
		return;
	}
	req_reply(q, r);
}

/* ---- frames --------------------------------------------------------------------------------- */

struct header {
	int16_t key, version;
	int32_t correlation;
	struct str client_id;
	uint32_t bytes;			/* of the header */
};

/* Header v1: api key, version, correlation id, client id (classic nullable string, trap 3). */
static int header_read(const uint8_t *p, uint32_t len, struct header *ret)
{
	if (len < 10)
		return E_SHORT;
	ret->key = (int16_t)be16_get(p);
	ret->version = (int16_t)be16_get(p + 2);
	ret->correlation = (int32_t)be32_get(p + 4);
	int16_t n = (int16_t)be16_get(p + 8);
	if (n < -1)
		return E_BAD;
	if (n > 0 && (uint32_t)n > len - 10)
		return E_SHORT;
	ret->client_id = (struct str){ (const char *)p + 10, n < 0 ? 0 : n };
	ret->bytes = 10 + (uint32_t)ret->client_id.len;
	return OK;
}

static int uvarint(const uint8_t *p, uint32_t len, uint32_t *at, uint32_t *ret)
{
	uint32_t v = 0;

	for (unsigned shift = 0; shift < 35; shift += 7) {
		if (*at == len)
			return E_SHORT;
		uint8_t b = p[(*at)++];
		if (shift == 28 && b > 0x0f)
			return E_BAD;
		v |= (uint32_t)(b & 0x7f) << shift;
		if (!(b & 0x80)) {
			*ret = v;
			return OK;
		}
	}
	return E_BAD;
}

/* Header v2 has a tag buffer behind it; what it holds is skipped (trap 17). */
static int header_tags(const uint8_t *p, uint32_t len, struct header *h)
{
	uint32_t n, tag, bytes;
	int err = uvarint(p, len, &h->bytes, &n);

	for (uint32_t i = 0; err == OK && i < n; i++) {
		err = uvarint(p, len, &h->bytes, &tag);
		if (err == OK)
			err = uvarint(p, len, &h->bytes, &bytes);
		if (err == OK && bytes > len - h->bytes)
			err = E_SHORT;
		if (err == OK)
			h->bytes += bytes;
	}
	return err;
}

static void refuse(struct conn *c, uint8_t *frame)
{
	count_add(c->w, COUNT_BAD_FRAMES, 1);
	c->w->env->net->calls->frame_free(c->w->env->net, frame);
	conn_close(c);
}

/* C1: it may be begun. */
static void conn_take(struct conn *c, uint8_t *frame, uint32_t len)
{
	struct worker *w = c->w;
	struct header h;

	if (header_read(frame, len, &h) != OK) {
		refuse(c, frame);
		return;
	}
	const struct kafka_api *api = kafka_api(h.key);
	bool known = api && api_serves(api, h.version);
	bool versions = api && api->key == API_KEY_API_VERSIONS;

	if (!known && !versions) {	/* trap 6 */
		refuse(c, frame);
		return;
	}
	bool flexible = h.version >= api->flexible;
	if (known && flexible && header_tags(frame, len, &h) != OK) {
		refuse(c, frame);
		return;
	}
	struct req *q = req_new(w);
	q->conn = c;
	q->api = api;
	q->version = h.version;
	q->flexible = known && flexible;
	q->correlation = h.correlation;
	q->client_id = h.client_id;
	q->frame = frame;
	q->frame_len = len;
	q->body = frame + h.bytes;
	q->body_len = len - h.bytes;
	must(!c->first || (c->last->api->key == API_KEY_PRODUCE && api->key == API_KEY_PRODUCE));	/* C1 */
	if (c->first)
		c->last->next = q;
	else
		c->first = q;
	c->last = q;
	c->reqs++;
	c->frame_bytes += len;
	c->used_us = q->start_us;
	if (known)
		api_dispatch(q);
	else
		api_versions_too_new(q);
	if (c->first && c->last->api->key != API_KEY_PRODUCE && !c->closing)
		mute(c);
}

static void on_frame(void *user, struct net_conn *nc, uint8_t *frame, uint32_t len)
{
	struct conn *c = user;
	struct worker *w = c->w;

	(void)nc;
	worker_image(w);
	if (c->closing) {
		w->env->net->calls->frame_free(w->env->net, frame);
		return;
	}
	if (!may_begin(c, frame, len)) {
		must(!c->stash);	/* the port delivers nothing while it is muted */
		c->stash = frame;
		c->stash_len = len;
		mute(c);
		return;
	}
	conn_take(c, frame, len);
}

static void on_drained(void *user, struct net_conn *nc)
{
	struct conn *c = user;

	(void)nc;
	if (c->stash)
		resume(c);
}

/* A request that only waits is not worth waiting for any more; one that is worked on is answered. */
static void on_gone(void *user, struct net_conn *nc)
{
	struct conn *c = user;

	if (c->first && !c->first->done && c->first->on_gone)
		c->w->env->net->calls->abort(nc);
}

static void on_close(void *user, struct net_conn *nc, int err)
{
	struct conn *c = user;

	(void)nc;
	(void)err;
	if (c->refused) {
		mem_free(c);
		return;
	}
	c->closing = true;
	c->nc = NULL;
	while (c->first) {
		struct req *q = c->first;

		c->first = q->next;
		q->conn = NULL;		/* C2 */
		if (q->done) {
			reply_drop(q->reply);
			req_free(q);
		} else if (q->on_gone) {
			q->on_gone(q);
		}
	}
	api_conn_gone(c);
	conn_free(c);
}

void conn_adopt(struct worker *w, int fd, int listener)
{
	static const struct net_events events = {
		.on_frame = on_frame, .on_drained = on_drained, .on_close = on_close, .on_gone = on_gone,
	};
	struct conn *c = mem_alloc(sizeof *c);

	c->w = w;
	c->listener = listener;
	c->auth = CONN_OPEN;
	c->principal = STR("User:ANONYMOUS");
	c->mute_timer.fire = on_throttle_over;
	if (w->env->net->calls->adopt(w->env->net, fd, &events, c, w->conf.max_frame, &c->nc) != OK) {
		mem_free(c);
		return;
	}
	if (!admit_take(w, w->env->net->calls->peer(c->nc), &c->admit)) {
		c->closing = c->refused = true;
		w->env->net->calls->abort(c->nc);
		return;
	}
	c->used_us = worker_now_us(w);
	c->next = w->conns;
	if (c->next)
		c->next->prev = c;
	w->conns = c;
	w->conns_n++;
	atomic_store_explicit(&bell_load(w->env->bells, w->env->proc)->conns, w->conns_n,
			      memory_order_relaxed);
	count_add(w, COUNT_CONNECTIONS, 1);
}

void conn_resume(struct conn *c)
{
	resume(c);
}

void conn_resume_all(struct worker *w)
{
	for (struct conn *c = w->conns; c; c = c->next)
		resume(c);
}

void conn_drain(struct conn *c)
{
	if (!c->first)
		conn_close(c);
}

void conn_close_idle(struct worker *w, uint64_t since_us)
{
	for (struct conn *c = w->conns; c; c = c->next)
		if (!c->first && !c->mute_until_us && c->used_us < since_us)
			conn_close(c);
}
