/* super.c - see super.h. */
#include "broker/super.h"

#include "base/assert.h"
#include "ipc/bell.h"

#define BACKOFF_MAX_MS 1000
#define STABLE_MS 5000
#define TERM_GRACE_MS 20000
#define STORAGE_PATIENCE 8u	/* it waits for disks and serves nobody: so many times hang_ms */

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
	*s = (struct super){ .hang_ms = hang_ms, .rolling = -1 };
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
	case SUPER_SELF:
		return "supervisor";
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

static void term(struct super *s, int child, uint64_t now_ms)
{
	struct super_child *c = &s->child[child];

	if (c->term_at_ms == 0) {
		c->term_at_ms = now_ms;
		fx(s, SUPER_TERM, child);
	} else if (now_ms - c->term_at_ms >= TERM_GRACE_MS && !c->killed) {
		c->killed = true;
		fx(s, SUPER_KILL, child);		/* U3 */
	}
}

static void drain_step(struct super *s, uint64_t now_ms)
{
	for (; s->drain_stage < 3; s->drain_stage++) {
		bool busy = false;

		for (int i = 0; i < s->n; i++)
			if (s->child[i].running && in_stage(&s->child[i], s->drain_stage)) {
				busy = true;
				term(s, i, now_ms);
			}
		if (busy)
			return;
	}
	fx(s, SUPER_EXIT, -1);
}

/* While resetting: true when no child lives any more. */
static bool all_dead(const struct super *s)
{
	for (int i = 0; i < s->n; i++)
		if (s->child[i].running)
			return false;
	return true;
}

static void roll_step(struct super *s, uint64_t now_ms, const struct super_seen *seen)
{
	struct super_child *c = &s->child[s->rolling];

	if (c->running && c->old) {
		term(s, s->rolling, now_ms);
		return;
	}
	if (!c->running || !seen[s->rolling].ready)
		return;
	if (++s->rolling == s->n) {
		s->rolling = -1;
		fx(s, SUPER_ROLLED, -1);
	}
}

static bool stuck(const struct super *s, int child, uint64_t now_ms, uint64_t beat_ms)
{
	const struct super_child *c = &s->child[child];
	uint64_t last = beat_ms > c->started_ms ? beat_ms : c->started_ms;
	uint64_t limit = s->hang_ms * (c->role == SUPER_STORAGE ? STORAGE_PATIENCE : 1);

	if (last < s->awake_ms)
		last = s->awake_ms;
	return now_ms > last && now_ms - last > limit;
}

static void start(struct super *s, int child, uint64_t now_ms)
{
	struct super_child *c = &s->child[child];

	c->running = true;
	c->killed = false;
	c->started_ms = now_ms;
	fx(s, SUPER_SPAWN, child);
}

void super_tick(struct super *s, uint64_t now_ms, const struct super_seen *seen)
{
	s->n_fx = 0;
	/* We did not run either: the machine slept or is overloaded. */
	if (s->tick_ms != 0 && now_ms - s->tick_ms > s->hang_ms / 4)
		s->awake_ms = now_ms;
	s->tick_ms = now_ms;
	if (s->draining) {
		drain_step(s, now_ms);
		return;
	}
	for (int i = 0; i < s->n && !s->resetting; i++) {
		struct super_child *c = &s->child[i];

		if (!c->running && now_ms >= c->start_at_ms) {
			start(s, i, now_ms);
		} else if (c->running && !c->killed && stuck(s, i, now_ms, seen[i].beat_ms)) {
			c->killed = true;
			s->hangs++;
			fx(s, SUPER_KILL, i);
		}
	}
	if (s->rolling >= 0 && !s->resetting)
		roll_step(s, now_ms, seen);
}

static void back_off(struct super_child *c, uint64_t now_ms)
{
	if (now_ms - c->started_ms >= STABLE_MS)
		c->backoff_ms = 0;
	else
		c->backoff_ms = c->backoff_ms == 0 ? 1 : c->backoff_ms * 2;
	if (c->backoff_ms > BACKOFF_MAX_MS)
		c->backoff_ms = BACKOFF_MAX_MS;
	/* Short-lived ones are first replaced at once: a kill is not a crash loop. */
	c->start_at_ms = now_ms + (c->backoff_ms > 8 ? c->backoff_ms : 0);
}

void super_exited(struct super *s, int child, uint64_t now_ms, int status)
{
	struct super_child *c = &s->child[child];
	bool asked = c->term_at_ms != 0;

	s->n_fx = 0;
	must(child >= 0 && child < s->n && c->running);	/* U1 */
	c->running = c->old = false;
	fx(s, SUPER_RING_ALL, child);
	if (!s->draining && (status == SUPER_UNFIT || status == SUPER_DENIED)) {
		s->status = status == SUPER_UNFIT ? SUPER_UNFIT : SUPER_FAILED;
		s->draining = true;
	}
	if (s->draining) {
		drain_step(s, now_ms);
		return;
	}
	if (s->resetting) {
		if (!all_dead(s))
			return;
		s->resetting = false;
		fx(s, SUPER_WIPE, -1);
		for (int i = 0; i < s->n; i++)
			s->child[i].start_at_ms = now_ms;
		return;
	}
	c->term_at_ms = 0;
	if (asked && child == s->rolling) {
		c->start_at_ms = now_ms;
		return;
	}
	s->restarts[c->role]++;				/* U2 */
	back_off(c, now_ms);
}

void super_term(struct super *s, uint64_t now_ms)
{
	s->n_fx = 0;
	s->draining = true;
	drain_step(s, now_ms);
}

void super_reset(struct super *s, uint64_t now_ms)
{
	(void)now_ms;
	s->n_fx = 0;
	if (s->draining || s->resetting)
		return;
	s->resetting = true;
	s->rolling = -1;
	s->resets++;
	for (int i = 0; i < s->n; i++)
		if (s->child[i].running && !s->child[i].killed) {
			s->child[i].killed = true;
			s->child[i].term_at_ms = 0;
			fx(s, SUPER_KILL, i);
		}
}

void super_roll(struct super *s)
{
	s->n_fx = 0;
	if (s->draining || s->resetting || s->rolling >= 0)
		return;
	s->rolling = 0;
	for (int i = 0; i < s->n; i++)
		s->child[i].old = s->child[i].running;
}

void super_adopt(struct super *s, int child, uint64_t now_ms)
{
	s->child[child].running = true;
	s->child[child].started_ms = now_ms;
}
