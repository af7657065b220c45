/* hash.h - the port of message digests, for authentication only (a library in src/os). */
#ifndef IO_HASH_H
#define IO_HASH_H

enum hash_kind { HASH_MD5, HASH_SHA1, HASH_SHA256 };

#define HASH_BYTES_MAX 32		/* MD5 16, SHA-1 20, SHA-256 32 */

#endif
