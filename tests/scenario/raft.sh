#!/bin/sh
# Plays every scenario of tests/scenario (make check).
exec tests/scenario/raft "${srcdir:-.}"/tests/scenario/*.txt
