/* work.c - what workers and the storage process do, and the clients that the workers serve. */
#include <string.h>

#include "base/assert.h"
#include "base/be.h"
#include "base/crc32c.h"
#include "world.h"

/* Errors that a call may have in this world. W5 */
static bool accept(struct world *w, int err, const char *what)
{
	struct sim_fs_faults *f = sim_fs_faults(w->fs);
	const struct sim_fs_counts *c = sim_fs_counts(w->fs);

	if (err == OK)
		return true;
	bool may = err == E_AGAIN || err == E_NOENT || err == E_FENCED ||
		   (err == E_NOSPC && (c->nospc > 0 || c->short_writes > 0)) ||
		   (err == E_IO && (f->eio_write || f->eio_sync || c->eio > 0 || c->failed_syncs > 0));
	if (!may)
		broken(w, "W5", what, err, 0);
	return false;
}

static bool offline(struct world *w, struct proc *p, int part)
{
	if (w->part[part].slot == PART_SLOT_NONE || part_slot_state(p->table, w->part[part].slot) != PART_OFFLINE)
		return false;
	if (w->reboot_us == 0) {	/* only a restart brings it back */
		w->reboot_us = w->sim.now_us + 2000 + rng_below(&w->sim.rng, 20000);
		count(C_offline);
	}
	return true;
}

/* ---- clients ---- */

static struct part_batch make(const struct out *o, uint8_t *p)
{
	/* A marker's record: version 0, type behind it; coordinator epoch 7. */
	static const uint8_t record[] = { 0x2e, 0, 0, 0, 8, 0, 0, 0, 0, 12, 0, 0, 0, 0, 0, 7, 0 };
	uint32_t body = o->control ? sizeof record : o->body;
	uint16_t attr = (uint16_t)((o->txn ? 0x10 : 0) | (o->control ? 0x20 : 0));

	memset(p, 0, 61);
	be32_put(p + 8, 49 + body);
	p[16] = 2;
	be16_put(p + 21, attr);
	be32_put(p + 23, o->records - 1);
	be64_put(p + 27, o->tag);	/* first timestamp: nothing under test reads it */
	be64_put(p + 35, (uint64_t)o->ts);
	be64_put(p + 43, (uint64_t)o->id);
	be16_put(p + 51, (uint16_t)o->epoch);
	be32_put(p + 53, (uint32_t)o->seq);
	be32_put(p + 57, o->records);
	if (o->control) {
		memcpy(p + 61, record, sizeof record);
		p[61 + 8] = o->control == 2;
	} else {
		memset(p + 61, (int)(o->tag & 0xff), body);
	}
	be32_put(p + 17, crc32c(0, p + 21, 40 + body));
	return (struct part_batch){ .head = p, .rest = p + 61, .rest_len = body, .records = o->records,
		.max_timestamp = o->ts, .producer_id = o->id, .producer_epoch = o->epoch,
		.base_sequence = o->seq, .transactional = o->txn, .control = o->control != 0 };
}

/* Perhaps another batch into the client's window. */
static void more(struct world *w, struct producer *d)
{
	struct rng *r = &w->sim.rng;

	if (d->n == WINDOW || (d->n > 0 && d->out[d->n - 1].control) || rng_below(r, 3) == 0)
		return;
	if (d->open && d->n == 0 && rng_below(r, 3) == 0) {	/* the coordinator ends the transaction */
		d->out[d->n++] = (struct out){ .tag = ++w->tags, .id = d->id, .epoch = d->epoch, .seq = -1,
			.records = 1, .ts = w->sim.clock.wall_ms(&w->sim.clock), .txn = true,
			.control = rng_below(r, 2) ? 1 : 2 };
		return;
	}
	if (d->n == 0 && d->id >= 0 && !d->transactional && rng_below(r, 40) == 0) {
		d->epoch++;
		d->seq = 0;
		count(C_bump);
	}
	struct out *o = &d->out[d->n++];

	*o = (struct out){ .tag = ++w->tags, .id = d->id, .epoch = d->epoch, .seq = d->id < 0 ? -1 : d->seq,
		.records = 1 + rng_below(r, 4), .body = 4 + rng_below(r, rng_below(r, 4) ? 60 : BODY_MAX - 4),
		.ts = w->sim.clock.wall_ms(&w->sim.clock) - rng_below(r, 5), .txn = d->transactional };
	d->seq += d->id < 0 ? 0 : (int32_t)o->records;
	d->open |= d->transactional;
}

