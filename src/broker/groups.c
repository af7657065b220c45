/* groups.c - the groups process: peers, partitions, appends, held answers; see groups.h. */
#include "broker/groups.h"

#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/be.h"
#include "base/conf.h"
#include "broker/forward.h"
#include "broker/part_conf.h"
#include "wire/batch.h"
#include "wire/codec.h"

#define FRAME_MAX ((uint32_t)128 << 20)
#define ARENA_MAX ((size_t)256 << 20)
#define TICK_US UINT64_C(100000)
#define BATCHES 16
#define LOAD_WAIT_US UINT64_C(1000000)	/* then requests get COORDINATOR_LOAD_IN_PROGRESS */
#define CREATE_WAIT_US UINT64_C(2000000)	/* then FindCoordinator gets COORDINATOR_NOT_AVAILABLE */
#define OFFSETS_TOPIC STR("__consumer_offsets")

static void pump(struct gshard *sh);

static uint64_t now_us(struct gproc *p)
{
	return p->env->clock->mono_us(p->env->clock);
}

static void clock_in(struct gshard *sh)
{
	struct gproc *p = sh->p;

	shard_now(sh->s, (int64_t)(now_us(p) / 1000), p->env->clock->wall_ms(p->env->clock));
}

/* ---- requests ------------------------------------------------------------------------------ */

static void req_free(struct greq *q)
{
	if (q->peer) {
		*(q->prev ? &q->prev->next : &q->peer->first) = q->next;
		if (q->next)
			q->next->prev = q->prev;
	}
	if (q->frame)
		q->p->env->net->calls->frame_free(q->p->env->net, q->frame);
	arena_release(&q->arena);
	buf_release(&q->out);
	mem_free(q);
}

static void send_reply(struct greq *q, enum forward_status status)
{
	if (q->peer) {
		size_t body = status == FORWARD_ANSWER ? q->out.len : 0;
		uint8_t *p = mem_alloc(13 + body);
		struct net_piece piece = { .kind = NET_MEM, .mem = p, .len = 13 + body,
					   .release = mem_free, .release_ctx = p };

		be32_put(p, (uint32_t)(9 + body));
		be64_put(p + 4, q->id);
		p[12] = (uint8_t)status;
		if (body)
			memcpy(p + 13, q->out.p, body);
		q->p->env->net->calls->send(q->peer->nc, &piece, 1);
	}
	req_free(q);
}

void groups_close(struct greq *q)
{
	send_reply(q, FORWARD_CLOSE);
}

void groups_barrier(struct greq *q, struct gshard *sh)
{
	if (q->bar_n == q->bar_cap) {
		int32_t cap = q->bar_cap ? q->bar_cap * 2 : 2;
		struct gbarrier *v = arena_array(&q->arena, (size_t)cap, sizeof *v);

		if (!v)
			return;
		if (q->bar_n)
			memcpy(v, q->bar, (size_t)q->bar_n * sizeof *v);
		q->bar = v;
		q->bar_cap = cap;
	}
	q->bar[q->bar_n++] = (struct gbarrier){ sh->partition, sh->life, sh->end };
}

static bool covered(struct gshard *sh, int64_t end)
{
	struct part_view view;

	return part_view(sh->p->env->table, sh->slot, &sh->topic, &view) == OK &&
	       view.generation == sh->generation && view.high_watermark >= end;
}

/* Sends the answer, or leaves it with the first partition that is behind. */
void groups_answer(struct greq *q)
{
	struct gproc *p = q->p;

	if (q->out.bad) {
		groups_close(q);
		return;
	}
	for (; q->bar_n > 0; q->bar_n--) {
		struct gbarrier *b = &q->bar[q->bar_n - 1];
		struct gshard *sh = &p->v[b->partition];

		if (b->life != sh->life) {	/* dropped meanwhile: the client asks again */
			send_reply(q, FORWARD_LATER);
			return;
		}
		if (covered(sh, b->end))
			continue;
		part_wait(p->env->table, sh->slot);
		if (covered(sh, b->end))
			continue;
		if (!q->held_us)
			q->held_us = now_us(p);
		q->queue = NULL;
		*(sh->held_last ? &sh->held_last->queue : &sh->held_first) = q;
		sh->held_last = q;
		return;
	}
	send_reply(q, FORWARD_ANSWER);
}

