/*
 * wiregen.c - print C for the message schemas of proto/. Runs while building only.
 *
 *	wiregen header|code NAME FILE...
 *
 * prints NAME_gen.h or NAME_gen.c: the structs of all messages and the constant tables that
 * wire.c reads them by: one list of fields a struct, and one plan for each set of versions whose
 * bytes have the same order. It prints tables only; all code that touches bytes is in wire.c.
 * The notation is described in HACKING.md, "The schemas". A schema that is not well-formed ends
 * with "FILE:LINE: error: ..." on stderr and status 1, and nothing usable on stdout.
 */
#include <ctype.h>
#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAME_CAP 96
#define MSGS_MAX 1024
#define STRUCTS_MAX 4096
#define FIELDS_MAX 16384
#define VERSIONS_MAX 200	/* of one message; plan numbers are bytes */
#define STRUCT_FIELDS_MAX 200	/* field numbers are bytes */

enum kind { K_BOOL, K_INT8, K_INT16, K_UINT16, K_INT32, K_UINT32, K_INT64, K_FLOAT64, K_UUID,
	    K_STRING, K_USTRING, K_BYTES, K_RECORDS, K_STRUCT };

static const struct kind_row {
	const char *name, *ctype, *tag;
	int min, min_compact;		/* the fewest bytes a value takes */
	int64_t lo, hi;			/* defaults of integers */
} kinds[] = {
	[K_BOOL] = { "bool", "bool ", "WIRE_BOOL", 1, 1, 0, 1 },
	[K_INT8] = { "int8", "int8_t ", "WIRE_INT8", 1, 1, INT8_MIN, INT8_MAX },
	[K_INT16] = { "int16", "int16_t ", "WIRE_INT16", 2, 2, INT16_MIN, INT16_MAX },
	[K_UINT16] = { "uint16", "uint16_t ", "WIRE_UINT16", 2, 2, 0, UINT16_MAX },
	[K_INT32] = { "int32", "int32_t ", "WIRE_INT32", 4, 4, INT32_MIN, INT32_MAX },
	[K_UINT32] = { "uint32", "uint32_t ", "WIRE_UINT32", 4, 4, 0, UINT32_MAX },
	[K_INT64] = { "int64", "int64_t ", "WIRE_INT64", 8, 8, INT64_MIN, INT64_MAX },
	[K_FLOAT64] = { "float64", "double ", "WIRE_FLOAT64", 8, 8, 0, 0 },
	[K_UUID] = { "uuid", "struct uuid ", "WIRE_UUID", 16, 16, 0, 0 },
	[K_STRING] = { "string", "struct str ", "WIRE_STRING", 2, 1, 0, 0 },
	[K_USTRING] = { "ustring", "struct str ", "WIRE_USTRING", 4, 4, 0, 0 },
	[K_BYTES] = { "bytes", "struct bytes ", "WIRE_BYTES", 4, 1, 0, 0 },
	[K_RECORDS] = { "records", "struct bytes ", "WIRE_RECORDS", 4, 1, 0, 0 },
	[K_STRUCT] = { "", "", "WIRE_STRUCT", 0, 0, 0, 0 },
};

struct range {
	int lo, hi;			/* hi < lo: none; hi = INT_MAX: open */
};
static const struct range none = { 1, 0 };

struct field {
	char name[NAME_CAP], sub_name[NAME_CAP];
	enum kind kind;
	int sub;			/* index in structs */
	bool array, nullable_all, has_null, has_default, null_default;
	bool ignorable, inflexible, added, secret;
	struct range versions, nulls, tags;
	int tag;			/* -1: none */
	int64_t def;
	int line;
};

struct strukt {
	char name[NAME_CAP];		/* "" for the message itself */
	char cname[2 * NAME_CAP];
	int msg, first, n, line;
	bool used, done, open;
};

