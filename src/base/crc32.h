/*
 * crc32.h - CRC-32 (IEEE polynomial, as zlib and gzip), for Kafka's message sets before v2 only.
 *
 * By table, one byte at a time: old producers are rare. Everything new uses base/crc32c.h.
 */
#ifndef BASE_CRC32_H
#define BASE_CRC32_H

#include <stddef.h>
#include <stdint.h>

/* Checksum of n bytes at p, continuing crc; a fresh one starts with 0. */
uint32_t crc32_ieee(uint32_t crc, const void *p, size_t n);

#endif
