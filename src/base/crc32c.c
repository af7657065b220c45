/* crc32c.c - CRC-32C by table, by the SSE4.2 instruction in three streams, by 512-bit folding. */
#include "base/crc32c.h"

#include <string.h>

#define CRC_POLY 0x82f63b78u	/* Castagnoli, bit-reflected */
#include "base/crc_table.h"

uint32_t crc32c_table(uint32_t crc, const void *p, size_t n)
{
	return crc_by_table(crc, p, n);
}

#ifdef __x86_64__
#include <immintrin.h>

/*
 * The instruction has a latency of 3 and a throughput of 1: three streams keep it busy. A crc is
 * moved over n bytes by a carry-less multiplication with x^(8n - 33) mod P: the instruction
 * applied to a carry-less product a*b yields a*b*x^33 mod P.
 */
#define BIG 4096		/* bytes of a stream for long inputs */
#define SMALL 256		/* and for short ones */
#define K_BIG 0x82f89c77u	/* x^(8 * 4096 - 33) mod P, bit-reflected */
#define K_SMALL 0xb9e02b86u	/* x^(8 * 256 - 33) mod P */

static inline uint64_t load64(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof v);
	return v;
}

__attribute__((target("sse4.2,pclmul"))) static uint64_t move(uint64_t crc, uint32_t k)
{
	__m128i prod = _mm_clmulepi64_si128(_mm_cvtsi64_si128((long long)crc),
					    _mm_cvtsi64_si128(k), 0);

	return _mm_crc32_u64(0, (uint64_t)_mm_cvtsi128_si64(prod));
}

__attribute__((target("sse4.2,pclmul")))
static uint32_t crc_hw(uint32_t crc, const uint8_t *p, size_t n)
{
	uint64_t a = ~crc;

	for (int pass = 0; pass < 2; pass++) {
		size_t len = pass == 0 ? BIG : SMALL;
		uint32_t k = pass == 0 ? K_BIG : K_SMALL;

		for (; n >= 3 * len; p += 3 * len, n -= 3 * len) {
			uint64_t b = 0, c = 0;

			for (size_t i = 0; i < len; i += 8) {
				a = _mm_crc32_u64(a, load64(p + i));
				b = _mm_crc32_u64(b, load64(p + len + i));
				c = _mm_crc32_u64(c, load64(p + 2 * len + i));
			}
			a = move(move(a, k) ^ b, k) ^ c;
		}
	}
	for (; n >= 8; p += 8, n -= 8)
		a = _mm_crc32_u64(a, load64(p));
	while (n--)
		a = _mm_crc32_u8((uint32_t)a, *p++);
	return ~(uint32_t)a;
}

/*
 * Four 512-bit accumulators take 256 bytes a round. Each 128-bit lane is folded forward by two
 * carry-less products with x^(distance in bits +- 32 - 1) mod P; then the four are folded into one
 * and the crc32 instruction finishes its 64 bytes and the tail.
 */
#define WIDE_FROM 512		/* bytes; shorter inputs are as fast by the other way */
#define K256_A 0xdcb17aa4u	/* x^(8 * 256 + 31) mod P */
#define K256_B 0xb9e02b86u	/* x^(8 * 256 - 33) mod P */
#define K64_A 0x740eef02u	/* x^(8 * 64 + 31) mod P */
#define K64_B 0x9e4addf8u	/* x^(8 * 64 - 33) mod P */
#define WIDE __attribute__((target("avx512f,avx512vl,avx512dq,vpclmulqdq,pclmul,sse4.2")))

WIDE static inline __m512i fold(__m512i x, __m512i k, __m512i next)
{
	return _mm512_ternarylogic_epi64(_mm512_clmulepi64_epi128(x, k, 0x00),
					 _mm512_clmulepi64_epi128(x, k, 0x11), next, 0x96);
}

