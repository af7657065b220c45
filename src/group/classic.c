/*
 * classic.c - the classic group protocol: JoinGroup, SyncGroup, Heartbeat, LeaveGroup and their
 * timers (traps 64-71). Numbers in comments are those of the list of Kafka's semantics in docs/.
 */
#include "base/assert.h"
#include "base/mutant.h"
#include "group/group.h"

static void prepare(struct group *g);
static void complete_join(struct group *g);

/* ---- answers ------------------------------------------------------------------------------- */

static void answer_join(struct shard *s, struct group_call *c, const struct join_answer *a)
{
	s->port->reply(s->port, c, a);
}

static void refuse_join(struct shard *s, struct group_call *c, int16_t error, struct str member)
{
	answer_join(s, c, &(struct join_answer){
		.error = error, .generation = -1, .protocol_type = STR_NULL, .protocol = STR_NULL,
		.leader = STR(""), .member = member.len < 0 ? STR("") : member });
}

static void refuse_sync(struct shard *s, struct group_call *c, int16_t error)
{
	s->port->reply(s->port, c, &(struct sync_answer){
		.error = error, .protocol_type = STR_NULL, .protocol = STR_NULL,
		.assignment = { (const uint8_t *)"", 0 } });
}

static void end_join(struct gmember *m, int16_t error)
{
	struct group_call *c = m->join;

	if (!c)
		return;
	m->join = NULL;
	m->g->joining--;
	refuse_join(m->g->s, c, error, error == GE_UNKNOWN_MEMBER ? STR("") : m->id);
}

static void end_sync(struct gmember *m, int16_t error)
{
	struct group_call *c = m->sync;

	if (!c)
		return;
	m->sync = NULL;
	refuse_sync(m->g->s, c, error);
}

/* The state of the current generation, for one member. with_members: it is to assign (trap 67). */
static void give_join(struct group *g, struct gmember *m, struct group_call *c, bool with_members,
		      bool skip, struct str leader)
{
	struct join_answer a = {
		.generation = g->generation, .protocol_type = g->protocol_type,
		.protocol = g->protocol, .leader = leader, .member = m->id, .skip_assignment = skip,
	};

	if (with_members) {
		struct join_member *v = arena_array(c->arena, g->members.n, sizeof *v);

		if (!v) {
			refuse_join(g->s, c, GE_UNKNOWN, m->id);
			return;
		}
		for (const struct gmember *k = g->first; k; k = k->next)
			v[a.n++] = (struct join_member){ k->id, k->instance, member_metadata(k, g->protocol) };
		a.v = v;
	}
	answer_join(g->s, c, &a);
}

static struct str leader_id(const struct group *g)
{
	return g->leader ? g->leader->id : STR("");
}

/* ---- sessions ------------------------------------------------------------------------------ */

static void session_fire(struct gtimer *t);

static void session_restart(struct gmember *m, int64_t ms)
{
	m->session.fire = session_fire;
	timers_set(&m->g->s->timers, &m->session, m->g->s->mono + ms);
}

static bool all_joined(const struct group *g)
{
	return (uint32_t)g->joining == g->members.n && !g->pending.n;
}

/* Ends the join phase when everybody came; an initial delay runs its full time (trap 66). */
static void maybe_complete(struct group *g)
{
	if (g->state == GROUP_PREPARING && all_joined(g) && !g->initial)
		complete_join(g);
}

static void rebalance(struct group *g)
{
	if (g->state == GROUP_PREPARING)
		maybe_complete(g);
	else
		prepare(g);
}

/* The member is out: its calls are answered, it is forgotten. The group is not yet moved. */
static void drop_member(struct gmember *m)
{
	end_join(m, GE_UNKNOWN_MEMBER);
	end_sync(m, GE_UNKNOWN_MEMBER);
	member_remove(m->g, m);
}

static void session_fire(struct gtimer *t)
{
	struct gmember *m = SMAP_OF(t, struct gmember, session);
	struct group *g = m->g;

	/* Parked calls are a sign of life; a newcomer's first join is not (trap 69). */
	if (!m->is_new && (m->join || m->sync)) {
		if (mutant(EXPIRE_PARKED))
			goto out;
		return;
	}
out:
	drop_member(m);
	rebalance(g);
}

