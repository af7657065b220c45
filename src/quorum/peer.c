/* peer.c - see peer.h. */
#include "quorum/peer.h"

#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/be.h"
#include "base/mem.h"
#include "base/mutant.h"
#include "quorum/subject.h"

enum link_state { LINK_WAITING, LINK_DIALING, LINK_GREETING, LINK_OPEN };

struct link {				/* to another node: what we send */
	struct peers *p;
	char address[PEER_ADDRESS_MAX];
	enum link_state state;
	struct net_conn *net;
	struct loop_timer timer;	/* next dial, or the end of patience */
	uint32_t backoff_ms;
	bool wanted;
	bool gone;			/* freed when its connection has closed */
	struct link *next_gone;
	struct peer_hello it;
	char said[160];			/* the last trouble that was logged */
	bool told;			/* of this try */
};

struct caller {				/* from another node: what we receive */
	struct peers *p;
	struct caller *next, *prev;
	struct net_conn *net;
	struct peer_hello it;
	bool greeted;
};

struct peers {
	struct net *net;
	struct loop *loop;
	struct clock *clock;
	struct peers_events ev;
	void *user;
	struct rng rng;
	struct peer_hello self;
	uint64_t run;
	const char *subjects;		/* NULL: no TLS */
	struct link *link[PEER_LINKS_MAX];
	uint32_t nlinks;
	struct link *gone;
	struct loop_timer ping;
	struct caller *callers;
	bool started;
	uint64_t dropped;
};

static void release_mem(void *p)
{
	mem_free(p);
}

void peers_frame(struct buf *b, enum peer_frame type)
{
	buf_init(b, PEER_FRAME_MAX + 4);
	buf_be32(b, 0);
	buf_u8(b, (uint8_t)type);
}

static void push(struct peers *p, struct net_conn *c, struct buf *b)
{
	size_t len;

	must(!b->bad);
	be32_put(b->p, (uint32_t)(b->len - 4));
	uint8_t *m = buf_steal(b, &len);
	struct net_piece v = { .kind = NET_MEM, .mem = m, .len = len, .release = release_mem, .release_ctx = m };

	p->net->calls->send(c, &v, 1);
}

/* ---- greetings ---- */

static void put_hello(struct buf *b, const struct peer_hello *h)
{
	mp_put_array(b, 8);
	mp_put_int(b, PEER_PROTOCOL);
	mp_put_str(b, str_of(h->cluster_id));
	mp_put_int(b, h->node);
	mp_put_int(b, (int64_t)h->disk);
	mp_put_str(b, str_of(h->address));
	mp_put_bool(b, h->empty);
	mp_put_int(b, (int64_t)h->voters);
	mp_put_int(b, (int64_t)h->run);
}

static bool copy(char *to, size_t cap, struct str s)
{
	if (s.len < 0 || (size_t)s.len >= cap || memchr(s.p, 0, (size_t)s.len))
		return false;
	memcpy(to, s.p, (size_t)s.len);
	to[s.len] = 0;
	return true;
}

/* E_VERSION: a protocol that this program does not know; E_BAD. */
static int get_hello(struct mp_reader *m, struct peer_hello *h)
{
	memset(h, 0, sizeof *h);
	uint32_t fields = mp_array(m);
	int64_t protocol = mp_int(m);

	if (mp_ok(m) && protocol != PEER_PROTOCOL)
		return E_VERSION;
	bool ok = fields == 8 && copy(h->cluster_id, sizeof h->cluster_id, mp_str(m));
	int64_t node = mp_int(m);

	h->node = (uint32_t)node;
	h->disk = (uint64_t)mp_int(m);
	ok &= copy(h->address, sizeof h->address, mp_str(m));
	h->empty = mp_bool(m);
	h->voters = (uint64_t)mp_int(m);
	h->run = (uint64_t)mp_int(m);
	return ok && mp_ok(m) && node >= 0 && node <= INT32_MAX && h->disk != 0 ? OK : E_BAD;
}

