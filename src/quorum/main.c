/*
 * main.c - moldau-quorum: options and settings, then the node behind the os ports. moldau-quorum(8)
 */
#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "config.h"
#include "os/clock_os.h"
#include "os/disk_os.h"
#include "os/http_os.h"
#include "os/log_os.h"
#include "os/loop_os.h"
#include "os/net_os.h"
#include "os/proc_os.h"
#include "os/tls_os.h"
#include "quorum/main_import.h"
#include "quorum/main_tls.h"
#include "quorum/main_zk.h"
#include "quorum/serve.h"

#define FRAMES_MAX (256u << 20)		/* bytes of requests that are in memory at once */
#define DRAIN_US 10000u
#define HANDOVER_TURNS 50		/* leadership is handed over within 0.5 s, or left to an election */
#define DRAIN_TURNS 200			/* 2 s: a disk that takes longer is left to recovery */
#define WHY 512

#define PEERS_MAX 7

static struct {
	char data_dir[400], listen[256], metrics[256], cluster_id[24], node_id[16], snapshot_bytes[24];
	char pid_file[256], log_output[256], import[400], import_logs[400];
	char peer_listen[256], peer_address[256], voters[2048], join[2048], observer[8], beat_ms[16], elect_ms[16];
} arg_set = { .node_id = "0", .snapshot_bytes = "67108864", .observer = "false", .beat_ms = "50", .elect_ms = "300" };

static struct main_tls arg_tls = {
	.peer_subjects = "OU=moldau-quorum", .client_subjects = "OU=moldau-quorum;OU=moldau-system",
	.allow_plaintext = "false",
};

static const struct option_row {
	const char *name, *help;	/* name: --name on the command line, the same in the file */
	char *value;
	size_t cap;
} arg_rows[] = {
	{ "node-id", "number of this node in the quorum (0)", arg_set.node_id, sizeof arg_set.node_id },
	{ "data-dir", "folder of log and snapshots", arg_set.data_dir, sizeof arg_set.data_dir },
	{ "listen", "HOST:PORT for brokers and tools", arg_set.listen, sizeof arg_set.listen },
	{ "metrics", "HOST:PORT of /metrics; none when not given", arg_set.metrics, sizeof arg_set.metrics },
	{ "cluster-id", "22 characters; made at the first start when not given", arg_set.cluster_id,
	  sizeof arg_set.cluster_id },
	{ "peer-listen", "HOST:PORT for the other nodes of the quorum", arg_set.peer_listen,
		sizeof arg_set.peer_listen },
	{ "peer-address", "HOST:PORT where they reach it (peer-listen)", arg_set.peer_address,
	  sizeof arg_set.peer_address },
	{ "voters", "members of a new quorum: ID@HOST:PORT,... of their peer ports", arg_set.voters,
		sizeof arg_set.voters },
	{ "join", "HOST:PORT,... of members of a quorum to be joined", arg_set.join, sizeof arg_set.join },
	{ "observer", "true: joins without a vote", arg_set.observer, sizeof arg_set.observer },
	{ "heartbeat-ms", "the leader speaks this often (50)", arg_set.beat_ms, sizeof arg_set.beat_ms },
	{ "election-timeout-ms", "followers wait so long, up to twice (300)", arg_set.elect_ms,
		sizeof arg_set.elect_ms },
	{ "pid-file", "the process number is written here once it runs", arg_set.pid_file,
	  sizeof arg_set.pid_file },
	{ "log-output", "stderr, the path of a file, syslog (stderr)", arg_set.log_output,
	  sizeof arg_set.log_output },
	{ "tls-certificate", "PEM file: this node's certificate chain, for peers, brokers and tools",
	  arg_tls.certificate, sizeof arg_tls.certificate },
	{ "tls-key", "PEM file of its key", arg_tls.key, sizeof arg_tls.key },
	{ "tls-ca", "PEM file of the authorities of all who connect", arg_tls.ca, sizeof arg_tls.ca },
	{ "peer-subjects", "subjects of nodes' certificates (OU=moldau-quorum)", arg_tls.peer_subjects,
	  sizeof arg_tls.peer_subjects },
	{ "client-subjects", "of clients who may change the cluster (OU=moldau-quorum;OU=moldau-system)",
	  arg_tls.client_subjects, sizeof arg_tls.client_subjects },
	{ "allow-plaintext", "true: without TLS even off the loopback (false)", arg_tls.allow_plaintext,
	  sizeof arg_tls.allow_plaintext },
	{ "import-zookeeper", "DIR: take a ZooKeeper's dataDir over into an empty data-dir, then exit",
	  arg_set.import, sizeof arg_set.import },
	{ "import-zookeeper-logs", "DIR: its dataLogDir, when it is another one", arg_set.import_logs,
	  sizeof arg_set.import_logs },
	{ "snapshot-log-bytes", "a snapshot is written after so much log (67108864)", arg_set.snapshot_bytes,
	  sizeof arg_set.snapshot_bytes },
};

