/* lock_os.c - see lock_os.h. Spins at most 20 us (io/lock.h). */
#include "os/lock_os.h"

#include <errno.h>
#include <pthread.h>
#include <time.h>

#include "base/assert.h"

_Static_assert(sizeof(pthread_mutex_t) <= sizeof(struct lock_word), "the lock word is too small");

#define SPIN_NS 20000

static pthread_mutex_t *mutex(struct lock_word *w)
{
	return (pthread_mutex_t *)(void *)w->opaque;
}

static void l_init(struct lock_port *p, struct lock_word *w)
{
	pthread_mutexattr_t a;

	(void)p;
	must(pthread_mutexattr_init(&a) == 0);
	must(pthread_mutexattr_setpshared(&a, PTHREAD_PROCESS_SHARED) == 0);
	must(pthread_mutexattr_setrobust(&a, PTHREAD_MUTEX_ROBUST) == 0);
	must(pthread_mutex_init(mutex(w), &a) == 0);
	pthread_mutexattr_destroy(&a);
}

static int64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static enum lock_result l_try(struct lock_port *p, struct lock_word *w, struct lock_held **ret)
{
	int r = pthread_mutex_trylock(mutex(w));

	(void)p;
	if (r == EBUSY) {
		for (int64_t end = now_ns() + SPIN_NS; r == EBUSY && now_ns() < end;) {
			for (int i = 0; i < 16; i++)
				__builtin_ia32_pause();
			r = pthread_mutex_trylock(mutex(w));
		}
	}
	if (r == EBUSY)
		return LOCK_BUSY;
	if (r != 0 && r != EOWNERDEAD)
		return LOCK_LOST;
	*ret = (struct lock_held *)(void *)w;
	return r == EOWNERDEAD ? LOCK_OWNER_DIED : LOCK_OK;
}

static void l_consistent(struct lock_port *p, struct lock_word *w, struct lock_held *h)
{
	(void)p;
	must((void *)h == (void *)w);
	must(pthread_mutex_consistent(mutex(w)) == 0);
}

static void l_release(struct lock_port *p, struct lock_word *w, struct lock_held *h)
{
	(void)p;
	must((void *)h == (void *)w);
	must(pthread_mutex_unlock(mutex(w)) == 0);
}

struct lock_port *lock_os(void)
{
	static struct lock_port port = { l_init, l_try, l_consistent, l_release };

	return &port;
}
