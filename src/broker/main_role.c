/*
 * main_role.c - one child of the supervisor: makes the ports over the operating system, fills the
 * role's environment, attaches the partition table, and runs the role's loop.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/mem.h"
#include "broker/host.h"
#include "broker/metrics.h"
#include "broker/role.h"
#include "broker/super.h"
#include "log/log.h"
#include "meta/image.h"
#include "os/clock_os.h"
#include "os/disk_os.h"
#include "os/http_os.h"
#include "os/lock_os.h"
#include "os/log_os.h"
#include "os/net_os.h"
#include "os/priv_os.h"
#include "os/proc_os.h"
#include "os/shm_os.h"
#include "os/tls_os.h"
#include "os/work_os.h"

#define TABLE_POLL_US 2000
#define BEATS_PER_HANG 8		/* signs of life in the time after which the supervisor kills */
#define WARM_THREADS 8
#define SYNC_THREADS 16
#define IMAGES_KEPT 4
#define NET_BYTES (UINT64_C(256) << 20)	/* of requests and what was read ahead, a process */
#define FRAME_MS 30000		/* in which a request that was begun must make some progress */

struct runner;

struct role_calls {
	const char *name;
	int (*start)(struct role_env *env);
	void (*wake)(struct role_env *env);
	void (*drain)(struct role_env *env);
	void (*reload)(struct role_env *env);	/* settings changed; NULL: they are read at each use */
};

static const struct role_calls roles[] = {
	{ "agent", agent_start, agent_wake, agent_drain, agent_reload },
	{ "storage", storage_start, storage_wake, storage_drain, NULL },
	{ "groups", groups_start, groups_wake, groups_drain, NULL },
	{ "worker", worker_start, worker_wake, worker_drain, NULL },
};

struct mapped {				/* an image and the memory it lies in */
	struct mapped *next;
	struct image *im;
	const void *mem;
	size_t bytes;
};

struct peer_worker {			/* a connection to another worker, to hand clients over */
	struct net_conn *conn;
	uint32_t handed;		/* since its connection count was last looked at */
	uint32_t seen;
};

struct runner {
	struct role_env env;		/* first member: callbacks get &env */
	struct host *h;
	const struct role_calls *calls;
	struct loop_os *loop;
	struct bell_port bell_port;
	char name[32];
	int table_fd;
	bool started;
	uint32_t generation;		/* which process of its role this is */
	uint64_t beat_us;
	struct tls_os *tls;		/* agent: of its connections to the quorum; NULL: they are plain */
	struct mapped *images;
	struct loop_timer poll, beat;
	struct role_listener listeners[CONF_LISTENERS_MAX];
	char names[CONF_LISTENERS_MAX][2][64];
	struct peer_worker peers[PROC_WORKERS_MAX];
};

static void ring(struct bell_port *b, unsigned proc)
{
	uint64_t one = 1;

	(void)b;
	if (write(FD_EVENT + (int)proc, &one, sizeof one) < 0)
		return;
}

static void env_log(struct role_env *env, int level, const char *msg, const char *detail, const char *hint)
{
	log_os(((struct runner *)env)->name, (enum log_level)level, msg, detail, hint);
}

static void env_ready(struct role_env *env)
{
	struct bell_life *l = bell_life(env->bells, env->proc);

	env_log(env, LOG_OS_INFO, "ready", NULL, NULL);
	atomic_store(&l->ready, ((struct runner *)env)->generation);
}

static void env_hold(struct role_env *env, int fd)
{
	(void)env;
	if (proc_hand(FD_HAND, fd >= 0 ? HAND_LIVE : HAND_WATCHED, fd) != OK)
		env_log(env, LOG_OS_WARN, "the supervisor does not take the liveness connection", NULL, NULL);
	if (fd >= 0)
		close(fd);
}

static void env_reset(struct role_env *env, const char *why)
{
	if (atomic_exchange(bell_word(env->bells, BELL_RESET), 1) != 0)
		return;
	env_log(env, LOG_OS_ERROR, "the partition table cannot be trusted any more", why,
		"All processes are restarted and it is made anew from the logs; check this machine's memory.");
}

