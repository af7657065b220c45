/*
 * raft.c - scenarios: conversations of raft's nodes in text files, with what is to be seen of them.
 *
 *   raft [--rewrite] FILE...
 *   raft_mutants FILE...
 *
 * A file: comments (#), commands, and lines with "> " that the command before must print. --rewrite puts
 * what is printed in the place of what was expected, so that a commit shows the change of behaviour.
 *
 *   mutant NAME INVARIANT                         with this bug planted, this invariant breaks: raft_mutants plays
 *                                                 the file once for each such line and looks
 *   nodes V [N]        a new world: V voters that have just founded their quorum, N nodes in all
 *   run MS             time passes
 *   propose I N        N entries by node I         add I, remove I     of the members, by the leader
 *   add I J            the machine I, in the place of the member J
 *   transfer I         the leader hands over to I  lost I J, up I J    the connection of I to J
 *   cut I, heal I      node I alone                cut I J, heal I J   one way, I to J; heal: all links
 *   crash I, start I   power loss                  stall I, unstall I  its disk
 *   pause I, resume I  the process is stopped      damage I K          restart with a log that lost all from K on
 *   compact I          the log goes into a snapshot        wipe I ID   its disk is emptied, the new one is ID
 *   loss P, delay MS, seed N                      of all links; of the world to come
 *   elect I            asks for votes now, as if its leader had told it to (forced: nobody sticks to a leader)
 *   hold I J, release I J   what goes from I to J waits      double I J, late I J   what is on its way from I to J
 *                      arrives a second time, when it is said
 *   sync I, synced I   a sync of its log as it is begins, ends (of a stalled disk)
 *   upto I K           nothing behind K of its log can be read back for its peers; 0: all can
 *   read I             a linearizable read; when it passes is printed
 *   quiet, trace       whether changes of roles and members are printed
 *   show roles|commit|log|members|counts
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/mutant.h"
#include "raftworld.h"

static struct rw *world;
static struct buf out;
static bool traced = true;
static uint64_t seed = 1;

static void print(const char *line)
{
	buf_put(&out, "> ", 2);
	buf_put(&out, line, strlen(line));
	buf_put(&out, "\n", 1);
}

static void on_trace(void *user, const char *line)
{
	char text[300];

	(void)user;
	if (!traced)
		return;
	snprintf(text, sizeof text, "%llu: %s", (unsigned long long)world->now, line);
	print(text);
}

static void run(uint32_t ms)
{
	struct raft_config next;

	while (ms-- > 0) {
		rw_tick(world);
		for (uint32_t i = 0; i < world->n; i++)
			if (world->node[i].alive && raft_next_config(&world->node[i].r, world->now, &next))
				(void)rw_change(world, i, &next);
	}
}

static void result(int err)
{
	if (err)
		print(err_name(err));
}

static void change(bool add, uint32_t i, uint32_t as)
{
	int l = rw_leader(world);
	struct raft_config next;

	if (l < 0) {
		print("no leader");
		return;
	}
	const struct raft_config *c = raft_config(&world->node[l].r);
	uint64_t id = world->node[i].r.id;
	int err = add ? raft_config_add(c, &(struct raft_member){ id, as, RAFT_LEARNER }, &next)
		: raft_config_remove(c, id, &next);

	result(err ? err : rw_change(world, (uint32_t)l, &next));
}

static void show_members(char *text, size_t cap, uint32_t i)
{
	const struct raft_config *c = raft_config(&world->node[i].r);
	size_t at = 0;

	for (uint32_t k = 0; k < c->n && at < cap; k++)
		at += (size_t)snprintf(text + at, cap - at, " %u%s%s%s", c->m[k].node,
			c->m[k].flags & RAFT_VOTER ? "v" : "",
				       c->m[k].flags & RAFT_OLD ? "o" : "", c->m[k].flags & RAFT_LEARNER ? "l" : "");
}

static void show(const char *what)
{
	char text[512] = "";
	size_t at = 0;

	for (uint32_t i = 0; i < world->n; i++) {
		const struct rw_node *s = &world->node[i];

		if (!s->alive)
			at += (size_t)snprintf(text + at, sizeof text - at, "%u:dead ", i + 1);
		else if (!strcmp(what, "roles"))
			at += (size_t)snprintf(text + at, sizeof text - at, "%u:%s,%llu ", i + 1, rw_role(s->r.role),
					       (unsigned long long)s->r.term);
		else if (!strcmp(what, "commit"))
			at += (size_t)snprintf(text + at, sizeof text - at, "%u:%llu ", i + 1,
				(unsigned long long)s->r.commit);
		else if (!strcmp(what, "log"))
			at += (size_t)snprintf(text + at, sizeof text - at, "%u:(%llu,%llu] ", i + 1,
					       (unsigned long long)s->r.base, (unsigned long long)s->r.last);
		else if (!strcmp(what, "members")) {
			at += (size_t)snprintf(text + at, sizeof text - at, "%u:", i + 1);
			show_members(text + at, sizeof text - at, i);
			at += strlen(text + at);
			text[at++] = ' ';
			text[at] = 0;
		}
	}
	if (!strcmp(what, "counts"))
		at = (size_t)snprintf(text, sizeof text, "elections %llu truncated %llu images %llu handed over %llu ",
				      (unsigned long long)world->elections, (unsigned long long)world->truncated,
				      (unsigned long long)world->images, (unsigned long long)world->handed_over);
	if (at > 0)
		text[at - 1] = 0;
	print(text);
}

static void connection(enum raft_event_type t, uint32_t i, uint32_t k)
{
	result(rw_step(world, i, (struct raft_event){ .type = t, .peer = world->node[k].r.id }, NULL));
}

static void damage(uint32_t i, uint64_t from)
{
	struct rw_node *s = &world->node[i];

	rw_crash(world, i);
	s->last = s->durable = from - 1;
	s->recovering_on_disk = true;
	rw_start(world, i);
}

static bool links(const char *word, int args, uint32_t i, uint32_t k)
{
	bool cut = !strcmp(word, "cut"), hold = !strcmp(word, "hold");

	if (!cut && !hold && strcmp(word, "heal") && strcmp(word, "release") && strcmp(word, "double") &&
	    strcmp(word, "late"))
		return false;
	if (hold || !strcmp(word, "release"))
		world->held[i][k] = hold;
	else if (!strcmp(word, "double"))
		rw_double(world, i, k);
	else if (!strcmp(word, "late"))
		rw_late(world, i, k);
	else if (args == 0)
		memset(world->cut, 0, sizeof world->cut);
	else if (args == 1)
		rw_isolate(world, i, cut);
	else
		world->cut[i][k] = cut;
	return true;
}

/* What one node does when it is told to. */
static bool moves(const char *word, uint32_t i, uint64_t arg)
{
	if (!strcmp(word, "elect"))
		rw_elect(world, i);
	else if (!strcmp(word, "sync"))
		rw_sync(world, i);
	else if (!strcmp(word, "synced"))
		rw_synced(world, i);
	else if (!strcmp(word, "upto"))
		world->node[i].upto = arg;
	else if (!strcmp(word, "read"))
		result(rw_read(world, i));
	else
		return false;
	return true;
}

