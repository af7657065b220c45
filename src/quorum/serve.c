/* serve.c - see serve.h. on_frame() is the table of contents. */
#include "quorum/serve_in.h"

#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/be.h"
#include "base/mem.h"
#include "quorum/subject.h"

#define TIMEOUT_MS_MIN 100u
#define TIMEOUT_MS_MAX 600000u
#define REQUEST_MAX (16u << 20)		/* so that the push of what it changed stays under QF_FRAME_MAX */
#define INFLIGHT_MAX 4096		/* writes of one connection */

struct req {
	struct node_req node;		/* first member */
	struct conn *c;
	struct req *next;
	uint32_t id;
	enum qf_type type;
	uint32_t timeout_ms;
	uint8_t password[16];
};

struct held {				/* a frame behind a read's barrier */
	struct node_read read;		/* first member */
	struct conn *c;
	uint8_t *frame;
	uint32_t len;
};

/* ---- sending ---- */

static void release_mem(void *p)
{
	mem_free(p);
}

void serve_start(struct buf *b, enum qf_type t, uint32_t fields)
{
	buf_init(b, QF_FRAME_MAX);
	buf_be32(b, 0);
	mp_put_array(b, fields);
	mp_put_int(b, t);
}

void serve_answer(struct buf *b, enum qf_type t, uint32_t fields, uint32_t id, int err)
{
	serve_start(b, t, fields);
	mp_put_int(b, id);
	mp_put_int(b, err);
}

void serve_push(struct conn *c, struct buf *b)
{
	size_t len;

	if (b->bad || c->closed) {
		buf_release(b);
		if (!c->closed)
			c->s->net->calls->abort(c->net);
		return;
	}
	be32_put(b->p, (uint32_t)(b->len - 4));
	uint8_t *p = buf_steal(b, &len);
	struct net_piece piece = { .kind = NET_MEM, .mem = p, .len = len, .release = release_mem,
				   .release_ctx = p };

	c->s->net->calls->send(c->net, &piece, 1);
}

static void refuse(struct conn *c, enum qf_type t, uint32_t id, int err)
{
	struct buf b;

	serve_answer(&b, t, t == QF_MULTI || t == QF_GET ? 5 : t == QF_ADMIN ? 4 : 3, id, err);
	if (t == QF_ADMIN)
		mp_put_str(&b, STR("client-subjects of the node does not name this certificate"));
	if (t == QF_MULTI || t == QF_GET) {
		mp_put_int(&b, 0);
		mp_put_array(&b, 0);
	}
	serve_push(c, &b);
}

static void log_session(struct serve *s, const char *msg, const struct coord_session *x)
{
	char detail[160], name[sizeof x->name];
	size_t i = 0;

	for (; x->name[i] && i + 1 < sizeof name; i++)	/* it came from outside */
		name[i] = x->name[i] < ' ' || x->name[i] > '~' || x->name[i] == '"' ? '?' : x->name[i];
	name[i] = 0;

	snprintf(detail, sizeof detail, "session=%llx name=\"%s\" timeout_ms=%u", (unsigned long long)x->id,
		 name, x->timeout_ms);
	s->conf.on_log(s->conf.user, msg, detail);
}

/* ---- connections and sessions ---- */

static void conn_free(struct conn *c)
{
	if (!c->closed || c->inflight + c->reading > 0)
		return;
	if (c->prev)
		c->prev->next = c->next;
	else
		c->s->conns = c->next;
	if (c->next)
		c->next->prev = c->prev;
	for (uint32_t i = 0; i < c->nprefixes; i++)
		mem_free((void *)(uintptr_t)c->prefix[i].p);
	c->s->nconns--;
	mem_free(c);
}

static void touch(struct serve *s, struct coord_session *x)
{
	node_touch(s->node, &x->id, 1);
}

