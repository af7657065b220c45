/* cli.c - options, tables and errors of the `moldau` command. See cli.h. */
#include "cli.h"

#include <errno.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"

static void help(const struct cli *c, const char *synopsis, FILE *to)
{
	fprintf(to, "usage: %s\n", synopsis);
	if (to == stderr) {
		fprintf(to, "See %s --help.\n", c->program);
		return;
	}
	fputs("\noptions:\n", to);
	for (const struct cli_option *o = c->options; o->name; o++) {
		char left[64];

		snprintf(left, sizeof left, "--%s%s%s", o->name, o->has_value ? " " : "",
			 o->has_value ? o->value_name : "");
		fprintf(to, "  %-28s %s\n", left, o->help);
	}
}

/* An option's name; Kafka's tools call --bootstrap so, too. */
static const struct cli_option *find(const struct cli *c, const char *name, size_t len)
{
	if (str_is((struct str){ name, (int32_t)len }, "bootstrap-server"))
		len = strlen("bootstrap");
	for (const struct cli_option *o = c->options; o->name; o++)
		if (strlen(o->name) == len && memcmp(o->name, name, len) == 0)
			return o;
	return NULL;
}

struct cli_near cli_near(const char *word)
{
	return (struct cli_near){ word, NULL, str_far(str_of(word)) };
}

void cli_near_try(struct cli_near *n, const char *name)
{
	int d = str_distance(str_of(n->word), str_of(name));

	if (d < n->best) {
		n->best = d;
		n->name = name;
	}
}

int cli_verb(const struct cli *c, const struct cli_verb *v, int n)
{
	const char *word = c->n_args > 0 ? c->args[0] : "";
	struct cli_near near = cli_near(word);

	for (int i = 0; i < n; i++) {
		int args = c->n_args - 1;

		cli_near_try(&near, v[i].name);
		if (strcmp(word, v[i].name) != 0)
			continue;
		if (args >= v[i].least && args <= v[i].most)
			return i;
		if (args > v[i].most)
			fprintf(stderr, "%s %s: unexpected argument \"%s\"\n", c->program, word,
				c->args[v[i].most + 1]);
		else
			fprintf(stderr, "%s %s: an argument is missing\n", c->program, word);
		fprintf(stderr, "  usage: %s %s%s%s [OPTION]...\n", c->program, word, *v[i].args ? " " : "", v[i].args);
		return -1;
	}
	if (*word && near.name)
		fprintf(stderr, "%s: unknown command \"%s\"; did you mean \"%s\"?\n", c->program, word, near.name);
	else if (*word)
		fprintf(stderr, "%s: unknown command \"%s\"\n", c->program, word);
	else
		fprintf(stderr, "%s: what to do?\n", c->program);
	for (int i = 0; i < n; i++)
		fprintf(stderr, "  %s %s%s%s\n", c->program, v[i].name, *v[i].args ? " " : "", v[i].args);
	return -1;
}

static void unknown_option(const struct cli *c, const char *a, size_t len)
{
	char word[64];

	snprintf(word, sizeof word, "%.*s", (int)len, a + 2);
	struct cli_near near = cli_near(word);

	for (const struct cli_option *o = c->options; o->name; o++)
		cli_near_try(&near, o->name);
	fprintf(stderr, "%s: unknown option %.*s", c->program, (int)len + 2, a);
	if (near.name)
		fprintf(stderr, "; did you mean --%s?", near.name);
	fputc('\n', stderr);
}

bool cli_parse(struct cli *c, const char *program, const char *synopsis,
	       const struct cli_option *options, int argc, char **argv)
{
	*c = (struct cli){ .program = program, .options = options };
	bool only_args = false;

	for (int i = 0; i < argc; i++) {
		char *a = argv[i];

		if (!only_args && strcmp(a, "-h") == 0) {
			help(c, synopsis, stdout);
			exit(CLI_OK);
		}
		if (only_args || strncmp(a, "--", 2) != 0) {
			if (c->n_args == 64) {
				cli_error("too many arguments", NULL, NULL);
				return false;
			}
			c->args[c->n_args++] = a;
			continue;
		}
		if (a[2] == 0) {
			only_args = true;
			continue;
		}
		char *eq = strchr(a, '=');
		size_t len = eq ? (size_t)(eq - a) - 2 : strlen(a) - 2;
		const struct cli_option *o = find(c, a + 2, len);

		if (!o) {
			unknown_option(c, a, len);
			help(c, synopsis, stderr);
			return false;
		}
		if (strcmp(o->name, "help") == 0) {
			help(c, synopsis, stdout);
			exit(CLI_OK);
		}
		const char *v = "";
		if (o->has_value) {
			v = eq ? eq + 1 : i + 1 < argc ? argv[++i] : NULL;
			if (!v) {
				fprintf(stderr, "%s: option --%s needs a value (%s)\n", program,
					o->name, o->value_name);
				return false;
			}
		} else if (eq) {
			fprintf(stderr, "%s: option --%s takes no value\n", program, o->name);
			return false;
		}
		if (c->n_set == 64) {
			cli_error("too many options", NULL, NULL);
			return false;
		}
		c->set[c->n_set].name = o->name;
		c->set[c->n_set++].value = v;
	}
	const char *out = cli_value(c, "output", "table");
	if (strcmp(out, "table") != 0 && strcmp(out, "json") != 0) {
		fprintf(stderr, "%s: --output is table or json, not \"%s\"\n", program, out);
		return false;
	}
	return true;
}

