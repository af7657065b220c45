/* sim_net.c - see sim_net.h. */
#include "sim/sim_net.h"

#include <stddef.h>
#include <string.h>

#include "base/assert.h"
#include "base/be.h"
#include "base/mem.h"

#define WALL_START_MS INT64_C(1700000000000)
#define AGAIN_US_MIN 20000u		/* what meets a cut is sent again after so long */
#define AGAIN_US_MAX 250000u
#define GIVE_UP_US 10000000u		/* TCP_USER_TIMEOUT of src/os/net_os.c */
#define TURNS_MAX 1000			/* of hooks that want to go on */

enum state { DIALING, OPEN, ENDED /* on_close is due */ };
enum kind { PACKET_SYN, PACKET_SYN_OK, PACKET_BYTES, PACKET_END };

struct packet {				/* on the way to `to` */
	struct packet *next;
	enum kind kind;
	uint64_t at_us;
	uint32_t len;
	uint8_t p[];
};

struct net_conn {
	struct net_conn *next, *prev;	/* of its machine */
	struct sim_host *host;
	struct net_conn *other;		/* NULL: gone, or not there yet */
	uint32_t far;			/* number of the other machine */
	const struct net_events *ev;
	void *user;
	uint32_t max_frame;
	enum state state;
	bool muted, adopted, silent;	/* silent: the other machine lost its power */
	int err;			/* ENDED */
	struct packet *queue, **tail;	/* that come to this end */
	uint64_t last_at_us, coming;	/* coming: bytes */
	struct sim_event arrive, closing;
	uint8_t *in, *out;		/* arrived and not taken; sent in this turn */
	uint32_t in_len, in_cap, out_len, out_cap;
};

struct sim_timer {
	struct sim_event event;		/* first member */
	struct sim_timer *next, *prev;
	struct sim_host *host;
	struct loop_timer *t;
};

static struct sim_host *of_net(struct net *n)
{
	return (struct sim_host *)((char *)n - offsetof(struct sim_host, net));
}

static struct sim_host *of_loop(struct loop *l)
{
	return (struct sim_host *)((char *)l - offsetof(struct sim_host, loop));
}

bool sim_host_frozen(const struct sim_host *h)
{
	return h->thaw_us > h->w->sim->now_us;
}

/* ---- the clock ---- */

static uint64_t mono_us(struct clock *c)
{
	struct sim_host *h = (struct sim_host *)((char *)c - offsetof(struct sim_host, clock));
	uint64_t past = h->w->sim->now_us - h->clock_at_us;

	return h->clock_us + past + (uint64_t)((int64_t)past * h->drift_ppm / 1000000);
}

static int64_t wall_ms(struct clock *c)
{
	struct sim_host *h = (struct sim_host *)((char *)c - offsetof(struct sim_host, clock));

	return WALL_START_MS + (int64_t)(mono_us(c) / 1000) + h->skew_ms;
}

void sim_host_drift(struct sim_host *h, int32_t ppm)
{
	h->clock_us = mono_us(&h->clock);
	h->clock_at_us = h->w->sim->now_us;
	h->drift_ppm = ppm;
}

/* ---- the loop ---- */

static void timer_drop(struct sim_timer *x)
{
	sim_cancel(x->host->w->sim, &x->event);
	*(x->prev ? &x->prev->next : &x->host->timers) = x->next;
	if (x->next)
		x->next->prev = x->prev;
	mem_free(x);
}

static void fire(void *arg)
{
	struct loop_timer *t = arg;

	t->fire(t);
}

static void on_timer(struct sim_event *e)
{
	struct sim_timer *x = (struct sim_timer *)e;
	struct sim_host *h = x->host;

	if (sim_host_frozen(h)) {
		sim_at(h->w->sim, e, h->thaw_us - h->w->sim->now_us);
		return;
	}
	h->w->run(h->w->ctx, h, fire, x->t);
}

/* A machine whose clock is fast fires early. */
static void timer_set(struct loop *l, struct loop_timer *t, uint64_t us)
{
	struct sim_host *h = of_loop(l);
	struct sim_timer *x = t->impl[0];

	if (!x) {
		x = h->w->mem.alloc(sizeof *x);
		*x = (struct sim_timer){ .event = { .run = on_timer }, .host = h, .t = t, .next = h->timers };
		if (x->next)
			x->next->prev = x;
		h->timers = x;
		t->impl[0] = x;
	}
	sim_at(h->w->sim, &x->event, us - (uint64_t)((int64_t)us * h->drift_ppm / 1000000));
}

static void timer_stop(struct loop *l, struct loop_timer *t)
{
	(void)l;
	if (t->impl[0])
		timer_drop(t->impl[0]);
	t->impl[0] = NULL;
}

