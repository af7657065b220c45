/* name.c - paths of a replica's files, and a batch header's fields. */
#include "base/be.h"
#include "log/log.h"

const char *const log_suffix[LOG_KIND_N] = {
	[LOG_SEGMENT] = ".log",
	[LOG_INDEX] = ".idx",
	[LOG_TXN] = ".txnindex",
};

void log_path_init(struct log_path *p, const char *start)
{
	p->len = 0;
	p->s[0] = 0;
	log_path_add(p, start);
}

void log_path_add(struct log_path *p, const char *text)
{
	size_t n = strlen(text);

	if (p->len >= LOG_PATH_MAX || n >= LOG_PATH_MAX - p->len) {
		p->len = LOG_PATH_MAX;	/* an empty path cannot be opened */
		p->s[0] = 0;
		return;
	}
	memcpy(p->s + p->len, text, n + 1);
	p->len += (uint32_t)n;
}

void log_path_num(struct log_path *p, uint64_t n, unsigned min_digits)
{
	char d[24];
	unsigned at = sizeof d - 1, k = 0;

	d[at] = 0;
	for (; k < min_digits || n != 0 || k == 0; k++, n /= 10)
		d[--at] = (char)('0' + n % 10);
	log_path_add(p, d + at);
}

void log_path_folder(struct log_path *p, const char *dir, const char *topic, int32_t partition)
{
	log_path_init(p, dir);
	log_path_add(p, "/");
	log_path_add(p, topic);
	log_path_add(p, "-");
	log_path_num(p, (uint64_t)(partition < 0 ? 0 : partition), 1);
}

void log_path_segment(struct log_path *p, uint64_t base, const char *suffix)
{
	log_path_add(p, "/");
	log_path_num(p, base, 20);
	log_path_add(p, suffix);
}

bool log_name_is(const char *name, const char *suffix, uint64_t *ret_base)
{
	uint64_t n = 0;

	for (int i = 0; i < 20; i++) {
		if (name[i] < '0' || name[i] > '9')
			return false;
		n = n * 10 + (uint64_t)(name[i] - '0');
	}
	if (strcmp(name + 20, suffix) != 0 || n > INT64_MAX)
		return false;
	*ret_base = n;
	return true;
}

int log_head_parse(const uint8_t p[LOG_HEAD_BYTES], struct log_head *ret)
{
	int32_t len = (int32_t)be32_get(p + 8), delta = (int32_t)be32_get(p + 23);
	struct log_head h = {
		.base_offset = (int64_t)be64_get(p),
		.leader_epoch = (int32_t)be32_get(p + 12),
		.crc = be32_get(p + 17),
		.attributes = be16_get(p + 21),
		.first_timestamp = (int64_t)be64_get(p + 27),
		.max_timestamp = (int64_t)be64_get(p + 35),
		.producer_id = (int64_t)be64_get(p + 43),
		.producer_epoch = (int16_t)be16_get(p + 51),
		.base_sequence = (int32_t)be32_get(p + 53),
		.records = (int32_t)be32_get(p + 57),
	};

	if (p[16] != 2 || len < LOG_HEAD_BYTES - 12 || (uint32_t)len > LOG_BATCH_MAX)
		return E_BAD;
	if (h.base_offset < 0 || delta < 0 || h.base_offset > INT64_MAX - delta - 1)
		return E_BAD;
	h.last_offset = h.base_offset + delta;
	h.bytes = (uint32_t)len + 12;
	*ret = h;
	return OK;
}
