/* main_zk.c - see main_zk.h. */
#include "quorum/main_zk.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/mem.h"
#include "os/clock_os.h"
#include "os/hash_os.h"
#include "os/http_os.h"
#include "os/log_os.h"
#include "os/net_os.h"
#include "os/tls_os.h"

#define FRAMES_MAX (128u << 20)		/* bytes of requests in memory at once, apart from the brokers' */
#define FILE_MAX (64u << 10)

struct zk_main {
	struct zk_conf conf;
	struct zk *zk;
	struct net *net, *secure_net;
	struct tls_os *tls;
	int fd, secure_fd;
	char data_dir[400];
};

struct zk_main *zk_main_new(void)
{
	struct zk_main *m = mem_alloc(sizeof *m);

	zk_conf_init(&m->conf);
	m->fd = m->secure_fd = -1;
	return m;
}

struct zk_conf *zk_main_conf(struct zk_main *m)
{
	return &m->conf;
}

/* The whole of a small text file, 0-terminated; NULL: why says what is wrong. */
static char *slurp(const char *path, char *why)
{
	FILE *f = fopen(path, "re");
	char *text;
	size_t n;

	if (!f) {
		snprintf(why, ZK_CONF_WHY, "cannot read %.300s: %s", path, strerror(errno));
		return NULL;
	}
	text = mem_alloc(FILE_MAX + 1);
	n = fread(text, 1, FILE_MAX, f);
	if (n == FILE_MAX || ferror(f)) {
		snprintf(why, ZK_CONF_WHY, "%.300s is too long, or cannot be read", path);
		mem_free(text);
		text = NULL;
	}
	fclose(f);
	return text;
}

static char *trim(char *p)
{
	char *end = p + strlen(p);

	while (end > p && isspace((unsigned char)end[-1]))
		*--end = 0;
	while (isspace((unsigned char)*p))
		p++;
	return p;
}

int zk_main_read(struct zk_main *m, const char *path, char *why)
{
	char *text = slurp(path, why), *rest = text, *line;
	unsigned number = 0;
	int err = text ? OK : E_NOENT;

	while (err == OK && (line = strsep(&rest, "\n"))) {
		char inner[ZK_CONF_WHY] = "", *p = trim(line), *eq;

		number++;
		if (*p == 0 || *p == '#' || *p == '!')
			continue;
		eq = strchr(p, '=');
		if (!eq) {
			snprintf(inner, sizeof inner, "not NAME=VALUE");
			err = E_BAD;
		} else {
			*eq = 0;
			err = zk_conf_zoo(&m->conf, trim(p), trim(eq + 1), inner);
		}
		if (err)
			snprintf(why, ZK_CONF_WHY, "%.200s:%u: %.250s", path, number, inner);
	}
	mem_free(text);
	return err;
}

int zk_main_check(struct zk_main *m, char *why)
{
	if (m->conf.users_file[0]) {
		char *text = slurp(m->conf.users_file, why);
		int err = text ? zk_conf_users(&m->conf, text, strlen(text), why) : E_NOENT;

		mem_free(text);
		if (err)
			return err;
	}
	return zk_conf_check(&m->conf, why);
}

int zk_main_member(struct zk_main *m, char *node_id, size_t id_cap, char *voters, size_t voters_cap, char *why)
{
	const struct zk_conf *c = &m->conf;
	char path[ZK_CONF_TEXT + 8], *text;
	size_t at = 0;
	bool self = false;

	if (c->nservers < 2)
		return OK;
	snprintf(path, sizeof path, "%s/myid", c->data_dir);
	text = slurp(path, why);
	if (!text)
		return E_NOENT;
	snprintf(node_id, id_cap, "%.10s", trim(text));
	mem_free(text);
	for (uint32_t i = 0; i < c->nservers; i++) {
		const struct zk_conf_server *s = &c->servers[i];
		char mine[16];

		snprintf(mine, sizeof mine, "%u", s->id);
		self |= strcmp(mine, node_id) == 0;
		if (s->observer) {
			snprintf(why, ZK_CONF_WHY, "server.%u is an observer: start it with --join and --observer",
				 s->id);
			return E_BAD;
		}
		int n = snprintf(voters + at, voters_cap - at, strchr(s->host, ':') ? "%s%u@[%s]:%u" : "%s%u@%s:%u",
				 at > 0 ? "," : "", s->id, s->host, s->peer_port);

		if (n < 0 || (size_t)n >= voters_cap - at) {
			snprintf(why, ZK_CONF_WHY, "the ensemble is too large");
			return E_BAD;
		}
		at += (size_t)n;
	}
	if (!self)
		snprintf(why, ZK_CONF_WHY, "%.300s says %.10s, and there is no such server", path, node_id);
	return self ? OK : E_BAD;
}

int zk_main_listen(struct zk_main *m, char *why)
{
	if (m->conf.listen[0]) {
		m->fd = net_os_listen(m->conf.listen, why, ZK_CONF_WHY);
		if (m->fd < 0)
			return m->fd;
	}
	if (m->conf.secure[0]) {
		enum tls_client_auth auth = strcmp(m->conf.client_auth, "need") == 0 ? TLS_CLIENT_NEED
			: strcmp(m->conf.client_auth, "want") == 0 ? TLS_CLIENT_WANT : TLS_CLIENT_NONE;
		int err = tls_os_new(m->conf.cert, m->conf.key, m->conf.ca, auth, &m->tls, why, ZK_CONF_WHY);

		if (err)
			return err;
		m->secure_fd = net_os_listen(m->conf.secure, why, ZK_CONF_WHY);
		if (m->secure_fd < 0)
			return m->secure_fd;
	}
	return OK;
}

