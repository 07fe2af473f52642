/* An HTTP/1.1 server on a loop: requests come to one handler, answers go out in their order. */
#ifndef NET_SERVER_H
#define NET_SERVER_H

#include <stddef.h>
#include <stdint.h>

#include "address.h"
#include "http.h"
#include "loop.h"
#include "tls.h"

typedef struct net_server net_server;
typedef struct net_request net_request;

/* Called on the loop's thread for each request whose head and body are there and that is sound. The
 * handle must be answered exactly once, now or later, whatever becomes of its connection: by
 * net_request_answer on any thread, or by net_stream_begin and net_stream_end. What the functions
 * of the request tell is borrowed until the handler returns. */
typedef void (*net_handler)(net_request *request, void *user);

/* Zeroed but for `size` and `handler` is fine: 0 means the value named. */
typedef struct net_server_options {
    size_t size;                          /* sizeof (net_server_options) */
    net_handler handler;                  /* needed */
    void *user;                           /* of the handler */
    uint32_t header_bytes_max;            /* 16,384; at most 65,535: line and fields (431) */
    uint32_t target_bytes_max;            /* 8,192 (414) */
    uint32_t headers_max;                 /* 100, which is also the most (431) */
    uint32_t chunk_extras_bytes_max;      /* 1,024: chunk extensions and trailer of a body (431) */
    uint64_t body_bytes_max;              /* 1,048,576, decoded (413) */
    uint32_t connections_max;             /* 10,000; beyond it 503, then none are accepted */
    uint32_t connections_per_address_max; /* no limit: of one IPv4 address or IPv6 /64 (503) */
    uint32_t pipelined_max;               /* 16: requests of one connection begun at once */
    uint32_t stream_bytes_max;            /* 1,048,576: of a stream, written and not sent */
    uint32_t header_ms; /* 10,000: from a request's first byte to its head's end (408) */
    uint32_t body_ms;   /* 30,000: from there to the body's end (408) */
    uint32_t idle_ms;   /* 60,000: between two requests */
    uint32_t write_ms;  /* 30,000: in which a reader must take something of what waits for it */
    /* NULL: all are. Asked once the head of a request is here and its body is not: 0 if that is not
     * worth waiting for. The handler then has the request at once, without its body, and after the
     * answer the connection ends. Has the user of the handler, and may ask all but the body. */
    int (*welcome)(const net_request *request, void *user);
} net_server_options;

/* Creates a server on a loop, without listeners. Freed by net_server_free.
 * Errors: NET_EINVALID; NET_ENOMEM. On the loop's thread, as all functions here that name no other.
 * */
int net_server_create(net_loop *loop, const net_server_options *options, net_server **ret_server);
/* From now on these body_bytes_max, connections_max and connections_per_address_max; nothing else
 * of the options is looked at. Connections stay, though they are too many; a body that is too large
 * by now is refused unless its length was told before. */
void net_server_limits(net_server *server, const net_server_options *options);
/* Closes everything at once. Requests that are not yet answered stay valid: their answers go
 * nowhere, and the loop must live until they came. NULL is allowed. */
void net_server_free(net_server *server);

/* Listens on an address (net_address_parse), with TLS if `tls` is not NULL (the server keeps a hold
 * of its own). May be called for several. With `shared`, servers of other loops may listen on the
 * same TCP port (SO_REUSEPORT). `ret_address` (may be NULL) is what was bound.
 * Errors: NET_EINVALID; NET_ESYSTEM (errno); NET_ENOMEM. */
int net_server_listen(net_server *server,
                      const char *address,
                      net_tls *tls,
                      int shared,
                      net_address *ret_address);
/* The same for a socket that listens already; it is the server's from then on, if 0 is returned. */
int net_server_adopt(net_server *server, int fd, net_tls *tls);

/* Closes the listeners, and each connection once what was begun on it is answered; after
 * `timeout_ms` the rest. `done` (may be NULL) is called once none is left, perhaps at once. Streams
 * are to be ended by who began them. */
void net_server_drain(net_server *server,
                      uint64_t timeout_ms,
                      void (*done)(void *user),
                      void *user);

