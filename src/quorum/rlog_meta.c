/* rlog_meta.c - who owns the folder, and the hard state: term, vote, starts. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/be.h"
#include "base/crc32c.h"
#include "base/mem.h"
#include "base/mutant.h"
#include "quorum/rlog.h"

#define UNKNOWN "-"			/* cluster id of a folder that does not know it yet */
#define VOTE_BYTES (RLOG_SEGMENT_HEAD + 12)
#define RECOVERING 1u

static int write_meta(struct rlog *l)
{
	char tmp[RLOG_PATH_MAX], path[RLOG_PATH_MAX], text[512];
	int file;

	snprintf(text, sizeof text, "format=%u\ncluster.id=%s\nnode.id=%u\ndisk.id=%016" PRIx64 "\n", RLOG_FORMAT,
		 l->cluster_id[0] ? l->cluster_id : UNKNOWN, l->node_id, l->disk_id);
	snprintf(tmp, sizeof tmp, "%s/meta.new", l->dir);
	snprintf(path, sizeof path, "%s/meta", l->dir);
	int err = l->disk->calls->open(l->disk, tmp, DISK_CREATE | DISK_TRUNC, &file);

	if (err)
		return err;
	err = rlog_put(l, file, (const uint8_t *)text, strlen(text), 0);
	if (!err)
		err = l->disk->calls->sync(l->disk, file);
	l->disk->calls->close(l->disk, file);
	if (!err)
		err = l->disk->calls->rename(l->disk, tmp, path);
	return err ? err : l->disk->calls->sync_dir(l->disk, l->dir);
}

static int check_meta(struct rlog *l, const struct rlog_config *conf, const char *path, const char *text,
		      bool *ret_known, char *why, size_t cap)
{
	unsigned format = 0, node = 0;
	char cluster[64] = "";

	if (sscanf(text, "format=%u\n", &format) == 1 && format != RLOG_FORMAT) {
		snprintf(why, cap, "%s has format %u, this program knows %u", l->dir, format, RLOG_FORMAT);
		return E_VERSION;
	}
	if (sscanf(text, "format=%u\ncluster.id=%63s\nnode.id=%u\ndisk.id=%" SCNx64 "\n", &format, cluster, &node,
		   &l->disk_id) != 4 || l->disk_id == 0 || (strlen(cluster) != 22 && strcmp(cluster, UNKNOWN) != 0)) {
		snprintf(why, cap, "%s is not a meta file of moldau-quorum", path);
		return E_DAMAGED;
	}
	if (node != conf->node_id || (conf->cluster_given && strcmp(cluster, UNKNOWN) != 0 &&
				      strcmp(cluster, conf->cluster_id) != 0)) {
		snprintf(why, cap, "%s belongs to node %u of cluster %s, not to node %u of cluster %s",
			 l->dir, node, cluster, conf->node_id, conf->cluster_given ? conf->cluster_id : cluster);
		return E_FOREIGN;
	}
	*ret_known = strcmp(cluster, UNKNOWN) != 0;
	if (*ret_known)
		memcpy(conf->cluster_id, cluster, 23);
	return OK;
}

/* K9 */
static int check_mark(struct rlog *l, char *why, size_t cap)
{
	char mark[RLOG_PATH_MAX];
	int file;

	snprintf(mark, sizeof mark, "%s/" RLOG_MARK, l->dir);
	int err = l->disk->calls->open(l->disk, mark, DISK_RDONLY, &file);

	if (err == E_NOENT)
		return OK;
	if (err == OK) {
		l->disk->calls->close(l->disk, file);
		snprintf(why, cap, "%s: an import into it did not come to its end: empty it, then import again",
			 l->dir);
	}
	return err ? err : E_DAMAGED;
}

