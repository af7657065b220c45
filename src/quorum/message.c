/*
 * message.c - raft's messages as frames, and the entries that go with them: from memory, or read back from
 * the log for a peer that is behind.
 *
 * Body of PF_RAFT: [0] type [1] flags (1 ok, 2 forced, 4 removed, 8 lost) [2] to [10] term [18] index [26] index_term
 * [34] at [42] commit [50] round [58] entries (32 bits) [62] entries as in the log (rlog.h), each with its checksum.
 */
#include <string.h>

#include "base/assert.h"
#include "base/be.h"
#include "base/mem.h"
#include "quorum/node_in.h"

#define HEAD 62u
#define FETCH_BYTES (1u << 20)

enum { FLAG_OK = 1, FLAG_FORCED = 2, FLAG_REMOVED = 4, FLAG_LOST = 8 };

/* ---- entries ---- */

static const struct catchup *fetched(const struct node *n, uint64_t index)
{
	for (uint32_t i = 0; i < RAFT_MEMBERS_MAX; i++) {
		const struct catchup *c = &n->catchup[i];

		if (c->peer != RAFT_NOBODY && c->ready && index >= c->first && index <= c->last)
			return c;
	}
	return NULL;
}

/* Where the entry is in c's bytes: entries before it are walked over. */
static const uint8_t *fetched_at(const struct catchup *c, uint64_t index)
{
	const uint8_t *p = c->f.buf + c->f.from;

	for (uint64_t i = c->first; i < index; i++)
		p += RLOG_ENTRY_HEAD + be32_get(p + 4);
	return p;
}

/* What was read before the log was cut and written again is not sent: R3, log matching. */
static bool is_ours(const struct node *n, const uint8_t *p, uint64_t index)
{
	return be64_get(p + RLOG_ENTRY_TERM) == raft_term_of(&n->raft, index);
}

uint32_t message_fit(const struct raft_store *s, uint64_t index, uint32_t count, uint32_t max_bytes,
		     uint32_t *ret_bytes)
{
	const struct node *n = (const struct node *)(const void *)((const char *)s - offsetof(struct node, store));
	const struct catchup *c = NULL;
	const uint8_t *p = NULL;
	uint32_t k = 0, bytes = 0;

	for (; k < count; k++) {
		const struct pend *e = node_cached(n, index + k);
		uint32_t len;

		if (e) {
			len = e->len;
		} else {
			if (!c || index + k > c->last) {
				c = fetched(n, index + k);
				p = c ? fetched_at(c, index + k) : NULL;
			}
			if (!c || !is_ours(n, p, index + k))
				break;
			len = be32_get(p + 4);
			p += RLOG_ENTRY_HEAD + len;
		}
		if (k > 0 && bytes + RLOG_ENTRY_HEAD + len > max_bytes)
			break;
		bytes += RLOG_ENTRY_HEAD + len;
	}
	*ret_bytes = bytes;
	return k;
}

static void put_entries(struct node *n, struct buf *b, uint64_t first, uint32_t count)
{
	const struct catchup *c = NULL;
	const uint8_t *p = NULL;

	for (uint64_t i = first; i < first + count; i++) {
		const struct pend *e = node_cached(n, i);

		if (e) {
			rlog_put_entry(b, &(struct rlog_entry){ .index = e->index, .term = e->term, .zxid = e->zxid,
				.type = e->type, .version = e->version, .p = e->p, .len = e->len }, e->index);
			continue;
		}
		if (!c || i > c->last) {
			c = fetched(n, i);
			must(c != NULL);		/* message_fit() said so in this step */
			p = fetched_at(c, i);
		}
		uint32_t len = RLOG_ENTRY_HEAD + be32_get(p + 4);

		buf_put(b, p, len);
		p += len;
	}
}

void message_drop_catchup(struct node *n, uint64_t peer)
{
	for (uint32_t i = 0; i < RAFT_MEMBERS_MAX; i++) {
		struct catchup *c = &n->catchup[i];

		if (c->peer == peer && c->ready) {
			mem_free(c->f.buf);
			*c = (struct catchup){ .peer = RAFT_NOBODY };
		}
	}
}

static void on_fetched(struct rlog_fetch *f, int err)
{
	struct catchup *c = (struct catchup *)f;
	struct node *n = c->n;
	uint64_t peer = c->peer;

	c->ready = true;
	if (!err) {
		c->first = c->last = f->index;
		for (uint32_t at = f->from; at + RLOG_ENTRY_HEAD <= f->len; c->last++)
			at += RLOG_ENTRY_HEAD + be32_get(f->buf + at + 4);
		c->last--;
	} else {
		message_drop_catchup(n, peer);
	}
	if (err == E_CRC || err == E_IO)
		n->conf.on_fatal(n->conf.user, "reading the log back for a peer", err);
	else if (node_step(n, &(struct raft_event){ .type = RAFT_EV_FETCHED, .peer = peer }) != OK)
		n->dropped++;
}

void message_fetch(struct node *n, const struct raft_fetch *q)
{
	struct catchup *free = NULL;

	message_drop_catchup(n, q->peer);
	for (uint32_t i = 0; i < RAFT_MEMBERS_MAX; i++) {
		if (n->catchup[i].peer == q->peer)
			return;			/* one is being read; its end asks again */
		if (n->catchup[i].peer == RAFT_NOBODY && !free)
			free = &n->catchup[i];
	}
	if (!free || q->index > n->log.written) {	/* it is in memory as long as it is not written */
		if (node_step(n, &(struct raft_event){ .type = RAFT_EV_FETCHED, .peer = q->peer }) != OK)
			n->dropped++;
		return;
	}
	*free = (struct catchup){ .n = n, .peer = q->peer, .f = { .done = on_fetched } };
	rlog_fetch(&n->log, &free->f, q->index, FETCH_BYTES);
}

