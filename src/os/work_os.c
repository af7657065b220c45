/* work_os.c - see work_os.h. */
#include "os/work_os.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/mem.h"

#define STACK_BYTES (256 << 10)
#define NICE 10				/* a tenth of the loop's share when both want the processor */

struct work_os {
	struct work_port port;		/* first member: the port */
	bool started;
	pthread_mutex_t mu;
	pthread_cond_t more;
	struct work *todo, **todo_tail;
	struct work *done, **done_tail;
	int event_fd;
};

static void *thread_main(void *arg)
{
	struct work_os *p = arg;

	setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), NICE);
	pthread_mutex_lock(&p->mu);
	for (;;) {
		uint64_t one = 1;

		while (!p->todo)
			pthread_cond_wait(&p->more, &p->mu);
		struct work *w = p->todo;
		p->todo = w->next;
		if (!p->todo)
			p->todo_tail = &p->todo;
		pthread_mutex_unlock(&p->mu);
		w->run(w);
		pthread_mutex_lock(&p->mu);
		w->next = NULL;
		*p->done_tail = w;
		p->done_tail = &w->next;
		if (write(p->event_fd, &one, sizeof one) < 0)
			must(errno == EAGAIN);
	}
	return NULL;
}

static void on_done(void *ctx, int fd)
{
	struct work_os *p = ctx;
	uint64_t n;

	if (read(fd, &n, sizeof n) < 0)
		return;
	pthread_mutex_lock(&p->mu);
	struct work *w = p->done;
	p->done = NULL;
	p->done_tail = &p->done;
	pthread_mutex_unlock(&p->mu);
	while (w) {
		struct work *next = w->next;

		w->done(w);
		w = next;
	}
}

static void submit(struct work_port *port, struct work *w)
{
	struct work_os *p = (struct work_os *)port;
	pthread_attr_t a;
	pthread_t t;

	pthread_mutex_lock(&p->mu);
	w->next = NULL;
	*p->todo_tail = w;
	p->todo_tail = &w->next;
	if (!p->started) {
		must(pthread_attr_init(&a) == 0);
		pthread_attr_setstacksize(&a, STACK_BYTES);
		pthread_attr_setdetachstate(&a, PTHREAD_CREATE_DETACHED);
		must(pthread_create(&t, &a, thread_main, p) == 0);
		pthread_attr_destroy(&a);
		p->started = true;
	}
	pthread_cond_signal(&p->more);
	pthread_mutex_unlock(&p->mu);
}

struct work_port *work_os_new(struct loop_os *loop)
{
	struct work_os *p = mem_alloc(sizeof *p);

	p->port.submit = submit;
	p->todo_tail = &p->todo;
	p->done_tail = &p->done;
	must(pthread_mutex_init(&p->mu, NULL) == 0);
	must(pthread_cond_init(&p->more, NULL) == 0);
	p->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	must(p->event_fd >= 0);
	loop_os_watch(loop, p->event_fd, on_done, p);
	return &p->port;
}