static void release_held(struct gshard *sh)
{
	struct greq *q = sh->held_first;
	uint64_t now = now_us(sh->p);

	sh->held_first = sh->held_last = NULL;
	for (struct greq *next; q; q = next) {
		next = q->queue;
		if (now - q->held_us > sh->p->timeout_us && q->bar_n > 0 &&
		    q->bar[q->bar_n - 1].life == sh->life && !covered(sh, q->bar[q->bar_n - 1].end))
			send_reply(q, FORWARD_LATER);
		else
			groups_answer(q);
	}
	if (!sh->held_first && sh->state != G_ABSENT)
		part_unwait(sh->p->env->table, sh->slot);
}

/* ---- partitions ---------------------------------------------------------------------------- */

static void drop(struct gshard *sh, int16_t error)
{
	struct gproc *p = sh->p;
	struct greq *wait = sh->wait_first;
	struct shard *s = sh->s;

	if (sh->state == G_ABSENT)
		return;
	load_stop(sh);
	part_unwait(p->env->table, sh->slot);
	sh->wait_first = sh->wait_last = NULL;
	sh->s = NULL;
	sh->state = G_ABSENT;
	sh->running = false;
	sh->life++;
	shard_free(s, error);
	for (struct greq *next; wait; wait = next) {
		next = wait->queue;
		api_group_fail(&p->port, &wait->call->call, error);
	}
	release_held(sh);
}

static void follow(struct gshard *sh, const struct image_topic *t)
{
	struct gproc *p = sh->p;
	struct image_part part;
	bool mine = t && image_part(p->im, t, sh->partition, &part) && part.leader == p->env->node_id &&
		    part.slot != PART_SLOT_NONE;

	if (sh->state != G_ABSENT &&
	    (!mine || part.leader_epoch != sh->epoch || part.slot != sh->slot || !uuid_eq(&t->id, &sh->topic)))
		drop(sh, GE_NOT_COORDINATOR);
	if (!mine || sh->state != G_ABSENT)
		return;
	sh->state = G_LOADING;
	sh->load_us = now_us(p);
	sh->epoch = part.leader_epoch;
	sh->slot = part.slot;
	sh->topic = t->id;
	sh->s = shard_new(&p->conf, &p->port, rng_next(&p->env->rng), sh->partition, sh->epoch);
	load_start(sh);
}

void groups_loaded(struct gshard *sh)
{
	sh->state = G_READY;
	sh->recheck_topics = true;
	clock_in(sh);
	shard_loaded(sh->s);
	pump(sh);
}

bool groups_wait_topic(struct gproc *p, struct greq *q)
{
	if (!q->held_us)
		q->held_us = now_us(p);
	if (now_us(p) - q->held_us > CREATE_WAIT_US)
		return false;
	q->queue = NULL;
	*(p->find_last ? &p->find_last->queue : &p->find_first) = q;
	p->find_last = q;
	return true;
}

/* The requests that waited for the topic look again; at the end of the process the worker asks them anew. */
static void release_finds(struct gproc *p, bool end)
{
	struct greq *q = p->find_first;

	p->find_first = p->find_last = NULL;
	for (struct greq *next; q; q = next) {
		next = q->queue;
		if (end)
			send_reply(q, FORWARD_LATER);
		else
			api_group_begin(q);
	}
}

