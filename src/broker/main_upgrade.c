/*
 * main_upgrade.c - a new release takes over from a running one (SIGUSR2). The supervisor executes its
 * program file again: process number, listeners, doorbells, held connections and children stay. The new
 * one reads from a list which processes are its children and replaces them one by one.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "broker/keeper.h"
#include "os/log_os.h"
#include "os/proc_os.h"
#include "os/shm_os.h"

#define LIST_BYTES 8192
#define LIST_HEAD "moldau-handover 1"

static void keep_all(bool keep)
{
	for (int fd = FD_EVENT; fd <= FD_LAST; fd++)
		proc_keep_on_exec(fd, keep);
}

static int write_list(struct keeper *k, const char *path)
{
	char text[LIST_BYTES];
	int n = snprintf(text, sizeof text, LIST_HEAD "\nheld %d\nkilled %d\nworkers %d groups %d\n", k->n_held,
			 k->killed, k->h->workers, k->h->groups);

	for (int i = 0; i < k->policy.n; i++)
		n += snprintf(text + n, sizeof text - (size_t)n, "child %d %d\n", i, (int)k->pid[i]);
	return shm_write(path, text, (size_t)n);
}

void keeper_become(struct keeper *k)
{
	char path[320];

	snprintf(path, sizeof path, "%.256s/handover", k->h->run_dir);
	if (write_list(k, path) != OK || setenv(HOST_HANDOVER, path, 1) != 0) {
		log_os("supervisor", LOG_OS_ERROR, "cannot write to the run directory", path,
		       "The old release goes on.");
		return;
	}
	log_os("supervisor", LOG_OS_INFO, "the new release takes over", k->h->program, NULL);
	keep_all(true);
	execv(k->h->program, k->h->argv);
	log_os("supervisor", LOG_OS_ERROR, "the new release cannot be executed", strerror(errno),
	       "The old one goes on.");
	keep_all(false);
	unsetenv(HOST_HANDOVER);
	unlink(path);
}

static int read_list(struct keeper *k, FILE *f)
{
	char line[128];
	int killed, child, pid, workers, groups;

	if (!fgets(line, sizeof line, f) || strcmp(line, LIST_HEAD "\n") != 0)
		return E_VERSION;
	if (fscanf(f, "held %d killed %d workers %d groups %d", &k->n_held, &killed, &workers, &groups) != 4 ||
	    workers != k->h->workers || groups != k->h->groups || k->n_held < 0 || k->n_held > HOST_HELD_MAX)
		return E_BAD;
	k->killed = killed != 0;
	while (fscanf(f, " child %d %d", &child, &pid) == 2)
		if (child >= 0 && child < SUPER_CHILDREN_MAX && pid > 0)
			k->pid[child] = pid;
	return OK;
}

int keeper_take_over(struct keeper *k, const char *list, uint64_t now_ms)
{
	size_t bytes = bell_bytes(k->h->limits.parts);
	FILE *f = fopen(list, "re");
	void *mem;
	int fd, err = f ? read_list(k, f) : E_NOENT;

	if (f)
		fclose(f);
	unlink(list);
	keep_all(false);
	(void)log_os_open(conf_str(k->h->conf, "log.output"));
	if (err == OK)
		err = shm_map(k->h->pages, bytes, false, &mem, &fd);
	if (err != OK || !bell_valid(mem, bytes)) {
		log_os("supervisor", LOG_OS_ERROR, "cannot take over from the release before", err_text(err), list);
		return err == OK ? E_VERSION : err;
	}
	close(fd);
	k->bells = bell_attach(mem, bytes, PROC_SUPERVISOR, &k->port);
	k->served = true;
	for (int i = 0; i < k->policy.n; i++)
		if (k->pid[i] > 0)
			super_adopt(&k->policy, i, now_ms);
	super_roll(&k->policy);
	return OK;
}
