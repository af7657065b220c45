#!/bin/sh
# wiregen_bad.sh - schemas that are not well-formed: wiregen must name the line and the reason,
# print nothing that compiles, and end with 1.
gen=tools/build/wiregen
work=$(mktemp -d) || exit 2
trap 'rm -rf "$work"' EXIT
bad=0 n=0

# expect LINE REASON: the schema is on stdin
expect() {
	cat >"$work/x.wire"
	n=$((n + 1))
	"$gen" header x "$work/x.wire" >"$work/out" 2>"$work/err" && {
		echo "TAKEN: $2"
		bad=1
		return
	}
	case $(head -n 1 "$work/err") in
	*"x.wire:$1: error: "*"$2"*) ;;
	*)
		echo "WRONG: want line $1, $2; got: $(cat "$work/err")"
		bad=1
		;;
	esac
	[ -s "$work/out" ] && { echo "OUTPUT in spite of an error: $2"; bad=1; }
}

printf 'message Good versions 0-3 added none flexible 2+\n\tname string? 1+ default null # why\n\tn int32 2+ tag 0 default -1\n\tmore [part] 3+ ignorable\nstruct part\n\tid uuid\n' >"$work/good.wire"
"$gen" header good "$work/good.wire" | grep -q '^extern const struct wire_type wire_good_part;' || {
	echo "a good schema is refused"
	bad=1
}

expect 1 "a field before the first message" <<'X'
	name string
X
expect 2 "unknown line: fields" <<'X'
# a comment counts as a line
fields
X
expect 3 "unknown type: nothing" <<'X'
message Bad versions 0
	a int32
	b nothing
X
expect 2 "bad type: [int32" <<'X'
message Bad versions 0
	a [int32
X
expect 2 "want versions such as" <<'X'
message Bad versions 0-4
	a int32 3-
X
expect 2 "make no range" <<'X'
message Bad versions 0-4
	a int32 4-3
X
expect 1 "no versions are given" <<'X'
message Bad flexible 0+
X
expect 1 "needs a last version" <<'X'
message Bad versions 0+
X
expect 1 "added versions must end" <<'X'
message Bad versions 4-6 added 0-2
X
expect 3 "field a is there already (line 2)" <<'X'
message Bad versions 0
	a int32
	a int16
X
expect 3 "tag 0 is there already (line 2)" <<'X'
message Bad versions 0 flexible 0+
	a int32 tag 0
	b int32 tag 0
X
expect 2 "a is tagged in version 0, which is not flexible" <<'X'
message Bad versions 0-1 flexible 1+
	a int32 tag 0
X
expect 2 "bad tag: x" <<'X'
message Bad versions 0 flexible 0+
	a int32 tag x
X
expect 2 "a cannot be null: only" <<'X'
message Bad versions 0
	a int32?
X
expect 2 "cannot be null by default: it is not nullable" <<'X'
message Bad versions 0
	a string default null
X
expect 2 "this default does not fit the type: 200" <<'X'
message Bad versions 0
	a int8 default 200
X
expect 2 "this default does not fit the type: 1" <<'X'
message Bad versions 0
	a bool default 1
X
expect 2 "this default does not fit the type: x" <<'X'
message Bad versions 0
	a string default x
X
expect 2 "a default is missing" <<'X'
message Bad versions 0
	a int8 default
X
expect 2 "unknown word: ignored" <<'X'
message Bad versions 0
	a int8 ignored
X
expect 2 "the message has no added versions" <<'X'
message Bad versions 0
	a int8 added
X
expect 2 "default is a word of C" <<'X'
message Bad versions 0
	default int8
X
expect 2 "want a name in snake_case, not: A" <<'X'
message Bad versions 0
	A int8
X
expect 1 "want a name in CamelCase, not: bad" <<'X'
message bad versions 0
X
expect 2 "a nullable structure must be null by default" <<'X'
message Bad versions 0
	a part?
struct part
	b int8
X
expect 3 "structure part is not used" <<'X'
message Bad versions 0
	a int8
struct part
	b int8
X
expect 3 "structure part contains itself" <<'X'
message Bad versions 0
	a [part]
struct part
	b [part]
X
expect 5 "struct bad_part is there already (line 3)" <<'X'
message Bad versions 0
	a [part]
struct part
	b int8
struct part
X
expect 2 "struct bad is there already (line 1)" <<'X'
message Bad versions 0
message Bad versions 0
X
expect 3 "key or name is used already: 7 Other" <<'X'
api 7 Bad versions 0
request
api 7 Other versions 0
X
expect 1 "request needs an api or record before it" <<'X'
request
X
expect 2 "records have key and value" <<'X'
api 7 Bad versions 0
key
X
expect 3 "a second request" <<'X'
api 7 Bad versions 0
request
request
X
expect 1 "bad key: x7" <<'X'
api x7 Bad versions 0
X
expect 1 "unknown line: struct" <<'X'
struct part more
X
"$gen" header x "$work/none.wire" 2>"$work/err" && bad=1
grep -q "none.wire:0: error: cannot open" "$work/err" || { echo "no message for a missing file"; bad=1; }
echo "$n bad schemas tried"
exit $bad
