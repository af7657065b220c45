/*
 * main_super.c - the supervisor's doing: children and signals. Its decisions are super.c, what it needs
 * before the first child is main_open.c. Reads nothing from the network and never touches partition
 * records. It holds a copy of the agent's liveness connection to the quorum, which it never reads: the
 * kernel closes it when the whole broker is gone, while a killed agent is only replaced.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "broker/keeper.h"
#include "os/clock_os.h"
#include "os/log_os.h"
#include "os/proc_os.h"

#define TICK_MS 50

static void ring(struct bell_port *b, unsigned proc)
{
	uint64_t one = 1;

	(void)b;
	if (write(FD_EVENT + (int)proc, &one, sizeof one) < 0)
		return;
}

static uint64_t now_ms(void)
{
	struct clock *c = clock_os();

	return c->mono_us(c) / 1000;
}

/* ---- children ---- */

/* What a child of this role has to do with; all others are closed in it. */
static bool needs(const struct super_child *c, int fd)
{
	if ((fd >= FD_EVENT && fd < FD_EVENT + PROC_N) || fd == FD_TABLE || fd == FD_PAGES)
		return true;
	switch (c->role) {
	case SUPER_AGENT:
		return fd == FD_AGENT || fd == FD_HAND || (fd >= FD_METRICS && fd < FD_METRICS + HOST_METRICS_MAX);
	case SUPER_GROUPS:
		return fd == FD_GROUPS + c->idx;
	case SUPER_WORKER:
		return fd == FD_WORKER + c->idx || (fd >= FD_LISTENER && fd < FD_LISTENER + CONF_LISTENERS_MAX);
	case SUPER_STORAGE:
	case SUPER_SELF:
	case SUPER_ROLES:
		break;
	}
	return false;
}

static void spawn(struct keeper *k, int i)
{
	struct super_child *c = &k->policy.child[i];
	pid_t parent = getpid();
	char idx[16];
	char *argv[] = { k->h->argv[0], (char[]){ "--role" }, (char *)(uintptr_t)super_role_name(c->role),
			 (char[]){ "--index" }, idx, (char[]){ "-c" }, k->h->settings, NULL };

	snprintf(idx, sizeof idx, "%d", c->idx);
	atomic_fetch_add(&bell_life(k->bells, c->proc)->generation, 1);
	pid_t pid = fork();
	if (pid == 0) {
		sigset_t none;

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(1);
		for (int fd = FD_EVENT; fd <= FD_LAST; fd++)
			if (needs(c, fd))
				proc_keep_on_exec(fd, true);
		unsetenv("NOTIFY_SOCKET");
		unsetenv("WATCHDOG_USEC");
		unsetenv("WATCHDOG_PID");
		sigemptyset(&none);
		sigprocmask(SIG_SETMASK, &none, NULL);
		/* Until the child has handlers; what it misses is told it when it is ready. */
		signal(SIGINT, SIG_IGN);
		signal(SIGHUP, SIG_IGN);
		signal(SIGUSR1, SIG_IGN);
		signal(SIGUSR2, SIG_IGN);
		execv("/proc/self/exe", argv);
		_exit(127);
	}
	k->pid[i] = pid > 0 ? pid : 0;
	if (pid > 0)
		return;
	log_os("supervisor", LOG_OS_ERROR, "cannot start a process", strerror(errno), NULL);
	super_exited(&k->policy, i, now_ms(), SUPER_FAILED);
}

static void kill_child(struct keeper *k, int child)
{
	const struct super_child *c = &k->policy.child[child];
	char what[64];

	snprintf(what, sizeof what, "%s-%d pid %d", super_role_name(c->role), c->idx, (int)k->pid[child]);
	if (!k->policy.resetting)
		log_os("supervisor", LOG_OS_WARN, "a process does not answer and is killed", what,
		       "See process.hang.timeout.ms.");
	atomic_store(bell_word(k->bells, BELL_HANGS), k->policy.hangs);
	if (k->pid[child] > 0)
		kill(k->pid[child], SIGKILL);
}

