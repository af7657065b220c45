/*
 * member_admin.c - what an operator asks for: a node added, removed, or made the leader. A node that does not lead
 * hands it to the leader; each sees the end in the log by itself. A node that is added is admitted when it greets.
 *
 * PF_ADMIN: [0] number [8] kind (32) [12] node (32) [16] observer (8) [17] address, of REMOVE the node's disk (64)
 * PF_ADMIN_OK: [0] number [8] error (32) [12] words
 */
#include <stdio.h>
#include <string.h>

#include "base/be.h"
#include "quorum/node_in.h"

enum admin_kind { ADMIN_ADD = 1, ADMIN_REMOVE, ADMIN_TRANSFER };

/* The member with this number; while a disk is replaced, the new one. NULL: there is none. */
static const struct raft_member *member_of(const struct raft_config *c, uint32_t node)
{
	const struct raft_member *m = NULL;

	for (uint32_t i = 0; i < c->n; i++)
		if (c->m[i].node == node && (!m || (c->m[i].flags & RAFT_LEARNER)))
			m = &c->m[i];
	return m;
}

/* disk: that the node had where this was asked for, RAFT_NOBODY: not known. A request that was long under way does not
 * remove a node that was replaced meanwhile. */
static int start_remove(struct node *n, uint32_t node, uint64_t disk, char *why, size_t cap)
{
	const struct raft_config *c = raft_config(&n->raft);
	const struct raft_member *m = member_of(c, node), *then = raft_config_find(c, disk);
	struct raft_config next;
	uint32_t voters = 0, alive = 0;

	if (!m) {
		snprintf(why, cap, "there is no member with the number %u", node);
		return E_NOENT;
	}
	if (disk != RAFT_NOBODY && (!then || then->node != node)) {
		snprintf(why, cap, "node %u has another disk than when this was asked for", node);
		return E_CONFLICT;
	}
	int err = raft_config_remove(c, m->id, &next);

	if (err) {
		snprintf(why, cap, "node %u is the only voter", node);
		return err;
	}
	for (uint32_t i = 0; i < next.n; i++)
		if (next.m[i].flags & RAFT_VOTER) {
			uint32_t k = (uint32_t)(raft_config_find(c, next.m[i].id) - c->m);

			voters++;
			alive += next.m[i].id == n->raft.id ||
				node_now_ms(n) - n->raft.peer[k].heard_ms < 2 * n->raft.opt.elect_ms;
		}
	if (alive * 2 <= voters) {
		snprintf(why, cap, "only %u of the %u voters that would be left can be reached", alive, voters);
		return E_CONFLICT;
	}
	return member_propose(n, &next);
}

static int start_transfer(struct node *n, uint32_t node, char *why, size_t cap)
{
	const struct raft_config *c = raft_config(&n->raft);
	uint64_t to = RAFT_NOBODY;

	for (uint32_t i = 0; i < c->n; i++)
		if (c->m[i].node == node && (c->m[i].flags & RAFT_VOTER))
			to = c->m[i].id;
	if (to == RAFT_NOBODY && node != NODE_ANY) {
		snprintf(why, cap, "there is no voter with the number %u", node);
		return E_NOENT;
	}
	int err = node_step(n, &(struct raft_event){ .type = RAFT_EV_TRANSFER, .peer = to });

	if (err)
		snprintf(why, cap, "no other voter can be reached");
	return err;
}

static int start_add(struct node *n, uint32_t node, struct str address, bool observer, char *why, size_t cap)
{
	const struct raft_config *c = raft_config(&n->raft);

	for (uint32_t i = 0; i < c->n; i++)
		if (c->m[i].node == node && strlen(member_address(n, c->m[i].id)) == (size_t)address.len &&
		    memcmp(member_address(n, c->m[i].id), address.p, (size_t)address.len) == 0)
			return OK;		/* it is, or is becoming one: the end is waited for */
	if (n->admit.on) {
		snprintf(why, cap, "node %u is being added", n->admit.id);
		return E_AGAIN;
	}
	if (address.len < 3 || address.len >= NODE_ADDRESS_MAX || !memchr(address.p, ':', (size_t)address.len)) {
		snprintf(why, cap, "an address is HOST:PORT of the node's peer port");
		return E_BAD;
	}
	n->admit.on = true;
	n->admit.id = node;
	n->admit.observer = observer;
	n->admit.until_ms = node_now_ms(n) + NODE_ADMIN_MS;
	memcpy(n->admit.address, address.p, (size_t)address.len);
	n->admit.address[address.len] = 0;
	member_changed(n);
	return OK;
}

static int start(struct node *n, uint32_t kind, uint32_t node, struct str address, bool observer, char *why, size_t cap)
{
	uint64_t disk = address.len == 8 ? be64_get(address.p) : RAFT_NOBODY;
	int err = kind == ADMIN_ADD ? start_add(n, node, address, observer, why, cap)
		: kind == ADMIN_REMOVE ? start_remove(n, node, disk, why, cap)
		: kind == ADMIN_TRANSFER ? start_transfer(n, node, why, cap) : E_BAD;

	if (err && !why[0])
		snprintf(why, cap, err == E_AGAIN ? "another change of members is under way" : "%s", err_text(err));
	return err;
}

static void admin(struct node *n, enum admin_kind kind, uint32_t node, const char *address, bool observer,
		  struct node_admin *a)
{
	*a = (struct node_admin){ .done = a->done, .kind = kind, .id = node, .observer = observer,
				  .since_ms = node_now_ms(n), .seq = ++n->admin_seq };
	struct node_admin **at = &n->admins;

