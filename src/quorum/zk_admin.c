/*
 * zk_admin.c - the admin commands of ZooKeeper's HTTP server: names and fields of JSON as 3.9.5 (admin/Commands.java).
 *
 * Commands that change what ZooKeeper alone has (set_trace_mask, restore, snapshot streams) say that they do not exist.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "quorum/zk_int.h"

struct page {
	const struct zk *z;
	struct buf *b;
	bool first;			/* of the object or list that is open */
};

static void json_text(struct buf *b, const char *p, size_t n)
{
	buf_u8(b, '"');
	for (size_t i = 0; i < n; i++) {
		uint8_t c = (uint8_t)p[i];

		if (c == '"' || c == '\\')
			buf_u8(b, '\\');
		if (c < 0x20)
			zk_print(b, "\\u%04x", c);
		else
			buf_u8(b, c);
	}
	buf_u8(b, '"');
}

static void comma(struct page *g)
{
	zk_print(g->b, g->first ? "\n" : ",\n");
	g->first = false;
}

static void key(struct page *g, const char *name)
{
	comma(g);
	zk_print(g->b, "  ");
	json_text(g->b, name, strlen(name));
	zk_print(g->b, " : ");
}

static void field(struct page *g, const char *name, const char *value)
{
	key(g, name);
	if (value)
		json_text(g->b, value, strlen(value));
	else
		zk_print(g->b, "null");
}

static void number(struct page *g, const char *name, int64_t v)
{
	key(g, name);
	zk_print(g->b, "%" PRId64, v);
}

static void flag(struct page *g, const char *name, bool v)
{
	key(g, name);
	zk_print(g->b, v ? "true" : "false");
}

static void put_conn(struct page *g, const struct zk_conn *c)
{
	const struct coord_session *x = coord_session(node_coord(c->z->node), c->session);

	comma(g);
	zk_print(g->b,
		 "    { \"remote_socket_address\" : \"%s:%u\", \"interest_ops\" : %d, \"outstanding_requests\" : %u, ",
		 c->calls->peer(c->net), c->calls->peer_port(c->net), c->muted == 0, c->nqueue);
	zk_print(g->b, "\"packets_received\" : %" PRIu64 ", \"packets_sent\" : %" PRIu64, c->received, c->sent);
	if (x)
		zk_print(g->b,
			", \"session_id\" : %" PRId64 ", \"session_timeout\" : %u, \"last_zxid\" : %" PRId64, x->id,
			 x->timeout_ms, c->last_zxid);
	zk_print(g->b, " }");
}

static void put_conns(struct page *g, bool secure)
{
	key(g, secure ? "secure_connections" : "connections");
	zk_print(g->b, "[");
	g->first = true;
	for (const struct zk_conn *c = g->z->conns; c; c = c->next)
		if (!c->closed && c->secure == secure)
			put_conn(g, c);
	zk_print(g->b, " ]");
	g->first = false;
}

static void connections(struct page *g)
{
	put_conns(g, false);
	put_conns(g, true);
}

static void configuration(struct page *g)
{
	const struct zk_config *c = &g->z->conf;

	number(g, "client_port", c->port > 0 ? c->port : -1);
	number(g, "secure_client_port", c->secure_port > 0 ? c->secure_port : -1);
	field(g, "data_dir", c->data_dir);
	field(g, "data_log_dir", c->data_dir);
	number(g, "tick_time", c->tick_ms);
	number(g, "max_client_cnxns", c->conns_per_host);
	number(g, "min_session_timeout", c->session_ms_min);
	number(g, "max_session_timeout", c->session_ms_max);
	number(g, "client_port_listen_backlog", -1);
	number(g, "server_id", c->server_id);
}

static void dirs(struct page *g)
{
	char bytes[32] = "0";

	g->z->conf.system_info(g->z->conf.user, "data.bytes", bytes, sizeof bytes);
	key(g, "datadir_size");
	zk_print(g->b, "%s", bytes);
	key(g, "logdir_size");
	zk_print(g->b, "%s", bytes);
}

static void dump(struct page *g)
{
	struct coord *t = node_coord(g->z->node);
	char path[COORD_PATH_MAX + 1];
	int64_t base = g->z->clock->wall_ms(g->z->clock) - (int64_t)(g->z->clock->mono_us(g->z->clock) / 1000);

	key(g, "expiry_time_to_session_ids");
	zk_print(g->b, "{");
	g->first = true;
	for (struct coord_session *x = coord_session_next(t, NULL); x; x = coord_session_next(t, x))
		if (x->client) {
			comma(g);
			zk_print(g->b, "    \"%" PRId64 "\" : [ %" PRId64 " ]",
				base + (int64_t)(x->soft.deadline_us / 1000), x->id);
		}
	zk_print(g->b, " }");
	g->first = false;
	key(g, "session_id_to_ephemeral_paths");
	zk_print(g->b, "{");
	g->first = true;
	for (struct coord_session *x = coord_session_next(t, NULL); x; x = coord_session_next(t, x)) {
		if (!x->client || !x->eph_first)
			continue;
		comma(g);
		zk_print(g->b, "    \"%" PRId64 "\" : [ ", x->id);
		for (const struct znode *e = x->eph_first; e; e = e->eph_next) {
			struct str p = coord_path(e, path);

			zk_print(g->b, e == x->eph_first ? "" : ", ");
			json_text(g->b, p.p, (size_t)p.len);
		}
		zk_print(g->b, " ]");
	}
	zk_print(g->b, " }");
	g->first = false;
}