struct msg {
	char name[NAME_CAP];		/* Kafka's: ProduceRequest */
	const char *path;
	struct range versions, added, flexible, all;
	int first, n, line;		/* structs; the first is the message */
};

struct api {
	int key, request, response;	/* indexes in msgs; -1: reserved key */
	char name[NAME_CAP];
	struct range versions, added, flexible;
	bool unstable, record;
	int listeners;			/* 1 broker, 2 controller */
};

static struct msg msgs[MSGS_MAX];
static struct strukt structs[STRUCTS_MAX];
static struct field fields[FIELDS_MAX];
static struct api apis[MSGS_MAX];
static int nmsgs, nstructs, nfields, napis, lineno;
static const char *path;
static bool in_api;			/* the next header may be request, response, key or value */

__attribute__((format(printf, 3, 4)))
static _Noreturn void die_at(const char *file, int line, const char *fmt, ...)
{
	va_list ap;

	fprintf(stderr, "%s:%d: error: ", file, line);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fprintf(stderr, "\n");
	exit(1);
}
#define die(...) die_at(path, lineno, __VA_ARGS__)

/* ---- words of a line ---- */

static char *words[64];
static int nwords, at;

static void split(char *line)
{
	line[strcspn(line, "#")] = '\0';
	nwords = at = 0;
	for (char *w = strtok(line, " \t\r\n"); w; w = strtok(NULL, " \t\r\n")) {
		if (nwords == 64)
			die("more than 64 words in a line");
		words[nwords++] = w;
	}
}

static bool accept(const char *w)
{
	if (at < nwords && strcmp(words[at], w) == 0) {
		at++;
		return true;
	}
	return false;
}

static const char *need(const char *what)
{
	if (at == nwords)
		die("%s is missing", what);
	return words[at++];
}

static void set_name(char *to, const char *from, bool camel)
{
	if (strlen(from) >= NAME_CAP)
		die("name is too long: %s", from);
	if (camel ? !isupper((unsigned char)*from) : !islower((unsigned char)*from))
		die("want %s, not: %s", camel ? "a name in CamelCase" : "a name in snake_case", from);
	for (const char *p = from; *p; p++)
		if (!isalnum((unsigned char)*p) && (camel || *p != '_'))
			die("bad character in name: %s", from);
	strcpy(to, from);
}

static bool starts_range(void)
{
	return at < nwords && (isdigit((unsigned char)*words[at]) || strcmp(words[at], "none") == 0);
}

static struct range get_range(void)
{
	const char *s = need("a range of versions");
	char *end;
	struct range r;

	if (strcmp(s, "none") == 0)
		return none;
	r.lo = (int)strtol(s, &end, 10);
	r.hi = r.lo;
	if (end != s && strcmp(end, "+") == 0)
		r.hi = INT_MAX;
	else if (end != s && *end == '-' && isdigit((unsigned char)end[1])) {
		r.hi = (int)strtol(end + 1, &end, 10);
		if (*end)
			die("want versions such as 3, 3+ or 3-7, not: %s", s);
	} else if (end == s || *end)
		die("want versions such as 3, 3+ or 3-7, not: %s", s);
	if (r.lo < 0 || r.hi < r.lo || (r.hi > 30000 && r.hi != INT_MAX))
		die("these versions make no range: %s", s);
	return r;
}

static bool has(struct range r, int v)
{
	return r.lo <= v && v <= r.hi;
}

/* Kafka's own rule: a run of capitals is one word with what follows (KRaftVersion: kraft_version). */
static void print_snake(char *to, const char *camel, bool upper)
{
	for (const char *p = camel; *p; p++) {
		if (p > camel && isupper((unsigned char)*p) && !isupper((unsigned char)p[-1]))
			*to++ = '_';
		*to++ = (char)(upper ? toupper((unsigned char)*p) : tolower((unsigned char)*p));
	}
	*to = '\0';
}

/* ---- headers ---- */

