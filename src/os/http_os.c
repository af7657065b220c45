/* http_os.c - see http_os.h. */
#include "os/http_os.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/http.h>
#include <event2/listener.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "os/listen_os.h"

#define PAGE_MAX (8u << 20)
#define IDLE_S 30		/* a connection that asks nothing is closed */
#define HEAD_MAX 16384
#define BODY_MAX 1024

struct page {
	const char *type, *path;
	void (*on_get)(void *ctx, struct buf *page);
	const char *(*on_under)(void *ctx, const char *name, struct buf *page);
	void *ctx;
};

/* NULL: the path is another one, or there is no such page. */
static const char *under(const struct page *p, struct evhttp_request *req, struct buf *b)
{
	const char *path = evhttp_uri_get_path(evhttp_request_get_evhttp_uri(req));
	size_t n = strlen(p->path);

	if (!path || strncmp(path, p->path, n) != 0 || (path[n] != 0 && path[n] != '/'))
		return NULL;
	return p->on_under(p->ctx, path[n] ? path + n + 1 : "", b);
}

static void got(struct evhttp_request *req, void *arg)
{
	struct page *p = arg;
	struct evbuffer *out = evbuffer_new();
	struct buf b;

	if (out == NULL) {
		evhttp_send_error(req, HTTP_INTERNAL, NULL);
		return;
	}
	buf_init(&b, PAGE_MAX);
	const char *type = p->type;

	if (p->on_under)
		type = under(p, req, &b);
	else
		p->on_get(p->ctx, &b);
	if (!type) {
		evhttp_send_error(req, HTTP_NOTFOUND, NULL);
	} else if (b.bad || evbuffer_add(out, b.p, b.len) != 0) {
		evhttp_send_error(req, HTTP_INTERNAL, NULL);
	} else {
		evhttp_add_header(evhttp_request_get_output_headers(req), "Content-Type", type);
		evhttp_send_reply(req, HTTP_OK, "OK", out);
	}
	evbuffer_free(out);
	buf_release(&b);
}

/* A server that listens nowhere yet; NULL: out of memory. */
static struct evhttp *server(struct loop_os *loop, const struct page *page)
{
	struct evhttp *http = evhttp_new(loop_os_base(loop));

	if (http == NULL)
		return NULL;
	evhttp_set_allowed_methods(http, EVHTTP_REQ_GET | EVHTTP_REQ_HEAD);
	evhttp_set_timeout(http, IDLE_S);
	evhttp_set_max_headers_size(http, HEAD_MAX);
	evhttp_set_max_body_size(http, BODY_MAX);
	struct page *p = mem_alloc(sizeof *p);
	*p = *page;
	if (p->on_under)
		evhttp_set_gencb(http, got, p);
	else
		evhttp_set_cb(http, p->path, got, p);
	return http;
}

static int spare_fd = -1;		/* of all servers of the process: see net_os_turn_away() */

/* libevent's own way is a warning for each try, for as long as nobody closes anything. */
static void on_accept_error(struct evconnlistener *l, void *arg)
{
	(void)arg;
	if (errno == EMFILE || errno == ENFILE)
		net_os_turn_away(&spare_fd, evconnlistener_get_fd(l));
}

/* s: of the server's socket, which listens; NULL: it could not. */
static int accept_on(struct evhttp_bound_socket *s, int otherwise)
{
	if (s == NULL)
		return otherwise;
	if (spare_fd < 0)
		spare_fd = net_os_spare();
	evconnlistener_set_error_cb(evhttp_bound_socket_get_listener(s), on_accept_error);
	return OK;
}

int http_os_serve_fd(struct loop_os *loop, int fd, const char *path, const char *type,
		     void (*on_get)(void *ctx, struct buf *page), void *ctx)
{
	struct evhttp *http = server(loop, &(struct page){ .path = path, .type = type, .on_get = on_get, .ctx = ctx });

	return http != NULL ? accept_on(evhttp_accept_socket_with_handle(http, fd), E_LIMIT) : E_LIMIT;
}

static int serve(struct loop_os *loop, const char *address, const struct page *page)
{
	const char *colon = strrchr(address, ':');
	struct evhttp *http;
	char host[256];
	long port;

	if (colon == NULL || (size_t)(colon - address) >= sizeof host)
		return E_BAD;
	port = strtol(colon + 1, NULL, 10);
	if (port <= 0 || port > 65535)
		return E_BAD;
	memcpy(host, address, (size_t)(colon - address));
	host[colon - address] = 0;
	http = server(loop, page);
	if (http == NULL)
		return E_LIMIT;
	const char *where = host[0] != 0 ? host : "0.0.0.0";
	int err = accept_on(evhttp_bind_socket_with_handle(http, where, (uint16_t)port), E_IO);

	if (err)
		evhttp_free(http);
	return err;
}

int http_os_serve(struct loop_os *loop, const char *address, const char *path, const char *type,
		  void (*on_get)(void *ctx, struct buf *page), void *ctx)
{
	return serve(loop, address, &(struct page){ .path = path, .type = type, .on_get = on_get, .ctx = ctx });
}

int http_os_serve_under(struct loop_os *loop, const char *address, const char *path,
			const char *(*on_get)(void *ctx, const char *name, struct buf *page), void *ctx)
{
	return serve(loop, address, &(struct page){ .path = path, .on_under = on_get, .ctx = ctx });
}
