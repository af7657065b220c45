/* test_super.c - the supervisor's policy as a table of events and what has to follow. */
#include <criterion/criterion.h>
#include <string.h>

#include "broker/super.h"
#include "ipc/bell.h"

#define HANG 10000

static struct super s;
static uint64_t beats[SUPER_CHILDREN_MAX];

static int count(enum super_fx_kind kind)
{
	int n = 0;

	for (int i = 0; i < s.n_fx; i++)
		n += s.fx[i].kind == kind;
	return n;
}

static bool has(enum super_fx_kind kind, int child)
{
	for (int i = 0; i < s.n_fx; i++)
		if (s.fx[i].kind == kind && s.fx[i].child == child)
			return true;
	return false;
}

static void start_all(uint64_t now)
{
	memset(beats, 0, sizeof beats);
	super_init(&s, 2, 1, HANG);
	super_tick(&s, now, beats);
}

Test(super, starts_every_role_once)
{
	start_all(1000);
	cr_assert_eq(s.n, 5);
	cr_assert_eq(count(SUPER_SPAWN), 5);
	super_tick(&s, 1050, beats);
	cr_assert_eq(s.n_fx, 0);
	cr_assert_eq(s.child[0].proc, PROC_AGENT);
	cr_assert_eq(s.child[4].proc, 1u);
}

Test(super, a_death_rings_all_and_is_replaced_at_once)
{
	start_all(1000);
	super_exited(&s, 3, 90000);
	cr_assert(has(SUPER_RING_ALL, 3));
	super_tick(&s, 90000, beats);
	cr_assert(has(SUPER_SPAWN, 3));
	cr_assert_eq(s.restarts[SUPER_WORKER], 1u);
	cr_assert_eq(s.restarts[SUPER_AGENT], 0u);
}

Test(super, a_crash_loop_backs_off_to_a_second_and_recovers)
{
	uint64_t now = 1000, spawns = 0;

	start_all(now);
	for (; now < 11000; now += 10) {		/* dies whenever it runs */
		super_tick(&s, now, beats);
		if (!has(SUPER_SPAWN, 3) && now > 1000)
			continue;
		spawns++;
		super_exited(&s, 3, now);
	}
	cr_assert(spawns > 8 && spawns < 30, "%lu", (unsigned long)spawns);
	while (!s.child[3].running)
		super_tick(&s, now += 10, beats);
	super_exited(&s, 3, now + 60000);		/* lived long: at once again */
	super_tick(&s, now + 60000, beats);
	cr_assert(has(SUPER_SPAWN, 3));
}

Test(super, a_stale_heartbeat_is_killed_once)
{
	start_all(1000);
	for (int i = 0; i < 5; i++)
		beats[i] = 20000;
	beats[3] = 5000;
	super_tick(&s, 5000 + HANG, beats);
	cr_assert_eq(count(SUPER_KILL), 0);
	super_tick(&s, 5001 + HANG, beats);
	cr_assert(has(SUPER_KILL, 3));
	cr_assert_eq(count(SUPER_KILL), 1);
	super_tick(&s, 5100 + HANG, beats);
	cr_assert_eq(count(SUPER_KILL), 0);
	super_exited(&s, 3, 5200 + HANG);
	super_tick(&s, 5200 + HANG, beats);
	cr_assert(has(SUPER_SPAWN, 3));
	super_tick(&s, 5300 + HANG, beats);		/* the old beat does not count for the new one */
	cr_assert_eq(count(SUPER_KILL), 0);
}

/* Workers and groups first, then storage (which writes the clean checkpoint), then the agent. */
Test(super, term_stops_in_stages)
{
	start_all(1000);
	super_term(&s, 2000);
	cr_assert_eq(count(SUPER_TERM), 3);
	cr_assert(has(SUPER_TERM, 2) && has(SUPER_TERM, 3) && has(SUPER_TERM, 4));
	super_exited(&s, 2, 2001);
	super_exited(&s, 3, 2002);
	cr_assert_eq(count(SUPER_TERM), 0);
	super_exited(&s, 4, 2003);
	cr_assert(has(SUPER_TERM, 1));
	super_exited(&s, 1, 2004);
	cr_assert(has(SUPER_TERM, 0));
	super_exited(&s, 0, 2005);
	cr_assert(has(SUPER_EXIT, -1));
	cr_assert_eq(s.restarts[SUPER_WORKER], 0u);
	super_tick(&s, 2100, beats);
	cr_assert_eq(count(SUPER_SPAWN), 0);
}

Test(super, term_escalates_to_kill)
{
	start_all(1000);
	super_term(&s, 2000);
	super_tick(&s, 21999, beats);
	cr_assert_eq(count(SUPER_KILL), 0);
	super_tick(&s, 22000, beats);
	cr_assert_eq(count(SUPER_KILL), 3);
	super_tick(&s, 22100, beats);
	cr_assert_eq(count(SUPER_KILL), 0);
}