static void turn_hook(struct loop *l, int (*hook)(void *ctx), void *ctx)
{
	struct sim_host *h = of_loop(l);

	must(h->nhooks < SIM_HOOKS_MAX);
	h->hook[h->nhooks].hook = hook;
	h->hook[h->nhooks++].ctx = ctx;
}

static void stop(struct loop *l, int exit_status)
{
	(void)l;
	(void)exit_status;
}

static const struct loop_calls loop_calls = { timer_set, timer_stop, turn_hook, stop };

/* ---- packets ---- */

static uint64_t delay(struct sim_network *w)
{
	const struct sim_net_faults *f = &w->faults;
	uint64_t us = f->delay_us_min + rng_below(&w->sim->rng, f->delay_us_max - f->delay_us_min + 1);

	if (f->slow_us_max > 0 && sim_chance(w->sim, f->slow_ppm)) {
		w->counts.slow++;
		us += rng_below(&w->sim->rng, f->slow_us_max);
	}
	return us;
}

static void arm(struct net_conn *c)
{
	struct sim *s = c->host->w->sim;

	if (c->queue && !c->arrive.queued)
		sim_at(s, &c->arrive, c->queue->at_us > s->now_us ? c->queue->at_us - s->now_us : 0);
}

static void put_packet(struct net_conn *to, enum kind kind, const uint8_t *p, uint32_t len)
{
	struct sim_network *w = to->host->w;
	struct packet *k = w->mem.alloc(sizeof *k + len);

	k->kind = kind;
	k->len = len;
	if (len > 0)
		memcpy(k->p, p, len);
	k->at_us = w->sim->now_us + delay(w);
	if (k->at_us < to->last_at_us)		/* M1 */
		k->at_us = to->last_at_us;
	to->last_at_us = k->at_us;
	to->coming += len;
	*to->tail = k;
	to->tail = &k->next;
	arm(to);
}

static void drop_packets(struct net_conn *c)
{
	while (c->queue) {
		struct packet *k = c->queue;

		c->queue = k->next;
		mem_free(k);
	}
	c->tail = &c->queue;
}

static void free_conn(struct net_conn *c)
{
	struct sim *s = c->host->w->sim;

	drop_packets(c);
	sim_cancel(s, &c->arrive);
	sim_cancel(s, &c->closing);
	if (c->other)
		c->other->other = NULL;
	*(c->prev ? &c->prev->next : &c->host->conns) = c->next;
	if (c->next)
		c->next->prev = c->prev;
	mem_free(c->in);
	mem_free(c->out);
	mem_free(c);
}

static void put_bytes(struct sim_network *w, uint8_t **p, uint32_t *len, uint32_t *cap, const uint8_t *from, uint32_t n)
{
	if (*len + n > *cap) {
		*cap = (*len + n) * 2;
		*p = w->mem.resize(*p, *cap);
	}
	memcpy(*p + *len, from, n);
	*len += n;
}

/* ---- the end of a connection ---- */

static void tell_close(void *arg)
{
	struct net_conn *c = arg;
	const struct net_events *ev = c->ev;
	void *user = c->user;
	int err = c->err;

	ev->on_close(user, c, err);
}

static void on_closing(struct sim_event *e)
{
	struct net_conn *c = (struct net_conn *)((char *)e - offsetof(struct net_conn, closing));
	struct sim_host *h = c->host;

	if (sim_host_frozen(h)) {
		sim_at(h->w->sim, e, h->thaw_us - h->w->sim->now_us);
		return;
	}
	/* WHY kept while it is told: who is killed in the call leaves it to sim_host_down(). */
	if (c->adopted)
		h->w->run(h->w->ctx, h, tell_close, c);
	for (struct net_conn *k = h->conns; k; k = k->next)
		if (k == c) {
			free_conn(c);
			return;
		}
}

/* This end is over; its owner hears of it (M3). */
static void end(struct net_conn *c, int err)
{
	if (c->state == ENDED)
		return;
	c->state = ENDED;
	c->err = err;
	sim_at(c->host->w->sim, &c->closing, 0);
}

/* ---- arrivals ---- */

static void tell_connected(void *arg)
{
	struct net_conn *c = arg;

	c->state = OPEN;
	if (c->ev->on_connect)
		c->ev->on_connect(c->user, c, OK);
}

static void tell_refused(void *arg)
{
	struct net_conn *c = arg;

	if (c->ev->on_connect)
		c->ev->on_connect(c->user, c, E_IO);
	end(c, E_IO);
}

static void tell_accept(void *arg)
{
	struct net_conn *c = arg;
	struct sim_host *h = c->host;
	int fd = 0;

	for (struct net_conn *k = h->conns; k != c; k = k->next)
		fd++;
	h->w->accept(h->w->ctx, h, fd, c->far);
}

