/* An HTTP/1.1 client on a loop: requests from any thread, kept connections, answers by callback. */
#ifndef NET_CLIENT_H
#define NET_CLIENT_H

#include <stdint.h>

#include "address.h"
#include "http.h"
#include "loop.h"
#include "tls.h"
#include "url.h"

typedef struct net_client net_client;

/* What an address may be used for: 0 yes, anything else no. Called on the loop's thread before each
 * connection with the very address that is then connected to (IPv4 mapped into IPv6 is told as
 * IPv4), also if the URL names an address. */
typedef int (*net_vet)(const net_url *url, const net_address *address, void *user);

/* Finds the addresses of a name: their number, at most `max`; 0 or less: none. Called on a thread
 * of the client's own, may block. The port is set by the client. */
typedef int (*net_resolve)(const char *host, net_address *ret_addresses, int max, void *user);

/* Zeroed but for `size` is fine: 0 means the value named. */
typedef struct net_client_options {
    size_t size;                     /* sizeof (net_client_options) */
    net_vet vet;                     /* NULL: every address may be used */
    net_resolve resolve;             /* NULL: getaddrinfo */
    void *user;                      /* of both */
    uint32_t connections_max;        /* 4,096 */
    uint32_t target_connections_max; /* 64: to one target */
    uint32_t target_queue_max;       /* 4,096: requests that wait for a connection to one target */
    uint32_t header_bytes_max;       /* 16,384, at most 65,535: of an answer's head */
    uint64_t answer_bytes_max;       /* 1,048,576: of an answer's body, decoded */
    uint32_t connect_ms;             /* 5,000: to connect and shake hands, name included */
    uint32_t timeout_ms;  /* 30,000: for all of it, from net_client_fetch to the answer's end */
    uint32_t idle_ms;     /* 30,000: a kept connection is closed after that */
    uint32_t resolved_ms; /* 5,000: an answer of `resolve` is used for that long */
} net_client_options;

/* Creates a client on a loop; on the loop's thread. Freed by net_client_free.
 * Errors: NET_EINVALID; NET_ENOMEM. */
int net_client_create(net_loop *loop, const net_client_options *options, net_client **ret_client);
/* Ends what is under way (NET_ECANCELLED) and closes all connections; may wait for a name that is
 * being resolved. No thread may use it any more; the loop must take another turn, or be freed. On
 * the loop's thread. NULL is allowed. */
void net_client_free(net_client *client);

/* How a request ended; borrowed until the callback returns. */
typedef struct net_result {
    int error;  /* 0: the answer is here; else a code of error.h */
    int sent;   /* of an error: 0 for certain nothing of the request was sent; 1 unknown */
    int behind; /* of an error: it shared a connection, which ended for another request's sake */
    int stale;  /* of an error: a kept connection ended before any byte of the answer */
    int status;
    net_text body;
    const char *detail;  /* of an error: a sentence, or "" */
    const void *message; /* for net_result_header */
} net_result;

/* The first field of a name of an answer, case ignored, without white space around it. */
net_text net_result_header(const net_result *result, const char *name);

/* Called once for each request, on the loop's thread, never from within net_client_fetch. */
typedef void (*net_done)(uint64_t id, const net_result *result, void *user);
/* Called before that, each time that more of an answer's body is here; `bytes` are borrowed. On the
 * loop's thread. */
typedef void (*net_piece)(uint64_t id, int status, net_text bytes, void *user);

/* A request; zeroed but for `size`, `url`, `method` and `done` is fine. */
typedef struct net_fetch {
    size_t size;               /* sizeof (net_fetch) */
    const net_url *url;        /* copied */
    const char *method;        /* copied; not CONNECT */
    net_tls *tls;              /* of https, needed then; the client keeps its own hold */
    const net_header *headers; /* copied; Host, Content-Length, Transfer-Encoding, Connection and */
    size_t header_count;       /* Expect are the client's own */
    const void *body;          /* copied */
    size_t body_len;
    uint32_t connect_ms;       /* 0: the client's */
    uint32_t timeout_ms;       /* 0: the client's */
    uint64_t answer_bytes_max; /* 0: the client's */
    /* HTTP/1.1 pipelining: it may be sent on a connection behind others, up to so many at once,
     * that were begun in the same turn of the loop and allow it too, and is answered after them.
     * For what may be asked again only (RFC 9112, 9.3.2). 0 or 1: it has one for itself. */
    uint32_t pipeline_max;
    net_done done; /* needed */
    void *user;    /* of `done` and `piece` */
    /* NULL: nobody is told. With it, timeout_ms is how long nothing may come: an answer may go on
     * for ever, as long as all of it fits into answer_bytes_max */
    net_piece piece;
} net_fetch;

/* Begins a request. Connections are kept for each target: scheme, host, port and net_tls. Redirects
 * are answers like others; 1xx are skipped. An answer that says nothing of its length is taken if
 * it says that the connection will end (HTTP/1.0, or `Connection: close`), once that has ended in
 * order: who crashes ends it so as well, without TLS. Nothing is sent twice, but for a request of
 * which nothing was sent, or which was behind one whose answer said that it is the connection's
 * last, and where it ends (RFC 9112, 9.6: it has not been dealt with): another connection is tried
 * then. `*ret_id` (may be NULL) is for net_client_cancel. Any thread. Errors: NET_EINVALID;
 * NET_ENOMEM. `done` will not be called then. */
int net_client_fetch(net_client *client, const net_fetch *fetch, uint64_t *ret_id);
/* Ends a request by NET_ECANCELLED, unless it ends otherwise before. Ids are never used again. Any
 * thread. */
void net_client_cancel(net_client *client, uint64_t id);

/* What net_vet says may be another from now on: connections that are there are used for no further
 * request. What is under way goes on. Any thread. */
void net_client_renew(net_client *client);

typedef struct net_client_counts {
    uint32_t connections; /* open or being opened, now */
    uint32_t kept;        /* of them without a request */
    uint32_t requests;    /* begun and not ended, now */
    uint32_t targets;
    uint64_t opened; /* connections, ever */
    uint64_t reused; /* requests on kept connections, ever */
} net_client_counts;
/* On the loop's thread. */
net_client_counts net_client_count(const net_client *client);

#endif