static void look_at_image(struct gproc *p)
{
	struct role_env *env = p->env;
	uint64_t gen = *bell_word(env->bells, BELL_IMAGE_GEN);
	struct image *im;
	struct image_topic t;

	if (p->im && gen == p->im_gen)
		return;
	if (env->image_map(env, &im) != OK)
		return;
	if (p->im)
		env->image_unmap(env, p->im);
	p->im = im;
	p->im_gen = gen;
	bool there = image_topic_by_name(im, OFFSETS_TOPIC, &t);

	for (int32_t i = 0; i < p->partitions; i++)
		if (i % env->groups == env->idx)
			follow(&p->v[i], there && i < t.partitions ? &t : NULL);
	p->topics_us = now_us(p) + 1000000;
	p->topics_looks = 2;
	release_finds(p, false);
}

struct gshard *groups_shard(struct gproc *p, struct str group, int16_t *ret_error)
{
	int32_t n = group_partition(group, p->partitions);
	struct gshard *sh = &p->v[n];

	*ret_error = sh->state == G_READY ? GE_NONE : sh->state == G_LOADING ? GE_LOAD_IN_PROGRESS
		: GE_NOT_COORDINATOR;
	return sh->state == G_READY ? sh : NULL;
}

static void fail_waiting(struct gshard *sh, int16_t error)
{
	struct greq *q = sh->wait_first;

	sh->wait_first = sh->wait_last = NULL;
	for (struct greq *next; q; q = next) {
		next = q->queue;
		api_group_fail(&sh->p->port, &q->call->call, error);
	}
}

bool groups_wait_load(struct gproc *p, struct str group, struct greq *q)
{
	struct gshard *sh = &p->v[group_partition(group, p->partitions)];

	if (sh->state != G_LOADING || now_us(p) - sh->load_us > LOAD_WAIT_US)
		return false;
	groups_run(sh, q);
	return true;
}

/* ---- append -------------------------------------------------------------------------------- */

struct out {
	struct batch_builder b;
	uint8_t *copy[BATCHES];
	uint8_t head[BATCHES][BATCH_HEAD];
	struct part_batch v[BATCHES];
	int n;
};

static int finish_batch(struct gproc *p, struct out *o, int64_t now)
{
	struct batch_stamp stamp = BATCH_STAMP;
	const uint8_t *at;
	size_t len;
	uint32_t records = (uint32_t)o->b.records;

	stamp.codec = p->compression;
	if (o->n == BATCHES)
		return E_LIMIT;
	int e = batch_builder_finish(&o->b, &stamp, codec_port(p->codec), &at, &len);

	if (e)
		return e;
	uint8_t *copy = mem_alloc(len);

	memcpy(copy, at, len);
	memcpy(o->head[o->n], copy, BATCH_HEAD);
	o->copy[o->n] = copy;
	o->v[o->n] = (struct part_batch){
		.head = o->head[o->n], .rest = copy + BATCH_HEAD, .rest_len = (uint32_t)(len - BATCH_HEAD),
		.records = records, .max_timestamp = now, .producer_id = -1, .producer_epoch = -1,
		.base_sequence = -1, .from_coordinator = true,
	};
	o->n++;
	return OK;
}

static int build(struct gshard *sh, struct out *o, int64_t now)
{
	int e = OK;

	for (uint32_t i = 0; i < shard_write_records(sh->s) && !e; i++) {
		struct bytes key, value;

		shard_write_at(sh->s, i, &key, &value);
		e = batch_builder_add(&o->b, now, key, value, NULL, 0);
		if (e == E_LIMIT && o->b.records > 0) {
			e = finish_batch(sh->p, o, now);
			if (!e)
				e = batch_builder_add(&o->b, now, key, value, NULL, 0);
		}
	}
	return e ? e : finish_batch(sh->p, o, now);
}

/* Appends the outstanding write. E_AGAIN: the lock is taken, try again when rung; E_FENCED: the
 * partition must be dropped; else *ret_error is what the coordinator says of it. */
