/*
 * dev.c - `moldau dev`: quorum nodes and a broker in the foreground, kept up until a signal.
 *
 * Watches its children and starts each again when it ends. Says "ready" once a Metadata request
 * over the Kafka port is answered (without a broker: once the quorum has a leader). Children die
 * with this process (PR_SET_PDEATHSIG), however it ends; each leads a process group, so that what a
 * killed supervisor leaves is gone before the next one starts. Keeps no data of its own but
 * DIR/quorum.port, the quorum's ports; tells the broker's /metrics how often nodes of the quorum
 * were started again, by a file in the run folder.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/be.h"
#include "base/conf.h"
#include "cli.h"
#include "config.h"
#include "wire/mp.h"
#include "wire/quorum_frame.h"

#define ARGS_MAX 96
#define TEXT_MAX (PATH_MAX + 64)
#define FAST_MS 2000		/* a child that lived less long failed to start */
#define FAST_MAX 5		/* so many in a row before we were ready: give up */
#define BROKER_STOP_MS 30000	/* the supervisor escalates itself; then it is killed */
#define QUORUM_STOP_MS 10000
#define PROBE_MS 5		/* between two questions whether the broker answers */
#define QUORUM_MAX 5
#define KAFKA_PORT 9092
#define QUORUM_PORT 9093	/* where `moldau quorum` looks when it is not told */
#define STATUS_MAX 8192	/* of a node's answer: sixteen members and their addresses */
#define UNFIT 3			/* moldau-broker(8): data of another broker, cluster or release */

struct child {
	const char *name, *role;
	int index;
	char *argv[ARGS_MAX];
	int argc;
	pid_t pid;			/* 0: not running */
	uint64_t started_ms;
	uint64_t start_at_ms;		/* when not running */
	int fast;			/* short lives in a row */
	int status;
	unsigned restarts;
};

struct dev {
	struct child quorum[QUORUM_MAX], broker;
	int nodes;			/* of the quorum */
	bool no_broker;
	char dir[PATH_MAX], run_dir[TEXT_MAX];
	int workers;			/* 0: one a core */
	int port, zookeeper_port;	/* zookeeper_port: of the first node; 0: none */
	int ports[2 * QUORUM_MAX];	/* of the quorum: for clients, then for its nodes among each other */
	int sig_fd;
	bool ready, stopping;
};

static uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000u + (uint64_t)ts.tv_nsec / 1000000u;
}

/* ---- children ----------------------------------------------------------------------------- */