/* ---- images ---- */

static void image_path(struct runner *r, uint64_t gen, char *ret, size_t cap)
{
	snprintf(ret, cap, "%s/image-%llu", r->h->run_dir, (unsigned long long)gen);
}

static int image_map(struct role_env *env, struct image **ret)
{
	struct runner *r = (struct runner *)env;
	char path[600];

	for (int i = 0; i < 3; i++) {
		uint64_t gen = atomic_load(bell_word(env->bells, BELL_IMAGE_GEN));
		struct mapped *m = mem_alloc(sizeof *m);

		image_path(r, gen, path, sizeof path);
		if (gen != 0 && shm_map_ro(path, &m->mem, &m->bytes) == OK) {
			int err = image_open(m->mem, m->bytes, &m->im);

			if (err == OK) {
				m->next = r->images;
				r->images = m;
				*ret = m->im;
				return OK;
			}
			shm_unmap(m->mem, m->bytes);
			mem_free(m);
			return err;
		}
		mem_free(m);	/* replaced in between: look again */
	}
	return E_AGAIN;
}

static void image_unmap(struct role_env *env, struct image *im)
{
	struct runner *r = (struct runner *)env;

	for (struct mapped **at = &r->images; *at; at = &(*at)->next)
		if ((*at)->im == im) {
			struct mapped *m = *at;

			*at = m->next;
			image_close(im);
			shm_unmap(m->mem, m->bytes);
			mem_free(m);
			return;
		}
}

static int image_publish(struct role_env *env, const void *block, size_t bytes)
{
	struct runner *r = (struct runner *)env;
	uint64_t gen = atomic_load(bell_word(env->bells, BELL_IMAGE_GEN)) + 1;
	char path[600];

	image_path(r, gen, path, sizeof path);
	int err = shm_write(path, block, bytes);
	if (err != OK)
		return err;
	atomic_store(bell_word(env->bells, BELL_IMAGE_GEN), gen);
	if (gen > IMAGES_KEPT) {
		image_path(r, gen - IMAGES_KEPT, path, sizeof path);
		unlink(path);
	}
	for (int i = 0; i < env->workers; i++)
		bell_nudge(env->bells, (unsigned)i);
	for (int i = 0; i < env->groups; i++)
		bell_nudge(env->bells, PROC_GROUPS + (unsigned)i);
	bell_nudge(env->bells, PROC_STORAGE);
	return OK;
}

/* ---- the partition table ---- */

static int table_grow(void *ctx, uint64_t off, uint64_t len)
{
	return shm_grow(((struct runner *)ctx)->table_fd, off, len);
}

static void mark_others(void *ctx, uint32_t slot, uint64_t mask)
{
	bell_mark_mask(((struct runner *)ctx)->env.bells, mask, slot);
}

static int table_attach(struct runner *r, const struct part_id *id, void *mem)
{
	int err = part_table_attach(mem, id, r->env.proc, r->env.disk, r->env.lock, r->h->log_dir, table_grow, r,
				    &r->env.table);

	if (err == OK)
		part_on_wake(r->env.table, mark_others, r);
	return err;
}

static int table_make(struct runner *r, struct part_id *id, const char *path)
{
	const struct part_limits *lim = &r->h->limits;
	struct log_dir_meta meta;
	void *mem;
	int err = log_dir_meta_read(r->env.disk, r->h->log_dir, &meta);

	if (err != OK)
		return err;
	err = shm_clear(path);
	if (err != OK)
		return err;
	meta.table_generation++;
	id->generation = meta.table_generation;
	err = log_dir_meta_write(r->env.disk, r->h->log_dir, &meta);
	if (err == OK)
		err = shm_map(path, part_table_bytes(lim), true, &mem, &r->table_fd);
	if (err == OK)
		err = part_table_format(mem, lim, id, r->env.lock, table_grow, r);
	return err == OK ? table_attach(r, id, mem) : err;
}

