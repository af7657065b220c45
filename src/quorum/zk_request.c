/* zk_request.c - the queue of a connection: what waits for the log, and what waits behind it (Z1). */
#include <stddef.h>
#include <string.h>

#include "base/assert.h"
#include "base/be.h"
#include "base/mutant.h"
#include "quorum/zk_int.h"
#include "wire/zk_gen.h"

#define HEADER 8

/* Request.isValid of 3.9.5; check is for multi only. */
static bool known(int32_t type)
{
	switch ((enum zk_op)type) {
	case ZK_OP_CREATE: case ZK_OP_DELETE: case ZK_OP_EXISTS: case ZK_OP_GET_DATA: case ZK_OP_SET_DATA:
	case ZK_OP_GET_ACL: case ZK_OP_SET_ACL: case ZK_OP_GET_CHILDREN: case ZK_OP_SYNC: case ZK_OP_PING:
	case ZK_OP_GET_CHILDREN2: case ZK_OP_MULTI: case ZK_OP_CREATE2: case ZK_OP_RECONFIG:
	case ZK_OP_CHECK_WATCHES: case ZK_OP_REMOVE_WATCHES: case ZK_OP_CREATE_CONTAINER: case ZK_OP_CREATE_TTL:
	case ZK_OP_MULTI_READ: case ZK_OP_SET_WATCHES: case ZK_OP_GET_EPHEMERALS: case ZK_OP_GET_ALL_CHILDREN:
	case ZK_OP_SET_WATCHES2: case ZK_OP_ADD_WATCH: case ZK_OP_WHO_AM_I: case ZK_OP_CLOSE_SESSION:
		return true;
	case ZK_OP_CHECK: case ZK_OP_AUTH: case ZK_OP_SASL:
		break;
	}
	return false;
}

static void done(struct zk_conn *c, int32_t xid, int32_t op, uint64_t at_us)
{
	struct zk_stats *st = &c->z->st;
	uint64_t now = c->z->clock->mono_us(c->z->clock), us = now - at_us, ms = us / 1000;

	zk_summary_add(zk_is_write(op) ? &c->z->updates : &c->z->reads, ms);
	st->latency_us_min = st->latency_n == 0 || us < st->latency_us_min ? us : st->latency_us_min;
	st->latency_us_max = us > st->latency_us_max ? us : st->latency_us_max;
	st->latency_us_sum += us;
	st->latency_n++;
	c->lat_min = c->lat_n == 0 || ms < c->lat_min ? ms : c->lat_min;
	c->lat_max = ms > c->lat_max ? ms : c->lat_max;
	c->lat_sum += ms;
	c->lat_n++;
	c->lat_last = ms;
	c->last_us = now;
	c->last_xid = xid;
	c->last_op = op;
	c->last_zxid = zk_zxid(c->z);
}

static void answer_code(struct zk_conn *c, int32_t xid, int64_t zxid, int32_t code)
{
	struct buf b;

	jute_begin_reply(&b, 64, xid, zxid, code);
	zk_send(c, &b);
}

static void local(struct zk_conn *c, int32_t xid, int32_t type, int32_t fail, const uint8_t *body, uint32_t len,
		  uint64_t at_us)
{
	struct zk *z = c->z;
	uint64_t from = z->clock->mono_us(z->clock);

	if (fail)
		answer_code(c, xid, zk_zxid(z), fail);
	else
		zk_read(c, xid, type, body, len);
	done(c, xid, type, at_us);
	z->turn_us += c->last_us - from;
}

/* It is not read until the next turn has begun. */
static void make_late(struct zk_conn *c)
{
	struct zk *z = c->z;

	zk_mute(c, ZK_MUTE_TURN);
	if (c->late)
		return;
	c->late = true;
	c->late_next = NULL;
	*z->late_tail = c;
	z->late_tail = &c->late_next;
}

static void not_late(struct zk_conn *c)
{
	struct zk *z = c->z;
	struct zk_conn **at = &z->late;

	if (!c->late)
		return;
	while (*at != c)
		at = &(*at)->late_next;
	*at = c->late_next;
	if (!*at)
		z->late_tail = at;
	c->late = false;
}

