/*
 * reap.c - the end of a replica: its folder is renamed, its files are unlinked a few at a time, its slot is free.
 * A kill in between leaves DELETING, and it goes on from there.
 */
#include "part/recover.h"
#include "part/table.h"

#define REAP_FILES 8			/* unlinked per call of part_slot_reap() */

/* Unlinks the first files of a folder; E_AGAIN: there may be more, E_NOENT: no folder. */
static int reap_files(struct part_table *t, const char *folder)
{
	struct buf b;
	struct log_path p;
	int n = 0, err = log_list(t->disk, folder, &b);

	if (err)
		return err;
	for (size_t at = 0; at < b.len && n < REAP_FILES && !err; n++) {
		log_path_init(&p, folder);
		log_path_add(&p, "/");
		log_path_add(&p, (char *)b.p + at);
		at += strlen((char *)b.p + at) + 1;
		err = t->disk->calls->unlink(t->disk, p.s);
	}
	buf_release(&b);
	return err ? err : n > 0 ? E_AGAIN : OK;
}

static int reap_folder(struct part_table *t, struct part_record *r, uint32_t slot)
{
	uint64_t w[2] = { atomic_load(&r->topic_id[0]), atomic_load(&r->topic_id[1]) };
	char text[UUID_TEXT + 1];
	struct log_path from, to;
	struct uuid id, found;
	int err;

	memcpy(&id, w, sizeof id);
	uuid_text(&id, text);
	log_path_folder(&from, t->log_dir, part_name(t, slot), atomic_load(&r->partition));
	to = from;
	log_path_add(&to, ".");
	log_path_add(&to, text);
	log_path_add(&to, "-delete");
	/* The folder may be another topic's of the same name by now. */
	if (!log_topic_id_read(t->disk, from.s, &found) && uuid_eq(&found, &id)) {
		err = t->disk->calls->rename(t->disk, from.s, to.s);
		if (err)
			return err;
	}
	err = reap_files(t, to.s);
	if (err)
		return err == E_NOENT ? OK : err;
	return t->disk->calls->rmdir(t->disk, to.s);
}

int part_slot_reap(struct part_table *t, uint32_t slot)
{
	struct part_record *r = part_record(t, slot);
	struct lock_held *held;
	uint64_t wake = 0;
	int err;

	if (!r || part_slot_state(t, slot) != PART_DELETING)
		return E_NOENT;
	err = part_lock(t, slot, r, &held, &wake);	/* whoever was appending is through */
	if (err)
		return err;
	struct uuid topic_id = part_topic_of(r);
	int32_t partition = atomic_load(&r->partition);

	atomic_fetch_add(&r->seg_gen, 1);
	log_files_stale(t->files, slot, atomic_load(&r->seg_gen));
	part_producers_drop_all(t, slot, r);
	atomic_store(&r->intent, 0);	/* the next replica of this slot has nothing to finish */
	part_unlock(t, r, held, &wake);
	part_tell(t, slot, wake | part_wakes(r, true));
	err = reap_folder(t, r, slot);
	if (err)
		return err;
	log_ckpt_forget(&t->ckpt, &topic_id, partition);
	part_set_life(r, PART_FREE);
	return OK;
}