static void arg(struct child *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void arg(struct child *c, const char *fmt, ...)
{
	va_list ap;
	char *text;

	va_start(ap, fmt);
	if (c->argc >= ARGS_MAX - 1 || vasprintf(&text, fmt, ap) < 0) {
		cli_error("too many settings", NULL, NULL);
		exit(CLI_USAGE);
	}
	va_end(ap);
	c->argv[c->argc++] = text;
}

/* In the child: signals as they were, dies with us, own group; output beside our "ready". */
static void run(struct child *c, pid_t parent)
{
	sigset_t none;
	int null = open("/dev/null", O_RDONLY);

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	setpgid(0, 0);
	if (getppid() != parent)
		_exit(1);
	if (null >= 0)
		dup2(null, STDIN_FILENO);
	dup2(STDERR_FILENO, STDOUT_FILENO);
	if (null > STDERR_FILENO)
		close(null);
	execv(c->argv[0], c->argv);
	fprintf(stderr, "moldau dev: cannot run %s: %s\n", c->argv[0], strerror(errno));
	_exit(127);
}

static void start(struct child *c)
{
	pid_t self = getpid();

	fflush(NULL);
	c->started_ms = now_ms();
	c->pid = fork();
	if (c->pid == 0)
		run(c, self);
	if (c->pid < 0) {
		c->pid = 0;
		c->start_at_ms = c->started_ms + 1000;
		return;
	}
	setpgid(c->pid, c->pid);	/* both sides: whoever comes first */
}

/* It said that starting it again will not help: command line, settings, foreign data. */
static bool unfit(const struct child *c, int status)
{
	int code = WIFEXITED(status) ? WEXITSTATUS(status) : 0;

	return code == CLI_USAGE || code == 127 || (code == UNFIT && strcmp(c->role, "supervisor") == 0);
}

/* The same words as the supervisor's about its children: who counts deaths reads one form. */
static void tell(const struct child *c, pid_t pid, int status)
{
	struct timespec t;
	struct tm tm;
	char at[32];

	clock_gettime(CLOCK_REALTIME, &t);
	gmtime_r(&t.tv_sec, &tm);
	strftime(at, sizeof at, "%Y-%m-%dT%H:%M:%S", &tm);
	fprintf(stderr, 
		"%s.%03ldZ warn role=dev msg=\"a process ended and is replaced\" detail=\"%s-%d pid %d %s %d\"\n",
		at, t.tv_nsec / 1000000, c->role, c->index, (int)pid, WIFSIGNALED(status) ? "signal" : "status",
		WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
}

static void count_quorum(const struct dev *d)
{
	char path[TEXT_MAX + 32];
	unsigned restarts = 0;
	FILE *f;

	for (int i = 0; i < d->nodes; i++)
		restarts += d->quorum[i].restarts;
	snprintf(path, sizeof path, "%s/quorum.restarts", d->run_dir);
	f = fopen(path, "we");
	if (f != NULL) {
		fprintf(f, "%u\n", restarts);
		fclose(f);
	}
}

static void ended(struct dev *d, struct child *c, int status)
{
	uint64_t now = now_ms();

	if (d->ready && !d->stopping && !unfit(c, status)) {
		tell(c, c->pid, status);
		c->restarts++;
		count_quorum(d);
	}

	/* What a killed supervisor leaves must not hold the port or the tables any longer. */
	kill(-c->pid, SIGKILL);
	c->fast = now - c->started_ms < FAST_MS ? c->fast + 1 : 0;
	c->start_at_ms = now + (c->fast > 1 ? 100u * (uint64_t)(c->fast < 10 ? c->fast : 10) : 0);
	c->status = status;
	c->pid = 0;
}

static void reap(struct dev *d)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		for (int i = 0; i < d->nodes; i++)
			if (pid == d->quorum[i].pid)
				ended(d, &d->quorum[i], status);
		if (pid == d->broker.pid)
			ended(d, &d->broker, status);
		/* Others are orphans of a killed supervisor: we are their reaper. */
	}
}

/* Starts what does not run; false: it cannot be started, the reason was printed. */
static bool keep_up(struct dev *d, struct child *c)
{
	if (c->pid != 0 || now_ms() < c->start_at_ms)
		return true;
	if (c->started_ms != 0 && (unfit(c, c->status) || (!d->ready && c->fast >= FAST_MAX) ||
				   (!d->ready && c == &d->broker && WIFEXITED(c->status)))) {
		char why[64];

		snprintf(why, sizeof why, "%s %s %d", c->name,
			 WIFEXITED(c->status) ? "ended with status" : "was ended by signal",
			 WIFEXITED(c->status) ? WEXITSTATUS(c->status) : WTERMSIG(c->status));
		cli_error(d->ready ? "the cluster cannot go on" : "the cluster could not be started", why,
			  "its messages are above");
		return false;
	}
	start(c);
	return true;
}

/* ---- is it serving? ----------------------------------------------------------------------- */

static bool read_full(int fd, uint8_t *p, size_t n)
{
	while (n > 0) {
		ssize_t r = recv(fd, p, n, 0);

		if (r <= 0)
			return false;
		p += r;
		n -= (size_t)r;
	}
	return true;
}

/* Asks at 127.0.0.1:port; the bytes of the answer's frame that came into ret, without its length; 0: none. */
static uint32_t ask_port(int port, const uint8_t *ask, size_t len, uint8_t *ret, uint32_t cap)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port),
				 .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct timeval tv = { .tv_usec = 500000 };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	uint8_t head[4];
	uint32_t n = 0;

	if (fd < 0)
		return 0;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof tv);
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof tv);
	if (connect(fd, (struct sockaddr *)&a, sizeof a) == 0 && send(fd, ask, len, MSG_NOSIGNAL) == (ssize_t)len &&
	    read_full(fd, head, sizeof head)) {
		n = be32_get(head) < cap ? be32_get(head) : cap;
		if (!read_full(fd, ret, n))
			n = 0;
	}
	close(fd);
	return n;
}

