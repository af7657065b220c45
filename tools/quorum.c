/*
 * quorum.c - moldau quorum: the nodes of the coordination service and what is in its tree. man/moldau-quorum.1
 *
 * One session a run for the tree's commands; `watch` follows the change feed.
 */
#include "quorum.h"

#include <jansson.h>
#include <msgpack.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "client/quorum.h"
#include "os/clock_os.h"
#include "os/net_os.h"

/* options: moldau-quorum.1 */
static const struct cli_option options[] = {
	{ "quorum", true, "HOST:PORT,...", "nodes of the quorum (default 127.0.0.1:9093, or $MOLDAU_QUORUM)" },
	{ "create", false, NULL, "set: make the node, which must not be there" },
	{ "version", true, "N", "set, delete: only when the node has this version" },
	{ "observer", false, NULL, "add: the node follows and never votes" },
	{ "count", true, "N", "watch: end after N changes" },
	{ "tls-certificate", true, "FILE", "PEM: TLS with this certificate (or $MOLDAU_TLS_CERTIFICATE)" },
	{ "tls-key", true, "FILE", "PEM: its key (or $MOLDAU_TLS_KEY)" },
	{ "tls-ca", true, "FILE", "PEM: the nodes' authority (or $MOLDAU_TLS_CA)" },
	{ "days", true, "N", "certs: how long a certificate is good (default 825)" },
	{ "output", true, "FORMAT", "table (default) or json" },
	{ "timeout", true, "SECONDS", "how long to wait for the quorum (default 30)" },
	{ "help", false, NULL, "this text" },
	{ NULL, false, NULL, NULL }
};

struct tree {				/* one command on the tree */
	struct quorum *q;
	struct qclient *client;
	const char *what, *path;
	int32_t version;
	int64_t left;			/* watch: changes to print; 0: without end */
	bool snapshot, begun, stopping;
	int status;
	struct loop_timer end;
};

static void on_left(struct loop_timer *timer)
{
	struct tree *t = timer->user;

	t->q->loop->calls->stop(t->q->loop, t->status);
}

/* Ends the session; the loop ends in the next turn, when that has been sent. */
static void stop(struct tree *t, int status)
{
	if (t->stopping)
		return;
	t->stopping = true;
	t->status = status;
	fflush(stdout);
	q_close(t->client);
	t->end.fire = on_left;
	t->q->loop->calls->timer_set(t->q->loop, &t->end, 0);
}

static int status_of(int err)
{
	return err == OK ? CLI_OK : err == E_CLOSED || err == E_TIMEOUT ? CLI_UNREACHABLE : CLI_FAILED;
}

static void fail(struct tree *t, int err)
{
	char what[512];

	snprintf(what, sizeof what, "%s %s: %s", t->what, t->path, err_text(err));
	cli_error(what, err == E_CONFLICT ? "The node has another version; see moldau quorum get." : NULL, NULL);
	stop(t, status_of(err));
}

/* ---- values ---- */

static bool is_text(struct bytes v)
{
	for (int32_t i = 0; i < v.len; i++)
		if ((v.p[i] < ' ' && v.p[i] != '\n' && v.p[i] != '\t') || v.p[i] == 0x7f)
			return false;
	return true;
}

/* As text, else as one msgpack value, else in hexadecimal; ret_form says which. Freed by the caller. */
static char *show_value(struct bytes v, const char **ret_form)
{
	static const char digits[] = "0123456789abcdef";
	size_t n = v.len > 0 ? (size_t)v.len : 0, cap = 16 * n + 4096, used = 0;
	char *s = mem_alloc(cap);
	msgpack_unpacked u;

	*ret_form = "text";
	if (is_text(v)) {
		memcpy(s, v.p ? (const char *)v.p : "", n);
		s[n] = 0;
		json_t *j = json_stringn(s, n);
		bool utf8 = j != NULL;

		json_decref(j);
		if (utf8)
			return s;
	}
	msgpack_unpacked_init(&u);
	*ret_form = "msgpack";
	if (msgpack_unpack_next(&u, (const char *)v.p, n, &used) == MSGPACK_UNPACK_SUCCESS && used == n)
		msgpack_object_print_buffer(s, cap, u.data);
	else
		*ret_form = "hex";
	msgpack_unpacked_destroy(&u);
	for (size_t i = 0; **ret_form == 'h' && i < n; i++) {
		s[2 * i] = digits[v.p[i] >> 4];
		s[2 * i + 1] = digits[v.p[i] & 15];
		s[2 * i + 2] = 0;
	}
	return s;
}

static json_t *node_json(const struct q_node *n)
{
	const char *form;
	char *value = show_value(n->value, &form);
	json_t *o = json_pack("{ss# ss so sI sI sI}", "path", n->path.p, (int)n->path.len, "form", form, "value",
			      n->value.len < 0 ? json_null() : json_string(value), "version", (json_int_t)n->version,
			      "czxid", (json_int_t)n->czxid, "mzxid", (json_int_t)n->mzxid);

	if (n->owner)
		json_object_set_new(o, "owner", json_sprintf("%llx", (unsigned long long)n->owner));
	mem_free(value);
	return o;
}

