/*
 * conf.h - settings: one table of all of them (proto/settings.def), values of a broker's file and
 * command line, checks of values.
 *
 * Names, types, defaults and ranges are Kafka's. A name that Kafka knows and that has no meaning
 * here is accepted and reported (CONF_IGNORED); any other unknown name is an error that names the
 * nearest known one. Is not: the dynamic settings of the cluster (meta/settings.h lays them over).
 */
#ifndef BASE_CONF_H
#define BASE_CONF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

enum conf_type {			/* numbers of DescribeConfigs */
	CONF_BOOLEAN = 1, CONF_STRING, CONF_INT, CONF_SHORT, CONF_LONG, CONF_DOUBLE, CONF_LIST,
	CONF_CLASS, CONF_PASSWORD,
};

enum conf_mode {			/* how it may be changed while the broker runs */
	CONF_READ_ONLY, CONF_PER_BROKER, CONF_CLUSTER_WIDE,
};

struct conf_def {
	const char *name;
	const char *def;		/* NULL: not set */
	const char *valid;		/* "": anything; "1..", "-1|1..9", "a|b" (of a list: each element) */
	const char *synonyms;		/* of a topic setting: broker settings "a,b*60000", first found wins */
	const char *doc;
	enum conf_type type;
	enum conf_mode mode;
};

extern const struct conf_def conf_defs[];		/* of a broker */
extern const uint32_t conf_defs_n;
extern const struct conf_def conf_topic_defs[];
extern const uint32_t conf_topic_defs_n;

/* NULL: no such setting. */
const struct conf_def *conf_def(struct str name);
const struct conf_def *conf_topic_def(struct str name);
/* Kafka knows the name and it has no meaning here. */
bool conf_is_foreign(struct str name);
/* An old topic setting that is accepted and dropped (message.format.version ...). */
bool conf_topic_is_foreign(struct str name);

#define CONF_ERR_BYTES 512
/* OK, or E_BAD with Kafka's words in err[CONF_ERR_BYTES]. */
int conf_check_value(const struct conf_def *d, struct str value, char *err);
bool conf_parse_int(struct str s, int64_t *ret);
bool conf_parse_bool(struct str s, bool *ret);
/* Next element of a comma list, trimmed; false at the end. *at: start with 0. */
bool conf_list_next(struct str list, int32_t *at, struct str *ret);

#define CONF_IGNORED 1			/* accepted, no effect; err says so */

struct conf;				/* the static settings of one broker */

struct conf *conf_open(void);		/* all defaults */
void conf_free(struct conf *c);
/* OK, CONF_IGNORED, E_NOENT (unknown, err names the nearest) or E_BAD (value). */
int conf_set(struct conf *c, struct str name, struct str value, char *err);
/*
 * A properties file: name=value a line, # and ! comments, blank lines, \ at a line's end. Stops at
 * the first error (err begins with "FILE:LINE: "); what is ignored is told to on_warning.
 */
int conf_parse(struct conf *c, const char *file, const char *text, size_t len, char *err,
	       void (*on_warning)(void *ctx, const char *msg), void *ctx);
/* Rules between settings; OK or E_BAD with err. Call after the last conf_set(). */
int conf_check(const struct conf *c, char *err);

/*
 * Takes over from `from` what a reload may change (what Kafka lets change cluster-wide, and log.level);
 * on_difference is told of each setting that differs.
 * Values taken out stay readable until conf_free(). Returns how many were taken.
 */
uint32_t conf_reload(struct conf *c, const struct conf *from,
		     void (*on_difference)(void *ctx, const struct conf_def *d, bool taken), void *ctx);
/* What was set, as a properties file. */
void conf_dump(const struct conf *c, struct buf *b);

/* By name; a name that is not in the table is a programmer's error. Unset numbers are -1. */
int64_t conf_int(const struct conf *c, const char *name);
bool conf_bool(const struct conf *c, const char *name);
const char *conf_str(const struct conf *c, const char *name);	/* NULL: not set */
bool conf_is_set(const struct conf *c, const char *name);	/* by file or command line */

#define CONF_LISTENERS_MAX 16
struct conf_listener {
	struct str name, host;		/* views into the settings; host may be empty: all addresses */
	uint16_t port;
	struct str protocol;		/* of listener.security.protocol.map */
	struct str adv_host;		/* of advertised.listeners, else host; empty: this machine's name */
	uint16_t adv_port;		/* 0: the port that was bound */
};
/* Number of listeners, or E_BAD with err. */
int conf_listeners(const struct conf *c, struct conf_listener *v, char *err);

#endif