static int append(struct gshard *sh, int16_t *ret_error)
{
	struct role_env *env = sh->p->env;
	struct image_topic t;
	struct part_conf conf;
	struct part_appended done = { .wake_mask = 0 };
	struct out o = { .n = 0 };
	int64_t now = env->clock->wall_ms(env->clock);

	*ret_error = GE_NONE;
	if (!image_topic_by_name(sh->p->im, OFFSETS_TOPIC, &t))
		return E_FENCED;
	conf = part_conf_of(&t.conf, (uint32_t)conf_int(env->conf, "producer.id.expiration.ms"));
	batch_builder_init(&o.b, t.conf.max_message_bytes > 0 ? (size_t)t.conf.max_message_bytes : 1048588);
	int e = build(sh, &o, now);

	if (e) {
		*ret_error = GE_UNKNOWN;	/* one record is larger than max.message.bytes */
		e = OK;
	} else {
		e = part_append(env->table, sh->slot, &sh->topic, sh->epoch, &conf, o.v, o.n, now, &done);
		bell_mark_mask(env->bells, done.wake_mask, sh->slot);
		for (int i = 0; e == OK && i < o.n; i++)
			if (o.v[i].err)
				e = i ? E_FENCED : o.v[i].err;	/* half a write: read it again */
		if (e == OK) {
			sh->generation = done.ticket.generation;
			sh->end = done.ticket.end_offset;
		} else if (e == E_NOSPC || e == E_LIMIT) {
			*ret_error = GE_NOT_AVAILABLE;
			e = OK;
		} else if (e != E_AGAIN) {
			e = E_FENCED;
		}
	}
	for (int i = 0; i < o.n; i++)
		mem_free(o.copy[i]);
	batch_builder_release(&o.b);
	return e;
}

static bool topic_there(void *ctx, struct str topic, const struct uuid *id)
{
	struct image_topic t;

	return image_topic_by_name(ctx, topic, &t) && (uuid_is_zero(id) || uuid_eq(id, &t.id));
}

/* Everything a partition can do now: its write, its timers, the requests that waited. */
static void pump(struct gshard *sh)
{
	struct gproc *p = sh->p;

	while (sh->state == G_READY && !sh->running) {
		clock_in(sh);
		if (shard_writing(sh->s)) {
			int16_t error;
			int e = append(sh, &error);

			if (e == E_AGAIN)
				return;
			if (e) {
				drop(sh, GE_NOT_COORDINATOR);
				p->im_gen = 0;		/* follow it again */
				return;
			}
			sh->running = true;
			shard_written(sh->s, error);
			sh->running = false;
		} else if (shard_next(sh->s) <= (int64_t)(now_us(p) / 1000)) {
			sh->running = true;
			shard_tick(sh->s);
			sh->running = false;
		} else if (sh->recheck_topics && p->im) {
			sh->recheck_topics = shard_topics_gone(sh->s, topic_there, p->im);
		} else if (sh->wait_first) {
			struct greq *q = sh->wait_first;

			sh->wait_first = q->queue;
			if (!sh->wait_first)
				sh->wait_last = NULL;
			sh->running = true;
			api_group_run(q, sh);
			sh->running = false;
		} else {
			return;
		}
	}
}

void groups_run(struct gshard *sh, struct greq *q)
{
	q->queue = NULL;
	*(sh->wait_last ? &sh->wait_last->queue : &sh->wait_first) = q;
	sh->wait_last = q;
	pump(sh);
}

/* ---- the agent: __consumer_offsets on first use --------------------------------------------- */

static void agent_frame(void *user, struct net_conn *c, uint8_t *frame, uint32_t len)
{
	struct gproc *p = user;

	(void)c;
	(void)len;			/* the image tells when it is there */
	p->env->net->calls->frame_free(p->env->net, frame);
}

static void agent_closed(void *user, struct net_conn *c, int err)
{
	struct gproc *p = user;

	(void)c;
	(void)err;
	p->agent = NULL;
	p->agent_up = false;
}