static void ring_all(struct keeper *k)
{
	for (int c = 0; c < k->policy.n; c++)
		bell_mark_all(k->bells, k->policy.child[c].proc);
	bell_flush(k->bells);
}

static void act(struct keeper *k)
{
	/* A copy: a child that cannot be started changes the list. */
	struct super_fx fx[sizeof k->policy.fx / sizeof k->policy.fx[0]];
	int n = k->policy.n_fx;

	memcpy(fx, k->policy.fx, sizeof fx);
	for (int i = 0; i < n; i++)
		switch (fx[i].kind) {
		case SUPER_SPAWN:
			spawn(k, fx[i].child);
			break;
		case SUPER_TERM:
			if (k->pid[fx[i].child] > 0)
				kill(k->pid[fx[i].child], SIGTERM);
			break;
		case SUPER_KILL:
			kill_child(k, fx[i].child);
			break;
		case SUPER_RING_ALL:
			ring_all(k);
			break;
		case SUPER_WIPE:
			keeper_wipe(k);
			break;
		case SUPER_ROLLED:
			log_os("supervisor", LOG_OS_INFO, "every process was replaced", NULL, NULL);
			proc_notify("READY=1");
			break;
		case SUPER_EXIT:
			k->end = true;
			break;
		}
}

static void ended(struct keeper *k, int i, int status)
{
	const struct super_child *c = &k->policy.child[i];
	uint64_t before = k->policy.restarts[c->role];
	char what[128];

	snprintf(what, sizeof what, "%s-%d pid %d %s %d", super_role_name(c->role), c->idx, (int)k->pid[i],
		 WIFSIGNALED(status) ? "signal" : "status",
		 WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
	k->pid[i] = 0;
	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS)
		atomic_fetch_add(bell_word(k->bells, BELL_VIOLATIONS), 1);
	atomic_store(&bell_load(k->bells, c->proc)->conns, 0);
	super_exited(&k->policy, i, now_ms(), WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status));
	if (k->policy.draining)
		atomic_store(bell_word(k->bells, BELL_DRAINING), 1);
	if (k->policy.restarts[c->role] != before) {
		log_os("supervisor", LOG_OS_WARN, "a process ended and is replaced", what, NULL);
		atomic_fetch_add(bell_word(k->bells, BELL_RESTARTS), 1);
		atomic_fetch_add(bell_word(k->bells, (enum bell_word)(BELL_RESTARTS_ROLE + c->role)), 1);
	}
	act(k);
}

static void reap(struct keeper *k)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (pid == k->checker)
			keeper_checked(k, status);
		for (int i = 0; i < k->policy.n; i++)
			if (k->pid[i] == pid) {
				ended(k, i, status);
				break;
			}
	}
}

/* ---- the agent's liveness connections ---- */

static void let_go(struct keeper *k, int keep)
{
	for (int i = 0; i < k->n_held - keep; i++)
		close(FD_HELD + i);
	if (keep > 0 && k->n_held > keep)
		(void)proc_place(FD_HELD + k->n_held - 1, FD_HELD);
	k->n_held = k->n_held < keep ? k->n_held : keep;
}

static void take_hands(struct keeper *k)
{
	char letter;
	int fd;

	while (proc_take(FD_HOLD, &letter, &fd)) {
		if (letter == HAND_WATCHED)
			let_go(k, 1);
		if (fd < 0)
			continue;
		/* So many agents in a row died before they were served: none of these is watched. */
		if (k->n_held == HOST_HELD_MAX)
			let_go(k, 1);
		if (proc_place(fd, FD_HELD + k->n_held) == OK)
			k->n_held++;
	}
}

/* ---- signals ---- */

static int watch_signals(struct keeper *k)
{
	static const int mine[] = { SIGCHLD, SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2 };
	sigset_t set;

	sigemptyset(&set);
	for (size_t i = 0; i < sizeof mine / sizeof mine[0]; i++)
		sigaddset(&set, mine[i]);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	k->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return k->signals >= 0 ? OK : E_LIMIT;
}