/* An existing table of the size that the settings ask for, mapped. E_RANGE: it has another size. */
static int table_map(struct runner *r, void **ret_mem)
{
	struct part_limits has;
	const void *head;
	size_t bytes;
	int err = shm_map_ro(r->h->table, &head, &bytes);

	if (err != OK)
		return err;
	err = part_table_limits(head, bytes, &has);
	if (err == OK && (has.parts != r->h->limits.parts || has.producers != r->h->limits.producers))
		err = E_RANGE;
	shm_unmap(head, bytes);
	return err == OK ? shm_map(r->h->table, part_table_bytes(&has), false, ret_mem, &r->table_fd) : err;
}

static int table_open(struct role_env *env, const struct part_id *id, bool make)
{
	struct runner *r = (struct runner *)env;
	struct part_id want = *id;
	char id_path[600];
	void *mem;

	snprintf(id_path, sizeof id_path, "%s/table.id", r->h->run_dir);
	int err = table_map(r, &mem);
	if (err == OK)
		err = table_attach(r, &want, mem);
	if (err != OK && atomic_load(bell_word(env->bells, BELL_TABLE_GEN)) != 0) {
		env_reset(env, err_text(err));	/* the others still work on what we cannot read */
		return E_DAMAGED;
	}
	if (err != OK && !make)
		return E_AGAIN;
	if (err != OK) {
		if (err == E_RANGE)
			env_log(env, LOG_OS_INFO, "the partition table is made anew",
				"partitions.max or producers.max changed", NULL);
		else if (err != E_NOENT)
			env_log(env, LOG_OS_WARN, "the partition table cannot be trusted and is made anew",
				err_text(err), NULL);
		err = table_make(r, &want, r->h->table);
	}
	if (err == OK)
		err = shm_write(id_path, &want, sizeof want);
	if (err == OK)
		atomic_store(bell_word(env->bells, BELL_TABLE_GEN), want.generation);
	return err;
}

/* The other roles: attach what the agent opened. */
static int table_follow(struct runner *r)
{
	const void *p;
	struct part_id id;
	size_t n;
	char path[600];
	void *mem;

	snprintf(path, sizeof path, "%s/table.id", r->h->run_dir);
	int err = shm_map_ro(path, &p, &n);
	if (err != OK)
		return err;
	if (n == sizeof id)
		memcpy(&id, p, sizeof id);
	shm_unmap(p, n);
	if (n != sizeof id)
		return E_BAD;
	err = table_map(r, &mem);
	return err == OK ? table_attach(r, &id, mem) : err;
}

/* ---- accepting clients: any worker accepts, the least loaded one serves ---- */

static void handed_frame(void *user, struct net_conn *c, uint8_t *frame, uint32_t len)
{
	struct runner *r = user;
	int fd = r->env.net->calls->take_fd(c);

	if (fd >= 0 && len == 1 && frame[0] < r->h->n_listeners)
		worker_adopt(&r->env, fd, frame[0]);
	else if (fd >= 0)
		close(fd);
	r->env.net->calls->frame_free(r->env.net, frame);
}

static void open_peer(struct runner *r, int worker);

static void handed_close(void *user, struct net_conn *c, int err)
{
	struct runner *r = user;

	(void)err;
	for (int i = 0; i < r->env.workers; i++)
		if (r->peers[i].conn == c)
			open_peer(r, i);
}

static const struct net_events handed_events = { .on_frame = handed_frame, .on_close = handed_close };

/* Before anybody is to be handed over: a burst of clients comes within one turn. The supervisor holds the
 * other end's listener, so a peer that is not up yet, or again, takes them when it is. */
static void open_peer(struct runner *r, int worker)
{
	struct peer_worker *p = &r->peers[worker];
	char at[600];

	snprintf(at, sizeof at, "unix:%s/worker-%d.sock", r->h->run_dir, worker);
	if (r->env.net->calls->connect(r->env.net, at, &handed_events, r, 16, &p->conn) != OK)
		p->conn = NULL;
}

static void on_handed(void *ctx, int fd)
{
	struct runner *r = ctx;
	struct net_conn *c;

	must(r->env.net->calls->adopt(r->env.net, fd, &handed_events, r, 16, &c) == OK);
}

