/* acl.c - lists of rights: kept once each, read element by element, judged as ZooKeeper 3.9.5 does. */
#include "coord/tree.h"

#include <string.h>

#include "base/assert.h"
#include "base/be.h"

#define ELEMENTS_MAX 100000u

static bool take32(struct bytes *l, uint32_t *ret)
{
	if (l->len < 4)
		return false;
	*ret = be32_get(l->p);
	l->p += 4;
	l->len -= 4;
	return true;
}

static bool take_str(struct bytes *l, struct str *ret)
{
	uint32_t n;

	if (!take32(l, &n) || n > (uint32_t)l->len)
		return false;
	*ret = (struct str){ (const char *)l->p, (int32_t)n };
	l->p += n;
	l->len -= (int32_t)n;
	return true;
}

bool coord_acl_count(struct bytes *list, uint32_t *ret_n)
{
	return take32(list, ret_n) && *ret_n <= ELEMENTS_MAX;
}

bool coord_id_next(struct bytes *list, struct coord_id *ret)
{
	return take_str(list, &ret->scheme) && take_str(list, &ret->id);
}

bool coord_acl_next(struct bytes *list, struct coord_ace *ret)
{
	return take32(list, &ret->perms) && coord_id_next(list, &ret->id);
}

bool acl_list_ok(struct bytes list)
{
	struct coord_ace e;
	uint32_t n;

	if (!coord_acl_count(&list, &n) || n == 0)
		return false;
	while (n-- > 0)
		if (!coord_acl_next(&list, &e))
			return false;
	return list.len == 0;
}

struct bytes coord_acl_bytes(const struct coord_acl *a)
{
	static const uint8_t open[] = "\0\0\0\1" "\0\0\0\37" "\0\0\0\5world" "\0\0\0\6anyone";

	return a ? (struct bytes){ a->p, (int32_t)a->len } : (struct bytes){ open, sizeof open - 1 };
}

struct coord_acl *acl_get(struct coord *c, struct bytes list)
{
	struct bytes open = coord_acl_bytes(NULL);
	uint32_t h = 2166136261u;

	if (list.len == open.len && memcmp(list.p, open.p, (size_t)open.len) == 0)
		return NULL;
	for (int32_t i = 0; i < list.len; i++)
		h = (h ^ list.p[i]) * 16777619u;
	for (struct coord_acl *a = c->acls[h % ACL_BUCKETS]; a; a = a->chain)
		if (a->hash == h && a->len == (uint32_t)list.len && memcmp(a->p, list.p, a->len) == 0) {
			a->refs++;
			return a;
		}
	struct coord_acl *a = mem_alloc(sizeof *a + (size_t)list.len);

	a->refs = 1;
	a->hash = h;
	a->len = (uint32_t)list.len;
	memcpy(a->p, list.p, a->len);
	a->chain = c->acls[h % ACL_BUCKETS];
	c->acls[h % ACL_BUCKETS] = a;
	return a;
}

void acl_put(struct coord *c, struct coord_acl *a)
{
	if (!a || --a->refs > 0)
		return;
	struct coord_acl **at = &c->acls[a->hash % ACL_BUCKETS];

	while (*at != a)
		at = &(*at)->chain;
	*at = a->chain;
	mem_free(a);
}

/* ---- scheme ip ---- */

static int hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 'a' - 'A';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static int v4(struct str s, uint8_t *ret)
{
	int32_t at = 0;

	for (int i = 0; i < 4; i++) {
		uint32_t v = 0;
		int32_t start = at;

		for (; at < s.len && s.p[at] >= '0' && s.p[at] <= '9' && v <= 255; at++)
			v = v * 10 + (uint32_t)(s.p[at] - '0');
		if (at == start || v > 255 || (i < 3 ? at >= s.len || s.p[at] != '.' : at != s.len))
			return 0;
		ret[i] = (uint8_t)v;
		at++;
	}
	return 4;
}

