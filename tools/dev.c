/*
 * dev.c - `moldau dev`: a quorum node and a broker in the foreground, kept up until a signal.
 *
 * Watches two children and starts each again when it ends. Says "ready" once a Metadata request
 * over the Kafka port is answered. Children die with this process (PR_SET_PDEATHSIG), however it
 * ends; each leads a process group, so that what a killed supervisor leaves is gone before the
 * next one starts. Keeps no data of its own but DIR/quorum.port; tells the broker's /metrics how often the
 * quorum was started again, by a file in the run folder.
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
#include "cli.h"
#include "config.h"

#define ARGS_MAX 96
#define TEXT_MAX (PATH_MAX + 64)
#define FAST_MS 2000		/* a child that lived less long failed to start */
#define FAST_MAX 5		/* so many in a row before we were ready: give up */
#define BROKER_STOP_MS 30000	/* the supervisor escalates itself; then it is killed */
#define QUORUM_STOP_MS 10000
#define PROBE_MS 5		/* between two questions whether the broker answers */
#define UNFIT 3			/* moldau-broker(8): data of another broker, cluster or release */

struct child {
	const char *name, *role;
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
	struct child quorum, broker;
	char dir[PATH_MAX], run_dir[TEXT_MAX];
	int port, quorum_port;
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
		"%s.%03ldZ warn role=dev msg=\"a process ended and is replaced\" detail=\"%s-0 pid %d %s %d\"\n",
		at, t.tv_nsec / 1000000, c->role, (int)pid, WIFSIGNALED(status) ? "signal" : "status",
		WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
}

static void count_quorum(const struct dev *d)
{
	char path[TEXT_MAX + 32];
	FILE *f;

	snprintf(path, sizeof path, "%s/quorum.restarts", d->run_dir);
	f = fopen(path, "we");
	if (f != NULL) {
		fprintf(f, "%u\n", d->quorum.restarts);
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
		if (pid == d->quorum.pid)
			ended(d, &d->quorum, status);
		else if (pid == d->broker.pid)
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

/* One Metadata request (version 1, no topics); true when the answer names a broker. */
static bool answers(int port)
{
	static const uint8_t ask[] = {
		0, 0, 0, 24, 0, 3, 0, 1, 0, 0, 0, 7,
		0, 10, 'm', 'o', 'l', 'd', 'a', 'u', '-', 'd', 'e', 'v', 0, 0, 0, 0,
	};
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port),
				 .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct timeval tv = { .tv_usec = 500000 };
	uint8_t head[12];
	bool ok = false;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	_Static_assert(sizeof ask == 28, "length word");
	if (fd < 0)
		return false;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof tv);
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof tv);
	if (connect(fd, (struct sockaddr *)&a, sizeof a) == 0 &&
	    send(fd, ask, sizeof ask, MSG_NOSIGNAL) == (ssize_t)sizeof ask &&
	    read_full(fd, head, sizeof head))
		ok = be32_get(head) >= 12 && be32_get(head + 4) == 7 &&
		     (int32_t)be32_get(head + 8) > 0;
	close(fd);
	return ok;
}

/* ---- folders, ports, command lines ---------------------------------------------------------- */

