/*
 * qtool.c - drives moldau-quorum over its native protocol, for the system tests.
 *
 *   qtool ADDR create|set PATH VALUE    one op; "create-e" ephemeral, "create-s" sequence
 *   qtool ADDR delete PATH | get PATH | ls PATH
 *   qtool ADDR load PATH N              N creates under PATH, 64 in flight; prints each acknowledged name
 *   qtool ADDR watch PATH FROM SECONDS  prints the feed
 *   qtool ADDR hold PATH SECONDS        session with an ephemeral PATH; $QTOOL_LIVENESS_FD: its liveness connection
 *   qtool ADDR,ADDR... keep PATH SECONDS    the same with liveness connections of its own
 * Ends with 0, or with 1 and the error's name.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "client/quorum.h"
#include "os/clock_os.h"
#include "os/loop_os.h"
#include "os/net_os.h"
#include "os/tls_os.h"

static struct loop *loop;
static struct qclient *q;
static char **args;
static int nargs;
static long left, acked, sent;
static struct loop_timer stop_timer;

static void finish(int status)
{
	fflush(stdout);
	loop->calls->stop(loop, status);
}

static void done(void *ctx, int err, int64_t zxid, const struct q_op_result *v, uint32_t n)
{
	(void)ctx;
	if (err)
		printf("%s\n", err_name(err));
	else if (n > 0 && v[0].path.len > 0)
		printf("ok zxid=%lld path=%.*s\n", (long long)zxid, v[0].path.len, v[0].path.p);
	else
		printf("ok zxid=%lld version=%d\n", (long long)zxid, n ? v[0].version : 0);
	finish(err ? 1 : 0);
}

static void listed(void *ctx, int err, int64_t zxid, const struct q_node *v, uint32_t n)
{
	(void)ctx;
	(void)zxid;
	if (err)
		printf("%s\n", err_name(err));
	for (uint32_t i = 0; i < n; i++)
		printf("%.*s = %.*s (version %d) czxid=%lld owner=%llx\n", v[i].path.len, v[i].path.p,
		       v[i].value.len > 0 ? v[i].value.len : 0, (const char *)v[i].value.p, v[i].version,
		       (long long)v[i].czxid, (unsigned long long)v[i].owner);
	finish(err ? 1 : 0);
}

static void load_one(void);

static void loaded(void *ctx, int err, int64_t zxid, const struct q_op_result *v, uint32_t n)
{
	(void)ctx;
	(void)n;
	if (err) {
		printf("%s\n", err_name(err));
		finish(1);
		return;
	}
	printf("%lld %.*s\n", (long long)zxid, v[0].path.len, v[0].path.p);
	fflush(stdout);
	acked++;
	if (left > 0)
		load_one();
	else if (acked == sent)
		finish(0);
}

static void load_one(void)
{
	char path[300];
	int len = snprintf(path, sizeof path, "%s/n-", args[3]);
	struct q_op op = { .kind = Q_CREATE, .flags = Q_SEQUENCE, .path = { path, len },
			   .value = { (const uint8_t *)"0123456789", 10 }, .version = -1 };

	left--;
	sent++;
	q_multi(q, &op, 1, loaded, NULL);
}

static void one(enum q_op_kind kind, unsigned flags)
{
	struct q_op op = { .kind = kind, .flags = flags, .path = str_of(args[3]), .value = BYTES_NULL, .version = -1 };

	if (nargs > 4)
		op.value = (struct bytes){ (const uint8_t *)args[4], (int32_t)strlen(args[4]) };
	q_multi(q, &op, 1, done, NULL);
}

static void held(void *ctx, int err, int64_t zxid, const struct q_op_result *v, uint32_t n)
{
	(void)ctx;
	(void)zxid;
	(void)v;
	(void)n;
	printf("%s\n", err ? err_name(err) : "held");
	fflush(stdout);
	if (err)
		finish(1);
}

static void begin(void)
{
	const char *what = args[2];

	if (!strcmp(what, "create"))
		one(Q_CREATE, 0);
	else if (!strcmp(what, "create-e"))
		one(Q_CREATE, Q_EPHEMERAL);
	else if (!strcmp(what, "create-s"))
		one(Q_CREATE, Q_SEQUENCE);
	else if (!strcmp(what, "set"))
		one(Q_SET, 0);
	else if (!strcmp(what, "delete"))
		one(Q_DELETE, 0);
	else if (!strcmp(what, "get") || !strcmp(what, "ls"))
		q_get(q, str_of(args[3]), what[0] == 'l', listed, NULL);
	else if (!strcmp(what, "load")) {
		left = atol(args[4]);
		for (int i = 0; i < 64 && left > 0; i++)
			load_one();
	} else if (!strcmp(what, "hold") || !strcmp(what, "keep")) {
		struct q_op op = { .kind = Q_CREATE, .flags = Q_EPHEMERAL, .path = str_of(args[3]),
				   .value = BYTES_NULL, .version = -1 };

		q_multi(q, &op, 1, held, NULL);
	}
}

static void on_state(void *user, enum q_state s)
{
	static int first = 1;

	(void)user;
	if (s == Q_READY && first) {
		first = 0;
		begin();
	}
	if (s == Q_EXPIRED) {
		puts("expired");
		finish(1);
	}
}

static void on_changes(void *user, int64_t zxid, const struct q_change *v, uint32_t n)
{
	(void)user;
	for (uint32_t i = 0; i < n; i++)
		printf("%lld %s %.*s\n", (long long)zxid, v[i].deleted ? "deleted" : "changed", v[i].node.path.len,
		       v[i].node.path.p);
	fflush(stdout);
}

static void on_begin(void *user, int64_t zxid)
{
	(void)user;
	printf("snapshot begin %lld\n", (long long)zxid);
}

static void on_end(void *user, int64_t zxid)
{
	(void)user;
	printf("snapshot end %lld\n", (long long)zxid);
	fflush(stdout);
}

static void on_live(void *user, struct net_conn *c, bool watched)
{
	(void)user;
	(void)c;
	(void)watched;
}

static void on_stop(struct loop_timer *t)
{
	(void)t;
	finish(0);
}

/* $MOLDAU_TLS_CERTIFICATE, _KEY, _CA as for moldau(1). */
static struct net *open_net(struct loop_os *l)
{
	struct net *net = net_os_new(l, 64u << 20);
	const char *cert = getenv("MOLDAU_TLS_CERTIFICATE"), *key = getenv("MOLDAU_TLS_KEY");
	const char *ca = getenv("MOLDAU_TLS_CA");
	struct tls_os *tls;
	char why[300];

