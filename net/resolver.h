/* Names to addresses, on a few threads that may wait. */
#ifndef NET_RESOLVER_H
#define NET_RESOLVER_H

#include "client.h"

enum { NET__ADDRESSES_MAX = 8, NET__RESOLVERS_MAX = 4 };

typedef struct net__resolver net__resolver;

/* A question, in the memory of who asks; it must live until `task` was run on the loop. */
typedef struct net__lookup {
    struct net__lookup *next;
    net_task task;
    const char *host;
    int count;
    net_address addresses[NET__ADDRESSES_MAX];
} net__lookup;

/* Errors: NET_ENOMEM. */
int net__resolver_create(net_loop *loop, net_resolve resolve, void *user, net__resolver **ret);
/* Waits for its threads; questions not begun are answered by 0 addresses. */
void net__resolver_free(net__resolver *resolver);
/* Asks: `lookup->task` is posted to the loop when it is answered. */
void net__resolver_ask(net__resolver *resolver, net__lookup *lookup);

#endif
