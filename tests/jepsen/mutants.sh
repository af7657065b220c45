#!/bin/sh
# mutants.sh - planted bugs of the quorum, each to be found by the rule that it breaks (history.py). Three minutes.
here=$(dirname "$0")
status=0 log=$(mktemp)
while read -r mutant rule seconds more; do
	"$here/run" --seed 3 --seconds "$seconds" --mutant "$mutant" --want "$rule" $more >"$log" 2>&1 || status=1
	grep "^$mutant:" "$log" || tail -3 "$log"
done <<END
CLIENT_VERSION_UNCHECKED H4 6
CLIENT_HALF_DONE H2 6
EPHEMERAL_OUTLIVES H6 6
READ_NOT_ASKED H3 60 --faults freeze
LOG_UNSYNCED H3 40
END
rm -f "$log"
exit $status
