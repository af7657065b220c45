/* net_open_os.c - how a connection becomes open: connected, then the hands shaken. See net_os.h. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "os/log_os.h"
#include "os/net_in_os.h"
#include "os/tls_os.h"

#define REFUSED_LINES 10		/* in the log a second */
#define GIVE_UP_MS 10000		/* TCP_USER_TIMEOUT */

void net_tls_refused(struct net_conn *c)
{
	struct net_os *n = c->net;
	const char *why = tls_why(c->tls);
	char detail[360];

	if (!why)
		return;
	if (n->refused_tick != n->tick)
		n->refused_lines = 0;
	n->refused_tick = n->tick;
	if (++n->refused_lines > REFUSED_LINES) {
		n->refused++;
		return;
	}
	snprintf(detail, sizeof detail, "%s=%s reason=\"%s\" more=%u", c->dialled ? "to" : "from", c->peer, why,
		 n->refused);
	log_os(n->tls_role, LOG_OS_WARN, "a TLS connection was refused", detail, NULL);
	n->refused = 0;
}

void net_tune(int fd, bool mine)
{
	int one = 1, ms = GIVE_UP_MS;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof one);
	if (mine)
		setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &ms, sizeof ms);
}

void net_name_peer(struct net_conn *c)
{
	struct sockaddr_storage a;
	socklen_t len = sizeof a;

	memcpy(c->peer, "unix", 5);
	if (getpeername(c->fd, (struct sockaddr *)&a, &len) != 0)
		return;
	if (a.ss_family == AF_INET)
		inet_ntop(AF_INET, &((struct sockaddr_in *)&a)->sin_addr, c->peer, sizeof c->peer);
	else if (a.ss_family == AF_INET6)
		inet_ntop(AF_INET6, &((struct sockaddr_in6 *)&a)->sin6_addr, c->peer, sizeof c->peer);
	else
		c->unix_socket = true;
	if (!c->unix_socket)		/* the same place in both kinds */
		c->peer_port = ntohs(((struct sockaddr_in *)&a)->sin_port);
	if (!c->unix_socket && !c->dialled)
		net_tune(c->fd, false);
}

static void opened(struct net_conn *c)
{
	c->state = OPEN;
	net_want_write(c, false);
	net_want_read(c, !c->muted);
	if (c->dialled && c->ev->on_connect)
		c->ev->on_connect(c->user, c, OK);
	if (c->out_n > 0)
		net_list(c);
}

static void not_opened(struct net_conn *c, int err)
{
	net_want_write(c, false);
	if (c->dialled && c->ev->on_connect)
		c->ev->on_connect(c->user, c, err);
	net_die(c, err);
}

/* Closed with bytes unread, the socket would take the alert back that says why. */
static void refuse(struct net_conn *c)
{
	shutdown(c->fd, SHUT_WR);
	c->state = REFUSING;
	net_want_write(c, false);
	net_want_read(c, true);
}

static void throw_away(struct net_conn *c)
{
	ssize_t got = recv(c->fd, c->net->scratch, sizeof c->net->scratch, MSG_DONTWAIT);

	if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR))
		net_die(c, E_PERM);
}

static void shake(struct net_conn *c)
{
	bool write = false;
	int got = tls_handshake(c->tls, &write);

	if (got == 0) {
		net_want_read(c, true);
		net_want_write(c, write);
	} else if (got > 0) {
		opened(c);
	} else {
		net_tls_refused(c);
		if (c->dialled)
			not_opened(c, got);
		else
			refuse(c);
	}
}

void net_opening(struct net_conn *c)
{
	int e = 0;
	socklen_t len = sizeof e;

	if (c->state == CONNECTING) {
		if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &e, &len) != 0 || e != 0) {
			not_opened(c, E_CLOSED);
			return;
		}
		net_name_peer(c);
		c->state = SHAKING;
	}
	if (c->state == REFUSING)
		throw_away(c);
	else if (c->tls)
		shake(c);
	else
		opened(c);
}
