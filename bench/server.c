/* server.c - the servers under test, and what /proc says about them. See bench.h. */
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"

#define PROCS_MAX 4096

/* ---- /proc ---------------------------------------------------------------------------------- */

struct proc {
	pid_t pid, parent;
	uint64_t ticks;			/* own, and of children that were waited for */
	bool in;
};

static bool stat_read(pid_t pid, struct proc *ret)
{
	char path[64], line[1024];
	unsigned long long ut, st;
	long long cut, cst;
	int parent;

	snprintf(path, sizeof path, "/proc/%d/stat", pid);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	ssize_t n = read(fd, line, sizeof line - 1);
	close(fd);
	if (n <= 0)
		return false;
	line[n] = 0;
	const char *p = strrchr(line, ')');
	if (!p || sscanf(p + 2, "%*c %d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu %lld %lld", &parent, &ut, &st,
			 &cut, &cst) != 5)
		return false;
	*ret = (struct proc){ .pid = pid, .parent = parent, .ticks = ut + st + (uint64_t)(cut + cst) };
	return true;
}

/* The process and its descendants at the front of v. */
static int tree(pid_t pid, struct proc *v)
{
	int n = 0, found = 0;
	DIR *d = opendir("/proc");
	bool more = true;

	if (!d)
		die("no /proc");
	for (struct dirent *e; (e = readdir(d)) != NULL && n < PROCS_MAX;) {
		char *end;
		long id = strtol(e->d_name, &end, 10);

		if (*end == 0 && stat_read((pid_t)id, &v[n]))
			n++;
	}
	closedir(d);
	for (int i = 0; i < n; i++)
		v[i].in = v[i].pid == pid;
	while (more) {
		more = false;
		for (int i = 0; i < n; i++)
			for (int k = 0; k < n && !v[i].in; k++)
				if (v[k].in && v[k].pid == v[i].parent)
					v[i].in = more = true;
	}
	for (int i = 0; i < n; i++)
		if (v[i].in)
			v[found++] = v[i];
	return found;
}

double tree_cpu(pid_t pid)
{
	static struct proc v[PROCS_MAX];
	int n = tree(pid, v);
	uint64_t ticks = 0;

	for (int i = 0; i < n; i++)
		ticks += v[i].ticks;
	return (double)ticks / (double)sysconf(_SC_CLK_TCK);
}

uint64_t pid_pss(pid_t pid)
{
	char path[64], line[256];
	unsigned long long kb = 0;

	snprintf(path, sizeof path, "/proc/%d/smaps_rollup", pid);
	FILE *f = fopen(path, "re");
	if (!f)
		return 0;
	while (fgets(line, sizeof line, f))
		if (sscanf(line, "Pss: %llu kB", &kb) == 1)
			break;
	fclose(f);
	return kb;
}

uint64_t tree_pss(pid_t pid)
{
	static struct proc v[PROCS_MAX];
	int n = tree(pid, v);
	uint64_t kb = 0;

	for (int i = 0; i < n; i++)
		kb += pid_pss(v[i].pid);
	return kb;
}

static bool command_has(pid_t pid, const char *what)
{
	char path[64], line[2048];

	snprintf(path, sizeof path, "/proc/%d/cmdline", pid);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? 0 : read(fd, line, sizeof line - 1);
	if (fd >= 0)
		close(fd);
	for (ssize_t i = 0; i < n; i++)
		if (line[i] == 0)
			line[i] = ' ';
	line[n > 0 ? n : 0] = 0;
	return strstr(line, what) != NULL;
}

int tree_find(pid_t pid, const char *what, pid_t *ret, int cap)
{
	static struct proc v[PROCS_MAX];
	int n = tree(pid, v), found = 0;

	for (int i = 0; i < n && found < cap; i++)
		if (v[i].pid != pid && command_has(v[i].pid, what))
			ret[found++] = v[i].pid;
	return found;
}

/* ---- start and stop ------------------------------------------------------------------------- */

static int free_port(void)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof a;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof a) != 0 ||
	    getsockname(fd, (struct sockaddr *)&a, &len) != 0)
		die("no free port");
	close(fd);
	return ntohs(a.sin_port);
}

static void spawn(struct server *s, char *const *argv)
{
	int p[2];

	if (pipe2(p, O_CLOEXEC) != 0)
		die("no pipe");
	s->pid = fork();
	if (s->pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGTERM);
		dup2(p[1], STDOUT_FILENO);
		dup2(p[1], STDERR_FILENO);
		execvp(argv[0], argv);
		fprintf(stderr, "cannot run %s: %s\n", argv[0], strerror(errno));
		_exit(127);
	}
	close(p[1]);
	s->out = p[0];
	fcntl(s->out, F_SETFL, O_NONBLOCK);
	fcntl(s->out, F_SETPIPE_SZ, 1 << 20);
}

static void wait_metadata(struct server *s, double seconds)
{
	uint64_t from = now_ns();

	while (!metadata_ok(s->port)) {
		if ((double)(now_ns() - from) > seconds * 1e9) {
			server_wait_line(s, "\001", 0);
			die("the server did not answer within %.0f s", seconds);
		}
		usleep(500);
	}
	s->start_ms = (double)(now_ns() - from) / 1e6;
}

/* The command beside this program: bench/run and moldau are built into one tree. */
static void beside(char *ret, size_t cap, const char *name)
{
	char self[PATH_MAX / 2];
	ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);

	self[n > 0 ? n : 0] = 0;
	for (int up = 0; up < 2; up++) {
		char *slash = strrchr(self, '/');

		if (slash)
			*slash = 0;
	}
	snprintf(ret, cap, "%s/%s", self, name);
	if (access(ret, X_OK) != 0)
		die("%s is not there: run this from the build folder that has it", ret);
}

