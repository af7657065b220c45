/* tls_os.c - see tls_os.h. */
#include "os/tls_os.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "os/log_os.h"

#define RECORD 16384			/* bytes of one TLS record: pieces are gathered up to it */

struct tls_os {
	SSL_CTX *ctx;
	char *cert, *key, *ca;		/* files; ca may be NULL */
	enum tls_client_auth client;
	int64_t expires;
};

struct tls_conn {
	SSL *ssl;
	char *subject;
	char why[200];			/* "": nothing was refused */
};

static int bad(SSL_CTX *ctx, const char *what, const char *file, char *why, size_t cap)
{
	const char *reason = ERR_reason_error_string(ERR_peek_last_error());

	snprintf(why, cap, "%s %.200s cannot be used: %s", what, file, reason ? reason : "it makes no sense");
	ERR_clear_error();
	SSL_CTX_free(ctx);
	return E_BAD;
}

static int64_t seconds_of(const ASN1_TIME *at)
{
	struct tm tm = { 0 };

	return at && ASN1_TIME_to_tm(at, &tm) == 1 ? (int64_t)timegm(&tm) : 0;
}

static int load(struct tls_os *t, char *why, size_t cap)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_method());

	if (!ctx)
		return bad(ctx, "TLS", "", why, cap);
	SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
	SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
			 SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_session_id_context(ctx, (const unsigned char *)"moldau", 6);
	if (SSL_CTX_use_certificate_chain_file(ctx, t->cert) != 1)
		return bad(ctx, "the certificate", t->cert, why, cap);
	if (SSL_CTX_use_PrivateKey_file(ctx, t->key, SSL_FILETYPE_PEM) != 1 || SSL_CTX_check_private_key(ctx) != 1)
		return bad(ctx, "the key", t->key, why, cap);
	if (t->ca) {
		if (SSL_CTX_load_verify_locations(ctx, t->ca, NULL) != 1)
			return bad(ctx, "the file of authorities", t->ca, why, cap);
		SSL_CTX_set_client_CA_list(ctx, SSL_load_client_CA_file(t->ca));
	}
	if (t->client != TLS_CLIENT_NONE) {
		int must_show = t->client == TLS_CLIENT_NEED ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0;

		SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | must_show, NULL);
	}
	SSL_CTX_free(t->ctx);			/* connections hold it as long as they need it */
	t->ctx = ctx;
	t->expires = seconds_of(X509_get0_notAfter(SSL_CTX_get0_certificate(ctx)));
	return OK;
}

void tls_os_reload(struct tls_os *t, const char *role)
{
	char text[300];
	struct tm tm;
	time_t at;

	if (load(t, text, sizeof text) != OK) {
		log_os(role, LOG_OS_ERROR, "the certificate stays as it was", text,
		       "Mend the file and send HUP again.");
		return;
	}
	at = (time_t)t->expires;
	strftime(text, sizeof text, "valid_until=%Y-%m-%dT%H:%M:%SZ", gmtime_r(&at, &tm));
	log_os(role, LOG_OS_INFO, "the certificate was read again", text, NULL);
}

int64_t tls_os_expires(const struct tls_os *t)
{
	return t->expires;
}

int tls_os_new(const char *cert, const char *key, const char *ca, enum tls_client_auth client, struct tls_os **ret,
	       char *why, size_t why_cap)
{
	struct tls_os *t = mem_alloc(sizeof *t);

	*t = (struct tls_os){ .client = client, .cert = mem_strdup(cert, strlen(cert)),
			      .key = mem_strdup(key, strlen(key)), .ca = ca ? mem_strdup(ca, strlen(ca)) : NULL };
	int err = load(t, why, why_cap);

	if (err == OK) {
		*ret = t;
		return OK;
	}
	mem_free(t->cert);
	mem_free(t->key);
	mem_free(t->ca);
	mem_free(t);
	return err;
}

static struct tls_conn *conn_new(struct tls_os *t, int fd)
{
	struct tls_conn *c = mem_alloc(sizeof *c);

	c->ssl = SSL_new(t->ctx);
	if (!c->ssl || SSL_set_fd(c->ssl, fd) != 1) {
		tls_free(c);
		return NULL;
	}
	return c;
}

struct tls_conn *tls_accept(struct tls_os *t, int fd)
{
	struct tls_conn *c = conn_new(t, fd);

	if (c)
		SSL_set_accept_state(c->ssl);
	return c;
}

struct tls_conn *tls_connect(struct tls_os *t, int fd, const char *address)
{
	struct tls_conn *c = conn_new(t, fd);
	const char *colon = strrchr(address, ':');
	size_t n = colon ? (size_t)(colon - address) : strlen(address);
	bool brackets = n > 2 && address[0] == '[' && address[n - 1] == ']';
	char host[256];

	if (!c)
		return NULL;
	snprintf(host, sizeof host, "%.*s", (int)(brackets ? n - 2 : n), address + brackets);
	SSL_set_connect_state(c->ssl);
	SSL_set_verify(c->ssl, SSL_VERIFY_PEER, NULL);
	if (X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(c->ssl), host) == 1)
		return c;
	ERR_clear_error();
	if (SSL_set1_host(c->ssl, host) != 1 || SSL_set_tlsext_host_name(c->ssl, host) != 1) {
		tls_free(c);
		return NULL;
	}
	return c;
}

