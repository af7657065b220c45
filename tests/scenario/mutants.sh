#!/bin/sh
# mutants.sh - each bug that a scenario plants breaks the invariant that it names (make check).
exec tests/scenario/raft_mutants "${srcdir:-.}"/tests/scenario/*.txt
