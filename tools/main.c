/* main.c - the `moldau` command: one binary, one file a subcommand. man/moldau.1 */
#include <stdio.h>
#include <string.h>

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
	if (c.n_args > 0) {
		fprintf(stderr, "moldau version: unexpected argument \"%s\"\n", c.args[0]);
		return CLI_USAGE;
	}
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
	if (argc < 2)
		return usage(stderr);

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
	struct cli_near near = cli_near(argv[1]);
	for (size_t i = 0; i < N; i++) {
		if (strcmp(argv[1], commands[i].name) == 0)
			return commands[i].run(argc - 2, argv + 2);
		cli_near_try(&near, commands[i].name);
	}
	fprintf(stderr, "moldau: unknown command \"%s\"", argv[1]);
	if (near.name)
		fprintf(stderr, "; did you mean \"%s\"?", near.name);
	fputs(near.name ? " See moldau --help.\n" : ". See moldau --help.\n", stderr);
	return CLI_USAGE;
}