static void add_struct(const char *name)
{
	if (nstructs == STRUCTS_MAX)
		die("too many structures");
	struct msg *m = &msgs[nmsgs - 1];
	struct strukt *s = &structs[nstructs++];
	char head[2 * NAME_CAP];
	*s = (struct strukt){ .msg = nmsgs - 1, .first = nfields, .line = lineno };
	print_snake(head, m->name, false);
	if (*name)
		set_name(s->name, name, false);
	if (snprintf(s->cname, sizeof s->cname, "%s%s%s", head, *name ? "_" : "", name) >=
	    (int)sizeof s->cname)
		die("name is too long: %s_%s", head, name);
	for (int i = 0; i < nstructs - 1; i++)
		if (strcmp(structs[i].cname, s->cname) == 0)
			die("struct %s is there already (line %d)", s->cname, structs[i].line);
	m->n++;
}

static int add_msg(const char *name, struct range versions, struct range added, struct range flex)
{
	if (nmsgs == MSGS_MAX)
		die("too many messages");
	struct msg *m = &msgs[nmsgs++];
	*m = (struct msg){ .path = path, .versions = versions, .added = added, .flexible = flex,
			   .all = versions, .first = nstructs, .line = lineno };
	if (versions.hi == INT_MAX)
		die("a message needs a last version");
	if (added.hi >= added.lo) {
		if (added.hi + 1 != versions.lo)
			die("added versions must end where the others begin");
		m->all.lo = added.lo;
	}
	if (m->all.hi - m->all.lo >= VERSIONS_MAX)
		die("too many versions");
	strcpy(m->name, name);
	add_struct("");
	return nmsgs - 1;
}

static void get_options(struct api *a)
{
	while (at < nwords)
		if (accept("versions"))
			a->versions = get_range();
		else if (accept("added"))
			a->added = get_range();
		else if (accept("flexible"))
			a->flexible = get_range();
		else if (accept("unstable") && !a->record)
			a->unstable = true;
		else if (accept("listeners") && !a->record) {
			const char *l = need("a list of listeners");

			a->listeners = (strstr(l, "broker") ? 1 : 0) + (strstr(l, "controller") ? 2 : 0);
		} else
			die("unknown word: %s", words[at]);
}

static void head_api(bool record)
{
	if (napis == MSGS_MAX)
		die("too many APIs");
	struct api *a = &apis[napis++];
	char *end;
	*a = (struct api){ .request = -1, .response = -1, .record = record, .versions = none,
			   .added = none, .flexible = none };
	const char *key = need("a key");
	a->key = (int)strtol(key, &end, 10);
	if (*end || a->key < 0 || a->key > INT16_MAX)
		die("bad key: %s", key);
	set_name(a->name, need("a name"), true);
	for (struct api *b = apis; b < a; b++)
		if (strcmp(b->name, a->name) == 0 || (!record && !b->record && b->key == a->key))
			die("key or name is used already: %d %s", a->key, a->name);
	get_options(a);
	in_api = true;
}

static void head_half(const char *suffix, bool first)
{
	char name[2 * NAME_CAP];

	if (!in_api)
		die("%s needs an api or record before it", words[0]);
	struct api *a = &apis[napis - 1];
	if (a->record != (strcmp(suffix, "Key") == 0 || strcmp(suffix, "Value") == 0))
		die("records have key and value, apis have request and response");
	struct api half = *a;
	get_options(&half);
	if (half.versions.hi < half.versions.lo)
		die("no versions are given");
	snprintf(name, sizeof name, "%s%s", a->name, suffix);
	if (strlen(name) >= NAME_CAP)
		die("name is too long: %s", name);
	if ((first ? a->request : a->response) >= 0)
		die("a second %s", words[0]);
	int m = add_msg(name, half.versions, half.added, half.flexible);
	if (first)
		a->request = m;
	else
		a->response = m;
}