static uint32_t conns_of(struct runner *r, int worker)
{
	struct peer_worker *p = &r->peers[worker];
	uint32_t n = atomic_load_explicit(&bell_load(r->env.bells, (unsigned)worker)->conns, memory_order_relaxed);

	if (n != p->seen) {
		p->seen = n;
		p->handed = 0;
	}
	return n + p->handed;
}

static bool hand_over(struct runner *r, int worker, int fd, int listener)
{
	struct peer_worker *p = &r->peers[worker];
	uint8_t frame[1] = { (uint8_t)listener };

	if (!p->conn) {
		open_peer(r, worker);
		return false;	/* this one stays here; the next goes over */
	}
	if (r->env.net->calls->send_fd(p->conn, fd, frame, 1) != OK)
		return false;
	p->handed++;
	close(fd);
	return true;
}

static void accepted(struct runner *r, int fd, int listener)
{
	int best = r->env.idx;

	for (int i = 0; i < r->env.workers; i++)
		if (conns_of(r, i) < conns_of(r, best))
			best = i;
	if (best == r->env.idx || !hand_over(r, best, fd, listener))
		worker_adopt(&r->env, fd, listener);
}

struct door {
	struct runner *r;
	int listener;
};

static void on_accept(void *ctx, int fd)
{
	struct door *d = ctx;

	accepted(d->r, fd, d->listener);
}

static void on_peer(void *ctx, int fd)
{
	struct runner *r = ctx;

	if (strcmp(r->calls->name, "agent") == 0)
		agent_peer(&r->env, fd);
	else
		groups_peer(&r->env, fd);
}

static void open_doors(struct runner *r)
{
	if (strcmp(r->calls->name, "agent") == 0)
		net_os_accept(r->loop, FD_AGENT, on_peer, r);
	else if (strcmp(r->calls->name, "groups") == 0)
		net_os_accept(r->loop, FD_GROUPS + r->env.idx, on_peer, r);
	if (strcmp(r->calls->name, "worker") != 0)
		return;
	net_os_accept(r->loop, FD_WORKER + r->env.idx, on_handed, r);
	for (int i = 0; i < r->env.workers; i++)
		if (i != r->env.idx)
			open_peer(r, i);
	for (int i = 0; i < r->h->n_listeners; i++) {
		struct door *d = mem_alloc(sizeof *d);

		d->r = r;
		d->listener = i;
		net_os_accept(r->loop, FD_LISTENER + i, on_accept, d);
	}
}

/* ---- /metrics ---- */

static void on_metrics(void *ctx, struct buf *page)
{
	metrics_text(ctx, page);
}

/* By the agent: it lives as long as the broker does and serves no clients. */
static void open_metrics(struct runner *r)
{
	for (int fd = FD_METRICS; fd < FD_METRICS + HOST_METRICS_MAX && fcntl(fd, F_GETFD) >= 0; fd++)
		if (http_os_serve_fd(r->loop, fd, "/metrics", "text/plain; version=0.0.4", on_metrics, &r->env) != OK)
			env_log(&r->env, LOG_OS_ERROR, "the metrics page cannot be served", NULL, NULL);
}

/* ---- start ---- */

static void begin(struct runner *r)
{
	int err = r->calls->start(&r->env);

	if (err < 0) {
		env_log(&r->env, LOG_OS_ERROR, "the process cannot start", err_text(err), NULL);
		bool unfit = err == E_FOREIGN || err == E_VERSION;

		r->env.loop->calls->stop(r->env.loop, unfit ? SUPER_UNFIT : SUPER_FAILED);
		return;
	}
	r->started = true;
	open_doors(r);
}

static void poll_table(struct loop_timer *t)
{
	struct runner *r = t->user;
	int err = E_AGAIN;

	bell_beat(r->env.bells, r->env.clock->mono_us(r->env.clock) / 1000);
	if (atomic_load(bell_word(r->env.bells, BELL_TABLE_GEN)) != 0)
		err = table_follow(r);
	if (err == E_DAMAGED || err == E_VERSION || err == E_FOREIGN || err == E_RANGE)
		env_reset(&r->env, err_text(err));
	if (err == OK)
		begin(r);
	else
		r->env.loop->calls->timer_set(r->env.loop, t, TABLE_POLL_US);
}

