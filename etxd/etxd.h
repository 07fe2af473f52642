/* The server: what its parts share, and one exchange of a request for an answer. */
#ifndef ETXD_ETXD_H
#define ETXD_ETXD_H

#include <stdatomic.h>

#include <etx/etx.h>
#include <etx/participant_http.h>

#include "../net/server.h"
#include "config.h"
#include "confine.h"
#include "log.h"
#include "problem.h"
#include "scratch.h"
#include "secret.h"
#include "story.h"
#include "text.h"
#include "token.h"
#include "trace.h"

typedef struct etxd etxd;
typedef struct etxd_exchange etxd_exchange;
typedef struct etxd_pool etxd_pool;
typedef struct etxd_bulk etxd_bulk;
typedef struct etxd_events etxd_events;
typedef struct etxd_forwarder etxd_forwarder;
typedef struct etxd_refusal etxd_refusal;
typedef struct etxd_letter etxd_letter;

/* A handler answers now or later, and returns 0; or sets the exchange's problem and returns -1. It
 * runs on the loop's thread and never waits. */
typedef int (*etxd_handler)(etxd_exchange *x);

typedef struct etxd_route {
    const char *method;
    const char *pattern; /* "/v1/transactions/{gid}/branches/{name}/result" */
    unsigned scope;      /* that a token needs; ETXD_ANY: any token */
    unsigned flags;      /* etxd_route_flags */
    etxd_handler handle;
} etxd_route;

enum {
    ETXD_OPEN = 1 << 0,    /* needs no token */
    ETXD_STOPPED = 1 << 1, /* is answered also while the engine does not run */
    ETXD_UNBOUND = 1 << 2, /* only for tokens without a prefix */
    ETXD_OWNED = 1 << 3,   /* the node that has the gid is asked */
    ETXD_QUERY = 1 << 4,   /* reads the URL's query, which is refused elsewhere under /v1 */
};

enum { ETXD_PATH_MAX = 200, ETXD_ROUTES_MAX = 40, ETXD_LATENCIES = 24 };

/* What came of asking another node. */
enum { ETXD_FORWARD_ANSWERED, ETXD_FORWARD_UNREACHED, ETXD_FORWARD_LOST, ETXD_FORWARDS };

/* Counters, from any thread. */
typedef struct etxd_counts {
    _Atomic uint64_t answers[ETXD_ROUTES_MAX + 1][5]; /* by route (the last: none) and 1xx to 5xx */
    /* microseconds from a request to its answer, in buckets of powers of two, by what it waited
     * for: begun, decided, ended */
    _Atomic uint64_t latency[3][ETXD_LATENCIES];
    _Atomic uint64_t latency_sum_us[3];
    _Atomic uint64_t events[32]; /* by etx_event_type */
    _Atomic uint64_t forwards[ETXD_FORWARDS];
    _Atomic uint32_t waiting; /* exchanges that the engine or another node answers */
} etxd_counts;

/* How the loop fares: see overload.c. */
typedef struct etxd_pressure {
    uint64_t turn;     /* of the loop, that was looked at last */
    unsigned late;     /* turns in a row */
    uint64_t until_ms; /* a late turn refuses until then */
    uint32_t limit;    /* of transactions that are waited for, until then */
} etxd_pressure;

/* Lines of the access log: those of answers that are given in one turn of the loop are written
 * together, before the answers are sent. */
typedef struct etxd_lines {
    net_task task;
    int waits; /* the task is to run in this turn */
    etxd_text text;
} etxd_lines;

typedef enum etxd_phase { ETXD_STARTING, ETXD_SERVING, ETXD_DRAINING } etxd_phase;

/* What /readyz says while it serves, and what the log was told last. */
typedef enum etxd_readiness { ETXD_UNTOLD, ETXD_READY, ETXD_UNREADY, ETXD_DRAINED } etxd_readiness;

