/*
 * crc32c.h - CRC-32C (Castagnoli), as Kafka's record batches, our checkpoints and indexes use it.
 *
 * Three ways with one result, chosen at each call by what the processor has (a load and a test):
 * 512-bit carry-less multiplication for 512 bytes and more (30-50 GB/s), three interleaved streams
 * of the SSE4.2 instruction (15-27 GB/s), a table (0.4 GB/s).
 */
#ifndef BASE_CRC32C_H
#define BASE_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/* Checksum of n bytes at p, continuing crc; a fresh one starts with 0. Pieces may be chained:
 * crc32c(crc32c(0, a, n), b, m) is the checksum of a followed by b. */
uint32_t crc32c(uint32_t crc, const void *p, size_t n);
/*
 * What a checksum becomes when n more bytes follow, whose own checksum is then added by xor:
 * crc32c(a followed by b) = crc32c_shift(crc32c(0, a), |b|) ^ crc32c(0, b). So a changed header of
 * the same length costs no second pass: new = old ^ crc32c_shift(crc(head) ^ crc(new head), |rest|).
 * n < 2^32; about a microsecond.
 */
uint32_t crc32c_shift(uint32_t crc, uint64_t n);

/* One way by name, for tests and benchmarks. */
enum crc32c_way { CRC32C_TABLE, CRC32C_SSE42, CRC32C_WIDE, CRC32C_WAYS };
/* Has this processor what the way needs? */
int crc32c_can(enum crc32c_way way);
uint32_t crc32c_by(enum crc32c_way way, uint32_t crc, const void *p, size_t n);
/* The same as crc32c_by(CRC32C_TABLE, ...). */
uint32_t crc32c_table(uint32_t crc, const void *p, size_t n);

#endif
