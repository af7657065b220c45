/* test_conf.c - settings: every default is valid, names, ranges, files, listeners. */
#include <criterion/criterion.h>

#include "base/conf.h"
#include "base/mem.h"

Test(conf, defaults_are_valid)
{
	char err[CONF_ERR_BYTES];

	for (uint32_t i = 0; i < conf_defs_n; i++)
		if (conf_defs[i].def && *conf_defs[i].def)
			cr_assert(conf_check_value(&conf_defs[i], str_of(conf_defs[i].def), err) == 0, "%s", err);
	for (uint32_t i = 0; i < conf_topic_defs_n; i++)
		if (conf_topic_defs[i].def && *conf_topic_defs[i].def)
			cr_assert(conf_check_value(&conf_topic_defs[i], str_of(conf_topic_defs[i].def), err) == 0,
				  "%s", err);
}

struct row {
	const char *name, *value;
	int rc;
	const char *text;
};

/* Kafka's words where Kafka has some. */
static const struct row rows[] = {
	{ "log.segment.bytes", "1048576", OK, NULL },
	{ "log.segment.bytes", "1048575", E_BAD,
	  "Invalid value 1048575 for configuration log.segment.bytes: Value must be at least 1048576" },
	{ "log.segment.bytes", "many", E_BAD,
	  "Invalid value many for configuration log.segment.bytes: Not a number of type INT" },
	{ "log.segment.bytes", "2147483648", E_BAD,
	  "Invalid value 2147483648 for configuration log.segment.bytes: Not a number of type INT" },
	{ "log.retention.ms", "9223372036854775807", OK, NULL },
	{ "log.retention.ms", "9223372036854775808", E_BAD, NULL },
	{ "log.preallocate", "TRUE", OK, NULL },
	{ "log.preallocate", "yes", E_BAD,
	  "Invalid value yes for configuration log.preallocate: Expected value to be either true or false" },
	{ "log.cleanup.policy", "compact, delete", OK, NULL },
	{ "log.cleanup.policy", "keep", E_BAD,
	  "Invalid value keep for configuration log.cleanup.policy: String must be one of: compact, delete" },
	{ "log.cleaner.min.cleanable.ratio", "0.25", OK, NULL },
	{ "log.cleaner.min.cleanable.ratio", "2.5E-1", OK, NULL },
	{ "log.cleaner.min.cleanable.ratio", "1.01", E_BAD, NULL },
	{ "compression.gzip.level", "-1", OK, NULL },
	{ "compression.gzip.level", "0", E_BAD, NULL },
	{ "compression.gzip.level", "9", OK, NULL },
	{ "durability", "quorum", OK, NULL },
	{ "durability", "none", E_BAD, NULL },
	{ "log.segment.byts", "1", E_NOENT, "unknown setting log.segment.byts; did you mean log.segment.bytes?" },
	{ "what.is.this.then", "1", E_NOENT, "unknown setting what.is.this.then" },
	{ "zookeeper.connect", "a:2181", CONF_IGNORED, "setting zookeeper.connect has no effect in Moldau" },
	{ "listener.name.ssl.ssl.keystore.type", "PEM", CONF_IGNORED, NULL },
};

Test(conf, values)
{
	struct conf *c = conf_open();
	char err[CONF_ERR_BYTES];

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		int rc = conf_set(c, str_of(rows[i].name), str_of(rows[i].value), err);

		cr_assert_eq(rc, rows[i].rc, "%s=%s: %d", rows[i].name, rows[i].value, rc);
		if (rows[i].text)
			cr_assert_str_eq(err, rows[i].text);
	}
	conf_free(c);
	cr_assert_eq(mem_live(), 0);
}

static void on_warning(void *ctx, const char *msg)
{
	(void)msg;
	++*(int *)ctx;
}

Test(conf, files)
{
	static const char text[] = "# a comment\r\n! another\n\nnode.id = 3\nlisteners=PLAINTEXT://127.0.0.1:9092,\\\n"
				   "INSIDE://:19092\n"
				   "listener.security.protocol.map=PLAINTEXT:PLAINTEXT,INSIDE:PLAINTEXT\n"
				   "zookeeper.connect=x\nadvertised.listeners=INSIDE://b1:29092\n";
	struct conf *c = conf_open();
	struct conf_listener v[CONF_LISTENERS_MAX];
	char err[CONF_ERR_BYTES];
	int warnings = 0;

	cr_assert_eq(conf_parse(c, "f", text, sizeof text - 1, err, on_warning, &warnings), OK, "%s", err);
	cr_assert_eq(warnings, 1);
	cr_assert_eq(conf_int(c, "node.id"), 3);
	cr_assert_eq(conf_check(c, err), OK);
	cr_assert_eq(conf_listeners(c, v, err), 2);
	cr_assert(str_is(v[0].adv_host, "127.0.0.1") && v[0].adv_port == 9092);
	cr_assert(str_is(v[1].name, "INSIDE") && v[1].host.len == 0 && v[1].port == 19092);
	cr_assert(str_is(v[1].adv_host, "b1") && v[1].adv_port == 29092);
	cr_assert_eq(conf_parse(c, "f", "a=1\n", 4, err, NULL, NULL), E_NOENT);
	cr_assert_eq(conf_parse(c, "f", "\n\nworkers\n", 10, err, NULL, NULL), E_BAD);
	cr_assert_str_eq(err, "f:3: not of the form name=value");
	cr_assert_eq(conf_set(c, STR("listeners"), STR("PLAINTEXT://x"), err), OK);
	cr_assert_eq(conf_check(c, err), E_BAD);
	cr_assert_eq(conf_set(c, STR("listeners"), STR("OTHER://:1"), err), OK);
	cr_assert_eq(conf_check(c, err), E_BAD);
	conf_free(c);
}
