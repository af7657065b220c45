/*
 * state.h - the mirror of the cluster's metadata: what the tree's nodes say, as structs.
 *
 * Pure: meta_apply() takes one change of the feed at a time and is the only thing that changes it.
 * Order within one zxid does not matter. Nodes (values are msgpack arrays, first element the
 * format number 1):
 *
 *   /topics                         changed with each create, so that creators see each other
 *   /topics/<name>                  [1, id, partitions]
 *   /topics/<name>/<p>              [1, leader, leader epoch, partition epoch, [replicas], [isr], [elr]]
 *   /config/topics/<name>           [1, [name, value, name, value ...]]
 *   /config/brokers/<id>|default    the same
 *   /brokers/ids/<id>               [1, incarnation, rack, [listener, host, port, protocol ...]]  ephemeral
 *   /brokers/<id>/workers/<n>       [1, ...]  ephemeral
 *   /producer-ids                   [1, next free id]
 *
 * Invariants: M1 topics and configs are sorted by name. M2 an unknown path is ignored, an unknown
 * format number is E_VERSION.
 */
#ifndef META_STATE_H
#define META_STATE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/conf.h"
#include "base/err.h"
#include "base/str.h"
#include "meta/image.h"

#define META_REPLICAS_MAX 8
#define META_FORMAT 1
#define META_NAME_MAX 249
#define META_PATH_MAX 320
#define META_ENDPOINTS_MAX 16

struct meta_ids {
	int32_t v[META_REPLICAS_MAX];
	int32_t n;
};

struct meta_part {
	int32_t leader, leader_epoch, partition_epoch;
	struct meta_ids replicas, isr, elr;
	int32_t version;		/* of the node; -1: not there yet */
	uint32_t slot;			/* written by the agent; UINT32_MAX: none */
	int32_t led_epoch;		/* written by the agent: epoch told to the table, -1: none */
};

struct meta_topic {
	char *name;
	struct uuid id;
	int32_t version;
	int32_t parts_n;
	struct meta_part *parts;
	struct image_conf conf;		/* resolved settings, if conf_stamp is the mirror's */
	uint64_t conf_stamp;
};

struct meta_conf {			/* the dynamic settings of one resource */
	char *key;			/* "topics/<name>" or "brokers/<id>" */
	char **kv;			/* name, value, name, value ... */
	uint32_t kv_n;			/* pairs */
	int32_t version;
};

struct meta_endpoint {
	char *listener, *host, *protocol;
	uint16_t port;
};

struct meta_broker {
	int32_t id;
	bool registered;		/* /brokers/ids/<id> is there */
	int64_t epoch;			/* its czxid */
	int64_t owner;			/* session */
	struct uuid incarnation;
	char *rack;
	struct meta_endpoint ep[META_ENDPOINTS_MAX];
	int ep_n;
	uint64_t workers;		/* bit per worker node */
	uint64_t workers_owned;		/* unused bits are 0 */
};

struct meta {
	struct meta_topic **topics;
	uint32_t topics_n, topics_cap;
	struct meta_conf **confs;
	uint32_t confs_n, confs_cap;
	struct meta_broker *brokers;	/* sorted by id */
	uint32_t brokers_n;
	int32_t topics_version;		/* of /topics; -1: not seen */
	int32_t producers_version;	/* of /producer-ids; -1: not there */
	int64_t producers_next;
	int64_t zxid;
	/* Resolving a topic's settings costs some 100 us, so results are kept while nothing they came
	 * from changed: the stamp grows with each change of a broker's settings. */
	uint64_t conf_stamp;
	struct image_conf plain[META_REPLICAS_MAX + 1];	/* of topics without settings, by replicas */
	uint64_t plain_stamp[META_REPLICAS_MAX + 1];
};

struct meta_change {			/* as client/quorum.h gives them */
	bool deleted;
	struct str path;
	struct bytes value;
	int32_t version;
	int64_t czxid, owner;
};

struct meta *meta_open(void);
void meta_free(struct meta *m);
/* OK, E_BAD (value makes no sense), E_VERSION (written by a newer release). */
int meta_apply(struct meta *m, const struct meta_change *c) MUST_CHECK;

struct meta_topic *meta_topic(const struct meta *m, struct str name);
struct meta_topic *meta_topic_by_id(const struct meta *m, const struct uuid *id);
struct meta_conf *meta_conf(const struct meta *m, const char *kind, struct str name);
struct meta_broker *meta_broker(const struct meta *m, int32_t id);
/* Registered and with a living worker. */
bool meta_broker_alive(const struct meta_broker *b);
bool meta_topic_internal(struct str name);
/* "" is the cluster's default resource. NULL: not set there. */
const char *meta_conf_get(const struct meta *m, const char *kind, struct str name, const char *key);

/* Values and paths of nodes. */
void meta_put_topic(struct buf *b, const struct uuid *id, int32_t parts);
void meta_put_part(struct buf *b, const struct meta_part *p);
void meta_put_conf(struct buf *b, const struct str *kv, uint32_t pairs);
void meta_put_producers(struct buf *b, int64_t next);

/* ---- effective settings (settings.c) ---- */

enum meta_source {			/* numbers of DescribeConfigs */
	META_TOPIC = 1, META_BROKER = 2, META_DEFAULT_BROKER = 3, META_STATIC = 4, META_DEFAULT = 5,
};

struct meta_value {
	const char *name, *value;
	enum meta_source source;
	int64_t factor;			/* value counts this many of the setting's unit */
};
#define META_CHAIN_MAX 24
/* Where a topic's setting comes from, the one that counts first; topic null: a new topic's. */
int meta_topic_chain(const struct meta *m, const struct conf *c, int32_t node, struct str topic,
		     const struct conf_def *d, struct meta_value *v);
/* The same of a broker's setting. */
int meta_broker_chain(const struct meta *m, const struct conf *c, int32_t node,
		      const struct conf_def *d, struct meta_value *v);
#define META_VALUE_MAX 1024
/* The effective text in ret[META_VALUE_MAX] (cut if longer) and its source; false: null. rf: replicas
 * of the topic, for the default of min.insync.replicas. */
bool meta_topic_value(const struct meta *m, const struct conf *c, int32_t node, struct str topic,
		      int32_t rf, const struct conf_def *d, char *ret, enum meta_source *ret_source);

/* ---- the image (image_build.c) ---- */

/* The block of image.h; b is an empty buffer. */
int meta_image(struct meta *m, const struct conf *c, int32_t self, struct str cluster_id,
	       uint64_t gen, struct buf *b) MUST_CHECK;

#endif
