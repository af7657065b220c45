/* conf.c - the settings table, checks of values, a broker's static settings. */
#include "base/conf.h"

#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "base/text.h"

const struct conf_def conf_defs[] = {
#define BROKER(name_, type_, def_, valid_, mode_, doc_) \
	{ name_, def_, valid_, "", doc_, CONF_##type_, CONF_##mode_ },
#define TOPIC(name_, type_, def_, valid_, synonyms_, doc_)
#define FOREIGN(name_)
#define FOREIGN_TOPIC(name_)
#include "proto/settings.def"
#undef BROKER
#undef TOPIC
};
const uint32_t conf_defs_n = sizeof conf_defs / sizeof *conf_defs;

const struct conf_def conf_topic_defs[] = {
#define BROKER(name_, type_, def_, valid_, mode_, doc_)
#define TOPIC(name_, type_, def_, valid_, synonyms_, doc_) \
	{ name_, def_, valid_, synonyms_, doc_, CONF_##type_, CONF_CLUSTER_WIDE },
#include "proto/settings.def"
#undef BROKER
#undef TOPIC
#undef FOREIGN
};
const uint32_t conf_topic_defs_n = sizeof conf_topic_defs / sizeof *conf_topic_defs;

#define BROKER(name_, type_, def_, valid_, mode_, doc_)
#define TOPIC(name_, type_, def_, valid_, synonyms_, doc_)
static const char *const foreign[] = {
#define FOREIGN(name_) name_,
#include "proto/settings.def"
#undef FOREIGN
#undef FOREIGN_TOPIC
};
static const char *const foreign_topic[] = {
#define FOREIGN(name_)
#define FOREIGN_TOPIC(name_) name_,
#include "proto/settings.def"
};

struct old_value {
	struct old_value *next;
	char *text;
};

struct conf {
	char *value[sizeof conf_defs / sizeof *conf_defs];	/* NULL: the default */
	struct old_value *old;		/* replaced by a reload; somebody may still look at them */
};

static const struct conf_def *find(const struct conf_def *v, uint32_t n, struct str name)
{
	for (uint32_t i = 0; i < n; i++)
		if (str_is(name, v[i].name))
			return &v[i];
	return NULL;
}

const struct conf_def *conf_def(struct str name)
{
	return find(conf_defs, conf_defs_n, name);
}

const struct conf_def *conf_topic_def(struct str name)
{
	return find(conf_topic_defs, conf_topic_defs_n, name);
}

static bool begins(struct str s, const char *with)
{
	size_t n = strlen(with);

	return s.len > 0 && (size_t)s.len >= n && memcmp(s.p, with, n) == 0;
}

bool conf_is_foreign(struct str name)
{
	for (size_t i = 0; i < sizeof foreign / sizeof *foreign; i++)
		if (str_is(name, foreign[i]))
			return true;
	return begins(name, "listener.name.") || begins(name, "rlmm.config.") ||
	       begins(name, "rsm.config.") || begins(name, "kafka.");
}

bool conf_topic_is_foreign(struct str name)
{
	for (size_t i = 0; i < sizeof foreign_topic / sizeof *foreign_topic; i++)
		if (str_is(name, foreign_topic[i]))
			return true;
	return false;
}

static bool blank(char ch)
{
	return ch == ' ' || ch == '\t' || ch == '\r' || ch == '\f';
}

static struct str trim(struct str s)
{
	while (s.len > 0 && blank(s.p[0]))
		s.p++, s.len--;
	while (s.len > 0 && blank(s.p[s.len - 1]))
		s.len--;
	return s;
}

bool conf_parse_int(struct str s, int64_t *ret)
{
	uint64_t v = 0, max = INT64_MAX;
	int32_t i = 0;

	s = trim(s);
	if (s.len > 0 && (s.p[0] == '-' || s.p[0] == '+'))
		i++;
	if (i == s.len || s.len < 0)
		return false;
	if (s.p[0] == '-')
		max++;
	for (; i < s.len; i++) {
		if (s.p[i] < '0' || s.p[i] > '9')
			return false;
		uint64_t d = (uint64_t)(s.p[i] - '0');

		if (v > (max - d) / 10)
			return false;
		v = v * 10 + d;
	}
	*ret = s.p[0] == '-' ? (int64_t)(0 - v) : (int64_t)v;
	return true;
}

static bool parse_double(struct str s, double *ret)
{
	double v = 0;
	int32_t i = 0, digits = 0;
	int64_t exp = 0, scale = 0;

	s = trim(s);
	bool minus = s.len > 0 && s.p[0] == '-';

	if (minus)
		i++;
	for (; i < s.len && ((s.p[i] >= '0' && s.p[i] <= '9') || s.p[i] == '.'); i++) {
		if (s.p[i] == '.') {
			if (scale < 0 || (i + 1 < s.len && memchr(s.p + i + 1, '.', (size_t)(s.len - i - 1))))
				return false;
			scale = 0;
			digits += 1000;		/* from now on digits are behind the point */
			continue;
		}
		v = v * 10 + (s.p[i] - '0');
		if (digits >= 1000)
			scale++;
		digits++;
	}
	if (digits % 1000 == 0)
		return false;
	if (i < s.len && (s.p[i] == 'e' || s.p[i] == 'E')) {
		if (!conf_parse_int((struct str){ s.p + i + 1, s.len - i - 1 }, &exp) || exp > 400 || exp < -400)
			return false;
		i = s.len;
	}
	if (i != s.len)
		return false;
	for (exp -= scale; exp > 0; exp--)
		v *= 10;
	for (; exp < 0; exp++)
		v /= 10;
	*ret = minus ? -v : v;
	return true;
}

bool conf_parse_bool(struct str s, bool *ret)
{
	char low[6] = "";

	s = trim(s);
	if (s.len < 4 || s.len > 5)
		return false;
	for (int32_t i = 0; i < s.len; i++)
		low[i] = (char)(s.p[i] >= 'A' && s.p[i] <= 'Z' ? s.p[i] + 32 : s.p[i]);
	if (strcmp(low, "true") != 0 && strcmp(low, "false") != 0)
		return false;
	*ret = low[0] == 't';
	return true;
}

bool conf_list_next(struct str list, int32_t *at, struct str *ret)
{
	while (*at < list.len) {
		int32_t end = *at;

		while (end < list.len && list.p[end] != ',')
			end++;
		*ret = trim((struct str){ list.p + *at, end - *at });
		*at = end + 1;
		if (ret->len > 0)
			return true;
	}
	return false;
}

/* ---- checks ---- */

/* Splits off the part before the next | of a rule. */
static struct str next_choice(const char **rule)
{
	const char *end = strchr(*rule, '|');
	struct str s = { *rule, (int32_t)(end ? (size_t)(end - *rule) : strlen(*rule)) };

	*rule = end ? end + 1 : *rule + s.len;
	return s;
}

static bool is_choice(const char *rule, struct str v)
{
	while (*rule)
		if (str_eq(next_choice(&rule), v))
			return true;
	return false;
}

/* The range "lo..hi" of a rule's part; open ends are infinite, a plain number is both ends. */
static void range(struct str part, double *lo, double *hi)
{
	int32_t dots = 0;

	*lo = -1e300;
	*hi = 1e300;
	while (dots + 1 < part.len && !(part.p[dots] == '.' && part.p[dots + 1] == '.'))
		dots++;
	if (dots + 1 >= part.len) {
		must(parse_double(part, lo));
		*hi = *lo;
		return;
	}
	must(parse_double((struct str){ part.p, dots }, lo));
	if (part.len > dots + 2)
		must(parse_double((struct str){ part.p + dots + 2, part.len - dots - 2 }, hi));
}

static int bad(const struct conf_def *d, struct str value, char *err, const char *why, struct str more)
{
	struct text t = text_open(err, CONF_ERR_BYTES);

	text_add(&t, "Invalid value ");
	text_str(&t, value);
	text_add(&t, " for configuration ");
	text_add(&t, d->name);
	text_add(&t, ": ");
	text_add(&t, why);
	if (more.len > 0)
		text_str(&t, more);
	return E_BAD;
}

static int check_number(const struct conf_def *d, struct str value, double v, char *err)
{
	double lo = 0, hi = 0;
	const char *rule = d->valid;
	struct str part = STR_NULL;

	if (!*rule)
		return OK;
	while (*rule) {
		part = next_choice(&rule);
		range(part, &lo, &hi);
		if (v >= lo && v <= hi)
			return OK;
	}
	int32_t dots = 0;

	while (dots + 1 < part.len && !(part.p[dots] == '.' && part.p[dots + 1] == '.'))
		dots++;
	if (v < lo)
		return bad(d, value, err, "Value must be at least ", (struct str){ part.p, dots });
	return bad(d, value, err, "Value must be no more than ",
		   (struct str){ part.p + dots + 2, part.len - dots - 2 });
}

static int check_choice(const struct conf_def *d, struct str value, char *err)
{
	if (!*d->valid || is_choice(d->valid, value))
		return OK;

	char list[CONF_ERR_BYTES];
	struct text t = text_open(list, sizeof list);
	const char *rule = d->valid;

	while (*rule) {
		text_str(&t, next_choice(&rule));
		if (*rule)
			text_add(&t, ", ");
	}
	return bad(d, value, err, "String must be one of: ", str_of(list));
}

int conf_check_value(const struct conf_def *d, struct str value, char *err)
{
	int64_t i;
	double f;
	bool b;

	value = trim(value);
	switch (d->type) {
	case CONF_BOOLEAN:
		return conf_parse_bool(value, &b) ? OK
			: bad(d, value, err, "Expected value to be either true or false", STR_NULL);
	case CONF_INT:
	case CONF_SHORT:
	case CONF_LONG: {
		int64_t max = d->type == CONF_INT ? INT32_MAX : d->type == CONF_SHORT ? INT16_MAX : INT64_MAX;

		if (!conf_parse_int(value, &i) || i > max || i < -max - 1)
			return bad(d, value, err, "Not a number of type ",
				   d->type == CONF_INT ? STR("INT") :
				   d->type == CONF_SHORT ? STR("SHORT") : STR("LONG"));
		return check_number(d, value, (double)i, err);
	}
	case CONF_DOUBLE:
		if (!parse_double(value, &f))
			return bad(d, value, err, "Not a number of type DOUBLE", STR_NULL);
		return check_number(d, value, f, err);
	case CONF_LIST: {
		struct str one;

		for (int32_t at = 0; conf_list_next(value, &at, &one);)
			if (check_choice(d, one, err) != OK)
				return E_BAD;
		return OK;
	}
	case CONF_STRING:
	case CONF_CLASS:
	case CONF_PASSWORD:
		return check_choice(d, value, err);
	}
	return E_BAD;
}

/* ---- a broker's settings ---- */

struct conf *conf_open(void)
{
	return mem_alloc(sizeof(struct conf));
}

void conf_free(struct conf *c)
{
	if (!c)
		return;
	for (uint32_t i = 0; i < conf_defs_n; i++)
		mem_free(c->value[i]);
	for (struct old_value *o = c->old, *next; o; o = next) {
		next = o->next;
		mem_free(o->text);
		mem_free(o);
	}
	mem_free(c);
}

#define NAME_MAX_BYTES 64

static int unknown(struct str name, char *err)
{
	struct text t = text_open(err, CONF_ERR_BYTES);
	const char *nearest = NULL;
	int best = str_far(name);

	for (uint32_t i = 0; i < conf_defs_n; i++) {
		int n = str_distance(name, str_of(conf_defs[i].name));

		if (n < best) {
			best = n;
			nearest = conf_defs[i].name;
		}
	}
	text_add(&t, "unknown setting ");
	text_str(&t, name);
	if (nearest) {
		text_add(&t, "; did you mean ");
		text_add(&t, nearest);
		text_add(&t, "?");
	}
	return E_NOENT;
}

int conf_set(struct conf *c, struct str name, struct str value, char *err)
{
	name = trim(name);
	value = trim(value);

	const struct conf_def *d = conf_def(name);

	if (!d) {
		if (!conf_is_foreign(name))
			return unknown(name, err);
		struct text t = text_open(err, CONF_ERR_BYTES);

		text_add(&t, "setting ");
		text_str(&t, name);
		text_add(&t, " has no effect in Moldau");
		return CONF_IGNORED;
	}
	int rc = conf_check_value(d, value, err);

	if (rc != OK)
		return rc;
	char **slot = &c->value[d - conf_defs];

	mem_free(*slot);
	*slot = mem_strdup(value.p, (size_t)value.len);
	return OK;
}

static int parse_line(struct conf *c, const char *file, int64_t line, struct str s, char *err,
		      void (*on_warning)(void *ctx, const char *msg), void *ctx)
{
	char why[CONF_ERR_BYTES], msg[CONF_ERR_BYTES];
	int rc = E_BAD;

	s = trim(s);
	if (s.len == 0 || s.p[0] == '#' || s.p[0] == '!')
		return OK;
	const char *eq = memchr(s.p, '=', (size_t)s.len);

	if (eq) {
		int32_t n = (int32_t)(eq - s.p);

		rc = conf_set(c, (struct str){ s.p, n }, (struct str){ eq + 1, s.len - n - 1 }, why);
	} else {
		struct text t = text_open(why, sizeof why);

		text_add(&t, "not of the form name=value");
	}
	struct text t = text_open(rc < 0 ? err : msg, CONF_ERR_BYTES);

	text_add(&t, file);
	text_add(&t, ":");
	text_i64(&t, line);
	text_add(&t, ": ");
	text_add(&t, rc == OK ? "" : why);
	if (rc == CONF_IGNORED && on_warning)
		on_warning(ctx, msg);
	return rc < 0 ? rc : OK;
}

int conf_parse(struct conf *c, const char *file, const char *text, size_t len, char *err,
	       void (*on_warning)(void *ctx, const char *msg), void *ctx)
{
	char *joined = mem_alloc(len + 1);
	size_t n = 0;
	int64_t line = 0, first = 1;
	int rc = OK;

	for (size_t i = 0; i <= len && rc == OK; i++) {
		if (i < len && text[i] != '\n') {
			joined[n++] = text[i];
			continue;
		}
		line++;
		while (n > 0 && joined[n - 1] == '\r')
			n--;
		if (n > 0 && joined[n - 1] == '\\' && i < len) {
			n--;			/* goes on in the next line */
			continue;
		}
		rc = parse_line(c, file, first, (struct str){ joined, (int32_t)n }, err, on_warning, ctx);
		n = 0;
		first = line + 1;
	}
	mem_free(joined);
	return rc;
}

static bool reloads(const struct conf_def *d)
{
	/* Read at each use; log.level is no setting of the cluster, so Kafka's tools do not offer it. */
	return d->mode == CONF_CLUSTER_WIDE || strcmp(d->name, "log.level") == 0;
}

static bool same_text(const char *a, const char *b)
{
	return a == b || (a && b && strcmp(a, b) == 0);
}

uint32_t conf_reload(struct conf *c, const struct conf *from,
		     void (*on_difference)(void *ctx, const struct conf_def *d, bool taken), void *ctx)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < conf_defs_n; i++) {
		bool takes = reloads(&conf_defs[i]);

		if (same_text(c->value[i], from->value[i]))
			continue;
		if (on_difference)
			on_difference(ctx, &conf_defs[i], takes);
		if (!takes)
			continue;
		if (c->value[i]) {
			struct old_value *o = mem_alloc(sizeof *o);

			*o = (struct old_value){ c->old, c->value[i] };
			c->old = o;
		}
		c->value[i] = from->value[i] ? mem_strdup(from->value[i], strlen(from->value[i])) : NULL;
		n++;
	}
	return n;
}