static void pending_fire(struct gtimer *t)
{
	struct gpending *p = SMAP_OF(t, struct gpending, timer);
	struct group *g = p->g;

	pending_remove(g, p);
	maybe_complete(g);
}

/* ---- the rebalance ------------------------------------------------------------------------- */

static void join_fire(struct gtimer *t)
{
	struct group *g = SMAP_OF(t, struct group, join_timer);

	if (g->initial && g->newcomer && g->remaining_ms > 0) {
		/* Somebody came: wait once more (trap 66). */
		int64_t delay = g->s->conf->initial_delay_ms;

		if (delay > g->remaining_ms)
			delay = g->remaining_ms;
		g->newcomer = false;
		g->remaining_ms -= g->delay_ms < g->remaining_ms ? g->delay_ms : g->remaining_ms;
		g->delay_ms = delay;
		timers_set(&g->s->timers, &g->join_timer, g->s->mono + delay);
		return;
	}
	complete_join(g);
}

/* Syncs that wait are sent away, the members must join again. */
static void fail_syncs(struct group *g, int16_t error)
{
	for (struct gmember *m = g->first; m; m = m->next)
		if (m->sync) {
			end_sync(m, error);
			session_restart(m, m->session_ms);
		}
}

static void owe_nothing(struct group *g)
{
	for (struct gmember *m = g->first; m; m = m->next)
		m->owes_sync = false;
	g->owing = 0;
}

static void prepare(struct group *g)
{
	struct shard *s = g->s;
	bool first = g->state == GROUP_EMPTY;

	if (g->state == GROUP_COMPLETING)
		fail_syncs(g, GE_REBALANCING);
	timers_stop(&s->timers, &g->sync_timer);
	owe_nothing(g);
	group_move(g, GROUP_PREPARING);
	g->join_timer.fire = join_fire;
	g->initial = first;
	if (first) {
		int64_t left = group_max_rebalance_ms(g) - (int64_t)s->conf->initial_delay_ms;

		g->newcomer = false;
		g->delay_ms = s->conf->initial_delay_ms;
		g->remaining_ms = left > 0 ? left : 0;
		timers_set(&s->timers, &g->join_timer, s->mono + g->delay_ms);
		return;
	}
	timers_set(&s->timers, &g->join_timer, s->mono + group_max_rebalance_ms(g));
	maybe_complete(g);
}

static void sync_fire(struct gtimer *t)
{
	struct group *g = SMAP_OF(t, struct group, sync_timer);

	if (!g->owing)
		return;
	/* Who never synced is out (trap 68). */
	for (struct gmember *m = g->first, *next; m; m = next) {
		next = m->next;
		if (m->owes_sync)
			drop_member(m);
	}
	prepare(g);
}

static bool elect(struct group *g)
{
	if (g->leader && g->leader->join)
		return true;
	for (struct gmember *m = g->first; m; m = m->next)
		if (m->join) {
			g->leader = m;
			return true;
		}
	return false;
}

static void empty_group(struct group *g)
{
	struct shard *s = g->s;

	text_drop(&g->protocol);
	g->generation++;
	g->leader = NULL;
	group_move(g, GROUP_EMPTY);
	write_group(s, g, STR_NULL, STR_NULL, NULL, STR_NULL, NULL, NULL);
}

static void complete_join(struct group *g)
{
	struct shard *s = g->s;

	g->initial = false;
	for (struct gmember *m = g->first, *next; m; m = next) {
		next = m->next;
		if (!m->join && m->instance.len < 0)
			member_remove(g, m);
	}
	if (g->members.n && !elect(g)) {
		/* Static members only, and none came: wait again (trap 66). */
		timers_set(&s->timers, &g->join_timer, s->mono + group_max_rebalance_ms(g));
		return;
	}
	timers_stop(&s->timers, &g->join_timer);
	if (!g->members.n) {
		empty_group(g);
		return;
	}
	struct str protocol = text_keep(group_vote(g));

	text_drop(&g->protocol);
	g->protocol = protocol;
	if (!mutant(SAME_GENERATION))
		g->generation++;
	group_move(g, GROUP_COMPLETING);
	for (struct gmember *m = g->first; m; m = m->next) {
		struct group_call *c = m->join;

		if (c) {
			m->join = NULL;
			g->joining--;
			give_join(g, m, c, m == g->leader, false, leader_id(g));
		}
		m->is_new = false;
		m->owes_sync = true;
		g->owing++;
		session_restart(m, m->session_ms);
	}
	g->sync_timer.fire = sync_fire;
	timers_set(&s->timers, &g->sync_timer, s->mono + group_max_rebalance_ms(g));
}

