/* zk_conf.c - see zk_conf.h. */
#include "quorum/zk_conf.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum type { TEXT, NUMBER, FLAG, ADDRESS };

static const struct row {
	const char *name, *zoo, *help;	/* zoo: the name in zoo.cfg; NULL: none */
	enum type type;
	size_t at, cap;
} rows[] = {
#define TEXT_ROW(name, zoo, m, help) \
	{ name, zoo, help, TEXT, offsetof(struct zk_conf, m), sizeof(((struct zk_conf *)0)->m) }
#define ADDRESS_ROW(name, m, help) { name, NULL, help, ADDRESS, offsetof(struct zk_conf, m), ZK_CONF_TEXT }
#define NUMBER_ROW(name, zoo, m, help) { name, zoo, help, NUMBER, offsetof(struct zk_conf, m), 0 }
#define FLAG_ROW(name, zoo, m, help) { name, zoo, help, FLAG, offsetof(struct zk_conf, m), 0 }
	ADDRESS_ROW("zookeeper-listen", listen, "HOST[:PORT] for ZooKeeper clients (port 2181)"),
	ADDRESS_ROW("zookeeper-tls-listen", secure, "HOST[:PORT] for ZooKeeper clients over TLS"),
	TEXT_ROW("zookeeper-tls-certificate", NULL, cert, "PEM file of the TLS port's certificate chain"),
	TEXT_ROW("zookeeper-tls-key", NULL, key, "PEM file of its key"),
	TEXT_ROW("zookeeper-tls-ca", NULL, ca, "PEM file of the authorities whose clients are taken"),
	TEXT_ROW("zookeeper-tls-client-auth", "ssl.clientAuth", client_auth, "none, want or need (need)"),
	ADDRESS_ROW("zookeeper-admin", admin, "HOST:PORT of the admin commands over HTTP"),
	NUMBER_ROW("zookeeper-tick-ms", "tickTime", tick_ms, "unit of session timeouts (2000)"),
	NUMBER_ROW("zookeeper-session-ms-min", "minSessionTimeout", session_ms_min,
		   "shortest session timeout (2 ticks)"),
	NUMBER_ROW("zookeeper-session-ms-max", "maxSessionTimeout", session_ms_max,
		   "longest session timeout (20 ticks)"),
	NUMBER_ROW("zookeeper-request-bytes-max", "jute.maxbuffer", frame_max, "longest request (1048575)"),
	NUMBER_ROW("zookeeper-connections-max", "maxClientCnxns", conns_per_host,
		   "connections of one host, 0: any number (60)"),
	NUMBER_ROW("zookeeper-outstanding-max", "globalOutstandingLimit", outstanding_max,
		   "requests at work at once (1000)"),
	NUMBER_ROW("zookeeper-reap-ms", "znode.container.checkIntervalMs", reap_ms,
		   "how often empty containers and TTL nodes are looked for (60000)"),
	NUMBER_ROW("zookeeper-nodes-max", NULL, nodes_max, "nodes of all clients together, 0: any number (1000000)"),
	NUMBER_ROW("zookeeper-bytes-max", NULL, bytes_max, "bytes of their paths and values, 0: any (1073741824)"),
	TEXT_ROW("zookeeper-words", "4lw.commands.whitelist", words,
		 "four-letter words that are answered (srvr, isro)"),
	TEXT_ROW("zookeeper-super-digest", "DigestAuthenticationProvider.superDigest", super_digest,
		 "super:base64(sha1) of who may everything"),
	TEXT_ROW("zookeeper-super-user", "superUser", super_sasl, "SASL user who may everything"),
	TEXT_ROW("zookeeper-users", "java.security.auth.login.config", users_file,
		 "file of SASL users, NAME=PASSWORD a line or JAAS"),
	FLAG_ROW("zookeeper-extended-types", "extendedTypesEnabled", extended_types, "true: TTL nodes can be made"),
	FLAG_ROW("zookeeper-enforce-quota", "enforceQuota", enforce_quota, "true: hard quotas refuse"),
	FLAG_ROW("zookeeper-skip-acl", "skipACL", skip_acl, "true: rights are not looked at"),
	FLAG_ROW("zookeeper-sasl-required", "sessionRequireClientSASLAuth", sasl_required, "true: only SASL users"),
	FLAG_ROW(NULL, "reconfigEnabled", reconfig, NULL),
	FLAG_ROW("zookeeper-read-only", "readonlymode.enabled", read_only,
		 "true: read-only clients are served without a quorum"),
};

