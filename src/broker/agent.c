/*
 * agent.c - the broker's agent: session with the quorum, mirror of the metadata, cluster image.
 *
 * It may be killed at any time: the session's id and password lie in the run folder, so a new agent
 * takes the session over; the table and the last image stay where they are meanwhile.
 */
#include "broker/agent.h"

#include <stdatomic.h>
#include <stdio.h>

#include "base/assert.h"
#include "base/mem.h"
#include "base/text.h"
#include "log/log.h"
#include "wire/mp.h"

#define TICK_US 200000
#define SOON_US 1000
#define REOPEN_US 200000		/* at least so long between two new sessions */
#define SETTLE_US 500000		/* an image waits this long for its new partitions to serve */
#define IMAGE_MAX (UINT64_C(1) << 30)
#define ADDRESSES_MAX 16

static const struct q_events events;

void agent_log(struct agent *a, int level, const char *msg, const char *detail, const char *hint)
{
	a->env->log(a->env, level, msg, detail, hint);
}

uint64_t agent_now_us(const struct agent *a)
{
	return a->env->clock->mono_us(a->env->clock);
}

void agent_fail(struct agent *a, enum super_status why, const char *msg, const char *detail, const char *hint)
{
	if (a->failed)
		return;
	a->failed = true;
	agent_log(a, LOG_ERROR, msg, detail, hint);
	a->env->loop->calls->stop(a->env->loop, (int)why);
}

static void timer(struct agent *a, struct loop_timer *t, uint64_t us)
{
	a->env->loop->calls->timer_set(a->env->loop, t, us);
}

/* ---- storage identity ---- */

static void read_boot_id(struct agent *a, char *ret, size_t n)
{
	struct disk *d = a->env->disk;
	size_t got = 0;
	int file;

	if (d->calls->open(d, "/proc/sys/kernel/random/boot_id", DISK_RDONLY, &file) != OK)
		return;
	if (d->calls->pread(d, file, ret, n - 1, 0, &got) == OK && got > 0)
		ret[got - (ret[got - 1] == '\n')] = 0;
	d->calls->close(d, file);
}

static void random_uuid(struct rng *r, struct uuid *u)
{
	for (int i = 0; i < 16; i++)
		u->b[i] = (uint8_t)(rng_next(r) >> 32);
	u->b[6] = (uint8_t)((u->b[6] & 0x0f) | 0x40);
	u->b[8] = (uint8_t)((u->b[8] & 0x3f) | 0x80);
}

static bool foreign(struct agent *a, const char *what, struct str ours, struct str theirs)
{
	char line[256];
	struct text t = text_open(line, sizeof line);

	text_add(&t, what);
	text_add(&t, " of the folder: ");
	text_str(&t, theirs);
	text_add(&t, "; of this broker: ");
	text_str(&t, ours);
	agent_fail(a, SUPER_UNFIT, "the log folder belongs to another broker or cluster", line,
	     "Point log.dirs to this broker's own folder.");
	return false;
}

/* meta.properties is ours, or is made; the table is opened. cluster null: the quorum was not heard yet, so
 * nothing is written and only a table that is there already is taken. */
static bool open_storage(struct agent *a, const struct uuid *cluster)
{
	struct role_env *env = a->env;
	struct log_dir_meta meta = { 0 };
	struct part_id id = { .node_id = env->node_id };
	int rc = log_dir_meta_read(env->disk, env->log_dir, &meta);
	char x[UUID_TEXT + 1], y[UUID_TEXT + 1];

	if (a->table_open || (rc == E_NOENT && !cluster))
		return a->table_open;
	if (rc == E_NOENT) {
		meta = (struct log_dir_meta){ .cluster_id = *cluster, .node_id = env->node_id };
		random_uuid(&env->rng, &meta.dir_id);
		(void)env->disk->calls->mkdir(env->disk, env->log_dir);
		rc = log_dir_meta_write(env->disk, env->log_dir, &meta);
	}
	if (rc == E_VERSION || rc == E_BAD) {
		agent_fail(a, SUPER_UNFIT, rc == E_VERSION ? "a newer release wrote the log folder" :
		     "meta.properties of the log folder makes no sense", env->log_dir,
		     rc == E_VERSION ? "Use that release, or point log.dirs to this broker's own folder." :
		     "Bring it back from a backup, or point log.dirs to another folder.");
		return false;
	}
	if (rc != OK) {
		agent_fail(a, SUPER_DENIED, "cannot read or write meta.properties", err_text(rc), env->log_dir);
		return false;
	}
	if (meta.node_id != env->node_id) {
		struct text t = text_open(x, sizeof x), u = text_open(y, sizeof y);

		text_i64(&t, env->node_id);
		text_i64(&u, meta.node_id);
		return foreign(a, "node.id", str_of(x), str_of(y));
	}
	const char *wanted = conf_str(env->conf, "cluster.id");

	uuid_text(&meta.cluster_id, y);
	if (wanted && strcmp(wanted, y) != 0)
		return foreign(a, "cluster.id", str_of(wanted), str_of(y));
	if (cluster && !uuid_eq(cluster, &meta.cluster_id)) {
		uuid_text(cluster, x);
		return foreign(a, "cluster.id", str_of(x), str_of(y));
	}
	read_boot_id(a, id.boot_id, sizeof id.boot_id);
	id.cluster_id = meta.cluster_id;
	id.dir_id = meta.dir_id;
	id.generation = meta.table_generation;
	uuid_text(&meta.cluster_id, a->cluster_id);
	rc = env->table_open(env, &id, cluster != NULL);
	if (rc == E_AGAIN)
		return false;		/* made when the quorum says that the folder is its cluster's */
	if (rc == E_DAMAGED) {
		agent_fail(a, SUPER_FAILED, "cannot attach the partition table", err_text(rc), NULL);
		return false;
	}
	if (rc != OK) {
		agent_fail(a, SUPER_DENIED, "cannot open the partition table", err_text(rc), env->run_dir);
		return false;
	}
	a->table_open = true;
	return true;
}

