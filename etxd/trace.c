/* Traces: one span for each transaction, from begin to end, and one for each call below it.
 *
 * A call's span has the name that the participant was given in `traceparent`, and a transaction's
 * one that follows from its gid; so neither must be remembered. What must be is kept of so many
 * transactions as are young enough: whose trace they are in, and when they were begun and decided.
 * Of one that was pushed out, or that an earlier process began, the event of its end still tells
 * the begin, and a call that is made tells whose trace it is in.
 *
 * Lines of the log name the trace too. So whose trace a transaction is in is kept without a
 * collector as well, of those that are in another's. */
#include "trace.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { KEPT = 16384, BUCKETS = 32768, SAMPLED = 1 };

typedef struct kept {
    struct kept *next; /* in its bucket */
    uint64_t begun_us, decided_us;
    int over; /* it has ended: what begins under its gid is another one */
    char caller[56];
    char gid[ETX_GID_MAX + 1]; /* "": not used */
} kept;

struct etxd_trace {
    etxd_trace_queue *queue; /* NULL: no collector is set */
    pthread_mutex_t lock;
    kept *bucket[BUCKETS];
    kept ring[KEPT]; /* the oldest gives way */
    size_t at;
};

static uint64_t now_us(void) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

int etxd_trace_create(const etxd_config *config,
                      etxd_log *log,
                      etxd_trace **ret_trace,
                      char *message) {
    etxd_trace *trace;
    *ret_trace = NULL;
    trace = calloc(1, sizeof *trace);
    if (trace == NULL) {
        snprintf(message, ETXD_MESSAGE_MAX, "no memory for traces");
        return -1;
    }
    if (config->trace_url[0] != '\0' &&
        etxd_trace_queue_create(config, log, &trace->queue, message) != 0) {
        free(trace);
        return -1;
    }
    pthread_mutex_init(&trace->lock, NULL);
    *ret_trace = trace;
    return 0;
}

void etxd_trace_free(etxd_trace *trace) {
    if (trace != NULL) {
        if (trace->queue != NULL) {
            etxd_trace_queue_free(trace->queue);
        }
        pthread_mutex_destroy(&trace->lock);
        free(trace);
    }
}

etxd_trace_counts etxd_trace_count(etxd_trace *trace) {
    return trace->queue != NULL ? etxd_trace_queue_count(trace->queue) : (etxd_trace_counts){0};
}

/* ---- what is kept: under the lock */

static kept **bucket_of(etxd_trace *trace, const char *gid) {
    return &trace->bucket[etxd_hash(gid) % BUCKETS];
}

/* The link that leads to it, or to NULL. */
static kept **find(etxd_trace *trace, const char *gid) {
    kept **link = bucket_of(trace, gid);
    while (*link != NULL && strcmp((*link)->gid, gid) != 0) {
        link = &(*link)->next;
    }
    return link;
}

static void forget(etxd_trace *trace, const char *gid) {
    kept **link = find(trace, gid);
    kept *one = *link;
    if (one != NULL) {
        *link = one->next;
        one->gid[0] = '\0';
    }
}

static kept *keep(etxd_trace *trace, const char *gid) {
    kept *one = *find(trace, gid);
    kept **link;
    if (one != NULL) {
        return one;
    }
    one = &trace->ring[trace->at++ % KEPT];
    if (one->gid[0] != '\0') {
        forget(trace, one->gid);
    }
    link = bucket_of(trace, gid);
    *one = (kept){.next = *link};
    snprintf(one->gid, sizeof one->gid, "%s", gid);
    *link = one;
    return one;
}

/* Its trace is the one of who begins it; the first that is heard of, where that is not known. */
static void keep_caller(kept *one, const char *caller) {
    if (caller[0] != '\0' && (one->caller[0] == '\0' || one->begun_us == 0)) {
        snprintf(one->caller, sizeof one->caller, "%s", caller);
        one->over = 0;
    }
}

static void keep_begun(kept *one) {
    if (one->over) {
        one->caller[0] = '\0';
    }
    one->over = 0;
    one->begun_us = now_us();
}

/* What it was is given back; whose trace it is in stays, for who asks. */
static kept keep_ended(kept *one) {
    kept was = *one;
    one->begun_us = one->decided_us = 0;
    one->over = 1;
    return was;
}

/* ---- names */

/* Whoever has a trace says whether it is recorded; others are. */
static int is_sampled(const char *caller) {
    return strlen(caller) != 55 || (strtoul(caller + 53, NULL, 16) & SAMPLED) != 0;
}

static void read_name(const char *traceparent, etxd_trace_name *ret) {
    *ret = (etxd_trace_name){"", ""};
    if (strlen(traceparent) == 55) {
        memcpy(ret->trace, traceparent + 3, 32);
        memcpy(ret->span, traceparent + 36, 16);
    }
}

