/*
 * crc32c.h - CRC-32C (Castagnoli), as Kafka's record batches, our checkpoints and indexes use it.
 *
 * Uses three interleaved streams of the SSE4.2 instruction where the processor has it (asked at
 * each call; one load), else a table. The result is the same.
 */
#ifndef BASE_CRC32C_H
#define BASE_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/* Checksum of n bytes at p, continuing crc; a fresh one starts with 0. Pieces may be chained:
 * crc32c(crc32c(0, a, n), b, m) is the checksum of a followed by b. */
uint32_t crc32c(uint32_t crc, const void *p, size_t n);
/* The same by table alone; for tests. */
uint32_t crc32c_table(uint32_t crc, const void *p, size_t n);

#endif
