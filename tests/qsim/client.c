/* client.c - what clients ask of nodes, and are told. See world.h. */
#include "world.h"

#include <stdio.h>
#include <string.h>

#include "base/be.h"
#include "base/mem.h"

#define PATIENCE_US 3000000u
#define CALM_PATIENCE_US 1000000u

static uint32_t below(struct world *w, uint32_t n)
{
	return rng_below(&w->sim.rng, n);
}

/* Its node does not serve it: another one. In the end in turn: with luck alone a client may meet removed nodes only. */
static void go_on(struct client *c)
{
	c->at = c->w->calm ? (c->at + 1) % MACHINES : below(c->w, MACHINES);
}

void path_name(uint32_t path, char ret[8])
{
	snprintf(ret, 8, path < PATHS ? "/p%u" : "/e%u", path < PATHS ? path : path - PATHS);
}

/* ---- answers ---- */

static void unlink_flight(struct flight *f)
{
	struct flight **at = &f->w->flights;

	while (*at != f)
		at = &(*at)->next;
	*at = f->next;
	if (f->client >= 0)
		f->w->client[f->client].flight = NULL;
	sim_cancel(&f->w->sim, &f->event);
	mem_free(f);
}

static void take_session(struct flight *f, const struct coord_result *r)
{
	struct client *c = f->client >= 0 ? &f->w->client[f->client] : NULL;
	struct session *s = check_session(f->w, r->session);

	if (!s)
		broken(f->w, "Q7", "a session was told that no entry opened");
	else if (c)
		c->session = r->session;
}

static void on_done(struct node_req *q, int err, int64_t zxid, const struct coord_result *r)
{
	struct flight *f = (struct flight *)q;
	struct world *w = f->w;
	struct client *c = f->client >= 0 ? &w->client[f->client] : NULL;

	trace(w, (int)f->at, "c%d op %llu done: %s zxid %lld", f->client, (unsigned long long)f->op.tag, err_text(err),
	      (long long)zxid);
	if (err)
		check_told(w, f->op.tag, err);
	else
		check_write(f, zxid, r);
	if (!err && f->op.what == OP_OPEN)
		take_session(f, r);
	if (!err && f->op.what == OP_CLOSE && c)
		c->session = 0;
	if (!err && r->err && f->op.session && c && !coord_session(node_coord(w->m[f->at].node), f->op.session))
		c->session = 0;
	if (!err && c)
		c->acks++;
	unlink_flight(f);
}

static void on_read(struct node_read *read, int err)
{
	struct flight *f = (struct flight *)((char *)read - offsetof(struct flight, read));

	if (!err) {
		count(C_read);
		check_read(f, true);
	}
	unlink_flight(f);
}

void clients_lost(struct world *w, uint32_t machine)
{
	for (struct flight *f = w->flights, *next; f; f = next) {
		next = f->next;
		if (f->at == machine)
			unlink_flight(f);
	}
}

/* ---- requests ---- */

static void encode_step(struct buf *b, const struct op *op, const struct step *s)
{
	char name[16];
	uint8_t value[8];

	be64_put(value, op->tag);
	path_name(s->path, name);
	if (op->sequence)
		snprintf(name, sizeof name, "/q-");
	coord_encode_op(b, &(struct coord_op){ .kind = s->kind, .path = str_of(name), .version = s->version,
		.flags = (s->ephemeral ? (unsigned)COORD_EPHEMERAL : 0u) | (op->sequence ? (unsigned)COORD_SEQUENCE
			: 0u),
		.value = { value, s->kind == COORD_CREATE || s->kind == COORD_SET ? 8 : 0 } });
}

static void encode(struct buf *b, const struct op *op, const struct client *c)
{
	uint8_t password[16] = { 1, 2, 3 };
	struct buf ops;

	buf_init(b, 1 << 16);
	if (op->what == OP_OPEN) {
		coord_encode_open(b, 0, password, c->timeout_ms, STR("sim"));
	} else if (op->what == OP_CLOSE) {
		coord_encode_close(b, 0, op->session);
	} else {
		buf_init(&ops, 1 << 16);
		mp_put_array(&ops, op->nsteps);
		for (uint32_t i = 0; i < op->nsteps; i++)
			encode_step(&ops, op, &op->step[i]);
		coord_encode_multi(b, 0, op->session, ops.p, (uint32_t)ops.len);
		buf_release(&ops);
	}
}

static void propose(void *arg)
{
	struct flight *f = arg;
	struct world *w = f->w;
	struct client *c = &w->client[f->client];
	struct buf b;

	if (f->op.what == OP_READ) {
		f->read.done = on_read;
		node_read(w->m[f->at].node, &f->read);
		return;
	}
	encode(&b, &f->op, c);
	f->req.done = on_done;
	int err = node_propose(w->m[f->at].node, b.p, (uint32_t)b.len, f->op.what == OP_CLOSE, &f->req);

	buf_release(&b);
	if (!err)
		return;
	trace(w, (int)f->at, "c%u op %llu not taken: %s", c->id, (unsigned long long)f->op.tag, err_text(err));
	check_told(w, f->op.tag, err);
	go_on(c);
	unlink_flight(f);
}

static void on_sent(struct sim_event *e)
{
	struct flight *f = (struct flight *)((char *)e - offsetof(struct flight, event));

	if (f->client >= 0)
		machine_run(&f->w->m[f->at], propose, f);
	else
		unlink_flight(f);
}

/* What the client may believe about a path: the newest, or something older. */
static int32_t guess_version(struct world *w, uint32_t path)
{
	const struct history *h = &w->path[path];
	uint32_t back = below(w, 8) == 0 ? 1 + below(w, 3) : 0;

	if (below(w, 3) == 0)
		return -1;
	return h->n > back ? h->v[h->n - 1 - back].version : 0;
}

