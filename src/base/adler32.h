/* adler32.h - Adler-32 (RFC 1950, as zlib and Java's Adler32): the checksum of ZooKeeper's files. */
#ifndef BASE_ADLER32_H
#define BASE_ADLER32_H

#include <stddef.h>
#include <stdint.h>

/* Checksum of n bytes at p, continuing sum; a fresh one starts with 1. */
uint32_t adler32_of(uint32_t sum, const void *p, size_t n);

#endif