	if (ca) {
		must(tls_os_new(cert, key, ca, TLS_CLIENT_NEED, &tls, why, sizeof why) == OK);
		net_os_tls(net, tls, "qtool");
	}
	return net;
}

int main(int argc, char **argv)
{
	struct q_events ev = { on_state, on_changes, on_begin, on_end, NULL };
	struct loop_os *l = loop_os_new();

	if (argc < 4)
		return 2;
	args = argv;
	nargs = argc;
	loop = loop_os_port(l);
	const char *address[8];
	struct q_options opt = { .addresses = address, .session_timeout_ms = 2000, .name = "qtool", .liveness_fd = -1 };

	for (char *a = strtok(argv[1], ","); a && opt.n_addresses < 8; a = strtok(NULL, ","))
		address[opt.n_addresses++] = a;
	if (!strcmp(argv[2], "keep"))
		ev.on_live = on_live;

	stop_timer = (struct loop_timer){ .fire = on_stop };
	if (!strcmp(argv[2], "watch"))
		loop->calls->timer_set(loop, &stop_timer, (uint64_t)(atof(argv[5]) * 1e6));
	else
		loop->calls->timer_set(loop, &stop_timer, 20000000u);
	if (!strcmp(argv[2], "hold") && getenv("QTOOL_LIVENESS_FD"))
		opt.liveness_fd = atoi(getenv("QTOOL_LIVENESS_FD"));
	must(q_open(open_net(l), loop, clock_os(), &opt, &ev, NULL, &q) == OK);
	if (!strcmp(argv[2], "watch"))
		q_subscribe(q, &(struct str){ argv[3], (int32_t)strlen(argv[3]) }, 1, atoll(argv[4]));
	return loop_os_run(l);
}
