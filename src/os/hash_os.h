/* hash_os.h - the port of message digests by OpenSSL. */
#ifndef OS_HASH_OS_H
#define OS_HASH_OS_H

#include <stddef.h>
#include <stdint.h>

#include "io/hash.h"

/* ret has room for HASH_BYTES_MAX. A digest that the library does not give ends the process. */
void hash_os(enum hash_kind kind, const void *p, size_t n, uint8_t *ret);

#endif