/* An idle role still shows that its loop turns. */
static void on_beat(struct loop_timer *t)
{
	struct runner *r = t->user;

	bell_beat(r->env.bells, r->env.clock->mono_us(r->env.clock) / 1000);
	r->env.loop->calls->timer_set(r->env.loop, t, r->beat_us);
}

static void on_wake(void *ctx)
{
	struct runner *r = ctx;
	bool all = false;

	if (r->started)
		r->calls->wake(&r->env);
	/* What the role did not take it does not look at; left there, it would keep the loop awake. */
	while (bell_take(r->env.bells, &all) != UINT32_MAX)
		;
}

static void on_signal(void *ctx, int signo)
{
	struct runner *r = ctx;

	if (signo == SIGHUP) {
		host_reload(r->h);
		if (r->tls)
			tls_os_reload(r->tls, r->name);
		if (r->started && r->calls->reload)
			r->calls->reload(&r->env);
		return;
	}
	if (signo == SIGUSR1) {
		(void)log_os_reopen();		/* the supervisor says it, once */
		return;
	}
	if (r->started)
		r->calls->drain(&r->env);
	else
		r->env.loop->calls->stop(r->env.loop, 0);
}

/* False: the files cannot be used; it said so. */
static bool open_tls(struct runner *r)
{
	const struct conf *conf = r->h->conf;
	const char *cert = conf_str(conf, "quorum.tls.certificate"), *key = conf_str(conf, "quorum.tls.key");
	const char *ca = conf_str(conf, "quorum.tls.ca");
	char why[400] = "quorum.tls.certificate, quorum.tls.key and quorum.tls.ca go together";

	if (!cert && !key && !ca)
		return true;
	if (!cert || !key || !ca || tls_os_new(cert, key, ca, TLS_CLIENT_NEED, &r->tls, why, sizeof why) != OK) {
		log_os(r->name, LOG_OS_ERROR, "no TLS with the quorum", why,
		       "Mend quorum.tls.* or the files that it names.");
		return false;
	}
	net_os_tls(r->env.net, r->tls, r->name);
	return true;
}

static void fill_env(struct runner *r, int idx)
{
	struct host *h = r->h;
	struct role_env *env = &r->env;
	const char *role = r->calls->name;
	uint64_t seed;

	os_random(&seed, sizeof seed);
	rng_init(&env->rng, seed);
	env->proc = strcmp(role, "agent") == 0 ? PROC_AGENT : strcmp(role, "storage") == 0 ? PROC_STORAGE :
		    strcmp(role, "groups") == 0 ? PROC_GROUPS + (unsigned)idx : (unsigned)idx;
	env->idx = idx;
	env->conf = h->conf;
	env->loop = loop_os_port(r->loop);
	int64_t idle_ms = conf_int(h->conf, "connections.max.idle.ms");
	env->net = net_os_new(r->loop, NET_BYTES);
	if (idle_ms > 0)
		net_os_patience(env->net, FRAME_MS, (uint64_t)idle_ms);
	env->disk = disk_os_new(r->loop, env->proc == PROC_STORAGE ? SYNC_THREADS : WARM_THREADS);
	env->work = strcmp(role, "worker") == 0 ? work_os_new(r->loop) : NULL;
	env->lock = lock_os();
	env->clock = clock_os();
	env->memory_bytes = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
	env->workers = h->workers;
	env->groups = h->groups;
	env->node_id = (int32_t)conf_int(h->conf, conf_is_set(h->conf, "node.id") ||
					 !conf_is_set(h->conf, "broker.id") ? "node.id" : "broker.id");
	env->log_dir = h->log_dir;
	env->run_dir = h->run_dir;
	for (int i = 0; i < h->n_listeners; i++) {
		struct conf_listener *l = &h->listeners[i];

		snprintf(r->names[i][0], sizeof r->names[i][0], "%.*s", (int)l->name.len, l->name.p);
		snprintf(r->names[i][1], sizeof r->names[i][1], "%.*s", (int)l->protocol.len, l->protocol.p);
		r->listeners[i] = (struct role_listener){ r->names[i][0], r->names[i][1], i };
	}
	env->listeners = r->listeners;
	env->n_listeners = h->n_listeners;
	env->image_map = image_map;
	env->image_unmap = image_unmap;
	env->image_publish = image_publish;
	env->table_open = table_open;
	env->hold = env_hold;
	env->reset = env_reset;
	env->log = env_log;
	env->ready = env_ready;
}

