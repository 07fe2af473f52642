/* A byte stream over a socket, with TLS or without: both sides of both protocols use this alone. */
#ifndef NET_TRANSPORT_H
#define NET_TRANSPORT_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include <openssl/ssl.h>

#include "tls.h"

enum { NET__WRITE_MAX = 16384 }; /* of TLS: what one call takes */

/* Results beside a count of bytes. */
enum { NET__EOF = 0, NET__AGAIN = -1, NET__BROKEN = -2 };

typedef struct net__transport {
    int fd;
    SSL *ssl;               /* NULL: without TLS */
    uint64_t accepted;      /* bytes that the system took for sending, of whatever kind */
    uint8_t shaken;         /* the handshake is over */
    uint8_t reads_to_write; /* TLS: writing waits for the socket to be readable, ... */
    uint8_t writes_to_read; /* ... and the other way round */
    uint8_t wants_write;    /* the last write was not taken whole */
    uint8_t unwelcome;      /* the peer wants another certificate of ours, or one at all */
    const char *reason;     /* of NET__BROKEN by TLS: static, or OpenSSL's */
} net__transport;

/* Takes a connected (or connecting) socket; it is closed by net__transport_close. With TLS, as
 * server, or as client of `host`: `name` 1 if that is a name and not an address.
 * Errors: NET_ENOMEM, NET_ETLS; the socket then stays the caller's. */
int net__transport_open(net__transport *transport,
                        int fd,
                        net_tls *tls,
                        const char *host,
                        int name);
/* Says goodbye, if it can, and closes. */
void net__transport_close(net__transport *transport);

/* Goes on with the handshake: 1 it is over, NET__AGAIN, NET__BROKEN. */
int net__transport_shake(net__transport *transport);
/* Up to `size` bytes: their count; NET__EOF the peer will send no more; NET__AGAIN; NET__BROKEN. */
ssize_t net__transport_read(net__transport *transport, char *bytes, size_t size);
/* The same for writing. After NET__AGAIN, or fewer than given, the same bytes come first in the
 * next call. `scratch` has NET__WRITE_MAX bytes. Never raises SIGPIPE. */
ssize_t net__transport_write(net__transport *transport,
                             const struct iovec *pieces,
                             int count,
                             char *scratch);
/* Whether bytes are there that the socket does not tell of. */
int net__transport_pending(const net__transport *transport);
/* Whether the peer has sent what was not read yet; its end is nothing of that. */
int net__transport_unread(const net__transport *transport);
/* No more will be written: the peer sees an end. */
void net__transport_shut(net__transport *transport);
/* What of net_loop's events is needed to get on with reading and writing as wished. */
unsigned net__transport_events(const net__transport *transport, int reading, int writing);
/* The subject of the peer's certificate (RFC 2253) into NET_TLS_SUBJECT_MAX bytes; "" if it has
 * shown none. Returns `text`. */
const char *net__transport_subject(const net__transport *transport, char *text);

/* ---- of tls.c */

net_tls *net__tls_hold(net_tls *tls);
/* A new connection's SSL, as server or as client of `host`; NULL if there is no memory. */
SSL *net__tls_connection(net_tls *tls, net__transport *transport, const char *host, int name);
int net__tls_is_server(const net_tls *tls);

#endif