/* One Metadata request (version 1, no topics); true when the answer names a broker. */
static bool broker_answers(int port)
{
	static const uint8_t ask[] = {
		0, 0, 0, 24, 0, 3, 0, 1, 0, 0, 0, 7,
		0, 10, 'm', 'o', 'l', 'd', 'a', 'u', '-', 'd', 'e', 'v', 0, 0, 0, 0,
	};
	uint8_t p[8];

	_Static_assert(sizeof ask == 28, "length word");
	return ask_port(port, ask, sizeof ask, p, sizeof p) == sizeof p && be32_get(p) == 7 &&
	       (int32_t)be32_get(p + 4) > 0;
}

/* QF_STATUS (wire/quorum_frame.h); true when the node is a follower or the leader of a quorum that has one. */
static bool node_answers(int port)
{
	static const uint8_t ask[] = { 0, 0, 0, 3, 0x92, QF_STATUS, 1 };
	uint8_t p[STATUS_MAX];
	struct mp_reader m = mp_of(p, ask_port(port, ask, sizeof ask, p, sizeof p));

	mp_array(&m);
	bool status = mp_int(&m) == QF_STATUS && mp_int(&m) == 1 && mp_int(&m) == 0;

	mp_str(&m);
	int64_t state = mp_int(&m), leader = mp_int(&m);

	return status && mp_ok(&m) && (state == 0 || state == 2) && leader >= 0;
}

static bool answers(const struct dev *d)
{
	for (int i = 0; d->no_broker && i < d->nodes; i++)
		if (!node_answers(d->ports[i]))
			return false;
	return d->no_broker || (d->broker.pid != 0 && broker_answers(d->port));
}

/* ---- folders, ports, command lines ---------------------------------------------------------- */

/* With the folders that it lies in. */
static bool make_dir(const char *path, mode_t mode)
{
	char part[PATH_MAX];
	struct stat st;

	for (size_t i = 1; path[i] && i < sizeof part; i++)
		if (path[i] == '/') {
			memcpy(part, path, i);
			part[i] = 0;
			(void)mkdir(part, mode);	/* the last one tells */
		}

	if (mkdir(path, mode) == 0)
		return true;
	return errno == EEXIST && stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static bool die(const char *what, const char *detail, const char *hint)
{
	cli_error(what, detail, hint);
	return false;
}

/* The program beside this one, else where it is installed. */
static bool find_program(const char *name, char *ret, size_t cap)
{
	char self[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
	char *slash;

	if (n > 0) {
		self[n] = 0;
		slash = strrchr(self, '/');
		if (slash != NULL) {
			*slash = 0;
			if ((size_t)snprintf(ret, cap, "%s/%s", self, name) < cap &&
			    access(ret, X_OK) == 0)
				return true;
		}
	}
	snprintf(ret, cap, "%s/%s", SBINDIR, name);
	if (access(ret, X_OK) == 0)
		return true;
	return die("a program is missing", name, "build or install it beside the moldau command");
}

static bool port_free(int port, int *ret_port)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port),
				 .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof a;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;
	bool ok;

	if (fd < 0)
		return false;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	ok = bind(fd, (struct sockaddr *)&a, sizeof a) == 0 && listen(fd, 1) == 0 &&
	     getsockname(fd, (struct sockaddr *)&a, &len) == 0;
	*ret_port = ntohs(a.sin_port);
	close(fd);
	return ok;
}

/* Did the user give this port to something else? */
static bool named(const struct dev *d, const struct cli *c, int port)
{
	char text[16];
	const char *set;
	bool found = port == d->port ||
		(d->zookeeper_port && port >= d->zookeeper_port && port < d->zookeeper_port + d->nodes);

	snprintf(text, sizeof text, ":%d", port);
	for (int i = 0; (set = cli_values(c, "set", i)) != NULL; i++)
		found |= strstr(set, text) != NULL;
	return found;
}

