/* topics.c - moldau topics list | create | describe | delete | add-partitions. man/moldau-topics.1 */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "kclient.h"
#include "wire/kafka_api.h"

/* options: moldau-topics.1 */
static const struct cli_option options[] = {
	{ "partitions", true, "N", "create, add-partitions: number of partitions (default: the broker's)" },
	{ "replication-factor", true, "N", "create: copies of each partition (default: the broker's)" },
	{ "config", true, "NAME=VALUE", "create: a setting of the topic; may be given several times" },
	{ "if-not-exists", false, NULL, "create: no error when the topic is there already" },
	{ "internal", false, NULL, "list: internal topics too" },
	CLI_COMMON
};

#define TOPICS_MAX 63			/* cli.h: words of a line */
#define RESOURCE_TOPIC 2
#define SOURCE_TOPIC 1			/* DYNAMIC_TOPIC_CONFIG */

static json_t *text(struct str s)
{
	return s.len < 0 ? json_null() : json_stringn(s.p, (size_t)s.len);
}

/* One of the two, as the user wants it. */
static void show(const struct cli *c, json_t *j, struct cli_table *t)
{
	if (cli_json(c)) {
		cli_print_json(j, JSON_INDENT(2));
		cli_table_free(t);
		return;
	}
	json_decref(j);
	cli_table_print(t, stdout);
}

static int by_name(const void *a, const void *b)
{
	const struct metadata_response_metadata_response_topic *x = a, *y = b;

	return str_cmp(x->name, y->name);
}

static json_t *ids(const int32_t *v, int32_t n)
{
	json_t *j = json_array();

	for (int32_t i = 0; i < n; i++)
		json_array_append_new(j, json_integer(v[i]));
	return j;
}

static int list(struct kc *k, const struct cli *c)
{
	struct metadata_response m;
	int err = kc_metadata(k, NULL, &m);

	if (err != OK)
		return kc_fail(k, "cannot list topics", err);
	qsort(m.topics, (size_t)m.topics_n, sizeof *m.topics, by_name);
	json_t *j = json_array();
	struct cli_table *t = cli_table_new(3, (const char *const[]){ "TOPIC", "PARTITIONS", "REPLICAS" });
	for (int32_t i = 0; i < m.topics_n; i++) {
		struct metadata_response_metadata_response_topic *mt = &m.topics[i];
		int32_t replicas = mt->partitions_n > 0 ? mt->partitions[0].replica_nodes_n : 0;

		if (mt->is_internal && !cli_has(c, "internal"))
			continue;
		json_array_append_new(j, json_pack("{so si si sb}", "name", text(mt->name), "partitions",
			(int)mt->partitions_n, "replicas", (int)replicas, "internal", mt->is_internal));
		cli_table_cell(t, "%.*s", (int)mt->name.len, mt->name.p);
		cli_table_cell(t, "%d", mt->partitions_n);
		cli_table_cell(t, "%d", replicas);
	}
	show(c, j, t);
	return CLI_OK;
}

static void put_ids(char *to, size_t cap, const int32_t *v, int32_t n)
{
	size_t at = 0;

	to[0] = 0;
	for (int32_t i = 0; i < n && at < cap - 16; i++)
		at += (size_t)snprintf(to + at, cap - at, "%s%d", i ? "," : "", v[i]);
}

/* What the topic itself sets, not the broker for all. */
static int topic_configs(struct kc *k, const char *topic, struct cli_table *t, json_t *to)
{
	struct describe_configs_request q;
	struct describe_configs_response r;
	struct describe_configs_request_describe_configs_resource one = { .resource_type = RESOURCE_TOPIC,
		.resource_name = str_of(topic), .configuration_keys_n = -1 };

	wire_init(&wire_describe_configs_request, &q);
	q.resources = &one;
	q.resources_n = 1;
	int err = kc_call(k, KC_ANY, KAFKA_DESCRIBE_CONFIGS, kc_version(k, KAFKA_DESCRIBE_CONFIGS, 4),
			  &wire_describe_configs_request, &q, &wire_describe_configs_response, &r);
	if (err != OK || r.results_n != 1)
		return kc_fail(k, "cannot describe the topic's settings", err != OK ? err : E_BAD);
	if (r.results[0].error_code != 0)
		return kc_refused(topic, r.results[0].error_code, r.results[0].error_message);
	for (int32_t i = 0; i < r.results[0].configs_n; i++) {
		struct describe_configs_response_describe_configs_resource_result *x = &r.results[0].configs[i];
		char name[256];

		if (x->config_source != SOURCE_TOPIC)
			continue;
		snprintf(name, sizeof name, "%.*s", (int)x->name.len, x->name.p);
		json_object_set_new(to, name, text(x->value));
		cli_table_cell(t, "%s", topic);
		cli_table_cell(t, "%s", name);
		cli_table_cell(t, "%.*s", x->value.len < 0 ? 1 : (int)x->value.len,
			       x->value.len < 0 ? "-" : x->value.p);
	}
	return CLI_OK;
}

