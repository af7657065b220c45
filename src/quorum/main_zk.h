/* main_zk.h - moldau-quorum's ZooKeeper front behind the os ports: its files, listeners and admin pages. */
#ifndef QUORUM_MAIN_ZK_H
#define QUORUM_MAIN_ZK_H

#include "quorum/zk_conf.h"

struct loop_os;

struct zk_main;

struct zk_main *zk_main_new(void);
struct zk_conf *zk_main_conf(struct zk_main *m);
/* A zoo.cfg, or a file of Java's -D properties; may be called again for more. OK or an enum err with why. */
int zk_main_read(struct zk_main *m, const char *path, char *why);
/* After all settings: reads the files they name, checks them. data_dir: what the log and the words tell. */
int zk_main_check(struct zk_main *m, char *why);
/* What an ensemble's zoo.cfg says of this node (its number is in dataDir/myid) and of its voters, as the settings
 * node-id and voters take them. Nothing changes when there is no ensemble. */
int zk_main_member(struct zk_main *m, char *node_id, size_t id_cap, char *voters, size_t voters_cap, char *why);
/* Ports are taken (first, so that a busy one stops the start); none when nothing is to be listened on. */
int zk_main_listen(struct zk_main *m, char *why);
/* Serves; node is open and not started yet. */
int zk_main_serve(struct zk_main *m, struct loop_os *loop, struct node *node, const char *data_dir,
		  uint32_t server_id, char *why);
/* HUP: the TLS port's files are read again. */
void zk_main_reload(struct zk_main *m);
void zk_main_drain(struct zk_main *m);
/* NULL: no listener was set. */
const struct zk *zk_main_front(const struct zk_main *m);

#endif
