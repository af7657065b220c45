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