#define ROWS (sizeof arg_rows / sizeof arg_rows[0])

static struct zk_main *arg_zk;		/* the settings that begin with "zookeeper-" */

struct daemon {
	struct loop_os *os_loop;
	struct loop *loop;
	struct node *node;
	struct serve *serve;
	struct loop_timer drain;
	struct node_admin handover;
	bool others;
	unsigned turns;
};

static void help_row(void *ctx, const char *name, const char *help)
{
	fprintf(ctx, "  --%-26s %s\n", name, help);
}

static int usage(void)
{
	FILE *to = stdout;

	fputs("usage: moldau-quorum [-n] [-c FILE] [--NAME VALUE]...\n"
	      "  -n                           check the settings and exit\n"
	      "  -c FILE                      settings, NAME=VALUE a line; options are stronger\n", to);
	for (size_t i = 0; i < ROWS; i++)
		fprintf(to, "  --%-26s %s\n", arg_rows[i].name, arg_rows[i].help);
	zk_conf_help(help_row, to);
	fputs("  --zookeeper-config           FILE: a zoo.cfg to be this server's settings; may be given again\n", to);
	fputs("  --version                    print the version and exit\nSee moldau-quorum(8).\n", to);
	return 0;
}

/* "data.dir" in a file, as Kafka writes names, and "--data-dir" are the same setting. */
static bool same_name(const char *row, const char *name, size_t len)
{
	size_t i = 0;

	while (i < len && row[i] && (row[i] == name[i] || (row[i] == '-' && name[i] == '.')))
		i++;
	return i == len && row[i] == 0;
}

struct near {
	struct str name;
	char what[64];
	int distance;
};

static void near_row(void *ctx, const char *name, const char *help)
{
	struct near *x = ctx;
	int n = str_distance(x->name, str_of(name));

	(void)help;
	if (n >= x->distance)
		return;
	x->distance = n;
	snprintf(x->what, sizeof x->what, "; did you mean %s?", name);
}

static void unknown(const char *name, size_t len, char *why)
{
	struct near x = { .name = { name, (int32_t)len }, .distance = str_far((struct str){ name, (int32_t)len }) };

	for (size_t i = 0; i < ROWS; i++)
		near_row(&x, arg_rows[i].name, NULL);
	zk_conf_help(near_row, &x);
	snprintf(why, WHY, "unknown setting %.*s%s", len > 200 ? 200 : (int)len, name, x.what);
}

static bool set(const char *name, size_t len, const char *value, char *why)
{
	for (size_t i = 0; i < ROWS; i++) {
		if (!same_name(arg_rows[i].name, name, len))
			continue;
		if (strlen(value) >= arg_rows[i].cap) {
			snprintf(why, WHY, "%s: the value is too long", arg_rows[i].name);
			return false;
		}
		memcpy(arg_rows[i].value, value, strlen(value) + 1);
		return true;
	}
	if (same_name("zookeeper-config", name, len))
		return zk_main_read(arg_zk, value, why) == OK;
	int taken = zk_conf_set(zk_main_conf(arg_zk), name, len, value, why);

	if (taken == 0)
		unknown(name, len, why);
	return taken > 0;
}

static bool load_file(const char *path, char *why)
{
	FILE *f = fopen(path, "re");
	char line[1024];
	unsigned number = 0;
	bool ok = f != NULL;

	if (!f)
		snprintf(why, WHY, "cannot read %s: %s", path, strerror(errno));
	while (ok && fgets(line, sizeof line, f)) {
		char *p = line, *end = line + strlen(line), *eq, *value, inner[WHY] = "";

		number++;
		while (isspace((unsigned char)*p))
			p++;
		while (end > p && isspace((unsigned char)end[-1]))
			*--end = 0;
		if (*p == 0 || *p == '#')
			continue;
		eq = strchr(p, '=');
		if (!eq) {
			snprintf(why, WHY, "%.300s:%u: not NAME=VALUE", path, number);
			ok = false;
			break;
		}
		for (value = eq + 1; isspace((unsigned char)*value);)
			value++;
		for (end = eq; end > p && isspace((unsigned char)end[-1]);)
			end--;
		ok = set(p, (size_t)(end - p), value, inner);
		if (!ok)
			snprintf(why, WHY, "%.200s:%u: %.200s", path, number, inner);
	}
	if (f)
		fclose(f);
	return ok;
}