/* V2, V6: proposes the end; nobody waits for it. */
static void end_session(struct serve *s, struct coord_session *x, int64_t attached, const char *why)
{
	struct buf b;

	if (node_closing(s->node, x))
		return;
	buf_init(&b, 1024);
	coord_encode_close_if(&b, node_time_ms(s->node), x->id, attached);
	if (node_propose(s->node, b.p, (uint32_t)b.len, true, NULL) == OK) {
		node_set_closing(s->node, x->id, true);
		log_session(s, why, x);
	}
	buf_release(&b);
}

static void on_applied(void *user, int64_t zxid, const struct coord_result *r)
{
	struct serve *s = user;

	feed_add(&s->feed, zxid, r->changes, r->nchanges);
	if (r->kind == COORD_CLOSE && r->err == E_CONFLICT)
		node_set_closing(s->node, r->session, false);
	for (struct conn *c = s->conns, *next; c; c = next) {
		next = c->next;
		if (r->nchanges > 0 && !c->behind)
			serve_pump(c);
		if (r->kind == COORD_CLOSE && r->err == OK && c->session == r->session && !c->closed && !c->live) {
			struct buf b;

			c->session = 0;
			if (c->inflight == 0) {		/* not its own request: that one is answered */
				serve_start(&b, QF_EXPIRED, 1);
				serve_push(c, &b);
				s->net->calls->close(c->net);
			}
		}
	}
}

static void on_lead(void *user, bool leads)
{
	struct serve *s = user;

	s->conf.on_log(s->conf.user, leads ? "serving as leader" : "not the leader any more", NULL);
}

/* The tree is another one: who follows it starts over, here or at another node. */
static void on_reset(void *user)
{
	struct serve *s = user;

	feed_release(&s->feed);
	feed_init(&s->feed, coord_zxid(node_coord(s->node)));
	for (struct conn *c = s->conns; c; c = c->next)
		if (!c->closed)
			s->net->calls->abort(c->net);
}

static void on_frame_of(struct conn *c, uint8_t *frame, uint32_t len);

static void take(struct conn *c, uint8_t *frame, uint32_t len);

void serve_answered(struct conn *c)
{
	if (c->closed) {
		conn_free(c);
		return;
	}
	if (c->inflight + c->reading > 0)
		return;
	c->s->net->calls->unmute(c->net);
	if (c->parked) {
		uint8_t *frame = c->parked;

		c->parked = NULL;
		take(c, frame, c->parked_len);
	}
}

static void bind(struct conn *c, struct coord_session *x)
{
	struct conn *old = x->soft.conn;

	if (old && old != c) {			/* the session has moved here */
		old->session = 0;
		c->s->net->calls->abort(old->net);
	}
	x->soft.conn = c;
	c->session = x->id;
	touch(c->s, x);
}

static void answer_hello(struct conn *c, uint32_t id, const struct coord_session *x)
{
	struct buf b;

	serve_answer(&b, QF_HELLO, 9, id, OK);
	mp_put_int(&b, QF_PROTOCOL);
	mp_put_str(&b, str_of(c->s->conf.cluster_id));
	mp_put_int(&b, x->id);
	mp_put_bin(&b, x->password, sizeof x->password);
	mp_put_int(&b, x->timeout_ms);
	mp_put_int(&b, coord_zxid(node_coord(c->s->node)));
	serve_push(c, &b);
}

/* c holds its session from now on. */
static void hold(struct conn *c, uint32_t id, struct coord_session *x)
{
	x->soft.live = c;
	c->live = true;
	c->attached = x->attached;
	c->session = x->id;
	refuse(c, QF_LIVENESS, id, OK);
}

/* V6: it holds its session, which a later attachment may have taken away already. WHY no end when c was closed
 * meanwhile: who was not told may be trying elsewhere; if not, its deadline comes. */
static void on_attached(struct conn *c, uint32_t id, int64_t zxid, const struct coord_result *r)
{
	struct coord_session *x = coord_session(node_coord(c->s->node), r->session);

	if (r->err || !x || x->attached != zxid)
		refuse(c, QF_LIVENESS, id, E_NOENT);
	else if (!c->closed)
		hold(c, id, x);
}

