/*
 * serve_admin.c - what operators ask of a node: its view of the quorum, and changes of its members. These
 * requests need no session, so that a quorum without a leader answers them too.
 */
#include "quorum/serve_in.h"

#include "base/mem.h"

struct admin {
	struct node_admin node;		/* first member */
	struct conn *c;
	uint32_t id;
	char address[NODE_ADDRESS_MAX];
};

static void put_member(struct buf *b, const struct node_member *m)
{
	mp_put_array(b, 9);
	mp_put_int(b, m->id);
	mp_put_str(b, str_of(m->address));
	mp_put_bool(b, m->voter);
	mp_put_bool(b, m->learner);
	mp_put_bool(b, m->leaving);
	mp_put_bool(b, m->self);
	mp_put_bool(b, m->leader);
	mp_put_bool(b, m->connected);
	mp_put_int(b, (int64_t)m->match);
}

void serve_status(struct conn *c, uint32_t id)
{
	struct serve *s = c->s;
	struct coord *t = node_coord(s->node);
	struct node_role role;
	struct node_stats st;
	struct buf b;

	node_role(s->node, &role);
	node_stats(s->node, &st);
	serve_answer(&b, QF_STATUS, 17, id, OK);
	mp_put_str(&b, str_of(s->conf.cluster_id));
	mp_put_int(&b, role.state);
	mp_put_int(&b, role.leader_known ? (int64_t)role.leader : -1);
	mp_put_int(&b, (int64_t)role.term);
	mp_put_int(&b, (int64_t)st.commit);
	mp_put_int(&b, (int64_t)st.applied);
	mp_put_int(&b, (int64_t)st.last);
	mp_put_int(&b, (int64_t)st.durable);
	mp_put_int(&b, coord_zxid(t));
	mp_put_int(&b, (int64_t)coord_nodes(t));
	mp_put_int(&b, coord_sessions(t));
	mp_put_int(&b, s->nconns);
	mp_put_bool(&b, role.changing);
	mp_put_array(&b, role.nmembers);
	for (uint32_t i = 0; i < role.nmembers; i++)
		put_member(&b, &role.members[i]);
	serve_push(c, &b);
}

static void answer(struct conn *c, uint32_t id, int err, const char *why)
{
	struct buf b;

	serve_answer(&b, QF_ADMIN, 4, id, err);
	mp_put_str(&b, err ? str_of(why) : STR_NULL);
	serve_push(c, &b);
}

static void on_done(struct node_admin *n, int err, const char *why)
{
	struct admin *a = (struct admin *)n;
	struct conn *c = a->c;

	answer(c, a->id, err, why ? why : err_text(err));
	mem_free(a);
	c->inflight--;
	serve_answered(c);
}

void serve_admin(struct conn *c, uint32_t id, struct mp_reader *m)
{
	struct node *node = c->s->node;
	int64_t kind = mp_int(m), node_id = mp_int(m);
	struct str address = mp_str(m);
	bool observer = mp_bool(m);

	if (!mp_end(m) || node_id < -1 || node_id >= NODE_ANY || address.len >= NODE_ADDRESS_MAX ||
	    (kind == QA_ADD && (node_id < 0 || address.len < 1)) || (kind == QA_REMOVE && node_id < 0)) {
		answer(c, id, E_BAD, "the request makes no sense to this node");
		return;
	}
	struct admin *a = mem_alloc(sizeof *a);

	*a = (struct admin){ .node.done = on_done, .c = c, .id = id };
	for (int32_t i = 0; i < address.len; i++)
		a->address[i] = address.p[i];
	c->inflight++;
	switch ((enum qf_admin)kind) {
	case QA_ADD:
		node_add(node, (uint32_t)node_id, a->address, observer, &a->node);
		return;
	case QA_REMOVE:
		node_remove(node, (uint32_t)node_id, &a->node);
		return;
	case QA_TRANSFER:
		node_transfer(node, node_id < 0 ? NODE_ANY : (uint32_t)node_id, &a->node);
		return;
	case QA_SNAPSHOT:
		node_snapshot(node, &a->node);
		return;
	}
	on_done(&a->node, E_VERSION, "this node does not know the operation: it is older than the tool");
}
