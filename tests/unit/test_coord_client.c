/* test_coord_client.c - what ZooKeeper clients may do to the tree: rights, the system's own part, accounts over a
 * reload. */
#include <criterion/criterion.h>
#include <string.h>

#include "base/be.h"
#include "base/mem.h"
#include "base/rng.h"
#include "coord/coord.h"
#include "quorum/zk_conf.h"

static int64_t zxid;
static const uint8_t nobody[] = "\0\0\0\1" "\0\0\0\2ip" "\0\0\0\11" "127.0.0.1";
static const uint8_t super[] = "\0\0\0\1" "\0\0\0\5super" "\0\0\0\0";
static const uint8_t everybody[] = "\0\0\0\1" "\0\0\0\37" "\0\0\0\5world" "\0\0\0\6anyone";
static const uint8_t readers[] = "\0\0\0\1" "\0\0\0\1" "\0\0\0\5world" "\0\0\0\6anyone";
static const uint8_t home[] = "\0\0\0\1" "\0\0\0\37" "\0\0\0\2ip" "\0\0\0\013127.0.0.0/8";

#define LIST(a) ((struct bytes){ (a), (int32_t)sizeof(a) - 1 })

static struct coord_result run(struct coord *c, struct buf *b)
{
	struct coord_result r;

	cr_assert_eq(coord_apply(c, ++zxid, b->p, (uint32_t)b->len, &r), OK);
	buf_release(b);
	return r;
}

static int64_t open_client(struct coord *c)
{
	static const uint8_t password[16] = "0123456789abcde";
	struct buf b;

	buf_init(&b, 1024);
	coord_encode_open_client(&b, 5, password, 1000);
	return run(c, &b).session;
}

static struct coord_result batch(struct coord *c, int64_t session, const struct coord_rules *rules, struct bytes ids,
				 const struct coord_op *v, uint32_t n)
{
	static const struct coord_rules none;
	struct buf b, ops;

	buf_init(&b, 1 << 20);
	buf_init(&ops, 1 << 20);
	for (uint32_t i = 0; i < n; i++)
		coord_encode_client_op(&ops, &v[i]);
	coord_encode_client(&b, 5, session, 0, rules ? rules : &none, ids, n, ops.p, (uint32_t)ops.len);
	buf_release(&ops);
	return run(c, &b);
}

static struct coord_op op(enum coord_op_kind k, const char *path, struct bytes acl)
{
	return (struct coord_op){ .kind = k, .path = str_of(path), .value = { (const uint8_t *)"v", 1 },
		.version = -1, .acl = acl };
}

static int32_t one(struct coord *c, int64_t s, const struct coord_rules *rules, struct bytes ids,
	enum coord_op_kind k, const char *path,
		   struct bytes acl)
{
	struct coord_op o = op(k, path, acl);

	return batch(c, s, rules, ids, &o, 1).code;
}

static void system_creates(struct coord *c, const char *path)
{
	struct coord_op o = { .kind = COORD_CREATE, .path = str_of(path), .value = { (const uint8_t *)"s", 1 },
		.version = -1 };
	struct buf b, ops;

	buf_init(&b, 1024);
	buf_init(&ops, 1024);
	mp_put_array(&ops, 1);
	coord_encode_op(&ops, &o);
	coord_encode_multi(&b, 5, 0, ops.p, (uint32_t)ops.len);
	cr_assert_eq(run(c, &b).err, OK);
	buf_release(&ops);
}

Test(coord_client, what_the_system_made_stays_C6)
{
	struct coord *c = coord_new();
	int64_t s = open_client(c);
	struct coord_rules reserve = { .flags = COORD_RESERVE };

	cr_expect_eq(one(c, s, &reserve, LIST(super), COORD_CREATE, "/topics", LIST(everybody)), ZK_NO_AUTH);
	cr_expect_eq(one(c, s, NULL, LIST(nobody), COORD_CREATE, "/brokers", LIST(everybody)), ZK_OK,
		"a ZooKeeper of its own");
	system_creates(c, "/topics");
	system_creates(c, "/topics/a");
	for (int i = 0; i < 2; i++) {
		struct bytes ids = i ? LIST(super) : LIST(nobody);

		cr_expect_eq(one(c, s, NULL, ids, COORD_SET, "/topics/a", BYTES_NULL), ZK_NO_AUTH);
		cr_expect_eq(one(c, s, NULL, ids, COORD_DELETE, "/topics/a", BYTES_NULL), ZK_NO_AUTH);
		cr_expect_eq(one(c, s, NULL, ids, COORD_DELETE, "/topics", BYTES_NULL), ZK_NO_AUTH);
		cr_expect_eq(one(c, s, NULL, ids, COORD_CREATE, "/topics/b", LIST(everybody)), ZK_NO_AUTH);
		cr_expect_eq(one(c, s, NULL, ids, COORD_SET_ACL, "/topics", LIST(everybody)), ZK_NO_AUTH);
		cr_expect_eq(one(c, s, NULL, ids, COORD_CHECK, "/topics/a", BYTES_NULL), ZK_OK, "reading is allowed");
	}
	system_creates(c, "/users");
	system_creates(c, "/users/eve");
	cr_expect(coord_secret(coord_find(c, STR("/users/eve"))) && !coord_secret(coord_find(c, STR("/topics/a"))));
	cr_expect_eq(one(c, s, NULL, LIST(super), COORD_CHECK, "/users/eve", BYTES_NULL), ZK_NO_AUTH);
	coord_free(c);
	cr_expect_eq(mem_live(), 0);
}

