/* kclient.c - see kclient.h. Blocking sockets with deadlines. */
#include "kclient.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/be.h"
#include "base/buf.h"
#include "wire/kafka_api.h"
#include "wire/kafka_error.h"

#define NODES_MAX 64
#define KEYS_MAX 128
#define KAFKA_PORT 9092
#define ANSWER_MAX (256u << 20)
#define CLIENT_ID "moldau"

struct node {
	int32_t id;
	char host[256];
	int port;
	int fd;			/* -1: not connected */
};

struct kc {
	struct node boot, nodes[NODES_MAX];
	int n_nodes;
	int timeout_ms;
	int32_t corr;
	int16_t max[KEYS_MAX];	/* newest version the broker offers; -1: not served */
	struct arena arena;
	uint8_t *answer;	/* of the last call; views of the decoded answer point into it */
};

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static int wait_fd(int fd, short what, int64_t deadline)
{
	struct pollfd p = { .fd = fd, .events = what };
	int64_t left = deadline - now_ms();
	int n = poll(&p, 1, left > 0 ? (int)left : 0);

	return n > 0 ? OK : n == 0 ? E_TIMEOUT : errno == EINTR ? OK : E_CLOSED;
}

static int send_all(int fd, const uint8_t *p, size_t n, int64_t deadline)
{
	while (n > 0) {
		int err = wait_fd(fd, POLLOUT, deadline);
		ssize_t got = err == OK ? send(fd, p, n, MSG_NOSIGNAL | MSG_DONTWAIT) : -1;

		if (err != OK)
			return err;
		if (got < 0 && errno != EAGAIN && errno != EINTR)
			return E_CLOSED;
		if (got > 0) {
			p += got;
			n -= (size_t)got;
		}
	}
	return OK;
}

static int recv_all(int fd, uint8_t *p, size_t n, int64_t deadline)
{
	while (n > 0) {
		int err = wait_fd(fd, POLLIN, deadline);
		ssize_t got = err == OK ? recv(fd, p, n, MSG_DONTWAIT) : -1;

		if (err != OK)
			return err;
		if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR))
			return E_CLOSED;
		if (got > 0) {
			p += got;
			n -= (size_t)got;
		}
	}
	return OK;
}

static int dial(struct node *n, int64_t deadline)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *list, *a;
	char port[16];
	int err = E_CLOSED;

	snprintf(port, sizeof port, "%d", n->port);
	if (getaddrinfo(n->host, port, &hints, &list) != 0)
		return E_NOENT;
	for (a = list; a && n->fd < 0; a = a->ai_next) {
		int fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), one = 1, e = 0;
		socklen_t len = sizeof e;

		if (fd < 0)
			continue;
		if (connect(fd, a->ai_addr, a->ai_addrlen) != 0 && errno != EINPROGRESS)
			e = errno;
		else if ((err = wait_fd(fd, POLLOUT, deadline)) != OK ||
			 getsockopt(fd, SOL_SOCKET, SO_ERROR, &e, &len) != 0)
			e = e ? e : ETIMEDOUT;
		if (e != 0) {
			close(fd);
			err = err == E_TIMEOUT ? E_TIMEOUT : E_CLOSED;
			continue;
		}
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
		n->fd = fd;
		err = OK;
	}
	freeaddrinfo(list);
	return n->fd >= 0 ? OK : err;
}

static struct node *node_of(struct kc *k, int32_t id)
{
	for (int i = 0; i < k->n_nodes; i++)
		if (k->nodes[i].id == id)
			return &k->nodes[i];
	return &k->boot;
}

static void hang_up(struct node *n)
{
	if (n->fd >= 0)
		close(n->fd);
	n->fd = -1;
}

static void put_header(struct buf *b, int16_t key, int version, int32_t corr)
{
	buf_be32(b, 0);
	buf_be16(b, (uint16_t)key);
	buf_be16(b, (uint16_t)version);
	buf_be32(b, (uint32_t)corr);
	buf_be16(b, sizeof CLIENT_ID - 1);
	buf_put(b, CLIENT_ID, sizeof CLIENT_ID - 1);
	if (kafka_request_header_version(kafka_api(key), (int16_t)version) >= 2)
		buf_u8(b, 0);
}

