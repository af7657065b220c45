/* mutant.c - the switches of mutant.h; linked into test programs only. */
#include "base/mutant.h"

#include <string.h>

const char *mutant_on;
void (*crash_hook)(const char *name);

int mutant_is(const char *name)
{
	return mutant_on && strcmp(mutant_on, name) == 0;
}
