/*
 * zclient.c - clients of the ZooKeeper front: real frames over the simulated network, to any node, as ClientCnxn does
 * it: a session that moves with its client, pings, requests in flight, watches that are set again. See world.h.
 *
 * Q6 holds for them too. Q11 (watches.c). Q12: when a session is attached elsewhere, its old connection ends. Q13:
 * answers come in the order of requests, and never show less than what was shown before.
 */
#include "world.h"

#include <stdio.h>
#include <string.h>

#include "base/be.h"
#include "base/mem.h"
#include "wire/jute.h"

#define ASKS_MAX 4			/* in flight */
#define PASSWORD 16
#define STAT_BYTES 68
#define LEFT_US 3000000u		/* then a connection that was replaced must have ended */
#define FRAME_MAX (1u << 20)
#define GONE_US 3000000u		/* once all is calm: so long a node may not have heard that a session is over */

enum state { Z_OFF, Z_DIALING, Z_GREETING, Z_SETTING, Z_OPEN };

struct ask {
	int32_t xid, type;
	struct op op;
	uint32_t path;			/* of a read; WATCH_ROOT: "/" */
	uint8_t watch;			/* enum watch, when it succeeds */
};

struct zlink {				/* a connection */
	struct zlink *next;
	struct world *w;
	struct zclient *c;		/* NULL: its client went elsewhere and left it open */
	struct net_conn *conn;
	uint32_t at;
	int64_t session;
	uint64_t replaced_us;		/* its session was attached elsewhere then */
	uint64_t life;			/* of the machine, when it was opened */
};

struct zclient {
	struct sim_event event;
	struct world *w;
	uint32_t id, at;
	enum state state;
	struct zlink *link;
	int64_t session;
	uint8_t password[PASSWORD];
	uint32_t timeout_ms;		/* negotiated; 0: no session yet */
	int64_t last_zxid;		/* of the last answer */
	uint64_t since_us, heard_us, sent_us;
	int32_t xid;
	struct ask ask[ASKS_MAX];
	uint32_t first, n;		/* of the ring */
	bool silent, closing;
	struct watches watches;
	uint64_t acks;
};

static struct sim_host *host(struct world *w)
{
	return &w->net.host[ZHOST];
}

static uint32_t below(struct world *w, uint32_t n)
{
	return rng_below(&w->sim.rng, n);
}

static void wrong(struct zclient *c, const char *which, const char *what, int64_t zxid)
{
	if (what)
		broken(c->w, which, "ZooKeeper client %u at n%u, zxid %lld: %s", c->id, c->at, (long long)zxid, what);
}

/* ---- frames out ---- */

static void release_mem(void *p)
{
	mem_free(p);
}

static void send(struct zclient *c, struct buf *b)
{
	struct session *s = check_session(c->w, c->session);
	size_t len;

	if (!jute_end(b))
		return;
	uint8_t *p = buf_steal(b, &len);
	struct net_piece piece = { .kind = NET_MEM, .mem = p, .len = len, .release = release_mem, .release_ctx = p };

	c->sent_us = c->w->sim.now_us;
	if (s)
		s->touched_us = c->sent_us;
	host(c->w)->net.calls->send(c->link->conn, &piece, 1);
}

static void begin(struct buf *b, int32_t xid, int32_t type)
{
	jute_begin(b, FRAME_MAX);
	jute_int(b, xid);
	jute_int(b, type);
}

static void put_path(struct buf *b, uint32_t path)
{
	char name[8] = "/";

	if (path != WATCH_ROOT)
		path_name(path, name);
	jute_str(b, str_of(name));
}

static void put_value(struct buf *b, uint64_t tag)
{
	uint8_t v[8];

	be64_put(v, tag);
	jute_buffer(b, (struct bytes){ v, 8 });
}

static void put_step(struct buf *b, const struct op *op, const struct step *s)
{
	put_path(b, s->path);
	if (s->kind == COORD_CREATE || s->kind == COORD_SET)
		put_value(b, op->tag);
	if (s->kind == COORD_CREATE) {
		jute_int(b, 1);
		jute_int(b, PERM_ALL);
		jute_str(b, STR("world"));
		jute_str(b, STR("anyone"));
		jute_int(b, s->ephemeral);
	} else {
		jute_int(b, s->version);
	}
}

static int32_t type_of(const struct step *s)
{
	static const int32_t types[] = { [COORD_CREATE] = ZK_OP_CREATE, [COORD_SET] = ZK_OP_SET_DATA,
		[COORD_DELETE] = ZK_OP_DELETE, [COORD_CHECK] = ZK_OP_CHECK };

	return types[s->kind];
}

