/*
 * test_import.c - the files of a real ZooKeeper 3.8.0 (tests/golden/zk/import) give the tree that it gave after a
 * restart, from each of its snapshots; what replay has to bear; passwords; bytes that are wrong.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/adler32.h"
#include "base/be.h"
#include "base/mem.h"
#include "coord/import.h"

#define FILE_MAX (1u << 20)
#define WHY 256

static const struct coord_rules no_rules = { .flags = 0 };

static uint8_t *slurp(const char *name, size_t *ret_len)
{
	const char *src = getenv("srcdir");
	char path[512];

	snprintf(path, sizeof path, "%s/tests/golden/zk/import/%s", src ? src : ".", name);
	FILE *f = fopen(path, "rb");

	cr_assert(f != NULL, "%s", path);
	uint8_t *p = mem_alloc(FILE_MAX);

	*ret_len = fread(p, 1, FILE_MAX - 1, f);
	fclose(f);
	return p;
}

static const char *const logs[] = { "log.1", "log.58", "log.8d", "log.c5", "log.10d", "log.141", "log.196", "log.1db",
				    "log.233" };
#define LOGS (sizeof logs / sizeof logs[0])

/* From one snapshot on; `first`: the first log that is read. */
static struct coord *import_from(const char *snapshot, int64_t zxid, size_t first, struct import_stats *st)
{
	struct coord_import *im = import_new();
	struct coord *c = NULL;
	char why[WHY] = "";
	size_t len;
	uint8_t *p = slurp(snapshot, &len);

	cr_assert_eq(import_snapshot(im, zxid, p, len, why, sizeof why), OK, "%s", why);
	mem_free(p);
	for (size_t i = first; i < LOGS; i++) {
		p = slurp(logs[i], &len);
		cr_assert_eq(import_log(im, p, len, why, sizeof why), OK, "%s: %s", logs[i], why);
		mem_free(p);
	}
	cr_assert_eq(import_end(im, 0, &no_rules, &c, st, why, sizeof why), OK, "%s", why);
	import_free(im);
	return c;
}

static void put_hex(char *to, const uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		sprintf(to + 2 * i, "%02x", p[i]);
	to[2 * n] = 0;
}

/* One line of the file `tree` as the node has it. */
static void print_node(const struct znode *n, char *to)
{
	char path[COORD_PATH_MAX + 1];
	struct bytes acl = coord_acl_bytes(n->acl);
	struct coord_stat s;

	coord_stat(n, &s);
	to += sprintf(to, "%s %s", coord_path(n, path).p, n->value_len < 0 ? "null" : "=");
	put_hex(to, n->value, n->value_len > 0 ? (size_t)n->value_len : 0);
	to += strlen(to);
	to += sprintf(to, " %lld %lld %lld %lld %d %d %d %lld %d %d %lld ", (long long)s.czxid, (long long)s.mzxid,
		      (long long)s.ctime_ms, (long long)s.mtime_ms, s.version, s.cversion, s.aversion,
		      (long long)s.owner, s.data_len, s.children, (long long)s.pzxid);
	put_hex(to, acl.p, (size_t)acl.len);
}

static void compare(const struct coord *c)
{
	static char want[65536], got[65536];
	uint64_t lines = 0;
	size_t len;
	char *text = (char *)slurp("tree", &len), *rest = text, *line;

	while ((line = strsep(&rest, "\n")) && *line) {
		char *space = strchr(line, ' ');
		const struct znode *n = coord_find(c, (struct str){ line, (int32_t)(space - line) });

		cr_assert(n != NULL, "%s", line);
		snprintf(want, sizeof want, "%s", line);
		print_node(n, got);
		cr_assert_str_eq(got, want);
		lines++;
	}
	/* coord_nodes() leaves out three, and the root is none of it */
	cr_assert_eq(coord_nodes(c) + 3, lines);
	cr_assert_gt(lines, 40);
	mem_free(text);
}

