/* The client's parts as they see each other: client, target, link, request. */
#ifndef NET_CALLING_H
#define NET_CALLING_H

#include <pthread.h>
#include <stdatomic.h>

#include "buffer.h"
#include "client.h"
#include "message.h"
#include "resolver.h"
#include "transport.h"

enum {
    NET__CALL_SCRATCH = 65536,
    NET__TARGET_BUCKETS = 256,
    NET__TRIES_MAX = 3,    /* connections tried for a request of which nothing was sent */
    NET__INTERIM_MAX = 16, /* 1xx before an answer */
    NET__SWEEP_MS = 10000,
    NET__PIPELINE_MAX = 64,
    NET__ALONE_MS = 10000, /* requests of a target share no connection after one has ended early: */
    NET__EARLY = 32,       /* before so many answers */
};

typedef struct net__target net__target;
typedef struct net__link net__link;
typedef struct net__call net__call;

/* A request under way. */
struct net__call {
    uint64_t id; /* generation << 32 | slot; 0: free. Under the client's lock */
    uint64_t cancel_id;
    int cancel_posted;
    uint32_t slot;
    uint32_t generation;
    net__call *next;      /* free, in a target's queue, or behind it on its link */
    net__call **previous; /* in a queue */
    net_client *client;
    net__target *target;
    net__link *link;
    net_task start;
    net_task cancel;
    net_timer timer;
    net_url url; /* `target` is not kept: it is in `out` */
    net_tls *tls;
    net__buffer out;
    int head; /* HEAD */
    uint32_t pipeline_max;
    size_t sent;   /* bytes of `out` that the link has taken */
    uint64_t base; /* bytes that the system had taken of the link when this one's turn came */
    int tries;
    int begun;
    int ended;     /* its end was told; on a link it keeps the place of its answer */
    int cancelled; /* before it was begun */
    int behind;    /* its connection has ended for another request's sake */
    uint32_t connect_ms;
    uint32_t timeout_ms;
    uint64_t answer_bytes_max;
    net_done done;
    net_piece piece;
    void *user;
};

/* What connections are kept for. */
struct net__target {
    net__target *next;
    net_client *client;
    net_url url;
    net_tls *tls;
    net__call *first; /* waiting */
    net__call **last;
    uint32_t waiting;
    uint32_t links;
    net__link *idle;      /* newest first */
    net__link *gathering; /* takes requests of this turn until they are sent; or NULL */
    uint64_t alone_until_ms;
    int resolving;
    int pumping;
    uint64_t resolved_until_ms;
    uint64_t used_ms;
    int address_count;
    net_address addresses[NET__ADDRESSES_MAX];
    net__lookup lookup;
};

typedef enum net__link_state {
    NET__LINK_CONNECTING,
    NET__LINK_SHAKING,
    NET__LINK_BUSY,
    NET__LINK_IDLE,
    NET__LINK_CLOSED,
} net__link_state;

/* A connection. */
struct net__link {
    net_watch watch;
    net__transport transport;
    net__target *target;
    net__call *call; /* whose answer is awaited; behind it those that are answered later */
    net__call *last;
    net__call *sending; /* the first that is not sent whole; or NULL */
    uint32_t depth;     /* requests */
    net__link *next;    /* of all */
    net__link **previous;
    net__link *idle_next; /* of its target */
    net__link **idle_previous;
    net__link_state state;
    int address;  /* which of the target's is being tried */
    int used;     /* has had a request before */
    unsigned era; /* the client's when it was begun */
    int interim;
    int write_failed;
    int flushes;      /* `flush` is to be run */
    int said_last;    /* an answer has said that there will be no other */
    uint64_t answers; /* ever */
    int forbidden;    /* an address was not allowed */
    size_t told;      /* bytes of the body that the request's `piece` has had */
    net_timer timer;  /* connecting, or idle */
    uint64_t connect_by;
    net_task end;
    net_task flush; /* of what it gathers */
    net__buffer in;
    net__message message;
    net__message_limits limits;
};

struct net_client {
    net_loop *loop;
    net_client_options options;
    net_client_counts counts;
    uint64_t holds; /* the owner, links to be buried, lookups */
    int freed;
    _Atomic unsigned era; /* a link of an earlier one is used for no further request */
    net__link *links;
    net__target *targets[NET__TARGET_BUCKETS];
    net__resolver *resolver;
    net_timer sweep;
    pthread_mutex_t lock; /* over the table of requests, and their ids */
    net__call **calls;
    uint32_t call_count;
    uint32_t call_size;
    net__call *free_calls;
    char scratch[NET__CALL_SCRATCH];
};

/* ---- client.c */
void net__client_release(net_client *client);

/* ---- call.c */
net__call *net__call_take(net_client *client);
/* Back into the table; its id is void. One that has ended and still is of a link goes back when
 * that has had its answer, or is closed. */
void net__call_give_back(net__call *call);
/* Ends a request by an error. `sent` as in net_result. */
void net__call_fail(net__call *call, int error, int sent, int stale, const char *detail);
/* Ends it by the answer that its link has read. */
void net__call_answer(net__call *call, const char *bytes);
void net__call_start(net_task *task);
void net__call_cancel(net_task *task);

/* ---- target.c */
/* The target of a request, made if there is none; NULL: no memory. */
net__target *net__target_of(net_client *client, const net_url *url, net_tls *tls);
/* Queues a request, at the front if it is tried again. */
void net__target_queue(net__target *target, net__call *call, int front);
void net__target_unqueue(net__target *target, net__call *call);
/* Gives waiting requests what connections there are or may be. */
void net__target_pump(net__target *target);
void net__target_sweep(net_timer *timer);
void net__target_free_all(net_client *client);

/* ---- link.c */
/* Connects to the target's addresses, one after another, for a request. */
void net__link_open(net__target *target, net__call *call);
/* Sends a request on a link that is idle; at the end of the turn, if others may join it. */
void net__link_use(net__link *link, net__call *call);
/* Whether a request may be sent behind those that the link gathers. */
int net__link_takes(const net__link *link, const net__call *call);
/* Has it sent behind them. */
void net__link_join(net__link *link, net__call *call);
/* Whether its addresses were vetted before net_client_renew. */
int net__link_is_old(const net__link *link);
/* A request of it has ended before its answer did, or it is idle: it must not be used. What has
 * been sent behind that request ends as well; what has not is sent on another one. */
void net__link_close(net__link *link);

/* ---- pipeline.c: the requests of a link */

/* Puts a request behind those that the link has. */
void net__link_add(net__link *link, net__call *call);
/* A request of the link is not of it any more. */
void net__link_leave(net__link *link, net__call *call);
/* Whether bytes of a request may have reached the peer. */
int net__link_has_sent(const net__call *call);
/* A request has ended before its answer came. If something of it was sent behind another, it stays,
 * and its answer will be told to nobody. 1: the link must be closed, 0: it goes on. */
int net__link_lacks(net__link *link, net__call *call);
/* So many bytes more of the requests were taken for sending. */
void net__link_count_sent(net__link *link, size_t taken);
/* Takes from a link that is about to be closed the requests that may be sent on another one, the
 * last of them first: nothing of them was sent, or an answer has said that it is the last one (then
 * what was behind it has not been dealt with: RFC 9112, 9.6). */
net__call *net__link_take_unsent(net__link *link);
/* Queues these again, and ends the others: they were behind the request for whose sake the link was
 * closed. */
void net__link_end_others(net__link *link, net__call *unsent);

#endif
