/*
 * propose.c - proposals and reads of this node: queued, sent to the leader's log (here or there), resent when
 * the leader or the way to it changes, and told apart from their repetitions. node.h N1-N3.
 *
 * Every entry names the disk of the node that made it, the count of that node's starts, and a number that
 * grows. Replicas keep the last number applied of each disk and skip what is not newer. So a proposal may be
 * sent again without asking whether the old leader logged it; what is skipped while it still waits here was
 * refused by a leader and overtaken.
 *
 * PF_FORWARD: [0] starts (32 bits), then of each [0] number (64) [8] frees (8) [9] bytes (32) [13] entry
 * PF_REFUSE: [0] number [8] error (32)
 * PF_READ: [0] id   PF_READ_OK: [0] id [8] index (0: not now)
 */
#include <string.h>

#include "base/assert.h"
#include "base/be.h"
#include "base/mem.h"
#include "base/mutant.h"
#include "quorum/node_in.h"

#define FORWARD_BYTES (1u << 20)	/* of one frame, unless a single entry is larger */

/* ---- the queue ---- */

static void prop_done(struct node *n, struct prop *q, int err, int64_t zxid, const struct coord_result *r)
{
	n->nprops--;
	n->props_bytes -= q->len;
	if (q->req)
		q->req->done(q->req, err, zxid, r);
	mem_free(q);
}

/* *at leaves the queue, and is returned. */
static struct prop *prop_take(struct node *n, struct prop **at)
{
	struct prop *q = *at;

	*at = q->next;
	if (!*at)
		n->props_tail = at;
	if (n->unsent == q)
		n->unsent = q->next;
	return q;
}

static int queue(struct node *n, const uint8_t *entry, uint32_t len, bool frees, struct node_req *q, int64_t ends)
{
	bool leads = n->raft.role == RAFT_LEADER;

	if (n->raft.leader == RAFT_NOBODY && node_now_ms(n) - n->led_ms > NODE_PATIENCE_MS)
		return E_AGAIN;
	if (n->nprops >= NODE_QUEUE_MAX || n->props_bytes + len > NODE_QUEUE_BYTES)
		return E_AGAIN;
	if (leads && !frees && !node_has_space(n))
		return E_NOSPC;
	struct prop *p = mem_alloc(sizeof *p + ENTRY_HEAD + len);

	p->seq = ++n->seq;
	p->req = q;
	p->ends = ends;
	p->frees = frees;
	p->len = ENTRY_HEAD + len;
	be64_put(p->p, n->raft.id);
	be32_put(p->p + 8, n->log.starts);
	be64_put(p->p + 12, p->seq);
	memcpy(p->p + ENTRY_HEAD, entry, len);
	*n->props_tail = p;
	n->props_tail = &p->next;
	if (!n->unsent)
		n->unsent = p;
	n->nprops++;
	n->props_bytes += p->len;
	n->proposals++;
	return OK;
}

int node_propose(struct node *n, const uint8_t *entry, uint32_t len, bool frees, struct node_req *q)
{
	return queue(n, entry, len, frees, q, 0);
}

int propose_end(struct node *n, int64_t session, const uint8_t *entry, uint32_t len)
{
	return queue(n, entry, len, true, NULL, session);
}

void propose_drop_ends(struct node *n)
{
	for (struct prop **at = &n->props, *q; (q = *at);) {
		if (q->ends == 0 || mutant(OLD_END_RESENT)) {
			at = &q->next;
			continue;
		}
		sessions_closing(&n->sessions, q->ends, false);
		prop_take(n, at);
		prop_done(n, q, E_AGAIN, 0, NULL);
	}
}

void propose_again(struct node *n)
{
	n->unsent = n->props;
}

/* ---- to the log ---- */

/* T24, N4: the leader gives the zxid and the time. E_BAD: not an entry of the tree. */
static int to_entry(struct node *n, const uint8_t *p, uint32_t len, struct raft_entry *ret)
{
	struct pend *e = node_pend(RAFT_DATA, n->next_zxid, p, len);

	if (coord_stamp(e->p + ENTRY_HEAD, len - ENTRY_HEAD, node_time_ms(n)) != OK) {
		mem_free(e);
		return E_BAD;
	}
	n->next_zxid++;
	*ret = (struct raft_entry){ .type = RAFT_DATA, .handle = e };
	return OK;
}

