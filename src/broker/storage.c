/*
 * storage.c - the storage process: opens and recovers replicas, syncs what was appended, deletes what
 * is too old, writes checkpoints, removes deleted replicas. It serves nobody, so it may wait.
 *
 * Group commit: at most one sync job a partition is in flight, many partitions at once (the disk
 * port's threads); the next job of a partition starts when its last one ended and takes everything
 * appended meanwhile. Where the topic's durability waits for no sync (PART_REPLICATED), workers only
 * note what they appended to, and it is synced when there is much of it or after some seconds.
 *
 * Slots that were appended to lately are active: their bytes not yet synced are counted, blocks are
 * reserved ahead of them. When too many bytes of the log directory are not synced, workers are told to
 * begin no Produce (BELL_BEHIND): else the kernel would make them wait in the middle of a write.
 */
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/conf.h"
#include "base/mem.h"
#include "broker/part_conf.h"
#include "broker/role.h"
#include "meta/image.h"

#define TICK_US 500000
#define CHECKPOINT_TICKS 10		/* 5 s */
#define ACTIVE_US 100000		/* between two looks at active slots */
#define LAZY_LOOKS 50			/* what nobody waits for is synced 5 s after its first byte, or early */
#define BEHIND_SHARE 16			/* of the machine's memory may be written and not synced ... */
#define BEHIND_MIN ((uint64_t)64 << 20)	/* ... within these bounds */
#define BEHIND_MAX ((uint64_t)1 << 30)
#define WATCH_US 60000000u		/* damage and repairs are counted over this time */
#define DAMAGED_MAX 16u			/* records that fail their checks in it: memory is being overwritten */
#define FULL_BYTES (1u << 20)		/* less free than this: appends are refused or soon will be */

struct job {				/* one partition's sync in flight */
	struct storage *st;
	uint32_t slot;
	struct part_sync sync;
	struct disk_op ops[PART_SYNC_FILES + 1];
	int pending, err;
	bool telling;			/* done, but the partition is locked: told when its holder rings */
};

struct slot {
	struct job *job;		/* NULL: no sync in flight */
	bool again;			/* appended while the job ran */
	bool watched;			/* part_wait_end() was called */
	bool warned;
	bool active;			/* in storage.active */
	uint8_t looks;			/* at it as an active one, since it had unsynced bytes */
	uint64_t seg, pos;		/* end of the log when last looked at */
	uint64_t unsynced;		/* bytes up to there that no finished sync covers */
	uint64_t covered;		/* by the sync in flight */
};

struct storage {
	struct role_env *env;
	struct image *im;
	uint64_t im_gen;
	struct slot *slots;
	uint32_t n_slots;
	bool clean_start, ready, draining;
	bool full;			/* the disk; it was logged */
	bool unsettled;			/* a slot is being opened or deleted: look again soon */
	uint64_t ticks, retention_ticks;
	struct part_counts watched;	/* at the start of the time over which damage is counted */
	uint64_t watched_us;
	struct loop_timer tick, look;
	bool looking;			/* look is armed */
	uint32_t *active;		/* slots */
	uint32_t active_n, active_cap;
	uint64_t unsynced, unsynced_max;	/* bytes over all slots */
	bool behind;
	char *garbage[256];
	struct disk_op unlink_op;
	int n_garbage;
	bool unlinking;
};

static struct slot *slot_of(struct storage *st, uint32_t slot)
{
	if (slot >= st->n_slots) {
		uint32_t n = st->n_slots ? st->n_slots : 64;

		while (n <= slot)
			n *= 2;
		st->slots = mem_resize(st->slots, sizeof(struct slot) * n);
		memset(st->slots + st->n_slots, 0, sizeof(struct slot) * (n - st->n_slots));
		st->n_slots = n;
	}
	return &st->slots[slot];
}

