/*
 * sim_net.h - the net, loop and clock ports of several simulated machines that one network joins.
 *
 * A connection is a stream as TCP gives it: in order or not at all. What a network does to it is delay (loss is
 * delay: it is sent again), an end (reset), and silence (a cut). Over the connections that follow one another
 * between two machines, frames are lost and overtake one another.
 *
 *   process killed   sim_host_down(h, false): its peers are told; what had arrived at them is still read
 *   power loss       sim_host_down(h, true): its peers hear nothing until they send to the machine that is back
 *   frozen           its events wait until it thaws, timers too; its kernel still takes connections
 *   cut              what goes from one machine to another waits; each direction for itself
 *
 * Invariants: M1 frames of one connection arrive in their order. M2 nothing leaves a machine before the turn in
 * which it was sent has ended. M3 on_close comes once, never inside close() or abort(), and last.
 */
#ifndef SIM_SIM_NET_H
#define SIM_SIM_NET_H

#include "io/loop.h"
#include "io/net.h"
#include "sim/sim.h"
#include "sim/sim_disk.h"

#define SIM_HOSTS_MAX 8
#define SIM_HOOKS_MAX 8

struct sim_network;

struct sim_host {
	struct net net;				/* the ports of the process that runs there */
	struct loop loop;
	struct clock clock;
	struct sim_network *w;
	uint32_t number;			/* its address is "n<number>:1" */
	bool up, dark;				/* dark: no process, and no power */
	uint64_t dark_us, dark_since_us;	/* how long it was the last time; since when */
	uint64_t thaw_us;			/* frozen until then */
	int32_t drift_ppm;			/* of its clocks */
	int64_t skew_ms;			/* of its wall clock */
	uint64_t clock_us, clock_at_us;		/* mono_us() was clock_us at clock_at_us */
	struct net_conn *conns;
	struct sim_timer *timers;
	struct {
		int (*hook)(void *ctx);
		void *ctx;
	} hook[SIM_HOOKS_MAX];
	uint32_t nhooks;
};

struct sim_net_faults {
	uint32_t delay_us_min, delay_us_max;	/* of a frame on the way */
	uint32_t slow_ppm, slow_us_max;		/* a few take much longer */
	uint32_t reset_ppm;			/* chance per frame that its connection ends */
	bool cut[SIM_HOSTS_MAX][SIM_HOSTS_MAX];	/* [from][to] */
};

struct sim_net_counts {
	uint64_t frames, slow, held, resets, refused, lost_in_reset, connects;
};

struct sim_network {
	struct sim *sim;
	struct sim_host host[SIM_HOSTS_MAX];
	struct sim_net_faults faults;
	struct sim_net_counts counts;
	struct sim_fs_mem mem;			/* of the machine, not of a process */
	/* The world's: fn(arg) is an event of the process on h. It may be killed there (fn does not come back). */
	void (*run)(void *ctx, struct sim_host *h, void (*fn)(void *arg), void *arg);
	/* A connection came in, from machine number `from`; inside run(). */
	void (*accept)(void *ctx, struct sim_host *h, int fd, uint32_t from);
	void *ctx;
};

void sim_network_init(struct sim_network *w, struct sim *s, const struct sim_fs_mem *mem);
/* A process begins on it. */
void sim_host_up(struct sim_host *h);
/* The process is gone: its connections, timers and hooks with it. silent: the machine lost its power. */
void sim_host_down(struct sim_host *h, bool silent);
void sim_host_freeze(struct sim_host *h, uint64_t us);
/* The end of a turn: hooks, then what was sent leaves. By run(), after fn(). */
void sim_host_turn(struct sim_host *h);
/* Its clocks run so much too fast from now on. */
void sim_host_drift(struct sim_host *h, int32_t ppm);
bool sim_host_frozen(const struct sim_host *h);

#endif
