/*
 * sim.h - the simulator's heart: virtual time, an event queue and one random generator.
 *
 * A run is a function of its seed alone. Nothing here knows what is simulated: ports (sim_disk.h,
 * sim_lock.h) and worlds (world.h) schedule events. Single-threaded; no real clock, file or socket.
 *
 * Invariants: S1 time never goes back. S2 events of one time run in the order they were scheduled.
 */
#ifndef SIM_SIM_H
#define SIM_SIM_H

#include <stdbool.h>
#include <stdint.h>

#include "base/rng.h"
#include "io/clock.h"

struct sim_event {			/* embedded by who schedules it */
	uint64_t at_us;
	uint64_t order;			/* of scheduling: ties */
	void (*run)(struct sim_event *e);
	bool queued;
	uint32_t pos;			/* in the heap */
};

struct sim {
	struct clock clock;		/* first member: the port */
	uint64_t now_us;
	int64_t wall_skew_ms;		/* wall_ms = start + now + skew: clocks may jump */
	uint64_t order;
	struct sim_event **heap;
	uint32_t n, cap;
	struct rng rng;
	uint64_t hash;			/* of everything sim_mix() was told: equal seeds, equal hash */
	uint64_t events;
};

void sim_init(struct sim *s, uint64_t seed);
void sim_release(struct sim *s);
void sim_at(struct sim *s, struct sim_event *e, uint64_t delay_us);
void sim_cancel(struct sim *s, struct sim_event *e);
/* Runs the next event; false: none is left. */
bool sim_step(struct sim *s);
/* Folds what happened into the run's hash. */
void sim_mix(struct sim *s, uint64_t v);
/* True in p of 1,000,000 cases. */
bool sim_chance(struct sim *s, uint32_t ppm);

#endif