static void image_refresh(struct storage *st)
{
	struct role_env *env = st->env;
	uint64_t gen = atomic_load(bell_word(env->bells, BELL_IMAGE_GEN));
	struct image *im;

	if (gen == st->im_gen || env->image_map(env, &im) != OK)
		return;
	if (st->im)
		env->image_unmap(env, st->im);
	st->im = im;
	st->im_gen = gen;
}

/* Settings of the topic that a slot belongs to; false: not in the image. */
static bool conf_of(struct storage *st, uint32_t slot, struct part_conf *ret, struct image_topic *ret_topic)
{
	struct part_key key;

	part_slot_key(st->env->table, slot, &key);
	if (!st->im || !image_topic_by_id(st->im, &key.topic_id, ret_topic))
		return false;
	*ret = part_conf_of(&ret_topic->conf, (uint32_t)conf_int(st->env->conf, "producer.id.expiration.ms"));
	return true;
}

static void say(struct storage *st, uint32_t slot, const char *what, int err, const char *hint)
{
	struct part_key key;
	char line[400];

	part_slot_key(st->env->table, slot, &key);
	snprintf(line, sizeof line, "%s-%d: %s", key.topic, key.partition, err_text(err));
	st->env->log(st->env, 3, what, line, hint);
}

/* ---- syncs ---- */

static void look_at(struct storage *st, uint32_t slot);
static void look_later(struct storage *st);

static void set_behind(struct storage *st, bool behind)
{
	if (behind == st->behind)
		return;
	st->behind = behind;
	atomic_store(bell_word(st->env->bells, BELL_BEHIND), behind);
	for (int i = 0; i < st->env->workers && !behind; i++)
		bell_nudge(st->env->bells, (unsigned)i);
}

/* Counts what was appended since the last look, and makes the slot active. */
static void account(struct storage *st, uint32_t slot)
{
	struct slot *s = slot_of(st, slot);
	struct part_key key;
	struct part_view v;

	part_slot_key(st->env->table, slot, &key);
	if (part_view(st->env->table, slot, &key.topic_id, &v) != OK)
		return;
	uint64_t from = v.segment_base == s->seg && v.segment_bytes >= s->pos ? s->pos : 0;
	uint64_t more = v.synced < v.end ? v.segment_bytes - from : 0;
	s->seg = v.segment_base;
	s->pos = v.segment_bytes;
	s->unsynced += more;
	st->unsynced += more;
	if (st->unsynced > st->unsynced_max)
		set_behind(st, true);
	if (s->active || (more == 0 && s->unsynced == 0))
		return;
	if (st->active_n == st->active_cap) {
		st->active_cap = st->active_cap ? st->active_cap * 2 : 64;
		st->active = mem_resize(st->active, st->active_cap * sizeof *st->active);
	}
	s->active = true;
	s->looks = 0;
	st->active[st->active_n++] = slot;
	look_later(st);
}

static void synced(struct storage *st, struct slot *s, uint64_t bytes)
{
	must(bytes <= s->unsynced && bytes <= st->unsynced);
	s->unsynced -= bytes;
	st->unsynced -= bytes;
	s->looks = 0;
	if (st->unsynced < st->unsynced_max / 2)
		set_behind(st, false);
}

/* The disk is through with it. */
static void sync_finish(struct job *j)
{
	struct storage *st = j->st;
	struct slot *s = slot_of(st, j->slot);
	struct image_topic topic;
	struct part_conf conf = { .durability = PART_QUORUM };
	uint64_t wake = 0;

	if (j->err != OK) {
		say(st, j->slot, "a log could not be synced; the replica is offline", j->err,
		    "Replace the disk, then restart the broker.");
		part_offline(st->env->table, j->slot, &wake);
	} else {
		conf_of(st, j->slot, &conf, &topic);
		int err = part_synced(st->env->table, j->slot, j->sync.gen, j->sync.end, &conf, &wake);

		/* Other errors: truncated or deleted meanwhile, nothing to tell anybody. */
		j->telling = err == E_AGAIN;
	}
	bell_mark_mask(st->env->bells, wake, j->slot);
	if (j->telling)
		return;
	part_sync_end(st->env->table, &j->sync);
	s->job = NULL;
	uint32_t slot = j->slot;
	mem_free(j);
	synced(st, s, s->covered);
	if (s->again || st->draining) {
		s->again = false;
		look_at(st, slot);
	}
}

