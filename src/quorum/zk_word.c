/* zk_word.c - four-letter words: fields and their order as ZooKeeper 3.9.5 answers them. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/be.h"
#include "quorum/zk_int.h"

#define TEXT_MAX (16u << 20)
#define NOT_SERVING "This ZooKeeper instance is not currently serving requests\n"

void zk_print(struct buf *b, const char *format, ...)
{
	char line[COORD_PATH_MAX + 512];
	va_list ap;

	va_start(ap, format);
	int n = vsnprintf(line, sizeof line, format, ap);
	va_end(ap);
	if (n > 0)
		buf_put(b, line, (size_t)n < sizeof line ? (size_t)n : sizeof line - 1);
}

const char *zk_server_state(const struct zk *z)
{
	struct node_role r;

	node_role(z->node, &r);
	if (!node_ready(z->node))
		return z->conf.read_only ? "read-only" : NULL;
	if (r.nmembers == 1)
		return "standalone";
	return r.state == NODE_LEADER ? "leader" : r.state == NODE_LEARNER ? "observer" : "follower";
}

uint64_t zk_znodes(const struct zk *z)
{
	return coord_nodes(node_coord(z->node)) + 4;
}

static const char *op_name(int32_t op)
{
	static const struct { int32_t op; const char *name; } names[] = {
		{ ZK_OP_PING, "PING" }, { ZK_OP_CREATE, "CREA" }, { ZK_OP_CREATE2, "CREA" },
			{ ZK_OP_CREATE_TTL, "CREA" },
		{ ZK_OP_CREATE_CONTAINER, "CREA" }, { ZK_OP_DELETE, "DELE" }, { ZK_OP_EXISTS, "EXIS" },
		{ ZK_OP_GET_DATA, "GETD" }, { ZK_OP_SET_DATA, "SETD" }, { ZK_OP_GET_ACL, "GETA" },
		{ ZK_OP_SET_ACL, "SETA" }, { ZK_OP_GET_CHILDREN, "GETC" }, { ZK_OP_GET_CHILDREN2, "GETC" },
		{ ZK_OP_SYNC, "SYNC" }, { ZK_OP_MULTI, "MULT" }, { ZK_OP_MULTI_READ, "MLTR" },
		{ ZK_OP_RECONFIG, "RECO" }, { ZK_OP_CHECK_WATCHES, "CHKW" }, { ZK_OP_REMOVE_WATCHES, "REMW" },
		{ ZK_OP_SET_WATCHES, "SETW" }, { ZK_OP_SET_WATCHES2, "STW2" }, { ZK_OP_GET_EPHEMERALS, "GETE" },
		{ ZK_OP_GET_ALL_CHILDREN, "GETACN" }, { ZK_OP_ADD_WATCH, "ADDW" }, { ZK_OP_WHO_AM_I, "HOMI" },
		{ ZK_OP_CLOSE_SESSION, "CLOS" },
	};

	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
		if (names[i].op == op)
			return names[i].name;
	return "NA";
}

/* ---- connections ---- */

static void put_conn(struct buf *b, const struct zk_conn *c, bool details)
{
	struct zk *z = c->z;
	const char *peer = c->calls->peer(c->net);
	int64_t opened = z->clock->wall_ms(z->clock) - (int64_t)((z->clock->mono_us(z->clock) - c->born_us) / 1000);

	zk_print(b, strchr(peer, ':') ? " /[%s]:%u[%d]" : " /%s:%u[%d]", peer, c->calls->peer_port(c->net),
		 c->muted == 0 && c->mode == ZK_OPEN);
	zk_print(b, "(queued=%u,recved=%" PRIu64 ",sent=%" PRIu64, c->nqueue, c->received, c->sent);
	if (details && c->session != 0) {
		const struct coord_session *x = coord_session(node_coord(z->node), c->session);

		zk_print(b, ",sid=0x%" PRIx64 ",lop=%s,est=%" PRId64 ",to=%u", (uint64_t)c->session,
			 op_name(c->last_op),
			 opened, x ? x->timeout_ms : 0);
		zk_print(b, ",lcxid=0x%" PRIx32 ",lzxid=0x%" PRIx64 ",lresp=%" PRIu64, (uint32_t)c->last_xid,
			 (uint64_t)c->last_zxid, c->last_us / 1000);
		zk_print(b, ",llat=%" PRIu64 ",minlat=%" PRIu64 ",avglat=%" PRIu64 ",maxlat=%" PRIu64, c->lat_last,
			 c->lat_min,
			 c->lat_n > 0 ? c->lat_sum / c->lat_n : 0, c->lat_max);
	}
	zk_print(b, ")\n");
}

