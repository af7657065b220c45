/*
 * zk_reconfig.c - /zookeeper/config: the ensemble as ZooKeeper's clients see it, and the request that changes it.
 *
 * The text is ZooKeeper's: a line "server.ID=HOST:PEER:ELECTION:ROLE;CLIENT" a member, then "version=HEX", the zxid of
 * its change. Is not: the membership itself, which is raft's (node_add(), node_remove()): participants can be declared
 * when they are voters, and taken out when they are none any more; observers are only recorded.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "quorum/zk_int.h"
#include "wire/zk_gen.h"

#define TEXT_MAX 8192

struct ensemble {
	struct zk_conf_server v[ZK_CONF_SERVERS];
	uint32_t n;
};

static bool put_server(struct ensemble *e, const struct zk_conf_server *s)
{
	uint32_t at = 0;

	while (at < e->n && e->v[at].id < s->id)
		at++;
	if (at < e->n && e->v[at].id == s->id) {
		e->v[at] = *s;
		return true;
	}
	if (e->n == ZK_CONF_SERVERS)
		return false;
	memmove(&e->v[at + 1], &e->v[at], (e->n - at) * sizeof *s);
	e->v[at] = *s;
	e->n++;
	return true;
}

/* "server.ID=..."; false: it makes no sense. */
static bool put_line(struct ensemble *e, char *line)
{
	char *eq = strchr(line, '='), *end;
	struct zk_conf_server s;

	if (!eq || strncmp(line, "server.", 7) != 0)
		return false;
	unsigned long id = strtoul(line + 7, &end, 10);

	return end == eq && end > line + 7 && id <= INT32_MAX && zk_conf_server((uint32_t)id, eq + 1, &s) == OK &&
		put_server(e, &s);
}

/* Members of the text, and its version. */
static bool parse(char *text, struct ensemble *e, uint64_t *ret_version)
{
	char *rest = text, *line;

	*e = (struct ensemble){ .n = 0 };
	*ret_version = 0;
	while ((line = strsep(&rest, "\n,")) != NULL) {
		if (strncmp(line, "version=", 8) == 0)
			*ret_version = strtoull(line + 8, NULL, 16);
		else if (*line && !put_line(e, line))
			return false;
	}
	return true;
}

static void print(const struct ensemble *e, struct buf *b)
{
	for (uint32_t i = 0; i < e->n; i++) {
		const struct zk_conf_server *s = &e->v[i];

		zk_print(b, "server.%u=%s:%u:%u:%s", s->id, s->host, s->peer_port, s->election_port,
			 s->observer ? "observer" : "participant");
		if (s->client[0])
			zk_print(b, strchr(s->client, ':') ? ";%s" : ";0.0.0.0:%s", s->client);
		zk_print(b, "\n");
	}
	zk_print(b, "version=");
}

static bool leave(struct ensemble *e, char *ids)
{
	char *rest = ids, *one, *end;

	while ((one = strsep(&rest, ",")) != NULL) {
		unsigned long id = strtoul(one, &end, 10);
		uint32_t at = 0;

		if (end == one || *end)
			return false;
		while (at < e->n && e->v[at].id != id)
			at++;
		if (at == e->n)
			continue;
		memmove(&e->v[at], &e->v[at + 1], (e->n - at - 1) * sizeof e->v[0]);
		e->n--;
	}
	return true;
}

/* Participants and voters are the same nodes. */
static bool agrees(const struct ensemble *e, const struct node *node)
{
	struct node_role r;
	uint32_t found = 0, voters = 0, participants = 0;

	node_role(node, &r);
	for (uint32_t i = 0; i < e->n; i++)
		participants += !e->v[i].observer;
	for (uint32_t k = 0; k < r.nmembers; k++) {
		voters += r.members[k].voter && !r.members[k].leaving;
		for (uint32_t i = 0; i < e->n; i++)
			found += r.members[k].voter && !e->v[i].observer && e->v[i].id == r.members[k].id;
	}
	return found == participants && found == voters;
}

static bool to_text(struct str s, char to[TEXT_MAX])
{
	if (s.len >= TEXT_MAX || (s.len > 0 && memchr(s.p, 0, (size_t)s.len)))
		return false;
	memcpy(to, s.p, s.len > 0 ? (size_t)s.len : 0);
	to[s.len > 0 ? s.len : 0] = 0;
	return true;
}

enum coord_code zk_reconfig(struct zk *z, const struct zk_reconfig_request *q, struct buf *ret)
{
	const struct znode *n = coord_find(node_coord(z->node), STR(ZK_CONFIG_NODE));
	struct ensemble e, fresh;
	char text[TEXT_MAX];
	uint64_t version, ignored;

	if (!z->conf.reconfig)
		return ZK_RECONFIG_DISABLED;
	if (z->conf.nservers < 2 || !n || !to_text((struct str){ (const char *)n->value, n->value_len }, text) ||
	    !parse(text, &e, &version))
		return ZK_UNIMPLEMENTED;		/* as ZooKeeper standing alone */
	if (q->config_id != -1 && q->config_id != (int64_t)version)
		return ZK_BAD_VERSION;
	if (q->members.len >= 0) {
		if (!to_text(q->members, text) || !parse(text, &fresh, &ignored))
			return ZK_BAD_ARGUMENTS;
		e = fresh;
	} else {
		if (q->leaving.len > 0 && (!to_text(q->leaving, text) || !leave(&e, text)))
			return ZK_BAD_ARGUMENTS;
		if (q->joining.len > 0) {
			char *rest = text, *line;

			if (!to_text(q->joining, text))
				return ZK_BAD_ARGUMENTS;
			while ((line = strsep(&rest, ",")) != NULL)
				if (!put_line(&e, line))
					return ZK_BAD_ARGUMENTS;
		}
	}
	if (!agrees(&e, z->node))
		return ZK_NO_QUORUM;
	print(&e, ret);
	return ret->bad ? ZK_BAD_ARGUMENTS : ZK_OK;
}

void zk_reconfig_lead(struct zk *z)
{
	const struct znode *n = coord_find(node_coord(z->node), STR(ZK_CONFIG_NODE));
	struct ensemble e = { .n = z->conf.nservers };
	struct buf text, ops, entry;

	if (z->conf.nservers < 2 || !n || n->value_len > 0)
		return;
	memcpy(e.v, z->conf.servers, e.n * sizeof e.v[0]);
	buf_init(&text, TEXT_MAX);
	buf_init(&ops, 4 * TEXT_MAX);
	buf_init(&entry, 4 * TEXT_MAX);
	print(&e, &text);
	buf_u8(&text, '0');
	mp_put_array(&ops, 1);
	coord_encode_op(&ops, &(struct coord_op){ .kind = COORD_SET, .path = STR(ZK_CONFIG_NODE),
			.value = { text.p, (int32_t)text.len }, .version = n->version });
	coord_encode_multi(&entry, node_time_ms(z->node), 0, ops.p, (uint32_t)ops.len);
	if (node_propose(z->node, entry.p, (uint32_t)entry.len, true, NULL) != OK)
		z->conf.on_log(z->conf.user, "the ensemble could not be written to " ZK_CONFIG_NODE, NULL);
	buf_release(&text);
	buf_release(&ops);
	buf_release(&entry);
}