/* ---- session ---- */

struct saved_session {
	int64_t id;
	uint8_t password[16];
};

static void session_path(struct agent *a, char *room, size_t n)
{
	struct text t = text_open(room, n);

	text_add(&t, a->env->run_dir);
	text_add(&t, "/agent.session");
}

static void session_load(struct agent *a, struct saved_session *s)
{
	struct disk *d = a->env->disk;
	char path[600];
	size_t got = 0;
	int file;

	memset(s, 0, sizeof *s);
	session_path(a, path, sizeof path);
	if (d->calls->open(d, path, DISK_RDONLY, &file) != OK)
		return;
	if (d->calls->pread(d, file, s, sizeof *s, 0, &got) != OK || got != sizeof *s)
		memset(s, 0, sizeof *s);
	d->calls->close(d, file);
}

static void session_save(struct agent *a, bool clear)
{
	struct disk *d = a->env->disk;
	struct saved_session s = { 0 };
	char path[600];
	int file;

	if (!clear)
		s.id = q_session(a->q, s.password);
	session_path(a, path, sizeof path);
	if (d->calls->open(d, path, DISK_CREATE, &file) != OK)
		return;
	struct disk_piece piece = { &s, sizeof s };

	(void)d->calls->pwritev(d, file, &piece, 1, 0);
	d->calls->close(d, file);
}

static void quorum_open(struct agent *a)
{
	static const struct str prefixes[] = { STR("/topics"), STR("/config"), STR("/brokers"), STR("/producer-ids") };
	struct role_env *env = a->env;
	const char *addresses[ADDRESSES_MAX];
	char name[48];
	struct text t = text_open(name, sizeof name);
	struct saved_session saved;
	struct str one;
	int n = 0;

	struct str list = str_of(conf_str(env->conf, "quorum.bootstrap"));

	for (int32_t at = 0; n < ADDRESSES_MAX && conf_list_next(list, &at, &one);)
		addresses[n++] = mem_strdup(one.p, (size_t)one.len);
	text_add(&t, "broker ");
	text_i64(&t, env->node_id);
	text_add(&t, " agent");
	session_load(a, &saved);
	struct q_options opt = {
		.addresses = addresses, .n_addresses = n, .name = name, .liveness_fd = -1,
		.session_timeout_ms = (uint32_t)conf_int(env->conf, "broker.session.timeout.ms"),
		.cluster_id = a->cluster_id[0] ? a->cluster_id : conf_str(env->conf, "cluster.id"),
		.session_id = saved.id,
	};

	memcpy(opt.password, saved.password, sizeof opt.password);
	int rc = q_open(env->net, env->loop, env->clock, &opt, &events, a, &a->q);

	for (int i = 0; i < n; i++)
		mem_free((void *)(uintptr_t)addresses[i]);
	if (rc != OK) {
		agent_fail(a, SUPER_FAILED, "cannot open a session with the quorum", err_text(rc),
			   "See quorum.bootstrap.");
		return;
	}
	q_subscribe(a->q, prefixes, 4, 0);
}

static void on_reopen(struct loop_timer *t)
{
	struct agent *a = t->user;

	q_detach(a->q);
	a->q = NULL;
	a->reopened_us = agent_now_us(a);
	session_save(a, true);
	quorum_open(a);
}

