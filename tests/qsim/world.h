/*
 * world.h - the simulator's second world: a quorum of one to five nodes, their disks, the network between them,
 * clients, and an operator who changes members.
 *
 * run.c      seeds, report
 * world.c    machines: start, death, power, events
 * nemesis.c  what is done to them, and the operator
 * client.c   what clients ask and are told
 * zclient.c  clients of the ZooKeeper front, over the network: with `zookeeper` only
 * watches.c  which events such a client must be told, and when
 * check.c    what was promised: the invariants Q1 .. Q13
 *
 * The code under test is all of a node behind node.h, with src/raft and src/coord. docs/simulator.md
 */
#ifndef QSIM_WORLD_H
#define QSIM_WORLD_H

#include <setjmp.h>

#include "../sim/heap.h"
#include "base/rng.h"
#include "quorum/node_in.h"
#include "quorum/zk.h"
#include "sim/sim.h"
#include "sim/sim_disk.h"
#include "sim/sim_net.h"

#define MACHINES 6			/* five voters, and one to take a place */
#define CLIENTS 6
#define ZCLIENTS 4			/* of the ZooKeeper front; all on one machine: */
#define ZHOST MACHINES
#define PATHS 10			/* of plain nodes */
#define NAMES (PATHS + CLIENTS + ZCLIENTS)	/* with each client's ephemeral one */
#define DIR "/q"
#define FAULTS_US 22000000u		/* the phase with faults */
#define CALM_US 12000000u		/* and the one without, in which everything must go well */

#define COUNTERS(X) \
	X(start, "nodes started") X(kill, "nodes killed") X(kill_call, "killed in the middle of a call") \
	X(loss, "power losses") X(loss_all, "power losses of all") X(freeze, "nodes frozen") \
	X(drift, "clocks that drift") \
	X(cut_one, "one-way cuts") X(cut_two, "two-way cuts") X(cut_node, "nodes cut off") \
	X(cut_half, "networks in halves") \
	X(cut_bridge, "bridges") X(flap, "flapping links") X(heal, "networks healed") X(wipe, "disks lost") \
	X(rot, "log entries rotten") X(fatal, "nodes that ended themselves") X(refused, "starts refused") \
	X(torn, "torn tails cut") X(repaired, "damage set aside") X(lead, "leaders") \
	X(add, "members added") X(remove, "members removed") X(move, "leaderships handed over") \
	X(snap, "images asked for") \
	X(admin_no, "changes refused") X(written, "images written") X(image_out, "images sent") \
	X(image_in, "images taken over") X(reset, "trees replaced") \
	X(write, "writes acknowledged") X(cond, "writes refused by a condition") X(multi, "batches acknowledged") \
	X(sequence, "sequential nodes") X(ephemeral, "ephemeral nodes") X(read, "linearizable reads") \
	X(look, "local reads") \
	X(again, "proposals not taken") X(unsure, "outcomes unknown") X(unsure_was, "unknown ones that were applied") \
	X(gave_up, "clients that went elsewhere") X(repeat, "repetitions skipped") \
	X(forwarded, "proposals forwarded") X(dropped, "messages dropped") \
	X(nospc, "proposals refused: disk full") X(open, "sessions opened") X(close, "sessions closed") \
	X(expire, "sessions expired") X(silent, "clients that fell silent") X(attach, \
		"sessions that moved to another node")
/* With ZooKeeper clients only. */
#define ZCOUNTERS(X) \
	X(z_open, "ZooKeeper: sessions opened") X(z_again, "ZooKeeper: sessions attached again") \
	X(z_expired, "ZooKeeper: sessions found expired") X(z_closed, "ZooKeeper: sessions closed") \
	X(z_lost, "ZooKeeper: connections lost") X(z_left, "ZooKeeper: connections left open") \
	X(z_mute, "ZooKeeper: clients that heard nothing") X(z_cut, "ZooKeeper: clients cut off") \
	X(z_write, "ZooKeeper: writes acknowledged") X(z_no, "ZooKeeper: writes refused") \
	X(z_multi, "ZooKeeper: multis acknowledged") X(z_read, "ZooKeeper: reads") X(z_sync, "ZooKeeper: syncs") \
	X(z_unsure, "ZooKeeper: outcomes unknown") X(z_once, "ZooKeeper: events of one-shot watches") \
	X(z_every, "ZooKeeper: events of persistent watches") X(z_set, "ZooKeeper: watches set again") \
	X(z_missed, "ZooKeeper: events of what was missed") X(z_unmoved, "ZooKeeper: watches kept over a move")