static bool make_dir(const char *path, mode_t mode)
{
	struct stat st;

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

/* The quorum's port of the last run when it is free, else any free one; remembered for the next. */
static bool choose_quorum_port(struct dev *d)
{
	char path[TEXT_MAX];
	int port = 0;
	FILE *f;

	snprintf(path, sizeof path, "%s/quorum.port", d->dir);
	f = fopen(path, "re");
	if (f != NULL) {
		char line[16];

		if (fgets(line, sizeof line, f) != NULL)
			port = (int)strtol(line, NULL, 10);
		fclose(f);
	}
	if (port <= 0 || port > 65535 || !port_free(port, &d->quorum_port))
		if (!port_free(0, &d->quorum_port))
			return die("no port for the quorum", strerror(errno), NULL);
	f = fopen(path, "we");
	if (f != NULL) {
		fprintf(f, "%d\n", d->quorum_port);
		fclose(f);
	}
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

static bool command_lines(struct dev *d, const struct cli *c)
{
	char program[TEXT_MAX];
	const char *set;

	d->quorum.name = "moldau-quorum";
	d->broker.name = "moldau-broker";
	d->quorum.role = "quorum";
	d->broker.role = "supervisor";
	if (!find_program(d->quorum.name, program, sizeof program))
		return false;
	arg(&d->quorum, "%s", program);
	arg(&d->quorum, "--node-id");
	arg(&d->quorum, "1");
	arg(&d->quorum, "--data-dir");
	arg(&d->quorum, "%s/quorum", d->dir);
	arg(&d->quorum, "--listen");
	arg(&d->quorum, "127.0.0.1:%d", d->quorum_port);

	if (!find_program(d->broker.name, program, sizeof program))
		return false;
	arg(&d->broker, "%s", program);
	arg(&d->broker, "--set");
	arg(&d->broker, "node.id=1");
	arg(&d->broker, "--set");
	arg(&d->broker, "listeners=PLAINTEXT://127.0.0.1:%d", d->port);
	arg(&d->broker, "--set");
	arg(&d->broker, "log.dirs=%s/broker", d->dir);
	arg(&d->broker, "--set");
	arg(&d->broker, "run.dir=%s", d->run_dir);
	arg(&d->broker, "--set");
	arg(&d->broker, "quorum.bootstrap=127.0.0.1:%d", d->quorum_port);
	if (cli_has(c, "workers")) {
		arg(&d->broker, "--set");
		arg(&d->broker, "workers=%d", (int)cli_number(c, "workers", 0, 1, 48));
	}
	for (int i = 0; (set = cli_values(c, "set", i)) != NULL; i++) {
		if (strchr(set, '=') == NULL)
			return die("--set wants NAME=VALUE", set, NULL);
		arg(&d->broker, "--set");
		arg(&d->broker, "%s", set);
	}
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

static int watch(struct dev *d)
{
	for (;;) {
		int wait = d->ready ? 1000 : PROBE_MS;

		if (!keep_up(d, &d->quorum) || !keep_up(d, &d->broker))
			return CLI_FAILED;
		if (d->quorum.pid == 0 || d->broker.pid == 0)
			wait = PROBE_MS;
		if (wait_signal(d, wait) != 0)
			return CLI_OK;
		if (!d->ready && d->broker.pid != 0 && answers(d->port)) {
			d->ready = true;
			printf("ready 127.0.0.1:%d\n", d->port);
			fflush(stdout);
		}
	}
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

int cmd_dev(int argc, char **argv)
{
	static const struct cli_option options[] = {
		{ "dir", true, "DIR", "where data is kept (default ./moldau-data)" },
		{ "port", true, "PORT", "Kafka port on 127.0.0.1 (default 9092)" },
		{ "workers", true, "N", "worker processes (default one a core)" },
		{ "set", true, "NAME=VALUE", "a setting of the broker; may be given several times" },
		{ "help", false, NULL, "this text" },
		{ NULL, false, NULL, NULL },
	};
	struct dev d = { .sig_fd = -1 };
	struct cli c;
	char path[TEXT_MAX + 32];
	int free_port, status;

	if (!cli_parse(&c, "moldau dev",
		       "moldau dev [--dir DIR] [--port P] [--workers W] [--set name=value]...",
		       options, argc, argv))
		return CLI_USAGE;
	d.port = (int)cli_number(&c, "port", 9092, 1, 65535);
	if (!prepare_dir(&d, cli_value(&c, "dir", "moldau-data")))
		return CLI_FAILED;
	if (!port_free(d.port, &free_port)) {
		char text[16];

		snprintf(text, sizeof text, "%d", d.port);
		cli_error("the port is in use", text, "choose another --port");
		return CLI_FAILED;
	}
	if (!choose_quorum_port(&d) || !command_lines(&d, &c) || !take_signals(&d))
		return CLI_FAILED;
	count_quorum(&d);
	status = watch(&d);
	d.stopping = true;
	stop(&d, &d.broker, BROKER_STOP_MS);
	stop(&d, &d.quorum, QUORUM_STOP_MS);
	snprintf(path, sizeof path, "%s/quorum.restarts", d.run_dir);
	unlink(path);
	if (rmdir(d.run_dir) != 0 && errno != ENOTEMPTY && errno != ENOENT)
		cli_error("the run folder stays", d.run_dir, strerror(errno));
	return status;
}
