#!/bin/sh
# check-banned.sh SRCDIR - calls that have a safer replacement: none of them may appear in what is
# shipped (tests and the build's own generator are left out).
# Also: comparing secrets with memcmp or strcmp in authentication code.
cd "$1" || exit 2
bad=0
found=$(find src tools bench -name '*.[ch]' ! -path 'tools/build/*' | sort | xargs grep -nE \
	'(^|[^A-Za-z0-9_])(strcpy|strcat|sprintf|vsprintf|strtok|gmtime|localtime|asctime|ctime|gets|atoi|atol|alloca|tmpnam|mktemp)[[:space:]]*\(' |
	grep -vE ':[0-9]+:[[:space:]]*(\*|/\*|//)')
[ -n "$found" ] && { echo "banned call:"; echo "$found"; bad=1; }
found=$(find src -name '*.c' | grep -E '/(sasl|auth|scram|tls)[a-z_]*\.c$' | xargs -r grep -nE '(memcmp|strcmp)[[:space:]]*\(')
[ -n "$found" ] && { echo "secret compared in variable time:"; echo "$found"; bad=1; }
# malloc only in base/mem.c
found=$(find src tools -name '*.[ch]' ! -path src/base/mem.c ! -path 'tools/build/*' | sort | xargs grep -nE \
	'(^|[^A-Za-z0-9_])(malloc|calloc|realloc|strdup|strndup|asprintf)[[:space:]]*\(' |
	grep -vE ':[0-9]+:[[:space:]]*(\*|/\*|//)')
[ -n "$found" ] && { echo "allocation outside base/mem.c:"; echo "$found"; bad=1; }
exit $bad
