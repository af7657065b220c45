/* sim_fs.c - names and bytes, and what a power loss makes of them. See sim_disk.h, sim_fs.h. */
#include "sim/sim_fs.h"

#include <string.h>

#include "base/assert.h"
#include "base/mem.h"

#define SECTOR 512u

/* ---- names ---- */

uint64_t fs_blocks(const struct inode *n)
{
	return n->size > n->reserved ? n->size : n->reserved;
}

static uint32_t path_hash(const char *path)
{
	uint32_t h = 2166136261u;

	while (*path)
		h = (h ^ (uint8_t)*path++) * 16777619u;
	return h;
}

struct name *fs_lookup(struct name *list, const char *path)
{
	uint32_t h = path_hash(path);

	for (struct name *n = list; n; n = n->next)
		if (n->hash == h && strcmp(n->path, path) == 0)
			return n;
	return NULL;
}

static void copy_path(char *to, const char *path)
{
	size_t n = strlen(path);

	must(n < PATH_MAX_BYTES);
	memcpy(to, path, n + 1);
}

void fs_name_add(struct sim_fs *fs, struct name **list, const char *path, struct inode *node, uint64_t dir)
{
	struct name *n = fs->mem.alloc(sizeof *n);

	copy_path(n->path, path);
	n->hash = path_hash(path);
	n->node = node;
	n->dir = dir;
	n->next = *list;
	*list = n;
	if (node)
		node->refs++;
}

void fs_inode_unref(struct sim_fs *fs, struct inode *node)
{
	if (!node || --node->refs > 0)
		return;
	struct inode **at = &fs->inodes;

	while (*at != node)
		at = &(*at)->next;
	*at = node->next;
	fs->used -= fs_blocks(node);
	for (struct change *c = node->first; c;) {
		struct change *next = c->next;

		mem_free(c);
		c = next;
	}
	mem_free(node->mem);
	mem_free(node->dur);
	mem_free(node);
}

void fs_name_drop(struct sim_fs *fs, struct name **list, const char *path)
{
	for (struct name **at = list; *at; at = &(*at)->next)
		if (strcmp((*at)->path, path) == 0) {
			struct name *n = *at;

			*at = n->next;
			fs_inode_unref(fs, n->node);
			mem_free(n);
			return;
		}
}

static bool under(const char *path, const char *dir)
{
	size_t n = strlen(dir);

	return strncmp(path, dir, n) == 0 && path[n] == '/';
}

/* Moves path, and everything below it when it is a folder, to another name. */
void fs_name_move(struct sim_fs *fs, struct name **list, const char *from, const char *to)
{
	fs_name_drop(fs, list, to);
	for (struct name *n = *list; n; n = n->next) {
		char rest[PATH_MAX_BYTES];

		if (strcmp(n->path, from) == 0)
			rest[0] = 0;
		else if (under(n->path, from))
			copy_path(rest, n->path + strlen(from));
		else
			continue;
		size_t a = strlen(to), b = strlen(rest);

		must(a + b < PATH_MAX_BYTES);
		memcpy(n->path, to, a);
		memcpy(n->path + a, rest, b + 1);
		n->hash = path_hash(n->path);
	}
}

/* The number of the folder that path lies in. */
static uint64_t folder_of(struct name *list, const char *path)
{
	const char *slash = strrchr(path, '/');
	size_t n = slash ? (size_t)(slash - path) : 0;

	for (struct name *e = list; e && n > 0; e = e->next)
		if (e->dir && strncmp(e->path, path, n) == 0 && e->path[n] == 0)
			return e->dir;
	return 0;
}

void fs_name_change(struct sim_fs *fs, enum entry_kind kind, const char *path, const char *to,
			struct inode *node, uint64_t dir)
{
	struct entry_change *c = fs->mem.alloc(sizeof *c);