static void on_done(struct node_req *q, int err, int64_t zxid, const struct coord_result *r)
{
	struct req *x = (struct req *)q;
	struct conn *c = x->c;
	struct buf b;

	if (err) {
		c->hello &= x->type != QF_HELLO;
		if (x->type == QF_CLOSE)
			node_set_closing(c->s->node, c->session, false);
		refuse(c, x->type, x->id, err);
	} else if (x->type == QF_HELLO) {
		struct coord_session *n = coord_session(node_coord(c->s->node), r->session);

		if (n)
			touch(c->s, n);
		if (n && !c->closed) {
			n->soft.opened_here = true;
			bind(c, n);
			answer_hello(c, x->id, n);
			log_session(c->s, "session opened", n);
		}
	} else if (x->type == QF_LIVENESS) {
		on_attached(c, x->id, zxid, r);
	} else if (x->type == QF_CLOSE) {
		serve_answer(&b, QF_CLOSE, 3, x->id, OK);
		serve_push(c, &b);
		if (!c->closed)
			c->s->net->calls->close(c->net);
	} else {
		serve_answer(&b, QF_MULTI, 5, x->id, r->err);
		mp_put_int(&b, zxid);
		mp_put_array(&b, r->nops);
		for (uint32_t i = 0; i < r->nops; i++) {
			mp_put_array(&b, 3);
			mp_put_int(&b, r->ops[i].err);
			mp_put_str(&b, r->ops[i].path.p ? r->ops[i].path : STR_NULL);
			mp_put_int(&b, r->ops[i].version);
		}
		serve_push(c, &b);
	}
	mem_free(x);
	c->inflight--;
	serve_answered(c);
}

/* ---- requests ---- */

static void propose(struct conn *c, enum qf_type t, uint32_t id, bool frees, struct buf *b)
{
	struct req *x = mem_alloc(sizeof *x);

	x->node.done = on_done;
	x->c = c;
	x->id = id;
	x->type = t;
	int err = b->bad ? E_LIMIT : node_propose(c->s->node, b->p, (uint32_t)b->len, frees, &x->node);

	if (err) {
		mem_free(x);
		refuse(c, t, id, err);
	} else if (++c->inflight >= INFLIGHT_MAX) {
		c->s->net->calls->mute(c->net);
	}
	buf_release(b);
}

static void do_hello(struct conn *c, uint32_t id, struct mp_reader *m)
{
	struct serve *s = c->s;
	int64_t protocol = mp_int(m);
	struct str cluster = mp_str(m), name = mp_str(m);
	int64_t session = mp_int(m);
	struct bytes password = mp_bin(m);
	int64_t timeout = mp_int(m);
	uint8_t secret[16];
	struct buf b;

	if (!mp_end(m) || password.len != 16 || c->hello) {
		s->net->calls->abort(c->net);
		return;
	}
	int err = protocol != QF_PROTOCOL ? E_VERSION
		: cluster.len >= 0 && !str_is(cluster, s->conf.cluster_id) ? E_FOREIGN
		: !node_ready(s->node) || s->draining ? E_AGAIN : OK;

	if (err) {
		refuse(c, QF_HELLO, id, err);
		return;
	}
	c->hello = true;
	if (session != 0) {
		struct coord_session *x = coord_session(node_coord(s->node), session);

		if (!x || x->client || node_closing(s->node, x) || !secret_eq(x->password, password.p, 16)) {
			refuse(c, QF_HELLO, id, E_NOENT);
			return;
		}
		bind(c, x);
		answer_hello(c, id, x);
		return;
	}
	if (timeout < TIMEOUT_MS_MIN)
		timeout = TIMEOUT_MS_MIN;
	if (timeout > TIMEOUT_MS_MAX)
		timeout = TIMEOUT_MS_MAX;
	s->conf.random(secret, sizeof secret);
	buf_init(&b, 4096);
	coord_encode_open(&b, node_time_ms(s->node), secret, (uint32_t)timeout,
			  name.len > 63 ? (struct str){ name.p, 63 } : name);
	propose(c, QF_HELLO, id, true, &b);
}

