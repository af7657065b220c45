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
#include "base/mem.h"
#include "broker/host.h"
#include "broker/super.h"
#include "config.h"
#include "os/log_os.h"
#include "os/shm_os.h"

static void warn(void *ctx, const char *msg)
{
	if (!ctx)
		log_os("supervisor", LOG_OS_WARN, msg, NULL, NULL);
}

static int load_file(struct conf *c, const char *path, char *err, bool quiet)
{
	FILE *f = fopen(path, "re");
	char *text = NULL;
	size_t len = 0, got;
	char chunk[4096];

	if (!f) {
		snprintf(err, CONF_ERR_BYTES, "cannot read %s: %s", path, strerror(errno));
		return E_NOENT;
	}
	while ((got = fread(chunk, 1, sizeof chunk, f)) > 0) {
		text = mem_resize(text, len + got);
		memcpy(text + len, chunk, got);
		len += got;
	}
	fclose(f);
	int st = conf_parse(c, path, text ? text : "", len, err, warn, quiet ? err : NULL);
	mem_free(text);
	return st;
}

static int set_one(struct conf *c, const char *kv, char *err, bool quiet)
{
	const char *eq = strchr(kv, '=');

	if (!eq) {
		snprintf(err, CONF_ERR_BYTES, "--set wants NAME=VALUE, not \"%s\"", kv);
		return E_BAD;
	}
	int st = conf_set(c, (struct str){ kv, (int32_t)(eq - kv) }, str_of(eq + 1), err);
	if (st == CONF_IGNORED)
		warn(quiet ? err : NULL, err);
	return st < 0 ? st : OK;
}

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
	snprintf(h->table, sizeof h->table, "%s/table", h->run_dir);
	snprintf(h->pages, sizeof h->pages, "%s/pages", h->run_dir);
	made = shm_mkdir(h->run_dir);
	if (made != OK) {
		snprintf(err, CONF_ERR_BYTES, "cannot make the run directory %s: %s; see run.dir", h->run_dir,
			 strerror(errno));
		return E_PERM;
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

int main(int argc, char **argv)
{
	struct host h = { .conf = conf_open(), .argc = argc, .argv = argv };
	const char *role = NULL;
	bool check = false;
	char err[CONF_ERR_BYTES] = "";
	int idx = 0, st = OK;

	for (int i = 1; i < argc && st == OK; i++) {
		const char *a = argv[i], *v = i + 1 < argc ? argv[i + 1] : NULL;

		if (strcmp(a, "-n") == 0)
			check = true;
		else if (strcmp(a, "--help") == 0)
			return usage(stdout);
		else if (strcmp(a, "--version") == 0) {
			puts("moldau-broker " PACKAGE_VERSION);
			return 0;
		} else if (!v)
			return usage(stderr);
		else if (strcmp(a, "-c") == 0)
			st = load_file(h.conf, argv[++i], err, role != NULL);
		else if (strcmp(a, "--set") == 0)
			st = set_one(h.conf, argv[++i], err, role != NULL);
		else if (strcmp(a, "--role") == 0)
			role = argv[++i];
		else if (strcmp(a, "--index") == 0)
			idx = (int)strtol(argv[++i], NULL, 10);
		else
			return usage(stderr);
	}
	if (st == OK)
		st = conf_check(h.conf, err);
	if (st >= OK) {
		st = conf_listeners(h.conf, h.listeners, err);
		h.n_listeners = st;
	}
	if (st >= OK && !check)
		st = find_dirs(&h, err);
	if (st < OK) {
		fprintf(stderr, "moldau-broker: %s\n", err);
		return st == E_PERM ? SUPER_FAILED : SUPER_USAGE;
	}
	if (check) {
		puts("the settings are valid");
		return 0;
	}
	h.workers = (int)conf_int(h.conf, "workers");
	if (h.workers == 0)
		h.workers = (int)sysconf(_SC_NPROCESSORS_ONLN);
	h.workers = h.workers < 1 ? 1 : h.workers > PROC_WORKERS_MAX ? PROC_WORKERS_MAX : h.workers;
	h.groups = (int)conf_int(h.conf, "groups.processes");
	h.limits.parts = (uint32_t)conf_int(h.conf, "partitions.max");
	h.limits.producers = (uint32_t)conf_int(h.conf, "producers.max");
	struct rlimit lim;
	if (getrlimit(RLIMIT_NOFILE, &lim) == 0) {
		lim.rlim_cur = lim.rlim_max;
		setrlimit(RLIMIT_NOFILE, &lim);
	}
	return role ? run_role(&h, role, idx) : supervise(&h);
}