Test(coord_client, rights_are_of_the_parent_for_create_and_delete_C7)
{
	struct coord *c = coord_new();
	int64_t s = open_client(c);

	cr_expect_eq(one(c, s, NULL, LIST(nobody), COORD_CREATE, "/ro", LIST(readers)), ZK_OK);
	cr_expect_eq(one(c, s, NULL, LIST(nobody), COORD_CREATE, "/ro/x", LIST(everybody)), ZK_NO_AUTH);
	cr_expect_eq(one(c, s, NULL, LIST(nobody), COORD_SET, "/ro", BYTES_NULL), ZK_NO_AUTH);
	cr_expect_eq(one(c, s, NULL, LIST(super), COORD_SET, "/ro", BYTES_NULL), ZK_OK);
	cr_expect_eq(one(c, s, NULL, LIST(nobody), COORD_DELETE, "/ro", BYTES_NULL), ZK_OK, "the root's rights count");
	cr_expect_eq(one(c, s, NULL, LIST(nobody), COORD_CREATE, "/home", LIST(home)), ZK_OK);
	cr_expect_eq(one(c, s, NULL, LIST(nobody), COORD_SET, "/home", BYTES_NULL), ZK_OK,
		"127.0.0.1 is in 127.0.0.0/8");
	cr_expect_eq(one(c, s + 1, NULL, LIST(nobody), COORD_SET, "/home", BYTES_NULL), ZK_SESSION_EXPIRED);
	struct coord_rules skip = { .flags = COORD_SKIP_ACL };
	cr_expect_eq(one(c, s, &skip, LIST(nobody), COORD_CREATE, "/home/x", LIST(readers)), ZK_OK);
	cr_expect_eq(one(c, s, &skip, LIST(nobody), COORD_SET, "/home/x", BYTES_NULL), ZK_OK);
	coord_free(c);
	cr_expect_eq(mem_live(), 0);
}

Test(coord_client, paths_as_zookeeper_takes_them)
{
	static const struct { const char *path; bool ok; } t[] = {
		{ "/", true }, { "/a", true }, { "/a/b", true }, { "/...", true }, { "/.a", true }, { "/\xc3\xa9",
			true },
		{ "", false }, { "a", false }, { "/a/", false }, { "//", false }, { "/a//b", false }, { "/.",
			false }, { "/a/..", false },
		{ "/\x01", false }, { "/\x7f", false }, { "/\xc2\x9f", false }, { "/\xee\x80\x80", false },
			{ "/\xef\xbf\xb1", false },
		{ "/\xf0\x9f\x98\x80", false }, { "/\xff", false }, { "/\xc3", false },
	};

	for (size_t i = 0; i < sizeof t / sizeof t[0]; i++)
		cr_expect_eq(coord_client_path_ok(str_of(t[i].path)), t[i].ok, "%s", t[i].path);
}

Test(coord_client, addresses)
{
	static const struct { const char *expr; bool ok; } t[] = {
		{ "1.2.3.4", true }, { "1.2.3.4/0", true }, { "1.2.3.4/32", true }, { "1.2.3.4/33", false },
			{ "1.2.3", false },
		{ "1.2.3.256", false }, { "1.2.3.4/", false }, { "::", true }, { "::1/128", true }, { "::1/129",
			false },
		{ "1:2:3:4:5:6:7:8", true }, { "1:2:3:4:5:6:7", false }, { "1::2::3", false }, { "12345::",
			false }, { "", false },
	};

	for (size_t i = 0; i < sizeof t / sizeof t[0]; i++)
		cr_expect_eq(coord_ip_ok(str_of(t[i].expr)), t[i].ok, "%s", t[i].expr);
}