/* The client was told that a sequence is out of order: it starts over with a new epoch. */
static void restart(struct producer *d)
{
	d->epoch++;
	d->seq = 0;
	for (int k = 0; k < d->n; k++) {
		d->out[k].epoch = d->epoch;
		d->out[k].appended = false;
		d->out[k].seq = d->seq;
		d->seq += (int32_t)d->out[k].records;
	}
}

/* One refused batch. Out of order is right only if what was before it is gone: cut since the client
 * sent it, forgotten, or retired from the log. W2 */
static void refused(struct world *w, struct producer *d, struct out *o, const struct part_batch *b,
		    uint64_t generation)
{
	if (b->err == E_RANGE || b->err == E_FENCED) {
		bool gone = w->loose || w->keep.del || w->part[d->part].start > 0;

		for (int i = 0; i < d->n && &d->out[i] != o; i++)
			gone |= d->out[i].appended && d->out[i].ticket.generation != generation;
		count(C_order);
		if (!gone)
			broken(w, "W2", "a sequence in order was refused", b->kafka_error, o->seq);
		else if (d->n > 0 && o == &d->out[0] && !d->transactional)
			restart(d);
		else
			producer_reconnect(w, d);
	} else if (b->err == E_NOSPC) {
		count(C_nospc);
		accept(w, b->err, "append");
	} else {
		accept(w, b->err, "a batch was refused");
	}
}

/* A client whose batches were cut learns it before it sends more: in a cluster the leader epoch changed. */
static void forget_cut(struct world *w, struct proc *p, int part)
{
	struct part_view v;

	if (part_view(p->table, w->part[part].slot, &w->part[part].topic, &v) != OK)
		return;
	for (int i = 0; i < PRODUCERS; i++) {
		struct producer *d = &w->prod[i];
		bool cut = false;

		for (int k = 0; k < d->n && d->part == part; k++)
			cut |= d->out[k].appended && d->out[k].ticket.generation != v.generation;
		if (cut) {
			count(C_stale);
			producer_reconnect(w, d);
		}
	}
}

struct call {				/* one append of a worker, and whose batches it has */
	struct part_batch v[PRODUCERS * WINDOW];
	struct { struct producer *d; uint64_t tag; } who[PRODUCERS * WINDOW];
	int n, clients;
	struct uuid topic;
	struct part_appended ret;
};

static void gather(struct world *w, struct proc *p, int part, struct call *c)
{
	c->n = c->clients = 0;
	c->topic = w->part[part].topic;
	for (int i = 0; i < PRODUCERS; i++) {
		struct producer *d = &w->prod[i];
		int from = c->n;

		if (d->part != part || d->conn != p->id)
			continue;
		more(w, d);
		for (int k = 0; k < d->n; k++)
			if (!d->out[k].appended) {
				c->v[c->n] = make(&d->out[k], p->bytes[c->n]);
				c->who[c->n].d = d;
				c->who[c->n++].tag = d->out[k].tag;
			}
		c->clients += c->n > from;
	}
	if (c->n > 1 && rng_below(&w->sim.rng, 4) == 0)	/* the loop's turn ended in the middle */
		c->n = 1 + (int)rng_below(&w->sim.rng, (uint32_t)c->n);
}

/* The batch of the call in its client's window; NULL: the client went elsewhere while the call stood. */
static struct out *still_there(struct world *w, struct proc *p, int part, struct call *c, int i)
{
	struct producer *d = c->who[i].d;

	if (!uuid_eq(&c->topic, &w->part[part].topic) || d->conn != p->id)
		return NULL;
	for (int k = 0; k < d->n; k++)
		if (d->out[k].tag == c->who[i].tag)
			return d->out[k].appended || d->out[k].epoch != c->v[i].producer_epoch ? NULL : &d->out[k];
	return NULL;
}