/* ---- JoinGroup ----------------------------------------------------------------------------- */

static int16_t known(const struct group *g, struct str member, struct str instance)
{
	if (instance.len >= 0) {
		const struct gmember *m = member_by_instance(g, instance);

		if (!m)
			return GE_UNKNOWN_MEMBER;
		if (!str_eq(m->id, member))
			return GE_FENCED_INSTANCE;
	}
	return member_find(g, member) ? GE_NONE : GE_UNKNOWN_MEMBER;
}

static struct str new_member_id(struct shard *s, struct group_call *c, struct str instance)
{
	struct str prefix = instance.len >= 0 ? instance : c->client_id;
	int32_t n = prefix.len > 0 ? prefix.len : 0;
	char *p = mem_alloc((size_t)n + 38);
	uint8_t u[16];

	for (int i = 0; i < 2; i++) {
		uint64_t r = rng_next(&s->rng);

		memcpy(u + 8 * i, &r, 8);
	}
	u[6] = (uint8_t)((u[6] & 0x0f) | 0x40);		/* a random uuid, as Java's */
	u[8] = (uint8_t)((u[8] & 0x3f) | 0x80);
	if (n)
		memcpy(p, prefix.p, (size_t)n);
	int32_t at = n;

	p[at++] = '-';
	for (int i = 0; i < 16; i++) {
		if (i == 4 || i == 6 || i == 8 || i == 10)
			p[at++] = '-';
		p[at++] = "0123456789abcdef"[u[i] >> 4];
		p[at++] = "0123456789abcdef"[u[i] & 15];
	}
	return (struct str){ p, at };
}

static void park_join(struct gmember *m, struct group_call *c)
{
	struct group_call *old = m->join;

	m->join = c;
	if (old)		/* the client came again on another connection */
		refuse_join(m->g->s, old, GE_REBALANCING, m->id);
	else
		m->g->joining++;
}

static void set_timeouts(struct gmember *m, const struct join_op *op)
{
	m->session_ms = op->session_ms;
	m->rebalance_ms = op->rebalance_ms;
}

static void add_member(struct group *g, struct group_call *c, const struct join_op *op, struct str id)
{
	struct gpending *p = pending_find(g, id);

	if (!g->members.n) {
		text_drop(&g->protocol_type);
		g->protocol_type = text_keep(op->protocol_type);
	}
	struct gmember *m = member_add(g, id, op->instance, c->client_id, c->client_host);

	set_timeouts(m, op);
	member_set_protos(g, m, op->protos, op->protos_n);
	m->is_new = true;
	if (!g->leader)
		g->leader = m;
	if (g->state == GROUP_PREPARING && g->initial)
		g->newcomer = true;
	if (p)
		pending_remove(g, p);
	park_join(m, c);
	session_restart(m, g->s->conf->new_member_ms);
	rebalance(g);
}

static void update_member(struct group *g, struct gmember *m, struct group_call *c,
			  const struct join_op *op)
{
	member_set_protos(g, m, op->protos, op->protos_n);
	set_timeouts(m, op);
	park_join(m, c);
	rebalance(g);
}

/* A static member came back without its id: the old id is fenced from now on (trap 70). */
static void static_again(struct group *g, struct gmember *m, struct group_call *c,
			 const struct join_op *op, struct str id)
{
	struct shard *s = g->s;

	if (g->state == GROUP_STABLE) {
		struct shard_write *w = &s->w;

		w->old_session_ms = m->session_ms;
		w->old_rebalance_ms = m->rebalance_ms;
		w->old_protos = member_swap_protos(g, m, protos_copy(op->protos, op->protos_n),
						   op->protos_n, &w->old_protos_n);
		set_timeouts(m, op);
		if (str_eq(group_vote(g), g->protocol)) {
			write_group(s, g, g->protocol, g->leader == m ? id : leader_id(g), m, id, NULL, NULL);
			w->then = THEN_STATIC;
			w->g = g;
			w->member = m;
			w->old_id = text_keep(m->id);
			park_join(m, c);
			return;
		}
		protos_free(w->old_protos, w->old_protos_n);
		w->old_protos = NULL;
	} else {
		member_set_protos(g, m, op->protos, op->protos_n);
		set_timeouts(m, op);
	}
	end_join(m, GE_FENCED_INSTANCE);
	end_sync(m, GE_FENCED_INSTANCE);
	member_rename(g, m, id);
	park_join(m, c);
	session_restart(m, m->session_ms);
	rebalance(g);
}

