/* admit.c - see admit.h. */
#include "broker/admit.h"

#include <string.h>

#include "base/crc32c.h"
#include "broker/worker.h"

#define LOG_EVERY_US 1000000

static void refused(struct worker *w, const char *setting, const char *peer)
{
	uint64_t now = worker_now_us(w);

	count_add(w, COUNT_CONNECTIONS_REFUSED, 1);
	if (w->refused_log_us && now - w->refused_log_us < LOG_EVERY_US)
		return;
	w->refused_log_us = now;
	w->env->log(w->env, 2, "connections are refused", peer, setting);
}

static uint64_t connections(struct worker *w)
{
	uint64_t n = 0;

	for (int i = 0; i < w->env->workers; i++)
		n += atomic_load_explicit(&bell_load(w->env->bells, (unsigned)i)->conns, memory_order_relaxed);
	return n;
}

/* Connections of an address, over all workers. */
static uint64_t of_address(struct worker *w, const struct admit *a)
{
	uint64_t least = UINT64_MAX;

	for (int row = 0; row < 2; row++) {
		uint64_t n = 0;

		for (int i = 0; i < w->env->workers; i++)
			n += atomic_load_explicit(&bell_addresses(w->env->bells, (unsigned)i, row)[a->cell[row]],
						  memory_order_relaxed);
		least = n < least ? n : least;
	}
	return least;
}

static void add(struct worker *w, const struct admit *a, int by)
{
	for (int row = 0; row < 2; row++) {
		_Atomic uint16_t *cell = &bell_addresses(w->env->bells, w->env->proc, row)[a->cell[row]];

		/* Only this process writes its cells. */
		uint16_t n = atomic_load_explicit(cell, memory_order_relaxed);
		if (n == UINT16_MAX)	/* full for ever: counts as many */
			continue;
		atomic_store_explicit(cell, (uint16_t)(n + by), memory_order_relaxed);
	}
}

void admit_init(struct worker *w)
{
	for (int row = 0; row < 2; row++)
		for (int i = 0; i < BELL_ADDRESSES; i++)
			if (bell_addresses(w->env->bells, w->env->proc, row)[i] != 0)
				atomic_store(&bell_addresses(w->env->bells, w->env->proc, row)[i], 0);
}

bool admit_take(struct worker *w, const char *peer, struct admit *ret)
{
	uint32_t len = (uint32_t)strlen(peer);

	ret->cell[0] = (uint16_t)(crc32c(1, peer, len) % BELL_ADDRESSES);
	ret->cell[1] = (uint16_t)(crc32c(2, peer, len) * UINT32_C(0x9E3779B1) >> 20);
	if (connections(w) >= w->conf.max_conns) {
		refused(w, "max.connections is reached", peer);
		return false;
	}
	if (w->conf.max_conns_per_ip != UINT32_MAX) {
		if (of_address(w, ret) >= w->conf.max_conns_per_ip) {
			refused(w, "max.connections.per.ip is reached", peer);
			return false;
		}
		add(w, ret, 1);
	}
	return true;
}

void admit_give(struct worker *w, const struct admit *a)
{
	if (w->conf.max_conns_per_ip != UINT32_MAX)
		add(w, a, -1);
}