/* Groups of s up to its end; -1: malformed. */
static int groups(struct str s, uint8_t *ret)
{
	int n = 0;
	int32_t at = 0;

	while (s.len > 0) {
		uint32_t v = 0;
		int32_t start = at;

		for (; at < s.len && s.p[at] != ':'; at++) {
			if (hex(s.p[at]) < 0 || at - start >= 4)
				return -1;
			v = v << 4 | (uint32_t)hex(s.p[at]);
		}
		if (at == start || n == 8)
			return -1;
		be16_put(ret + 2 * n++, (uint16_t)v);
		if (at == s.len)
			break;
		at++;
	}
	return n;
}

static int v6(struct str s, uint8_t *ret)
{
	uint8_t head[16] = { 0 }, tail[16] = { 0 };

	for (int32_t i = 0; i + 1 < s.len; i++) {
		if (s.p[i] != ':' || s.p[i + 1] != ':')
			continue;
		int a = groups((struct str){ s.p, i }, head);
		int b = groups((struct str){ s.p + i + 2, s.len - i - 2 }, tail);

		if (a < 0 || b < 0 || a + b >= 8)
			return 0;
		memcpy(ret, head, 16);
		memcpy(ret + 16 - 2 * b, tail, (size_t)(2 * b));
		return 16;
	}
	if (groups(s, head) != 8)
		return 0;
	memcpy(ret, head, 16);
	return 16;
}

static int address(struct str s, uint8_t *ret)
{
	return s.len > 0 && memchr(s.p, ':', (size_t)s.len) ? v6(s, ret) : v4(s, ret);
}

/* Bytes of the address, and the bits of it that count; 0: malformed. */
static int expression(struct str e, uint8_t *ret, int *ret_bits)
{
	const char *slash = e.len > 0 ? memchr(e.p, '/', (size_t)e.len) : NULL;
	struct str a = { e.p, slash ? (int32_t)(slash - e.p) : e.len };
	int n = address(a, ret), bits = n * 8;

	if (n > 0 && slash) {
		bits = 0;
		if (slash + 1 == e.p + e.len)
			return 0;
		for (const char *p = slash + 1; p < e.p + e.len; p++) {
			if (*p < '0' || *p > '9' || bits > n * 8)
				return 0;
			bits = bits * 10 + (*p - '0');
		}
	}
	*ret_bits = bits;
	return bits <= n * 8 ? n : 0;
}

bool coord_ip_ok(struct str expr)
{
	uint8_t a[16];
	int bits;

	return expression(expr, a, &bits) > 0;
}

static bool ip_matches(struct str id, struct str expr)
{
	uint8_t a[16], b[16];
	int bits = 0, n = expression(expr, a, &bits);

	if (n == 0 || address(id, b) != n)
		return false;
	for (int i = 0; i < bits; i++)
		if ((a[i / 8] ^ b[i / 8]) >> (7 - i % 8) & 1)
			return false;
	return true;
}

/* ---- the judgement ---- */

static bool matches(struct coord_id has, struct coord_id wants)
{
	if (!str_eq(has.scheme, wants.scheme))
		return false;
	if (str_is(wants.scheme, "ip"))
		return ip_matches(has.id, wants.id);
	return str_eq(has.id, wants.id);
}

uint32_t acl_grants(const struct coord_acl *a, uint32_t enough, struct bytes ids)
{
	struct bytes l = coord_acl_bytes(a), w;
	struct coord_ace e;
	struct coord_id id;
	uint32_t n, nids, granted = 0;

	if (!a)
		return UINT32_MAX;
	w = ids;
	if (!coord_acl_count(&w, &nids))
		nids = 0;
	while (nids-- > 0 && coord_id_next(&w, &id))
		if (str_is(id.scheme, "super"))
			return UINT32_MAX;
	if (!coord_acl_count(&l, &n))
		return 0;
	while (n-- > 0 && !(granted & enough) && coord_acl_next(&l, &e)) {
		if (!(e.perms & ~granted))
			continue;
		if (str_is(e.id.scheme, "world") && str_is(e.id.id, "anyone")) {
			granted |= e.perms;
			continue;
		}
		w = ids;
		if (!coord_acl_count(&w, &nids))
			continue;
		while (nids-- > 0 && coord_id_next(&w, &id))
			if (matches(id, e.id)) {
				granted |= e.perms;
				break;
			}
	}
	return granted;
}

bool coord_allows(const struct coord_acl *a, unsigned perm, struct bytes ids)
{
	return acl_grants(a, perm, ids) & perm;
}
