/* crc32c.c - CRC-32C by table, and by the SSE4.2 instruction in three streams. */
#include "base/crc32c.h"

#include <string.h>

#define POLY 0x82f63b78u	/* Castagnoli, bit-reflected */

/* One table entry is eight steps of the shift register, unrolled by the preprocessor: the table
 * is a constant, so that this library holds no writable data. */
#define STEP(n) ((uint32_t)(n) >> 1 ^ ((uint32_t)(n) & 1 ? POLY : 0))
#define T1(n) STEP(STEP(STEP(STEP(STEP(STEP(STEP(STEP(n))))))))
#define T4(n) T1(n), T1((n) + 1), T1((n) + 2), T1((n) + 3)
#define T16(n) T4(n), T4((n) + 4), T4((n) + 8), T4((n) + 12)
#define T64(n) T16(n), T16((n) + 16), T16((n) + 32), T16((n) + 48)

static const uint32_t table[256] = { T64(0), T64(64), T64(128), T64(192) };

uint32_t crc32c_table(uint32_t crc, const void *p, size_t n)
{
	const uint8_t *b = p;

	crc = ~crc;
	while (n--)
		crc = crc >> 8 ^ table[(crc ^ *b++) & 0xff];
	return ~crc;
}

#ifdef __x86_64__
#include <nmmintrin.h>
#include <wmmintrin.h>

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

uint32_t crc32c(uint32_t crc, const void *p, size_t n)
{
	if (__builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("pclmul"))
		return crc_hw(crc, p, n);
	return crc32c_table(crc, p, n);
}
#else
uint32_t crc32c(uint32_t crc, const void *p, size_t n)
{
	return crc32c_table(crc, p, n);
}
#endif