static int describe_one(struct kc *k, const char *topic, struct cli_table *t, struct cli_table *settings, json_t *all)
{
	struct metadata_response m;
	int err = kc_metadata(k, topic, &m);

	if (err != OK)
		return kc_fail(k, "cannot describe the topic", err);
	if (m.topics_n != 1 || m.topics[0].error_code != 0)
		return kc_refused(topic, m.topics_n == 1 ? m.topics[0].error_code : (int16_t)3, STR_NULL);
	json_t *parts = json_array(), *configs = json_object();
	for (int32_t i = 0; i < m.topics[0].partitions_n; i++) {
		struct metadata_response_metadata_response_partition *p = &m.topics[0].partitions[i];
		char r[256], s[256];

		put_ids(r, sizeof r, p->replica_nodes, p->replica_nodes_n);
		put_ids(s, sizeof s, p->isr_nodes, p->isr_nodes_n);
		cli_table_cell(t, "%s", topic);
		cli_table_cell(t, "%d", p->partition_index);
		cli_table_cell(t, "%d", p->leader_id);
		cli_table_cell(t, "%d", p->leader_epoch);
		cli_table_cell(t, "%s", r);
		cli_table_cell(t, "%s", s);
		json_array_append_new(parts, json_pack("{si si si so so}", "partition", (int)p->partition_index,
			"leader", (int)p->leader_id, "leader_epoch", (int)p->leader_epoch,
			"replicas", ids(p->replica_nodes, p->replica_nodes_n),
			"isr", ids(p->isr_nodes, p->isr_nodes_n)));
	}
	json_array_append_new(all, json_pack("{ss so so}", "name", topic, "configs", configs, "partitions", parts));
	return topic_configs(k, topic, settings, configs);
}

static int describe(struct kc *k, const struct cli *c)
{
	int status = CLI_OK;
	json_t *all = json_array();
	struct cli_table *t = cli_table_new(6, (const char *const[]){ "TOPIC", "PARTITION", "LEADER",
		"EPOCH", "REPLICAS", "ISR" });
	struct cli_table *settings = cli_table_new(3, (const char *const[]){ "TOPIC", "CONFIG", "VALUE" });

	for (int a = 1; a < c->n_args && status != CLI_UNREACHABLE; a++) {
		int st = describe_one(k, c->args[a], t, settings, all);

		status = st != CLI_OK ? st : status;
	}
	if (cli_json(c) || cli_table_rows(t) > 0) {
		show(c, all, t);
	} else {
		json_decref(all);
		cli_table_free(t);
	}
	if (cli_json(c) || cli_table_rows(settings) == 0) {
		cli_table_free(settings);
	} else {
		putchar('\n');
		cli_table_print(settings, stdout);
	}
	return status;
}

static int create(struct kc *k, const struct cli *c)
{
	struct create_topics_request q;
	struct create_topics_response r;
	struct create_topics_request_creatable_topic topics[64];
	struct create_topics_request_creatable_topic_config configs[64];
	int n_configs = 0, v = kc_version(k, KAFKA_CREATE_TOPICS, 7), status = CLI_OK;

	for (const char *kv; n_configs < 64 && (kv = cli_values(c, "config", n_configs)) != NULL; n_configs++) {
		const char *eq = strchr(kv, '=');

		if (!eq) {
			cli_error("--config wants NAME=VALUE", kv, NULL);
			return CLI_USAGE;
		}
		memset(&configs[n_configs], 0, sizeof configs[0]);
		configs[n_configs].name = (struct str){ kv, (int32_t)(eq - kv) };
		configs[n_configs].value = str_of(eq + 1);
	}
	wire_init(&wire_create_topics_request, &q);
	for (int i = 1; i < c->n_args; i++) {
		struct create_topics_request_creatable_topic *t = &topics[i - 1];

		memset(t, 0, sizeof *t);
		t->name = str_of(c->args[i]);
		t->num_partitions = (int32_t)cli_number(c, "partitions", -1, 1, 100000);
		t->replication_factor = (int16_t)cli_number(c, "replication-factor", -1, 1, 1000);
		t->configs = configs;
		t->configs_n = n_configs;
	}
	q.topics = topics;
	q.topics_n = c->n_args - 1;
	q.timeout_ms = 30000;
	int err = kc_call(k, KC_ANY, KAFKA_CREATE_TOPICS, v, &wire_create_topics_request, &q,
			  &wire_create_topics_response, &r);
	if (err != OK)
		return kc_fail(k, "cannot create the topic", err);
	for (int32_t i = 0; i < r.topics_n; i++) {
		char name[260];

		snprintf(name, sizeof name, "%.*s", (int)r.topics[i].name.len, r.topics[i].name.p);
		if (r.topics[i].error_code == 36 && cli_has(c, "if-not-exists"))
			printf(cli_json(c) ? "{\"exists\":\"%s\"}\n" : "%s is there already\n", name);
		else if (r.topics[i].error_code != 0)
			status = kc_refused(name, r.topics[i].error_code, r.topics[i].error_message);
		else if (!cli_json(c))
			printf("created %s (%d partitions)\n", name, r.topics[i].num_partitions);
		else
			printf("{\"created\":\"%s\",\"partitions\":%d}\n", name, r.topics[i].num_partitions);
	}
	return status;
}