const char *cli_value(const struct cli *c, const char *name, const char *fallback)
{
	for (int i = c->n_set - 1; i >= 0; i--)
		if (strcmp(c->set[i].name, name) == 0)
			return c->set[i].value;
	return fallback;
}

bool cli_has(const struct cli *c, const char *name)
{
	return cli_value(c, name, NULL) != NULL;
}

const char *cli_values(const struct cli *c, const char *name, int i)
{
	for (int k = 0; k < c->n_set; k++)
		if (strcmp(c->set[k].name, name) == 0 && i-- == 0)
			return c->set[k].value;
	return NULL;
}

int64_t cli_number(const struct cli *c, const char *name, int64_t fallback, int64_t min, int64_t max)
{
	const char *v = cli_value(c, name, NULL);
	char *end;

	if (!v)
		return fallback;
	errno = 0;
	long long n = strtoll(v, &end, 10);
	if (errno != 0 || *v == 0 || *end != 0 || n < min || n > max) {
		fprintf(stderr, "%s: --%s is a number from %lld to %lld, not \"%s\"\n", c->program,
			name, (long long)min, (long long)max, v);
		exit(CLI_USAGE);
	}
	return n;
}

bool cli_json(const struct cli *c)
{
	return strcmp(cli_value(c, "output", "table"), "json") == 0;
}

void cli_error(const char *what, const char *detail, const char *hint)
{
	fprintf(stderr, "moldau: %s\n", what);
	if (detail)
		fprintf(stderr, "  %s\n", detail);
	if (hint)
		fprintf(stderr, "  %s\n", hint);
}

struct cli_table {
	int columns, cells, cap;
	char **text;
};

struct cli_table *cli_table_new(int columns, const char *const *heads)
{
	struct cli_table *t = mem_alloc(sizeof *t);

	t->columns = columns;
	for (int i = 0; i < columns; i++)
		cli_table_cell(t, "%s", heads[i]);
	return t;
}

void cli_table_cell(struct cli_table *t, const char *fmt, ...)
{
	char text[1024];
	va_list ap;

	va_start(ap, fmt);
	int n = vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	if (t->cells == t->cap) {
		t->cap = t->cap ? t->cap * 2 : 64;
		t->text = mem_resize(t->text, sizeof *t->text * (size_t)t->cap);
	}
	size_t len = n < 0 ? 0 : (size_t)n < sizeof text ? (size_t)n : sizeof text - 1;
	t->text[t->cells++] = mem_strdup(text, len);
}

static bool is_number(const char *s)
{
	return *s != 0 && strspn(s, "-0123456789") == strlen(s);
}

void cli_table_print(struct cli_table *t, FILE *to)
{
	for (int i = 0; i < t->cells; i++) {
		int col = i % t->columns, width = 0;
		bool number = t->cells > t->columns;

		for (int k = col; k < t->cells; k += t->columns) {
			int w = (int)strlen(t->text[k]);

			width = w > width ? w : width;
			if (k >= t->columns && !is_number(t->text[k]))
				number = false;
		}
		bool last = col == t->columns - 1;
		if (number)
			fprintf(to, "%*s", width, t->text[i]);
		else
			fprintf(to, "%-*s", last ? 0 : width, t->text[i]);
		fputs(last ? "\n" : "  ", to);
	}
	cli_table_free(t);
}

void cli_table_free(struct cli_table *t)
{
	for (int i = 0; i < t->cells; i++)
		mem_free(t->text[i]);
	mem_free(t->text);
	mem_free(t);
}

int cli_table_rows(const struct cli_table *t)
{
	return t->cells / t->columns - 1;
}

void cli_print_json(json_t *j, size_t flags)
{
	char *s = json_dumps(j, flags);

	puts(s);
	free(s);
	json_decref(j);
}

void cli_json_bytes(json_t *o, const char *name, const uint8_t *p, int32_t len)
{
	json_t *text = len < 0 ? json_null() : json_stringn(p ? (const char *)p : "", (size_t)len);
	char key[64];

	if (text) {
		json_object_set_new(o, name, text);
		return;
	}
	char *hex = mem_alloc(2 * (size_t)len + 1);

	for (int32_t i = 0; i < len; i++)
		snprintf(hex + 2 * i, 3, "%02x", p[i]);
	snprintf(key, sizeof key, "%s_hex", name);
	json_object_set_new(o, key, json_string(hex));
	mem_free(hex);
}