#define ROWS (sizeof rows / sizeof rows[0])

/* Names of zoo.cfg that are taken and change nothing: the same is done here in another way, or always. */
static const char *const harmless[] = {
	"initLimit", "syncLimit", "autopurge.snapRetainCount", "autopurge.purgeInterval", "preAllocSize", "snapCount",
	"forceSync", "fsync.warningthresholdms", "standaloneEnabled", "localSessionsEnabled",
	"localSessionsUpgradingEnabled", "quorumListenOnAllIPs", "electionAlg", "leaderServes", "cnxTimeout",
	"authProvider.1", "authProvider.sasl", "authProvider.x509", "requireClientAuthScheme", "serverCnxnFactory",
	"ssl.authProvider", "ssl.hostnameVerification", "ssl.clientHostnameVerification", "clientPortListenBacklog",
	"admin.enableServer", "admin.commandURL", "snapshot.trust.empty",
	"log4j.configuration", "file.encoding", "java.awt.headless", "root.logger", "log.dir", "log.file",
	"jmx.log4j.disable", "peerType", "kerberos.removeHostFromPrincipal", "kerberos.removeRealmFromPrincipal",
	"ssl.keyStore.password", "ssl.trustStore.password", "dynamicConfigFile", "metricsProvider.className",
};

static void *member(struct zk_conf *c, const struct row *r)
{
	return (char *)c + r->at;
}

static bool number(const char *text, uint64_t *ret)
{
	char *end;

	errno = 0;
	*ret = strtoull(text, &end, 10);
	return isdigit((unsigned char)text[0]) && *end == 0 && errno == 0 && *ret <= INT64_MAX;
}

static int take(struct zk_conf *c, const struct row *r, const char *name, const char *value, char *why)
{
	uint64_t v;

	switch (r->type) {
	case NUMBER:
		if (!number(value, &v)) {
			snprintf(why, ZK_CONF_WHY, "%.100s wants a number, not \"%.200s\"", name, value);
			return E_BAD;
		}
		memcpy(member(c, r), &v, sizeof v);
		return 1;
	case FLAG:
		if (strcmp(value, "true") != 0 && strcmp(value, "false") != 0 && strcmp(value, "yes") != 0 &&
		    strcmp(value, "no") != 0) {
			snprintf(why, ZK_CONF_WHY, "%.100s wants true or false, not \"%.200s\"", name, value);
			return E_BAD;
		}
		*(bool *)member(c, r) = value[0] == 't' || value[0] == 'y';
		return 1;
	case TEXT: case ADDRESS:
		break;
	}
	bool port = r->type != ADDRESS || strchr(value, ':');

	if (snprintf(member(c, r), r->cap, port ? "%s" : "%s:2181", value) >= (int)r->cap) {
		snprintf(why, ZK_CONF_WHY, "%.100s: the value is too long", name);
		return E_BAD;
	}
	return 1;
}

int zk_conf_set(struct zk_conf *c, const char *name, size_t n, const char *value, char *why)
{
	for (size_t i = 0; i < ROWS; i++) {
		size_t k = 0;

		const char *want = rows[i].name;

		while (want && k < n && (want[k] == name[k] || (want[k] == '-' && name[k] == '.')))
			k++;
		if (want && k == n && want[k] == 0)
			return take(c, &rows[i], rows[i].name, value, why);
	}
	return 0;
}

/* A host and a port that zoo.cfg gives apart, in any order. */
static int put_port(char *address, const char *value, char *why)
{
	uint64_t v;

	if (!number(value, &v) || v > 65535) {
		snprintf(why, ZK_CONF_WHY, "not a port: \"%.200s\"", value);
		return E_BAD;
	}
	char *colon = strrchr(address, ':');

	if (colon)
		*colon = 0;
	size_t n = strlen(address);

	if (v == 0) {			/* as ZooKeeper: none */
		address[0] = 0;
		return OK;
	}
	snprintf(address + n, ZK_CONF_TEXT - n, ":%u", (unsigned)v);
	return OK;
}

