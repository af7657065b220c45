/*
 * zk.h - the ZooKeeper front of a quorum node: ZooKeeper 3.9's client protocol on the replicated tree.
 *
 * What it is: connections, handshakes, requests, watches, four-letter words. What it is not: the tree (coord) and
 * its agreement (node.h). Rules of ZooKeeper itself are not repeated here: docs/zookeeper.md names our differences.
 *
 * States of a connection: GREETING (nothing but a handshake or a four-letter word is taken) -> OPENING (muted until
 * the session is logged) -> OPEN -> closed.
 *
 * Invariants
 *   Z1  answers of a connection leave in the order of its requests (auth and SASL packets excepted, as ZooKeeper's);
 *       a read is done when all writes before it are applied and none behind it is
 *   Z2  the event of a change leaves before the answer of the change and before any answer that could show it
 *   Z3  a connection hears of one change of one path at most once, and only while it may read the node
 *   Z4  a session is served by one connection of a node: a newer one closes the older
 *   Z5  what clients have in flight together is bounded in number and bytes; beyond it they are not read, so the
 *       system's own proposals never queue behind more than that
 *   Z6  a node that has not had a quorum for a second ends its connections (local read-only sessions excepted): a
 *       client that is answered can count on its session
 */
#ifndef QUORUM_ZK_H
#define QUORUM_ZK_H

#include "io/hash.h"
#include "io/net.h"
#include "quorum/node.h"

struct zk;

#define ZK_CONF_SERVERS 16

struct zk_conf_server {			/* server.ID=HOST:PEER:ELECTION[:ROLE][;[CLIENT-HOST:]CLIENT-PORT] */
	uint32_t id;
	char host[256], client[256];	/* client: as given behind ';', empty: nothing */
	uint16_t peer_port, election_port;
	bool observer;
};

struct zk_config {
	uint32_t tick_ms, session_ms_min, session_ms_max;
	uint32_t frame_max;		/* jute.maxbuffer: bytes of a request */
	uint32_t conns_per_host;	/* maxClientCnxns; 0: no limit */
	uint32_t outstanding_max;	/* globalOutstandingLimit */
	uint32_t reap_ms;		/* znode.container.checkIntervalMs */
	struct coord_rules rules;
	bool extended_types;		/* TTL nodes; ZooKeeper's default is off */
	bool reconfig;
	bool read_only;			/* read-only clients are served while there is no quorum */
	const struct zk_conf_server *servers;	/* of an ensemble, as its configuration names them */
	uint32_t nservers, server_id;
	bool sasl_required;		/* sessionRequireClientSASLAuth */
	const char *words;		/* 4lw.commands.whitelist: "srvr, isro" or "*" */
	const char *super_digest;	/* "super:base64"; NULL: nobody is super by digest */
	const char *super_sasl;		/* user who is super; NULL: none */
	const char *users;		/* SASL DIGEST-MD5: NAME=PASSWORD a line; NULL: no SASL */
	const char *data_dir, *host;
	uint16_t port, secure_port;	/* as conf and the log tell them; 0: not listening */
	bool x509;			/* certificates of clients are ids */
	void (*hash)(enum hash_kind kind, const void *p, size_t n, uint8_t *ret);
	void (*random)(void *buf, uint32_t len);
	void (*on_log)(void *user, const char *msg, const char *detail);
	void (*system_info)(void *user, const char *what, char *ret, size_t cap);	/* "os.version", "fds", ... */
	void *user;
};

struct zk_stats {
	uint64_t received, sent, bytes_in, bytes_out, rejected, expired_greetings, auth_failed, throttled,
		watches_fired[5];
	uint64_t latency_us_min, latency_us_max, latency_us_sum, latency_n;
	uint32_t connections, outstanding, watches;
};

struct zk *zk_new(struct node *node, struct loop *loop, struct clock *clock,
		  const struct zk_config *conf);
/* A connection that was accepted on net (the one with TLS has its own); the descriptor is taken over. */
void zk_accept(struct zk *z, struct net *net, bool secure, int fd);
/* No new sessions and requests; those at work are finished. */
void zk_drain(struct zk *z);
void zk_stats(const struct zk *z, struct zk_stats *ret);
/* Writes the answer of the admin command `name` ("": a list of all); its content type, NULL: there is no such one. */
const char *zk_admin(struct zk *z, const char *name, struct buf *b);

#endif
