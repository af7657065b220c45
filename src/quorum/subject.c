/* subject.c - see subject.h. */
#include "quorum/subject.h"

#include <stddef.h>
#include <string.h>

/* Bytes up to the next separator that no backslash stands before: ',' or '+', or `end`. */
static size_t attribute(const char *p, char end)
{
	size_t n = 0;

	while (p[n] && p[n] != ',' && p[n] != '+' && p[n] != end)
		n += p[n] == '\\' && p[n + 1] ? 2 : 1;
	return n;
}

static bool has(const char *subject, const char *want, size_t len)
{
	for (const char *p = subject; *p;) {
		size_t n = attribute(p, 0);

		if (n == len && memcmp(p, want, len) == 0)
			return true;
		p += n + (p[n] != 0);
	}
	return false;
}

bool subject_on_list(const char *subject, const char *list)
{
	for (const char *p = list; subject && *p;) {
		bool all = *p != ';';

		while (*p && *p != ';') {
			size_t n = attribute(p, ';');

			all &= n > 0 && has(subject, p, n);
			p += n + (p[n] == ',' || p[n] == '+');
		}
		if (all)
			return true;
		p += *p == ';';
	}
	return false;
}
