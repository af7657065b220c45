/* import_in.h - what import.c (the tree) and import_read.c (the files) share. */
#ifndef COORD_IMPORT_IN_H
#define COORD_IMPORT_IN_H

#include "coord/import.h"
#include "coord/tree.h"

struct coord_import {
	struct coord *c;		/* NULL: no snapshot yet. Not counted, see import_end() */
	int64_t zxid;			/* of the newest transaction in it */
	uint64_t transactions;
	int64_t digest_zxid;		/* of the newest digest; 0: none */
	uint64_t digest;
};

struct import_node {			/* as a snapshot has it */
	struct str path;
	struct bytes value;
	struct coord_acl *acl;		/* a reference is taken over */
	int64_t owner;			/* ephemeralOwner: 0, a session, or the mark of another kind */
	int64_t czxid, mzxid, pzxid, ctime_ms, mtime_ms;
	int32_t version, aversion, creates;
};

struct import_txn {			/* head of a transaction */
	int64_t session, zxid, time_ms;
	int32_t type;
};

/* import.c: effects. E_BAD: there is no such parent, or the node is there twice; E_LIMIT: too long a path. After an
 * error the reference of n->acl is still the caller's. */
int import_put(struct coord_import *im, const struct import_node *n);
void import_session(struct coord_import *im, int64_t id, int32_t timeout_ms);
/* n has path, value, acl and owner. parent_creates: after it; -1: one more than now (logs of ZooKeeper 3.3). */
int import_create(struct coord_import *im, const struct import_txn *t, struct import_node *n, int32_t parent_creates);
void import_delete(struct coord_import *im, struct str path, int64_t zxid);
void import_set(struct coord_import *im, const struct import_txn *t, struct str path, struct bytes value,
		int32_t version);
void import_set_acl(struct coord_import *im, struct str path, struct coord_acl *acl, int32_t aversion);
void import_close(struct coord_import *im, int64_t session, int64_t zxid);

#endif