static void answers(struct world *w, struct proc *p, int part, struct call *c)
{
	for (int i = 0; i < c->n && !w->broken; i++) {
		struct part_batch *b = &c->v[i];
		struct out *o = still_there(w, p, part, c, i);

		if (!o)
			continue;
		if (b->err != OK) {
			refused(w, c->who[i].d, o, b, c->ret.ticket.generation);
			offline(w, p, part);
			continue;
		}
		if (b->duplicate)
			count(C_dup);
		o->appended = true;
		o->base = b->base_offset;
		o->ticket = (struct part_ticket){ c->ret.ticket.generation, o->base + o->records };
		trace(w, p, "batch", "%d: id %lld seq %d n %u -> %lld%s", part, (long long)o->id, o->seq, o->records,
		      (long long)o->base, b->duplicate ? " (duplicate)" : "");
		struct cell *at = o->base >= 0 && o->base < OFFSETS ? &w->part[part].cell[o->base] : NULL;
		if (o->base < 0 || (at && at->tag != 0 && at->tag != o->tag))
			broken(w, "W2", "a batch was answered with another's offset", o->base, o->seq);
	}
}

static int append(struct world *w, struct proc *p, uint32_t slot, const struct uuid *topic, int32_t epoch,
		  struct part_batch *v, int n, struct part_appended *ret)
{
	p->appending = true;
	p->allocs = UINT64_MAX;
	int err = part_append(p->table, slot, topic, epoch, &w->conf, v, n, w->sim.clock.wall_ms(&w->sim.clock), ret);

	p->appending = false;
	return err;
}

/* Sends what the clients of this worker have for a partition, in one call. */
static void produce(struct world *w, struct proc *p, int part)
{
	int32_t epoch = w->epoch;
	struct call c;

	forget_cut(w, p, part);
	gather(w, p, part, &c);
	if (c.n == 0)
		return;
	p->wait[part].lock = p->wait[part].lock_rung = false;
	int err = append(w, p, w->part[part].slot, &c.topic, epoch, c.v, c.n, &c.ret);

	world_ring(w, c.ret.wake_mask, part);
	trace(w, p, "append", "%d: %d batches: %d, end %lld", part, c.n, err, (long long)c.ret.ticket.end_offset);
	if (err == OK) {
		count(C_append);
		if (c.clients > 1)
			count(C_group);
		answers(w, p, part, &c);
		return;
	}
	p->wait[part].lock = err == E_AGAIN;
	if (err == E_AGAIN)
		count(C_busy);
	if (err == E_FENCED)
		count(C_fenced);
	if (err == E_NOSPC)
		count(C_nospc);
	accept(w, err, "append");
	offline(w, p, part);
}

static void acknowledge(struct world *w, struct producer *d)
{
	struct out *o = &d->out[0];

	for (uint32_t i = 0; i < o->records && o->base + i < OFFSETS; i++) {
		struct cell *c = &w->part[d->part].cell[o->base + i];

		if (c->tag != 0 && c->tag != o->tag)
			broken(w, c->acked ? "W1" : "W3", "acknowledged at an offset of another", o->base, o->seq);
		*c = (struct cell){ o->tag, true };
	}
	if (o->control) {
		d->open = false;
		count(o->control == 1 ? C_abort : C_commit);
	}
	memmove(d->out, d->out + 1, sizeof d->out[0] * (size_t)--d->n);
	d->acks++;
	count(C_ack);
}

