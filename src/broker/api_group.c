/*
 * api_group.c - Kafka's group requests to operations of group/shard.h, and their answers back.
 *
 * Translation only: every decision about a group is in src/group. What needs the cluster image (does
 * the topic exist, its id or name, where is the coordinator) is settled here.
 */
#include <string.h>

#include "base/assert.h"
#include "broker/api_group.h"
#include "wire/kafka_error.h"

#define GROUP_OPERATIONS 3400	/* READ, DELETE, DESCRIBE, DESCRIBE_CONFIGS, ALTER_CONFIGS as bits */

/* ---- frames -------------------------------------------------------------------------------- */

void *api_room(struct greq *q, int32_t n, size_t size)
{
	return arena_array(&q->arena, n > 0 ? (size_t)n : 1, size);
}

static void encode(struct greq *q, const void *response)
{
	struct response_header h = { .correlation_id = q->correlation };

	buf_reset(&q->out);
	if (wire_encode(&wire_response_header, kafka_response_header_version(q->api, q->version), &h, &q->out) ||
	    wire_encode(q->api->response, q->version, response, &q->out))
		q->out.bad = true;
}

void api_answer(struct greq *q, const void *response)
{
	encode(q, response);
	groups_answer(q);
}

void *api_grown(struct greq *q, void *old, int32_t n, int32_t *cap, size_t size)
{
	if (n < *cap)
		return old;
	int32_t want = *cap ? *cap * 2 : 8;
	void *v = arena_array(&q->arena, (size_t)want, size);

	if (v && n)
		memcpy(v, old, (size_t)n * size);
	*cap = want;
	return v;
}

/* ---- FindCoordinator ------------------------------------------------------------------------ */

static void find_one(struct greq *q, int8_t type, struct str key,
		     struct find_coordinator_response_coordinator *c)
{
	struct gproc *p = q->p;
	struct image_topic t;
	struct image_part part;
	struct image_broker b;
	struct image_endpoint e;
	const char *listener = q->listener < p->env->n_listeners ? p->env->listeners[q->listener].name : "";

	wire_init(&wire_find_coordinator_response_coordinator, c);
	c->key = key;
	c->node_id = c->port = -1;
	c->host = STR("");
	if (type != 0) {
		c->error_code = KAFKA_INVALID_REQUEST;
		c->error_message = type == 1 ? STR("This broker does not serve transactions yet.")
			: STR("This broker has no coordinator of this type.");
		return;
	}
	c->error_code = KAFKA_COORDINATOR_NOT_AVAILABLE;
	if (!p->im)
		return;
	if (image_topic_by_name(p->im, STR("__consumer_offsets"), &t) &&
	    image_part(p->im, &t, group_partition(key, t.partitions), &part) && part.leader >= 0 &&
	    image_broker_by_id(p->im, part.leader, &b) &&
	    image_endpoint(p->im, &b, str_of(listener), &e)) {
		c->error_code = KAFKA_NONE;
		c->error_message = q->version >= 4 ? STR("") : STR("NONE");	/* as Kafka says it */
		c->node_id = b.id;
		c->host = e.host;
		c->port = e.port;
	}
}

/*
 * The topic is made on first use (trap 77). The answer waits for it a moment: clients that take
 * COORDINATOR_NOT_AVAILABLE for an error (kafka-go after three tries, kadm at once) never see it then.
 */
static bool find_must_wait(struct greq *q, int8_t type)
{
	struct image_topic t;

	if (type != 0 || !q->p->im || image_topic_by_name(q->p->im, STR("__consumer_offsets"), &t))
		return false;
	groups_create_topic(q->p);
	return groups_wait_topic(q->p, q);
}

