/*
 * gen.c - the load of bench/coordination. See coord.h.
 *
 * One run is one mode; the result is one line of JSON:
 *   load      operations a second, latencies in microseconds, CPU of the servers an operation, and how busy the rest
 *             of the machine was (foreign, in cores): runs that others disturbed are told by it
 *   fill      makes so many keys over one connection
 *   first     from --since (CLOCK_MONOTONIC, ns) until a write was acknowledged; servers need not listen yet
 *   failover  one probe a server writes every --probe-ms; --signal goes to --kill after --kill-after seconds
 * Exit: 0; 1 cannot go on, with the reason.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <jansson.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench/coord/coord.h"

#define SERVERS_MAX 8
#define PIDS_MAX 8
#define SECOND 1000000000.0
#define RETRY_NS 5000000u
#define GREETING_NS 300000000u		/* a probe gives a server that does not answer so long to take it */
#define PROBE_FLYING_MAX 2000u
#define FILL_DEPTH 512u
#define IN_BYTES 65536u

enum mode { MODE_LOAD, MODE_FILL, MODE_FIRST, MODE_FAILOVER };

static struct {
	const struct coord_proto *proto;
	struct sockaddr_in server[SERVERS_MAX];
	int servers;
	pid_t pid[PIDS_MAX];
	int pids;
	enum mode mode;
	enum coord_op op;
	uint32_t clients, depth, keys, bytes, timeout_ms, probe_ms;
	double seconds, warm, kill_after;
	uint64_t since;
	pid_t kill;
	int signal;
	const char *root;
} opt = { .mode = MODE_LOAD, .op = OP_SET, .clients = 1, .depth = 1, .keys = 1000, .bytes = 100, .timeout_ms = 30000,
	  .probe_ms = 5, .seconds = 2, .warm = 0.5, .kill_after = 2, .signal = SIGKILL, .root = "/bench" };

static struct {
	int epoll;
	struct coord_conn *conn;
	uint8_t *value;
	uint64_t random, created, run;
	bool setting_up, issuing;
	uint64_t setup_left;
	uint64_t from, until;		/* what is counted ends in between */
	uint64_t done, failed, lost;
	struct hist hist;
	uint64_t killed, first_ok, last_ok, gap;
} g;

/* ---- connections ---------------------------------------------------------------------------- */

uint32_t coord_timeout_ms(void)
{
	return opt.timeout_ms;
}

uint8_t *coord_out(struct coord_conn *c, size_t n)
{
	struct bytes_out *b = &c->out;

	if (b->off > 0 && b->len + n > b->cap) {
		memmove(b->p, b->p + b->off, b->len - b->off);
		b->len -= b->off;
		b->off = 0;
	}
	if (b->len + n > b->cap) {
		b->cap = 2 * (b->len + n) + 4096;
		b->p = realloc(b->p, b->cap);
		if (!b->p)
			die("no memory");
	}
	b->len += n;
	return b->p + b->len - n;
}

struct flight *coord_flight(struct coord_conn *c)
{
	if (c->head - c->tail == c->ring_cap) {
		uint32_t cap = c->ring_cap ? 2 * c->ring_cap : 64;
		struct flight *v = malloc(cap * sizeof *v);

		if (!v)
			die("no memory");
		for (uint32_t i = c->tail; i != c->head; i++)
			v[i & (cap - 1)] = c->ring[i & (c->ring_cap - 1)];
		free(c->ring);
		c->ring = v;
		c->ring_cap = cap;
	}
	return &c->ring[c->head++ & (c->ring_cap - 1)];
}

struct flight *coord_oldest(struct coord_conn *c)
{
	return c->head == c->tail ? NULL : &c->ring[c->tail++ & (c->ring_cap - 1)];
}

void coord_ready(struct coord_conn *c)
{
	c->at = CONN_READY;
}

