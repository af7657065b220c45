/* small.c - small whole files: topic id, leader epochs, meta.properties. */
#include "base/mem.h"
#include "log/log.h"

#define SMALL_MAX (4u << 20)	/* bytes of a file that is read whole: 150,000 epochs */
#define LIST_MAX (64u << 20)	/* bytes of the names of one folder */

int log_small_read(struct disk *d, const char *path, struct buf *ret)
{
	uint64_t size;
	size_t got = 0;
	int file, err = d->calls->open(d, path, DISK_RDONLY, &file);

	if (err)
		return err;
	buf_init(ret, SMALL_MAX);
	err = d->calls->size(d, file, &size);
	if (!err && size > SMALL_MAX)
		err = E_BAD;
	if (!err && size > 0) {
		uint8_t *p = buf_room(ret, (size_t)size);

		err = p ? d->calls->pread(d, file, p, (size_t)size, 0, &got) : E_LIMIT;
		ret->len = got;
	}
	d->calls->close(d, file);
	if (err)
		buf_release(ret);
	return err;
}

static void on_name(void *ctx, const char *name)
{
	buf_put(ctx, name, strlen(name) + 1);
}

int log_list(struct disk *d, const char *path, struct buf *ret)
{
	int err;

	buf_init(ret, LIST_MAX);
	err = d->calls->list(d, path, on_name, ret);
	if (!err && ret->bad)
		err = E_LIMIT;
	if (err)
		buf_release(ret);
	return err;
}

static void tmp_of(struct log_path *p, const char *path)
{
	log_path_init(p, path);
	log_path_add(p, ".tmp");
}

int log_small_put(struct disk *d, const char *path, const void *p, size_t n, bool sync)
{
	struct disk_piece v = { p, n };
	struct log_path tmp;
	int file, err;

	tmp_of(&tmp, path);
	err = d->calls->open(d, tmp.s, DISK_CREATE | DISK_TRUNC, &file);
	if (err)
		return err;
	for (uint64_t off = 0; !err && off < n; off += v.len) {	/* 1 MiB a call: io/disk.h */
		v.p = (const uint8_t *)p + off;
		v.len = n - off < (1u << 20) ? n - off : 1u << 20;
		err = d->calls->pwritev(d, file, &v, 1, off);
	}
	if (!err && sync)
		err = d->calls->sync(d, file);
	d->calls->close(d, file);
	return err;
}

int log_small_name(struct disk *d, const char *path)
{
	struct log_path tmp;

	tmp_of(&tmp, path);
	return d->calls->rename(d, tmp.s, path);
}

/* Both: path has the old bytes or the new ones, whoever dies. */
static int small_write(struct disk *d, const char *path, const void *p, size_t n, bool sync)
{
	int err = log_small_put(d, path, p, n, sync);

	return err ? err : log_small_name(d, path);
}

/* ---- text ------------------------------------------------------------------------------------ */

struct text {
	const uint8_t *p, *end;
};

/* The next line without its line feed; false: no more. */
static bool line(struct text *t, struct str *ret)
{
	const uint8_t *nl;

	if (t->p >= t->end)
		return false;
	nl = memchr(t->p, '\n', (size_t)(t->end - t->p));
	if (!nl)
		nl = t->end;
	*ret = (struct str){ (const char *)t->p, (int32_t)(nl - t->p) };
	t->p = nl + 1;
	return true;
}

/* A number at the start of *s, which is moved behind it and one blank. */
static bool number(struct str *s, int64_t *ret)
{
	int64_t v = 0;
	int32_t i = 0;
	bool minus = s->len > 0 && s->p[0] == '-';

	for (i = minus; i < s->len && s->p[i] >= '0' && s->p[i] <= '9'; i++) {
		if (v > (INT64_MAX - 9) / 10)
			return false;
		v = v * 10 + (s->p[i] - '0');
	}
	if (i == minus || (i < s->len && s->p[i] != ' '))
		return false;
	*ret = minus ? -v : v;
	i += i < s->len;
	s->p += i;
	s->len -= i;
	return true;
}

static bool starts(struct str s, const char *with, struct str *ret_rest)
{
	int32_t n = (int32_t)strlen(with);

	if (s.len < n || memcmp(s.p, with, (size_t)n) != 0)
		return false;
	*ret_rest = (struct str){ s.p + n, s.len - n };
	return true;
}

static void put_text(struct buf *b, const char *s)
{
	buf_put(b, s, strlen(s));
}

static void put_number(struct buf *b, int64_t v)
{
	char d[24];
	unsigned at = sizeof d;
	uint64_t u = v < 0 ? 0 - (uint64_t)v : (uint64_t)v;

	do
		d[--at] = (char)('0' + u % 10);
	while ((u /= 10) != 0);
	if (v < 0)
		d[--at] = '-';
	buf_put(b, d + at, sizeof d - at);
}

