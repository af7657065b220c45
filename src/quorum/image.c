/* image.c - the state of a node as an image (a snapshot), and back. Pieces to and from peers: ship.c. */
#include <string.h>

#include "base/be.h"
#include "base/mem.h"
#include "base/mutant.h"
#include "quorum/node_in.h"

#define IMAGE_VERSION 1

/* [bytes of the head, 32 bits][msgpack: version, configuration, origins][coord_save()]: T22 */
void node_save_image(struct node *n)
{
	struct buf b, c;
	size_t len;

	buf_init(&b, UINT32_MAX);
	buf_init(&c, 1u << 20);
	buf_be32(&b, 0);
	mp_put_array(&b, 3);
	mp_put_int(&b, IMAGE_VERSION);
	member_put(n, &c, raft_config_at(&n->raft, n->applied));
	mp_put_bin(&b, c.p, (uint32_t)c.len);
	buf_release(&c);
	uint32_t norigins = mutant(IMAGE_FORGETS_ORIGINS) ? 0 : n->norigins;

	mp_put_array(&b, norigins);
	for (uint32_t i = 0; i < norigins; i++) {
		mp_put_array(&b, 4);
		mp_put_int(&b, (int64_t)n->origin[i].disk);
		mp_put_int(&b, n->origin[i].starts);
		mp_put_int(&b, (int64_t)n->origin[i].seq);
		mp_put_int(&b, (int64_t)n->origin[i].index);
	}
	be32_put(b.p, (uint32_t)(b.len - 4));
	coord_save(n->coord, &b);
	if (b.bad) {
		buf_release(&b);
		n->log.bytes_since_snapshot = 0;
		return;
	}
	uint8_t *p = buf_steal(&b, &len);

	rlog_snapshot(&n->log, n->applied, raft_term_of(&n->raft, n->applied), coord_zxid(n->coord), p, (uint32_t)len);
}

void node_load_image(struct node *n, const uint8_t *p, uint32_t len, uint64_t index, uint64_t term,
		     struct raft_config *ret_config, int *ret_err)
{
	uint32_t head = len >= 4 ? be32_get(p) : UINT32_MAX;
	struct coord *fresh = coord_new();

	(void)term;
	*ret_err = E_BAD;
	if (head <= len - 4) {
		struct mp_reader m = mp_of(p + 4, head);
		uint32_t fields = mp_array(&m);
		int64_t version = mp_int(&m);
		struct bytes config = mp_bin(&m);
		uint32_t count = mp_array(&m);

		*ret_err = !mp_ok(&m) || fields != 3 || count > NODE_ORIGINS_MAX ? E_BAD
			: version != IMAGE_VERSION ? E_VERSION : member_get(n, config.p, (uint32_t)config.len,
				ret_config);
		for (uint32_t i = 0; *ret_err == OK && i < count; i++) {
			bool ok = mp_array(&m) == 4;
			struct origin o = { .disk = (uint64_t)mp_int(&m) };

			o.starts = (uint32_t)mp_int(&m);
			o.seq = (uint64_t)mp_int(&m);
			o.index = (uint64_t)mp_int(&m);
			n->origin[i] = o;
			if (!ok || !mp_ok(&m))
				*ret_err = E_BAD;
		}
		n->norigins = count;
		if (*ret_err == OK)
			*ret_err = coord_load(fresh, p + 4 + head, len - 4 - head);
	}
	if (*ret_err) {
		coord_free(fresh);
		return;
	}
	coord_free(n->coord);
	n->coord = fresh;
	ret_config->index = index;
	n->applied = index;
	if (coord_zxid(fresh) >= n->next_zxid)
		n->next_zxid = coord_zxid(fresh) + 1;
	sessions_reset(&n->sessions, fresh);
	node_cache_begin(n, index);
}