void coord_done(struct coord_conn *c, const struct flight *f, int code)
{
	uint64_t now = now_ns();

	c->flying -= !f->silent;
	if (f->op == OP_SETUP) {
		if (code != 0)
			die("a key could not be made: code %d", code);
		g.setup_left--;
		return;
	}
	if (code != 0) {
		g.failed += now >= g.from;
		return;
	}
	if (opt.mode == MODE_FAILOVER) {
		if (g.last_ok && now - g.last_ok > g.gap)
			g.gap = now - g.last_ok;
		g.last_ok = now;
	}
	if (!g.first_ok && f->start_ns >= g.killed && (g.killed || opt.mode == MODE_FIRST))
		g.first_ok = now;
	if (now >= g.from && now < g.until) {
		g.done++;
		hist_add(&g.hist, now - f->start_ns);
	}
}

static void watch(struct coord_conn *c, int how)
{
	struct epoll_event e = { .events = EPOLLIN | (c->wants_out ? EPOLLOUT : 0), .data.ptr = c };

	if (epoll_ctl(g.epoll, how, c->fd, &e) != 0)
		die("epoll: %s", strerror(errno));
}

static void conn_open(struct coord_conn *c, int server)
{
	int one = 1;

	c->proto = opt.proto;
	c->server = server;
	c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (c->fd < 0)
		die("socket: %s", strerror(errno));
	setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	c->in_len = c->out.len = c->out.off = 0;
	c->head = c->tail = c->flying = 0;
	c->xid = 0;
	c->at = CONN_DIALLING;
	c->wants_out = true;
	c->retry_ns = now_ns();
	/* epoll tells how it went */
	(void)connect(c->fd, (struct sockaddr *)&opt.server[server], sizeof opt.server[0]);
	watch(c, EPOLL_CTL_ADD);
}

static void conn_lost(struct coord_conn *c)
{
	close(c->fd);
	c->fd = -1;
	c->at = CONN_NONE;
	c->proto->close(c);
	g.lost++;
	if (opt.mode != MODE_FIRST && opt.mode != MODE_FAILOVER)
		die("server %d closed a connection", c->server + 1);
	c->retry_ns = now_ns() + RETRY_NS;
}

/* False: the connection is lost. */
static bool flush(struct coord_conn *c)
{
	struct bytes_out *b = &c->out;

	if (c->at != CONN_DIALLING)
		c->proto->pull(c);
	while (b->off < b->len) {
		ssize_t n = send(c->fd, b->p + b->off, b->len - b->off, MSG_NOSIGNAL);

		if (n < 0 && errno != EAGAIN)
			return false;
		if (n < 0)
			break;
		b->off += (size_t)n;
	}
	if (b->off == b->len)
		b->off = b->len = 0;
	bool want = c->at == CONN_DIALLING || b->len > 0;

	if (want != c->wants_out) {
		c->wants_out = want;
		watch(c, EPOLL_CTL_MOD);
	}
	return true;
}

static uint64_t any(void)
{
	g.random ^= g.random << 13;
	g.random ^= g.random >> 7;
	g.random ^= g.random << 17;
	return g.random;
}

static void key(char *path, size_t cap, uint64_t i)
{
	snprintf(path, cap, "%s/k%08llu", opt.root, (unsigned long long)i);
}

static void issue(struct coord_conn *c, enum coord_op op)
{
	char path[160];

	if (op == OP_CREATE)
		snprintf(path, sizeof path, "%s%s%llx-%010llu", opt.root, opt.mode == MODE_FIRST ? "first" : "/c",
			 (unsigned long long)g.run, (unsigned long long)g.created++);
	else
		key(path, sizeof path, any() % opt.keys);
	c->proto->send(c, op, path, g.value, opt.bytes);
}

static bool dialled(struct coord_conn *c, uint32_t events)
{
	int e = 0;
	socklen_t len = sizeof e;

	if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &e, &len) != 0 || e != 0 || (events & (EPOLLERR | EPOLLHUP)))
		return false;
	if (events & EPOLLOUT) {
		c->at = CONN_GREETING;
		c->proto->open(c);
	}
	return true;
}

static bool receive(struct coord_conn *c)
{
	for (;;) {
		if (c->in_cap - c->in_len < IN_BYTES) {
			c->in_cap = c->in_len + 2 * IN_BYTES;
			c->in = realloc(c->in, c->in_cap);
			if (!c->in)
				die("no memory");
		}
		size_t room = c->in_cap - c->in_len;
		ssize_t n = recv(c->fd, c->in + c->in_len, room, 0);

		if (n == 0 || (n < 0 && errno != EAGAIN))
			return false;
		if (n < 0)
			return true;
		c->in_len += (size_t)n;
		ptrdiff_t used = c->proto->take(c, c->in, c->in_len);

		if (used < 0)
			return false;
		c->in_len -= (size_t)used;
		memmove(c->in, c->in + used, c->in_len);
		if ((size_t)n < room)
			return true;
	}
}