/* The outcome of the write of static_again(); replay has renamed the member if it went well. */
void classic_static_done(struct shard *s, int16_t error)
{
	struct shard_write *w = &s->w;
	struct gmember *m = w->member;
	struct group *g = w->g;
	struct group_call *c = m->join;
	int32_t n;

	w->member = NULL;
	m->join = NULL;
	g->joining--;
	if (error) {
		struct group_proto *v = member_swap_protos(g, m, w->old_protos, w->old_protos_n, &n);

		protos_free(v, n);
		m->session_ms = w->old_session_ms;
		m->rebalance_ms = w->old_rebalance_ms;
		refuse_join(s, c, error, STR(""));
	} else {
		bool leads = g->leader == m, skip = c->version >= 9;

		protos_free(w->old_protos, w->old_protos_n);
		session_restart(m, m->session_ms);
		/* Before v9 a leader is told of the old one, lest it assigns again. */
		give_join(g, m, c, leads && skip, leads && skip,
			  leads && !skip ? w->old_id : leader_id(g));
	}
	w->old_protos = NULL;
	text_drop(&w->old_id);
}

static void join_new(struct group *g, struct group_call *c, const struct join_op *op)
{
	struct shard *s = g->s;
	struct str id = new_member_id(s, c, op->instance);
	struct gmember *m = op->instance.len >= 0 ? member_by_instance(g, op->instance) : NULL;

	if (m) {
		static_again(g, m, c, op, id);
	} else if (op->instance.len < 0 && c->version >= 4) {
		struct gpending *p = mem_alloc(sizeof *p);

		p->g = g;
		p->id = text_keep(id);
		p->timer.fire = pending_fire;
		smap_add(&g->pending, &p->by_id, p->id);
		timers_set(&s->timers, &p->timer, s->mono + op->session_ms);
		refuse_join(s, c, GE_MEMBER_ID_REQUIRED, id);
	} else {
		add_member(g, c, op, id);
	}
	text_drop(&id);
}

static bool same_protos(const struct gmember *m, const struct join_op *op)
{
	if (m->protos_n != op->protos_n)
		return false;
	for (int32_t i = 0; i < m->protos_n; i++) {
		struct bytes a = m->protos[i].metadata, b = op->protos[i].metadata;
		int32_t b_len = b.len > 0 ? b.len : 0;

		if (!str_eq(m->protos[i].name, op->protos[i].name) || a.len != b_len ||
		    (a.len > 0 && memcmp(a.p, b.p, (size_t)a.len) != 0))
			return false;
	}
	return true;
}

static void join_again(struct group *g, struct group_call *c, const struct join_op *op)
{
	struct shard *s = g->s;
	int16_t e = known(g, op->member, op->instance);

	if (e) {
		refuse_join(s, c, e, op->member);
		return;
	}
	struct gmember *m = member_find(g, op->member);
	bool same = same_protos(m, op), leads = g->leader == m;

	switch (g->state) {
	case GROUP_PREPARING:
		update_member(g, m, c, op);
		return;
	case GROUP_COMPLETING:
		/* Its answer may have been lost (trap 67). */
		if (same)
			give_join(g, m, c, leads, false, leader_id(g));
		else
			update_member(g, m, c, op);
		return;
	case GROUP_STABLE:
		if (same && !leads)
			give_join(g, m, c, false, false, leader_id(g));
		else
			update_member(g, m, c, op);
		return;
	case GROUP_EMPTY:
	case GROUP_DEAD:
	case GROUP_STATES:
		break;
	}
	refuse_join(s, c, GE_UNKNOWN_MEMBER, op->member);
}

/* Is there room? Members that are there already may stay when the limit was lowered. */
static bool room(const struct group *g, struct str member)
{
	const struct gmember *m = member_find(g, member);
	int32_t max = g->s->conf->max_size;

	switch (g->state) {
	case GROUP_PREPARING:
		return (m && m->join) || g->joining < max;
	case GROUP_COMPLETING:
	case GROUP_STABLE:
		return m || g->members.n < (uint32_t)max;
	case GROUP_EMPTY:
	case GROUP_DEAD:
	case GROUP_STATES:
		break;
	}
	return true;
}

