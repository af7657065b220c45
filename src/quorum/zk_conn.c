/* zk_conn.c - connections of ZooKeeper clients: handshake, sessions, ends. See zk.h. */
#include <stddef.h>
#include <string.h>

#include "base/assert.h"
#include "base/be.h"
#include "base/mutant.h"
#include "quorum/zk_int.h"
#include "wire/zk_gen.h"

#define SCAN_US 500000u
#define ALONE_US 1000000u		/* longer than an election takes */
#define GREETING_US 10000000u		/* sessionlessCnxnTimeout */
#define PASSWORD 16

int64_t zk_zxid(const struct zk *z)
{
	return coord_zxid(node_coord(z->node));
}

/* ---- sending, muting ---- */

static void release_mem(void *p)
{
	mem_free(p);
}

void zk_send(struct zk_conn *c, struct buf *b)
{
	size_t len;

	if (c->closed || c->aborted) {
		buf_release(b);
		return;
	}
	if (!jute_end(b)) {
		zk_abort(c);
		return;
	}
	uint8_t *p = buf_steal(b, &len);
	struct net_piece piece = { .kind = NET_MEM, .mem = p, .len = len, .release = release_mem, .release_ctx = p };

	c->sent++;
	c->z->st.sent++;
	c->z->st.bytes_out += len;
	c->calls->send(c->net, &piece, 1);
	if (c->calls->queued_bytes(c->net) > ZK_UNSENT_MAX)
		zk_mute(c, ZK_MUTE_UNSENT);
}

void zk_mute(struct zk_conn *c, enum zk_mute why)
{
	if (c->muted == 0)
		c->calls->mute(c->net);
	c->muted |= why;
}

void zk_unmute(struct zk_conn *c, enum zk_mute why)
{
	if (!(c->muted & why))
		return;
	c->muted &= ~(unsigned)why;
	if (c->muted == 0 && !c->closed)
		c->calls->unmute(c->net);
}

void zk_abort(struct zk_conn *c)
{
	if (c->closed || c->aborted)
		return;
	c->aborted = true;
	c->calls->abort(c->net);
}

void zk_close(struct zk_conn *c)
{
	if (c->closed || c->aborted)
		return;
	c->mode = ZK_CLOSING;
	zk_mute(c, ZK_MUTE_CLOSING);
	c->calls->close(c->net);
}

/* ---- ids ---- */

bool zk_id_add(struct zk_conn *c, struct str scheme, struct str id)
{
	struct bytes l = zk_ids(c);
	struct coord_id e;
	struct buf b;
	uint32_t n = 0;

	if (l.len > 0 && coord_acl_count(&l, &n)) {
		struct bytes rest = l;

		for (uint32_t i = 0; i < n && coord_id_next(&rest, &e); i++)
			if (str_eq(e.scheme, scheme) && str_eq(e.id, id))
				return true;
	}
	if (n >= ZK_IDS_MAX)
		return false;
	buf_init(&b, ZK_IDS_BYTES_MAX);
	jute_int(&b, (int32_t)n + 1);
	jute_str(&b, scheme);
	jute_str(&b, id);
	buf_put(&b, l.p, l.len > 0 ? (size_t)l.len : 0);
	if (b.bad) {
		buf_release(&b);
		return false;
	}
	buf_release(&c->ids);
	c->ids = b;
	return true;
}

struct bytes zk_ids(const struct zk_conn *c)
{
	return (struct bytes){ c->ids.p, (int32_t)c->ids.len };
}

/* ---- sessions ---- */

static struct zk_conn **bucket(struct zk *z, int64_t session)
{
	return &z->by_session[((uint64_t)session * UINT64_C(0x9E3779B97F4A7C15)) >> 52];
}

_Static_assert(ZK_SESSION_BUCKETS == 1u << 12, "bucket() takes the upper 12 bits");

static struct zk_conn *conn_of(struct zk *z, int64_t session)
{
	struct zk_conn *c = *bucket(z, session);

	while (c && c->session != session)
		c = c->hash_next;
	return c;
}

static void unbind(struct zk_conn *c)
{
	struct zk_conn **at = bucket(c->z, c->session);

	if (c->session == 0)
		return;
	while (*at && *at != c)
		at = &(*at)->hash_next;
	if (*at)
		*at = c->hash_next;
	c->session = 0;
}

static void touch(struct zk_conn *c)
{
	struct zk *z = c->z;

	if (c->heard || c->local)
		return;
	c->heard = true;
	if (z->nheard == z->heard_cap) {
		z->heard_cap = z->heard_cap ? z->heard_cap * 2 : 64;
		z->heard = mem_resize(z->heard, z->heard_cap * sizeof *z->heard);
	}
	z->heard[z->nheard++] = c->session;
}