static void find_coordinator(struct greq *q)
{
	const struct find_coordinator_request *m = q->msg;
	struct find_coordinator_response a;
	struct find_coordinator_response_coordinator one;

	if (find_must_wait(q, m->key_type))
		return;
	wire_init(&wire_find_coordinator_response, &a);
	if (q->version >= 4) {
		a.coordinators_n = m->coordinator_keys_n > 0 ? m->coordinator_keys_n : 0;
		a.coordinators = api_room(q, a.coordinators_n, sizeof *a.coordinators);
		for (int32_t i = 0; a.coordinators && i < a.coordinators_n; i++)
			find_one(q, m->key_type, m->coordinator_keys[i], &a.coordinators[i]);
	} else {
		find_one(q, m->key_type, m->key, &one);
		a.error_code = one.error_code;
		a.error_message = one.error_message;
		a.node_id = one.node_id;
		a.host = one.host;
		a.port = one.port;
	}
	api_answer(q, &a);
}

/* ---- JoinGroup, SyncGroup, Heartbeat, LeaveGroup --------------------------------------------- */

static void join_run(struct greq *q, struct gshard *sh)
{
	const struct join_group_request *m = q->msg;
	struct group_proto *v = api_room(q, m->protocols_n, sizeof *v);
	int32_t n = v && m->protocols_n > 0 ? m->protocols_n : 0;

	for (int32_t i = 0; i < n; i++)
		v[i] = (struct group_proto){ m->protocols[i].name, m->protocols[i].metadata };
	shard_join(sh->s, &q->call->call, &(struct join_op){
		.group = m->group_id, .member = m->member_id, .instance = m->group_instance_id,
		.protocol_type = m->protocol_type, .session_ms = m->session_timeout_ms,
		.rebalance_ms = m->rebalance_timeout_ms < 0 ? m->session_timeout_ms : m->rebalance_timeout_ms,
		.protos = v, .protos_n = n });
}

static void join_reply(struct greq *q, const struct join_answer *j)
{
	struct join_group_response a;

	wire_init(&wire_join_group_response, &a);
	a.error_code = j->error;
	a.generation_id = j->generation;
	a.protocol_type = j->protocol_type;
	a.protocol_name = j->protocol.len < 0 && q->version < 7 ? STR("") : j->protocol;
	a.leader = j->leader;
	a.skip_assignment = j->skip_assignment;
	a.member_id = j->member;
	a.members = api_room(q, j->n, sizeof *a.members);
	for (int32_t i = 0; a.members && i < j->n; i++) {
		a.members[i].member_id = j->v[i].id;
		a.members[i].group_instance_id = j->v[i].instance;
		a.members[i].metadata = j->v[i].metadata;
	}
	a.members_n = a.members ? j->n : 0;
	api_answer(q, &a);
}

static void sync_reply(struct greq *q, const struct sync_answer *s);

static void sync_run(struct greq *q, struct gshard *sh)
{
	const struct sync_group_request *m = q->msg;

	if (q->version >= 5 && (m->protocol_type.len < 0 || m->protocol_name.len < 0)) {	/* trap 68 */
		sync_reply(q, &(struct sync_answer){ .error = GE_INCONSISTENT_PROTOCOL, .protocol_type = STR_NULL,
			.protocol = STR_NULL, .assignment = { (const uint8_t *)"", 0 } });
		return;
	}
	struct sync_assignment *v = api_room(q, m->assignments_n, sizeof *v);
	struct sync_op *op = arena_alloc(&q->arena, sizeof *op);

	if (!v || !op) {
		groups_close(q);
		return;
	}
	for (int32_t i = 0; i < m->assignments_n; i++)
		v[i] = (struct sync_assignment){ m->assignments[i].member_id, m->assignments[i].assignment };
	*op = (struct sync_op){
		.group = m->group_id, .member = m->member_id, .instance = m->group_instance_id,
		.protocol_type = m->protocol_type, .protocol = m->protocol_name,
		.generation = m->generation_id, .v = v, .n = m->assignments_n > 0 ? m->assignments_n : 0 };
	shard_sync(sh->s, &q->call->call, op);
}

static void sync_reply(struct greq *q, const struct sync_answer *s)
{
	struct sync_group_response a;

	wire_init(&wire_sync_group_response, &a);
	a.error_code = s->error;
	a.protocol_type = s->protocol_type;
	a.protocol_name = s->protocol;
	a.assignment = s->assignment;
	api_answer(q, &a);
}