static bool number(const char *text, uint64_t max, uint64_t *ret)
{
	char *end;

	errno = 0;
	*ret = strtoull(text, &end, 10);
	return isdigit((unsigned char)text[0]) && *end == 0 && errno == 0 && *ret <= max;
}

struct settings {
	uint64_t node_id, snapshot_bytes, beat_ms, elect_ms;
	struct node_peer voters[PEERS_MAX];
	const char *join[PEERS_MAX];
	uint32_t nvoters, njoin;
	bool observer;
	const char *address;
};

/* Cuts the next element off a comma list in place; NULL at the end. */
static char *next_of(char **list)
{
	char *p = *list, *comma;

	if (!p || *p == 0)
		return NULL;
	comma = strchr(p, ',');
	if (comma)
		*comma = 0;
	*list = comma ? comma + 1 : NULL;
	return p;
}

static bool is_address(const char *s)
{
	const char *colon = strrchr(s, ':');
	uint64_t port;

	return colon && colon != s && strlen(s) < NODE_ADDRESS_MAX && number(colon + 1, 65535, &port) && port > 0;
}

static bool check_voters(struct settings *s, char *why)
{
	static char text[sizeof arg_set.voters];
	char *list = text;
	bool self = false;

	memcpy(text, arg_set.voters, sizeof text);
	for (char *v; (v = next_of(&list)) != NULL;) {
		char *at = strchr(v, '@');
		uint64_t id = 0;

		if (at)
			*at = 0;
		if (!at || !number(v, INT32_MAX, &id) || !is_address(at + 1)) {
			snprintf(why, WHY, "voters wants ID@HOST:PORT,..., not \"%.100s%s%.100s\"", v, at
				? "@" : "", at ? at + 1 : "");
			return false;
		}
		for (uint32_t i = 0; i < s->nvoters; i++)
			if (s->voters[i].id == id || strcmp(s->voters[i].address, at + 1) == 0) {
				snprintf(why, WHY, "voters names node %llu or %.200s twice",
					(unsigned long long)id, at + 1);
				return false;
			}
		if (s->nvoters == PEERS_MAX) {
			snprintf(why, WHY, "voters names more than %d nodes", PEERS_MAX);
			return false;
		}
		s->voters[s->nvoters++] = (struct node_peer){ (uint32_t)id, at + 1 };
		if (id == s->node_id) {
			self = true;
			if (!s->address)
				s->address = at + 1;
		}
	}
	if (s->nvoters > 0 && !self)
		snprintf(why, WHY, "voters does not name this node, %llu", (unsigned long long)s->node_id);
	return s->nvoters == 0 || self;
}

static bool check_join(struct settings *s, char *why)
{
	static char text[sizeof arg_set.join];
	char *list = text;

	memcpy(text, arg_set.join, sizeof text);
	for (char *v; (v = next_of(&list)) != NULL;) {
		if (!is_address(v) || s->njoin == PEERS_MAX) {
			snprintf(why, WHY, "join wants up to %d of HOST:PORT, not \"%.200s\"", PEERS_MAX, v);
			return false;
		}
		s->join[s->njoin++] = v;
	}
	if (s->njoin > 0 && s->nvoters > 0)
		snprintf(why, WHY, "voters begin a new quorum and join enters another: one of the two");
	return s->njoin == 0 || s->nvoters == 0;
}

