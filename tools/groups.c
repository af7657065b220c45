/* groups.c - moldau groups list | describe | delete. man/moldau-groups.1 */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/mem.h"
#include "kclient.h"
#include "wire/kafka_api.h"

/* options: moldau-groups.1 */
static const struct cli_option options[] = {
	CLI_COMMON
};

#define GROUPS_MAX 63			/* cli.h: words of a line */

static int list(struct kc *k, const struct cli *c)
{
	struct list_groups_request q;
	struct list_groups_response r;

	wire_init(&wire_list_groups_request, &q);
	int err = kc_call(k, KC_ANY, KAFKA_LIST_GROUPS, kc_version(k, KAFKA_LIST_GROUPS, 4),
			  &wire_list_groups_request, &q, &wire_list_groups_response, &r);
	if (err != OK)
		return kc_fail(k, "cannot list groups", err);
	if (r.error_code != 0)
		return kc_refused("cannot list groups", r.error_code, STR_NULL);
	struct cli_table *t = cli_table_new(3, (const char *const[]){ "GROUP", "STATE", "PROTOCOL" });
	json_t *j = json_array();
	for (int32_t i = 0; i < r.groups_n; i++) {
		struct list_groups_response_listed_group *g = &r.groups[i];

		cli_table_cell(t, "%.*s", (int)g->group_id.len, g->group_id.p);
		cli_table_cell(t, "%.*s", (int)g->group_state.len, g->group_state.p);
		cli_table_cell(t, "%.*s", (int)g->protocol_type.len, g->protocol_type.p);
		json_array_append_new(j, json_pack("{ss# ss# ss#}", "group", g->group_id.p,
			(int)g->group_id.len, "state", g->group_state.p, (int)g->group_state.len,
			"protocol_type", g->protocol_type.p, (int)g->protocol_type.len));
	}
	if (cli_json(c)) {
		cli_print_json(j, JSON_INDENT(2));
		cli_table_free(t);
	} else {
		json_decref(j);
		cli_table_print(t, stdout);
	}
	return CLI_OK;
}

/* The coordinator of a group; < 0: it was refused or failed (printed). */
static int coordinator(struct kc *k, const char *group, int32_t *ret_node)
{
	struct find_coordinator_request q;
	struct find_coordinator_response r;

	wire_init(&wire_find_coordinator_request, &q);
	q.key = str_of(group);
	for (int try = 0; try < 50; try++) {
		struct metadata_response m;
		int err = kc_metadata(k, "", &m);

		(void)err;
		err = kc_call(k, KC_ANY, KAFKA_FIND_COORDINATOR, kc_version(k, KAFKA_FIND_COORDINATOR, 2),
			      &wire_find_coordinator_request, &q, &wire_find_coordinator_response, &r);
		if (err != OK)
			return -kc_fail(k, "cannot find the coordinator", err);
		if (r.error_code == 0) {
			*ret_node = r.node_id;
			return CLI_OK;
		}
		if (r.error_code != 15)
			break;
		struct timespec pause = { 0, 200000000 };
		nanosleep(&pause, NULL);
	}
	return -kc_refused("cannot find the coordinator", r.error_code, r.error_message);
}

struct committed {			/* of one partition; names of an answer live until the next call only */
	char topic[250];
	int32_t partition, leader;
	int64_t offset, end;
};

static struct committed *committed_of(struct kc *k, int32_t node, const char *group, uint32_t *ret_n)
{
	struct offset_fetch_request q;
	struct offset_fetch_response r;
	struct committed *v = NULL;
	uint32_t n = 0;

