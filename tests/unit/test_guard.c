/* test_guard.c - the net port against peers that announce, stall, do not read, or go away (net_guard_os.c). */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/be.h"
#include "base/mem.h"
#include "os/loop_os.h"
#include "os/net_os.h"

#define LIMIT (8u << 20)		/* of the port's memory */
#define FRAME_MAX (100u << 20)
#define PEERS 8

static struct loop_os *os_loop;
static struct loop *loop;
static struct net *net;

struct peer {
	int fd;				/* our end of the socket, blocking */
	struct net_conn *c;		/* the port's */
	uint32_t frames, last_len;
	int closed;			/* error of on_close, 1: open */
	int gone;			/* times on_gone came */
};
static struct peer peers[PEERS];
static int n_peers;

static void on_frame(void *user, struct net_conn *c, uint8_t *frame, uint32_t len)
{
	struct peer *p = user;

	(void)c;
	p->frames++;
	p->last_len = len;
	net->calls->frame_free(net, frame);
}

static void on_close(void *user, struct net_conn *c, int err)
{
	(void)c;
	((struct peer *)user)->closed = err;
}

static void on_gone(void *user, struct net_conn *c)
{
	struct peer *p = user;

	p->gone++;
	net->calls->abort(c);
}

static const struct net_events events = { .on_frame = on_frame, .on_close = on_close, .on_gone = on_gone };

/* A TCP connection to ourselves. */
static struct peer *peer(void)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct peer *p = &peers[n_peers++];
	socklen_t len = sizeof a;
	int listener = socket(AF_INET, SOCK_STREAM, 0), small = 65536;

	p->fd = socket(AF_INET, SOCK_STREAM, 0);
	p->closed = 1;
	setsockopt(p->fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
	cr_assert(bind(listener, (struct sockaddr *)&a, sizeof a) == 0 && listen(listener, 1) == 0);
	cr_assert_eq(getsockname(listener, (struct sockaddr *)&a, &len), 0);
	cr_assert_eq(connect(p->fd, (struct sockaddr *)&a, sizeof a), 0);
	fcntl(p->fd, F_SETFL, O_NONBLOCK);
	int fd = accept(listener, NULL, NULL);
	cr_assert(fd >= 0);
	close(listener);
	cr_assert_eq(net->calls->adopt(net, fd, &events, p, FRAME_MAX, &p->c), OK);
	return p;
}

static void start(void)
{
	os_loop = loop_os_new();
	loop = loop_os_port(os_loop);
	net = net_os_new(os_loop, LIMIT);
	net_os_patience(net, 1000, 1000);
}

static void time_over(struct loop_timer *t)
{
	(void)t;
	loop->calls->stop(loop, 5);
}

static void run_ms(uint64_t ms)
{
	struct loop_timer t = { .fire = time_over };

	loop->calls->timer_set(loop, &t, ms * 1000);
	cr_assert_eq(loop_os_run(os_loop), 5);
	loop->calls->timer_stop(loop, &t);
}

/* The length word of a frame and so many bytes of it, taken by the port while they are sent. */
static void send_part(struct peer *p, uint32_t len, uint32_t bytes)
{
	static uint8_t zeros[65536];
	uint8_t head[4];

	be32_put(head, len);
	cr_assert_eq(send(p->fd, head, 4, 0), 4);
	for (uint32_t sent = 0; sent < bytes;) {
		uint32_t n = bytes - sent < sizeof zeros ? bytes - sent : (uint32_t)sizeof zeros;
		ssize_t got = send(p->fd, zeros, n, MSG_NOSIGNAL);

		if (got > 0)
			sent += (uint32_t)got;
		else
			run_ms(5);
	}
	run_ms(20);
}

static void wait_frames(struct peer *p, uint32_t n)
{
	for (int i = 0; i < 500 && p->frames < n; i++)
		run_ms(20);
	cr_assert_eq(p->frames, n, "%u frames, closed %d", p->frames, p->closed);
}

static long anon_kib(void)
{
	char line[200];
	long kib = 0;
	FILE *f = fopen("/proc/self/status", "re");

	while (f && fgets(line, sizeof line, f))
		if (sscanf(line, "RssAnon: %ld", &kib) == 1)
			break;
	if (f)
		fclose(f);
	return kib;
}

Test(guard, an_announcement_takes_no_memory)
{
	start();
	long before = anon_kib();
	for (int i = 0; i < PEERS - 1; i++)
		send_part(peer(), FRAME_MAX, 100);
	struct peer *honest = peer();
	send_part(honest, 5000, 5000);
	wait_frames(honest, 1);
	cr_assert_lt(anon_kib() - before, 1024, "%ld KiB more", anon_kib() - before);
}

