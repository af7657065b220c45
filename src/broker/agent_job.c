/*
 * agent_job.c - requests that workers and groups forward to the agent; see agent.h, forward.h.
 *
 *   queued -> decided -> (batch at the quorum -> committed -> waiting for the image) -> answered
 *                 ^---- conflict: decided again on newer state
 *
 * J1: one batch is on its way at a time, of the queue's first. J2: an answer leaves only when the image
 * shows what it says, or its time is over.
 */
#include "base/assert.h"
#include "base/be.h"
#include "base/mem.h"
#include "broker/agent.h"
#include "broker/forward.h"
#include "wire/kafka_api.h"
#include "wire/kafka_error.h"

#define FRAME_MAX (16u << 20)
#define ARENA_CHUNK (64u << 10)
#define ARENA_MAX ((size_t)1 << 30)
#define ANSWER_MAX (64u << 20)
#define DEADLINE_US (UINT64_C(10) * 1000000)
#define RETRY_US 20000
#define HEAD_BYTES 12			/* id, version, listener, peer length */

enum job_state { JOB_QUEUED, JOB_COMMITTING, JOB_WAITING };

struct peer {
	struct agent *a;
	struct net_conn *conn;
	struct peer *next;
};

struct job {
	struct job *next;
	struct agent *a;
	struct peer *peer;		/* NULL: gone, nobody wants the answer */
	enum job_state state;
	uint64_t id;
	uint8_t *frame;
	const struct kafka_api *api;
	int16_t version;
	int32_t correlation;
	struct arena arena;
	void *req, *res;
	struct control x;
	uint64_t deadline_us, retry_us;
	int64_t zxid;			/* of the batch */
	int64_t block;			/* first producer id of a claimed block */
};

static void job_free(struct job *j)
{
	j->a->env->net->calls->frame_free(j->a->env->net, j->frame);
	arena_release(&j->arena);
	mem_free(j);
}

static void release_mem(void *p)
{
	mem_free(p);
}

static void send_answer(struct job *j, uint8_t status, bool body)
{
	struct buf b;
	size_t n;

	if (!j->peer)
		return;
	buf_init(&b, ANSWER_MAX);
	buf_be32(&b, 0);
	buf_be64(&b, j->id);
	buf_u8(&b, status);
	if (body) {
		buf_be32(&b, (uint32_t)j->correlation);
		if (kafka_response_header_version(j->api, j->version) == 1)
			buf_u8(&b, 0);
		if (wire_encode(j->api->response, j->version, j->res, &b) != OK || b.bad) {
			b.bad = false;
			b.len = 13;
			b.p[12] = FORWARD_CLOSE;
		}
	}
	be32_put(b.p, (uint32_t)b.len - 4);
	uint8_t *p = buf_steal(&b, &n);
	struct net_piece piece = { .kind = NET_MEM, .mem = p, .len = n, .release = release_mem, .release_ctx = p };

	j->a->env->net->calls->send(j->peer->conn, &piece, 1);
}

/* ---- deciding ---- */

static void init_producer_id(struct job *j)
{
	struct agent *a = j->a;
	const struct init_producer_id_request *q = j->req;
	struct init_producer_id_response *r = j->res;

	wire_init(&wire_init_producer_id_response, r);
	r->producer_id = -1;
	r->producer_epoch = -1;
	if (q->transactional_id.len >= 0) {
		/* The transaction coordinator does not exist yet; a retriable code would make clients wait for ever. */
		r->error_code = q->transactional_id.len == 0 ? KAFKA_INVALID_REQUEST : KAFKA_UNSUPPORTED_VERSION;
		return;
	}
	if ((q->producer_id == -1) != (q->producer_epoch == -1)) {	/* trap 91 */
		r->error_code = KAFKA_INVALID_REQUEST;
		return;
	}
	if (a->ids_next == a->ids_end) {
		control_producer_block(&j->x, &j->block);
		return;
	}
	r->producer_id = a->ids_next++;
	r->producer_epoch = 0;
}

