/*
 * wire_golden.c - messages that others wrote (tests/golden/wire): decoded they must print the values
 * that went in, encoded again they must be the same bytes. vectors.txt is by Kafka's own classes and
 * must hold every message and version that Kafka 4.4 defines; old_versions.txt is by kafka-python;
 * chosen.txt holds values chosen by hand, encoded by Kafka's classes; zookeeper.txt is by ZooKeeper's own.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "wire_types.h"

static int bad;
static char line[1 << 18], seen[1024][64];
static uint8_t bytes[1 << 16];

static void complain(const char *what, const char *name, int version, const char *more)
{
	if (bad++ < 20)
		printf("%s v%d: %s %s\n", name, version, what, more);
}

static size_t unhex(const char *s, uint8_t *to)
{
	size_t n = 0;

	for (; s[0] && s[1]; s += 2) {
		unsigned v;

		if (sscanf(s, "%2x", &v) != 1)
			break;
		to[n++] = (uint8_t)v;
	}
	return n;
}

static void check(const struct wire_type *t, int version, size_t n, const char *text)
{
	struct arena a;
	struct buf b;
	size_t size = 0;
	void *obj = mem_alloc(t->size);

	arena_init(&a, 4096, 1 << 20);
	buf_init(&b, 1 << 20);
	int err = wire_decode(t, version, bytes, n, &a, obj);
	if (err != OK) {
		complain("decode", t->name, version, err_name(err));
		goto out;
	}
	wire_print(t, version, obj, &b);
	buf_u8(&b, 0);
	if (strcmp(strchr((char *)b.p, '{'), text) != 0)
		complain("values", t->name, version, (char *)b.p);
	buf_reset(&b);
	if ((err = wire_encode(t, version, obj, &b)) != OK)
		complain("encode", t->name, version, err_name(err));
	else if (b.len != n || (n > 0 && memcmp(b.p, bytes, n) != 0))
		complain("bytes", t->name, version, "differ");
	if (wire_size(t, version, obj, &size) != OK || size != n)
		complain("size", t->name, version, "differs");
out:
	mem_free(obj);
	buf_release(&b);
	arena_release(&a);
}

static int read_file(const char *path)
{
	int lines = 0;
	FILE *in = fopen(path, "r");

	if (!in) {
		printf("%s: cannot open\n", path);
		exit(1);
	}
	while (fgets(line, sizeof line, in)) {
		line[strcspn(line, "\n")] = '\0';
		char *name = strtok(line, " "), *version = strtok(NULL, " ");
		char *hex = strtok(NULL, " "), *text = strtok(NULL, "");
		const struct wire_type *t = wire_type_named(name);
		int v = atoi(version), i;

		lines++;
		if (!t || !wire_has(t, v)) {
			complain("is not in the schema", name, v, "");
			continue;
		}
		for (i = 0; wire_types(i) != t;)
			i++;
		seen[i][v] = 1;
		check(t, v, unhex(hex, bytes), text);
	}
	fclose(in);
	return lines;
}

int main(void)
{
	static const char *const files[] = { "vectors.txt", "old_versions.txt", "chosen.txt",
					     "zookeeper.txt" };
	const char *src = getenv("srcdir");
	int lines = 0, versions = 0;

	for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
		char path[4096];

		snprintf(path, sizeof path, "%s/tests/golden/wire/%s", src ? src : ".", files[i]);
		lines += read_file(path);
	}
	for (int i = 0; wire_types(i); i++)
		for (int v = wire_types(i)->kafka_min; v <= wire_types(i)->vmax; v++, versions++)
			if (!seen[i][v])
				complain("has no vector", wire_types(i)->name, v, "");
	printf("%d vectors, %d versions, %d differences\n", lines, versions, bad);
	return bad > 0 || mem_live() != 0;
}