/* Whole frames, one after the other. */
static void tell_frames(void *arg)
{
	struct net_conn *c = arg;
	struct sim_host *h = c->host;

	while (c->state == OPEN && !c->muted && c->in_len >= 4) {
		uint32_t len = be32_get(c->in);

		must(len <= c->max_frame);
		if (c->in_len - 4 < len)
			return;
		uint8_t *frame = mem_alloc(len + 1u);	/* the process owns it from now on */
		memcpy(frame, c->in + 4, len);
		c->in_len -= 4 + len;
		memmove(c->in, c->in + 4 + len, c->in_len);
		h->w->counts.frames++;
		c->ev->on_frame(c->user, c, frame, len);
	}
}

static void take(struct net_conn *c, struct packet *k)
{
	struct sim_host *h = c->host;
	struct sim_network *w = h->w;
	enum kind kind = k->kind;

	c->coming -= k->len;
	if (kind == PACKET_BYTES && c->state == OPEN)
		put_bytes(w, &c->in, &c->in_len, &c->in_cap, k->p, k->len);
	mem_free(k);
	switch (kind) {
	case PACKET_SYN:
		if (c->other)
			put_packet(c->other, PACKET_SYN_OK, NULL, 0);
		w->run(w->ctx, h, tell_accept, c);
		break;
	case PACKET_SYN_OK:
		if (c->state == DIALING)
			w->run(w->ctx, h, tell_connected, c);
		break;
	case PACKET_BYTES:
		if (c->state == OPEN && c->adopted)
			w->run(w->ctx, h, tell_frames, c);
		break;
	case PACKET_END:
		if (c->state == DIALING)
			w->run(w->ctx, h, tell_refused, c);
		else
			end(c, E_CLOSED);
		break;
	}
}

static void on_arrive(struct sim_event *e)
{
	struct net_conn *c = (struct net_conn *)((char *)e - offsetof(struct net_conn, arrive));
	struct sim_host *h = c->host;
	struct sim_network *w = h->w;
	struct packet *k = c->queue;

	if (w->faults.cut[c->far][h->number]) {
		w->counts.held++;
		sim_at(w->sim, e, AGAIN_US_MIN + rng_below(&w->sim->rng, AGAIN_US_MAX - AGAIN_US_MIN));
		return;
	}
	if (sim_host_frozen(h)) {
		sim_at(w->sim, e, h->thaw_us - w->sim->now_us);
		return;
	}
	c->queue = k->next;
	if (!c->queue)
		c->tail = &c->queue;
	arm(c);
	take(c, k);
}

/* ---- the port ---- */

static struct net_conn *new_conn(struct sim_host *h, uint32_t far)
{
	struct net_conn *c = h->w->mem.alloc(sizeof *c);

	c->host = h;
	c->far = far;
	c->tail = &c->queue;
	c->arrive.run = on_arrive;
	c->closing.run = on_closing;
	c->next = h->conns;
	if (c->next)
		c->next->prev = c;
	h->conns = c;
	return c;
}

static void bind(struct net_conn *c, const struct net_events *ev, void *user, uint32_t max_frame)
{
	c->ev = ev;
	c->user = user;
	c->max_frame = max_frame;
	c->adopted = true;
}

static int adopt(struct net *n, int fd, const struct net_events *ev, void *user, uint32_t max_frame,
		 struct net_conn **ret)
{
	struct net_conn *c = of_net(n)->conns;

	while (c && fd-- > 0)
		c = c->next;
	if (!c || c->adopted)
		return E_CLOSED;
	bind(c, ev, user, max_frame);
	*ret = c;
	return OK;
}

static int connect_to(struct net *n, const char *address, const struct net_events *ev, void *user, uint32_t max_frame,
		      struct net_conn **ret)
{
	struct sim_host *h = of_net(n);
	uint32_t far = (uint32_t)(address[1] - '0');

	must(address[0] == 'n' && far < SIM_HOSTS_MAX);
	struct net_conn *c = new_conn(h, far);
	struct sim_host *to = &h->w->host[far];

	h->w->counts.connects++;
	bind(c, ev, user, max_frame);
	*ret = c;
	if (!to->up) {			/* the machine answers for the process that is not there, if it can */
		if (to->dark || h->w->faults.cut[h->number][far])
			return OK;
		h->w->counts.refused++;
		put_packet(c, PACKET_END, NULL, 0);
		return OK;
	}
	struct net_conn *o = new_conn(to, h->number);
	o->state = OPEN;
	o->other = c;
	c->other = o;
	put_packet(o, PACKET_SYN, NULL, 0);
	return OK;
}

static void send_pieces(struct net_conn *c, const struct net_piece *v, int n)
{
	for (int i = 0; i < n; i++) {
		must(v[i].kind == NET_MEM);
		if (c->state != ENDED)
			put_bytes(c->host->w, &c->out, &c->out_len, &c->out_cap, v[i].mem, (uint32_t)v[i].len);
		if (v[i].release)
			v[i].release(v[i].release_ctx);
	}
}