struct etxd {
    etxd_config config;
    etxd_log log;
    etxd_lines lines;
    net_loop *loop;
    net_server *server;
    net_tls *tls; /* NULL: none */
    etx_engine *engine;
    etx_http *http;
    etxd_scratch *scratch; /* of bodies; NULL: none */
    etxd_tokens tokens;
    etxd_token anyone; /* the allowance of requests without tokens */
    etxd_pool *pool;
    etxd_bulk *bulk;
    etxd_events *events;
    etxd_stories *stories;     /* NULL: none is kept */
    etxd_forwarder *forwarder; /* NULL: no home is shared */
    etxd_refusal *refusals;    /* of other nodes: refusal.h */
    etxd_trace *trace;         /* NULL: nobody wants traces */
    etxd_counts counts;
    etxd_confinement confinement;
    etxd_phase phase;
    etxd_readiness readiness;
    etxd_pressure pressure;
    uint64_t started_ms;           /* since 1970 */
    struct etxd_life *life;        /* of start.c */
    struct etxd_waiting *waitings; /* of tx_wait.c */
    int argc;
    char **argv, **environment; /* for reading them again */
};

/* One request, until it is answered; etxd_answer and etxd_refuse free it. */
struct etxd_exchange {
    net_task task;       /* first: what is posted to the loop */
    etxd_exchange *next; /* the pool's */
    void (*work)(etxd_exchange *x);
    etxd *server;
    net_request *request;
    const etxd_route *route; /* NULL: none was found */
    const char *method;
    char path[ETXD_PATH_MAX]; /* cut, for the log */
    uint64_t began_us;
    int apart;               /* it is answered by a task of the loop, and sent when the turn ends */
    const etxd_token *token; /* within the handler; NULL: none is needed */
    unsigned scopes;
    char prefix[ETX_GID_MAX + 1]; /* of the token */
    char who[ETXD_TOKEN_NAME_MAX + 1];
    char gid[ETX_GID_MAX + 1];     /* of the path, or of what was begun */
    char branch[ETX_NAME_MAX + 1]; /* of the path */
    char node[ETX_NAME_MAX + 1];   /* that is asked instead; "": none */
    char traceparent[56];          /* of the request; "": none */
    etxd_problem problem;
    /* of what the engine is asked */
    int rc;
    etx_outcome outcome;
    etx_wait wait;
    uint32_t wait_ms;
    void *state; /* the handler's own */
    void *owned; /* the same, freed with the exchange */
    /* of what other nodes are asked: forward.h */
    etxd_exchange *asking, **asked; /* the list of those that wait for one */
    uint64_t fetch;                 /* ... net_client's */
    etxd_letter *later;             /* for the next one; NULL: none */
    etxd_handler then;              /* once all have said yes; NULL: the answer is theirs */
};

/* ---- exchange.c */

void etxd_handle(net_request *request, void *user);
/* Answers with a body, which is freed, and frees the exchange. Any thread. */
void etxd_answer(etxd_exchange *x, int status, const char *content_type, etxd_text *body);
/* The same with one more field. */
void etxd_answer_with(etxd_exchange *x,
                      int status,
                      const char *content_type,
                      etxd_text *body,
                      const char *name,
                      const char *value);
/* Answers with the exchange's problem. Any thread. */
void etxd_refuse(etxd_exchange *x);
/* Sets the problem that an error of libetx is, with the engine's words; returns -1. */
int etxd_fail(etxd_exchange *x, int rc, const char *reason);
/* Writes a line of the access log, counts the answer, frees the exchange: a stream has begun. */
void etxd_note(etxd_exchange *x, int status);
uint64_t etxd_now_us(void);

/* ---- guard.c: who may ask; 0, or -1 and a problem */

int etxd_guard(etxd_exchange *x);
/* Whether the body of a request is waited for: not of one without a token, where tokens are in
 * force. What needs none (ETXD_OPEN) needs no body. */
int etxd_is_welcome(const net_request *request, void *user);
/* Whether the exchange's token may see or touch that gid. */
int etxd_may(const etxd_exchange *x, const char *gid);
int etxd_guard_gid(etxd_exchange *x, const char *gid);

/* ---- overload.c */

/* May something new be begun now? 0, or -1 and a problem. */
int etxd_overload_guard(etxd_exchange *x);

/* ---- route.c */

/* Finds the route and fills gid and branch; 0, or -1 and a problem. `allow` is set for 405. */
int etxd_route_find(etxd_exchange *x, net_text path, char *allow, size_t size);
const etxd_route *etxd_routes(size_t *ret_count);
size_t etxd_route_place(const etxd_route *route);

/* ---- query.c: what stands behind '?' */