static void heartbeat_reply(struct greq *q, int16_t error)
{
	struct heartbeat_response a;

	wire_init(&wire_heartbeat_response, &a);
	a.error_code = error;
	api_answer(q, &a);
}

static void leave_run(struct greq *q, struct gshard *sh)
{
	const struct leave_group_request *m = q->msg;
	int32_t n = q->version < 3 ? 1 : m->members_n > 0 ? m->members_n : 0;
	struct leave_op *op = arena_alloc(&q->arena, sizeof *op);
	struct leave_member *v = api_room(q, n, sizeof *v);

	if (!op || !v) {
		groups_close(q);
		return;
	}
	for (int32_t i = 0; i < n; i++)
		v[i] = q->version < 3 ? (struct leave_member){ m->member_id, STR_NULL, 0 }
			: (struct leave_member){ m->members[i].member_id, m->members[i].group_instance_id, 0 };
	*op = (struct leave_op){ m->group_id, v, n };
	shard_leave(sh->s, &q->call->call, op);
}

static void leave_reply(struct greq *q, const struct leave_op *op, int16_t error)
{
	struct leave_group_response a;

	wire_init(&wire_leave_group_response, &a);
	a.error_code = error;
	if (op && q->version < 3)
		a.error_code = op->v[0].error;
	else if (op)
		a.members_n = op->n;
	a.members = api_room(q, a.members_n, sizeof *a.members);
	for (int32_t i = 0; a.members && i < a.members_n; i++) {
		a.members[i].member_id = op->v[i].member;
		a.members[i].group_instance_id = op->v[i].instance;
		a.members[i].error_code = op->v[i].error;
	}
	api_answer(q, &a);
}

/* ---- DescribeGroups, ListGroups, DeleteGroups ------------------------------------------------- */

static struct str cat(struct greq *q, const char *before, struct str id, const char *after)
{
	size_t a = strlen(before), b = id.len > 0 ? (size_t)id.len : 0, c = strlen(after);
	char *p = arena_alloc(&q->arena, a + b + c + 1);

	if (!p)
		return STR_NULL;
	memcpy(p, before, a);
	if (b)
		memcpy(p + a, id.p, b);
	memcpy(p + a + b, after, c);
	return (struct str){ p, (int32_t)(a + b + c) };
}

static void describe_one(struct greq *q, struct str id, bool operations,
			 struct describe_groups_response_described_group *g)
{
	int16_t e;
	struct gshard *sh = groups_shard(q->p, id, &e);
	struct describe_answer d = { .state = "", .protocol_type = STR(""), .protocol = STR("") };

	wire_init(&wire_describe_groups_response_described_group, g);
	g->group_id = id;
	g->error_code = e;
	if (sh) {
		groups_barrier(q, sh);
		shard_describe(sh->s, id, &q->arena, &d);
		if (d.error != GE_GROUP_NOT_FOUND) {
			g->error_code = d.error;
		} else if (q->version >= 6) {	/* before: no error, only "Dead" (trap 76) */
			g->error_code = d.error;
			g->error_message = cat(q, "Group ", id, " not found.");
		}
	}
	g->group_state = str_of(d.state);
	g->protocol_type = d.protocol_type;
	g->protocol_data = d.protocol;
	if (operations && sh && g->error_code == KAFKA_NONE)
		g->authorized_operations = GROUP_OPERATIONS;
	g->members = api_room(q, d.n, sizeof *g->members);
	for (int32_t i = 0; g->members && i < d.n; i++) {
		struct describe_groups_response_described_group_member *m = &g->members[i];

		m->member_id = d.v[i].id;
		m->group_instance_id = d.v[i].instance;
		m->client_id = d.v[i].client_id;
		m->client_host = d.v[i].client_host;
		m->member_metadata = d.v[i].metadata;
		m->member_assignment = d.v[i].assignment;
	}
	g->members_n = g->members ? d.n : 0;
}