static void take_signals(struct keeper *k)
{
	struct signalfd_siginfo si;

	while (read(k->signals, &si, sizeof si) == (ssize_t)sizeof si)
		switch (si.ssi_signo) {
		case SIGTERM:
		case SIGINT:
			if (k->policy.draining)
				break;
			proc_notify("STOPPING=1");
			atomic_store(bell_word(k->bells, BELL_DRAINING), 1);
			super_term(&k->policy, now_ms());
			act(k);
			break;
		case SIGHUP:
			keeper_reload(k, now_ms(), false);
			break;
		case SIGUSR2:
			keeper_reload(k, now_ms(), true);
			break;
		case SIGUSR1:
			if (log_os_reopen() != OK)
				log_os("supervisor", LOG_OS_ERROR, "cannot open the log file again", NULL, NULL);
			keeper_owe(k, SIGUSR1);
			break;
		}
	reap(k);
}

/* ---- the loop ---- */

static void tick(struct keeper *k)
{
	struct super_seen seen[SUPER_CHILDREN_MAX];
	uint64_t now = now_ms();
	bool all = true;

	for (int i = 0; i < k->policy.n; i++) {
		struct bell_life *l = bell_life(k->bells, k->policy.child[i].proc);

		seen[i].beat_ms = bell_last_beat(k->bells, k->policy.child[i].proc);
		seen[i].ready = k->policy.child[i].running && atomic_load(&l->ready) == atomic_load(&l->generation);
		all &= seen[i].ready;
	}
	super_tick(&k->policy, now, seen);
	act(k);
	if (atomic_exchange(bell_word(k->bells, BELL_RESET), 0) != 0) {
		super_reset(&k->policy, now);
		act(k);
	}
	keeper_tick_reload(k, now);
	if (all && !k->served) {
		k->served = true;
		if (proc_write_pid(conf_str(k->h->conf, "pid.file")) != OK)
			log_os("supervisor", LOG_OS_ERROR, "cannot write pid.file", strerror(errno), NULL);
		log_os("supervisor", LOG_OS_INFO, "serving", NULL, NULL);
		proc_notify("READY=1");
	}
	if (k->watchdog_ms > 0 && now - k->watched_ms >= k->watchdog_ms / 3) {
		k->watched_ms = now;
		proc_notify("WATCHDOG=1");
	}
}

int supervise(struct host *h)
{
	struct keeper k = { .h = h, .port = { ring }, .watchdog_ms = proc_watchdog_ms() };

	const char *list = getenv(HOST_HANDOVER);
	ssize_t n = readlink("/proc/self/exe", h->program, sizeof h->program - 1);

	h->program[n > 0 ? n : 0] = 0;
	super_init(&k.policy, h->workers, h->groups, (uint64_t)conf_int(h->conf, "process.hang.timeout.ms"));
	int err = list ? keeper_take_over(&k, list, now_ms()) : keeper_open(&k);
	unsetenv(HOST_HANDOVER);
	if (err != OK || watch_signals(&k) != OK)
		return SUPER_FAILED;
	k.policy.hangs = atomic_load(bell_word(k.bells, BELL_HANGS));
	while (!k.end) {
		struct pollfd p[] = { { .fd = k.signals, .events = POLLIN }, { .fd = FD_HOLD, .events = POLLIN } };

		tick(&k);
		if (k.end)
			break;
		poll(p, 2, TICK_MS);
		take_hands(&k);
		take_signals(&k);
	}
	if (conf_str(h->conf, "pid.file"))
		unlink(conf_str(h->conf, "pid.file"));
	bool clean = atomic_load(bell_word(k.bells, BELL_CLEAN)) != 0;

	if (clean || (k.policy.status != SUPER_DONE && !k.killed))
		keeper_leave(&k);
	log_os("supervisor", LOG_OS_INFO, clean ? "stopped; everything is on the disk" : "stopped", NULL, NULL);
	return k.policy.status;
}