static void op_done(struct disk_op *op, int err)
{
	struct job *j = op->buf;		/* free for us: SYNC reads nothing */

	if (err != OK)
		j->err = err;
	if (--j->pending == 0)
		sync_finish(j);
}

static void sync_start(struct storage *st, uint32_t slot)
{
	struct slot *s = slot_of(st, slot);
	struct disk *disk = st->env->disk;

	if (s->job) {
		s->again = true;
		if (s->job->telling)
			sync_finish(s->job);
		return;
	}
	account(st, slot);
	struct job *j = mem_alloc(sizeof *j);
	j->st = st;
	j->slot = slot;
	int err = part_sync_begin(st->env->table, slot, &j->sync);
	if (err != OK || !j->sync.due) {
		part_sync_end(st->env->table, &j->sync);
		mem_free(j);
		if (err != E_AGAIN)	/* files changed: tried again at the next look */
			synced(st, s, s->unsynced);
		return;
	}
	s->job = j;
	s->covered = s->unsynced;
	j->pending = j->sync.n_files + j->sync.dir;
	for (int i = 0; i < j->sync.n_files; i++) {
		j->ops[i] = (struct disk_op){ .what = DISK_SYNC, .file = j->sync.file[i], .buf = j, .done = op_done };
		disk->calls->submit(disk, &j->ops[i]);
	}
	if (j->sync.dir) {
		struct disk_op *op = &j->ops[PART_SYNC_FILES];

		*op = (struct disk_op){ .what = DISK_SYNC_DIR, .path = j->sync.dir_path, .buf = j, .done = op_done };
		disk->calls->submit(disk, op);
	}
	if (j->pending == 0)	/* synced by a process that died before it told */
		sync_finish(j);
}

/* ---- life of replicas ---- */

/* Nobody waits for this partition's syncs. */
static bool is_lazy(struct storage *st, uint32_t slot)
{
	struct image_topic topic;
	struct part_conf conf;

	return !st->draining && conf_of(st, slot, &conf, &topic) && conf.durability == PART_REPLICATED;
}

static void alive(void *ctx)
{
	struct role_env *env = ctx;

	bell_beat(env->bells, env->clock->mono_us(env->clock) / 1000);
}

static void look_at(struct storage *st, uint32_t slot)
{
	struct role_env *env = st->env;
	struct slot *s = slot_of(st, slot);
	int err;

	if (s->job && s->job->telling) {	/* whatever became of the replica: the job has to end */
		sync_finish(s->job);
		s = slot_of(st, slot);
	}
	switch (part_slot_state(env->table, slot)) {
	case PART_OPENING:
		st->unsettled = true;
		alive(env);		/* thousands may be opened in one turn, each with files to make */
		err = part_slot_recover(env->table, slot, st->clean_start);
		if (err != OK && err != E_AGAIN && !s->warned) {
			s->warned = true;
			say(st, slot, "a replica could not be opened", err, NULL);
		}
		bell_nudge(env->bells, PROC_AGENT);
		for (int i = 0; i < env->workers; i++)
			bell_mark(env->bells, (unsigned)i, slot);
		for (int i = 0; i < env->groups; i++)
			bell_mark(env->bells, PROC_GROUPS + (unsigned)i, slot);
		if (part_slot_state(env->table, slot) != PART_ONLINE)
			return;
		__attribute__((fallthrough));
	case PART_ONLINE:
		if (!s->watched) {
			s->watched = true;
			part_wait_end(env->table, slot);
		}
		if (is_lazy(st, slot) && !(s->job && s->job->telling))
			account(st, slot);
		else
			sync_start(st, slot);
		return;
	case PART_DELETING:
		st->unsettled = true;
		if (s->job)
			return;		/* looked at again at the next tick */
		err = part_slot_reap(env->table, slot);
		if (err != OK && err != E_AGAIN && !s->warned) {
			s->warned = true;
			say(st, slot, "a deleted replica could not be removed", err, NULL);
		}
		s->watched = false;
		synced(st, s, s->unsynced);
		s->seg = s->pos = 0;
		return;
	case PART_FREE:
	case PART_OFFLINE:
		return;
	}
}