static void send_hello(struct zclient *c)
{
	struct buf b;

	jute_begin(&b, 256);
	jute_int(&b, 0);
	jute_long(&b, c->last_zxid);
	jute_int(&b, (int32_t)(1000 + c->id * 700));
	jute_long(&b, c->session);
	jute_buffer(&b, (struct bytes){ c->password, PASSWORD });
	buf_u8(&b, 0);
	send(c, &b);
	c->state = Z_GREETING;
}

static void put_watches(struct buf *b, const struct zclient *c, uint8_t mode)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i <= WATCH_ROOT; i++)
		n += (c->watches.on[i] & mode) != 0;
	jute_int(b, (int32_t)n);
	for (uint32_t i = 0; i <= WATCH_ROOT; i++)
		if (c->watches.on[i] & mode)
			put_path(b, i);
}

static void send_watches(struct zclient *c)
{
	static const uint8_t modes[] = { WATCH_DATA, WATCH_EXIST, WATCH_CHILD, WATCH_PERSISTENT, WATCH_RECURSIVE };
	struct buf b;

	begin(&b, ZK_XID_SET_WATCHES, ZK_OP_SET_WATCHES2);
	c->watches.away_zxid = c->last_zxid;
	jute_long(&b, c->last_zxid);
	for (uint32_t i = 0; i < sizeof modes; i++)
		put_watches(&b, c, modes[i]);
	send(c, &b);
	count(C_z_set);
	c->state = Z_SETTING;
}

/* ---- the connection ---- */

static void forget(struct zclient *c)
{
	for (; c->n > 0; c->n--, c->first = (c->first + 1) % ASKS_MAX) {
		struct ask *a = &c->ask[c->first];

		if (a->op.what != OP_WRITE)
			continue;
		count(C_z_unsure);
		check_told(c->w, a->op.tag, E_UNSURE);
	}
	c->closing = false;
}

/* ClientCnxn goes through all nodes in turn. */
static void gone(struct zclient *c)
{
	c->link = NULL;
	c->state = Z_OFF;
	c->at = (c->at + 1) % MACHINES;
	c->since_us = c->w->sim.now_us;
	forget(c);
}

static void hang_up(struct zclient *c, bool leave_open)
{
	struct zlink *l = c->link;

	if (!l)
		return;
	bool open = c->state == Z_OPEN;

	l->c = NULL;
	gone(c);
	if (leave_open && open)
		count(C_z_left);
	else
		host(c->w)->net.calls->abort(l->conn);
}

static void on_close(void *user, struct net_conn *conn, int err)
{
	struct zlink *l = user, **at = &l->w->zlinks;

	(void)conn;
	(void)err;
	while (*at != l)
		at = &(*at)->next;
	*at = l->next;
	if (l->c) {
		count(C_z_lost);
		gone(l->c);
	}
	mem_free(l);
}

static void on_connect(void *user, struct net_conn *conn, int err)
{
	struct zlink *l = user;

	(void)conn;
	if (l->c && err == OK) {
		l->c->heard_us = l->w->sim.now_us;
		send_hello(l->c);
	}
}

static void new_session(struct zclient *c)
{
	c->session = 0;
	memset(c->password, 0, PASSWORD);
	c->silent = false;
	watch_begin(c->w, &c->watches, c->last_zxid);
}

static void on_hello(struct zclient *c, const uint8_t *p, uint32_t len)
{
	struct world *w = c->w;
	int64_t session = len >= 16 + 4 + PASSWORD ? (int64_t)be64_get(p + 8) : 0;
	bool again = c->session != 0;

	if (session == 0) {
		count(C_z_expired);
		trace(w, (int)c->at, "z%u: session %llx is over", c->id, (unsigned long long)c->session);
		new_session(c);
		hang_up(c, false);
		return;
	}
	if (again && session != c->session)
		wrong(c, "Q12", "another session than the one that was asked for", 0);
	if (!check_session(w, session))
		wrong(c, "Q7", "a session that no entry opened", 0);
	count(again ? C_z_again : C_z_open);
	trace(w, (int)c->at, "z%u: session %llx%s", c->id, (unsigned long long)session, again ? " again" : "");
	for (struct zlink *l = w->zlinks; l && again; l = l->next)
		if (!l->c && l->session == session && l->replaced_us == 0)
			l->replaced_us = w->sim.now_us;
	c->session = c->link->session = session;
	c->timeout_ms = be32_get(p + 4);
	memcpy(c->password, p + 20, PASSWORD);
	c->state = Z_OPEN;
	c->link->life = w->m[c->at].life;
	for (uint32_t i = 0; i <= WATCH_ROOT; i++)
		if (c->watches.on[i]) {
			send_watches(c);
			return;
		}
}