static void send_create(struct gproc *p)
{
	char number[24];
	int at = sizeof number;
	uint64_t segment = (uint64_t)conf_int(p->env->conf, "offsets.topic.segment.bytes");

	for (; segment > 0 && at > 0; segment /= 10)
		number[--at] = (char)('0' + segment % 10);
	struct create_topics_request_creatable_topic_config configs[3] = {
		{ STR("cleanup.policy"), STR("compact") },
		{ STR("compression.type"), STR("producer") },
		{ STR("segment.bytes"), { number + at, (int32_t)sizeof number - at } },
	};
	int32_t live = 0, want = (int32_t)conf_int(p->env->conf, "offsets.topic.replication.factor");

	for (uint32_t i = 0; i < image_brokers(p->im); i++) {
		struct image_broker b;

		image_broker_at(p->im, i, &b);
		live += !b.fenced;
	}
	struct create_topics_request_creatable_topic t = {
		.name = OFFSETS_TOPIC, .num_partitions = p->partitions,
		.replication_factor = (int16_t)(want < live || live < 1 ? want : live),
		.configs = configs, .configs_n = 3,
	};
	struct create_topics_request m;
	struct buf b;

	wire_init(&wire_create_topics_request, &m);
	m.topics = &t;
	m.topics_n = 1;
	m.timeout_ms = 30000;
	buf_init(&b, 4096);
	buf_be32(&b, 0);
	buf_be64(&b, ++p->agent_id);
	buf_u8(&b, FORWARD_VERSION);
	buf_u8(&b, 0);
	buf_be16(&b, 6);
	buf_put(&b, "groups", 6);
	buf_be16(&b, KAFKA_CREATE_TOPICS);
	buf_be16(&b, 5);
	buf_be32(&b, 0);
	buf_be16(&b, 0);		/* client id "" */
	buf_u8(&b, 0);			/* no header tags */
	if (wire_encode(&wire_create_topics_request, 5, &m, &b) == OK && !b.bad) {
		size_t len;
		uint8_t *at_p = buf_steal(&b, &len);
		struct net_piece piece = { .kind = NET_MEM, .mem = at_p, .len = len,
					   .release = mem_free, .release_ctx = at_p };

		be32_put(at_p, (uint32_t)(len - 4));
		p->env->net->calls->send(p->agent, &piece, 1);
	}
	buf_release(&b);
}

static void agent_connected(void *user, struct net_conn *c, int err)
{
	struct gproc *p = user;

	(void)c;
	if (err)
		return;			/* agent_closed() follows */
	p->agent_up = true;
	send_create(p);
}

void groups_create_topic(struct gproc *p)
{
	static const struct net_events ev = { .on_frame = agent_frame, .on_close = agent_closed,
					      .on_connect = agent_connected };
	uint64_t now = now_us(p);
	char address[300] = "unix:";
	size_t n = strlen(p->env->run_dir);

	if (!p->im || (p->create_us && now - p->create_us < 1000000) || n > 250)
		return;
	p->create_us = now;
	if (p->agent_up) {
		send_create(p);
		return;
	}
	if (p->agent)
		return;
	memcpy(address + 5, p->env->run_dir, n);
	memcpy(address + 5 + n, "/agent.sock", 12);
	if (p->env->net->calls->connect(p->env->net, address, &ev, p, FRAME_MAX, &p->agent) != OK)
		p->agent = NULL;
}

/* ---- peers --------------------------------------------------------------------------------- */

