/*
 * main_reload.c - the supervisor's part of a reload (SIGHUP) and of log rotation (SIGUSR1). See main_conf.c.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "broker/keeper.h"
#include "os/log_os.h"
#include "os/proc_os.h"

#define CHECK_MS 10000		/* a checker that takes longer hangs on its file */
#define ARGS_MAX 512

void keeper_owe(struct keeper *k, int signo)
{
	for (int i = 0; i < k->policy.n; i++)
		k->owed[i] |= signo == SIGHUP ? 1u : 2u;
}

void keeper_reload(struct keeper *k, uint64_t now_ms, bool upgrade)
{
	char role[] = "--role", check[] = "check", in_force[] = "--in-force", opt_layout[] = "--layout";
	char *argv[ARGS_MAX], text[80], layout[40];
	struct timespec t;
	int n = 0;

	if (k->checker || k->policy.draining || (upgrade && k->policy.rolling >= 0))
		return;
	k->upgrade = upgrade;
	host_layout(layout, sizeof layout);
	clock_gettime(CLOCK_MONOTONIC, &t);
	snprintf(text, sizeof text, "RELOADING=1\nMONOTONIC_USEC=%lld",
		 (long long)t.tv_sec * 1000000 + t.tv_nsec / 1000);
	proc_notify(text);
	argv[n++] = k->h->argv[0];
	argv[n++] = role;
	argv[n++] = check;
	argv[n++] = in_force;
	argv[n++] = k->h->settings;
	if (upgrade) {
		argv[n++] = opt_layout;
		argv[n++] = layout;
	}
	for (int i = 1; i < k->h->argc && n < ARGS_MAX - 1; i++)
		argv[n++] = k->h->argv[i];
	argv[n] = NULL;
	k->checker_ms = now_ms;
	k->checker = fork();
	if (k->checker == 0) {
		sigset_t none;

		sigemptyset(&none);
		sigprocmask(SIG_SETMASK, &none, NULL);
		unsetenv("NOTIFY_SOCKET");
		execv(upgrade ? k->h->program : "/proc/self/exe", argv);
		_exit(127);
	}
	if (k->checker < 0) {
		log_os("supervisor", LOG_OS_ERROR, "cannot start a process", strerror(errno), NULL);
		keeper_checked(k, 1 << 8);
	}
}

/* The settings stay as they are: what changes is the program. */
static void upgrade_checked(struct keeper *k, int status)
{
	int code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;

	if (code == 0)
		keeper_become(k);
	else
		log_os("supervisor", LOG_OS_ERROR, code == SUPER_OTHER_LAYOUT ?
		       "the new release has another layout of shared memory" : "the new release is refused",
		       k->h->program, code == SUPER_OTHER_LAYOUT ? "Restart the broker." :
		       "It does not run here, or does not like the settings; the old one goes on.");
}

void keeper_checked(struct keeper *k, int status)
{
	char path[320];

	k->checker = 0;
	snprintf(path, sizeof path, "%s.new", k->h->settings);
	if (k->upgrade) {
		unlink(path);
		upgrade_checked(k, status);
	} else if (WIFEXITED(status) && WEXITSTATUS(status) == 0 && rename(path, k->h->settings) == 0) {
		host_reload(k->h);
		keeper_owe(k, SIGHUP);
		log_os("supervisor", LOG_OS_INFO, "the settings were read again", NULL, NULL);
	} else {
		unlink(path);
		log_os("supervisor", LOG_OS_ERROR, "the new settings are refused; the old ones stay", NULL,
		       "Correct the file and send SIGHUP again; moldau-broker -n -c FILE checks it.");
	}
	proc_notify("READY=1");
}

void keeper_tick_reload(struct keeper *k, uint64_t now_ms)
{
	if (k->checker > 0 && now_ms - k->checker_ms > CHECK_MS)
		kill(k->checker, SIGKILL);
	for (int i = 0; i < k->policy.n; i++) {
		struct bell_life *l = bell_life(k->bells, k->policy.child[i].proc);

		if (!k->owed[i] || k->pid[i] <= 0 || l->ready != l->generation)
			continue;
		if (k->owed[i] & 1)
			kill(k->pid[i], SIGHUP);
		if (k->owed[i] & 2)
			kill(k->pid[i], SIGUSR1);
		k->owed[i] = 0;
	}
}
