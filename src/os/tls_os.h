/*
 * tls_os.h - TLS below the net port: one side's certificate and authorities, and connections of it.
 *
 * A context serves both directions. Who is dialled always has to show a certificate of an authority, for the name or
 * address that was dialled; who calls has to, may or need not, as enum tls_client_auth says. Files are read at the
 * start and by tls_os_reload(), on HUP; connections keep what they began with.
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

/* PEM files; ca may be NULL with TLS_CLIENT_NONE and when nobody is dialled. E_BAD: why says which file OpenSSL does
 * not like. */
int tls_os_new(const char *cert, const char *key, const char *ca, enum tls_client_auth client, struct tls_os **ret,
	       char *why, size_t why_cap) MUST_CHECK;
/* The files again, for connections from now on; when they are bad all stays as it was. Logged as `role`. */
void tls_os_reload(struct tls_os *t, const char *role);
/* When the own certificate ends: seconds since 1970. */
int64_t tls_os_expires(const struct tls_os *t);

/* NULL: no memory. */
struct tls_conn *tls_accept(struct tls_os *t, int fd);
/* address: "host:port" as it is dialled. */
struct tls_conn *tls_connect(struct tls_os *t, int fd, const char *address);
void tls_free(struct tls_conn *c);
/* 1: done; 0: more has to come or to leave first (*ret_write); E_PERM: failed, tls_why() knows. */
int tls_handshake(struct tls_conn *c, bool *ret_write);
/* Bytes, filling v in order; 0: nothing there now; < 0: an enum err. */
int64_t tls_read(struct tls_conn *c, const struct iovec *v, int k);
/* Bytes of v (or of file [off, off + len) when k is 0) that were taken; 0: the socket is full; < 0: it is broken. After
 * a 0 the same bytes come first again. */
int64_t tls_write(struct tls_conn *c, const struct iovec *v, int k, const struct net_piece *file, uint64_t skip);
/* Decrypted bytes wait in memory, of which the socket does not tell. */
bool tls_pending(const struct tls_conn *c);
/* Subject of the other side's verified certificate, as RFC 2253 writes it; NULL: it has shown none. */
const char *tls_subject(struct tls_conn *c);
/* Why it was refused, by us or by the other side, in words; NULL: it was not. */
const char *tls_why(const struct tls_conn *c);

#endif