/* Decides on the mirror as it is: fills j->res and j->x.ops. */
static void decide(struct job *j)
{
	struct agent *a = j->a;

	j->block = -1;
	j->x = (struct control){
		.m = a->m, .conf = a->env->conf, .node = a->env->node_id, .version = j->version,
		.rng = &a->env->rng, .arena = &j->arena,
	};
	switch (j->api->key) {
	case KAFKA_CREATE_TOPICS:
		control_create_topics(&j->x, j->req, j->res);
		break;
	case KAFKA_DELETE_TOPICS:
		control_delete_topics(&j->x, j->req, j->res);
		break;
	case KAFKA_CREATE_PARTITIONS:
		control_create_partitions(&j->x, j->req, j->res);
		break;
	case KAFKA_DESCRIBE_CONFIGS:
		control_describe_configs(&j->x, j->req, j->res);
		break;
	case KAFKA_INCREMENTAL_ALTER_CONFIGS:
		control_incremental_alter_configs(&j->x, j->req, j->res);
		break;
	case KAFKA_ALTER_CONFIGS:
		control_alter_configs(&j->x, j->req, j->res);
		break;
	case KAFKA_INIT_PRODUCER_ID:
		init_producer_id(j);
		break;
	}
}

static bool served(int16_t key)
{
	return key == KAFKA_CREATE_TOPICS || key == KAFKA_DELETE_TOPICS || key == KAFKA_CREATE_PARTITIONS ||
	       key == KAFKA_DESCRIBE_CONFIGS || key == KAFKA_INCREMENTAL_ALTER_CONFIGS ||
	       key == KAFKA_ALTER_CONFIGS || key == KAFKA_INIT_PRODUCER_ID;
}

static void pop(struct agent *a)
{
	a->queue = a->queue->next;
	if (!a->queue)
		a->queue_end = &a->queue;
}

static void on_committed(void *ctx, int err, int64_t zxid, const struct q_op_result *v, uint32_t n)
{
	struct job *j = ctx;
	struct agent *a = j->a;

	(void)v, (void)n;
	must(a->queue == j);	/* J1 */
	if (err != OK) {		/* another was faster, or the connection broke: decide again */
		j->state = JOB_QUEUED;
		j->retry_us = agent_now_us(a) + RETRY_US;
		return;
	}
	pop(a);
	if (j->block >= 0) {
		a->ids_next = j->block;
		a->ids_end = j->block + CONTROL_PRODUCER_BLOCK;
		((struct init_producer_id_response *)j->res)->producer_id = a->ids_next++;
		((struct init_producer_id_response *)j->res)->producer_epoch = 0;
	}
	j->state = JOB_WAITING;
	j->zxid = zxid;
	j->next = a->waiting;
	a->waiting = j;
}

static void commit(struct job *j)
{
	struct q_op *v = mem_alloc(j->x.ops_n * sizeof *v);

	for (uint32_t i = 0; i < j->x.ops_n; i++) {
		const struct meta_op *o = &j->x.ops[i];

		v[i] = (struct q_op){ .kind = (enum q_op_kind)o->kind, .path = o->path, .value = o->value,
				      .version = o->version };
	}
	j->state = JOB_COMMITTING;
	q_multi(j->a->q, v, j->x.ops_n, on_committed, j);
	mem_free(v);
}

/* The queue's first; true: it is done with and the next may come. */
static bool go_on(struct job *j)
{
	struct agent *a = j->a;
	uint64_t now = agent_now_us(a);

	if (j->state != JOB_QUEUED)
		return false;
	bool late = now > j->deadline_us;

	if (!late && (now < j->retry_us || !a->synced || !a->published))
		return false;
	if (!late)
		decide(j);
	if (!late && j->x.ops_n > 0) {
		if (!a->q || q_state(a->q) != Q_READY)
			return false;
		commit(j);
		return false;
	}
	pop(a);
	send_answer(j, late ? FORWARD_LATER : FORWARD_ANSWER, !late);
	job_free(j);
	return true;
}

