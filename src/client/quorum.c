/*
 * quorum.c - see quorum.h; the frames are listed in wire/quorum_frame.h.
 *
 *   CONNECTING --hello answered--> READY --connection broke--> CONNECTING (next address, backoff)
 *       any --session unknown or expired--> EXPIRED          any --q_close, q_detach--> CLOSED
 *
 * Invariants
 *   Q1  a call that was sent is answered once: by its answer or with E_CLOSED; a call made while
 *       connecting waits and is sent when READY
 *   Q2  `last` is the zxid up to which every change was delivered; it moves only after the callbacks
 *   Q3  no callback of a call runs inside the function that made the call
 *   Q4  the handle lives until the last on_close of its connections has run
 */
#include "client/quorum.h"

#include "base/assert.h"
#include "base/be.h"
#include "base/buf.h"
#include "base/mem.h"
#include "wire/mp.h"
#include "wire/quorum_frame.h"

#define BACKOFF_US_MIN 5000u
#define BACKOFF_US_MAX 200000u
#define BEATS_PER_TIMEOUT 5u		/* one may be lost and one late before the session is in danger */
#define BEAT_US_MAX 200000u		/* when there is another node to go to: ... */
#define SILENCE_US_MAX 600000u		/* ... a frozen one is left so soon */
#define ADDRESSES_MAX 16

struct call {
	struct call *next;
	enum qf_type type;
	uint32_t id;
	q_multi_done *multi;
	q_list_done *list;
	void *ctx;
	struct buf frame;		/* until it is sent */
};

struct qclient {
	struct net *net;
	struct loop *loop;
	struct clock *clock;
	struct q_events ev;
	void *user;
	char *address[ADDRESSES_MAX];
	int n_addresses, at;
	uint32_t timeout_ms;
	char cluster_id[64];
	char *name;
	int64_t session;
	uint8_t password[16];
	enum q_state state;
	struct net_conn *conn;
	struct net_conn *live, *live_next;	/* watched by the server; about to be */
	uint32_t conns;			/* whose on_close has not run: Q4 */
	int why;			/* q_why() */
	bool open;			/* conn is connected */
	bool gone;			/* q_close() or q_detach() was called: Q4 */
	int live_fd;
	uint32_t next_id;
	struct call *sent, **sent_tail;		/* answers come in this order */
	struct call *held, **held_tail;		/* made while connecting */
	uint64_t heard_us;
	uint32_t backoff_us;
	struct loop_timer beat, retry, failed, live_retry;
	char **prefix;
	struct str *prefixes;
	uint32_t n_prefixes;
	bool subscribed, in_snapshot;
	int64_t last;			/* Q2 */
	struct q_change *changes;
	uint32_t changes_cap;
};

static uint64_t beat_us(const struct qclient *q)
{
	uint64_t us = q->timeout_ms * 1000ull / BEATS_PER_TIMEOUT;

	return q->n_addresses > 1 && us > BEAT_US_MAX ? BEAT_US_MAX : us;
}

static uint64_t silence_us(const struct qclient *q)
{
	uint64_t us = q->timeout_ms * 1000ull * 2 / 3;

	return q->n_addresses > 1 && us > SILENCE_US_MAX ? SILENCE_US_MAX : us;
}

static void connect_next(struct qclient *q);
static const struct net_events net_events;

static void free_if_done(struct qclient *q)
{
	if (!q->gone || q->conns > 0)
		return;
	for (int i = 0; i < q->n_addresses; i++)
		mem_free(q->address[i]);
	for (uint32_t i = 0; i < q->n_prefixes; i++)
		mem_free(q->prefix[i]);
	mem_free(q->prefix);
	mem_free(q->prefixes);
	mem_free(q->name);
	mem_free(q->changes);
	mem_free(q);
}

static void set_state(struct qclient *q, enum q_state s)
{
	if (q->state == s)
		return;
	q->state = s;
	if (q->ev.on_state && !q->gone)
		q->ev.on_state(q->user, s);
}

static void release_mem(void *p)
{
	mem_free(p);
}