static void head_message(void)
{
	struct api a = { .record = true, .versions = none, .added = none, .flexible = none };

	set_name(a.name, need("a name"), true);
	accept("header");
	get_options(&a);
	if (a.versions.hi < a.versions.lo)
		die("no versions are given");
	add_msg(a.name, a.versions, a.added, a.flexible);
	in_api = false;
}

/* ---- fields ---- */

static void get_type(struct field *f)
{
	char t[NAME_CAP + 4];
	const char *w = need("a type");

	if (strlen(w) >= sizeof t)
		die("unknown type: %s", w);
	strcpy(t, w);
	size_t n = strlen(t);
	if (t[n - 1] == '?') {
		f->nullable_all = f->has_null = true;
		t[--n] = '\0';
	}
	if (t[0] == '[') {
		if (n < 3 || t[n - 1] != ']')
			die("bad type: %s", w);
		f->array = true;
		t[n - 1] = '\0';
		memmove(t, t + 1, n - 1);
	}
	for (size_t k = 0; k < K_STRUCT; k++)
		if (strcmp(kinds[k].name, t) == 0) {
			f->kind = (enum kind)k;
			return;
		}
	f->kind = K_STRUCT;
	set_name(f->sub_name, t, false);
}

static void get_default(struct field *f)
{
	const char *w = need("a default");
	char *end;

	f->has_default = true;
	if (strcmp(w, "null") == 0) {
		if (!f->has_null)
			die("%s cannot be null by default: it is not nullable", f->name);
		f->null_default = true;
		return;
	}
	if (f->array || f->kind > K_INT64)
		die("this default does not fit the type: %s", w);
	if (f->kind == K_BOOL && (strcmp(w, "true") == 0 || strcmp(w, "false") == 0)) {
		f->def = *w == 't';
		return;
	}
	f->def = strtoll(w, &end, 0);
	if (end == w || *end || f->kind == K_BOOL || f->def < kinds[f->kind].lo ||
	    f->def > kinds[f->kind].hi)
		die("this default does not fit the type: %s", w);
}

static void get_attributes(struct field *f)
{
	while (at < nwords) {
		if (accept("null")) {
			f->has_null = true;
			f->nulls = get_range();
		} else if (accept("tag")) {
			char *end;
			const char *w = need("a tag");

			f->tag = (int)strtol(w, &end, 10);
			if (*end || f->tag < 0 || f->tag > 60000)
				die("bad tag: %s", w);
			f->tags = starts_range() ? get_range() : f->versions;
		} else if (accept("default"))
			get_default(f);
		else if (accept("ignorable"))
			f->ignorable = true;
		else if (accept("inflexible"))
			f->inflexible = true;
		else if (accept("added"))
			f->added = true;
		else if (accept("secret"))
			f->secret = true;
		else
			die("unknown word: %s", words[at]);
	}
}

static void check_name(const struct field *f, const struct strukt *s)
{
	static const char *const reserved[] = { "auto", "bool", "break", "case", "char", "const",
		"continue", "default", "do", "double", "else", "enum", "extern", "float", "for",
		"goto", "if", "inline", "int", "long", "register", "return", "short", "signed",
		"sizeof", "static", "struct", "switch", "typedef", "union", "unsigned", "void",
		"volatile", "while", "true", "false" };

	for (size_t i = 0; i < sizeof reserved / sizeof *reserved; i++)
		if (strcmp(f->name, reserved[i]) == 0)
			die("%s is a word of C", f->name);
	for (const struct field *g = fields + s->first; g < f; g++) {
		if (strcmp(g->name, f->name) == 0)
			die("field %s is there already (line %d)", f->name, g->line);
		if (g->tag >= 0 && g->tag == f->tag)
			die("tag %d is there already (line %d)", f->tag, g->line);
	}
}

