/*
 * kclient.h - a small blocking Kafka client for the `moldau` command.
 *
 * One connection per broker, made when first needed; versions negotiated by ApiVersions. Every call
 * has a deadline. Not for services: one call at a time, no background work.
 */
#ifndef TOOLS_KCLIENT_H
#define TOOLS_KCLIENT_H

#include <stdint.h>

#include "base/mem.h"
#include "base/str.h"
#include "cli.h"
#include "wire/kafka_gen.h"
#include "wire/wire.h"

struct kc;

#define KC_ANY (-1)			/* any broker: the bootstrap connection */

/* Connects to --bootstrap of the command line. NULL: the error was printed; exit CLI_UNREACHABLE. */
struct kc *kc_open(const struct cli *c);
void kc_close(struct kc *k);
/* Where decoded answers live; reset it between rounds of a long loop. */
struct arena *kc_arena(struct kc *k);
/* The newest version of an API that both sides know, at most `want`; -1: the broker lacks it. */
int kc_version(struct kc *k, int16_t key, int want);

/*
 * One request and its answer. node: a broker id from Metadata, or KC_ANY. resp NULL: no answer is
 * expected (acks=0). OK or E_CLOSED, E_TIMEOUT, E_BAD (an answer that does not parse), E_VERSION.
 */
int kc_call(struct kc *k, int32_t node, int16_t key, int version, const struct wire_type *req_type,
	    const void *req, const struct wire_type *resp_type, void *resp) MUST_CHECK;

/* Metadata of one topic (or of all: name NULL); remembers the brokers' addresses. */
int kc_metadata(struct kc *k, const char *topic, struct metadata_response *ret) MUST_CHECK;
/* The offset of a timestamp (-1: the end, -2: the start), asked of the partition's leader. *ret_code: Kafka's error. */
int kc_list_offset(struct kc *k, int32_t leader, struct str topic, int32_t partition, int64_t timestamp,
		   int16_t *ret_code, int64_t *ret) MUST_CHECK;
/* Prints why a call failed; returns the exit code. */
int kc_fail(struct kc *k, const char *what, int err);
/* "36 TOPIC_ALREADY_EXISTS" with the broker's message when there is one; returns CLI_FAILED. */
int kc_refused(const char *what, int16_t code, struct str message);

#endif
