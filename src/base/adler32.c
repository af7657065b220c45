/* adler32.c - see adler32.h. */
#include "base/adler32.h"

#define BASE 65521u			/* the largest prime below 2^16 */
#define RUN 5552u			/* so many bytes fit before b can overflow 32 bits */

uint32_t adler32_of(uint32_t sum, const void *p, size_t n)
{
	const uint8_t *q = p;
	uint32_t a = sum & 0xffff, b = sum >> 16;

	while (n > 0) {
		size_t run = n < RUN ? n : RUN;

		n -= run;
		while (run-- > 0) {
			a += *q++;
			b += a;
		}
		a %= BASE;
		b %= BASE;
	}
	return b << 16 | a;
}
