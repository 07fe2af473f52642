/* Sending spans: a bounded queue that never waits for anybody, and one thread that empties it.
 *
 * Happy path: spans are put, and once some wait the thread gathers for a moment, takes a batch,
 * and posts it. A collector that cannot be reached, or says 429, 502, 503 or 504, is asked again
 * with backoff; meanwhile the queue fills, and what does not fit is dropped and counted. What a
 * collector refuses is counted as failed. At the end what waits is sent as far as a short time
 * allows. */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "trace.h"

enum { BATCH = 256, GATHER_MS = 200, TRIES = 5, PAUSE_FIRST_MS = 500, FLUSH_MS = 2000 };

struct etxd_trace_queue {
    const etxd_config *config;
    etxd_log *log;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    pthread_t thread;
    etxd_trace_span *ring;
    uint64_t size, first, count;
    int stopping;
    uint64_t until_ms; /* stopping: monotonic */
    etxd_trace_counts counts;
    int ailing; /* the last batch was not taken */
    etxd_trace_span batch[BATCH];
    etxd_trace_post *post;
};

static uint64_t now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* Whether what is under way is to be given up. */
static int is_over(void *user) {
    etxd_trace_queue *queue = user;
    int over;
    pthread_mutex_lock(&queue->lock);
    over = queue->stopping && now_ms() >= queue->until_ms;
    pthread_mutex_unlock(&queue->lock);
    return over;
}

/* ---- the thread */

/* Waits, unless it is to stop. Under the lock. */
static void rest(etxd_trace_queue *queue, uint64_t ms) {
    struct timespec until;
    int rc = 0;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += (time_t)(ms / 1000);
    until.tv_nsec += (long)(ms % 1000) * 1000000;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    while (rc != ETIMEDOUT && !queue->stopping) {
        rc = pthread_cond_timedwait(&queue->wake, &queue->lock, &until);
    }
}

/* Into `batch`; 0: it is to end. */
static size_t take_batch(etxd_trace_queue *queue) {
    size_t taken = 0;
    pthread_mutex_lock(&queue->lock);
    while (queue->count == 0 && !queue->stopping) {
        pthread_cond_wait(&queue->wake, &queue->lock);
    }
    if (queue->count < BATCH) {
        rest(queue, GATHER_MS);
    }
    if (queue->stopping && now_ms() >= queue->until_ms) {
        queue->counts.dropped += queue->count;
        queue->count = 0;
    }
    for (; taken < BATCH && queue->count > 0; taken++, queue->count--) {
        queue->batch[taken] = queue->ring[queue->first++ % queue->size];
    }
    pthread_mutex_unlock(&queue->lock);
    return taken;
}

static void tell(etxd_trace_queue *queue, int ailing, const char *why) {
    if (ailing && !queue->ailing) {
        etxd_log_say(queue->log, ETXD_WARNING, "traces are not taken", "why", why);
    } else if (!ailing && queue->ailing) {
        etxd_log_say(queue->log, ETXD_INFO, "traces are taken again", NULL, NULL);
    }
    queue->ailing = ailing;
}

static void send_batch(etxd_trace_queue *queue, size_t count) {
    etxd_text body = {0};
    char why[200] = "no memory";
    uint64_t pause = PAUSE_FIRST_MS;
    etxd_trace_taken got = ETXD_TRACE_REFUSED;
    int tries;
    etxd_trace_write(&body, queue->config, queue->batch, count);
    for (tries = 0; tries < TRIES && !body.failed; tries++, pause *= 2) {
        int stopping;
        got = etxd_trace_post_send(queue->post, &body, why, sizeof why);
        tell(queue, got != ETXD_TRACE_TAKEN, why);
        pthread_mutex_lock(&queue->lock);
        stopping = queue->stopping;
        if (got == ETXD_TRACE_AGAIN && !stopping && tries + 1 < TRIES) {
            rest(queue, pause);
        }
        pthread_mutex_unlock(&queue->lock);
        if (got != ETXD_TRACE_AGAIN || stopping) {
            break;
        }
    }
    etxd_text_free(&body);
    pthread_mutex_lock(&queue->lock);
    *(got == ETXD_TRACE_TAKEN ? &queue->counts.sent : &queue->counts.failed) += count;
    pthread_mutex_unlock(&queue->lock);
}

static void *run(void *user) {
    etxd_trace_queue *queue = user;
    size_t count;
    pthread_setname_np(pthread_self(), "etxd-trace");
    while ((count = take_batch(queue)) > 0) {
        send_batch(queue, count);
    }
    return NULL;
}

/* ---- the queue */

void etxd_trace_queue_put(etxd_trace_queue *queue, const etxd_trace_span *span) {
    pthread_mutex_lock(&queue->lock);
    if (queue->count == queue->size) {
        queue->counts.dropped++;
    } else {
        queue->ring[(queue->first + queue->count++) % queue->size] = *span;
    }
    if (queue->count == 1 || queue->count == BATCH) {
        pthread_cond_signal(&queue->wake);
    }
    pthread_mutex_unlock(&queue->lock);
}

etxd_trace_counts etxd_trace_queue_count(etxd_trace_queue *queue) {
    etxd_trace_counts counts;
    pthread_mutex_lock(&queue->lock);
    counts = queue->counts;
    counts.queued = queue->count;
    pthread_mutex_unlock(&queue->lock);
    return counts;
}

static void free_queue(etxd_trace_queue *queue) {
    etxd_trace_post_free(queue->post);
    pthread_cond_destroy(&queue->wake);
    pthread_mutex_destroy(&queue->lock);
    free(queue->ring);
    free(queue);
}

int etxd_trace_queue_create(const etxd_config *config,
                            etxd_log *log,
                            etxd_trace_queue **ret_queue,
                            char *message) {
    pthread_condattr_t attributes;
    etxd_trace_queue *queue = calloc(1, sizeof *queue);
    if (queue == NULL) {
        snprintf(message, ETXD_MESSAGE_MAX, "no memory for traces");
        return -1;
    }
    queue->config = config;
    queue->log = log;
    queue->size = config->trace_queue;
    pthread_mutex_init(&queue->lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&queue->wake, &attributes);
    pthread_condattr_destroy(&attributes);
    queue->ring = calloc(queue->size, sizeof *queue->ring);
    if (etxd_trace_post_create(config, is_over, queue, &queue->post, message) != 0) {
        free_queue(queue);
        return -1;
    }
    if (queue->ring == NULL || pthread_create(&queue->thread, NULL, run, queue) != 0) {
        snprintf(message, ETXD_MESSAGE_MAX, "no memory, or no thread, for traces");
        free_queue(queue);
        return -1;
    }
    *ret_queue = queue;
    return 0;
}

void etxd_trace_queue_free(etxd_trace_queue *queue) {
    pthread_mutex_lock(&queue->lock);
    queue->stopping = 1;
    queue->until_ms = now_ms() + FLUSH_MS;
    pthread_cond_signal(&queue->wake);
    pthread_mutex_unlock(&queue->lock);
    pthread_join(queue->thread, NULL);
    free_queue(queue);
}