int kc_call(struct kc *k, int32_t id, int16_t key, int version, const struct wire_type *req_type,
	    const void *req, const struct wire_type *resp_type, void *resp)
{
	struct node *n = id == KC_ANY ? &k->boot : node_of(k, id);
	int64_t deadline = now_ms() + k->timeout_ms;
	struct buf b;
	uint8_t head[4];
	int err = n->fd >= 0 ? OK : dial(n, deadline);

	if (err != OK)
		return err;
	buf_init(&b, ANSWER_MAX);
	put_header(&b, key, version, ++k->corr);
	err = wire_encode(req_type, (int16_t)version, req, &b);
	if (err == OK && b.bad)
		err = E_LIMIT;
	if (err == OK) {
		be32_put(b.p, (uint32_t)b.len - 4);
		err = send_all(n->fd, b.p, b.len, deadline);
	}
	buf_release(&b);
	if (err != OK || !resp)
		goto out;
	err = recv_all(n->fd, head, 4, deadline);
	uint32_t len = be32_get(head);
	uint32_t skip = 4 + (kafka_response_header_version(kafka_api(key), (int16_t)version) >= 1);
	if (err == OK && (len < skip || len > ANSWER_MAX))
		err = E_BAD;
	if (err != OK)
		goto out;
	k->answer = mem_resize(k->answer, len);
	err = recv_all(n->fd, k->answer, len, deadline);
	if (err == OK && (be32_get(k->answer) != (uint32_t)k->corr || (skip == 5 && k->answer[4] != 0)))
		err = E_BAD;
	if (err == OK)
		err = wire_decode(resp_type, (int16_t)version, k->answer + skip, len - skip, &k->arena, resp);
out:
	if (err != OK)
		hang_up(n);
	return err;
}

static int negotiate(struct kc *k)
{
	struct api_versions_request q;
	struct api_versions_response r;

	wire_init(&wire_api_versions_request, &q);
	int err = kc_call(k, KC_ANY, KAFKA_API_VERSIONS, 0, &wire_api_versions_request, &q,
			  &wire_api_versions_response, &r);
	for (int i = 0; i < KEYS_MAX; i++)
		k->max[i] = -1;
	for (int32_t i = 0; err == OK && i < r.api_keys_n; i++)
		if (r.api_keys[i].api_key >= 0 && r.api_keys[i].api_key < KEYS_MAX)
			k->max[r.api_keys[i].api_key] = r.api_keys[i].max_version;
	return err;
}

/* HOST, HOST:PORT or [HOST]:PORT; ends the program when it is none of these. */
static void split_address(const char *at, struct node *ret)
{
	const char *colon = strrchr(at, ':');
	size_t len = colon ? (size_t)(colon - at) : strlen(at);
	char *end = NULL;
	long port = colon ? strtol(colon + 1, &end, 10) : KAFKA_PORT;

	if (len > 1 && at[0] == '[' && at[len - 1] == ']') {	/* an IPv6 address */
		at++;
		len -= 2;
	}
	if (len == 0 || len >= sizeof ret->host || (end && (*end || end == colon + 1)) || port < 1 || port > 65535) {
		cli_error("--bootstrap is HOST:PORT, a port from 1 to 65535", at, NULL);
		exit(CLI_USAGE);
	}
	snprintf(ret->host, sizeof ret->host, "%.*s", (int)len, at);
	ret->port = (int)port;
}

struct kc *kc_open(const struct cli *c)
{
	const char *env = getenv("MOLDAU_BOOTSTRAP");
	const char *at = cli_value(c, "bootstrap", env && *env ? env : "127.0.0.1:9092");
	struct kc *k = mem_alloc(sizeof *k);

	arena_init(&k->arena, 64 << 10, 1u << 30);
	k->timeout_ms = (int)cli_number(c, "timeout", 30, 1, 3600) * 1000;
	k->boot.fd = -1;
	k->boot.id = KC_ANY;
	split_address(at, &k->boot);
	int err = negotiate(k);
	if (err == OK)
		return k;
	char what[400];
	snprintf(what, sizeof what, "cannot talk to a broker at %s:%d: %s", k->boot.host, k->boot.port,
		 err == E_NOENT ? "no such host" : err == E_CLOSED ? "connection refused or closed" :
		 err_text(err));
	cli_error(what, NULL, "Is the cluster running (moldau dev)? Name another broker with --bootstrap HOST:PORT.");
	kc_close(k);
	return NULL;
}

