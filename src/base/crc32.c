/* crc32.c - CRC-32 by table. */
#include "base/crc32.h"

#define POLY 0xedb88320u	/* IEEE 802.3, bit-reflected */

/* As in crc32c.c: the preprocessor unrolls the eight steps, so that the table is a constant. */
#define STEP(n) ((uint32_t)(n) >> 1 ^ ((uint32_t)(n) & 1 ? POLY : 0))
#define T1(n) STEP(STEP(STEP(STEP(STEP(STEP(STEP(STEP(n))))))))
#define T4(n) T1(n), T1((n) + 1), T1((n) + 2), T1((n) + 3)
#define T16(n) T4(n), T4((n) + 4), T4((n) + 8), T4((n) + 12)
#define T64(n) T16(n), T16((n) + 16), T16((n) + 32), T16((n) + 48)

static const uint32_t table[256] = { T64(0), T64(64), T64(128), T64(192) };

uint32_t crc32_ieee(uint32_t crc, const void *p, size_t n)
{
	const uint8_t *b = p;

	crc = ~crc;
	while (n--)
		crc = crc >> 8 ^ table[(crc ^ *b++) & 0xff];
	return ~crc;
}
