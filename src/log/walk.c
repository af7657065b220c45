/* walk.c - from batch to batch: by headers alone, or checking every byte (recovery). */
#include "base/assert.h"
#include "base/be.h"
#include "base/crc32c.h"
#include "log/log.h"

#define WARM_STEP (64u << 10)	/* bytes asked for at once: one cachestat(2) for many headers */

void log_walk_init(struct log_walk *w, struct disk *d, int file, uint64_t end, bool care_warm)
{
	w->disk = d;
	w->file = file;
	w->end = end;
	w->care_warm = care_warm;
	w->warm_from = w->warm_to = 0;
	w->win_off = 0;
	w->win_len = 0;
	w->small = false;
}

static int load(struct log_walk *w, uint64_t pos)
{
	uint64_t room = w->small ? sizeof w->win : LOG_HEAD_BYTES, want = w->end - pos < room ? w->end - pos : room;
	size_t got;
	int err;

	if (w->care_warm && (pos < w->warm_from || pos + want > w->warm_to)) {
		uint64_t to = w->end - pos < WARM_STEP ? w->end : pos + WARM_STEP;

		if (w->disk->calls->is_warm(w->disk, w->file, pos, to - pos)) {
			w->warm_from = pos;
			w->warm_to = to;
		} else {	/* perhaps only the far part is cold */
			if (want > LOG_HEAD_BYTES)
				want = LOG_HEAD_BYTES;
			if (!w->disk->calls->is_warm(w->disk, w->file, pos, want))
				return E_AGAIN;
		}
	}
	err = w->disk->calls->pread(w->disk, w->file, w->win, (size_t)want, pos, &got);
	if (err)
		return err;
	w->win_off = pos;
	w->win_len = (uint32_t)got;
	return got >= LOG_HEAD_BYTES ? OK : E_BAD;
}

int log_walk_head(struct log_walk *w, uint64_t pos, struct log_head *ret)
{
	int err;

	if (pos >= w->end)
		return E_RANGE;
	if (w->end - pos < LOG_HEAD_BYTES)
		return E_BAD;
	if (pos < w->win_off || pos + LOG_HEAD_BYTES > w->win_off + w->win_len) {
		err = load(w, pos);
		if (err)
			return err;
	}
	err = log_head_parse(w->win + (pos - w->win_off), ret);
	if (!err && ret->bytes > w->end - pos)
		err = E_BAD;
	w->small = !err && ret->bytes < sizeof w->win;
	return err;
}

int log_walk_offset(struct log_walk *w, uint64_t *pos, int64_t offset, struct log_head *ret)
{
	struct log_head h;

	for (uint64_t at = *pos;; at += h.bytes) {
		int err = log_walk_head(w, at, &h);

		if (err) {
			*pos = at;	/* E_AGAIN: what to warm */
			return err;
		}
		if (h.last_offset >= offset) {
			*pos = at;
			*ret = h;
			return OK;
		}
	}
}

int log_control_type(const uint8_t *body, uint32_t len, int32_t *ret_coordinator_epoch)
{
	/* One record: length, attributes, timestamp delta, offset delta, key length (4), key
	 * (version i16, type i16), value length (6), value (version i16, coordinator epoch i32). */
	uint32_t at = 0;

	*ret_coordinator_epoch = -1;
	for (int field = 0; field < 5; field++) {
		if (field == 1) {
			at++;
			continue;
		}
		for (int n = 0; at < len && n < 10 && (body[at] & 0x80); n++)
			at++;
		at++;
	}
	if (at < 1 || at + 4 > len || body[at - 1] != 8)
		return -1;
	int type = be16_get(body + at + 2);
	at += 4;
	if (at + 7 <= len && body[at] == 12)
		*ret_coordinator_epoch = (int32_t)be32_get(body + at + 3);
	return type <= 1 ? type : -1;
}

/* CRC of a batch whose header is in s->buf; leaves the start of the body behind the header. */
static int check_body(struct log_scan *s, const struct log_head *h, bool *ret_good)
{
	uint64_t at = s->pos + 21, stop = s->pos + h->bytes;
	uint32_t crc = 0;

	while (at < stop) {
		size_t want = stop - at < LOG_SCAN_BUFFER ? (size_t)(stop - at) : LOG_SCAN_BUFFER, got;
		int err = s->disk->calls->pread(s->disk, s->file, s->buf, want, at, &got);

		if (err)
			return err;
		if (got != want) {
			*ret_good = false;
			return OK;
		}
		crc = crc32c(crc, s->buf, got);
		at += got;
	}
	*ret_good = crc == h->crc;
	return OK;
}

int log_scan(struct log_scan *s)
{
	int32_t epoch = -1;

	while (s->end - s->pos >= LOG_HEAD_BYTES) {
		uint8_t head[LOG_HEAD_BYTES];
		struct log_head h;
		const uint8_t *body = NULL;
		uint32_t body_len = 0;
		bool good = true;
		size_t got;
		int err = s->disk->calls->pread(s->disk, s->file, head, sizeof head, s->pos, &got);

		if (err)
			return err;
		if (got != sizeof head || log_head_parse(head, &h) || h.bytes > s->end - s->pos ||
		    h.base_offset < s->next_offset || h.leader_epoch < epoch ||
		    (s->dense && h.base_offset != s->next_offset) ||
		    (s->offset_end != 0 && (uint64_t)h.last_offset >= s->offset_end) ||
		    (uint64_t)h.last_offset - s->segment_base > INT32_MAX)
			break;
		if (!s->skip_crc) {
			err = check_body(s, &h, &good);
			if (err)
				return err;
			if (!good)
				break;
		}
		if (h.attributes & LOG_ATTR_CONTROL) {
			body_len = h.bytes - LOG_HEAD_BYTES;
			if (body_len > 256)
				body_len = 256;
			err = s->disk->calls->pread(s->disk, s->file, s->buf, body_len,
						    s->pos + LOG_HEAD_BYTES, &got);
			if (err)
				return err;
			body = s->buf;
			body_len = (uint32_t)got;
		}
		if (s->on_batch)
			s->on_batch(s->ctx, &h, s->pos, body, body_len);
		epoch = h.leader_epoch;
		s->pos += h.bytes;
		s->next_offset = h.last_offset + 1;
		must(s->pos <= s->end);
	}
	return OK;
}
