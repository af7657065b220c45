/*
 * net_os.h - the net port over sockets: frames, gather writes, sendfile, descriptors as attachments.
 *
 * Reading goes through one hot scratch buffer of the process; an idle connection owns no buffer. A
 * frame that does not fit the scratch is read into its own memory directly. The memory of all
 * connections together is bounded (frame_limit), and connections that make no progress end
 * (net_guard_os.c).
 * What is sent leaves at the end of the turn, one sendmsg a connection where possible.
 *
 * States of a connection: connecting -> shaking (TLS) -> open -> closing (queue drains, nothing is read) ->
 * dead (on_close runs in the next turn, then the memory is gone). A handshake that failed: shaking -> refusing (what
 * comes is thrown away, so that the reason arrives) -> dead.
 */
#ifndef OS_NET_OS_H
#define OS_NET_OS_H

#include "io/net.h"
#include "os/loop_os.h"

struct net *net_os_new(struct loop_os *loop, uint64_t frame_limit);
struct tls_os;
/* All connections over IP that this instance adopts or makes from now on go over TLS. What was refused, here or by the
 * other side, is logged as `role`, ten lines a second at most. */
void net_os_tls(struct net *n, struct tls_os *tls, const char *role);
/* How long an unfinished frame may stand still, and a queue that its peer does not read; 30 s and 600 s are
 * the defaults. Whole seconds. */
void net_os_patience(struct net *n, uint64_t read_ms, uint64_t write_ms);
/* Calls on_accept for each connection; the descriptor is the callee's. EPOLLEXCLUSIVE in effect. */
void net_os_accept(struct loop_os *loop, int listen_fd, void (*on_accept)(void *ctx, int fd), void *ctx);
/* A listening socket: "host:port" or "unix:/path" (an old socket file is replaced). < 0: an enum
 * err; ret_why gets words for the user. */
int net_os_listen(const char *address, char *ret_why, size_t cap);

#endif