/* Answers the clients of this worker whose batches are below the high watermark: waits first, then looks. */
static void poll_acks(struct world *w, struct proc *p, int part)
{
	struct partition *t = &w->part[part];
	struct part_view v;
	bool left = false;

	p->wait[part].hw = p->wait[part].hw_rung = false;
	part_wait(p->table, t->slot);
	if (part_view(p->table, t->slot, &t->topic, &v) != OK)
		return;
	check_view(w, part, &v);
	for (int i = 0; i < PRODUCERS; i++) {
		struct producer *d = &w->prod[i];

		while (d->part == part && d->conn == p->id && d->n > 0 && d->out[0].appended && !w->broken) {
			if (d->out[0].ticket.generation != v.generation) {	/* T14 */
				count(C_stale);
				producer_reconnect(w, d);
			} else if (v.high_watermark >= d->out[0].ticket.end_offset) {
				trace(w, p, "ack", "%d: id %lld seq %d at %lld", part, (long long)d->id, d->out[0].seq,
				      (long long)d->out[0].base);
				acknowledge(w, d);
			} else {
				left = true;
				break;
			}
		}
	}
	if (!left)
		part_unwait(p->table, t->slot);
	p->wait[part].hw = left;
	p->wait[part].seen_hw = v.high_watermark;
}

/* A request that stayed behind on a connection that its client left. Its answer goes nowhere. */
static void ghost(struct world *w, struct proc *p)
{
	struct part_appended ret;

	if (w->ghost.tag == 0) {
		struct producer *d = &w->prod[rng_below(&w->sim.rng, PRODUCERS)];

		/* Markers are not sent twice, and a request without a producer id would be a second record. */
		if (d->conn != p->id || d->n == 0 || d->id < 0 || d->transactional)
			return;
		w->ghost = d->out[0];
		w->ghost_part = d->part;
		w->ghost_conn = p->id;
		w->ghost_topic = w->part[d->part].topic;
		producer_reconnect(w, d);
		return;
	}
	if (w->ghost_conn != p->id || w->loose)
		return;
	struct part_batch b = make(&w->ghost, p->bytes[0]);
	int part = w->ghost_part;

	w->ghost.tag = 0;
	if (w->part[part].slot == PART_SLOT_NONE)
		return;
	int err = append(w, p, w->part[part].slot, &w->ghost_topic, w->epoch, &b, 1, &ret);

	world_ring(w, ret.wake_mask, part);
	count(C_ghost);
	accept(w, err, "append");
	offline(w, p, part);
}

/* A follower that diverged: everything behind the high watermark goes. Nobody runs in between, and
 * nobody stands in the middle of an append: the leader epoch would fence him. */
static void truncate(struct world *w, struct proc *p, int part)
{
	struct partition *t = &w->part[part];
	struct part_view v;
	uint64_t wake = 0;

	if (w->conf.durability == PART_REPLICATED)
		return;
	for (int i = 0; i < PROCS; i++)
		if (w->proc[i].appending)
			return;
	if (w->ghost_part == part)
		w->ghost.tag = 0;
	w->hold = true;
	if (part_view(p->table, t->slot, &t->topic, &v) == OK && v.end > v.high_watermark) {
		int64_t to = v.high_watermark +
			     rng_below(&w->sim.rng, (uint32_t)(v.end - v.high_watermark));
		int err = part_truncate(p->table, t->slot, v.leader_epoch, to, &wake);

		trace(w, p, "truncate", "%d: %lld to %lld: %d", part, (long long)v.end, (long long)to, err);
		accept(w, err, "truncate");
		count(p->id == STORAGE ? C_trunc : C_trunc_other);
	}
	w->hold = false;
	world_ring(w, wake, part);
}

void worker_step(struct world *w, struct proc *p)
{
	struct rng *r = &w->sim.rng;
	uint32_t what = rng_below(r, 100);
	int part = (int)rng_below(r, PARTS);

	if (w->part[part].slot == PART_SLOT_NONE || offline(w, p, part))
		return;
	if (what < 45 && !w->stopping)
		produce(w, p, part);
	if (what < 80)
		poll_acks(w, p, part);
	else if (what < 95)
		read_somewhere(w, p, part);
	else if (what < 97)
		scan_whole(w, p, part);
	else if (what < 98)
		part_files_trim(p->table);
	else if (what < 99 && !w->calm && rng_below(r, 100) < w->truncate_percent)
		truncate(w, p, part);
	else if (!w->stopping && !w->calm)
		ghost(w, p);
}