static bool check_peers(struct settings *s, char *why)
{
	if (arg_set.peer_listen[0] && !strchr(arg_set.peer_listen, ':')) {
		snprintf(why, WHY, "peer-listen wants HOST:PORT");
		return false;
	}
	if (arg_set.peer_address[0] && !is_address(arg_set.peer_address)) {
		snprintf(why, WHY, "peer-address wants HOST:PORT, not \"%.200s\"", arg_set.peer_address);
		return false;
	}
	s->address = arg_set.peer_address[0] ? arg_set.peer_address : NULL;
	if (!check_voters(s, why) || !check_join(s, why))
		return false;
	if (!arg_set.peer_listen[0] && s->address && s->nvoters > 1)
		memcpy(arg_set.peer_listen, s->address, strlen(s->address) + 1);
	if (!s->address && arg_set.peer_listen[0])
		s->address = arg_set.peer_listen;
	if (!arg_set.peer_listen[0] && (s->nvoters > 1 || s->njoin > 0)) {
		snprintf(why, WHY, "peer-listen is not set: the other nodes have to reach this one");
		return false;
	}
	if (s->observer && s->njoin == 0) {
		snprintf(why, WHY, "observer goes with join");
		return false;
	}
	return true;
}

static bool check_tls(const struct settings *s, char *why)
{
	int err = main_tls_open(&arg_tls, why, WHY);

	if (err == OK)
		err = main_tls_covers(&arg_tls, "listen", arg_set.listen, why, WHY);
	if (err == OK)
		err = main_tls_covers(&arg_tls, "peer-listen", arg_set.peer_listen, why, WHY);
	for (uint32_t i = 0; i < s->nvoters && err == OK; i++)
		err = main_tls_covers(&arg_tls, "voters", s->voters[i].address, why, WHY);
	for (uint32_t i = 0; i < s->njoin && err == OK; i++)
		err = main_tls_covers(&arg_tls, "join", s->join[i], why, WHY);
	return err == OK;
}

static bool check(struct settings *s, char *why)
{
	struct zk_conf *z = zk_main_conf(arg_zk);
	struct uuid id;

	s->observer = strcmp(arg_set.observer, "true") == 0;
	if (zk_main_check(arg_zk, why) != OK)
		return false;
	if (z->from_zoo && zk_main_member(arg_zk, arg_set.node_id, sizeof arg_set.node_id, arg_set.voters,
					  sizeof arg_set.voters, why) != OK)
		return false;
	if (arg_set.data_dir[0] == 0 && z->data_dir[0] != 0)	/* beside ZooKeeper's own files, never among them */
		snprintf(arg_set.data_dir, sizeof arg_set.data_dir, "%.380s/moldau", z->data_dir);
	if (arg_set.data_dir[0] == 0)
		snprintf(why, WHY, "data-dir is not set");
	else if (!strchr(arg_set.listen, ':') && !(z->from_zoo && arg_set.listen[0] == 0))
		snprintf(why, WHY, "listen wants HOST:PORT");
	else if (!number(arg_set.node_id, INT32_MAX, &s->node_id))
		snprintf(why, WHY, "node-id wants a number, not \"%s\"", arg_set.node_id);
	else if (!number(arg_set.snapshot_bytes, UINT64_MAX / 2, &s->snapshot_bytes))
		snprintf(why, WHY, "snapshot-log-bytes wants a number, not \"%s\"", arg_set.snapshot_bytes);
	else if (arg_set.cluster_id[0] && !uuid_parse(str_of(arg_set.cluster_id), &id))
		snprintf(why, WHY, "cluster-id wants 22 characters of base64url, not \"%s\"", arg_set.cluster_id);
	else if (!s->observer && strcmp(arg_set.observer, "false") != 0)
		snprintf(why, WHY, "observer wants true or false, not \"%s\"", arg_set.observer);
	else if (!number(arg_set.beat_ms, 10000, &s->beat_ms) || s->beat_ms < 5)
		snprintf(why, WHY, "heartbeat-ms wants 5 to 10000, not \"%s\"", arg_set.beat_ms);
	else if (!number(arg_set.elect_ms, 100000, &s->elect_ms) || s->elect_ms < 3 * s->beat_ms)
		snprintf(why, WHY, "election-timeout-ms wants at least 3 times heartbeat-ms and at most 100000");
	else
		return check_peers(s, why) && check_tls(s, why);
	return false;
}

static void on_log(void *user, const char *msg, const char *detail)
{
	(void)user;
	log_os("quorum", LOG_OS_INFO, msg, detail, NULL);
}

/* The log can no longer be trusted to take what is said to be taken: end, and let recovery look. */
static void on_fatal(void *user, const char *what, int err)
{
	(void)user;
	log_os("quorum", LOG_OS_ERROR, what, err_text(err),
	       err == E_EXIST ? NULL : "the process ends; a restart recovers what was synced");
	_exit(3);
}