static void do_liveness(struct conn *c, uint32_t id, struct mp_reader *m)
{
	int64_t session = mp_int(m);
	struct bytes password = mp_bin(m);
	struct coord_session *x = coord_session(node_coord(c->s->node), session);
	struct buf b;

	if (!mp_end(m) || password.len != 16 || !x || x->client || !secret_eq(x->password, password.p, 16)) {
		refuse(c, QF_LIVENESS, id, E_NOENT);
	} else if (x->soft.opened_here && x->attached == 0) {
		hold(c, id, x);
	} else {			/* V6: it may be held at another node */
		buf_init(&b, 256);
		coord_encode_attach(&b, node_time_ms(c->s->node), session, password.p);
		propose(c, QF_LIVENESS, id, true, &b);
	}
}

static void do_multi(struct conn *c, uint32_t id, struct mp_reader *m)
{
	const uint8_t *ops = m->p + m->at;
	struct buf b;
	bool deletes;
	uint32_t n;

	if (coord_check_ops(m, &n, &deletes) != OK || !mp_end(m)) {
		refuse(c, QF_MULTI, id, E_BAD);
		return;
	}
	buf_init(&b, RLOG_ENTRY_MAX);
	coord_encode_multi(&b, node_time_ms(c->s->node), c->session, ops, (uint32_t)(m->p + m->at - ops));
	propose(c, QF_MULTI, id, deletes, &b);
}

static void do_get(struct conn *c, uint32_t id, struct mp_reader *m)
{
	struct str path = mp_str(m);
	bool children = mp_bool(m);
	struct coord *t = node_coord(c->s->node);
	const struct znode *z;
	struct buf b;

	if (!mp_end(m) || !coord_path_ok(path)) {
		refuse(c, QF_GET, id, E_BAD);
		return;
	}
	z = coord_find(t, path);
	if (!z) {
		refuse(c, QF_GET, id, E_NOENT);
		return;
	}
	if (!serve_shows(c, z)) {
		refuse(c, QF_GET, id, E_PERM);
		return;
	}
	uint32_t n = 1;

	for (const struct znode *k = children ? z->first : NULL; k; k = k->next)
		n += serve_shows(c, k);
	serve_answer(&b, QF_GET, 5, id, OK);
	mp_put_int(&b, coord_zxid(t));
	mp_put_array(&b, n);
	mp_put_array(&b, 6);
	serve_put_znode(&b, z);
	for (const struct znode *k = children ? z->first : NULL; k; k = k->next) {
		if (!serve_shows(c, k))
			continue;
		mp_put_array(&b, 6);
		serve_put_znode(&b, k);
	}
	if (b.bad) {
		buf_release(&b);
		refuse(c, QF_GET, id, E_LIMIT);
		return;
	}
	serve_push(c, &b);
}

static void do_subscribe(struct conn *c, uint32_t id, struct mp_reader *m)
{
	uint32_t n = mp_array(m);
	struct serve *s = c->s;
	struct buf b;

	if (n == 0 || n > PREFIXES_MAX || c->subscribed) {
		refuse(c, QF_SUBSCRIBE, id, E_BAD);
		return;
	}
	for (uint32_t i = 0; i < n; i++) {
		struct str p = mp_str(m);

		if (!coord_path_ok(p)) {
			refuse(c, QF_SUBSCRIBE, id, E_BAD);
			return;
		}
		c->prefix[c->nprefixes++] = (struct str){ mem_strdup(p.p, (size_t)p.len), p.len };
	}
	int64_t from = mp_int(m), now = coord_zxid(node_coord(s->node));

	if (!mp_end(m)) {
		s->net->calls->abort(c->net);
		return;
	}
	serve_answer(&b, QF_SUBSCRIBE, 4, id, OK);
	mp_put_int(&b, now);
	serve_push(c, &b);
	c->subscribed = true;
	if (from <= 0 || from > now || !feed_seek(&s->feed, from, &c->seq))
		serve_push_snapshot(c);
	else
		serve_pump(c);
}

