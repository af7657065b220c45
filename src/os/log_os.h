/*
 * log_os.h - one structured line a message:
 *   2026-11-24T10:41:03.123Z info role=worker-0 msg="..." detail="..." hint="..."
 * to stderr, a file, or syslog (without the time, which syslog adds).
 */
#ifndef OS_LOG_OS_H
#define OS_LOG_OS_H

#include "base/err.h"

enum log_level { LOG_OS_DEBUG, LOG_OS_INFO, LOG_OS_WARN, LOG_OS_ERROR };

/*
 * output: "stderr"; "syslog", or "syslog:PATH" with the socket's path; or the path of a file, which is
 * opened for appending and becomes this process' stderr. OK; E_PERM, E_IO: where lines went stays.
 */
int log_os_open(const char *output);
/* A file that was moved away (log rotation) is made anew; OK for other outputs. */
int log_os_reopen(void);
/* Less important lines are not written from now on: "debug", "info", "warning", "error". */
void log_os_least(const char *level);
/* detail and hint may be NULL. One write, so lines of several processes do not mix. */
void log_os(const char *role, enum log_level level, const char *msg, const char *detail, const char *hint);
/* The same from a signal handler, whatever it interrupted: to stderr, a number as the detail. */
void log_os_from_signal(const char *role, const char *msg, const char *what, unsigned number);

#endif