static void on_accept(void *ctx, int fd)
{
	serve_accept(((struct daemon *)ctx)->serve, fd);
}

static void on_accept_peer(void *ctx, int fd)
{
	node_accept(((struct daemon *)ctx)->node, fd);
}

static void on_handed_over(struct node_admin *a, int err, const char *why)
{
	(void)a;
	(void)err;			/* alone, or nobody to hand over to: the others elect */
	(void)why;
}

static void on_drain(struct loop_timer *t)
{
	struct daemon *d = t->user;
	bool leads = d->others && node_serves(d->node) && d->turns < HANDOVER_TURNS;

	if ((node_idle(d->node) && !leads) || ++d->turns > DRAIN_TURNS)
		d->loop->calls->stop(d->loop, 0);
	else
		d->loop->calls->timer_set(d->loop, t, DRAIN_US);
}

static void on_rotate(void *ctx, int signo)
{
	(void)ctx;
	(void)signo;
	if (log_os_reopen() != OK)
		log_os("quorum", LOG_OS_ERROR, "cannot open the log file again", arg_set.log_output, NULL);
}

static void on_hup(void *ctx, int signo)
{
	(void)ctx;
	(void)signo;
	if (arg_tls.tls)
		tls_os_reload(arg_tls.tls, "quorum");
	zk_main_reload(arg_zk);
}

static void on_term(void *ctx, int signo)
{
	struct daemon *d = ctx;
	static struct node_role role;

	(void)signo;
	if (d->drain.fire)
		return;
	proc_notify("STOPPING=1");
	log_os("quorum", LOG_OS_INFO, "draining", NULL, NULL);
	serve_drain(d->serve);
	zk_main_drain(arg_zk);
	node_role(d->node, &role);
	d->others = role.nmembers > 1;
	if (d->others && node_serves(d->node)) {
		d->handover.done = on_handed_over;
		node_transfer(d->node, NODE_ANY, &d->handover);
	}
	d->drain = (struct loop_timer){ .fire = on_drain, .user = d };
	d->loop->calls->timer_set(d->loop, &d->drain, DRAIN_US);
}

static void metric(struct buf *b, const char *name, const char *type, uint64_t v)
{
	char line[256];
	int n = snprintf(line, sizeof line, "# TYPE moldau_quorum_%s %s\nmoldau_quorum_%s %llu\n", name, type, name,
			 (unsigned long long)v);

	buf_put(b, line, (size_t)n);
}

static void on_metrics(void *ctx, struct buf *b)
{
	struct daemon *d = ctx;
	struct node_stats st;

	node_stats(d->node, &st);
	metric(b, "leader", "gauge", st.leads);
	metric(b, "term", "gauge", st.term);
	metric(b, "commit_index", "gauge", st.commit);
	metric(b, "applied_index", "gauge", st.applied);
	metric(b, "zxid", "gauge", (uint64_t)coord_zxid(node_coord(d->node)));
	metric(b, "nodes", "gauge", coord_nodes(node_coord(d->node)));
	metric(b, "sessions", "gauge", coord_sessions(node_coord(d->node)));
	metric(b, "connections", "gauge", serve_connections(d->serve));
	metric(b, "log_segments", "gauge", st.log_segments);
	metric(b, "proposals_total", "counter", st.proposals);
	metric(b, "log_syncs_total", "counter", st.syncs);
	metric(b, "snapshots_total", "counter", st.snapshots);
	metric(b, "elections_won_total", "counter", st.elections);
	metric(b, "forwarded_proposals_total", "counter", st.forwarded);
	metric(b, "repeated_proposals_total", "counter", st.repeated);
	metric(b, "read_barriers_total", "counter", st.reads);
	metric(b, "images_sent_total", "counter", st.snapshots_sent);
	metric(b, "images_received_total", "counter", st.snapshots_received);
	metric(b, "dropped_peer_messages_total", "counter", st.dropped_messages);
	metric(b, "torn_bytes_at_start", "gauge", st.torn_bytes);
	if (arg_tls.tls)
		metric(b, "certificate_expires_seconds", "gauge", (uint64_t)tls_os_expires(arg_tls.tls));
	if (zk_main_front(arg_zk)) {
		struct zk_stats z;

		zk_stats(zk_main_front(arg_zk), &z);
		metric(b, "zookeeper_connections", "gauge", z.connections);
		metric(b, "zookeeper_outstanding_requests", "gauge", z.outstanding);
		metric(b, "zookeeper_watches", "gauge", z.watches);
		metric(b, "zookeeper_requests_total", "counter", z.received);
		metric(b, "zookeeper_answers_total", "counter", z.sent);
		metric(b, "zookeeper_rejected_connections_total", "counter", z.rejected);
		metric(b, "zookeeper_failed_authentications_total", "counter", z.auth_failed);
		metric(b, "zookeeper_throttled_requests_total", "counter", z.throttled);
	}
}

