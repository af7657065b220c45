/* str.c - text form of uuids (base64url, 22 characters). */
#include "base/str.h"

static const char b64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

void uuid_text(const struct uuid *u, char *ret)
{
	uint32_t acc = 0, bits = 0, n = 0;

	for (int i = 0; i < 16; i++) {
		acc = acc << 8 | u->b[i];
		for (bits += 8; bits >= 6; bits -= 6)
			ret[n++] = b64[acc >> (bits - 6) & 63];
	}
	ret[n++] = b64[acc << (6 - bits) & 63];
	ret[n] = 0;
}

bool uuid_parse(struct str text, struct uuid *ret)
{
	struct uuid u;
	uint32_t acc = 0, bits = 0, n = 0;

	if (text.len != UUID_TEXT)
		return false;
	for (int i = 0; i < UUID_TEXT; i++) {
		const char *at = text.p[i] ? strchr(b64, text.p[i]) : NULL;

		if (!at)
			return false;
		acc = acc << 6 | (uint32_t)(at - b64);
		bits += 6;
		if (bits >= 8 && n < 16) {
			bits -= 8;
			u.b[n++] = (uint8_t)(acc >> bits);
		}
	}
	*ret = u;
	return true;
}

#define DISTANCE_MAX 96

int str_distance(struct str a, struct str b)
{
	int row[DISTANCE_MAX + 1];

	if (a.len >= DISTANCE_MAX || b.len >= DISTANCE_MAX)
		return DISTANCE_MAX;
	for (int j = 0; j <= b.len; j++)
		row[j] = j;
	for (int i = 1; i <= a.len; i++) {
		int diagonal = row[0];

		row[0] = i;
		for (int j = 1; j <= b.len; j++) {
			int best = diagonal + (a.p[i - 1] != b.p[j - 1]);

			diagonal = row[j];
			if (row[j] + 1 < best)
				best = row[j] + 1;
			if (row[j - 1] + 1 < best)
				best = row[j - 1] + 1;
			row[j] = best;
		}
	}
	return row[b.len];
}
