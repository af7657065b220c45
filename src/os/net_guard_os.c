/*
 * net_guard_os.c - what a connection may take from the others: memory, and time to make progress.
 *
 * Memory: what lies in frames, received or in processing, what was read ahead of muted connections, and
 * what waits to be sent is counted for the process, against one limit. The larger the frame, the earlier its
 * connection is not read any more, so that small requests go on being served while large ones wait:
 *
 *   frames up to 64 KiB   while the whole limit is not used
 *   up to 1 MiB           below three quarters
 *   larger                below a half
 *
 * Progress: once a second each connection is looked at. A handshake may take patience.read, an unfinished frame must
 * get 1 KiB in it,
 * a queue that waits for its reader must lose 1 KiB in patience.write; else the connection ends. Where memory
 * is short, unfinished frames whose peers send nothing go first, the largest of them first.
 * A muted connection is not read, so whether its peer is gone is asked for now and then.
 *
 * Unix sockets lead to processes of this broker: they are trusted in all of this.
 */
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include "os/net_in_os.h"

#define SMALL (64u << 10)
#define LARGE (1u << 20)
#define READ_FIRST 4096u		/* read at once of a new connection, or after some had to be kept */
#define READ_SHORT 2048u		/* the same while memory is short */
#define SWEEP_US 1000000
#define PROGRESS_BYTES 1024u
#define READ_TICKS 30
#define WRITE_TICKS 600
#define CLOSE_TICKS 10			/* of a connection that only waits for its queue to leave */
#define STUCK_TICKS 5			/* starved for so long: whoever holds memory is starved too */
#define GONE_EVERY 8u			/* ticks between two questions whether a muted peer is gone */

static uint64_t used(const struct net_os *n)
{
	return n->frames.out_bytes + n->ahead_bytes;
}

bool guard_may_read(struct net_conn *c)
{
	struct net_os *n = c->net;
	uint64_t limit = n->frame_limit;

	if (c->frame && c->frame_len > SMALL)
		limit = c->frame_len > LARGE ? limit / 2 : limit / 4 * 3;
	if (c->unix_socket || used(n) <= limit) {
		c->starved_since = 0;
		return true;
	}
	if (c->starved_since == 0)
		c->starved_since = n->tick;
	n->starved = true;
	net_want_read(c, false);
	return false;
}

static void resume(struct net_os *n)
{
	n->starved = false;
	for (struct net_conn *c = n->conns; c; c = c->next)
		if (c->starved_since != 0 && c->state == OPEN && !c->muted && c->ahead_len == 0 && guard_may_read(c)) {
			net_want_read(c, true);
			net_list(c);		/* TLS may hold bytes that the socket does not know of */
		}
}

void guard_freed(struct net_os *n)
{
	if (used(n) < n->frame_limit / 2)
		resume(n);
}

uint32_t guard_read_max(const struct net_conn *c)
{
	if (c->unix_socket)
		return SCRATCH_BYTES;
	return used(c->net) > c->net->frame_limit / 2 ? READ_SHORT : c->read_max ? c->read_max : READ_FIRST;
}

void guard_read_done(struct net_conn *c, uint32_t got, bool kept)
{
	uint32_t max = guard_read_max(c);

	if (kept)
		c->read_max = READ_FIRST;
	else if (got == max)
		c->read_max = max * 4 < SCRATCH_BYTES ? max * 4 : SCRATCH_BYTES;
}

/* ---- once a second ---- */

static bool unfinished(const struct net_conn *c)
{
	return c->state == OPEN && (c->frame || c->head_n > 0);
}

/* True: too little happened in `ticks`. Starts over when enough did. */
static bool stalled(struct net_os *n, uint32_t *since, uint64_t *mark, uint64_t bytes, uint32_t ticks)
{
	if (*since == 0 || bytes - *mark >= PROGRESS_BYTES) {
		*since = n->tick;
		*mark = bytes;
		return false;
	}
	return n->tick - *since >= ticks;
}

/* The peer has closed its side, or all of it: what is still in the socket does not matter. */
static bool peer_gone(const struct net_conn *c)
{
	struct tcp_info info;
	socklen_t len = sizeof info;

	return getsockopt(c->fd, IPPROTO_TCP, TCP_INFO, &info, &len) == 0 &&
	       (info.tcpi_state == TCP_CLOSE_WAIT || info.tcpi_state == TCP_CLOSE);
}

static void look_at(struct net_os *n, struct net_conn *c)
{
	if ((!unfinished(c) || !c->reading) && c->state != SHAKING && c->state != REFUSING)
		c->in_since = 0;
	else if (stalled(n, &c->in_since, &c->in_mark, c->in_bytes, c->state == REFUSING ? CLOSE_TICKS : n->read_ticks))
		net_die(c, E_TIMEOUT);
	if (c->out_first == c->out_n)
		c->out_since = 0;
	else if (stalled(n, &c->out_since, &c->out_mark, c->out_sent,
			 c->state == CLOSING ? CLOSE_TICKS : n->write_ticks))
		net_die(c, E_TIMEOUT);
	if (c->muted && c->state == OPEN && c->ev->on_gone && (n->tick + (uint32_t)c->fd) % GONE_EVERY == 0 &&
	    peer_gone(c))
		c->ev->on_gone(c->user, c);
}

/* An unfinished frame whose peer has sent nothing since the last look, or that waits for memory itself. */
static bool may_go(const struct net_os *n, const struct net_conn *c)
{
	if (!unfinished(c) || !c->frame || c->unix_socket)
		return false;
	return c->starved_since != 0 ? n->tick - c->starved_since >= STUCK_TICKS : c->in_bytes == c->in_mark;
}

static void make_room(struct net_os *n)
{
	while (used(n) >= n->frame_limit / 2) {
		struct net_conn *most = NULL;

		for (struct net_conn *c = n->conns; c; c = c->next)
			if (may_go(n, c) && (!most || c->frame_got > most->frame_got))
				most = c;
		if (!most)
			return;
		frames_free(&n->frames, most->frame);
		most->frame = NULL;
		net_die(most, E_LIMIT);
	}
}

static void sweep(struct loop_timer *t)
{
	struct net_os *n = t->user;
	struct loop *loop = loop_os_port(n->loop);

	n->tick++;
	if (n->starved)
		make_room(n);
	for (struct net_conn *c = n->conns; c; c = c->next)
		if (!c->unix_socket && c->state != DEAD && c->state != CONNECTING)
			look_at(n, c);
	if (n->starved)
		resume(n);
	loop->calls->timer_set(loop, t, SWEEP_US);
}

void guard_init(struct net_os *n)
{
	struct loop *loop = loop_os_port(n->loop);

	n->tick = 1;
	n->read_ticks = READ_TICKS;
	n->write_ticks = WRITE_TICKS;
	n->sweep.fire = sweep;
	n->sweep.user = n;
	loop->calls->timer_set(loop, &n->sweep, SWEEP_US);
}

void net_os_patience(struct net *port, uint64_t read_ms, uint64_t write_ms)
{
	struct net_os *n = (struct net_os *)port;

	n->read_ticks = (uint32_t)((read_ms + 999) / 1000);
	n->write_ticks = (uint32_t)((write_ms + 999) / 1000);
}