static void add_field(void)
{
	if (nstructs == 0)
		die("a field before the first message");
	if (nfields == FIELDS_MAX)
		die("too many fields");
	struct strukt *s = &structs[nstructs - 1];
	const struct msg *m = &msgs[s->msg];
	struct field *f = &fields[nfields];
	*f = (struct field){ .versions = { 0, INT_MAX }, .nulls = none, .tags = none, .tag = -1,
			     .line = lineno, .sub = -1 };
	set_name(f->name, words[at++], false);
	get_type(f);
	if (starts_range())
		f->versions = get_range();
	if (f->nullable_all)
		f->nulls = f->versions;
	get_attributes(f);
	check_name(f, s);
	if (f->has_null && !f->array && f->kind < K_STRING)
		die("%s cannot be null: only strings, bytes, arrays and structures can", f->name);
	if (f->has_null && !f->array && f->kind == K_STRUCT && !f->null_default &&
	    (f->tags.lo != f->versions.lo || f->tags.hi != f->versions.hi))
		die("a nullable structure must be null by default unless it is tagged: %s", f->name);
	for (int v = m->all.lo; v <= m->all.hi; v++)
		if (has(f->tags, v) && !has(m->flexible, v))
			die("%s is tagged in version %d, which is not flexible", f->name, v);
	if (f->added && m->added.hi < m->added.lo)
		die("%s is added, but the message has no added versions", f->name);
	if (++s->n > STRUCT_FIELDS_MAX)
		die("too many fields in a structure");
	nfields++;
}

static void parse(const char *file)
{
	char line[1024];
	FILE *in = fopen(file, "r");

	path = file;
	lineno = 0;
	if (!in)
		die("cannot open");
	in_api = false;
	while (fgets(line, sizeof line, in)) {
		bool indented = *line == '\t' || *line == ' ';

		lineno++;
		if (!strchr(line, '\n') && !feof(in))
			die("line is too long");
		split(line);
		if (nwords == 0)
			continue;
		if (indented)
			add_field();
		else if (accept("api"))
			head_api(false);
		else if (accept("record"))
			head_api(true);
		else if (accept("request"))
			head_half("Request", true);
		else if (accept("response"))
			head_half("Response", false);
		else if (accept("key"))
			head_half("Key", true);
		else if (accept("value"))
			head_half("Value", false);
		else if (accept("message"))
			head_message();
		else if (accept("struct") && nmsgs > 0)
			add_struct(need("a name"));
		else
			die("unknown line: %s", words[0]);
		if (at < nwords)
			die("unexpected word: %s", words[at]);
	}
	fclose(in);
}

/* ---- names to structures; what cannot be seen in one line ---- */

static void resolve(struct strukt *s)
{
	const struct msg *m = &msgs[s->msg];

	if (s->done)
		return;
	if (s->open)
		die_at(m->path, s->line, "structure %s contains itself", s->name);
	s->open = true;
	for (struct field *f = fields + s->first; f < fields + s->first + s->n; f++) {
		if (f->kind != K_STRUCT)
			continue;
		for (int i = m->first + 1; i < m->first + m->n; i++)
			if (strcmp(structs[i].name, f->sub_name) == 0)
				f->sub = i;
		if (f->sub < 0)
			die_at(m->path, f->line, "unknown type: %s", f->sub_name);
		structs[f->sub].used = true;
		resolve(&structs[f->sub]);
	}
	s->open = false;
	s->done = true;
}

static void resolve_all(void)
{
	for (struct msg *m = msgs; m < msgs + nmsgs; m++) {
		structs[m->first].used = true;
		for (int i = m->first; i < m->first + m->n; i++)
			resolve(&structs[i]);
		for (int i = m->first; i < m->first + m->n; i++)
			if (!structs[i].used)
				die_at(m->path, structs[i].line, "structure %s is not used",
				       structs[i].name);
	}
}

/* ---- the header ---- */

static void print_range(struct range r)
{
	if (r.hi == INT_MAX)
		printf("%d+", r.lo);
	else if (r.hi == r.lo)
		printf("%d", r.lo);
	else
		printf("%d-%d", r.lo, r.hi);
}