typedef struct net_server_counts {
    uint32_t connections;   /* open now */
    uint32_t requests;      /* begun and not answered, now */
    uint64_t accepted;      /* connections, ever */
    uint64_t answered;      /* requests of the handler, ever */
    uint64_t refused;       /* requests refused without the handler, ever */
    uint64_t timed_out;     /* connections closed for slowness, ever */
    uint64_t accept_failed; /* times that no descriptor was left */
} net_server_counts;
net_server_counts net_server_count(const net_server *server);

/* ---- what a request says; within the handler only */

/* "GET", "HEAD", "POST", "PUT", "DELETE", "PATCH" or "OPTIONS": static. Others are answered 501. */
const char *net_request_method(const net_request *request);
/* The path as it came, percent-encoding included: begins with '/', or is "*". */
net_text net_request_path(const net_request *request);
/* What follows the '?'; nothing if there is none. */
net_text net_request_query(const net_request *request);
/* The authority asked for: of an absolute target, else of the Host field. HTTP/1.0 may have none.
 * */
net_text net_request_host(const net_request *request);
/* The first field of a name, case ignored, without white space around it. */
net_text net_request_header(const net_request *request, const char *name);
/* The field at an index: 0 if there is none. */
int net_request_header_at(const net_request *request,
                          size_t index,
                          net_text *ret_name,
                          net_text *ret_value);
net_text net_request_body(const net_request *request);
const net_address *net_request_peer(const net_request *request);
int net_request_is_tls(const net_request *request);
/* The subject of the client's certificate (RFC 2253) into NET_TLS_SUBJECT_MAX bytes; "" without
 * one. A certificate that is told was verified. Returns `text`. */
const char *net_request_subject(const net_request *request, char *text);

/* Has what follows it on its connection begun only once it is answered: requests that are not safe
 * must not overtake one another (RFC 9112, 9.3.2). Within the handler. */
void net_request_alone(net_request *request);
/* Has the connection end as well once the client sends no more, as for a stream: what it asked for
 * takes long, and is for nobody then. Clients that shut their sending side and wait get no answer.
 * Within the handler. */
void net_request_needs_client(net_request *request);

/* ---- answers */

/* Content-Length, Date, Connection and Transfer-Encoding are the server's own. To HEAD, the body's
 * length is told and the body left out; 204 and 304 have none. */
typedef struct net_answer {
    size_t size;              /* sizeof (net_answer) */
    int status;               /* 200 to 599 */
    const char *content_type; /* NULL: none */
    const void *body;         /* copied */
    size_t body_len;
    const net_header *headers; /* copied */
    size_t header_count;
    int close; /* end the connection after it */
} net_answer;

/* Answers, and ends the handle. From the loop's thread it is sent when the handler returns or the
 * turn ends, from another when the loop comes to it: several at once if it can be. An answer that
 * cannot be sent as it is (a status or field that is not valid, no memory) becomes a 500.
 * Any thread. Errors: NET_EINVALID, NET_ENOMEM: as just said; the handle is ended all the same. */
int net_request_answer(net_request *request, const net_answer *answer);

/* Has `gone` called on the loop's thread if the connection ends before the answer is given, or the
 * stream ended. The handle stays valid. Once per request; within the handler. */
void net_request_on_gone(net_request *request,
                         void (*gone)(net_request *request, void *user),
                         void *user);

/* ---- answers without an end that is known: server-sent events; on the loop's thread */

/* Begins the answer (`body` is ignored). `drained` (may be NULL) is called with `user` when all
 * that was written has been sent, after a write returned NET_EBUSY.
 * Errors: NET_EINVALID, NET_ENOMEM: a 500 was sent and the handle is ended. */
int net_stream_begin(net_request *request,
                     const net_answer *answer,
                     void (*drained)(net_request *request, void *user),
                     void *user);
/* Sends more, at the end of the turn. Bytes that are never taken end the connection after write_ms.
 * Errors: NET_EBUSY (more than stream_bytes_max wait; nothing of these bytes was taken);
 * NET_ECLOSED (the connection is gone); NET_ENOMEM. */
int net_stream_write(net_request *request, const void *bytes, size_t len);
/* Ends the answer, and the handle. While the server drains, what was not taken within a second more
 * is lost. */
void net_stream_end(net_request *request);

#endif