static int make_mark(struct rlog *l)
{
	char mark[RLOG_PATH_MAX];
	int file;

	snprintf(mark, sizeof mark, "%s/" RLOG_MARK, l->dir);
	int err = l->disk->calls->open(l->disk, mark, DISK_CREATE | DISK_TRUNC, &file);

	if (err)
		return err;
	l->disk->calls->close(l->disk, file);
	return l->disk->calls->sync_dir(l->disk, l->dir);
}

int rlog_unmark(struct rlog *l)
{
	char mark[RLOG_PATH_MAX];

	snprintf(mark, sizeof mark, "%s/" RLOG_MARK, l->dir);
	int err = l->disk->calls->unlink(l->disk, mark);

	return err ? err : l->disk->calls->sync_dir(l->disk, l->dir);
}

static int new_meta(struct rlog *l, const struct rlog_config *conf)
{
	int err = conf->importing ? make_mark(l) : OK;

	memcpy(l->cluster_id, conf->cluster_id, 23);
	return err ? err : write_meta(l);
}

int rlog_open_meta(struct rlog *l, const struct rlog_config *conf, char *why, size_t why_cap)
{
	char path[RLOG_PATH_MAX], text[512];
	bool known = false;
	size_t got = 0;
	int file;

	snprintf(path, sizeof path, "%s/meta", l->dir);
	int err = check_mark(l, why, why_cap);

	if (!err)
		err = l->disk->calls->open(l->disk, path, DISK_RDONLY, &file);
	if (err == OK) {
		err = l->disk->calls->pread(l->disk, file, text, sizeof text - 1, 0, &got);
		l->disk->calls->close(l->disk, file);
		text[err ? 0 : got] = 0;
		if (!err)
			err = check_meta(l, conf, path, text, &known, why, why_cap);
		if (!err && conf->importing && known) {
			snprintf(why, why_cap, "%s holds a node already: an import begins one, in an empty folder",
				 l->dir);
			err = E_EXIST;
		}
		if (!err && conf->importing)
			err = new_meta(l, conf);
	} else if (err == E_NOENT) {
		l->disk_id = conf->disk_id;
		err = new_meta(l, conf);
	}
	if (err && !why[0])
		snprintf(why, why_cap, "%s: %s", path, err_text(err));
	if (!err)
		memcpy(l->cluster_id, conf->cluster_id, 23);
	return err;
}

int rlog_adopt(struct rlog *l, const char *cluster_id)
{
	must(l->cluster_id[0] == 0 && strlen(cluster_id) == 22);
	memcpy(l->cluster_id, cluster_id, 23);
	int err = write_meta(l);

	return err ? err : rlog_vote_now(l);
}

/* ---- the vote ---- */

static void vote_bytes(const struct rlog *l, uint8_t *p)
{
	rlog_put_head(l, p, "MQVT", l->voted_for, l->term, 0, 0);
	be32_put(p + RLOG_SEGMENT_HEAD, l->starts);
	be32_put(p + RLOG_SEGMENT_HEAD + 4, l->recovering ? RECOVERING : 0);
	be32_put(p + RLOG_SEGMENT_HEAD + 8, crc32c(0, p + RLOG_SEGMENT_HEAD, 8));
}

static int vote_write(struct rlog *l)
{
	uint8_t p[VOTE_BYTES];

	vote_bytes(l, p);
	snprintf(l->vote.tmp, sizeof l->vote.tmp, "%s/vote.new", l->dir);
	snprintf(l->vote.path, sizeof l->vote.path, "%s/vote", l->dir);
	int err = l->disk->calls->open(l->disk, l->vote.tmp, DISK_CREATE | DISK_TRUNC, &l->vote.file);

	if (err)
		return err;
	err = rlog_put(l, l->vote.file, p, sizeof p, 0);
	if (err)
		l->disk->calls->close(l->disk, l->vote.file);
	return err;
}

