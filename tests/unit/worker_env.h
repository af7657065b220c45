/*
 * worker_env.h - a whole worker over a net, loop, clock and disk in memory: what the tests of
 * src/broker's worker run in. Time is virtual; a turn is one call of env_turn().
 */
#ifndef UNIT_WORKER_ENV_H
#define UNIT_WORKER_ENV_H

#include <criterion/criterion.h>
#include <stdio.h>

#include "base/be.h"
#include "base/conf.h"
#include "base/buf.h"
#include "broker/role.h"
#include "broker/worker.h"
#include "fake_image.h"
#include "ipc/bell.h"
#include "memdisk.h"
#include "testbatch.h"

/* ---- net ---- */

struct net_conn {
	struct net_conn *next;
	const struct net_events *ev;
	void *user;
	bool muted, closing, dead;
	struct buf in;			/* frames with length words, not delivered yet */
	size_t in_at;
	struct buf out;			/* everything that was sent */
	char address[256];		/* of connect() */
};

struct we {
	struct net net;			/* first member: the port */
	struct loop loop;
	struct clock clock;
	struct bell_port bell;
	struct memdisk *disk;
	struct testlock lock;
	struct part_limits lim;
	void *mem, *bell_mem;
	struct role_env env;
	struct role_listener listener;
	struct image im;
	struct net_conn *conns, *last_adopted;
	struct loop_timer *timers[8];
	uint64_t due[8];
	int (*hook)(void *ctx);
	void *hook_ctx;
	uint64_t now_us;
	int64_t wall_ms;
	bool stopped, refuse_connect;
	uint64_t live;
};

static struct we *we_of_loop(struct loop *l)
{
	return (struct we *)((char *)l - offsetof(struct we, loop));
}

static struct net_conn *we_conn(struct we *e, const struct net_events *ev, void *user)
{
	struct net_conn *c = mem_alloc(sizeof *c);

	c->ev = ev;
	c->user = user;
	buf_init(&c->in, 64 << 20);
	buf_init(&c->out, 64 << 20);
	c->next = e->conns;
	e->conns = c;
	return c;
}

static int we_adopt(struct net *n, int fd, const struct net_events *ev, void *user, uint32_t max,
		    struct net_conn **ret)
{
	(void)fd, (void)max;
	*ret = ((struct we *)n)->last_adopted = we_conn((struct we *)n, ev, user);
	return OK;
}

static int we_connect(struct net *n, const char *address, const struct net_events *ev, void *user,
		      uint32_t max, struct net_conn **ret)
{
	struct we *e = (struct we *)n;

	(void)max;
	if (e->refuse_connect)
		return E_NOENT;
	*ret = we_conn(e, ev, user);
	snprintf((*ret)->address, sizeof (*ret)->address, "%s", address);
	return OK;
}

static struct we *we_the;		/* send() has no port argument */

static void we_send(struct net_conn *c, const struct net_piece *v, int n)
{
	for (int i = 0; i < n; i++) {
		uint8_t *to = buf_room(&c->out, v[i].len);
		size_t got = 0;

		cr_assert(to != NULL);
		if (v[i].kind == NET_MEM)
			memcpy(to, v[i].mem, v[i].len);
		else
			cr_assert_eq(we_the->disk->port.calls->pread(&we_the->disk->port, v[i].file, to, v[i].len,
								     v[i].off, &got), OK);
		cr_assert(v[i].kind == NET_MEM || got == v[i].len);
		if (v[i].release)
			v[i].release(v[i].release_ctx);
	}
}

static void we_mute(struct net_conn *c) { c->muted = true; }
static bool we_unmuted;
static void we_unmute(struct net_conn *c) { c->muted = false; we_unmuted = true; }
static void we_close(struct net_conn *c) { c->closing = true; }
static uint64_t we_queued(struct net_conn *c) { (void)c; return 0; }
static const char *we_peer(struct net_conn *c) { (void)c; return "127.0.0.1"; }
static void we_frame_free(struct net *n, uint8_t *f) { (void)n; mem_free(f); }

static const struct net_calls we_net_calls = {
	.adopt = we_adopt, .connect = we_connect, .send = we_send, .mute = we_mute, .unmute = we_unmute,
	.close = we_close, .abort = we_close, .queued_bytes = we_queued, .peer = we_peer,
	.frame_free = we_frame_free,
};

/* ---- loop, clock, bell ---- */

static void we_timer_set(struct loop *l, struct loop_timer *t, uint64_t us)
{
	struct we *e = we_of_loop(l);
	int at = -1;

	for (int i = 0; i < 8 && at < 0; i++)
		if (!e->timers[i])
			at = i;
	for (int i = 0; i < 8; i++)
		if (e->timers[i] == t)
			at = i;
	cr_assert(at >= 0);
	e->timers[at] = t;
	e->due[at] = e->now_us + us;
}