static void look_at_all(struct storage *st)
{
	st->unsettled = false;
	for (uint32_t i = 0; i < part_slots_end(st->env->table); i++) {
		look_at(st, i);
		if (i % 64 == 0)
			alive(st->env);
	}
}

/* ---- active slots ---- */

/* False: nothing to do for it any more. */
static bool look_at_active(struct storage *st, uint32_t slot)
{
	struct slot *s = slot_of(st, slot);
	struct image_topic topic;
	struct part_conf conf;
	uint64_t pos = s->pos, seg = s->seg;

	if (part_slot_state(st->env->table, slot) != PART_ONLINE || !conf_of(st, slot, &conf, &topic)) {
		if (!s->job)
			synced(st, s, s->unsynced);
		return s->job != NULL;
	}
	account(st, slot);
	int err = part_reserve(st->env->table, slot, &conf);
	if (err != OK && err != E_AGAIN && err != E_NOENT && !s->warned) {
		s->warned = true;
		say(st, slot, "blocks could not be reserved", err, NULL);
	}
	bool due = conf.durability != PART_REPLICATED || ++s->looks >= LAZY_LOOKS ||
		   st->unsynced > st->unsynced_max / 2;
	if (s->job ? s->job->telling : s->unsynced > 0 && due)
		sync_start(st, slot);
	return s->unsynced > 0 || s->job || pos != s->pos || seg != s->seg;
}

static void look(struct loop_timer *timer)
{
	struct storage *st = timer->user;
	uint32_t n = 0, slot;

	st->looking = false;
	while ((slot = bell_take_noted(st->env->bells)) != UINT32_MAX)
		look_at(st, slot);
	for (uint32_t i = 0; i < st->active_n; i++) {
		slot = st->active[i];
		if (look_at_active(st, slot))
			st->active[n++] = slot;
		else
			slot_of(st, slot)->active = false;
	}
	st->active_n = n;
	look_later(st);
}

/* Noted slots are looked for all the time: notes ring nobody. */
static void look_later(struct storage *st)
{
	if (st->looking)
		return;
	st->looking = true;
	st->env->loop->calls->timer_set(st->env->loop, &st->look, ACTIVE_US);
}

/* ---- retention ---- */

static void unlink_next(struct storage *st);

static void unlinked(struct disk_op *op, int err)
{
	struct storage *st = op->buf;

	(void)err;		/* it is looked for again at the next run */
	mem_free(st->garbage[--st->n_garbage]);
	st->unlinking = false;
	unlink_next(st);
}

static void unlink_next(struct storage *st)
{
	if (st->unlinking || st->n_garbage == 0)
		return;
	st->unlinking = true;
	st->unlink_op = (struct disk_op){ .what = DISK_UNLINK, .path = st->garbage[st->n_garbage - 1],
					  .buf = st, .done = unlinked };
	st->env->disk->calls->submit(st->env->disk, &st->unlink_op);
}

static void on_garbage(void *ctx, const char *path)
{
	struct storage *st = ctx;

	for (int i = 0; i < st->n_garbage; i++)
		if (strcmp(st->garbage[i], path) == 0)
			return;
	if (st->n_garbage < 256 && !st->unlinking)
		st->garbage[st->n_garbage++] = mem_strdup(path, strlen(path));
}

