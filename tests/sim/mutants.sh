#!/bin/sh
# mutants.sh [RUN] - each planted bug must be found by the simulator, by an invariant that it breaks: a bug that is
# found for another reason does not count. MUTANT, the seed that finds it, how many seeds to try when that one does so
# no longer (another workload gives it another meaning: then the new one is told), the invariants that may tell. What no
# random seed finds, directed.c shows; in the end every bug that the sources plant must have somebody who finds it.
run=${1:-tests/sim/run}
list() {
	cat <<-END
	COMMIT_SKIPS            1      300     T1
	COMMIT_BEFORE_STATE     1      300     T14 T7
	ONE_STATE_SLOT          1      300     T5
	COMMIT_BEFORE_WRITE     8       300     T2
	REPAIR_NO_CUT           7       300     T2
	REPAIR_NOT_CONSISTENT   3      300     W5
	APPEND_ALLOCATES        1      300     T4
	LOAD_UNCHECKED          1      300     T5
	START_GOES_BACK         134     1500    T6
	WATERMARK_BEFORE_COMMIT 1      300     T7
	ONLINE_EARLY            3      300     T7
	ROLL_KEEPS_GENERATION   1      300     T8
	HINTS_NOT_CLEARED       1      300     T9
	LINK_WITHOUT_INTENT     7       300     T10
	REPAIR_KEEPS_VERSIONS   9       300     W2
	EARLY_HIGH_WATERMARK    2      300     T11
	REPAIR_NO_ADVANCE       50      300     T11
	STABLE_IGNORES_OPEN     2      300     T12
	DELETE_FREES            1      300     T13
	CUT_KEEPS_GENERATION    2      300     T14
	GENERATION_NOT_KEPT     48      1500    T14
	ROLL_KEEPS_RESERVE      1      300     T15
	RESERVE_OUTLIVES_ROLL   29      300     T15
	ONE_VERSION             6       300     W2
	HOLES_ALLOWED           946     12000   L1
	READER_NO_RECHECK       351     4000    W4 W5 W9 L1
	DEDUP_FORGOTTEN         2      300     W2
	CLEAN_FOR_EVER          1607    5000    W1 W3
	WAKE_FORGOTTEN          2      300     W7
	BUSY_FORGOTTEN          3      300     W7
	RECOVERY_SKIPS_CRC      6       300     L1
	FOLDER_NOT_SYNCED       1      300     W1 W3
	FILES_BEFORE_STATE      141     5000    W1 W3
	SNAPSHOT_EARLY          1      300     L4
	ABORTED_NOT_SYNCED      3       300     W9
	ABORTED_NOT_CUT         1731    6000    W9
	INDEX_NOT_CUT           20      300     L6
	INDEX_UNCOMMITTED       98      2000    L6
	END
}
list | "$(dirname "$0")/each_mutant.sh" "$run" || exit 1
cd "$(dirname "$0")/../.." || exit 1
for mutant in $(sed -n 's/.*[^a-z_]mutant(\([A-Z_]*\)).*/\1/p' src/part/*.c src/log/*.c | sort -u); do
	list | grep -q "^$mutant " || grep -q "\"$mutant\"" tests/sim/directed.c ||
		grep -q "$mutant" tests/torture/*.sh || { echo "UNSOUGHT: $mutant"; exit 1; }
done