/* OK: q is complete; else the frame makes no sense. */
static int parse(struct greq *q, const uint8_t *f, uint32_t len)
{
	struct request_header h;
	size_t used;

	if (len < 12 || f[8] != FORWARD_VERSION || 12 + (uint32_t)be16_get(f + 10) + 8 > len)
		return E_BAD;
	q->id = be64_get(f);
	q->listener = f[9];
	uint32_t peer = be16_get(f + 10);
	const uint8_t *k = f + 12 + peer;
	uint32_t left = len - 12 - peer;

	q->api = kafka_api((int16_t)be16_get(k));
	q->version = (int16_t)be16_get(k + 2);
	if (!q->api || !q->api->request || !wire_has(q->api->request, q->version))
		return E_VERSION;
	int e = wire_decode_some(&wire_request_header, kafka_request_header_version(q->api, q->version), k, left,
				 &q->arena, &h, &used);

	if (e)
		return e;
	q->correlation = h.correlation_id;
	q->msg = arena_alloc(&q->arena, q->api->request->size);
	q->call = arena_alloc(&q->arena, sizeof *q->call);
	char *host = arena_alloc(&q->arena, peer + 1);

	if (!q->msg || !q->call || !host)
		return E_LIMIT;
	host[0] = '/';
	memcpy(host + 1, f + 12, peer);
	*q->call = (struct gcall){ .q = q, .call = {
		.version = q->version, .client_id = h.client_id.len < 0 ? STR("") : h.client_id,
		.client_host = { host, (int32_t)peer + 1 }, .arena = &q->arena } };
	/* Bytes behind the body are no error, as in Kafka. */
	return wire_decode_some(q->api->request, q->version, k + used, left - used, &q->arena, q->msg, NULL);
}

static void peer_frame(void *user, struct net_conn *c, uint8_t *frame, uint32_t len)
{
	struct gpeer *peer = user;
	struct gproc *p = peer->p;
	struct greq *q = mem_alloc(sizeof *q);

	(void)c;
	q->p = p;
	q->peer = peer;
	q->frame = frame;
	arena_init(&q->arena, 4096, ARENA_MAX);
	buf_init(&q->out, FRAME_MAX);
	q->next = peer->first;
	if (q->next)
		q->next->prev = q;
	peer->first = q;
	if (parse(q, frame, len) != OK) {
		groups_close(q);
		return;
	}
	look_at_image(p);
	api_group_begin(q);
}

static void peer_closed(void *user, struct net_conn *c, int err)
{
	struct gpeer *peer = user;

	(void)c;
	(void)err;
	for (struct greq *q = peer->first, *next; q; q = next) {
		next = q->next;
		q->peer = NULL;
		q->prev = q->next = NULL;
	}
	mem_free(peer);
}

void groups_peer(struct role_env *env, int fd)
{
	static const struct net_events ev = { .on_frame = peer_frame, .on_close = peer_closed };
	struct gpeer *peer = mem_alloc(sizeof *peer);

	peer->p = env->role;
	if (env->net->calls->adopt(env->net, fd, &ev, peer, FRAME_MAX, &peer->nc) != OK)
		mem_free(peer);
}

/* ---- turns --------------------------------------------------------------------------------- */

static void each(struct gproc *p, bool all, uint32_t slot)
{
	for (int32_t i = 0; i < p->partitions; i++) {
		struct gshard *sh = &p->v[i];

		if (sh->state == G_ABSENT || (!all && sh->slot != slot))
			continue;
		if (sh->state == G_LOADING)
			load_poll(sh);
		if (sh->state == G_LOADING && now_us(p) - sh->load_us > LOAD_WAIT_US)
			fail_waiting(sh, GE_LOAD_IN_PROGRESS);
		if (sh->held_first)
			release_held(sh);
		pump(sh);
	}
}

void groups_wake(struct role_env *env)
{
	struct gproc *p = env->role;
	bool all = false;

	look_at_image(p);
	for (uint32_t slot; (slot = bell_take(env->bells, &all)) != UINT32_MAX;)
		each(p, false, slot);
	if (all)
		each(p, true, 0);
}

static void tell_crowded(struct gproc *p, uint64_t now)
{
	char line[120];

	if (p->port.crowded == p->crowded || (p->crowded_us > 0 && now < p->crowded_us + 60000000))
		return;
	snprintf(line, sizeof line, "refused=%llu members_bytes=%lld",
		 (unsigned long long)(p->port.crowded - p->crowded), (long long)p->port.members_bytes);
	p->env->log(p->env, 2, "members of groups take all of groups.memory.bytes: joins are told to come again", line,
		    "Raise groups.memory.bytes, or look for clients that join with large metadata.");
	p->crowded = p->port.crowded;
	p->crowded_us = now;
}

