/* kafka_error.h - error codes of Kafka's protocol, as enum KAFKA_<NAME>; the list is proto/errors.def. */
#ifndef WIRE_KAFKA_ERROR_H
#define WIRE_KAFKA_ERROR_H

#include <stdbool.h>
#include <stdint.h>

enum kafka_error {
#define KAFKA_ERROR(code, name, retry, text) KAFKA_##name = code,
#include "proto/errors.def"
#undef KAFKA_ERROR
};

#define KAFKA_ERROR_MIN (-1)
#define KAFKA_ERROR_MAX KAFKA_CONTROLLER_ID_NOT_REGISTERED

/* "NOT_LEADER_OR_FOLLOWER"; "UNKNOWN" for a code outside the list. Never NULL. */
const char *kafka_error_name(int code);
/* What it means, for a person. Never NULL. */
const char *kafka_error_text(int code);
/* Whether clients try again. */
bool kafka_error_retriable(int code);
/* Whether they ask for metadata before they do. */
bool kafka_error_refresh(int code);

#endif
