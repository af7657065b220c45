/* group.c - a group, its members and its states; see group.h. */
#include "group/group.h"

#include "base/assert.h"
#include "base/be.h"
#include "base/mutant.h"

#define FROM(s) (1u << (s))

static const struct {
	const char *name;
	unsigned from;			/* states it may be reached from */
} states[GROUP_STATES] = {
	[GROUP_EMPTY] = { "Empty", FROM(GROUP_PREPARING) },
	[GROUP_PREPARING] = { "PreparingRebalance",
			      FROM(GROUP_EMPTY) | FROM(GROUP_COMPLETING) | FROM(GROUP_STABLE) },
	[GROUP_COMPLETING] = { "CompletingRebalance", FROM(GROUP_PREPARING) },
	[GROUP_STABLE] = { "Stable", FROM(GROUP_COMPLETING) },
	[GROUP_DEAD] = { "Dead", FROM(GROUP_EMPTY) | FROM(GROUP_PREPARING) | FROM(GROUP_COMPLETING) |
			 FROM(GROUP_STABLE) },
};

struct str text_keep(struct str t)
{
	return t.len < 0 ? STR_NULL : (struct str){ mem_strdup(t.p, (size_t)t.len), t.len };
}

void text_drop(struct str *t)
{
	mem_free((void *)(uintptr_t)t->p);
	*t = STR_NULL;
}

/* ---- groups -------------------------------------------------------------------------------- */

struct group *group_find(struct shard *s, struct str id)
{
	struct smap_node *n = smap_find(&s->groups, id);

	return n ? SMAP_OF(n, struct group, by_id) : NULL;
}

struct group *group_new(struct shard *s, struct str id)
{
	struct group *g = mem_alloc(sizeof *g);

	g->s = s;
	g->type = GROUP_CLASSIC;
	g->state = g->previous = GROUP_EMPTY;
	g->state_ms = s->loading ? -1 : s->wall;
	g->id = text_keep(id);
	g->protocol_type = g->protocol = STR_NULL;
	smap_init(&g->members, rng_next(&s->rng));
	smap_init(&g->statics, rng_next(&s->rng));
	smap_init(&g->pending, rng_next(&s->rng));
	smap_init(&g->topics, rng_next(&s->rng));
	smap_add(&s->groups, &g->by_id, g->id);
	return g;
}

void group_free(struct group *g)
{
	struct shard *s = g->s;

	while (g->first)
		member_remove(g, g->first);
	for (struct smap_node *n; (n = smap_each(&g->pending, NULL)) != NULL;)
		pending_remove(g, SMAP_OF(n, struct gpending, by_id));
	offsets_free(g);
	timers_stop(&s->timers, &g->join_timer);
	timers_stop(&s->timers, &g->sync_timer);
	must(!g->votes_n);
	mem_free(g->votes);
	smap_release(&g->members);
	smap_release(&g->statics);
	smap_release(&g->pending);
	smap_release(&g->topics);
	smap_del(&s->groups, &g->by_id);
	text_drop(&g->id);
	text_drop(&g->protocol_type);
	text_drop(&g->protocol);
	mem_free(g);
}

void group_move(struct group *g, enum group_state to)
{
	must(states[to].from & FROM(g->state));
	g->previous = g->state;
	g->state = to;
	g->state_ms = g->s->wall;
}

const char *group_state_name(const struct group *g)
{
	return states[g->state].name;
}

/* ---- protocols ----------------------------------------------------------------------------- */

struct group_proto *protos_copy(const struct group_proto *v, int32_t n)
{
	struct group_proto *c = mem_alloc((size_t)(n > 0 ? n : 1) * sizeof *c);

	for (int32_t i = 0; i < n; i++) {
		int32_t len = v[i].metadata.len > 0 ? v[i].metadata.len : 0;

		c[i].name = text_keep(v[i].name);
		c[i].metadata = (struct bytes){
			(const uint8_t *)mem_strdup((const char *)v[i].metadata.p, (size_t)len), len };
	}
	return c;
}

void protos_free(struct group_proto *v, int32_t n)
{
	for (int32_t i = 0; i < n; i++) {
		text_drop(&v[i].name);
		mem_free((void *)(uintptr_t)v[i].metadata.p);
	}
	mem_free(v);
}

int64_t protos_bytes(const struct group_proto *v, int32_t n)
{
	int64_t bytes = 0;

	for (int32_t i = 0; i < n; i++)
		bytes += v[i].name.len + (v[i].metadata.len > 0 ? v[i].metadata.len : 0);
	return bytes;
}

static int32_t vote_at(const struct group *g, struct str name)
{
	for (int32_t i = 0; i < g->votes_n; i++)
		if (str_eq(g->votes[i].name, name))
			return i;
	return -1;
}