#define X(name, text) C_##name,
enum counter { COUNTERS(X) ZCOUNTERS(X) C_N };
#define C_N_NATIVE C_z_open
#undef X

/* What the tree says of a path, from a zxid on. */
struct version {
	int64_t zxid;
	bool exists;
	int32_t version;
	uint64_t tag;			/* of the operation that wrote the value */
	int64_t owner;
	bool system;			/* made by the system: ZooKeeper clients may only read it */
};

struct history {			/* of one path */
	struct version *v;
	uint64_t n, cap;
};

enum what { OP_WRITE = 1, OP_READ, OP_OPEN, OP_CLOSE };

#define STEPS_MAX 3

struct step {				/* of a batch */
	enum coord_op_kind kind;
	uint32_t path;
	int32_t version;
	bool ephemeral;
};

struct op {				/* one operation of a client */
	enum what what;
	uint64_t tag;
	struct step step[STEPS_MAX];
	uint32_t nsteps;
	int64_t session;
	int64_t floor;			/* newest zxid acknowledged to anybody before it began */
	bool sequence;
	bool front;			/* of a ZooKeeper client */
};

struct flight {				/* an operation in the hands of a node */
	struct node_req req;		/* first member */
	struct node_read read;
	struct sim_event event;		/* it waits until the machine thaws */
	struct flight *next;
	struct world *w;
	uint32_t at;			/* the machine */
	int client;			/* -1: it gave up */
	struct op op;
};

struct client {
	struct sim_event event;
	struct world *w;
	uint32_t id;
	struct flight *flight;
	uint32_t at;			/* machine it talks to */
	uint64_t until_us;		/* then it gives the operation up and goes elsewhere */
	int64_t session;
	uint32_t timeout_ms;
	bool silent;
	uint64_t touch_us;		/* next one */
	uint64_t acks;
};

struct tagged {				/* an operation, by its tag */
	uint8_t applied;		/* times */
	bool no;			/* it was said that it never would be */
	bool unsure;
};

struct session {			/* as the checker knows it */
	int64_t id;
	uint32_t timeout_ms;
	bool gone, asked;		/* asked: its client wanted its end */
	uint64_t gone_us;
	uint64_t touched_us;
	struct {
		uint64_t term;
		uint64_t mono_us;	/* its own, when it was touched there as the leader */
	} touch[MACHINES];
};

struct machine {
	struct world *w;
	uint32_t id;
	struct sim_host *host;
	struct sim_fs *fs;
	struct sim_disk disk;
	struct heap heap;
	struct node *node;
	struct zk *zk;
	char cluster_id[24];
	jmp_buf death;
	bool inside, alive, fatal, empty_it;
	bool joins;			/* not of the first voters */
	bool out;			/* not started again for now */
	uint64_t life;			/* counts starts */
	struct sim_event start;
	struct sim_event doom;		/* it loses power */
	int64_t last_zxid;		/* of the last result that it told */
	uint64_t chain;			/* hash of all results up to it */
	struct node_admin admin;
	bool admin_busy;
	uint64_t commit;
};

struct applied {			/* by any node, in the order of zxids */
	int64_t zxid;
	uint64_t chain, tree;		/* tree: hash of the whole state, 0: not looked at */
	int64_t time_ms;		/* the tree's clock then */
};

struct moment {				/* a change of one node, in the order of the log */
	int64_t zxid;
	enum coord_op_kind what;
	char path[32];
};

struct watches {			/* of one ZooKeeper client, as it believes it has them */
	uint64_t at;			/* moments before it have been looked at */
	unsigned step;			/* of moment `at`: 1, the node's own event is dealt with */
	uint8_t on[NAMES + 1];		/* enum watch bits; the last one: of "/" */
	int64_t away_zxid;		/* what it had seen when its connection ended */
};

enum watch { WATCH_DATA = 1, WATCH_EXIST = 2, WATCH_CHILD = 4, WATCH_PERSISTENT = 8, WATCH_RECURSIVE = 16 };
#define WATCH_ROOT NAMES

struct zclient;