static int on_turn(void *ctx)
{
	struct zk *z = ctx;
	int more = zk_requests_late(z);

	if (z->nheard == 0)
		return more;
	node_touch(z->node, z->heard, z->nheard);
	for (uint32_t i = 0; i < z->nheard; i++) {
		struct zk_conn *c = conn_of(z, z->heard[i]);

		if (c)
			c->heard = false;
	}
	z->nheard = 0;
	return more;
}

static void answer_hello(struct zk_conn *c, const struct coord_session *x)
{
	struct zk_connect_response r = { .password = { (const uint8_t *)"\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", PASSWORD } };
	struct buf b;

	if (x) {
		r.timeout_ms = (int32_t)x->timeout_ms;
		r.session_id = x->id;
		r.password.p = x->password;
	}
	jute_begin(&b, 256);
	must(wire_encode(&wire_zk_connect_response, c->read_only_known, &r, &b) == OK);
	zk_send(c, &b);
	if (!x) {
		zk_close(c);
		return;
	}
	struct zk_conn *old = conn_of(c->z, x->id);

	if (old) {				/* Z4 */
		unbind(old);
		zk_close(old);
	}
	c->session = x->id;
	c->attached = x->attached;
	c->hash_next = *bucket(c->z, x->id);
	*bucket(c->z, x->id) = c;
	c->mode = ZK_OPEN;
	touch(c);
	zk_unmute(c, ZK_MUTE_OPENING);
}

void zk_conn_gone(struct zk_conn *c)
{
	if (!c->closed || c->nsent > 0)
		return;
	if (c->prev)
		c->prev->next = c->next;
	else
		c->z->conns = c->next;
	if (c->next)
		c->next->prev = c->prev;
	zk_requests_drop(c);
	zk_watch_drop(c);
	zk_sasl_free(c);
	buf_release(&c->ids);
	c->z->st.connections--;
	mem_free(c);
}

struct opening {			/* a handshake that waits for the log, or for what is known elsewhere */
	struct node_req node;		/* first member */
	struct node_read read;
	struct zk_conn *c;
	int64_t session;
	uint8_t password[PASSWORD];
};

/* The session is there, whether its client still is or not: without one it runs out. */
static void on_opened(struct node_req *q, int err, int64_t zxid, const struct coord_result *r)
{
	struct opening *o = (struct opening *)q;
	struct zk_conn *c = o->c;

	(void)zxid;
	mem_free(o);
	c->nsent--;
	if (c->closed) {
		zk_conn_gone(c);
		return;
	}
	if (err) {
		zk_abort(c);
		return;
	}
	answer_hello(c, coord_session(node_coord(c->z->node), r->session));
}

static void open_session(struct zk_conn *c, uint32_t timeout_ms)
{
	struct opening *o = mem_alloc(sizeof *o);
	uint8_t secret[PASSWORD];
	struct buf b;

	c->z->conf.random(secret, sizeof secret);
	buf_init(&b, 1024);
	coord_encode_open_client(&b, node_time_ms(c->z->node), secret, timeout_ms);
	o->node.done = on_opened;
	o->c = c;
	c->nsent++;
	if (node_propose(c->z->node, b.p, (uint32_t)b.len, true, &o->node) != OK) {
		c->nsent--;
		mem_free(o);
		zk_abort(c);
	}
	buf_release(&b);
}

static const struct coord_session *session_of(const struct zk *z, int64_t id, const uint8_t *password)
{
	const struct coord_session *x = coord_session(node_coord(z->node), id);

	return x && x->client && !node_closing(z->node, x) && secret_eq(x->password, password, PASSWORD) ? x : NULL;
}

static void opening_failed(struct opening *o)
{
	struct zk_conn *c = o->c;

	mem_free(o);
	c->nsent--;
	if (c->closed)
		zk_conn_gone(c);
	else
		zk_abort(c);
}

static void on_attached(struct node_req *q, int err, int64_t zxid, const struct coord_result *r)
{
	struct opening *o = (struct opening *)q;
	struct zk_conn *c = o->c;

	(void)zxid;
	if (err || c->closed) {
		opening_failed(o);
		return;
	}
	const struct coord_session *x = r->err ? NULL : session_of(c->z, o->session, o->password);

	mem_free(o);
	c->nsent--;
	answer_hello(c, x);
}

/* Where the session was attached before, on whatever node, its connection ends by the same entry: Z4. */
static void attach(struct opening *o)
{
	struct node *n = o->c->z->node;
	struct buf b;

	o->node.done = on_attached;
	buf_init(&b, 1024);
	coord_encode_attach(&b, node_time_ms(n), o->session, o->password);
	int err = node_propose(n, b.p, (uint32_t)b.len, true, &o->node);

	buf_release(&b);
	if (err)
		opening_failed(o);
}

