/* Resolving: threads are started as questions come, and take them from one queue. */
#include "resolver.h"

#include <netdb.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

struct net__resolver {
    net_loop *loop;
    net_resolve resolve;
    void *user;
    pthread_mutex_t lock; /* over what follows */
    pthread_cond_t asked;
    net__lookup *first;
    net__lookup **last;
    unsigned idle;
    unsigned waiting;
    int stopping;
    unsigned threads;
    pthread_t thread[NET__RESOLVERS_MAX];
};

static int resolve_by_system(const char *host, net_address *ret_addresses, int max, void *user) {
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG};
    struct addrinfo *list = NULL;
    int count = 0;
    (void)user;
    if (getaddrinfo(host, NULL, &hints, &list) != 0) {
        return 0;
    }
    for (struct addrinfo *at = list; at != NULL && count < max; at = at->ai_next) {
        if (net_address_take(at->ai_addr, at->ai_addrlen, &ret_addresses[count]) == 0) {
            count++;
        }
    }
    freeaddrinfo(list);
    return count;
}

/* The next question; NULL: there will be none. */
static net__lookup *take_lookup(net__resolver *resolver, int *ret_stopping) {
    pthread_mutex_lock(&resolver->lock);
    resolver->idle++;
    while (resolver->first == NULL && !resolver->stopping) {
        pthread_cond_wait(&resolver->asked, &resolver->lock);
    }
    resolver->idle--;
    net__lookup *lookup = resolver->first;
    if (lookup != NULL) {
        resolver->first = lookup->next;
        resolver->waiting--;
        if (resolver->first == NULL) {
            resolver->last = &resolver->first;
        }
    }
    *ret_stopping = resolver->stopping;
    pthread_mutex_unlock(&resolver->lock);
    return lookup;
}

static void *work(void *user) {
    net__resolver *resolver = user;
    net__lookup *lookup;
    int stopping;
    pthread_setname_np(pthread_self(), "net-resolver");
    while ((lookup = take_lookup(resolver, &stopping)) != NULL) {
        int count = stopping ? 0
                             : resolver->resolve(lookup->host, lookup->addresses,
                                                 NET__ADDRESSES_MAX, resolver->user);
        lookup->count = count < 0 ? 0 : count;
        net_loop_post(resolver->loop, &lookup->task);
    }
    return NULL;
}

int net__resolver_create(net_loop *loop, net_resolve resolve, void *user, net__resolver **ret) {
    net__resolver *resolver = calloc(1, sizeof *resolver);
    if (resolver == NULL) {
        return NET_ENOMEM;
    }
    pthread_mutex_init(&resolver->lock, NULL);
    pthread_cond_init(&resolver->asked, NULL);
    resolver->loop = loop;
    resolver->resolve = resolve != NULL ? resolve : resolve_by_system;
    resolver->user = user;
    resolver->last = &resolver->first;
    *ret = resolver;
    return 0;
}

void net__resolver_free(net__resolver *resolver) {
    pthread_mutex_lock(&resolver->lock);
    resolver->stopping = 1;
    pthread_cond_broadcast(&resolver->asked);
    pthread_mutex_unlock(&resolver->lock);
    for (unsigned i = 0; i < resolver->threads; i++) {
        pthread_join(resolver->thread[i], NULL);
    }
    pthread_cond_destroy(&resolver->asked);
    pthread_mutex_destroy(&resolver->lock);
    free(resolver);
}

/* One thread more, if all are busy; under the lock. Signals are for others. */
static void start_thread(net__resolver *resolver) {
    sigset_t all;
    sigset_t before;
    if (resolver->idle >= resolver->waiting || resolver->threads == NET__RESOLVERS_MAX) {
        return;
    }
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    if (pthread_create(&resolver->thread[resolver->threads], NULL, work, resolver) == 0) {
        resolver->threads++;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

void net__resolver_ask(net__resolver *resolver, net__lookup *lookup) {
    pthread_mutex_lock(&resolver->lock);
    lookup->next = NULL;
    *resolver->last = lookup;
    resolver->last = &lookup->next;
    resolver->waiting++;
    start_thread(resolver);
    int helpless = resolver->threads == 0;
    if (helpless) {
        resolver->first = NULL;
        resolver->last = &resolver->first;
        resolver->waiting = 0;
    }
    pthread_cond_signal(&resolver->asked);
    pthread_mutex_unlock(&resolver->lock);
    if (helpless) {
        lookup->count = 0;
        net_loop_post(resolver->loop, &lookup->task);
    }
}
