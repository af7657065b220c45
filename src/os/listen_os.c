/* listen_os.c - addresses, listening sockets, accepting. See listen_os.h and net_os.h. */
#include "os/listen_os.h"

#include <errno.h>
#include <event2/util.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/mem.h"
#include "os/net_os.h"

int net_os_resolve(const char *address, bool passive, struct sockaddr_storage *ret, socklen_t *ret_len)
{
	if (strncmp(address, "unix:", 5) == 0) {
		struct sockaddr_un *u = (struct sockaddr_un *)ret;

		if (strlen(address + 5) >= sizeof u->sun_path)
			return E_LIMIT;
		memset(u, 0, sizeof *u);
		u->sun_family = AF_UNIX;
		memcpy(u->sun_path, address + 5, strlen(address + 5) + 1);
		*ret_len = sizeof *u;
		return OK;
	}
	const char *colon = strrchr(address, ':');
	char host[256];
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = passive ? AI_PASSIVE : 0 }, *list;

	if (!colon || (size_t)(colon - address) >= sizeof host)
		return E_BAD;
	size_t n = (size_t)(colon - address);
	bool brackets = n >= 2 && address[0] == '[' && address[n - 1] == ']';
	memcpy(host, address + brackets, n - 2 * (size_t)brackets);
	host[n - 2 * (size_t)brackets] = 0;
	if (getaddrinfo(host[0] ? host : NULL, colon + 1, &hints, &list) != 0)
		return E_NOENT;
	memcpy(ret, list->ai_addr, list->ai_addrlen);
	*ret_len = list->ai_addrlen;
	freeaddrinfo(list);
	return OK;
}

struct acceptor {
	void (*on_accept)(void *ctx, int fd);
	void *ctx;
	int spare;			/* a descriptor that is given up when there are no others */
};

int net_os_spare(void)
{
	return open("/dev/null", O_RDONLY | O_CLOEXEC);
}

void net_os_turn_away(int *spare, int listen_fd)
{
	if (*spare >= 0)
		close(*spare);
	int fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd >= 0)
		close(fd);
	*spare = net_os_spare();
}

static void acceptable(void *ctx, int listen_fd)
{
	struct acceptor *a = ctx;

	for (int i = 0; i < 16; i++) {
		int fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (fd < 0) {
			if (errno == EMFILE || errno == ENFILE)
				net_os_turn_away(&a->spare, listen_fd);
			return;
		}
		a->on_accept(a->ctx, fd);
	}
}

void net_os_accept(struct loop_os *loop, int listen_fd, void (*on_accept)(void *ctx, int fd), void *ctx)
{
	struct acceptor *a = mem_alloc(sizeof *a);

	a->on_accept = on_accept;
	a->spare = net_os_spare();
	a->ctx = ctx;
	evutil_make_socket_nonblocking(listen_fd);
	loop_os_watch(loop, listen_fd, acceptable, a);
}

int net_os_listen(const char *address, char *ret_why, size_t cap)
{
	struct sockaddr_storage a;
	socklen_t len = 0;
	int one = 1, err = net_os_resolve(address, true, &a, &len);

	if (err != OK) {
		snprintf(ret_why, cap, "cannot understand the address %s", address);
		return err;
	}
	if (a.ss_family == AF_UNIX)
		unlink(address + 5);
	int fd = socket(a.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd >= 0 && a.ss_family != AF_UNIX)
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	if (fd >= 0 && bind(fd, (struct sockaddr *)&a, len) == 0 && listen(fd, 4096) == 0)
		return fd;
	int e = errno;
	if (e == EADDRINUSE)
		snprintf(ret_why, cap, "%s is in use by another program", address);
	else
		snprintf(ret_why, cap, "cannot listen on %s: %s", address, strerror(e));
	if (fd >= 0)
		close(fd);
	return e == EADDRINUSE ? E_EXIST : e == EACCES ? E_PERM : E_IO;
}
