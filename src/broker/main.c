/*
 * main.c - moldau-broker: options and settings, then the supervisor or, in a child, one role.
 * man/moldau-broker.8
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/crc32c.h"
#include "broker/host.h"
#include "broker/super.h"
#include "config.h"
#include "os/log_os.h"
#include "os/shm_os.h"

/* Where sockets and the partition table live: on a tmpfs, so that they survive the processes. */
static void choose_run_dir(struct host *h)
{
	if (conf_is_set(h->conf, "run.dir") && conf_str(h->conf, "run.dir")) {
		snprintf(h->run_dir, sizeof h->run_dir, "%s", conf_str(h->conf, "run.dir"));
		return;
	}
	uint32_t id = crc32c(0, h->log_dir, strlen(h->log_dir));
	const char *base = shm_is_tmpfs("/run") && access("/run", W_OK) == 0 ? "/run" : "/dev/shm";

	snprintf(h->run_dir, sizeof h->run_dir, "%s/moldau-%u-%08x", base, (unsigned)getuid(), id);
}

static int find_dirs(struct host *h, char *err)
{
	const char *dirs = conf_str(h->conf, "log.dirs");
	struct str first;
	int32_t at = 0;
	char rel[PATH_MAX];

	if (!dirs || !*dirs)
		dirs = conf_str(h->conf, "log.dir");
	if (!dirs || !conf_list_next(str_of(dirs), &at, &first)) {
		snprintf(err, CONF_ERR_BYTES, "log.dirs is not set");
		return E_BAD;
	}
	char real[PATH_MAX];
	struct str second;
	if (conf_list_next(str_of(dirs), &at, &second)) {
		snprintf(err, CONF_ERR_BYTES,
			 "log.dirs names more than one folder (\"%.150s\"): partitions cannot be spread over several "
			 "log directories yet; name one, for instance on a volume that joins the disks", dirs);
		return E_BAD;
	}
	snprintf(rel, sizeof rel, "%.*s", (int)first.len, first.p);
	int made = shm_mkdir(rel);
	if (made != OK || !realpath(rel, real) || strlen(real) >= sizeof h->log_dir) {
		snprintf(err, CONF_ERR_BYTES, "cannot use the log directory %.200s: %s; see log.dirs", rel,
			 strerror(errno));
		return E_PERM;
	}
	memcpy(h->log_dir, real, strlen(real) + 1);
	choose_run_dir(h);
	snprintf(h->settings, sizeof h->settings, "%s/settings", h->run_dir);
	made = shm_mkdir(h->run_dir);
	if (made != OK) {
		snprintf(err, CONF_ERR_BYTES, "cannot make the run directory %s: %s; see run.dir", h->run_dir,
			 strerror(errno));
		return E_PERM;
	}
	h->no_tmpfs = !shm_is_tmpfs(h->run_dir);
	if (h->no_tmpfs) {
		snprintf(h->table, sizeof h->table, "/proc/self/fd/%d", FD_TABLE);
		snprintf(h->pages, sizeof h->pages, "/proc/self/fd/%d", FD_PAGES);
	} else {
		snprintf(h->table, sizeof h->table, "%s/table", h->run_dir);
		snprintf(h->pages, sizeof h->pages, "%s/pages", h->run_dir);
	}
	return OK;
}

static int usage(FILE *to)
{
	fputs("usage: moldau-broker [-n] [-c FILE] [--set NAME=VALUE]...\n"
	      "  -n                check the settings and exit\n"
	      "  -c FILE           the settings: name=value a line, names as in Apache Kafka\n"
	      "  --set NAME=VALUE  a setting that is stronger than the file\n"
	      "  --version         print the version and exit\n"
	      "See moldau-broker(8).\n", to);
	return to == stdout ? 0 : 2;
}

struct options {
	const char *role, *settings;	/* of a child: what it is; "check": the settings in force */
	const char *layout;		/* "check": of the release that runs */
	bool check;
	int idx;
};

/* What the command line says besides settings; >= 0: the program ends with this. */
static int read_options(int argc, char **argv, struct options *o)
{
	for (int i = 1; i < argc; i++) {
		const char *a = argv[i], *v = i + 1 < argc ? argv[i + 1] : NULL;

		if (strcmp(a, "-n") == 0) {
			o->check = true;
			continue;
		}
		if (strcmp(a, "--help") == 0)
			return usage(stdout);
		if (strcmp(a, "--version") == 0)
			return puts("moldau-broker " PACKAGE_VERSION) < 0;
		if (!v)
			return usage(stderr);
		if (strcmp(a, "--role") == 0)
			o->role = v;
		else if (strcmp(a, "--index") == 0)
			o->idx = (int)strtol(v, NULL, 10);
		else if (strcmp(a, "--in-force") == 0)
			o->settings = v;
		else if (strcmp(a, "--layout") == 0)
			o->layout = v;
		else if (strcmp(a, "-c") != 0 && strcmp(a, "--set") != 0)
			return usage(stderr);
		i++;
	}
	return -1;
}

static void count_processes(struct host *h)
{
	h->workers = (int)conf_int(h->conf, "workers");
	if (h->workers == 0)
		h->workers = (int)sysconf(_SC_NPROCESSORS_ONLN);
	h->workers = h->workers < 1 ? 1 : h->workers > PROC_WORKERS_MAX ? PROC_WORKERS_MAX : h->workers;
	h->groups = (int)conf_int(h->conf, "groups.processes");
	h->limits.parts = (uint32_t)conf_int(h->conf, "partitions.max");
	h->limits.producers = (uint32_t)conf_int(h->conf, "producers.max");
}

int main(int argc, char **argv)
{
	struct host h = { .conf = conf_open(), .argc = argc, .argv = argv };
	struct options o = { 0 };
	char err[CONF_ERR_BYTES] = "";
	struct rlimit lim;
	const char *over = getenv(HOST_HANDOVER);
	int st = read_options(argc, argv, &o);

	if (st >= 0)
		return st;
	host_layout(err, sizeof err);
	if (o.layout && strcmp(o.layout, err) != 0)
		return SUPER_OTHER_LAYOUT;
	st = over ? host_settings_in_force(&h, over, err) : host_settings(&h, o.role != NULL && !o.settings, err);
	if (st == OK && o.settings)
		return host_check_reload(&h, o.settings) == OK ? SUPER_DONE : SUPER_USAGE;
	if (st == OK && !o.check)
		st = find_dirs(&h, err);
	if (st < OK) {
		if (o.role)
			log_os("supervisor", LOG_OS_ERROR, err, NULL, NULL);
		else
			fprintf(stderr, "moldau-broker: %s\n", err);
		return st == E_PERM ? SUPER_FAILED : SUPER_USAGE;
	}
	if (o.check)
		return puts("the settings are valid") < 0;
	count_processes(&h);
	if (getrlimit(RLIMIT_NOFILE, &lim) == 0) {
		lim.rlim_cur = lim.rlim_max;
		setrlimit(RLIMIT_NOFILE, &lim);
	}
	return o.role ? run_role(&h, o.role, o.idx) : supervise(&h);
}