static void on_timer(struct loop_timer *t)
{
	struct gproc *p = t->user;
	uint64_t now = now_us(p), at = TICK_US;

	bell_beat(p->env->bells, now / 1000);
	look_at_image(p);
	release_finds(p, false);
	if (p->topics_us && now >= p->topics_us) {
		p->topics_us = --p->topics_looks > 0 ? now + 5000000 : 0;
		for (int32_t i = 0; i < p->partitions; i++)
			p->v[i].recheck_topics = p->v[i].state == G_READY;
	}
	tell_crowded(p, now);
	each(p, true, 0);
	part_files_trim(p->env->table);
	for (int32_t i = 0; i < p->partitions; i++) {
		int64_t next = p->v[i].state == G_READY ? shard_next(p->v[i].s) : INT64_MAX;

		if (next < (int64_t)((now + at) / 1000))
			at = next * 1000 > (int64_t)now ? (uint64_t)next * 1000 - now : 1000;
	}
	p->env->loop->calls->timer_set(p->env->loop, t, at < 1000 ? 1000 : at);
}

void groups_drain(struct role_env *env)
{
	struct gproc *p = env->role;

	release_finds(p, true);
	for (int32_t i = 0; i < p->partitions; i++)
		drop(&p->v[i], GE_NOT_COORDINATOR);
	env->loop->calls->stop(env->loop, 0);
}

void groups_free(struct role_env *env)
{
	struct gproc *p = env->role;

	release_finds(p, true);
	for (int32_t i = 0; i < p->partitions; i++)
		drop(&p->v[i], GE_NOT_COORDINATOR);
	env->loop->calls->timer_stop(env->loop, &p->timer);
	if (p->im)
		env->image_unmap(env, p->im);
	codec_free(p->codec);
	mem_free(p->v);
	mem_free(p);
	env->role = NULL;
}

int groups_start(struct role_env *env)
{
	struct gproc *p = mem_alloc(sizeof *p);
	struct conf *c = env->conf;

	p->env = env;
	env->role = p;
	p->port = (struct group_port){ .reply = api_group_reply, .fail = api_group_fail };
	p->conf = (struct shard_conf){
		.min_session_ms = (int32_t)conf_int(c, "group.min.session.timeout.ms"),
		.max_session_ms = (int32_t)conf_int(c, "group.max.session.timeout.ms"),
		.initial_delay_ms = (int32_t)conf_int(c, "group.initial.rebalance.delay.ms"),
		.new_member_ms = 300000,
		.max_size = (int32_t)conf_int(c, "group.max.size"),
		.members_bytes_max = conf_int(c, "groups.memory.bytes"),
		.metadata_max = (int32_t)conf_int(c, "offset.metadata.max.bytes"),
		.retention_ms = conf_int(c, "offsets.retention.minutes") * 60000,
		.check_ms = conf_int(c, "offsets.retention.check.interval.ms"),
	};
	p->partitions = (int32_t)conf_int(c, "offsets.topic.num.partitions");
	p->v = mem_alloc((size_t)p->partitions * sizeof *p->v);
	for (int32_t i = 0; i < p->partitions; i++)
		p->v[i] = (struct gshard){ .p = p, .partition = i };
	p->timeout_us = (uint64_t)conf_int(c, "offsets.commit.timeout.ms") * 1000;
	p->compression = (unsigned)conf_int(c, "offsets.topic.compression.codec");
	if (p->compression >= BATCH_CODEC_N)
		p->compression = BATCH_PLAIN;
	p->codec = codec_new(&CODEC_LIMITS);
	p->timer = (struct loop_timer){ .fire = on_timer, .user = p };
	look_at_image(p);
	env->loop->calls->timer_set(env->loop, &p->timer, TICK_US);
	env->ready(env);
	return OK;
}
