/* zk_mntr.c - the numbers of mntr, in the order of proto/zk_mntr.def. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "quorum/zk_int.h"

enum kind { NUMBERS, SUMMARIES, WITH_QUANTILES };

static const struct {
	const char *name;
	enum kind kind;
} rows[] = {
#define NUMBER(n) { #n, NUMBERS },
#define SUMMARY(n) { #n, SUMMARIES },
#define QUANTILES(n) { #n, WITH_QUANTILES },
#include "proto/zk_mntr.def"
#undef NUMBER
#undef SUMMARY
#undef QUANTILES
};

void zk_summary_add(struct zk_summary *s, uint64_t ms)
{
	unsigned bits = 0;

	s->min = s->n == 0 || ms < s->min ? ms : s->min;
	s->max = ms > s->max ? ms : s->max;
	s->sum += ms;
	s->n++;
	while (bits < 39 && ms >> bits > 0)
		bits++;
	s->by_bits[bits]++;
}

/* Not below the true value, and at most twice it. */
static uint64_t quantile(const struct zk_summary *s, double q)
{
	uint64_t seen = 0;

	for (unsigned i = 0; i < 40; i++) {
		seen += s->by_bits[i];
		if (s->n > 0 && (double)seen >= q * (double)s->n)
			return i == 0 ? 0 : (UINT64_C(1) << i) - 1 < s->max ? (UINT64_C(1) << i) - 1 : s->max;
	}
	return 0;
}

static void format(char *to, size_t cap, uint64_t v)
{
	snprintf(to, cap, "%" PRIu64, v);
}

/* What is measured here; false: it never happens here. */
static bool value_of(const struct zk *z, const char *name, char *to, size_t cap)
{
	struct coord *t = node_coord(z->node);
	const struct zk_stats *st = &z->st;
	struct node_stats ns;
	const char *state = zk_server_state(z);

	node_stats(z->node, &ns);
	const struct { const char *name; uint64_t v; } numbers[] = {
		{ "ephemerals_count", coord_ephemerals(t) }, { "num_alive_connections", st->connections },
		{ "outstanding_requests", st->outstanding }, { "znode_count", zk_znodes(z) },
		{ "global_sessions", coord_sessions(t) }, { "packets_sent", st->sent },
			{ "packets_received", st->received },
		{ "watch_count", st->watches }, { "auth_failed_count", st->auth_failed },
		{ "min_latency", st->latency_us_min / 1000 }, { "max_latency", st->latency_us_max / 1000 },
		{ "approximate_data_size", coord_bytes(t) },
		{ "uptime", (z->clock->mono_us(z->clock) - z->started_us) / 1000 },
		{ "connection_rejected", st->rejected }, { "sessionless_connections_expired", st->expired_greetings },
		{ "bytes_received_count", st->bytes_in }, { "response_bytes", st->bytes_out },
		{ "request_throttle_wait_count", st->throttled }, { "commit_count", ns.applied },
		{ "proposal_count", ns.proposals }, { "snap_count", ns.snapshots }, { "looking_count", ns.elections },
	};

	for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
		if (strcmp(numbers[i].name, name) == 0) {
			format(to, cap, numbers[i].v);
			return true;
		}
	if (strcmp(name, "version") == 0)
		snprintf(to, cap, "%s, built on 1970-01-01 00:00 UTC", ZK_VERSION);
	else if (strcmp(name, "server_state") == 0)
		snprintf(to, cap, "%s", state ? state : "none");
	else if (strcmp(name, "avg_latency") == 0)
		snprintf(to, cap, "%.4f", st->latency_n > 0 ?
			 (double)st->latency_us_sum / (double)st->latency_n / 1000 : 0.0);
	else if (strcmp(name, "connection_drop_probability") == 0)
		snprintf(to, cap, "0.0");
	else if (strstr(name, "client_response_size"))
		snprintf(to, cap, "-1");
	else if (strstr(name, "file_descriptor_count"))
		z->conf.system_info(z->conf.user, name, to, cap);
	else
		return false;
	return true;
}

static void summary(const struct zk *z, const char *name, bool quantiles,
		    void (*on)(void *ctx, const char *name, const char *value), void *ctx)
{
	static const struct zk_summary none;
	static const struct { const char *name; double q; } qs[] = { { "p50", .5 }, { "p95", .95 }, { "p99", .99 },
								    { "p999", .999 } };
	struct zk_summary fired = { 0 };
	const struct zk_summary *s = &none;
	static const char *const events[] = { NULL, "node_created_watch_count", "node_deleted_watch_count",
		"node_changed_watch_count", "node_children_watch_count" };
	char n[128], v[64];

	if (strcmp(name, "readlatency") == 0)
		s = &z->reads;
	else if (strcmp(name, "updatelatency") == 0)
		s = &z->updates;
	for (int i = 1; i < 5; i++)
		if (strcmp(name, events[i]) == 0 && z->st.watches_fired[i] > 0) {
			fired.n = fired.sum = z->st.watches_fired[i];
			fired.min = fired.max = 1;
			s = &fired;
		}
	const struct { const char *name; uint64_t v; } parts[] = {
		{ "min", s->min }, { "max", s->max }, { "cnt", s->n }, { "sum", s->sum },
	};

	snprintf(n, sizeof n, "avg_%s", name);
	snprintf(v, sizeof v, s->n > 0 ? "%.4f" : "0.0", s->n > 0 ? (double)s->sum / (double)s->n : 0.0);
	on(ctx, n, v);
	for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
		snprintf(n, sizeof n, "%s_%s", parts[i].name, name);
		format(v, sizeof v, parts[i].v);
		on(ctx, n, v);
	}
	for (size_t i = 0; quantiles && i < sizeof qs / sizeof qs[0]; i++) {
		snprintf(n, sizeof n, "%s_%s", qs[i].name, name);
		format(v, sizeof v, quantile(s, qs[i].q));
		on(ctx, n, v);
	}
}

void zk_mntr(const struct zk *z, void (*on)(void *ctx, const char *name, const char *value), void *ctx)
{
	char value[256];

	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		if (rows[i].kind != NUMBERS) {
			summary(z, rows[i].name, rows[i].kind == WITH_QUANTILES, on, ctx);
			continue;
		}
		if (!value_of(z, rows[i].name, value, sizeof value))
			memcpy(value, "0", 2);
		on(ctx, rows[i].name, value);
	}
}
