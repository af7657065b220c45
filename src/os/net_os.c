/* net_os.c - see net_os.h. */
#include "os/net_os.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/be.h"
#include "base/mem.h"
#include "os/listen_os.h"
#include "os/net_in_os.h"
#include "os/tls_os.h"

#define DIRECT_BYTES (32u << 10)	/* after a frame of this size the next one is read in its place */
#define READ_TURN_BYTES (1u << 20)	/* of one connection, then the others have their turn */
#define GUESS_MAX ((1u << 21) - 64)	/* of a buffer for a frame whose length is not known yet */
#define IOV_N 64

static struct net_os *net_of(struct net *n)
{
	return (struct net_os *)n;
}

void net_list(struct net_conn *c)
{
	if (c->listed)
		return;
	c->listed = true;
	c->turn_next = c->net->turn;
	c->net->turn = c;
}

/* ---- frames ---- */

static void frame_free(struct net *port, uint8_t *frame)
{
	struct net_os *n = net_of(port);

	frames_free(&n->frames, frame);
	if (n->starved)
		guard_freed(n);
}

/* ---- life ---- */

void net_die(struct net_conn *c, int err)
{
	if (c->state == DEAD)
		return;
	c->state = DEAD;
	c->close_err = err;
	net_list(c);
}

void net_want_read(struct net_conn *c, bool on)
{
	if (on == c->reading)
		return;
	c->reading = on;
	if (on)
		event_add(&c->rev, NULL);
	else
		event_del(&c->rev);
}

void net_want_write(struct net_conn *c, bool on)
{
	if (on == c->writing)
		return;
	c->writing = on;
	if (on)
		event_add(&c->wev, NULL);
	else
		event_del(&c->wev);
}

static void piece_over(struct net_conn *c, const struct net_piece *p)
{
	if (p->kind == NET_MEM)
		c->net->queued_mem -= p->len;
	if (p->release)
		p->release(p->release_ctx);
}

static void pieces_drop(struct net_conn *c)
{
	while (c->out_first < c->out_n) {
		struct net_piece *p = &c->out[c->out_first++];

		piece_over(c, p);
	}
	c->out_first = c->out_n = 0;
	c->out_bytes = 0;
	c->out_skip = 0;
}

static void conn_free(struct net_conn *c)
{
	struct net_os *n = c->net;

	net_want_read(c, false);
	net_want_write(c, false);
	pieces_drop(c);
	tls_free(c->tls);
	for (int i = 0; i < c->n_fds; i++)
		close(c->fds[i]);
	close(c->fd);
	n->ahead_bytes -= c->ahead_len;
	frame_free(&n->net, c->frame);
	mem_free(c->ahead);
	mem_free(c->out);
	if (c->prev)
		c->prev->next = c->next;
	else
		n->conns = c->next;
	if (c->next)
		c->next->prev = c->prev;
	mem_free(c);
}

/* ---- reading ---- */

static void deliver(struct net_conn *c)
{
	uint8_t *f = c->frame;

	frames_count(&c->net->frames, f, c->frame_len);
	c->frame = NULL;
	c->head_n = 0;
	c->last_len = c->frame_len;
	c->net->delivered = true;
	c->ev->on_frame(c->user, c, f, c->frame_len);
}

/* The length word is there. */
static bool head_ok(struct net_conn *c)
{
	c->frame_len = be32_get(c->head);
	if (c->frame_len <= c->max_frame)
		return true;
	if (c->ev->on_odd_length && c->ev->on_odd_length(c->user, c, c->frame_len))
		return false;		/* what follows the word is of no use to anybody */
	net_die(c, c->frame_len > INT32_MAX ? E_BAD : E_LIMIT);
	return false;
}