/* The quorum's ports of the last run when they are free, else any free ones; remembered for the next. */
static bool choose_quorum_ports(struct dev *d, const struct cli *c)
{
	int old[2 * QUORUM_MAX] = { 0 }, n = 0, want = d->nodes == 1 ? 1 : 2 * d->nodes;
	char path[TEXT_MAX];
	FILE *f;

	snprintf(path, sizeof path, "%s/quorum.port", d->dir);
	f = fopen(path, "re");
	if (f != NULL) {
		while (n < 2 * QUORUM_MAX && fscanf(f, "%d", &old[n]) == 1)
			n++;
		fclose(f);
	}
	if (n > 0 && n != want) {
		char text[64];

		snprintf(text, sizeof text, "its quorum has %d node%s", n == 1 ? 1 : n / 2, n == 1 ? "" : "s");
		return die("the folder belongs to another cluster", text,
			   "give its number as --quorum, or another --dir");
	}
	for (int i = 0; i < want; i++) {
		/* addresses of members are in their log: with several nodes they stay */
		if (old[i] > 0 && old[i] <= 65535 &&
		    (want > 1 || (!named(d, c, old[i]) && port_free(old[i], &d->ports[i])))) {
			d->ports[i] = old[i];
			continue;
		}
		/* A cluster at the port of Kafka has its quorum where our commands look for it. */
		if (i == 0 && d->port == KAFKA_PORT && !d->no_broker && !named(d, c, QUORUM_PORT) &&
		    port_free(QUORUM_PORT, &d->ports[0]))
			continue;
		bool taken;

		do {
			taken = false;
			if (!port_free(0, &d->ports[i]))
				return die("no port for the quorum", strerror(errno), NULL);
			for (int k = 0; k < i; k++)
				taken |= d->ports[k] == d->ports[i];
		} while (taken);
	}
	f = fopen(path, "we");
	if (f == NULL)
		return die("the folder cannot be written", path, strerror(errno));
	for (int i = 0; i < want; i++)
		fprintf(f, "%d\n", d->ports[i]);
	fclose(f);
	return true;
}

/* Short (a socket's path has 107 bytes) and on tmpfs where there is one: named after the folder. */
static void choose_run_dir(struct dev *d)
{
	uint64_t h = UINT64_C(1469598103934665603);

	for (const char *p = d->dir; *p; p++)
		h = (h ^ (uint8_t)*p) * UINT64_C(1099511628211);
	if (access("/dev/shm", W_OK) == 0)
		snprintf(d->run_dir, sizeof d->run_dir, "/dev/shm/moldau-%u-%08x", (unsigned)getuid(),
			 (unsigned)(h ^ h >> 32));
	else
		snprintf(d->run_dir, sizeof d->run_dir, "%s/run", d->dir);
}

static bool prepare_dir(struct dev *d, const char *dir)
{
	char path[TEXT_MAX];
	int lock;

	if (!make_dir(dir, 0750) || realpath(dir, d->dir) == NULL)
		return die("the folder cannot be made", dir, strerror(errno));
	snprintf(path, sizeof path, "%s/lock", d->dir);
	lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0640);
	if (lock < 0)
		return die("the folder cannot be written", path, strerror(errno));
	if (flock(lock, LOCK_EX | LOCK_NB) != 0)
		return die("the folder is in use by another moldau dev", d->dir,
			   "choose another --dir");
	choose_run_dir(d);
	if (!make_dir(d->run_dir, 0700))
		return die("the run folder cannot be made", d->run_dir, strerror(errno));
	return true;
}

static bool quorum_lines(struct dev *d)
{
	char program[TEXT_MAX], voters[QUORUM_MAX * 32] = "";

	if (!find_program("moldau-quorum", program, sizeof program))
		return false;
	for (int i = 0, at = 0; i < d->nodes; i++)
		at += snprintf(voters + at, sizeof voters - (size_t)at, "%s%d@127.0.0.1:%d", i ? "," : "", i + 1,
			       d->ports[d->nodes + i]);
	for (int i = 0; i < d->nodes; i++) {
		struct child *q = &d->quorum[i];

		q->name = "moldau-quorum";
		q->role = "quorum";
		q->index = i;
		arg(q, "%s", program);
		arg(q, "--node-id");
		arg(q, "%d", i + 1);
		arg(q, "--data-dir");
		if (d->nodes == 1)
			arg(q, "%s/quorum", d->dir);
		else
			arg(q, "%s/quorum-%d", d->dir, i + 1);
		arg(q, "--listen");
		arg(q, "127.0.0.1:%d", d->ports[i]);
		if (d->nodes > 1) {
			arg(q, "--voters");
			arg(q, "%s", voters);
		}
		if (d->zookeeper_port) {
			arg(q, "--zookeeper-listen");
			arg(q, "127.0.0.1:%d", d->zookeeper_port + i);
		}
	}
	return true;
}

