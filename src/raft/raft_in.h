/* raft_in.h - what raft.c (roles, votes), raft_leader.c (replication) and raft_log.c share. */
#ifndef RAFT_RAFT_IN_H
#define RAFT_RAFT_IN_H

#include "raft/raft.h"

/* raft_log.c */
void raft_log_add(struct raft *r, const struct raft_entry *e, struct raft_effects *fx);
void raft_log_cut(struct raft *r, uint64_t from, struct raft_effects *fx);
/* The whole log gives way to a snapshot. */
void raft_log_reset(struct raft *r, uint64_t index, uint64_t term, const struct raft_config *config);
/* The largest index up to `index` whose term is not above `term`. */
uint64_t raft_log_meet(const struct raft *r, uint64_t index, uint64_t term);
void raft_commit_to(struct raft *r, uint64_t index, struct raft_effects *fx);

/* raft.c */
struct raft_msg *raft_send(const struct raft *r, struct raft_effects *fx, enum raft_msg_type t, uint64_t to);
void raft_become(struct raft *r, struct raft_effects *fx, enum raft_role role, uint64_t now_ms);
/* The member's place in the configuration in force, or RAFT_MEMBERS_MAX. */
uint32_t raft_place(const struct raft *r, uint64_t id);
/* This node's disk has not taken what it was given for long. */
bool raft_stuck(const struct raft *r, uint64_t now_ms);

/* raft_leader.c */
void raft_lead(struct raft *r, struct raft_effects *fx, uint64_t now_ms);
void raft_leader_timeout(struct raft *r, struct raft_effects *fx, uint64_t now_ms, uint64_t late_ms);
void raft_on_append_ok(struct raft *r, const struct raft_msg *m, struct raft_effects *fx, uint64_t now_ms);
int raft_on_propose(struct raft *r, const struct raft_event *ev, struct raft_effects *fx);
void raft_flush(struct raft *r, struct raft_effects *fx, uint64_t now_ms);
void raft_on_read(struct raft *r, struct raft_effects *fx);
int raft_transfer(struct raft *r, uint64_t to, uint64_t now_ms);
void raft_advance_commit(struct raft *r, struct raft_effects *fx, uint64_t now_ms);
void raft_peer_reset(struct raft_peer *p, uint64_t next);
/* After a change of the configuration: the table of peers has its places. */
void raft_peers_place(struct raft *r, const struct raft_config *before, uint64_t now_ms);

#endif
