/*
 * member.c - who belongs to the quorum: configurations as log entries, addresses, the first configuration of a new
 * quorum, and joining. What an operator asks for: member_admin.c.
 *
 * A configuration as bytes: msgpack [1, [[disk, node, flags, address]...]], flags as in raft.h.
 *
 * A new quorum is founded by the node with the smallest number of its voters, once it has heard from all of
 * them that their folders are empty: so a node that lost its disk never founds a second one, it joins.
 *
 * PF_ADOPT: cluster id
 * PF_JOIN: [0] node (32 bits) [4] observer (8) [5] index [13] term of the newest configuration in the own log
 * that names this disk, 0: none [21] address
 */
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/be.h"
#include "base/crc32c.h"
#include "base/mem.h"
#include "base/mutant.h"
#include "quorum/node_in.h"

#define CONFIG_VERSION 1
#define JOIN_MS 300u
#define JOIN_HEAD 21u
#define SAID_MS 60000u
#define TWIN_MS 2000u			/* a voter that was heard so lately is not replaced by another disk */

/* ---- configurations as bytes ---- */

const char *member_address(const struct node *n, uint64_t disk)
{
	for (uint32_t i = 0; i < n->nknown; i++)
		if (n->known[i].disk == disk)
			return n->known[i].address;
	return "";
}

uint32_t member_node(const struct node *n, uint64_t disk)
{
	for (uint32_t i = 0; i < n->nknown; i++)
		if (n->known[i].disk == disk)
			return n->known[i].node;
	return NODE_ANY;
}

static bool in_any_config(const struct node *n, uint64_t disk)
{
	for (uint32_t i = 0; i < n->raft.nconfigs; i++)
		if (raft_config_find(&n->raft.configs[i], disk))
			return true;
	return false;
}

static void member_know(struct node *n, uint64_t disk, uint32_t node, struct str address)
{
	struct known *k = NULL;

	for (uint32_t i = 0; i < n->nknown && !k; i++)
		if (n->known[i].disk == disk)
			k = &n->known[i];
	for (uint32_t i = 0; n->nknown == 2 * NODE_MEMBERS_MAX && i < n->nknown && !k; i++)
		if (!in_any_config(n, n->known[i].disk))
			k = &n->known[i];
	if (!k && n->nknown < 2 * NODE_MEMBERS_MAX)
		k = &n->known[n->nknown++];
	if (!k)
		return;
	k->disk = disk;
	k->node = node;
	memcpy(k->address, address.p, (size_t)address.len);
	k->address[address.len] = 0;
}

void member_put(const struct node *n, struct buf *b, const struct raft_config *c)
{
	mp_put_array(b, 2);
	mp_put_int(b, CONFIG_VERSION);
	mp_put_array(b, c->n);
	for (uint32_t i = 0; i < c->n; i++) {
		mp_put_array(b, 4);
		mp_put_int(b, (int64_t)c->m[i].id);
		mp_put_int(b, c->m[i].node);
		mp_put_int(b, c->m[i].flags);
		mp_put_str(b, str_of(member_address(n, c->m[i].id)));
	}
}

int member_get(struct node *n, const uint8_t *p, uint32_t len, struct raft_config *ret)
{
	struct mp_reader m = mp_of(p, len);
	uint32_t fields = mp_array(&m);
	int64_t version = mp_int(&m);
	uint32_t count = mp_array(&m);

	if (!mp_ok(&m) || fields != 2)
		return E_BAD;
	if (version != CONFIG_VERSION)
		return E_VERSION;
	if (count > RAFT_MEMBERS_MAX)
		return E_BAD;
	*ret = (struct raft_config){ .n = count };
	for (uint32_t i = 0; i < count; i++) {
		bool ok = mp_array(&m) == 4;
		uint64_t disk = (uint64_t)mp_int(&m);
		int64_t node = mp_int(&m), flags = mp_int(&m);
		struct str address = mp_str(&m);

		if (!ok || !mp_ok(&m) || disk == RAFT_NOBODY || node < 0 || node > INT32_MAX || flags < 1 ||
			flags > 15 ||
		    address.len < 0 || address.len >= NODE_ADDRESS_MAX || raft_config_find(ret, disk))
			return E_BAD;
		ret->m[i] = (struct raft_member){ disk, (uint32_t)node, (uint32_t)flags };
		member_know(n, disk, (uint32_t)node, address);
	}
	return mp_end(&m) ? OK : E_BAD;
}