Test(import, the_tree_of_a_real_one_from_each_snapshot)
{
	static const struct {
		const char *name;
		int64_t zxid;
		size_t first;
	} from[] = { { "snapshot.0", 0, 0 }, { "snapshot.1b1", 0x1b1, 6 }, { "snapshot.210", 0x210, 7 } };

	for (size_t i = 0; i < sizeof from / sizeof from[0]; i++) {
		struct import_stats st;
		struct coord *c = import_from(from[i].name, from[i].zxid, from[i].first, &st), *again = coord_new();
		struct buf b;
		uint32_t containers = 0, ttls = 0;

		compare(c);
		cr_assert_eq(st.digest, IMPORT_DIGEST_SAME);
		cr_assert_eq(st.sessions, 4);
		cr_assert_gt(st.transactions, 0);
		for (const struct znode *n = coord_timed_next(c, NULL); n; n = coord_timed_next(c, n)) {
			containers += n->kind == ZNODE_CONTAINER;
			ttls += n->kind == ZNODE_TTL;
			cr_assert(n->kind == ZNODE_CONTAINER || n->ttl_ms == 1000000000);
		}
		cr_assert(containers > 0 && ttls > 0 && coord_ephemerals(c) > 0);
		/* I3 */
		buf_init(&b, 1u << 24);
		coord_save(c, &b);
		cr_assert_eq(coord_load(again, b.p, (uint32_t)b.len), OK);
		compare(again);
		cr_assert_eq(coord_bytes(again), coord_bytes(c));
		buf_release(&b);
		coord_free(again);
		coord_free(c);
	}
}

/* A snapshot with a root alone, and logs made here. */

struct made {
	struct buf b;
	size_t record;			/* where the transaction begins that is being written */
};

static void seal(struct buf *b)
{
	buf_be64(b, adler32_of(1, b->p, b->len));
	buf_be32(b, 1);
	buf_put(b, "/", 1);
}

static void put_text(struct buf *b, const char *s)
{
	buf_be32(b, (uint32_t)strlen(s));
	buf_put(b, s, strlen(s));
}

static void begin(struct made *m, const char *magic)
{
	buf_init(&m->b, 1u << 20);
	buf_put(&m->b, magic, 4);
	buf_be32(&m->b, 2);
	buf_be64(&m->b, 0);
}

static void node_with(struct made *m, const char *path, int64_t rights, int64_t owner, uint32_t creates, int64_t pzxid)
{
	put_text(&m->b, path);
	buf_be32(&m->b, 0);		/* value */
	buf_be64(&m->b, (uint64_t)rights);
	buf_be64(&m->b, 1);
	buf_be64(&m->b, 1);
	buf_be64(&m->b, 7);
	buf_be64(&m->b, 7);
	buf_be32(&m->b, 0);
	buf_be32(&m->b, creates);
	buf_be32(&m->b, 0);
	buf_be64(&m->b, (uint64_t)owner);
	buf_be64(&m->b, (uint64_t)pzxid);
}

static void node(struct made *m, const char *path, int64_t owner, uint32_t creates, int64_t pzxid)
{
	node_with(m, path, -1, owner, creates, pzxid);
}

static void snapshot_head(struct made *m, int64_t session, uint32_t timeout)
{
	begin(m, "ZKSN");
	buf_be32(&m->b, session != 0);
	if (session) {
		buf_be64(&m->b, (uint64_t)session);
		buf_be32(&m->b, timeout);
	}
	buf_be32(&m->b, 0);
	node(m, "", 0, 0, 0);
}

static void snapshot_end(struct made *m)
{
	put_text(&m->b, "/");
	seal(&m->b);
}

static void txn(struct made *m, int64_t session, int64_t zxid, int32_t type)
{
	m->record = m->b.len;
	buf_be64(&m->b, 0);
	buf_be32(&m->b, 0);
	buf_be64(&m->b, (uint64_t)session);
	buf_be32(&m->b, 0);
	buf_be64(&m->b, (uint64_t)zxid);
	buf_be64(&m->b, 1000 + (uint64_t)zxid);
	buf_be32(&m->b, (uint32_t)type);
}

static void txn_end(struct made *m)
{
	uint8_t *p = m->b.p + m->record;
	uint32_t n = (uint32_t)(m->b.len - m->record - 12);

	be32_put(p + 8, n);
	be64_put(p, adler32_of(1, p + 12, n));
	buf_put(&m->b, "B", 1);
}

static void create_body(struct buf *b, const char *path, bool ephemeral, int32_t creates)
{
	put_text(b, path);
	put_text(b, "v");
	buf_be32(b, 1);
	buf_be32(b, 31);
	put_text(b, "world");
	put_text(b, "anyone");
	buf_u8(b, ephemeral);
	buf_be32(b, (uint32_t)creates);
}

static void put_create(struct made *m, int64_t session, int64_t zxid, const char *path, bool ephemeral, int32_t creates)
{
	txn(m, session, zxid, 1);
	create_body(&m->b, path, ephemeral, creates);
	txn_end(m);
}

static void put_delete(struct made *m, int64_t zxid, const char *path)
{
	txn(m, 0, zxid, 2);
	put_text(&m->b, path);
	txn_end(m);
}

