/*
 * codec.c - gzip, snappy, lz4 and zstd: bounded streaming decompression, one-shot compression.
 *
 * One stream at a time. Input is whole in memory, output comes in pieces of at most CODEC_PIECE
 * bytes. Streams that are concatenated are read as one (gzip members, lz4 and zstd frames, xerial
 * headers), as Java's readers do; anything else behind a stream is damage.
 */
#include "wire/codec.h"

#include <lz4frame.h>
#include <snappy-c.h>
#include <zlib.h>
#include <zstd.h>
#include <zstd_errors.h>

#include "base/assert.h"
#include "base/be.h"
#include "base/mem.h"

#define SNAPPY_KEEP (1u << 20)		/* a block buffer above it is freed when the stream ends */
#define XERIAL_HEAD 16			/* magic of 8 bytes, version, oldest compatible version */
#define XERIAL_BLOCK 32768u		/* plain bytes of the blocks we write, as snappy-java */
/* A snappy copy of 2 or 3 bytes makes at most 64: a block that claims more than this lies. */
#define SNAPPY_RATIO_MAX 32u

struct codec {
	struct batch_port port;		/* first: a port is a codec */
	struct codec_limits lim;
	unsigned codec;			/* of the open stream */
	const uint8_t *src;
	size_t len, pos;
	bool between;			/* at the start of a member, frame or block */
	bool begun;			/* at least one was read */
	uint8_t *piece;			/* CODEC_PIECE bytes */
	z_stream gz;
	bool gz_made;
	LZ4F_dctx *lz4;
	bool lz4_big;			/* has buffers for blocks above 256 KiB */
	ZSTD_DCtx *zstd;
	bool xerial;
	uint8_t *block;			/* snappy: the plain block that is being given out */
	size_t block_cap, block_len, block_at;
};

static const uint8_t xerial_magic[8] = { 0x82, 'S', 'N', 'A', 'P', 'P', 'Y', 0 };

/* ---- one step of each: *ret_n plain bytes into piece; may be 0 with progress ----------------- */

static int step_gzip(struct codec *c, size_t *ret_n)
{
	if (c->between && inflateReset(&c->gz) != Z_OK)
		return E_BAD;
	size_t in = c->len - c->pos;

	must(in <= INT32_MAX);
	c->gz.next_in = (Bytef *)(uintptr_t)(c->src + c->pos);
	c->gz.avail_in = (uInt)in;
	c->gz.next_out = c->piece;
	c->gz.avail_out = CODEC_PIECE;
	int r = inflate(&c->gz, Z_NO_FLUSH);

	c->pos = c->len - c->gz.avail_in;
	*ret_n = CODEC_PIECE - c->gz.avail_out;
	if (r == Z_MEM_ERROR)
		return E_LIMIT;
	if (r != Z_OK && r != Z_STREAM_END)	/* Z_BUF_ERROR: cut off */
		return E_BAD;
	c->between = r == Z_STREAM_END;
	return OK;
}

static int lz4_frame(struct codec *c)
{
	LZ4F_frameInfo_t info;
	size_t n = c->len - c->pos;

	if (c->begun)
		LZ4F_resetDecompressionContext(c->lz4);
	size_t r = LZ4F_getFrameInfo(c->lz4, &info, c->src + c->pos, &n);

	if (LZ4F_isError(r))
		return E_BAD;
	if (info.blockSizeID > LZ4F_max256KB)
		c->lz4_big = true;
	c->pos += n;
	return OK;
}

static int step_lz4(struct codec *c, size_t *ret_n)
{
	size_t in, out = CODEC_PIECE, at = c->pos;
	bool fresh = c->between;
	int err = fresh ? lz4_frame(c) : OK;

	if (err != OK)
		return err;
	in = c->len - c->pos;
	size_t r = LZ4F_decompress(c->lz4, c->piece, &out, c->src + c->pos, &in, NULL);

	if (LZ4F_isError(r))
		return E_BAD;
	c->pos += in;
	c->between = r == 0;
	*ret_n = out;
	return c->pos == at && out == 0 && !c->between ? E_BAD : OK;
}

