/*
 * api.h - which request goes where, and the two places that may stand in its way: rights and quotas.
 *
 * The one call site of authorize() and the one place that throttles are in api_dispatch(); both read
 * operation, resource and quota class from the table in wire/kafka_api.h.
 */
#ifndef BROKER_API_H
#define BROKER_API_H

#include <stdbool.h>
#include <stdint.h>

#include "broker/conn.h"
#include "meta/image.h"

#define API_KEY_PRODUCE 0
#define API_KEY_FETCH 1
#define API_KEY_LIST_OFFSETS 2
#define API_KEY_METADATA 3
#define API_KEY_API_VERSIONS 18
#define API_KEY_CREATE_TOPICS 19
#define API_KEY_DELETE_RECORDS 21
#define API_KEY_OFFSET_FOR_LEADER_EPOCH 23
#define API_KEY_DESCRIBE_CLUSTER 60
#define API_KEY_DESCRIBE_PRODUCERS 61
#define API_KEY_LIST_CONFIG_RESOURCES 74
#define API_KEY_DESCRIBE_TOPIC_PARTITIONS 75

/* Is this version served here (on a listener for clients)? */
bool api_serves(const struct kafka_api *api, int16_t version);
void api_dispatch(struct req *q);
/* ApiVersions of a version above ours: error 35 in the shape of version 0 (trap 1). */
void api_versions_too_new(struct req *q);
void api_conn_gone(struct conn *c);

/* Kafka's code for an error of part.h at an edge that serves records. */
int16_t api_part_error(struct worker *w, uint32_t slot, int err);

/* Where a partition of a request is, or the code that says why not. */
struct api_place {
	int16_t error;			/* 0: *topic and *part are valid and it is led here */
	bool known;			/* topic and part are valid though error != 0 */
	struct image_topic topic;
	struct image_part part;
};
/* id NULL or zero: by name. epoch: current leader epoch of the request or -1 (trap 52). */
void api_find(struct worker *w, struct str name, const struct uuid *id, int32_t partition,
	      int32_t epoch, struct api_place *ret);

/* Endpoint of a broker on the listener of this request's connection. */
bool api_endpoint(struct req *q, const struct image_broker *b, struct image_endpoint *ret);

/* The nodes of a partition as clients of this request's listener may see them (trap 19). */
struct api_nodes {
	int32_t leader;			/* -1: none that has this listener */
	bool leader_alive;		/* there is one, whatever its listeners */
	int32_t *replicas, *isr, *elr, *offline;	/* in the arena of the request */
	int32_t replicas_n, isr_n, elr_n, offline_n;
};
bool api_nodes(struct req *q, const struct image_part *p, struct api_nodes *ret);

/* Bits of the operations a principal may do, by their numbers in Kafka's AclOperation; without ACLs
 * everybody may do everything the resource knows. */
#define API_TOPIC_OPERATIONS 3576	/* read, write, create, delete, alter, describe, describe and alter configs */

/* Handlers, one a served API. Each finishes the request now or later (conn.h, C3). */
void api_produce(struct req *q);
void api_fetch(struct req *q);
void api_list_offsets(struct req *q);
void api_offset_for_leader_epoch(struct req *q);
void api_metadata(struct req *q);
void api_versions(struct req *q);
void api_describe_cluster(struct req *q);
void api_delete_records(struct req *q);
void api_describe_producers(struct req *q);
void api_list_config_resources(struct req *q);
void api_describe_topic_partitions(struct req *q);

#endif
