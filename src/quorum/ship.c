/*
 * ship.c - an image of the tree on its way to a peer that is behind the log, in pieces that it acknowledges.
 *
 * PF_IMAGE: [0] term [8] index [16] index_term [24] zxid [32] bytes [40] crc (32 bits) [44] offset [52] piece
 * PF_IMAGE_OK: [0] index [8] next offset wanted
 * The first PF_IMAGE has no piece: it asks how far the peer is with this very image, so that one that was cut
 * off goes on where it was.
 */
#include <string.h>

#include "base/assert.h"
#include "base/be.h"
#include "base/mem.h"
#include "quorum/node_in.h"

#define HEAD 52u
#define PIECE (256u << 10)
#define WINDOW (4u * PIECE)
#define IDLE_MS 10000u			/* without an acknowledgement: given up, and asked again */
#define ASK_MS 1000u			/* where to begin was not answered: it had no connection yet */

static struct ship *find(struct node *n, uint64_t peer)
{
	for (uint32_t i = 0; i < sizeof n->ship / sizeof n->ship[0]; i++)
		if (n->ship[i].peer == peer)
			return &n->ship[i];
	return NULL;
}

static void end(struct ship *s)
{
	if (s->reading) {		/* the disk has buf */
		s->cut = true;
		return;
	}
	s->n->disk->calls->close(s->n->disk, s->file);
	mem_free(s->buf);
	*s = (struct ship){ .peer = RAFT_NOBODY };
}

static void failed(struct node *n, uint64_t peer)
{
	if (node_step(n, &(struct raft_event){ .type = RAFT_EV_IMAGE_FAILED, .peer = peer }) != OK)
		n->dropped++;
}

static void send_piece(struct ship *s, uint64_t off, const uint8_t *p, uint32_t len)
{
	struct buf b;

	peers_frame(&b, PF_IMAGE);
	buf_be64(&b, s->n->raft.term);
	buf_be64(&b, s->what.index);
	buf_be64(&b, s->what.term);
	buf_be64(&b, (uint64_t)s->what.zxid);
	buf_be64(&b, s->what.bytes);
	buf_be32(&b, s->what.crc);
	buf_be64(&b, off);
	if (len > 0)
		buf_put(&b, p, len);
	(void)peers_send(s->n->peers, s->peer, &b);
}

static void more(struct ship *s);

static void on_read(struct disk_op *op, int err)
{
	struct ship *s = (struct ship *)(void *)((char *)op - offsetof(struct ship, op));
	uint64_t peer = s->peer;
	struct node *n = s->n;

	s->reading = false;
	if (s->cut || err || op->ret_len == 0) {
		bool tell = !s->cut;

		end(s);
		if (tell)
			failed(n, peer);
		return;
	}
	send_piece(s, s->sent, s->buf, op->ret_len);
	s->sent += op->ret_len;
	more(s);
}

static void more(struct ship *s)
{
	uint64_t left = s->what.bytes - s->sent;

	if (s->reading || left == 0 || s->sent - s->acked >= WINDOW)
		return;
	s->reading = true;
	s->op = (struct disk_op){ .what = DISK_READ, .file = s->file, .off = RLOG_SNAP_HEAD + s->sent, .buf = s->buf,
				  .len = left < PIECE ? (uint32_t)left : PIECE, .done = on_read };
	s->n->disk->calls->submit(s->n->disk, &s->op);
}

void ship_start(struct node *n, uint64_t peer)
{
	struct ship *s = find(n, peer);

	if (s || !n->peers || !peers_up(n->peers, peer))
		return;			/* asked again by ship_tick() */
	s = find(n, RAFT_NOBODY);
	int err = s ? rlog_snapshot_file(&n->log, &s->file, &s->what) : E_LIMIT;

	if (err || raft_term_of(&n->raft, s->what.index) != s->what.term) {
		if (!err)
			n->disk->calls->close(n->disk, s->file);
		/* Two at a time; tried again with the next heartbeat that is due. */
		return;
	}
	s->n = n;
	s->peer = peer;
	s->buf = mem_alloc(PIECE);
	s->since_ms = node_now_ms(n);
	s->sent = s->acked = UINT64_MAX;	/* not known yet */
	node_log(n, "sending an image to a node that is behind the log", "node=%u index=%llu bytes=%llu",
		 member_node(n, peer), (unsigned long long)s->what.index, (unsigned long long)s->what.bytes);
	send_piece(s, 0, NULL, 0);
}

void ship_stop(struct node *n, uint64_t peer)
{
	struct ship *s = find(n, peer);

	if (s)
		end(s);
	message_drop_catchup(n, peer);
}