/* ---- answers ---- */

static void read_event(struct zclient *c, int64_t zxid, const uint8_t *p, uint32_t len)
{
	uint32_t n = len >= 12 ? be32_get(p + 8) : UINT32_MAX;
	struct str path = { (const char *)p + 12, (int32_t)n };

	if (n > len - 12) {
		wrong(c, "Q11", "an event that makes no sense", zxid);
		return;
	}
	int32_t type = (int32_t)be32_get(p);

	trace(c->w, (int)c->at, "z%u: event %d of %.*s, zxid %lld", c->id, type, path.len, path.p, (long long)zxid);
	wrong(c, "Q11", c->state == Z_SETTING ? watch_caught(c->w, &c->watches, type, path)
					      : watch_event(c->w, &c->watches, zxid, type, path), zxid);
}

static void read_write(struct zclient *c, struct ask *a, int64_t zxid, int32_t code, const uint8_t *p, uint32_t len)
{
	struct world *w = c->w;

	if (code == ZK_SESSION_EXPIRED)
		return;
	if (code == ZK_SYSTEM_ERROR) {
		check_told(w, a->op.tag, E_NOSPC);
		return;
	}
	bool ok = code == ZK_OK && (a->type != ZK_OP_MULTI || (len >= 4 && be32_get(p) != UINT32_MAX));

	if (a->type == ZK_OP_MULTI && !ok && len >= 13 && (int32_t)be32_get(p + 9) == ZK_SESSION_EXPIRED)
		return;
	check_acked(w, &a->op, zxid);
	check_steps(w, &a->op, zxid, ok);
	count(ok ? a->type == ZK_OP_MULTI ? C_z_multi : C_z_write : C_z_no);
}

static void read_stat(struct zclient *c, const uint8_t *p, const struct version *v, int64_t zxid)
{
	if ((int64_t)be64_get(p + 8) != v->zxid || (int32_t)be32_get(p + 32) != v->version ||
	    (int64_t)be64_get(p + 44) != v->owner)
		wrong(c, "Q6", "a read shows a Stat of another state", zxid);
}

/* Each name of the list that is one of ours is there, and none is left out. */
static void read_children(struct zclient *c, const uint8_t *p, uint32_t len, int64_t zxid)
{
	bool in[NAMES] = { false };
	uint32_t n = be32_get(p), at = 4;

	for (uint32_t i = 0; i < n && at + 4 <= len; i++) {
		uint32_t k = be32_get(p + at);
		char name[32];

		snprintf(name, sizeof name, "/%.*s", (int)k, p + at + 4);
		at += 4 + k;
		int path = path_of(str_of(name));

		if (path >= 0)
			in[path] = true;
	}
	for (uint32_t i = 0; i < NAMES; i++)
		if (in[i] != check_at(c->w, i, zxid).exists)
			wrong(c, "Q6", "a list of children of another state", zxid);
}

static void read_read(struct zclient *c, struct ask *a, int64_t zxid, int32_t code, const uint8_t *p, uint32_t len)
{
	struct version v = a->path == WATCH_ROOT ? (struct version){ .exists = true } : check_at(c->w, a->path, zxid);
	uint32_t value = 0;

	if (zxid < a->op.floor)
		wrong(c, "Q6", "a read after sync misses what was acknowledged before", zxid);
	if (v.exists != (code == ZK_OK)) {
		wrong(c, "Q6", "a read finds a node that is not there, or does not find one that is", zxid);
		return;
	}
	if (code != ZK_OK) {
		if (a->type == ZK_OP_EXISTS && a->watch)
			c->watches.on[a->path] |= WATCH_EXIST;
		return;
	}
	c->watches.on[a->path] |= a->watch;
	count(C_z_read);
	if (a->type == ZK_OP_GET_CHILDREN) {
		if (a->path == WATCH_ROOT)
			read_children(c, p, len, zxid);
		return;
	}
	if (a->type == ZK_OP_GET_DATA) {
		value = 4 + (be32_get(p) == UINT32_MAX ? 0 : be32_get(p));
		if (value + STAT_BYTES != len || check_tag(p + 4, (int32_t)value - 4) != v.tag)
			wrong(c, "Q6", "a read shows another value", zxid);
	}
	if (a->path != WATCH_ROOT && len >= value + STAT_BYTES)
		read_stat(c, p + value, &v, zxid);
}

