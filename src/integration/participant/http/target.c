/* A target's room: how many calls it is given at once, who waits, and when it is left alone.
 *
 * Calls wait in the order in which they came. A target that has room and calls that wait stands in
 * a ring; where there is no room for a call of any target more, each of the ring's is given one in
 * turn, so that one that is slow and much asked takes no more than its share.
 *
 * A target whose calls end unknown for a reason of its own (no connection, no answer, 5xx, 429) so
 * many times in a row is left alone for a while: its breaker is open. What waits and what comes is
 * then unknown at once, to be asked again when that time is over; the first that comes then is the
 * probe, and its end says whether all may come again. */
#include "http.h"

#include <stdlib.h>

static uint32_t load(_Atomic uint32_t *number) {
    return atomic_load_explicit(number, memory_order_relaxed);
}

static void count(_Atomic uint64_t *counter) {
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + 1,
                          memory_order_relaxed);
}

static void change(_Atomic uint32_t *gauge, int by) {
    atomic_store_explicit(gauge, load(gauge) + (uint32_t)by, memory_order_relaxed);
}

/* ---- the ring of the hungry */

static void ring_add(etx_http *http, etx__http_target *target) {
    if (target->hungry) {
        return;
    }
    target->hungry = 1;
    target->hungry_next = http->hungry != NULL ? http->hungry->hungry_next : target;
    if (http->hungry != NULL) {
        http->hungry->hungry_next = target;
    }
    http->hungry = target;
}

static etx__http_target *ring_take(etx_http *http) {
    etx__http_target *last = http->hungry;
    etx__http_target *first = last->hungry_next;
    last->hungry_next = first->hungry_next;
    http->hungry = first == last ? NULL : last;
    first->hungry = 0;
    return first;
}

/* ---- the queue */

static void queue_add(etx__http_target *target, etx__http_job *job) {
    job->next = NULL;
    job->previous = target->last;
    *target->last = job;
    target->last = &job->next;
    change(&target->waiting, 1);
}

static void queue_remove(etx__http_target *target, etx__http_job *job) {
    *job->previous = job->next;
    if (job->next != NULL) {
        job->next->previous = job->previous;
    } else {
        target->last = job->previous;
    }
    net_timer_stop(job->http->loop, &job->timer);
    change(&target->waiting, -1);
}

static void reject(etx__http_target *target, etx__http_job *job, uint32_t ms, const char *why) {
    count(&target->rejected);
    etx__http_job_reject(job, ETX_UNSENT, ms, "%s: %s", target->name, why);
}

static void waited_too_long(net_timer *timer) {
    etx__http_job *job = (etx__http_job *)(void *)((char *)timer - offsetof(etx__http_job, timer));
    queue_remove(job->target, job);
    reject(job->target, job, 0, "it was not asked: so many calls to it were under way");
}

void etx__http_target_drop_waiting(etx_http *http) {
    for (etx__http_target *target = http->target; target != NULL; target = target->later) {
        while (target->first != NULL) {
            etx__http_job *job = target->first;
            queue_remove(target, job);
            etx__http_job_drop(job);
        }
    }
}

/* ---- the breaker */

static void open_breaker(etx_http *http, etx__http_target *target) {
    uint32_t ms = load(&http->breaker_open_ms);
    target->open_until_ms = net_loop_now_ms(http->loop) + ms;
    target->probing = 0;
    atomic_store(&target->open, 1);
    while (target->first != NULL) {
        etx__http_job *job = target->first;
        queue_remove(target, job);
        reject(target, job, ms, "it is not well, and left alone for a while");
    }
}

static void close_breaker(etx__http_target *target) {
    target->failures = 0;
    target->probing = 0;
    atomic_store(&target->open, 0);
}

static void learn(etx_http *http,
                  etx__http_target *target,
                  int probe,
                  const etx__http_verdict *verdict) {
    int open = atomic_load(&target->open);
    if (verdict->local) {
        target->probing = probe ? 0 : target->probing;
    } else if (!verdict->ill) {
        close_breaker(target);
    } else if (open ? probe : ++target->failures >= load(&http->breaker_failures)) {
        open_breaker(http, target);
    }
}