static void mntr_field(void *ctx, const char *name, const char *value)
{
	struct page *g = ctx;
	size_t n = strspn(value, "-0123456789.");

	if (value[0] && value[n] == 0) {
		key(g, name);
		zk_print(g->b, "%s", value);
	} else {
		field(g, name, value);
	}
}

static void monitor(struct page *g)
{
	zk_mntr(g->z, mntr_field, g);
}

static void is_read_only(struct page *g)
{
	flag(g, "read_only", !node_ready(g->z->node));
}

static void leader(struct page *g)
{
	struct node_role r;
	const char *address = "";

	node_role(g->z->node, &r);
	for (uint32_t i = 0; i < r.nmembers; i++)
		if (r.leader_known && r.members[i].id == r.leader)
			address = r.members[i].address;
	flag(g, "is_leader", r.state == NODE_LEADER);
	number(g, "leader_id", r.leader_known ? (int64_t)r.leader : -1);
	field(g, "leader_ip", address);
}

static void server_stats(struct page *g)
{
	const struct zk_stats *st = &g->z->st;
	double avg = st->latency_n > 0 ? (double)st->latency_us_sum / (double)st->latency_n / 1000 : 0;

	field(g, "version", ZK_VERSION);
	is_read_only(g);
	key(g, "server_stats");
	zk_print(g->b, "{ \"packets_sent\" : %" PRIu64 ", \"packets_received\" : %" PRIu64, st->sent, st->received);
	zk_print(g->b, ", \"max_latency\" : %" PRIu64 ", \"min_latency\" : %" PRIu64 ", \"avg_latency\" : %.4f",
		 st->latency_us_max / 1000, st->latency_us_min / 1000, avg);
	zk_print(g->b, ", \"num_alive_client_connections\" : %u, \"outstanding_requests\" : %u", st->connections,
		 st->outstanding);
	zk_print(g->b, ", \"server_state\" : \"%s\", \"last_processed_zxid\" : %" PRId64 " }", zk_server_state(g->z),
		 zk_zxid(g->z));
	number(g, "node_count", (int64_t)zk_znodes(g->z));
}

static void stats(struct page *g)
{
	server_stats(g);
	connections(g);
}

static void voting_view(struct page *g)
{
	struct node_role r;

	node_role(g->z->node, &r);
	key(g, "current_config");
	zk_print(g->b, "{");
	g->first = true;
	for (uint32_t i = 0; i < r.nmembers; i++)
		if (r.members[i].voter) {
			comma(g);
			zk_print(g->b, "    \"%u\" : { \"server_addresses\" : [ ", r.members[i].id);
			json_text(g->b, r.members[i].address, strlen(r.members[i].address));
			zk_print(g->b, " ], \"learner_type\" : \"participant\" }");
		}
	zk_print(g->b, " }");
	g->first = false;
}

static void watch_path(void *ctx, struct str path)
{
	struct page *g = ctx;

	zk_print(g->b, g->first ? "" : ", ");
	g->first = false;
	json_text(g->b, path.p, (size_t)path.len);
}

static void watches(struct page *g)
{
	bool first = true;

	key(g, "session_id_to_watched_paths");
	zk_print(g->b, "{");
	for (const struct zk_conn *c = g->z->conns; c; c = c->next) {
		if (c->nwatches == 0)
			continue;
		zk_print(g->b, "%s    \"%" PRId64 "\" : [ ", first ? "\n" : ",\n", c->session);
		first = false;
		g->first = true;
		zk_watch_of(c, watch_path, g);
		zk_print(g->b, " ]");
	}
	zk_print(g->b, " }");
	g->first = false;
}

static void by_path(void *ctx, struct str path, const struct zk_conn *c, bool first)
{
	struct page *g = ctx;

	if (first) {
		zk_print(g->b, g->first ? "\n    " : " ],\n    ");
		json_text(g->b, path.p, (size_t)path.len);
		zk_print(g->b, " : [ %" PRId64, c->session);
	} else {
		zk_print(g->b, ", %" PRId64, c->session);
	}
	g->first = false;
}

static void watches_by_path(struct page *g)
{
	key(g, "path_to_session_ids");
	zk_print(g->b, "{");
	g->first = true;
	zk_watch_each(g->z, by_path, g);
	zk_print(g->b, g->first ? " }" : " ] }");
	g->first = false;
}