	*ret_n = 0;
	wire_init(&wire_offset_fetch_request, &q);
	q.group_id = str_of(group);
	q.topics_n = -1;
	if (kc_call(k, node, KAFKA_OFFSET_FETCH, kc_version(k, KAFKA_OFFSET_FETCH, 7),
		    &wire_offset_fetch_request, &q, &wire_offset_fetch_response, &r) != OK)
		return NULL;
	for (int32_t i = 0; i < r.topics_n; i++)
		for (int32_t p = 0; p < r.topics[i].partitions_n; p++) {
			v = mem_resize(v, (n + 1) * sizeof *v);
			v[n] = (struct committed){ .leader = KC_ANY,
				.partition = r.topics[i].partitions[p].partition_index,
				.offset = r.topics[i].partitions[p].committed_offset, .end = -1 };
			snprintf(v[n++].topic, sizeof v->topic, "%.*s", (int)r.topics[i].name.len, r.topics[i].name.p);
		}
	*ret_n = n;
	return v;
}

static void find_leaders(struct kc *k, struct committed *v, uint32_t n)
{
	struct metadata_response m;

	if (kc_metadata(k, NULL, &m) != OK)
		return;
	for (uint32_t c = 0; c < n; c++)
		for (int32_t i = 0; i < m.topics_n; i++)
			for (int32_t p = 0; str_is(m.topics[i].name, v[c].topic) && p < m.topics[i].partitions_n; p++)
				if (m.topics[i].partitions[p].partition_index == v[c].partition)
					v[c].leader = m.topics[i].partitions[p].leader_id;
}

static void number_cell(struct cli_table *t, int64_t n)
{
	if (n < 0)
		cli_table_cell(t, "-");
	else
		cli_table_cell(t, "%lld", (long long)n);
}

/* -1: not known. */
static void show_offsets(struct kc *k, int32_t node, const char *group, struct cli_table *t, json_t *to)
{
	uint32_t n;
	struct committed *v = committed_of(k, node, group, &n);

	find_leaders(k, v, n);
	for (uint32_t i = 0; i < n; i++) {
		struct committed *c = &v[i];
		int16_t code = 0;

		if (c->leader == KC_ANY || kc_list_offset(k, c->leader, str_of(c->topic), c->partition, -1, &code,
							  &c->end) != OK || code != 0)
			c->end = -1;
		int64_t lag = c->end < 0 || c->offset < 0 ? -1 : c->end > c->offset ? c->end - c->offset : 0;

		cli_table_cell(t, "%s", group);
		cli_table_cell(t, "%s", c->topic);
		cli_table_cell(t, "%d", c->partition);
		number_cell(t, c->offset);
		number_cell(t, c->end);
		number_cell(t, lag);
		json_array_append_new(to, json_pack("{ss si sI sI sI}", "topic", c->topic,
			"partition", (int)c->partition, "committed_offset", (json_int_t)c->offset,
			"log_end_offset", (json_int_t)c->end, "lag", (json_int_t)lag));
	}
	mem_free(v);
}

static void show_member(const char *group, const struct describe_groups_response_described_group *g, int32_t i,
			struct cli_table *t, json_t *to)
{
	static const struct describe_groups_response_described_group_member nobody = { .member_id = STR("-"),
		.client_host = STR("-") };
	const struct describe_groups_response_described_group_member *m = g->members_n > 0 ? &g->members[i] : &nobody;

	cli_table_cell(t, "%s", group);
	cli_table_cell(t, "%.*s", (int)g->group_state.len, g->group_state.p);
	cli_table_cell(t, "%.*s", (int)m->member_id.len, m->member_id.p);
	cli_table_cell(t, "%.*s", (int)m->client_host.len, m->client_host.p);
	if (m != &nobody)
		json_array_append_new(to, json_pack("{ss# ss#}", "member", m->member_id.p, (int)m->member_id.len,
			"host", m->client_host.p, (int)m->client_host.len));
}