static void put_conns(const struct zk *z, struct buf *b, bool details)
{
	for (const struct zk_conn *c = z->conns; c; c = c->next)
		if (!c->closed)
			put_conn(b, c, details);
	zk_print(b, "\n");
}

void zk_reset_conns(struct zk *z)
{
	for (struct zk_conn *c = z->conns; c; c = c->next)
		c->received = c->sent = c->lat_min = c->lat_max = c->lat_sum = c->lat_n = c->lat_last = 0;
}

void zk_reset_stats(struct zk *z)
{
	struct zk_stats keep = z->st;

	z->st = (struct zk_stats){ .connections = keep.connections, .outstanding = keep.outstanding,
				   .watches = keep.watches };
	memset(&z->reads, 0, sizeof z->reads);
	memset(&z->updates, 0, sizeof z->updates);
}

/* ---- the server ---- */

static void put_server(const struct zk *z, struct buf *b, bool clients)
{
	const char *state = zk_server_state(z);
	const struct zk_stats *st = &z->st;
	double avg = st->latency_n > 0 ? (double)st->latency_us_sum / (double)st->latency_n / 1000 : 0;

	zk_print(b, "Zookeeper version: %s, built on 1970-01-01 00:00 UTC\n", ZK_VERSION);
	if (clients) {
		zk_print(b, "Clients:\n");
		put_conns(z, b, false);
	}
	zk_print(b, "Latency min/avg/max: %" PRIu64 "/%.4g/%" PRIu64 "\n", st->latency_us_min / 1000, avg,
		 st->latency_us_max / 1000);
	zk_print(b, "Received: %" PRIu64 "\nSent: %" PRIu64 "\nConnections: %u\nOutstanding: %u\n", st->received,
		 st->sent,
		 st->connections, st->outstanding);
	zk_print(b, "Zxid: 0x%" PRIx64 "\nMode: %s\nNode count: %" PRIu64 "\n", (uint64_t)zk_zxid(z), state,
		 zk_znodes(z));
	if (strcmp(state, "leader") == 0)
		zk_print(b, "Proposal sizes last/min/max: -1/-1/-1\n");
}

static void put_conf(const struct zk *z, struct buf *b)
{
	const struct zk_config *c = &z->conf;
	char bytes[32] = "0";

	c->system_info(c->user, "data.bytes", bytes, sizeof bytes);
	zk_print(b, "clientPort=%d\nsecureClientPort=%d\n", c->port > 0 ? c->port : -1, c->secure_port > 0 ?
		 c->secure_port : -1);
	zk_print(b, "dataDir=%s\ndataDirSize=%s\ndataLogDir=%s\ndataLogSize=%s\n", c->data_dir, bytes, c->data_dir,
		 bytes);
	zk_print(b, "tickTime=%u\nmaxClientCnxns=%u\nminSessionTimeout=%u\nmaxSessionTimeout=%u\n", c->tick_ms,
		 c->conns_per_host,
		 c->session_ms_min, c->session_ms_max);
	zk_print(b, "clientPortListenBacklog=-1\nserverId=%u\n", c->server_id);
}

static void put_envi(const struct zk *z, struct buf *b)
{
	static const char *const names[] = { "host.name", "java.version", "java.vendor", "java.home", "java.class.path",
		"java.io.tmpdir", "java.compiler", "os.name", "os.arch", "os.version", "user.name", "user.home",
		"user.dir", "os.memory.free", "os.memory.max", "os.memory.total" };
	char value[512];

	zk_print(b, "Environment:\nzookeeper.version=%s, built on 1970-01-01 00:00 UTC\n", ZK_VERSION);
	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
		memcpy(value, "<NA>", 5);	/* there is no Java here */
		z->conf.system_info(z->conf.user, names[i], value, sizeof value);
		zk_print(b, "%s=%s\n", names[i], value);
	}
}

