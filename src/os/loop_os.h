/*
 * loop_os.h - the event loop over libevent: turns, timers, turn hooks, the doorbell of this process.
 *
 * A turn: wait (only when nothing is to be done: bell_sleep()), callbacks of what is ready, the
 * role's wake callback when the bell has something, the turn hooks in their order, what was sent
 * leaves (flush hooks), then bell_flush() rings others. So own acknowledgements leave before wakes.
 */
#ifndef OS_LOOP_OS_H
#define OS_LOOP_OS_H

#include "io/loop.h"
#include "ipc/bell.h"

struct event_base;
struct loop_os;

struct loop_os *loop_os_new(void);
struct loop *loop_os_port(struct loop_os *l);
struct event_base *loop_os_base(struct loop_os *l);
/* The doorbell: fd is this process' eventfd; on_wake runs when the bell has something. */
void loop_os_bell(struct loop_os *l, struct bells *b, int fd, void (*on_wake)(void *ctx), void *ctx);
/* Runs after all turn hooks: sends leave here. Returns true: more to do, do not block. */
void loop_os_flush_hook(struct loop_os *l, int (*hook)(void *ctx), void *ctx);
/* Until stop(); its exit status. */
int loop_os_run(struct loop_os *l);
/* Calls on_read when fd is readable, until the process ends. */
void loop_os_watch(struct loop_os *l, int fd, void (*on_read)(void *ctx, int fd), void *ctx);
/* Calls on_signal from the loop. */
void loop_os_signal(struct loop_os *l, int signo, void (*on_signal)(void *ctx, int signo), void *ctx);

#endif
