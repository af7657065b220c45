/* quorum_certs.c - moldau quorum certs: an authority in a folder, and certificates of nodes and clients. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "os/cert_os.h"
#include "os/net_os.h"
#include "os/tls_os.h"
#include "quorum.h"

#define DAYS 825
#define DAYS_MAX 36500

static const struct {
	const char *name, *unit;
	bool dialled;
} kinds[] = {
	{ "node", "moldau-quorum", true },	/* the settings peer-subjects and client-subjects go by these */
	{ "client", "moldau-system", false },
	{ "reader", "moldau-reader", false },
};

static void print_json(const char *dir, const struct cert_wish *w, const char *kind, bool new_ca)
{
	json_t *o = json_pack("{so so so ss si sb}", "certificate", json_sprintf("%s/%s.pem", dir, w->name), "key",
			      json_sprintf("%s/%s.key", dir, w->name), "authority", json_sprintf("%s/ca.pem", dir),
			      "kind", kind, "days", w->days, "new_authority", new_ca);
	char *text = json_dumps(o, JSON_INDENT(2));

	puts(text);
	free(text);
	json_decref(o);
}

int quorum_certs(const struct cli *c)
{
	struct cert_wish w = { .days = (int)cli_number(c, "days", DAYS, 0, DAYS_MAX) };
	size_t k = 0;
	bool new_ca;
	char why[400];

	while (k < sizeof kinds / sizeof kinds[0] && strcmp(kinds[k].name, c->args[2]) != 0)
		k++;
	bool known = k < sizeof kinds / sizeof kinds[0];

	if (!known || (kinds[k].dialled ? c->n_args < 5 : c->n_args > 4)) {
		cli_error("wrong arguments", "moldau quorum certs DIR node NAME HOST...",
			  "moldau quorum certs DIR client|reader NAME");
		return CLI_USAGE;
	}
	w.unit = kinds[k].unit;
	w.name = c->args[3];
	w.hosts = &c->args[4];
	w.nhosts = c->n_args - 4;
	if (cert_os_issue(c->args[1], &w, &new_ca, why, sizeof why) != OK) {
		cli_error("no certificate was made", why, "moldau quorum certs --help");
		return CLI_FAILED;
	}
	const char *dir = c->args[1];

	if (cli_json(c)) {
		print_json(dir, &w, kinds[k].name, new_ca);
		return CLI_OK;
	}
	if (new_ca)
		printf("%s/ca.pem, %s/ca.key: a new authority; keep its key apart from the nodes\n", dir, dir);
	printf("%s/%s.pem, %s/%s.key: %s, for %d days\n", dir, w.name, dir, w.name, kinds[k].name, w.days);
	return CLI_OK;
}

bool quorum_tls(struct quorum *q)
{
	static const char *const names[][2] = {
		{ "tls-certificate", "MOLDAU_TLS_CERTIFICATE" }, { "tls-key", "MOLDAU_TLS_KEY" },
		{ "tls-ca", "MOLDAU_TLS_CA" },
	};
	const char *v[3];
	int given = 0;
	struct tls_os *tls;
	char why[400];

	for (int i = 0; i < 3; i++) {
		const char *fallback = getenv(names[i][1]);

		v[i] = cli_value(q->c, names[i][0], fallback && *fallback ? fallback : NULL);
		given += v[i] != NULL;
	}
	if (given == 0)
		return true;
	if (given < 3) {
		cli_error("--tls-certificate, --tls-key and --tls-ca go together", NULL,
			  "Give all three, or none, here or in the environment.");
		return false;
	}
	if (tls_os_new(v[0], v[1], v[2], TLS_CLIENT_NEED, &tls, why, sizeof why) != OK) {
		cli_error("no TLS with the quorum", why, "moldau quorum certs makes certificates");
		return false;
	}
	net_os_tls(q->net, tls, "moldau");
	return true;
}