static void made_folder(void *ctx, int err, int64_t zxid, const struct q_op_result *v, uint32_t n)
{
	(void)ctx, (void)err, (void)zxid, (void)v, (void)n;	/* E_EXIST is what we want */
}

static void make_folders(struct agent *a)
{
	static const char *const paths[] = { "/topics", "/config", "/config/topics", "/config/brokers", "/brokers",
					     "/brokers/ids" };
	static const uint8_t empty[] = { 0x91, META_FORMAT };
	char room[2][64];

	for (size_t i = 0; i < sizeof paths / sizeof *paths + 2; i++) {
		struct q_op op = { .kind = Q_CREATE, .value = { empty, sizeof empty }, .version = -1 };

		if (i < sizeof paths / sizeof *paths) {
			op.path = str_of(paths[i]);
		} else {
			struct text t = text_open(room[0], sizeof room[0]);

			text_add(&t, "/brokers/");
			text_i64(&t, a->env->node_id);
			if (i > sizeof paths / sizeof *paths)
				text_add(&t, "/workers");
			op.path = (struct str){ t.p, (int32_t)t.len };
		}
		q_multi(a->q, &op, 1, made_folder, a);
	}
}

/* The quorum does not want us. */
static void refused(struct agent *a, int why)
{
	if (why == E_FOREIGN)
		agent_fail(a, SUPER_UNFIT, "the quorum is another cluster's",
		     a->cluster_id[0] ? a->cluster_id : conf_str(a->env->conf, "cluster.id"),
		     "That is the cluster.id of the log folder or the settings. Correct quorum.bootstrap, or point "
		     "log.dirs to a folder of that cluster.");
	else
		agent_fail(a, SUPER_UNFIT, "the quorum speaks another protocol version", NULL,
		     "Use the same release for both.");
}

/* The supervisor holds it too, before the quorum watches it: so our own death alone ends nothing. */
static void on_live(void *user, struct net_conn *c, bool watched)
{
	struct agent *a = user;
	int fd = watched ? -1 : a->env->net->calls->dup_fd(c);

	if (watched || fd >= 0)
		a->env->hold(a->env, fd);
}

static void on_state(void *user, enum q_state s)
{
	struct agent *a = user;
	struct uuid cluster;
	const char *id;

	switch (s) {
	case Q_READY:
		id = q_cluster_id(a->q);
		if (!uuid_parse(str_of(id), &cluster)) {
			agent_fail(a, SUPER_FAILED, "the quorum gave no cluster id", id, NULL);
			return;
		}
		if (!a->table_open && !open_storage(a, &cluster))
			return;		/* it said why */
		session_save(a, false);
		make_folders(a);
		a->registering = false;
		timer(a, &a->tick, 0);
		break;
	case Q_EXPIRED:
		a->registered = a->registering = false;
		a->workers_mine = a->workers_asked = 0;
		if (q_why(a->q) == E_FOREIGN || q_why(a->q) == E_VERSION)
			refused(a, q_why(a->q));
		else
			timer(a, &a->reopen, agent_now_us(a) - a->reopened_us < REOPEN_US ? REOPEN_US : 0);
		break;
	case Q_CONNECTING:
	case Q_CLOSED:
		break;
	}
}

/* ---- the feed ---- */

static void on_changes(void *user, int64_t zxid, const struct q_change *v, uint32_t n)
{
	struct agent *a = user;
	struct meta *m = a->loading ? a->loading : a->m;
	char path[META_PATH_MAX];

	for (uint32_t i = 0; i < n; i++) {
		struct meta_change c = {
			.deleted = v[i].deleted, .path = v[i].node.path, .value = v[i].node.value,
			.version = v[i].node.version, .czxid = v[i].node.czxid, .owner = v[i].node.owner,
		};
		int rc = meta_apply(m, &c);

		a->gone |= v[i].deleted;
		if (rc == OK)
			continue;
		struct text t = text_open(path, sizeof path);

		text_str(&t, c.path);
		if (rc == E_VERSION) {
			agent_fail(a, SUPER_UNFIT, "a newer release wrote this metadata", path, "Upgrade this broker.");
			return;
		}
		agent_log(a, LOG_ERROR, "a node of the metadata makes no sense and is left out", path, err_text(rc));
	}
	m->zxid = zxid;
	a->dirty = true;
}

static void on_snapshot_begin(void *user, int64_t zxid)
{
	struct agent *a = user;

	(void)zxid;
	meta_free(a->loading);
	a->loading = meta_open();
}