/* ---- out ---- */

void message_send(struct node *n, const struct raft_msg *m)
{
	struct buf b;

	if (m->type == RAFT_SNAPSHOT) {
		ship_start(n, m->to);
		return;
	}
	/* It may have waited for a vote: entries that are gone or another term's are not sent. */
	if (!n->peers || !peers_up(n->peers, m->to))
		return;
	uint32_t count = m->n, bytes = 0;

	if (count > 0 && (m->term != n->raft.term || n->raft.role != RAFT_LEADER ||
			  message_fit(&n->store, m->index + 1, count, UINT32_MAX, &bytes) < count)) {
		n->dropped++;
		return;
	}
	peers_frame(&b, PF_RAFT);
	uint8_t *p = buf_room(&b, HEAD);

	p[0] = (uint8_t)m->type;
	p[1] = (uint8_t)((m->ok ? FLAG_OK : 0) | (m->forced ? FLAG_FORCED : 0) | (m->removed ? FLAG_REMOVED : 0) |
			 (m->lost ? FLAG_LOST : 0));
	be64_put(p + 2, m->to);
	be64_put(p + 10, m->term);
	be64_put(p + 18, m->index);
	be64_put(p + 26, m->index_term);
	be64_put(p + 34, m->at);
	be64_put(p + 42, m->commit);
	be64_put(p + 50, m->round);
	be32_put(p + 58, count);
	if (count > 0)
		put_entries(n, &b, m->index + 1, count);
	if (!peers_send(n->peers, m->to, &b))
		n->dropped++;
}

/* ---- in ---- */

struct taken {				/* the entries of one APPEND, decoded */
	struct raft_entry v[RAFT_BATCH_MAX];
	struct raft_config *configs;
	uint32_t nconfigs;
};

static int take_entry(struct node *n, struct taken *t, uint32_t i, const struct rlog_entry *e)
{
	struct raft_entry *x = &t->v[i];

	if (e->version > COORD_VERSION || e->type < RAFT_NOOP || e->type > RAFT_CONFIG)
		return E_VERSION;
	if (e->type == RAFT_DATA && e->len < ENTRY_HEAD)
		return E_BAD;
	*x = (struct raft_entry){ .index = e->index, .term = e->term, .type = (enum raft_entry_type)e->type };
	if (e->type == RAFT_CONFIG) {
		if (t->nconfigs % 4 == 0)
			t->configs = mem_resize(t->configs, (t->nconfigs + 4) * sizeof *t->configs);
		int err = member_get(n, e->p, e->len, &t->configs[t->nconfigs]);

		if (err)
			return err;
		t->nconfigs++;
	}
	struct pend *p = node_pend(e->type, e->zxid, e->p, e->len);

	p->version = e->version;
	x->handle = p;
	return OK;
}

static int take_entries(struct node *n, struct taken *t, uint32_t count, const uint8_t *p, uint32_t len)
{
	uint64_t gap;

	for (uint32_t i = 0, at = 0; i < count; i++) {
		struct rlog_entry e;
		int err = rlog_get_entry(p + at, len - at, &e, &gap);

		if (!err)
			err = take_entry(n, t, i, &e);
		if (err)
			return err;
		at += RLOG_ENTRY_HEAD + e.len;
	}
	for (uint32_t i = 0, k = 0; i < count; i++)
		if (t->v[i].type == RAFT_CONFIG)
			t->v[i].config = &t->configs[k++];
	return OK;
}

/* What raft took, node.c has. */
static void free_untaken(struct taken *t, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		mem_free(t->v[i].handle);
}

void message_on_raft(struct node *n, uint64_t from, const uint8_t *p, uint32_t len)
{
	if (len < HEAD || be64_get(p + 2) != n->raft.id)
		return;				/* to who had this node's place before its disk was emptied */
	struct raft_event ev = { .type = RAFT_EV_MSG, .msg = {
		.type = (enum raft_msg_type)p[0], .from = from, .to = n->raft.id, .term = be64_get(p + 10),
		.index = be64_get(p + 18), .index_term = be64_get(p + 26), .at = be64_get(p + 34),
		.commit = be64_get(p + 42), .round = be64_get(p + 50), .ok = p[1] & FLAG_OK,
		.forced = p[1] & FLAG_FORCED, .removed = p[1] & FLAG_REMOVED, .lost = p[1] & FLAG_LOST,
		.n = be32_get(p + 58) } };
	struct taken *t = NULL;

	if (ev.msg.n > RAFT_BATCH_MAX || (ev.msg.n > 0 && ev.msg.type != RAFT_APPEND) || ev.msg.type == RAFT_SNAPSHOT) {
		n->dropped++;
		return;
	}
	if (ev.msg.n > 0 && n->log.gather.len > NODE_GATHER_BYTES)
		ev.msg.n = 0;			/* our disk takes nothing: a heartbeat it still is */
	if (ev.msg.n > 0) {
		t = mem_alloc(sizeof *t);
		int err = take_entries(n, t, ev.msg.n, p + HEAD, len - HEAD);

		if (err) {
			node_log(n, "a leader's entries cannot be taken", "reason=\"%s\"", err_text(err));
			if (err == E_VERSION)
				n->conf.on_fatal(n->conf.user,
					"the leader writes entries that this version does not know", err);
			free_untaken(t, ev.msg.n);
			mem_free(t->configs);
			mem_free(t);
			return;
		}
		ev.msg.entries = t->v;
	}
	if (node_step(n, &ev) != OK)
		n->dropped++;
	if (t) {
		free_untaken(t, ev.msg.n);
		mem_free(t->configs);
		mem_free(t);
	}
}