/* ---- partition.metadata ----------------------------------------------------------------------- */

static void beside(struct log_path *p, const char *folder, const char *name)
{
	log_path_init(p, folder);
	log_path_add(p, "/");
	log_path_add(p, name);
}

int log_topic_id_read(struct disk *d, const char *folder, struct uuid *ret)
{
	struct log_path p;
	struct buf b;
	struct str s, id;
	int err;

	beside(&p, folder, "partition.metadata");
	err = log_small_read(d, p.s, &b);
	if (err)
		return err;
	struct text t = { b.p, b.p + b.len };
	err = E_BAD;
	if (line(&t, &s) && str_is(s, "version: 0") && line(&t, &s) && starts(s, "topic_id: ", &id) &&
	    uuid_parse(id, ret))
		err = OK;
	buf_release(&b);
	return err;
}

int log_topic_id_write(struct disk *d, const char *folder, const struct uuid *id)
{
	char text[UUID_TEXT + 1];
	struct log_path p, body;

	beside(&p, folder, "partition.metadata");
	uuid_text(id, text);
	log_path_init(&body, "version: 0\ntopic_id: ");
	log_path_add(&body, text);
	return small_write(d, p.s, body.s, body.len, true);
}

/* ---- files of pairs --------------------------------------------------------------------------- */

/* Kafka's checkpoint text: a line with 0, one with the count, then a line a pair. on_pair: false:
 * the pair makes no sense. A file that lost its end is E_BAD, also in the middle of the last number. */
static int pairs_read(struct disk *d, const char *folder, const char *name,
		      bool (*on_pair)(void *ctx, int64_t a, int64_t b), void *ctx)
{
	int64_t version, count, a, b, seen = 0;
	struct log_path p;
	struct buf bytes;
	struct str s;
	int err;

	beside(&p, folder, name);
	err = log_small_read(d, p.s, &bytes);
	if (err)
		return err;
	struct text t = { bytes.p, bytes.p + bytes.len };
	err = E_BAD;
	if (bytes.len == 0 || bytes.p[bytes.len - 1] != '\n' || !line(&t, &s) || !number(&s, &version) ||
	    version != 0 || !line(&t, &s) || !number(&s, &count))
		goto out;
	while (seen < count && line(&t, &s)) {
		if (!number(&s, &a) || !number(&s, &b) || s.len > 0 || !on_pair(ctx, a, b))
			goto out;
		seen++;
	}
	if (seen == count && t.p == t.end)
		err = OK;
out:
	buf_release(&bytes);
	return err;
}

static void pairs_start(struct buf *b, uint32_t n)
{
	buf_init(b, SMALL_MAX);
	put_text(b, "0\n");
	put_number(b, n);
	put_text(b, "\n");
}

static void pairs_put(struct buf *b, int64_t x, int64_t y)
{
	put_number(b, x);
	put_text(b, " ");
	put_number(b, y);
	put_text(b, "\n");
}

static int pairs_write(struct disk *d, const char *folder, const char *name, struct buf *b, bool sync)
{
	struct log_path p;

	beside(&p, folder, name);
	int err = b->bad ? E_LIMIT : small_write(d, p.s, b->p, b->len, sync);
	buf_release(b);
	return err;
}

/* ---- leader-epoch-checkpoint ------------------------------------------------------------------ */

struct epochs {
	struct log_epoch *v;
	uint32_t n, cap;
};

static bool on_epoch(void *ctx, int64_t epoch, int64_t start)
{
	struct epochs *e = ctx;

	if (epoch < 0 || epoch > INT32_MAX || start < 0 || (e->n > 0 && epoch <= e->v[e->n - 1].epoch))
		return false;
	if (e->n == LOG_EPOCHS_MAX) {		/* keep the newest */
		memmove(e->v, e->v + 1, (LOG_EPOCHS_MAX - 1) * sizeof *e->v);
		e->n--;
	}
	if (e->n == e->cap) {
		e->cap = e->cap ? e->cap * 2 : 16;
		e->v = mem_resize(e->v, e->cap * sizeof *e->v);
	}
	e->v[e->n++] = (struct log_epoch){ (int32_t)epoch, start };
	return true;
}

int log_epochs_read(struct disk *d, const char *folder, struct log_epoch **ret_v, uint32_t *ret_n)
{
	struct epochs e = { .v = NULL };
	int err = pairs_read(d, folder, "leader-epoch-checkpoint", on_epoch, &e);

	if (err) {
		mem_free(e.v);
		return err;
	}
	*ret_v = e.v;
	*ret_n = e.n;
	return OK;
}

