/*
 * bench.h - parts of bench/run: raw-frame generator, servers under test, floors.
 *
 * Frames are encoded once and sent again and again with another correlation id, so that the
 * generator costs little and the server's CPU is what is measured. Everything dies with a message
 * (die()) when it cannot go on: a measurement that is half done is none.
 */
#ifndef BENCH_BENCH_H
#define BENCH_BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* ---- time and latencies --------------------------------------------------------------------- */

#define HIST_SUB 32
#define HIST_N (44 * HIST_SUB)

struct hist {				/* of nanoseconds, to about 3 % */
	uint64_t n;
	uint64_t at[HIST_N];
};

uint64_t now_ns(void);
void die(const char *fmt, ...) __attribute__((noreturn, format(printf, 1, 2)));
void hist_add(struct hist *h, uint64_t ns);
void hist_merge(struct hist *h, const struct hist *from);
/* Microseconds below which the share q of all lies; 0 when there are none. */
double hist_us(const struct hist *h, double q);
double median(double *v, int n);
/* Touches the memory that is free, once: on a virtual machine the first use of a page costs a second a GB, whoever
 * is the one that uses it. */
void memory_touch(void);

/* ---- frames (frames.c) ---------------------------------------------------------------------- */

struct frame {
	uint8_t *p;			/* with its length word; correlation id at FRAME_CORR_AT */
	size_t len;
	size_t patch_at;		/* Produce: partition index; Fetch: the same, offset 8 behind it */
};

#define FRAME_CORR_AT 8

/* One batch v2 of exactly `bytes` bytes, of records of about 1 KiB. Returns the number of records. */
int batch_make(uint8_t *p, size_t bytes);
struct frame frame_produce(const char *topic, size_t batch_bytes, int16_t acks);
struct frame frame_fetch(const char *topic, uint32_t max_bytes, int32_t max_wait_ms);
struct frame frame_metadata(const char *topic);

/* Blocking calls on a connection of their own. */
int dial(int port);			/* -1: refused */
int dial_or_die(int port);
void send_all(int fd, const void *p, size_t n);
/* One whole answer without its length word; its length, or -1 when the connection ended. */
ssize_t recv_frame(int fd, uint8_t *p, size_t cap);
/* Unless keep, segments are small and old ones are deleted as new ones come, as in a broker that has run
 * for long, and memory is used again (the first use of a page may cost a virtual machine far more than
 * the write). durability: NULL for none (Kafka knows no such setting). */
void topic_create(int port, const char *name, int parts, const char *durability, bool keep);
void topic_delete(int port, const char *name);
/* Are all partitions of the topic led and answering ListOffsets? Says how many do. */
int topic_answering(int port, const char *name, int parts);
/* Does a Metadata answer name a broker? */
bool metadata_ok(int port);

/* ---- generator (gen.c) ---------------------------------------------------------------------- */

enum gen_kind { GEN_PRODUCE, GEN_FETCH, GEN_METADATA };

struct gen_conf {
	enum gen_kind kind;
	int port;
	int conns, depth, threads, parts;
	const struct frame *frame;
	size_t payload;			/* Produce: bytes of a batch; Fetch: asked for */
	uint64_t log_bytes;		/* Fetch: bytes of a partition that may be read */
	uint32_t batch_bytes;		/* Fetch: of one batch there ... */
	uint32_t batch_records;		/* ... and offsets it takes */
	double rate;			/* requests a second over all, on a fixed schedule; 0: as many as go */
};

struct gen_count {			/* what was answered until now */
	uint64_t requests, bytes;
};

struct gen;
struct gen *gen_start(const struct gen_conf *conf);
struct gen_count gen_count(const struct gen *g);
/* Latencies from now on. */
void gen_reset(struct gen *g);
/* Ends, adds up the latencies and frees. */
void gen_stop(struct gen *g, struct hist *ret);

/* ---- servers under test (server.c) ---------------------------------------------------------- */

struct server {
	pid_t pid;
	int port;
	char dir[256];
	int out;			/* its standard output and error */
	bool kafka;
	double start_ms;		/* from fork to the first Metadata answer */
};

/* `moldau dev` in a fresh folder under base; extra: more arguments, NULL at the end, or NULL. */
void server_start(struct server *s, const char *base, int workers, const char *const *extra);
/* Apache Kafka from the folder of jars; false with a reason when it cannot be had. */
bool kafka_start(struct server *s, const char *base, const char *jars);
void server_stop(struct server *s);
/* Reads what the server printed until `text` shows up at or after now; seconds waited, < 0: too long. */
double server_wait_line(struct server *s, const char *text, double seconds);
void server_drop_output(struct server *s);

/* CPU seconds (user and system) that the process and all its descendants have used. */
double tree_cpu(pid_t pid);
/* Proportional set size in KiB: of the tree; of one process. */
uint64_t tree_pss(pid_t pid);
uint64_t pid_pss(pid_t pid);
/* Descendants whose command line has `what`; the number found. */
int tree_find(pid_t pid, const char *what, pid_t *ret, int cap);
uint64_t folder_blocks(const char *path);

/* ---- floors (floor.c): one process, plain loops --------------------------------------------- */

enum floor_kind { FLOOR_PRODUCE, FLOOR_FETCH };

struct floor {
	pid_t pid;
	int port;
};

/* recv, CRC, one pwritev a partition and turn, short answer; or a short answer and sendfile. */
void floor_start(struct floor *f, enum floor_kind kind, const char *base, int parts, size_t payload,
		 uint64_t log_bytes);
void floor_stop(struct floor *f);
/* Microseconds of append + fdatasync of `bytes`, one after another. */
void floor_sync(const char *base, size_t bytes, double seconds, struct hist *ret);

/* ---- append back ends (backend.c) ----------------------------------------------------------- */

void backends_run(const char *base, double seconds, bool json);

void rm_rf(const char *path);

#endif
