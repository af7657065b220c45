/* txn.c - Kafka's index of aborted transactions: 34-byte entries in the order of their markers. */
#include "base/be.h"
#include "log/log.h"

int log_txn_put(const struct log_replica *r, uint64_t base, uint32_t n, const struct log_aborted *a)
{
	struct disk *d = log_files_disk(r->files);
	uint8_t b[LOG_TXN_ENTRY] = { 0 };	/* version 0 in front */
	struct disk_piece v = { b, sizeof b };
	uint32_t handle;
	int file, err = log_files_get(r, base, LOG_TXN, DISK_CREATE, &file, &handle);

	if (err)
		return err;
	be64_put(b + 2, (uint64_t)a->producer_id);
	be64_put(b + 10, (uint64_t)a->first_offset);
	be64_put(b + 18, (uint64_t)a->last_offset);
	be64_put(b + 26, (uint64_t)a->last_stable);
	err = d->calls->pwritev(d, file, &v, 1, (uint64_t)n * LOG_TXN_ENTRY);
	log_files_put(r->files, handle);
	return err;
}

int log_txn_get(const struct log_replica *r, uint64_t base, uint32_t n, struct log_aborted *ret)
{
	struct disk *d = log_files_disk(r->files);
	uint8_t b[LOG_TXN_ENTRY];
	uint32_t handle;
	size_t got = 0;
	int file, err = log_files_get(r, base, LOG_TXN, 0, &file, &handle);

	if (err)
		return err == E_NOENT ? E_RANGE : err;
	err = d->calls->pread(d, file, b, sizeof b, (uint64_t)n * LOG_TXN_ENTRY, &got);
	log_files_put(r->files, handle);
	if (err || got != sizeof b)
		return err ? err : E_RANGE;
	if (be16_get(b) != 0)
		return E_BAD;
	ret->producer_id = (int64_t)be64_get(b + 2);
	ret->first_offset = (int64_t)be64_get(b + 10);
	ret->last_offset = (int64_t)be64_get(b + 18);
	ret->last_stable = (int64_t)be64_get(b + 26);
	return OK;
}

uint32_t log_txn_count(const struct log_replica *r, uint64_t base)
{
	struct disk *d = log_files_disk(r->files);
	uint64_t bytes = 0;
	uint32_t handle;
	int file;

	if (log_files_get(r, base, LOG_TXN, 0, &file, &handle))
		return 0;
	if (d->calls->size(d, file, &bytes))
		bytes = 0;
	log_files_put(r->files, handle);
	return (uint32_t)(bytes / LOG_TXN_ENTRY);
}

int log_txn_cut(const struct log_replica *r, uint64_t base, uint32_t n)
{
	struct disk *d = log_files_disk(r->files);
	uint64_t bytes, want = (uint64_t)n * LOG_TXN_ENTRY;
	uint32_t handle;
	int file, err = log_files_get(r, base, LOG_TXN, 0, &file, &handle);

	if (err)
		return err == E_NOENT ? OK : err;
	err = d->calls->size(d, file, &bytes);
	if (!err && bytes > want)
		err = d->calls->truncate(d, file, want);
	log_files_put(r->files, handle);
	return err;
}