/* Bytes of the frame that its buffer has room for now: at least one, but for an empty frame. */
static uint32_t frame_need(struct net_conn *c)
{
	c->frame = frames_grow(&c->net->frames, c->frame, c->frame_got, c->frame_len);
	uint64_t room = frames_room(c->frame);

	return (room < c->frame_len ? (uint32_t)room : c->frame_len) - c->frame_got;
}

/* Takes bytes into frames and delivers them; false: the connection is muted or not open any more,
 * and *p, *len are what is left. */
static bool feed(struct net_conn *c, const uint8_t **p, uint32_t *len)
{
	while (*len > 0) {
		if (c->state != OPEN)
			return false;
		if (c->muted)
			return false;
		if (!c->frame) {
			uint32_t take = 4 - c->head_n < *len ? 4 - c->head_n : *len;

			memcpy(c->head + c->head_n, *p, take);
			c->head_n += take;
			*p += take;
			*len -= take;
			if (c->head_n < 4)
				return true;
			if (!head_ok(c))
				return false;
			c->frame = frames_new(&c->net->frames, c->frame_len);
			c->frame_got = 0;
		}
		uint32_t need = frame_need(c), take = need < *len ? need : *len;

		if (take > 0)
			memcpy(c->frame + c->frame_got, *p, take);
		c->frame_got += take;
		*p += take;
		*len -= take;
		if (c->frame_got == c->frame_len)
			deliver(c);
	}
	return true;
}

static void take_fds(struct net_conn *c, struct msghdr *m)
{
	for (struct cmsghdr *h = CMSG_FIRSTHDR(m); h; h = CMSG_NXTHDR(m, h)) {
		if (h->cmsg_level != SOL_SOCKET || h->cmsg_type != SCM_RIGHTS)
			continue;
		size_t n = (h->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		for (size_t i = 0; i < n; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(h) + i * sizeof fd, sizeof fd);
			if (c->n_fds < FDS_N)
				c->fds[c->n_fds++] = fd;
			else
				close(fd);
		}
	}
}

static void stash(struct net_conn *c, const uint8_t *p, uint32_t len)
{
	if (len == 0)
		return;
	uint8_t *old = c->ahead;

	c->ahead = mem_resize(NULL, len + c->ahead_len);
	memcpy(c->ahead, p, len);
	if (old)
		memcpy(c->ahead + len, old, c->ahead_len);
	c->ahead_len += len;
	c->net->ahead_bytes += len;
	mem_free(old);
}