static void req_free(struct zk_req *r)
{
	struct zk *z = r->c->z;

	r->c->calls->frame_free(r->c->port, r->frame);
	z->pending_bytes -= r->bytes;
	z->st.outstanding--;
	r->c->nqueue--;
	buf_release(&r->reply);
	mem_free(r->ops);
	mem_free(r);
}

/* Requests in the log keep theirs until they are done. */
void zk_requests_drop(struct zk_conn *c)
{
	while (c->first) {
		struct zk_req *r = c->first;

		must(r->state != ZK_REQ_SENT);
		c->first = r->next;
		req_free(r);
	}
	c->tail = &c->first;
	not_late(c);
}

static bool crowded(const struct zk *z)
{
	return z->st.outstanding > z->conf.outstanding_max || z->pending_bytes > ZK_PENDING_BYTES_MAX;
}

/* Answers leave from the head on, until one is still in the log, or the client is to read what it has got. */
static void run_queue(struct zk_conn *c)
{
	/* WHY not of an aborted one: what ended it may have left a request in front without an answer. */
	while (c->first && c->first->state != ZK_REQ_SENT && !c->closed && !c->aborted &&
	       !(c->muted & ZK_MUTE_UNSENT)) {
		struct zk_req *r = c->first;
		bool close = r->close_after;

		if (c->z->turn_us > ZK_TURN_US) {
			make_late(c);
			break;
		}
		if (r->state == ZK_REQ_LOCAL) {
			local(c, r->xid, r->type, r->fail, r->frame ? r->frame + HEADER : NULL, r->len, r->at_us);
		} else {
			struct buf b = r->reply;

			buf_init(&r->reply, 0);
			done(c, r->xid, r->type, r->at_us);
			zk_send(c, &b);
		}
		c->first = r->next;
		if (!c->first)
			c->tail = &c->first;
		req_free(r);
		if (close)
			zk_close(c);
	}
	if (c->nqueue < ZK_QUEUE_MAX / 2)
		zk_unmute(c, ZK_MUTE_QUEUE);
	if (c->nqueue == 0 || !crowded(c->z))
		zk_unmute(c, ZK_MUTE_LIMIT);
}

void zk_requests_go(struct zk_conn *c)
{
	if (!c->late)
		run_queue(c);
}

bool zk_requests_late(struct zk *z)
{
	z->turn_us = 0;
	while (z->late && z->turn_us <= ZK_TURN_US) {
		struct zk_conn *c = z->late;

		not_late(c);
		run_queue(c);
		if (!c->late)
			zk_unmute(c, ZK_MUTE_TURN);
	}
	return z->late != NULL;
}

static void on_done(struct node_req *q, int err, int64_t zxid, const struct coord_result *res)
{
	struct zk_req *r = (struct zk_req *)q;
	struct zk_conn *c = r->c;

	c->nsent--;
	r->state = ZK_REQ_DONE;
	if (c->closed) {
		if (c->nsent == 0)
			zk_conn_gone(c);
		return;
	}
	if (err == E_NOSPC) {			/* refused, and so not done */
		r->state = ZK_REQ_LOCAL;
		r->fail = ZK_SYSTEM_ERROR;
		run_queue(c);
		return;
	}
	/* Nobody can say whether it happened, or the session is elsewhere now: the client has to ask. */
	if (err || res->code == ZK_SESSION_MOVED) {
		zk_abort(c);
		return;
	}
	zk_write_reply(r, zxid, res);
	run_queue(c);
}

/* sync: everything that was acknowledged to anybody before it came is applied here now (stronger than ZooKeeper's). */
static void on_synced(struct node_read *q, int err)
{
	struct zk_req *r = (struct zk_req *)(void *)((char *)q - offsetof(struct zk_req, read));
	struct zk_conn *c = r->c;

	c->nsent--;
	r->state = ZK_REQ_LOCAL;
	if (c->closed) {
		if (c->nsent == 0)
			zk_conn_gone(c);
	} else if (err) {
		zk_abort(c);
	} else {
		run_queue(c);
	}
}

static struct zk_req *enqueue(struct zk_conn *c, int32_t xid, int32_t type, uint32_t bytes)
{
	struct zk_req *r = mem_alloc(sizeof *r);
	struct zk *z = c->z;