int member_propose(struct node *n, const struct raft_config *c)
{
	struct buf b;

	buf_init(&b, 1u << 20);
	member_put(n, &b, c);
	struct pend *e = node_pend(RAFT_CONFIG, n->next_zxid - 1, b.p, (uint32_t)b.len);
	struct raft_entry x = { .type = RAFT_CONFIG, .handle = e, .config = c };
	int err = node_step(n, &(struct raft_event){ .type = RAFT_EV_PROPOSE, .entries = &x, .n = 1 });

	buf_release(&b);
	if (err)
		mem_free(e);
	return err;
}

/* ---- who is connected to ---- */

static void tell_self(struct node *n)
{
	struct peer_hello h = { .node = n->conf.id, .disk = n->raft.id, .empty = n->raft.last == 0,
				.voters = n->voters_sum };

	memcpy(h.cluster_id, n->log.cluster_id, sizeof h.cluster_id);
	if (n->conf.address)
		snprintf(h.address, sizeof h.address, "%s", n->conf.address);
	peers_self(n->peers, &h);
}

/*
 * A configuration that names this disk counts when it is known to be committed. One that makes it a learner may be lost
 * with the leader that wrote it; who is a voter was a learner, and another change comes only after the last one.
 */
static void look_for_self(struct node *n)
{
	for (uint32_t k = 0; k < n->raft.nconfigs; k++) {
		const struct raft_config *c = &n->raft.configs[k];
		const struct raft_member *m = raft_config_find(c, n->raft.id);

		if (!m)
			continue;
		n->named_by.index = c->index;
		n->named_by.term = raft_term_of(&n->raft, c->index);
		n->was_member |= !(m->flags & RAFT_LEARNER) || c->index <= n->raft.commit ||
			k + 1 < n->raft.nconfigs || mutant(LEARNER_LOST);
	}
}

void member_changed(struct node *n)
{
	const struct raft_config *c = raft_config(&n->raft);
	bool inside = raft_config_find(c, n->raft.id) != NULL;

	look_for_self(n);
	if (!n->peers)
		return;
	tell_self(n);
	peers_want_begin(n->peers);
	/* WHY all that are in the log: a leader that is removed needs the answers that commit its removal. */
	for (uint32_t k = 0; k < n->raft.nconfigs; k++)
		for (uint32_t i = 0; i < n->raft.configs[k].n; i++)
			if (n->raft.configs[k].m[i].id != n->raft.id)
				peers_want(n->peers, member_address(n, n->raft.configs[k].m[i].id));
	n->wanted = n->raft.nconfigs;
	if (!inside) {
		for (uint32_t i = 0; i < n->conf.nvoters; i++)
			if (n->conf.voters[i].id != n->conf.id)
				peers_want(n->peers, n->conf.voters[i].address);
		for (uint32_t i = 0; i < n->conf.njoin; i++)
			peers_want(n->peers, n->conf.join[i]);
		for (uint32_t i = 0; i < n->nhints; i++)
			peers_want(n->peers, n->hint[i]);
	}
	if (n->admit.on)
		peers_want(n->peers, n->admit.address);
	peers_want_end(n->peers);
}

void member_hint(void *user, struct str address)
{
	struct node *n = user;

	if (raft_config(&n->raft)->n > 0 || address.len >= NODE_ADDRESS_MAX)
		return;
	for (uint32_t i = 0; i < n->nhints; i++)
		if (str_is(address, n->hint[i]))
			return;
	if (n->nhints == sizeof n->hint / sizeof n->hint[0])
		return;
	memcpy(n->hint[n->nhints], address.p, (size_t)address.len);
	n->hint[n->nhints++][address.len] = 0;
	member_changed(n);
}

void member_put_hints(void *user, struct buf *b)
{
	struct node *n = user;
	const struct raft_config *c = raft_config(&n->raft);

	mp_put_array(b, c->n);
	for (uint32_t i = 0; i < c->n; i++)
		mp_put_str(b, str_of(member_address(n, c->m[i].id)));
}

static int adopt(struct node *n, const char *cluster_id)
{
	int err = rlog_adopt(&n->log, cluster_id);

	if (err) {
		n->conf.on_fatal(n->conf.user, "writing the cluster's id", err);
		return err;
	}
	memcpy(n->conf.cluster_id, cluster_id, 23);
	n->born = true;
	tell_self(n);
	node_log(n, "belongs to a cluster now", "cluster=%s", cluster_id);
	return OK;
}