static bool command(const char *line)
{
	char word[32] = "", arg[32] = "";
	unsigned long a = 0, b = 0;
	int n = sscanf(line, "%31s %lu %lu", word, &a, &b) - 1;
	uint32_t i = a > 0 ? (uint32_t)a - 1 : 0, k = b > 0 ? (uint32_t)b - 1 : 0;

	if (!strcmp(word, "mutant"))
		return true;
	if (!strcmp(word, "seed"))
		return (seed = a) != 0;
	if (!strcmp(word, "nodes")) {
		if (world)
			rw_free(world);
		world = rw_new((uint32_t)a, n > 1 ? (uint32_t)b : (uint32_t)a, seed);
		world->trace = on_trace;
		return true;
	}
	if (!world || (strcmp(word, "run") && strcmp(word, "loss") && strcmp(word, "delay") && i >= world->n))
		return false;
	if (links(word, n, i, k) || moves(word, i, b))
		return true;
	struct rw_node *s = &world->node[i < world->n ? i : 0];

	if (!strcmp(word, "run"))
		run((uint32_t)a);
	else if (!strcmp(word, "propose"))
		result(rw_propose(world, i, (uint32_t)b));
	else if (!strcmp(word, "add") || !strcmp(word, "remove"))
		change(word[0] == 'a', i, n > 1 ? (uint32_t)b : i + 1);
	else if (!strcmp(word, "transfer"))
		result(rw_leader(world) < 0 ? E_AGAIN : rw_step(world, (uint32_t)rw_leader(world),
			(struct raft_event){ .type = RAFT_EV_TRANSFER, .peer = s->r.id }, NULL));
	else if (!strcmp(word, "lost") || !strcmp(word, "up"))
		connection(word[0] == 'l' ? RAFT_EV_LOST : RAFT_EV_UP, i, k);
	else if (!strcmp(word, "crash"))
		rw_crash(world, i);
	else if (!strcmp(word, "start"))
		rw_start(world, i);
	else if (!strcmp(word, "stall") || !strcmp(word, "unstall"))
		s->stalled = word[0] == 's';
	else if (!strcmp(word, "pause") || !strcmp(word, "resume"))
		s->paused = word[0] == 'p';
	else if (!strcmp(word, "damage"))
		damage(i, b);
	else if (!strcmp(word, "compact"))
		rw_compact(world, i);
	else if (!strcmp(word, "wipe"))
		rw_wipe(world, i, (uint32_t)b);
	else if (!strcmp(word, "loss"))
		world->loss = (uint32_t)a;
	else if (!strcmp(word, "delay"))
		world->delay_ms = (uint32_t)a;
	else if (!strcmp(word, "quiet") || !strcmp(word, "trace"))
		traced = word[0] == 't';
	else if (sscanf(line, "show %31s", arg) == 1)
		show(arg);
	else
		return false;
	return true;
}