static void on_snapshot_end(void *user, int64_t zxid)
{
	struct agent *a = user;

	if (!a->loading)
		return;
	meta_free(a->m);
	a->m = a->loading;
	a->loading = NULL;
	a->m->zxid = zxid;
	a->synced = a->dirty = a->gone = true;
	timer(a, &a->tick, 0);
}

static const struct q_events events = {
	.on_state = on_state, .on_changes = on_changes,
	.on_snapshot_begin = on_snapshot_begin, .on_snapshot_end = on_snapshot_end, .on_live = on_live,
};

static void on_tick(struct loop_timer *t)
{
	struct agent *a = t->user;

	bell_beat(a->env->bells, agent_now_us(a) / 1000);
	if (a->q && q_state(a->q) == Q_READY && a->synced && !a->failed)
		agent_register(a);
	agent_jobs(a);
	timer(a, t, TICK_US);
}

/* ---- the image ---- */

static void publish(struct agent *a)
{
	struct buf b;
	uint64_t gen = atomic_load(bell_word(a->env->bells, BELL_IMAGE_GEN)) + 1;

	buf_init(&b, IMAGE_MAX);
	int rc = meta_image(a->m, a->env->conf, a->env->node_id, str_of(a->cluster_id), gen, &b);

	if (rc == OK)
		rc = a->env->image_publish(a->env, b.p, b.len);
	if (rc != OK)
		agent_log(a, LOG_ERROR, "the cluster image could not be published", err_text(rc), NULL);
	a->dirty = rc != OK;
	a->published |= rc == OK;
	a->image_zxid = a->m->zxid;
	buf_release(&b);
}

/* The image that clients are answered from names this broker: a moment after the quorum took its registration. */
static bool serving(const struct agent *a)
{
	const struct meta_broker *self = meta_broker(a->m, a->env->node_id);

	return a->published && !a->dirty && a->registered && self && self->registered;
}

/* End of a turn: slots and leaders, then one image for all that changed in it. */
static int turn(void *ctx)
{
	struct agent *a = ctx;

	if (!a->synced || !a->table_open || a->failed)
		return 0;
	if (a->dirty || a->pending > 0)
		agent_parts(a);
	if (a->dirty && (a->pending == 0 || agent_now_us(a) - a->pending_since_us > SETTLE_US)) {
		publish(a);
		if (a->gone && !a->dirty) {
			a->gone = false;
			agent_parts_gone(a);
		}
	}
	if (a->pending > 0 || a->dirty)
		timer(a, &a->soon, SOON_US);
	if (!a->ready_told && serving(a)) {
		a->ready_told = true;
		a->env->ready(a->env);
	}
	agent_jobs(a);
	return 0;
}

static void on_soon(struct loop_timer *t)
{
	(void)t;			/* the turn hook does the work */
}

int agent_start(struct role_env *env)
{
	struct agent *a = mem_alloc(sizeof *a);
	char err[CONF_ERR_BYTES];

	env->role = a;
	a->env = env;
	a->m = meta_open();
	a->queue_end = &a->queue;
	a->listeners_n = conf_listeners(env->conf, a->listeners, err);
	if (a->listeners_n < 0) {
		agent_log(a, LOG_ERROR, "the listeners make no sense", err, NULL);
		return E_BAD;
	}
	random_uuid(&env->rng, &a->incarnation);
	a->tick.fire = on_tick;
	a->soon.fire = on_soon;
	a->reopen.fire = on_reopen;
	a->tick.user = a->soon.user = a->reopen.user = a;
	env->loop->calls->turn_hook(env->loop, turn, a);
	open_storage(a, NULL);
	if (!a->failed)
		quorum_open(a);
	timer(a, &a->tick, 0);
	return OK;			/* fail() has stopped the loop and said why */
}

void agent_wake(struct role_env *env)
{
	struct agent *a = env->role;
	bool all = false;

	while (bell_take(env->bells, &all) != UINT32_MAX)
		;			/* storage finished slots: the turn hook looks at what is pending */
	(void)a;
}

void agent_peer(struct role_env *env, int fd)
{
	agent_peer_adopt(env->role, fd);
}

void agent_reload(struct role_env *env)
{
	struct agent *a = env->role;

	a->dirty = true;		/* the image holds the settings of topics */
}

void agent_drain(struct role_env *env)
{
	struct agent *a = env->role;

	if (a->q && atomic_load(bell_word(env->bells, BELL_DRAINING)) == 0) {
		q_detach(a->q);		/* this process alone ends: the next one takes the session over */
		a->q = NULL;
	} else if (a->q) {
		q_close(a->q);		/* the session ends: the others know at once */
		a->q = NULL;
		session_save(a, true);
	}
	env->loop->calls->stop(env->loop, 0);
}
