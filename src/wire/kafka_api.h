/*
 * kafka_api.h - one row per API key: names, versions, message types, who serves it, which right it
 * needs, which quota it counts against.
 *
 * Versions come from a profile: the ranges of one Kafka release. What the schema can read beyond
 * them (older versions, an unstable newest one) is neither served nor advertised.
 */
#ifndef WIRE_KAFKA_API_H
#define WIRE_KAFKA_API_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"
#include "wire/kafka_gen.h"
#include "wire/wire.h"

/* Which process of a broker answers. */
enum api_server { API_NONE, API_WORKER, API_AGENT, API_GROUPS };

/*
 * The right a principal needs before the request is looked at; what is named inside (each topic of
 * a Produce) is checked by the handler with the same operation. OP_NONE: no right is needed.
 */
enum api_operation {
	OP_NONE, OP_READ, OP_WRITE, OP_CREATE, OP_DELETE, OP_ALTER, OP_DESCRIBE, OP_CLUSTER_ACTION,
	OP_DESCRIBE_CONFIGS, OP_ALTER_CONFIGS, OP_IDEMPOTENT_WRITE, OP_CREATE_TOKENS,
	OP_DESCRIBE_TOKENS,
};

enum api_resource {
	RES_NONE, RES_TOPIC, RES_GROUP, RES_CLUSTER, RES_TRANSACTIONAL_ID, RES_DELEGATION_TOKEN,
	RES_USER, RES_BY_REQUEST,	/* topic, group or cluster: the request says which */
};

enum api_quota {
	QUOTA_NONE,			/* never delayed */
	QUOTA_REQUEST,			/* request time only */
	QUOTA_PRODUCE,			/* bytes in, and request time */
	QUOTA_FETCH,			/* bytes out, and request time */
	QUOTA_CONTROLLER,		/* partition mutations, and request time */
};

struct kafka_api {
	int16_t key;
	const char *name;		/* "Produce" */
	int16_t min, max;		/* served; max < min: the key is reserved */
	int16_t advertised_min;		/* in ApiVersions answers, up to max */
	int16_t flexible;		/* first flexible version; INT16_MAX: none */
	enum api_server served_by;	/* API_NONE: not served yet, and not advertised */
	enum api_operation operation;
	enum api_resource resource;
	enum api_quota quota;
	const struct wire_type *request, *response;	/* NULL: the key is reserved */
};

/* The rows of profile 4.4, by key: kafka_apis[k].key == k. */
extern const struct kafka_api kafka_apis[];
extern const uint32_t kafka_apis_n;

/* The row of a key; NULL: no such key. Reserved keys have a row. */
const struct kafka_api *kafka_api(int16_t key);
/* Whether some process of a broker serves this version. */
bool kafka_api_serves(const struct kafka_api *api, int16_t version);

/* A set of version ranges: one Kafka release. */
struct kafka_profile {
	const char *name;		/* "4.4" */
	const struct kafka_api *apis;
	uint32_t n;
};
/* NULL: no profile of this name. */
const struct kafka_profile *kafka_profile(struct str name);

/* Version of the request header (1 or 2) and of the response header (0 or 1). */
int kafka_request_header_version(const struct kafka_api *api, int16_t version);
/* ApiVersions answers have header 0 always, so that a client of any age can read them. */
int kafka_response_header_version(const struct kafka_api *api, int16_t version);

#endif