static bool named_before(const struct group_proto *v, int32_t i)
{
	for (int32_t j = 0; j < i; j++)
		if (str_eq(v[j].name, v[i].name))
			return true;
	return false;
}

static void count_protos(struct group *g, const struct group_proto *v, int32_t n, int32_t by)
{
	g->s->port->members_bytes += by * protos_bytes(v, n);
	for (int32_t i = 0; i < n; i++) {
		if (named_before(v, i))
			continue;
		int32_t at = vote_at(g, v[i].name);

		if (at < 0) {
			g->votes = mem_resize(g->votes, (size_t)(g->votes_n + 1) * sizeof *g->votes);
			at = g->votes_n++;
			g->votes[at] = (struct gvote){ text_keep(v[i].name), 0 };
		}
		g->votes[at].members += by;
		must(g->votes[at].members >= 0);
		if (!g->votes[at].members) {
			text_drop(&g->votes[at].name);
			g->votes[at] = g->votes[--g->votes_n];
		}
	}
}

struct group_proto *member_swap_protos(struct group *g, struct gmember *m, struct group_proto *v,
				       int32_t n, int32_t *ret_n)
{
	struct group_proto *old = m->protos;

	*ret_n = m->protos_n;
	count_protos(g, old, m->protos_n, -1);
	m->protos = v;
	m->protos_n = n;
	count_protos(g, v, n, 1);
	return old;
}

void member_set_protos(struct group *g, struct gmember *m, const struct group_proto *v, int32_t n)
{
	int32_t old_n;
	struct group_proto *old = member_swap_protos(g, m, protos_copy(v, n), n, &old_n);

	protos_free(old, old_n);
}

struct bytes member_metadata(const struct gmember *m, struct str protocol)
{
	for (int32_t i = 0; i < m->protos_n; i++)
		if (str_eq(m->protos[i].name, protocol))
			return m->protos[i].metadata;
	return (struct bytes){ (const uint8_t *)"", 0 };
}

bool group_supports(const struct group *g, struct str type, const struct group_proto *v, int32_t n)
{
	if (g->state == GROUP_EMPTY)
		return type.len > 0 && n > 0;
	if (!str_eq(type, g->protocol_type))
		return false;
	for (int32_t i = 0; i < n; i++) {
		int32_t at = vote_at(g, v[i].name);

		if (at >= 0 && (uint32_t)g->votes[at].members == g->members.n)
			return true;
	}
	return false;
}

/* The vote of a member is its first protocol that all support; a tie goes to what the earliest
 * member prefers (trap 67). */
struct str group_vote(const struct group *g)
{
	struct str best = STR_NULL;
	int32_t best_votes = 0;
	int32_t *count = mem_alloc((size_t)(g->votes_n + 1) * sizeof *count);

	for (const struct gmember *m = g->first; m; m = m->next)
		for (int32_t i = 0; i < m->protos_n; i++) {
			int32_t at = vote_at(g, m->protos[i].name);

			if (at >= 0 && (uint32_t)g->votes[at].members == g->members.n) {
				count[at]++;
				break;
			}
		}
	for (const struct gmember *m = g->first; m; m = m->next)
		for (int32_t i = 0; i < m->protos_n; i++) {
			int32_t at = vote_at(g, m->protos[i].name);

			if (at >= 0 && count[at] > best_votes) {
				best_votes = count[at];
				best = g->votes[at].name;
			}
		}
	mem_free(count);
	return best;
}

/* Topics of a ConsumerProtocolSubscription: version int16, array of strings; later fields follow. */
static bool subscription_has(struct bytes m, struct str topic)
{
	if (m.len < 6)
		return true;		/* unreadable: keep its offsets */
	int32_t n = (int32_t)be32_get(m.p + 2), at = 6;

	for (int32_t i = 0; i < n; i++) {
		if (m.len - at < 2)
			return true;
		int32_t len = (int16_t)be16_get(m.p + at);

		at += 2;
		if (len < 0 || len > m.len - at)
			return true;
		if (len == topic.len && memcmp(m.p + at, topic.p, (size_t)len) == 0)
			return true;
		at += len;
	}
	return false;
}

bool group_subscribed(const struct group *g, struct str topic)
{
	if (!str_is(g->protocol_type, "consumer") || !g->members.n)
		return false;
	if (g->protocol.len < 0)
		return true;
	for (const struct gmember *m = g->first; m; m = m->next)
		if (subscription_has(member_metadata(m, g->protocol), topic))
			return true;
	return false;
}

/* ---- members ------------------------------------------------------------------------------- */

