/*
 * control.h - what administrators ask of the cluster, decided: request + mirror -> answer and one
 * conditional batch of tree operations.
 *
 * Pure. Nothing here changes the mirror: the batch goes to the quorum, and what the feed brings back
 * does. A batch carries the versions it was decided on, so that another's change in between makes it
 * fail (conflict) and the caller decides again on newer state. Answers live in the arena.
 */
#ifndef META_CONTROL_H
#define META_CONTROL_H

#include "base/mem.h"
#include "base/rng.h"
#include "meta/state.h"
#include "wire/kafka_gen.h"

enum meta_op_kind { META_CREATE = 1, META_SET, META_DELETE };	/* as enum q_op_kind */

struct meta_op {
	enum meta_op_kind kind;
	struct str path;
	struct bytes value;
	int32_t version;		/* SET, DELETE; -1: any */
};

struct control {
	const struct meta *m;
	const struct conf *conf;
	int32_t node;
	int16_t version;		/* of the request */
	struct rng *rng;
	struct arena *arena;
	struct meta_op *ops;
	uint32_t ops_n, ops_cap;
	bool topics_touched;		/* the guard on /topics is in the batch */
};

/* Each fills *res; nothing to commit when ops_n is 0 afterwards (validate only, all refused). */
void control_create_topics(struct control *x, const struct create_topics_request *q,
			   struct create_topics_response *res);
void control_delete_topics(struct control *x, const struct delete_topics_request *q,
			   struct delete_topics_response *res);
void control_create_partitions(struct control *x, const struct create_partitions_request *q,
			       struct create_partitions_response *res);
void control_describe_configs(struct control *x, const struct describe_configs_request *q,
			      struct describe_configs_response *res);
void control_incremental_alter_configs(struct control *x, const struct incremental_alter_configs_request *q,
				       struct incremental_alter_configs_response *res);
void control_alter_configs(struct control *x, const struct alter_configs_request *q,
			   struct alter_configs_response *res);
#define CONTROL_PRODUCER_BLOCK 1000	/* ids a block has, as in Kafka */
/* Claims the next block of producer ids; *ret_first is the caller's once committed. */
void control_producer_block(struct control *x, int64_t *ret_first);

/* For the parts of this module. */
void *control_alloc(struct control *x, size_t n, size_t size);
struct str control_text(struct control *x, const char *a, struct str b, const char *c);
struct str control_num(struct control *x, const char *a, int64_t b, const char *c, int64_t d, const char *e);
void control_op(struct control *x, enum meta_op_kind kind, struct str path, struct buf *value, int32_t version);
struct str control_path(struct control *x, const char *folder, struct str name, int64_t number);
/* Every create, growth or delete of topics changes /topics, so that two deciders see each other. */
void control_touch_topics(struct control *x);
void control_put_conf(struct control *x, const char *kind, struct str name, const struct str *kv, uint32_t pairs);
/* Rack-aware: replicas of partition p on rf living brokers; false: too few of them. */
bool control_place(struct control *x, int32_t p, int32_t rf, uint32_t start, struct meta_ids *ret);
int32_t control_alive(const struct control *x);
enum control_named { CONTROL_ONCE, CONTROL_FIRST, CONTROL_AGAIN };
/* For each of n names: alone, the first of several, or a later one; null is always alone. */
uint8_t *control_named(struct control *x, const struct str *names, int32_t n);
/* Trap 24: 0, or INVALID_TOPIC_EXCEPTION with Kafka's words. */
int16_t control_check_name(struct control *x, struct str name, struct str *ret_msg);
/* A topic setting's new value: 0 or Kafka's error code with *ret_msg. */
int16_t control_check_topic(struct control *x, struct str name, struct str value, struct str *ret_msg);

#endif