static void describe_groups(struct greq *q)
{
	const struct describe_groups_request *m = q->msg;
	struct describe_groups_response a;

	wire_init(&wire_describe_groups_response, &a);
	a.groups = api_room(q, m->groups_n, sizeof *a.groups);
	a.groups_n = a.groups && m->groups_n > 0 ? m->groups_n : 0;
	for (int32_t i = 0; i < a.groups_n; i++)
		describe_one(q, m->groups[i], m->include_authorized_operations, &a.groups[i]);
	api_answer(q, &a);
}

struct listing {
	struct greq *q;
	struct list_groups_response a;
	int32_t cap;
	bool full;
};

static bool same_letters(struct str a, const char *b)
{
	size_t n = strlen(b);

	if (a.len < 0 || (size_t)a.len != n)
		return false;
	for (size_t i = 0; i < n; i++) {
		char x = a.p[i], y = b[i];

		x = x >= 'A' && x <= 'Z' ? (char)(x + 32) : x;
		y = y >= 'A' && y <= 'Z' ? (char)(y + 32) : y;
		if (x != y)
			return false;
	}
	return true;
}

static bool listed(const struct str *filter, int32_t n, const char *value)
{
	for (int32_t i = 0; i < n; i++)
		if (same_letters(filter[i], value))
			return true;
	return n <= 0;
}

static void on_group(void *ctx, const struct group_about *g)
{
	struct listing *x = ctx;
	const struct list_groups_request *m = x->q->msg;

	if (x->full || !listed(m->states_filter, m->states_filter_n, g->state) ||
	    !listed(m->types_filter, m->types_filter_n, g->type))
		return;
	x->a.groups = api_grown(x->q, x->a.groups, x->a.groups_n, &x->cap, sizeof *x->a.groups);
	if (!x->a.groups) {
		x->full = true;
		x->a.groups_n = 0;
		return;
	}
	x->a.groups[x->a.groups_n++] = (struct list_groups_response_listed_group){
		.group_id = g->id, .protocol_type = g->protocol_type, .group_state = str_of(g->state),
		.group_type = str_of(g->type) };
}

static void list_groups(struct greq *q)
{
	struct listing x = { .q = q };

	wire_init(&wire_list_groups_response, &x.a);
	for (int32_t i = 0; i < q->p->partitions; i++) {
		struct gshard *sh = &q->p->v[i];

		if (sh->state == G_LOADING)	/* the list would be incomplete */
			x.a.error_code = KAFKA_COORDINATOR_LOAD_IN_PROGRESS;
		if (sh->state != G_READY)
			continue;
		groups_barrier(q, sh);
		shard_each(sh->s, on_group, &x);
	}
	if (x.a.error_code)
		x.a.groups_n = 0;
	api_answer(q, &x.a);
}

/* One group after the other: each may wait for its own partition's write. */
#define NAMES_COMPARED 1000		/* beyond, names that are there twice are answered twice */

static void delete_next(struct greq *q)
{
	const struct delete_groups_request *m = q->msg;
	struct delete_groups_response *a = q->answer;

	while (q->turn < a->results_n) {
		int16_t e;
		struct gshard *sh = groups_shard(q->p, m->groups_names[q->turn], &e);

		if (sh) {
			groups_run(sh, q);
			return;
		}
		a->results[q->turn++].error_code = e;
	}
	api_answer(q, a);
}

static void delete_begin(struct greq *q)
{
	struct delete_groups_request *m = q->msg;
	struct delete_groups_response *a = arena_alloc(&q->arena, sizeof *a);
	int32_t n = 0;

	for (int32_t i = 0; i < m->groups_names_n; i++) {	/* a name that is there twice is answered once */
		bool again = false;

		for (int32_t k = 0; k < n && n <= NAMES_COMPARED; k++)
			again |= str_eq(m->groups_names[k], m->groups_names[i]);
		if (!again)
			m->groups_names[n++] = m->groups_names[i];
	}

	if (a) {
		wire_init(&wire_delete_groups_response, a);
		a->results = api_room(q, n, sizeof *a->results);
	}
	if (!a || !a->results) {
		groups_close(q);
		return;
	}
	a->results_n = n;
	for (int32_t i = 0; i < n; i++) {
		wire_init(&wire_delete_groups_response_deletable_group_result, &a->results[i]);
		a->results[i].group_id = m->groups_names[i];
	}
	q->answer = a;
	delete_next(q);
}

