/* Nodes that take nothing of this one, since it shows no certificate that they accept. */
#ifndef ETXD_REFUSAL_H
#define ETXD_REFUSAL_H

#include "etxd.h"

/* All of them on the loop's thread. */

/* The node did not accept what it was shown, and why; it is told once. NULL: it has answered. */
void etxd_refusal_note(etxd *server, const char *node, const char *why);
/* What is to be said of the node, with what to set; "": nothing. Of this one: that it demands
 * certificates, and has none to show. */
const char *etxd_refusal_of(const etxd *server, const char *node);
/* Warns if something is to be said of this one. */
void etxd_refusal_warn(etxd *server);
/* Nothing is known any more: another certificate is shown from now on. */
void etxd_refusals_forget(etxd *server);

#endif