typedef struct etxd_query {
    const char *begin, *at, *end;
    char name[32];
    char value[ETX_GID_MAX + 64];
} etxd_query;
void etxd_query_begin(const etxd_exchange *x, etxd_query *query);
/* The next pair, decoded: 1, 0 at the end, -1 and a problem, also where its name stands before. */
int etxd_query_next(etxd_exchange *x, etxd_query *query);
/* Decodes %XX; -1: not decodable, or longer than `size` - 1. */
int etxd_percent_decode(const char *text, size_t len, char *to, size_t size);
int etxd_query_number(etxd_exchange *x, const etxd_query *query, uint64_t most, uint64_t *ret);

/* ---- pool.c: threads for what waits */

int etxd_pool_create(unsigned threads, etxd_pool **ret_pool);
/* Has `work` called on a thread, which answers the exchange. Until then nothing that follows on its
 * connection is begun: the threads would let it overtake. 0, or -1 and a problem. */
int etxd_pool_run(etxd_exchange *x, void (*work)(etxd_exchange *x));
/* The same on threads of another pool. */
int etxd_pool_give(etxd_pool *pool, etxd_exchange *x, void (*work)(etxd_exchange *x));
/* Runs what is queued, ends the threads. NULL is allowed. */
void etxd_pool_free(etxd_pool *pool);
unsigned etxd_pool_queued(etxd_pool *pool);

/* ---- events.c: the ring of events, and streams of it */

int etxd_events_create(etxd *server, etxd_events **ret_events);
/* Of the engine's threads. */
void etxd_events_take(const etx_event *event, void *server);
/* The same: keeps the story. */
void etxd_events_ending(const etx_status *status, const etx_ending *ending, void *server);
/* Ends the streams whose token is not one of these, or may do something else now. On the loop's
 * thread. */
void etxd_events_judge(etxd_events *events, const etxd_tokens *tokens);
/* Ends all streams. On the loop's thread. */
void etxd_events_end(etxd_events *events);
void etxd_events_free(etxd_events *events);
unsigned etxd_events_streams(const etxd_events *events);

/* ---- start.c, reload.c, notify.c, about.c */

int etxd_start(etxd *server, char *message);
void etxd_stop(etxd *server);
/* What /readyz says may be another than it was. Any thread. */
void etxd_homes_changed(etxd *server);
/* Tells log and systemd what /readyz says, if it was not told; `to_systemd` goes before that, ""
 * or lines. On the loop's thread. */
void etxd_tell_ready(etxd *server, const char *to_systemd);
int etxd_engine_options(etxd *server, char *message);
/* What options borrow that was read from files. */
typedef struct etxd_secrets {
    char *key;
    etxd_headers headers;
} etxd_secrets;
/* 0, or -1 and a message; the secrets are to be freed in either case. */
int etxd_http_options(const etxd_config *config,
                      etx_http_options *ret,
                      etxd_secrets *ret_secrets,
                      char *message);
void etxd_secrets_free(etxd_secrets *secrets);
net_tls_options etxd_tls_options(const etxd_config *config);
net_server_options etxd_server_options(etxd *server);
void etxd_reload(etxd *server);
/* Tells systemd, if it listens: "READY=1". */
void etxd_notify(const char *text);

/* ---- handlers */

int etxd_get_health(etxd_exchange *x);
int etxd_get_ready(etxd_exchange *x);
int etxd_get_version(etxd_exchange *x);
int etxd_get_metrics(etxd_exchange *x);
int etxd_get_openapi(etxd_exchange *x);
int etxd_get_cluster(etxd_exchange *x);
int etxd_post_move(etxd_exchange *x);
int etxd_post_drain(etxd_exchange *x);
int etxd_post_transactions(etxd_exchange *x);
int etxd_get_transactions(etxd_exchange *x);
int etxd_get_transaction(etxd_exchange *x);
int etxd_post_branches(etxd_exchange *x);
int etxd_post_result(etxd_exchange *x);
int etxd_post_commit(etxd_exchange *x);
int etxd_post_abort(etxd_exchange *x);
int etxd_post_retry(etxd_exchange *x);
int etxd_post_park(etxd_exchange *x);
int etxd_post_resume(etxd_exchange *x);
int etxd_post_force(etxd_exchange *x);
int etxd_post_bulk_retry(etxd_exchange *x);
int etxd_post_bulk_park(etxd_exchange *x);
int etxd_post_bulk_resume(etxd_exchange *x);
int etxd_get_events(etxd_exchange *x);

#endif
