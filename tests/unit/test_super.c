/* test_super.c - the supervisor's policy as a table of events and what has to follow. */
#include <criterion/criterion.h>
#include <string.h>

#include "broker/super.h"
#include "ipc/bell.h"

#define HANG 10000

static struct super s;
static struct super_seen beats[SUPER_CHILDREN_MAX];

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
	super_exited(&s, 3, 90000, -9);
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
		super_exited(&s, 3, now, -9);
	}
	cr_assert(spawns > 8 && spawns < 30, "%lu", (unsigned long)spawns);
	while (!s.child[3].running)
		super_tick(&s, now += 10, beats);
	super_exited(&s, 3, now + 60000, -9);		/* lived long: at once again */
	super_tick(&s, now + 60000, beats);
	cr_assert(has(SUPER_SPAWN, 3));
}

/* Ticks every 50 ms until now, as the supervisor does; counts the kills of a child. */
static int tick_until(uint64_t now, int child)
{
	int kills = 0;

	for (uint64_t t = s.tick_ms + 50; t <= now; t += 50) {
		super_tick(&s, t, beats);
		kills += has(SUPER_KILL, child);
	}
	return kills;
}

Test(super, a_stale_heartbeat_is_killed_once)
{
	start_all(1000);
	for (int i = 0; i < 5; i++)
		beats[i].beat_ms = 20000;
	beats[3].beat_ms = 5000;
	cr_assert_eq(tick_until(5000 + HANG, 3), 0);
	cr_assert_eq(tick_until(8000 + HANG, 3), 1);
	cr_assert_eq(s.hangs, 1u);
	super_exited(&s, 3, 8000 + HANG, -9);
	super_tick(&s, 8000 + HANG, beats);
	cr_assert(has(SUPER_SPAWN, 3));
	cr_assert_eq(tick_until(9000 + HANG, 3), 0);	/* the old beat does not count for the new one */
}

/* One that hangs before its first sign of life is found as well; storage may take 8 times as long. */
Test(super, silence_from_the_start_is_a_hang)
{
	start_all(1000);
	for (int i = 0; i < 5; i++)
		beats[i].beat_ms = i == 1 || i == 4 ? 0 : 1000 + 20 * HANG;
	cr_assert_eq(tick_until(900 + HANG, 4), 0);
	cr_assert_eq(tick_until(1100 + HANG, 4), 1);
	cr_assert_eq(tick_until(900 + 8 * HANG, 1), 0);
	cr_assert_eq(tick_until(1100 + 8 * HANG, 1), 1);
}

/* A machine that stood still (paused VM, overload) is not the children's fault. */
Test(super, our_own_pause_kills_nobody)
{
	start_all(1000);
	super_tick(&s, 1050, beats);
	super_tick(&s, 1050 + 3 * HANG, beats);
	cr_assert_eq(count(SUPER_KILL), 0);
	cr_assert_eq(tick_until(1000 + 4 * HANG, 3), 0);
	cr_assert_eq(tick_until(1200 + 4 * HANG, 3), 1);
}

/* Foreign data: nothing is started again, the others stop in order, and the status says why. */
Test(super, a_child_that_is_unfit_ends_the_broker)
{
	start_all(1000);
	super_exited(&s, 0, 1100, SUPER_UNFIT);
	cr_assert_eq(count(SUPER_TERM), 3);
	super_exited(&s, 2, 1101, 0);
	super_exited(&s, 3, 1102, 0);
	super_exited(&s, 4, 1103, 0);
	super_exited(&s, 1, 1104, 0);
	cr_assert(has(SUPER_EXIT, -1));
	cr_assert_eq(s.status, SUPER_UNFIT);
	cr_assert_eq(s.restarts[SUPER_AGENT], 0u);
}

Test(super, a_reset_kills_all_wipes_once_and_starts_all)
{
	start_all(1000);
	super_reset(&s, 2000);
	cr_assert_eq(count(SUPER_KILL), 5);
	super_tick(&s, 2010, beats);
	cr_assert_eq(count(SUPER_SPAWN), 0);
	super_reset(&s, 2020);				/* asked twice */
	cr_assert_eq(s.n_fx, 0);
	for (int i = 0; i < 5; i++) {
		super_exited(&s, i, 2030, -9);
		cr_assert_eq(count(SUPER_WIPE), i == 4);
	}
	super_tick(&s, 2040, beats);
	cr_assert_eq(count(SUPER_SPAWN), 5);
	cr_assert_eq(s.restarts[SUPER_WORKER], 0u);
	cr_assert_eq(s.resets, 1u);
}

/* U4; a child that dies by itself meanwhile is new already and counts as a restart. */
Test(super, a_roll_replaces_one_at_a_time)
{
	uint64_t now = 1000;
	int rolled = 0, asked = 0, down = -1;

	start_all(now);
	super_roll(&s);
	super_exited(&s, 4, now, -9);
	for (int i = 0; i < 200 && rolled == 0; i++) {
		super_tick(&s, now += 50, beats);
		for (int f = 0; f < s.n_fx; f++)
			if (s.fx[f].kind == SUPER_TERM) {
				cr_assert_eq(down, -1);
				down = s.fx[f].child;
				beats[down].ready = false;
				asked++;
			} else if (s.fx[f].kind == SUPER_SPAWN && s.fx[f].child == down) {
				beats[down].ready = true;
				down = -1;
			}
		beats[4].ready = s.child[4].running;
		rolled += count(SUPER_ROLLED);
		if (down >= 0 && s.child[down].running)
			super_exited(&s, down, now, 0);
	}
	cr_assert_eq(rolled, 1);
	cr_assert_eq(asked, 4);
	cr_assert_eq(s.restarts[SUPER_WORKER], 1u);
	cr_assert_eq(s.restarts[SUPER_STORAGE], 0u);
	cr_assert_eq(s.rolling, -1);
}

/* Workers and groups first, then storage (which writes the clean checkpoint), then the agent. */
Test(super, term_stops_in_stages)
{
	start_all(1000);
	super_term(&s, 2000);
	cr_assert_eq(count(SUPER_TERM), 3);
	cr_assert(has(SUPER_TERM, 2) && has(SUPER_TERM, 3) && has(SUPER_TERM, 4));
	super_exited(&s, 2, 2001, -9);
	super_exited(&s, 3, 2002, -9);
	cr_assert_eq(count(SUPER_TERM), 0);
	super_exited(&s, 4, 2003, -9);
	cr_assert(has(SUPER_TERM, 1));
	super_exited(&s, 1, 2004, -9);
	cr_assert(has(SUPER_TERM, 0));
	super_exited(&s, 0, 2005, -9);
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