/* What is held of members is bounded over all groups: who would take more comes again, as when a coordinator moves. */
static bool crowded(struct shard *s, struct group *g, const struct join_op *op)
{
	const struct gmember *m = g && op->member.len > 0 ? member_find(g, op->member) : NULL;
	int64_t more = protos_bytes(op->protos, op->protos_n) - (m ? protos_bytes(m->protos, m->protos_n) : 0);

	if ((m && more <= 0) || s->port->members_bytes + more <= s->conf->members_bytes_max)
		return false;
	s->port->crowded++;
	return true;
}

void shard_join(struct shard *s, struct group_call *c, const struct join_op *op)
{
	must(!s->w.on);
	bool unknown = op->member.len <= 0;

	if (op->group.len <= 0 || op->group.len > INT16_MAX) {
		refuse_join(s, c, GE_INVALID_GROUP_ID, op->member);
		return;
	}
	if (op->session_ms < s->conf->min_session_ms || op->session_ms > s->conf->max_session_ms) {
		refuse_join(s, c, GE_INVALID_SESSION_TIMEOUT, op->member);
		return;
	}
	struct group *g = group_find(s, op->group);

	if (!g && !unknown) {
		refuse_join(s, c, GE_UNKNOWN_MEMBER, op->member);
		return;
	}
	if (g ? !group_supports(g, op->protocol_type, op->protos, op->protos_n)
	      : op->protocol_type.len <= 0 || op->protos_n <= 0) {
		refuse_join(s, c, GE_INCONSISTENT_PROTOCOL, op->member);
		return;
	}
	if (crowded(s, g, op)) {
		refuse_join(s, c, GE_NOT_AVAILABLE, op->member);
		return;
	}
	if (!g)
		g = group_new(s, op->group);
	if (!room(g, op->member)) {
		struct gmember *m = unknown ? NULL : member_find(g, op->member);
		struct gpending *p = unknown ? NULL : pending_find(g, op->member);

		if (m)
			drop_member(m);
		if (p)
			pending_remove(g, p);
		refuse_join(s, c, GE_GROUP_FULL, STR(""));
		if (m || p)
			maybe_complete(g);
	} else if (unknown) {
		join_new(g, c, op);
	} else if (pending_find(g, op->member)) {
		add_member(g, c, op, op->member);
	} else {
		join_again(g, c, op);
	}
}

/* ---- SyncGroup ----------------------------------------------------------------------------- */

static void give_sync(struct group *g, struct gmember *m, struct group_call *c)
{
	g->s->port->reply(g->s->port, c, &(struct sync_answer){
		.protocol_type = g->protocol_type, .protocol = g->protocol, .assignment = m->assignment });
}

static void paid_sync(struct group *g, struct gmember *m)
{
	if (!m->owes_sync)
		return;
	m->owes_sync = false;
	if (!--g->owing)
		timers_stop(&g->s->timers, &g->sync_timer);
}

static struct bytes assigned(void *ctx, const struct gmember *m)
{
	const struct sync_op *op = ctx;

	for (int32_t i = 0; i < op->n; i++)
		if (str_eq(op->v[i].member, m->id) && op->v[i].assignment.len >= 0)
			return op->v[i].assignment;
	return (struct bytes){ (const uint8_t *)"", 0 };	/* missing: empty (trap 68) */
}

static int16_t sync_allowed(const struct group *g, const struct sync_op *op)
{
	int16_t e = known(g, op->member, op->instance);

	if (e)
		return e;
	if (op->generation != g->generation && !mutant(SYNC_ANY_GENERATION))
		return GE_ILLEGAL_GENERATION;
	if ((op->protocol_type.len >= 0 && !str_eq(op->protocol_type, g->protocol_type)) ||
	    (op->protocol.len >= 0 && !str_eq(op->protocol, g->protocol)))
		return GE_INCONSISTENT_PROTOCOL;
	return g->state == GROUP_PREPARING ? GE_REBALANCING : GE_NONE;
}

