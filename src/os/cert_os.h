/*
 * cert_os.h - a small authority in a folder: certificates for the nodes of a quorum and for those who connect to them.
 * What openssl(1) can do too; here in one step, with the right extensions.
 *
 * ca.pem, ca.key       the authority, made when the folder has none
 * NAME.pem, NAME.key   what it signed; made again they replace the old ones at once (rename)
 */
#ifndef OS_CERT_OS_H
#define OS_CERT_OS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

struct cert_wish {
	const char *name;		/* letters, digits, '.', '_', '-': CN, and the files' name */
	const char *unit;		/* OU */
	const char *const *hosts;	/* names and addresses by which it is dialled; none: it only dials */
	int nhosts;
	int days;
};

/* OK; *ret_new_ca: the authority was made as well. < 0: why. */
int cert_os_issue(const char *dir, const struct cert_wish *w, bool *ret_new_ca, char *why, size_t cap) MUST_CHECK;

#endif
