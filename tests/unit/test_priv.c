/* test_priv.c - what a confined process may and may not do, each tried in a process of its own. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "os/log_os.h"
#include "os/priv_os.h"

#define REFUSED 77		/* this machine or build has no filter */
#define ALL (PRIV_INET | PRIV_ACCEPT)

static void *nothing(void *arg)
{
	return arg;
}

static void do_exec(void)
{
	execl("/bin/true", "true", (char *)NULL);
}

static void do_fork(void)
{
	if (fork() == 0)
		_exit(0);
}

static void do_thread(void)
{
	pthread_t t;

	if (pthread_create(&t, NULL, nothing, NULL) != 0 || pthread_join(t, NULL) != 0)
		_exit(1);
}

static void do_kill(void)
{
	kill(getppid(), 0);
}

static void do_ptrace(void)
{
	ptrace(PTRACE_TRACEME, 0, NULL, NULL);
}

static void do_mount(void)
{
	mount("none", "/mnt", "tmpfs", 0, NULL);
}

static void do_setuid(void)
{
	(void)!setuid(getuid());
}

static void do_inet(void)
{
	if (socket(AF_INET, SOCK_STREAM, 0) < 0)
		_exit(1);
}

static void do_unix(void)
{
	if (socket(AF_UNIX, SOCK_STREAM, 0) < 0)
		_exit(1);
}

static void do_listen(void)
{
	listen(0, 1);
}

static void do_accept(void)
{
	accept4(-1, NULL, NULL, 0);
}

static void do_files(void)
{
	char path[] = "/tmp/test_priv.XXXXXX";
	int fd = mkstemp(path);

	if (fd < 0 || write(fd, "x", 1) != 1 || fsync(fd) != 0 || ftruncate(fd, 0) != 0 || unlink(path) != 0)
		_exit(1);
}

static void do_abort(void)
{
	signal(SIGABRT, SIG_DFL);
	abort();
}

/* The status of a process that is confined and then does it; what it logged is in `said`. */
static int confined(void (*what)(void), unsigned rights, char *said, size_t cap)
{
	int p[2], status = 0;
	ssize_t n;

	cr_assert_eq(pipe(p), 0);
	pid_t pid = fork();
	if (pid == 0) {
		dup2(p[1], STDERR_FILENO);
		prctl(PR_SET_DUMPABLE, 0);
		if (priv_confine("tested", rights) != OK)
			_exit(REFUSED);
		what();
		_exit(0);
	}
	close(p[1]);
	n = read(p[0], said, cap - 1);
	said[n > 0 ? n : 0] = 0;
	close(p[0]);
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	return status;
}

Test(priv, table)
{
	static const struct {
		const char *name;
		void (*what)(void);
		unsigned rights;
		bool allowed;
	} rows[] = {
		{ "exec", do_exec, ALL, false },	{ "fork", do_fork, ALL, false },
		{ "kill", do_kill, ALL, false },	{ "ptrace", do_ptrace, ALL, false },
		{ "mount", do_mount, ALL, false },	{ "setuid", do_setuid, ALL, false },
		{ "listen", do_listen, ALL, false },	{ "thread", do_thread, 0, true },
		{ "files", do_files, 0, true },		{ "unix socket", do_unix, 0, true },
		{ "inet socket", do_inet, 0, false },	{ "inet socket", do_inet, PRIV_INET, true },
		{ "accept", do_accept, 0, false },	{ "accept", do_accept, PRIV_ACCEPT, true },
	};
	char said[1024];

	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		int st = confined(rows[i].what, rows[i].rights, said, sizeof said);

		if (WIFEXITED(st) && WEXITSTATUS(st) == REFUSED)
			cr_skip_test("no filter of system calls here");
		if (rows[i].allowed) {
			cr_assert(WIFEXITED(st) && WEXITSTATUS(st) == 0, "%s: %x %s", rows[i].name, (unsigned)st, said);
			continue;
		}
		cr_assert(WIFSIGNALED(st) && WTERMSIG(st) == SIGSYS, "%s: %x", rows[i].name, (unsigned)st);
		cr_assert(strstr(said, "role=tested msg=\"a forbidden system call was tried") != NULL, "%s", said);
	}
}

/* must() still ends a process the way it should. */
Test(priv, abort_works)
{
	char said[1024];
	int st = confined(do_abort, 0, said, sizeof said);

	if (WIFEXITED(st) && WEXITSTATUS(st) == REFUSED)
		cr_skip_test("no filter of system calls here");
	cr_assert(WIFSIGNALED(st) && WTERMSIG(st) == SIGABRT, "%x", (unsigned)st);
}
