#!/bin/sh
# table_tsan.sh TABLE_KILL9 - the table with workers as threads under ThreadSanitizer, and a planted race that it
# must find. TABLE_KILL9 is built with --enable-sanitize=thread. Without address space layout randomization:
# ThreadSanitizer of Debian 12 does not know the layout of newer kernels.
bin=$1
out=$(mktemp) || exit 2
trap 'rm -f "$out"' EXIT
setarch -R true 2>/dev/null || { echo "setarch -R is not allowed here"; exit 77; }
setarch -R "$bin" --threads --seconds 10 >"$out" 2>&1 || { cat "$out"; exit 1; }
grep -q 'WARNING: ThreadSanitizer' "$out" && { cat "$out"; exit 1; }
tail -1 "$out"
TSAN_OPTIONS=halt_on_error=1 setarch -R "$bin" --threads --seconds 10 --mutant STATE_PLAIN >"$out" 2>&1
grep -q 'WARNING: ThreadSanitizer: data race' "$out" || { echo "MISSED: a planted race"; tail -5 "$out"; exit 1; }
echo "found: a planted race"