static void we_timer_stop(struct loop *l, struct loop_timer *t)
{
	struct we *e = we_of_loop(l);

	for (int i = 0; i < 8; i++)
		if (e->timers[i] == t)
			e->timers[i] = NULL;
}

static void we_turn_hook(struct loop *l, int (*hook)(void *ctx), void *ctx)
{
	we_of_loop(l)->hook = hook;
	we_of_loop(l)->hook_ctx = ctx;
}

static void we_stop(struct loop *l, int status)
{
	(void)status;
	we_of_loop(l)->stopped = true;
}

static const struct loop_calls we_loop_calls = {
	.timer_set = we_timer_set, .timer_stop = we_timer_stop, .turn_hook = we_turn_hook, .stop = we_stop,
};

static uint64_t we_mono(struct clock *c)
{
	return ((struct we *)((char *)c - offsetof(struct we, clock)))->now_us;
}

static int64_t we_wall(struct clock *c)
{
	return ((struct we *)((char *)c - offsetof(struct we, clock)))->wall_ms;
}

static void we_ring(struct bell_port *b, unsigned proc) { (void)b, (void)proc; }

static int we_image_map(struct role_env *env, struct image **ret)
{
	(void)env;
	*ret = &we_the->im;
	return OK;
}

static void we_image_unmap(struct role_env *env, struct image *im) { (void)env, (void)im; }
static void we_ready(struct role_env *env) { (void)env; }

static void we_log(struct role_env *env, int level, const char *msg, const char *detail, const char *hint)
{
	(void)env, (void)level, (void)hint;
	cr_assert_fail("logged: %s: %s", msg, detail ? detail : "");
}

/* ---- disk requests: done in the next turn, and what was asked for is warm then ---- */

static struct disk_calls we_disk_calls;
static struct disk_op *we_ops;

static void we_submit(struct disk *d, struct disk_op *op)
{
	(void)d;
	op->next = we_ops;
	we_ops = op;
}

/* ---- work of the other thread: done in the next turn ---- */

static struct work *we_works;
static uint64_t we_works_done;

static void we_work(struct work_port *p, struct work *w)
{
	(void)p;
	w->next = we_works;
	we_works = w;
}

static struct work_port we_work_port = { we_work };

static bool we_run_ops(struct we *e)
{
	struct disk_op *op = we_ops;

	if (we_works) {
		struct work *w = we_works;

		we_works = w->next;
		w->run(w);
		w->done(w);
		we_works_done++;
		return true;
	}
	if (!op)
		return false;
	we_ops = op->next;
	e->disk->cold = false;
	if (op->what == DISK_READ) {
		size_t got;

		cr_assert_eq(we_disk_calls.pread(&e->disk->port, op->file, op->buf, op->len, op->off, &got), OK);
		op->ret_len = (uint32_t)got;
	}
	op->done(op, OK);
	return true;
}

/* ---- world ---- */

static void we_topic(struct we *e, const char *name, int32_t partitions, enum part_durability durability)
{
	struct fi_topic *t = &e->im.t[e->im.n];
	struct part_key key = { .partition = 0 };

	*t = (struct fi_topic){ .name = name, .partitions = partitions, .conf = fi_conf(), .epoch = 3 };
	t->id.b[0] = (uint8_t)(++e->im.n);
	t->conf.durability = (uint8_t)durability;
	t->conf.segment_bytes = 1 << 20;
	key.topic_id = t->id;
	snprintf(key.topic, sizeof key.topic, "%s", name);
	for (int32_t i = 0; i < partitions; i++) {
		key.partition = i;
		t->leader[i] = 1;
		cr_assert_eq(part_slot_open(e->env.table, &key, &t->slot[i]), OK);
		cr_assert_eq(part_slot_recover(e->env.table, t->slot[i], false), OK);
		cr_assert_eq(part_become_leader(e->env.table, t->slot[i], 3), OK);
	}
}

static struct worker *we_up(struct we *e)
{
	static const struct part_id id = { .boot_id = "b", .node_id = 1, .generation = 1 };
	uint64_t live = mem_live();