static int put_host(char *address, const char *value, char *why)
{
	char *colon = strrchr(address, ':'), port[16] = "";

	if (colon)
		snprintf(port, sizeof port, "%.14s", colon);
	if (strlen(value) + strlen(port) + 1 > ZK_CONF_TEXT) {
		snprintf(why, ZK_CONF_WHY, "the address is too long");
		return E_BAD;
	}
	snprintf(address, ZK_CONF_TEXT, strchr(value, ':') ? "[%s]%s" : "%s%s", value, port);
	return OK;
}

/* A name with the JVM's prefix means the same. */
static const char *plain(const char *name)
{
	return strncmp(name, "zookeeper.", 10) == 0 ? name + 10 : name;
}

static bool port_number(const char *text, size_t n, uint16_t *ret)
{
	char digits[8] = "";
	uint64_t v;

	if (n == 0 || n >= sizeof digits)
		return false;
	memcpy(digits, text, n);
	if (!number(digits, &v) || v == 0 || v > 65535)
		return false;
	*ret = (uint16_t)v;
	return true;
}

int zk_conf_server(uint32_t id, const char *spec, struct zk_conf_server *ret)
{
	size_t all = strcspn(spec, ";");
	const char *end = spec + all, *p = spec, *host_end;

	*ret = (struct zk_conf_server){ .id = id };
	if (*p == '[') {
		host_end = memchr(p, ']', all);
		if (!host_end)
			return E_BAD;
		p++;
	} else {
		host_end = memchr(p, ':', all);
	}
	if (!host_end || host_end == p || (size_t)(host_end - p) >= sizeof ret->host)
		return E_BAD;
	memcpy(ret->host, p, (size_t)(host_end - p));
	p = host_end + (*host_end == ']');
	uint16_t *ports[2] = { &ret->peer_port, &ret->election_port };

	for (int i = 0; i < 2; i++) {
		if (p >= end || *p++ != ':')
			return E_BAD;
		size_t n = strcspn(p, ":;");

		if (!port_number(p, n, ports[i]))
			return E_BAD;
		p += n;
	}
	if (p < end) {
		size_t n = (size_t)(end - p - 1);

		ret->observer = n == 8 && memcmp(p + 1, "observer", 8) == 0;
		if (!ret->observer && !(n == 11 && memcmp(p + 1, "participant", 11) == 0))
			return E_BAD;
	}
	if (*end == ';') {
		const char *colon = strrchr(end + 1, ':'), *port = colon ? colon + 1 : end + 1;
		uint16_t client_port;

		if (!port_number(port, strlen(port), &client_port) || strlen(end + 1) >= sizeof ret->client)
			return E_BAD;
		memcpy(ret->client, end + 1, strlen(end + 1) + 1);
	}
	return OK;
}

static int add_server(struct zk_conf *c, const char *id_text, const char *spec, char *why)
{
	struct zk_conf_server s;
	uint64_t id;
	uint32_t at = 0;

	if (!number(id_text, &id) || id > INT32_MAX || zk_conf_server((uint32_t)id, spec, &s) != OK) {
		snprintf(why, ZK_CONF_WHY, "server.%.20s wants HOST:PORT:PORT[:ROLE][;PORT], not \"%.200s\"", id_text,
			 spec);
		return E_BAD;
	}
	while (at < c->nservers && c->servers[at].id < s.id)
		at++;
	if (c->nservers == ZK_CONF_SERVERS || (at < c->nservers && c->servers[at].id == s.id)) {
		snprintf(why, ZK_CONF_WHY, "server.%.20s: it is there twice, or there are more than %d", id_text,
			 ZK_CONF_SERVERS);
		return E_BAD;
	}
	memmove(&c->servers[at + 1], &c->servers[at], (c->nservers - at) * sizeof s);
	c->servers[at] = s;
	c->nservers++;
	return OK;
}

static int zoo_ports(struct zk_conf *c, const char *name, const char *value, char *why)
{
	if (strcmp(name, "clientPort") == 0)
		return put_port(c->listen, value, why);
	if (strcmp(name, "clientPortAddress") == 0)
		return put_host(c->listen, value, why);
	if (strcmp(name, "secureClientPort") == 0)
		return put_port(c->secure, value, why);
	if (strcmp(name, "secureClientPortAddress") == 0)
		return put_host(c->secure, value, why);
	if (strcmp(name, "admin.serverPort") == 0)
		return put_port(c->admin, value, why);
	if (strcmp(name, "admin.serverAddress") == 0)
		return put_host(c->admin, value, why);
	return 1;
}

