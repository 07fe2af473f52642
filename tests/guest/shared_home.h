/* Stories of engines on a home in a store on a network, told with any store: the URL names a log
 * that is not there yet, with four partitions or more. */
#ifndef TESTS_GUEST_SHARED_HOME_H
#define TESTS_GUEST_SHARED_HOME_H

#include "host.h"

/* What an engine has committed, a later one finds. */
void shared_home_found_again(const char *url);
/* Three nodes each have their part of six partitions; what one leaves, and what one is cut off
 * from, the others take. */
void shared_home_nodes_share(const char *url);
/* While callers go on, the store goes, comes back, and new transactions follow it. */
void shared_home_goes_and_comes_back(const char *url, void (*go)(void), void (*come)(void));
/* `lose` takes away what was acknowledged last, of the one partition: the engine notices. */
void shared_home_loses(const char *url, void (*lose)(void));

#endif
