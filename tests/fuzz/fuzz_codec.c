/*
 * fuzz_codec.c - compressed bytes through wire/codec.h. The input is shaped as a record batch: the
 * codec is in its attributes, the stream follows the 61 header bytes; nothing else is looked at.
 */
#include <stddef.h>
#include <stdint.h>

#include "base/assert.h"
#include "wire/codec.h"

#define PLAIN_MAX (8u << 20)

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct codec_limits lim = CODEC_LIMITS;

	if (n < BATCH_HEAD)
		return 0;
	struct codec *c = codec_new(&lim);
	struct batch_port *port = codec_port(c);

	/* Twice on one codec: what a damaged stream leaves must not harm the next. */
	for (int again = 0; again < 2; again++) {
		const uint8_t *piece;
		size_t len = 1, sum = 0;
		int err = port->open(port, p[22] & BATCH_CODEC_MASK, p + BATCH_HEAD, n - BATCH_HEAD);

		while (err == OK && len > 0 && sum < PLAIN_MAX &&
		       (err = port->next(port, &piece, &len)) == OK) {
			must(len <= CODEC_PIECE);
			sum += len;
			if (len > 0)	/* all of the piece is readable */
				must((unsigned)piece[0] + piece[len - 1] <= 510);
		}
		must(err == OK || err == E_BAD || err == E_LIMIT || err == E_VERSION);
		port->close(port);
	}
	codec_free(c);
	return 0;
}
