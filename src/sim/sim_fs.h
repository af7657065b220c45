/*
 * sim_fs.h - the contents of a simulated disk: names and bytes, in the cache and on the platter.
 * Only src/sim includes it; sim_disk.h is the outside.
 */
#ifndef SIM_SIM_FS_H
#define SIM_SIM_FS_H

#include "sim/sim_disk.h"

#define PATH_MAX_BYTES 800

enum change_kind { CH_WRITE, CH_TRUNCATE };

struct change {				/* of a file's bytes, not synced yet */
	struct change *next;
	enum change_kind kind;
	uint64_t off, len;		/* TRUNCATE: off = the new size */
	uint8_t data[];
};

struct inode {
	struct inode *next;
	int refs;			/* names + handles, in cache and on the platter */
	uint8_t *mem;			/* what processes see */
	uint64_t size, cap;
	uint8_t *dur;			/* what is on the platter */
	uint64_t dur_size, dur_cap;
	struct change *first, *last;
	uint64_t reserved;		/* blocks are held up to here; counts when behind the size */
};

struct name {				/* a folder entry; node NULL: a folder */
	struct name *next;
	char path[PATH_MAX_BYTES];
	uint32_t hash;			/* of path */
	struct inode *node;
	uint64_t dir;			/* 0: a file; else the folder's number, which a rename keeps */
};

enum entry_kind { EN_CREATE, EN_UNLINK, EN_RENAME };

struct entry_change {			/* of names in one folder, not synced yet, in order */
	struct entry_change *next;
	enum entry_kind kind;
	char path[PATH_MAX_BYTES], to[PATH_MAX_BYTES];
	uint64_t in, to_in;		/* numbers of the folders; 0: none above */
	bool sure;			/* synced, in a folder that itself is not: there when that one is */
	struct inode *node;
	uint64_t dir;
};

struct sim_fs {
	struct sim *sim;
	struct sim_fs_faults faults;
	struct sim_fs_counts counts;
	struct inode *inodes;
	struct name *names;		/* what processes see */
	struct name *dur_names;		/* what is on the platter */
	struct entry_change *changes, *changes_last;
	uint64_t dirs;			/* folders made so far */
	uint64_t used;
	void (*hook)(void *ctx);
	void *hook_ctx;
	void (*call_hook)(void *ctx, const char *what);
	void *call_ctx;
	struct sim_fs_mem mem;
};

/* Names, and their changes that the platter does not have yet. */
struct name *fs_lookup(struct name *list, const char *path);
void fs_name_add(struct sim_fs *fs, struct name **list, const char *path, struct inode *node, uint64_t dir);
void fs_name_drop(struct sim_fs *fs, struct name **list, const char *path);
void fs_name_move(struct sim_fs *fs, struct name **list, const char *from, const char *to);
void fs_name_change(struct sim_fs *fs, enum entry_kind kind, const char *path, const char *to,
			struct inode *node, uint64_t dir);
bool fs_in_folder(const char *path, const char *dir);
void fs_entries_settle(struct sim_fs *fs, const char *dir);
void fs_entries_drop(struct sim_fs *fs);
uint64_t fs_blocks(const struct inode *n);
void fs_put_bytes(struct sim_fs *fs, uint8_t **p, uint64_t *cap, uint64_t *size, uint64_t off,
		      const void *data, uint64_t len);
void fs_set_size(struct sim_fs *fs, uint8_t **p, uint64_t *cap, uint64_t *size, uint64_t to);
struct change *fs_change_add(struct sim_fs *fs, struct inode *n, enum change_kind kind, uint64_t off, uint64_t len);
void fs_changes_drop(struct inode *n);
void fs_inode_sync(struct sim_fs *fs, struct inode *n);
void fs_inode_unref(struct sim_fs *fs, struct inode *node);

#endif