WIDE static uint32_t crc_wide(uint32_t crc, const uint8_t *p, size_t n)
{
	__m512i k = _mm512_set_epi64(K256_B, K256_A, K256_B, K256_A, K256_B, K256_A, K256_B, K256_A);
	__m512i x[4];

	for (int i = 0; i < 4; i++)
		x[i] = _mm512_loadu_si512(p + 64 * i);
	x[0] = _mm512_xor_si512(x[0], _mm512_zextsi128_si512(_mm_cvtsi32_si128((int)~crc)));
	for (p += 256, n -= 256; n >= 256; p += 256, n -= 256)
		for (int i = 0; i < 4; i++)
			x[i] = fold(x[i], k, _mm512_loadu_si512(p + 64 * i));
	k = _mm512_set_epi64(K64_B, K64_A, K64_B, K64_A, K64_B, K64_A, K64_B, K64_A);
	for (int i = 0; i < 3; i++)
		x[i + 1] = fold(x[i], k, x[i + 1]);

	uint8_t last[64];
	uint64_t a = 0;

	_mm512_storeu_si512(last, x[3]);
	for (int i = 0; i < 64; i += 8)
		a = _mm_crc32_u64(a, load64(last + i));
	return crc_hw(~(uint32_t)a, p, n);
}

int crc32c_can(enum crc32c_way way)
{
	switch (way) {
	case CRC32C_TABLE:
		return 1;
	case CRC32C_SSE42:
		return __builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("pclmul");
	case CRC32C_WIDE:
		return __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
		       __builtin_cpu_supports("vpclmulqdq") && crc32c_can(CRC32C_SSE42);
	case CRC32C_WAYS:
		break;
	}
	return 0;
}

uint32_t crc32c_by(enum crc32c_way way, uint32_t crc, const void *p, size_t n)
{
	if (way == CRC32C_WIDE && n >= WIDE_FROM)
		return crc_wide(crc, p, n);
	return way == CRC32C_TABLE ? crc32c_table(crc, p, n) : crc_hw(crc, p, n);
}

uint32_t crc32c(uint32_t crc, const void *p, size_t n)
{
	if (n >= WIDE_FROM && crc32c_can(CRC32C_WIDE))
		return crc_wide(crc, p, n);
	if (crc32c_can(CRC32C_SSE42))
		return crc_hw(crc, p, n);
	return crc32c_table(crc, p, n);
}
#else
int crc32c_can(enum crc32c_way way)
{
	return way == CRC32C_TABLE;
}

uint32_t crc32c_by(enum crc32c_way way, uint32_t crc, const void *p, size_t n)
{
	(void)way;
	return crc32c_table(crc, p, n);
}

uint32_t crc32c(uint32_t crc, const void *p, size_t n)
{
	return crc32c_table(crc, p, n);
}
#endif

/* x^(8 * 2^i) mod P: what moves a crc over 2^i bytes. */
static const uint32_t move_pow2[32] = {
	0x00800000u, 0x00008000u, 0x82f63b78u, 0x6ea2d55cu, 0x18b8ea18u, 0x510ac59au, 0xb82be955u,
	0xb8fdb1e7u, 0x88e56f72u, 0x74c360a4u, 0xe4172b16u, 0x0d65762au, 0x35d73a62u, 0x28461564u,
	0xbf455269u, 0xe2ea32dcu, 0xfe7740e6u, 0xf946610bu, 0x3c204f8fu, 0x538586e3u, 0x59726915u,
	0x734d5309u, 0xbc1ac763u, 0x7d0722ccu, 0xd289cabeu, 0xe94ca9bcu, 0x05b74f3fu, 0xa51e1f42u,
	0x40000000u, 0x20000000u, 0x08000000u, 0x00800000u,
};

/* a * b mod P, bit-reflected. */
static uint32_t multiply(uint32_t a, uint32_t b)
{
	uint32_t r = 0;

	for (uint32_t bit = 0x80000000u; bit != 0; bit >>= 1) {
		if (a & bit)
			r ^= b;
		b = CRC_STEP(b);
	}
	return r;
}

uint32_t crc32c_shift(uint32_t crc, uint64_t n)
{
	for (int i = 0; n != 0 && i < 32; i++, n >>= 1)
		if (n & 1)
			crc = multiply(move_pow2[i], crc);
	return crc;
}
