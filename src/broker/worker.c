/* worker.c - start, turn, wake and drain of one worker process. See worker.h. */
#include "broker/worker.h"

#include "base/assert.h"
#include "base/conf.h"
#include "broker/admit.h"
#include "broker/api.h"
#include "broker/append.h"
#include "broker/fetch_session.h"
#include "broker/relay.h"
#include "wire/codec.h"
#include "wire/kafka_api.h"

#define TICK_US 100000			/* heartbeat, retries, image */
#define TRIM_TICKS 10			/* closes replaced files once a second */
#define IDLE_TICKS 100			/* looks for idle connections every ten seconds */
#define DRAIN_US 10000000		/* then what is still open is cut */
#define DECODED_MIN ((size_t)2 << 20)	/* decoded form of one request: at least, and */
#define DECODED_EACH ((size_t)2048)	/* for each topic of the cluster and each replica of this broker */
#define DECODED_MAX ((size_t)64 << 20)

/* ---- the image ------------------------------------------------------------------------------ */

void worker_image(struct worker *w)
{
	struct role_env *env = w->env;
	uint64_t gen = atomic_load_explicit(bell_word(env->bells, BELL_IMAGE_GEN), memory_order_acquire);
	struct image *im;

	if ((w->im && gen == w->im_gen) || (gen != 0 && gen == w->im_unread))
		return;
	int err = env->image_map(env, &im);
	if (err != OK) {
		w->im_unread = gen;
		if (err != E_AGAIN)
			env->log(env, 3, "the cluster image could not be read", err_text(err), NULL);
		return;
	}
	if (w->im)
		env->image_unmap(env, w->im);
	w->im = im;
	w->im_gen = gen;
	/* Nobody honest names more than there is: what a request may unfold to, and so how long the others wait
	 * for it, grows with the cluster. */
	size_t most = DECODED_MIN + DECODED_EACH * ((size_t)part_slots_end(env->table) + image_topics(im));
	w->decoded_max = most < DECODED_MAX ? most : DECODED_MAX;
	/* Leadership may have changed, topics may be gone: everything parked looks again. */
	wait_fire_all(&w->waits);
	if (!w->ready) {
		w->ready = true;
		env->ready(env);
		conn_resume_all(w);
	}
}

/* The storage process says whether the disk keeps up (conn.h, C6). */
static void behind_refresh(struct worker *w)
{
	bool behind = atomic_load_explicit(bell_word(w->env->bells, BELL_BEHIND), memory_order_relaxed) != 0;

	if (behind == w->behind)
		return;
	w->behind = behind;
	if (!behind)
		conn_resume_all(w);
}

/* ---- turns ---------------------------------------------------------------------------------- */

static void beat(struct worker *w)
{
	bell_beat(w->env->bells, worker_now_us(w) / 1000);
}

static int on_turn(void *ctx)
{
	struct worker *w = ctx;

	for (;;) {
		append_run(w);
		if (!w->fetch_ready)
			break;
		fetch_run_ready(w);
	}
	beat(w);
	if (w->draining && w->conns_n == 0)
		w->env->loop->calls->stop(w->env->loop, 0);
	return w->waits.dirty != NULL;
}

static void drain_cut(struct worker *w)
{
	struct net *net = w->env->net;

	for (struct conn *c = w->conns; c; c = c->next)
		net->calls->abort(c->nc);
}

static void on_tick(struct loop_timer *t)
{
	struct worker *w = t->user;

	beat(w);
	w->im_unread = 0;
	worker_image(w);
	behind_refresh(w);
	append_retry(w);
	if (++w->ticks % TRIM_TICKS == 0)
		part_files_trim(w->env->table);
	if (w->ticks % IDLE_TICKS == 0 && w->conf.idle_us > 0 && worker_now_us(w) > w->conf.idle_us)
		conn_close_idle(w, worker_now_us(w) - w->conf.idle_us);
	if (w->draining && worker_now_us(w) >= w->drain_until_us)
		drain_cut(w);
	w->env->loop->calls->timer_set(w->env->loop, t, TICK_US);
}

void worker_wake_mask(struct worker *w, uint64_t mask, uint32_t slot)
{
	uint64_t self = UINT64_C(1) << w->env->proc;

	if (mask & ~self)
		bell_mark_mask(w->env->bells, mask & ~self, slot);
	if (mask & self)
		wait_fire(&w->waits, slot);
}

void worker_wake(struct role_env *env)
{
	struct worker *w = env->role;
	bool all = false;
	uint32_t slot;

	worker_image(w);
	behind_refresh(w);
	while ((slot = bell_take(env->bells, &all)) != UINT32_MAX)
		wait_fire(&w->waits, slot);
	if (all)
		wait_fire_all(&w->waits);
	if (atomic_load_explicit(bell_word(env->bells, BELL_DRAINING), memory_order_relaxed))
		worker_drain(env);
}

