/* api_group.h - what the two files of group APIs share. */
#ifndef BROKER_API_GROUP_H
#define BROKER_API_GROUP_H

#include "broker/groups.h"

/* Room for n (at least one) elements in the request's arena; NULL: it is full. */
void *api_room(struct greq *q, int32_t n, size_t size);
/* The array, moved to a larger place when it is full; NULL: the arena is. */
void *api_grown(struct greq *q, void *old, int32_t n, int32_t *cap, size_t size);
/* Encodes the response and hands it to groups_answer(). */
void api_answer(struct greq *q, const void *response);

void api_commit_run(struct greq *q, struct gshard *sh);
/* op: each partition with its own error; NULL: all with one. */
void api_commit_reply(struct greq *q, const struct offset_commit_op *op, int16_t error);
void api_offset_fetch(struct greq *q);
void api_delete_offsets_run(struct greq *q, struct gshard *sh);
void api_delete_offsets_reply(struct greq *q, const struct offset_delete_op *op, int16_t error);

#endif
