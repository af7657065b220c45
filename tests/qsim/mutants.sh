#!/bin/sh
# mutants.sh [RUN] - each planted bug must be found by the simulator of the quorum: tests/sim/mutants.sh tells how.
# What a directed schedule shows is in tests/scenario (lines "mutant"); in the end every bug that the sources plant must
# have somebody who finds it.
run=${1:-tests/qsim/run}
list() {
	cat <<-END
	BATCH_HALF_DONE         1      30      Q6
	VERSION_UNCHECKED       1      30      Q6
	READ_UNAPPLIED          2      30      Q6
	READ_NOT_ASKED          1      30      Q6
	SESSION_EARLY           2      30      Q7
	OLD_END_RESENT          2030    3000    Q7
	EPHEMERAL_OUTLIVES      1      30      Q8
	IMAGE_FORGETS_SESSIONS  1      30      Q9 Q4
	IMAGE_FORGETS_TIME      1      30      Q4
	VOTE_STALE_LOG          3      30      Q1 Q3
	VOTE_TWICE              14     30      Q1
	VOTE_UNSYNCED           1      30      Q9
	TAIL_UNCHECKED          25     30      Q4
	LOG_UNSYNCED            1      30      Q10 Q3
	DAMAGE_CUT              191    300     Q10 Q3 Q1 Q4
	READ_UNCONFIRMED        40     100     Q6
	LEARNER_COUNTS          79     150     Q10 Q3
	LOST_STILL_COUNTS       413    900     Q10 Q3
	IMAGE_UNSYNCED          122    600     Q10 Q9 Q4
	SEGMENT_GAP             17     300     Q10
	COMMIT_UNVERIFIED       12     300     Q4 Q2
	FOLDER_UNSYNCED         10     300     Q3 Q4
	LINK_STALE              496    900     Q10 Q7
	SNAPSHOT_UNSYNCED       93     600     Q10 Q9 Q4
	VOTE_NOT_AWAITED        216    1200    Q1
	REPEATED_APPLIED        28     600     Q5
	IMAGE_FORGETS_ORIGINS   35     600     Q4 Q5
	STRANGER_UNANSWERED     79     600     Q10
	TRUSTS_CACHE            339    2000    Q10 Q3 Q1
	END
}
zookeeper() {
	cat <<-END
	WATCH_STAYS             1      30      Q11
	TOLD_TWICE              1      30      Q11
	ANSWER_FIRST            1      30      Q5 Q11
	MISSED_UNTOLD           2      30      Q11
	RESET_KEEPS             167    600     Q11
	OLD_STAYS               1      30      Q12
	READ_OVERTAKES          1      30      Q13
	SYNC_LOCAL              6      30      Q6
	ALONE_KEEPS             204      300     Q12 Q7
	LEARNER_LOST            26      1000    Q10
	END
}
zookeeper | MODE=--zookeeper "$(dirname "$0")/../sim/each_mutant.sh" "$run" || exit 1
list | "$(dirname "$0")/../sim/each_mutant.sh" "$run" || exit 1
cd "$(dirname "$0")/../.." || exit 1
for mutant in $(sed -n 's/.*[^a-z_]mutant(\([A-Z_]*\)).*/\1/p' src/raft/*.c src/quorum/*.c src/coord/*.c); do
	{ list; zookeeper; } | grep -q "^$mutant " || grep -q "^mutant $mutant " tests/scenario/*.txt ||
		grep -q "^$mutant " tests/jepsen/mutants.sh || { echo "UNSOUGHT: $mutant"; exit 1; }
done