/* ---- connections ---------------------------------------------------------------------------- */

void worker_adopt(struct role_env *env, int fd, int listener_idx)
{
	struct worker *w = env->role;

	if (listener_idx < 0 || listener_idx >= env->n_listeners)
		listener_idx = 0;
	conn_adopt(w, fd, listener_idx);
	if (w->draining && w->conns)
		conn_drain(w->conns);
}

void worker_drain(struct role_env *env)
{
	struct worker *w = env->role;

	if (w->draining)
		return;
	w->draining = true;
	w->drain_until_us = worker_now_us(w) + DRAIN_US;
	for (struct conn *c = w->conns, *next; c; c = next) {
		next = c->next;
		if (c->first && c->first->api->key == API_KEY_FETCH && c->first->timer.at != 0)
			wait_timer_set(&w->waits, &c->first->timer, worker_now_us(w));	/* long polls end */
		conn_drain(c);
	}
}

/* ---- start ---------------------------------------------------------------------------------- */

static void conf_load(struct worker *w)
{
	struct conf *c = w->env->conf;
	int64_t idle_ms = conf_int(c, "connections.max.idle.ms");
	int64_t per_ip = conf_int(c, "max.connections.per.ip");

	w->conf = (struct worker_conf){
		.max_frame = (uint32_t)conf_int(c, "socket.request.max.bytes"),
		.fetch_max_bytes = (uint32_t)conf_int(c, "fetch.max.bytes"),
		.fetch_sessions = (uint32_t)conf_int(c, "max.incremental.fetch.session.cache.slots"),
		.producer_age_ms = (uint32_t)conf_int(c, "producer.id.expiration.ms"),
		.offsets_partitions = (int32_t)conf_int(c, "offsets.topic.num.partitions"),
		.idle_us = idle_ms > 0 ? (uint64_t)idle_ms * 1000 : 0,
		.auto_create = conf_bool(c, "auto.create.topics.enable"),
		.describe_max = (int32_t)conf_int(c, "max.request.partition.size.limit"),
		.record_max_bytes = (uint32_t)conf_int(c, "max.decompressed.message.bytes"),
		.max_conns = (uint32_t)conf_int(c, "max.connections"),
		.max_conns_per_ip = per_ip == INT32_MAX ? UINT32_MAX : (uint32_t)per_ip,
	};
}

int worker_start(struct role_env *env)
{
	struct worker *w = mem_alloc(sizeof *w);
	struct loop *loop = env->loop;
	char name[] = "groups-0";

	must(env->table != NULL && env->work != NULL && env->proc < PROC_WORKERS_MAX);
	must(env->groups >= 1 && env->groups <= PROC_GROUPS_MAX);
	w->env = env;
	w->decoded_max = DECODED_MIN;
	env->role = w;
	conf_load(w);
	wait_init(&w->waits, env->table, loop, env->clock);
	w->append_v = mem_alloc(PART_BATCHES_MAX * sizeof *w->append_v);
	w->counters = bell_counters(env->bells, env->proc);
	w->codec = codec_new(&CODEC_LIMITS);
	w->work_codec = codec_new(&CODEC_LIMITS);
	w->sessions = fetch_cache_new(w->conf.fetch_sessions, &env->rng);
	admit_init(w);
	w->agent = relay_new(w, "agent");
	for (int i = 0; i < env->groups; i++) {
		name[sizeof name - 2] = (char)('0' + i);
		w->groups[i] = relay_new(w, name);
	}
	loop->calls->turn_hook(loop, on_turn, w);
	w->tick.fire = on_tick;
	w->tick.user = w;
	loop->calls->timer_set(loop, &w->tick, TICK_US);
	beat(w);
	worker_image(w);
	return OK;
}

void worker_free(struct role_env *env)
{
	struct worker *w = env->role;

	must(w->conns_n == 0);
	env->loop->calls->timer_stop(env->loop, &w->tick);
	for (int i = 0; i < env->groups; i++)
		relay_free(w->groups[i]);
	relay_free(w->agent);
	fetch_cache_free(w->sessions);
	codec_free(w->codec);
	codec_free(w->work_codec);
	if (w->im)
		env->image_unmap(env, w->im);
	wait_release(&w->waits);
	while (w->spare_reqs) {
		struct req *q = w->spare_reqs;

		w->spare_reqs = q->next;
		arena_release(&q->arena);
		mem_free(q);
	}
	reply_spares_free(w);
	mem_free(w->append_v);
	mem_free(w);
	env->role = NULL;
}
