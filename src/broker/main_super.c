/*
 * main_super.c - the supervisor's doing: listeners, shared pages, children. Its decisions are super.c.
 * Reads nothing from the network and never touches partition records.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "broker/host.h"
#include "broker/super.h"
#include "os/clock_os.h"
#include "os/log_os.h"
#include "os/net_os.h"
#include "os/shm_os.h"

#define TICK_MS 50

struct keeper {
	struct host *h;
	struct super policy;
	struct bell_port port;
	struct bells *bells;
	pid_t pid[SUPER_CHILDREN_MAX];
};

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

/* A port may be held for some milliseconds by the dying workers of a killed supervisor. */
static int listen_patiently(const char *at, char *why, size_t cap)
{
	for (int i = 0;; i++) {
		int fd = net_os_listen(at, why, cap);
		struct timespec pause = { 0, 20000000 };

		if (fd != E_EXIST || i == 100)
			return fd;
		nanosleep(&pause, NULL);
	}
}

/* Moves fd to a number of its own, closed on exec until a child clears that. */
static int place(int fd, int number)
{
	if (fd == number)
		return OK;
	if (dup3(fd, number, O_CLOEXEC) < 0)
		return E_LIMIT;
	close(fd);
	return OK;
}

static int open_sockets(struct host *h)
{
	char at[600], why[700];
	int fd;

	for (int i = 0; i < h->n_listeners; i++) {
		struct conf_listener *l = &h->listeners[i];

		snprintf(at, sizeof at, "%.*s:%u", (int)l->host.len, l->host.p, l->port);
		fd = listen_patiently(at, why, sizeof why);
		if (fd < 0) {
			log_os("supervisor", LOG_OS_ERROR, why, NULL,
			       "Change listeners, or stop the program that uses the port.");
			return fd;
		}
		if (place(fd, FD_LISTENER + i) != OK)
			return E_LIMIT;
	}
	for (int i = -1 - h->groups; i < h->workers; i++) {
		if (i == -1 - h->groups)
			snprintf(at, sizeof at, "unix:%s/agent.sock", h->run_dir);
		else if (i < 0)
			snprintf(at, sizeof at, "unix:%s/groups-%d.sock", h->run_dir, -1 - i);
		else
			snprintf(at, sizeof at, "unix:%s/worker-%d.sock", h->run_dir, i);
		fd = net_os_listen(at, why, sizeof why);
		if (fd < 0) {
			log_os("supervisor", LOG_OS_ERROR, why, NULL, NULL);
			return fd;
		}
		int number = i == -1 - h->groups ? FD_AGENT : i < 0 ? FD_GROUPS - 1 - i : FD_WORKER + i;
		if (place(fd, number) != OK)
			return E_LIMIT;
	}
	for (int p = 0; p < PROC_N; p++) {
		fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (fd < 0 || place(fd, FD_EVENT + p) != OK)
			return E_LIMIT;
	}
	return OK;
}

static int open_pages(struct keeper *k)
{
	char path[600];
	void *mem;
	int fd;

	snprintf(path, sizeof path, "%s/pages", k->h->run_dir);
	unlink(path);
	int err = shm_map(path, bell_bytes(HOST_PARTS), true, &mem, &fd);
	if (err != OK) {
		log_os("supervisor", LOG_OS_ERROR, "cannot make the shared pages", path, NULL);
		return err;
	}
	bell_format(mem, bell_bytes(HOST_PARTS), HOST_PARTS);
	k->bells = bell_attach(mem, bell_bytes(HOST_PARTS), PROC_SUPERVISOR, &k->port);
	return OK;
}

static int take_lock(struct host *h)
{
	char path[600];

	snprintf(path, sizeof path, "%s/.lock", h->log_dir);
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0640);
	if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0)
		return OK;		/* held until this process ends */
	log_os("supervisor", LOG_OS_ERROR, fd < 0 ? "cannot write to the log directory" :
	       "another broker uses this log directory", h->log_dir,
	       fd < 0 ? "Check its owner and rights." : "Stop it, or give this broker a folder of its own.");
	return E_PERM;
}

static void spawn(struct keeper *k, int i)
{
	struct super_child *c = &k->policy.child[i];
	char idx[16], *argv[256];
	pid_t parent = getpid();
	int n = 0;

	argv[n++] = k->h->argv[0];
	argv[n++] = "--role";
	argv[n++] = (char *)(uintptr_t)super_role_name(c->role);
	argv[n++] = "--index";
	snprintf(idx, sizeof idx, "%d", c->idx);
	argv[n++] = idx;
	for (int a = 1; a < k->h->argc && n < 255; a++)
		argv[n++] = k->h->argv[a];
	argv[n] = NULL;
	pid_t pid = fork();
	if (pid == 0) {
		sigset_t none;

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(1);
		for (int fd = FD_EVENT; fd <= FD_LAST; fd++)
			if (fcntl(fd, F_GETFD) >= 0)
				fcntl(fd, F_SETFD, 0);
		sigemptyset(&none);
		sigprocmask(SIG_SETMASK, &none, NULL);
		signal(SIGINT, SIG_IGN);
		execv("/proc/self/exe", argv);
		_exit(127);
	}
	k->pid[i] = pid > 0 ? pid : 0;
	if (pid < 0)
		log_os("supervisor", LOG_OS_ERROR, "cannot start a process", strerror(errno), NULL);
}