static void broker_set(struct dev *d, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void broker_set(struct dev *d, const char *fmt, ...)
{
	char text[TEXT_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	arg(&d->broker, "--set");
	arg(&d->broker, "%s", text);
}

/* The addresses "127.0.0.1:P,..." of n ports, the first at `first`, or of v when it is given. */
static const char *addresses(const int *v, int first, int n, char *ret, size_t cap)
{
	for (int i = 0, at = 0; i < n; i++)
		at += snprintf(ret + at, cap - (size_t)at, "%s127.0.0.1:%d", i ? "," : "", v ? v[i] : first + i);
	return ret;
}

/* Before anything is made: names and values of --set, as the broker would judge them. */
static bool check_settings(const struct cli *c)
{
	struct conf *conf = conf_open();
	const char *set;
	bool ok = true;

	for (int i = 0; ok && (set = cli_values(c, "set", i)) != NULL; i++) {
		const char *eq = strchr(set, '=');
		char why[CONF_ERR_BYTES] = "";

		if (!eq)
			ok = die("--set wants NAME=VALUE", set, NULL);
		else if (conf_set(conf, (struct str){ set, (int32_t)(eq - set) }, str_of(eq + 1), why) < 0)
			ok = die("a setting of the broker is wrong", why, "\"man moldau-broker.conf\" lists them.");
	}
	conf_free(conf);
	return ok;
}

static bool broker_lines(struct dev *d, const struct cli *c)
{
	char program[TEXT_MAX], text[QUORUM_MAX * 24];
	const char *set;

	d->broker.name = "moldau-broker";
	d->broker.role = "supervisor";
	if (!find_program(d->broker.name, program, sizeof program))
		return false;
	arg(&d->broker, "%s", program);
	broker_set(d, "node.id=1");
	broker_set(d, "listeners=PLAINTEXT://127.0.0.1:%d", d->port);
	broker_set(d, "log.dirs=%s/broker", d->dir);
	broker_set(d, "run.dir=%s", d->run_dir);
	broker_set(d, "quorum.bootstrap=%s", addresses(d->ports, 0, d->nodes, text, sizeof text));
	if (d->workers)
		broker_set(d, "workers=%d", d->workers);
	for (int i = 0; (set = cli_values(c, "set", i)) != NULL; i++)
		broker_set(d, "%s", set);
	return true;
}

/* ---- running ------------------------------------------------------------------------------ */

/* Waits at most ms for a signal; the signal of a user who wants an end, else 0. */
static int wait_signal(struct dev *d, int ms)
{
	struct pollfd p = { .fd = d->sig_fd, .events = POLLIN };
	struct signalfd_siginfo si;
	int end = 0;

	if (poll(&p, 1, ms) > 0)
		while (read(d->sig_fd, &si, sizeof si) == (ssize_t)sizeof si)
			if (si.ssi_signo != SIGCHLD)
				end = (int)si.ssi_signo;
	reap(d);
	return end;
}

static void stop(struct dev *d, struct child *c, uint64_t limit_ms)
{
	uint64_t until = now_ms() + limit_ms;
	bool now = false;

	if (c->pid == 0)
		return;
	kill(c->pid, SIGTERM);
	while (c->pid != 0 && !now && now_ms() < until)
		now = wait_signal(d, 100) != 0;		/* asked twice: at once */
	while (c->pid != 0) {
		kill(-c->pid, SIGKILL);
		wait_signal(d, 100);
	}
}

static void say_ready(const struct dev *d)
{
	char text[QUORUM_MAX * 24];

	printf("ready 127.0.0.1:%d\n",
	       !d->no_broker ? d->port : d->zookeeper_port ? d->zookeeper_port : d->ports[0]);
	printf("quorum %s\n", addresses(d->ports, 0, d->nodes, text, sizeof text));
	if (d->zookeeper_port)
		printf("zookeeper %s\n", addresses(NULL, d->zookeeper_port, d->nodes, text, sizeof text));
	fflush(stdout);
}

static int watch(struct dev *d)
{
	for (;;) {
		int wait = d->ready ? 1000 : PROBE_MS;

		for (int i = 0; i < d->nodes; i++) {
			if (!keep_up(d, &d->quorum[i]))
				return CLI_FAILED;
			if (d->quorum[i].pid == 0)
				wait = PROBE_MS;
		}
		if (!d->no_broker && !keep_up(d, &d->broker))
			return CLI_FAILED;
		if (!d->no_broker && d->broker.pid == 0)
			wait = PROBE_MS;
		if (wait_signal(d, wait) != 0)
			return CLI_OK;
		if (!d->ready && answers(d)) {
			d->ready = true;
			say_ready(d);
		}
	}
}

/* All at the same time: none of them has to live without the others. */
static void stop_quorum(struct dev *d)
{
	for (int i = 0; i < d->nodes; i++)
		if (d->quorum[i].pid != 0)
			kill(d->quorum[i].pid, SIGTERM);
	for (int i = 0; i < d->nodes; i++)
		stop(d, &d->quorum[i], QUORUM_STOP_MS);
}

/* The ports that users named. */
static bool ports_free(const struct dev *d)
{
	int at, n = d->zookeeper_port ? d->nodes : 0;

	for (int i = 0; i <= n; i++) {
		int port = i == n ? d->port : d->zookeeper_port + i;
		char text[16];

		if ((i == n && d->no_broker) || port_free(port, &at))
			continue;
		snprintf(text, sizeof text, "%d", port);
		return die("the port is in use", text,
			   i == n ? "choose another --port" : "choose another --zookeeper-port");
	}
	return true;
}

static bool take_signals(struct dev *d)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGQUIT);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	d->sig_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return d->sig_fd >= 0 || die("no signalfd", strerror(errno), NULL);
}

