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
	/* node: [path, value, version, czxid, mzxid, owner] */
	QF_CHANGES = 16,	/* [16, zxid, more, [[deleted, path, value, version, czxid, mzxid, owner]...]] */
	QF_SNAP_BEGIN,		/* [17, zxid] */
	QF_SNAP_END,		/* [18, zxid] */
	QF_EXPIRED,		/* [19]: the session is over; the connection is closed */
};

#endif
