/*
 * agent_register.c - this broker and its workers in the quorum: ephemeral nodes of the agent's session.
 *
 *   /brokers/ids/<node.id>              the broker: incarnation, rack, advertised listeners
 *   /brokers/<node.id>/workers/<n>      each worker whose beat is fresh, made anew with each process of it
 */
#include <stdatomic.h>
#include <stdio.h>

#include "base/mem.h"
#include "base/text.h"
#include "broker/agent.h"
#include "wire/mp.h"

static struct str self_path(struct agent *a, const char *before, const char *after, int worker, char *room, size_t n)
{
	struct text t = text_open(room, n);

	text_add(&t, before);
	text_i64(&t, a->env->node_id);
	text_add(&t, after);
	if (worker >= 0)
		text_i64(&t, worker);
	return (struct str){ t.p, (int32_t)t.len };
}

static void on_registered(void *ctx, int err, int64_t zxid, const struct q_op_result *v, uint32_t n);

/* Another session holds our node: of a broker that ended just now, or of one that lives and has the same node.id. As
 * Kafka does (DUPLICATE_BROKER_REGISTRATION), it is left alone, and this broker ends when it does not go away. */
static bool has_rival(struct agent *a, const struct meta_broker *old)
{
	uint64_t patience_us = (uint64_t)conf_int(a->env->conf, "broker.session.timeout.ms") * 2000;
	uint64_t now = agent_now_us(a);
	const char *hint = "Give each broker a node.id of its own, or stop the other one.";
	char line[300] = "";

	if (!old || !old->registered) {
		a->rival = 0;
		return false;
	}
	if (old->ep_n > 0)
		snprintf(line, sizeof line, "node.id=%d registered=%s:%u", (int)a->env->node_id, old->ep[0].host,
			 old->ep[0].port);
	if (a->rival != old->owner) {
		a->rival = old->owner;
		a->rival_us = now;
		agent_log(a, LOG_WARN, "a broker with this node.id is registered; waiting for its session to end",
			  line, NULL);
	} else if (now - a->rival_us > patience_us) {
		agent_fail(a, SUPER_UNFIT, "another broker has this node.id and is alive", line, hint);
	}
	return true;
}

static void register_broker(struct agent *a)
{
	const struct meta_broker *old = meta_broker(a->m, a->env->node_id);
	const char *rack = conf_str(a->env->conf, "broker.rack"), *host = conf_str(a->env->conf, "host.name");
	uint8_t pw[16];
	char path[64];
	struct q_op op;
	struct buf b;

	if (old && old->registered && old->owner != 0 && old->owner == q_session(a->q, pw)) {
		a->registered = true;
		return;
	}
	if (has_rival(a, old))
		return;
	buf_init(&b, 65536);
	mp_put_array(&b, 4);
	mp_put_int(&b, META_FORMAT);
	mp_put_bin(&b, a->incarnation.b, 16);
	mp_put_str(&b, str_of(rack));
	mp_put_array(&b, (uint32_t)a->listeners_n * 4);
	for (int i = 0; i < a->listeners_n; i++) {
		const struct conf_listener *l = &a->listeners[i];

		mp_put_str(&b, l->name);
		mp_put_str(&b, l->adv_host.len > 0 ? l->adv_host : host ? str_of(host) : STR("localhost"));
		mp_put_int(&b, l->adv_port);
		mp_put_str(&b, l->protocol);
	}
	struct str self = self_path(a, "/brokers/ids/", "", -1, path, sizeof path);

	op = (struct q_op){ .kind = Q_CREATE, .flags = Q_EPHEMERAL, .path = self, .value = { b.p, (int32_t)b.len },
			    .version = -1 };
	a->registering = true;
	q_multi(a->q, &op, 1, on_registered, a);
	buf_release(&b);
}

struct worker_ask {
	struct agent *a;
	int worker;
	bool create;
	uint32_t generation;
};

static void on_worker(void *ctx, int err, int64_t zxid, const struct q_op_result *v, uint32_t n)
{
	struct worker_ask *w = ctx;
	uint64_t bit = UINT64_C(1) << w->worker;

	(void)zxid, (void)v, (void)n;
	w->a->workers_asked &= ~bit;
	if (w->create && err == OK) {
		w->a->workers_mine |= bit;
		w->a->worker_gen[w->worker] = w->generation;
	}
	if (!w->create)
		w->a->workers_mine &= ~bit;
	mem_free(w);
}

/* The node of a worker is made anew with each process of it, so that everybody sees a replacement. */
static void register_worker(struct agent *a, int i, bool alive)
{
	uint32_t generation = atomic_load(&bell_life(a->env->bells, (unsigned)i)->generation);
	const struct meta_broker *self = meta_broker(a->m, a->env->node_id);
	uint64_t bit = UINT64_C(1) << i;
	static const uint8_t value[] = { 0x91, META_FORMAT };
	struct q_op op[2];
	char path[64];
	uint32_t n = 0;

	bool mine = (a->workers_mine & bit) != 0;

	if ((a->workers_asked & bit) || (alive == mine && (!alive || a->worker_gen[i] == generation)))
		return;
	struct str at = self_path(a, "/brokers/", "/workers/", i, path, sizeof path);
	struct worker_ask *w = mem_alloc(sizeof *w);

	*w = (struct worker_ask){ a, i, alive, generation };
	if (!alive || (self && (self->workers & bit)))
		op[n++] = (struct q_op){ .kind = Q_DELETE, .path = at, .value = BYTES_NULL, .version = -1 };
	if (alive)
		op[n++] = (struct q_op){ .kind = Q_CREATE, .flags = Q_EPHEMERAL, .path = at,
					 .value = { value, sizeof value }, .version = -1 };
	a->workers_asked |= bit;
	q_multi(a->q, op, n, on_worker, w);
}

static void register_workers(struct agent *a)
{
	uint64_t silent = (uint64_t)conf_int(a->env->conf, "process.hang.timeout.ms") * 3 / 4;
	uint64_t now = agent_now_us(a) / 1000;

	for (int i = 0; i < a->env->workers && i < PROC_WORKERS_MAX; i++) {
		uint64_t beat = bell_last_beat(a->env->bells, (unsigned)i);

		register_worker(a, i, beat > 0 && now < beat + silent);
	}
}

static void on_registered(void *ctx, int err, int64_t zxid, const struct q_op_result *v, uint32_t n)
{
	struct agent *a = ctx;

	(void)zxid, (void)v, (void)n;
	a->registering = false;
	a->registered = err == OK;
	if (a->registered)
		register_workers(a);
}

void agent_register(struct agent *a)
{
	if (a->registered)
		register_workers(a);
	else if (!a->registering)
		register_broker(a);
}
