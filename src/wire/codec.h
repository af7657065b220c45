/*
 * codec.h - gzip, snappy, lz4 and zstd behind one bounded streaming call.
 *
 * Is: the only place that includes zlib, lz4frame, zstd and snappy (libcodec.a, beside the pure
 * libwire.a). Is not: aware of records.
 *
 * Memory of a codec, all of it allocated on first use and kept (but for big zstd windows):
 *   64 KiB   output piece (snappy: up to block_bytes_max more while a stream has bigger blocks)
 *   ~40 KiB  gzip window and state
 *   up to 4 MiB + 64 KiB + block: lz4 frame with 4 MiB blocks (64 KiB blocks, as clients send: 192 KiB)
 *   2^window_log + 300 KiB: zstd; a context above CODEC_KEEP bytes is freed when the stream ends
 * Bombs: a stream is pulled in pieces of at most 64 KiB; whoever pulls stops at its own bound.
 */
#ifndef WIRE_CODEC_H
#define WIRE_CODEC_H

#include "base/str.h"
#include "wire/batch.h"

#define CODEC_PIECE 65536u		/* greatest plain piece */
#define CODEC_KEEP (16u << 20)		/* a zstd context above it is not kept between streams */

struct codec_limits {
	unsigned zstd_window_log;	/* 10-27: greatest window; more is E_LIMIT */
	uint32_t block_bytes_max;	/* greatest snappy block or raw snappy stream, plain */
};

/* 27: what Kafka's own readers accept (128 MiB, touched only as far as the data is long); blocks of
 * snappy up to 16 MiB. */
#define CODEC_LIMITS ((struct codec_limits){ .zstd_window_log = 27, .block_bytes_max = 16u << 20 })

struct codec;

/* One per thread. Free with codec_free() (NULL is fine). */
struct codec *codec_new(const struct codec_limits *lim);
void codec_free(struct codec *c);
/* The port that wire/batch.h takes; lives as long as c. */
struct batch_port *codec_port(struct codec *c);

/* "none", "gzip", "snappy", "lz4", "zstd" (values of compression.type beside "producer" and
 * "uncompressed"); NULL / -1: no such. "uncompressed" is BATCH_PLAIN too. */
const char *codec_name(unsigned codec);
int codec_by_name(struct str name);
/* Valid levels as Kafka's compression.<codec>.level: OK, E_RANGE, E_NOENT (codec without levels). */
int codec_level_check(unsigned codec, int32_t level) MUST_CHECK;

#endif
