/* crc32.c - CRC-32 by table. */
#include "base/crc32.h"

#define CRC_POLY 0xedb88320u	/* IEEE 802.3, bit-reflected */
#include "base/crc_table.h"

uint32_t crc32_ieee(uint32_t crc, const void *p, size_t n)
{
	return crc_by_table(crc, p, n);
}