/* ---- storage process, and what the agent does of a replica's life ---- */

static void sync_finish(struct world *w, struct proc *p)
{
	struct disk *d = &p->disk.disk;
	uint64_t wake = 0;
	bool ok = true;
	int part = -1;

	for (int i = 0; i < p->job.n_files; i++)
		ok &= d->calls->sync(d, p->job.file[i]) == OK;
	if (p->job.dir)
		ok &= d->calls->sync_dir(d, p->job.dir_path) == OK;
	for (int i = 0; i < PARTS; i++)
		if (w->part[i].slot == p->job_slot)
			part = i;
	if (ok) {
		if (part >= 0)
			p->wait[part].lock = p->wait[part].lock_rung = false;
		int err = part_synced(p->table, p->job_slot, p->job.gen, p->job.end, &w->conf, &wake);

		trace(w, p, "synced", "%d: to %lld, %d files: %d", part, (long long)p->job.end, p->job.n_files, err);
		if (part >= 0)
			p->wait[part].lock = err == E_AGAIN;
		if (err != E_RANGE && err != E_CONFLICT)
			accept(w, err, "synced");
		count(p->job.n_files > 0 ? C_sync : C_sync_told);
	} else {
		count(C_sync_failed);
		part_offline(p->table, p->job_slot, &wake);
		trace(w, p, "offline", "%d", part);
	}
	if (part >= 0)
		world_ring(w, wake, part);
	part_sync_end(p->table, &p->job);
	p->syncing = false;
}

static void sync_start(struct world *w, struct proc *p, int part)
{
	p->job_slot = w->part[part].slot;
	int err = part_sync_begin(p->table, p->job_slot, &p->job);

	accept(w, err, "sync begin");
	if (err == OK && p->job.due)
		p->syncing = true;
	else
		part_sync_end(p->table, &p->job);
}

static void on_garbage(void *ctx, const char *path)
{
	struct proc *p = ctx;

	(void)p->disk.disk.calls->unlink(&p->disk.disk, path);
}

static void retain(struct world *w, struct proc *p, int part)
{
	uint64_t bytes = 0, wake = 0;
	int64_t was = w->part[part].start;

	w->part[part].retains = true;
	int err = part_retain(p->table, w->part[part].slot, &w->conf, &w->keep,
			      w->sim.clock.wall_ms(&w->sim.clock), on_garbage, p, &bytes, &wake);

	world_ring(w, wake, part);
	trace(w, p, "retain", "%d: %d, start %lld -> %lld", part, err, (long long)was, (long long)w->part[part].start);
	accept(w, err, "retain");
	if (w->part[part].start > was)
		count(C_retain);
}

static void move_start(struct world *w, struct proc *p, int part)
{
	struct partition *t = &w->part[part];
	struct part_view v;
	uint64_t wake = 0;

	if (part_view(p->table, t->slot, &t->topic, &v) != OK || v.high_watermark <= v.log_start)
		return;
	/* Also below where it starts already: that changes nothing. */
	int64_t to = rng_below(&w->sim.rng, 3) ? v.log_start : 0;

	to += rng_below(&w->sim.rng, (uint32_t)(v.high_watermark - to) + 1);

	if (to > t->start)
		t->start = to;
	int err = part_set_log_start(p->table, t->slot, to, &wake);

	world_ring(w, wake, part);
	if (err != E_RANGE)		/* cut or recovered meanwhile */
		accept(w, err, "log start");
	count(C_start);
}