static bool imports(void)
{
	return arg_set.import[0] && strcmp(arg_set.import, "none") != 0;
}

static struct node_config node_settings(const struct settings *s, char *cluster_id)
{
	struct uuid fresh;
	struct node_config conf = {
		.dir = arg_set.data_dir, .id = (uint32_t)s->node_id, .cluster_id = cluster_id,
		.cluster_given = arg_set.cluster_id[0] != 0, .snapshot_log_bytes = s->snapshot_bytes,
		.voters = s->voters, .nvoters = s->nvoters, .join = s->join, .njoin = s->njoin, .address = s->address,
		.observer = s->observer, .peer_subjects = arg_tls.tls ? arg_tls.peer_subjects : NULL,
		.beat_ms = (uint32_t)s->beat_ms, .elect_ms = (uint32_t)s->elect_ms,
		.on_fatal = on_fatal, .on_log = on_log,
	};

	os_random(&fresh, sizeof fresh);
	os_random(&conf.seed, sizeof conf.seed);
	os_random(&conf.disk_id, sizeof conf.disk_id);
	/* not 0, and positive where it is shown as a signed number */
	conf.disk_id = conf.disk_id >> 1 | 1;
	uuid_text(&fresh, cluster_id);
	if (arg_set.cluster_id[0])
		memcpy(cluster_id, arg_set.cluster_id, UUID_TEXT + 1);
	return conf;
}

static int open_node(struct daemon *d, const struct settings *s, struct net *net, char *cluster_id, char *why)
{
	const struct zk_conf *z = zk_main_conf(arg_zk);
	struct disk *disk = disk_os_new(d->os_loop, 4);
	struct node_config conf = node_settings(s, cluster_id);

	/* What a ZooKeeper left is neither lost sight of nor taken over unasked. */
	if (!arg_set.import[0])
		conf.no_founding = main_import_wanted(disk, z->data_dir, z->data_log_dir);
	return node_open(disk, net, d->loop, clock_os(), &conf, &d->node, why, WHY);
}

static int import(const struct settings *s, bool only_check, char *why)
{
	static struct loop_os *loop;		/* it lives as long as the process */
	const struct zk_conf *z = zk_main_conf(arg_zk);
	char cluster_id[UUID_TEXT + 1];
	struct node_config conf = node_settings(s, cluster_id);
	struct zk_config front;

	loop = loop_os_new();
	zk_conf_fill(z, &front);
	return main_import(loop, disk_os_new(loop, 4), &conf, arg_set.import,
			   arg_set.import_logs[0] ? arg_set.import_logs : z->data_log_dir, &front.rules,
			   only_check, why, WHY);
}