static uint64_t folder_bytes(const char *path)
{
	DIR *d = opendir(path);
	uint64_t sum = 0;
	struct dirent *e;
	struct stat st;

	while (d && (e = readdir(d)))
		if (fstatat(dirfd(d), e->d_name, &st, 0) == 0 && S_ISREG(st.st_mode))
			sum += (uint64_t)st.st_size;
	if (d)
		closedir(d);
	return sum;
}

static uint64_t open_files(void)
{
	DIR *d = opendir("/proc/self/fd");
	uint64_t n = 0;

	while (d && readdir(d))
		n++;
	if (d)
		closedir(d);
	return n > 3 ? n - 3 : 0;		/* ".", "..", and the folder itself */
}

/* What is asked for by a name of ZooKeeper's; an unknown one leaves ret as it is. */
static void system_info(void *user, const char *what, char *ret, size_t cap)
{
	struct zk_main *m = user;
	struct utsname u = { 0 };
	struct rlimit rl = { 0 };
	const char *home = getenv("HOME"), *name = getenv("USER");

	uname(&u);
	if (strcmp(what, "data.bytes") == 0) {
		snprintf(ret, cap, "%llu", (unsigned long long)folder_bytes(m->data_dir));
	} else if (strcmp(what, "host.name") == 0) {
		snprintf(ret, cap, "%s", u.nodename);
	} else if (strcmp(what, "os.name") == 0) {
		snprintf(ret, cap, "%s", u.sysname);
	} else if (strcmp(what, "os.arch") == 0) {
		snprintf(ret, cap, "%s", strcmp(u.machine, "x86_64") == 0 ? "amd64" : u.machine);
	} else if (strcmp(what, "os.version") == 0) {
		snprintf(ret, cap, "%s", u.release);
	} else if (strcmp(what, "user.name") == 0) {
		snprintf(ret, cap, "%s", name ? name : "?");
	} else if (strcmp(what, "user.home") == 0) {
		snprintf(ret, cap, "%s", home ? home : "?");
	} else if (strcmp(what, "user.dir") == 0) {
		if (!getcwd(ret, cap))
			snprintf(ret, cap, "?");
	} else if (strncmp(what, "os.memory.", 10) == 0) {
		uint64_t pages = (uint64_t)sysconf(strcmp(what, "os.memory.free") == 0 ?
						   _SC_AVPHYS_PAGES : _SC_PHYS_PAGES);

		snprintf(ret, cap, "%lluMB", (unsigned long long)(pages * (uint64_t)sysconf(_SC_PAGESIZE) >> 20));
	} else if (strcmp(what, "max_file_descriptor_count") == 0) {
		getrlimit(RLIMIT_NOFILE, &rl);
		snprintf(ret, cap, "%llu", (unsigned long long)rl.rlim_cur);
	} else if (strcmp(what, "open_file_descriptor_count") == 0) {
		snprintf(ret, cap, "%llu", (unsigned long long)open_files());
	}
}

static void on_log(void *user, const char *msg, const char *detail)
{
	(void)user;
	log_os("zookeeper", LOG_OS_INFO, msg, detail, NULL);
}

static void on_accept(void *ctx, int fd)
{
	struct zk_main *m = ctx;

	zk_accept(m->zk, m->net, false, fd);
}

static void on_accept_secure(void *ctx, int fd)
{
	struct zk_main *m = ctx;

	zk_accept(m->zk, m->secure_net, true, fd);
}

static const char *on_admin(void *ctx, const char *name, struct buf *page)
{
	return zk_admin(((struct zk_main *)ctx)->zk, name, page);
}

int zk_main_serve(struct zk_main *m, struct loop_os *loop, struct node *node, const char *data_dir,
		  uint32_t server_id, char *why)
{
	struct zk_config conf;

	if (m->fd < 0 && m->secure_fd < 0)
		return OK;
	zk_conf_fill(&m->conf, &conf);
	snprintf(m->data_dir, sizeof m->data_dir, "%s", data_dir);
	conf.data_dir = m->data_dir;
	conf.server_id = server_id;
	conf.hash = hash_os;
	conf.random = os_random;
	conf.on_log = on_log;
	conf.system_info = system_info;
	conf.user = m;
	m->net = net_os_new(loop, FRAMES_MAX);
	m->zk = zk_new(node, loop_os_port(loop), clock_os(), &conf);
	if (m->fd >= 0)
		net_os_accept(loop, m->fd, on_accept, m);
	if (m->conf.admin[0] && http_os_serve_under(loop, m->conf.admin, "/commands", on_admin, m) < 0) {
		snprintf(why, ZK_CONF_WHY, "zookeeper-admin: %.200s cannot be used", m->conf.admin);
		return E_BAD;
	}
	if (m->secure_fd >= 0) {
		m->secure_net = net_os_new(loop, FRAMES_MAX);
		net_os_tls(m->secure_net, m->tls, "zookeeper");
		net_os_accept(loop, m->secure_fd, on_accept_secure, m);
	}
	return OK;
}

void zk_main_reload(struct zk_main *m)
{
	if (m->tls)
		tls_os_reload(m->tls, "zookeeper");
}

void zk_main_drain(struct zk_main *m)
{
	if (m->zk)
		zk_drain(m->zk);
}

const struct zk *zk_main_front(const struct zk_main *m)
{
	return m->zk;
}