/* The buffer goes to the net port; its first four bytes are the length word. */
static void send_buf(struct net *net, struct net_conn *c, struct buf *b)
{
	size_t len;

	must(!b->bad);
	be32_put(b->p, (uint32_t)(b->len - 4));
	uint8_t *p = buf_steal(b, &len);
	struct net_piece piece = { .kind = NET_MEM, .mem = p, .len = len, .release = release_mem,
				   .release_ctx = p };

	net->calls->send(c, &piece, 1);
}

static void frame_start(struct buf *b, enum qf_type t, uint32_t id, uint32_t fields)
{
	buf_init(b, QF_FRAME_MAX);
	buf_be32(b, 0);
	mp_put_array(b, fields);
	mp_put_int(b, t);
	mp_put_int(b, id);
}

static void answer(struct call *c, int err, int64_t zxid, struct mp_reader *m);

static void fail_list(struct call **list, struct call ***tail, int err)
{
	struct call *c = *list;

	*list = NULL;
	*tail = list;
	while (c) {
		struct call *next = c->next;

		answer(c, err, 0, NULL);
		c = next;
	}
}

static struct q_node get_node(struct mp_reader *m)
{
	struct q_node n;

	n.path = mp_str(m);
	n.value = mp_bin(m);
	n.version = (int32_t)mp_int(m);
	n.czxid = mp_int(m);
	n.mzxid = mp_int(m);
	n.owner = mp_int(m);
	return n;
}

static void answer_multi(struct call *c, int err, int64_t zxid, struct mp_reader *m)
{
	uint32_t n = m ? mp_array(m) : 0;
	struct q_op_result *v = n ? mem_alloc(n * sizeof *v) : NULL;

	for (uint32_t i = 0; i < n; i++) {
		if (mp_array(m) != 3)
			m->bad = true;
		v[i].err = (int)mp_int(m);
		v[i].path = mp_str(m);
		v[i].version = (int32_t)mp_int(m);
	}
	if (m && !mp_ok(m))
		err = E_BAD;
	if (c->multi)
		c->multi(c->ctx, err, zxid, v, err == E_BAD ? 0 : n);
	mem_free(v);
}

static void answer_list(struct call *c, int err, int64_t zxid, struct mp_reader *m)
{
	uint32_t n = m ? mp_array(m) : 0;
	struct q_node *v = n ? mem_alloc(n * sizeof *v) : NULL;

	for (uint32_t i = 0; i < n; i++) {
		if (mp_array(m) != 6)
			m->bad = true;
		v[i] = get_node(m);
	}
	if (m && !mp_ok(m))
		err = E_BAD;
	if (c->list)
		c->list(c->ctx, err, zxid, v, err ? 0 : n);
	mem_free(v);
}

/* Ends the call: runs its callback and frees it. m: behind zxid, or NULL. */
static void answer(struct call *c, int err, int64_t zxid, struct mp_reader *m)
{
	if (c->type == QF_MULTI)
		answer_multi(c, err, zxid, m);
	if (c->type == QF_GET)
		answer_list(c, err, zxid, m);
	buf_release(&c->frame);
	mem_free(c);
}

static void enqueue(struct call ***tail, struct call *c)
{
	c->next = NULL;
	**tail = c;
	*tail = &c->next;
}

static struct call *call_new(struct qclient *q, enum qf_type t, uint32_t fields)
{
	struct call *c = mem_alloc(sizeof *c);

	c->type = t;
	c->id = ++q->next_id & 0x7fffffff;
	frame_start(&c->frame, t, c->id, fields);
	return c;
}

static void call_send(struct qclient *q, struct call *c)
{
	enqueue(&q->sent_tail, c);
	send_buf(q->net, q->conn, &c->frame);
}

static void call_start(struct qclient *q, struct call *c)
{
	if (c->frame.bad || q->state == Q_EXPIRED || q->state == Q_CLOSED) {
		c->id = c->frame.bad ? 0 : 1;		/* which error on_failed() gives */
		enqueue(&q->held_tail, c);
		q->loop->calls->timer_set(q->loop, &q->failed, 0);
	} else if (q->state == Q_READY) {
		call_send(q, c);
	} else {
		enqueue(&q->held_tail, c);
	}
}

