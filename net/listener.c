/* Listeners: accepting, limits of connections, and what to do when no descriptor is left. */
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "serving.h"

enum { ACCEPTS_MAX = 64, BACKLOG = 1024, PAUSE_MS = 100 };

static unsigned hash_peer(const uint8_t *key) {
    uint32_t hash = 2166136261U;
    for (unsigned i = 0; i < 8; i++) {
        hash = (hash ^ key[i]) * 16777619U;
    }
    return (hash ^ hash >> 16) % NET__PEER_BUCKETS;
}

/* Counts a connection to its address: NULL for one that is not counted, or without memory. */
static net__peer *join_peer(net_server *server, const net_address *address) {
    uint8_t key[8] = {0};
    uint8_t family = (uint8_t)address->at.any.sa_family;
    if (family == AF_INET) {
        memcpy(key, &address->at.ip4.sin_addr, 4);
    } else if (family == AF_INET6) {
        memcpy(key, &address->at.ip6.sin6_addr, 8);
    } else {
        return NULL;
    }
    net__peer **bucket = &server->peers[hash_peer(key)];
    net__peer *peer = *bucket;
    while (peer != NULL && (peer->family != family || memcmp(peer->key, key, 8) != 0)) {
        peer = peer->next;
    }
    if (peer == NULL) {
        peer = calloc(1, sizeof *peer);
        if (peer == NULL) {
            return NULL;
        }
        peer->family = family;
        memcpy(peer->key, key, 8);
        peer->next = *bucket;
        *bucket = peer;
    }
    peer->connections++;
    return peer;
}

void net__peer_leave(net_server *server, net__peer *peer) {
    if (--peer->connections > 0) {
        return;
    }
    net__peer **link = &server->peers[hash_peer(peer->key)];
    while (*link != peer) {
        link = &(*link)->next;
    }
    *link = peer->next;
    free(peer);
}

int net__listeners_watch(net_server *server, int accepting) {
    int rc = 0;
    if (accepting && net_timer_runs(&server->accept_again)) {
        net_timer_stop(server->loop, &server->accept_again);
    }
    for (net__listener *listener = server->listeners; listener != NULL; listener = listener->next) {
        int own = net_watch_set(server->loop, &listener->watch, accepting ? NET_READABLE : 0);
        rc = own != 0 ? own : rc;
    }
    return rc;
}

static void take_connection(net__listener *listener, int fd, const net_address *address) {
    net_server *server = listener->server;
    net__peer *peer = join_peer(server, address);
    uint32_t each = server->options.connections_per_address_max;
    int surplus = server->counts.connections >= server->options.connections_max ||
                  (each != 0 && peer != NULL && peer->connections > each);
    server->counts.accepted++;
    if ((surplus && listener->tls != NULL) ||
        !net__conn_begin(server, fd, address, listener->tls, peer, surplus)) {
        if (surplus && listener->tls != NULL) {
            close(fd); /* saying why would take a handshake */
        }
        if (peer != NULL) {
            net__peer_leave(server, peer);
        }
    }
}

/* Whether accepting may go on after this error. */
static int survives(int error) {
    switch (error) {
        case EINTR:
        case ECONNABORTED:
        case EPROTO:
        case EPERM:
        case ENETDOWN:
        case EHOSTDOWN:
        case EHOSTUNREACH:
        case ENETUNREACH:
        case ENONET:
        case ENOPROTOOPT:
        case EOPNOTSUPP:
            return 1;
        default:
            return 0;
    }
}

static void accept_ready(net_watch *watch, unsigned events) {
    net__listener *listener =
        (net__listener *)(void *)((char *)watch - offsetof(net__listener, watch));
    net_server *server = listener->server;
    (void)events;
    for (int i = 0; i < ACCEPTS_MAX; i++) {
        if (server->counts.connections >= server->options.connections_max + NET__SURPLUS_MAX) {
            net__listeners_watch(server, 0); /* until one is closed */
            return;
        }
        net_address raw = {.len = sizeof raw.at};
        net_address address;
        int fd = accept4(watch->fd, &raw.at.any, &raw.len, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0 && survives(errno)) {
            continue;
        }
        if (fd < 0) {
            if (errno != EAGAIN && errno != EWOULDBLOCK) {
                server->counts.accept_failed++;
                net__listeners_watch(server, 0);
                net_timer_start(server->loop, &server->accept_again, PAUSE_MS);
            }
            return;
        }
        if (net_address_take(&raw.at.any, raw.len, &address) != 0) {
            close(fd);
            continue;
        }
        take_connection(listener, fd, &address);
    }
}

int net_server_adopt(net_server *server, int fd, net_tls *tls) {
    if (tls != NULL && !net__tls_is_server(tls)) {
        return NET_EINVALID;
    }
    net__listener *listener = calloc(1, sizeof *listener);
    if (listener == NULL) {
        return NET_ENOMEM;
    }
    listener->watch = (net_watch){.ready = accept_ready, .fd = fd};
    listener->server = server;
    if (net_watch_set(server->loop, &listener->watch, NET_READABLE) != 0) {
        free(listener);
        return NET_ESYSTEM;
    }
    listener->tls = net__tls_hold(tls);
    listener->next = server->listeners;
    server->listeners = listener;
    return 0;
}

int net_server_listen(net_server *server,
                      const char *address,
                      net_tls *tls,
                      int shared,
                      net_address *ret_address) {
    net_address wanted;
    net_address bound;
    int fd;
    int rc = net_address_parse(address, &wanted);
    if (rc == 0) {
        rc = net__address_listen(&wanted, BACKLOG, shared, &fd, &bound);
    }
    if (rc != 0) {
        return rc;
    }
    rc = net_server_adopt(server, fd, tls);
    if (rc != 0) {
        close(fd);
        return rc;
    }
    if (ret_address != NULL) {
        *ret_address = bound;
    }
    return 0;
}

/* The structs stay until the server goes: one of them may be at work. */
void net__listeners_close(net_server *server) {
    while (server->listeners != NULL) {
        net__listener *listener = server->listeners;
        server->listeners = listener->next;
        net_watch_remove(server->loop, &listener->watch);
        close(listener->watch.fd);
        net_tls_free(listener->tls);
        listener->next = server->retired;
        server->retired = listener;
    }
}