static struct coord *finish(struct made *snap, int64_t zxid, struct made *log, int want, char *why,
			    struct import_stats *st)
{
	struct coord_import *im = import_new();
	struct coord *c = NULL;
	int err;

	why[0] = 0;
	err = import_snapshot(im, zxid, snap->b.p, snap->b.len, why, WHY);
	if (!err && log)
		err = import_log(im, log->b.p, log->b.len, why, WHY);
	if (!err)
		err = import_end(im, 0, &no_rules, &c, st, why, WHY);
	cr_assert_eq(err, want, "%s: %s", err_name(err), why);
	import_free(im);
	return c;
}

static void release(struct made *a, struct made *b)
{
	buf_release(&a->b);
	buf_release(&b->b);
}

static struct coord_stat stat_of(struct coord *c, const char *path)
{
	struct coord_stat s;
	const struct znode *n = coord_find(c, str_of(path));

	cr_assert(n != NULL, "%s", path);
	coord_stat(n, &s);
	return s;
}

/* The snapshot was taken under load: what comes from the log has been there, or has come and gone. */
Test(import, a_snapshot_that_is_ahead_of_the_log)
{
	struct made s, l;
	struct import_stats st;
	char why[WHY];

	snapshot_head(&s, 0, 0);
	node(&s, "/a", 0, 9, 14);	/* of zxid 13, with a child of 14 already */
	node(&s, "/a/b", 0, 0, 0);
	node(&s, "/p", 0, 9, 16);
	node(&s, "/p/q", 0, 0, 0);
	node(&s, "/z", 0, 1, 18);
	snapshot_end(&s);
	begin(&l, "ZKLG");
	put_create(&l, 0, 11, "/p/q", false, 3);	/* there: the parent's numbers do not go back (I2) */
	put_delete(&l, 12, "/a");			/* goes with what is below it */
	put_create(&l, 0, 13, "/a", false, 2);
	put_create(&l, 0, 14, "/a/b", false, 1);
	put_delete(&l, 15, "/a/nothing");		/* gone already: pzxid tells */
	put_delete(&l, 16, "/z/gone");			/* a later one has told of itself already */
	put_create(&l, 0, 17, "/p/q", false, 10);	/* another incarnation of it, which the snapshot has */
	put_create(&l, 0, 18, "/x/y", false, 1);	/* its parent is gone already */
	put_delete(&l, 19, "/p/gone");
	put_create(&l, 0, 20, "/p/r", false, 8);	/* there and gone again */
	struct coord *c = finish(&s, 10, &l, OK, why, &st);
	struct coord_stat a = stat_of(c, "/a"), b = stat_of(c, "/a/b");

	cr_assert_eq(a.czxid, 13);
	cr_assert_eq(a.cversion, 1);
	cr_assert_eq(a.pzxid, 15);
	cr_assert_eq(b.czxid, 14);
	cr_assert_eq(b.ctime_ms, 1014);
	struct coord_stat p = stat_of(c, "/p");

	cr_assert_eq(p.cversion, 2 * 10 - 2);
	cr_assert_eq(p.pzxid, 19);
	cr_assert_eq(stat_of(c, "/").children, 4);	/* /a, /p, /z and /zookeeper */
	cr_assert_eq(stat_of(c, "/z").pzxid, 18);
	cr_assert_eq(coord_zxid(c), 20);
	cr_assert_eq(st.transactions, 10);
	coord_free(c);
	release(&s, &l);
}

Test(import, a_multi_counts_as_one_and_a_failed_one_not_at_all)
{
	struct made s, l;
	struct import_stats st;
	char why[WHY];

	snapshot_head(&s, 0, 0);
	snapshot_end(&s);
	begin(&l, "ZKLG");
	for (int failed = 0; failed < 2; failed++) {
		struct buf b;

		txn(&l, 0, 1 + failed, 14);
		buf_be32(&l.b, 2);
		buf_init(&b, 1000);
		create_body(&b, failed ? "/no" : "/yes", false, 1);
		buf_be32(&l.b, 1);
		buf_be32(&l.b, (uint32_t)b.len);
		buf_put(&l.b, b.p, b.len);
		buf_release(&b);
		buf_be32(&l.b, failed ? UINT32_MAX : 13);	/* an error, or a check */
		buf_be32(&l.b, failed ? 4 : 12);
		if (!failed)
			put_text(&l.b, "/yes");
		buf_be32(&l.b, 0);
		txn_end(&l);
	}
	struct coord *c = finish(&s, 0, &l, OK, why, &st);

	cr_assert(coord_find(c, STR("/yes")) && !coord_find(c, STR("/no")));
	cr_assert_eq(coord_zxid(c), 2);
	coord_free(c);
	release(&s, &l);
}

