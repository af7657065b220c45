/* test_ports.c - the ports over the operating system: frames and descriptors, files, syncs, locks, timers. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/be.h"
#include "base/mem.h"
#include "os/disk_os.h"
#include "os/lock_os.h"
#include "os/loop_os.h"
#include "os/net_os.h"

#define FRAME_MAX (4u << 20)
#define BIG (3u << 20)

static struct loop_os *os_loop;
static struct loop *loop;
static struct net *net;
static struct net_conn *side[2];
static uint32_t frames, closed, got_fd_byte;
static uint64_t bytes;
static int want_frames;

static void on_frame(void *user, struct net_conn *c, uint8_t *frame, uint32_t len)
{
	int fd = net->calls->take_fd(c);
	char byte = 0;

	(void)user;
	frames++;
	bytes += len;
	if (fd >= 0) {
		cr_assert_eq(read(fd, &byte, 1), 1);
		got_fd_byte = (uint8_t)byte;
		close(fd);
	}
	net->calls->frame_free(net, frame);
	if (--want_frames == 0)
		loop->calls->stop(loop, 7);
}

static void on_close(void *user, struct net_conn *c, int err)
{
	(void)user;
	cr_assert(c == side[0] || c == side[1]);
	cr_assert(err <= 0);
	if (++closed == 2)
		loop->calls->stop(loop, 8);
}

static const struct net_events events = { .on_frame = on_frame, .on_close = on_close };

static void open_pair(void)
{
	int fd[2];

	os_loop = loop_os_new();
	loop = loop_os_port(os_loop);
	net = net_os_new(os_loop, 64u << 20);
	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd), 0);
	for (int i = 0; i < 2; i++)
		cr_assert_eq(net->calls->adopt(net, fd[i], &events, NULL, FRAME_MAX, &side[i]), OK);
}

Test(net, small_frames_files_and_descriptors, .timeout = 20)
{
	static uint8_t small[100 * 14], big[4];
	char path[] = "/tmp/moldau-ports-XXXXXX";
	int file = mkstemp(path), pipe_fd[2];

	open_pair();
	unlink(path);
	cr_assert_eq(ftruncate(file, BIG), 0);
	for (int i = 0; i < 100; i++)
		be32_put(small + 14 * i, 10);
	be32_put(big, BIG);
	want_frames = 102;
	net->calls->send(side[0], &(struct net_piece){ .kind = NET_MEM, .mem = small, .len = sizeof small }, 1);
	net->calls->send(side[0], (struct net_piece[]){
		{ .kind = NET_MEM, .mem = big, .len = 4 },
		{ .kind = NET_FILE, .file = file, .off = 0, .len = BIG },
	}, 2);
	cr_assert_eq(pipe(pipe_fd), 0);
	cr_assert_eq(write(pipe_fd[1], "x", 1), 1);
	cr_assert_eq(net->calls->send_fd(side[1], pipe_fd[0], "ab", 2), OK);
	cr_assert_eq(loop_os_run(os_loop), 7);
	cr_assert_eq(frames, 102u);
	cr_assert_eq(bytes, 1000u + BIG + 2);
	cr_assert_eq(got_fd_byte, (uint32_t)'x');
}

Test(net, a_frame_above_the_limit_closes, .timeout = 20)
{
	uint8_t head[4];

	open_pair();
	be32_put(head, FRAME_MAX + 1);
	net->calls->send(side[0], &(struct net_piece){ .kind = NET_MEM, .mem = head, .len = 4 }, 1);
	cr_assert_eq(loop_os_run(os_loop), 8);
	cr_assert_eq(frames, 0u);
}

Test(net, a_negative_length_closes, .timeout = 20)
{
	open_pair();
	net->calls->send(side[0], &(struct net_piece){ .kind = NET_MEM, .mem = (const uint8_t *)"\xff\xff\xff\xff",
						       .len = 4 }, 1);
	cr_assert_eq(loop_os_run(os_loop), 8);
}

static int synced;

static void on_synced(struct disk_op *op, int err)
{
	cr_assert_eq(err, op->what == DISK_UNLINK ? E_NOENT : OK);
	if (++synced == 17)
		loop->calls->stop(loop, 9);
}

Test(disk, files_and_parallel_syncs, .timeout = 20)
{
	static struct disk_op ops[17];
	char dir[] = "/tmp/moldau-ports-XXXXXX", path[128], buf[8];
	struct disk *d;
	uint64_t size;
	size_t n;
	int f;

	os_loop = loop_os_new();
	loop = loop_os_port(os_loop);
	d = disk_os_new(os_loop, 8);
	cr_assert_not_null(mkdtemp(dir));
	snprintf(path, sizeof path, "%s/a", dir);
	cr_assert_eq(d->calls->open(d, path, 0, &f), E_NOENT);
	cr_assert_eq(d->calls->open(d, path, DISK_CREATE | DISK_EXCL, &f), OK);
	cr_assert_eq(d->calls->pwritev(d, f, (struct disk_piece[]){ { "abc", 3 }, { "defg", 4 } }, 2, 5), OK);
	cr_assert_eq(d->calls->size(d, f, &size), OK);
	cr_assert_eq(size, 12u);
	cr_assert_eq(d->calls->pread(d, f, buf, 8, 8, &n), OK);
	cr_assert_eq(n, 4u);
	cr_assert_eq(memcmp(buf, "defg", 4), 0);
	cr_assert(d->calls->is_warm(d, f, 0, 12));
	cr_assert_eq(d->calls->mkdir(d, dir), E_EXIST);
	cr_assert_neq(fcntl(f, F_GETFD) & FD_CLOEXEC, 0);
	for (int i = 0; i < 16; i++)
		ops[i] = (struct disk_op){ .what = DISK_SYNC, .file = f, .done = on_synced };
	ops[16] = (struct disk_op){ .what = DISK_UNLINK, .path = "/tmp/moldau-no-such-file", .done = on_synced };
	for (int i = 0; i < 17; i++)
		d->calls->submit(d, &ops[i]);
	cr_assert_eq(synced, 0);	/* submit() never calls done() itself */
	cr_assert_eq(loop_os_run(os_loop), 9);
	d->calls->close(d, f);
	cr_assert_eq(d->calls->unlink(d, path), OK);
	cr_assert_eq(d->calls->rmdir(d, dir), OK);
}