void tls_free(struct tls_conn *c)
{
	if (!c)
		return;
	if (c->ssl && SSL_is_init_finished(c->ssl))
		SSL_shutdown(c->ssl);		/* says goodbye; nobody waits for the answer */
	SSL_free(c->ssl);
	ERR_clear_error();
	OPENSSL_free(c->subject);
	mem_free(c);
}

static void explain(struct tls_conn *c, unsigned long e)
{
	int reason = ERR_GET_REASON(e);
	long verified = SSL_get_verify_result(c->ssl);
	const char *words = ERR_reason_error_string(e);

	if (verified != X509_V_OK)
		words = X509_verify_cert_error_string(verified);
	else if (reason == SSL_R_WRONG_VERSION_NUMBER || reason == SSL_R_HTTP_REQUEST ||
		 reason == SSL_R_PACKET_LENGTH_TOO_LONG || reason == SSL_R_BAD_PACKET_LENGTH)
		words = "it does not speak TLS";
	else if (e == 0 || reason == SSL_R_UNEXPECTED_EOF_WHILE_READING)
		words = "it closed the connection during the handshake";
	bool theirs = verified == X509_V_OK && reason >= SSL_AD_REASON_OFFSET && reason < SSL_AD_REASON_OFFSET + 256;

	snprintf(c->why, sizeof c->why, "%s%.150s", theirs ? "the other side says: " : "",
		 words ? words : "TLS failed");
}

const char *tls_why(const struct tls_conn *c)
{
	return c->why[0] ? c->why : NULL;
}

int tls_handshake(struct tls_conn *c, bool *ret_write)
{
	int got = SSL_do_handshake(c->ssl), e = SSL_get_error(c->ssl, got);

	*ret_write = e == SSL_ERROR_WANT_WRITE;
	if (got == 1)
		return 1;
	if (e == SSL_ERROR_WANT_READ || e == SSL_ERROR_WANT_WRITE) {
		ERR_clear_error();
		return 0;
	}
	explain(c, ERR_peek_last_error());
	ERR_clear_error();
	return E_PERM;
}

static int64_t outcome(struct tls_conn *c, int got)
{
	int e = SSL_get_error(c->ssl, got), reason = ERR_GET_REASON(ERR_peek_last_error());

	/* In TLS 1.3 a server tells only after the handshake that it does not like the client's certificate. */
	if (e == SSL_ERROR_SSL && reason >= SSL_AD_REASON_OFFSET)
		explain(c, ERR_peek_last_error());
	ERR_clear_error();
	return e == SSL_ERROR_WANT_READ || e == SSL_ERROR_WANT_WRITE ? 0 : e == SSL_ERROR_ZERO_RETURN ? E_CLOSED : E_IO;
}

int64_t tls_read(struct tls_conn *c, const struct iovec *v, int k)
{
	int64_t sum = 0;

	for (int i = 0; i < k; i++)
		for (size_t at = 0; at < v[i].iov_len;) {
			size_t n = v[i].iov_len - at;
			int got = SSL_read(c->ssl, (char *)v[i].iov_base + at, n > INT32_MAX ? INT32_MAX : (int)n);

			if (got <= 0) {
				int64_t err = outcome(c, got);

				return sum > 0 ? sum : err;	/* an error comes again with the next call */
			}
			at += (size_t)got;
			sum += got;
		}
	return sum;
}

int64_t tls_write(struct tls_conn *c, const struct iovec *v, int k, const struct net_piece *file, uint64_t skip)
{
	char record[RECORD];
	size_t n = 0;

	for (int i = 0; i < k && n < sizeof record; i++) {
		size_t take = v[i].iov_len < sizeof record - n ? v[i].iov_len : sizeof record - n;

		memcpy(record + n, v[i].iov_base, take);
		n += take;
	}
	if (k == 0) {
		size_t want = file->len - skip < sizeof record ? (size_t)(file->len - skip) : sizeof record;
		ssize_t got = pread(file->file, record, want, (off_t)(file->off + skip));

		if (got <= 0)
			return E_IO;
		n = (size_t)got;
	}
	int sent = SSL_write(c->ssl, record, (int)n);

	return sent > 0 ? sent : outcome(c, sent);
}

bool tls_pending(const struct tls_conn *c)
{
	return SSL_pending(c->ssl) > 0;
}

const char *tls_subject(struct tls_conn *c)
{
	X509 *cert = SSL_get1_peer_certificate(c->ssl);
	BIO *b;

	if (!cert || SSL_get_verify_result(c->ssl) != X509_V_OK) {
		X509_free(cert);
		return NULL;
	}
	if (!c->subject && (b = BIO_new(BIO_s_mem()))) {
		char *text;

		X509_NAME_print_ex(b, X509_get_subject_name(cert), 0, XN_FLAG_RFC2253);
		long n = BIO_get_mem_data(b, &text);

		c->subject = n > 0 ? OPENSSL_strndup(text, (size_t)n) : NULL;
		BIO_free(b);
	}
	X509_free(cert);
	return c->subject;
}
