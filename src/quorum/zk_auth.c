/* zk_auth.c - who a client is: schemes of auth packets, and SASL DIGEST-MD5 (RFC 2831) as ZooKeeper asks for it. */
#include <string.h>

#include "base/assert.h"
#include "base/text.h"
#include "quorum/zk_int.h"
#include "wire/zk_gen.h"

#define REALM "zk-sasl-md5"
#define SERVICE "zookeeper"
#define TOKEN_MAX 4096			/* bytes of a client's answer */
#define MD5 16
#define SHA1 20

struct sasl {
	char nonce[2 * 16 + 1];
	bool asked;
};

static const char hex_digits[] = "0123456789abcdef";

static void hex(const uint8_t *p, size_t n, char *ret)
{
	for (size_t i = 0; i < n; i++) {
		ret[2 * i] = hex_digits[p[i] >> 4];
		ret[2 * i + 1] = hex_digits[p[i] & 15];
	}
	ret[2 * n] = 0;
}

static void base64(const uint8_t *p, size_t n, struct text *to)
{
	static const char digit[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

	for (size_t i = 0; i < n; i += 3) {
		uint32_t v = (uint32_t)p[i] << 16 | (i + 1 < n ? (uint32_t)p[i + 1] << 8 : 0) |
			(i + 2 < n ? p[i + 2] : 0);
		char q[4] = { digit[v >> 18], digit[v >> 12 & 63], i + 1 < n ? digit[v >> 6 & 63] : '=',
			      i + 2 < n ? digit[v & 63] : '=' };

		text_put(to, q, 4);
	}
}

static bool equal_secret(struct str a, struct str b)
{
	return a.len == b.len && a.len >= 0 && secret_eq(a.p, b.p, (size_t)a.len);
}

/* ---- schemes ---- */

bool zk_scheme_known(const struct zk *z, struct str scheme)
{
	return str_is(scheme, "world") || str_is(scheme, "ip") || str_is(scheme, "digest") ||
		(str_is(scheme, "sasl") && z->conf.users) || (str_is(scheme, "x509") && z->conf.x509);
}

bool zk_scheme_authenticates(struct str scheme)
{
	return str_is(scheme, "digest") || str_is(scheme, "sasl") || str_is(scheme, "x509");
}

/* Two parts around one colon, as Java's split() counts: empty ones at the end are none. */
static bool digest_id(struct str id)
{
	int colons = 0;

	while (id.len > 0 && id.p[id.len - 1] == ':')
		id.len--;
	for (int32_t i = 0; i < id.len; i++)
		colons += id.p[i] == ':';
	return colons == 1;
}

bool zk_scheme_valid(const struct zk *z, struct str scheme, struct str id)
{
	if (!zk_scheme_known(z, scheme))
		return false;
	if (str_is(scheme, "world"))
		return str_is(id, "anyone");
	if (str_is(scheme, "ip"))
		return coord_ip_ok(id);
	if (str_is(scheme, "digest"))
		return digest_id(id);
	return id.len > 0;
}

static bool auth_digest(struct zk_conn *c, struct bytes auth)
{
	const char *colon = auth.len > 0 ? memchr(auth.p, ':', (size_t)auth.len) : NULL;
	struct str user = { (const char *)auth.p, colon ? (int32_t)(colon - (const char *)auth.p) : auth.len };
	uint8_t sum[HASH_BYTES_MAX];
	size_t cap = (size_t)(user.len > 0 ? user.len : 0) + 64;

	if (auth.len < 0)
		return false;
	char *space = mem_alloc(cap);
	struct text t = text_open(space, cap);

	c->z->conf.hash(HASH_SHA1, auth.p, (size_t)auth.len, sum);
	text_str(&t, user);
	text_add(&t, ":");
	base64(sum, SHA1, &t);
	struct str id = { t.p, (int32_t)t.len };

	if (c->z->conf.super_digest && equal_secret(id, str_of(c->z->conf.super_digest)))
		(void)zk_id_add(c, STR("super"), STR(""));
	bool ok = zk_id_add(c, STR("digest"), id);

	mem_free(space);
	return ok;
}

static bool has_scheme(const struct zk_conn *c, const char *scheme)
{
	struct bytes l = zk_ids(c);
	struct coord_id id;
	uint32_t n = 0;

	if (l.len > 0 && coord_acl_count(&l, &n))
		while (n-- > 0 && coord_id_next(&l, &id))
			if (str_is(id.scheme, scheme))
				return true;
	return false;
}

static void answer(struct zk_conn *c, int32_t xid, int32_t code)
{
	struct buf b;

	jute_begin_reply(&b, 64, xid, 0, code);
	zk_send(c, &b);
	if (code != ZK_OK) {
		c->z->st.auth_failed++;
		zk_close(c);
	}
}

void zk_auth(struct zk_conn *c, int32_t xid, const uint8_t *body, uint32_t len)
{
	struct zk_auth_packet p;
	struct arena a;
	size_t used;
	bool ok = false;

	arena_init(&a, 256, 4096);
	if (wire_decode_some(&wire_zk_auth_packet, 0, body, len, &a, &p, &used) != OK) {
		zk_abort(c);
		arena_release(&a);
		return;
	}
	if (str_is(p.scheme, "digest"))
		ok = auth_digest(c, p.auth);
	else if (str_is(p.scheme, "ip"))
		ok = true;			/* it has that id from its first byte on */
	else if (str_is(p.scheme, "x509"))
		ok = has_scheme(c, "x509");	/* by its certificate */
	arena_release(&a);
	answer(c, xid, ok ? ZK_OK : ZK_AUTH_FAILED);
}

/* ---- SASL ---- */

void zk_sasl_free(struct zk_conn *c)
{
	mem_free(c->sasl);
	c->sasl = NULL;
}

static void answer_token(struct zk_conn *c, int32_t xid, int32_t code, struct bytes token)
{
	struct buf b;

	jute_begin_reply(&b, 4096, xid, 0, code);
	jute_buffer(&b, token);
	zk_send(c, &b);
	if (code != ZK_OK) {
		c->z->st.auth_failed++;
		zk_close(c);
	}
}

static void challenge(struct zk_conn *c, int32_t xid)
{
	uint8_t raw[16];
	char space[256];
	struct text t = text_open(space, sizeof space);

	c->sasl = mem_alloc(sizeof *c->sasl);
	c->z->conf.random(raw, sizeof raw);
	hex(raw, sizeof raw, c->sasl->nonce);
	c->sasl->asked = true;
	text_add(&t, "realm=\"" REALM "\",nonce=\"");
	text_add(&t, c->sasl->nonce);
	text_add(&t, "\",qop=\"auth\",charset=utf-8,algorithm=md5-sess");
	answer_token(c, xid, ZK_OK, (struct bytes){ (const uint8_t *)t.p, (int32_t)t.len });
}

/* The value of a directive, unescaped into ret; null: it is not there or twice, or the text is malformed. */
static struct str directive(struct bytes token, const char *name, char *ret)
{
	const char *p = (const char *)token.p, *end = p + token.len;
	struct str found = STR_NULL;
	bool twice = false;

	while (p < end) {
		while (p < end && (*p == ' ' || *p == ',' || *p == '\t'))
			p++;
		const char *key = p;

		while (p < end && *p != '=')
			p++;
		struct str k = { key, (int32_t)(p - key) };
		bool quoted = p + 1 < end && p[1] == '"', mine = str_is(k, name);
		int32_t n = 0;

		if (p >= end)
			break;
		for (p += quoted ? 2 : 1; p < end && (quoted ? *p != '"' : *p != ','); p++) {
			if (quoted && *p == '\\' && p + 1 < end)
				p++;
			if (mine && n < TOKEN_MAX)
				ret[n++] = *p;
		}
		if (quoted && p >= end)
			return STR_NULL;
		p += quoted;
		if (mine) {
			twice |= found.len >= 0;
			found = (struct str){ ret, n };
		}
	}
	return twice ? STR_NULL : found;
}

/* Its line of conf.users; null: there is no such user. */
static struct str password_of(const struct zk *z, struct str user)
{
	for (const char *p = z->conf.users; p && *p; p += *p == '\n') {
		const char *eq = p, *end = p;

		while (*end && *end != '\n')
			end++;
		while (eq < end && *eq != '=')
			eq++;
		if (eq < end && str_eq((struct str){ p, (int32_t)(eq - p) }, user))
			return (struct str){ eq + 1, (int32_t)(end - eq - 1) };
		p = end;
	}
	return STR_NULL;
}

/* MD5 of the pieces with colons between them. */
static void md5_of(const struct zk *z, const struct str *v, int n, uint8_t ret[HASH_BYTES_MAX])
{
	struct buf b;

	buf_init(&b, 1 << 20);
	for (int i = 0; i < n; i++) {
		if (i > 0)
			buf_u8(&b, ':');
		buf_put(&b, v[i].p, v[i].len > 0 ? (size_t)v[i].len : 0);
	}
	z->conf.hash(HASH_MD5, b.p, b.len, ret);
	buf_release(&b);
}

struct response {
	struct str user, realm, nonce, cnonce, nc, qop, uri, response, authzid;
};

/* The 32 digits that prove knowledge of the password; method: "AUTHENTICATE" of the client, "" of the server. */
static void proof(const struct zk *z, const struct response *r, struct str password, struct str method,
		  char ret[2 * MD5 + 1])
{
	uint8_t sum[HASH_BYTES_MAX];
	char a1[2 * MD5 + 1], a2[2 * MD5 + 1];

	md5_of(z, (struct str[]){ r->user, r->realm, password }, 3, sum);
	struct str secret = { (const char *)sum, MD5 };
	uint8_t inner[HASH_BYTES_MAX];

	md5_of(z, (struct str[]){ secret, r->nonce, r->cnonce, r->authzid }, r->authzid.len >= 0 ? 4 : 3, inner);
	hex(inner, MD5, a1);
	md5_of(z, (struct str[]){ method, r->uri }, 2, sum);
	hex(sum, MD5, a2);
	md5_of(z, (struct str[]){ str_of(a1), r->nonce, r->nc, r->cnonce, r->qop, str_of(a2) }, 6, sum);
	hex(sum, MD5, ret);
}

static bool verify(struct zk_conn *c, struct bytes token, char space[9][TOKEN_MAX], struct response *r,
		   struct str *ret_password)
{
	char want[2 * MD5 + 1];

	*r = (struct response){
		directive(token, "username", space[0]), directive(token, "realm", space[1]),
			directive(token, "nonce", space[2]),
		directive(token, "cnonce", space[3]), directive(token, "nc", space[4]),
			directive(token, "qop", space[5]),
		directive(token, "digest-uri", space[6]), directive(token, "response", space[7]),
		directive(token, "authzid", space[8]),
	};
	if (r->qop.len < 0)
		r->qop = STR("auth");
	if (r->user.len <= 0 || r->cnonce.len <= 0 || !str_is(r->realm, REALM) || !str_is(r->nonce, c->sasl->nonce) ||
	    !str_is(r->nc, "00000001") || !str_is(r->qop, "auth") || !str_is(r->uri, SERVICE "/" REALM) ||
	    r->response.len != 2 * MD5)
		return false;
	/* WHY: ZooKeeper lets whoever knows one password call himself anything here; nobody needs that. */
	if (r->authzid.len > 0 && !str_eq(r->authzid, r->user))
		return false;
	struct str password = password_of(c->z, r->user);

	proof(c->z, r, password.len < 0 ? STR("") : password, STR("AUTHENTICATE"), want);
	*ret_password = password;
	return equal_secret(r->response, str_of(want)) && password.len >= 0;
}

static void respond(struct zk_conn *c, int32_t xid, struct bytes token)
{
	char (*space)[TOKEN_MAX] = mem_alloc(9 * TOKEN_MAX);
	struct response r;
	struct str password;

	if (token.len > TOKEN_MAX || !verify(c, token, space, &r, &password)) {
		answer_token(c, xid, c->z->conf.sasl_required ? ZK_SASL_REQUIRED : ZK_AUTH_FAILED, BYTES_NULL);
	} else {
		char text[9 + 2 * MD5] = "rspauth=";

		proof(c->z, &r, password, STR(""), text + 8);
		zk_id_add(c, STR("sasl"), r.user);
		if (c->z->conf.super_sasl && str_is(r.user, c->z->conf.super_sasl))
			zk_id_add(c, STR("super"), STR(""));
		c->sasl_done = true;
		answer_token(c, xid, ZK_OK, (struct bytes){ (const uint8_t *)text, 8 + 2 * MD5 });
	}
	zk_sasl_free(c);
	mem_free(space);
}

void zk_sasl(struct zk_conn *c, int32_t xid, const uint8_t *body, uint32_t len)
{
	struct zk_sasl_request q;
	struct arena a;
	size_t used;

	arena_init(&a, 256, 4096);
	if (wire_decode_some(&wire_zk_sasl_request, 0, body, len, &a, &q, &used) != OK || q.token.len < 0)
		zk_abort(c);
	else if (!c->z->conf.users)
		answer_token(c, xid, ZK_OK, BYTES_NULL);	/* as a ZooKeeper without a login section does */
	else if (c->sasl)
		respond(c, xid, q.token);
	else
		challenge(c, xid);
	arena_release(&a);
}