/* Random batches, many of which fail: what is undone leaves no trace in accounts, and a reload gives the same tree. */
Test(coord_client, accounts_and_reload)
{
	static const char *const names[] = { "/a", "/a/b", "/a/c", "/d", "/d/e", "/d/s-", "/zookeeper/quota/a",
		"/zookeeper/quota/a/zookeeper_limits", "/zookeeper/quota/a/zookeeper_stats", "/topics/x", "/nope/x" };
	static const enum coord_op_kind kinds[] = { COORD_CREATE, COORD_CREATE, COORD_CREATE, COORD_SET,
		COORD_DELETE, COORD_SET_ACL,
		COORD_CHECK, COORD_REAP };
	struct coord_rules rules = { .flags = COORD_ENFORCE_QUOTA | COORD_RESERVE, .nodes_max = 30 };
	struct coord *c = coord_new();
	int64_t s = open_client(c);
	struct rng r;
	uint32_t good = 0, bad = 0;

	rng_init(&r, 7);
	system_creates(c, "/topics");
	for (int round = 0; round < 3000; round++) {
		struct coord_op v[4];
		uint32_t n = 1 + rng_below(&r, 4);

		for (uint32_t i = 0; i < n; i++) {
			v[i] = op(kinds[rng_below(&r, 8)], names[rng_below(&r, sizeof names / sizeof names[0])],
				  rng_below(&r, 4) ? LIST(everybody) : LIST(readers));
			v[i].flags = rng_below(&r, 4) ? 0 : 1u << rng_below(&r, 4);
			if (v[i].flags == COORD_TTL)
				v[i].ttl_ms = 5;
			if (v[i].kind != COORD_CREATE)
				v[i].flags = 0;
		}
		struct coord_result res = batch(c, s, &rules, rng_below(&r, 9) ? LIST(nobody) : LIST(super), v, n);

		good += res.code == ZK_OK;
		bad += res.code != ZK_OK;
		if (rng_below(&r, 100) == 0) {
			struct buf b;

			buf_init(&b, 1024);
			coord_encode_close(&b, 5, s);
			run(c, &b);
			s = open_client(c);
		}
		if (round % 100 == 0) {
			struct coord *d = coord_new();
			struct buf x, y;

			buf_init(&x, 1 << 20);
			buf_init(&y, 1 << 20);
			coord_save(c, &x);
			cr_assert_eq(coord_load(d, x.p, (uint32_t)x.len), OK);
			coord_save(d, &y);
			cr_assert(x.len == y.len && memcmp(x.p, y.p, x.len) == 0);
			cr_assert_eq(coord_bytes(c), coord_bytes(d));
			cr_assert_eq(coord_nodes(c), coord_nodes(d));
			cr_assert_eq(coord_ephemerals(c), coord_ephemerals(d));
			coord_free(d);
			buf_release(&x);
			buf_release(&y);
		}
	}
	cr_expect(good > 100 && bad > 1000, "%u good, %u bad", good, bad);
	coord_free(c);
	cr_expect_eq(mem_live(), 0);
}

Test(zk_conf, servers_of_an_ensemble)
{
	static const struct { const char *spec; int err; uint16_t peer, election; bool observer; } t[] = {
		{ "h:1:2", OK, 1, 2, false }, { "h:1:2:participant", OK, 1, 2, false }, { "h:1:2:observer;3", OK,
			1, 2, true },
		{ "[::1]:1:2;0.0.0.0:3", OK, 1, 2, false }, { "h:1", E_BAD, 0, 0, false }, { "h:1:x", E_BAD, 0, 0,
			false },
		{ "h:1:2:king", E_BAD, 0, 0, false }, { ":1:2", E_BAD, 0, 0, false }, { "h:1:2;", E_BAD, 0, 0, false },
		{ "some thing", E_BAD, 0, 0, false }, { "h:0:2", E_BAD, 0, 0, false }, { "h:1:65536", E_BAD, 0, 0,
			false },
	};

	for (size_t i = 0; i < sizeof t / sizeof t[0]; i++) {
		struct zk_conf_server s;
		int err = zk_conf_server(1, t[i].spec, &s);

		cr_expect_eq(err, t[i].err, "%s", t[i].spec);
		if (err == OK)
			cr_expect(s.peer_port == t[i].peer && s.election_port == t[i].election &&
				s.observer == t[i].observer, "%s",
				  t[i].spec);
	}
}
