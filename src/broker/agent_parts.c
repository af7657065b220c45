/* agent_parts.c - replicas hosted by this broker: slots of the table, leadership; see agent.h. */
#include "base/assert.h"
#include "broker/agent.h"

static bool hosted(const struct meta_part *p, int32_t node)
{
	for (int32_t i = 0; i < p->replicas.n; i++)
		if (p->replicas.v[i] == node)
			return true;
	return false;
}

static void open_slot(struct agent *a, const struct meta_topic *t, int32_t idx)
{
	struct meta_part *p = &t->parts[idx];
	struct part_key key = { .topic_id = t->id, .partition = idx };
	uint32_t slot;

	memcpy(key.topic, t->name, strlen(t->name) + 1);
	int rc = part_slot_open(a->env->table, &key, &slot);

	if (rc != OK && rc != E_EXIST) {
		agent_log(a, 3, "no room for a partition in the table", t->name, "See partitions.max.");
		return;
	}
	p->slot = slot;
	if (part_slot_state(a->env->table, slot) == PART_OPENING)
		bell_mark(a->env->bells, PROC_STORAGE, slot);
}

/* false: look again soon. */
static bool settle(struct agent *a, const struct meta_topic *t, int32_t idx)
{
	struct meta_part *p = &t->parts[idx];

	if (p->version < 0 || !hosted(p, a->env->node_id))
		return true;
	if (p->slot == UINT32_MAX)
		open_slot(a, t, idx);
	if (p->slot == UINT32_MAX)
		return true;
	switch (part_slot_state(a->env->table, p->slot)) {
	case PART_OPENING:
		p->led_epoch = -1;
		return false;
	case PART_ONLINE:
		break;
	case PART_FREE:
	case PART_OFFLINE:
	case PART_DELETING:
		return true;
	}
	if (p->leader != a->env->node_id || p->led_epoch == p->leader_epoch)
		return true;
	int rc = part_become_leader(a->env->table, p->slot, p->leader_epoch);

	if (rc == OK || rc == E_FENCED)
		p->led_epoch = p->leader_epoch;
	return rc != E_AGAIN && rc != E_NOENT;
}

void agent_parts(struct agent *a)
{
	uint32_t pending = 0;

	for (uint32_t i = 0; i < a->m->topics_n; i++) {
		const struct meta_topic *t = a->m->topics[i];

		if (t->version < 0)
			continue;
		for (int32_t p = 0; p < t->parts_n; p++)
			pending += !settle(a, t, p);
	}
	if (pending > 0 && a->pending == 0)
		a->pending_since_us = agent_now_us(a);
	a->pending = pending;
}

void agent_parts_gone(struct agent *a)
{
	struct part_table *table = a->env->table;

	for (uint32_t slot = 0; slot < part_slots_end(table); slot++) {
		enum part_state s = part_slot_state(table, slot);
		struct part_key key;

		if (s == PART_FREE || s == PART_DELETING)
			continue;
		part_slot_key(table, slot, &key);
		const struct meta_topic *t = meta_topic(a->m, str_of(key.topic));

		if (t && uuid_eq(&t->id, &key.topic_id) && key.partition < t->parts_n &&
		    hosted(&t->parts[key.partition], a->env->node_id))
			continue;
		part_slot_delete(table, slot);
		bell_mark(a->env->bells, PROC_STORAGE, slot);
	}
}
