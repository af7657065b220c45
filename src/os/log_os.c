/* log_os.c - see log_os.h. */
#include "os/log_os.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static size_t field(char *to, size_t at, size_t cap, const char *name, const char *text)
{
	if (!text || at + strlen(name) + 6 >= cap)
		return at;
	at += (size_t)snprintf(to + at, cap - at, " %s=\"", name);
	for (; *text && at + 4 < cap; text++) {
		if (*text == '"' || *text == '\\')
			to[at++] = '\\';
		to[at++] = *text == '\n' ? ' ' : *text;
	}
	to[at++] = '"';
	return at;
}

void log_os(const char *role, enum log_level level, const char *msg, const char *detail, const char *hint)
{
	static const char *const names[] = { "debug", "info", "warn", "error" };
	char line[2048];
	struct timespec t;
	struct tm tm;

	clock_gettime(CLOCK_REALTIME, &t);
	gmtime_r(&t.tv_sec, &tm);
	size_t at = strftime(line, sizeof line, "%Y-%m-%dT%H:%M:%S", &tm);
	at += (size_t)snprintf(line + at, sizeof line - at, ".%03ldZ %s role=%s", t.tv_nsec / 1000000,
			       names[level & 3], role);
	at = field(line, at, sizeof line - 2, "msg", msg);
	at = field(line, at, sizeof line - 2, "detail", detail);
	at = field(line, at, sizeof line - 2, "hint", hint);
	line[at++] = '\n';
	if (write(STDERR_FILENO, line, at) < 0)
		return;
}
