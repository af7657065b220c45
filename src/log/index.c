/*
 * index.c - the sparse index of a segment: 24-byte entries, append-only, each with its checksum.
 *
 * Entry: rel u32 | pos u32 | max_ts i64 | ts_rel u32 | crc u32, little-endian. The checksum starts
 * from the segment's base offset, so that an entry of another file never counts. An index is only
 * a hint about where to start walking: a damaged entry costs time, never a wrong answer.
 */
#include "base/crc32c.h"
#include "log/log.h"

static uint32_t entry_crc(uint64_t base, const uint8_t *p)
{
	return crc32c(crc32c(0, &base, sizeof base), p, LOG_INDEX_ENTRY - 4);
}

static void encode(const struct log_index_entry *e, uint64_t base, uint8_t ret[LOG_INDEX_ENTRY])
{
	memcpy(ret, &e->rel, 4);
	memcpy(ret + 4, &e->pos, 4);
	memcpy(ret + 8, &e->max_ts, 8);
	memcpy(ret + 16, &e->ts_rel, 4);
	uint32_t crc = entry_crc(base, ret);
	memcpy(ret + 20, &crc, 4);
}

static bool decode(const uint8_t *p, uint64_t base, struct log_index_entry *ret)
{
	uint32_t crc;

	memcpy(&crc, p + 20, 4);
	if (crc != entry_crc(base, p))
		return false;
	memcpy(&ret->rel, p, 4);
	memcpy(&ret->pos, p + 4, 4);
	memcpy(&ret->max_ts, p + 8, 8);
	memcpy(&ret->ts_rel, p + 16, 4);
	return true;
}

int log_index_put(const struct log_replica *r, uint64_t base, uint32_t n,
		  const struct log_index_entry *e)
{
	struct disk *d = log_files_disk(r->files);
	uint8_t b[LOG_INDEX_ENTRY];
	struct disk_piece v = { b, sizeof b };
	uint32_t handle;
	int file, err = log_files_get(r, base, LOG_INDEX, DISK_CREATE, &file, &handle);

	if (err)
		return err;
	encode(e, base, b);
	err = d->calls->pwritev(d, file, &v, 1, (uint64_t)n * LOG_INDEX_ENTRY);
	log_files_put(r->files, handle);
	return err;
}

uint32_t log_index_count(const struct log_replica *r, uint64_t base)
{
	struct disk *d = log_files_disk(r->files);
	uint64_t bytes = 0;
	uint32_t handle;
	int file;

	if (log_files_get(r, base, LOG_INDEX, 0, &file, &handle))
		return 0;
	if (d->calls->size(d, file, &bytes))
		bytes = 0;
	log_files_put(r->files, handle);
	return bytes / LOG_INDEX_ENTRY > UINT32_MAX ? 0 : (uint32_t)(bytes / LOG_INDEX_ENTRY);
}

#define WINDOW 128			/* entries that are read at once when the search has come that close */

enum by { BY_REL, BY_POS, BY_TIME };

static bool before(enum by by, int64_t key, const struct log_index_entry *e)
{
	return by == BY_REL ? e->rel <= key : by == BY_POS ? e->pos <= key : e->max_ts < key;
}

/* The last of n entries that is not behind the wanted key. Entries ascend in all three. */
static void find(const struct log_replica *r, uint64_t base, uint32_t n, enum by by, int64_t key,
		 struct log_index_entry *ret)
{
	struct disk *d = log_files_disk(r->files);
	uint32_t lo = 0, hi = n, handle, have_from = 0, have = 0;
	uint8_t b[WINDOW * LOG_INDEX_ENTRY];
	struct log_index_entry e;
	int file;

	*ret = (struct log_index_entry){ .max_ts = -1 };
	if (n == 0 || log_files_get(r, base, LOG_INDEX, 0, &file, &handle))
		return;
	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;

		if (mid < have_from || mid >= have_from + have) {
			size_t got = 0;

			have_from = hi - lo <= WINDOW ? lo : mid;
			have = hi - lo <= WINDOW ? hi - lo : 1;
			if (d->calls->pread(d, file, b, have * LOG_INDEX_ENTRY, (uint64_t)have_from * LOG_INDEX_ENTRY,
					    &got))
				got = 0;
			have = (uint32_t)(got / LOG_INDEX_ENTRY);
		}
		if (mid >= have_from + have || !decode(b + (mid - have_from) * LOG_INDEX_ENTRY, base, &e)) {
			hi = mid;	/* damaged: what is known of the front part still helps */
			continue;
		}
		if (before(by, key, &e)) {
			*ret = e;
			ret->nth = mid + 1;
			lo = mid + 1;
		} else {
			hi = mid;
		}
	}
	log_files_put(r->files, handle);
}

void log_index_find(const struct log_replica *r, uint64_t base, uint32_t n, uint32_t rel,
		    struct log_index_entry *ret)
{
	find(r, base, n, BY_REL, rel, ret);
}

void log_index_find_pos(const struct log_replica *r, uint64_t base, uint32_t n, uint32_t pos,
			struct log_index_entry *ret)
{
	find(r, base, n, BY_POS, pos, ret);
}

void log_index_find_time(const struct log_replica *r, uint64_t base, uint32_t n, int64_t ts,
			 struct log_index_entry *ret)
{
	find(r, base, n, BY_TIME, ts, ret);
}

bool log_index_last(const struct log_replica *r, uint64_t base, uint32_t n,
		    struct log_index_entry *ret)
{
	struct disk *d = log_files_disk(r->files);
	uint8_t b[LOG_INDEX_ENTRY];
	uint32_t handle;
	size_t got;
	int file;
	bool ok;

	if (n == 0 || log_files_get(r, base, LOG_INDEX, 0, &file, &handle))
		return false;
	ok = !d->calls->pread(d, file, b, sizeof b, (uint64_t)(n - 1) * LOG_INDEX_ENTRY, &got) &&
	     got == sizeof b && decode(b, base, ret);
	if (ok)
		ret->nth = n;
	log_files_put(r->files, handle);
	return ok;
}