int zk_conf_zoo(struct zk_conf *c, const char *name, const char *value, char *why)
{
	name = plain(name);
	c->from_zoo = true;
	int err = zoo_ports(c, name, value, why);

	if (err <= 0)
		return err;
	if (strncmp(name, "server.", 7) == 0)
		return add_server(c, name + 7, value, why);
	if (strcmp(name, "dataDir") == 0 || strcmp(name, "dataLogDir") == 0) {
		if (strlen(value) >= sizeof c->data_dir) {
			snprintf(why, ZK_CONF_WHY, "%s: the value is too long", name);
			return E_BAD;
		}
		snprintf(strcmp(name, "dataDir") == 0 ? c->data_dir : c->data_log_dir, sizeof c->data_dir, "%s", value);
		return OK;
	}
	if (strcmp(name, "ssl.keyStore.location") == 0 || strcmp(name, "ssl.trustStore.location") == 0) {
		bool trust = name[4] == 't';
		size_t n = strlen(value);

		if (n < 4 || strcmp(value + n - 4, ".pem") != 0) {
			snprintf(why, ZK_CONF_WHY, "%s: only PEM files can be read here, not \"%.200s\"", name, value);
			return E_BAD;
		}
		snprintf(trust ? c->ca : c->cert, ZK_CONF_TEXT, "%s", value);
		if (!trust)
			snprintf(c->key, sizeof c->key, "%s", value);
		return OK;
	}
	for (size_t i = 0; i < ROWS; i++)
		if (rows[i].zoo && strcmp(rows[i].zoo, name) == 0)
			return take(c, &rows[i], name, value, why) < 0 ? E_BAD : OK;
	for (size_t i = 0; i < sizeof harmless / sizeof harmless[0]; i++)
		if (strcmp(harmless[i], name) == 0)
			return OK;
	snprintf(why, ZK_CONF_WHY, "%.200s has no meaning here: take the line out, or see moldau-quorum(8)", name);
	return E_BAD;
}

static int add_user(struct zk_conf *c, const char *name, size_t n, const char *password, size_t m, char *why)
{
	size_t at = strlen(c->users);

	if (at + n + m + 3 > sizeof c->users) {
		snprintf(why, ZK_CONF_WHY, "too many SASL users");
		return E_LIMIT;
	}
	memcpy(c->users + at, name, n);
	c->users[at + n] = '=';
	memcpy(c->users + at + n + 1, password, m);
	memcpy(c->users + at + n + 1 + m, "\n", 2);
	return OK;
}

/* The entries user_NAME="PASSWORD" of JAAS's section Server. */
static int jaas(struct zk_conf *c, const char *text, char *why)
{
	const char *p = strstr(text, "Server"), *end = p ? strchr(p, '}') : NULL;
	int err = OK;

	for (p = p ? strstr(p, "user_") : NULL; p && end && p < end && err == OK; p = strstr(p, "user_")) {
		const char *name = p + 5, *eq = strchr(name, '='), *quote = eq ? strchr(eq, '"') : NULL;
		const char *close = quote ? strchr(quote + 1, '"') : NULL;

		if (!close || close > end)
			break;
		err = add_user(c, name, (size_t)(eq - name), quote + 1, (size_t)(close - quote - 1), why);
		p = close;
	}
	return err;
}

int zk_conf_users(struct zk_conf *c, const char *text, size_t len, char *why)
{
	int err = OK;

	(void)len;
	if (strstr(text, "Server {") || strstr(text, "Server\n{") || strstr(text, "Server{"))
		return jaas(c, text, why);
	for (const char *p = text; *p && err == OK;) {
		const char *end = p + strcspn(p, "\n"), *eq = memchr(p, '=', (size_t)(end - p));

		if (*p != '#' && end > p && !eq) {
			snprintf(why, ZK_CONF_WHY, "a line of the SASL users is not NAME=PASSWORD");
			return E_BAD;
		}
		if (*p != '#' && eq)
			err = add_user(c, p, (size_t)(eq - p), eq + 1, (size_t)(end - eq - 1), why);
		p = *end ? end + 1 : end;
	}
	return err;
}

