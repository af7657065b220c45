/*
 * priv_os.h - a process gives up the rights it does not need; for good, and for all threads it makes later.
 *
 * No gain of rights by executing files (no_new_privs), no capabilities (of root: only to its files), and a
 * filter of system calls: nothing is executed or forked, no other process is touched, nothing of the
 * machine is changed (mounts, modules, users, clocks ...), no socket listens. A forbidden call is logged with
 * its number and ends the process by SIGSYS; whoever watches it sees that.
 */
#ifndef OS_PRIV_OS_H
#define OS_PRIV_OS_H

#include "base/err.h"

enum priv_right {
	PRIV_INET = 1u << 0,		/* sockets to other machines; without it: local ones (AF_UNIX) only */
	PRIV_ACCEPT = 1u << 1,		/* accept connections */
};

/* who: for the log line. OK; E_VERSION: this kernel, machine or build (sanitizers) has no filter, the
 * rest is done; E_PERM. */
int priv_confine(const char *who, unsigned rights) MUST_CHECK;

#endif