static char *read_file(const char *path)
{
	FILE *f = fopen(path, "r");
	char *p = mem_alloc(1u << 20);

	if (!f)
		return NULL;
	p[fread(p, 1, (1u << 20) - 1, f)] = 0;
	fclose(f);
	return p;
}

/* The file's commands; what was printed is in out. */
static bool play(const char *path, const char *text, bool quiet)
{
	char *copy = mem_strdup(text, strlen(text));
	unsigned number = 0;
	bool ok = true;

	seed = 1;
	traced = true;
	for (char *line = copy, *end; ok && *line; line = end) {
		end = strchr(line, '\n');
		end = end ? end + 1 : line + strlen(line);
		number++;
		if (line[0] == '>')
			continue;
		buf_put(&out, line, (size_t)(end - line));
		char save = *end;

		*end = 0;
		if (line[0] != '#' && line[0] != '\n' && !command(line)) {
			printf("%s:%u: not a command: %s", path, number, line);
			ok = false;
		}
		*end = save;
		if (world)
			world->quiet = quiet;
	}
	buf_u8(&out, 0);
	mem_free(copy);
	return ok;
}

static void end_world(void)
{
	if (world)
		rw_free(world);
	world = NULL;
}

#ifdef MUTANTS

/* With the bug planted this invariant, and no other one before it, breaks. */
static bool found(const char *path, const char *text, const char *name, const char *invariant)
{
	mutant_on = name;
	buf_init(&out, 1u << 20);
	bool ok = play(path, text, true);
	const char *what = world && world->what ? world->what : "nothing is broken";

	mutant_on = NULL;
	ok = ok && !strncmp(what, invariant, strlen(invariant));
	printf("%s: %s: %s: %s\n", ok ? "found" : "MISSED", name, path, what);
	buf_release(&out);
	end_world();
	return ok;
}

static bool each_mutant(const char *path, const char *text, int *count)
{
	char name[64], invariant[64];
	bool ok = true;

	for (const char *line = text; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (sscanf(line, "mutant %63s %63[^\n]", name, invariant) == 2) {
			(*count)++;
			ok &= found(path, text, name, invariant);
		}
	}
	return ok;
}

int main(int argc, char **argv)
{
	int bad = 0, count = 0;

	for (int i = 1; i < argc; i++) {
		char *text = read_file(argv[i]);

		bad += !text || !each_mutant(argv[i], text, &count);
		mem_free(text);
	}
	printf("%d planted bugs, %d files in which one is missed\n", count, bad);
	return bad > 0 || count == 0;
}

#else

/* True: the file says what happens. */
static bool holds(const char *path, bool rewrite)
{
	char *text = read_file(path);

	buf_init(&out, 1u << 20);
	bool ok = text && play(path, text, false);

	if (ok && world && world->broken) {
		printf("%s: an invariant of raft.h is broken\n", path);
		ok = false;
	}
	end_world();
	if (ok && strcmp((char *)out.p, text) != 0) {
		FILE *f = rewrite ? fopen(path, "w") : NULL;

		if (f) {
			fputs((char *)out.p, f);
			fclose(f);
		} else {
			printf("%s: other lines than expected:\n%s", path, (char *)out.p);
			ok = false;
		}
	}
	buf_release(&out);
	mem_free(text);
	return ok;
}

int main(int argc, char **argv)
{
	bool rewrite = argc > 1 && !strcmp(argv[1], "--rewrite");
	int bad = 0, files = 0;

	for (int i = 1 + rewrite; i < argc; i++, files++)
		bad += !holds(argv[i], rewrite);
	printf("%d scenarios, %d bad\n", files, bad);
	return bad > 0 || files == 0;
}

#endif