int log_epochs_write(struct disk *d, const char *folder, const struct log_epoch *v, uint32_t n,
		     bool sync)
{
	struct buf b;

	pairs_start(&b, n);
	for (uint32_t i = 0; i < n; i++)
		pairs_put(&b, v[i].epoch, v[i].start);
	return pairs_write(d, folder, "leader-epoch-checkpoint", &b, sync);
}

/* ---- truncation-checkpoint -------------------------------------------------------------------- */

struct cuts {
	struct log_cut *v;
	uint32_t n;
};

static bool on_cut(void *ctx, int64_t generation, int64_t end)
{
	struct cuts *c = ctx;

	if (c->n == LOG_CUTS_MAX || generation < 0 || end < 0 ||
	    (c->n > 0 && (generation <= c->v[c->n - 1].generation || end <= c->v[c->n - 1].end)))
		return false;
	c->v[c->n++] = (struct log_cut){ generation, end };
	return true;
}

int log_cuts_read(struct disk *d, const char *folder, struct log_cut v[LOG_CUTS_MAX], uint32_t *ret_n)
{
	struct cuts c = { .v = v };
	int err = pairs_read(d, folder, "truncation-checkpoint", on_cut, &c);

	*ret_n = err ? 0 : c.n;
	return err;
}

void log_cuts_add(struct log_cut v[LOG_CUTS_MAX], uint32_t *n, struct log_cut c)
{
	while (*n > 0 && v[*n - 1].end >= c.end)
		(*n)--;
	if (*n > 0 && v[*n - 1].generation >= c.generation)
		return;			/* a recovery that is done again */
	if (*n == LOG_CUTS_MAX) {
		v[1].end = v[0].end;
		memmove(v, v + 1, (LOG_CUTS_MAX - 1) * sizeof *v);
		(*n)--;
	}
	v[(*n)++] = c;
}

int log_cuts_write(struct disk *d, const char *folder, const struct log_cut *v, uint32_t n)
{
	struct buf b;

	pairs_start(&b, n);
	for (uint32_t i = 0; i < n; i++)
		pairs_put(&b, v[i].generation, v[i].end);
	return pairs_write(d, folder, "truncation-checkpoint", &b, true);
}

/* ---- meta.properties -------------------------------------------------------------------------- */

int log_dir_meta_read(struct disk *d, const char *log_dir, struct log_dir_meta *ret)
{
	struct log_dir_meta m = { .node_id = -1 };
	struct log_path p;
	struct buf b;
	struct str s, x;
	int64_t v;
	bool ok = true, version = false, newer = false, cluster = false;
	int err;

	beside(&p, log_dir, "meta.properties");
	err = log_small_read(d, p.s, &b);
	if (err)
		return err;
	struct text t = { b.p, b.p + b.len };
	while (line(&t, &s)) {
		if (starts(s, "version=", &x)) {
			version = str_is(x, "1");
			newer = number(&x, &v) && v > 1;
		} else if (starts(s, "cluster.id=", &x)) {
			ok &= cluster = uuid_parse(x, &m.cluster_id);
		} else if (starts(s, "directory.id=", &x)) {
			ok &= uuid_parse(x, &m.dir_id);
		} else if (starts(s, "node.id=", &x)) {
			ok &= number(&x, &v) && v >= 0 && v <= INT32_MAX;
			m.node_id = ok ? (int32_t)v : -1;
		} else if (starts(s, "moldau.table.generation=", &x)) {
			ok &= number(&x, &v) && v >= 0;
			m.table_generation = ok ? (uint64_t)v : 0;
		}
	}
	buf_release(&b);
	if (newer)
		return E_VERSION;
	if (!ok || !version || !cluster || m.node_id < 0)
		return E_BAD;
	*ret = m;
	return OK;
}

int log_dir_meta_write(struct disk *d, const char *log_dir, const struct log_dir_meta *m)
{
	char cluster[UUID_TEXT + 1], dir[UUID_TEXT + 1];
	struct log_path p;
	struct buf b;
	int err;

	uuid_text(&m->cluster_id, cluster);
	uuid_text(&m->dir_id, dir);
	buf_init(&b, SMALL_MAX);
	put_text(&b, "version=1\ncluster.id=");
	put_text(&b, cluster);
	put_text(&b, "\nnode.id=");
	put_number(&b, m->node_id);
	put_text(&b, "\ndirectory.id=");
	put_text(&b, dir);
	put_text(&b, "\nmoldau.table.generation=");
	put_number(&b, (int64_t)m->table_generation);
	put_text(&b, "\n");
	beside(&p, log_dir, "meta.properties");
	err = small_write(d, p.s, b.p, b.len, true);
	buf_release(&b);
	return err ? err : d->calls->sync_dir(d, log_dir);
}
