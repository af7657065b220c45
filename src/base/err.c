/* err.c - names and words of our own errors. */
#include "base/err.h"

#include <stddef.h>

static const struct {
	const char *name, *text;
} errs[] = {
	[-OK] = { "OK", "success" },
	[-E_LIMIT] = { "E_LIMIT", "a limit is reached" },
	[-E_SHORT] = { "E_SHORT", "the input ends too early" },
	[-E_BAD] = { "E_BAD", "the input makes no sense" },
	[-E_IO] = { "E_IO", "input/output error" },
	[-E_NOSPC] = { "E_NOSPC", "the disk is full" },
	[-E_NOENT] = { "E_NOENT", "does not exist" },
	[-E_EXIST] = { "E_EXIST", "exists already" },
	[-E_CONFLICT] = { "E_CONFLICT", "the version given is not the current one" },
	[-E_AGAIN] = { "E_AGAIN", "not available right now" },
	[-E_CRC] = { "E_CRC", "checksum does not match" },
	[-E_FENCED] = { "E_FENCED", "an older epoch than the current one" },
	[-E_CLOSED] = { "E_CLOSED", "closed" },
	[-E_VERSION] = { "E_VERSION", "written by a newer version" },
	[-E_FOREIGN] = { "E_FOREIGN", "belongs to another cluster or node" },
	[-E_RANGE] = { "E_RANGE", "outside of what exists" },
	[-E_DAMAGED] = { "E_DAMAGED", "damaged" },
	[-E_PERM] = { "E_PERM", "permission denied" },
	[-E_TIMEOUT] = { "E_TIMEOUT", "timed out" },
	[-E_UNSURE] = { "E_UNSURE", "the outcome is unknown: it may or may not have been done" },
};

const char *err_name(int err)
{
	size_t i = (size_t)-(long)err;

	return i < sizeof errs / sizeof errs[0] ? errs[i].name : "E_?";
}

const char *err_text(int err)
{
	size_t i = (size_t)-(long)err;

	return i < sizeof errs / sizeof errs[0] ? errs[i].text : "unknown error";
}
