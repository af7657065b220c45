/* quorum.h - what the two halves of `moldau quorum` share: quorum.c (the tree), quorum_admin.c (the nodes). */
#ifndef TOOLS_QUORUM_H
#define TOOLS_QUORUM_H

#include "cli.h"
#include "io/loop.h"
#include "io/net.h"
#include "os/loop_os.h"

#define QUORUM_NODES_MAX 16

struct quorum {
	const struct cli *c;
	const char *address[QUORUM_NODES_MAX];	/* native ports, as given with --quorum */
	int n;
	struct loop_os *os_loop;
	struct loop *loop;
	struct net *net;
	uint64_t timeout_us;
};

/* Does any node answer a short question? False: said so. */
bool quorum_answers(struct quorum *q);
/* Each returns the exit status. */
int quorum_status(struct quorum *q);
/* add ID HOST:PORT, remove ID, transfer [ID], snapshot */
int quorum_change(struct quorum *q);
/* certs DIR node|client|reader NAME [HOST...]: asks nobody */
int quorum_certs(const struct cli *c);
/* q->net speaks TLS when the options say so. False: it said why not. */
bool quorum_tls(struct quorum *q);

#endif