static void print_member(const struct field *f)
{
	const struct kind_row *k = &kinds[f->kind];

	printf("\t");
	if (f->kind == K_STRUCT)
		printf("struct %s %s%s;", structs[f->sub].cname, f->array || f->has_null ? "*" : "",
		       f->name);
	else
		printf("%s%s%s;", k->ctype, f->array ? "*" : "", f->name);
	printf("\t/* ");
	print_range(f->versions);
	if (f->has_null)
		printf(", nullable");
	if (f->tag >= 0)
		printf(", tag %d", f->tag);
	if (f->null_default)
		printf(", default null");
	else if (f->def != 0)
		printf(", default %lld", (long long)f->def);
	printf(" */\n");
	if (f->array)
		printf("\tint32_t %s_n;\n", f->name);
}

static void print_struct(struct strukt *s)
{
	if (!s->done)
		return;
	s->done = false;		/* once */
	for (struct field *f = fields + s->first; f < fields + s->first + s->n; f++)
		if (f->sub >= 0)
			print_struct(&structs[f->sub]);
	printf("\nstruct %s {\n", s->cname);
	for (struct field *f = fields + s->first; f < fields + s->first + s->n; f++)
		print_member(f);
	if (s->n == 0)
		printf("\tchar none;\t/* this message has no fields */\n");
	printf("};\nextern const struct wire_type wire_%s;\n", s->cname);
}

static void print_keys(void)
{
	char name[2 * NAME_CAP];
	bool any = false;

	for (const struct api *a = apis; a < apis + napis; a++) {
		if (a->record)
			continue;
		if (!any)
			printf("\nenum kafka_key {\n");
		any = true;
		print_snake(name, a->name, true);
		printf("\tKAFKA_%s = %d,\n", name, a->key);
	}
	if (!any)
		return;
	printf("};\n\n/* Served versions of the schema, what was added below them, first flexible one. */\n"
	       "enum {\n");
	for (const struct api *a = apis; a < apis + napis; a++) {
		if (a->record)
			continue;
		print_snake(name, a->name, true);
		bool added = a->added.hi >= a->added.lo;
		bool live = a->request >= 0;
		printf("\tKAFKA_%s_MIN = %d, KAFKA_%s_MAX = %d, KAFKA_%s_ADDED = %d, "
		       "KAFKA_%s_FLEXIBLE = %d,\n", name, live ? a->versions.lo : 0, name,
		       live ? a->versions.hi : -1, name, added ? a->added.lo : live ? a->versions.lo : 0,
		       name, a->flexible.hi >= a->flexible.lo ? a->flexible.lo : INT16_MAX);
	}
	printf("};\n");
}

static void print_header(const char *name)
{
	char upper[NAME_CAP];
	size_t i;

	for (i = 0; name[i] && i < sizeof upper - 1; i++)
		upper[i] = (char)toupper((unsigned char)name[i]);
	upper[i] = '\0';
	printf("/* %s_gen.h - made by wiregen from proto/, do not edit. */\n", name);
	printf("#ifndef WIRE_%s_GEN_H\n#define WIRE_%s_GEN_H\n\n#include \"wire/wire.h\"\n", upper,
	       upper);
	print_keys();
	for (struct msg *m = msgs; m < msgs + nmsgs; m++)
		for (int s = m->first; s < m->first + m->n; s++)
			print_struct(&structs[s]);
	printf("\n/* All messages of this schema, in its order. */\n"
	       "extern const struct wire_type *const %s_types[];\nextern const int %s_types_n;\n", name,
	       name);
	printf("\n#endif\n");
}

/* ---- the tables ---- */

