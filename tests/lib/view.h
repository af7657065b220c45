/*
 * view.h - what one reader saw of a load's records, checked as it goes and at the end.
 *
 * Feed every record of every partition in offset order. Found while reading: offsets with a gap or a
 * repetition, a value seen twice, a value behind a later one of the same client, a value nobody sent.
 * Found by view_end(): acknowledged values that were not seen, values at another offset than the one
 * acknowledged. view_differs() compares two readers.
 */
#ifndef TESTS_VIEW_H
#define TESTS_VIEW_H

#include <stdint.h>

#include "load.h"

enum view_violation {
	VIEW_LOST,			/* acknowledged and not there */
	VIEW_DUPLICATED,		/* one value at two offsets */
	VIEW_REORDERED,			/* behind a later value of the same client */
	VIEW_OFFSET,			/* not the offset that was acknowledged */
	VIEW_GAP,			/* offsets of the partition do not follow each other */
	VIEW_FOREIGN,			/* a value nobody sent */
	VIEW_CONFLICT,			/* another value than another reader saw at that offset */
	VIEW_VIOLATIONS
};
extern const char *const view_violation_name[VIEW_VIOLATIONS];

struct view_seq {			/* a client in a partition, as seen */
	uint32_t *offset;		/* of each counter; LOAD_NONE: not seen */
	uint64_t cap;
	uint64_t next;			/* behind the largest counter seen */
};

struct view {
	const char *name;
	int clients, parts_n;
	struct view_seq *seq;		/* clients * parts_n */
	int64_t next_offset[LOAD_PARTS_MAX];
	uint64_t records;
	uint64_t bad[VIEW_VIOLATIONS];
};

void view_init(struct view *v, const char *name, int clients, int parts_n);
void view_free(struct view *v);
void view_record(struct view *v, int part, int64_t offset, const uint8_t *value, uint32_t len);
/* Against what was acknowledged and sent; the load has ended. */
void view_end(struct view *v, const struct load *l);
/* Counts in v each value that both saw, at different offsets. */
void view_differs(struct view *v, const struct view *other);
/* Prints violations; how many. */
uint64_t view_report(const struct view *v);

#endif
