/* cert_os.c - see cert_os.h. Keys are on P-256; a certificate begins five minutes ago, for clocks that differ. */
#include "os/cert_os.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SKEW_S 300
#define CA_DAYS 3650
#define SAN_MAX 4096
#define LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

struct pair {
	X509 *cert;
	EVP_PKEY *key;
};

static void pair_free(struct pair *p)
{
	X509_free(p->cert);
	EVP_PKEY_free(p->key);
	ERR_clear_error();
}

static int fail(int err, const char *what, const char *path, char *why, size_t cap)
{
	const char *reason = ERR_reason_error_string(ERR_peek_last_error());

	snprintf(why, cap, "%s %.200s: %s", what, path, reason ? reason : strerror(errno));
	return err;
}

static bool extension(X509 *cert, X509 *issuer, int nid, const char *value)
{
	X509V3_CTX ctx;

	X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
	X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
	bool ok = e && X509_add_ext(cert, e, -1) == 1;

	X509_EXTENSION_free(e);
	return ok;
}

static bool names(X509 *cert, const char *unit, const char *name)
{
	X509_NAME *n = X509_get_subject_name(cert);

	return X509_NAME_add_entry_by_txt(n, "OU", MBSTRING_UTF8, (const unsigned char *)unit, -1, -1, 0) == 1 &&
	       X509_NAME_add_entry_by_txt(n, "CN", MBSTRING_UTF8, (const unsigned char *)name, -1, -1, 0) == 1;
}

static bool random_serial(X509 *cert)
{
	unsigned char b[16];
	BIGNUM *n;

	if (RAND_bytes(b, sizeof b) != 1 || !(n = BN_bin2bn(b, sizeof b, NULL)))
		return false;
	BN_clear_bit(n, 127);
	bool ok = BN_to_ASN1_INTEGER(n, X509_get_serialNumber(cert)) != NULL;

	BN_free(n);
	return ok;
}

/* A key and an unsigned certificate for it. */
static bool begin(struct pair *p, const char *unit, const char *name, int days)
{
	p->key = EVP_EC_gen("P-256");
	p->cert = X509_new();
	return p->key && p->cert && X509_set_version(p->cert, X509_VERSION_3) == 1 && random_serial(p->cert) &&
	       X509_gmtime_adj(X509_getm_notBefore(p->cert), -SKEW_S) &&
	       X509_time_adj_ex(X509_getm_notAfter(p->cert), days, 0, NULL) &&
	       X509_set_pubkey(p->cert, p->key) == 1 && names(p->cert, unit, name);
}

static bool make_ca(struct pair *ca)
{
	return begin(ca, "moldau", "moldau authority", CA_DAYS) &&
	       X509_set_issuer_name(ca->cert, X509_get_subject_name(ca->cert)) == 1 &&
	       extension(ca->cert, ca->cert, NID_basic_constraints, "critical,CA:TRUE") &&
	       extension(ca->cert, ca->cert, NID_key_usage, "critical,keyCertSign,cRLSign") &&
	       extension(ca->cert, ca->cert, NID_subject_key_identifier, "hash") &&
	       X509_sign(ca->cert, ca->key, EVP_sha256()) > 0;
}

/* "DNS:a,IP:1.2.3.4"; false: one of them is neither a name nor an address. */
static bool alternatives(const struct cert_wish *w, char *ret, char *why, size_t cap)
{
	size_t at = 0;

	for (int i = 0; i < w->nhosts; i++) {
		const char *h = w->hosts[i];
		unsigned char bin[16];
		bool ip = inet_pton(AF_INET, h, bin) == 1 || inet_pton(AF_INET6, h, bin) == 1;

		if (!ip && (!*h || h[strspn(h, LETTERS "0123456789.-*")])) {
			snprintf(why, cap, "\"%.100s\" is neither the name nor the address of a host", h);
			return false;
		}
		int n = snprintf(ret + at, SAN_MAX - at, "%s%s:%s", at ? "," : "", ip ? "IP" : "DNS", h);

		if (n < 0 || (size_t)n >= SAN_MAX - at) {
			snprintf(why, cap, "too many hosts");
			return false;
		}
		at += (size_t)n;
	}
	return true;
}