static void read_answer(struct zclient *c, int32_t xid, int64_t zxid, int32_t code, const uint8_t *p, uint32_t len)
{
	struct ask *a = &c->ask[c->first];

	if (c->n == 0 || a->xid != xid) {
		wrong(c, "Q13", "an answer out of turn", zxid);
		return;
	}
	trace(c->w, (int)c->at, "z%u: answer %d of type %d: %d, zxid %lld", c->id, xid, a->type, code, (long long)zxid);
	c->first = (c->first + 1) % ASKS_MAX;
	c->n--;
	c->acks++;
	if (code == ZK_SESSION_EXPIRED) {
		if (a->op.what == OP_WRITE)
			check_told(c->w, a->op.tag, E_UNSURE);
		return;
	}
	switch (a->type) {
	case ZK_OP_SYNC:
		count(C_z_sync);
		if (zxid < a->op.floor)
			wrong(c, "Q6", "a sync does not reach what was acknowledged before", zxid);
		break;
	case ZK_OP_ADD_WATCH:
		c->watches.on[a->path] |= a->watch;
		break;
	case ZK_OP_CLOSE_SESSION:
		count(C_z_closed);
		new_session(c);
		break;
	case ZK_OP_EXISTS: case ZK_OP_GET_DATA: case ZK_OP_GET_CHILDREN:
		read_read(c, a, zxid, code, p, len);
		break;
	default:
		read_write(c, a, zxid, code, p, len);
	}
}

/* Who is answered counts on its session. */
static void check_alive(struct zclient *c)
{
	struct session *s = c->state == Z_GREETING ? NULL : check_session(c->w, c->session);
	uint64_t now = c->w->sim.now_us;

	if (s && s->gone && c->w->calm && now > FAULTS_US + GONE_US && now - s->gone_us > GONE_US)
		wrong(c, "Q7", "a client is answered, and its session is over", 0);
}

static void on_frame(void *user, struct net_conn *conn, uint8_t *frame, uint32_t len)
{
	struct zlink *l = user;
	struct zclient *c = l->c;

	(void)conn;
	if (!c) {
		mem_free(frame);
		return;
	}
	c->heard_us = l->w->sim.now_us;
	check_alive(c);
	if (c->state == Z_GREETING) {
		on_hello(c, frame, len);
		mem_free(frame);
		return;
	}
	int32_t xid = len >= 16 ? (int32_t)be32_get(frame) : 0, code = len >= 16 ? (int32_t)be32_get(frame + 12) : 0;
	int64_t zxid = len >= 16 ? (int64_t)be64_get(frame + 4) : 0;

	if (xid == ZK_XID_EVENT) {
		read_event(c, zxid, frame + 16, len - 16);
		mem_free(frame);
		return;
	}
	if (c->state == Z_SETTING) {
		if (xid != ZK_XID_SET_WATCHES)
			wrong(c, "Q13", "an answer before that to SetWatches", zxid);
		wrong(c, "Q11", watch_set_again(c->w, &c->watches, zxid), zxid);
		c->state = Z_OPEN;
	} else {
		wrong(c, "Q11", watch_shown(c->w, &c->watches, zxid), zxid);
		if (zxid < c->last_zxid && (c->n == 0 || xid == ZK_XID_PING || c->ask[c->first].op.what == OP_READ))
			wrong(c, "Q13", "an answer shows an older state than one before it", zxid);
		if (xid != ZK_XID_PING)
			read_answer(c, xid, zxid, code, frame + 16, len - 16);
	}
	if (zxid > c->last_zxid)
		c->last_zxid = zxid;
	mem_free(frame);
}

static const struct net_events events = { .on_frame = on_frame, .on_close = on_close, .on_connect = on_connect };

/* ---- what it does ---- */

static void dial(struct zclient *c)
{
	struct world *w = c->w;
	struct zlink *l = mem_alloc(sizeof *l);

	*l = (struct zlink){ .next = w->zlinks, .w = w, .c = c, .at = c->at, .session = c->session };
	w->zlinks = c->link = l;
	c->state = Z_DIALING;
	c->since_us = c->heard_us = w->sim.now_us;
	if (host(w)->net.calls->connect(&host(w)->net, w->address[c->at], &events, l, FRAME_MAX, &l->conn) != OK)
		broken(w, "Q0", "the simulated network refuses to dial");
}