static void retention(struct storage *st)
{
	struct part_table *t = st->env->table;
	int64_t now = st->env->clock->wall_ms(st->env->clock);

	for (uint32_t i = 0; i < part_slots_end(t); i++) {
		struct image_topic topic;
		struct part_conf conf;
		uint64_t bytes, wake = 0;

		if (part_slot_state(t, i) != PART_ONLINE || !conf_of(st, i, &conf, &topic))
			continue;
		struct part_retention keep = {
			.retention_ms = topic.conf.retention_ms,
			.retention_bytes = topic.conf.retention_bytes,
			.del = (topic.conf.cleanup & 1) != 0,
		};
		int err = part_roll_if_due(t, i, &conf, now, &wake);

		bell_mark_mask(st->env->bells, wake, i);
		wake = 0;
		err = part_retain(t, i, &conf, &keep, now, on_garbage, st, &bytes, &wake);
		bell_mark_mask(st->env->bells, wake, i);
		if (err != OK && err != E_AGAIN && err != E_NOENT)
			say(st, i, "retention failed", err, NULL);
	}
	unlink_next(st);
}

/* Says once that the disk is full, and once that it no longer is; appends learn it by themselves. */
static void look_at_space(struct storage *st)
{
	struct role_env *env = st->env;
	struct disk_space space;

	if (env->disk->calls->space(env->disk, env->log_dir, &space) != OK)
		return;
	bool full = space.free_bytes < FULL_BYTES;

	if (full && !st->full)
		env->log(env, 3, "the disk of the log directory is full: appends are refused, reads go on",
			 env->log_dir, "Delete topics, shorten retention.ms or retention.bytes, or add space.");
	else if (!full && st->full)
		env->log(env, 1, "the disk of the log directory has space again", env->log_dir, NULL);
	st->full = full;
}

/* Some damage is mended record by record; when there is too much of it, nothing in the table is believed. */
static void look_at_table(struct storage *st)
{
	struct role_env *env = st->env;
	uint64_t now = env->clock->mono_us(env->clock);
	struct part_counts c;
	char line[200];

	if (part_table_check(env->table) != OK) {
		env->reset(env, "its header was overwritten");
		return;
	}
	part_counts(env->table, &c);
	if (now - st->watched_us > WATCH_US) {
		st->watched = c;
		st->watched_us = now;
		return;
	}
	uint64_t repairs = c.lock_repairs - st->watched.lock_repairs, damaged = c.rebuilt - st->watched.rebuilt;
	uint64_t lost = c.lost_locks - st->watched.lost_locks;

	if (repairs <= (uint64_t)conf_int(env->conf, "table.repairs.max") && damaged <= DAMAGED_MAX && lost == 0)
		return;
	snprintf(line, sizeof line, "within a minute repairs=%llu damaged_records=%llu lost_locks=%llu",
		 (unsigned long long)repairs, (unsigned long long)damaged, (unsigned long long)lost);
	env->reset(env, line);
}

static void tick(struct loop_timer *timer)
{
	struct storage *st = timer->user;
	struct role_env *env = st->env;

	bell_beat(env->bells, env->clock->mono_us(env->clock) / 1000);
	image_refresh(st);
	if (st->unsettled || st->ticks % CHECKPOINT_TICKS == 0)
		look_at_all(st);
	part_files_trim(env->table);
	look_at_table(st);
	look_at_space(st);
	if (++st->ticks % CHECKPOINT_TICKS == 0) {
		int err = part_checkpoint(env->table, false);

		if (err != OK)
			env->log(env, 3, "checkpoint failed", err_text(err), NULL);
	}
	if (st->ticks % st->retention_ticks == 0)
		retention(st);
	env->loop->calls->timer_set(env->loop, timer, TICK_US);
}

static bool idle(struct storage *st)
{
	for (uint32_t i = 0; i < st->n_slots; i++)
		if (st->slots[i].job)
			return false;
	return !st->unlinking;
}

static bool topic_exists(void *ctx, const struct uuid *topic_id)
{
	struct storage *st = ctx;
	struct image_topic topic;

	return !st->im || image_topic_by_id(st->im, topic_id, &topic);
}

