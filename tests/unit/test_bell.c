/* test_bell.c - doorbells: dirty sets, nudges, sleeping, and no wake-up lost between two threads. */
#include <criterion/criterion.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#include "base/mem.h"
#include "ipc/bell.h"

#define SLOTS 10000u

struct rig {
	struct bell_port port;		/* first member */
	_Atomic unsigned rung[PROC_N];
};

static void ring(struct bell_port *b, unsigned proc)
{
	atomic_fetch_add(&((struct rig *)b)->rung[proc], 1);
}

static struct rig rig = { .port = { ring } };

static void *pages(void)
{
	void *mem = aligned_alloc(4096, (bell_bytes(SLOTS) + 4095) & ~(size_t)4095);

	memset(mem, 0, bell_bytes(SLOTS));
	bell_format(mem, bell_bytes(SLOTS), SLOTS);
	return mem;
}

Test(bell, marks_are_taken_once_and_ring_who_sleeps)
{
	void *mem = pages();
	struct bells *a = bell_attach(mem, bell_bytes(SLOTS), 0, &rig.port);
	struct bells *b = bell_attach(mem, bell_bytes(SLOTS), PROC_STORAGE, &rig.port);
	bool all = false;

	bell_mark(a, PROC_STORAGE, 7);
	bell_mark(a, PROC_STORAGE, SLOTS - 1);
	bell_flush(a);
	cr_assert_eq(rig.rung[PROC_STORAGE], 0u);	/* awake: not rung */
	cr_assert_not(bell_sleep(b));			/* there is work */
	cr_assert_eq(bell_take(b, &all), 7u);
	cr_assert_eq(bell_take(b, &all), SLOTS - 1);
	cr_assert_eq(bell_take(b, &all), UINT32_MAX);
	cr_assert_not(all);
	cr_assert(bell_sleep(b));
	bell_mark_mask(a, UINT64_C(1) << PROC_STORAGE | 1, 3);
	bell_flush(a);
	bell_mark(a, PROC_STORAGE, 4);
	bell_flush(a);
	cr_assert_eq(rig.rung[PROC_STORAGE], 1u);	/* B2 */
	cr_assert_eq(rig.rung[0], 0u);			/* never oneself */
	cr_assert_eq(bell_take(a, &all), 3u);
	bell_awake(b);
	cr_assert_eq(bell_take(b, &all), 3u);
	cr_assert_eq(bell_take(b, &all), 4u);
	mem_free(a);
	mem_free(b);
	free(mem);
}

Test(bell, nudge_and_all)
{
	void *mem = pages();
	struct bells *a = bell_attach(mem, bell_bytes(SLOTS), PROC_SUPERVISOR, &rig.port);
	struct bells *b = bell_attach(mem, bell_bytes(SLOTS), 5, &rig.port);
	bool all = false;

	cr_assert(bell_sleep(b));
	bell_nudge(a, 5);
	bell_flush(a);
	cr_assert_eq(rig.rung[5], 1u);
	bell_awake(b);
	cr_assert(bell_pending(b));	/* waking up does not lose it */
	bell_nudge_take(b);
	cr_assert_not(bell_pending(b));
	bell_mark_all(a, 5);
	bell_flush(a);
	cr_assert_not(bell_sleep(b));
	cr_assert_eq(bell_take(b, &all), UINT32_MAX);
	cr_assert(all);
	cr_assert(bell_sleep(b));
	mem_free(a);
	mem_free(b);
	free(mem);
}

Test(bell, beats_counters_and_words_are_shared)
{
	void *mem = pages();
	struct bells *a = bell_attach(mem, bell_bytes(SLOTS), 1, &rig.port);
	struct bells *b = bell_attach(mem, bell_bytes(SLOTS), 2, &rig.port);

	bell_beat(a, 4711);
	cr_assert_eq(bell_last_beat(b, 1), 4711u);
	cr_assert_eq(bell_last_beat(b, 2), 0u);
	atomic_fetch_add(&bell_counters(a, 1)[BELL_COUNTERS - 1], 5);
	cr_assert_eq(bell_counters(b, 1)[BELL_COUNTERS - 1], 5u);
	cr_assert_eq(bell_counters(b, 2)[0], 0u);
	atomic_store(bell_word(a, BELL_IMAGE_GEN), 9);
	cr_assert_eq(*bell_word(b, BELL_IMAGE_GEN), 9u);
	mem_free(a);
	mem_free(b);
	free(mem);
}

#define ROUNDS 50000u

static void *committer(void *mem)
{
	struct bells *b = bell_attach(mem, bell_bytes(SLOTS), 9, &rig.port);

	for (uint32_t i = 0; i < ROUNDS; i++) {
		bell_mark(b, 8, i * 7919u % SLOTS);
		bell_flush(b);
		if (i % 64 == 0)
			sched_yield();
	}
	bell_mark(b, 8, SLOTS - 1);
	bell_nudge(b, 8);
	bell_flush(b);
	mem_free(b);
	return NULL;
}

/* The sleeper trusts the doorbell alone: a lost wake-up shows as a sleep without end. */
Test(bell, no_wake_up_is_lost, .timeout = 30)
{
	void *mem = pages();
	struct bells *b = bell_attach(mem, bell_bytes(SLOTS), 8, &rig.port);
	bool all = false, done = false;
	unsigned seen = 0;
	pthread_t t;

	cr_assert_eq(pthread_create(&t, NULL, committer, mem), 0);
	while (!done) {
		if (bell_sleep(b)) {
			time_t until = time(NULL) + 10;

			while (atomic_load(&rig.rung[8]) == seen && time(NULL) < until)
				sched_yield();
			cr_assert_neq(atomic_load(&rig.rung[8]), seen, "a wake-up was lost");
			seen++;
		}
		bell_awake(b);
		if (bell_pending(b)) {
			bell_nudge_take(b);
			for (uint32_t slot; (slot = bell_take(b, &all)) != UINT32_MAX;)
				done |= slot == SLOTS - 1;
		}
	}
	pthread_join(t, NULL);
	mem_free(b);
	free(mem);
}
