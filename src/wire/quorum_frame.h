/*
 * quorum_frame.h - the frames of moldau-quorum's native protocol (docs/quorum-protocol.md).
 *
 * A frame is one msgpack array. Requests: [type, id, ...]; answers: [type, id, err, ...] in the order
 * of the requests of a connection; pushes have no id. err is a negative enum err or 0.
 */
#ifndef WIRE_QUORUM_FRAME_H
#define WIRE_QUORUM_FRAME_H

#define QF_PROTOCOL 1			/* of HELLO: a server that speaks another one answers E_VERSION */
#define QF_FRAME_MAX (32u << 20)	/* bytes */
#define QF_PUSH_BYTES (256u << 10)	/* pushes are cut into frames of about this size */

enum qf_type {
	/* [1, id, protocol, cluster_id?, name, session, password, timeout_ms]
	 *  -> [1, id, err, protocol, cluster_id, session, password, timeout_ms, zxid] */
	QF_HELLO = 1,
	QF_BEAT,	/* [2, id] -> [2, id, err, zxid of the feed: all changes up to it were pushed] */
	/* [3, id, [[kind, flags, path, value, version]...]] -> [3, id, err, zxid, [[err, path, version]...]] */
	QF_MULTI,
	QF_GET,		/* [4, id, path, children] -> [4, id, err, zxid, [node...]] */
	QF_SUBSCRIBE,	/* [5, id, [prefix...], from_zxid] -> [5, id, err, zxid] */
	QF_CLOSE,	/* [6, id] -> [6, id, err]: ends the session */
	QF_LIVENESS,	/* [7, id, session, password] -> [7, id, err]: as the only request of a connection */
	/* The next two need no session. [8, id] -> [8, id, err, cluster_id, state, leader or -1, term, commit, applied,
	 * last, durable, zxid, znodes, sessions, connections, changing, [member...]]; state: 0 follower, 1 candidate,
	 * 2 leader, 3 learner, 4 not a member; member: [id, peer address, voter, learner, leaving, self, leader,
	 * connected, match] */
	QF_STATUS,
	QF_ADMIN,	/* [9, id, enum qf_admin, node or -1, peer address, observer] -> [9, id, err, why or nil] */
	/* node: [path, value, version, czxid, mzxid, owner] */
	QF_CHANGES = 16,	/* [16, zxid, more, [[deleted, path, value, version, czxid, mzxid, owner]...]] */
	QF_SNAP_BEGIN,		/* [17, zxid] */
	QF_SNAP_END,		/* [18, zxid] */
	QF_EXPIRED,		/* [19]: the session is over; the connection is closed */
};

enum qf_admin {
	QA_ADD = 1,		/* node, address, observer */
	QA_REMOVE,		/* node */
	QA_TRANSFER,		/* node, or -1: the best follower */
	QA_SNAPSHOT,		/* of the node that is asked */
};

#endif
