/* kafka_error.c - see kafka_error.h. */
#include "wire/kafka_error.h"

#include <stddef.h>

static const struct row {
	int16_t code;
	uint8_t retry;
	const char *name, *text;
} rows[] = {
#define KAFKA_ERROR(code, name, retry, text) { code, retry, #name, text },
#include "proto/errors.def"
#undef KAFKA_ERROR
};

_Static_assert(sizeof rows / sizeof *rows == KAFKA_ERROR_MAX - KAFKA_ERROR_MIN + 1,
	       "the codes have no holes, so that a code is an index");

static const struct row *row(int code)
{
	static const struct row unknown = { 0, 0, "UNKNOWN", "an error that this program does not know" };

	return code >= KAFKA_ERROR_MIN && code <= KAFKA_ERROR_MAX ? &rows[code - KAFKA_ERROR_MIN] :
								    &unknown;
}

const char *kafka_error_name(int code)
{
	return row(code)->name;
}

const char *kafka_error_text(int code)
{
	return row(code)->text;
}

bool kafka_error_retriable(int code)
{
	return row(code)->retry > 0;
}

bool kafka_error_refresh(int code)
{
	return row(code)->retry == 2;
}