/* Calls that cannot be sent get their error from the loop: Q3. */
static void on_failed(struct loop_timer *t)
{
	struct qclient *q = t->user;
	struct call *v = q->held;

	q->held = NULL;
	q->held_tail = &q->held;
	while (v) {
		struct call *c = v;

		v = v->next;
		if (c->frame.bad)
			answer(c, E_LIMIT, 0, NULL);
		else if (q->state == Q_EXPIRED || q->state == Q_CLOSED)
			answer(c, E_CLOSED, 0, NULL);
		else
			enqueue(&q->held_tail, c);
	}
}

static void live_drop(struct qclient *q)
{
	q->loop->calls->timer_stop(q->loop, &q->live_retry);
	if (q->live)
		q->net->calls->abort(q->live);
	if (q->live_next)
		q->net->calls->abort(q->live_next);
	q->live = q->live_next = NULL;
}

static void expired(struct qclient *q, int why)
{
	q->why = why;
	q->loop->calls->timer_stop(q->loop, &q->beat);
	q->loop->calls->timer_stop(q->loop, &q->retry);
	if (q->conn)
		q->net->calls->abort(q->conn);
	live_drop(q);
	fail_list(&q->sent, &q->sent_tail, E_CLOSED);
	fail_list(&q->held, &q->held_tail, E_CLOSED);
	set_state(q, Q_EXPIRED);
}

static void send_subscribe(struct qclient *q)
{
	struct call *c = call_new(q, QF_SUBSCRIBE, 4);

	mp_put_array(&c->frame, q->n_prefixes);
	for (uint32_t i = 0; i < q->n_prefixes; i++)
		mp_put_str(&c->frame, q->prefixes[i]);
	mp_put_int(&c->frame, q->last);
	q->in_snapshot = false;
	call_send(q, c);
}

/* ---- the liveness connection: one at work, while the next one is being made ---- */

static void send_liveness(struct qclient *q, struct net_conn *c)
{
	struct buf b;

	frame_start(&b, QF_LIVENESS, 0, 4);
	mp_put_int(&b, q->session);
	mp_put_bytes(&b, (struct bytes){ q->password, sizeof q->password });
	send_buf(q->net, c, &b);
}

/* After each HELLO: the server that answered must be the one that watches. */
static void live_connect(struct qclient *q)
{
	if (q->live_next)
		q->net->calls->abort(q->live_next);
	q->live_next = NULL;
	if (q->net->calls->connect(q->net, q->address[q->at], &net_events, q, QF_FRAME_MAX, &q->live_next) == OK) {
		q->conns++;
	} else {
		q->live_next = NULL;
		q->loop->calls->timer_set(q->loop, &q->live_retry, BACKOFF_US_MAX);
	}
}

static void on_live_retry(struct loop_timer *t)
{
	struct qclient *q = t->user;

	if (q->state == Q_READY && !q->live_next)
		live_connect(q);
}

static void on_live_answer(struct qclient *q, struct mp_reader *m)
{
	uint32_t fields = mp_array(m);
	int64_t type = mp_int(m), id = mp_int(m), err = mp_int(m);

	if (!mp_ok(m) || fields < 3 || type != QF_LIVENESS || id != 0 || err != OK) {
		q->net->calls->abort(q->live_next);
		return;
	}
	if (q->live)
		q->net->calls->abort(q->live);
	q->live = q->live_next;
	q->live_next = NULL;
	q->ev.on_live(q->user, q->live, true);
}

static void on_hello(struct qclient *q, int err, struct mp_reader *m)
{
	if (err == E_AGAIN) {			/* no leader yet */
		q->net->calls->abort(q->conn);
		return;
	}
	if (err != OK) {
		expired(q, err);
		return;
	}
	int64_t protocol = mp_int(m);
	struct str cluster = mp_str(m);
	int64_t session = mp_int(m);
	struct bytes password = mp_bin(m);
	int64_t timeout = mp_int(m);

	if (!mp_ok(m) || protocol != QF_PROTOCOL || password.len != 16 || cluster.len < 0 ||
	    cluster.len >= (int32_t)sizeof q->cluster_id || timeout < 1) {
		q->net->calls->abort(q->conn);
		return;
	}
	memcpy(q->cluster_id, cluster.p, (size_t)cluster.len);
	q->cluster_id[cluster.len] = 0;
	q->session = session;
	memcpy(q->password, password.p, 16);
	q->timeout_ms = (uint32_t)timeout;
	q->backoff_us = BACKOFF_US_MIN;
	q->state = Q_READY;
	if (q->ev.on_live)
		live_connect(q);
	else if (q->live)
		send_liveness(q, q->live);
	if (q->subscribed)
		send_subscribe(q);
	struct call *v = q->held;
	q->held = NULL;
	q->held_tail = &q->held;
	while (v) {
		struct call *c = v;

		v = v->next;
		call_send(q, c);
	}
	q->loop->calls->timer_set(q->loop, &q->beat, beat_us(q));
	if (q->ev.on_state)
		q->ev.on_state(q->user, Q_READY);
}

