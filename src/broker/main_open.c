/*
 * main_open.c - what the supervisor must have before its first child: lock of the log directory,
 * listeners, doorbells, shared pages, settings for the children. See keeper.h.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "broker/keeper.h"
#include "os/log_os.h"
#include "os/net_os.h"
#include "os/proc_os.h"
#include "os/shm_os.h"

#define PATIENCE_MS 2000		/* dying workers of a killed supervisor may hold a port so long */
#define LOCK_TRIES 100			/* of 20 ms, for the same reason */

static int fail(int err, const char *what, const char *detail, const char *hint)
{
	log_os("supervisor", LOG_OS_ERROR, what, detail, hint);
	return err;
}

/* patient: a broker that was killed ran here before. */
static int listen_at(const char *at, bool patient, char *why, size_t cap)
{
	for (int i = 0;; i++) {
		int fd = net_os_listen(at, why, cap);
		struct timespec pause = { 0, 20000000 };

		if (fd != E_EXIST || !patient || i == PATIENCE_MS / 20)
			return fd;
		nanosleep(&pause, NULL);
	}
}

static int listen_to(const char *at, bool patient, int number, const char *setting)
{
	char why[700], hint[160];
	int fd = listen_at(at, patient, why, sizeof why);

	if (fd >= 0)
		return proc_place(fd, number);
	snprintf(hint, sizeof hint, fd == E_EXIST ? "Change %s, or stop the program that uses the port." :
		 fd == E_PERM ? "Change %s; a port below 1024 needs the right to bind it." :
		 "Change %s to an address of this machine.", setting);
	return fail(fd, why, NULL, hint);
}

static int open_sockets(struct host *h, bool patient)
{
	const char *list = conf_str(h->conf, "metrics.listeners");
	struct str one;
	int32_t pos = 0;
	char at[600];
	int err = OK;

	for (int i = 0; i < h->n_listeners && err == OK; i++) {
		struct conf_listener *l = &h->listeners[i];

		snprintf(at, sizeof at, "%.*s:%u", (int)l->host.len, l->host.p, l->port);
		err = listen_to(at, patient, FD_LISTENER + i, "listeners");
	}
	while (err == OK && list && conf_list_next(str_of(list), &pos, &one)) {
		if (h->n_metrics == HOST_METRICS_MAX)
			return fail(E_LIMIT, "metrics.listeners has more than 4 addresses", list, NULL);
		snprintf(at, sizeof at, "%.*s", (int)one.len, one.p);
		err = listen_to(at, patient, FD_METRICS + h->n_metrics++, "metrics.listeners");
	}
	snprintf(at, sizeof at, "unix:%s/agent.sock", h->run_dir);
	if (err == OK)
		err = listen_to(at, false, FD_AGENT, "run.dir");
	for (int i = 0; i < h->groups && err == OK; i++) {
		snprintf(at, sizeof at, "unix:%s/groups-%d.sock", h->run_dir, i);
		err = listen_to(at, false, FD_GROUPS + i, "run.dir");
	}
	for (int i = 0; i < h->workers && err == OK; i++) {
		snprintf(at, sizeof at, "unix:%s/worker-%d.sock", h->run_dir, i);
		err = listen_to(at, false, FD_WORKER + i, "run.dir");
	}
	return err;
}

static int open_bells(void)
{
	int pair[2];

	for (int p = 0; p < PROC_N; p++) {
		int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

		if (fd < 0 || proc_place(fd, FD_EVENT + p) != OK)
			return fail(E_LIMIT, "no descriptors for doorbells", strerror(errno),
				    "Raise the limit of open files.");
	}
	if (proc_pair(pair) != OK || proc_place(pair[0], FD_HOLD) != OK || proc_place(pair[1], FD_HAND) != OK)
		return fail(E_LIMIT, "no descriptors for the agent", strerror(errno), "Raise the limit of open files.");
	return OK;
}

/* Images of processes that are gone. */
static void sweep_images(const char *run_dir)
{
	DIR *d = opendir(run_dir);
	struct dirent *e;

	while (d && (e = readdir(d)) != NULL)
		if (strncmp(e->d_name, "image-", 6) == 0)
			unlinkat(dirfd(d), e->d_name, 0);
	if (d)
		closedir(d);
}

/* A broker that was killed left its pages: what counts deaths goes on. */
static void inherit(struct keeper *k)
{
	static const enum bell_word words[] = { BELL_RESTARTS, BELL_RESETS, BELL_HANGS, BELL_VIOLATIONS };
	size_t bytes = bell_bytes(k->h->limits.parts), got;
	const void *old;

	atomic_fetch_add(bell_word(k->bells, (enum bell_word)(BELL_RESTARTS_ROLE + SUPER_SELF)), 1);
	log_os("supervisor", LOG_OS_WARN, "the broker was killed before; its shared memory is taken over", NULL, NULL);
	if (k->h->no_tmpfs || shm_map_ro(k->h->pages, &old, &got) != OK)
		return;
	if (bell_valid(old, got) && got == bytes) {
		struct bells *b = bell_attach((void *)(uintptr_t)old, got, PROC_SUPERVISOR, &k->port);

		for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
			atomic_store(bell_word(k->bells, words[i]), atomic_load(bell_word(b, words[i])));
		for (int r = 0; r < SUPER_ROLES; r++)
			atomic_fetch_add(bell_word(k->bells, (enum bell_word)(BELL_RESTARTS_ROLE + r)),
					 atomic_load(bell_word(b, (enum bell_word)(BELL_RESTARTS_ROLE + r))));
		mem_free(b);
	}
	shm_unmap(old, got);
}

