#!/bin/sh
# check-single-use.sh SRCDIR - an exported function that no other file names should be static.
# A function counts as exported when a header under src/ declares it. single-use.allow names those
# that are an interface on purpose (first word: the name, the rest: why; a name without a reason fails).
cd "$1" || exit 2
allow=tools/build/single-use.allow
awk '!/^#/ && NF == 1 { print FILENAME ": " $1 " has no reason"; bad = 1 } END { exit bad }' "$allow" || exit 1
exported=$(mktemp) || exit 2
trap 'rm -f "$exported"' EXIT
find src -name '*.h' ! -path 'src/io/*' | sort | xargs awk '
	/^[a-z].*[ *][a-z_0-9]+\(/ && !/^static/ && !/^typedef/ && !/^#/ && !/=/ {
		s = $0; sub(/\(.*/, "", s); sub(/.*[ *]/, "", s)
		if (s ~ /^[a-z][a-z0-9_]*_[a-z0-9_]+$/) print s, FILENAME
	}' | sort -u >"$exported"
# Each name is counted once a file, its header left out.
found=$(awk -v allow="$allow" '
	FILENAME == allow { allowed[$1]; next }
	FILENAME == ARGV[2] { if (!($1 in allowed)) { headers[$1] = headers[$1] " " $2 } next }
	{
		gsub(/[^A-Za-z0-9_]+/, " ")
		for (i = 1; i <= NF; i++)
			if ($i in headers && !(($i, FILENAME) in seen)) { seen[$i, FILENAME]; files[$i]++ }
	}
	END {
		for (name in headers) {
			n = split(headers[name], header, " ")
			for (i = 1; i <= n; i++) {
				uses = files[name] - ((name, header[i]) in seen)
				if (uses < 2)
					print header[i] ": " name " is used in " uses " file(s): make it static, or name it in " allow
			}
		}
	}' "$allow" "$exported" $(find src tools tests bench -name '*.[ch]') | sort)
[ -z "$found" ] && exit 0
echo "$found"
exit 1