static void on_answer(struct qclient *q, enum qf_type t, struct mp_reader *m)
{
	uint32_t id = (uint32_t)mp_int(m);
	int err = (int)mp_int(m);
	struct call *c = q->sent;

	if (!mp_ok(m) || !c || c->id != id || c->type != t) {
		q->net->calls->abort(q->conn);
		return;
	}
	q->sent = c->next;
	if (!q->sent)
		q->sent_tail = &q->sent;
	if (t == QF_HELLO) {
		answer(c, err, 0, NULL);
		on_hello(q, err, m);
	} else if (t == QF_BEAT) {
		int64_t zxid = err == OK ? mp_int(m) : 0;

		if (mp_ok(m) && zxid > q->last && !q->in_snapshot && q->last > 0)
			q->last = zxid;
		answer(c, err, 0, NULL);
		if (err == E_CLOSED)
			expired(q, E_CLOSED);
	} else if (t == QF_MULTI || t == QF_GET) {
		int64_t zxid = mp_int(m);

		answer(c, err, zxid, m);
	} else {
		answer(c, err, 0, NULL);
	}
}

static void on_push_changes(struct qclient *q, struct mp_reader *m)
{
	int64_t zxid = mp_int(m);
	bool more = mp_bool(m);
	uint32_t n = mp_array(m);

	if (n > q->changes_cap) {
		mem_free(q->changes);
		q->changes = mem_alloc(n * sizeof *q->changes);
		q->changes_cap = n;
	}
	for (uint32_t i = 0; i < n; i++) {
		if (mp_array(m) != 7)
			m->bad = true;
		q->changes[i].deleted = mp_bool(m);
		q->changes[i].node = get_node(m);
	}
	if (!mp_end(m)) {
		q->net->calls->abort(q->conn);
		return;
	}
	if (q->ev.on_changes)
		q->ev.on_changes(q->user, zxid, q->changes, n);
	if (!q->in_snapshot && !more && zxid > q->last)
		q->last = zxid;
}

static void on_push(struct qclient *q, enum qf_type t, struct mp_reader *m)
{
	if (t == QF_CHANGES) {
		on_push_changes(q, m);
	} else if (t == QF_SNAP_BEGIN) {
		q->in_snapshot = true;
		if (q->ev.on_snapshot_begin)
			q->ev.on_snapshot_begin(q->user, mp_int(m));
	} else if (t == QF_SNAP_END) {
		int64_t zxid = mp_int(m);

		q->in_snapshot = false;
		q->last = zxid;
		if (q->ev.on_snapshot_end)
			q->ev.on_snapshot_end(q->user, zxid);
	} else if (t == QF_EXPIRED) {
		expired(q, E_CLOSED);
	}
}

static void on_frame(void *user, struct net_conn *conn, uint8_t *frame, uint32_t len)
{
	struct qclient *q = user;
	struct mp_reader m = mp_of(frame, len);

	if (conn == q->conn && !q->gone) {
		uint32_t n = mp_array(&m);
		int64_t t = mp_int(&m);

		q->heard_us = q->clock->mono_us(q->clock);
		if (!mp_ok(&m) || n == 0)
			q->net->calls->abort(conn);
		else if (t >= QF_HELLO && t <= QF_LIVENESS)
			on_answer(q, (enum qf_type)t, &m);
		else
			on_push(q, (enum qf_type)t, &m);
	} else if (conn == q->live_next && !q->gone) {
		on_live_answer(q, &m);
	}
	q->net->calls->frame_free(q->net, frame);
}

