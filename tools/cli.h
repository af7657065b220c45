/*
 * cli.h - what the subcommands of `moldau` share: options, errors, tables, JSON, exit codes.
 *
 * Exit codes: 0 done; 1 the cluster said no, or part of the work failed; 2 wrong usage;
 * 3 the cluster could not be reached. (man/moldau.1)
 */
#ifndef TOOLS_CLI_H
#define TOOLS_CLI_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

enum cli_exit { CLI_OK = 0, CLI_FAILED = 1, CLI_USAGE = 2, CLI_UNREACHABLE = 3 };

struct cli_option {
	const char *name;		/* long name without dashes */
	bool has_value;
	const char *value_name;		/* for --help */
	const char *help;
};

/* The parsed line of a subcommand: values by option name, then what is left. */
struct cli {
	const char *program;		/* "moldau topics" */
	const struct cli_option *options;	/* ends with name NULL */
	struct { const char *name, *value; } set[64];
	int n_set;
	const char *args[64];
	int n_args;
};

/* Fills c from argv (subcommand's own words). False: usage was printed to stderr; exit CLI_USAGE.
 * --help prints synopsis and options to stdout and exits 0. */
bool cli_parse(struct cli *c, const char *program, const char *synopsis,
	       const struct cli_option *options, int argc, char **argv);
/* Value of an option, or fallback. Repeated options: cli_values(). */
const char *cli_value(const struct cli *c, const char *name, const char *fallback);
bool cli_has(const struct cli *c, const char *name);
/* The i-th value given for a repeated option, or NULL. */
const char *cli_values(const struct cli *c, const char *name, int i);
/* A number in [min, max]; prints an error and exits CLI_USAGE when it is not one. */
int64_t cli_number(const struct cli *c, const char *name, int64_t fallback, int64_t min, int64_t max);
bool cli_json(const struct cli *c);	/* --output json */

/* What a command can do; args are those behind the verb, as in its usage line. */
struct cli_verb {
	const char *name;
	int least, most;		/* arguments */
	const char *args;		/* "PATH VALUE"; "" for none */
};
/* Which of the n verbs the line begins with; -1: an error was printed, exit CLI_USAGE. */
int cli_verb(const struct cli *c, const struct cli_verb *v, int n);

/* The name nearest to a word that is none, among those tried; NULL: none is near. */
struct cli_near {
	const char *word, *name;
	int best;
};
struct cli_near cli_near(const char *word);
void cli_near_try(struct cli_near *n, const char *name);

/* Three lines at most: what happened, the details, what to do next (the last two may be NULL). */
void cli_error(const char *what, const char *detail, const char *hint);

/* An aligned table: columns are as wide as their widest cell; numbers to the right. */
struct cli_table;
struct json_t;
struct cli_table *cli_table_new(int columns, const char *const *heads);
void cli_table_cell(struct cli_table *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void cli_table_print(struct cli_table *t, FILE *to);	/* frees it */
void cli_table_free(struct cli_table *t);
int cli_table_rows(const struct cli_table *t);		/* without the heads */

/* To stdout, and freed; flags are jansson's. */
void cli_print_json(struct json_t *j, size_t flags);
/* o.NAME: null for len < 0, the text, or o.NAME_hex when it is not UTF-8. */
void cli_json_bytes(struct json_t *o, const char *name, const uint8_t *p, int32_t len);

/* The options every subcommand that talks to a cluster has. */
#define CLI_COMMON \
	{ "bootstrap", true, "HOST:PORT", "a broker of the cluster (default 127.0.0.1:9092, or $MOLDAU_BOOTSTRAP)" }, \
	{ "output", true, "FORMAT", "table (default) or json" }, \
	{ "timeout", true, "SECONDS", "how long to wait for the cluster (default 30)" }, \
	{ "help", false, NULL, "this text" }, \
	{ NULL, false, NULL, NULL }

int cmd_dev(int argc, char **argv);
int cmd_topics(int argc, char **argv);
int cmd_produce(int argc, char **argv);
int cmd_consume(int argc, char **argv);
int cmd_groups(int argc, char **argv);
int cmd_quorum(int argc, char **argv);
int cmd_log(int argc, char **argv);

#endif
