/* Stories of engines whose log is in a store on a network, for each such store. */
#ifndef ETX_TESTS_GUEST_STORE_STORY_H
#define ETX_TESTS_GUEST_STORE_STORY_H

#include "host.h"

/* What was committed is there for the next engine; a new log, as below, with 4 partitions. */
void story_found_again(const char *url);
/* Each node has its part of 6 partitions; what one leaves, and what one is cut off from, the others
 * take. */
void story_nodes_share(const char *url);
/* While callers go on, the store goes, comes back, and new transactions follow it. */
void story_go_and_come_back(const char *url, void (*go)(void), void (*come)(void));
/* A backup that is older than what was acknowledged, while the engine runs: `lose` takes all slots
 * behind slot 2 of the one partition. */
void story_restored(const char *url, void (*lose)(void));

#endif
