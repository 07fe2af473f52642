/* Asking another node of a shared home, for who asked here. */
#ifndef ETXD_FORWARD_H
#define ETXD_FORWARD_H

#include "etxd.h"

/* Those of the exchange: on the loop's thread, within its handler. */

/* If another node has the gid, it is asked: 1, and the exchange is answered later. 0: it is to be
 * handled here. -1 and a problem: another has it, and is not asked. */
int etxd_forward(etxd_exchange *x, const char *gid);
/* If another node has the gid: -1 and a problem, which names it; else 0. */
int etxd_forward_never(etxd_exchange *x, const char *gid);
int etxd_is_elsewhere(const etxd_exchange *x, const char *gid);
/* What has no gid yet is begun at another node if this one is drained: 1, 0 or -1 as above. */
int etxd_forward_new(etxd_exchange *x);

/* Was it another node that asks? Then nobody is asked further. */
int etxd_is_forwarded(const etxd_exchange *x);
/* Asks that node what is asked here, whatever the gid: 1, or -1 and a problem. Where x->then is
 * set, and the node says yes, x->then is called instead of giving its answer. */
int etxd_forward_to(etxd_exchange *x, const etx_node_status *node);
/* The same, once the node that is asked with etxd_forward_to has said yes. 0, or -1 and a
 * problem. */
int etxd_forward_later(etxd_exchange *x, const etx_node_status *node);
void etxd_letter_free(etxd_letter *letter); /* NULL is allowed */

/* Makes the server's forwarder if a home is shared. 0, or -1 and a message. */
int etxd_forwarder_create(etxd *server, char *message);
/* Nobody waits for another node longer than so many ms from now: the server is ending. */
void etxd_forward_hurry(etxd *server, uint64_t ms);
/* What is under way is answered with a problem. NULL is allowed. */
void etxd_forwarder_free(etxd_forwarder *forwarder);
/* Whom to trust and what to show, as with participants; NULL if no home is shared. 0, or -1 and a
 * message. */
int etxd_forwarder_tls(const etxd_config *config, net_tls **ret_tls, char *message);
/* From now on so; the forwarder owns it. */
void etxd_forwarder_trust(etxd_forwarder *forwarder, net_tls *tls);

#endif
