/* test_raft_traps.c - the traps of Raft implementations, each a test (docs/quorum.md has the table). */
#include <criterion/criterion.h>
