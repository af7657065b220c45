/* topic_create.c - see topic_create.h. */
#include "broker/topic_create.h"

#include "broker/api.h"
#include "broker/relay.h"
#include "broker/worker.h"
#include "wire/kafka_gen.h"
#include "wire/wire.h"

#define CREATE_VERSION 5		/* the first flexible one; a count of -1 is the cluster's default */
#define CREATE_TIMEOUT_MS 30000
#define ASK_AGAIN_US (UINT64_C(1) * 1000000)
#define FRAME_MAX 1024

bool topic_name_ok(struct str name)
{
	if (name.len < 1 || name.len > 249 || str_is(name, ".") || str_is(name, ".."))
		return false;
	for (int32_t i = 0; i < name.len; i++) {
		char c = name.p[i];

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		      c == '.' || c == '_' || c == '-'))
			return false;
	}
	return true;
}

bool topic_is_internal(struct str name)
{
	return str_is(name, "__consumer_offsets") || str_is(name, "__transaction_state") ||
	       str_is(name, "__share_group_state");
}

/* The entry to remember this name in; NULL: it was asked for a moment ago. */
static struct creating *entry_for(struct worker *w, struct str name)
{
	uint64_t now = worker_now_us(w);
	struct creating *oldest = &w->creating[0];

	for (unsigned i = 0; i < WORKER_CREATING; i++) {
		struct creating *c = &w->creating[i];

		if (c->len == name.len && memcmp(c->name, name.p, (size_t)name.len) == 0) {
			if (now - c->at_us < ASK_AGAIN_US)
				return NULL;
			oldest = c;
			break;
		}
		if (c->at_us < oldest->at_us)
			oldest = c;
	}
	return oldest;
}

void topic_create(struct worker *w, struct str name)
{
	struct create_topics_request m;
	struct create_topics_request_creatable_topic t = {
		.name = name, .num_partitions = -1, .replication_factor = -1,
	};
	struct buf b;

	struct creating *c = entry_for(w, name);
	if (!c)
		return;
	wire_init(&wire_create_topics_request, &m);
	m.topics = &t;
	m.topics_n = 1;
	m.timeout_ms = CREATE_TIMEOUT_MS;
	buf_init(&b, FRAME_MAX);
	buf_be16(&b, API_KEY_CREATE_TOPICS);
	buf_be16(&b, CREATE_VERSION);
	buf_be32(&b, 0);
	buf_be16(&b, 0);		/* client id "" */
	buf_u8(&b, 0);			/* no header tags */
	if (wire_encode(&wire_create_topics_request, CREATE_VERSION, &m, &b) == OK && !b.bad &&
	    relay_own(w->agent, b.p, (uint32_t)b.len)) {
		c->at_us = worker_now_us(w);
		c->len = name.len;
		memcpy(c->name, name.p, (size_t)name.len);
	}
	buf_release(&b);
}