void zk_conf_init(struct zk_conf *c)
{
	*c = (struct zk_conf){
		.tick_ms = 2000, .frame_max = 0xfffff, .conns_per_host = 60, .outstanding_max = 1000, .reap_ms = 60000,
		.nodes_max = 1000000, .bytes_max = 1u << 30, .client_auth = "need", .words = "srvr, isro",
	};
}

int zk_conf_check(struct zk_conf *c, char *why)
{
	if (c->session_ms_min == 0)
		c->session_ms_min = 2 * c->tick_ms;
	if (c->session_ms_max == 0)
		c->session_ms_max = 20 * c->tick_ms;
	if (c->tick_ms == 0 || c->tick_ms > 3600000)
		snprintf(why, ZK_CONF_WHY, "the tick must be between 1 ms and an hour");
	else if (c->session_ms_min > c->session_ms_max || c->session_ms_max > INT32_MAX)
		snprintf(why, ZK_CONF_WHY,
			 "the shortest session timeout is above the longest, or that is above 2147483647 ms");
	else if (c->frame_max < 1024 || c->frame_max > 16u << 20)
		snprintf(why, ZK_CONF_WHY, "requests of %llu bytes: want 1024 to 16777216",
			 (unsigned long long)c->frame_max);
	else if (c->secure[0] && (!c->cert[0] || !c->key[0]))
		snprintf(why, ZK_CONF_WHY, "the TLS port needs zookeeper-tls-certificate and zookeeper-tls-key");
	else if (c->secure[0] && strcmp(c->client_auth, "none") != 0 && !c->ca[0])
		snprintf(why, ZK_CONF_WHY, "the TLS port needs zookeeper-tls-ca, or zookeeper-tls-client-auth none");
	else if (strcmp(c->client_auth, "none") != 0 && strcmp(c->client_auth, "want") != 0 &&
		 strcmp(c->client_auth, "need") != 0)
		snprintf(why, ZK_CONF_WHY, "zookeeper-tls-client-auth wants none, want or need");
	else if (c->super_digest[0] && strncmp(c->super_digest, "super:", 6) != 0)
		snprintf(why, ZK_CONF_WHY, "zookeeper-super-digest wants super:BASE64");
	else
		return OK;
	return E_BAD;
}

static uint16_t port_of(const char *address)
{
	const char *colon = strrchr(address, ':');

	return colon ? (uint16_t)strtoul(colon + 1, NULL, 10) : 0;
}

void zk_conf_fill(const struct zk_conf *c, struct zk_config *ret)
{
	unsigned flags = c->from_zoo ? 0 : COORD_RESERVE;

	flags |= (c->enforce_quota ? COORD_ENFORCE_QUOTA : 0u) | (c->skip_acl ? COORD_SKIP_ACL : 0u);
	*ret = (struct zk_config){
		.tick_ms = (uint32_t)c->tick_ms, .session_ms_min = (uint32_t)c->session_ms_min,
		.session_ms_max = (uint32_t)c->session_ms_max, .frame_max = (uint32_t)c->frame_max,
		.conns_per_host = (uint32_t)c->conns_per_host, .outstanding_max = (uint32_t)c->outstanding_max,
		.reap_ms = (uint32_t)c->reap_ms,
		.rules = { .flags = flags, .nodes_max = c->nodes_max, .bytes_max = c->bytes_max },
		.extended_types = c->extended_types, .reconfig = c->reconfig, .sasl_required = c->sasl_required,
		.read_only = c->read_only, .servers = c->servers, .nservers = c->nservers,
		.words = c->words, .super_digest = c->super_digest[0] ? c->super_digest : NULL,
		.super_sasl = c->super_sasl[0] ? c->super_sasl : NULL, .users = c->users[0] ? c->users : NULL,
		.port = port_of(c->listen), .secure_port = port_of(c->secure),
		.x509 = c->secure[0] && strcmp(c->client_auth, "none") != 0,
	};
}

void zk_conf_help(void (*on_row)(void *ctx, const char *name, const char *help), void *ctx)
{
	for (size_t i = 0; i < ROWS; i++)
		if (rows[i].name)
			on_row(ctx, rows[i].name, rows[i].help);
}
