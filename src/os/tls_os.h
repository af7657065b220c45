/*
 * tls_os.h - TLS below the net port: the server's side of a connection, by OpenSSL over a non-blocking socket.
 *
 * A net instance that has a context (net_os_tls()) serves all its accepted connections by TLS. TLS 1.2 and newer.
 */
#ifndef OS_TLS_OS_H
#define OS_TLS_OS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/err.h"
#include "io/net.h"

struct tls_os;				/* certificate, key, authorities */
struct tls_conn;

enum tls_client_auth { TLS_CLIENT_NONE, TLS_CLIENT_WANT, TLS_CLIENT_NEED };

/* PEM files; ca may be NULL with TLS_CLIENT_NONE. E_BAD: why says which file OpenSSL does not like. */
int tls_os_new(const char *cert, const char *key, const char *ca, enum tls_client_auth client, struct tls_os **ret,
	       char *why, size_t why_cap) MUST_CHECK;
struct tls_conn *tls_accept(struct tls_os *t, int fd);
void tls_free(struct tls_conn *c);
/* Bytes, filling v in order; 0: nothing there now; < 0: an enum err. The handshake happens on the way. */
int64_t tls_read(struct tls_conn *c, const struct iovec *v, int k);
/* Bytes of v (or of file [off, off + len) when k is 0) that were taken; 0: the socket is full; < 0: it is broken. After
 * a 0 the same bytes come first again. */
int64_t tls_write(struct tls_conn *c, const struct iovec *v, int k, const struct net_piece *file, uint64_t skip);
/* Decrypted bytes wait in memory, of which the socket does not tell. */
bool tls_pending(const struct tls_conn *c);
/* Subject of the client's verified certificate, as RFC 2253 writes it; NULL: it has shown none. */
const char *tls_subject(struct tls_conn *c);

#endif
