/*
 * topic_create.h - topics that come to be because a client asked about them (auto.create.topics.enable).
 */
#ifndef BROKER_TOPIC_CREATE_H
#define BROKER_TOPIC_CREATE_H

#include <stdbool.h>

#include "base/str.h"

struct worker;

/* Trap 24: 1-249 of [a-zA-Z0-9._-], not "." or "..". */
bool topic_name_ok(struct str name);
/* Trap 26: exactly three names. */
bool topic_is_internal(struct str name);
/* Asks the agent to make the topic with the cluster's defaults; once in a while per name. The client
 * meanwhile learns that it does not exist, and asks again (trap 21). */
void topic_create(struct worker *w, struct str name);

#endif