	*e = (struct we){ .live = live, .now_us = 1000000, .wall_ms = 1700000000000 };
	we_the = e;
	e->net.calls = &we_net_calls;
	e->loop.calls = &we_loop_calls;
	e->clock = (struct clock){ we_mono, we_wall };
	e->bell.ring = we_ring;
	e->disk = memdisk_new("/d");
	we_disk_calls = *e->disk->port.calls;
	we_disk_calls.submit = we_submit;
	e->disk->port.calls = &we_disk_calls;
	we_ops = NULL;
	we_works = NULL;
	testlock_init(&e->lock);
	e->lim = (struct part_limits){ .parts = 16, .producers = 64 };
	e->mem = mem_alloc(part_table_bytes(&e->lim));
	cr_assert_eq(part_table_format(e->mem, &e->lim, &id, &e->lock.port, NULL, NULL), OK);
	e->bell_mem = mem_alloc(bell_bytes(16));
	bell_format(e->bell_mem, bell_bytes(16), 16);
	e->listener = (struct role_listener){ "PLAINTEXT", "PLAINTEXT", 0 };
	struct conf *conf = conf_open();
	char err[CONF_ERR_BYTES];
	cr_assert_eq(conf_set(conf, STR("max.incremental.fetch.session.cache.slots"), STR("4"), err), OK);
	e->env = (struct role_env){
		.conf = conf, .loop = &e->loop, .net = &e->net, .disk = &e->disk->port, .work = &we_work_port,
		.lock = &e->lock.port, .clock = &e->clock,
		.bells = bell_attach(e->bell_mem, bell_bytes(16), 0, &e->bell), .workers = 1, .groups = 2,
		.node_id = 1, .log_dir = "/d", .run_dir = "/r", .listeners = &e->listener, .n_listeners = 1,
		.image_map = we_image_map, .image_unmap = we_image_unmap, .log = we_log, .ready = we_ready,
	};
	rng_init(&e->env.rng, 7);
	cr_assert_eq(part_table_attach(e->mem, &id, 0, &e->disk->port, &e->lock.port, "/d", NULL, NULL,
				       &e->env.table), OK);
	e->im.port = 9092;
	we_topic(e, "t", 2, PART_REPLICATED);
	we_topic(e, "q", 1, PART_QUORUM);
	cr_assert_eq(worker_start(&e->env), OK);
	return e->env.role;
}

/* Delivers what may be delivered, reports closed connections, fires timers, runs the hook. */
static bool we_step(struct we *e)
{
	bool more = we_run_ops(e);

	for (struct net_conn *c = e->conns, *next; c; c = next) {
		next = c->next;
		while (!c->muted && !c->closing && c->in.len - c->in_at >= 4) {
			uint32_t len = be32_get(c->in.p + c->in_at);
			uint8_t *f = mem_alloc(len);

			memcpy(f, c->in.p + c->in_at + 4, len);
			c->in_at += 4 + len;
			c->ev->on_frame(c->user, c, f, len);
			more = true;
		}
		if (c->closing && !c->dead) {
			c->dead = true;
			c->ev->on_close(c->user, c, E_CLOSED);
			more = true;
		}
	}
	for (int i = 0; i < 8; i++) {
		struct loop_timer *t = e->timers[i];

		if (t && e->due[i] <= e->now_us) {
			e->timers[i] = NULL;
			t->fire(t);
		}
	}
	if (bell_pending(e->env.bells))
		worker_wake(&e->env);
	more |= e->hook(e->hook_ctx) != 0 || we_unmuted;
	we_unmuted = false;
	bell_flush(e->env.bells);
	return more;
}

static inline void env_turn(struct we *e)
{
	for (int i = 0; i < 1000 && we_step(e); i++)
		;
}

static inline void env_sleep(struct we *e, uint64_t ms)
{
	for (uint64_t i = 0; i < ms; i += 10) {
		e->now_us += 10000;
		env_turn(e);
	}
}

static inline struct net_conn *env_client(struct we *e)
{
	worker_adopt(&e->env, 5, 0);
	return e->last_adopted;
}

static inline void env_hang_up(struct we *e, struct net_conn *c)
{
	c->closing = true;
	env_turn(e);
}

static void we_down(struct we *e)
{
	for (struct net_conn *c = e->conns; c; c = c->next)
		c->closing = true;
	e->refuse_connect = true;
	env_turn(e);
	env_sleep(e, 1000);
	worker_free(&e->env);
	while (e->conns) {
		struct net_conn *c = e->conns;

		e->conns = c->next;
		buf_release(&c->in);
		buf_release(&c->out);
		mem_free(c);
	}
	conf_free(e->env.conf);
	part_table_free(e->env.table);
	mem_free(e->env.bells);
	mem_free(e->mem);
	mem_free(e->bell_mem);
	memdisk_free(e->disk);
	cr_assert_eq(mem_live(), e->live, "memory was not given back: %d",
		     (int)(mem_live() - e->live));
}

#endif