/* Whether a zeroed field is not at its default. */
static bool nonzero_default(const struct field *f)
{
	if (f->null_default)
		return f->array || f->kind != K_STRUCT;
	if (f->kind == K_STRUCT && !f->array && f->has_null)
		return true;
	if (f->sub >= 0 && !f->array)
		for (int i = 0; i < structs[f->sub].n; i++)
			if (nonzero_default(&fields[structs[f->sub].first + i]))
				return true;
	return f->def != 0;
}

static void print_fields(const struct strukt *s)
{
	if (s->n == 0)
		return;
	printf("static const struct wire_field f_%s[] = {\n", s->cname);
	for (const struct field *f = fields + s->first; f < fields + s->first + s->n; f++) {
		printf("\t{ \"%s\", ", f->name);
		if (f->sub >= 0)
			printf("&wire_%s", structs[f->sub].cname);
		else
			printf("NULL");
		printf(", %lld%s, offsetof(struct %s, %s), ",
		       f->def == INT64_MIN ? (long long)INT64_MIN + 1 : (long long)f->def,
		       f->def == INT64_MIN ? " - 1" : "", s->cname, f->name);
		if (f->array)
			printf("offsetof(struct %s, %s_n), ", s->cname, f->name);
		else
			printf("0, ");
		printf("%d, %s, 0%s%s%s%s%s%s%s },\n", f->tag < 0 ? 0 : f->tag, kinds[f->kind].tag,
		       f->array ? " | WIRE_ARRAY" : "", f->has_null ? " | WIRE_NULLABLE" : "",
		       f->null_default ? " | WIRE_NULL_DEFAULT" : "",
		       nonzero_default(f) ? " | WIRE_SET_DEFAULT" : "",
		       f->ignorable ? " | WIRE_IGNORABLE" : "",
		       f->inflexible ? " | WIRE_INFLEXIBLE" : "", f->secret ? " | WIRE_SECRET" : "");
	}
	printf("};\n");
}

struct plan {
	uint8_t field[STRUCT_FIELDS_MAX], nullable[STRUCT_FIELDS_MAX];
	int n, ntags, nabsent, min;
	bool flexible, set_default;
};

static int struct_min(const struct strukt *s, int v, bool flexible)
{
	int min = flexible ? 1 : 0;

	for (const struct field *f = fields + s->first; f < fields + s->first + s->n; f++) {
		bool compact = flexible && !f->inflexible;

		if (!has(f->versions, v) || has(f->tags, v))
			continue;
		if (f->array)
			min += compact ? 1 : 4;
		else if (f->kind == K_STRUCT)
			min += f->has_null ? 1 : struct_min(&structs[f->sub], v, flexible);
		else
			min += compact ? kinds[f->kind].min_compact : kinds[f->kind].min;
	}
	return min;
}

static void plan_add(struct plan *p, const struct strukt *s, int i, int v)
{
	int n = p->n + p->ntags + p->nabsent;

	p->field[n] = (uint8_t)i;
	p->nullable[n] = has(fields[s->first + i].nulls, v);
}

static void make_plan(struct plan *p, const struct strukt *s, int v)
{
	memset(p, 0, sizeof *p);
	p->flexible = has(msgs[s->msg].flexible, v);
	for (int i = 0; i < s->n; i++) {
		const struct field *f = &fields[s->first + i];

		if (has(f->versions, v) && !has(f->tags, v)) {
			plan_add(p, s, i, v);
			p->n++;
		}
	}
	for (int tag = 0, left = 1; left; tag++) {
		left = 0;
		for (int i = 0; i < s->n; i++) {
			const struct field *f = &fields[s->first + i];

			if (f->tag > tag && has(f->tags, v))
				left = 1;
			if (f->tag == tag && has(f->tags, v)) {
				plan_add(p, s, i, v);
				p->ntags++;
				p->set_default |= nonzero_default(f);
			}
		}
	}
	for (int i = 0; i < s->n; i++) {
		const struct field *f = &fields[s->first + i];

		if (!has(f->versions, v) && !has(f->tags, v)) {
			plan_add(p, s, i, v);
			p->nabsent++;
			p->set_default |= nonzero_default(f);
		}
	}
	p->min = struct_min(s, v, p->flexible);
}

