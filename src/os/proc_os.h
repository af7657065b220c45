/*
 * proc_os.h - what the processes of a daemon tell each other and the init system.
 */
#ifndef OS_PROC_OS_H
#define OS_PROC_OS_H

#include <stdbool.h>

#include "base/err.h"

/* A pair of sockets over which one process hands descriptors to another; closed on exec. OK, E_LIMIT. */
int proc_pair(int ret[2]);
/* One message: a letter and, when fd >= 0, a copy of the descriptor. Never waits. */
int proc_hand(int sock, char letter, int fd);
/* The next message; *ret_fd is the caller's, or -1. false: there is none. */
bool proc_take(int sock, char *ret_letter, int *ret_fd);

/* Moves fd to `number`, closed on exec. OK, E_LIMIT. */
int proc_place(int fd, int number);
void proc_keep_on_exec(int fd, bool keep);

/* The process number into a file, for init scripts; NULL path: nothing. OK, or E_IO (errno says why). */
int proc_write_pid(const char *path);
/* One datagram to the init system (sd_notify's protocol): "READY=1" ... Nothing without NOTIFY_SOCKET. */
void proc_notify(const char *state);
/* The init system wants a sign of life so often, in milliseconds; 0: it does not. */
unsigned proc_watchdog_ms(void);

#endif