static int step_zstd(struct codec *c, size_t *ret_n)
{
	ZSTD_inBuffer in = { c->src + c->pos, c->len - c->pos, 0 };
	ZSTD_outBuffer out = { c->piece, CODEC_PIECE, 0 };
	size_t r = ZSTD_decompressStream(c->zstd, &out, &in);

	if (ZSTD_isError(r)) {
		ZSTD_ErrorCode code = ZSTD_getErrorCode(r);

		return code == ZSTD_error_frameParameter_windowTooLarge ||
		       code == ZSTD_error_memory_allocation ? E_LIMIT : E_BAD;
	}
	c->pos += in.pos;
	c->between = r == 0;
	*ret_n = out.pos;
	return in.pos == 0 && out.pos == 0 && !c->between ? E_BAD : OK;
}

/* Decompresses one snappy block to c->block. */
static int snappy_block(struct codec *c, const uint8_t *p, size_t n)
{
	size_t plain;

	if (snappy_uncompressed_length((const char *)p, n, &plain) != SNAPPY_OK ||
	    plain > n * SNAPPY_RATIO_MAX)
		return E_BAD;
	if (plain > c->lim.block_bytes_max)
		return E_LIMIT;
	if (plain > c->block_cap) {
		size_t cap = plain > XERIAL_BLOCK * 2 ? plain : XERIAL_BLOCK * 2;

		mem_free(c->block);
		c->block = mem_resize(NULL, cap);
		c->block_cap = cap;
	}
	c->block_len = plain;
	c->block_at = 0;
	if (plain == 0)			/* the block is one byte, 0, and nothing to uncompress */
		return n == 1 ? OK : E_BAD;
	if (snappy_uncompress((const char *)p, n, (char *)c->block, &plain) == SNAPPY_OK &&
	    plain == c->block_len)
		return OK;
	c->block_len = 0;
	return E_BAD;
}

static int step_snappy(struct codec *c, size_t *ret_n)
{
	size_t left = c->block_len - c->block_at;

	*ret_n = 0;
	if (left == 0 && !c->xerial) {
		size_t n = c->len - c->pos;

		c->pos = c->len;
		c->between = true;
		return snappy_block(c, c->src + c->pos - n, n);
	}
	if (left == 0) {
		const uint8_t *p = c->src + c->pos;
		size_t n = c->len - c->pos;

		if (n >= XERIAL_HEAD && memcmp(p, xerial_magic, sizeof xerial_magic) == 0) {
			c->pos += XERIAL_HEAD;
			c->between = true;
			return OK;
		}
		if (n < 4 || be32_get(p) > n - 4 || be32_get(p) == 0)
			return E_BAD;
		c->pos += 4 + be32_get(p);
		c->between = true;
		return snappy_block(c, p + 4, be32_get(p));
	}
	return OK;			/* the caller gives out what is in the block */
}

/* ---- the port ------------------------------------------------------------------------------ */

static int open_gzip(struct codec *c)
{
	if (c->gz_made)
		return OK;
	if (inflateInit2(&c->gz, 15 + 16) != Z_OK)	/* 16: gzip framing only */
		return E_LIMIT;
	c->gz_made = true;
	return OK;
}

static int open_lz4(struct codec *c)
{
	if (!c->lz4 && LZ4F_isError(LZ4F_createDecompressionContext(&c->lz4, LZ4F_VERSION))) {
		c->lz4 = NULL;
		return E_LIMIT;
	}
	LZ4F_resetDecompressionContext(c->lz4);
	return OK;
}

static int open_zstd(struct codec *c)
{
	if (!c->zstd && !(c->zstd = ZSTD_createDCtx()))
		return E_LIMIT;
	ZSTD_DCtx_reset(c->zstd, ZSTD_reset_session_only);
	size_t r = ZSTD_DCtx_setParameter(c->zstd, ZSTD_d_windowLogMax,
					  (int)c->lim.zstd_window_log);

	must(!ZSTD_isError(r));
	return OK;
}

