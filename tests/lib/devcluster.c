/* devcluster.c - see devcluster.h. */
#include "devcluster.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "raw.h"

#define READY_SECONDS 60
#define PIDS_MAX 4096

const char *const dev_role_name[DEV_ROLES] = {
	"worker", "agent", "groups", "storage", "supervisor", "quorum",
};

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

int dev_free_port(void)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof a;
	int fd = socket(AF_INET, SOCK_STREAM, 0), port = 0;

	if (fd >= 0 && bind(fd, (struct sockaddr *)&a, sizeof a) == 0 &&
	    getsockname(fd, (struct sockaddr *)&a, &len) == 0)
		port = ntohs(a.sin_port);
	if (fd >= 0)
		close(fd);
	return port;
}

/* ---- start and end ---- */

static void exec_dev(const struct dev_cluster *d, int workers, const char *const *settings, int out)
{
	char path[400], data[300], port[16], n[16], metrics[64], *argv[DEV_ARGS_MAX * 2];
	int argc = 0, log = open(d->log, O_WRONLY | O_CREAT | O_APPEND, 0640);

	prctl(PR_SET_PDEATHSIG, SIGTERM);
	snprintf(path, sizeof path, "%s/moldau", d->bin);
	snprintf(data, sizeof data, "%s/data", d->dir);
	snprintf(port, sizeof port, "%d", d->port);
	snprintf(n, sizeof n, "%d", workers);
	snprintf(metrics, sizeof metrics, "metrics.listeners=127.0.0.1:%d", d->metrics_port);
	const char *const head[] = { path, "dev", "--dir", data, "--port", port, "--workers", n, "--set", metrics };
	for (size_t i = 0; i < sizeof head / sizeof head[0]; i++)
		argv[argc++] = (char *)(uintptr_t)head[i];
	for (int i = 0; settings && settings[i] && argc < DEV_ARGS_MAX * 2 - 3; i++) {
		argv[argc++] = (char *)(uintptr_t)"--set";
		argv[argc++] = (char *)(uintptr_t)settings[i];
	}
	argv[argc] = NULL;
	dup2(out, STDOUT_FILENO);
	if (log >= 0)
		dup2(log, STDERR_FILENO);
	execv(path, argv);
	_exit(127);
}

static bool wait_ready(struct dev_cluster *d)
{
	char text[4096];
	size_t n = 0;
	double until = now() + READY_SECONDS;

	while (now() < until && n < sizeof text - 1) {
		struct pollfd p = { .fd = d->ready_fd, .events = POLLIN };

		if (poll(&p, 1, 200) <= 0)
			continue;
		ssize_t got = read(d->ready_fd, text + n, sizeof text - 1 - n);
		if (got <= 0)
			return false;
		n += (size_t)got;
		text[n] = 0;
		if (strstr(text, "ready 127.0.0.1:"))
			return true;
	}
	return false;
}

bool dev_start(struct dev_cluster *d, int workers, const char *const *settings)
{
	const char *tmp = getenv("TMPDIR");
	int fd[2];

	if (!d->dir[0]) {
		snprintf(d->dir, sizeof d->dir, "%s/moldau-torture.XXXXXX", tmp ? tmp : "/tmp");
		if (!mkdtemp(d->dir)) {
			perror(d->dir);
			return false;
		}
		snprintf(d->log, sizeof d->log, "%s/log", d->dir);
		d->port = dev_free_port();
		d->metrics_port = dev_free_port();
	}
	fflush(NULL);
	if (pipe(fd) != 0 || (d->pid = fork()) < 0)
		return false;
	if (d->pid == 0) {
		close(fd[0]);
		exec_dev(d, workers, settings, fd[1]);
	}
	close(fd[1]);
	d->ready_fd = fd[0];
	if (wait_ready(d))
		return true;
	fprintf(stderr, "moldau dev did not get ready; its log is %s\n", d->log);
	return false;
}

