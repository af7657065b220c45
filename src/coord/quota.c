/*
 * quota.c - ZooKeeper's quotas: /zookeeper/quota<path>/zookeeper_limits says what the subtree of <path> may
 * hold, zookeeper_stats beside it what it does hold.
 *
 * Text of both: "count=4,bytes=5=;countHardLimit=10;byteHardLimit=10" (StatsTrack of 3.9.5); soft limits are
 * only for people. The deepest limit on the way to a path counts, alone.
 */
#include "coord/tree.h"

#include <string.h>

#include "base/text.h"

#define QUOTA_ROOT "/zookeeper/quota"
#define LIMITS "zookeeper_limits"
#define STATS "zookeeper_stats"

struct track {
	int64_t count, bytes, count_hard, bytes_hard;	/* -1: not given */
};

static struct znode *child(const struct znode *n, struct str name)
{
	struct znode *k = n->first;

	while (k && !(k->name_len == name.len && memcmp(k->name, name.p, k->name_len) == 0))
		k = k->next;
	return k;
}

static struct znode *quota_root(struct coord *c)
{
	return (struct znode *)(uintptr_t)coord_find(c, STR(QUOTA_ROOT));
}

/* The node under /zookeeper/quota whose limits bind path; NULL: none does. */
static struct znode *binding(struct coord *c, struct str path)
{
	struct znode *at = quota_root(c), *found = NULL;

	if (!at || !at->first)
		return NULL;
	for (int32_t i = 1, end; at && i <= path.len; i = end + 1) {
		for (end = i; end < path.len && path.p[end] != '/';)
			end++;
		at = child(at, (struct str){ path.p + i, end - i });
		if (at && child(at, STR(LIMITS)))
			found = at;
	}
	return found;
}

static void parse(const struct znode *n, struct track *ret)
{
	const char *p = (const char *)n->value, *end = p + (n->value_len > 0 ? n->value_len : 0);

	*ret = (struct track){ -1, -1, -1, -1 };
	while (p < end) {
		const char *key = p;

		while (p < end && *p != '=' && *p != ',' && *p != ';')
			p++;
		struct str name = { key, (int32_t)(p - key) };
		int64_t v = 0, sign = 1;
		bool digits = false;

		if (p < end && *p == '=')
			p++;
		if (p < end && *p == '-') {
			sign = -1;
			p++;
		}
		for (; p < end && *p >= '0' && *p <= '9' && v < INT64_MAX / 20; p++, digits = true)
			v = v * 10 + (*p - '0');
		while (p < end && *p != ',' && *p != ';')
			p++;
		while (p < end && (*p == ',' || *p == ';'))
			p++;
		v = digits ? v * sign : -1;
		if (str_is(name, "count"))
			ret->count = v;
		else if (str_is(name, "bytes"))
			ret->bytes = v;
		else if (str_is(name, "countHardLimit"))
			ret->count_hard = v;
		else if (str_is(name, "byteHardLimit"))
			ret->bytes_hard = v;
	}
}

bool quota_refuses(struct coord *c, struct str path, int64_t bytes, int64_t nodes)
{
	struct znode *q = binding(c, path), *limits, *stats;
	struct track lim, now;

	if (!q || !(limits = child(q, STR(LIMITS))) || !(stats = child(q, STR(STATS))))
		return false;
	parse(limits, &lim);
	parse(stats, &now);
	if (nodes != 0 && lim.count_hard > -1 && now.count + nodes > lim.count_hard)
		return true;
	return bytes != 0 && lim.bytes_hard > -1 && now.bytes + bytes > lim.bytes_hard;
}

static void write_stats(struct coord *c, struct znode *stats, int64_t count, int64_t bytes)
{
	char space[64];
	struct text t = text_open(space, sizeof space);

	text_add(&t, "count=");
	text_i64(&t, count);
	text_add(&t, ",bytes=");
	text_i64(&t, bytes);
	ops_set_quietly(c, stats, (struct bytes){ (const uint8_t *)t.p, (int32_t)t.len });
}

void quota_count(struct coord *c, struct str path, int64_t bytes, int64_t nodes)
{
	struct znode *q = binding(c, path), *stats = q ? child(q, STR(STATS)) : NULL;
	struct track now;

	if (!stats)
		return;
	parse(stats, &now);
	write_stats(c, stats, now.count + nodes, now.bytes + bytes);
}

void quota_made(struct coord *c, struct znode *n, struct str path)
{
	static const int32_t root_len = sizeof QUOTA_ROOT - 1;
	int32_t len = path.len - n->name_len - 1 - root_len;
	int64_t count = 0, bytes = 0;

	if (!(n->name_len == sizeof STATS - 1 && memcmp(n->name, STATS, n->name_len) == 0) || len <= 0 ||
	    memcmp(path.p, QUOTA_ROOT, (size_t)root_len) != 0)
		return;
	const struct znode *top = coord_find(c, (struct str){ path.p + root_len, len });

	for (const struct znode *k = top; k; k = coord_next(top, k)) {
		count++;
		bytes += k->value_len > 0 ? k->value_len : 0;
	}
	write_stats(c, n, count, bytes);
}

void quota_recount(struct coord *c)
{
	char path[COORD_PATH_MAX + 1];
	struct znode *top = quota_root(c);

	for (struct znode *n = top; n; n = (struct znode *)(uintptr_t)coord_next(top, n))
		if (n->parent != top && child(n->parent, STR(LIMITS)))
			quota_made(c, n, coord_path(n, path));
}
