#!/bin/sh
# check-shape.sh SRCDIR - fail: lines over 120 columns (tabs of 8); files over 800 lines and functions over 70,
# unless shape.allow names them with a reason (first word: FILE or FILE:FUNCTION, the rest: why).
cd "$1" || exit 2
awk '
function note(what, n, habit) {
	if (n <= habit)
		return
	if (what in allow) {
		used[what] = 1
		return
	}
	print what ": " n " lines, habit is " habit
	bad = 1
}
FILENAME == ARGV[1] {				# the allow-list
	if (!/^#/ && NF > 1)
		allow[$1] = 1
	next
}
FNR == 1 { note(file, lines, 800); file = FILENAME; start = 0 }
# Columns as they are seen: a tab goes on to the next multiple of 8.
{
	lines = FNR
	columns = 0
	n = split($0, part, "\t")
	for (i = 1; i <= n; i++)
		columns += length(part[i]) + (i < n ? 8 - (columns + length(part[i])) % 8 : 0)
}
columns > 120 { print FILENAME ":" FNR ": " columns " columns, at most 120"; bad = 1 }
/^[a-zA-Z_].*\(/ && !/;$/ { name = $0; sub(/\(.*/, "", name); sub(/.*[ *]/, "", name) }
/^\{/ { start = FNR }
/^\}/ && start { note(FILENAME ":" name, FNR - start - 1, 70); start = 0 }
END {
	note(file, lines, 800)
	for (what in allow) {
		path = what
		sub(/:.*/, "", path)
		if (!(what in used) && (getline line <path) >= 0) {
			print what ": allowed to be long and is not: take it out of shape.allow"
			bad = 1
		}
	}
	exit bad
}' tools/build/shape.allow $(find src tools tests bench -name '*.[ch]' | sort)
