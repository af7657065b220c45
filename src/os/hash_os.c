/* hash_os.c - see hash_os.h. */
#include "os/hash_os.h"

#include <openssl/evp.h>

#include "base/assert.h"

void hash_os(enum hash_kind kind, const void *p, size_t n, uint8_t *ret)
{
	unsigned len = 0;
	const EVP_MD *md = NULL;

	switch (kind) {
	case HASH_MD5:
		md = EVP_md5();
		break;
	case HASH_SHA1:
		md = EVP_sha1();
		break;
	case HASH_SHA256:
		md = EVP_sha256();
		break;
	}
	must(EVP_Digest(p, n, ret, &len, md, NULL) == 1 && len <= HASH_BYTES_MAX);
}