static void do_close(struct conn *c, uint32_t id)
{
	struct coord_session *x = coord_session(node_coord(c->s->node), c->session);
	struct buf b;

	if (!x || node_closing(c->s->node, x)) {
		refuse(c, QF_CLOSE, id, OK);
		return;
	}
	node_set_closing(c->s->node, x->id, true);
	buf_init(&b, 1024);
	coord_encode_close(&b, node_time_ms(c->s->node), x->id);
	propose(c, QF_CLOSE, id, true, &b);
}

static void do_beat(struct conn *c, uint32_t id)
{
	struct buf b;

	serve_answer(&b, QF_BEAT, 4, id, OK);
	mp_put_int(&b, c->subscribed && !c->behind ? c->cursor : 0);
	serve_push(c, &b);
}

/* V5 */
static bool may(struct conn *c, enum qf_type t)
{
	struct serve *s = c->s;
	char detail[300];

	if (!c->known) {
		const char *subject = s->conf.subjects ? s->net->calls->subject(c->net) : NULL;

		c->known = true;
		c->system = !s->conf.subjects || subject_on_list(subject, s->conf.subjects);
		snprintf(detail, sizeof detail, "from=%s subject=\"%s\"", s->net->calls->peer(c->net),
			 subject ? subject : "-");
		if (!c->system)
			s->conf.on_log(s->conf.user, "a client may only read: client-subjects does not name it",
				       detail);
	}
	return c->system || (t != QF_MULTI && t != QF_ADMIN);
}

static void on_frame_of(struct conn *c, uint8_t *frame, uint32_t len)
{
	struct serve *s = c->s;
	struct mp_reader m = mp_of(frame, len);
	uint32_t fields = mp_array(&m);
	int64_t type = mp_int(&m), id = mp_int(&m);

	if (!mp_ok(&m) || fields < 2 || id < 0 || id > INT32_MAX || type < QF_HELLO || type > QF_ADMIN) {
		s->net->calls->abort(c->net);
		return;
	}
	enum qf_type t = (enum qf_type)type;
	struct coord_session *x = coord_session(node_coord(s->node), c->session);

	if (!may(c, t)) {
		refuse(c, t, (uint32_t)id, E_PERM);
		return;
	}
	if (x && !c->live)
		touch(s, x);
	if (t != QF_HELLO && t < QF_LIVENESS && !x) {
		refuse(c, t, (uint32_t)id, E_CLOSED);
		return;
	}
	switch (t) {
	case QF_HELLO:
		do_hello(c, (uint32_t)id, &m);
		break;
	case QF_BEAT:
		do_beat(c, (uint32_t)id);
		break;
	case QF_MULTI:
		do_multi(c, (uint32_t)id, &m);
		break;
	case QF_GET:
		do_get(c, (uint32_t)id, &m);
		break;
	case QF_SUBSCRIBE:
		do_subscribe(c, (uint32_t)id, &m);
		break;
	case QF_CLOSE:
		do_close(c, (uint32_t)id);
		break;
	case QF_LIVENESS:
		do_liveness(c, (uint32_t)id, &m);
		break;
	case QF_STATUS:
		serve_status(c, (uint32_t)id);
		break;
	case QF_ADMIN:
		serve_admin(c, (uint32_t)id, &m);
		break;
	case QF_CHANGES:
	case QF_SNAP_BEGIN:
	case QF_SNAP_END:
	case QF_EXPIRED:
		break;
	}
}

static void on_barrier(struct node_read *r, int err)
{
	struct held *h = (struct held *)r;
	struct conn *c = h->c;
	struct mp_reader m = mp_of(h->frame, h->len);

	mp_array(&m);
	int64_t type = mp_int(&m), id = mp_int(&m);

	if (!c->closed && err)
		refuse(c, (enum qf_type)type, (uint32_t)id, err);
	else if (!c->closed)
		on_frame_of(c, h->frame, h->len);
	c->s->net->calls->frame_free(c->s->net, h->frame);
	mem_free(h);
	c->reading--;
	serve_answered(c);
}