	while (*at)
		at = &(*at)->next;
	*at = a;
	if (n->served) {
		a->err = start(n, kind, node, str_of(address), observer, a->why, sizeof a->why);
		return;
	}
	struct buf b;

	if (n->raft.leader == RAFT_NOBODY || n->raft.role == RAFT_LEADER || !n->peers) {
		a->err = E_AGAIN;
		snprintf(a->why, sizeof a->why, "there is no leader now");
		return;
	}
	peers_frame(&b, PF_ADMIN);
	buf_be64(&b, a->seq);
	buf_be32(&b, kind);
	buf_be32(&b, node);
	buf_u8(&b, observer);
	const struct raft_member *m = member_of(raft_config(&n->raft), node);

	if (kind == ADMIN_REMOVE && m)
		buf_be64(&b, m->id);
	else
		buf_put(&b, address, strlen(address));
	if (!peers_send(n->peers, n->raft.leader, &b)) {
		a->err = E_AGAIN;
		snprintf(a->why, sizeof a->why, "the leader cannot be reached now");
	}
}

void node_add(struct node *n, uint32_t id, const char *address, bool observer, struct node_admin *a)
{
	admin(n, ADMIN_ADD, id, address, observer, a);
}

void node_remove(struct node *n, uint32_t id, struct node_admin *a)
{
	admin(n, ADMIN_REMOVE, id, "", false, a);
}

void node_transfer(struct node *n, uint32_t id, struct node_admin *a)
{
	admin(n, ADMIN_TRANSFER, id, "", false, a);
}

void member_on_admin(struct node *n, uint64_t from, const uint8_t *p, uint32_t len)
{
	char why[160] = "";
	struct buf b;

	if (len < 17)
		return;
	int err = E_AGAIN;

	if (n->served)
		err = start(n, be32_get(p + 8), be32_get(p + 12), (struct str){ (const char *)p + 17,
			(int32_t)len - 17 },
			    p[16] != 0, why, sizeof why);
	else
		snprintf(why, sizeof why, "there is no leader now");
	if (!err)
		return;				/* who asked sees the end by itself, in the log */
	peers_frame(&b, PF_ADMIN_OK);
	buf_be64(&b, be64_get(p));
	buf_be32(&b, (uint32_t)err);
	buf_put(&b, why, strlen(why));
	(void)peers_send(n->peers, from, &b);
}

void member_on_admin_ok(struct node *n, uint64_t from, const uint8_t *p, uint32_t len)
{
	(void)from;
	if (len < 12)
		return;
	for (struct node_admin *a = n->admins; a; a = a->next)
		if (a->seq == be64_get(p)) {
			a->err = (int)be32_get(p + 8);
			snprintf(a->why, sizeof a->why, "%.*s", (int)(len - 12), (const char *)p + 12);
		}
}

/* Is it done, as far as what is committed tells? */
static bool complete(const struct node *n, const struct node_admin *a)
{
	const struct raft_config *c = raft_config(&n->raft);
	uint32_t flags = 0;

	if (a->kind == ADMIN_TRANSFER) {
		uint32_t leads = n->served ? n->conf.id : member_node(n, n->raft.leader);

		return n->raft.leader != RAFT_NOBODY && (a->id == NODE_ANY ? !n->served : leads == a->id);
	}
	for (uint32_t i = 0; i < c->n; i++)
		if (c->m[i].node == a->id)
			flags |= c->m[i].flags;
	if (raft_config_joint(c))
		return false;
	/* A node that was removed may never hear that the end of its own removal is committed; it was bound to be. */
	if (a->kind == ADMIN_REMOVE && flags == 0 && !raft_config_find(c, n->raft.id))
		return true;
	if (n->raft.nconfigs != 1 || c->index > n->raft.commit)
		return false;
	return a->kind == ADMIN_REMOVE ? flags == 0 : (flags & (a->observer ? RAFT_OBSERVER : RAFT_VOTER)) != 0;
}

static void admit_tick(struct node *n, uint64_t now_ms)
{
	const struct peer_hello *h = member_hello_of(n, n->admit.id, false);

	if (h && raft_config_find(raft_config(&n->raft), h->disk)) {
		n->admit.on = false;
		member_changed(n);
	} else if (now_ms > n->admit.until_ms || !n->served) {
		n->admit.on = false;
		member_changed(n);
	} else if (h && strcmp(h->address, n->admit.address) == 0) {
		if (member_add(n, h->disk, h->node, str_of(n->admit.address), n->admit.observer) != OK)
			n->dropped++;
	}
}

void member_admin_tick(struct node *n, uint64_t now_ms)
{
	if (n->admit.on)
		admit_tick(n, now_ms);
	for (struct node_admin **at = &n->admins; *at;) {
		struct node_admin *a = *at;

		if (!a->err && !complete(n, a)) {
			if (now_ms - a->since_ms < NODE_ADMIN_MS) {
				at = &a->next;
				continue;
			}
			a->err = E_TIMEOUT;
			snprintf(a->why, sizeof a->why, "not within %u s; it may still happen, look at the status",
				 NODE_ADMIN_MS / 1000);
		}
		*at = a->next;
		a->done(a, a->err, a->why);
	}
}

void member_fail(struct node *n)
{
	while (n->admins) {
		struct node_admin *a = n->admins;

		n->admins = a->next;
		a->done(a, E_UNSURE, "this node is going down");
	}
	if (n->image)
		n->image->done(n->image, E_UNSURE, "this node is going down");
}