Test(guard, a_large_frame_arrives_whole)
{
	start();
	struct peer *p = peer();
	for (uint32_t i = 1; i <= 3; i++) {	/* grows; is as large as the last one; is smaller */
		send_part(p, i == 3 ? 40000 : 3500000, i == 3 ? 40000 : 3500000);
		wait_frames(p, i);
		cr_assert_eq(p->last_len, i == 3 ? 40000u : 3500000u);
	}
}

Test(guard, who_stalls_in_a_frame_is_closed)
{
	start();
	struct peer *slow = peer(), *idle = peer(), *head = peer();
	send_part(slow, 3000, 100);
	cr_assert_eq(send(head->fd, "\0", 1, 0), 1);
	run_ms(3500);
	cr_assert_eq(slow->closed, E_TIMEOUT);
	cr_assert_eq(head->closed, E_TIMEOUT);
	cr_assert_eq(idle->closed, 1);		/* between two frames one may be silent */
}

Test(guard, who_does_not_read_is_closed)
{
	static uint8_t big[4u << 20];

	start();
	struct peer *p = peer(), *closing = peer();
	for (int i = 0; i < 4; i++) {
		net->calls->send(p->c, &(struct net_piece){ .kind = NET_MEM, .mem = big, .len = sizeof big }, 1);
		net->calls->send(closing->c, &(struct net_piece){ .kind = NET_MEM, .mem = big, .len = sizeof big }, 1);
	}
	cr_assert_eq(net->calls->queued_bytes(p->c), UINT64_MAX, "above a quarter of the limit");
	run_ms(3500);
	cr_assert_eq(p->closed, E_TIMEOUT);
	cr_assert_eq(closing->closed, E_TIMEOUT);
}

/* Two peers hold more than a half of the memory and stall: small frames are served, a large one gets their room. */
Test(guard, memory_that_is_held_for_nothing_is_taken_back)
{
	start();
	net_os_patience(net, 60000, 60000);
	struct peer *hog[2] = { peer(), peer() }, *small = peer(), *large = peer();
	send_part(hog[0], FRAME_MAX, 3u << 20);
	send_part(hog[1], FRAME_MAX, 1600u << 10);
	send_part(small, 8000, 8000);
	wait_frames(small, 1);
	send_part(large, 2u << 20, 2u << 20);
	wait_frames(large, 1);
	cr_assert_eq(hog[0]->closed, E_LIMIT);
	cr_assert_eq(small->closed, 1);
}

Test(guard, a_muted_peer_that_is_gone_is_noticed)
{
	start();
	struct peer *p = peer(), *there = peer();
	net->calls->mute(p->c);
	net->calls->mute(there->c);
	send_part(p, 100, 100);
	shutdown(p->fd, SHUT_WR);
	for (int i = 0; i < 120 && p->gone == 0; i++)
		run_ms(100);
	cr_assert_eq(p->gone, 1);
	cr_assert_eq(there->gone, 0);
}

static int accepted;

static void on_accept(void *ctx, int fd)
{
	(void)ctx;
	accepted++;
	close(fd);
}

/* Without a descriptor left the listening socket is readable all the time: nobody may spin, nobody may wait. */
Test(guard, no_descriptor_left)
{
	char why[200];
	struct rlimit lim = { 64, 64 };
	struct sockaddr_in a;
	socklen_t len = sizeof a;
	int hold[64], n = 0, client;

	start();
	int listener = net_os_listen("127.0.0.1:0", why, sizeof why);
	cr_assert(listener >= 0, "%s", why);
	cr_assert_eq(getsockname(listener, (struct sockaddr *)&a, &len), 0);
	net_os_accept(os_loop, listener, on_accept, NULL);
	client = socket(AF_INET, SOCK_STREAM, 0);
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &lim), 0);
	while (n < 64 && (hold[n] = dup(client)) >= 0)
		n++;
	cr_assert_eq(connect(client, (struct sockaddr *)&a, sizeof a), 0);
	run_ms(200);
	cr_assert_eq(accepted, 0);
	cr_assert_leq(recv(client, why, 1, MSG_DONTWAIT), 0);
	cr_assert_neq(errno, EAGAIN, "it was turned away");
	while (n > 0)
		close(hold[--n]);
	close(client);
	client = socket(AF_INET, SOCK_STREAM, 0);
	cr_assert_eq(connect(client, (struct sockaddr *)&a, sizeof a), 0);
	run_ms(200);
	cr_assert_eq(accepted, 1);
}
