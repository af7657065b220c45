/* main_tls.c - see main_tls.h. */
#include "quorum/main_tls.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "os/listen_os.h"
#include "os/net_os.h"
#include "os/tls_os.h"

int main_tls_open(struct main_tls *t, char *why, size_t cap)
{
	bool any = t->certificate[0] || t->key[0] || t->ca[0], all = t->certificate[0] && t->key[0] && t->ca[0];

	if (strcmp(t->allow_plaintext, "true") != 0 && strcmp(t->allow_plaintext, "false") != 0) {
		snprintf(why, cap, "allow-plaintext wants true or false, not \"%s\"", t->allow_plaintext);
		return E_BAD;
	}
	if (any && !all) {
		snprintf(why, cap, "tls-certificate, tls-key and tls-ca go together");
		return E_BAD;
	}
	return any ? tls_os_new(t->certificate, t->key, t->ca, TLS_CLIENT_NEED, &t->tls, why, cap) : OK;
}

/* A name that has no address is not: it may get one. */
static bool is_loopback(const char *address)
{
	struct sockaddr_storage a;
	socklen_t len = 0;

	if (net_os_resolve(address, true, &a, &len) != OK)
		return false;
	if (a.ss_family == AF_INET)
		return ntohl(((struct sockaddr_in *)&a)->sin_addr.s_addr) >> 24 == 127;
	return a.ss_family == AF_UNIX ||
	       (a.ss_family == AF_INET6 && IN6_IS_ADDR_LOOPBACK(&((struct sockaddr_in6 *)&a)->sin6_addr));
}

int main_tls_covers(const struct main_tls *t, const char *name, const char *address, char *why, size_t cap)
{
	if (t->tls || !address || address[0] == 0 || strcmp(t->allow_plaintext, "true") == 0 || is_loopback(address))
		return OK;
	snprintf(why, cap, "%s %.120s is not on the loopback, and without TLS whoever reaches it could change the "
		 "cluster: set tls-certificate, tls-key and tls-ca (\"moldau quorum certs\" makes them), or "
		 "allow-plaintext=true in a network that nobody else can reach", name, address);
	return E_PERM;
}

void main_tls_use(const struct main_tls *t, struct net *net)
{
	if (t->tls)
		net_os_tls(net, t->tls, "quorum");
}
