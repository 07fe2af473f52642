/* Traces as OpenTelemetry has them: spans of transactions and of calls, sent to a collector. */
#ifndef ETXD_TRACE_H
#define ETXD_TRACE_H

#include <etx/etx.h>
#include <etx/participant_http.h>

#include "config.h"
#include "log.h"
#include "text.h"

/* Names of a trace and of a span in it, hexadecimal; "": none. */
typedef struct etxd_trace_name {
    char trace[33];
    char span[17];
} etxd_trace_name;

/* A span that is over: of a transaction (branch and operation are ""), or of a call. */
typedef struct etxd_trace_span {
    etxd_trace_name name;
    char parent[17];             /* in the same trace; "": none */
    etxd_trace_name linked_to;   /* of a call in a trace of its own: its transaction */
    uint64_t began_us, ended_us; /* since 1970 */
    char gid[ETX_GID_MAX + 1];
    char reason[ETX_REASON_MAX + 1];
    /* of a call */
    char branch[ETX_NAME_MAX + 1];
    char operation[16];
    char target[ETX_HTTP_TARGET_MAX];
    uint32_t attempt;
    int status; /* 0: no answer */
    etx_reply reply;
    /* of a transaction */
    uint64_t decided_us; /* 0: not by this process */
    etx_state state;
    etx_durability durability;
    char home[ETX_HOME_ID_LEN + 1];
} etxd_trace_span;

typedef struct etxd_trace etxd_trace;
typedef struct etxd_trace_queue etxd_trace_queue;

/* What became of spans; and how many wait. */
typedef struct etxd_trace_counts {
    uint64_t sent, dropped, failed;
    uint64_t queued;
} etxd_trace_counts;

/* ---- trace.c: what makes spans, and names traces. Any thread. */

/* Without a collector it makes no spans. 0, or -1 and a message. */
int etxd_trace_create(const etxd_config *config,
                      etxd_log *log,
                      etxd_trace **ret_trace,
                      char *message);
/* Sends what waits, for a short time; nothing may be told any more. NULL is allowed. */
void etxd_trace_free(etxd_trace *trace);
/* The trace that who begins the gid is in; "": none. */
void etxd_trace_caller(etxd_trace *trace, const char *gid, const char *traceparent);
/* Begun, decided, ended. */
void etxd_trace_event(etxd_trace *trace, const etx_event *event);
/* An etx_http_report_fn; the trace is its user. */
void etxd_trace_report(const etx_http_report *report, void *trace);
/* The transaction's trace: that of its caller, or one that follows from the gid; as its
 * participants are told. `http`, on the loop's thread, may know it; else NULL. */
void etxd_trace_of(etxd_trace *trace, etx_http *http, const char *gid, char ret_trace[33]);
etxd_trace_counts etxd_trace_count(etxd_trace *trace);

/* ---- trace_json.c */

/* A request of OTLP in its JSON encoding. */
void etxd_trace_write(etxd_text *text,
                      const etxd_config *config,
                      const etxd_trace_span *spans,
                      size_t count);

/* ---- trace_post.c: one request, made by one thread */

typedef struct etxd_trace_post etxd_trace_post;
typedef enum etxd_trace_taken {
    ETXD_TRACE_TAKEN,
    ETXD_TRACE_REFUSED, /* and would be again */
    ETXD_TRACE_AGAIN    /* later it may be taken */
} etxd_trace_taken;

/* `is_over` is asked now and then during a request: not 0 gives it up. 0, or -1 and a message. */
int etxd_trace_post_create(const etxd_config *config,
                           int (*is_over)(void *user),
                           void *user,
                           etxd_trace_post **ret_post,
                           char *message);
etxd_trace_taken etxd_trace_post_send(etxd_trace_post *post,
                                      const etxd_text *body,
                                      char *why,
                                      size_t size);
/* NULL is allowed. */
void etxd_trace_post_free(etxd_trace_post *post);

/* ---- trace_send.c: a bounded queue, and the thread that sends it */

int etxd_trace_queue_create(const etxd_config *config,
                            etxd_log *log,
                            etxd_trace_queue **ret_queue,
                            char *message);
/* Copies the span, or counts it as dropped. */
void etxd_trace_queue_put(etxd_trace_queue *queue, const etxd_trace_span *span);
etxd_trace_counts etxd_trace_queue_count(etxd_trace_queue *queue);
void etxd_trace_queue_free(etxd_trace_queue *queue);

#endif