static void on_event(struct coord_conn *c, uint32_t events)
{
	bool ok = true;

	if (c->at == CONN_DIALLING)
		ok = dialled(c, events);
	else if (events & EPOLLIN)
		ok = receive(c);
	else if (events & (EPOLLERR | EPOLLHUP))
		ok = false;
	while (ok && g.issuing && c->at == CONN_READY && c->flying < opt.depth)
		issue(c, opt.op);
	if (!ok || !flush(c))
		conn_lost(c);
}

static void turn(int ms)
{
	struct epoll_event v[256];
	int n = epoll_wait(g.epoll, v, 256, ms);

	for (int i = 0; i < n; i++) {
		struct coord_conn *c = v[i].data.ptr;

		if (c->fd >= 0)
			on_event(c, v[i].events);
	}
}

/* ---- the machine ---------------------------------------------------------------------------- */

static double all_busy(void)
{
	unsigned long long v[8] = { 0 };
	FILE *f = fopen("/proc/stat", "re");

	if (!f || fscanf(f, "cpu %llu %llu %llu %llu %llu %llu %llu %llu", v, v + 1, v + 2, v + 3, v + 4, v + 5, v + 6,
			 v + 7) != 8)
		die("/proc/stat cannot be read");
	fclose(f);
	return (double)(v[0] + v[1] + v[2] + v[5] + v[6] + v[7]) / (double)sysconf(_SC_CLK_TCK);
}

static double own_busy(void)
{
	struct rusage r;

	getrusage(RUSAGE_SELF, &r);
	return (double)(r.ru_utime.tv_sec + r.ru_stime.tv_sec) +
	       (double)(r.ru_utime.tv_usec + r.ru_stime.tv_usec) / 1e6;
}

static double servers_busy(void)
{
	double all = 0;

	for (int i = 0; i < opt.pids; i++)
		all += tree_cpu(opt.pid[i]);
	return all;
}

static void print_result(json_t *o)
{
	json_t *pss = json_array();

	for (int i = 0; i < opt.pids; i++)
		json_array_append_new(pss, json_integer((json_int_t)pid_pss(opt.pid[i])));
	json_object_set_new(o, "pss_kb", pss);
	json_dumpf(o, stdout, JSON_COMPACT | JSON_PRESERVE_ORDER);
	putchar('\n');
	json_decref(o);
}

/* ---- modes ---------------------------------------------------------------------------------- */

static void make_keys(uint64_t n)
{
	struct coord_conn *c = &g.conn[0];
	uint64_t sent = 0;
	char path[160];

	while (c->at != CONN_READY)
		turn(100);
	g.setup_left = 1;
	c->proto->send(c, OP_SETUP, opt.root, g.value, 0);
	while (sent < n || g.setup_left > 0) {
		for (; sent < n && g.setup_left < FILL_DEPTH; sent++, g.setup_left++) {
			key(path, sizeof path, sent);
			c->proto->send(c, OP_SETUP, path, g.value, opt.bytes);
		}
		if (!flush(c))
			conn_lost(c);
		turn(100);
	}
}

static void run_fill(void)
{
	uint64_t start = now_ns();

	make_keys(opt.keys);
	double s = (double)(now_ns() - start) / SECOND;

	print_result(json_pack("{s:i,s:f,s:f}", "keys", (int)opt.keys, "seconds", s, "per_second", opt.keys / s));
}