static void watch_summary(struct page *g)
{
	uint32_t conns, paths = zk_watch_paths(g->z, &conns);

	number(g, "num_connections", conns);
	number(g, "num_paths", paths);
	number(g, "num_total_watches", g->z->st.watches);
}

static void environment(struct page *g)
{
	static const char *const names[] = { "host.name", "os.name", "os.arch", "os.version", "user.name", "user.home",
		"user.dir", "os.memory.free", "os.memory.max", "os.memory.total" };
	char value[512];

	field(g, "zookeeper.version", ZK_VERSION);
	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
		memcpy(value, "<NA>", 5);
		g->z->conf.system_info(g->z->conf.user, names[i], value, sizeof value);
		field(g, names[i], value);
	}
}

static void trace_mask(struct page *g)
{
	number(g, "tracemask", 306);
}

static void hash(struct page *g)
{
	key(g, "digests");
	zk_print(g->b, "[ ]");
}

static void observers(struct page *g)
{
	struct node_role r;
	int64_t n = 0;

	node_role(g->z->node, &r);
	for (uint32_t i = 0; i < r.nmembers; i++)
		n += r.members[i].learner;
	number(g, "synced_observers", n);
	key(g, "observers");
	zk_print(g->b, "[ ]");
}

static void zabstate(struct page *g)
{
	struct node_role r;
	char zxid[32];

	node_role(g->z->node, &r);
	snprintf(zxid, sizeof zxid, "0x%" PRIx64, (uint64_t)zk_zxid(g->z));
	number(g, "myid", g->z->conf.server_id);
	flag(g, "is_leader", r.state == NODE_LEADER);
	flag(g, "voting", r.state != NODE_LEARNER && r.state != NODE_OUTSIDE);
	field(g, "last_zxid", zxid);
	number(g, "zab_epoch", (int64_t)r.term);
	number(g, "zab_counter", zk_zxid(g->z));
	field(g, "zabstate", node_ready(g->z->node) ? "broadcast" : "election");
}

static void nothing(struct page *g)
{
	(void)g;
}

static const struct command {
	const char *name, *other, *third;
	void (*print)(struct page *g);
	bool needs_quorum;
} commands[] = {
	{ "configuration", "conf", "config", configuration, true },
	{ "connection_stat_reset", "crst", NULL, nothing, true },
	{ "connections", "cons", NULL, connections, true },
	{ "dirs", NULL, NULL, dirs, true },
	{ "dump", NULL, NULL, dump, true },
	{ "environment", "env", "envi", environment, false },
	{ "get_trace_mask", "gtmk", NULL, trace_mask, false },
	{ "hash", NULL, NULL, hash, true },
	{ "is_read_only", "isro", NULL, is_read_only, true },
	{ "leader", "lead", NULL, leader, true },
	{ "monitor", "mntr", NULL, monitor, false },
	{ "observers", "obsr", NULL, observers, true },
	{ "ruok", NULL, NULL, nothing, true },
	{ "server_stats", "srvr", NULL, server_stats, true },
	{ "stat_reset", "srst", NULL, nothing, true },
	{ "stats", "stat", NULL, stats, true },
	{ "voting_view", NULL, NULL, voting_view, true },
	{ "watch_summary", "wchs", NULL, watch_summary, true },
	{ "watches", "wchc", NULL, watches, true },
	{ "watches_by_path", "wchp", NULL, watches_by_path, true },
	{ "zabstate", NULL, NULL, zabstate, false },
};

#define COMMANDS (sizeof commands / sizeof commands[0])

static const struct command *find(const char *name)
{
	for (size_t i = 0; i < COMMANDS; i++)
		if (strcmp(commands[i].name, name) == 0 || (commands[i].other && strcmp(commands[i].other,
			name) == 0) ||
		    (commands[i].third && strcmp(commands[i].third, name) == 0))
			return &commands[i];
	return NULL;
}

const char *zk_admin(struct zk *z, const char *name, struct buf *b)
{
	struct page g = { z, b, true };

	if (name[0] == 0) {
		for (size_t i = 0; i < COMMANDS; i++)
			zk_print(b, "<a href=\"/commands/%s\">%s</a><br/>\n", commands[i].name, commands[i].name);
		return "text/html";
	}
	const struct command *c = find(name);

	if (!c)
		return NULL;
	zk_print(b, "{");
	if (c->needs_quorum && !zk_server_state(z)) {
		field(&g, "command", c->name);
		field(&g, "error", "This ZooKeeper instance is not currently serving requests");
	} else {
		if (strcmp(c->name, "connection_stat_reset") == 0)
			zk_reset_conns(z);
		if (strcmp(c->name, "stat_reset") == 0)
			zk_reset_stats(z);
		c->print(&g);
		field(&g, "command", c->name);
		field(&g, "error", NULL);
	}
	zk_print(b, "\n}\n");
	return "application/json";
}