static void deleted(struct greq *q, int16_t error)
{
	struct delete_groups_response *a = q->answer;
	struct delete_groups_response_deletable_group_result *r = &a->results[q->turn++];

	r->error_code = error;
	if (q->version >= 3 && error == GE_GROUP_NOT_FOUND)
		r->error_message = cat(q, "Group ", r->group_id, " not found.");
	else if (q->version >= 3 && error == GE_NON_EMPTY_GROUP)
		r->error_message = cat(q, "Group ", r->group_id, " is not empty.");
	delete_next(q);
}

/* ---- dispatch ------------------------------------------------------------------------------ */

static struct str group_of(const struct greq *q)
{
	switch (q->api->key) {
	case KAFKA_JOIN_GROUP:
		return ((const struct join_group_request *)q->msg)->group_id;
	case KAFKA_SYNC_GROUP:
		return ((const struct sync_group_request *)q->msg)->group_id;
	case KAFKA_HEARTBEAT:
		return ((const struct heartbeat_request *)q->msg)->group_id;
	case KAFKA_LEAVE_GROUP:
		return ((const struct leave_group_request *)q->msg)->group_id;
	case KAFKA_OFFSET_COMMIT:
		return ((const struct offset_commit_request *)q->msg)->group_id;
	case KAFKA_OFFSET_DELETE:
		return ((const struct offset_delete_request *)q->msg)->group_id;
	case KAFKA_OFFSET_FETCH: {
		const struct offset_fetch_request *m = q->msg;

		return q->version < 8 ? m->group_id : m->groups_n > 0 ? m->groups[0].group_id : STR("");
	}
	default:
		return STR_NULL;
	}
}

void api_group_begin(struct greq *q)
{
	switch (q->api->key) {
	case KAFKA_FIND_COORDINATOR:
		find_coordinator(q);
		return;
	case KAFKA_OFFSET_FETCH:
		if (!groups_wait_load(q->p, group_of(q), q))
			api_offset_fetch(q);
		return;
	case KAFKA_DESCRIBE_GROUPS:
		describe_groups(q);
		return;
	case KAFKA_LIST_GROUPS:
		list_groups(q);
		return;
	case KAFKA_DELETE_GROUPS:
		delete_begin(q);
		return;
	case KAFKA_JOIN_GROUP:
	case KAFKA_SYNC_GROUP:
	case KAFKA_HEARTBEAT:
	case KAFKA_LEAVE_GROUP:
	case KAFKA_OFFSET_COMMIT:
	case KAFKA_OFFSET_DELETE:
		break;
	default:
		groups_close(q);
		return;
	}
	int16_t e;
	struct gshard *sh = groups_shard(q->p, group_of(q), &e);

	if (q->api->key != KAFKA_HEARTBEAT && groups_wait_load(q->p, group_of(q), q))
		return;
	if (sh)
		groups_run(sh, q);
	else if (q->api->key == KAFKA_HEARTBEAT && e == GE_LOAD_IN_PROGRESS)
		heartbeat_reply(q, KAFKA_NONE);		/* the member stays (its session starts anew) */
	else
		api_group_fail(&q->p->port, &q->call->call, e);
}