static uint64_t again_us(const struct sim_host *h)
{
	uint64_t us = h->up ? rng_below(&h->w->sim->rng, (uint32_t)(h->dark_us + 200000)) : GIVE_UP_US;

	return us < GIVE_UP_US ? us : GIVE_UP_US;
}

static void leave(struct net_conn *c)
{
	struct sim_network *w = c->host->w;
	bool reset = sim_chance(w->sim, w->faults.reset_ppm);

	if (c->other && !reset) {
		put_packet(c->other, PACKET_BYTES, c->out, c->out_len);
	} else {
		w->counts.resets += reset;
		w->counts.lost_in_reset += reset;
		if (c->other)
			put_packet(c->other, PACKET_END, NULL, 0);
		/* What met a dead machine is sent again only after a while, longer each time, until TCP gives up. */
		if (c->silent && c->last_at_us < w->sim->now_us)
			c->last_at_us = w->sim->now_us + again_us(&w->host[c->far]);
		put_packet(c, PACKET_END, NULL, 0);
	}
	c->out_len = 0;
}

static void over(struct net_conn *c, bool flush)
{
	if (flush && c->out_len > 0)
		leave(c);
	c->out_len = 0;
	if (c->other)
		put_packet(c->other, PACKET_END, NULL, 0);
	end(c, E_CLOSED);
}

static void close_conn(struct net_conn *c)
{
	over(c, true);
}

static void abort_conn(struct net_conn *c)
{
	over(c, false);
}

static uint64_t queued_bytes(struct net_conn *c)
{
	return c->out_len + (c->other ? c->other->coming : 0);
}

static void mute(struct net_conn *c)
{
	c->muted = true;
}

static void unmute(struct net_conn *c)
{
	c->muted = false;
	put_packet(c, PACKET_BYTES, NULL, 0);	/* what waits is looked at again */
}

static const char *peer(struct net_conn *c)
{
	(void)c;
	return "simulated";
}

static uint16_t peer_port(struct net_conn *c)
{
	(void)c;
	return 0;
}

static int dup_fd(struct net_conn *c)
{
	(void)c;
	return -1;
}

static const char *subject(struct net_conn *c)
{
	(void)c;
	return NULL;
}

static void frame_free(struct net *n, uint8_t *frame)
{
	(void)n;
	mem_free(frame);
}

static const struct net_calls net_calls = {
	.adopt = adopt, .connect = connect_to, .send = send_pieces, .dup_fd = dup_fd, .mute = mute, .unmute = unmute,
	.close = close_conn, .abort = abort_conn, .queued_bytes = queued_bytes, .peer = peer, .peer_port = peer_port,
	.subject = subject, .frame_free = frame_free,
};

/* ---- machines ---- */

void sim_network_init(struct sim_network *w, struct sim *s, const struct sim_fs_mem *mem)
{
	*w = (struct sim_network){ .sim = s, .mem = *mem };
	w->faults.delay_us_min = 50;
	w->faults.delay_us_max = 500;
	for (uint32_t i = 0; i < SIM_HOSTS_MAX; i++)
		w->host[i] = (struct sim_host){
			.net = { &net_calls }, .loop = { &loop_calls }, .clock = { mono_us, wall_ms },
			.w = w, .number = i,
		};
}

void sim_host_up(struct sim_host *h)
{
	must(!h->up && !h->conns && !h->timers);
	h->up = true;
	if (h->dark)
		h->dark_us = h->w->sim->now_us - h->dark_since_us;
	h->dark = false;
	h->thaw_us = 0;
	h->nhooks = 0;
}

void sim_host_down(struct sim_host *h, bool silent)
{
	h->up = false;
	h->dark = silent;
	h->dark_since_us = h->w->sim->now_us;
	h->thaw_us = 0;
	while (h->conns) {
		struct net_conn *c = h->conns, *o = c->other;

		if (o) {
			o->silent = silent;
			if (!silent)
				put_packet(o, PACKET_END, NULL, 0);
		}
		free_conn(c);
	}
	while (h->timers)
		timer_drop(h->timers);
	h->nhooks = 0;
}

void sim_host_freeze(struct sim_host *h, uint64_t us)
{
	h->thaw_us = h->w->sim->now_us + us;
}

void sim_host_turn(struct sim_host *h)
{
	bool more = true;

	for (int i = 0; more && i < TURNS_MAX; i++) {
		more = false;
		for (uint32_t k = 0; k < h->nhooks; k++)
			more |= h->hook[k].hook(h->hook[k].ctx) != 0;
	}
	for (struct net_conn *c = h->conns; c; c = c->next)	/* M2 */
		if (c->out_len > 0 && c->state == OPEN)
			leave(c);
}
