/* quorum_admin.c - moldau quorum status | add | remove | transfer | snapshot: asks nodes, needs no session. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/be.h"
#include "base/buf.h"
#include "base/mem.h"
#include "os/clock_os.h"
#include "quorum.h"
#include "wire/mp.h"
#include "wire/quorum_frame.h"

#define MEMBERS_MAX 16
#define STATE_LEADER 2
#define LOOK_US 2000000u

struct member {
	int64_t id, match;
	char address[256];
	bool voter, learner, leaving, self, leader, connected;
};

struct status {
	char cluster_id[64];
	int64_t state, leader, term, commit, applied, last, durable, zxid, znodes, sessions, connections;
	bool changing;
	uint32_t n;
	struct member v[MEMBERS_MAX];
};

struct ask {				/* one node, one question */
	struct quorum *q;
	const char *address;
	struct net_conn *conn;
	struct buf request;
	bool done;
	int err;			/* OK: it answered */
	int refused;			/* ADMIN: the node's own error */
	char why[256];
	struct status status;
};

static int asking;			/* that have not come to an end */
static bool one_will_do;		/* the first answer ends it */

static const char *const state_names[] = { "follower", "candidate", "leader", "learner", "no member" };

static const char *state_name(int64_t state)
{
	return state >= 0 && state < (int64_t)(sizeof state_names / sizeof state_names[0]) ? state_names[state] : "?";
}

static void copy(char *to, size_t cap, struct str s)
{
	size_t n = s.len < 0 ? 0 : (size_t)s.len < cap ? (size_t)s.len : cap - 1;

	memcpy(to, s.p ? s.p : "", n);
	to[n] = 0;
}

static void finish(struct ask *a, int err)
{
	if (a->done)
		return;
	a->done = true;
	a->err = err;
	if (--asking == 0 || (one_will_do && err == OK))
		a->q->loop->calls->stop(a->q->loop, 0);
}

static void read_status(struct mp_reader *m, struct status *s)
{
	copy(s->cluster_id, sizeof s->cluster_id, mp_str(m));
	int64_t *const numbers[] = { &s->state, &s->leader, &s->term, &s->commit, &s->applied, &s->last, &s->durable,
				     &s->zxid, &s->znodes, &s->sessions, &s->connections };

	for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
		*numbers[i] = mp_int(m);
	s->changing = mp_bool(m);
	s->n = mp_array(m);
	if (s->n > MEMBERS_MAX)
		m->bad = true;
	for (uint32_t i = 0; i < s->n && mp_ok(m); i++) {
		struct member *v = &s->v[i];

		if (mp_array(m) != 9)
			m->bad = true;
		v->id = mp_int(m);
		copy(v->address, sizeof v->address, mp_str(m));
		v->voter = mp_bool(m);
		v->learner = mp_bool(m);
		v->leaving = mp_bool(m);
		v->self = mp_bool(m);
		v->leader = mp_bool(m);
		v->connected = mp_bool(m);
		v->match = mp_int(m);
	}
}

static void on_frame(void *user, struct net_conn *c, uint8_t *frame, uint32_t len)
{
	struct ask *a = user;
	struct mp_reader m = mp_of(frame, len);

	mp_array(&m);
	int64_t type = mp_int(&m);

	mp_int(&m);
	a->refused = (int)mp_int(&m);
	if (type == QF_STATUS && a->refused == OK)
		read_status(&m, &a->status);
	else if (type == QF_ADMIN)
		copy(a->why, sizeof a->why, mp_str(&m));
	finish(a, mp_end(&m) ? OK : E_BAD);
	a->q->net->calls->frame_free(a->q->net, frame);
	a->q->net->calls->abort(c);
}

static void release_mem(void *p)
{
	mem_free(p);
}

static void on_connect(void *user, struct net_conn *c, int err)
{
	struct ask *a = user;
	size_t len;

	if (err != OK)
		return;
	be32_put(a->request.p, (uint32_t)(a->request.len - 4));
	uint8_t *p = buf_steal(&a->request, &len);
	struct net_piece piece = { .kind = NET_MEM, .mem = p, .len = len, .release = release_mem, .release_ctx = p };

	a->q->net->calls->send(c, &piece, 1);
}

static void on_close(void *user, struct net_conn *c, int err)
{
	(void)c;
	finish(user, err == E_BAD || err == E_LIMIT ? E_BAD : E_CLOSED);
}

static const struct net_events events = { .on_frame = on_frame, .on_connect = on_connect, .on_close = on_close };

static void on_timeout(struct loop_timer *t)
{
	struct quorum *q = t->user;

	q->loop->calls->stop(q->loop, 0);
}

