#!/bin/sh
# check-shape.sh SRCDIR - files over 800 lines and functions over 70 fail, lines over 120 columns are named,
# unless shape.allow names them with a reason (first word: FILE or FILE:FUNCTION, the rest: why).
cd "$1" || exit 2
find src tools tests bench -name '*.[ch]' | sort | xargs awk '
function note(what, n, habit) {
	if (n > habit && !(what in allow)) {
		print what ": " n " lines, habit is " habit
		bad = 1
	}
}
FILENAME == ARGV[1] {				# the allow-list
	if (!/^#/ && NF > 1)
		allow[$1] = 1
	next
}
FNR == 1 { note(file, lines, 800); file = FILENAME; start = 0 }
{ lines = FNR; wide = $0; gsub(/\t/, "        ", wide) }
length(wide) > 120 && !(FILENAME in allow) {
	print FILENAME ":" FNR ": " length(wide) " columns, habit is 100"
}
/^[a-zA-Z_].*\(/ && !/;$/ { name = $0; sub(/\(.*/, "", name); sub(/.*[ *]/, "", name) }
/^\{/ { start = FNR }
/^\}/ && start { note(FILENAME ":" name, FNR - start - 1, 70); start = 0 }
END { note(file, lines, 800); exit bad }' tools/build/shape.allow