struct world {
	struct sim sim;
	struct sim_network net;
	struct machine m[MACHINES];
	uint32_t nvoters;		/* to begin with */
	struct node_peer voters[MACHINES];
	char address[MACHINES][8];
	struct client client[CLIENTS];
	struct flight *flights;
	struct sim_event nemesis, operator;
	bool calm;
	/* the seed's choices, ppm or 0 */
	uint32_t kill_call_ppm, kinds;
	uint64_t snapshot_bytes;
	uint32_t pace_us, hurry_us;
	int lost;			/* machine whose disk was lost and is not replaced yet; -1: none */
	uint64_t lost_us;
	/* what is known */
	struct history path[NAMES];	/* "/p0" ..., then "/e0" ...: each client's ephemeral one */
	struct moment *moment;
	uint64_t nmoments, moment_cap;
	struct zclient *zclients;	/* NULL: none */
	struct zlink *zlinks;
	struct applied *log;
	uint64_t nlog, log_cap;
	uint64_t *term_at;		/* of each committed entry, 0: not seen */
	uint64_t term_at_cap, term_cap, committed;
	uint64_t *leader_of;		/* disk id of the leader of each term */
	uint64_t terms;
	struct tagged *tags;
	uint64_t ntags, tags_cap;
	struct session *sessions;
	uint64_t nsessions, sessions_cap;
	int64_t acked;			/* newest zxid acknowledged to anybody */
	int64_t time_ms;		/* of the tree, as of the newest entry */
	const char *broken;
	char detail[200];
};

extern uint64_t counted[C_N];
extern bool tracing;
extern bool zookeeper;			/* clients of the ZooKeeper front, too */

static inline void count(enum counter c)
{
	counted[c]++;
}

/* world.c */
struct world *world_new(uint64_t seed);
void world_free(struct world *w);
bool world_step(struct world *w);
void broken(struct world *w, const char *what, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
void trace(struct world *w, int machine, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
void *world_room(void *p, uint64_t n, uint64_t *cap, size_t size);	/* room for one more */
/* fn(arg) as an event of the machine's process. */
void machine_run(struct machine *m, void (*fn)(void *arg), void *arg);
void machine_kill(struct machine *m, bool power);
void machine_start_in(struct machine *m, uint64_t us);
struct machine *leader(struct world *w);
/* What each node thinks; into the trace. */
void world_tell(struct world *w);

/* nemesis.c */
void nemesis_init(struct world *w);
void nemesis_calm(struct world *w);
/* An image has just taken the place of its tree: a good moment to lose power. */
void nemesis_reset(struct machine *m);
/* It leads, and has just proposed that a node is added: perhaps only that one hears of it. */
void nemesis_added(struct machine *m, uint32_t node);
/* Is the lost disk's place taken again? */
void nemesis_look(struct world *w);

/* client.c */
void clients_init(struct world *w);
void clients_calm(struct world *w);
/* Nobody answers any more: what was in the hands of that process is unknown. */
void clients_lost(struct world *w, uint32_t machine);

/* check.c */
void check_free(struct world *w);
void check_event(struct machine *m);		/* after each event of its process */
void check_started(struct machine *m);
void check_leads(struct machine *m);
void check_applied(struct machine *m, int64_t zxid, const struct coord_result *r);
void check_reset(struct machine *m);
void check_write(struct flight *f, int64_t zxid, const struct coord_result *r);
void check_read(struct flight *f, bool barrier);
void check_told(struct world *w, uint64_t tag, int err);
struct session *check_session(struct world *w, int64_t id);
void check_end(struct world *w);
/* Did a write do, and say, what the rules want of the state before it? */
void check_steps(struct world *w, const struct op *op, int64_t zxid, bool ok);
/* It took effect at zxid. */
void check_acked(struct world *w, const struct op *op, int64_t zxid);
struct version check_at(const struct world *w, uint32_t path, int64_t zxid);
uint64_t check_tag(const uint8_t *value, int32_t len);
/* The name of a path of `path[]`, and back: -1, another one. */
void path_name(uint32_t path, char ret[8]);
int path_of(struct str s);

/* zclient.c */
void zclients_init(struct world *w);
void zclients_free(struct world *w);
void zclients_calm(struct world *w);
void zclients_end(struct world *w);

/* watches.c */
void watch_note(struct world *w, int64_t zxid, const struct coord_change *k);
void watch_begin(struct world *w, struct watches *v, int64_t zxid);	/* a new session, which has seen zxid */
/* An event came. NULL, or what is wrong with it. */
const char *watch_event(struct world *w, struct watches *v, int64_t zxid, int32_t type, struct str path);
/* An answer shows zxid: all events up to it must have come. NULL, or what was not told. */
const char *watch_shown(struct world *w, struct watches *v, int64_t zxid);
/* After a reconnection, until SetWatches is answered. */
const char *watch_caught(struct world *w, struct watches *v, int32_t type, struct str path);
const char *watch_set_again(struct world *w, struct watches *v, int64_t zxid);

#endif
