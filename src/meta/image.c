/* image.c - the reader of image blocks; see image.h. */
#include "meta/image.h"

#include "base/assert.h"
#include "base/mem.h"
#include "meta/block.h"

struct image {
	const uint8_t *p;
	const struct block_head *h;
	const struct block_topic *topics;
	const uint32_t *by_id;		/* topic indexes in order of id */
	const struct block_part *parts;
	const int32_t *numbers;
	const struct block_broker *brokers;
	const struct block_endpoint *endpoints;
};

static bool fits(const struct block_head *h, uint64_t at, uint64_t n, uint64_t size)
{
	return at % 8 == 0 && at >= sizeof *h && at <= h->bytes && n <= (h->bytes - at) / size;
}

static bool text_ok(const struct block_head *h, struct block_text t)
{
	return t.len == -1 || (t.len >= 0 && t.at <= h->bytes && (uint64_t)t.len <= h->bytes - t.at);
}

static bool contents_ok(const struct image *im)
{
	const struct block_head *h = im->h;

	for (uint32_t i = 0; i < h->topics_n; i++) {
		const struct block_topic *t = &im->topics[i];

		if (!text_ok(h, t->name) || t->partitions < 0 || t->first > h->parts_n ||
		    (uint32_t)t->partitions > h->parts_n - t->first || im->by_id[i] >= h->topics_n)
			return false;
	}
	for (uint32_t i = 0; i < h->parts_n; i++) {
		const struct block_part *p = &im->parts[i];

		if (p->ids > h->numbers_n ||
		    (uint32_t)p->replicas_n + p->isr_n + p->elr_n > h->numbers_n - p->ids)
			return false;
	}
	for (uint32_t i = 0; i < h->brokers_n; i++) {
		const struct block_broker *b = &im->brokers[i];

		if (!text_ok(h, b->rack) || b->first > h->endpoints_n || b->endpoints > h->endpoints_n - b->first)
			return false;
	}
	for (uint32_t i = 0; i < h->endpoints_n; i++)
		if (!text_ok(h, im->endpoints[i].listener) || !text_ok(h, im->endpoints[i].host) ||
		    im->endpoints[i].port > 65535)
			return false;
	return text_ok(h, h->cluster_id);
}

int image_open(const void *block, size_t bytes, struct image **ret)
{
	const struct block_head *h = block;
	struct image im = { .p = block, .h = h };

	if (bytes < sizeof *h || h->magic != BLOCK_MAGIC)
		return E_BAD;
	if (h->version != BLOCK_VERSION)
		return E_VERSION;
	if (h->bytes > bytes || h->head_bytes != sizeof *h || h->bytes > UINT32_MAX ||
	    !fits(h, h->topics, h->topics_n, sizeof *im.topics) || !fits(h, h->by_id, h->topics_n, 4) ||
	    !fits(h, h->parts, h->parts_n, sizeof *im.parts) || !fits(h, h->numbers, h->numbers_n, 4) ||
	    !fits(h, h->brokers, h->brokers_n, sizeof *im.brokers) ||
	    !fits(h, h->endpoints, h->endpoints_n, sizeof *im.endpoints))
		return E_BAD;
	im.topics = (const void *)(im.p + h->topics);
	im.by_id = (const void *)(im.p + h->by_id);
	im.parts = (const void *)(im.p + h->parts);
	im.numbers = (const void *)(im.p + h->numbers);
	im.brokers = (const void *)(im.p + h->brokers);
	im.endpoints = (const void *)(im.p + h->endpoints);
	if (!contents_ok(&im))
		return E_BAD;
	*ret = mem_alloc(sizeof **ret);
	**ret = im;
	return OK;
}

void image_close(struct image *im)
{
	mem_free(im);
}

static struct str text(const struct image *im, struct block_text t)
{
	return t.len < 0 ? STR_NULL : (struct str){ (const char *)im->p + t.at, t.len };
}