static void log_here(struct node *n)
{
	struct raft_entry v[RAFT_BATCH_MAX];

	while (n->unsent && n->served && n->raft.transfer_to == RAFT_NOBODY) {
		uint32_t k = 0;

		for (; n->unsent && k < RAFT_BATCH_MAX; k++, n->unsent = n->unsent->next) {
			int err = to_entry(n, n->unsent->p, n->unsent->len, &v[k]);

			must(err == OK);
			n->unsent->sent = true;
		}
		int err = node_step(n, &(struct raft_event){ .type = RAFT_EV_PROPOSE, .entries = v, .n = k });

		must(err == OK);
	}
}

static void forward(struct node *n)
{
	uint64_t to = n->raft.leader;

	while (n->unsent && peers_up(n->peers, to)) {
		struct prop *q = n->unsent;
		struct buf b;
		uint32_t bytes = 0;

		peers_frame(&b, PF_FORWARD);
		buf_be32(&b, n->log.starts);
		for (; q && (bytes == 0 || bytes + q->len < FORWARD_BYTES); q = q->next) {
			buf_be64(&b, q->seq);
			buf_u8(&b, q->frees);
			buf_be32(&b, q->len - ENTRY_HEAD);
			buf_put(&b, q->p + ENTRY_HEAD, q->len - ENTRY_HEAD);
			bytes += q->len;
			q->resent = q->sent;
			q->sent = true;
			n->forwarded++;
		}
		if (!peers_send(n->peers, to, &b))
			return;			/* too much is queued: they stay unsent */
		n->unsent = q;
	}
}

void propose_turn(struct node *n)
{
	if (!n->unsent)
		return;
	if (n->served)
		log_here(n);
	else if (n->raft.role != RAFT_LEADER && n->raft.leader != RAFT_NOBODY && n->peers)
		forward(n);
}

/* ---- on the leader ---- */

static struct intake *intake_of(struct node *n, uint64_t disk)
{
	for (uint32_t i = 0; i < n->nintake; i++)
		if (n->intake[i].disk == disk)
			return &n->intake[i];
	if (n->nintake == RAFT_MEMBERS_MAX || !raft_config_find(raft_config(&n->raft), disk))
		return NULL;
	n->intake[n->nintake] = (struct intake){ .disk = disk };
	return &n->intake[n->nintake++];
}

static void refuse(struct node *n, uint64_t to, uint64_t seq, int err)
{
	struct buf b;

	peers_frame(&b, PF_REFUSE);
	buf_be64(&b, seq);
	buf_be32(&b, (uint32_t)err);
	(void)peers_send(n->peers, to, &b);
}

static void take_one(struct node *n, struct intake *in, uint32_t starts, uint64_t seq, bool frees, const uint8_t *p,
		     uint32_t len)
{
	struct raft_entry e = { 0 };
	struct buf b;

	if (in->starts != starts)		/* it was restarted, and counts anew */
		*in = (struct intake){ .disk = in->disk, .starts = starts };
	if (in->hold > 0 && seq > in->hold)
		return;
	in->hold = 0;
	if (seq <= in->seq)
		return;			/* it is in the log already */
	if (!n->served || n->raft.transfer_to != RAFT_NOBODY) {
		in->hold = seq;
		refuse(n, in->disk, seq, E_AGAIN);
		return;
	}
	if (!frees && !node_has_space(n)) {
		refuse(n, in->disk, seq, E_NOSPC);
		return;
	}
	buf_init(&b, ENTRY_HEAD + len);
	buf_be64(&b, in->disk);
	buf_be32(&b, starts);
	buf_be64(&b, seq);
	buf_put(&b, p, len);
	int err = to_entry(n, b.p, (uint32_t)b.len, &e);

	buf_release(&b);
	if (!err)
		err = node_step(n, &(struct raft_event){ .type = RAFT_EV_PROPOSE, .entries = &e, .n = 1 });
	if (err)
		mem_free(e.handle);
	if (err)
		refuse(n, in->disk, seq, err == E_BAD ? E_BAD : E_AGAIN);
	else
		in->seq = seq;
}

void propose_on_forward(struct node *n, uint64_t from, const uint8_t *p, uint32_t len)
{
	struct intake *in = intake_of(n, from);

	if (!in || len < 4)
		return;
	uint32_t starts = be32_get(p);

	for (uint32_t at = 4; at + 13 <= len;) {
		uint32_t k = be32_get(p + at + 9);

		if (k > len - at - 13)
			return;
		take_one(n, in, starts, be64_get(p + at), p[at + 8] != 0, p + at + 13, k);
		at += 13 + k;
	}
}

