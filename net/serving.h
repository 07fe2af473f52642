/* The server's parts as they see each other: server, connection, request. */
#ifndef NET_SERVING_H
#define NET_SERVING_H

#include "buffer.h"
#include "message.h"
#include "server.h"
#include "transport.h"
#include "url.h"

enum {
    NET__BLOCK = 16384,        /* what a connection begins with when bytes have to be kept */
    NET__SCRATCH = 65536,      /* what one read takes */
    NET__SPARES_MAX = 64,      /* blocks kept for the next */
    NET__REQUESTS_KEPT = 4096, /* requests kept for the next */
    NET__PEER_BUCKETS = 1024,
    NET__SURPLUS_MAX = 64, /* connections beyond the limit, while they are told so */
    NET__DATE_LEN = 29,
};

typedef struct net__conn net__conn;

/* An address, and how many connections it has. */
typedef struct net__peer {
    struct net__peer *next;
    uint8_t family;
    uint8_t key[8];
    uint32_t connections;
} net__peer;

typedef struct net__listener {
    struct net__listener *next;
    net_watch watch;
    net_server *server;
    net_tls *tls;
} net__listener;

struct net_server {
    net_loop *loop;
    net_server_options options;
    net__message_limits limits;
    net_server_counts counts;
    uint64_t holds; /* connections, requests with their users, the owner */
    _Atomic int draining;
    int freed;
    net__listener *listeners;
    net__listener *retired;
    net_timer accept_again;
    net_timer drain_end;
    void (*drained)(void *user);
    void *drained_user;
    net__conn *conns;
    net_request *pool;
    uint32_t pooled;
    uint32_t spare_count;
    char *spare[NET__SPARES_MAX];
    net__peer *peers[NET__PEER_BUCKETS];
    uint64_t date_ms; /* when `date` was made, and 1 */
    char date[NET__DATE_LEN + 1];
    char scratch[NET__SCRATCH];
};

/* The peer's time is what a phase is about. */
typedef enum net__phase {
    NET__PHASE_IDLE, /* nothing of a request is there */
    NET__PHASE_HEAD,
    NET__PHASE_BODY,
    NET__PHASE_BUSY, /* it is our turn */
} net__phase;

typedef enum net__conn_state {
    NET__CONN_OPEN,
    NET__CONN_LAST,   /* no further request is read; what is queued is answered */
    NET__CONN_LINGER, /* all is sent; what still comes is thrown away, so that the end arrives */
    NET__CONN_CLOSED,
} net__conn_state;

struct net__conn {
    net_watch watch;
    net__transport transport;
    net_server *server;
    net__conn *next;
    net__conn **previous;
    net_request *first; /* in the order of arrival, down to what is not sent yet */
    net_request **last;
    net_request *alone; /* nothing is begun until it is answered; or NULL */
    uint32_t queued;
    uint8_t state;
    uint8_t phase;
    uint8_t inside;    /* the driver runs and will send */
    uint8_t dirty;     /* the driver is deferred */
    uint8_t continued; /* 100 was sent for this message */
    uint8_t ended;     /* the peer sends no more */
    uint8_t spared;    /* in this phase, since something had come when its time was over */
    uint64_t read_by;  /* when patience ends; 0: never */
    uint64_t write_by;
    size_t lingered;
    net_timer timer;
    net_task task;
    net_task end;
    net__peer *peer;
    net_address address;
    net__buffer in; /* what had to be kept of the message being read, and what follows it */
    net__message message;
};

typedef enum net__answering {
    NET__ANSWER_OPEN,     /* with its user */
    NET__ANSWER_STREAM,   /* with its user, who writes */
    NET__ANSWER_FINISHED, /* the answer is whole */
} net__answering;

struct net_request {
    net_request *next;
    net_server *server;
    net__conn *conn; /* NULL: it is gone */
    net__buffer out;
    size_t sent;
    size_t date_at; /* where the date goes */
    net__answering answering;
    uint8_t close;
    uint8_t head; /* HEAD: no body */
    uint8_t minor;
    uint8_t chunked;
    uint8_t waits;   /* a write was refused; `drained` is owed */
    uint8_t refusal; /* made here, not by the handler */
    uint8_t needs_client;
    net_task task;
    void (*gone)(net_request *request, void *user);
    void *gone_user;
    void (*drained)(net_request *request, void *user);
    void *drained_user;
    /* within the handler */
    const char *bytes;
    net_text path;
    net_text query;
    net_text host;
};

/* ---- server.c */
void net__server_release(net_server *server);
/* A connection was closed: whoever waits for that goes on. */
void net__server_lost(net_server *server, net__conn *conn);
/* Its memory is free, and its hold given back. */
void net__server_buried(net_server *server);
const char *net__server_date(net_server *server);

/* ---- listener.c */
int net__listeners_watch(net_server *server, int accepting);
void net__listeners_close(net_server *server);
void net__peer_leave(net_server *server, net__peer *peer);

/* ---- conn.c */
/* Takes the socket; 0 if it could not and the socket is closed. `surplus`: it is told 503. */
int net__conn_begin(net_server *server,
                    int fd,
                    const net_address *address,
                    net_tls *tls,
                    net__peer *peer,
                    int surplus);
/* Sends, reads on, waits: whatever can be done now. */
void net__conn_drive(net__conn *conn);
/* The same at the turn's end, or at the end of the driver that runs. */
void net__conn_later(net__conn *conn);
void net__conn_close(net__conn *conn);
/* Whether nothing is begun on it. */
int net__conn_is_idle(const net__conn *conn);
/* Whether something has come on one that rests: then it is read, and the connection stays. Once;
 * who sends a little each time is not spared again. */
int net__conn_spare(net__conn *conn);

/* ---- request.c */
/* NULL: no memory. */
net_request *net__request_take(net__conn *conn);
void net__request_release(net_request *request);
/* The connection is gone: whatever its user does goes nowhere. */
void net__request_detach(net_request *request);
/* Whether the body of a message whose head is here is not worth waiting for. */
int net__request_is_unwelcome(net__conn *conn, const char *bytes);
/* Checks the head of a whole message, or of an unwelcome one, and hands it to the handler, or
 * refuses it. */
void net__request_dispatch(net__conn *conn, const char *bytes);
/* Queues a refusal, after which nothing is read. */
void net__request_refuse(net__conn *conn, int status, const char *detail);

#endif
