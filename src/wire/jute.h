/*
 * jute.h - ZooKeeper's encoding of what the server answers: frames, headers, Stat, lists. Requests are decoded by
 * the tables that wiregen makes of proto/zk.wire.
 *
 * Integers are big-endian; a string or buffer is an int32 length and its bytes, -1: null; a vector is an int32
 * count and its elements (zookeeper.jute, BinaryOutputArchive of 3.9.5).
 */
#ifndef WIRE_JUTE_H
#define WIRE_JUTE_H

#include "base/buf.h"
#include "base/str.h"

/* ZooDefs.OpCode of 3.9.5. */
enum zk_op {
	ZK_OP_CREATE = 1, ZK_OP_DELETE = 2, ZK_OP_EXISTS = 3, ZK_OP_GET_DATA = 4, ZK_OP_SET_DATA = 5,
	ZK_OP_GET_ACL = 6, ZK_OP_SET_ACL = 7, ZK_OP_GET_CHILDREN = 8, ZK_OP_SYNC = 9, ZK_OP_PING = 11,
	ZK_OP_GET_CHILDREN2 = 12, ZK_OP_CHECK = 13, ZK_OP_MULTI = 14, ZK_OP_CREATE2 = 15, ZK_OP_RECONFIG = 16,
	ZK_OP_CHECK_WATCHES = 17, ZK_OP_REMOVE_WATCHES = 18, ZK_OP_CREATE_CONTAINER = 19,
	ZK_OP_CREATE_TTL = 21, ZK_OP_MULTI_READ = 22, ZK_OP_AUTH = 100,
	ZK_OP_SET_WATCHES = 101, ZK_OP_SASL = 102, ZK_OP_GET_EPHEMERALS = 103, ZK_OP_GET_ALL_CHILDREN = 104,
	ZK_OP_SET_WATCHES2 = 105, ZK_OP_ADD_WATCH = 106, ZK_OP_WHO_AM_I = 107, ZK_OP_CLOSE_SESSION = -11,
};

enum zk_xid { ZK_XID_EVENT = -1, ZK_XID_PING = -2, ZK_XID_AUTH = -4, ZK_XID_SET_WATCHES = -8 };

/* Watcher.Event.EventType */
enum zk_event { ZK_EVENT_CREATED = 1, ZK_EVENT_DELETED, ZK_EVENT_DATA, ZK_EVENT_CHILDREN };
#define ZK_STATE_CONNECTED 3		/* the only state that a server sends */

/* A frame of any kind: four bytes for its length, which jute_end() fills in. */
void jute_begin(struct buf *b, size_t max);
void jute_begin_reply(struct buf *b, size_t max, int32_t xid, int64_t zxid, int32_t err);
/* false: the frame is too large (b is released). */
bool jute_end(struct buf *b);

static inline void jute_int(struct buf *b, int32_t v)
{
	buf_be32(b, (uint32_t)v);
}

static inline void jute_long(struct buf *b, int64_t v)
{
	buf_be64(b, (uint64_t)v);
}

void jute_buffer(struct buf *b, struct bytes v);
void jute_str(struct buf *b, struct str s);
/* One of multi's headers. */
void jute_multi(struct buf *b, int32_t type, bool done, int32_t err);

#endif