void conf_dump(const struct conf *c, struct buf *b)
{
	for (uint32_t i = 0; i < conf_defs_n; i++) {
		if (!c->value[i])
			continue;
		buf_put(b, conf_defs[i].name, strlen(conf_defs[i].name));
		buf_put(b, "=", 1);
		buf_put(b, c->value[i], strlen(c->value[i]));
		buf_put(b, "\n", 1);
	}
}

static uint32_t idx_of(const char *name)
{
	const struct conf_def *d = conf_def(str_of(name));

	must(d != NULL);	/* a name in our own code that is not in settings.def */
	return (uint32_t)(d - conf_defs);
}

const char *conf_str(const struct conf *c, const char *name)
{
	uint32_t i = idx_of(name);

	return c->value[i] ? c->value[i] : conf_defs[i].def;
}

bool conf_is_set(const struct conf *c, const char *name)
{
	return c->value[idx_of(name)] != NULL;
}

int64_t conf_int(const struct conf *c, const char *name)
{
	int64_t v = -1;
	const char *s = conf_str(c, name);

	if (s)
		must(conf_parse_int(str_of(s), &v));
	return v;
}

bool conf_bool(const struct conf *c, const char *name)
{
	bool v = false;
	const char *s = conf_str(c, name);

	if (s)
		must(conf_parse_bool(str_of(s), &v));
	return v;
}