/* ---- answers ---- */

static void on_get(void *ctx, int err, int64_t zxid, const struct q_node *v, uint32_t n)
{
	struct tree *t = ctx;
	const char *form;

	(void)zxid;
	(void)n;
	if (err) {
		fail(t, err);
		return;
	}
	if (cli_json(t->q->c)) {
		cli_print_json(node_json(v), JSON_INDENT(2));
	} else {
		char *value = show_value(v->value, &form);

		if (v->value.len >= 0)
			puts(value);
		mem_free(value);
	}
	stop(t, CLI_OK);
}

static int by_path(const void *a, const void *b)
{
	const struct q_node *const *x = a, *const *y = b;

	return str_cmp((*x)->path, (*y)->path);
}

static void on_ls(void *ctx, int err, int64_t zxid, const struct q_node *v, uint32_t n)
{
	struct tree *t = ctx;

	(void)zxid;
	if (err) {
		fail(t, err);
		return;
	}
	const struct q_node **child = mem_alloc((n + 1) * sizeof *child);

	for (uint32_t i = 1; i < n; i++)
		child[i] = &v[i];
	if (n > 2)
		qsort(child + 1, n - 1, sizeof *child, by_path);
	if (cli_json(t->q->c)) {
		json_t *all = json_array();

		for (uint32_t i = 1; i < n; i++)
			json_array_append_new(all, node_json(child[i]));
		cli_print_json(all, JSON_INDENT(2));
	} else {
		struct cli_table *c = cli_table_new(4, (const char *const[]){ "PATH", "VERSION", "BYTES", "OWNER" });

		for (uint32_t i = 1; i < n; i++) {
			cli_table_cell(c, "%.*s", (int)child[i]->path.len, child[i]->path.p);
			cli_table_cell(c, "%d", child[i]->version);
			cli_table_cell(c, "%d", child[i]->value.len < 0 ? 0 : child[i]->value.len);
			cli_table_cell(c, child[i]->owner ? "%llx" : "-", (unsigned long long)child[i]->owner);
		}
		cli_table_print(c, stdout);
	}
	mem_free(child);
	stop(t, CLI_OK);
}

static void on_change(void *ctx, int err, int64_t zxid, const struct q_op_result *v, uint32_t n)
{
	struct tree *t = ctx;

	if (err)
		fail(t, err);
	else if (cli_json(t->q->c))
		printf("{\"zxid\":%lld,\"version\":%d}\n", (long long)zxid, n ? v[0].version : 0);
	else if (strcmp(t->what, "delete") == 0)
		printf("deleted %s\n", t->path);
	else
		printf("%s has version %d\n", t->path, n ? v[0].version : 0);
	if (!err)
		stop(t, CLI_OK);
}

static void begin(struct tree *t)
{
	const struct cli *c = t->q->c;
	struct q_op op = { .path = str_of(t->path), .value = BYTES_NULL, .version = t->version };

	if (strcmp(t->what, "get") == 0 || strcmp(t->what, "ls") == 0) {
		q_get(t->client, op.path, t->what[0] == 'l', t->what[0] == 'l' ? on_ls : on_get, t);
		return;
	}
	if (strcmp(t->what, "watch") == 0)
		return;
	op.kind = strcmp(t->what, "delete") == 0 ? Q_DELETE : cli_has(c, "create") ? Q_CREATE : Q_SET;
	if (op.kind != Q_DELETE)
		op.value = (struct bytes){ (const uint8_t *)c->args[2], (int32_t)strlen(c->args[2]) };
	q_multi(t->client, &op, 1, on_change, t);
}

/* ---- the session ---- */

static void on_state(void *user, enum q_state s)
{
	struct tree *t = user;

	if (s == Q_READY && !t->begun) {
		t->begun = true;
		if (strcmp(t->what, "watch") == 0)
			t->q->loop->calls->timer_stop(t->q->loop, &t->end);
		begin(t);
	}
	if (s == Q_EXPIRED) {
		cli_error("the session with the quorum ended", err_text(q_why(t->client)), NULL);
		stop(t, CLI_FAILED);
	}
}

static void on_changes(void *user, int64_t zxid, const struct q_change *v, uint32_t n)
{
	struct tree *t = user;
	bool all = t->left == 0;

	for (uint32_t i = 0; i < n && (all || t->left > 0); i++) {
		const char *form, *what = v[i].deleted ? "deleted" : t->snapshot ? "is" : "changed";

		if (cli_json(t->q->c)) {
			json_t *o = v[i].deleted ? json_pack("{ss#}", "path", v[i].node.path.p, (int)v[i].node.path.len)
						 : node_json(&v[i].node);

			json_object_set_new(o, "event", json_string(what));
			json_object_set_new(o, "zxid", json_integer(zxid));
			cli_print_json(o, JSON_COMPACT);
		} else {
			char *value = show_value(v[i].deleted ? BYTES_NULL : v[i].node.value, &form);

			printf("%lld %s %.*s %s\n", (long long)zxid, what, (int)v[i].node.path.len,
			       v[i].node.path.p, value);
			mem_free(value);
		}
		if (!all && !t->snapshot && --t->left == 0)
			stop(t, CLI_OK);
	}
	fflush(stdout);
}