void api_group_run(struct greq *q, struct gshard *sh)
{
	switch (q->api->key) {
	case KAFKA_JOIN_GROUP:
		join_run(q, sh);
		return;
	case KAFKA_SYNC_GROUP:
		sync_run(q, sh);
		return;
	case KAFKA_HEARTBEAT: {
		const struct heartbeat_request *m = q->msg;

		shard_heartbeat(sh->s, &q->call->call, &(struct heartbeat_op){
			m->group_id, m->member_id, m->group_instance_id, m->generation_id });
		return;
	}
	case KAFKA_LEAVE_GROUP:
		leave_run(q, sh);
		return;
	case KAFKA_OFFSET_COMMIT:
		api_commit_run(q, sh);
		return;
	case KAFKA_OFFSET_FETCH:	/* it waited for the load */
		api_offset_fetch(q);
		return;
	case KAFKA_OFFSET_DELETE:
		api_delete_offsets_run(q, sh);
		return;
	case KAFKA_DELETE_GROUPS:
		shard_delete(sh->s, &q->call->call,
			     ((const struct delete_groups_request *)q->msg)->groups_names[q->turn]);
		return;
	default:
		groups_close(q);
	}
}

static struct gcall *call_of(struct group_call *c)
{
	return (struct gcall *)(void *)((char *)c - offsetof(struct gcall, call));
}

/* The partition whose state the answer shows. */
static void barrier(struct greq *q)
{
	struct str group = q->api->key == KAFKA_DELETE_GROUPS
		? ((const struct delete_groups_request *)q->msg)->groups_names[q->turn] : group_of(q);
	int16_t e;
	struct gshard *sh = groups_shard(q->p, group, &e);

	if (sh)
		groups_barrier(q, sh);
}

void api_group_reply(struct group_port *port, struct group_call *c, const void *response)
{
	struct greq *q = call_of(c)->q;
	(void)port;

	if (q->api->key == KAFKA_HEARTBEAT) {
		heartbeat_reply(q, *(const int16_t *)response);
		return;
	}
	barrier(q);
	switch (q->api->key) {
	case KAFKA_JOIN_GROUP:
		join_reply(q, response);
		return;
	case KAFKA_SYNC_GROUP:
		sync_reply(q, response);
		return;
	case KAFKA_LEAVE_GROUP:
		leave_reply(q, response, KAFKA_NONE);
		return;
	case KAFKA_OFFSET_COMMIT:
		api_commit_reply(q, response, KAFKA_NONE);
		return;
	case KAFKA_OFFSET_DELETE:
		api_delete_offsets_reply(q, response, KAFKA_NONE);
		return;
	case KAFKA_DELETE_GROUPS:
		deleted(q, *(const int16_t *)response);
		return;
	default:
		groups_close(q);
	}
}

void api_group_fail(struct group_port *port, struct group_call *c, int16_t error)
{
	struct greq *q = call_of(c)->q;
	(void)port;

	switch (q->api->key) {
	case KAFKA_JOIN_GROUP:
		join_reply(q, &(struct join_answer){ .error = error, .generation = -1, .protocol_type = STR_NULL,
			.protocol = STR_NULL, .leader = STR(""),
			.member = ((const struct join_group_request *)q->msg)->member_id });
		return;
	case KAFKA_SYNC_GROUP:
		sync_reply(q, &(struct sync_answer){ .error = error, .protocol_type = STR_NULL,
			.protocol = STR_NULL, .assignment = { (const uint8_t *)"", 0 } });
		return;
	case KAFKA_HEARTBEAT:
		heartbeat_reply(q, error);
		return;
	case KAFKA_LEAVE_GROUP:
		leave_reply(q, NULL, error);
		return;
	case KAFKA_OFFSET_COMMIT:
		/* A record above the limit of the log has a code of its own here. */
		api_commit_reply(q, NULL, error == GE_UNKNOWN ? GE_INVALID_COMMIT_SIZE : error);
		return;
	case KAFKA_OFFSET_FETCH:	/* gives the partition's code itself */
		api_offset_fetch(q);
		return;
	case KAFKA_OFFSET_DELETE:
		api_delete_offsets_reply(q, NULL, error);
		return;
	case KAFKA_DELETE_GROUPS:
		deleted(q, error);
		return;
	default:
		groups_close(q);
	}
}