/* options: moldau-dev.1 */
static const struct cli_option options[] = {
	{ "dir", true, "DIR", "where data is kept (default ./moldau-data)" },
	{ "port", true, "PORT", "Kafka port on 127.0.0.1 (default 9092)" },
	{ "workers", true, "N", "worker processes (default one a core)" },
	{ "set", true, "NAME=VALUE", "a setting of the broker; may be given several times" },
	{ "quorum", true, "N", "nodes of the quorum: 1 (default), 3 or 5" },
	{ "no-broker", false, NULL, "the quorum only" },
	{ "zookeeper-port", true, "PORT", "for ZooKeeper clients; the second node's is one higher, ..." },
	{ "help", false, NULL, "this text" },
	{ NULL, false, NULL, NULL },
};

int cmd_dev(int argc, char **argv)
{
	struct dev d = { .sig_fd = -1 };
	struct cli c;
	char path[TEXT_MAX + 32];
	int status;

	if (!cli_parse(&c, "moldau dev",
		       "moldau dev [--dir DIR] [--port P] [--workers W] [--set name=value]...\n"
		       "                  [--quorum N] [--no-broker] [--zookeeper-port P]",
		       options, argc, argv))
		return CLI_USAGE;
	if (c.n_args > 0) {
		cli_error("moldau dev takes no arguments", c.args[0], "See moldau dev --help.");
		return CLI_USAGE;
	}
	d.port = (int)cli_number(&c, "port", KAFKA_PORT, 1, 65535);
	d.nodes = (int)cli_number(&c, "quorum", 1, 1, QUORUM_MAX);
	d.no_broker = cli_has(&c, "no-broker");
	d.zookeeper_port = (int)cli_number(&c, "zookeeper-port", 0, 1, 65535 - QUORUM_MAX);
	if (d.nodes % 2 == 0) {
		cli_error("--quorum is 1, 3 or 5",
			  "an even number survives no more failures than the odd one below it", NULL);
		return CLI_USAGE;
	}
	d.workers = (int)cli_number(&c, "workers", 0, 1, 48);
	if (!check_settings(&c))
		return CLI_USAGE;
	if (!prepare_dir(&d, cli_value(&c, "dir", "moldau-data")) || !ports_free(&d))
		return CLI_FAILED;
	if (!choose_quorum_ports(&d, &c) || !quorum_lines(&d) || (!d.no_broker && !broker_lines(&d, &c)) ||
	    !take_signals(&d))
		return CLI_FAILED;
	count_quorum(&d);
	status = watch(&d);
	d.stopping = true;
	stop(&d, &d.broker, BROKER_STOP_MS);
	stop_quorum(&d);
	snprintf(path, sizeof path, "%s/quorum.restarts", d.run_dir);
	unlink(path);
	if (rmdir(d.run_dir) != 0 && errno != ENOTEMPTY && errno != ENOENT)
		cli_error("the run folder stays", d.run_dir, strerror(errno));
	return status;
}