static int turn(void *ctx)
{
	struct storage *st = ctx;
	struct role_env *env = st->env;

	bell_beat(env->bells, env->clock->mono_us(env->clock) / 1000);
	if (!st->draining || !idle(st))
		return 0;
	/* Clean only if nobody appends behind our back: when the whole broker stops, not this process alone. */
	bool last = atomic_load(bell_word(env->bells, BELL_DRAINING)) != 0;
	int err = part_checkpoint(env->table, last);

	if (err == OK && last)
		atomic_store(bell_word(env->bells, BELL_CLEAN), 1);
	env->loop->calls->stop(env->loop, err == OK ? 0 : 1);
	return 0;
}

void storage_wake(struct role_env *env)
{
	struct storage *st = env->role;
	uint64_t gen = st->im_gen;
	bool all = false;

	image_refresh(st);
	all = gen != st->im_gen;	/* durability may be another one */
	for (uint32_t slot; (slot = bell_take(env->bells, &all)) != UINT32_MAX;)
		look_at(st, slot);
	if (all)
		look_at_all(st);
}

void storage_drain(struct role_env *env)
{
	struct storage *st = env->role;

	st->draining = true;
	look_at_all(st);
}

/* How much of the logs had to be read to start; 0 where the partition table was still good. */
static void report(struct storage *st, uint64_t since_us, const struct part_counts *before)
{
	struct role_env *env = st->env;
	struct part_counts now;
	uint32_t online = 0;
	char line[200];

	part_counts(env->table, &now);
	for (uint32_t i = 0; i < part_slots_end(env->table); i++)
		online += part_slot_state(env->table, i) == PART_ONLINE;
	snprintf(line, sizeof line, "partitions=%u recovered=%llu scanned_segments=%llu scanned_bytes=%llu ms=%llu",
		 online, (unsigned long long)(now.recovered - before->recovered),
		 (unsigned long long)(now.scanned_files - before->scanned_files),
		 (unsigned long long)(now.scanned_bytes - before->scanned_bytes),
		 (unsigned long long)(env->clock->mono_us(env->clock) - since_us) / 1000);
	env->log(env, 1, "logs are open", line, NULL);
}

int storage_start(struct role_env *env)
{
	struct storage *st = mem_alloc(sizeof *st);
	uint64_t since_us = env->clock->mono_us(env->clock);
	struct part_counts before;

	st->env = env;
	env->role = st;
	part_on_progress(env->table, alive, env);
	part_on_checkpoint(env->table, topic_exists, st);
	part_counts(env->table, &before);
	st->look.fire = look;
	st->look.user = st;
	st->unsynced_max = env->memory_bytes / BEHIND_SHARE;
	st->unsynced_max = st->unsynced_max < BEHIND_MIN ? BEHIND_MIN :
			   st->unsynced_max > BEHIND_MAX ? BEHIND_MAX : st->unsynced_max;
	atomic_store(bell_word(env->bells, BELL_BEHIND), 0);
	int err = part_checkpoint_load(env->table, &st->clean_start);
	if (err != OK && err != E_NOENT) {
		env->log(env, 3, "the checkpoint of the log directory cannot be used", err_text(err), NULL);
		if (err == E_FOREIGN)
			return err;
	}
	for (uint32_t i = 0; i < part_slots_end(env->table); i++)
		if (part_slot_state(env->table, i) == PART_ONLINE) {
			err = part_slot_check(env->table, i);
			if (err != OK)
				say(st, i, "a record of the partition table is recovered from its files", err, NULL);
		}
	image_refresh(st);
	look_at_all(st);
	report(st, since_us, &before);
	st->retention_ticks = (uint64_t)conf_int(env->conf, "log.retention.check.interval.ms") * 1000 / TICK_US;
	if (st->retention_ticks == 0)
		st->retention_ticks = 1;
	st->tick.fire = tick;
	st->tick.user = st;
	look_later(st);
	part_counts(env->table, &st->watched);
	st->watched_us = env->clock->mono_us(env->clock);
	env->loop->calls->timer_set(env->loop, &st->tick, TICK_US);
	env->loop->calls->turn_hook(env->loop, turn, st);
	env->ready(env);
	return OK;
}
