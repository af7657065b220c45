/* log_os.c - see log_os.h. */
#include "os/log_os.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define SYSLOG_PATH "/dev/log"
#define FACILITY_DAEMON 3

static struct {
	char file[512];			/* empty: none */
	struct sockaddr_un syslog;	/* sun_path empty: none */
	int sock;
	enum log_level least;
} to = { .sock = -1, .least = LOG_OS_INFO };

static int open_file(const char *path)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);

	if (fd < 0)
		return errno == EACCES || errno == EPERM || errno == EROFS ? E_PERM : E_IO;
	int err = dup2(fd, STDERR_FILENO) < 0 ? E_LIMIT : OK;
	close(fd);
	return err;
}

static int open_syslog(const char *path)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };

	if (strlen(path) >= sizeof a.sun_path)
		return E_LIMIT;
	memcpy(a.sun_path, path, strlen(path));
	if (to.sock < 0)
		to.sock = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (to.sock < 0)
		return E_LIMIT;
	to.syslog = a;		/* each line is sent to the address: a new syslog daemon is found by itself */
	return OK;
}

int log_os_open(const char *output)
{
	if (strcmp(output, "stderr") == 0)
		return OK;
	if (strncmp(output, "syslog", 6) == 0 && (output[6] == 0 || output[6] == ':'))
		return open_syslog(output[6] ? output + 7 : SYSLOG_PATH);
	if (strlen(output) >= sizeof to.file)
		return E_LIMIT;
	int err = open_file(output);
	if (err == OK)
		memcpy(to.file, output, strlen(output) + 1);
	return err;
}

int log_os_reopen(void)
{
	return to.file[0] ? open_file(to.file) : OK;
}

void log_os_least(const char *level)
{
	to.least = level[0] == 'd' ? LOG_OS_DEBUG : level[0] == 'i' ? LOG_OS_INFO :
		   level[0] == 'w' ? LOG_OS_WARN : LOG_OS_ERROR;
}

static size_t stamp(char *at, size_t cap)
{
	struct timespec t;
	struct tm tm;

	clock_gettime(CLOCK_REALTIME, &t);
	gmtime_r(&t.tv_sec, &tm);
	size_t n = strftime(at, cap, "%Y-%m-%dT%H:%M:%S", &tm);
	return n + (size_t)snprintf(at + n, cap - n, ".%03ldZ ", t.tv_nsec / 1000000);
}

static bool to_syslog(enum log_level level, const char *line, size_t len)
{
	static const int severity[] = { 7, 6, 4, 3 };
	char head[96], when[32];
	struct timespec t;
	struct tm tm;

	clock_gettime(CLOCK_REALTIME, &t);
	localtime_r(&t.tv_sec, &tm);
	strftime(when, sizeof when, "%b %e %T", &tm);
	int n = snprintf(head, sizeof head, "<%d>%s moldau[%d]: ", FACILITY_DAEMON * 8 + severity[level & 3], when,
			 (int)getpid());
	struct iovec v[2] = { { head, (size_t)n }, { (void *)(uintptr_t)line, len } };
	struct msghdr m = { .msg_name = &to.syslog, .msg_namelen = sizeof to.syslog, .msg_iov = v, .msg_iovlen = 2 };

	return sendmsg(to.sock, &m, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0;
}

static size_t field(char *line, size_t at, size_t cap, const char *name, const char *text)
{
	if (!text || at + strlen(name) + 6 >= cap)
		return at;
	at += (size_t)snprintf(line + at, cap - at, " %s=\"", name);
	for (; *text && at + 4 < cap; text++) {
		if (*text == '"' || *text == '\\')
			line[at++] = '\\';
		line[at++] = *text == '\n' ? ' ' : *text;
	}
	line[at++] = '"';
	return at;
}

void log_os(const char *role, enum log_level level, const char *msg, const char *detail, const char *hint)
{
	static const char *const names[] = { "debug", "info", "warn", "error" };
	char line[2048];

	if (level < to.least)
		return;
	size_t time = stamp(line, sizeof line);
	size_t at = time + (size_t)snprintf(line + time, sizeof line - time, "%s role=%s", names[level & 3], role);
	at = field(line, at, sizeof line - 2, "msg", msg);
	at = field(line, at, sizeof line - 2, "detail", detail);
	at = field(line, at, sizeof line - 2, "hint", hint);
	if (to.syslog.sun_path[0] && to_syslog(level, line + time, at - time))
		return;
	line[at++] = '\n';
	if (write(STDERR_FILENO, line, at) < 0)
		return;
}

/* No lock, no memory, nothing of the C library but write and the clock. */
static char *put_text(char *at, const char *s)
{
	while (*s)
		*at++ = *s++;
	return at;
}

static char *put_digits(char *at, uint64_t v, int width)
{
	char digits[24];
	int n = 0;

	do
		digits[n++] = (char)('0' + v % 10);
	while ((v /= 10) != 0 || n < width);
	while (n > 0)
		*at++ = digits[--n];
	return at;
}

void log_os_from_signal(const char *role, const char *msg, const char *what, unsigned number)
{
	char line[512], *at = line;
	struct timespec t;

	if (strlen(role) + strlen(msg) + strlen(what) > 400)
		return;
	clock_gettime(CLOCK_REALTIME, &t);
	/* Days since 1 March of year 0, in eras of 400 years (the usual civil calendar arithmetic). */
	uint64_t s = (uint64_t)t.tv_sec, z = s / 86400 + 719468, era = z / 146097, day = z % 146097;
	uint64_t y = (day - day / 1460 + day / 36524 - day / 146096) / 365, in_year = day - (365 * y + y / 4 - y / 100);
	uint64_t m = (5 * in_year + 2) / 153, month = m < 10 ? m + 3 : m - 9;

	at = put_digits(at, y + era * 400 + (month <= 2), 4);
	at = put_digits(put_text(at, "-"), month, 2);
	at = put_digits(put_text(at, "-"), in_year - (153 * m + 2) / 5 + 1, 2);
	at = put_digits(put_text(at, "T"), s / 3600 % 24, 2);
	at = put_digits(put_text(at, ":"), s / 60 % 60, 2);
	at = put_digits(put_text(at, ":"), s % 60, 2);
	at = put_digits(put_text(at, "."), (uint64_t)t.tv_nsec / 1000000, 3);
	at = put_text(put_text(put_text(at, "Z error role="), role), " msg=\"");
	at = put_text(put_text(put_text(at, msg), "\" detail=\""), what);
	at = put_text(put_digits(at, number, 1), "\"\n");
	if (write(STDERR_FILENO, line, (size_t)(at - line)) < 0)
		return;
}
