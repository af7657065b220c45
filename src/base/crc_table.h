/*
 * crc_table.h - bit-reflected CRC-32 by table, for any polynomial.
 *
 * One table entry is eight steps of the shift register, unrolled by the preprocessor: the table is
 * a constant, so that the library holds no writable data. Before including, define CRC_POLY.
 */
#ifndef BASE_CRC_TABLE_H
#define BASE_CRC_TABLE_H

#include <stddef.h>
#include <stdint.h>

#ifndef CRC_POLY
#define CRC_POLY 0xedb88320u	/* IEEE 802.3 */
#endif

#define CRC_STEP(n) ((uint32_t)(n) >> 1 ^ ((uint32_t)(n) & 1 ? CRC_POLY : 0))
#define CRC_T1(n) CRC_STEP(CRC_STEP(CRC_STEP(CRC_STEP(CRC_STEP(CRC_STEP(CRC_STEP(CRC_STEP(n))))))))
#define CRC_T4(n) CRC_T1(n), CRC_T1((n) + 1), CRC_T1((n) + 2), CRC_T1((n) + 3)
#define CRC_T16(n) CRC_T4(n), CRC_T4((n) + 4), CRC_T4((n) + 8), CRC_T4((n) + 12)
#define CRC_T64(n) CRC_T16(n), CRC_T16((n) + 16), CRC_T16((n) + 32), CRC_T16((n) + 48)

static const uint32_t crc_table[256] = { CRC_T64(0), CRC_T64(64), CRC_T64(128), CRC_T64(192) };

/* Goes on from crc (0 at the start) over n bytes. */
static inline uint32_t crc_by_table(uint32_t crc, const void *p, size_t n)
{
	const uint8_t *b = p;

	crc = ~crc;
	while (n--)
		crc = crc >> 8 ^ crc_table[(crc ^ *b++) & 0xff];
	return ~crc;
}

#endif
