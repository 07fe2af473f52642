/* Targets: their addresses, their connections, and the requests that wait for one. */
#include <arpa/inet.h>
#include <stdlib.h>

#include "calling.h"

static net__target *of_lookup(net_task *task) {
    return (net__target *)(void *)((char *)task - offsetof(net__target, lookup.task));
}

static unsigned hash_of(const net_url *url, const net_tls *tls) {
    uint32_t hash = 2166136261U;
    for (const char *at = url->host; *at != '\0'; at++) {
        hash = (hash ^ (unsigned char)*at) * 16777619U;
    }
    hash = (hash ^ url->port) * 16777619U;
    hash ^= (uint32_t)((uintptr_t)tls >> 4);
    return (hash ^ hash >> 16) % NET__TARGET_BUCKETS;
}

static int is_same(const net__target *target, const net_url *url, const net_tls *tls) {
    return target->url.tls == url->tls && target->url.port == url->port &&
           target->url.kind == url->kind && target->tls == tls &&
           strcmp(target->url.host, url->host) == 0;
}

/* The address that a URL names is known for ever. */
static void set_literal(net__target *target) {
    const net_url *url = &target->url;
    net_address *address = &target->addresses[0];
    if (url->kind == NET_HOST_NAME) {
        return;
    }
    if (url->kind == NET_HOST_IP4) {
        address->at.ip4.sin_family = AF_INET;
        memcpy(&address->at.ip4.sin_addr, url->ip, 4);
        address->len = sizeof address->at.ip4;
    } else {
        address->at.ip6.sin6_family = AF_INET6;
        memcpy(&address->at.ip6.sin6_addr, url->ip, 16);
        address->len = sizeof address->at.ip6;
    }
    target->address_count = 1;
    target->resolved_until_ms = UINT64_MAX;
}

static void set_ports(net__target *target) {
    in_port_t port = htons(target->url.port);
    for (int i = 0; i < target->address_count; i++) {
        net_address *address = &target->addresses[i];
        if (address->at.any.sa_family == AF_INET) {
            address->at.ip4.sin_port = port;
        } else if (address->at.any.sa_family == AF_INET6) {
            address->at.ip6.sin6_port = port;
        }
    }
}

static void take_addresses(net_task *task) {
    net__target *target = of_lookup(task);
    net_client *client = target->client;
    target->resolving = 0;
    target->address_count = target->lookup.count;
    memcpy(target->addresses, target->lookup.addresses, sizeof target->addresses);
    set_ports(target);
    target->resolved_until_ms = net_loop_now_ms(client->loop) + client->options.resolved_ms;
    while (target->address_count == 0 && target->first != NULL) {
        net__call_fail(target->first, NET_ERESOLVE, 0, 0, "the name was not resolved");
    }
    net__target_pump(target);
    net__client_release(client);
}

net__target *net__target_of(net_client *client, const net_url *url, net_tls *tls) {
    net__target **bucket = &client->targets[hash_of(url, tls)];
    net__target *target = *bucket;
    while (target != NULL && !is_same(target, url, tls)) {
        target = target->next;
    }
    if (target == NULL) {
        target = calloc(1, sizeof *target);
        if (target == NULL) {
            return NULL;
        }
        target->client = client;
        target->url = *url;
        target->url.target = NULL;
        target->url.target_len = 0;
        target->tls = net__tls_hold(tls);
        target->last = &target->first;
        target->lookup.task.run = take_addresses;
        set_literal(target);
        set_ports(target);
        target->next = *bucket;
        *bucket = target;
        client->counts.targets++;
        if (!net_timer_runs(&client->sweep)) {
            net_timer_start(client->loop, &client->sweep, NET__SWEEP_MS);
        }
    }
    target->used_ms = net_loop_now_ms(client->loop);
    return target;
}