struct gmember *member_find(const struct group *g, struct str id)
{
	struct smap_node *n = smap_find(&g->members, id);

	return n ? SMAP_OF(n, struct gmember, by_id) : NULL;
}

struct gmember *member_by_instance(const struct group *g, struct str instance)
{
	struct smap_node *n = smap_find(&g->statics, instance);

	return n ? SMAP_OF(n, struct gmember, by_instance) : NULL;
}

#define MEMBER_BYTES 1024		/* of one member without what it sends: its own, its group's, of tables */

struct gmember *member_add(struct group *g, struct str id, struct str instance, struct str client_id,
			   struct str client_host)
{
	struct gmember *m = mem_alloc(sizeof *m);

	m->g = g;
	m->id = text_keep(id);
	m->instance = text_keep(instance);
	m->client_id = text_keep(client_id.len < 0 ? STR("") : client_id);
	m->client_host = text_keep(client_host.len < 0 ? STR("") : client_host);
	m->protos = protos_copy(NULL, 0);
	m->assignment = (struct bytes){ (const uint8_t *)mem_strdup("", 0), 0 };
	g->s->port->members_bytes += MEMBER_BYTES;
	m->prev = g->last;
	*(g->last ? &g->last->next : &g->first) = m;
	g->last = m;
	smap_add(&g->members, &m->by_id, m->id);
	if (m->instance.len >= 0)
		smap_add(&g->statics, &m->by_instance, m->instance);
	return m;
}

void member_remove(struct group *g, struct gmember *m)
{
	must(!m->join && !m->sync);
	timers_stop(&g->s->timers, &m->session);
	if (m->owes_sync)
		g->owing--;
	count_protos(g, m->protos, m->protos_n, -1);
	g->s->port->members_bytes -= MEMBER_BYTES + m->assignment.len;
	must(g->s->port->members_bytes >= 0);
	smap_del(&g->members, &m->by_id);
	if (m->instance.len >= 0)
		smap_del(&g->statics, &m->by_instance);
	*(m->prev ? &m->prev->next : &g->first) = m->next;
	*(m->next ? &m->next->prev : &g->last) = m->prev;
	if (g->leader == m)
		g->leader = g->first;
	protos_free(m->protos, m->protos_n);
	text_drop(&m->id);
	text_drop(&m->instance);
	text_drop(&m->client_id);
	text_drop(&m->client_host);
	mem_free((void *)(uintptr_t)m->assignment.p);
	mem_free(m);
}

void member_rename(struct group *g, struct gmember *m, struct str id)
{
	smap_del(&g->members, &m->by_id);
	struct str kept = text_keep(id);

	text_drop(&m->id);
	m->id = kept;
	smap_add(&g->members, &m->by_id, m->id);
}

struct gpending *pending_find(const struct group *g, struct str id)
{
	struct smap_node *n = smap_find(&g->pending, id);

	return n ? SMAP_OF(n, struct gpending, by_id) : NULL;
}

void pending_remove(struct group *g, struct gpending *p)
{
	timers_stop(&g->s->timers, &p->timer);
	smap_del(&g->pending, &p->by_id);
	text_drop(&p->id);
	mem_free(p);
}

int32_t group_max_rebalance_ms(const struct group *g)
{
	int32_t max = 0;

	for (const struct gmember *m = g->first; m; m = m->next)
		if (m->rebalance_ms > max)
			max = m->rebalance_ms;
	return max;
}

const char *group_check(const struct group *g)
{
	int32_t joining = 0, owing = 0, n = 0;

	for (const struct gmember *m = g->first; m; m = m->next) {
		n++;
		joining += m->join != NULL;
		owing += m->owes_sync;
		if (m->join && m->sync)
			return "G2 parked twice";
		if (m->join && g->state != GROUP_PREPARING && !(g->s->w.on && g->s->w.member == m))
			return "G2 a join is parked outside of PreparingRebalance";
		if (m->sync && g->state != GROUP_COMPLETING)
			return "G2 a sync is parked outside of CompletingRebalance";
		if (!m->session.pos && !m->join && !m->sync)
			return "no session runs for a member that is not parked";
	}
	if (joining != g->joining || owing != g->owing || (uint32_t)n != g->members.n)
		return "G2 counts";
	if ((g->state == GROUP_EMPTY) != (n == 0) && g->state != GROUP_PREPARING)
		return "Empty has members";
	if (n > 0 && !g->leader)
		return "no leader";
	if (g->state == GROUP_PREPARING && !g->join_timer.pos)
		return "nothing ends PreparingRebalance";
	if (g->state == GROUP_COMPLETING && !g->sync_timer.pos && g->owing)
		return "nothing ends CompletingRebalance";
	return NULL;
}