int dev_stop(struct dev_cluster *d, int seconds)
{
	int status = -1;
	double until = now() + seconds;

	if (d->pid <= 0)
		return -1;
	kill(d->pid, SIGTERM);
	for (;;) {
		if (waitpid(d->pid, &status, WNOHANG) == d->pid)
			break;
		if (now() > until) {
			kill(d->pid, SIGKILL);
			waitpid(d->pid, &status, 0);
			status = -1;
			break;
		}
		nanosleep(&(struct timespec){ 0, 20000000 }, NULL);
	}
	close(d->ready_fd);
	d->pid = 0;
	return status < 0 ? -1 : WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

void dev_remove(struct dev_cluster *d)
{
	char cmd[300];

	snprintf(cmd, sizeof cmd, "rm -rf '%s'", d->dir);
	if (system(cmd) != 0)
		fprintf(stderr, "cannot remove %s\n", d->dir);
}

/* ---- processes ---- */

/* What /proc tells of a process, with a 0 behind it; its length, -1: there is none. */
static ssize_t proc_read(const char *pid, const char *what, char *ret, size_t cap)
{
	char path[300];

	snprintf(path, sizeof path, "/proc/%s/%s", pid, what);
	FILE *f = fopen(path, "re");
	if (!f)
		return -1;
	size_t n = fread(ret, 1, cap - 1, f);

	fclose(f);
	ret[n] = 0;
	return (ssize_t)n;
}

static int parent_of(const char *pid)
{
	char text[512], *p;
	int parent = -1;

	if (proc_read(pid, "stat", text, sizeof text) < 0)
		return -1;
	p = strrchr(text, ')');
	if (p && p[1] && p[2] != 'Z' && sscanf(p + 3, " %d", &parent) != 1)
		return -1;
	return parent;
}

static int role_of(pid_t pid)
{
	char name[16], text[512];

	snprintf(name, sizeof name, "%d", (int)pid);
	ssize_t n = proc_read(name, "cmdline", text, sizeof text);

	if (n < 0)
		return -1;
	if (n > 0 && strstr(text, "moldau-quorum"))
		return DEV_QUORUM;
	if (n == 0 || !strstr(text, "moldau-broker"))
		return -1;		/* before exec */
	const char *a = text + strlen(text) + 1;
	if (a >= text + n || strcmp(a, "--role") != 0)
		return DEV_SUPERVISOR;
	a += strlen(a) + 1;
	for (int r = 0; r < DEV_SUPERVISOR; r++)
		if (a < text + n && strcmp(a, dev_role_name[r]) == 0)
			return r;
	return -1;
}

int dev_scan(struct dev_cluster *d, struct dev_proc *v)
{
	static pid_t pid[PIDS_MAX], parent[PIDS_MAX];
	int n = 0, found = 0;
	struct dirent *e;
	DIR *dir = opendir("/proc");

	while (dir && (e = readdir(dir)) && n < PIDS_MAX)
		if (e->d_name[0] >= '0' && e->d_name[0] <= '9') {
			pid[n] = atoi(e->d_name);
			parent[n++] = parent_of(e->d_name);
		}
	if (dir)
		closedir(dir);
	for (int i = 0; i < n && found < DEV_PROCS_MAX; i++) {
		bool ours = parent[i] == d->pid;

		for (int k = 0; k < n && !ours; k++)	/* a grandchild */
			ours = pid[k] == parent[i] && parent[k] == d->pid;
		int role = ours ? role_of(pid[i]) : -1;
		/* Before its exec a child of the supervisor still has the supervisor's name. */
		if (role < 0 || (role == DEV_SUPERVISOR && parent[i] != d->pid))
			continue;
		v[found++] = (struct dev_proc){ pid[i], (enum dev_role)role };
	}
	return found;
}

bool dev_moldau(struct dev_cluster *d, const char *const *args)
{
	char path[400], at[40], *argv[DEV_ARGS_MAX];
	int status, argc = 0;

	snprintf(path, sizeof path, "%s/moldau", d->bin);
	snprintf(at, sizeof at, "127.0.0.1:%d", d->port);
	argv[argc++] = path;
	for (int i = 0; args[i] && argc < DEV_ARGS_MAX - 3; i++)
		argv[argc++] = (char *)(uintptr_t)args[i];
	argv[argc++] = (char *)(uintptr_t)"--bootstrap";
	argv[argc++] = at;
	argv[argc] = NULL;
	fflush(NULL);
	pid_t pid = fork();
	if (pid == 0) {
		int log = open(d->log, O_WRONLY | O_CREAT | O_APPEND, 0640);

		dup2(log, STDOUT_FILENO);
		dup2(log, STDERR_FILENO);
		execv(path, argv);
		_exit(127);
	}
	return pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* ---- metrics and log ---- */

static char *get_page(struct dev_cluster *d)
{
	static const char ask[] = "GET /metrics HTTP/1.0\r\nHost: localhost\r\n\r\n";
	int fd = raw_connect(d->metrics_port, 5000);
	size_t cap = 1 << 20, n = 0;
	char *page;
	ssize_t got;

	if (fd < 0)
		return NULL;
	page = mem_resize(NULL, cap);
	if (send(fd, ask, sizeof ask - 1, MSG_NOSIGNAL) == (ssize_t)sizeof ask - 1)
		while (n < cap - 1 && (got = recv(fd, page + n, cap - 1 - n, 0)) > 0)
			n += (size_t)got;
	close(fd);
	page[n] = 0;
	return page;
}

double dev_metric(struct dev_cluster *d, const char *name, const char *labels)
{
	char *page = get_page(d), *line, *save = NULL;
	double sum = -1;

	if (!page)
		return -1;
	for (line = strtok_r(page, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		size_t len = strlen(name);

		if (strncmp(line, name, len) != 0 || (line[len] != ' ' && line[len] != '{'))
			continue;
		if (labels && !strstr(line, labels))
			continue;
		sum = (sum < 0 ? 0 : sum) + atof(strrchr(line, ' '));
	}
	mem_free(page);
	return sum;
}

int dev_log_count(struct dev_cluster *d, const char *text)
{
	FILE *f = fopen(d->log, "re");
	char *line = NULL;
	size_t cap = 0;
	int n = 0;

	while (f && getline(&line, &cap, f) > 0)
		n += strstr(line, text) != NULL;
	free(line);
	if (f)
		fclose(f);
	return n;
}

int dev_replaced(struct dev_cluster *d, struct dev_proc *v, int max)
{
	FILE *f = fopen(d->log, "re");
	char *line = NULL;
	size_t cap = 0;
	int n = 0;

	while (f && getline(&line, &cap, f) > 0 && n < max) {
		char *what = strstr(line, "a process ended and is replaced");
		char *at = what ? strstr(what, "detail=\"") : NULL;
		char *pid = at ? strstr(at, " pid ") : NULL;

		for (int r = 0; pid && r < DEV_ROLES; r++)
			if (strncmp(at + 8, dev_role_name[r], strlen(dev_role_name[r])) == 0)
				v[n++] = (struct dev_proc){ atoi(pid + 5), (enum dev_role)r };
	}
	free(line);
	if (f)
		fclose(f);
	return n;
}

int dev_cores(struct dev_cluster *d)
{
	char cmd[300];
	FILE *f;
	int n = -1;

	snprintf(cmd, sizeof cmd, "find '%s' . -maxdepth 4 -type f \\( -name core -o -name 'core.[0-9]*' \\) | wc -l",
		 d->dir);
	f = popen(cmd, "r");
	if (!f || fscanf(f, "%d", &n) != 1)
		n = -1;
	if (f)
		pclose(f);
	return n;
}
