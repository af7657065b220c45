/*
 * zk_conf.h - the settings of the ZooKeeper front: by their own names ("zookeeper-listen"), or from a ZooKeeper
 * configuration (zoo.cfg). Pure: text in, struct out.
 */
#ifndef QUORUM_ZK_CONF_H
#define QUORUM_ZK_CONF_H

#include <stdbool.h>
#include <stdint.h>
#include <stddef.h>

#include "quorum/zk.h"

#define ZK_CONF_PORT 2181
#define ZK_CONF_TEXT 512
#define ZK_CONF_WHY 512
#define ZK_CONF_USERS 8192		/* bytes of NAME=PASSWORD lines */
struct zk_conf {
	char listen[ZK_CONF_TEXT], secure[ZK_CONF_TEXT], admin[ZK_CONF_TEXT];	/* HOST:PORT; empty: none */
	char cert[ZK_CONF_TEXT], key[ZK_CONF_TEXT], ca[ZK_CONF_TEXT];	/* PEM files of the TLS port */
	char client_auth[16];		/* none, want, need */
	char words[ZK_CONF_TEXT], super_digest[ZK_CONF_TEXT], super_sasl[ZK_CONF_TEXT];
	char users_file[ZK_CONF_TEXT];	/* to be read by the caller with zk_conf_users() */
	char users[ZK_CONF_USERS];
	char data_dir[ZK_CONF_TEXT], data_log_dir[ZK_CONF_TEXT];	/* of zoo.cfg */
	struct zk_conf_server servers[ZK_CONF_SERVERS];	/* the members of an ensemble, by rising id */
	uint32_t nservers;
	bool from_zoo;			/* a ZooKeeper of its own: no names are reserved for brokers */
	uint64_t tick_ms, session_ms_min, session_ms_max, frame_max, conns_per_host, outstanding_max, reap_ms;
	uint64_t nodes_max, bytes_max;
	bool extended_types, enforce_quota, skip_acl, reconfig, sasl_required, read_only;
};

void zk_conf_init(struct zk_conf *c);
/* One setting by name (n bytes, dots or dashes). 1: taken; 0: no such name here; E_BAD: the value, why says so. */
int zk_conf_set(struct zk_conf *c, const char *name, size_t n, const char *value, char *why);
/* One line NAME=VALUE of a zoo.cfg or of a file of Java properties. OK, or E_BAD with words why; a name without a
 * meaning here is refused by name. */
int zk_conf_zoo(struct zk_conf *c, const char *name, const char *value, char *why);
/* One server of an ensemble: the text behind "server.ID=". E_BAD: it makes no sense. */
int zk_conf_server(uint32_t id, const char *spec, struct zk_conf_server *ret);
/* NAME=PASSWORD lines, or a JAAS file with a section Server { ... user_NAME="PASSWORD" ... }. */
int zk_conf_users(struct zk_conf *c, const char *text, size_t len, char *why);
/* After the last one: defaults that depend on others, rules between them. */
int zk_conf_check(struct zk_conf *c, char *why);
/* What zk_new() takes; strings are views of c. */
void zk_conf_fill(const struct zk_conf *c, struct zk_config *ret);
/* Calls on_row for each setting, for --help. */
void zk_conf_help(void (*on_row)(void *ctx, const char *name, const char *help), void *ctx);

#endif