void net__target_queue(net__target *target, net__call *call, int front) {
    net__call **link = front ? &target->first : target->last;
    call->target = target;
    call->next = *link;
    call->previous = link;
    if (call->next != NULL) {
        call->next->previous = &call->next;
    } else {
        target->last = &call->next;
    }
    *link = call;
    target->waiting++;
}

void net__target_unqueue(net__target *target, net__call *call) {
    *call->previous = call->next;
    if (call->next != NULL) {
        call->next->previous = call->previous;
    } else {
        target->last = call->previous;
    }
    call->next = NULL;
    call->previous = NULL;
    target->waiting--;
}

static net__link *oldest_idle(net_client *client) {
    net__link *oldest = NULL;
    for (net__link *link = client->links; link != NULL; link = link->next) {
        if (link->state == NET__LINK_IDLE &&
            (oldest == NULL || link->timer.at_ms < oldest->timer.at_ms)) {
            oldest = link;
        }
    }
    return oldest;
}

/* Whether one connection more may be opened; one that is not in use makes room for it. */
static int make_room(net_client *client) {
    if (client->counts.connections < client->options.connections_max) {
        return 1;
    }
    net__link *oldest = oldest_idle(client);
    if (oldest == NULL) {
        return 0;
    }
    net__link_close(oldest);
    return 1;
}

/* Begins to look the name up, if that is to be done: 1 if there is an answer to wait for. */
static int resolve(net__target *target) {
    net_client *client = target->client;
    if (target->resolving) {
        return 1;
    }
    if (target->resolved_until_ms > net_loop_now_ms(client->loop) && target->address_count > 0) {
        return 0;
    }
    target->resolving = 1;
    target->lookup.host = target->url.host;
    client->holds++;
    net__resolver_ask(client->resolver, &target->lookup);
    return 1;
}

void net__target_pump(net__target *target) {
    net_client *client = target->client;
    if (target->pumping || client->freed) {
        return;
    }
    target->pumping = 1;
    client->holds++; /* callbacks may free it */
    while (target->first != NULL && !client->freed) {
        net__call *call = target->first;
        if (target->gathering != NULL && net__link_takes(target->gathering, call)) {
            net__target_unqueue(target, call);
            net__link_join(target->gathering, call);
            continue;
        }
        if (target->idle != NULL && net__link_is_old(target->idle)) {
            net__link_close(target->idle);
            continue;
        }
        if (target->idle != NULL) {
            net__target_unqueue(target, call);
            net__link_use(target->idle, call);
            continue;
        }
        if (target->links >= client->options.target_connections_max || resolve(target)) {
            break;
        }
        if (make_room(client)) {
            net__target_unqueue(target, call);
            net__link_open(target, call);
        } else if (target->links == 0) {
            net__call_fail(call, NET_EBUSY, 0, 0, "too many connections are open");
        } else {
            break;
        }
    }
    target->pumping = 0;
    net__client_release(client);
}

void net__target_sweep(net_timer *timer) {
    net_client *client = (net_client *)(void *)((char *)timer - offsetof(net_client, sweep));
    uint64_t now = net_loop_now_ms(client->loop);
    for (unsigned i = 0; i < NET__TARGET_BUCKETS; i++) {
        net__target **link = &client->targets[i];
        while (*link != NULL) {
            net__target *target = *link;
            if (target->links == 0 && target->first == NULL && !target->resolving &&
                now - target->used_ms >= NET__SWEEP_MS) {
                *link = target->next;
                net_tls_free(target->tls);
                free(target);
                client->counts.targets--;
            } else {
                link = &target->next;
            }
        }
    }
    if (client->counts.targets > 0) {
        net_timer_start(client->loop, timer, NET__SWEEP_MS);
    }
}

void net__target_free_all(net_client *client) {
    for (unsigned i = 0; i < NET__TARGET_BUCKETS; i++) {
        while (client->targets[i] != NULL) {
            net__target *target = client->targets[i];
            client->targets[i] = target->next;
            net_tls_free(target->tls);
            free(target);
        }
    }
}
