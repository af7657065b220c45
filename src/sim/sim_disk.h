/*
 * sim_disk.h - the disk port over memory, with what a machine does to files when it dies.
 *
 * One struct sim_fs is the disk of one machine; each simulated process has a port of its own
 * (struct sim_disk) with its own handles. Two contents are kept of each file: what processes see
 * (the page cache) and what is on the platter. sync brings the second up to the first; a power loss
 * throws away, keeps or tears each change that was not synced, page by page, and each change of
 * names in a folder that was not synced by sync_dir.
 *
 *   process killed   sim_disk_reset(): handles and queued requests are gone, contents stay
 *   power loss       sim_fs_power_loss(): contents become what the platter has
 *
 * Invariants: D1 what was synced is never changed by a power loss. D2 a write that was not synced
 * survives in 512-byte pieces, any subset of them.
 */
#ifndef SIM_SIM_DISK_H
#define SIM_SIM_DISK_H

#include "io/disk.h"
#include "sim/sim.h"

struct sim_fs;

struct sim_fs_counts {			/* how often each fault bit; printed by the runner */
	uint64_t losses, lost_writes, kept_writes, torn_writes, lost_names, kept_names;
	uint64_t short_writes, nospc, eio, failed_syncs, syncs, slow_syncs, cold, reserves;
};

struct sim_fs_faults {			/* chances in ppm per call; set by the seed's swarm options */
	uint32_t eio_write, eio_sync, nospc, short_write, slow_sync, cold;
	uint64_t capacity_bytes;	/* 0: endless */
	uint64_t sync_us_min, sync_us_max;
	uint32_t loss_keep_percent;	/* of unsynced writes at a power loss: 0 all lost, 100 all kept */
};

struct sim_fs *sim_fs_new(struct sim *s);
void sim_fs_free(struct sim_fs *fs);
/* Another, empty disk is in its place; nothing may be open. */
void sim_fs_wipe(struct sim_fs *fs);
struct sim_fs_faults *sim_fs_faults(struct sim_fs *fs);
const struct sim_fs_counts *sim_fs_counts(struct sim_fs *fs);
void sim_fs_power_loss(struct sim_fs *fs);
/* Called in the middle of a pwritev (ctx of the world): may leave by longjmp = killed there. */
void sim_fs_on_write(struct sim_fs *fs, void (*hook)(void *ctx), void *ctx);
/* Called at the start of every call that touches files, by its name: other processes may run there,
 * or this one may be killed (leave by longjmp). */
void sim_fs_on_call(struct sim_fs *fs, void (*hook)(void *ctx, const char *what), void *ctx);
/* Where the disk takes its own memory from; base/mem.h unless told. A world whose processes have
 * heaps of their own gives that of the machine. */
struct sim_fs_mem {
	void *(*alloc)(size_t bytes);			/* zeroed */
	void *(*resize)(void *p, size_t bytes);
};
void sim_fs_mem(struct sim_fs *fs, const struct sim_fs_mem *mem);
uint64_t sim_fs_used(const struct sim_fs *fs);		/* bytes of the disk that are taken */
/* Bytes of blocks that are reserved behind the end of a file. */
uint64_t sim_fs_reserved(struct sim_fs *fs, const char *path);
/* What processes see of a file, for checkers: NULL when it does not exist. */
const uint8_t *sim_fs_peek(struct sim_fs *fs, const char *path, uint64_t *ret_bytes);
/* Flips one bit of a file, on the platter and in the cache: bit rot. */
bool sim_fs_rot(struct sim_fs *fs, const char *path, uint64_t off);

struct sim_disk {
	struct disk disk;		/* first member: the port */
	struct sim_fs *fs;
	struct sim_handle *handles;
	uint32_t n_handles;
	struct sim_op *ops;		/* requests in flight */
	uint64_t incarnation;
	/* Of the world, may be NULL: how long the process still stands (us), and done() as an event of it. */
	uint64_t (*stands)(void *ctx);
	void (*finish)(void *ctx, struct disk_op *op, int err);
	void *ctx;
	bool warmed;			/* nothing is cold: the process has just waited for a DISK_WARM */
};

void sim_disk_init(struct sim_disk *d, struct sim_fs *fs);
bool sim_disk_open(const struct sim_disk *d, uint32_t handle);	/* for leak checks: is it open */
/* The process is gone: handles closed, requests dropped without done(). */
void sim_disk_reset(struct sim_disk *d);

#endif