static int describe_one(struct kc *k, const char *group, struct cli_table *m, struct cli_table *t, json_t *all)
{
	struct describe_groups_request q;
	struct describe_groups_response r;
	struct str id = str_of(group);
	int32_t node = 0;
	int status = coordinator(k, group, &node);

	if (status < 0)
		return -status;
	wire_init(&wire_describe_groups_request, &q);
	q.groups = &id;
	q.groups_n = 1;
	int err = kc_call(k, node, KAFKA_DESCRIBE_GROUPS, kc_version(k, KAFKA_DESCRIBE_GROUPS, 5),
			  &wire_describe_groups_request, &q, &wire_describe_groups_response, &r);
	if (err != OK || r.groups_n != 1)
		return kc_fail(k, "cannot describe the group", err != OK ? err : E_BAD);
	struct describe_groups_response_described_group *g = &r.groups[0];
	if (g->error_code != 0)
		return kc_refused(group, g->error_code, STR_NULL);
	if (str_is(g->group_state, "Dead"))	/* what older versions say of one that is not there */
		return kc_refused(group, 69, STR_NULL);
	json_t *members = json_array(), *offsets = json_array();
	for (int32_t i = 0; i < g->members_n || i == 0; i++)
		show_member(group, g, i, m, members);
	json_t *state = json_stringn(g->group_state.p, (size_t)g->group_state.len);
	show_offsets(k, node, group, t, offsets);
	json_array_append_new(all, json_pack("{ss so so so}", "group", group, "state", state, "members", members,
		"offsets", offsets));
	return CLI_OK;
}

static int describe(struct kc *k, const struct cli *c)
{
	struct cli_table *t = cli_table_new(6, (const char *const[]){ "GROUP", "TOPIC", "PARTITION",
		"COMMITTED", "LOG-END", "LAG" });
	struct cli_table *m = cli_table_new(4, (const char *const[]){ "GROUP", "STATE", "MEMBER", "HOST" });
	json_t *all = json_array();
	int status = CLI_OK;

	for (int a = 1; a < c->n_args && status != CLI_UNREACHABLE; a++) {
		int st = describe_one(k, c->args[a], m, t, all);

		status = st != CLI_OK ? st : status;
	}
	if (cli_json(c) || cli_table_rows(m) == 0) {
		cli_table_free(m);
		cli_table_free(t);
	} else {
		cli_table_print(m, stdout);
		putchar('\n');
		cli_table_print(t, stdout);
	}
	if (cli_json(c))
		cli_print_json(all, JSON_INDENT(2));
	else
		json_decref(all);
	return status;
}

static int delete(struct kc *k, const struct cli *c)
{
	int status = CLI_OK;

	for (int a = 1; a < c->n_args; a++) {
		struct delete_groups_request q;
		struct delete_groups_response r;
		struct str id = str_of(c->args[a]);
		int32_t node = 0;
		int st = coordinator(k, c->args[a], &node);

		if (st < 0)
			return -st;
		wire_init(&wire_delete_groups_request, &q);
		q.groups_names = &id;
		q.groups_names_n = 1;
		int err = kc_call(k, node, KAFKA_DELETE_GROUPS, kc_version(k, KAFKA_DELETE_GROUPS, 2),
				  &wire_delete_groups_request, &q, &wire_delete_groups_response, &r);
		if (err != OK || r.results_n != 1)
			return kc_fail(k, "cannot delete the group", err != OK ? err : E_BAD);
		if (r.results[0].error_code != 0)
			status = kc_refused(c->args[a], r.results[0].error_code, STR_NULL);
		else
			printf(cli_json(c) ? "{\"deleted\":\"%s\"}\n" : "deleted group %s\n", c->args[a]);
	}
	return status;
}

int cmd_groups(int argc, char **argv)
{
	static const struct cli_verb verbs[] = {
		{ "list", 0, 0, "" }, { "describe", 1, GROUPS_MAX, "GROUP..." },
		{ "delete", 1, GROUPS_MAX, "GROUP..." },
	};
	static int (*const run[])(struct kc *k, const struct cli *c) = { list, describe, delete };
	struct cli c;

	if (!cli_parse(&c, "moldau groups", "moldau groups list|describe|delete [GROUP]... [OPTION]...", options, argc,
		       argv))
		return CLI_USAGE;
	int verb = cli_verb(&c, verbs, sizeof verbs / sizeof verbs[0]);
	if (verb < 0)
		return CLI_USAGE;
	struct kc *k = kc_open(&c);
	if (!k)
		return CLI_UNREACHABLE;
	int status = run[verb](k, &c);
	kc_close(k);
	return status;
}
