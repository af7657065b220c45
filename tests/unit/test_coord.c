/* test_coord.c - the coordination tree: semantics case by case, then random batches beside a model. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"
#include "coord/coord.h"

static int64_t zxid;

static struct coord_result run(struct coord *c, struct buf *b)
{
	struct coord_result r;

	cr_assert_eq(coord_apply(c, ++zxid, b->p, (uint32_t)b->len, &r), OK);
	return r;
}

static struct coord_result multi(struct coord *c, int64_t session, const struct coord_op *v, uint32_t n)
{
	struct buf b, ops;

	buf_init(&b, 1 << 24);
	buf_init(&ops, 1 << 24);
	mp_put_array(&ops, n);
	for (uint32_t i = 0; i < n; i++)
		coord_encode_op(&ops, &v[i]);
	coord_encode_multi(&b, zxid, session, ops.p, (uint32_t)ops.len);
	struct coord_result r = run(c, &b);

	buf_release(&b);
	buf_release(&ops);
	return r;
}

static struct coord_op op(enum coord_op_kind k, const char *path, const char *value, int32_t version, unsigned flags)
{
	return (struct coord_op){
		.kind = k, .flags = flags, .path = str_of(path), .version = version,
		.value = value ? (struct bytes){ (const uint8_t *)value, (int32_t)strlen(value) } : BYTES_NULL,
	};
}

static int one(struct coord *c, int64_t s, enum coord_op_kind k, const char *path, const char *value, int32_t version)
{
	struct coord_op o = op(k, path, value, version, 0);

	return multi(c, s, &o, 1).err;
}

static int64_t open_session(struct coord *c)
{
	struct buf b;
	static const uint8_t password[16] = "0123456789abcde";

	buf_init(&b, 1024);
	coord_encode_open(&b, 5, password, 1000, str_of("test"));
	int64_t id = run(c, &b).session;
	buf_release(&b);
	return id;
}

static struct coord_result close_session(struct coord *c, int64_t id)
{
	struct buf b;

	buf_init(&b, 1024);
	coord_encode_close(&b, 5, id);
	struct coord_result r = run(c, &b);
	buf_release(&b);
	return r;
}

static void same_after_reload(struct coord *c)
{
	struct coord *d = coord_new();
	struct buf a, b;

	buf_init(&a, 1 << 26);
	buf_init(&b, 1 << 26);
	coord_save(c, &a);
	cr_assert_eq(coord_load(d, a.p, (uint32_t)a.len), OK);
	coord_save(d, &b);
	cr_assert_eq(a.len, b.len);
	cr_assert_eq(memcmp(a.p, b.p, a.len), 0);
	for (uint32_t cut = 0; cut < a.len; cut += 1 + cut / 8) {	/* never a crash, never accepted */
		struct coord *e = coord_new();

		cr_assert_neq(coord_load(e, a.p, cut), OK);
		coord_free(e);
	}
	coord_free(d);
	buf_release(&a);
	buf_release(&b);
}

Test(coord, errors_of_each_op)
{
	struct coord *c = coord_new();
	int64_t s = open_session(c);

	cr_expect_eq(one(c, s, COORD_CREATE, "/a/b", "x", -1), E_NOENT);
	cr_expect_eq(one(c, s, COORD_CREATE, "/a", "x", -1), OK);
	cr_expect_eq(one(c, s, COORD_CREATE, "/a", "x", -1), E_EXIST);
	cr_expect_eq(one(c, s, COORD_CREATE, "/a/b", "x", -1), OK);
	cr_expect_eq(one(c, s, COORD_DELETE, "/a", NULL, -1), E_LIMIT);
	cr_expect_eq(one(c, s, COORD_DELETE, "/", NULL, -1), E_BAD);
	cr_expect_eq(one(c, s, COORD_SET, "/no", "x", -1), E_NOENT);
	cr_expect_eq(one(c, s, COORD_SET, "/a", "y", 1), E_CONFLICT);
	cr_expect_eq(one(c, s, COORD_SET, "/a", "y", 0), OK);
	cr_expect_eq(one(c, s, COORD_CHECK, "/a", NULL, 0), E_CONFLICT);
	cr_expect_eq(one(c, s, COORD_CHECK, "/a", NULL, 1), OK);
	cr_expect_eq(one(c, 12345, COORD_CHECK, "/a", NULL, 1), E_CLOSED);
	struct coord_op e = op(COORD_CREATE, "/e", "x", -1, COORD_EPHEMERAL);
	cr_expect_eq(multi(c, s, &e, 1).err, OK);
	cr_expect_eq(one(c, s, COORD_CREATE, "/e/x", "x", -1), E_PERM);
	same_after_reload(c);
	coord_free(c);
	cr_expect_eq(mem_live(), 0);
}