void propose_on_refuse(struct node *n, uint64_t from, const uint8_t *p, uint32_t len)
{
	if (len != 12 || from != n->raft.leader)
		return;
	uint64_t seq = be64_get(p);
	int err = (int)be32_get(p + 8);

	for (struct prop **at = &n->props; *at; at = &(*at)->next) {
		struct prop *q = *at;

		if (q->seq != seq)
			continue;
		if (err == E_AGAIN) {		/* with all behind it: again, in their order, a tick later */
			n->again = true;
			return;
		}
		prop_take(n, at);
		/* WHY unsure: the copy that was refused is one of two. */
		prop_done(n, q, q->resent ? E_UNSURE : err == E_NOSPC ? E_NOSPC : E_BAD, 0, NULL);
		return;
	}
}

/* ---- applied ---- */

static struct origin *origin_of(struct node *n, uint64_t disk)
{
	struct origin *oldest = &n->origin[0];

	for (uint32_t i = 0; i < n->norigins; i++) {
		if (n->origin[i].disk == disk)
			return &n->origin[i];
		if (n->origin[i].index < oldest->index)
			oldest = &n->origin[i];
	}
	if (n->norigins < NODE_ORIGINS_MAX)
		oldest = &n->origin[n->norigins++];
	*oldest = (struct origin){ .disk = disk };
	return oldest;
}

bool propose_fresh(struct node *n, const struct pend *e)
{
	struct origin *o = origin_of(n, be64_get(e->p));
	uint32_t starts = be32_get(e->p + 8);
	uint64_t seq = be64_get(e->p + 12);

	o->index = e->index;
	if ((starts < o->starts || (starts == o->starts && seq <= o->seq)) && !mutant(REPEATED_APPLIED))
		return false;
	o->starts = starts;
	o->seq = seq;
	return true;
}

void propose_applied(struct node *n, const struct pend *e, const struct coord_result *r)
{
	uint64_t seq = be64_get(e->p + 12);

	if (be64_get(e->p) != n->raft.id || be32_get(e->p + 8) != n->log.starts)
		return;
	/* Older ones that still wait were refused on the way, and can no longer be applied. */
	while (n->props && n->props->seq < seq)
		prop_done(n, prop_take(n, &n->props), E_AGAIN, 0, NULL);
	if (n->props && n->props->seq == seq)
		prop_done(n, prop_take(n, &n->props), r ? OK : E_AGAIN, e->zxid, r);
}

/* The image holds the effects of some that wait here, but not what the tree said to them. */
void propose_after_image(struct node *n)
{
	for (uint32_t i = 0; i < n->norigins; i++) {
		const struct origin *o = &n->origin[i];

		while (n->props && o->disk == n->raft.id && o->starts == n->log.starts && n->props->seq <= o->seq)
			prop_done(n, prop_take(n, &n->props), E_UNSURE, 0, NULL);
	}
	propose_again(n);
}

void propose_fail(struct node *n, int err_sent)
{
	while (n->props) {
		struct prop *q = prop_take(n, &n->props);

		prop_done(n, q, q->sent ? err_sent : E_AGAIN, 0, NULL);
	}
}

void propose_tick(struct node *n, uint64_t now_ms)
{
	if (n->again) {
		n->again = false;
		propose_again(n);
		read_again(n);
	}
	bool nobody = n->raft.leader == RAFT_NOBODY || (n->raft.leader == n->raft.id && !n->served);

	if (nobody && now_ms - n->led_ms > NODE_PATIENCE_MS) {
		propose_fail(n, E_UNSURE);
		read_fail(n);
	}
}

/* ---- reads ---- */

void node_read(struct node *n, struct node_read *r)
{
	r->next = NULL;
	r->since_ms = node_now_ms(n);
	*n->reads_new_tail = r;
	n->reads_new_tail = &r->next;
	n->nreads++;
}

static void batch_drop(struct node *n, uint32_t i)
{
	n->nbatch--;
	memmove(&n->batch[i], &n->batch[i + 1], (n->nbatch - i) * sizeof n->batch[0]);
}

/* One batch of this node is under way at a time; what comes meanwhile is the next. */
static void batch_known(struct node *n, uint64_t index)
{
	if (!n->reads_sent)
		return;
	for (struct node_read *r = n->reads_sent; r; r = r->next)
		r->index = index;
	*n->waiting_tail = n->reads_sent;
	n->waiting_tail = n->reads_sent_tail;
	n->reads_sent = NULL;
	n->reads_sent_tail = &n->reads_sent;
	n->reads_id++;			/* answers to it that come late are nobody's */
}