/* P5. E_PERM: why. */
static int is_node(struct peers *p, struct net_conn *c, char *why, size_t cap)
{
	const char *subject = p->subjects ? p->net->calls->subject(c) : NULL;

	if (!p->subjects || subject_on_list(subject, p->subjects))
		return OK;
	snprintf(why, cap, "peer-subjects does not name its certificate, %.80s", subject ? subject : "none");
	return E_PERM;
}

/* ---- links ---- */

static void dial(struct link *k);

static void link_free(struct link *k)
{
	k->p->loop->calls->timer_stop(k->p->loop, &k->timer);
	mem_free(k);
}

static void say(struct link *k, const char *what)
{
	char detail[PEER_ADDRESS_MAX + 200];

	k->told = true;
	if (strncmp(k->said, what, sizeof k->said - 1) == 0)
		return;			/* once, not at each try */
	snprintf(k->said, sizeof k->said, "%s", what);
	snprintf(detail, sizeof detail, "address=%s reason=\"%s\"", k->address, k->said);
	k->p->ev.on_log(k->p->user, "a peer cannot be reached", detail);
}

static void wait_then_dial(struct link *k)
{
	uint32_t ms = k->backoff_ms / 2 + rng_below(&k->p->rng, k->backoff_ms / 2 + 1);

	k->state = LINK_WAITING;
	k->backoff_ms = k->backoff_ms * 2 < PEER_DIAL_MS_MAX ? k->backoff_ms * 2 : PEER_DIAL_MS_MAX;
	k->p->loop->calls->timer_set(k->p->loop, &k->timer, ms * 1000ull);
}

static void link_on_close(void *user, struct net_conn *c, int err)
{
	struct link *k = user;
	bool was_open = k->state == LINK_OPEN;
	uint64_t disk = k->it.disk;

	(void)c;
	k->net = NULL;
	if (k->gone) {
		struct link **at = &k->p->gone;

		while (*at != k)
			at = &(*at)->next_gone;
		*at = k->next_gone;
		link_free(k);
		return;
	}
	if (k->state == LINK_DIALING && !k->told)
		say(k, err_text(err));
	if (k->state == LINK_GREETING && !k->told)
		say(k, k->p->subjects ? "it ends the connection without a greeting"
				      : "it ends the connection without a greeting; perhaps it wants TLS");
	wait_then_dial(k);
	if (was_open)
		k->p->ev.on_lost(k->p->user, disk);
}

static void link_on_connect(void *user, struct net_conn *c, int err)
{
	struct link *k = user;
	struct buf b;

	if (err || k->gone)
		return;			/* on_close follows */
	k->state = LINK_GREETING;
	peers_frame(&b, PF_HELLO);
	put_hello(&b, &k->p->self);
	push(k->p, c, &b);
}

static struct link *link_to(const struct peers *p, uint64_t disk)
{
	for (uint32_t i = 0; i < p->nlinks; i++)
		if (p->link[i]->state == LINK_OPEN && p->link[i]->it.disk == disk)
			return p->link[i];
	return NULL;
}

static struct caller *caller_from(const struct peers *p, uint64_t disk)
{
	struct caller *c = p->callers;

	while (c && (!c->greeted || c->it.disk != disk))
		c = c->next;
	return c;
}

static void on_welcome(struct link *k, const uint8_t *p, uint32_t len)
{
	struct mp_reader m = mp_of(p, len);
	struct peer_hello h;
	char why[160] = "";

	if (mp_array(&m) != 4) {
		k->p->net->calls->abort(k->net);
		return;
	}
	int err = get_hello(&m, &h), theirs = (int)mp_int(&m);
	struct str words = mp_str(&m);
	uint32_t hints = mp_array(&m);

	if (!err && !mp_ok(&m))
		err = E_BAD;
	int stranger = is_node(k->p, k->net, why, sizeof why);

	if (stranger) {
		err = stranger;
	} else if (err) {
		snprintf(why, sizeof why, "its greeting is not one of moldau-quorum: %s", err_text(err));
	} else if (theirs) {
		snprintf(why, sizeof why, "it refuses this node: %.*s", words.len > 120 ? 120 : words.len, words.p);
	} else {
		for (uint32_t i = 0; i < hints; i++) {
			struct str a = mp_str(&m);

			if (mp_ok(&m) && a.len > 0)
				k->p->ev.on_hint(k->p->user, a);
		}
		err = k->p->ev.on_hello(k->p->user, &h, why, sizeof why);
	}
	if (err || theirs) {
		say(k, why);
		k->p->net->calls->abort(k->net);
		return;
	}
	k->it = h;
	k->state = LINK_OPEN;
	k->backoff_ms = PEER_DIAL_MS_MIN;
	k->said[0] = 0;
	k->p->loop->calls->timer_stop(k->p->loop, &k->timer);
	if (caller_from(k->p, h.disk))		/* otherwise it could not answer yet */
		k->p->ev.on_up(k->p->user, &h);
}