void agent_jobs(struct agent *a)
{
	uint64_t now = agent_now_us(a);

	for (struct job **at = &a->waiting; *at;) {
		struct job *j = *at;

		if ((a->image_zxid < j->zxid || a->pending > 0) && now < j->deadline_us) {	/* J2 */
			at = &j->next;
			continue;
		}
		*at = j->next;
		send_answer(j, FORWARD_ANSWER, true);
		job_free(j);
	}
	while (a->queue && go_on(a->queue))
		;
	if (a->queue && a->queue->state == JOB_QUEUED && a->queue->retry_us > now)
		a->env->loop->calls->timer_set(a->env->loop, &a->soon, RETRY_US);
}

/* ---- frames ---- */

/* The request's header and body; false: it makes no sense. */
static bool parse(struct job *j, const uint8_t *p, size_t len)
{
	struct request_header h;
	size_t used = 0;

	if (len < 8)
		return false;
	j->api = kafka_api((int16_t)be16_get(p));
	j->version = (int16_t)be16_get(p + 2);
	if (!j->api || !served(j->api->key) || j->version < j->api->min || j->version > j->api->max)
		return false;
	if (wire_decode_some(&wire_request_header, kafka_request_header_version(j->api, j->version), p, len, &j->arena,
			     &h, &used) != OK)
		return false;
	j->correlation = h.correlation_id;
	j->req = arena_alloc(&j->arena, j->api->request->size);
	j->res = arena_alloc(&j->arena, j->api->response->size);
	return j->req && j->res &&
	       wire_decode_some(j->api->request, j->version, p + used, len - used, &j->arena, j->req, NULL) == OK;
}

static uint64_t deadline(const struct job *j)
{
	int32_t ms = 0;

	if (j->api->key == KAFKA_CREATE_TOPICS)
		ms = ((struct create_topics_request *)j->req)->timeout_ms;
	if (j->api->key == KAFKA_DELETE_TOPICS)
		ms = ((struct delete_topics_request *)j->req)->timeout_ms;
	if (j->api->key == KAFKA_CREATE_PARTITIONS)
		ms = ((struct create_partitions_request *)j->req)->timeout_ms;
	uint64_t us = ms > 0 ? (uint64_t)ms * 1000 : DEADLINE_US;

	return agent_now_us(j->a) + (us < DEADLINE_US ? us : DEADLINE_US);
}

static void on_frame(void *user, struct net_conn *c, uint8_t *frame, uint32_t len)
{
	struct peer *p = user;
	struct agent *a = p->a;
	struct job *j = mem_alloc(sizeof *j);
	uint32_t skip = len >= HEAD_BYTES ? HEAD_BYTES + (uint32_t)be16_get(frame + 10) : len;

	j->a = a;
	j->peer = p;
	j->frame = frame;
	arena_init(&j->arena, ARENA_CHUNK, ARENA_MAX);
	if (len < HEAD_BYTES || frame[8] != FORWARD_VERSION || skip > len) {
		job_free(j);
		a->env->net->calls->abort(c);	/* not one of ours */
		return;
	}
	j->id = be64_get(frame);
	if (!parse(j, frame + skip, len - skip)) {
		send_answer(j, FORWARD_CLOSE, false);
		job_free(j);
		return;
	}
	j->deadline_us = deadline(j);
	*a->queue_end = j;
	a->queue_end = &j->next;
}

static void forget(struct job *j, const struct peer *p)
{
	for (; j; j = j->next)
		if (j->peer == p)
			j->peer = NULL;
}

static void on_close(void *user, struct net_conn *c, int err)
{
	struct peer *p = user;
	struct peer **at = &p->a->peers;

	(void)c, (void)err;
	forget(p->a->queue, p);
	forget(p->a->waiting, p);
	while (*at != p)
		at = &(*at)->next;
	*at = p->next;
	mem_free(p);
}

static const struct net_events peer_events = { .on_frame = on_frame, .on_close = on_close };

void agent_peer_adopt(struct agent *a, int fd)
{
	struct peer *p = mem_alloc(sizeof *p);

	p->a = a;
	if (a->env->net->calls->adopt(a->env->net, fd, &peer_events, p, FRAME_MAX, &p->conn) != OK) {
		mem_free(p);
		return;
	}
	p->next = a->peers;
	a->peers = p;
}
