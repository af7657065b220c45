/* view.c - see view.h. */
#include "view.h"

#include <stdio.h>

#include "base/mem.h"

const char *const view_violation_name[VIEW_VIOLATIONS] = {
	"lost", "duplicated", "reordered", "not at the acknowledged offset", "offsets with a gap or twice",
	"never sent", "readers differ",
};

void view_init(struct view *v, const char *name, int clients, int parts_n)
{
	*v = (struct view){ .name = name, .clients = clients, .parts_n = parts_n };
	v->seq = mem_alloc(sizeof *v->seq * (size_t)clients * (size_t)parts_n);
}

void view_free(struct view *v)
{
	for (int i = 0; i < v->clients * v->parts_n; i++)
		mem_free(v->seq[i].offset);
	mem_free(v->seq);
}

void view_record(struct view *v, int part, int64_t offset, const uint8_t *value, uint32_t len)
{
	uint32_t client;
	uint64_t counter;

	v->records++;
	if (offset != v->next_offset[part])
		v->bad[VIEW_GAP]++;
	v->next_offset[part] = offset + 1;
	if (!load_value(value, len, &client, &counter) || client >= (uint32_t)v->clients ||
	    counter > UINT32_MAX) {
		v->bad[VIEW_FOREIGN]++;
		return;
	}
	struct view_seq *s = &v->seq[(int)client * v->parts_n + part];
	if (counter >= s->cap) {
		uint64_t cap = s->cap ? s->cap * 2 : 1024;

		while (cap <= counter)
			cap *= 2;
		s->offset = mem_resize(s->offset, cap * sizeof *s->offset);
		for (uint64_t i = s->cap; i < cap; i++)
			s->offset[i] = LOAD_NONE;
		s->cap = cap;
	}
	if (s->offset[counter] != LOAD_NONE) {
		v->bad[VIEW_DUPLICATED]++;
		return;
	}
	s->offset[counter] = (uint32_t)offset;
	if (counter < s->next)
		v->bad[VIEW_REORDERED]++;
	else
		s->next = counter + 1;
}

static uint32_t seen_at(const struct view_seq *s, uint64_t counter)
{
	return counter < s->cap ? s->offset[counter] : LOAD_NONE;
}

void view_end(struct view *v, const struct load *l)
{
	for (int c = 0; c < v->clients; c++)
		for (int p = 0; p < v->parts_n; p++) {
			const struct load_seq *want = load_seq(l, c, p);
			const struct view_seq *s = &v->seq[c * v->parts_n + p];

			for (uint64_t k = 0; k < want->cap; k++) {
				if (want->offset[k] == LOAD_NONE)
					continue;
				if (seen_at(s, k) == LOAD_NONE)
					v->bad[VIEW_LOST]++;
				else if (seen_at(s, k) != want->offset[k])
					v->bad[VIEW_OFFSET]++;
			}
			if (s->next > want->sent)
				v->bad[VIEW_FOREIGN] += s->next - want->sent;
			/* A hole below the last one seen that nobody acknowledged: order was not kept. */
			for (uint64_t k = 0; k < s->next; k++)
				if (s->offset[k] == LOAD_NONE && (k >= want->cap || want->offset[k] == LOAD_NONE))
					v->bad[VIEW_REORDERED]++;
		}
}

void view_differs(struct view *v, const struct view *other)
{
	for (int i = 0; i < v->clients * v->parts_n; i++) {
		const struct view_seq *a = &v->seq[i], *b = &other->seq[i];

		for (uint64_t k = 0; k < a->cap && k < b->cap; k++)
			if (a->offset[k] != LOAD_NONE && b->offset[k] != LOAD_NONE && a->offset[k] != b->offset[k])
				v->bad[VIEW_CONFLICT]++;
	}
}

uint64_t view_report(const struct view *v)
{
	uint64_t sum = 0;

	printf("%s: %llu records;", v->name, (unsigned long long)v->records);
	for (int i = 0; i < VIEW_VIOLATIONS; i++) {
		printf(" %llu %s%s", (unsigned long long)v->bad[i], view_violation_name[i],
		       i + 1 < VIEW_VIOLATIONS ? "," : "\n");
		sum += v->bad[i];
	}
	if (sum)
		printf("VIOLATION: %s: %llu\n", v->name, (unsigned long long)sum);
	return sum;
}
