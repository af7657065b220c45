/* tls_os.c - see tls_os.h. */
#include "os/tls_os.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"

#define RECORD 16384			/* bytes of one TLS record: pieces are gathered up to it */

struct tls_os {
	SSL_CTX *ctx;
};

struct tls_conn {
	SSL *ssl;
	char *subject;
};

static int bad(struct tls_os *t, const char *what, const char *file, char *why, size_t cap)
{
	char reason[200] = "?";

	ERR_error_string_n(ERR_peek_last_error(), reason, sizeof reason);
	snprintf(why, cap, "%s %.200s cannot be used: %s", what, file, reason);
	ERR_clear_error();
	SSL_CTX_free(t->ctx);
	mem_free(t);
	return E_BAD;
}

int tls_os_new(const char *cert, const char *key, const char *ca, enum tls_client_auth client, struct tls_os **ret,
	       char *why, size_t why_cap)
{
	struct tls_os *t = mem_alloc(sizeof *t);

	t->ctx = SSL_CTX_new(TLS_server_method());
	if (!t->ctx)
		return bad(t, "TLS", "", why, why_cap);
	SSL_CTX_set_min_proto_version(t->ctx, TLS1_2_VERSION);
	SSL_CTX_set_mode(t->ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
			 SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_session_id_context(t->ctx, (const unsigned char *)"moldau", 6);
	if (SSL_CTX_use_certificate_chain_file(t->ctx, cert) != 1)
		return bad(t, "the certificate", cert, why, why_cap);
	if (SSL_CTX_use_PrivateKey_file(t->ctx, key, SSL_FILETYPE_PEM) != 1 || SSL_CTX_check_private_key(t->ctx) != 1)
		return bad(t, "the key", key, why, why_cap);
	if (client != TLS_CLIENT_NONE) {
		if (SSL_CTX_load_verify_locations(t->ctx, ca, NULL) != 1)
			return bad(t, "the file of authorities", ca, why, why_cap);
		SSL_CTX_set_client_CA_list(t->ctx, SSL_load_client_CA_file(ca));
		int must_show = client == TLS_CLIENT_NEED ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0;

		SSL_CTX_set_verify(t->ctx, SSL_VERIFY_PEER | must_show, NULL);
	}
	*ret = t;
	return OK;
}

struct tls_conn *tls_accept(struct tls_os *t, int fd)
{
	struct tls_conn *c = mem_alloc(sizeof *c);

	c->ssl = SSL_new(t->ctx);
	if (!c->ssl || SSL_set_fd(c->ssl, fd) != 1) {
		tls_free(c);
		return NULL;
	}
	SSL_set_accept_state(c->ssl);
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

static int64_t outcome(struct tls_conn *c, int got)
{
	int e = SSL_get_error(c->ssl, got);

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