static int run(const struct settings *s, char *why)
{
	struct daemon d = { .os_loop = loop_os_new() };
	struct net *net = net_os_new(d.os_loop, FRAMES_MAX), *peers = net_os_new(d.os_loop, FRAMES_MAX);
	char cluster_id[UUID_TEXT + 1], text[WHY];
	struct node_stats st;
	int peer_fd = -1;

	d.loop = loop_os_port(d.os_loop);
	/* First: also keeps a second process out. */
	int fd = arg_set.listen[0] ? net_os_listen(arg_set.listen, why, WHY) : 0;
	if (fd < 0)
		return fd;
	if (arg_set.peer_listen[0] && (peer_fd = net_os_listen(arg_set.peer_listen, why, WHY)) < 0)
		return peer_fd;
	int err = zk_main_listen(arg_zk, why);
	if (err)
		return err;
	main_tls_use(&arg_tls, net);
	main_tls_use(&arg_tls, peers);
	err = open_node(&d, s, peers, cluster_id, why);
	if (err)
		return err;
	struct serve_config sc = { .cluster_id = cluster_id, .on_log = on_log, .random = os_random,
				   .subjects = arg_tls.tls ? arg_tls.client_subjects : NULL };
	d.serve = serve_new(d.node, net, d.loop, clock_os(), &sc);
	if (arg_set.metrics[0] && http_os_serve(d.os_loop, arg_set.metrics, "/metrics", "text/plain; version=0.0.4",
						on_metrics, &d) < 0) {
		snprintf(why, WHY, "metrics: %.200s cannot be used", arg_set.metrics);
		return E_BAD;
	}
	err = zk_main_serve(arg_zk, d.os_loop, d.node, arg_set.data_dir, (uint32_t)s->node_id, why);
	if (err)
		return err;
	node_stats(d.node, &st);
	snprintf(text, sizeof text, "cluster=%s node=%s listen=%s term=%llu torn_bytes=%llu",
		 cluster_id[0] ? cluster_id : "unknown", arg_set.node_id, arg_set.listen, (unsigned long long)st.term,
		 (unsigned long long)st.torn_bytes);
	log_os("quorum", LOG_OS_INFO, "started", text, NULL);
	if (arg_set.listen[0])
		net_os_accept(d.os_loop, fd, on_accept, &d);
	if (peer_fd >= 0)
		net_os_accept(d.os_loop, peer_fd, on_accept_peer, &d);
	loop_os_signal(d.os_loop, SIGTERM, on_term, &d);
	loop_os_signal(d.os_loop, SIGINT, on_term, &d);
	loop_os_signal(d.os_loop, SIGHUP, on_hup, &d);
	loop_os_signal(d.os_loop, SIGUSR1, on_rotate, &d);
	node_start(d.node);
	if (arg_set.pid_file[0] && proc_write_pid(arg_set.pid_file) != OK) {
		snprintf(why, WHY, "pid-file: %.300s cannot be written", arg_set.pid_file);
		return E_IO;
	}
	proc_notify("READY=1");
	int status = loop_os_run(d.os_loop);
	if (arg_set.pid_file[0])
		unlink(arg_set.pid_file);
	log_os("quorum", LOG_OS_INFO, "stopped", NULL, NULL);
	return status;
}

static bool options(int argc, char **argv, bool files, bool *ret_check, char *why)
{
	for (int i = 1; i < argc; i++) {
		const char *a = argv[i], *v = i + 1 < argc ? argv[i + 1] : NULL;

		if (strcmp(a, "-n") == 0) {
			*ret_check = true;
		} else if (!v) {
			snprintf(why, WHY, "%s: not an option, or its value is missing", a);
			return false;
		} else if (strcmp(a, "-c") == 0) {
			if (files && !load_file(v, why))
				return false;
			i++;
		} else if (strncmp(a, "--", 2) == 0) {
			if (!files && !set(a + 2, strlen(a + 2), v, why))
				return false;
			i++;
		} else {
			snprintf(why, WHY, "%s: not an option", a);
			return false;
		}
	}
	return true;
}

int main(int argc, char **argv)
{
	char why[WHY] = "";
	bool only_check = false;
	static struct settings settings;

	arg_zk = zk_main_new();

	if (argc == 2 && strcmp(argv[1], "--help") == 0)
		return usage();
	if (argc == 2 && strcmp(argv[1], "--version") == 0)
		return puts("moldau-quorum " PACKAGE_VERSION) < 0;
	/* Twice: files first, so that options are stronger wherever they stand. */
	if (!options(argc, argv, true, &only_check, why) || !options(argc, argv, false, &only_check, why) ||
	    !check(&settings, why)) {
		fprintf(stderr, "moldau-quorum: %s\nSee moldau-quorum --help.\n", why);
		return 2;
	}
	if (only_check && !imports())
		return puts("moldau-quorum: the settings are good") < 0;
	if (arg_set.log_output[0] && log_os_open(arg_set.log_output) != OK) {
		fprintf(stderr, "moldau-quorum: log-output: %s cannot be written\n", arg_set.log_output);
		return 1;
	}
	signal(SIGPIPE, SIG_IGN);
	struct rlimit rl;
	if (getrlimit(RLIMIT_NOFILE, &rl) == 0) {
		rl.rlim_cur = rl.rlim_max;
		setrlimit(RLIMIT_NOFILE, &rl);
	}
	int err = imports() ? import(&settings, only_check, why) : run(&settings, why);
	if (err < 0)
		log_os("quorum", LOG_OS_ERROR, imports() ? "cannot import" : "cannot start", why, NULL);
	return err < 0 ? 1 : err;
}