/* Before anything of the role runs, and before it has threads. */
static void confine(struct runner *r)
{
	const char *role = r->calls->name;
	unsigned rights = strcmp(role, "agent") == 0 ? PRIV_INET | PRIV_ACCEPT :
			  strcmp(role, "storage") == 0 ? 0 : PRIV_ACCEPT;

	if (!conf_bool(r->h->conf, "sandbox"))
		return;
	int err = priv_confine(r->name, rights);
	if (err == E_VERSION)
		log_os(r->name, LOG_OS_DEBUG, "no filter of system calls in this kernel or build", NULL, NULL);
	else if (err != OK)
		log_os(r->name, LOG_OS_WARN, "rights could not be given up", err_text(err), "See the setting sandbox.");
}

int run_role(struct host *h, const char *role, int idx)
{
	struct runner *r = mem_alloc(sizeof *r);
	char path[600];
	void *mem;
	int fd;

	for (size_t i = 0; i < sizeof roles / sizeof roles[0]; i++)
		if (strcmp(roles[i].name, role) == 0)
			r->calls = &roles[i];
	if (!r->calls || idx < 0 || idx >= PROC_WORKERS_MAX)
		return 2;
	(void)log_os_open(conf_str(h->conf, "log.output"));	/* the supervisor could; else its stderr is ours */
	r->h = h;
	r->table_fd = -1;
	r->bell_port.ring = ring;
	snprintf(r->name, sizeof r->name, "%s-%d", role, idx);
	snprintf(path, sizeof path, "mb:%s", r->name);
	prctl(PR_SET_NAME, path);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGINT, SIG_IGN);
	signal(SIGUSR2, SIG_IGN);
	for (int i = FD_EVENT; i <= FD_LAST; i++)
		if (fcntl(i, F_GETFD) >= 0)
			fcntl(i, F_SETFD, FD_CLOEXEC);
	confine(r);
	r->loop = loop_os_new();
	fill_env(r, idx);
	int err = shm_map(h->pages, bell_bytes(h->limits.parts), false, &mem, &fd);
	if (err != OK) {
		log_os(r->name, LOG_OS_ERROR, "cannot map the shared pages", h->pages,
		       "This process is started by the supervisor, not by hand.");
		return 1;
	}
	r->env.bells = bell_attach(mem, bell_bytes(h->limits.parts), r->env.proc, &r->bell_port);
	r->generation = atomic_load(&bell_life(r->env.bells, r->env.proc)->generation);
	r->beat_us = (uint64_t)conf_int(h->conf, "process.hang.timeout.ms") * 1000 / BEATS_PER_HANG;
	loop_os_bell(r->loop, r->env.bells, FD_EVENT + (int)r->env.proc, on_wake, r);
	loop_os_signal(r->loop, SIGTERM, on_signal, r);
	loop_os_signal(r->loop, SIGHUP, on_signal, r);
	loop_os_signal(r->loop, SIGUSR1, on_signal, r);
	r->beat.fire = on_beat;
	r->beat.user = r;
	on_beat(&r->beat);
	if (r->env.proc == PROC_AGENT) {
		if (!open_tls(r))
			return SUPER_DENIED;
		open_metrics(r);
		begin(r);
	} else {
		r->poll.fire = poll_table;
		r->poll.user = r;
		r->env.loop->calls->timer_set(r->env.loop, &r->poll, 0);
	}
	return loop_os_run(r->loop);
}