static struct ask *new_ask(struct zclient *c, int32_t type, enum what what)
{
	struct ask *a = &c->ask[(c->first + c->n++) % ASKS_MAX];

	*a = (struct ask){ .xid = ++c->xid, .type = type,
		.op = { .what = what, .session = c->session, .front = true } };
	return a;
}

static void ask_write(struct zclient *c)
{
	struct world *w = c->w;
	struct ask *a = new_ask(c, 0, OP_WRITE);
	struct op *op = &a->op;
	struct buf b;

	op->tag = ++w->ntags;
	op->floor = w->acked;
	w->tags = world_room(w->tags, w->ntags, &w->tags_cap, sizeof *w->tags);
	op->nsteps = below(w, 3) ? 1 : 2 + below(w, STEPS_MAX - 1);
	for (uint32_t i = 0; i < op->nsteps; i++) {
		static const enum coord_op_kind kinds[] = { COORD_CREATE, COORD_CREATE, COORD_SET, COORD_SET,
			COORD_DELETE, COORD_DELETE, COORD_CHECK };
		struct step *s = &op->step[i];

		*s = (struct step){ .kind = kinds[below(w, op->nsteps > 1 ? 7 : 6)], .path = below(w, PATHS),
			.version = -1 };
		if (below(w, 3) == 0) {
			s->path = PATHS + CLIENTS + c->id;
			s->ephemeral = s->kind == COORD_CREATE;
		} else if (below(w, 4) == 0) {
			s->version = check_at(w, s->path, INT64_MAX).version;
		}
	}
	a->type = op->nsteps > 1 ? ZK_OP_MULTI : type_of(&op->step[0]);
	begin(&b, a->xid, a->type);
	for (uint32_t i = 0; i < op->nsteps; i++) {
		if (op->nsteps > 1)
			jute_multi(&b, type_of(&op->step[i]), false, -1);
		put_step(&b, op, &op->step[i]);
	}
	if (op->nsteps > 1)
		jute_multi(&b, -1, true, -1);
	send(c, &b);
}

static void ask_read(struct zclient *c, int64_t floor)
{
	static const int32_t types[] = { ZK_OP_EXISTS, ZK_OP_GET_DATA, ZK_OP_GET_CHILDREN };
	static const uint8_t watches[] = { WATCH_DATA, WATCH_DATA, WATCH_CHILD };
	struct world *w = c->w;
	uint32_t k = below(w, 3);
	struct ask *a = new_ask(c, types[k], OP_READ);
	struct buf b;

	a->path = below(w, 8) ? below(w, NAMES) : WATCH_ROOT;
	a->watch = below(w, 2) ? watches[k] : 0;
	a->op.floor = floor;
	begin(&b, a->xid, a->type);
	put_path(&b, a->path);
	buf_u8(&b, a->watch != 0);
	send(c, &b);
}

static void ask_sync(struct zclient *c)
{
	struct ask *a = new_ask(c, ZK_OP_SYNC, OP_READ);
	struct buf b;

	a->op.floor = c->w->acked;
	begin(&b, a->xid, a->type);
	put_path(&b, WATCH_ROOT);
	send(c, &b);
	if (c->n < ASKS_MAX)
		ask_read(c, a->op.floor);
}

static void ask_watch(struct zclient *c)
{
	struct ask *a = new_ask(c, ZK_OP_ADD_WATCH, OP_READ);
	bool recursive = below(c->w, 2);
	struct buf b;

	a->path = below(c->w, 3) ? below(c->w, NAMES) : WATCH_ROOT;
	a->watch = recursive ? WATCH_RECURSIVE : WATCH_PERSISTENT;
	begin(&b, a->xid, a->type);
	put_path(&b, a->path);
	jute_int(&b, recursive);
	send(c, &b);
}

static void ask_close(struct zclient *c)
{
	struct ask *a = new_ask(c, ZK_OP_CLOSE_SESSION, OP_CLOSE);
	struct session *s = check_session(c->w, c->session);
	struct buf b;

	if (s)
		s->asked = true;
	begin(&b, a->xid, a->type);
	c->closing = true;
	send(c, &b);
}