/* At start, where nobody waits for this node. */
int rlog_vote_now(struct rlog *l)
{
	int err = vote_write(l);

	if (err)
		return err;
	err = l->disk->calls->sync(l->disk, l->vote.file);
	l->disk->calls->close(l->disk, l->vote.file);
	if (!err)
		err = l->disk->calls->rename(l->disk, l->vote.tmp, l->vote.path);
	return err ? err : l->disk->calls->sync_dir(l->disk, l->dir);
}

static void vote_start(struct rlog *l);

static void on_vote_dir(struct disk_op *op, int err)
{
	struct rlog *l = (struct rlog *)(void *)((char *)op - offsetof(struct rlog, vote.op));

	if (err) {
		rlog_fatal(l, "syncing the vote", err);
		return;
	}
	l->vote.on = false;
	if (l->vote.again) {
		vote_start(l);
		return;
	}
	rlog_name_synced(l);
	l->ev->on_voted(l->user);
}

/* A full disk is waited out, as for the log: until then nobody hears of this vote. */
static void vote_failed(struct rlog *l, int err)
{
	if (err != E_NOSPC) {
		rlog_fatal(l, "writing the vote", err);
		return;
	}
	l->vote.on = l->vote.waits = l->full = true;
}

static void on_vote_sync(struct disk_op *op, int err)
{
	struct rlog *l = (struct rlog *)(void *)((char *)op - offsetof(struct rlog, vote.op));

	l->disk->calls->close(l->disk, l->vote.file);
	if (!err)
		err = l->disk->calls->rename(l->disk, l->vote.tmp, l->vote.path);
	if (err) {
		vote_failed(l, err);
		return;
	}
	l->vote.op = (struct disk_op){ .what = DISK_SYNC_DIR, .path = l->dir, .done = on_vote_dir };
	l->disk->calls->submit(l->disk, &l->vote.op);
}

static void vote_start(struct rlog *l)
{
	int err = vote_write(l);

	if (err) {
		vote_failed(l, err);
		return;
	}
	l->vote.on = true;
	l->vote.again = false;
	l->vote.op = (struct disk_op){ .what = mutant(VOTE_UNSYNCED) ? DISK_WARM : DISK_SYNC, .file = l->vote.file,
		.done = on_vote_sync };
	l->disk->calls->submit(l->disk, &l->vote.op);
}

void rlog_vote_retry(struct rlog *l)
{
	if (!l->vote.waits || l->dead)
		return;
	l->vote.waits = false;
	vote_start(l);
}

void rlog_vote(struct rlog *l, uint64_t term, uint64_t voted_for, bool recovering)
{
	must(term >= l->term);
	l->term = term;
	l->voted_for = voted_for;
	l->recovering = recovering;
	if (l->vote.on)
		l->vote.again = true;
	else if (!l->dead)
		vote_start(l);
}

int rlog_load_vote(struct rlog *l, char *why, size_t cap)
{
	char path[RLOG_PATH_MAX];
	uint8_t *p = NULL;
	uint64_t len = 0;

	snprintf(path, sizeof path, "%s/vote", l->dir);
	int err = rlog_read_all(l->disk, path, &p, &len);

	if (err == E_NOENT)
		return OK;
	if (!err)
		err = len != VOTE_BYTES || crc32c(0, p + RLOG_SEGMENT_HEAD, 8) != be32_get(p + RLOG_SEGMENT_HEAD + 8)
			? E_DAMAGED : rlog_check_head(l, p, "MQVT");
	if (!err) {
		l->voted_for = be64_get(p + 38);
		l->term = be64_get(p + 46);
		l->starts = be32_get(p + RLOG_SEGMENT_HEAD);
		l->recovering = be32_get(p + RLOG_SEGMENT_HEAD + 4) & RECOVERING;
	} else {
		snprintf(why, cap,
			"%s: %s; without it this node could vote twice in a term. Empty the folder: the node "
			 "then joins its quorum as a new voter", path, err_text(err));
	}
	mem_free(p);
	return err;
}
