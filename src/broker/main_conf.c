/*
 * main_conf.c - the settings of the broker: command line and file at the start, and a reload.
 *
 * The supervisor writes the settings in force to <run_dir>/settings; children read that and nothing else,
 * so an edited file reaches nobody before it was checked. A reload: a child of its own ("check") reads the
 * file as a start would, keeps the old values of what needs a restart, and writes <run_dir>/settings.new;
 * only if it was content the supervisor puts that in place and tells the others.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "broker/host.h"
#include "os/log_os.h"
#include "os/shm_os.h"

static void warn(void *ctx, const char *msg)
{
	(void)ctx;
	log_os("supervisor", LOG_OS_WARN, msg, NULL, NULL);
}

static int load_file(struct conf *c, const char *path, bool quiet, char *err)
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
	int st = conf_parse(c, path, text ? text : "", len, err, quiet ? NULL : warn, NULL);
	mem_free(text);
	return st;
}

static int set_one(struct conf *c, const char *kv, bool quiet, char *err)
{
	const char *eq = strchr(kv, '=');

	if (!eq) {
		snprintf(err, CONF_ERR_BYTES, "--set wants NAME=VALUE, not \"%s\"", kv);
		return E_BAD;
	}
	int st = conf_set(c, (struct str){ kv, (int32_t)(eq - kv) }, str_of(eq + 1), err);
	if (st == CONF_IGNORED && !quiet)
		warn(NULL, err);
	return st < 0 ? st : OK;
}

static int finish(struct host *h, char *err)
{
	int st = conf_check(h->conf, err);

	if (st < OK)
		return st;
	h->n_listeners = conf_listeners(h->conf, h->listeners, err);
	if (h->n_listeners < 0)
		return h->n_listeners;
	log_os_least(conf_str(h->conf, "log.level"));
	return OK;
}

int host_settings(struct host *h, bool quiet, char *err)
{
	static const char *const options[] = { "-c", "--set" };	/* so that the latter is stronger, wherever */
	int st = OK;

	for (int pass = 0; pass < 2; pass++)
		for (int i = 1; i + 1 < h->argc && st == OK; i++) {
			if (h->argv[i][0] != '-' || strcmp(h->argv[i], "-n") == 0)
				continue;
			if (strcmp(h->argv[i], options[pass]) == 0)
				st = pass == 0 ? load_file(h->conf, h->argv[i + 1], quiet, err) :
				     set_one(h->conf, h->argv[i + 1], quiet, err);
			i++;
		}
	return st == OK ? finish(h, err) : st;
}

int host_settings_in_force(struct host *h, const char *handover, char *err)
{
	const char *slash = strrchr(handover, '/');
	char path[600];

	snprintf(path, sizeof path, "%.*s/settings", (int)(slash ? slash - handover : 0), handover);
	int st = load_file(h->conf, path, true, err);
	return st == OK ? finish(h, err) : st;
}

void host_layout(char *ret, size_t cap)
{
	snprintf(ret, cap, "%d.%u.%u", HOST_LAYOUT, (unsigned)bell_layout(), (unsigned)part_table_layout());
}

int host_write_settings(const struct conf *c, const char *path)
{
	struct buf b;

	buf_init(&b, 1u << 20);
	conf_dump(c, &b);
	int err = b.bad ? E_LIMIT : shm_write(path, b.p, b.len);
	buf_release(&b);
	return err;
}

/* ---- reload ---- */

static void tell_difference(void *ctx, const struct conf_def *d, bool taken)
{
	(void)ctx;
	if (taken)
		log_os("supervisor", LOG_OS_INFO, "a setting changes", d->name, NULL);
	else
		log_os("supervisor", LOG_OS_WARN, "a setting keeps its old value until the broker is restarted",
		       d->name, NULL);
}

int host_check_reload(struct host *h, const char *settings)
{
	struct conf *old = conf_open();
	char err[CONF_ERR_BYTES], path[320];
	int st = load_file(old, settings, true, err);

	if (st == OK) {
		conf_reload(old, h->conf, tell_difference, NULL);
		st = conf_check(old, err);
	}
	if (st == OK) {
		snprintf(path, sizeof path, "%.300s.new", settings);
		st = host_write_settings(old, path);
		snprintf(err, sizeof err, "cannot write %s", path);
	}
	if (st != OK)
		log_os("supervisor", LOG_OS_ERROR, err, NULL, NULL);
	conf_free(old);
	return st;
}

void host_reload(struct host *h)
{
	struct conf *new = conf_open();
	char err[CONF_ERR_BYTES];

	if (load_file(new, h->settings, true, err) == OK)
		conf_reload(h->conf, new, NULL, NULL);
	conf_free(new);
	log_os_least(conf_str(h->conf, "log.level"));
}