void ship_tick(struct node *n, uint64_t now_ms)
{
	const struct raft_config *c = raft_config(&n->raft);

	for (uint32_t i = 0; i < sizeof n->ship / sizeof n->ship[0]; i++) {
		struct ship *s = &n->ship[i];
		uint64_t peer = s->peer;

		if (peer == RAFT_NOBODY || s->cut)
			continue;
		uint32_t k = 0;

		while (k < c->n && c->m[k].id != peer)
			k++;
		/* It is in place there (the log may have moved on meanwhile: then another one follows), or given up. */
		if (n->raft.role != RAFT_LEADER || k == c->n || n->raft.peer[k].pace != RAFT_IMAGE ||
		    n->raft.peer[k].match >= s->what.index ||
		    now_ms - s->since_ms > (s->sent == UINT64_MAX ? ASK_MS : IDLE_MS)) {
			end(s);
			failed(n, peer);
		}
	}
	/* who found no place is tried again */
	for (uint32_t i = 0; n->raft.role == RAFT_LEADER && i < c->n; i++) {
		for (uint32_t k = 0; k < RAFT_MEMBERS_MAX; k++)
			if (n->catchup[k].peer == c->m[i].id && n->catchup[k].ready &&
			    n->raft.peer[i].match >= n->catchup[k].last)
				message_drop_catchup(n, c->m[i].id);
		if (n->raft.peer[i].pace == RAFT_IMAGE && !find(n, c->m[i].id))
			failed(n, c->m[i].id);
	}
}

bool ship_busy(const struct node *n)
{
	for (uint32_t i = 0; i < sizeof n->ship / sizeof n->ship[0]; i++)
		if (n->ship[i].peer != RAFT_NOBODY)
			return true;
	return false;
}

void ship_on_image_ok(struct node *n, uint64_t from, const uint8_t *p, uint32_t len)
{
	struct ship *s = find(n, from);

	if (!s || s->cut || len != 16 || be64_get(p) != s->what.index || be64_get(p + 8) > s->what.bytes)
		return;
	uint64_t next = be64_get(p + 8);

	s->since_ms = node_now_ms(n);
	if (s->sent == UINT64_MAX)
		s->sent = next;
	s->acked = next;
	if (next == s->what.bytes) {		/* raft's own answer comes when it is in place */
		n->images_sent++;
		return;
	}
	if (next > s->sent)
		s->sent = next;
	more(s);
}

void ship_close(struct node *n)
{
	for (uint32_t i = 0; i < sizeof n->ship / sizeof n->ship[0]; i++)
		if (n->ship[i].peer != RAFT_NOBODY) {
			n->disk->calls->close(n->disk, n->ship[i].file);
			mem_free(n->ship[i].buf);
		}
	for (uint32_t i = 0; i < RAFT_MEMBERS_MAX; i++)
		if (n->catchup[i].peer != RAFT_NOBODY)
			mem_free(n->catchup[i].f.buf);
}

/* ---- the other side ---- */

static void want(struct node *n, uint64_t index, uint64_t off)
{
	struct buf b;

	peers_frame(&b, PF_IMAGE_OK);
	buf_be64(&b, index);
	buf_be64(&b, off);
	(void)peers_send(n->peers, n->image_from, &b);
}

void ship_on_image(struct node *n, uint64_t from, const uint8_t *p, uint32_t len)
{
	if (len < HEAD)
		return;
	struct rlog_image what = { .index = be64_get(p + 8), .term = be64_get(p + 16),
		.zxid = (int64_t)be64_get(p + 24),
				   .bytes = be64_get(p + 32), .crc = be32_get(p + 40) };
	struct raft_event ev = { .type = RAFT_EV_MSG, .msg = { .type = RAFT_SNAPSHOT, .from = from, .to = n->raft.id,
		.term = be64_get(p), .index = what.index, .index_term = what.term } };

	/* raft answers by itself when it does not need it, and knows the leader from it (T21). */
	if (what.bytes > UINT32_MAX || what.index == 0 || what.term == 0 || node_step(n, &ev) != OK ||
	    n->raft.leader != from || what.index <= n->raft.commit || n->log.image.busy)
		return;
	n->image_from = from;
	int err = rlog_image_begin(&n->log, &what);

	if (!err && len > HEAD)
		err = rlog_image_put(&n->log, be64_get(p + 44), p + HEAD, len - HEAD);
	if (err && err != E_RANGE) {
		node_log(n, "an image from the leader cannot be taken", "reason=\"%s\"", err_text(err));
		return;
	}
	want(n, what.index, n->log.image.have);
}

void ship_taken(struct node *n, int err)
{
	struct raft_config config = { 0 };
	struct rlog_image what = n->log.image;
	uint8_t *p = NULL;
	uint32_t len = 0;

	if (!raft_wants_image(&n->raft, what.index, what.term)) {	/* the log was faster */
		rlog_image_discard(&n->log);
		return;
	}
	if (!err)
		err = rlog_image_load(&n->log, &p, &len);
	if (!err)
		node_load_image(n, p, len, what.index, what.term, &config, &err);
	mem_free(p);
	if (err) {
		n->conf.on_fatal(n->conf.user, "an image from the leader cannot be read", err);
		return;
	}
	rlog_image_install(&n->log);
	n->images_taken++;
	node_log(n, "an image from the leader replaced the log", "index=%llu bytes=%llu",
		(unsigned long long)what.index,
		 (unsigned long long)what.bytes);
	propose_after_image(n);
	for (uint32_t i = 0; i < n->nlisteners; i++)
		if (n->listener[i].on_reset)
			n->listener[i].on_reset(n->listener[i].user);
	err = node_step(n, &(struct raft_event){ .type = RAFT_EV_INSTALLED, .index = what.index, .term = what.term,
						 .config = &config });
	must(err == OK);
}