static int delete(struct kc *k, const struct cli *c)
{
	struct delete_topics_request q;
	struct delete_topics_response r;
	struct str names[64];
	int status = CLI_OK;

	wire_init(&wire_delete_topics_request, &q);
	for (int i = 1; i < c->n_args; i++)
		names[i - 1] = str_of(c->args[i]);
	q.topic_names = names;
	q.topic_names_n = c->n_args - 1;
	q.timeout_ms = 30000;
	int err = kc_call(k, KC_ANY, KAFKA_DELETE_TOPICS, kc_version(k, KAFKA_DELETE_TOPICS, 5),
			  &wire_delete_topics_request, &q, &wire_delete_topics_response, &r);
	if (err != OK)
		return kc_fail(k, "cannot delete the topic", err);
	for (int32_t i = 0; i < r.responses_n; i++) {
		char name[260];

		snprintf(name, sizeof name, "%.*s", (int)r.responses[i].name.len, r.responses[i].name.p);
		if (r.responses[i].error_code != 0)
			status = kc_refused(name, r.responses[i].error_code, r.responses[i].error_message);
		else
			printf(cli_json(c) ? "{\"deleted\":\"%s\"}\n" : "deleted %s\n", name);
	}
	return status;
}

static int add_partitions(struct kc *k, const struct cli *c)
{
	struct create_partitions_request q;
	struct create_partitions_response r;
	struct create_partitions_request_create_partitions_topic t;

	if (!cli_has(c, "partitions")) {
		cli_error("add-partitions wants --partitions N, the new total", NULL, NULL);
		return CLI_USAGE;
	}
	wire_init(&wire_create_partitions_request, &q);
	memset(&t, 0, sizeof t);
	t.name = str_of(c->args[1]);
	t.count = (int32_t)cli_number(c, "partitions", 1, 1, 100000);
	t.assignments_n = -1;
	q.topics = &t;
	q.topics_n = 1;
	q.timeout_ms = 30000;
	int err = kc_call(k, KC_ANY, KAFKA_CREATE_PARTITIONS, kc_version(k, KAFKA_CREATE_PARTITIONS, 3),
			  &wire_create_partitions_request, &q, &wire_create_partitions_response, &r);
	if (err != OK)
		return kc_fail(k, "cannot add partitions", err);
	if (r.results_n != 1 || r.results[0].error_code != 0)
		return kc_refused(c->args[1], r.results_n == 1 ? r.results[0].error_code : (int16_t)-1,
				  r.results_n == 1 ? r.results[0].error_message : STR_NULL);
	printf(cli_json(c) ? "{\"topic\":\"%s\",\"partitions\":%d}\n" : "%s has now %d partitions\n",
	       c->args[1], t.count);
	return CLI_OK;
}

int cmd_topics(int argc, char **argv)
{
	static const struct cli_verb verbs[] = {
		{ "list", 0, 0, "" }, { "create", 1, TOPICS_MAX, "TOPIC..." },
		{ "describe", 1, TOPICS_MAX, "TOPIC..." },
		{ "delete", 1, TOPICS_MAX, "TOPIC..." }, { "add-partitions", 1, 1, "TOPIC --partitions N" },
	};
	static int (*const run[])(struct kc *k, const struct cli *c) = { list, create, describe, delete,
		add_partitions };
	struct cli c;

	if (!cli_parse(&c, "moldau topics",
		       "moldau topics list|create|describe|delete|add-partitions [TOPIC]... [OPTION]...",
		       options, argc, argv))
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
