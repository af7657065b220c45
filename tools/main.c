/* main.c - the `moldau` command: one binary, one file a subcommand. man/moldau.1 */
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "cli.h"
#include "config.h"

static int cmd_version(int argc, char **argv)
{
	static const struct cli_option options[] = {
		{ "output", true, "FORMAT", "table (default) or json" },
		{ "help", false, NULL, "this text" },
		{ NULL, false, NULL, NULL },
	};
	struct cli c;

	if (!cli_parse(&c, "moldau version", "moldau version [--output json]", options, argc, argv))
		return CLI_USAGE;
	if (cli_json(&c))
		printf("{\"version\":\"%s\",\"kafka_protocol\":\"4.4\"}\n", PACKAGE_VERSION);
	else
		printf("moldau %s (protocol of Apache Kafka 4.4)\n", PACKAGE_VERSION);
	return CLI_OK;
}

static const struct {
	const char *name;
	int (*run)(int argc, char **argv);
	const char *help;
} commands[] = {
	{ "dev", cmd_dev, "run a whole cluster (quorum and broker) in the foreground" },
	{ "topics", cmd_topics, "list, create, describe, delete topics; add partitions" },
	{ "produce", cmd_produce, "send lines of the standard input to a topic" },
	{ "consume", cmd_consume, "print the records of a topic" },
	{ "groups", cmd_groups, "list, describe, delete consumer groups" },
	{ "quorum", cmd_quorum, "status and members of the coordination service, its tree" },
	{ "log", cmd_log, "print what is in segment files (log dump FILE...)" },
	{ "version", cmd_version, "print the version" },
};

#define N (sizeof commands / sizeof commands[0])

static int usage(FILE *to)
{
	fputs("usage: moldau COMMAND [OPTION]...\n\ncommands:\n", to);
	for (size_t i = 0; i < N; i++)
		fprintf(to, "  %-10s %s\n", commands[i].name, commands[i].help);
	fputs("\n\"moldau COMMAND --help\" tells the options of a command; \"man moldau\" the rest.\n", to);
	return to == stdout ? CLI_OK : CLI_USAGE;
}

int main(int argc, char **argv)
{
	const char *near = NULL;
	if (argc < 2)
		return usage(stderr);
	int best = str_far(str_of(argv[1]));

	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 || (strcmp(argv[1], "help") == 0 && argc == 2))
		return usage(stdout);
	if (strcmp(argv[1], "help") == 0) {	/* help COMMAND */
		static char option[] = "--help";

		argv[1] = argv[2];
		argv[2] = option;
		argc = 3;
	}
	if (strcmp(argv[1], "--version") == 0)
		argv[1] = "version";
	for (size_t i = 0; i < N; i++) {
		if (strcmp(argv[1], commands[i].name) == 0)
			return commands[i].run(argc - 2, argv + 2);
		int n = str_distance(str_of(argv[1]), str_of(commands[i].name));

		if (n < best) {
			best = n;
			near = commands[i].name;
		}
	}
	fprintf(stderr, "moldau: unknown command \"%s\"", argv[1]);
	if (near)
		fprintf(stderr, "; did you mean \"%s\"?", near);
	fputs(near ? " See moldau --help.\n" : ". See moldau --help.\n", stderr);
	return CLI_USAGE;
}