/* What must not be answered from a state that is behind: reads, and "there is no such session". */
static bool wants_barrier(const uint8_t *frame, uint32_t len)
{
	struct mp_reader m = mp_of(frame, len);

	mp_array(&m);
	int64_t type = mp_int(&m), id = mp_int(&m);

	if (type == QF_HELLO) {
		mp_int(&m);
		mp_str(&m);
		mp_str(&m);
		if (mp_int(&m) == 0)
			return false;
	}
	return mp_ok(&m) && id >= 0 && id <= INT32_MAX && (type == QF_GET || type == QF_HELLO || type == QF_LIVENESS);
}

static void take(struct conn *c, uint8_t *frame, uint32_t len)
{
	if (!wants_barrier(frame, len)) {
		on_frame_of(c, frame, len);
		c->s->net->calls->frame_free(c->s->net, frame);
		return;
	}
	struct held *h = mem_alloc(sizeof *h);

	*h = (struct held){ .read.done = on_barrier, .c = c, .frame = frame, .len = len };
	if (++c->reading >= INFLIGHT_MAX)
		c->s->net->calls->mute(c->net);
	node_read(c->s->node, &h->read);
}

/* V1: nothing overtakes. Writes go behind writes, reads behind reads; all else waits. */
static void on_frame(void *user, struct net_conn *nc, uint8_t *frame, uint32_t len)
{
	struct conn *c = user;
	struct mp_reader m = mp_of(frame, len);

	(void)nc;
	mp_array(&m);
	int64_t type = mp_int(&m);

	if (!c->parked && ((c->inflight > 0 && type != QF_MULTI) || (c->reading > 0 && type != QF_GET))) {
		c->parked = frame;
		c->parked_len = len;
		c->s->net->calls->mute(c->net);
		return;
	}
	must(!c->parked);
	take(c, frame, len);
}

static void on_close(void *user, struct net_conn *nc, int err)
{
	struct conn *c = user;
	struct serve *s = c->s;
	struct coord_session *x = coord_session(node_coord(s->node), c->session);

	(void)nc;
	(void)err;
	c->closed = true;
	s->net->calls->frame_free(s->net, c->parked);
	c->parked = NULL;
	if (x && x->soft.conn == c)
		x->soft.conn = NULL;
	if (x && x->soft.live == c) {
		x->soft.live = NULL;
		if (!s->draining)
			end_session(s, x, c->attached, "session ended: its processes are gone");
	}
	conn_free(c);
}

static void on_drained(void *user, struct net_conn *nc)
{
	(void)nc;
	serve_pump(user);
}

static bool on_odd_length(void *user, struct net_conn *nc, uint32_t length)
{
	struct conn *c = user;
	char detail[80];

	if (length >> 16 == NET_TLS_LENGTH && !c->known) {
		snprintf(detail, sizeof detail, "from=%s", c->s->net->calls->peer(nc));
		c->s->conf.on_log(c->s->conf.user, "a client wants TLS, and this node has no certificate", detail);
	}
	return false;
}

static const struct net_events events = {
	.on_frame = on_frame, .on_close = on_close, .on_drained = on_drained, .on_odd_length = on_odd_length,
};

void serve_accept(struct serve *s, int fd)
{
	struct conn *c = mem_alloc(sizeof *c);

	c->s = s;
	if (s->net->calls->adopt(s->net, fd, &events, c, REQUEST_MAX, &c->net) != OK) {
		mem_free(c);
		return;
	}
	c->next = s->conns;
	if (s->conns)
		s->conns->prev = c;
	s->conns = c;
	s->nconns++;
}

struct serve *serve_new(struct node *node, struct net *net, struct loop *loop, struct clock *clock,
			const struct serve_config *conf)
{
	struct serve *s = mem_alloc(sizeof *s);

	s->node = node;
	s->net = net;
	s->loop = loop;
	s->clock = clock;
	s->conf = *conf;
	feed_init(&s->feed, coord_zxid(node_coord(node)));
	node_listen(node, &(struct node_listener){ on_lead, on_applied, on_reset, s });
	return s;
}

void serve_drain(struct serve *s)
{
	s->draining = true;
}

uint32_t serve_connections(const struct serve *s)
{
	return s->nconns;
}