static void run_load(void)
{
	make_keys(opt.op == OP_CREATE ? 0 : opt.keys);
	uint64_t start = now_ns();

	for (uint32_t i = 1; i < opt.clients; i++)
		conn_open(&g.conn[i], (int)(i % (uint32_t)opt.servers));
	for (uint32_t ready = 0; ready < opt.clients;) {
		ready = 0;
		for (uint32_t i = 0; i < opt.clients; i++)
			ready += g.conn[i].at == CONN_READY;
		turn(20);
		if ((double)(now_ns() - start) > 30 * SECOND)
			die("only %u of %u connections after 30 s", ready, opt.clients);
	}
	double connect_ms = (double)(now_ns() - start) / 1e6;

	g.from = now_ns() + (uint64_t)(opt.warm * SECOND);
	g.until = g.from + (uint64_t)(opt.seconds * SECOND);
	g.issuing = true;
	for (uint32_t i = 0; i < opt.clients; i++)
		on_event(&g.conn[i], 0);
	while (now_ns() < g.from)
		turn(5);
	double all = all_busy(), own = own_busy(), servers = servers_busy();

	while (now_ns() < g.until)
		turn(5);
	own = own_busy() - own;
	servers = servers_busy() - servers;
	all = all_busy() - all;
	print_result(json_pack("{s:f,s:f,s:f,s:f,s:I,s:f,s:f,s:f,s:f}", "per_second", (double)g.done / opt.seconds,
			       "p50_us", hist_us(&g.hist, .5), "p99_us", hist_us(&g.hist, .99), "max_us",
			       hist_us(&g.hist, 1),
			       "failed", (json_int_t)g.failed, "connect_ms", connect_ms,
			       "cpu_us", g.done ? servers * 1e6 / (double)g.done : 0., "own", own / opt.seconds,
			       "foreign", (all - own - servers) / opt.seconds));
}

/* Every server has a probe; it is dialled again and again. */
static void probe(struct coord_conn *c, uint64_t now, uint32_t flying_max)
{
	if (c->at == CONN_NONE) {
		if (now >= c->retry_ns)
			conn_open(c, c->server);
	} else if (c->at != CONN_READY) {
		if (now > c->retry_ns + GREETING_NS)
			conn_lost(c);
	} else if (now >= c->next_ns && c->flying < flying_max) {
		c->next_ns = now + opt.probe_ms * 1000000ull;
		issue(c, opt.op);
		if (!flush(c))
			conn_lost(c);
	}
}

static void probes(uint32_t flying_max)
{
	for (int i = 0; i < opt.servers; i++)
		probe(&g.conn[i], now_ns(), flying_max);
	turn(1);
}

static void run_first(void)
{
	uint64_t end = now_ns() + (uint64_t)(opt.seconds * SECOND);

	opt.op = OP_CREATE;
	opt.root = "/";
	while (!g.first_ok && now_ns() < end)
		probes(1);
	print_result(json_pack("{s:f}", "ms", g.first_ok ? (double)(g.first_ok - opt.since) / 1e6 : -1.));
}

static void run_failover(void)
{
	make_keys(opt.keys);
	uint64_t start = now_ns(), at = start + (uint64_t)(opt.kill_after * SECOND);

	g.from = start;
	g.until = start + (uint64_t)(opt.seconds * SECOND);
	while (now_ns() < g.until) {
		if (!g.killed && now_ns() >= at) {
			if (kill(opt.kill, opt.signal) != 0)
				die("signal to %d: %s", (int)opt.kill, strerror(errno));
			g.killed = now_ns();
			g.gap = 0;
		}
		probes(PROBE_FLYING_MAX);
	}
	print_result(json_pack("{s:f,s:f,s:I,s:I,s:I}", "first_ms",
			       g.first_ok ? (double)(g.first_ok - g.killed) / 1e6 : -1., "gap_ms",
			       (double)g.gap / 1e6, "done", (json_int_t)g.done, "failed", (json_int_t)g.failed,
			       "lost", (json_int_t)g.lost));
}

/* ---- options -------------------------------------------------------------------------------- */

static uint32_t number(const char *text)
{
	char *end;
	unsigned long v = strtoul(text, &end, 10);

	if (end == text || *end || v > UINT32_MAX)
		die("no number: %s", text);
	return (uint32_t)v;
}

static void servers_of(char *list)
{
	for (char *save, *t = strtok_r(list, ",", &save); t; t = strtok_r(NULL, ",", &save)) {
		char *colon = strrchr(t, ':');

		if (!colon || opt.servers == SERVERS_MAX)
			die("--servers wants up to %d of ADDRESS:PORT", SERVERS_MAX);
		*colon = 0;
		struct sockaddr_in *a = &opt.server[opt.servers++];

		*a = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons((uint16_t)number(colon + 1)) };
		if (inet_pton(AF_INET, t, &a->sin_addr) != 1)
			die("no address: %s", t);
	}
}