static void print_plans(const struct strukt *s)
{
	static struct plan plans[VERSIONS_MAX];
	int of[VERSIONS_MAX], nplans = 0, nops = 0, start[VERSIONS_MAX];
	const struct msg *m = &msgs[s->msg];

	for (int v = m->all.lo; v <= m->all.hi; v++) {
		int i = 0;

		make_plan(&plans[nplans], s, v);
		while (memcmp(&plans[i], &plans[nplans], sizeof plans[i]) != 0)
			i++;
		of[v - m->all.lo] = i;
		nplans += i == nplans;
	}
	if (s->n > 0)
		printf("static const struct wire_op o_%s[] = {\n", s->cname);
	for (int i = 0; i < nplans; i++) {
		const struct plan *p = &plans[i];

		start[i] = nops;
		for (int j = 0; j < p->n + p->ntags + p->nabsent; j++, nops++)
			printf("%s{ %d, %d },%s", j % 10 ? " " : "\t", p->field[j], p->nullable[j],
			       j % 10 == 9 || j == p->n + p->ntags + p->nabsent - 1 ? "\n" : "");
	}
	if (s->n > 0)
		printf("};\n");
	printf("static const struct wire_plan p_%s[] = {\n", s->cname);
	for (int i = 0; i < nplans; i++) {
		const struct plan *p = &plans[i];

		if (s->n > 0)
			printf("\t{ o_%s + %d, ", s->cname, start[i]);
		else
			printf("\t{ NULL, ");
		printf("%d, %d, %d, %d, %d, %d },\n", p->min, p->n, p->ntags, p->nabsent, p->flexible,
		       p->set_default);
	}
	printf("};\nstatic const uint8_t v_%s[] = {", s->cname);
	for (int v = m->all.lo; v <= m->all.hi; v++)
		printf(" %d,", of[v - m->all.lo]);
	printf(" };\n");
}

static void print_code(const char *name)
{
	printf("/* %s_gen.c - made by wiregen from proto/, do not edit. */\n", name);
	printf("#include \"wire/%s_gen.h\"\n\n#include <stddef.h>\n", name);
	for (const struct strukt *s = structs; s < structs + nstructs; s++) {
		const struct msg *m = &msgs[s->msg];
		bool flexible = m->flexible.hi >= m->flexible.lo;

		printf("\n");
		print_fields(s);
		print_plans(s);
		printf("const struct wire_type wire_%s = {\n\t\"%s\", %s%s, p_%s, v_%s, sizeof(struct %s),\n"
		       "\t%d, %d, %d, %d, %d,\n};\n", s->cname, *s->name ? s->name : m->name,
		       s->n ? "f_" : "NULL", s->n ? s->cname : "", s->cname, s->cname, s->cname, s->n,
		       m->all.lo, m->all.hi, m->versions.lo, flexible ? m->flexible.lo : INT16_MAX);
	}
	printf("\nconst struct wire_type *const %s_types[] = {\n", name);
	for (const struct msg *m = msgs; m < msgs + nmsgs; m++)
		printf("\t&wire_%s,\n", structs[m->first].cname);
	printf("};\nconst int %s_types_n = %d;\n", name, nmsgs);
}

int main(int argc, char **argv)
{
	bool header = argc > 1 && strcmp(argv[1], "header") == 0;

	if (argc < 4 || (!header && strcmp(argv[1], "code") != 0)) {
		fprintf(stderr, "usage: wiregen header|code NAME FILE...\n");
		return 2;
	}
	for (int i = 3; i < argc; i++)
		parse(argv[i]);
	resolve_all();
	if (header)
		print_header(argv[2]);
	else
		print_code(argv[2]);
	return fflush(stdout) || ferror(stdout) ? 1 : 0;
}