/* Do our own settings name it? Only those may tell us which cluster is ours. */
static bool named(const struct node *n, const struct peer_hello *h)
{
	for (uint32_t i = 0; i < n->conf.nvoters; i++)
		if (n->conf.voters[i].id == h->node)
			return true;
	for (uint32_t i = 0; i < n->conf.njoin; i++)
		if (strcmp(n->conf.join[i], h->address) == 0)
			return true;
	for (uint32_t i = 0; i < n->nhints; i++)
		if (strcmp(n->hint[i], h->address) == 0)
			return true;
	return false;
}

int member_hello(void *user, const struct peer_hello *h, char *why, size_t cap)
{
	struct node *n = user;
	const char *mine = n->log.cluster_id;

	if (h->node == n->conf.id) {
		snprintf(why, cap, h->disk == n->raft.id ? "this address is the node's own (node %u)"
			 : "two nodes have the number %u", h->node);
		return E_CONFLICT;
	}
	if (mine[0] && h->cluster_id[0] && strcmp(mine, h->cluster_id) != 0) {
		snprintf(why, cap, "node %u belongs to cluster %s, node %u to cluster %s", h->node, h->cluster_id,
			 n->conf.id, mine);
		return E_FOREIGN;
	}
	if (h->empty && n->raft.last == 0 && h->voters != n->voters_sum && h->voters != 0 && n->voters_sum != 0) {
		snprintf(why, cap, "nodes %u and %u were told different voters", h->node, n->conf.id);
		return E_CONFLICT;
	}
	if (!mine[0] && strlen(h->cluster_id) == 22 && named(n, h))
		return adopt(n, h->cluster_id);
	const char *known = member_address(n, h->disk);

	if (known[0] && h->address[0] && strcmp(known, h->address) != 0 && raft_config_find(raft_config(&n->raft),
		h->disk)) {
		n->moved = (struct known){ .disk = h->disk, .node = h->node };
		memcpy(n->moved.address, h->address, sizeof h->address);
	}
	return OK;
}

void member_on_adopt(struct node *n, const uint8_t *p, uint32_t len)
{
	char id[24] = "";

	if (len != 22 || n->log.cluster_id[0])
		return;
	memcpy(id, p, 22);
	(void)adopt(n, id);
}

/* ---- a new quorum ---- */

const struct peer_hello *member_hello_of(const struct node *n, uint32_t node, bool both)
{
	uint32_t at = 0;

	for (const struct peer_hello *h; (h = peers_next(n->peers, &at, both)) != NULL;)
		if (h->node == node)
			return h;
	return NULL;
}

static void found(struct node *n, const struct raft_config *c)
{
	struct buf b;

	buf_init(&b, 1u << 20);
	member_put(n, &b, c);
	struct raft_entry e = { .handle = node_pend(RAFT_CONFIG, 0, b.p, (uint32_t)b.len) };
	int err = node_step(n, &(struct raft_event){ .type = RAFT_EV_BOOTSTRAP, .entries = &e, .n = 1, .config = c });

	must(err == OK);
	n->was_member = true;
	buf_release(&b);
	node_log(n, "a new quorum begins", "voters=%u", c->n);
}

static void try_found(struct node *n)
{
	struct raft_config c = { 0 };

	if (n->raft.last != 0 || raft_config(&n->raft)->n > 0 || n->conf.njoin > 0 || n->raft.recovering ||
		n->was_member)
		return;
	for (uint32_t i = 0; i < n->conf.nvoters; i++) {
		const struct node_peer *v = &n->conf.voters[i];
		const struct peer_hello *h = NULL;

		if (v->id < n->conf.id)
			return;			/* that one does it */
		if (v->id != n->conf.id) {
			h = member_hello_of(n, v->id, true);
			if (!h || !h->empty || h->voters != n->voters_sum) {
				if (!n->said_waiting)
					node_log(n, "waiting for the other nodes of a new quorum", "node=%u", v->id);
				n->said_waiting = true;
				return;
			}
		}
		uint64_t disk = h ? h->disk : n->raft.id;

		member_know(n, disk, v->id, str_of(v->address));
		c.m[c.n++] = (struct raft_member){ disk, v->id, RAFT_VOTER };
	}
	if (c.n == 0) {
		member_know(n, n->raft.id, n->conf.id, str_of(n->conf.address ? n->conf.address : ""));
		c.m[c.n++] = (struct raft_member){ n->raft.id, n->conf.id, RAFT_VOTER };
	}
	if (n->conf.no_founding) {
		n->conf.on_fatal(n->conf.user, n->conf.no_founding, E_EXIST);
		return;
	}
	if (!n->born && adopt(n, n->new_cluster_id) != OK)
		return;
	for (uint32_t i = 0; i < c.n; i++) {
		struct buf b;

		if (c.m[i].id == n->raft.id)
			continue;
		peers_frame(&b, PF_ADOPT);
		buf_put(&b, n->log.cluster_id, 22);
		(void)peers_send(n->peers, c.m[i].id, &b);
	}
	found(n, &c);
}