static int port_open(struct batch_port *port, unsigned codec, const uint8_t *src, size_t len)
{
	struct codec *c = (struct codec *)port;

	c->codec = codec;
	c->src = src;
	c->len = len;
	c->pos = 0;
	c->between = true;
	c->begun = false;
	c->block_len = c->block_at = 0;
	if (len > INT32_MAX)
		return E_LIMIT;
	if (!c->piece)
		c->piece = mem_resize(NULL, CODEC_PIECE);
	switch (codec) {
	case BATCH_GZIP:
		return open_gzip(c);
	case BATCH_SNAPPY:
		c->xerial = len >= XERIAL_HEAD && memcmp(src, xerial_magic, sizeof xerial_magic) == 0;
		return OK;
	case BATCH_LZ4:
		return open_lz4(c);
	case BATCH_ZSTD:
		return open_zstd(c);
	}
	return E_VERSION;
}

static int step(struct codec *c, size_t *ret_n)
{
	switch (c->codec) {
	case BATCH_GZIP:
		return step_gzip(c, ret_n);
	case BATCH_SNAPPY:
		return step_snappy(c, ret_n);
	case BATCH_LZ4:
		return step_lz4(c, ret_n);
	case BATCH_ZSTD:
		return step_zstd(c, ret_n);
	}
	return E_VERSION;
}

static int port_next(struct batch_port *port, const uint8_t **ret, size_t *ret_len)
{
	struct codec *c = (struct codec *)port;
	size_t n = 0;

	for (;;) {
		if (c->block_at < c->block_len) {	/* snappy: out of the block */
			n = c->block_len - c->block_at;
			n = n < CODEC_PIECE ? n : CODEC_PIECE;
			*ret = c->block + c->block_at;
			*ret_len = n;
			c->block_at += n;
			return OK;
		}
		if (c->pos == c->len && c->between) {
			*ret = c->piece;
			*ret_len = 0;
			return c->begun ? OK : E_BAD;	/* no bytes at all is no stream */
		}
		int err = step(c, &n);

		if (err != OK)
			return err;
		c->begun = true;
		if (n > 0) {
			*ret = c->piece;
			*ret_len = n;
			return OK;
		}
	}
}

static void port_close(struct batch_port *port)
{
	struct codec *c = (struct codec *)port;

	if (c->codec == BATCH_ZSTD && c->zstd && ZSTD_sizeof_DCtx(c->zstd) > CODEC_KEEP) {
		ZSTD_freeDCtx(c->zstd);
		c->zstd = NULL;
	}
	if (c->lz4_big) {
		LZ4F_freeDecompressionContext(c->lz4);
		c->lz4 = NULL;
		c->lz4_big = false;
	}
	if (c->block_cap > SNAPPY_KEEP) {
		mem_free(c->block);
		c->block = NULL;
		c->block_cap = 0;
	}
	c->src = NULL;
	c->len = c->pos = 0;
}

/* ---- compression --------------------------------------------------------------------------- */

static int pack_gzip(int32_t level, const uint8_t *src, size_t len, struct buf *out)
{
	z_stream z = { 0 };
	int r, err = OK;

	if (deflateInit2(&z, level == INT32_MIN ? Z_DEFAULT_COMPRESSION : level, Z_DEFLATED, 15 + 16, 8,
			 Z_DEFAULT_STRATEGY) != Z_OK)
		return E_LIMIT;
	z.next_in = (Bytef *)(uintptr_t)src;
	z.avail_in = (uInt)len;
	do {
		size_t left = out->max - out->len, n = left < CODEC_PIECE ? left : CODEC_PIECE;

		if (n == 0) {
			err = E_LIMIT;
			break;
		}
		z.next_out = buf_room(out, n);
		z.avail_out = (uInt)n;
		r = deflate(&z, Z_FINISH);
		out->len -= z.avail_out;
	} while (r == Z_OK || r == Z_BUF_ERROR);
	deflateEnd(&z);
	return err;
}

static int pack_snappy(const uint8_t *src, size_t len, struct buf *out)
{
	size_t cap = snappy_max_compressed_length(XERIAL_BLOCK);
	uint8_t *tmp = mem_resize(NULL, cap);
	int err = OK;

	buf_put(out, xerial_magic, sizeof xerial_magic);
	buf_be32(out, 1);
	buf_be32(out, 1);
	for (size_t at = 0; at < len; at += XERIAL_BLOCK) {
		size_t n = len - at < XERIAL_BLOCK ? len - at : XERIAL_BLOCK, packed = cap;
		snappy_status r = snappy_compress((const char *)src + at, n, (char *)tmp, &packed);

		must(r == SNAPPY_OK);
		buf_be32(out, (uint32_t)packed);
		buf_put(out, tmp, packed);
	}
	if (out->bad)
		err = E_LIMIT;
	mem_free(tmp);
	return err;
}