static void on_connect(void *user, struct net_conn *conn, int err)
{
	struct qclient *q = user;

	if (err == OK && !q->gone && conn == q->live_next) {
		q->ev.on_live(q->user, conn, false);
		send_liveness(q, conn);
	}
	if (err != OK || q->gone || conn != q->conn)
		return;
	struct call *c = call_new(q, QF_HELLO, 8);

	q->open = true;
	q->heard_us = q->clock->mono_us(q->clock);
	mp_put_int(&c->frame, QF_PROTOCOL);
	mp_put_str(&c->frame, q->cluster_id[0] ? str_of(q->cluster_id) : STR_NULL);
	mp_put_str(&c->frame, str_of(q->name));
	mp_put_int(&c->frame, q->session);
	mp_put_bytes(&c->frame, (struct bytes){ q->password, sizeof q->password });
	mp_put_int(&c->frame, q->timeout_ms);
	call_send(q, c);
	q->loop->calls->timer_set(q->loop, &q->beat, beat_us(q));
}

static void on_close(void *user, struct net_conn *conn, int err)
{
	struct qclient *q = user;

	(void)err;
	q->conns--;
	if (conn == q->live || conn == q->live_next) {
		if (conn == q->live)
			q->live = NULL;
		else
			q->live_next = NULL;
		if (q->ev.on_live && q->state == Q_READY)
			q->loop->calls->timer_set(q->loop, &q->live_retry, BACKOFF_US_MAX);
	}
	if (conn == q->conn) {
		q->conn = NULL;
		q->open = false;
		q->loop->calls->timer_stop(q->loop, &q->beat);
		if (!q->gone) {
			if (q->state == Q_READY)
				set_state(q, Q_CONNECTING);
			fail_list(&q->sent, &q->sent_tail, E_CLOSED);
		}
		if (!q->gone && q->state == Q_CONNECTING) {
			q->at = (q->at + 1) % q->n_addresses;
			q->loop->calls->timer_set(q->loop, &q->retry, q->backoff_us);
			q->backoff_us = q->backoff_us * 2 < BACKOFF_US_MAX ? q->backoff_us * 2
									   : BACKOFF_US_MAX;
		}
	}
	free_if_done(q);
}

static const struct net_events net_events = {
	.on_frame = on_frame, .on_close = on_close, .on_connect = on_connect,
};

/* Heartbeats leave often enough; a silent server is left for the next address. */
static void on_beat(struct loop_timer *t)
{
	struct qclient *q = t->user;

	if (!q->conn)
		return;
	if (q->clock->mono_us(q->clock) - q->heard_us > silence_us(q)) {
		q->net->calls->abort(q->conn);
		return;
	}
	if (q->state == Q_READY)
		call_send(q, call_new(q, QF_BEAT, 2));
	q->loop->calls->timer_set(q->loop, t, beat_us(q));
}

static void on_retry(struct loop_timer *t)
{
	connect_next(t->user);
}

static void connect_next(struct qclient *q)
{
	if (q->conn || q->gone || q->state != Q_CONNECTING)
		return;
	if (q->net->calls->connect(q->net, q->address[q->at], &net_events, q, QF_FRAME_MAX,
				   &q->conn) == OK) {
		q->conns++;
		return;
	}
	q->conn = NULL;
	q->at = (q->at + 1) % q->n_addresses;
	q->loop->calls->timer_set(q->loop, &q->retry, BACKOFF_US_MAX);
}