static void put_dirs(const struct zk *z, struct buf *b)
{
	char bytes[32] = "0";

	z->conf.system_info(z->conf.user, "data.bytes", bytes, sizeof bytes);
	zk_print(b, "datadir_size: %s\nlogdir_size: %s\n", bytes, bytes);
}

/* "Sun Nov 22 09:55:38 UTC 2026" */
static void put_time(struct buf *b, int64_t ms)
{
	static const char week[] = "ThuFriSatSunMonTueWed", year_part[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
	int64_t s = ms / 1000, days = s / 86400, y = 1970;
	static const int month_days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
	int month = 0, weekday = (int)(days % 7);

	for (;; y++) {
		bool leap = (y % 4 == 0 && y % 100 != 0) || y % 400 == 0;

		if (days < 365 + leap) {
			for (; days >= month_days[month] + (month == 1 && leap); month++)
				days -= month_days[month] + (month == 1 && leap);
			break;
		}
		days -= 365 + leap;
	}
	zk_print(b, "1 expire at %.3s %.3s %02d %02d:%02d:%02d UTC %d:\n", week + 3 * weekday, year_part + 3 * month,
		 (int)days + 1, (int)(s % 86400 / 3600), (int)(s % 3600 / 60), (int)(s % 60), (int)y);
}

/* Each session is a set of its own: deadlines are not rounded to ticks here. */
static void put_dump(const struct zk *z, struct buf *b)
{
	struct coord *t = node_coord(z->node);
	uint32_t n = 0, with = 0;
	uint64_t now = z->clock->mono_us(z->clock);
	int64_t wall = z->clock->wall_ms(z->clock);
	char path[COORD_PATH_MAX + 1];

	for (struct coord_session *x = coord_session_next(t, NULL); x; x = coord_session_next(t, x)) {
		n += x->client;
		with += x->client && x->eph_first;
	}
	zk_print(b, "SessionTracker dump:\nSession Sets (%u)/(%u):\n", n, n);
	for (struct coord_session *x = coord_session_next(t, NULL); x; x = coord_session_next(t, x))
		if (x->client) {
			put_time(b, wall + ((int64_t)x->soft.deadline_us - (int64_t)now) / 1000);
			zk_print(b, "\t0x%" PRIx64 "\n", (uint64_t)x->id);
		}
	zk_print(b, "ephemeral nodes dump:\nSessions with Ephemerals (%u):\n", with);
	for (struct coord_session *x = coord_session_next(t, NULL); x; x = coord_session_next(t, x)) {
		if (!x->client || !x->eph_first)
			continue;
		zk_print(b, "0x%" PRIx64 ":\n", (uint64_t)x->id);
		for (const struct znode *e = x->eph_first; e; e = e->eph_next)
			zk_print(b, "\t%s\n", coord_path(e, path).p);
	}
	zk_print(b, "Connections dump:\nConnections Sets (%u)/(%u):\n", z->st.connections, z->st.connections);
	for (const struct zk_conn *c = z->conns; c; c = c->next)
		if (!c->closed) {
			put_time(b, wall + 10000);
			zk_print(b, "\tip: /%s:%u sessionId: 0x%" PRIx64 "\n", c->calls->peer(c->net),
				 c->calls->peer_port(c->net), (uint64_t)c->session);
		}
}

static void mntr_line(void *ctx, const char *name, const char *value)
{
	zk_print(ctx, "zk_%s\t%s\n", name, value);
}

static void by_path(void *ctx, struct str path, const struct zk_conn *c, bool first)
{
	if (first)
		zk_print(ctx, "%.*s\n", path.len, path.p);
	zk_print(ctx, "\t0x%" PRIx64 "\n", (uint64_t)c->session);
}

static void path_line(void *ctx, struct str path)
{
	zk_print(ctx, "\t%.*s\n", path.len, path.p);
}

static void put_watches(const struct zk *z, struct buf *b, bool paths)
{
	if (paths)
		zk_watch_each(z, by_path, b);
	for (const struct zk_conn *c = paths ? NULL : z->conns; c; c = c->next)
		if (c->nwatches > 0) {
			zk_print(b, "0x%" PRIx64 "\n", (uint64_t)c->session);
			zk_watch_of(c, path_line, b);
		}
	zk_print(b, "\n");
}

static void put_summary(const struct zk *z, struct buf *b)
{
	uint32_t conns, paths = zk_watch_paths(z, &conns);

	zk_print(b, "%u connections watching %u paths\nTotal watches:%u\n", conns, paths, z->st.watches);
}

/* ---- which word ---- */

enum word {
	CONF, CONS, CRST, DIRS, DUMP, ENVI, GTMK, HASH, ISRO, MNTR, RUOK, SRST, SRVR, STAT, STMK, WCHC, WCHP, WCHS,
		WORDS,
};

static const char words[WORDS][5] = { "conf", "cons", "crst", "dirs", "dump", "envi", "gtmk", "hash", "isro",
				     "mntr", "ruok",
	"srst", "srvr", "stat", "stmk", "wchc", "wchp", "wchs" };

static bool allowed(const struct zk *z, const char *word)
{
	const char *p = z->conf.words;

	while (p && *p) {
		size_t n = strcspn(p, ", \t");

		if ((n == 1 && *p == '*') || (n == 4 && memcmp(p, word, 4) == 0))
			return true;
		p += n;
		p += strspn(p, ", \t");
	}
	return false;
}

static bool needs_quorum(enum word w)
{
	return w != ENVI && w != RUOK && w != ISRO && w != GTMK && w != STMK && w != HASH;
}

static void run(struct zk *z, enum word w, struct buf *b)
{
	if (needs_quorum(w) && !zk_server_state(z)) {
		zk_print(b, NOT_SERVING);
		return;
	}
	switch (w) {
	case CONF:
		put_conf(z, b);
		break;
	case CONS:
		put_conns(z, b, true);
		break;
	case CRST:
		zk_reset_conns(z);
		zk_print(b, "Connection stats reset.\n");
		break;
	case DIRS:
		put_dirs(z, b);
		break;
	case DUMP:
		put_dump(z, b);
		break;
	case ENVI:
		put_envi(z, b);
		break;
	case GTMK:
		zk_print(b, "306");
		break;
	case STMK:
		zk_print(b, "stmk has no meaning here: there is no trace mask\n");
		break;
	case ISRO:
		zk_print(b, node_ready(z->node) ? "rw" : z->conf.read_only ? "ro" : "null");
		break;
	case MNTR:
		zk_mntr(z, mntr_line, b);
		break;
	case RUOK:
		zk_print(b, "imok");
		break;
	case SRST:
		zk_reset_stats(z);
		zk_print(b, "Server stats reset.\n");
		break;
	case SRVR: case STAT:
		put_server(z, b, w == STAT);
		break;
	case WCHC: case WCHP:
		put_watches(z, b, w == WCHP);
		break;
	case WCHS:
		put_summary(z, b);
		break;
	case HASH: case WORDS:			/* digests of the tree are ZooKeeper's own: none are kept */
		break;
	}
}

static void release_mem(void *p)
{
	mem_free(p);
}

bool zk_word(struct zk_conn *c, uint32_t word)
{
	struct zk *z = c->z;
	char text[5] = { 0 };
	struct buf b;
	int w = 0;

	be32_put(text, word);
	while (w < WORDS && memcmp(words[w], text, 4) != 0)
		w++;
	if (w == WORDS)
		return false;
	c->received++;
	z->st.received++;
	z->st.bytes_in += 4;
	buf_init(&b, TEXT_MAX);
	if (allowed(z, text))
		run(z, (enum word)w, &b);
	else
		zk_print(&b, "%s is not executed because it is not in the whitelist.\n", text);
	if (b.len > 0 && !b.bad) {
		size_t len;
		uint8_t *p = buf_steal(&b, &len);
		struct net_piece piece = { .kind = NET_MEM, .mem = p, .len = len, .release = release_mem,
					  .release_ctx = p };

		c->sent++;
		z->st.sent++;
		z->st.bytes_out += len;
		c->calls->send(c->net, &piece, 1);
	}
	buf_release(&b);
	zk_close(c);
	return true;
}