static int pack_lz4(int32_t level, const uint8_t *src, size_t len, struct buf *out)
{
	/* Java's reader wants independent blocks; 64 KiB is what Kafka's clients write. Level 9 is
	 * Kafka's name of the fast compressor, every other level is one of the slow one. */
	LZ4F_preferences_t prefs = {
		.frameInfo = { .blockSizeID = LZ4F_max64KB, .blockMode = LZ4F_blockIndependent },
		.compressionLevel = level == INT32_MIN || level == 9 ? 0 : level < 3 ? 3 : level,
	};
	size_t cap = LZ4F_compressFrameBound(len, &prefs);
	uint8_t *tmp = mem_resize(NULL, cap);
	size_t n = LZ4F_compressFrame(tmp, cap, src, len, &prefs);
	int err = E_LIMIT;

	if (!LZ4F_isError(n)) {
		buf_put(out, tmp, n);
		err = out->bad ? E_LIMIT : OK;
	}
	mem_free(tmp);
	return err;
}

static int pack_zstd(int32_t level, const uint8_t *src, size_t len, struct buf *out)
{
	size_t cap = ZSTD_compressBound(len), left = out->max - out->len, at = out->len;
	uint8_t *p = buf_room(out, cap < left ? cap : left);

	if (!p)
		return E_LIMIT;
	size_t n = ZSTD_compress(p, out->len - at, src, len,
				 level == INT32_MIN ? ZSTD_CLEVEL_DEFAULT : level);

	out->len = ZSTD_isError(n) ? at : at + n;
	return ZSTD_isError(n) ? E_LIMIT : OK;
}

static int port_pack(struct batch_port *port, unsigned codec, int32_t level, const uint8_t *src,
		     size_t len, struct buf *out)
{
	(void)port;
	if (out->bad || len > INT32_MAX)
		return E_LIMIT;
	switch (codec) {
	case BATCH_GZIP:
		return pack_gzip(level, src, len, out);
	case BATCH_SNAPPY:
		return pack_snappy(src, len, out);
	case BATCH_LZ4:
		return pack_lz4(level, src, len, out);
	case BATCH_ZSTD:
		return pack_zstd(level, src, len, out);
	}
	return E_VERSION;
}

/* ---- life and names ------------------------------------------------------------------------ */

struct codec *codec_new(const struct codec_limits *lim)
{
	struct codec *c = mem_alloc(sizeof *c);

	must(lim->zstd_window_log >= 10 && lim->zstd_window_log <= 27);
	c->lim = *lim;
	c->port = (struct batch_port){ port_open, port_next, port_close, port_pack };
	return c;
}

void codec_free(struct codec *c)
{
	if (!c)
		return;
	if (c->gz_made)
		inflateEnd(&c->gz);
	LZ4F_freeDecompressionContext(c->lz4);
	ZSTD_freeDCtx(c->zstd);
	mem_free(c->block);
	mem_free(c->piece);
	mem_free(c);
}

struct batch_port *codec_port(struct codec *c)
{
	return &c->port;
}

static const char *const names[BATCH_CODEC_N] = { "none", "gzip", "snappy", "lz4", "zstd" };

const char *codec_name(unsigned codec)
{
	return codec < BATCH_CODEC_N ? names[codec] : NULL;
}

int codec_by_name(struct str name)
{
	if (str_is(name, "uncompressed"))
		return BATCH_PLAIN;
	for (int i = 0; i < BATCH_CODEC_N; i++)
		if (str_is(name, names[i]))
			return i;
	return -1;
}

int codec_level_check(unsigned codec, int32_t level)
{
	switch (codec) {
	case BATCH_GZIP:
		return level == -1 || (level >= 1 && level <= 9) ? OK : E_RANGE;
	case BATCH_LZ4:
		return level >= 1 && level <= 17 ? OK : E_RANGE;
	case BATCH_ZSTD:
		return level >= -131072 && level <= 22 ? OK : E_RANGE;
	}
	return E_NOENT;
}