	c->kind = kind;
	copy_path(c->path, path);
	c->in = folder_of(fs->names, path);
	if (to) {
		copy_path(c->to, to);
		c->to_in = folder_of(fs->names, to);
	}
	c->node = node;
	c->dir = dir;
	if (node)
		node->refs++;
	if (fs->changes_last)
		fs->changes_last->next = c;
	else
		fs->changes = c;
	fs->changes_last = c;
}

/* Where the platter has the folder that a change was made in: it may have had another name there.
 * False: the folder itself never got there. */
static bool on_platter(struct sim_fs *fs, uint64_t in, const char *path, char *ret)
{
	if (in == 0) {
		copy_path(ret, path);
		return true;
	}
	for (struct name *n = fs->dur_names; n; n = n->next)
		if (n->dir == in) {
			size_t len = strlen(n->path);
			const char *base = strrchr(path, '/');

			must(len + strlen(base) < PATH_MAX_BYTES);
			copy_path(ret, n->path);
			copy_path(ret + len, base);
			return true;
		}
	return false;
}

/* False: the folder is not on the platter. */
static bool entry_apply(struct sim_fs *fs, struct entry_change *c)
{
	char path[PATH_MAX_BYTES], to[PATH_MAX_BYTES];

	if (!on_platter(fs, c->in, c->path, path) || (c->kind == EN_RENAME && !on_platter(fs, c->to_in, c->to, to)))
		return false;
	switch (c->kind) {
	case EN_CREATE:
		if (!fs_lookup(fs->dur_names, path))
			fs_name_add(fs, &fs->dur_names, path, c->node, c->dir);
		break;
	case EN_UNLINK:
		fs_name_drop(fs, &fs->dur_names, path);
		break;
	case EN_RENAME:
		fs_name_move(fs, &fs->dur_names, path, to);
		break;
	}
	return true;
}

bool fs_in_folder(const char *path, const char *dir)
{
	size_t n = strlen(dir);

	return strncmp(path, dir, n) == 0 && path[n] == '/' && !strchr(path + n + 1, '/');
}

void fs_entries_drop(struct sim_fs *fs)
{
	while (fs->changes) {
		struct entry_change *c = fs->changes;

		fs->changes = c->next;
		fs_inode_unref(fs, c->node);
		mem_free(c);
	}
	fs->changes_last = NULL;
}

/* The changes of one folder reach the platter, and those of folders in it that were synced before. */
void fs_entries_settle(struct sim_fs *fs, const char *dir)
{
	struct entry_change **at = &fs->changes;
	struct name *folder = fs_lookup(fs->names, dir);
	uint64_t in = folder ? folder->dir : 0;

	fs->changes_last = NULL;
	while (*at) {
		struct entry_change *c = *at;

		c->sure |= c->in == in || (c->kind == EN_RENAME && c->to_in == in);
		if (!c->sure || !entry_apply(fs, c)) {
			fs->changes_last = c;
			at = &c->next;
			continue;
		}
		*at = c->next;
		fs_inode_unref(fs, c->node);
		mem_free(c);
	}
}

/* ---- bytes ---- */

static void grow(struct sim_fs *fs, uint8_t **p, uint64_t *cap, uint64_t size, uint64_t want)
{
	if (want > *cap) {
		uint64_t n = *cap ? *cap : 4096;

		while (n < want)
			n *= 2;
		*p = fs->mem.resize(*p, n);
		*cap = n;
	}
	if (want > size)
		memset(*p + size, 0, want - size);
}

void fs_put_bytes(struct sim_fs *fs, uint8_t **p, uint64_t *cap, uint64_t *size, uint64_t off,
		      const void *data, uint64_t len)
{
	if (off + len > *size) {
		grow(fs, p, cap, *size, off + len);
		*size = off + len;
	}
	if (len > 0)
		memcpy(*p + off, data, len);
}

void fs_set_size(struct sim_fs *fs, uint8_t **p, uint64_t *cap, uint64_t *size, uint64_t to)
{
	grow(fs, p, cap, *size, to);
	*size = to;
}