/* Asks raft for a round; it will be confirmed at the commit index of now. False: not now. */
static bool ask_round(struct node *n, uint64_t peer, uint64_t id)
{
	struct raft_effects fx;

	if (!n->served || n->nbatch == sizeof n->batch / sizeof n->batch[0] ||
	    raft_step(&n->raft, &(struct raft_event){ .type = RAFT_EV_READ, .now_ms = node_now_ms(n) }, &fx) != OK)
		return false;
	n->batch[n->nbatch++] = (struct read_batch){ peer, id, fx.read_round, n->raft.commit };	/* R10, T25 */
	return true;
}

static void tell_barrier(struct node *n, uint64_t to, uint64_t id, uint64_t index)
{
	struct buf b;

	peers_frame(&b, PF_READ_OK);
	buf_be64(&b, id);
	buf_be64(&b, index);
	(void)peers_send(n->peers, to, &b);
}

void read_turn(struct node *n)
{
	if (!n->reads_new || n->reads_sent)
		return;
	if (n->served) {
		if (!ask_round(n, RAFT_NOBODY, n->reads_id))
			return;
	} else {
		struct buf b;

		if (n->raft.role == RAFT_LEADER || n->raft.leader == RAFT_NOBODY || !n->peers)
			return;
		peers_frame(&b, PF_READ);
		buf_be64(&b, n->reads_id);
		if (!peers_send(n->peers, n->raft.leader, &b))
			return;
	}
	n->reads_sent = n->reads_new;
	n->reads_sent_tail = n->reads_new_tail;
	n->reads_new = NULL;
	n->reads_new_tail = &n->reads_new;
	if (mutant(READ_UNCONFIRMED) && n->served)
		read_confirmed(n, UINT64_MAX);
	if (mutant(READ_NOT_ASKED) && !n->served) {
		batch_known(n, n->applied);
		read_applied(n);
	}
}

void read_confirmed(struct node *n, uint64_t round)
{
	for (uint32_t i = 0; i < n->nbatch;) {
		struct read_batch b = n->batch[i];

		if (b.round > round) {
			i++;
			continue;
		}
		batch_drop(n, i);
		if (b.peer != RAFT_NOBODY)
			tell_barrier(n, b.peer, b.id, b.index);
		else if (b.id == n->reads_id)
			batch_known(n, b.index);
	}
	read_applied(n);
}

void read_applied(struct node *n)
{
	while (n->waiting && (n->waiting->index <= n->applied || mutant(READ_UNAPPLIED))) {
		struct node_read *r = n->waiting;

		n->waiting = r->next;
		if (!n->waiting)
			n->waiting_tail = &n->waiting;
		r->done(r, OK);
	}
}

void read_on_ask(struct node *n, uint64_t from, const uint8_t *p, uint32_t len)
{
	if (len != 8)
		return;
	for (uint32_t i = 0; i < n->nbatch; i++)		/* it asks anew: the old question is void */
		if (n->batch[i].peer == from) {
			batch_drop(n, i);
			break;
		}
	if (!ask_round(n, from, be64_get(p)))
		tell_barrier(n, from, be64_get(p), 0);
}

/* What is out and unanswered is asked again, before what is new. */
void read_again(struct node *n)
{
	if (!n->reads_sent)
		return;
	*n->reads_sent_tail = n->reads_new;
	if (n->reads_new)
		n->reads_sent_tail = n->reads_new_tail;
	n->reads_new = n->reads_sent;
	n->reads_new_tail = n->reads_sent_tail;
	n->reads_sent = NULL;
	n->reads_sent_tail = &n->reads_sent;
	n->reads_id++;
}

void read_on_ok(struct node *n, uint64_t from, const uint8_t *p, uint32_t len)
{
	if (len != 16 || from != n->raft.leader || be64_get(p) != n->reads_id)
		return;
	if (be64_get(p + 8) == 0) {
		n->again = true;
		return;
	}
	batch_known(n, be64_get(p + 8));
	read_applied(n);
}

void read_lost_lead(struct node *n)
{
	n->nbatch = 0;
	read_again(n);
}

static void fail_list(struct node_read *r)
{
	for (struct node_read *next; r; r = next) {
		next = r->next;
		r->done(r, E_AGAIN);
	}
}

void read_fail(struct node *n)
{
	read_again(n);
	struct node_read *a = n->waiting, *b = n->reads_new;

	n->waiting = n->reads_new = NULL;
	n->waiting_tail = &n->waiting;
	n->reads_new_tail = &n->reads_new;
	fail_list(a);
	fail_list(b);
}