Test(coord, paths)
{
	static const struct { const char *path; bool ok; } v[] = {
		{ "/", true }, { "/a", true }, { "/a/b.c", true }, { "/..a", true }, { "", false }, { "a", false },
		{ "/a/", false }, { "//", false }, { "/a//b", false }, { "/.", false }, { "/a/..", false },
		{ "/a\x01", false }, { "/\xc3\xa9", true },
	};

	for (size_t i = 0; i < sizeof v / sizeof v[0]; i++)
		cr_expect_eq(coord_path_ok(str_of(v[i].path)), v[i].ok, "%s", v[i].path);
}

Test(coord, sequences_count_creates_and_never_go_back)
{
	struct coord *c = coord_new();
	struct coord_op o = op(COORD_CREATE, "/q/n-", "x", -1, COORD_SEQUENCE);

	cr_assert_eq(one(c, 0, COORD_CREATE, "/q", NULL, -1), OK);
	cr_expect(str_is(multi(c, 0, &o, 1).ops[0].path, "/q/n-0000000000"));
	cr_assert_eq(one(c, 0, COORD_DELETE, "/q/n-0000000000", NULL, -1), OK);
	cr_expect(str_is(multi(c, 0, &o, 1).ops[0].path, "/q/n-0000000001"));
	same_after_reload(c);
	coord_free(c);
}

Test(coord, batch_is_atomic_and_sees_itself)
{
	struct coord *c = coord_new();
	struct coord_op v[] = { op(COORD_CREATE, "/a", "1", -1, 0), op(COORD_CREATE, "/a/b", "2", -1, 0),
				op(COORD_SET, "/a", "3", 0, 0), op(COORD_DELETE, "/a/b", NULL, -1, 0),
				op(COORD_CHECK, "/a", NULL, 7, 0) };
	struct buf a, b;

	buf_init(&a, 1 << 20);
	buf_init(&b, 1 << 20);
	cr_assert_eq(one(c, 0, COORD_CREATE, "/z", "x", -1), OK);
	coord_save(c, &a);
	struct coord_result r = multi(c, 0, v, 5);
	cr_expect_eq(r.err, E_CONFLICT);
	cr_expect_eq(r.ops[4].err, E_CONFLICT);
	cr_expect_eq(r.ops[0].err, E_AGAIN);
	cr_expect_eq(r.nchanges, 0);
	cr_expect_null(coord_find(c, str_of("/a")));
	r = multi(c, 0, v, 4);
	cr_expect_eq(r.err, OK);
	cr_expect_eq(r.nchanges, 4);
	cr_expect(r.changes[1].deleted, "a node that is gone at the end is not shown");
	cr_expect_eq(coord_find(c, str_of("/a"))->version, 1);
	cr_expect_null(coord_find(c, str_of("/a/b")));
	buf_release(&a);
	buf_release(&b);
	same_after_reload(c);
	coord_free(c);
	cr_expect_eq(mem_live(), 0);
}

Test(coord, ephemerals_end_with_their_session)
{
	struct coord *c = coord_new();
	int64_t s = open_session(c), t = open_session(c);
	struct coord_op v[] = { op(COORD_CREATE, "/e1", "x", -1, COORD_EPHEMERAL),
				op(COORD_CREATE, "/e2", "x", -1, COORD_EPHEMERAL) };

	cr_assert_eq(multi(c, s, v, 2).err, OK);
	same_after_reload(c);
	struct coord_result r = close_session(c, s);
	cr_expect_eq(r.nchanges, 2);
	cr_expect(r.changes[0].deleted && str_is(r.changes[0].path, "/e1"));
	cr_expect_null(coord_find(c, str_of("/e2")));
	cr_expect_eq(close_session(c, s).err, E_NOENT);
	cr_expect_not_null(coord_session(c, t));
	coord_free(c);
	cr_expect_eq(mem_live(), 0);
}

/* serve.h V6: the end that belongs to an older attachment changes nothing. */
Test(coord, an_end_holds_for_its_attachment_only)
{
	static const uint8_t password[16] = "0123456789abcde", wrong[16] = "";
	struct coord *c = coord_new();
	int64_t s = open_session(c), first;
	struct buf b;

	buf_init(&b, 1024);
	coord_encode_attach(&b, 5, s, wrong);
	cr_expect_eq(run(c, &b).err, E_NOENT);
	buf_reset(&b);
	coord_encode_attach(&b, 5, s, password);
	cr_expect_eq(run(c, &b).err, OK);
	first = coord_session(c, s)->attached;
	cr_expect_eq(first, zxid);
	cr_expect_eq(run(c, &b).err, OK);
	same_after_reload(c);
	buf_reset(&b);
	coord_encode_close_if(&b, 5, s, first);
	cr_expect_eq(run(c, &b).err, E_CONFLICT);
	cr_assert(coord_session(c, s));
	buf_reset(&b);
	coord_encode_close_if(&b, 5, s, coord_session(c, s)->attached);
	cr_expect_eq(run(c, &b).err, OK);
	cr_expect(!coord_session(c, s));
	buf_release(&b);
	coord_free(c);
}

