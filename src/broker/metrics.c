/*
 * metrics.c - see metrics.h. Counters are summed over the processes; a restarted process goes on
 * where the dead one stopped, so sums never fall while the broker runs.
 */
#include "broker/metrics.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "base/conf.h"
#include "broker/counters.h"
#include "broker/super.h"

struct row {
	const char *name, *labels, *help;
};

static const struct row rows[] = {
#define COUNTER(id, name, labels, help) { name, labels, help },
#include "proto/counters.def"
#undef COUNTER
};

static void head(struct buf *b, const char *name, const char *type, const char *help)
{
	char line[512];
	int n = snprintf(line, sizeof line, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);

	buf_put(b, line, (size_t)n < sizeof line ? (size_t)n : sizeof line - 1);
}

static void value(struct buf *b, const char *name, const char *labels, uint64_t v)
{
	char line[512];
	int n = snprintf(line, sizeof line, labels[0] != 0 ? "%s{%s} %" PRIu64 "\n" : "%s%s %" PRIu64 "\n",
			 name, labels, v);

	buf_put(b, line, (size_t)n < sizeof line ? (size_t)n : sizeof line - 1);
}

static void counters(struct role_env *env, struct buf *b)
{
	for (unsigned i = 0; i < COUNTERS_N; i++) {
		uint64_t sum = 0;

		for (unsigned p = 0; p < PROC_N; p++)
			sum += atomic_load_explicit(&bell_counters(env->bells, p)[i], memory_order_relaxed);
		if (i == 0 || strcmp(rows[i].name, rows[i - 1].name) != 0)
			head(b, rows[i].name, "counter", rows[i].help);
		value(b, rows[i].name, rows[i].labels, sum);
	}
}

/* Under `moldau dev`: it writes how often it started the quorum again. False: nobody watches one here. */
static bool restarts_of_quorum(struct role_env *env, uint64_t *ret)
{
	struct disk *d = env->disk;
	char path[600], text[24];
	size_t got = 0;
	int64_t v;
	int file;

	snprintf(path, sizeof path, "%s/quorum.restarts", env->run_dir);
	if (d->calls->open(d, path, DISK_RDONLY, &file) != OK)
		return false;
	bool ok = d->calls->pread(d, file, text, sizeof text, 0, &got) == OK && got > 1 &&
		  conf_parse_int((struct str){ text, (int32_t)got - 1 }, &v) && v >= 0;
	d->calls->close(d, file);
	*ret = ok ? (uint64_t)v : 0;
	return ok;
}

static void processes(struct role_env *env, struct buf *b)
{
	char labels[64];
	uint64_t v;

	head(b, "moldau_process_restarts_total", "counter", "Processes that died and were replaced, by role");
	for (int r = 0; r < SUPER_ROLES; r++) {
		snprintf(labels, sizeof labels, "role=\"%s\"", super_role_name((enum super_role)r));
		value(b, "moldau_process_restarts_total", labels,
		      atomic_load(bell_word(env->bells, (enum bell_word)(BELL_RESTARTS_ROLE + r))));
	}
	if (restarts_of_quorum(env, &v))
		value(b, "moldau_process_restarts_total", "role=\"quorum\"", v);
	head(b, "moldau_process_hangs_total", "counter", "Processes that showed no sign of life and were killed");
	value(b, "moldau_process_hangs_total", "", atomic_load(bell_word(env->bells, BELL_HANGS)));
	head(b, "moldau_process_violations_total", "counter",
	     "Processes that tried a forbidden system call and ended by it");
	value(b, "moldau_process_violations_total", "", atomic_load(bell_word(env->bells, BELL_VIOLATIONS)));
	head(b, "moldau_partition_table_resets_total", "counter",
	     "How often all processes were restarted to make the partition table anew");
	value(b, "moldau_partition_table_resets_total", "", atomic_load(bell_word(env->bells, BELL_RESETS)));
	head(b, "kafka_server_socket_server_metrics_connection_count", "gauge", "Client connections by worker");
	for (int w = 0; w < env->workers; w++) {
		snprintf(labels, sizeof labels, "networkProcessor=\"%d\"", w);
		value(b, "kafka_server_socket_server_metrics_connection_count", labels,
		      atomic_load_explicit(&bell_load(env->bells, (unsigned)w)->conns, memory_order_relaxed));
	}
	head(b, "moldau_worker_busy_permille", "gauge", "CPU time of a worker's loop over the last moments");
	for (int w = 0; w < env->workers; w++) {
		snprintf(labels, sizeof labels, "worker=\"%d\"", w);
		value(b, "moldau_worker_busy_permille", labels,
		      atomic_load_explicit(&bell_load(env->bells, (unsigned)w)->busy_permille,
					   memory_order_relaxed));
	}
	head(b, "moldau_image_generation", "gauge", "Newest cluster image published in this broker");
	value(b, "moldau_image_generation", "", atomic_load(bell_word(env->bells, BELL_IMAGE_GEN)));
}

static void partitions(struct role_env *env, struct buf *b)
{
	struct part_counts c;
	uint64_t states[PART_DELETING + 1] = { 0 };

	if (env->table == NULL)
		return;
	part_counts(env->table, &c);
	const struct { const char *name, *help; uint64_t v; } sums[] = {
		{ "moldau_partition_lock_repairs_total", "Locks whose owner died; the record was repaired",
		  c.lock_repairs },
		{ "moldau_partition_torn_tails_total", "Files cut back to the committed end by a repair",
		  c.torn_tails },
		{ "moldau_partition_dropped_versions_total", "Uncommitted producer states dropped by a repair",
		  c.dropped_versions },
		{ "moldau_partition_duplicates_total", "Batches answered as duplicates", c.dedups },
		{ "moldau_partition_appends_total", "Batches committed", c.appends },
		{ "moldau_partition_append_bytes_total", "Bytes committed", c.append_bytes },
		{ "moldau_partition_rebuilt_total", "Records rebuilt from their files", c.rebuilt },
		{ "moldau_partition_recovered_total", "Replicas that were made from their files", c.recovered },
		{ "moldau_recovery_scanned_segments_total", "Log segments read by that", c.scanned_files },
		{ "moldau_recovery_scanned_bytes_total", "Bytes of log segments read by that", c.scanned_bytes },
		{ "moldau_partition_long_files_total", "Files longer than committed without a death; must stay 0",
		  c.long_files },
		{ "moldau_partition_producers_evicted_total", "Live producers pushed out of the full slab",
		  c.producers_evicted },
		{ "moldau_partition_lock_busy_total", "Appends that found the lock taken", c.busy },
	};
	for (size_t i = 0; i < sizeof sums / sizeof sums[0]; i++) {
		head(b, sums[i].name, "counter", sums[i].help);
		value(b, sums[i].name, "", sums[i].v);
	}
	for (uint32_t s = 0; s < part_slots_end(env->table); s++) {
		enum part_state st = part_slot_state(env->table, s);

		if ((unsigned)st <= PART_DELETING)
			states[st]++;
	}
	head(b, "kafka_server_replicamanager_partitioncount", "gauge", "Replicas that this broker serves");
	value(b, "kafka_server_replicamanager_partitioncount", "", states[PART_ONLINE]);
	head(b, "kafka_server_replicamanager_offlinereplicacount", "gauge", "Replicas whose log directory failed");
	value(b, "kafka_server_replicamanager_offlinereplicacount", "", states[PART_OFFLINE]);
}

void metrics_text(struct role_env *env, struct buf *page)
{
	counters(env, page);
	processes(env, page);
	partitions(env, page);
}