static void start(struct ask *a, struct quorum *q, const char *address, enum qf_type t, uint32_t fields)
{
	*a = (struct ask){ .q = q, .address = address, .err = E_TIMEOUT };
	buf_init(&a->request, QF_FRAME_MAX);
	buf_be32(&a->request, 0);
	mp_put_array(&a->request, fields);
	mp_put_int(&a->request, t);
	mp_put_int(&a->request, 1);
}

/* All at the same time, until each has answered or failed, or the time is over. */
static void run(struct ask *v, int n, uint64_t timeout_us)
{
	struct quorum *q = v[0].q;
	struct loop_timer end = { .fire = on_timeout, .user = q };

	asking = n;
	for (int i = 0; i < n; i++)
		if (q->net->calls->connect(q->net, v[i].address, &events, &v[i], QF_FRAME_MAX, &v[i].conn) != OK) {
			v[i].done = true;
			v[i].err = E_CLOSED;
			asking--;
		}
	q->loop->calls->timer_set(q->loop, &end, timeout_us);
	if (asking > 0)
		loop_os_run(q->os_loop);
	q->loop->calls->timer_stop(q->loop, &end);
	for (int i = 0; i < n; i++) {
		if (!v[i].done)
			q->net->calls->abort(v[i].conn);
		v[i].done = true;
		buf_release(&v[i].request);
	}
}

static const char *role_of(const struct member *m)
{
	return m->leader ? "leader" : m->leaving ? "leaving" : m->voter ? "voter" : m->learner ? "learner" : "observer";
}

static json_t *member_json(const struct member *m, bool leads)
{
	json_t *o = json_pack("{sI ss ss sb}", "node", (json_int_t)m->id, "peer_address", m->address, "role",
			      role_of(m), "connected", m->self || m->connected);

	if (leads)
		json_object_set_new(o, "durable", json_integer(m->match));
	return o;
}

static void print_json(const struct ask *v, int n)
{
	json_t *all = json_array();

	for (int i = 0; i < n; i++) {
		const struct status *s = &v[i].status;
		json_t *o = json_pack("{ss}", "address", v[i].address);

		json_array_append_new(all, o);
		if (v[i].err) {
			json_object_set_new(o, "error", json_string(err_text(v[i].err)));
			continue;
		}
		json_object_update_new(o, json_pack("{ss ss sI sI sI sI sI sI sI sI sI sI sb}", "cluster_id",
			s->cluster_id, "state", state_name(s->state), "leader", (json_int_t)s->leader, "term",
			(json_int_t)s->term, "committed", (json_int_t)s->commit, "applied", (json_int_t)s->applied,
			"last", (json_int_t)s->last, "durable", (json_int_t)s->durable, "zxid", (json_int_t)s->zxid,
			"znodes", (json_int_t)s->znodes, "sessions", (json_int_t)s->sessions, "connections",
			(json_int_t)s->connections, "members_changing", s->changing));
		json_t *members = json_array();

		for (uint32_t k = 0; k < s->n; k++)
			json_array_append_new(members, member_json(&s->v[k], s->state == STATE_LEADER));
		json_object_set_new(o, "members", members);
	}
	cli_print_json(all, JSON_INDENT(2));
}

/* What the node that knows most says about the members: the leader, else any. */
static void print_members(const struct status *s)
{
	static const char *const heads[] = { "NODE", "PEER ADDRESS", "ROLE", "REACHED", "LAG" };
	struct cli_table *t = cli_table_new(5, heads);

	printf("cluster %s, leader %lld, term %lld%s\n\n", s->cluster_id, (long long)s->leader, (long long)s->term,
	       s->changing ? ", members are being changed" : "");
	for (uint32_t i = 0; i < s->n; i++) {
		const struct member *m = &s->v[i];

		cli_table_cell(t, "%lld", (long long)m->id);
		cli_table_cell(t, "%s", m->address[0] ? m->address : "-");
		cli_table_cell(t, "%s", role_of(m));
		cli_table_cell(t, "%s", m->self || m->connected ? "yes" : "no");
		if (s->state == STATE_LEADER && !m->self)
			cli_table_cell(t, "%lld", (long long)(s->last > m->match ? s->last - m->match : 0));
		else
			cli_table_cell(t, "%s", m->self && s->state == STATE_LEADER ? "0" : "-");
	}
	cli_table_print(t, stdout);
	putchar('\n');
}

static void print_table(const struct ask *v, int n)
{
	const struct status *best = NULL;
	struct cli_table *t = cli_table_new(9, (const char *const[]){ "ASKED", "STATE", "TERM", "COMMITTED", "APPLIED",
		"ZXID", "ZNODES", "SESSIONS", "CONNECTIONS" });

	for (int i = 0; i < n; i++) {
		const struct status *s = &v[i].status;

		cli_table_cell(t, "%s", v[i].address);
		cli_table_cell(t, "%s", v[i].err ? err_text(v[i].err) : state_name(s->state));
		const int64_t numbers[] = { s->term, s->commit, s->applied, s->zxid, s->znodes, s->sessions,
					    s->connections };
		for (size_t k = 0; k < sizeof numbers / sizeof numbers[0]; k++)
			cli_table_cell(t, v[i].err ? "-" : "%lld", (long long)numbers[k]);
		if (!v[i].err && (!best || s->state == STATE_LEADER))
			best = s;
	}
	if (best)
		print_members(best);
	cli_table_print(t, stdout);
}