Test(coord, entries_it_does_not_know)
{
	struct coord *c = coord_new();
	struct coord_result r;
	static const uint8_t newer[] = { 0x94, 2, 3, 0, 0 }, kind[] = { 0x94, 1, 99, 0, 0 }, junk[] = { 0xc1, 0xff };

	cr_expect_eq(coord_apply(c, 1, newer, sizeof newer, &r), E_VERSION);
	cr_expect_eq(coord_apply(c, 1, kind, sizeof kind, &r), E_VERSION);
	cr_expect_eq(coord_apply(c, 1, junk, sizeof junk, &r), E_BAD);
	coord_free(c);
}

/* Names: two levels of four. The model: value and version of each, -1: not there. */
struct model {
	int version[20], value[20], owner[20];
};

static int model_one(struct model *m, int i, enum coord_op_kind k, int value, int version, int owner)
{
	bool top = i < 4, kids = false;

	for (int j = 4; top && j < 20; j++)
		kids |= (j - 4) / 4 == i && m->version[j] >= 0;
	if (k == COORD_CREATE) {
		if (!top && m->version[(i - 4) / 4] < 0)
			return E_NOENT;
		if (m->version[i] >= 0)
			return E_EXIST;
		if (!top && m->owner[(i - 4) / 4])
			return E_PERM;
		m->version[i] = 0;
		m->value[i] = value;
		m->owner[i] = owner;
		return OK;
	}
	if (m->version[i] < 0)
		return E_NOENT;
	if (version != -1 && version != m->version[i])
		return E_CONFLICT;
	if (k == COORD_SET) {
		m->version[i]++;
		m->value[i] = value;
	} else if (k == COORD_DELETE) {
		if (kids)
			return E_LIMIT;
		m->version[i] = -1;
	}
	return OK;
}

static void name_of(int i, char *ret)
{
	if (i < 4)
		sprintf(ret, "/%d", i);
	else
		sprintf(ret, "/%d/%d", (i - 4) / 4, (i - 4) % 4);
}

static void random_run(uint64_t seed)
{
	struct coord *c = coord_new();
	struct model m, before;
	struct rng r;
	int64_t s = open_session(c);

	rng_init(&r, seed);
	memset(&m, 0xff, sizeof m);
	memset(m.owner, 0, sizeof m.owner);
	for (int step = 0; step < 200; step++) {
		struct coord_op v[6];
		char path[6][8], value[6][8];
		uint32_t n = 1 + rng_below(&r, 6), failed = n;
		int err = OK;

		before = m;
		for (uint32_t k = 0; k < n; k++) {
			int i = (int)rng_below(&r, 20), version = (int)rng_below(&r, 4) - 1;
			int x = (int)rng_below(&r, 1000);
			enum coord_op_kind kind = (enum coord_op_kind)(1 + rng_below(&r, 4));
			bool eph = kind == COORD_CREATE && rng_below(&r, 4) == 0;

			name_of(i, path[k]);
			sprintf(value[k], "%d", x);
			v[k] = op(kind, path[k], value[k], version, eph ? COORD_EPHEMERAL : 0);
			if (err == OK) {
				err = model_one(&m, i, kind, x, version, eph);
				failed = err ? k : n;
			}
		}
		if (err)
			m = before;
		struct coord_result res = multi(c, s, v, n);
		cr_assert_eq(res.err, err, "seed %llu step %d: %s, not %s", (unsigned long long)seed, step,
			     err_name(res.err), err_name(err));
		if (err)
			cr_assert_eq(res.ops[failed].err, err);
		if (rng_below(&r, 50) == 0) {
			close_session(c, s);
			s = open_session(c);
			for (int i = 0; i < 20; i++)
				if (m.owner[i] && m.version[i] >= 0)
					m.version[i] = -1;
		}
		uint64_t nodes = 1;
		for (int i = 0; i < 20; i++) {
			char p[8], val[8];

			name_of(i, p);
			sprintf(val, "%d", m.value[i]);
			const struct znode *z = coord_find(c, str_of(p));
			cr_assert_eq(z != NULL, m.version[i] >= 0);
			cr_assert(!z || (z->version == m.version[i] && z->value_len == (int32_t)strlen(val) &&
					 !memcmp(z->value, val, strlen(val)) &&
					 (coord_owner(z) != 0) == (m.owner[i] != 0)));
			nodes += z != NULL;
		}
		cr_assert_eq(coord_nodes(c), nodes);
	}
	same_after_reload(c);
	coord_free(c);
	cr_assert_eq(mem_live(), 0);
}

Test(coord, random_batches_beside_a_model)
{
	for (uint64_t seed = 1; seed <= 100; seed++)
		random_run(seed);
}