/* Opens, recovers, removes; true: there was something to do. */
static bool life(struct world *w, struct proc *p, int part)
{
	struct partition *t = &w->part[part];
	struct part_key key = { .topic_id = t->topic, .partition = part, .topic = "t" };
	struct part_view v;

	for (uint32_t i = 0; i < part_slots_end(p->table); i++)
		if (part_slot_state(p->table, i) == PART_DELETING)
			accept(w, part_slot_reap(p->table, i), "reap");
	if (t->slot == PART_SLOT_NONE) {
		uint32_t slot = part_slot_find(p->table, &t->topic, part);
		int err = slot != PART_SLOT_NONE ? OK : part_slot_open(p->table, &key, &slot);

		if (err != OK && err != E_EXIST && err != E_LIMIT)
			broken(w, "W5", "open", err, part);
		if (err == OK || err == E_EXIST)
			t->slot = slot;
		return true;
	}
	if (offline(w, p, part))
		return true;
	if (t->removing) {
		t->removing = false;
		part_slot_delete(p->table, t->slot);
		trace(w, p, "delete", "%d", part);
		world_topic_new(w, part);
		count(C_remove);
		return true;
	}
	if (part_slot_state(p->table, t->slot) == PART_OPENING) {
		int err = part_slot_recover(p->table, t->slot, p->clean);

		trace(w, p, "recover", "%d: %d", part, err);
		accept(w, err, "recover");
		count(C_reopen);
		return true;
	}
	if (t->verify) {
		scan_whole(w, p, part);
		return true;
	}
	if (part_view(p->table, t->slot, &t->topic, &v) == OK && v.leader_epoch < w->epoch) {
		int err = part_become_leader(p->table, t->slot, w->epoch);

		if (accept(w, err, "leader"))
			count(C_lead);
		return true;
	}
	return false;
}

/* The broker stops in order: what is left is synced, then the checkpoint says that it is. */
static void stop(struct world *w, struct proc *p)
{
	for (int i = 0; i < PARTS; i++) {
		struct part_view v;

		if (w->part[i].slot == PART_SLOT_NONE ||
		    part_view(p->table, w->part[i].slot, &w->part[i].topic, &v) != OK)
			return;
		if (v.synced < v.end || v.high_watermark < v.end) {
			sync_start(w, p, i);
			return;
		}
	}
	int err = part_checkpoint(p->table, true);

	if (accept(w, err, "checkpoint"))
		p->done = true;
}

static void start(struct world *w, struct proc *p)
{
	accept(w, part_checkpoint_load(p->table, &p->clean), "checkpoint load");
	for (uint32_t i = 0; i < part_slots_end(p->table); i++)
		if (part_slot_check(p->table, i) == E_DAMAGED)
			trace(w, p, "damaged", "slot %u", i);
	p->started = true;
}

void storage_step(struct world *w, struct proc *p)
{
	struct rng *r = &w->sim.rng;
	uint32_t what = rng_below(r, 100);
	int part = (int)rng_below(r, PARTS);
	uint64_t wake = 0;

	if (!p->started) {
		start(w, p);
		return;
	}
	if (p->syncing) {
		sync_finish(w, p);
		return;
	}
	if (p->done || life(w, p, part))
		return;
	if (w->stopping && rng_below(r, 2)) {
		stop(w, p);
	} else if (what < 60) {
		sync_start(w, p, part);
	} else if (what < 70) {
		accept(w, part_checkpoint(p->table, false), "checkpoint");
		trace(w, p, "checkpoint", " ");
		count(C_ckpt);
	} else if (what < 75 && !w->calm && rng_below(r, 100) < w->truncate_percent) {
		truncate(w, p, part);
	} else if (what < 79) {
		retain(w, p, part);
	} else if (what < 80 && !w->calm && rng_below(r, 3) == 0) {
		move_start(w, p, part);
	} else if (what < 84) {
		accept(w, part_roll_if_due(p->table, w->part[part].slot, &w->conf,
					   w->sim.clock.wall_ms(&w->sim.clock), &wake), "roll");
		trace(w, p, "roll", "%d", part);
		world_ring(w, wake, part);
		count(C_roll);
	} else if (what < 92) {
		/* Killed in the middle, it may leave blocks behind a segment that was closed meanwhile. */
		p->reserving = &w->part[part];
		accept(w, part_reserve(p->table, w->part[part].slot, &w->conf), "reserve");
		p->reserving = NULL;
		trace(w, p, "reserve", "%d", part);
		count(C_reserve);
	} else if (what < 94) {
		part_files_trim(p->table);
	} else {
		scan_whole(w, p, part);
	}
}