static bool sign(struct pair *p, const struct pair *ca, const struct cert_wish *w, const char *san)
{
	return begin(p, w->unit, w->name, w->days) &&
	       X509_set_issuer_name(p->cert, X509_get_subject_name(ca->cert)) == 1 &&
	       extension(p->cert, ca->cert, NID_basic_constraints, "critical,CA:FALSE") &&
	       extension(p->cert, ca->cert, NID_key_usage, "critical,digitalSignature") &&
	       extension(p->cert, ca->cert, NID_ext_key_usage, w->nhosts ? "serverAuth,clientAuth" : "clientAuth") &&
	       extension(p->cert, ca->cert, NID_subject_key_identifier, "hash") &&
	       extension(p->cert, ca->cert, NID_authority_key_identifier, "keyid") &&
	       (w->nhosts == 0 || extension(p->cert, ca->cert, NID_subject_alt_name, san)) &&
	       X509_sign(p->cert, ca->key, EVP_sha256()) > 0;
}

/* A new file in one step: written beside, synced, renamed. */
static int put(const char *path, const struct pair *p, bool key, char *why, size_t cap)
{
	char fresh[620];
	FILE *f;

	snprintf(fresh, sizeof fresh, "%.600s.new", path);
	unlink(fresh);
	int fd = open(fresh, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, key ? 0600 : 0644);

	if (fd < 0 || !(f = fdopen(fd, "w"))) {
		if (fd >= 0)
			close(fd);
		return fail(E_IO, "cannot write", fresh, why, cap);
	}
	bool ok = key ? PEM_write_PrivateKey(f, p->key, NULL, NULL, 0, NULL, NULL) == 1
		      : PEM_write_X509(f, p->cert) == 1;

	ok = ok && fflush(f) == 0 && fsync(fd) == 0;
	ok = fclose(f) == 0 && ok;
	return ok && rename(fresh, path) == 0 ? OK : fail(E_IO, "cannot write", path, why, cap);
}

static int put_pair(const char *dir, const char *name, const struct pair *p, char *why, size_t cap)
{
	char path[600];

	snprintf(path, sizeof path, "%.400s/%.150s.key", dir, name);
	int err = put(path, p, true, why, cap);

	snprintf(path, sizeof path, "%.400s/%.150s.pem", dir, name);
	return err ? err : put(path, p, false, why, cap);
}

/* OK, E_NOENT (neither file is there), E_BAD. */
static int get_ca(const char *dir, struct pair *ca, char *why, size_t cap)
{
	char path[600];
	FILE *f;

	snprintf(path, sizeof path, "%.400s/ca.pem", dir);
	f = fopen(path, "re");
	if (!f)
		return errno == ENOENT ? E_NOENT : fail(E_IO, "cannot read", path, why, cap);
	ca->cert = PEM_read_X509(f, NULL, NULL, NULL);
	fclose(f);
	if (!ca->cert)
		return fail(E_BAD, "no certificate in", path, why, cap);
	snprintf(path, sizeof path, "%.400s/ca.key", dir);
	f = fopen(path, "re");
	if (!f)
		return fail(E_IO, "cannot read", path, why, cap);
	ca->key = PEM_read_PrivateKey(f, NULL, NULL, NULL);
	fclose(f);
	if (!ca->key || X509_check_private_key(ca->cert, ca->key) != 1)
		return fail(E_BAD, "no key of the authority in", path, why, cap);
	return OK;
}

static bool name_ok(const char *s)
{
	size_t n = strspn(s, LETTERS "0123456789._-");

	return n > 0 && n < 64 && s[n] == 0 && s[0] != '.' && strcmp(s, "ca") != 0;
}

int cert_os_issue(const char *dir, const struct cert_wish *w, bool *ret_new_ca, char *why, size_t cap)
{
	struct pair ca = { NULL, NULL }, p = { NULL, NULL };
	char san[SAN_MAX] = "";

	*ret_new_ca = false;
	if (!name_ok(w->name)) {
		snprintf(why, cap, "\"%.100s\" cannot be a name: letters, digits, '.', '_' and '-', and not \"ca\"",
			 w->name);
		return E_BAD;
	}
	if (!alternatives(w, san, why, cap))
		return E_BAD;
	(void)mkdir(dir, 0700);
	int err = get_ca(dir, &ca, why, cap);

	if (err == E_NOENT) {
		*ret_new_ca = true;
		err = make_ca(&ca) ? put_pair(dir, "ca", &ca, why, cap)
				   : fail(E_BAD, "no authority for", dir, why, cap);
	}
	if (err == OK)
		err = sign(&p, &ca, w, san) ? put_pair(dir, w->name, &p, why, cap)
					    : fail(E_BAD, "cannot sign", w->name, why, cap);
	pair_free(&p);
	pair_free(&ca);
	return err;
}
