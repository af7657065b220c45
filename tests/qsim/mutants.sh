#!/bin/sh
# mutants.sh [RUN] - each planted bug must be found by the simulator of the quorum, by an invariant that it breaks: a
# bug that is found for another reason does not count. MUTANT, seeds to try, then the invariants that may tell. Those
# that need many seeds are tried when SLOW is set (./check). Two run at a time. What a directed schedule shows is
# in tests/scenario (lines "mutant"); in the end every bug that the sources plant must have somebody who finds it.
run=${1:-tests/qsim/run}
export run
list() {
	cat <<-END
	BATCH_HALF_DONE         30    Q6
	VERSION_UNCHECKED       30    Q6
	READ_UNAPPLIED          30    Q6
	READ_NOT_ASKED          30    Q6
	SESSION_EARLY           30    Q7
	EPHEMERAL_OUTLIVES      30    Q8
	IMAGE_FORGETS_SESSIONS  30    Q9 Q4
	IMAGE_FORGETS_TIME      30    Q4
	VOTE_STALE_LOG          30    Q1 Q3
	VOTE_TWICE              30    Q1
	VOTE_UNSYNCED           30    Q9
	TAIL_UNCHECKED          30    Q4
	LOG_UNSYNCED            30    Q10 Q3
	DAMAGE_CUT              300   Q10 Q3 Q1 Q4
	READ_UNCONFIRMED        100   Q6
	LEARNER_COUNTS          150   Q10 Q3
	LOST_STILL_COUNTS       100   Q10 Q3
	IMAGE_UNSYNCED          600   Q10 Q9 Q4
	SEGMENT_GAP             300   Q10
	COMMIT_UNVERIFIED       300   Q4 Q2
	FOLDER_UNSYNCED         300   Q3 Q4
	LINK_STALE              900   Q10 Q7
	SNAPSHOT_UNSYNCED       600   Q10 Q9 Q4
	VOTE_NOT_AWAITED        1200  Q1
	REPEATED_APPLIED        600   Q5
	IMAGE_FORGETS_ORIGINS   600   Q4 Q5
	STRANGER_UNANSWERED     600   Q10
	END
}
list | awk -v slow="$SLOW" 'slow || $2 <= 30' | xargs -P 2 -L 1 sh -c '
	mutant=$0 seeds=$1; shift
	if out=$("$run" --seeds "$seeds" --mutant "$mutant" --want "$*" 2>&1); then
		echo "found: $mutant: $(echo "$out" | sed -n "s/^\(seed [0-9]*: [^(]*\).*/\1/p" | head -1)"
	else
		echo "MISSED: $mutant: $* not broken; $(echo "$out" | tail -1)"
		exit 1
	fi' || exit 1
cd "$(dirname "$0")/../.." || exit 1
for mutant in $(sed -n 's/.*[^a-z_]mutant(\([A-Z_]*\)).*/\1/p' src/raft/*.c src/quorum/*.c src/coord/*.c); do
	list | grep -q "^$mutant " || grep -q "^mutant $mutant " tests/scenario/*.txt ||
		grep -q "^$mutant " tests/jepsen/mutants.sh || { echo "UNSOUGHT: $mutant"; exit 1; }
done