/* ZooKeeper writes its table of rights in the order of a HashMap; null and empty lists allow everything. */
Test(import, rights_in_any_order)
{
	struct made s;
	struct import_stats st;
	char why[WHY], path[8];

	begin(&s, "ZKSN");
	buf_be32(&s.b, 0);
	buf_be32(&s.b, 50);
	for (int64_t id = 5000; id > 0; id -= 100) {
		buf_be64(&s.b, (uint64_t)id);
		buf_be32(&s.b, id == 200 ? 0 : id == 300 ? UINT32_MAX : 1);
		if (id == 200 || id == 300)
			continue;
		buf_be32(&s.b, (uint32_t)id);
		put_text(&s.b, "world");
		put_text(&s.b, "anyone");
	}
	node(&s, "", 0, 0, 0);
	for (int64_t id = 100; id <= 5000; id += 100) {
		snprintf(path, sizeof path, "/%d", (int)id);
		node_with(&s, path, id, 0, 0, 0);
	}
	snapshot_end(&s);
	struct coord *c = finish(&s, 10, NULL, OK, why, &st);

	for (int64_t id = 100; id <= 5000; id += 100) {
		snprintf(path, sizeof path, "/%d", (int)id);
		const struct znode *n = coord_find(c, str_of(path));

		cr_assert(id == 200 || id == 300 ? !n->acl : be32_get(n->acl->p + 4) == id);
	}
	coord_free(c);
	buf_release(&s.b);
	snapshot_head(&s, 0, 0);
	node_with(&s, "/a", 7, 0, 0, 0);
	snapshot_end(&s);
	finish(&s, 10, NULL, E_DAMAGED, why, &st);
	buf_release(&s.b);
}

/* ids and passwords of sessions that a ZooKeeper 3.8.0 opened */
Test(import, sessions_keep_zookeepers_password)
{
	static const uint8_t password[16] = { 0xfc, 0x59, 0xaa, 0xb9, 0xd9, 0xe9, 0x45, 0x63, 0x3a, 0x53, 0xea, 0x7e,
					      0x4a, 0xd4, 0xa5, 0x2b };
	const int64_t id = 0x10002b1d7320000;
	struct made s, l;
	struct import_stats st;
	char why[WHY];

	snapshot_head(&s, id, 4000);
	node(&s, "/of-it", id, 0, 0);
	node(&s, "/of-nobody", 5, 0, 0);
	node(&s, "/container", INT64_MIN, 0, 0);
	node(&s, "/ttl", (int64_t)(UINT64_C(0xff) << 56 | 77), 0, 0);
	snapshot_end(&s);
	begin(&l, "ZKLG");
	txn(&l, 6, 21, -10);
	buf_be32(&l.b, 9000);
	txn_end(&l);
	put_create(&l, 6, 22, "/of-6", true, 7);
	txn(&l, 7, 23, -10);
	buf_be32(&l.b, 9000);
	txn_end(&l);
	put_create(&l, 7, 24, "/of-7", true, 8);
	txn(&l, 6, 25, -11);		/* without its paths, as before 3.6 */
	txn_end(&l);
	struct coord *c = finish(&s, 20, &l, OK, why, &st);
	struct coord_session *x = coord_session(c, id);

	cr_assert(x && x->client && x->timeout_ms == 4000 && memcmp(x->password, password, 16) == 0);
	cr_assert_eq(stat_of(c, "/of-it").owner, id);
	cr_assert_eq(stat_of(c, "/of-7").owner, 7);
	cr_assert(!coord_session(c, 6) && !coord_find(c, STR("/of-6")) && !coord_find(c, STR("/of-nobody")));
	cr_assert(st.sessions == 2 && st.ended == 1);
	cr_assert_eq(coord_find(c, STR("/container"))->kind, ZNODE_CONTAINER);
	cr_assert(coord_find(c, STR("/ttl"))->kind == ZNODE_TTL && coord_find(c, STR("/ttl"))->ttl_ms == 77);
	cr_assert_eq(stat_of(c, "/").pzxid, 25);
	coord_free(c);
	release(&s, &l);
}

