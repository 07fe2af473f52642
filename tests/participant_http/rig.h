/* Participants over HTTP in the test's own process: a server that does what the path says, raw
 * sockets that say what no server would, and an engine that calls them. */
#ifndef ETX_TESTS_PARTICIPANT_HTTP_RIG_H
#define ETX_TESTS_PARTICIPANT_HTTP_RIG_H

#include "host.h"

#include <etx/participant_http.h>

#include "net/server.h"

enum { RIG_CALLS_MAX = 8192, RIG_BODY_MAX = 512, RIG_REASONS_MAX = 256 };

/* A call as it came. */
typedef struct rig_call {
    char gid[ETX_GID_MAX + 1];
    char branch[ETX_NAME_MAX + 1];
    char operation[16];
    char key[80], trace[64], begin[32], deadline[32], run[32], type[64], secret[32], statics[32];
    char digest[80], input[256], signature[80], uri[256], subject[NET_TLS_SUBJECT_MAX];
    unsigned attempt;
    char body[RIG_BODY_MAX];
    size_t body_len;
    uint64_t at_ms;
    int done; /* answered 2xx, but for 202 */
} rig_call;

/* What the path says:
 *   /ok           200, and the branch's name in JSON as result
 *   /empty        204
 *   /refuse       409 and problem details; /refuse-text: text
 *   /first/N      the first time status N (with what the query says as Retry-After), then as /ok
 *   /first/hang   the first time no answer; /first/huge: 2 MiB
 *   /hold/N       as /ok, after N ms
 *   /chaos        refuses some branches, holds, hangs up and fails at random, else as /ok
 *   /query/N, /resume  status N */
typedef struct rig_server {
    net_loop *loop;
    net_server *server;
    net_tls *tls;
    const char *listen; /* NULL: 127.0.0.1:0 */
    char url[64];
    uint16_t port;
    pthread_t thread;
    pthread_mutex_t lock; /* of what follows */
    rig_call *call;
    unsigned count;
    uint32_t seed;
    atomic_uint calls, gone, open, open_max;
} rig_server;

void rig_server_start(rig_server *self);
void rig_server_stop(rig_server *self);
/* The first call of that branch and operation, from the index on: its index, or -1. */
int rig_find(rig_server *self, unsigned from, const char *branch, const char *operation);
/* Ended transactions of which some branches were done and others were not; prints them. */
unsigned rig_torn(rig_server *self);

/* A socket that answers each connection once: the first by `bytes`, after which it may wait for the
 * other end to close; the others properly. */
typedef struct rig_raw {
    const char *bytes;
    size_t len;
    int waits;
    int fd;
    char url[64];
    pthread_t thread;
    atomic_uint calls, closed;
} rig_raw;
void rig_raw_start(rig_raw *self, const char *bytes, size_t len, int waits);
void rig_raw_stop(rig_raw *self);

/* An engine with the participants. */
typedef struct rig {
    etx_http_options options; /* set before rig_start but for size and allow, if there is none */
    const char *home;         /* NULL: memory */
    uint32_t shards;
    etx_http *http;
    etx_engine *engine;
    pthread_mutex_t lock;
    char reason[RIG_REASONS_MAX][ETX_REASON_MAX + 1]; /* of unknown calls */
    unsigned reasons;
} rig;

void rig_start(rig *self);
void rig_stop(rig *self, etx_close_mode mode);
/* Did an unknown call say that? */
int rig_said(rig *self, const char *text);

/* Adds a branch whose operations all are `url` followed by `path`. */
void rig_add(etx_tx *tx,
             const char *participant,
             const char *name,
             const char *url,
             const char *path,
             const char *undo_path);
/* The same with a limit for each call; that of the others is 2,000. */
void rig_add_timed(etx_tx *tx,
                   const char *participant,
                   const char *name,
                   const char *url,
                   const char *path,
                   const char *undo_path,
                   uint32_t timeout_ms);
etx_tx *rig_tx(rig *self, const char *gid);
/* One saga step. Its state at the end. */
etx_state rig_run(rig *self, const char *url, const char *path, etx_outcome *outcome);
etx_state rig_wait(rig *self, const char *gid);
void rig_must(int rc, const char *what);

#endif
