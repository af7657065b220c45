/* sim_lock.c - see sim_lock.h. */
#include "sim/sim_lock.h"

#include <string.h>

#include "base/assert.h"

#define DIED UINT32_C(0x80000000)	/* the owner died; nobody has it */
#define REPAIRING UINT32_C(0x40000000)	/* held by who met DIED and has not said consistent() */
#define LOST UINT32_C(0xffffffff)	/* released without consistent(): for ever */

static uint32_t get(struct lock_word *w)
{
	uint32_t v;

	memcpy(&v, w->opaque, sizeof v);
	return v;
}

static void put(struct lock_word *w, uint32_t v)
{
	memcpy(w->opaque, &v, sizeof v);
}

static void l_init(struct lock_port *p, struct lock_word *w)
{
	(void)p;
	put(w, 0);
}

static enum lock_result l_try(struct lock_port *p, struct lock_word *w, struct lock_held **ret)
{
	struct sim_lock *l = (struct sim_lock *)p;
	uint32_t v = get(w);

	must(l->held == NULL);		/* one at a time */
	if (v == LOST)
		return LOCK_LOST;
	if (v != 0 && v != DIED) {
		l->busy++;
		return LOCK_BUSY;
	}
	l->held = w;
	*ret = (struct lock_held *)l;
	put(w, v == DIED ? l->owner | REPAIRING : l->owner);
	l->died += v == DIED;
	return v == DIED ? LOCK_OWNER_DIED : LOCK_OK;
}

static void l_consistent(struct lock_port *p, struct lock_word *w, struct lock_held *h)
{
	struct sim_lock *l = (struct sim_lock *)p;

	must((void *)h == (void *)l && l->held == w);
	must(get(w) == (l->owner | REPAIRING));
	put(w, l->owner);
}

static void l_release(struct lock_port *p, struct lock_word *w, struct lock_held *h)
{
	struct sim_lock *l = (struct sim_lock *)p;

	must((void *)h == (void *)l && l->held == w);
	put(w, get(w) & REPAIRING ? LOST : 0);
	l->held = NULL;
}

void sim_lock_init(struct sim_lock *l, uint32_t owner)
{
	*l = (struct sim_lock){
		.port = { .init = l_init, .try_lock = l_try, .consistent = l_consistent,
			  .release = l_release },
		.owner = owner,
	};
}

void sim_lock_died(struct sim_lock *l)
{
	if (l->held)
		put(l->held, DIED);
	l->held = NULL;
}