/* The snapshot is as if entries of a first term, the configuration among them, had been applied before it. */
void node_import(struct node *n, struct coord *tree, struct node_admin *a)
{
	struct raft_config c = { .index = 1, .n = 1 };

	must(n->conf.importing && !n->started && n->born && n->raft.last == 0);
	member_know(n, n->raft.id, n->conf.id, str_of(n->conf.address ? n->conf.address : ""));
	c.m[0] = (struct raft_member){ n->raft.id, n->conf.id, RAFT_VOTER };
	coord_free(n->coord);
	n->coord = tree;
	sessions_reset(&n->sessions, tree);
	n->applied = 1;
	raft_restore(&n->raft, 1, n->raft.id, 1, 1, &c);
	n->voting = true;
	rlog_vote(&n->log, 1, n->raft.id, false);
	n->image = a;
	node_save_image(n);
	while (rlog_snapshot_turn(&n->log))
		continue;
	if (!n->log.snap.on) {
		n->image = NULL;
		a->done(a, E_LIMIT, "the tree's image cannot be written: the disk is full, or it is larger than 4 GiB");
	}
}

int node_imported(struct node *n)
{
	return rlog_unmark(&n->log);
}

void member_up(struct node *n, const struct peer_hello *h)
{
	(void)h;
	if (n->started)
		try_found(n);
}

void member_open(struct node *n)
{
	char line[NODE_ADDRESS_MAX + 16];

	n->born = n->log.cluster_id[0] != 0;
	for (uint32_t i = 0; i < n->conf.nvoters; i++) {
		snprintf(line, sizeof line, "%u@%s,", n->conf.voters[i].id, n->conf.voters[i].address);
		n->voters_sum += (uint64_t)crc32c(0, line, strlen(line)) + 1;	/* in any order */
	}
	member_changed(n);
}

/* ---- joining ---- */

static void ask_to_join(struct node *n, uint64_t now_ms)
{
	const struct raft_config *c = raft_config(&n->raft);
	uint32_t at = 0;

	if (!n->born || n->was_member || now_ms - n->joined_ms < JOIN_MS || (c->n > 0 &&
		n->raft.leader != RAFT_NOBODY) ||
	    (n->conf.nvoters < 2 && n->conf.njoin == 0))
		return;
	n->joined_ms = now_ms;
	for (const struct peer_hello *h; (h = peers_next(n->peers, &at, false)) != NULL;) {
		struct buf b;

		/* WHY also those that greeted as empty ones: that was then, one of them may lead now. */
		peers_frame(&b, PF_JOIN);
		buf_be32(&b, n->conf.id);
		buf_u8(&b, n->conf.observer);
		buf_be64(&b, n->named_by.index);
		buf_be64(&b, n->named_by.term);
		buf_put(&b, n->conf.address ? n->conf.address : "", n->conf.address ? strlen(n->conf.address) : 0);
		(void)peers_send(n->peers, h->disk, &b);
	}
}

int member_add(struct node *n, uint64_t disk, uint32_t node, struct str address, bool observer)
{
	const struct raft_config *c = raft_config(&n->raft);
	struct raft_member m = { disk, node, RAFT_LEARNER | (observer ? RAFT_OBSERVER : 0) };
	struct raft_config next;

	if (n->raft.nconfigs != 1 || raft_config_joint(c) || n->raft.transfer_to != RAFT_NOBODY)
		return E_AGAIN;
	for (uint32_t i = 0; i < c->n; i++)		/* T19: one number, two disks: only when the other is gone */
		if (c->m[i].node == node && (c->m[i].flags & RAFT_VOTER) &&
		    (c->m[i].id == n->raft.id || node_now_ms(n) - n->raft.peer[i].heard_ms < TWIN_MS)) {
			if (!n->said_twin)
				node_log(n, "a node asks to join under the number of a voter that is alive",
					"node=%u", node);
			n->said_twin = true;
			return E_CONFLICT;
		}
	int err = raft_config_add(c, &m, &next);

	if (err)
		return err;
	member_know(n, disk, node, address);
	node_log(n, "a node is added", "node=%u disk=%016llx address=%.*s", node, (unsigned long long)disk, address.len,
		 address.p);
	return member_propose(n, &next);
}