/* How many nodes answered. */
static int ask_all(struct quorum *q, struct ask *v, uint64_t timeout_us)
{
	int answered = 0;

	for (int i = 0; i < q->n; i++)
		start(&v[i], q, q->address[i], QF_STATUS, 2);
	run(v, q->n, timeout_us);
	for (int i = 0; i < q->n; i++)
		answered += v[i].err == OK;
	return answered;
}

static int nobody(const struct quorum *q)
{
	cli_error("no node of the quorum answers", q->address[0], "Name its nodes with --quorum HOST:PORT,...");
	return CLI_UNREACHABLE;
}

int quorum_status(struct quorum *q)
{
	static struct ask v[QUORUM_NODES_MAX];
	int answered = ask_all(q, v, q->timeout_us);

	if (cli_json(q->c))
		print_json(v, q->n);
	else if (answered > 0)
		print_table(v, q->n);
	if (answered == q->n)
		return CLI_OK;
	if (answered > 0)
		return CLI_FAILED;
	return nobody(q);
}

static const struct {
	const char *name;
	enum qf_admin kind;
	const char *done;
} changes[] = {
	{ "add", QA_ADD, "added" },
	{ "remove", QA_REMOVE, "removed" },
	{ "transfer", QA_TRANSFER, "leadership was handed over" },
	{ "snapshot", QA_SNAPSHOT, "the snapshot is on the disk" },
};

/* Any node passes a change on, but who is frozen answers nobody, and who is removed may not hear of the end of it: the
 * leader is asked where it is among those that answer, else one that does; -1: none. */
static int whom(struct quorum *q)
{
	static struct ask v[QUORUM_NODES_MAX];
	int best = -1;

	ask_all(q, v, q->timeout_us < LOOK_US ? q->timeout_us : LOOK_US);
	for (int i = 0; i < q->n; i++)
		if (v[i].err == OK && (best < 0 || (v[i].status.state == STATE_LEADER &&
						    (v[best].status.state != STATE_LEADER ||
						     v[i].status.term > v[best].status.term))))
			best = i;
	return best;
}

bool quorum_answers(struct quorum *q)
{
	static struct ask v[QUORUM_NODES_MAX];
	const struct timespec pause = { .tv_nsec = 100000000 };
	uint64_t limit = q->timeout_us < LOOK_US ? q->timeout_us : LOOK_US;
	uint64_t until = clock_os()->mono_us(clock_os()) + limit;
	int answered = 0;

	one_will_do = true;
	while ((answered = ask_all(q, v, limit)) == 0 && clock_os()->mono_us(clock_os()) < until)
		nanosleep(&pause, NULL);
	one_will_do = false;
	if (answered == 0)
		nobody(q);
	return answered > 0;
}

int quorum_change(struct quorum *q)
{
	static struct ask a;
	const struct cli *c = q->c;
	size_t k = 0;
	char *end = NULL;
	long id = -1;

	while (strcmp(changes[k].name, c->args[0]) != 0)	/* cmd_quorum() knows it is one of them */
		k++;
	if (c->n_args > 1) {
		id = strtol(c->args[1], &end, 10);
		if (end == c->args[1] || *end || id < 0 || id > INT32_MAX) {
			cli_error("the ID of a node is a number", c->args[1], "See moldau quorum status.");
			return CLI_USAGE;
		}
	}
	int node = whom(q);

	if (node < 0)
		return nobody(q);

	start(&a, q, q->address[node], QF_ADMIN, 6);
	mp_put_int(&a.request, changes[k].kind);
	mp_put_int(&a.request, id);
	mp_put_str(&a.request, changes[k].kind == QA_ADD ? str_of(c->args[2]) : STR_NULL);
	mp_put_bool(&a.request, cli_has(c, "observer"));
	run(&a, 1, q->timeout_us);
	if (a.err) {
		cli_error("the node did not answer", err_text(a.err), "moldau quorum status --quorum HOST:PORT,...");
		return CLI_UNREACHABLE;
	}
	if (a.refused) {
		char what[64];

		snprintf(what, sizeof what, "%s was refused", changes[k].name);
		cli_error(what, a.why, NULL);
		return CLI_FAILED;
	}
	if (cli_json(c))
		printf("{\"done\":\"%s\"}\n", changes[k].name);
	else
		puts(changes[k].done);
	return CLI_OK;
}
