/*
 * str.h - views of text, bytes and uuids that somebody else owns.
 *
 * A view never owns: it is valid as long as the buffer it was cut from (usually the request
 * arena). len = -1 means null (Kafka's nullable strings), and p is then NULL.
 */
#ifndef BASE_STR_H
#define BASE_STR_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

struct str {
	const char *p;		/* not 0-terminated */
	int32_t len;		/* bytes; -1: null */
};

struct bytes {
	const uint8_t *p;
	int32_t len;		/* bytes; -1: null */
};

struct uuid {
	uint8_t b[16];		/* all zero: "no id" */
};

#define STR(lit) ((struct str){ (lit), (int32_t)sizeof(lit) - 1 })
#define STR_NULL ((struct str){ NULL, -1 })
#define BYTES_NULL ((struct bytes){ NULL, -1 })

static inline struct str str_of(const char *cstr)
{
	return cstr ? (struct str){ cstr, (int32_t)strlen(cstr) } : STR_NULL;
}

static inline bool str_eq(struct str a, struct str b)
{
	return a.len == b.len && (a.len <= 0 || memcmp(a.p, b.p, (size_t)a.len) == 0);
}

/* Edit distance (Levenshtein) of two names; large when one has 96 bytes or more. */
int str_distance(struct str a, struct str b);
/* From this distance on what was written is no slip of that name. */
static inline int str_far(struct str name)
{
	return name.len < 10 ? name.len / 2 + 1 : 6;
}

/* Are n bytes the same? Takes the same time wherever they differ: for passwords. */
static inline bool secret_eq(const void *a, const void *b, size_t n)
{
	const uint8_t *x = a, *y = b;
	unsigned d = 0;

	for (size_t i = 0; i < n; i++)
		d |= (unsigned)(x[i] ^ y[i]);
	return d == 0;
}

static inline bool str_is(struct str a, const char *cstr)
{
	return str_eq(a, str_of(cstr));
}

/* Byte order, shorter first on a tie; null sorts before everything. */
static inline int str_cmp(struct str a, struct str b)
{
	int32_t n = a.len < b.len ? a.len : b.len;
	int c = n > 0 ? memcmp(a.p, b.p, (size_t)n) : 0;

	return c != 0 ? c : (a.len > b.len) - (a.len < b.len);
}

static inline bool uuid_is_zero(const struct uuid *u)
{
	static const struct uuid zero;

	return memcmp(u, &zero, sizeof zero) == 0;
}

static inline bool uuid_eq(const struct uuid *a, const struct uuid *b)
{
	return memcmp(a, b, sizeof *a) == 0;
}

#define UUID_TEXT 22	/* characters of the text form, without the final 0 */
/* base64url without padding, as Kafka's tools and files write it; ret has UUID_TEXT + 1 bytes. */
void uuid_text(const struct uuid *u, char *ret);
/* false: not the text form of a uuid, *ret untouched. */
bool uuid_parse(struct str text, struct uuid *ret);

#endif
