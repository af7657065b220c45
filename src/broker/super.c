/* super.c - see super.h. */
#include "broker/super.h"

#include "base/assert.h"
#include "ipc/bell.h"

#define BACKOFF_MAX_MS 1000
#define STABLE_MS 5000
#define TERM_GRACE_MS 20000

static void add(struct super *s, enum super_role role, int idx, unsigned proc)
{
	must(s->n < SUPER_CHILDREN_MAX);
	s->child[s->n++] = (struct super_child){ .role = role, .idx = idx, .proc = proc };
}

static void fx(struct super *s, enum super_fx_kind kind, int child)
{
	must(s->n_fx < SUPER_CHILDREN_MAX + 4);
	s->fx[s->n_fx++] = (struct super_fx){ kind, child };
}

void super_init(struct super *s, int workers, int groups, uint64_t hang_ms)
{
	*s = (struct super){ .hang_ms = hang_ms };
	add(s, SUPER_AGENT, 0, PROC_AGENT);
	add(s, SUPER_STORAGE, 0, PROC_STORAGE);
	for (int i = 0; i < groups; i++)
		add(s, SUPER_GROUPS, i, PROC_GROUPS + (unsigned)i);
	for (int i = 0; i < workers; i++)
		add(s, SUPER_WORKER, i, (unsigned)i);
}

const char *super_role_name(enum super_role r)
{
	switch (r) {
	case SUPER_AGENT:
		return "agent";
	case SUPER_STORAGE:
		return "storage";
	case SUPER_GROUPS:
		return "groups";
	case SUPER_WORKER:
		return "worker";
	case SUPER_ROLES:
		break;
	}
	return "?";
}

/* While draining: who may be told to stop in this stage. */
static bool in_stage(const struct super_child *c, int stage)
{
	bool front = c->role == SUPER_WORKER || c->role == SUPER_GROUPS;

	return stage == 0 ? front : stage == 1 ? c->role == SUPER_STORAGE : c->role == SUPER_AGENT;
}

static void drain_step(struct super *s, uint64_t now_ms)
{
	for (; s->drain_stage < 3; s->drain_stage++) {
		bool busy = false;

		for (int i = 0; i < s->n; i++) {
			struct super_child *c = &s->child[i];

			if (!c->running || !in_stage(c, s->drain_stage))
				continue;
			busy = true;
			if (c->term_at_ms == 0) {
				c->term_at_ms = now_ms;
				fx(s, SUPER_TERM, i);
			} else if (now_ms - c->term_at_ms >= TERM_GRACE_MS && !c->killed) {
				c->killed = true;
				fx(s, SUPER_KILL, i);		/* U3 */
			}
		}
		if (busy)
			return;
	}
	fx(s, SUPER_EXIT, -1);
}

void super_tick(struct super *s, uint64_t now_ms, const uint64_t *beat_ms)
{
	s->n_fx = 0;
	if (s->draining) {
		drain_step(s, now_ms);
		return;
	}
	for (int i = 0; i < s->n; i++) {
		struct super_child *c = &s->child[i];

		if (!c->running && now_ms >= c->start_at_ms) {
			c->running = true;
			c->killed = false;
			c->started_ms = now_ms;
			fx(s, SUPER_SPAWN, i);
		} else if (c->running && !c->killed && beat_ms[i] >= c->started_ms &&
			   now_ms > beat_ms[i] && now_ms - beat_ms[i] > s->hang_ms) {
			c->killed = true;
			fx(s, SUPER_KILL, i);
		}
	}
}

void super_exited(struct super *s, int child, uint64_t now_ms)
{
	struct super_child *c = &s->child[child];

	s->n_fx = 0;
	must(child >= 0 && child < s->n && c->running);	/* U1 */
	c->running = false;
	fx(s, SUPER_RING_ALL, child);
	if (s->draining) {
		drain_step(s, now_ms);
		return;
	}
	s->restarts[c->role]++;				/* U2 */
	if (now_ms - c->started_ms >= STABLE_MS)
		c->backoff_ms = 0;
	else
		c->backoff_ms = c->backoff_ms == 0 ? 1 : c->backoff_ms * 2;
	if (c->backoff_ms > BACKOFF_MAX_MS)
		c->backoff_ms = BACKOFF_MAX_MS;
	/* Short-lived ones are first replaced at once: a kill is not a crash loop. */
	c->start_at_ms = now_ms + (c->backoff_ms > 8 ? c->backoff_ms : 0);
}

void super_term(struct super *s, uint64_t now_ms)
{
	s->n_fx = 0;
	s->draining = true;
	drain_step(s, now_ms);
}
