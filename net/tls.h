/* TLS for servers and clients: certificates, whom to trust, and what a peer has shown. */
#ifndef NET_TLS_H
#define NET_TLS_H

#include <stddef.h>

#include "error.h"

/* TLS 1.2 and 1.3 by OpenSSL, ALPN "http/1.1" only. One net_tls serves any number of servers or
 * clients on any number of loops. */
typedef struct net_tls net_tls;

enum { NET_TLS_MESSAGE_MAX = 256, NET_TLS_SUBJECT_MAX = 512 };

/* Whether a server asks its clients for certificates. */
typedef enum net_tls_clients {
    NET_TLS_CLIENTS_UNASKED,
    NET_TLS_CLIENTS_OPTIONAL, /* one that is shown must be good */
    NET_TLS_CLIENTS_REQUIRED,
} net_tls_clients;

/* Zeroed but for `size` is a client that trusts what the system trusts. All strings are copied. */
typedef struct net_tls_options {
    size_t size;             /* sizeof (net_tls_options) */
    int server;              /* 0: for a client */
    const char *certificate; /* a PEM file: own certificate and those above it; a server must */
    const char *key;         /* a PEM file: its key */
    const char *authorities; /* a PEM file: whom to trust, instead of whom the system trusts */
    net_tls_clients clients; /* a server; unless unasked it must have authorities */
    int trust_anyone;        /* a client: verify nothing, not even the name */
    int newest_only;         /* TLS 1.3 only */
} net_tls_options;

/* Reads the files. `message` (NET_TLS_MESSAGE_MAX bytes, may be NULL) says which file and what was
 * wrong with it. Freed by net_tls_free.
 * Errors: NET_EINVALID (options); NET_ETLS (a file); NET_ENOMEM. Any thread. */
int net_tls_create(const net_tls_options *options, char *message, net_tls **ret_tls);

/* Reads the files anew: connections made from now on use them, others keep what they have. On an
 * error nothing changes. Errors: as net_tls_create. Any thread. */
int net_tls_reload(net_tls *tls, char *message);
/* The same for who has more to read before anything may change, or other files: takes what
 * net_tls_create made for the same side of connections, and frees it. Cannot fail. On the thread
 * that reloads. */
void net_tls_take(net_tls *tls, net_tls *from);

/* Users of it keep their own hold: it may be freed before servers and clients that were given it.
 * NULL is allowed. Any thread. */
void net_tls_free(net_tls *tls);

#endif