/* Where run.dir is not on a tmpfs: memory that lives as long as this process. */
static int open_memory(struct host *h)
{
	int table = shm_memory("moldau-table"), pages = shm_memory("moldau-pages");

	if (table < 0 || pages < 0 || proc_place(table, FD_TABLE) != OK || proc_place(pages, FD_PAGES) != OK)
		return fail(E_LIMIT, "no memory for the partition table", strerror(errno), NULL);
	log_os("supervisor", LOG_OS_WARN, "run.dir is not on a tmpfs: the supervisor holds the partition table",
	       h->run_dir, "A kill of the supervisor loses it, and logs are scanned then. Set run.dir to a tmpfs.");
	return OK;
}

/* Made beside the old ones, so that nothing is lost when this process dies meanwhile. */
static int open_pages(struct keeper *k)
{
	size_t bytes = bell_bytes(k->h->limits.parts);
	char path[320];
	void *mem;
	int fd;

	snprintf(path, sizeof path, "%.290s%s", k->h->pages, k->h->no_tmpfs ? "" : ".new");
	if (!k->h->no_tmpfs)
		unlink(path);
	int err = shm_map(path, bytes, true, &mem, &fd);
	if (err == OK)
		err = shm_grow(fd, 0, bytes);
	if (err != OK)
		return fail(err, "cannot make the shared pages", k->h->run_dir,
			    err == E_NOSPC ? "Make room there, or set run.dir to another folder." : "See run.dir.");
	close(fd);
	bell_format(mem, bytes, k->h->limits.parts);
	k->bells = bell_attach(mem, bytes, PROC_SUPERVISOR, &k->port);
	if (k->killed) {
		inherit(k);
		/* Its session ends with it: the quorum saw the liveness connection close. */
		snprintf(path, sizeof path, "%.280s/agent.session", k->h->run_dir);
		unlink(path);
		sweep_images(k->h->run_dir);
	}
	if (k->h->no_tmpfs)
		return OK;
	snprintf(path, sizeof path, "%.290s.new", k->h->pages);
	return rename(path, k->h->pages) == 0 ? OK : fail(E_IO, "cannot make the shared pages", strerror(errno), NULL);
}

/* Held until this process ends. */
static int lock(const char *dir, const char *name, int number, const char *setting)
{
	char path[600], hint[160];

	snprintf(path, sizeof path, "%s/%s", dir, name);
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0640);
	if (fd < 0) {
		snprintf(hint, sizeof hint, "%s: check owner and rights of %s.", strerror(errno), setting);
		return fail(E_PERM, "cannot write to a folder", dir, hint);
	}
	/* A child that a killed supervisor had just forked holds it until it finds that it is alone. */
	struct timespec pause = { 0, 20000000 };
	int err = flock(fd, LOCK_EX | LOCK_NB);
	for (int i = 0; err != 0 && i < LOCK_TRIES; i++) {
		nanosleep(&pause, NULL);
		err = flock(fd, LOCK_EX | LOCK_NB);
	}
	if (err != 0) {
		close(fd);
		snprintf(hint, sizeof hint, "Stop it, or give this broker its own %s.", setting);
		return fail(E_PERM, "another broker uses this folder", dir, hint);
	}
	return proc_place(fd, number);
}

int keeper_open(struct keeper *k)
{
	int err = lock(k->h->log_dir, ".lock", FD_LOCK, "log.dirs");

	if (err == OK)
		err = lock(k->h->run_dir, "lock", FD_RUN_LOCK, "run.dir");
	if (err != OK)
		return err;
	k->killed = access(k->h->settings, F_OK) == 0;	/* a broker that ends by itself takes them away */
	if (k->h->no_tmpfs)
		err = open_memory(k->h);
	if (err == OK)
		err = open_pages(k);
	if (err == OK)
		err = open_sockets(k->h, k->killed);
	if (err == OK)
		err = open_bells();
	if (err == OK) {
		err = host_write_settings(k->h->conf, k->h->settings);
		if (err != OK)
			fail(err, "cannot write to the run directory", k->h->settings, "See run.dir.");
	}
	if (err == OK) {
		err = log_os_open(conf_str(k->h->conf, "log.output"));
		if (err != OK)
			fail(err, "cannot open the log", conf_str(k->h->conf, "log.output"), "See log.output.");
	}
	if (err != OK && !k->killed)
		keeper_leave(k);
	return err;
}

void keeper_wipe(struct keeper *k)
{
	(void)shm_clear(k->h->table);
	sweep_images(k->h->run_dir);
	atomic_store(bell_word(k->bells, BELL_TABLE_GEN), 0);
	atomic_store(bell_word(k->bells, BELL_IMAGE_GEN), 0);	/* images name slots of the old table */
	atomic_fetch_add(bell_word(k->bells, BELL_RESETS), 1);
	log_os("supervisor", LOG_OS_WARN, "the partition table is made anew", NULL, NULL);
}

void keeper_leave(struct keeper *k)
{
	static const char *const files[] = { "table", "table.id", "pages", "agent.sock", "agent.session", "settings",
					     "settings.new", "pages.new", "lock" };
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
	sweep_images(k->h->run_dir);
	rmdir(k->h->run_dir);
}
