/* wire_types.h - for tests: every message of every schema, by number and by name. */
#ifndef TESTS_WIRE_TYPES_H
#define TESTS_WIRE_TYPES_H

#include <string.h>

#include "wire/kafka_gen.h"
#include "wire/record_gen.h"
#include "wire/wire.h"
#include "wire/zk_gen.h"

static inline const struct wire_type *wire_types(int i)
{
	if (i < kafka_types_n)
		return kafka_types[i];
	i -= kafka_types_n;
	if (i < record_types_n)
		return record_types[i];
	i -= record_types_n;
	return i < zk_types_n ? zk_types[i] : NULL;
}

static inline const struct wire_type *wire_type_named(const char *name)
{
	for (int i = 0; wire_types(i); i++)
		if (strcmp(wire_types(i)->name, name) == 0)
			return wire_types(i);
	return NULL;
}

#endif
