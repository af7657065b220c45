/* listen_os.h - addresses as sockets know them. (Listening and accepting: net_os.h.) */
#ifndef OS_LISTEN_OS_H
#define OS_LISTEN_OS_H

#include <stdbool.h>
#include <sys/socket.h>

#include "base/err.h"

/* "host:port" or "unix:/path". passive: to listen on. E_LIMIT, E_BAD or E_NOENT. */
int net_os_resolve(const char *address, bool passive, struct sockaddr_storage *ret, socklen_t *ret_len) MUST_CHECK;
/* A descriptor that is given up when there are no others. */
int net_os_spare(void);
/* No descriptor is left: who waits is turned away, or the listening socket would be readable for ever. */
void net_os_turn_away(int *spare, int listen_fd);

#endif
