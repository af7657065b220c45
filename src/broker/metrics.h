/* metrics.h - the counters of all processes of the broker as Prometheus text. */
#ifndef BROKER_METRICS_H
#define BROKER_METRICS_H

#include "base/buf.h"
#include "broker/role.h"

/* Only reads shared memory; any process may call it. */
void metrics_text(struct role_env *env, struct buf *page);

#endif