/* True: the broker is to end. */
static bool act(struct keeper *k)
{
	bool end = false;

	for (int i = 0; i < k->policy.n_fx; i++) {
		int child = k->policy.fx[i].child;

		switch (k->policy.fx[i].kind) {
		case SUPER_SPAWN:
			spawn(k, child);
			break;
		case SUPER_TERM:
			if (k->pid[child] > 0)
				kill(k->pid[child], SIGTERM);
			break;
		case SUPER_KILL:
			log_os("supervisor", LOG_OS_WARN, "a process does not answer and is killed",
			       super_role_name(k->policy.child[child].role), NULL);
			if (k->pid[child] > 0)
				kill(k->pid[child], SIGKILL);
			break;
		case SUPER_RING_ALL:
			for (int c = 0; c < k->policy.n; c++)
				bell_mark_all(k->bells, k->policy.child[c].proc);
			bell_flush(k->bells);
			break;
		case SUPER_EXIT:
			end = true;
			break;
		}
	}
	return end;
}

static bool reap(struct keeper *k)
{
	int status;
	pid_t pid;
	bool end = false;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		for (int i = 0; i < k->policy.n; i++) {
			char what[128];

			if (k->pid[i] != pid)
				continue;
			k->pid[i] = 0;
			atomic_store(&bell_load(k->bells, k->policy.child[i].proc)->conns, 0);
			if (!k->policy.draining) {
				snprintf(what, sizeof what, "%s-%d pid %d %s %d",
					 super_role_name(k->policy.child[i].role), k->policy.child[i].idx, (int)pid,
					 WIFSIGNALED(status) ? "signal" : "status",
					 WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
				log_os("supervisor", LOG_OS_WARN, "a process ended and is replaced", what, NULL);
				atomic_fetch_add(bell_word(k->bells, BELL_RESTARTS), 1);
			}
			super_exited(&k->policy, i, now_ms());
			atomic_fetch_add(bell_word(k->bells, BELL_RESTARTS_ROLE + k->policy.child[i].role),
					 k->policy.draining ? 0 : 1);
			end |= act(k);
		}
	return end;
}

/* After a clean end nothing in the run directory is of use: its memory is given back. */
static void leave(struct keeper *k)
{
	static const char *const files[] = { "table", "table.id", "pages", "agent.sock", "agent.session" };
	char path[600];

	for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
		snprintf(path, sizeof path, "%s/%s", k->h->run_dir, files[i]);
		unlink(path);
	}
	for (int i = 0; i < PROC_WORKERS_MAX; i++) {
		snprintf(path, sizeof path, "%s/%s-%d.sock", k->h->run_dir, i < k->h->workers ? "worker" : "groups",
			 i < k->h->workers ? i : i - k->h->workers);
		unlink(path);
	}
	uint64_t gen = atomic_load(bell_word(k->bells, BELL_IMAGE_GEN));
	for (uint64_t g = gen > 16 ? gen - 16 : 0; g <= gen; g++) {
		snprintf(path, sizeof path, "%s/image-%llu", k->h->run_dir, (unsigned long long)g);
		unlink(path);
	}
	rmdir(k->h->run_dir);
}

int supervise(struct host *h)
{
	struct keeper k = { .h = h, .port = { ring } };
	sigset_t set;
	bool end = false;

	if (take_lock(h) != OK)
		return 1;
	if (!shm_is_tmpfs(h->run_dir))
		log_os("supervisor", LOG_OS_WARN, "the run directory is not on a tmpfs", h->run_dir,
		       "Set run.dir to a folder on a tmpfs: the partition table is written there all the time.");
	if (open_sockets(h) != OK || open_pages(&k) != OK)
		return 1;
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	super_init(&k.policy, h->workers, h->groups, (uint64_t)10000);
	while (!end) {
		uint64_t beats[SUPER_CHILDREN_MAX];
		struct timespec wait = { 0, TICK_MS * 1000000L };

		for (int i = 0; i < k.policy.n; i++)
			beats[i] = bell_last_beat(k.bells, k.policy.child[i].proc);
		super_tick(&k.policy, now_ms(), beats);
		end = act(&k);
		int sig = end ? 0 : sigtimedwait(&set, NULL, &wait);
		if (sig == SIGTERM || sig == SIGINT) {
			super_term(&k.policy, now_ms());
			end = act(&k);
		}
		end |= reap(&k);
	}
	bool clean = atomic_load(bell_word(k.bells, BELL_CLEAN)) != 0;

	if (clean)
		leave(&k);
	log_os("supervisor", LOG_OS_INFO, clean ? "stopped; everything is on the disk" : "stopped", NULL, NULL);
	return 0;
}
