/* append.c - see append.h. */
#include "broker/append.h"

#include "broker/worker.h"

#define WRITE_MAX ((uint64_t)1 << 20)	/* of one write (P1) */

void append_submit(struct worker *w, struct append *a)
{
	struct wait_slot *ws = wait_slot(&w->waits, a->slot);

	a->next = NULL;
	*ws->tail = a;
	ws->tail = &a->next;
	wait_dirty(&w->waits, ws);
}

/* The first appends of the queue that may share one commit. */
static int gather(struct worker *w, struct wait_slot *ws)
{
	const struct append *first = ws->head;
	uint64_t bytes = 0;
	int n = 0;

	for (struct append *a = ws->head; a && n < PART_BATCHES_MAX; a = a->next) {
		bytes += BATCH_HEAD + a->batch.rest_len;
		if (n > 0 && (bytes > WRITE_MAX || a->epoch != first->epoch ||
			      !uuid_eq(&a->topic_id, &first->topic_id)))
			break;
		w->append_v[n++] = a->batch;
	}
	return n;
}

/* Takes the first n appends out of the queue, which may end the entry. */
static struct append *detach(struct worker *w, struct wait_slot *ws, int n)
{
	struct append *first = ws->head, *last = first;

	for (int i = 1; i < n; i++)
		last = last->next;
	ws->head = last->next;
	if (!ws->head)
		ws->tail = &ws->head;
	last->next = NULL;
	wait_slot_settle(&w->waits, ws);
	return first;
}

/* Whoever waits for the slot. Where nobody waits for the sync, the storage process is not woken for it. */
static void wake(struct worker *w, const struct part_conf *conf, uint64_t mask, uint32_t slot)
{
	uint64_t storage = UINT64_C(1) << PROC_STORAGE;

	if (conf->durability == PART_REPLICATED && (mask & storage)) {
		bell_note(w->env->bells, slot);
		mask &= ~storage;
	}
	worker_wake_mask(w, mask, slot);
}

/* Our own answers go before the others are woken (P9). */
static void run_slot(struct worker *w, uint32_t slot)
{
	struct wait_slot *ws;

	while ((ws = wait_slot_find(&w->waits, slot)) && ws->head) {
		const struct append *first = ws->head;
		struct part_appended ret = { 0 };
		struct part_conf conf = first->conf;
		int n = gather(w, ws);
		int err = part_append(w->env->table, slot, &first->topic_id, first->epoch, &conf,
				      w->append_v, n, worker_wall_ms(w), &ret);

		if (err == E_AGAIN) {
			count_add(w, COUNT_APPEND_PARKED, 1);
			wake(w, &conf, ret.wake_mask, slot);
			return;
		}
		struct append *next = detach(w, ws, n);
		for (int i = 0; i < n; i++) {
			struct append *a = next;

			next = a->next;
			a->batch = w->append_v[i];
			a->err = err;
			a->ret = ret;
			a->done(a);
		}
		wake(w, &conf, ret.wake_mask, slot);
	}
}

void append_run(struct worker *w)
{
	struct wait_slot *ws;

	while ((ws = wait_take_dirty(&w->waits))) {
		uint32_t slot = ws->slot;

		wait_slot_settle(&w->waits, ws);
		run_slot(w, slot);
	}
}

void append_retry(struct worker *w)
{
	for (uint32_t i = 0; i < w->waits.hash_cap; i++)
		for (struct wait_slot *ws = w->waits.hash[i]; ws; ws = ws->chain)
			if (ws->head)
				wait_dirty(&w->waits, ws);
}
