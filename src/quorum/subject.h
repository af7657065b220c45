/* subject.h - who a certificate was made for: its subject (RFC 2253) against a list of names. Pure. */
#ifndef QUORUM_SUBJECT_H
#define QUORUM_SUBJECT_H

#include <stdbool.h>

/*
 * list: names separated by ';', each one or more attributes separated by ',' ("CN=q1,O=Example"), all of which the
 * subject must have, in any order, compared byte by byte as RFC 2253 writes them. An empty name matches nobody.
 * subject NULL: no certificate, on no list.
 */
bool subject_on_list(const char *subject, const char *list);

#endif