static void fill_write(struct client *c, struct op *op)
{
	struct world *w = c->w;

	op->nsteps = below(w, 4) ? 1 : 2 + below(w, STEPS_MAX - 1);
	op->session = c->session && below(w, 2) ? c->session : 0;
	op->sequence = below(w, 10) == 0;
	if (op->sequence) {
		op->nsteps = 1;
		op->step[0] = (struct step){ .kind = COORD_CREATE };
		count(C_sequence);
		return;
	}
	for (uint32_t i = 0; i < op->nsteps; i++) {
		struct step *s = &op->step[i];
		static const enum coord_op_kind kinds[] = { COORD_CREATE, COORD_CREATE, COORD_SET, COORD_SET, COORD_SET,
			COORD_DELETE, COORD_CHECK };

		s->path = below(w, PATHS);
		s->kind = kinds[below(w, 7)];
		s->version = guess_version(w, s->path);
		if (op->session && below(w, 3) == 0) {
			s->path = PATHS + c->id;
			s->ephemeral = s->kind == COORD_CREATE;
			count(C_ephemeral);
		}
	}
}

static void start(struct client *c)
{
	struct world *w = c->w;
	struct machine *m = &w->m[c->at];

	if (!m->node || (sim_host_frozen(m->host) && below(w, 2))) {
		go_on(c);
		return;
	}
	struct flight *f = mem_alloc(sizeof *f);

	*f = (struct flight){ .w = w, .at = c->at, .client = (int)c->id, .next = w->flights,
		.op = { .tag = ++w->ntags, .floor = w->acked } };
	w->tags = world_room(w->tags, w->ntags, &w->tags_cap, sizeof *w->tags);
	w->flights = c->flight = f;
	c->until_us = w->sim.now_us + (w->calm ? CALM_PATIENCE_US : PATIENCE_US);
	uint32_t dice = below(w, 100);
	if (!c->session && dice < 25) {
		f->op.what = OP_OPEN;
	} else if (c->session && dice < 2) {
		f->op.what = OP_CLOSE;
		f->op.session = c->session;
		check_session(w, c->session)->asked = true;
	} else if (dice < 45) {
		f->op.what = OP_READ;
		f->op.step[0].path = below(w, PATHS + CLIENTS);
	} else {
		f->op.what = OP_WRITE;
		fill_write(c, &f->op);
	}
	/* What is sent to a process that stands lies in its socket, and is read first when it goes on. */
	f->event.run = on_sent;
	sim_at(&w->sim, &f->event, sim_host_frozen(m->host) ? m->host->thaw_us - w->sim.now_us : 0);
}

static void touch(void *arg)
{
	struct client *c = arg;
	struct machine *m = &c->w->m[c->at];
	struct session *s = check_session(c->w, c->session);

	node_touch(m->node, &c->session, 1);
	if (s)
		s->touched_us = c->w->sim.now_us;
	const struct coord_session *x = coord_session(node_coord(m->node), c->session);

	if (!s || !node_serves(m->node) || !x || node_closing(m->node, x))	/* too late */
		return;
	s->touch[m->id].term = m->node->raft.term;
	s->touch[m->id].mono_us = m->host->clock.mono_us(&m->host->clock);
}

static void keep_alive(struct client *c)
{
	struct world *w = c->w;
	struct machine *m = &w->m[c->at];
	struct session *s = check_session(w, c->session);

	if (s && s->gone) {
		c->session = 0;
		c->silent = false;
	}
	if (!c->session || c->silent || w->sim.now_us < c->touch_us)
		return;
	if (below(w, 400) == 0) {
		c->silent = true;
		count(C_silent);
		return;
	}
	c->touch_us = w->sim.now_us + c->timeout_ms * 1000ull / 4;
	if (m->node && !sim_host_frozen(m->host))
		machine_run(m, touch, c);
}

/* A read of what this node has now: old perhaps, but a state that was. */
static void look(void *arg)
{
	struct client *c = arg;
	struct flight f = { .w = c->w, .at = c->at, .client = (int)c->id, .op = { .what = OP_READ } };

	f.op.step[0].path = below(c->w, PATHS + CLIENTS);
	count(C_look);
	check_read(&f, false);
}

static void on_client(struct sim_event *e)
{
	struct client *c = (struct client *)((char *)e - offsetof(struct client, event));
	struct world *w = c->w;

	keep_alive(c);
	if (c->flight && w->sim.now_us > c->until_us) {
		count(C_gave_up);
		c->flight->client = -1;
		c->flight = NULL;
		go_on(c);
	}
	if (!c->flight && !c->silent) {
		if (below(w, 40) == 0) {
			count(C_attach);
			c->at = below(w, MACHINES);
		}
		if (w->m[c->at].node && !sim_host_frozen(w->m[c->at].host) && below(w, 4) == 0)
			machine_run(&w->m[c->at], look, c);
		if (!w->broken)
			start(c);
	}
	sim_at(&w->sim, e, 1000 + below(w, 100000));
}

void clients_init(struct world *w)
{
	for (uint32_t i = 0; i < CLIENTS; i++) {
		struct client *c = &w->client[i];

		*c = (struct client){ .event = { .run = on_client }, .w = w, .id = i, .at = below(w, w->nvoters),
			.timeout_ms = 1000 + below(w, 3000) };
		sim_at(&w->sim, &c->event, 100000 + below(w, 500000));
	}
}

void clients_calm(struct world *w)
{
	for (uint32_t i = 0; i < CLIENTS; i++)
		w->client[i].acks = 0;
}