static void link_on_frame(void *user, struct net_conn *c, uint8_t *frame, uint32_t len)
{
	struct link *k = user;

	if (len < 1 || frame[0] != PF_WELCOME || k->state != LINK_GREETING || k->gone)
		k->p->net->calls->abort(c);	/* nothing else ever comes on a link */
	else
		on_welcome(k, frame + 1, len - 1);
	k->p->net->calls->frame_free(k->p->net, frame);
}

static const struct net_events link_events = {
	.on_frame = link_on_frame, .on_close = link_on_close, .on_connect = link_on_connect,
};

static void dial(struct link *k)
{
	struct peers *p = k->p;
	int err = p->net->calls->connect(p->net, k->address, &link_events, k, 1u << 20, &k->net);

	if (err) {
		k->net = NULL;
		say(k, err_text(err));
		wait_then_dial(k);
		return;
	}
	k->state = LINK_DIALING;
	k->told = false;
	p->loop->calls->timer_set(p->loop, &k->timer, PEER_GREET_MS * 1000ull);
}

static void on_link_timer(struct loop_timer *t)
{
	struct link *k = t->user;

	if (k->state == LINK_WAITING) {
		dial(k);
	} else if (k->state != LINK_OPEN && k->net) {
		say(k, "it does not answer");
		k->p->net->calls->abort(k->net);
	}
}

void peers_want_begin(struct peers *p)
{
	for (uint32_t i = 0; i < p->nlinks; i++)
		p->link[i]->wanted = false;
}

static struct link *link_at(const struct peers *p, const char *address)
{
	for (uint32_t i = 0; i < p->nlinks; i++)
		if (strcmp(p->link[i]->address, address) == 0)
			return p->link[i];
	return NULL;
}

static void link_add(struct peers *p, const char *address, bool wanted)
{
	if (strcmp(address, p->self.address) == 0 || address[0] == 0 || strlen(address) >= PEER_ADDRESS_MAX ||
	    p->nlinks == PEER_LINKS_MAX)
		return;
	struct link *k = mem_alloc(sizeof *k);

	*k = (struct link){ .p = p, .wanted = wanted, .backoff_ms = PEER_DIAL_MS_MIN };
	memcpy(k->address, address, strlen(address) + 1);
	k->timer = (struct loop_timer){ .fire = on_link_timer, .user = k };
	p->link[p->nlinks++] = k;
	if (p->started)
		dial(k);
}

void peers_want(struct peers *p, const char *address)
{
	struct link *k = link_at(p, address);

	if (k)
		k->wanted = true;
	else
		link_add(p, address, true);
}

/* WHY callers too: a node that was away while members changed does not know who leads now, but has to answer. */
static bool calls_from(const struct peers *p, const char *address)
{
	const struct caller *c = p->callers;

	while (c && (!c->greeted || strcmp(c->it.address, address) != 0))
		c = c->next;
	return c != NULL;
}

void peers_want_end(struct peers *p)
{
	for (uint32_t i = p->nlinks; i-- > 0;) {
		struct link *k = p->link[i];

		if (k->wanted || calls_from(p, k->address))
			continue;
		p->link[i] = p->link[--p->nlinks];
		if (k->net) {
			k->gone = true;
			k->next_gone = p->gone;
			p->gone = k;
			p->net->calls->abort(k->net);
		} else {
			link_free(k);
		}
	}
}

