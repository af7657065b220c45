/* recover.h - recovery of one partition from its files; only src/part includes it. */
#ifndef PART_RECOVER_H
#define PART_RECOVER_H

#include "part/table.h"

/* Under the lock, life OPENING: makes state, index, epochs and producers new from the files, then
 * ONLINE. clean: nothing is synced that a clean shutdown synced before. On an error life is
 * unchanged. */
int part_recover_locked(struct part_table *t, uint32_t slot, struct part_record *r,
			bool clean) MUST_CHECK;

#endif