/* It did not hear that the configuration which named it was committed. Was it, and did it leave since? */
static bool was_removed(const struct node *n, bool observer, uint64_t index, uint64_t term)
{
	if (index == 0)
		return false;
	/* WHY observers only: nobody can tell any more, and a voter's place that stays empty is worse than one too
	 * many. */
	if (index < n->raft.base)
		return observer;
	return raft_term_of(&n->raft, index) == term;
}

void member_on_join(struct node *n, uint64_t from, const uint8_t *p, uint32_t len)
{
	if (!n->served || len <= JOIN_HEAD || len - JOIN_HEAD >= NODE_ADDRESS_MAX ||
	    raft_config_find(raft_config(&n->raft), from))
		return;
	struct str address = { (const char *)p + JOIN_HEAD, (int32_t)(len - JOIN_HEAD) };

	if (was_removed(n, p[4] != 0, be64_get(p + 5), be64_get(p + 13))) {
		if (n->said_removed_ms == 0 || node_now_ms(n) - n->said_removed_ms > SAID_MS) {
			n->said_removed_ms = node_now_ms(n);
			node_log(n, "a node that was removed asks to join; it is let in by \"moldau quorum add\" only",
				"node=%u disk=%016llx", be32_get(p), (unsigned long long)from);
		}
		return;
	}
	if (member_add(n, from, be32_get(p), address, p[4] != 0) != OK)
		n->dropped++;			/* it asks again */
}

/* ---- each tick ---- */

/* A member that listens elsewhere than the configuration says: the same members again, with its new address. */
static void follow_move(struct node *n)
{
	const struct raft_config *c = raft_config(&n->raft);
	struct raft_config same = *c;
	const char *mine = n->conf.address ? n->conf.address : "";

	if (n->moved.disk == RAFT_NOBODY && mine[0] && strcmp(mine, member_address(n, n->raft.id)) != 0) {
		n->moved = (struct known){ .disk = n->raft.id, .node = n->conf.id };
		snprintf(n->moved.address, sizeof n->moved.address, "%s", mine);
	}
	if (n->moved.disk == RAFT_NOBODY || n->raft.nconfigs != 1 || raft_config_joint(c))
		return;
	if (raft_config_find(c, n->moved.disk)) {
		member_know(n, n->moved.disk, n->moved.node, str_of(n->moved.address));
		if (member_propose(n, &same) != OK)
			return;
	}
	n->moved.disk = RAFT_NOBODY;
}

void member_tick(struct node *n, uint64_t now_ms)
{
	struct raft_config next;

	if (n->wanted != n->raft.nconfigs)
		member_changed(n);
	look_for_self(n);
	if (n->raft.last == 0)
		try_found(n);
	if (n->peers)
		ask_to_join(n, now_ms);
	if (n->served) {
		if (raft_next_config(&n->raft, now_ms, &next) && member_propose(n, &next) != OK)
			n->dropped++;
		follow_move(n);
	}
	member_admin_tick(n, now_ms);
}

/* ---- status ---- */

void node_role(const struct node *n, struct node_role *ret)
{
	const struct raft_config *c = raft_config(&n->raft);
	const struct raft_member *me = raft_config_find(c, n->raft.id);

	*ret = (struct node_role){
		.state = n->served ? NODE_LEADER : !me || n->raft.removed ? NODE_OUTSIDE
			: me->flags & RAFT_LEARNER ? NODE_LEARNER
			: n->raft.role == RAFT_FOLLOWER ? NODE_FOLLOWER : NODE_CANDIDATE,
		.leader_known = n->raft.leader != RAFT_NOBODY, .leader = member_node(n, n->raft.leader),
		.term = n->raft.term, .changing = n->raft.nconfigs > 1 || raft_config_joint(c), .nmembers = c->n,
	};
	for (uint32_t i = 0; i < c->n; i++) {
		struct node_member *m = &ret->members[i];

		*m = (struct node_member){
			.id = c->m[i].node, .disk_id = c->m[i].id, .voter = c->m[i].flags & RAFT_VOTER,
			.leaving = c->m[i].flags == RAFT_OLD, .learner = c->m[i].flags & RAFT_LEARNER,
			.self = c->m[i].id == n->raft.id, .leader = c->m[i].id == n->raft.leader,
			.connected = c->m[i].id == n->raft.id || (n->peers && peers_up(n->peers, c->m[i].id)),
			.match = n->raft.role != RAFT_LEADER ? 0
				: c->m[i].id == n->raft.id ? n->raft.durable : n->raft.peer[i].match,
		};
		memcpy(m->address, member_address(n, c->m[i].id), strlen(member_address(n, c->m[i].id)) + 1);
	}
}