static void ask(struct zclient *c)
{
	uint32_t dice = below(c->w, 100);

	if (c->n == ASKS_MAX || c->closing)
		return;
	if (dice < 2)
		ask_close(c);
	else if (dice < 5)
		ask_watch(c);
	else if (dice < 15)
		ask_sync(c);
	else if (dice < 55)
		ask_read(c, 0);
	else
		ask_write(c);
}

static void ping(struct zclient *c)
{
	struct buf b;

	begin(&b, ZK_XID_PING, ZK_OP_PING);
	send(c, &b);
}

/* It waits for the first answer, and for any answer, as long as ClientCnxn does. */
static bool patient(const struct zclient *c)
{
	uint64_t now = c->w->sim.now_us, timeout = (c->timeout_ms ? c->timeout_ms : 1000) * 1000ull;

	return c->state == Z_OPEN ? now - c->heard_us < timeout * 2 / 3 : now - c->since_us < timeout / 3;
}

static void cut_off(struct zclient *c)
{
	struct sim_net_faults *f = &c->w->net.faults;
	uint32_t how = below(c->w, 3);

	count(C_z_cut);
	trace(c->w, (int)c->at, "cut from ZooKeeper clients (%u)", how);
	f->cut[ZHOST][c->at] |= how != 0;
	f->cut[c->at][ZHOST] |= how != 1;
}

static void live(struct zclient *c)
{
	struct world *w = c->w;

	if (c->state == Z_OFF) {
		if (w->sim.now_us - c->since_us > 20000)
			dial(c);
		return;
	}
	if (c->silent) {		/* it does not look at the clock either, until its session must be over */
		if (w->sim.now_us - c->heard_us > 3000ull * c->timeout_ms) {
			c->silent = false;
			hang_up(c, false);
		}
		return;
	}
	if (!patient(c)) {
		count(C_z_mute);
		hang_up(c, !w->calm && below(w, 2));
		return;
	}
	if (c->state != Z_OPEN)
		return;
	if (!w->calm && below(w, 150) == 0)
		cut_off(c);
	if (!w->calm && below(w, 400) == 0) {
		c->silent = true;		/* its process stands; the server is to find out */
		return;
	}
	if (below(w, w->calm ? 200 : 60) == 0) {
		hang_up(c, below(w, 2));
		return;
	}
	if (below(w, 3) == 0)
		ask(c);
	else if (w->sim.now_us - c->sent_us > c->timeout_ms * 1000ull / 3)
		ping(c);
}

static void on_live(void *arg)
{
	live(arg);
}

static void on_event(struct sim_event *e)
{
	struct zclient *c = (struct zclient *)e;
	struct world *w = c->w;

	w->net.run(w->net.ctx, host(w), on_live, c);
	sim_at(&w->sim, e, 1000 + below(w, 60000));
}

void zclients_init(struct world *w)
{
	w->zclients = mem_alloc(ZCLIENTS * sizeof *w->zclients);
	sim_host_up(host(w));
	if (below(w, 2))			/* images are sent often, over the heads of clients */
		w->snapshot_bytes = 300 + below(w, 2000);
	for (uint32_t i = 0; i < ZCLIENTS; i++) {
		w->zclients[i] = (struct zclient){ .event = { .run = on_event }, .w = w, .id = i,
			.at = below(w, w->nvoters) };
		sim_at(&w->sim, &w->zclients[i].event, 100000 + below(w, 500000));
	}
}

void zclients_free(struct world *w)
{
	if (!w->zclients)
		return;
	sim_host_down(host(w), false);
	while (w->zlinks) {
		struct zlink *l = w->zlinks;

		w->zlinks = l->next;
		mem_free(l);
	}
	mem_free(w->zclients);
}

void zclients_calm(struct world *w)
{
	for (uint32_t i = 0; w->zclients && i < ZCLIENTS; i++)
		w->zclients[i].acks = 0;
}

void zclients_end(struct world *w)
{
	for (uint32_t i = 0; w->zclients && i < ZCLIENTS; i++)
		if (w->zclients[i].acks < 2 && !w->zclients[i].silent)
			broken(w, "Q10", "ZooKeeper client %u is not served", i);
	for (struct zlink *l = w->zlinks; l; l = l->next)
		if (l->replaced_us != 0 && l->life == w->m[l->at].life && w->sim.now_us - l->replaced_us > LEFT_US)
			broken(w, "Q12", "session %llx is elsewhere since %llu us, and its connection to n%u is open",
			       (unsigned long long)l->session, (unsigned long long)(w->sim.now_us - l->replaced_us),
			       l->at);
}