/* One system call; bytes, or 0: nothing there, or the connection is dead. */
static uint32_t receive(struct net_conn *c, struct iovec *v, int k)
{
	char control[CMSG_SPACE(sizeof(int) * FDS_N)];
	struct msghdr m = { .msg_iov = v, .msg_iovlen = (size_t)k };

	if (c->tls) {
		int64_t n = tls_read(c->tls, v, k);

		if (n < 0) {
			net_tls_refused(c);
			net_die(c, (int)n);
		}
		c->in_bytes += n > 0 ? (uint64_t)n : 0;
		return n > 0 ? (uint32_t)n : 0;
	}
	if (c->unix_socket) {
		m.msg_control = control;
		m.msg_controllen = sizeof control;
	}
	ssize_t got = recvmsg(c->fd, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (got <= 0) {
		net_die(c, got == 0 ? E_CLOSED : E_IO);
		return 0;
	}
	if (c->unix_socket)
		take_fds(c, &m);
	c->in_bytes += (uint64_t)got;
	return (uint32_t)got;
}

static void feed_or_stash(struct net_conn *c, const uint8_t *p, uint32_t len)
{
	if (!feed(c, &p, &len) && c->state == OPEN)
		stash(c, p, len);
}

/* What is there into the scratch buffer, and from there into frames. Returns the bytes read. */
static uint32_t read_scratch(struct net_conn *c, bool *ret_more)
{
	uint32_t max = guard_read_max(c);
	struct iovec v = { c->net->scratch, max };
	uint32_t got = receive(c, &v, 1);

	*ret_more = got == max;
	if (got > 0)
		feed_or_stash(c, c->net->scratch, got);
	if (c->frame)
		frames_count(&c->net->frames, c->frame, c->frame_got);
	guard_read_done(c, got, c->ahead_len > 0);
	return got;
}

/* A frame that is larger than buffers that are kept goes into fresh pages: slower, so less of it a turn. */
static uint32_t turn_bytes(const struct net_conn *c)
{
	return c->frame && c->frame_len > GUESS_MAX ? READ_TURN_BYTES / 4 : READ_TURN_BYTES;
}

/* The rest of a large frame into its place, and the length word of the next one. */
static uint32_t read_rest(struct net_conn *c, bool *ret_more)
{
	uint32_t room = frame_need(c), turn = turn_bytes(c), need = room < turn ? room : turn;
	bool last = c->frame_got + need == c->frame_len;
	uint8_t head[4];
	struct iovec v[2] = { { c->frame + c->frame_got, need }, { head, 4 } };
	uint32_t got = receive(c, v, last ? 2 : 1);

	*ret_more = got == need + (last ? 4 : 0);
	if (got < need || !last) {
		c->frame_got += got;
		frames_count(&c->net->frames, c->frame, c->frame_got);
		return got;
	}
	deliver(c);
	feed_or_stash(c, head, got - need);
	return got;
}

/* A frame is expected that is as large as the last one: head and body into their places at once. */
static uint32_t read_like_last(struct net_conn *c, bool *ret_more)
{
	struct net_os *n = c->net;
	uint32_t guess = c->last_len < GUESS_MAX ? c->last_len : GUESS_MAX, had = c->head_n;
	uint8_t *frame = frames_new(&n->frames, guess);
	struct iovec v[2] = { { c->head + had, 4 - had }, { frame, guess } };
	uint32_t got = receive(c, v, 2);

	*ret_more = got == 4 - had + guess;
	c->head_n = got < 4 - had ? had + got : 4;
	if (c->head_n < 4 || !head_ok(c)) {
		frame_free(&n->net, frame);
		return got;
	}
	uint32_t body = got - (4 - had);
	if (c->frame_len > frames_room(frame) || body > c->frame_len) {	/* another size after all */
		c->frame = frames_new(&n->frames, c->frame_len);
		c->frame_got = 0;
		feed_or_stash(c, frame, body);
		frame_free(&n->net, frame);
		return got;
	}
	c->frame = frame;
	c->frame_got = body;
	frames_count(&n->frames, frame, body);
	if (body == c->frame_len)
		deliver(c);
	return got;
}

static void read_some(struct net_conn *c)
{
	uint32_t total = 0;
	bool more = true;

	while (more && total < turn_bytes(c) && c->state == OPEN && !c->muted && c->ahead_len == 0 &&
	       guard_may_read(c)) {
		if (c->frame && c->frame_len - c->frame_got >= DIRECT_BYTES)
			total += read_rest(c, &more);
		else if (!c->frame && c->last_len >= DIRECT_BYTES)
			total += read_like_last(c, &more);
		else
			total += read_scratch(c, &more);
	}
	if (c->tls && c->state == OPEN && c->starved_since == 0 && tls_pending(c->tls))
		net_list(c);		/* the socket will not say so */
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct net_conn *c = arg;

	(void)fd;
	(void)what;
	if (c->state == SHAKING || c->state == REFUSING)
		net_opening(c);
	if (c->state != OPEN)
		return;
	if (c->muted || c->ahead_len > 0) {
		net_want_read(c, false);
		return;
	}
	read_some(c);
	if (c->muted && c->ahead_len > 0)
		net_want_read(c, false);
}

/* ---- sending ---- */

static void advance(struct net_conn *c, uint64_t sent)
{
	c->out_bytes -= sent;
	c->out_sent += sent;
	while (c->out_first < c->out_n) {
		struct net_piece *p = &c->out[c->out_first];
		uint64_t left = p->len - c->out_skip;

		if (sent < left) {
			c->out_skip += sent;
			return;
		}
		sent -= left;
		c->out_skip = 0;
		c->out_first++;
		piece_over(c, p);
	}
	c->out_first = c->out_n = 0;
}

/* One system call; > 0 bytes sent, 0 the socket is full, < 0 it is broken. */
static int64_t send_once(struct net_conn *c)
{
	struct net_piece *p = &c->out[c->out_first];
	struct iovec v[IOV_N];
	int k = 0;
	bool more = false;

	if (p->kind == NET_FILE && c->tls)
		return tls_write(c->tls, NULL, 0, p, c->out_skip);
	if (p->kind == NET_FILE) {
		off_t off = (off_t)(p->off + c->out_skip);
		ssize_t got = sendfile(c->fd, p->file, &off, p->len - c->out_skip);

		if (got == 0 && p->len > c->out_skip)
			return -1;	/* the file ends too early: the frame cannot be finished */
		return got >= 0 ? got : errno == EAGAIN || errno == EINTR ? 0 : -1;
	}
	uint64_t skip = c->out_skip;
	for (uint32_t i = c->out_first; i < c->out_n && k < IOV_N; i++) {
		if (c->out[i].kind == NET_FILE) {
			more = true;
			break;
		}
		v[k++] = (struct iovec){ (void *)(uintptr_t)(c->out[i].mem + skip), c->out[i].len - skip };
		skip = 0;
	}
	if (c->tls)
		return tls_write(c->tls, v, k, NULL, 0);
	struct msghdr m = { .msg_iov = v, .msg_iovlen = (size_t)k };
	ssize_t got = sendmsg(c->fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL | (more ? MSG_MORE : 0));
	return got >= 0 ? got : errno == EAGAIN || errno == EINTR ? 0 : -1;
}

static void flush(struct net_conn *c)
{
	while (c->out_first < c->out_n) {
		if (c->out[c->out_first].len == c->out_skip) {	/* an empty piece */
			advance(c, 0);
			continue;
		}
		int64_t got = send_once(c);

		if (got < 0) {
			net_die(c, E_CLOSED);
			return;
		}
		if (got == 0) {
			c->draining = true;
			net_want_write(c, true);
			return;
		}
		advance(c, (uint64_t)got);
	}
	net_want_write(c, false);
	if (c->out_cap > 256) {		/* a burst is over */
		mem_free(c->out);
		c->out = NULL;
		c->out_cap = 0;
	}
	if (c->state == CLOSING) {
		net_die(c, E_CLOSED);
		return;
	}
	if (c->draining) {
		c->draining = false;
		if (c->ev->on_drained)
			c->ev->on_drained(c->user, c);
	}
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
	struct net_conn *c = arg;

	(void)fd;
	(void)what;
	if (c->state == CONNECTING || c->state == SHAKING)
		net_opening(c);
	else if (c->state == OPEN || c->state == CLOSING)
		flush(c);
}

/* End of a turn: what was sent leaves, unmuted connections deliver what was read ahead, the dead go. */
static int turn_end(void *ctx)
{
	struct net_os *n = ctx;
	struct net_conn *todo = n->turn;

	n->turn = NULL;
	n->delivered = false;
	while (todo) {
		struct net_conn *c = todo;

		todo = c->turn_next;
		c->listed = false;
		if (c->state == OPEN || c->state == CLOSING) {
			if (!c->writing)
				flush(c);
		}
		if (c->state == OPEN && !c->muted && c->ahead_len > 0) {
			uint8_t *mem = c->ahead;
			const uint8_t *p = mem;
			uint32_t left = c->ahead_len;

			n->ahead_bytes -= left;
			c->ahead = NULL;
			c->ahead_len = 0;
			if (!feed(c, &p, &left) && c->state == OPEN)
				stash(c, p, left);
			mem_free(mem);
		}
		if (c->tls && c->state == OPEN && !c->muted && c->ahead_len == 0 && tls_pending(c->tls))
			read_some(c);
		if (c->state == OPEN && !c->muted && c->ahead_len == 0)
			net_want_read(c, true);
		if (c->state == DEAD && !c->listed) {
			net_want_read(c, false);
			net_want_write(c, false);
			c->ev->on_close(c->user, c, c->close_err);
			conn_free(c);
		}
	}
	/* What was delivered here is for the hooks of the next turn, which must not wait. */
	return n->turn != NULL || n->delivered;
}

/* ---- the port ---- */

static struct net_conn *conn_new(struct net_os *n, int fd, const struct net_events *ev, void *user,
				 uint32_t max_frame)
{
	struct net_conn *c = mem_alloc(sizeof *c);
	struct event_base *base = loop_os_base(n->loop);

	c->net = n;
	c->fd = fd;
	c->ev = ev;
	c->user = user;
	c->max_frame = max_frame;
	c->next = n->conns;
	if (n->conns)
		n->conns->prev = c;
	n->conns = c;
	must(event_assign(&c->rev, base, fd, EV_READ | EV_PERSIST, on_readable, c) == 0);
	must(event_assign(&c->wev, base, fd, EV_WRITE | EV_PERSIST, on_writable, c) == 0);
	evutil_make_socket_nonblocking(fd);
	return c;
}

static int n_adopt(struct net *port, int fd, const struct net_events *ev, void *user,
		   uint32_t max_frame, struct net_conn **ret)
{
	struct net_conn *c = conn_new(net_of(port), fd, ev, user, max_frame);

	net_name_peer(c);
	if (net_of(port)->tls && !c->unix_socket && !(c->tls = tls_accept(net_of(port)->tls, fd))) {
		conn_free(c);
		return E_LIMIT;
	}
	c->state = c->tls ? SHAKING : OPEN;
	net_want_read(c, true);
	*ret = c;
	return OK;
}

static int n_connect(struct net *port, const char *address, const struct net_events *ev, void *user,
		     uint32_t max_frame, struct net_conn **ret)
{
	struct sockaddr_storage a;
	socklen_t len = 0;
	int err = net_os_resolve(address, false, &a, &len);

	if (err != OK)
		return err;
	int fd = socket(a.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return errno == EMFILE || errno == ENFILE ? E_LIMIT : E_IO;
	if (a.ss_family != AF_UNIX)
		net_tune(fd, true);
	if (connect(fd, (struct sockaddr *)&a, len) != 0 && errno != EINPROGRESS && errno != EAGAIN) {
		close(fd);
		return E_CLOSED;
	}
	struct net_conn *c = conn_new(net_of(port), fd, ev, user, max_frame);
	c->state = CONNECTING;
	c->dialled = true;
	c->unix_socket = a.ss_family == AF_UNIX;
	if (net_of(port)->tls && !c->unix_socket && !(c->tls = tls_connect(net_of(port)->tls, fd, address))) {
		conn_free(c);
		return E_LIMIT;
	}
	net_want_write(c, true);
	*ret = c;
	return OK;
}

static void n_send(struct net_conn *c, const struct net_piece *v, int n)
{
	if (c->state == DEAD || c->state == CLOSING) {
		for (int i = 0; i < n; i++)
			if (v[i].release)
				v[i].release(v[i].release_ctx);
		return;
	}
	if (c->out_n + (uint32_t)n > c->out_cap) {
		c->out_cap = (c->out_n + (uint32_t)n) * 2;
		c->out = mem_resize(c->out, sizeof *c->out * c->out_cap);
	}
	for (int i = 0; i < n; i++) {
		c->out[c->out_n++] = v[i];
		c->out_bytes += v[i].len;
		if (v[i].kind == NET_MEM)
			c->net->queued_mem += v[i].len;
	}
	if (c->state == OPEN)
		net_list(c);
}

static int n_send_fd(struct net_conn *c, int fd, const void *frame, uint32_t len)
{
	uint8_t head[4];
	struct iovec v[2] = { { head, 4 }, { (void *)(uintptr_t)frame, len } };
	char control[CMSG_SPACE(sizeof(int))] = { 0 };
	struct msghdr m = { .msg_iov = v, .msg_iovlen = 2, .msg_control = control,
			    .msg_controllen = sizeof control };
	struct cmsghdr *h = CMSG_FIRSTHDR(&m);

	if (c->state != OPEN || c->out_n > 0)
		return E_AGAIN;
	be32_put(head, len);
	h->cmsg_level = SOL_SOCKET;
	h->cmsg_type = SCM_RIGHTS;
	h->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(h), &fd, sizeof fd);
	ssize_t got = sendmsg(c->fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (got == (ssize_t)(len + 4))
		return OK;
	if (got >= 0)			/* half a frame: the stream is of no use any more */
		net_die(c, E_IO);
	return got < 0 && errno == EAGAIN ? E_AGAIN : E_CLOSED;
}

static int n_take_fd(struct net_conn *c)
{
	if (c->n_fds == 0)
		return -1;
	int fd = c->fds[0];

	memmove(c->fds, c->fds + 1, sizeof(int) * (size_t)--c->n_fds);
	return fd;
}

static int n_dup_fd(struct net_conn *c)
{
	return c->state == OPEN ? fcntl(c->fd, F_DUPFD_CLOEXEC, 0) : -1;
}

static void n_mute(struct net_conn *c)
{
	c->muted = true;
}

static void n_unmute(struct net_conn *c)
{
	if (!c->muted)
		return;
	c->muted = false;
	if (c->state == OPEN && (c->ahead_len > 0 || !c->reading))
		net_list(c);
}

static void n_close(struct net_conn *c)
{
	if (c->state == OPEN && c->out_n > 0) {
		c->state = CLOSING;
		net_want_read(c, false);
		net_list(c);
		return;
	}
	if (c->state != CLOSING)
		net_die(c, E_CLOSED);
}

static void n_abort(struct net_conn *c)
{
	net_die(c, E_CLOSED);
}

static uint64_t n_queued(struct net_conn *c)
{
	if (c->out_bytes > 0)
		c->draining = true;	/* whoever waits because of this is told */
	/* While memory is short, one answer a connection is enough. */
	if (c->out_bytes > 0 && c->net->queued_mem > c->net->frame_limit / 4)
		return UINT64_MAX;
	return c->out_bytes;
}

static const char *n_peer(struct net_conn *c)
{
	return c->peer;
}

static uint16_t n_peer_port(struct net_conn *c)
{
	return c->peer_port;
}

static const char *n_subject(struct net_conn *c)
{
	return c->tls ? tls_subject(c->tls) : NULL;
}

void net_os_tls(struct net *port, struct tls_os *tls, const char *role)
{
	net_of(port)->tls = tls;
	net_of(port)->tls_role = role;
}

static const struct net_calls calls = {
	.adopt = n_adopt, .connect = n_connect, .send = n_send, .send_fd = n_send_fd,
	.take_fd = n_take_fd, .dup_fd = n_dup_fd, .mute = n_mute, .unmute = n_unmute, .close = n_close,
	.abort = n_abort, .queued_bytes = n_queued, .peer = n_peer, .peer_port = n_peer_port,
	.subject = n_subject, .frame_free = frame_free,
};

struct net *net_os_new(struct loop_os *loop, uint64_t frame_limit)
{
	struct net_os *n = mem_alloc(sizeof *n);

	n->net.calls = &calls;
	n->loop = loop;
	frames_init(&n->frames, loop_os_port(loop));
	n->frame_limit = frame_limit;
	loop_os_flush_hook(loop, turn_end, n);
	guard_init(n);
	return &n->net;
}
