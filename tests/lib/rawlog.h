/*
 * rawlog.h - an independent reader of a partition's segment files, for torture tests.
 *
 * Written from the published format of Kafka's record batches (magic 2) and shares no code with the
 * product: own byte order, own checksum, own file walk. Reads <dir>/<20 digits>.log in order and
 * leader-epoch-checkpoint, and checks: file name = first offset, batch lengths, magic, CRC-32C, record
 * count = offset delta, offsets without a gap over the whole partition, records inside the batch,
 * leader epochs that never go back and stand in the checkpoint with the right start, sequences of each
 * producer id without a gap, and that a file ends with its last batch.
 */
#ifndef TESTS_RAWLOG_H
#define TESTS_RAWLOG_H

#include <stdint.h>

struct rawlog_stats {			/* added to */
	uint64_t files, bytes, batches, records, errors;
	uint64_t epochs;		/* largest number of epochs of a partition */
};

typedef void rawlog_record_fn(void *ctx, int64_t offset, const uint8_t *value, uint32_t len);

/* What is wrong goes to stderr with file and position, and is counted. */
void rawlog_read(const char *dir, rawlog_record_fn *fn, void *ctx, struct rawlog_stats *st);

#endif
