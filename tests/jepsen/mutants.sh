#!/bin/sh
# mutants.sh - planted bugs of the quorum, each to be found by the rule that it breaks (history.py). Two minutes.
here=$(dirname "$0")
status=0
while read -r mutant rule seconds; do
	"$here/run" --seed 3 --seconds "$seconds" --mutant "$mutant" --want "$rule" >/tmp/jepsen-mutant.$$ 2>&1 || status=1
	grep "^$mutant:" /tmp/jepsen-mutant.$$ || tail -3 /tmp/jepsen-mutant.$$
done <<END
CLIENT_VERSION_UNCHECKED H4 6
CLIENT_HALF_DONE H2 6
EPHEMERAL_OUTLIVES H6 6
READ_UNAPPLIED H3 10
LOG_UNSYNCED H3 40
END
rm -f /tmp/jepsen-mutant.$$
exit $status