/* ---- callers ---- */

static void answer_hello(struct caller *c, int err, const char *why)
{
	struct buf b;

	peers_frame(&b, PF_WELCOME);
	mp_put_array(&b, 4);
	put_hello(&b, &c->p->self);
	mp_put_int(&b, err);
	mp_put_str(&b, str_of(why));
	c->p->ev.put_hints(c->p->user, &b);
	push(c->p, c->net, &b);
}

/* P4: connections to and from an earlier run of this node, and those to another disk behind its address. */
static void drop_stale(struct peers *p, const struct peer_hello *h)
{
	for (struct caller *c = p->callers; c; c = c->next)
		if (c->greeted && c->it.disk == h->disk && c->it.run != h->run)
			p->net->calls->abort(c->net);
	for (uint32_t i = 0; i < p->nlinks && !mutant(LINK_STALE); i++) {
		struct link *k = p->link[i];

		if (k->state == LINK_OPEN && (k->it.disk == h->disk ? k->it.run != h->run :
					      strcmp(k->address, h->address) == 0))
			p->net->calls->abort(k->net);
	}
}

static void on_hello(struct caller *c, const uint8_t *p, uint32_t len)
{
	struct mp_reader m = mp_of(p, len);
	char why[160] = "";
	int err = get_hello(&m, &c->it);

	if (!err && !mp_end(&m))
		err = E_BAD;
	if (err == E_VERSION)
		snprintf(why, sizeof why, "this node speaks version %d of the peers' protocol", PEER_PROTOCOL);
	if (!err && (err = is_node(c->p, c->net, why, sizeof why)) != OK) {
		char detail[240];

		snprintf(detail, sizeof detail, "from=%s reason=\"%s\"", c->p->net->calls->peer(c->net), why);
		c->p->ev.on_log(c->p->user, "a peer was refused", detail);
	}
	if (!err)
		err = c->p->ev.on_hello(c->p->user, &c->it, why, sizeof why);
	if (err == E_BAD) {
		c->p->net->calls->abort(c->net);
		return;
	}
	answer_hello(c, err, why);
	if (err) {
		c->p->net->calls->close(c->net);
		return;
	}
	drop_stale(c->p, &c->it);
	c->greeted = true;
	struct link *back = link_to(c->p, c->it.disk);

	if (back) {
		c->p->ev.on_up(c->p->user, &back->it);
		return;
	}
	struct link *k = link_at(c->p, c->it.address);
	if (!k) {
		if (!mutant(STRANGER_UNANSWERED))
			link_add(c->p, c->it.address, false);
	} else if (k->state == LINK_WAITING) {		/* it is there: no need to wait with our own dial */
		k->backoff_ms = PEER_DIAL_MS_MIN;
		c->p->loop->calls->timer_set(c->p->loop, &k->timer, 0);
	}
}

static void caller_on_frame(void *user, struct net_conn *net, uint8_t *frame, uint32_t len)
{
	struct caller *c = user;
	struct peers *p = c->p;

	if (len < 1 || c->greeted != (frame[0] != PF_HELLO))
		p->net->calls->abort(net);
	else if (!c->greeted)
		on_hello(c, frame + 1, len - 1);
	else if (frame[0] != PF_PING)
		p->ev.on_frame(p->user, c->it.disk, frame[0], frame + 1, len - 1);
	p->net->calls->frame_free(p->net, frame);
}

static void caller_on_close(void *user, struct net_conn *net, int err)
{
	struct caller *c = user;
	struct peers *p = c->p;

	(void)net;
	(void)err;
	if (c->prev)
		c->prev->next = c->next;
	else
		p->callers = c->next;
	if (c->next)
		c->next->prev = c->prev;
	bool greeted = c->greeted;
	uint64_t disk = c->it.disk;

	mem_free(c);
	if (!greeted)
		return;
	peers_want_end(p);		/* a link that only answered it is not needed any more */
	p->ev.on_lost(p->user, disk);
}

