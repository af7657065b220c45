/*
 * zk_import.h - the data folders of a ZooKeeper: which files count, in ZooKeeper's order, and what comes out of them.
 *
 * Over the disk port; reads only. Formats and replay: coord/import.h.
 */
#ifndef QUORUM_ZK_IMPORT_H
#define QUORUM_ZK_IMPORT_H

#include "coord/import.h"
#include "io/disk.h"
#include "wire/batch.h"

#define ZK_IMPORT_WHY 512

struct zk_import {
	/* In. dir: dataDir (with version-2, or that itself), or one snapshot file, which is taken without
	 * logs. log_dir: dataLogDir; "": dir. */
	const char *dir, *log_dir;
	struct coord_rules rules;
	struct batch_port *codec;	/* for snapshot.*.gz and .snappy */
	void (*on_log)(void *user, const char *msg, const char *detail);	/* each file; may be NULL */
	void *user;
	/* Out */
	struct coord *coord;		/* the caller's */
	struct import_stats stats;
	uint32_t logs;			/* files that were read */
};

/* E_NOENT, E_DAMAGED, E_VERSION, E_LIMIT, E_EXIST, E_IO with words in why (ZK_IMPORT_WHY bytes). */
int zk_import(struct disk *d, struct zk_import *im, char *why) MUST_CHECK;
/* A ZooKeeper has left snapshots or logs in dir. */
bool zk_import_there(struct disk *d, const char *dir);

#endif