Test(lock, a_dead_owner_is_told_and_a_living_one_is_busy, .timeout = 20)
{
	struct lock_port *l = lock_os();
	struct lock_word *w = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct lock_held *h;
	int go[2], status;
	char c;

	l->init(l, w);
	cr_assert_eq(l->try_lock(l, w, &h), LOCK_OK);
	l->release(l, w, h);
	cr_assert_eq(pipe(go), 0);
	pid_t pid = fork();
	if (pid == 0) {
		if (l->try_lock(l, w, &h) == LOCK_OK && write(go[1], "x", 1) == 1)
			pause();
		_exit(1);
	}
	cr_assert_eq(read(go[0], &c, 1), 1);
	cr_assert_eq(l->try_lock(l, w, &h), LOCK_BUSY);
	kill(pid, SIGKILL);
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_assert_eq(l->try_lock(l, w, &h), LOCK_OWNER_DIED);
	l->consistent(l, w, h);
	l->release(l, w, h);
	cr_assert_eq(l->try_lock(l, w, &h), LOCK_OK);
	l->release(l, w, h);
}

static int fired[3], n_fired;

static void fire(struct loop_timer *t)
{
	fired[n_fired++] = (int)(intptr_t)t->user;
	if (n_fired == 3)
		loop->calls->stop(loop, 3);
}

Test(loop, timers_fire_in_order_and_can_be_stopped, .timeout = 20)
{
	static struct loop_timer t[4];

	os_loop = loop_os_new();
	loop = loop_os_port(os_loop);
	for (int i = 0; i < 4; i++) {
		t[i].fire = fire;
		t[i].user = (void *)(intptr_t)i;
		loop->calls->timer_set(loop, &t[i], (uint64_t)(4 - i) * 20000);
	}
	loop->calls->timer_stop(loop, &t[2]);
	loop->calls->timer_set(loop, &t[0], 0);
	cr_assert_eq(loop_os_run(os_loop), 3);
	cr_assert(fired[0] == 0 && fired[1] == 3 && fired[2] == 1);
}