struct change *fs_change_add(struct sim_fs *fs, struct inode *n, enum change_kind kind, uint64_t off, uint64_t len)
{
	struct change *c = fs->mem.alloc(sizeof *c + (kind == CH_WRITE ? len : 0));

	c->kind = kind;
	c->off = off;
	c->len = len;
	if (n->last)
		n->last->next = c;
	else
		n->first = c;
	n->last = c;
	return c;
}

void fs_changes_drop(struct inode *n)
{
	while (n->first) {
		struct change *c = n->first;

		n->first = c->next;
		mem_free(c);
	}
	n->last = NULL;
}

void fs_inode_sync(struct sim_fs *fs, struct inode *n)
{
	for (struct change *c = n->first; c; c = c->next)
		if (c->kind == CH_TRUNCATE)
			fs_set_size(fs, &n->dur, &n->dur_cap, &n->dur_size, c->off);
		else
			fs_put_bytes(fs, &n->dur, &n->dur_cap, &n->dur_size, c->off, c->data, c->len);
	fs_changes_drop(n);
}

/* Applies what the platter happens to have of one change. */
static void change_survive(struct sim_fs *fs, struct inode *n, struct change *c, uint32_t percent)
{
	if (c->kind == CH_TRUNCATE) {
		if (rng_below(&fs->sim->rng, 100) < percent)
			fs_set_size(fs, &n->dur, &n->dur_cap, &n->dur_size, c->off);
		return;
	}
	uint32_t mode = rng_below(&fs->sim->rng, 100);
	bool torn = mode < 20;
	bool keep = rng_below(&fs->sim->rng, 100) < percent;

	fs->counts.torn_writes += torn;
	fs->counts.kept_writes += !torn && keep;
	fs->counts.lost_writes += !torn && !keep;
	for (uint64_t at = 0; at < c->len;) {	/* D2 */
		uint64_t n_bytes = SECTOR - (c->off + at) % SECTOR;

		n_bytes = n_bytes < c->len - at ? n_bytes : c->len - at;
		if (torn ? rng_below(&fs->sim->rng, 100) < 50 : keep)
			fs_put_bytes(fs, &n->dur, &n->dur_cap, &n->dur_size, c->off + at, c->data + at, n_bytes);
		at += n_bytes;
	}
	/* The size may have reached the platter without the bytes: zeros are read then. */
	if (!keep && sim_chance(fs->sim, 100000) && c->off + c->len > n->dur_size)
		fs_set_size(fs, &n->dur, &n->dur_cap, &n->dur_size, c->off + c->len);
}

void sim_fs_power_loss(struct sim_fs *fs)
{
	uint32_t percent = fs->faults.loss_keep_percent;

	fs->counts.losses++;
	/* Names: a prefix of the journal survives. */
	bool alive = true;
	while (fs->changes) {
		struct entry_change *c = fs->changes;

		alive = alive && rng_below(&fs->sim->rng, 100) < percent;
		bool keep = (alive || c->sure) && entry_apply(fs, c);

		fs->counts.kept_names += keep;
		fs->counts.lost_names += !keep;
		fs->changes = c->next;
		fs_inode_unref(fs, c->node);
		mem_free(c);
	}
	fs->changes_last = NULL;
	for (struct inode *n = fs->inodes; n; n = n->next) {
		for (struct change *c = n->first; c; c = c->next)
			change_survive(fs, n, c, percent);
		fs_changes_drop(n);
		fs->used -= fs_blocks(n);
		n->size = 0;
		/* What is reserved survives when the journal came that far. */
		if (rng_below(&fs->sim->rng, 100) >= percent)
			n->reserved = 0;
		fs_put_bytes(fs, &n->mem, &n->cap, &n->size, 0, n->dur, n->dur_size);
		fs->used += fs_blocks(n);
	}
	while (fs->names)
		fs_name_drop(fs, &fs->names, fs->names->path);
	for (struct name *n = fs->dur_names; n; n = n->next)
		fs_name_add(fs, &fs->names, n->path, n->node, n->dir);
}
