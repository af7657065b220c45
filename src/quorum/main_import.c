/* main_import.c - see main_import.h. */
#include "quorum/main_import.h"

#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "os/clock_os.h"
#include "os/log_os.h"
#include "os/loop_os.h"
#include "quorum/zk_import.h"
#include "wire/codec.h"

struct writing {
	struct node_admin admin;
	struct loop *loop;
	bool done;
	int err;
};

static void on_log(void *user, const char *msg, const char *detail)
{
	(void)user;
	log_os("import", LOG_OS_INFO, msg, detail, NULL);
}

static void on_written(struct node_admin *a, int err, const char *why)
{
	struct writing *w = (struct writing *)(void *)((char *)a - offsetof(struct writing, admin));

	w->done = true;
	w->err = err;
	snprintf(a->why, sizeof a->why, "%s", why);
	w->loop->calls->stop(w->loop, 0);
}

/* Read again as a start reads it. */
static int verify(struct loop *loop, struct disk *d, struct node_config *conf, uint64_t nodes, int64_t zxid, char *why,
		  size_t cap)
{
	struct node *n;

	conf->importing = false;
	int err = node_open(d, NULL, loop, clock_os(), conf, &n, why, cap);

	if (err)
		return err;
	if (coord_nodes(node_coord(n)) != nodes || coord_zxid(node_coord(n)) != zxid) {
		snprintf(why, cap, "%s does not give back what was imported", conf->dir);
		err = E_DAMAGED;
	}
	node_close(n);
	return err;
}

static int write_tree(struct loop_os *os_loop, struct disk *d, struct node_config *conf, struct coord *tree, char *why,
		      size_t cap)
{
	struct writing w = { .admin = { .done = on_written }, .loop = loop_os_port(os_loop) };
	uint64_t nodes = coord_nodes(tree);
	int64_t zxid = coord_zxid(tree);
	struct node *n;

	conf->importing = true;
	int err = node_open(d, NULL, w.loop, clock_os(), conf, &n, why, cap);

	if (err) {
		coord_free(tree);
		return err;
	}
	node_import(n, tree, &w.admin);
	if (!w.done)			/* the disk was not full at once */
		loop_os_run(os_loop);
	err = w.err;
	if (err)
		snprintf(why, cap, "%s: %s", conf->dir, w.admin.why);
	if (!err && (err = node_imported(n)) != OK)
		snprintf(why, cap, "%s: %s", conf->dir, err_text(err));
	node_close(n);
	return err ? err : verify(w.loop, d, conf, nodes, zxid, why, cap);
}

/* conf NULL: nothing was written. */
static void say(const struct zk_import *im, const struct node_config *conf, uint64_t nodes, uint64_t ephemerals)
{
	static const char *const digests[] = {
		[IMPORT_DIGEST_NONE] = "none was logged with the last transaction",
		[IMPORT_DIGEST_SAME] = "the same",
		[IMPORT_DIGEST_DIFFERS] = "ANOTHER ONE: compare the trees before you rely on this one",
	};

	if (conf)
		printf("imported %s into %s\n", im->dir, conf->dir);
	else
		printf("%s can be imported\n", im->dir);
	printf("  nodes         %llu, %llu of them ephemeral\n"
	       "  sessions      %u; ephemerals of %u that had ended were left out\n"
	       "  last zxid     0x%llx, %llu transactions of %u logs after the snapshot\n"
	       "  tree digest   ZooKeeper's own: %s\n",
	       (unsigned long long)nodes, (unsigned long long)ephemerals, im->stats.sessions,
	       im->stats.ended, (unsigned long long)im->stats.zxid, (unsigned long long)im->stats.transactions,
	       im->logs, digests[im->stats.digest]);
}

int main_import(struct loop_os *loop, struct disk *d, const struct node_config *conf, const char *dir,
		const char *log_dir, const struct coord_rules *rules, bool only_check, char *why, size_t cap)
{
	struct codec *codec = codec_new(&CODEC_LIMITS);
	struct zk_import im = { .dir = dir, .log_dir = log_dir, .rules = *rules, .codec = codec_port(codec),
				.on_log = on_log };
	struct node_config one = *conf;
	char words[ZK_IMPORT_WHY] = "";
	int err = zk_import(d, &im, words);

	one.nvoters = one.njoin = 0;		/* the others join it */
	if (!err) {
		uint64_t nodes = coord_nodes(im.coord), ephemerals = coord_ephemerals(im.coord);

		if (only_check)
			coord_free(im.coord);
		else
			err = write_tree(loop, d, &one, im.coord, words, sizeof words);
		if (!err)
			say(&im, only_check ? NULL : &one, nodes, ephemerals);
	}
	if (err)
		snprintf(why, cap, "%s", words);
	codec_free(codec);
	return err;
}

const char *main_import_wanted(struct disk *d, const char *dir, const char *log_dir)
{
	static char text[2 * ZK_IMPORT_WHY];
	const char *where = dir[0] && zk_import_there(d, dir) ? dir :
		log_dir[0] && zk_import_there(d, log_dir) ? log_dir : NULL;

	if (!where)
		return NULL;
	snprintf(text, sizeof text, "%.200s holds a ZooKeeper's data, and a new quorum would begin empty: stop that "
		 "ZooKeeper and run this node once with --import-zookeeper %.200s; or start it with --import-zookeeper "
		 "none to begin without them", where, dir);
	return text;
}
