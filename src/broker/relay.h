/*
 * relay.h - requests that another process of this broker answers (broker/forward.h, the worker's side).
 *
 * One stream per peer, opened on first use and again whenever it broke. A request waits for the stream
 * at most RELAY_WAIT_MS; when the peer dies with the request in its hands, or cannot serve now, the client
 * gets the API's own retriable error, or, where an API has none that fits, its connection is closed, which
 * makes every client retry.
 */
#ifndef BROKER_RELAY_H
#define BROKER_RELAY_H

#include <stdint.h>

#include "broker/conn.h"

#define RELAY_WAIT_MS 500		/* a dead process is replaced in milliseconds */

struct relay;

/* name: "agent" or "groups-0": the socket is <run_dir>/<name>.sock. */
struct relay *relay_new(struct worker *w, const char *name);
void relay_free(struct relay *r);
/* Takes over the request; it is finished when the answer comes. */
void relay_request(struct relay *r, struct req *q);
/* A request of our own: header and body, without a length word. The answer is dropped. Waits for the
 * peer if it is not connected (yet); false: too many wait already. */
bool relay_own(struct relay *r, const uint8_t *frame, uint32_t len);
/* The coordinator process that owns the group of a request. */
struct relay *relay_route(struct worker *w, struct req *q);

/* relay_error.c: answers with the API's own form of "the coordinator is not available" (15); false: this
 * API has no such answer. Finishes the request when it returns true. */
bool relay_error(struct req *q);

#endif
