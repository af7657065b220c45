/*
 * err.h - one error space: 0 is success, a negative enum value is the reason.
 *
 * These are the errors of our own code. Kafka's error codes are data on the wire
 * (wire/kafka_error.h) and are mapped from these in one table at the edge.
 */
#ifndef BASE_ERR_H
#define BASE_ERR_H

enum err {
	OK = 0,
	E_LIMIT = -1,		/* a pool, queue or stated limit is full */
	E_SHORT = -2,		/* the input ends too early */
	E_BAD = -3,		/* the input makes no sense */
	E_IO = -4,		/* the disk said no; the file is not to be trusted */
	E_NOSPC = -5,		/* the disk is full; nothing was committed */
	E_NOENT = -6,		/* no such thing */
	E_EXIST = -7,		/* there is one already */
	E_CONFLICT = -8,	/* a version or epoch given is not the current one */
	E_AGAIN = -9,		/* not now: locked, parked or still loading */
	E_CRC = -10,		/* bytes do not have the checksum they carry */
	E_FENCED = -11,		/* an older epoch than the current one */
	E_CLOSED = -12,		/* the connection, session or file is gone */
	E_VERSION = -13,	/* written by a newer format, or a version we do not know */
	E_FOREIGN = -14,	/* belongs to another cluster, node or disk */
	E_RANGE = -15,		/* an offset or position outside what exists */
	E_DAMAGED = -16,	/* shared memory or a file that fails its own checks */
	E_PERM = -17,		/* missing rights */
	E_TIMEOUT = -18,
	E_UNSURE = -19,		/* asked, and nobody knows whether it was done */
};

#define MUST_CHECK __attribute__((warn_unused_result))

/* The name of an error ("E_SHORT"), for traces and messages; "E_?" for a number outside. */
const char *err_name(int err);
/* What it means, in words a user can read ("the disk is full"). */
const char *err_text(int err);

#endif