/* ---- listeners ---- */

static int refuse(char *err, const char *what, struct str s)
{
	struct text t = text_open(err, CONF_ERR_BYTES);

	text_add(&t, what);
	if (s.len > 0) {
		text_add(&t, ": ");
		text_str(&t, s);
	}
	return E_BAD;
}

/* "NAME://HOST:PORT"; the host may be empty or in brackets. */
static int parse_endpoint(struct str s, struct str *name, struct str *host, uint16_t *port, char *err)
{
	int32_t at = 0, colon = s.len - 1;
	int64_t n;

	while (at + 2 < s.len && memcmp(s.p + at, "://", 3) != 0)
		at++;
	while (colon > at + 2 && s.p[colon] != ':')
		colon--;
	if (at + 2 >= s.len || at == 0 || colon < at + 3 ||
	    !conf_parse_int((struct str){ s.p + colon + 1, s.len - colon - 1 }, &n) || n < 0 || n > 65535)
		return refuse(err, "not a listener of the form NAME://HOST:PORT", s);
	*name = (struct str){ s.p, at };
	*host = (struct str){ s.p + at + 3, colon - at - 3 };
	if (host->len > 2 && host->p[0] == '[' && host->p[host->len - 1] == ']') {
		host->p++;
		host->len -= 2;
	}
	*port = (uint16_t)n;
	return OK;
}

