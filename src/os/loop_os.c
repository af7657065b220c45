/* loop_os.c - see loop_os.h. */
#include "os/loop_os.h"

#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/mem.h"

#define HOOKS_MAX 16
#define LOAD_WINDOW_NS UINT64_C(200000000)

struct hook {
	int (*run)(void *ctx);
	void *ctx;
};

struct loop_os {
	struct loop loop;		/* first member: the port */
	struct event_base *base;
	struct hook hooks[HOOKS_MAX], flushes[HOOKS_MAX];
	int n_hooks, n_flushes;
	struct bells *bells;
	struct event bell_event;
	void (*on_wake)(void *ctx);
	void *wake_ctx;
	bool stopping;
	int status;
	uint64_t load_wall_ns, load_cpu_ns;
};

struct watch {
	struct event event;
	void (*on_read)(void *ctx, int fd);
	void *ctx;
};

static uint64_t now_ns(clockid_t id)
{
	struct timespec t;

	clock_gettime(id, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void timer_fired(evutil_socket_t fd, short what, void *arg)
{
	struct loop_timer *t = arg;

	(void)fd;
	(void)what;
	t->fire(t);
}

static void timer_set(struct loop *port, struct loop_timer *t, uint64_t us)
{
	struct loop_os *l = (struct loop_os *)port;
	struct timeval tv = { (time_t)(us / 1000000), (suseconds_t)(us % 1000000) };

	if (!t->impl[0]) {
		struct event *e = mem_alloc(sizeof *e);

		must(event_assign(e, l->base, -1, 0, timer_fired, t) == 0);
		t->impl[0] = e;
	}
	must(event_add(t->impl[0], &tv) == 0);
}

static void timer_stop(struct loop *port, struct loop_timer *t)
{
	(void)port;
	if (t->impl[0]) {
		event_del(t->impl[0]);
		mem_free(t->impl[0]);
		t->impl[0] = NULL;
	}
}

static void turn_hook(struct loop *port, int (*run)(void *ctx), void *ctx)
{
	struct loop_os *l = (struct loop_os *)port;

	must(l->n_hooks < HOOKS_MAX);
	l->hooks[l->n_hooks++] = (struct hook){ run, ctx };
}

static void stop(struct loop *port, int status)
{
	struct loop_os *l = (struct loop_os *)port;

	l->stopping = true;
	l->status = status;
	event_base_loopbreak(l->base);
}

static const struct loop_calls calls = {
	.timer_set = timer_set, .timer_stop = timer_stop, .turn_hook = turn_hook, .stop = stop,
};

struct loop_os *loop_os_new(void)
{
	struct loop_os *l = mem_alloc(sizeof *l);
	struct event_config *cfg = event_config_new();

	must(cfg != NULL);
	/* Not EVENT_BASE_FLAG_PRECISE_TIMER: it programs a timer of the kernel in each turn, also where nothing
	 * sleeps, which costs 20 us of a wake on a virtual machine (docs/performance.md). */
	event_config_set_flag(cfg, EVENT_BASE_FLAG_NOLOCK);
	l->loop.calls = &calls;
	l->base = event_base_new_with_config(cfg);
	event_config_free(cfg);
	must(l->base != NULL);
	return l;
}

struct loop *loop_os_port(struct loop_os *l)
{
	return &l->loop;
}

struct event_base *loop_os_base(struct loop_os *l)
{
	return l->base;
}

static void bell_rang(evutil_socket_t fd, short what, void *arg)
{
	uint64_t n;

	(void)what;
	(void)arg;
	if (read(fd, &n, sizeof n) < 0)
		return;
}

void loop_os_bell(struct loop_os *l, struct bells *b, int fd, void (*on_wake)(void *ctx), void *ctx)
{
	l->bells = b;
	l->on_wake = on_wake;
	l->wake_ctx = ctx;
	must(event_assign(&l->bell_event, l->base, fd, EV_READ | EV_PERSIST, bell_rang, l) == 0);
	must(event_add(&l->bell_event, NULL) == 0);
}

void loop_os_flush_hook(struct loop_os *l, int (*run)(void *ctx), void *ctx)
{
	must(l->n_flushes < HOOKS_MAX);
	l->flushes[l->n_flushes++] = (struct hook){ run, ctx };
}

static void watched(evutil_socket_t fd, short what, void *arg)
{
	struct watch *w = arg;

	(void)what;
	w->on_read(w->ctx, fd);
}

static void watch_add(struct loop_os *l, int fd, short what, void (*on)(void *ctx, int fd), void *ctx)
{
	struct watch *w = mem_alloc(sizeof *w);

	w->on_read = on;
	w->ctx = ctx;
	must(event_assign(&w->event, l->base, fd, (short)(what | EV_PERSIST), watched, w) == 0);
	must(event_add(&w->event, NULL) == 0);
}

void loop_os_watch(struct loop_os *l, int fd, void (*on_read)(void *ctx, int fd), void *ctx)
{
	watch_add(l, fd, EV_READ, on_read, ctx);
}

void loop_os_signal(struct loop_os *l, int signo, void (*on_signal)(void *ctx, int signo), void *ctx)
{
	watch_add(l, signo, EV_SIGNAL, on_signal, ctx);
}

/* How busy this process was, for who hands connections over. */
static void note_load(struct loop_os *l)
{
	uint64_t wall = now_ns(CLOCK_MONOTONIC_COARSE);

	if (wall - l->load_wall_ns < LOAD_WINDOW_NS)
		return;
	uint64_t cpu = now_ns(CLOCK_THREAD_CPUTIME_ID);
	uint64_t permille = (cpu - l->load_cpu_ns) * 1000 / (wall - l->load_wall_ns);

	atomic_store_explicit(&bell_load(l->bells, bell_self(l->bells))->busy_permille,
			      (uint32_t)permille, memory_order_relaxed);
	l->load_wall_ns = wall;
	l->load_cpu_ns = cpu;
}

int loop_os_run(struct loop_os *l)
{
	bool more = true;

	while (!l->stopping) {
		bool block = !more && (!l->bells || bell_sleep(l->bells));

		/* ONCE also here: NONBLOCK alone goes on for as long as something is ready, and the turn
		 * never ends. */
		must(event_base_loop(l->base, EVLOOP_ONCE | (block ? 0 : EVLOOP_NONBLOCK)) >= 0);
		if (l->bells) {
			bell_awake(l->bells);
			if (bell_pending(l->bells)) {
				bell_nudge_take(l->bells);
				l->on_wake(l->wake_ctx);
			}
			note_load(l);
		}
		more = false;
		for (int i = 0; i < l->n_hooks; i++)
			more |= l->hooks[i].run(l->hooks[i].ctx) != 0;
		for (int i = 0; i < l->n_flushes; i++)
			more |= l->flushes[i].run(l->flushes[i].ctx) != 0;
		if (l->bells)
			bell_flush(l->bells);
	}
	l->stopping = false;		/* it may be run again */
	return l->status;
}
