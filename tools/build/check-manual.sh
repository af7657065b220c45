#!/bin/sh
# check-manual.sh SRCDIR - options in the code and options in the man pages are the same, both ways;
# mandoc has nothing to say. A long option in code is a string "--name" or an entry { "name", ... }
# of a table marked "/* options: PAGE */".
cd "$1" || exit 2
bad=0
for page in man/*.[1-9]; do
	[ -e "$page" ] || continue
	if command -v mandoc >/dev/null 2>&1; then
		out=$(mandoc -Tlint -Wwarning "$page" 2>&1) || { echo "$out"; bad=1; }
	fi
	name=$(basename "$page")
	src=$(grep -lE "/\* options: ([a-z0-9.-]+ )*$name( |\*)" -r src tools --include='*.c' 2>/dev/null)
	[ -n "$src" ] || continue
	code=$(for f in $src; do awk -v page="$name" '
		/\/\* options: / { on = index($0, " " page " ") > 0 }
		on && /^\};/ { on = 0 }
		on && /CLI_COMMON/ { print "bootstrap"; print "output"; print "timeout"; print "help" }
		on && match($0, /\{ *"[a-z][a-z0-9-]*"/) {
			s = substr($0, RSTART, RLENGTH); gsub(/[{ "]/, "", s); print s }' "$f"; done | sort -u)
	man=$(grep -oE 'Fl -[a-z][a-z0-9-]*' "$page" | sed 's/^Fl -//' | sort -u)
	for o in $code; do
		echo "$man" | grep -qx -- "$o" || { echo "$page: option --$o of the code is not described"; bad=1; }
	done
	for o in $man; do
		echo "$code" | grep -qx -- "$o" || { echo "$page: option --$o is not in the code"; bad=1; }
	done
done
exit $bad