/* The name of a transaction's span, in its caller's trace or in one that follows from the gid. */
static void name_transaction(const char *gid, const char *caller, etxd_trace_name *ret) {
    char traceparent[56] = "";
    (void)etx_http_traceparent(caller[0] != '\0' ? caller : NULL, gid, "", "transaction", 0,
                               traceparent);
    read_name(traceparent, ret);
}

/* ---- spans */

void etxd_trace_caller(etxd_trace *trace, const char *gid, const char *traceparent) {
    if (traceparent[0] == '\0') {
        return;
    }
    pthread_mutex_lock(&trace->lock);
    keep_caller(keep(trace, gid), traceparent);
    pthread_mutex_unlock(&trace->lock);
}

static void put_transaction(etxd_trace *trace, const etx_event *event, const kept *one) {
    etxd_trace_name caller;
    etxd_trace_span span = {.began_us = one->begun_us != 0 ? one->begun_us : event->begin_ms * 1000,
                            .decided_us = one->decided_us,
                            .ended_us = now_us(),
                            .state = event->state,
                            .durability = event->durability};
    if (!is_sampled(one->caller)) {
        return;
    }
    name_transaction(event->gid, one->caller, &span.name);
    read_name(one->caller, &caller);
    memcpy(span.parent, caller.span, sizeof span.parent);
    snprintf(span.gid, sizeof span.gid, "%s", event->gid);
    snprintf(span.home, sizeof span.home, "%s", event->home);
    etxd_trace_queue_put(trace->queue, &span);
}

void etxd_trace_event(etxd_trace *trace, const etx_event *event) {
    kept one = {0};
    if (trace->queue == NULL || event->type > ETX_EVENT_ENDED) {
        return;
    }
    pthread_mutex_lock(&trace->lock);
    if (event->type == ETX_EVENT_BEGUN) {
        keep_begun(keep(trace, event->gid));
    } else if (event->type == ETX_EVENT_DECIDED) {
        keep(trace, event->gid)->decided_us = now_us();
    } else if (*find(trace, event->gid) != NULL) {
        one = keep_ended(*find(trace, event->gid));
    }
    pthread_mutex_unlock(&trace->lock);
    if (event->type == ETX_EVENT_ENDED) {
        put_transaction(trace, event, &one);
    }
}

/* The transaction's span in the call's trace; the caller of the branch, if that is another one. */
static void set_parent(etxd_trace_span *span, const char *transaction, const char *caller) {
    etxd_trace_name root, own;
    name_transaction(span->gid, transaction, &root);
    if (strcmp(root.trace, span->name.trace) == 0) {
        memcpy(span->parent, root.span, sizeof span->parent);
        return;
    }
    read_name(caller, &own);
    memcpy(span->parent, own.span, sizeof span->parent);
    span->linked_to = root;
}

/* Whose trace the transaction of a call is in; that of the call, if nobody has said it. */
static void note_caller(etxd_trace *trace, const etx_http_report *report, char *ret_caller) {
    kept *one;
    pthread_mutex_lock(&trace->lock);
    one = keep(trace, report->gid);
    keep_caller(one, one->caller[0] == '\0' ? report->caller : "");
    memcpy(ret_caller, one->caller, sizeof one->caller);
    pthread_mutex_unlock(&trace->lock);
}

void etxd_trace_report(const etx_http_report *report, void *user) {
    etxd_trace *trace = user;
    char transaction[56];
    etxd_trace_span span = {.attempt = report->attempt,
                            .status = report->status,
                            .reply = report->reply,
                            .ended_us = now_us()};
    span.began_us = span.ended_us - report->took_us;
    note_caller(trace, report, transaction);
    if (trace->queue == NULL || !is_sampled(report->caller)) {
        return;
    }
    read_name(report->traceparent, &span.name);
    snprintf(span.gid, sizeof span.gid, "%s", report->gid);
    snprintf(span.branch, sizeof span.branch, "%s", report->branch);
    snprintf(span.operation, sizeof span.operation, "%s", report->operation);
    snprintf(span.target, sizeof span.target, "%s", report->target);
    snprintf(span.reason, sizeof span.reason, "%s", report->reason);
    set_parent(&span, transaction, report->caller);
    etxd_trace_queue_put(trace->queue, &span);
}

/* ---- lines of the log */

void etxd_trace_of(etxd_trace *trace, etx_http *http, const char *gid, char ret_trace[33]) {
    etxd_trace_name name = {"", ""};
    char caller[56] = "";
    const kept *one;
    pthread_mutex_lock(&trace->lock);
    one = *find(trace, gid);
    if (one != NULL) {
        memcpy(caller, one->caller, sizeof caller);
    }
    pthread_mutex_unlock(&trace->lock);
    if (caller[0] != '\0') {
        read_name(caller, &name);
    } else if (http == NULL) {
        name_transaction(gid, "", &name);
    } else {
        (void)etx_http_trace(http, gid, name.trace);
    }
    memcpy(ret_trace, name.trace, sizeof name.trace);
}
