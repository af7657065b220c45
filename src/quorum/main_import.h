/* main_import.h - moldau-quorum --import-zookeeper: a ZooKeeper's data becomes the first snapshot of a new quorum. */
#ifndef QUORUM_MAIN_IMPORT_H
#define QUORUM_MAIN_IMPORT_H

#include "coord/coord.h"
#include "quorum/node.h"

struct loop_os;

/* conf: of the node that begins; its folder has to be empty. OK: said on stdout what came of it. Otherwise an enum err
 * with words why, and nothing that a node would start on. only_check: nothing is written. */
int main_import(struct loop_os *loop, struct disk *d, const struct node_config *conf, const char *dir,
		const char *log_dir, const struct coord_rules *rules, bool only_check, char *why, size_t cap);
/* Words why a node with an empty folder may not begin a new quorum beside what a ZooKeeper left in dir or log_dir;
 * NULL: it left nothing. */
const char *main_import_wanted(struct disk *d, const char *dir, const char *log_dir);

#endif