static void on_snapshot_begin(void *user, int64_t zxid)
{
	(void)zxid;
	((struct tree *)user)->snapshot = true;
}

static void on_snapshot_end(void *user, int64_t zxid)
{
	(void)zxid;
	((struct tree *)user)->snapshot = false;
}

static void on_end(struct loop_timer *timer)
{
	struct tree *t = timer->user;

	cli_error("the quorum did not answer in time", t->q->address[0],
		  "Is it running, and has it a leader? See moldau quorum status.");
	stop(t, CLI_UNREACHABLE);
}

static int tree_command(struct quorum *q)
{
	static const struct q_events ev = { on_state, on_changes, on_snapshot_begin, on_snapshot_end, NULL };
	static struct tree t;
	const struct cli *c = q->c;

	if (c->args[1][0] != '/') {
		cli_error("a path begins with /", c->args[1], NULL);
		return CLI_USAGE;
	}
	t = (struct tree){ .q = q, .what = c->args[0], .path = c->args[1] };
	t.version = (int32_t)cli_number(c, "version", -1, -1, INT32_MAX);
	t.left = cli_number(c, "count", 0, 0, INT64_MAX);
	t.end = (struct loop_timer){ .fire = on_end, .user = &t };
	if (!quorum_answers(q))
		return CLI_UNREACHABLE;
	q->loop->calls->timer_set(q->loop, &t.end, q->timeout_us);
	struct q_options opt = { .addresses = q->address, .n_addresses = q->n, .session_timeout_ms = 10000,
				 .name = "moldau quorum", .liveness_fd = -1 };

	if (q_open(q->net, q->loop, clock_os(), &opt, &ev, &t, &t.client) != OK) {
		cli_error("not a list of HOST:PORT", q->address[0], NULL);
		return CLI_USAGE;
	}
	struct str prefix = str_of(t.path);

	if (strcmp(t.what, "watch") == 0)
		q_subscribe(t.client, &prefix, 1, 0);
	return loop_os_run(q->os_loop);
}

int cmd_quorum(int argc, char **argv)
{
	static const struct cli_verb verbs[] = {
		{ "status", 0, 0, "" },
		{ "add", 2, 2, "ID HOST:PORT" }, { "remove", 1, 1, "ID" }, { "transfer", 0, 1, "[ID]" },
		{ "snapshot", 0, 0, "" },
		{ "ls", 1, 1, "PATH" }, { "get", 1, 1, "PATH" }, { "set", 2, 2, "PATH VALUE" },
		{ "delete", 1, 1, "PATH" }, { "watch", 1, 1, "PATH" },
		{ "certs", 3, 63, "DIR node|client|reader NAME [HOST...]" },
	};
	static int (*const run[])(struct quorum *q) = { quorum_status, quorum_change, quorum_change, quorum_change,
		quorum_change, tree_command, tree_command, tree_command, tree_command, tree_command };
	struct cli c;
	struct quorum q = { .c = &c };

	if (!cli_parse(&c, "moldau quorum",
		       "moldau quorum status|add|remove|transfer|snapshot|ls|get|set|delete|watch|certs "
		       "[ARGUMENT]... [OPTION]...", options, argc, argv))
		return CLI_USAGE;
	int verb = cli_verb(&c, verbs, sizeof verbs / sizeof verbs[0]);
	const char *fallback = getenv("MOLDAU_QUORUM");

	if (verb < 0)
		return CLI_USAGE;
	if (strcmp(c.args[0], "certs") == 0)
		return quorum_certs(&c);
	const char *given = cli_value(&c, "quorum", fallback && *fallback ? fallback : "127.0.0.1:9093");
	char *list = mem_strdup(given, strlen(given)), *save = NULL;

	for (char *a = strtok_r(list, ",", &save); a && q.n < QUORUM_NODES_MAX; a = strtok_r(NULL, ",", &save))
		q.address[q.n++] = a;
	for (int i = 0; i < q.n; i++)
		if (!strchr(q.address[i], ':')) {
			cli_error("not a list of HOST:PORT", q.address[i], NULL);
			return CLI_USAGE;
		}
	if (q.n == 0) {
		cli_error("--quorum names no node", NULL, NULL);
		return CLI_USAGE;
	}
	q.timeout_us = (uint64_t)cli_number(&c, "timeout", 30, 1, 86400) * 1000000u;
	q.os_loop = loop_os_new();
	q.loop = loop_os_port(q.os_loop);
	q.net = net_os_new(q.os_loop, 64u << 20);
	if (!quorum_tls(&q))
		return CLI_FAILED;
	return run[verb](&q);
}
