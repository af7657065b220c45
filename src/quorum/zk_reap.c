/*
 * zk_reap.c - containers that have lost their last child, and TTL nodes whose time is over, go: the leader looks for
 * them now and then and proposes each end; the tree decides when it is applied (ContainerManager of 3.9.5).
 */
#include "quorum/zk_int.h"

#define ROUND_MAX 10000u		/* proposals of one round */

static bool due(const struct znode *n, int64_t now_ms)
{
	if (n->first)
		return false;
	return n->kind == ZNODE_CONTAINER ? n->creates > 0 : now_ms - n->mtime_ms > n->ttl_ms;
}

static bool propose(struct zk *z, struct str path)
{
	struct coord_op op = { .kind = COORD_REAP, .path = path, .value = BYTES_NULL, .acl = BYTES_NULL };
	struct bytes nobody = { (const uint8_t *)"\0\0\0\0", 4 };
	struct buf ops, b;

	buf_init(&ops, 1 << 20);
	buf_init(&b, 1 << 20);
	coord_encode_client_op(&ops, &op);
	coord_encode_client(&b, node_time_ms(z->node), 0, 0, &z->conf.rules, nobody, 1, ops.p, (uint32_t)ops.len);
	bool ok = node_propose(z->node, b.p, (uint32_t)b.len, true, NULL) == OK;

	buf_release(&ops);
	buf_release(&b);
	return ok;
}

static void on_reap(struct loop_timer *t)
{
	struct zk *z = t->user;
	struct coord *tree = node_coord(z->node);
	int64_t now = node_time_ms(z->node);
	char path[COORD_PATH_MAX + 1];
	uint32_t n = 0;

	if (!node_serves(z->node) || z->draining)
		n = ROUND_MAX;
	for (const struct znode *k = coord_timed_next(tree, NULL); k && n < ROUND_MAX; k = coord_timed_next(tree, k))
		if (due(k, now) && (n++, !propose(z, coord_path(k, path))))
			break;
	z->loop->calls->timer_set(z->loop, t, z->conf.reap_ms * 1000ull);
}

void zk_reap_start(struct zk *z)
{
	z->reap = (struct loop_timer){ .fire = on_reap, .user = z };
	z->loop->calls->timer_set(z->loop, &z->reap, z->conf.reap_ms * 1000ull);
}