void kc_close(struct kc *k)
{
	hang_up(&k->boot);
	for (int i = 0; i < k->n_nodes; i++)
		hang_up(&k->nodes[i]);
	arena_release(&k->arena);
	mem_free(k->answer);
	mem_free(k);
}

struct arena *kc_arena(struct kc *k)
{
	return &k->arena;
}

int kc_version(struct kc *k, int16_t key, int want)
{
	if (key < 0 || key >= KEYS_MAX || k->max[key] < 0)
		return -1;
	return k->max[key] < want ? k->max[key] : want;
}

int kc_metadata(struct kc *k, const char *topic, struct metadata_response *ret)
{
	struct metadata_request q;
	struct metadata_request_metadata_request_topic t;

	wire_init(&wire_metadata_request, &q);
	memset(&t, 0, sizeof t);
	t.name = str_of(topic);
	q.topics = &t;
	q.topics_n = topic ? 1 : -1;
	q.allow_auto_topic_creation = false;
	int err = kc_call(k, KC_ANY, KAFKA_METADATA, kc_version(k, KAFKA_METADATA, 9),
			  &wire_metadata_request, &q, &wire_metadata_response, ret);
	for (int32_t i = 0; err == OK && i < ret->brokers_n; i++) {
		struct node *n = node_of(k, ret->brokers[i].node_id);

		if (n == &k->boot) {
			if (k->n_nodes == NODES_MAX)
				break;
			n = &k->nodes[k->n_nodes++];
			n->fd = -1;
		}
		n->id = ret->brokers[i].node_id;
		n->port = ret->brokers[i].port;
		snprintf(n->host, sizeof n->host, "%.*s", (int)ret->brokers[i].host.len,
			 ret->brokers[i].host.p);
	}
	return err;
}

int kc_list_offset(struct kc *k, int32_t leader, struct str topic, int32_t partition, int64_t timestamp,
		   int16_t *ret_code, int64_t *ret)
{
	struct list_offsets_request q;
	struct list_offsets_response r;
	struct list_offsets_request_list_offsets_topic t;
	struct list_offsets_request_list_offsets_partition lp;

	wire_init(&wire_list_offsets_request, &q);
	memset(&t, 0, sizeof t);
	memset(&lp, 0, sizeof lp);
	q.replica_id = -1;
	q.topics = &t;
	q.topics_n = 1;
	t.name = topic;
	t.partitions = &lp;
	t.partitions_n = 1;
	lp.partition_index = partition;
	lp.current_leader_epoch = -1;
	lp.timestamp = timestamp;
	lp.max_num_offsets = 1;
	int err = kc_call(k, leader, KAFKA_LIST_OFFSETS, kc_version(k, KAFKA_LIST_OFFSETS, 5),
			  &wire_list_offsets_request, &q, &wire_list_offsets_response, &r);
	if (err != OK)
		return err;
	if (r.topics_n != 1 || r.topics[0].partitions_n != 1)
		return E_BAD;
	*ret_code = r.topics[0].partitions[0].error_code;
	*ret = r.topics[0].partitions[0].offset;
	return OK;
}

int kc_fail(struct kc *k, const char *what, int err)
{
	char line[512];

	snprintf(line, sizeof line, "%s: %s", what, err == E_CLOSED ?
		 "the broker closed the connection" : err_text(err));
	cli_error(line, NULL, err == E_CLOSED || err == E_TIMEOUT ?
		  "Try again; if it stays, look at the broker's log." : NULL);
	(void)k;
	return err == E_CLOSED || err == E_TIMEOUT ? CLI_UNREACHABLE : CLI_FAILED;
}

int kc_refused(const char *what, int16_t code, struct str message)
{
	char line[256], detail[512];

	snprintf(line, sizeof line, "%s: error %d %s", what, code, kafka_error_name(code));
	snprintf(detail, sizeof detail, "%.*s", message.len > 0 ? (int)message.len : 0, message.p);
	cli_error(line, message.len > 0 ? detail : kafka_error_text(code), NULL);
	return CLI_FAILED;
}