static int one_of(const char *what, const char *value, const char *const *names)
{
	for (int i = 0; names[i]; i++)
		if (strcmp(value, names[i]) == 0)
			return i;
	die("--%s %s: unknown", what, value);
}

static void read_options(int argc, char **argv)
{
	static const char *const modes[] = { "load", "fill", "first", "failover", NULL };
	static const char *const ops[] = { "set", "create", "get", "local", NULL };
	static const char *const protos[] = { "zookeeper", "etcd", NULL };
	static const struct option known[] = {
		{ "proto", 1, 0, 'p' }, { "servers", 1, 0, 's' }, { "pids", 1, 0, 'P' }, { "mode", 1, 0, 'm' },
		{ "op", 1, 0, 'o' }, { "clients", 1, 0, 'c' }, { "depth", 1, 0, 'd' }, { "keys", 1, 0, 'k' },
		{ "bytes", 1, 0, 'b' }, { "seconds", 1, 0, 't' }, { "warm", 1, 0, 'w' }, { "since", 1, 0, 'S' },
		{ "kill", 1, 0, 'K' }, { "signal", 1, 0, 'G' }, { "kill-after", 1, 0, 'A' }, { "timeout", 1, 0, 'T' },
		{ 0 },
	};
	int ch;

	while ((ch = getopt_long(argc, argv, "", known, NULL)) != -1)
		switch (ch) {
		case 'p':
			if (one_of("proto", optarg, protos) == 0)
				opt.proto = &coord_zookeeper;
#ifdef HAVE_NGHTTP2
			else
				opt.proto = &coord_etcd;
#endif
			break;
		case 's': servers_of(optarg); break;
		case 'P':
			for (char *save, *t = strtok_r(optarg, ",", &save); t && opt.pids < PIDS_MAX;
			     t = strtok_r(NULL, ",", &save))
				opt.pid[opt.pids++] = (pid_t)number(t);
			break;
		case 'm': opt.mode = (enum mode)one_of("mode", optarg, modes); break;
		case 'o': opt.op = (enum coord_op)one_of("op", optarg, ops); break;
		case 'c': opt.clients = number(optarg); break;
		case 'd': opt.depth = number(optarg); break;
		case 'k': opt.keys = number(optarg); break;
		case 'b': opt.bytes = number(optarg); break;
		case 't': opt.seconds = strtod(optarg, NULL); break;
		case 'w': opt.warm = strtod(optarg, NULL); break;
		case 'S': opt.since = strtoull(optarg, NULL, 10); break;
		case 'K': opt.kill = (pid_t)number(optarg); break;
		case 'G': opt.signal = (int)number(optarg); break;
		case 'A': opt.kill_after = strtod(optarg, NULL); break;
		case 'T': opt.timeout_ms = number(optarg); break;
		default: exit(1);
		}
	if (!opt.proto)
		die("--proto zookeeper or etcd (the latter where libnghttp2 was there when this was built)");
	if (opt.servers == 0 || opt.clients == 0 || opt.keys == 0)
		die("--servers, --clients and --keys must not be empty");
}

int main(int argc, char **argv)
{
	static void (*const run[])(void) = { run_load, run_fill, run_first, run_failover };

	read_options(argc, argv);
	uint32_t n = opt.clients > SERVERS_MAX ? opt.clients : SERVERS_MAX;

	g.epoll = epoll_create1(EPOLL_CLOEXEC);
	g.conn = calloc(n, sizeof *g.conn);
	g.value = malloc(opt.bytes + 1);
	if (g.epoll < 0 || !g.conn || !g.value)
		die("no memory");
	memset(g.value, 'v', opt.bytes);
	g.run = now_ns();
	g.random = g.run | 1;
	g.until = UINT64_MAX;
	for (uint32_t i = 0; i < n; i++)
		g.conn[i] = (struct coord_conn){ .fd = -1, .proto = opt.proto,
						 .server = (int)(i % (uint32_t)opt.servers) };
	if (opt.mode != MODE_FIRST)
		conn_open(&g.conn[0], 0);
	run[opt.mode]();
	return 0;
}
