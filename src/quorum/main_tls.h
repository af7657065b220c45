/* main_tls.h - moldau-quorum's own TLS: its certificate for peers, brokers and tools, and what may go without. */
#ifndef QUORUM_MAIN_TLS_H
#define QUORUM_MAIN_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "io/net.h"

struct tls_os;

struct main_tls {			/* as set; empty: not */
	char certificate[400], key[400], ca[400];
	char peer_subjects[1024], client_subjects[1024];
	char allow_plaintext[8];
	struct tls_os *tls;		/* NULL: plain connections */
};

/* The names go together; the files are read. E_BAD: why. */
int main_tls_open(struct main_tls *t, char *why, size_t cap) MUST_CHECK;
/* The setting `name` has `address`: does TLS, the loopback or the operator's word protect it? E_PERM: why. */
int main_tls_covers(const struct main_tls *t, const char *name, const char *address, char *why, size_t cap) MUST_CHECK;
/* All connections of net are TLS from now on, when there is a certificate. */
void main_tls_use(const struct main_tls *t, struct net *net);

#endif