Test(import, a_log_that_does_not_follow)
{
	static const struct {
		int64_t from, to;
		int err;
	} cases[] = {
		{ 5, 6, OK }, { 5, 7, E_DAMAGED }, { 5, INT64_C(1) << 32 | 1, OK }, { 5, INT64_C(3) << 32 | 1, OK },
		{ 5, INT64_C(1) << 32 | 2, E_DAMAGED }, { 5, 5, OK /* passed over */ },
		{ 5, INT64_C(0x10000) << 32 | 1, E_LIMIT },
	};

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct made s, l;
		struct import_stats st;
		char why[WHY];

		snapshot_head(&s, 0, 0);
		snapshot_end(&s);
		begin(&l, "ZKLG");
		put_create(&l, 0, cases[i].to, "/n", false, 1);
		struct coord *c = finish(&s, cases[i].from, &l, cases[i].err, why, &st);

		cr_assert(!c || (coord_find(c, STR("/n")) != NULL) == (cases[i].to > cases[i].from));
		coord_free(c);
		release(&s, &l);
	}
}

Test(import, what_cannot_be_kept_is_refused_by_name)
{
	struct coord_rules few = { .nodes_max = 1 }, reserve = { .flags = COORD_RESERVE };
	struct made s;
	struct import_stats st;
	char why[WHY], path[5001];
	struct coord *c;

	for (int i = 0; i < 5; i++) {
		struct coord_import *im = import_new();

		memset(path, 'p', sizeof path - 1);
		path[0] = '/';
		path[5000] = 0;
		snapshot_head(&s, 0, 0);
		node(&s, i == 0 ? "/topics" : i == 1 ? "/a" : i == 2 ? "/\x01" : i == 3 ? path : "/zookeepe", 0, 0,
		     i == 4 ? 11 : 0);
		snapshot_end(&s);
		int err = import_snapshot(im, 10, s.b.p, s.b.len, why, sizeof why);

		if (!err)
			err = import_end(im, 0, i == 0 ? &reserve : i == 1 ? &few : &no_rules, &c, &st, why,
					 sizeof why);
		cr_assert_eq(err, i == 0 ? E_EXIST : i == 4 ? E_DAMAGED : E_LIMIT, "%d: %s", i, why);
		cr_assert(strstr(why, i == 0 ? "/topics: " : i == 1 ? "zookeeper-nodes-max=1" : i == 2 ? "no client" :
				 i == 3 ? "4096" : "/zookeepe: "), "%s", why);
		import_free(im);
		buf_release(&s.b);
	}
}

/* Cut off anywhere, or with a wrong byte anywhere: not taken, whatever else is wrong with it then. */
Test(import, a_snapshot_is_whole_or_refused)
{
	struct coord_import *im = import_new();
	char why[WHY];
	size_t len;
	uint8_t *p = slurp("snapshot.1b1", &len);

	for (size_t n = 0; n < len; n += 1 + n / 300)	/* 33 bytes of digest may be missing altogether */
		cr_assert(n == len - 33 || import_snapshot(im, 0x1b1, p, n, why, sizeof why) == E_DAMAGED, "%zu", n);
	for (size_t i = 0; i < len; i += 1 + i / 100) {
		p[i] ^= 0x10;
		int err = import_snapshot(im, 0x1b1, p, len, why, sizeof why);

		cr_assert_eq(err, E_DAMAGED, "%zu: %d", i, err);
		p[i] ^= 0x10;
	}
	cr_assert_eq(import_snapshot(im, 0x1b1, p, len, why, sizeof why), OK);
	mem_free(p);
	import_free(im);
}

/* Cut off anywhere it ends there; a wrong byte is never taken for another transaction. */
Test(import, a_log_ends_or_is_refused)
{
	struct coord_import *im = import_new();
	size_t len, slen, plen;
	uint8_t *snap = slurp("snapshot.0", &slen), *p = slurp("log.1", &len), *whole = slurp("log.1", &plen);
	char why[WHY];

	for (size_t n = 16; n <= len; n += 7) {
		cr_assert_eq(import_snapshot(im, 0, snap, slen, why, sizeof why), OK);
		cr_assert_eq(import_log(im, p, n, why, sizeof why), OK, "%zu: %s", n, why);
	}
	for (size_t i = 0; i < len - 64; i += 3) {
		p[i] ^= 1;
		cr_assert_eq(import_snapshot(im, 0, snap, slen, why, sizeof why), OK);
		int err = import_log(im, p, len, why, sizeof why);

		/* in the last one a length that goes beyond the end looks like one that was cut off */
		cr_assert(err != OK || i > len - 64 - 200 || (i >= 8 && i < 16), "%zu: %d", i, err);
		p[i] = whole[i];
	}
	mem_free(snap);
	mem_free(p);
	mem_free(whole);
	import_free(im);
}
