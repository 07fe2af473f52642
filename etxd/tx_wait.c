/* Waiting for what becomes of a transaction, but no longer than who asked wants to. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "tx.h"

/* The engine calls back when what it was told to wait for is reached, however long that takes. A
 * timer ends the waiting: the engine is then asked how far it is, and that is the answer. If even
 * asking takes long (the log does not answer), the answer is *unknown*. The exchange belongs to
 * whichever answers first; this struct lives until all are through. */

enum { GRACE_MS = 2000, NO_WAIT_MS = 10000 };

struct etxd_waiting {
    net_task done_task;
    net_task query_task;
    net_timer timer;
    etxd *server;
    etxd_exchange *x;            /* NULL: it is answered */
    etxd_waiting *next, **place; /* in the server's list, until it is answered */
    uint64_t until_ms;
    int done, querying;
    int done_rc, query_rc;
    etx_outcome done_outcome, query_outcome;
    pthread_mutex_t lock; /* of these two, while the engine may give it another gid */
    int told;             /* the exchange answers with the gid: it stays */
    char gid[ETX_GID_MAX + 1];
    char traceparent[56]; /* of who begins it */
};

#define WAITING_OF(part, member) \
    ((etxd_waiting *)(void *)((char *)(part)-offsetof(etxd_waiting, member)))

/* What the engine or a path gives fits. */
static void set_gid(etxd_waiting *one, const char *gid) {
    size_t len = strnlen(gid, ETX_GID_MAX);
    memcpy(one->gid, gid, len);
    one->gid[len] = '\0';
}

static void unlink_waiting(etxd_waiting *one) {
    *one->place = one->next;
    if (one->next != NULL) {
        one->next->place = one->place;
    }
}

static void answer_with(etxd_waiting *one, int rc, const etx_outcome *outcome) {
    etxd_exchange *x = one->x;
    one->x = NULL;
    unlink_waiting(one);
    net_timer_stop(one->server->loop, &one->timer);
    x->apart = 1;
    x->rc = rc;
    x->outcome = *outcome;
    if (x->outcome.gid[0] == '\0') {
        memcpy(x->outcome.gid, one->gid, sizeof one->gid);
    }
    etxd_wait_end(x);
    etxd_answer_outcome(x);
}

static void free_waiting(etxd_waiting *one) {
    pthread_mutex_destroy(&one->lock);
    free(one);
}

static void end_waiting(etxd_waiting *one) {
    if (one->x == NULL && one->done && !one->querying) {
        free_waiting(one);
    }
}

static void take_done(net_task *task) {
    etxd_waiting *one = WAITING_OF(task, done_task);
    one->done = 1;
    if (one->x != NULL) {
        answer_with(one, one->done_rc, &one->done_outcome);
    }
    end_waiting(one);
}

int etxd_waiting_named(const char *gid, void *user) {
    etxd_waiting *one = user;
    int told;
    pthread_mutex_lock(&one->lock);
    told = one->told;
    if (!told) {
        set_gid(one, gid);
    }
    pthread_mutex_unlock(&one->lock);
    if (!told) {
        etxd_trace_caller(one->server->trace, gid, one->traceparent);
    }
    return told;
}

void etxd_waiting_done(int rc, const etx_outcome *outcome, void *user) {
    etxd_waiting *one = user;
    one->done_rc = rc;
    one->done_outcome = *outcome;
    net_loop_post(one->server->loop, &one->done_task);
}

static void take_query(net_task *task) {
    etxd_waiting *one = WAITING_OF(task, query_task);
    one->querying = 0;
    if (one->x != NULL) {
        /* Not known yet, though the engine has it: it may still be waited for. */
        answer_with(one, one->query_rc == 0 ? 0 : ETX_EUNKNOWN, &one->query_outcome);
    }
    end_waiting(one);
}

static void on_query(int rc, const etx_outcome *outcome, void *user) {
    etxd_waiting *one = user;
    one->query_rc = rc;
    one->query_outcome = *outcome;
    net_loop_post(one->server->loop, &one->query_task);
}

static void on_timer(net_timer *timer) {
    static const etx_outcome nothing = ETX_OUTCOME_INIT;
    etxd_waiting *one = WAITING_OF(timer, timer);
    if (one->querying) {
        answer_with(one, ETX_EUNKNOWN, &nothing);
        return;
    }
    /* Whoever waits no longer must be able to ask: so the gid is fixed now. */
    pthread_mutex_lock(&one->lock);
    one->told = 1;
    pthread_mutex_unlock(&one->lock);
    one->querying = etx_query_async(one->server->engine, one->gid, on_query, one) == 0;
    net_timer_start(one->server->loop, timer, GRACE_MS);
}

etxd_waiting *etxd_waiting_new(etxd_exchange *x, const char *gid) {
    etxd_waiting *one;
    if (etxd_wait_begin(x) != 0) {
        return NULL;
    }
    one = calloc(1, sizeof *one);
    if (one == NULL) {
        etxd_wait_end(x);
        (void)etxd_problem_set(&x->problem, ETXD_MEMORY_PROBLEM, "no memory");
        return NULL;
    }
    pthread_mutex_init(&one->lock, NULL);
    one->server = x->server;
    one->x = x;
    one->done_task.run = take_done;
    one->query_task.run = take_query;
    one->timer.fire = on_timer;
    one->until_ms = net_loop_now_ms(x->server->loop) + (x->wait_ms > 0 ? x->wait_ms : NO_WAIT_MS);
    one->told = gid[0] != '\0';
    set_gid(one, gid);
    memcpy(one->traceparent, x->traceparent, sizeof one->traceparent);
    one->next = x->server->waitings;
    one->place = &x->server->waitings;
    if (one->next != NULL) {
        one->next->place = &one->next;
    }
    x->server->waitings = one;
    return one;
}

void etxd_waiting_begin(etxd_waiting *one) {
    uint64_t now = net_loop_now_ms(one->server->loop);
    net_timer_start(one->server->loop, &one->timer, one->until_ms - now + 1);
}

void etxd_waiting_undo(etxd_waiting *one) {
    unlink_waiting(one);
    etxd_wait_end(one->x);
    free_waiting(one);
}

void etxd_waiting_hurry(etxd *server, uint64_t ms) {
    uint64_t until = net_loop_now_ms(server->loop) + ms;
    etxd_waiting *one;
    for (one = server->waitings; one != NULL; one = one->next) {
        if (one->until_ms > until) {
            one->until_ms = until;
            net_timer_start(server->loop, &one->timer, ms + 1);
        }
    }
}
