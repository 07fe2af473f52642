/* Homes that were away at start. */
#ifndef ETX__ARRIVAL_H
#define ETX__ARRIVAL_H

#include "home.h"

/* May the engine start without it? It could not be opened, for that reason. */
int etx__arrival_may_wait(const etx__home *home, int rc);
/* It is down, for the reason of the engine's message, until it arrives. 0 or ETX_ENOMEM. */
int etx__arrival_make(etx__home *home);
/* Asks for it from now on, by a thread of its own. 0 or ETX_ENOMEM. */
int etx__arrival_start(etx__home *home);
/* Ends the thread: it arrives no more. Waits for an opening that is under way. */
void etx__arrival_stop(etx__home *home);
void etx__arrival_free(etx__home *home);

#endif
