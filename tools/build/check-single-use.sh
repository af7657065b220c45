#!/bin/sh
# check-single-use.sh SRCDIR - an exported function that no other file names should be static.
# A function counts as exported when a header under src/ declares it. single-use.allow names those
# that are an interface on purpose (first word: the name, the rest: why; a name without a reason fails).
cd "$1" || exit 2
allow=tools/build/single-use.allow
awk '!/^#/ && NF == 1 { print FILENAME ": " $1 " has no reason"; bad = 1 } END { exit bad }' "$allow" || exit 1
all=$(mktemp) || exit 2
trap 'rm -f "$all"' EXIT
find src tools tests bench -name '*.[ch]' | sort >"$all"
found=$(find src -name '*.h' ! -path 'src/io/*' | sort | xargs awk '
	FNR == 1 { inc = 0 }
	/^[a-z].*[ *][a-z_0-9]+\(/ && !/^static/ && !/^typedef/ && !/^#/ && !/=/ {
		s = $0; sub(/\(.*/, "", s); sub(/.*[ *]/, "", s)
		if (s ~ /^[a-z][a-z0-9_]*_[a-z0-9_]+$/) print s, FILENAME
	}' | sort -u | while read -r name header; do
	grep -q "^$name[ 	]" "$allow" && continue
	own=${header%.h}
	n=$(xargs grep -lw -- "$name" <"$all" | grep -v "^$header\$" | wc -l)
	[ "$n" -ge 2 ] || echo "$header: $name is used in $n file(s): make it static, or name it in $allow"
done)
[ -z "$found" ] && exit 0
echo "$found"
exit 1
