/* tree.h - what the files of src/coord share: the state, links between nodes, the undo list. */
#ifndef COORD_TREE_H
#define COORD_TREE_H

#include "base/mem.h"
#include "coord/coord.h"

#define SESSION_BUCKETS 1024u

#define ACL_BUCKETS 256u
#define BUILT_IN 3			/* /zookeeper, /zookeeper/config, /zookeeper/quota */

enum undo_kind { UNDO_CREATE = 1, UNDO_SET, UNDO_DELETE, UNDO_ACL };

struct undo {
	enum undo_kind kind;
	struct znode *node;
	uint8_t *value;			/* SET: the one before */
	int32_t value_len, version;
	int64_t mzxid, mtime_ms;
	int64_t pzxid;			/* CREATE, DELETE: of the parent */
	struct coord_acl *acl;		/* ACL: the one before, and its version in `version` */
};

struct coord {
	int64_t zxid, time_ms;
	struct znode *root;
	struct znode **bucket;
	uint32_t bucket_bits;
	uint64_t nodes;
	uint64_t bytes;			/* paths and values of all nodes */
	uint64_t client_nodes, client_bytes, ephemerals;
	uint64_t batches;		/* of clients, since the start of this process */
	struct znode *timed_first, *timed_last;
	struct coord_acl *acls[ACL_BUCKETS];
	struct coord_session *sessions[SESSION_BUCKETS];
	struct coord_session *first, *last;
	uint32_t nsessions;
	struct undo *undo;
	uint32_t nundo, undo_cap;
	struct coord_op_result *ops;
	uint32_t nops, ops_cap;
	struct coord_change *changes;
	uint32_t nchanges, changes_cap;
	struct znode *trash;		/* deleted, kept for the result; linked by chain */
	struct coord_acl **acl_trash;	/* replaced lists, kept for the result */
	uint32_t nacl_trash, acl_trash_cap;
	struct arena arena;		/* paths of the result */
};

/* ops.c: steps that can be undone until commit(), each with its change. */
struct str ops_keep(struct coord *c, struct str a, int32_t more);
void *ops_grow(void *v, uint32_t *cap, uint32_t n, size_t size);
/* path is kept; cut: where the name begins. owner: NULL, or whose ephemeral it is. acl: a reference is taken over. */
struct znode *ops_create(struct coord *c, struct znode *parent, struct str path, int32_t cut, struct bytes value,
			 enum znode_kind kind, struct coord_session *owner, int64_t ttl_ms, struct coord_acl *acl,
			 bool system);
void ops_set(struct coord *c, struct znode *n, struct str path, struct bytes value);
void ops_set_acl(struct coord *c, struct znode *n, struct str path, struct coord_acl *acl);
void ops_erase(struct coord *c, struct znode *n, struct str path);
/* The value alone, without a change that anybody hears of. */
void ops_set_quietly(struct coord *c, struct znode *n, struct bytes value);
void ops_undo(struct coord *c);
void ops_commit(struct coord *c);
/* What the last entry left for its reader goes. */
void ops_fresh(struct coord *c);
/* The ten digits that a sequence node of this parent gets; they wrap as a signed 32-bit number's do. */
int32_t ops_sequence(const struct znode *parent, char digits[12]);

/* acl.c */
struct coord_acl *acl_get(struct coord *c, struct bytes list);	/* a reference; NULL: world:anyone, everything */
void acl_put(struct coord *c, struct coord_acl *a);
bool acl_list_ok(struct bytes list);
/* The permissions that these ids have; not all of them when some of `enough` are among those found. */
uint32_t acl_grants(const struct coord_acl *a, uint32_t enough, struct bytes ids);

void entry_head(struct buf *b, uint32_t fields, enum coord_kind kind, int64_t session, int64_t time_ms);

/* client.c */
int client_check(struct mp_reader *m);
void client_apply(struct coord *c, int64_t session, struct mp_reader *m, struct coord_result *ret);

/* quota.c: what /zookeeper/quota says. */
bool quota_refuses(struct coord *c, struct str path, int64_t bytes, int64_t nodes);
void quota_count(struct coord *c, struct str path, int64_t bytes, int64_t nodes);
/* A stat node was made: it is filled by counting. */
void quota_made(struct coord *c, struct znode *n, struct str path);

void quota_recount(struct coord *c);	/* all stat nodes that have a limit beside them */

/* client.c: a name at the root that belongs to the system; *ret_secret: no client reads what is under it. */
bool coord_reserved(struct str name, bool *ret_secret);

void tree_builtin(struct coord *c);	/* those of the three nodes of every tree that are not there; not counted */
void tree_drop_all(struct coord *c);	/* all nodes but the root */
void tree_timed(struct coord *c, struct znode *n);	/* at the end of the list of containers and TTL nodes */
/* What the tree holds in all, more or less a node. */
void tree_count(struct coord *c, const struct znode *n, uint32_t path_len);
void tree_uncount(struct coord *c, const struct znode *n, uint32_t path_len);

/* A node that is linked under parent and counted; value is copied. */
struct znode *tree_make(struct coord *c, struct znode *parent, struct str name, struct bytes value);
void tree_link(struct coord *c, struct znode *n);	/* again, where it was (undo of a delete) */
void tree_unlink(struct coord *c, struct znode *n);	/* its own links are kept for tree_link() */
void tree_own(struct coord *c, struct coord_session *s, struct znode *n);
void tree_free_node(struct znode *n);
struct coord_session *session_add(struct coord *c, int64_t id);
void session_drop(struct coord *c, struct coord_session *s);

#endif