uint64_t image_gen(const struct image *im)
{
	return im->h->gen;
}

int64_t image_zxid(const struct image *im)
{
	return im->h->zxid;
}

struct str image_cluster_id(const struct image *im)
{
	return text(im, im->h->cluster_id);
}

int32_t image_self(const struct image *im)
{
	return im->h->self;
}

int32_t image_controller(const struct image *im)
{
	return im->h->controller;
}

uint32_t image_topics(const struct image *im)
{
	return im->h->topics_n;
}

void image_topic_at(const struct image *im, uint32_t idx, struct image_topic *ret)
{
	must(idx < im->h->topics_n);
	const struct block_topic *t = &im->topics[idx];

	*ret = (struct image_topic){
		.name = text(im, t->name), .id = t->id, .internal = t->internal != 0,
		.partitions = t->partitions, .conf = t->conf, .first = t->first,
	};
}

bool image_topic_by_name(const struct image *im, struct str name, struct image_topic *ret)
{
	uint32_t lo = 0, hi = im->h->topics_n;

	while (lo < hi) {
		uint32_t mid = (lo + hi) / 2;
		int c = str_cmp(text(im, im->topics[mid].name), name);

		if (c == 0) {
			image_topic_at(im, mid, ret);
			return true;
		}
		if (c < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return false;
}

bool image_topic_by_id(const struct image *im, const struct uuid *id, struct image_topic *ret)
{
	uint32_t lo = 0, hi = im->h->topics_n;

	while (lo < hi) {
		uint32_t mid = (lo + hi) / 2;
		int c = memcmp(&im->topics[im->by_id[mid]].id, id, sizeof *id);

		if (c == 0) {
			image_topic_at(im, im->by_id[mid], ret);
			return true;
		}
		if (c < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return false;
}

bool image_part(const struct image *im, const struct image_topic *t, int32_t partition, struct image_part *ret)
{
	if (partition < 0 || partition >= t->partitions ||
	    (uint64_t)t->first + (uint32_t)partition >= im->h->parts_n)
		return false;
	const struct block_part *p = &im->parts[t->first + (uint32_t)partition];
	const int32_t *ids = im->numbers + p->ids;

	*ret = (struct image_part){
		.leader = p->leader, .leader_epoch = p->leader_epoch, .partition_epoch = p->partition_epoch,
		.slot = p->slot, .replicas = ids, .isr = ids + p->replicas_n,
		.elr = ids + p->replicas_n + p->isr_n,
		.replicas_n = p->replicas_n, .isr_n = p->isr_n, .elr_n = p->elr_n,
	};
	return true;
}

uint32_t image_brokers(const struct image *im)
{
	return im->h->brokers_n;
}

void image_broker_at(const struct image *im, uint32_t idx, struct image_broker *ret)
{
	must(idx < im->h->brokers_n);
	const struct block_broker *b = &im->brokers[idx];

	*ret = (struct image_broker){
		.id = b->id, .epoch = b->epoch, .rack = text(im, b->rack), .fenced = b->fenced != 0, .first = idx,
	};
}

bool image_broker_by_id(const struct image *im, int32_t id, struct image_broker *ret)
{
	for (uint32_t i = 0; i < im->h->brokers_n; i++)
		if (im->brokers[i].id == id) {
			image_broker_at(im, i, ret);
			return true;
		}
	return false;
}

bool image_endpoint(const struct image *im, const struct image_broker *b, struct str listener,
		    struct image_endpoint *ret)
{
	if (b->first >= im->h->brokers_n)
		return false;
	const struct block_broker *o = &im->brokers[b->first];

	for (uint32_t i = 0; i < o->endpoints; i++) {
		const struct block_endpoint *e = &im->endpoints[o->first + i];

		if (str_eq(text(im, e->listener), listener)) {
			*ret = (struct image_endpoint){
				text(im, e->listener), text(im, e->host), (uint16_t)e->port,
			};
			return true;
		}
	}
	return false;
}