/* Is it to be left alone? `*ret_ms`: for how long. A job that may go as a probe is marked. */
static int is_left_alone(etx_http *http,
                         etx__http_target *target,
                         etx__http_job *job,
                         uint32_t *ret_ms) {
    if (!atomic_load(&target->open)) {
        return 0;
    }
    uint64_t now = net_loop_now_ms(http->loop);
    if (now < target->open_until_ms || target->probing) {
        *ret_ms = now < target->open_until_ms ? (uint32_t)(target->open_until_ms - now)
                                              : load(&http->breaker_open_ms);
        return 1;
    }
    target->probing = 1;
    job->probe = 1;
    return 0;
}

/* ---- sending */

static int has_room(etx_http *http, etx__http_target *target) {
    return load(&target->in_flight) < load(&http->target_in_flight_max);
}

static void tally(etx__http_target *target, etx_reply reply) {
    switch (reply) {
        case ETX_DONE:
            count(&target->done);
            break;
        case ETX_REFUSED:
            count(&target->refused);
            break;
        case ETX_WORKING:
            count(&target->working);
            break;
        case ETX_RETRY:
        case ETX_LATER:
        case ETX_UNSENT:
            count(&target->unknown);
            break;
    }
}

/* The call of a job has ended, or could not be sent. */
static void ended(etx__http_job *job, const etx__http_verdict *verdict, etx_bytes result) {
    etx_http *http = job->http;
    etx__http_target *target = job->target;
    int probe = job->probe;
    change(&target->in_flight, -1);
    http->in_flight--;
    tally(target, verdict->reply);
    etx__http_job_end(job, verdict, result);
    learn(http, target, probe, verdict);
    if (target->first != NULL) {
        ring_add(http, target);
    }
}

static void pump(etx_http *http);

static void answered(uint64_t id, const net_result *result, void *user) {
    etx__http_job *job = user;
    etx_http *http = job->http;
    (void)id;
    if (atomic_load(&http->freed)) {
        etx__http_job_drop(job);
        return;
    }
    etx__http_verdict verdict;
    etx__http_judge(result, job->target->name, &verdict);
    etx__http_report_end(job, result->error == 0 ? result->status : 0, &verdict);
    ended(job, &verdict,
          verdict.reply == ETX_DONE ? (etx_bytes){result->body.bytes, result->body.len}
                                    : (etx_bytes){NULL, 0});
    pump(http);
}

static void send_now(etx__http_target *target, etx__http_job *job) {
    etx__http_verdict verdict = {.reply = ETX_RETRY, .local = 1};
    job->http->in_flight++;
    change(&target->in_flight, 1);
    count(&target->calls);
    etx__http_report_begin(job);
    if (etx__http_send(job, answered, &verdict) != 0) {
        ended(job, &verdict, (etx_bytes){NULL, 0});
    }
}

/* Sends what waits, as far as there is room. */
static void pump(etx_http *http) {
    while (http->hungry != NULL && http->in_flight < load(&http->in_flight_max)) {
        etx__http_target *target = ring_take(http);
        if (target->first != NULL && has_room(http, target)) {
            etx__http_job *job = target->first;
            queue_remove(target, job);
            send_now(target, job);
            if (target->first != NULL) {
                ring_add(http, target);
            }
        }
    }
}

void etx__http_target_take(etx__http_target *target, etx__http_job *job) {
    etx_http *http = job->http;
    uint32_t ms = 0;
    job->target = target;
    if (is_left_alone(http, target, job, &ms)) {
        reject(target, job, ms, "it is not well, and left alone for a while");
        return;
    }
    int room = has_room(http, target);
    if (room && target->first == NULL && http->in_flight < load(&http->in_flight_max)) {
        send_now(target, job);
        return;
    }
    uint64_t now = etx__http_clock_ms();
    if (job->probe || load(&target->waiting) >= load(&http->target_queue_max) ||
        now >= job->due_ms) {
        target->probing = job->probe ? 0 : target->probing;
        reject(target, job, 0, "too many calls to it are under way and wait");
        return;
    }
    job->timer.fire = waited_too_long;
    queue_add(target, job);
    net_timer_start(http->loop, &job->timer, job->due_ms - now);
    if (room) {
        ring_add(http, target);
    }
}
