/* tree.h - what the files of src/coord share: the state, links between nodes, the undo list. */
#ifndef COORD_TREE_H
#define COORD_TREE_H

#include "base/mem.h"
#include "coord/coord.h"

#define SESSION_BUCKETS 1024u

enum undo_kind { UNDO_CREATE = 1, UNDO_SET, UNDO_DELETE };

struct undo {
	enum undo_kind kind;
	struct znode *node;
	uint8_t *value;			/* SET: the one before */
	int32_t value_len, version;
	int64_t mzxid, mtime_ms;
	int64_t pzxid;			/* CREATE, DELETE: of the parent */
};

struct coord {
	int64_t zxid, time_ms;
	struct znode *root;
	struct znode **bucket;
	uint32_t bucket_bits;
	uint64_t nodes;
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
	struct arena arena;		/* paths of the result */
};

/* A node that is linked under parent and counted; value is copied. */
struct znode *tree_make(struct coord *c, struct znode *parent, struct str name, struct bytes value);
void tree_link(struct coord *c, struct znode *n);	/* again, where it was (undo of a delete) */
void tree_unlink(struct coord *c, struct znode *n);	/* its own links are kept for tree_link() */
void tree_own(struct coord_session *s, struct znode *n);
void tree_free_node(struct znode *n);
struct coord_session *session_add(struct coord *c, int64_t id);
void session_drop(struct coord *c, struct coord_session *s);

#endif
