/* http_os.h - a small HTTP server over evhttp: GET of one page of text. For /metrics, not for clients. */
#ifndef OS_HTTP_OS_H
#define OS_HTTP_OS_H

#include "base/buf.h"
#include "os/loop_os.h"

/* Serves `path` at "host:port"; on_get fills the page (not with what is in it already). Other paths
 * get 404, other methods 405. < 0: the address cannot be used. For the life of the process. */
/* The same on a socket that listens already; it is the callee's. */
int http_os_serve_fd(struct loop_os *loop, int fd, const char *path, const char *type,
		     void (*on_get)(void *ctx, struct buf *page), void *ctx);
int http_os_serve(struct loop_os *loop, const char *address, const char *path, const char *type,
		  void (*on_get)(void *ctx, struct buf *page), void *ctx);


/* Serves all pages at and below `path`; on_get gets what follows "path/" (not the query) and returns the content type,
 * NULL: 404. */
int http_os_serve_under(struct loop_os *loop, const char *address, const char *path,
			const char *(*on_get)(void *ctx, const char *name, struct buf *page), void *ctx);

#endif