void shard_sync(struct shard *s, struct group_call *c, const struct sync_op *op)
{
	must(!s->w.on);
	struct group *g = group_find(s, op->group);
	int16_t e = op->group.len <= 0 ? GE_INVALID_GROUP_ID : g ? sync_allowed(g, op) : GE_UNKNOWN_MEMBER;

	if (e) {
		refuse_sync(s, c, e);
		return;
	}
	struct gmember *m = member_find(g, op->member);

	paid_sync(g, m);
	if (g->state == GROUP_STABLE) {
		give_sync(g, m, c);
		return;
	}
	must(g->state == GROUP_COMPLETING);
	struct group_call *old = m->sync;

	m->sync = c;
	if (old)
		refuse_sync(s, old, GE_REBALANCING);
	if (g->leader != m)
		return;
	write_group(s, g, g->protocol, m->id, NULL, STR_NULL, assigned, (void *)(uintptr_t)op);
	s->w.then = THEN_SYNC;
	s->w.g = g;
	s->w.generation = g->generation;
	if (mutant(SYNC_BEFORE_WRITE)) {
		m->sync = NULL;
		give_sync(g, m, c);
	}
}

/* The leader's assignment is in the log and was replayed, or could not be written (trap 68). */
void classic_synced(struct shard *s, struct group *g, int32_t generation, int16_t error)
{
	must(g->state == GROUP_COMPLETING && g->generation == generation);
	if (error) {
		fail_syncs(g, error);
		prepare(g);
		return;
	}
	group_move(g, GROUP_STABLE);
	for (struct gmember *m = g->first; m; m = m->next) {
		struct group_call *c = m->sync;

		if (!c)
			continue;
		m->sync = NULL;
		session_restart(m, m->session_ms);
		give_sync(g, m, c);
	}
	(void)s;
}

/* ---- Heartbeat ----------------------------------------------------------------------------- */

void shard_heartbeat(struct shard *s, struct group_call *c, const struct heartbeat_op *op)
{
	must(!s->w.on);
	struct group *g = group_find(s, op->group);
	int16_t e = op->group.len <= 0 ? GE_INVALID_GROUP_ID
		: g ? known(g, op->member, op->instance) : GE_UNKNOWN_MEMBER;

	if (!e && op->generation != g->generation)
		e = GE_ILLEGAL_GENERATION;
	if (!e) {
		struct gmember *m = member_find(g, op->member);

		if (!m->is_new)
			session_restart(m, m->session_ms);
		if (g->state == GROUP_PREPARING)
			e = GE_REBALANCING;
	}
	s->port->reply(s->port, c, &e);
}

/* ---- LeaveGroup ---------------------------------------------------------------------------- */

static int16_t leave_one(struct group *g, const struct leave_member *l)
{
	if (l->member.len <= 0) {	/* an administrator names the instance (trap 70) */
		struct gmember *m = l->instance.len >= 0 ? member_by_instance(g, l->instance) : NULL;

		if (!m)
			return GE_UNKNOWN_MEMBER;
		drop_member(m);
		return GE_NONE;
	}
	struct gpending *p = pending_find(g, l->member);

	if (p) {
		pending_remove(g, p);
		return GE_NONE;
	}
	int16_t e = known(g, l->member, l->instance);

	if (!e)
		drop_member(member_find(g, l->member));
	return e;
}

void shard_leave(struct shard *s, struct group_call *c, struct leave_op *op)
{
	must(!s->w.on);
	struct group *g = group_find(s, op->group);
	uint32_t before = g ? g->members.n : 0;
	bool any = false;

	if (op->group.len <= 0) {
		s->port->fail(s->port, c, GE_INVALID_GROUP_ID);
		return;
	}
	for (int32_t i = 0; i < op->n; i++) {
		op->v[i].error = g ? leave_one(g, &op->v[i]) : GE_UNKNOWN_MEMBER;
		any |= op->v[i].error == GE_NONE;
	}
	if (any && g->members.n < before)
		rebalance(g);
	else if (any)
		maybe_complete(g);
	reply_after(s, c, op);
}

/* ---- load and unload ------------------------------------------------------------------------ */

void classic_loaded(struct group *g)
{
	for (struct gmember *m = g->first; m; m = m->next)
		session_restart(m, m->session_ms);
	if (g->members.n > (uint32_t)g->s->conf->max_size)
		prepare(g);
}

void classic_fail_all(struct group *g, int16_t error)
{
	for (struct gmember *m = g->first; m; m = m->next) {
		end_join(m, error);
		end_sync(m, error);
	}
}