void server_start(struct server *s, const char *base, int workers, const char *const *extra)
{
	char exe[PATH_MAX], port[16], w[16];
	char *argv[40] = { exe, (char *)"dev", (char *)"--dir", s->dir, (char *)"--port", port,
			   (char *)"--workers", w };
	int n = 8;

	*s = (struct server){ .port = free_port() };
	beside(exe, sizeof exe, "moldau");
	snprintf(s->dir, sizeof s->dir, "%s/dev-XXXXXX", base);
	if (!mkdtemp(s->dir))
		die("cannot make a folder in %s", base);
	snprintf(port, sizeof port, "%d", s->port);
	snprintf(w, sizeof w, "%d", workers);
	argv[n++] = (char *)"--set";
	argv[n++] = (char *)"log.retention.check.interval.ms=500";
	for (; extra && *extra && n < 38; extra++)
		argv[n++] = (char *)(uintptr_t)*extra;
	spawn(s, argv);
	wait_metadata(s, 30);
}

static bool java_run(char *const *argv)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		int null = open("/dev/null", O_WRONLY);

		dup2(null, STDOUT_FILENO);
		dup2(null, STDERR_FILENO);
		execvp(argv[0], argv);
		_exit(127);
	}
	return waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

bool kafka_start(struct server *s, const char *base, const char *jars)
{
	char cp[PATH_MAX], conf[PATH_MAX];
	int control = free_port();

	*s = (struct server){ .port = free_port(), .kafka = true };
	snprintf(s->dir, sizeof s->dir, "%s/kafka-XXXXXX", base);
	if (!mkdtemp(s->dir))
		die("cannot make a folder in %s", base);
	snprintf(cp, sizeof cp, "%s/*", jars);
	snprintf(conf, sizeof conf, "%s/server.properties", s->dir);
	FILE *f = fopen(conf, "we");
	if (!f)
		die("cannot write %s", conf);
	fprintf(f, "process.roles=broker,controller\nnode.id=1\ncontroller.quorum.voters=1@127.0.0.1:%d\n"
		"listeners=PLAINTEXT://127.0.0.1:%d,CONTROLLER://127.0.0.1:%d\ncontroller.listener.names=CONTROLLER\n"
		"advertised.listeners=PLAINTEXT://127.0.0.1:%d\nlog.dirs=%s/data\n"
		"offsets.topic.replication.factor=1\nlog.segment.delete.delay.ms=1000\n"
		"log.retention.check.interval.ms=500\nlog.initial.task.delay.ms=500\n",
		control, s->port, control, s->port, s->dir);
	fclose(f);
	char *format[] = { (char *)"java", (char *)"-cp", cp, (char *)"kafka.tools.StorageTool", (char *)"format",
			   (char *)"-t", (char *)"MkU3OEVBNTcwNTJENDM2Qg", (char *)"-c", conf, NULL };
	if (!java_run(format))
		return false;
	char *argv[] = { (char *)"java", (char *)"-Xmx1G", (char *)"-Xms1G", (char *)"-XX:+UseG1GC",
			 (char *)"-cp", cp, (char *)"kafka.Kafka", conf, NULL };
	spawn(s, argv);
	wait_metadata(s, 120);
	return true;
}

static int remove_one(const char *path, const struct stat *sb, int flag, struct FTW *ftw)
{
	(void)sb;
	(void)flag;
	(void)ftw;
	return remove(path) == 0 || errno == ENOENT ? 0 : -1;
}

void rm_rf(const char *path)
{
	nftw(path, remove_one, 32, FTW_DEPTH | FTW_PHYS);
}

void server_stop(struct server *s)
{
	int status;

	kill(s->pid, SIGTERM);
	for (int i = 0; waitpid(s->pid, &status, WNOHANG) == 0; i++) {
		server_drop_output(s);
		if (i == 6000) {
			kill(s->pid, SIGKILL);
			waitpid(s->pid, &status, 0);
			die("the server did not end within a minute after TERM");
		}
		usleep(10000);
	}
	close(s->out);
	rm_rf(s->dir);
}

/* ---- what it prints ------------------------------------------------------------------------- */

void server_drop_output(struct server *s)
{
	char buf[65536];

	while (read(s->out, buf, sizeof buf) > 0)
		;
}

double server_wait_line(struct server *s, const char *text, double seconds)
{
	static char buf[1 << 20];
	size_t n = 0;
	uint64_t from = now_ns();

	for (;;) {
		struct pollfd p = { .fd = s->out, .events = POLLIN };
		double gone = (double)(now_ns() - from) / 1e9;
		ssize_t got = read(s->out, buf + n, sizeof buf - 1 - n);

		if (got > 0)
			n += (size_t)got;
		buf[n] = 0;
		if (strstr(buf, text))
			return gone;
		if (gone > seconds || n == sizeof buf - 1) {
			if (*text == '\001')
				fputs(buf, stderr);
			return -1;
		}
		poll(&p, 1, 10);
	}
}

static uint64_t blocks;

static int add_one(const char *path, const struct stat *sb, int flag, struct FTW *ftw)
{
	(void)path;
	(void)ftw;
	if (flag == FTW_F)
		blocks += (uint64_t)sb->st_blocks;
	return 0;
}

uint64_t folder_blocks(const char *path)
{
	blocks = 0;
	nftw(path, add_one, 32, FTW_PHYS);
	return blocks;
}