static void on_known(struct node_read *q, int err)
{
	struct opening *o = (struct opening *)(void *)((char *)q - offsetof(struct opening, read));
	struct zk_conn *c = o->c;
	struct node_role role;

	if (err || c->closed) {
		opening_failed(o);
		return;
	}
	node_role(c->z->node, &role);
	const struct coord_session *x = session_of(c->z, o->session, o->password);

	if (x && role.nmembers > 1) {
		attach(o);
		return;
	}
	mem_free(o);
	c->nsent--;
	answer_hello(c, x);
}

/* WHY a barrier: a follower may not have heard of the session yet, or not of its end. */
static void reopen_session(struct zk_conn *c, const struct zk_connect_request *r)
{
	struct opening *o = mem_alloc(sizeof *o);

	o->c = c;
	o->session = r->session_id;
	if (r->password.len == PASSWORD)
		memcpy(o->password, r->password.p, PASSWORD);
	o->read.done = on_known;
	c->nsent++;
	node_read(c->z->node, &o->read);
}

static uint32_t negotiated(const struct zk *z, int32_t wanted)
{
	uint32_t t = wanted < 0 ? 0 : (uint32_t)wanted;

	return t < z->conf.session_ms_min ? z->conf.session_ms_min : t > z->conf.session_ms_max
		? z->conf.session_ms_max : t;
}

/* Without a quorum: a session of this node alone, which reads what is here and ends with its connection. */
static void local_session(struct zk_conn *c, int32_t timeout_ms)
{
	uint8_t secret[PASSWORD];
	struct zk_connect_response r = { .timeout_ms = (int32_t)negotiated(c->z, timeout_ms), .read_only = true,
					 .password = { secret, PASSWORD } };
	struct buf b;

	c->z->conf.random(secret, sizeof secret);
	c->z->conf.random(&r.session_id, sizeof r.session_id);
	r.session_id = INT64_C(3) << 56 | (r.session_id & ((INT64_C(1) << 56) - 1));
	jute_begin(&b, 256);
	must(wire_encode(&wire_zk_connect_response, c->read_only_known, &r, &b) == OK);
	zk_send(c, &b);
	c->local = true;
	c->mode = ZK_OPEN;
}

static void on_hello(struct zk_conn *c, const uint8_t *frame, uint32_t len)
{
	struct zk *z = c->z;
	struct zk_connect_request r;
	struct arena a;
	size_t used = 0;

	arena_init(&a, 256, 4096);
	int err = wire_decode_some(&wire_zk_connect_request, 0, frame, len, &a, &r, &used);
	arena_release(&a);
	bool alone = !node_ready(z->node);

	c->read_only_known = used < len;
	c->read_only = used < len && frame[used] != 0;
	if (alone && err == OK && z->conf.read_only && c->read_only && r.session_id == 0 &&
	    r.last_zxid_seen <= zk_zxid(z) && !z->draining) {
		local_session(c, r.timeout_ms);
		return;
	}
	if (err != OK || z->draining || alone || r.last_zxid_seen > zk_zxid(z)) {
		if (err == OK && r.last_zxid_seen > zk_zxid(z))
			z->conf.on_log(z->conf.user, "refused a client that has seen later changes than this node",
				       NULL);
		zk_abort(c);
		return;
	}
	const char *subject = c->calls->subject(c->net);

	if (subject)
		(void)zk_id_add(c, STR("x509"), str_of(subject));
	c->mode = ZK_OPENING;
	zk_mute(c, ZK_MUTE_OPENING);
	if (r.session_id != 0) {
		reopen_session(c, &r);
		return;
	}
	open_session(c, negotiated(z, r.timeout_ms));
}

/* ---- events of the port ---- */

static void on_frame(void *user, struct net_conn *nc, uint8_t *frame, uint32_t len)
{
	struct zk_conn *c = user;
	struct zk *z = c->z;

	(void)nc;
	c->received++;
	z->st.received++;
	z->st.bytes_in += len + 4;
	if (c->mode == ZK_OPEN) {
		touch(c);
		zk_request(c, frame, len);
		return;
	}
	if (c->mode == ZK_GREETING)
		on_hello(c, frame, len);
	c->calls->frame_free(c->port, frame);
}

static bool on_odd_length(void *user, struct net_conn *nc, uint32_t length)
{
	struct zk_conn *c = user;

	(void)nc;
	return c->mode == ZK_GREETING && zk_word(c, length);
}

static void on_close(void *user, struct net_conn *nc, int err)
{
	struct zk_conn *c = user;

	(void)nc;
	(void)err;
	c->closed = true;
	unbind(c);
	zk_watch_drop(c);
	zk_events_read(c);
	zk_conn_gone(c);
}

static void on_drained(void *user, struct net_conn *nc)
{
	struct zk_conn *c = user;

	(void)nc;
	zk_events_read(c);
	zk_unmute(c, ZK_MUTE_UNSENT);
	zk_requests_go(c);
}