	r->node.done = on_done;
	r->c = c;
	r->xid = xid;
	r->type = type;
	r->bytes = bytes;
	r->at_us = z->clock->mono_us(z->clock);
	*c->tail = r;
	c->tail = &r->next;
	z->pending_bytes += bytes;
	z->st.outstanding++;
	if (++c->nqueue >= ZK_QUEUE_MAX)
		zk_mute(c, ZK_MUTE_QUEUE);
	if (crowded(z)) {			/* Z5 */
		z->st.throttled++;
		zk_mute(c, ZK_MUTE_LIMIT);
	}
	return r;
}

static void write_request(struct zk_conn *c, int32_t xid, int32_t type, const uint8_t *body, uint32_t len)
{
	struct zk *z = c->z;
	struct zk_req *r = enqueue(c, xid, type, len);
	bool frees = type == ZK_OP_CLOSE_SESSION || type == ZK_OP_DELETE;
	struct buf b;

	buf_init(&b, RLOG_ENTRY_MAX);
	if (type == ZK_OP_CLOSE_SESSION) {
		coord_encode_close(&b, node_time_ms(z->node), c->session);
	} else if (!zk_write_entry(c, r, type, body, len, &b)) {
		r->fail = ZK_SYSTEM_ERROR;
	}
	r->state = ZK_REQ_SENT;
	c->nsent++;
	int err = r->fail ? E_BAD : b.bad ? E_LIMIT : node_propose(z->node, b.p, (uint32_t)b.len, frees, &r->node);

	buf_release(&b);
	if (err == OK) {
		if (type == ZK_OP_CLOSE_SESSION)
			node_set_closing(z->node, c->session, true);
		return;
	}
	c->nsent--;
	r->state = ZK_REQ_LOCAL;
	if (!r->fail)
		r->fail = ZK_SYSTEM_ERROR;
	if (err == E_AGAIN)			/* no leader: another node may have one */
		zk_abort(c);
	else
		run_queue(c);
}

void zk_request(struct zk_conn *c, uint8_t *frame, uint32_t len)
{
	struct zk *z = c->z;
	bool kept = false;

	if (len < HEADER || z->draining) {
		zk_abort(c);
		c->calls->frame_free(c->port, frame);
		return;
	}
	int32_t xid = (int32_t)be32_get(frame), type = (int32_t)be32_get(frame + 4);
	const uint8_t *body = frame + HEADER;

	len -= HEADER;
	if (type == ZK_OP_AUTH) {
		zk_auth(c, xid, body, len);
	} else if (type == ZK_OP_SASL) {
		zk_sasl(c, xid, body, len);
	} else if (z->conf.sasl_required && !c->sasl_done && type != ZK_OP_PING && type != ZK_OP_CLOSE_SESSION) {
		answer_code(c, xid, 0, ZK_SASL_REQUIRED);
		zk_close(c);
	} else if (c->local && known(type) && (zk_is_write(type) || type == ZK_OP_SYNC)) {
		bool ends = type == ZK_OP_CLOSE_SESSION;

		answer_code(c, xid, zk_zxid(z), ends ? ZK_OK : ZK_NOT_READ_ONLY);
		if (ends)
			zk_close(c);
	} else if (!known(type)) {
		answer_code(c, xid, -1, ZK_UNIMPLEMENTED);
		zk_close(c);
	} else if (zk_is_write(type)) {
		write_request(c, xid, type, body, len);
	} else if ((c->first && !mutant(READ_OVERTAKES)) || type == ZK_OP_SYNC || z->turn_us > ZK_TURN_US) {
		struct zk_req *r = enqueue(c, xid, type, len);

		r->frame = frame;
		r->len = len;
		kept = true;
		if (type == ZK_OP_SYNC) {
			r->state = ZK_REQ_SENT;
			r->read.done = on_synced;
			c->nsent++;
			if (mutant(SYNC_LOCAL))
				on_synced(&r->read, OK);
			else
				node_read(z->node, &r->read);
		} else if (c->first == r) {
			make_late(c);
		}
	} else {
		local(c, xid, type, 0, body, len, z->clock->mono_us(z->clock));
	}
	if (!kept)
		c->calls->frame_free(c->port, frame);
}
