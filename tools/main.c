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

/* Edit distance, small words only: to name what was probably meant. */
static int distance(const char *a, const char *b)
{
	int row[64], la = (int)strlen(a), lb = (int)strlen(b);

	if (la > 60 || lb > 60)
		return 99;
	for (int j = 0; j <= lb; j++)
		row[j] = j;
	for (int i = 1; i <= la; i++) {
		int diag = row[0];

		row[0] = i;
		for (int j = 1; j <= lb; j++) {
			int up = row[j], best = diag + (a[i - 1] != b[j - 1]);

			best = up + 1 < best ? up + 1 : best;
			best = row[j - 1] + 1 < best ? row[j - 1] + 1 : best;
			row[j] = best;
			diag = up;
		}
	}
	return row[lb];
}

int main(int argc, char **argv)
{
	size_t near = 0;

	if (argc < 2)
		return usage(stderr);
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "help") == 0)
		return usage(stdout);
	if (strcmp(argv[1], "--version") == 0)
		argv[1] = "version";
	for (size_t i = 0; i < N; i++) {
		if (strcmp(argv[1], commands[i].name) == 0)
			return commands[i].run(argc - 2, argv + 2);
		if (distance(argv[1], commands[i].name) < distance(argv[1], commands[near].name))
			near = i;
	}
	fprintf(stderr, "moldau: unknown command \"%s\"; did you mean \"%s\"? See moldau --help.\n",
		argv[1], commands[near].name);
	return CLI_USAGE;
}