/* A TLS client's first bytes, taken for a length: it is told from rubbish, so that somebody reads why. */
static bool caller_on_odd_length(void *user, struct net_conn *net, uint32_t length)
{
	struct caller *c = user;
	char detail[80];

	if (length >> 16 == NET_TLS_LENGTH && !c->greeted) {
		snprintf(detail, sizeof detail, "from=%s", c->p->net->calls->peer(net));
		c->p->ev.on_log(c->p->user, "a peer wants TLS, and this node has no certificate", detail);
	}
	return false;
}

static const struct net_events caller_events = {
	.on_frame = caller_on_frame, .on_close = caller_on_close, .on_odd_length = caller_on_odd_length,
};

void peers_accept(struct peers *p, int fd)
{
	struct caller *c = mem_alloc(sizeof *c);

	c->p = p;
	if (p->net->calls->adopt(p->net, fd, &caller_events, c, PEER_FRAME_MAX, &c->net) != OK) {
		mem_free(c);
		return;
	}
	c->next = p->callers;
	if (p->callers)
		p->callers->prev = c;
	p->callers = c;
}

/* ---- all of them ---- */

bool peers_up(const struct peers *p, uint64_t disk)
{
	return link_to(p, disk) != NULL;
}

bool peers_send(struct peers *p, uint64_t disk, struct buf *b)
{
	struct link *k = link_to(p, disk);

	if (!k || b->bad || p->net->calls->queued_bytes(k->net) > PEER_QUEUE_MAX) {	/* P2 */
		p->dropped += k != NULL;
		buf_release(b);
		return false;
	}
	push(p, k->net, b);
	return true;
}

const struct peer_hello *peers_next(const struct peers *p, uint32_t *at, bool both)
{
	while (*at < p->nlinks) {
		const struct link *k = p->link[(*at)++];

		if (k->state == LINK_OPEN && (!both || caller_from(p, k->it.disk)))
			return &k->it;
	}
	return NULL;
}

uint64_t peers_dropped(const struct peers *p)
{
	return p->dropped;
}

void peers_self(struct peers *p, const struct peer_hello *self)
{
	p->self = *self;
	p->self.run = p->run;
}

static void on_ping(struct loop_timer *t)
{
	struct peers *p = t->user;

	for (uint32_t i = 0; i < p->nlinks; i++) {
		struct buf b;

		if (p->link[i]->state != LINK_OPEN || p->net->calls->queued_bytes(p->link[i]->net) > 0)
			continue;
		peers_frame(&b, PF_PING);
		push(p, p->link[i]->net, &b);
	}
	p->loop->calls->timer_set(p->loop, t, PEER_PING_MS * 1000ull);
}

struct peers *peers_new(struct net *net, struct loop *loop, struct clock *clock, uint64_t seed, const char *subjects,
			const struct peers_events *ev, void *user)
{
	struct peers *p = mem_alloc(sizeof *p);

	*p = (struct peers){ .net = net, .loop = loop, .clock = clock, .subjects = subjects, .ev = *ev, .user = user };
	p->ping = (struct loop_timer){ .fire = on_ping, .user = p };
	rng_init(&p->rng, seed);
	p->run = rng_next(&p->rng);
	return p;
}

void peers_start(struct peers *p)
{
	p->started = true;
	p->loop->calls->timer_set(p->loop, &p->ping, PEER_PING_MS * 1000ull);
	for (uint32_t i = 0; i < p->nlinks; i++)
		dial(p->link[i]);
}

/* The port still owns connections: they are cut, and what they would call is gone with the process or, in
 * a simulation, with the port of the node that ended. */
void peers_free(struct peers *p)
{
	if (!p)
		return;
	p->loop->calls->timer_stop(p->loop, &p->ping);
	for (uint32_t i = 0; i < p->nlinks; i++)
		link_free(p->link[i]);
	for (struct link *k = p->gone, *next; k; k = next) {
		next = k->next_gone;
		link_free(k);
	}
	for (struct caller *c = p->callers, *next; c; c = next) {
		next = c->next;
		mem_free(c);
	}
	mem_free(p);
}
