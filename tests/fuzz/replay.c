/*
 * replay.c - runs a fuzz target without libFuzzer.
 *
 *   fuzz_x [--random N] [--seed S] [FILE|DIR]...
 *
 * Each file once as it is, then N random mutations over all of them (default 3000). Without files:
 * the folder compiled in as CORPUS, below $srcdir. Runs in make check; with --enable-fuzz the same
 * targets are linked to libFuzzer instead.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"

#define INPUTS_MAX 4096
#define INPUT_BYTES_MAX (1u << 20)

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static struct input {
	uint8_t *p;
	size_t n;
} inputs[INPUTS_MAX];
static unsigned ninputs;

static void load_file(const char *path)
{
	FILE *f = fopen(path, "rb");

	if (!f || ninputs == INPUTS_MAX) {
		fprintf(stderr, "%s: cannot read\n", path);
		exit(2);
	}
	uint8_t *p = mem_alloc(INPUT_BYTES_MAX);
	size_t n = fread(p, 1, INPUT_BYTES_MAX, f);

	fclose(f);
	inputs[ninputs++] = (struct input){ mem_resize(p, n), n };
}

static void load(const char *path)
{
	DIR *d = opendir(path);
	char name[4096];

	if (!d) {
		load_file(path);
		return;
	}
	for (struct dirent *e; (e = readdir(d)) != NULL;) {
		snprintf(name, sizeof name, "%s/%s", path, e->d_name);
		DIR *sub = e->d_name[0] == '.' ? NULL : opendir(name);

		if (sub)
			closedir(sub);
		else if (e->d_name[0] != '.')
			load_file(name);
	}
	closedir(d);
}

/* The input lies in a block of exactly its size, so that ASan sees a read beyond it. */
static void run(const uint8_t *p, size_t n)
{
	uint8_t *copy = mem_resize(NULL, n);

	memcpy(copy, p, n);
	LLVMFuzzerTestOneInput(copy, n);
	mem_free(copy);
}

static void mutate(struct rng *rng, uint8_t *p, size_t *n)
{
	for (uint32_t times = 1 + rng_below(rng, 6); times > 0 && *n > 0; times--) {
		uint32_t at = rng_below(rng, (uint32_t)*n), len = 1 + rng_below(rng, 8);

		switch (rng_below(rng, 6)) {
		case 0:
			p[at] ^= (uint8_t)(1u << rng_below(rng, 8));
			break;
		case 1:
			p[at] = (uint8_t)rng_next(rng);
			break;
		case 2:
			for (uint32_t i = 0; i < len && at + i < *n; i++)
				p[at + i] = rng_below(rng, 2) ? 0xff : 0;
			break;
		case 3:
			*n = at;
			break;
		case 4:			/* take out */
			len = len < *n - at ? len : (uint32_t)*n - at;
			memmove(p + at, p + at + len, *n - at - len);
			*n -= len;
			break;
		case 5:			/* put in */
			memmove(p + at + len, p + at, *n - at);
			*n += len;
			break;
		}
	}
}

int main(int argc, char **argv)
{
	unsigned long rounds = 3000, seed = 1;
	struct rng rng;

	for (int i = 1; i < argc; i++)
		if (strcmp(argv[i], "--random") == 0 && i + 1 < argc)
			rounds = strtoul(argv[++i], NULL, 10);
		else if (strcmp(argv[i], "--seed") == 0 && i + 1 < argc)
			seed = strtoul(argv[++i], NULL, 10);
		else
			load(argv[i]);
#ifdef CORPUS
	if (ninputs == 0) {
		char path[4096];
		const char *src = getenv("srcdir");

		snprintf(path, sizeof path, "%s/%s", src ? src : ".", CORPUS);
		load(path);
	}
#endif
	for (unsigned i = 0; i < ninputs; i++)
		run(inputs[i].p, inputs[i].n);
	rng_init(&rng, seed);
	uint8_t *p = mem_alloc(INPUT_BYTES_MAX + 64);

	for (unsigned long r = 0; r < rounds; r++) {
		size_t n;

		if (ninputs > 0) {
			const struct input *in = &inputs[rng_below(&rng, ninputs)];

			n = in->n;
			memcpy(p, in->p, n);
			mutate(&rng, p, &n);
		} else {
			n = rng_below(&rng, 512);
			for (size_t i = 0; i < n; i++)
				p[i] = (uint8_t)rng_next(&rng);
		}
		run(p, n);
	}
	mem_free(p);
	for (unsigned i = 0; i < ninputs; i++)
		mem_free(inputs[i].p);
	printf("%u inputs, %lu mutations, seed %lu\n", ninputs, rounds, seed);
	return 0;
}