/* Protocol of a listener name in the map; a name that is a protocol needs no entry. */
static bool protocol_of(struct str map, struct str name, struct str *ret)
{
	struct str one;

	for (int32_t at = 0; conf_list_next(map, &at, &one);) {
		if (one.len > name.len && one.p[name.len] == ':' && memcmp(one.p, name.p, (size_t)name.len) == 0) {
			*ret = trim((struct str){ one.p + name.len + 1, one.len - name.len - 1 });
			return true;
		}
	}
	return false;
}

int conf_listeners(const struct conf *c, struct conf_listener *v, char *err)
{
	struct str list = str_of(conf_str(c, "listeners")), adv = str_of(conf_str(c, "advertised.listeners"));
	struct str map = str_of(conf_str(c, "listener.security.protocol.map")), one;
	int n = 0;

	for (int32_t at = 0; conf_list_next(list, &at, &one); n++) {
		if (n == CONF_LISTENERS_MAX)
			return refuse(err, "too many listeners", STR_NULL);
		if (parse_endpoint(one, &v[n].name, &v[n].host, &v[n].port, err) != OK)
			return E_BAD;
		if (!protocol_of(map, v[n].name, &v[n].protocol))
			return refuse(err, "listener name is not in listener.security.protocol.map", v[n].name);
		for (int i = 0; i < n; i++)
			if (str_eq(v[i].name, v[n].name))
				return refuse(err, "two listeners of one name", v[n].name);
		v[n].adv_host = str_is(v[n].host, "0.0.0.0") || str_is(v[n].host, "::") ? STR("") : v[n].host;
		v[n].adv_port = v[n].port;
	}
	for (int32_t at = 0; conf_list_next(adv, &at, &one);) {
		struct str name, host;
		uint16_t port;
		int i = 0;

		if (parse_endpoint(one, &name, &host, &port, err) != OK)
			return E_BAD;
		while (i < n && !str_eq(v[i].name, name))
			i++;
		if (i == n)
			return refuse(err, "advertised.listeners names a listener that listeners has not", name);
		if (str_is(host, "0.0.0.0"))
			return refuse(err, "advertised.listeners cannot use 0.0.0.0", one);
		v[i].adv_host = host;
		v[i].adv_port = port;
	}
	return n > 0 ? n : refuse(err, "listeners is empty", STR_NULL);
}

int conf_check(const struct conf *c, char *err)
{
	struct conf_listener v[CONF_LISTENERS_MAX];

	if (conf_listeners(c, v, err) < 0)
		return E_BAD;
	int64_t node = conf_int(c, "node.id"), broker = conf_int(c, "broker.id");

	if (node < 0 && broker < 0)
		return refuse(err, "node.id must be set, to 0 or more", STR_NULL);
	if (conf_is_set(c, "node.id") && conf_is_set(c, "broker.id") && node != broker)
		return refuse(err, "node.id and broker.id differ", STR_NULL);
	if (conf_int(c, "group.min.session.timeout.ms") > conf_int(c, "group.max.session.timeout.ms"))
		return refuse(err, "group.min.session.timeout.ms is above group.max.session.timeout.ms", STR_NULL);
	return OK;
}