static const struct net_events events = {
	.on_frame = on_frame, .on_close = on_close, .on_drained = on_drained, .on_odd_length = on_odd_length,
};

static uint32_t from_host(const struct zk *z, const char *peer)
{
	uint32_t n = 0;

	for (const struct zk_conn *c = z->conns; c; c = c->next)
		n += !c->closed && strcmp(c->calls->peer(c->net), peer) == 0;
	return n;
}

void zk_accept(struct zk *z, struct net *net, bool secure, int fd)
{
	struct zk_conn *c = mem_alloc(sizeof *c);

	c->z = z;
	c->tail = &c->first;
	c->born_us = z->clock->mono_us(z->clock);
	c->port = net;
	c->secure = secure;
	c->calls = net->calls;
	if (c->calls->adopt(net, fd, &events, c, z->conf.frame_max, &c->net) != OK) {
		mem_free(c);
		return;
	}
	const char *peer = c->calls->peer(c->net);
	bool full = z->conf.conns_per_host > 0 && from_host(z, peer) >= z->conf.conns_per_host;

	c->next = z->conns;
	if (z->conns)
		z->conns->prev = c;
	z->conns = c;
	z->st.connections++;
	if (full || z->draining) {
		z->st.rejected++;
		if (full && (z->full_told_us == 0 || c->born_us - z->full_told_us > SCAN_US * 2)) {
			z->full_told_us = c->born_us;
			z->conf.on_log(z->conf.user, "too many connections from one host", peer);
		}
		zk_abort(c);
		return;
	}
	(void)zk_id_add(c, STR("ip"), str_of(strncmp(peer, "::ffff:", 7) == 0 ? peer + 7 : peer));
}

/* ---- followers of the log ---- */

static void on_applied(void *user, int64_t zxid, const struct coord_result *r)
{
	struct zk *z = user;

	zk_watch_fire(z, zxid, r->changes, r->nchanges);
	if (r->err != OK || (r->kind != COORD_CLOSE && r->kind != COORD_ATTACH))
		return;
	struct zk_conn *c = conn_of(z, r->session);

	if (c && mutant(OLD_STAYS) && r->kind == COORD_ATTACH)
		return;
	if (c && !(c->first && c->first->state == ZK_REQ_SENT && c->first->type == ZK_OP_CLOSE_SESSION)) {
		unbind(c);
		zk_close(c);			/* it ran out or moved: ZooKeeper says nothing either */
	}
}

static void on_lead(void *user, bool leads)
{
	if (leads)
		zk_reconfig_lead(user);
}

/* Another tree: nobody can say what happened between the two. Clients come back and set their watches again. */
static void on_reset(void *user)
{
	struct zk *z = user;

	for (struct zk_conn *c = z->conns; c; c = c->next)
		if (!c->closed && c->mode != ZK_GREETING && !mutant(RESET_KEEPS))
			zk_abort(c);
}

static void on_scan(struct loop_timer *t)
{
	struct zk *z = t->user;
	uint64_t now = z->clock->mono_us(z->clock);

	if (node_ready(z->node))
		z->ready_us = now;
	/* Z6. A local session ends when there is a quorum again: the client wants a real one. */
	for (struct zk_conn *c = z->conns; c; c = c->next)
		if (!c->closed && c->mode == ZK_OPEN &&
		    (c->local ? z->ready_us == now : now - z->ready_us > ALONE_US && !mutant(ALONE_KEEPS)))
			zk_abort(c);
	for (struct zk_conn *c = z->conns; c; c = c->next)
		if (c->mode == ZK_GREETING && !c->closed && now - c->born_us > GREETING_US) {
			c->born_us = now;
			z->st.expired_greetings++;
			zk_abort(c);
		}
	z->loop->calls->timer_set(z->loop, t, SCAN_US);
}

struct zk *zk_new(struct node *node, struct loop *loop, struct clock *clock,
		  const struct zk_config *conf)
{
	struct zk *z = mem_alloc(sizeof *z);

	z->node = node;
	z->loop = loop;
	z->clock = clock;
	z->conf = *conf;
	z->started_us = z->ready_us = clock->mono_us(clock);
	z->data = zk_watch_new();
	z->child = zk_watch_new();
	z->late_tail = &z->late;
	z->scan = (struct loop_timer){ .fire = on_scan, .user = z };
	node_listen(node, &(struct node_listener){ .on_lead = on_lead, .on_applied = on_applied,
		.on_reset = on_reset, .user = z });
	loop->calls->turn_hook(loop, on_turn, z);
	loop->calls->timer_set(loop, &z->scan, SCAN_US);
	zk_reap_start(z);
	return z;
}

void zk_drain(struct zk *z)
{
	z->draining = true;
}

void zk_stats(const struct zk *z, struct zk_stats *ret)
{
	*ret = z->st;
}
