/*
 * log_os.h - one structured line a message, to stderr:
 *   2026-11-24T10:41:03.123Z info role=worker-0 msg="..." detail="..." hint="..."
 */
#ifndef OS_LOG_OS_H
#define OS_LOG_OS_H

enum log_level { LOG_OS_DEBUG, LOG_OS_INFO, LOG_OS_WARN, LOG_OS_ERROR };

/* detail and hint may be NULL. One write, so lines of several processes do not mix. */
void log_os(const char *role, enum log_level level, const char *msg, const char *detail, const char *hint);

#endif
