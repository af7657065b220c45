/*
 * net_in_os.h - what net_os.c, net_open_os.c and net_guard_os.c share: connections and their memory.
 */
#ifndef OS_NET_IN_OS_H
#define OS_NET_IN_OS_H

#include <event2/event.h>
#include <event2/event_struct.h>

#include "os/frames_os.h"
#include "os/net_os.h"

#define SCRATCH_BYTES (128u << 10)
#define FDS_N 16

struct tls_conn;
struct tls_os;

enum conn_state { CONNECTING, SHAKING, REFUSING, OPEN, CLOSING, DEAD };	/* net_os.h */

struct net_conn {
	struct net_os *net;
	struct net_conn *next, *prev;	/* of net->conns */
	int fd;
	struct tls_conn *tls;		/* NULL: plain */
	enum conn_state state;
	bool unix_socket, dialled, muted, listed, draining;
	const struct net_events *ev;
	void *user;
	uint32_t max_frame;
	int close_err;
	struct event rev, wev;
	bool reading, writing;
	/* the frame being assembled */
	uint8_t head[4];
	uint32_t head_n;
	uint8_t *frame;
	uint32_t frame_len, frame_got;
	uint32_t last_len;		/* of the frame before */
	/* bytes read while muted */
	uint8_t *ahead;
	uint32_t ahead_len;
	/* what is to be sent */
	struct net_piece *out;
	uint32_t out_n, out_cap, out_first;
	uint64_t out_skip;		/* bytes of out[out_first] already sent */
	uint64_t out_bytes;
	int fds[FDS_N];
	int n_fds;
	char peer[64];
	uint16_t peer_port;
	struct net_conn *turn_next;	/* of net->turn */
	/* net_guard_os.c */
	uint32_t read_max;		/* bytes of the next read into the scratch buffer */
	uint64_t in_bytes, in_mark;	/* received; when it was last looked at */
	uint64_t out_sent, out_mark;	/* the same of what was sent */
	uint32_t in_since, out_since;	/* ticks of the looks; 0: nothing is unfinished */
	uint32_t starved_since;		/* tick since which it is not read for want of memory; 0: it is read */
};

struct net_os {
	struct net net;			/* first member: the port */
	struct loop_os *loop;
	struct tls_os *tls;
	const char *tls_role;		/* in the log */
	uint32_t refused, refused_tick, refused_lines;	/* not logged; when the last one was; logged in that tick */
	uint64_t frame_limit;
	struct frames frames;
	struct net_conn *conns;
	struct net_conn *turn;		/* to look at when the turn ends: sends, unmutes, deaths */
	uint64_t ahead_bytes;		/* read ahead, all connections */
	uint64_t queued_mem;		/* memory waiting to be sent, all connections */
	bool starved;			/* some socket is not read for want of memory */
	struct loop_timer sweep;
	uint32_t tick;			/* of the sweep: seconds, from 1 */
	uint32_t read_ticks, write_ticks;	/* patience */
	bool delivered;			/* a frame, since the turn's end began */
	uint8_t scratch[SCRATCH_BYTES];
};

/* net_os.c: on_close() comes in the next turn. */
void net_die(struct net_conn *c, int err);
void net_want_read(struct net_conn *c, bool on);
void net_list(struct net_conn *c);		/* it is looked at when the turn ends */

void net_want_write(struct net_conn *c, bool on);

/* ---- net_open_os.c ---- */

/* Something happened to a connection that is connecting, shaking hands or refusing. */
void net_opening(struct net_conn *c);
/* mine: we open it. Then the other side is a process of ours, and one that takes nothing for so long is not there. */
void net_tune(int fd, bool mine);
/* Fills c->peer from the socket. */
void net_name_peer(struct net_conn *c);
/* TLS failed: whoever runs this program is told why. */
void net_tls_refused(struct net_conn *c);

/* ---- net_guard_os.c ---- */

void guard_init(struct net_os *n);
/* May more bytes be taken from this connection? No: it is read again when there is memory. */
bool guard_may_read(struct net_conn *c);
/* Memory was given back. */
void guard_freed(struct net_os *n);
/* How much of a connection whose next frame's length is not known may be read at once, after `got` of that
 * many came, and after some of them had to be kept because the connection is muted. */
uint32_t guard_read_max(const struct net_conn *c);
void guard_read_done(struct net_conn *c, uint32_t got, bool kept);

#endif