int q_open(struct net *net, struct loop *loop, struct clock *clock, const struct q_options *opt,
	   const struct q_events *ev, void *user, struct qclient **ret)
{
	if (opt->n_addresses < 1 || opt->n_addresses > ADDRESSES_MAX || opt->session_timeout_ms == 0 ||
	    (opt->cluster_id && strlen(opt->cluster_id) >= sizeof ((struct qclient *)0)->cluster_id))
		return E_BAD;
	struct qclient *q = mem_alloc(sizeof *q);

	q->net = net;
	q->loop = loop;
	q->clock = clock;
	q->ev = *ev;
	q->user = user;
	q->n_addresses = opt->n_addresses;
	for (int i = 0; i < q->n_addresses; i++)
		q->address[i] = mem_strdup(opt->addresses[i], strlen(opt->addresses[i]));
	q->timeout_ms = opt->session_timeout_ms;
	if (opt->cluster_id)
		memcpy(q->cluster_id, opt->cluster_id, strlen(opt->cluster_id) + 1);
	q->name = mem_strdup(opt->name ? opt->name : "", opt->name ? strlen(opt->name) : 0);
	q->session = opt->session_id;
	memcpy(q->password, opt->password, sizeof q->password);
	q->state = Q_CONNECTING;
	q->sent_tail = &q->sent;
	q->held_tail = &q->held;
	q->backoff_us = BACKOFF_US_MIN;
	q->beat = (struct loop_timer){ .fire = on_beat, .user = q };
	q->retry = (struct loop_timer){ .fire = on_retry, .user = q };
	q->failed = (struct loop_timer){ .fire = on_failed, .user = q };
	q->live_retry = (struct loop_timer){ .fire = on_live_retry, .user = q };
	if (opt->liveness_fd >= 0) {
		if (net->calls->adopt(net, opt->liveness_fd, &net_events, q, QF_FRAME_MAX, &q->live) == OK)
			q->conns++;
		else
			q->live = NULL;
	}
	connect_next(q);
	*ret = q;
	return OK;
}

static void leave(struct qclient *q, bool end_session)
{
	struct buf b;

	q->gone = true;
	q->state = Q_CLOSED;
	q->loop->calls->timer_stop(q->loop, &q->beat);
	q->loop->calls->timer_stop(q->loop, &q->retry);
	q->loop->calls->timer_stop(q->loop, &q->failed);
	fail_list(&q->sent, &q->sent_tail, E_CLOSED);
	fail_list(&q->held, &q->held_tail, E_CLOSED);
	if (q->conn && q->open && end_session && q->session != 0) {
		frame_start(&b, QF_CLOSE, 0, 2);
		send_buf(q->net, q->conn, &b);
		q->net->calls->close(q->conn);
	} else if (q->conn) {
		q->net->calls->abort(q->conn);
	}
	live_drop(q);
	free_if_done(q);
}

void q_close(struct qclient *q)
{
	leave(q, true);
}

void q_detach(struct qclient *q)
{
	leave(q, false);
}

enum q_state q_state(struct qclient *q)
{
	return q->state;
}

int q_why(struct qclient *q)
{
	return q->why;
}

int64_t q_session(struct qclient *q, uint8_t ret_password[16])
{
	memcpy(ret_password, q->password, 16);
	return q->session;
}

const char *q_cluster_id(struct qclient *q)
{
	return q->cluster_id;
}

void q_multi(struct qclient *q, const struct q_op *v, uint32_t n, q_multi_done *done, void *ctx)
{
	struct call *c = call_new(q, QF_MULTI, 3);

	c->multi = done;
	c->ctx = ctx;
	mp_put_array(&c->frame, n);
	for (uint32_t i = 0; i < n; i++) {
		mp_put_array(&c->frame, 5);
		mp_put_int(&c->frame, v[i].kind);
		mp_put_int(&c->frame, v[i].flags);
		mp_put_str(&c->frame, v[i].path);
		mp_put_bytes(&c->frame, v[i].value.p || v[i].value.len <= 0 ? v[i].value : BYTES_NULL);
		mp_put_int(&c->frame, v[i].version);
	}
	call_start(q, c);
}

void q_get(struct qclient *q, struct str path, bool children, q_list_done *done, void *ctx)
{
	struct call *c = call_new(q, QF_GET, 4);

	c->list = done;
	c->ctx = ctx;
	mp_put_str(&c->frame, path);
	mp_put_bool(&c->frame, children);
	call_start(q, c);
}

void q_subscribe(struct qclient *q, const struct str *prefixes, uint32_t n, int64_t from_zxid)
{
	must(!q->subscribed);
	q->subscribed = true;
	q->last = from_zxid;
	q->n_prefixes = n;
	q->prefix = mem_alloc(n * sizeof *q->prefix);
	q->prefixes = mem_alloc(n * sizeof *q->prefixes);
	for (uint32_t i = 0; i < n; i++) {
		q->prefix[i] = mem_strdup(prefixes[i].p, (size_t)prefixes[i].len);
		q->prefixes[i] = (struct str){ q->prefix[i], prefixes[i].len };
	}
	if (q->state == Q_READY)
		send_subscribe(q);
}
