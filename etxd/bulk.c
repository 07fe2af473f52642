/* Orders for many transactions: few at once, on threads of their own, and for no longer than
 * somebody waits for their end. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tx.h"

/* An order is paced, and may take hours. So it has a place here instead of a thread of the pool,
 * and between two transactions it looks whether it is to end: its client has gone, or the server
 * ends. */

enum { PLACES = 2, PAGE = 64, PER_SECOND = 100 };

typedef enum ending { GOES_ON, CLIENT_GONE, TOKEN_GONE, SERVER_ENDS } ending;

/* Free while `request` is NULL. */
typedef struct place {
    net_request *request;
    ending ends;
    int guarded; /* by that token */
    etxd_token token;
} place;

struct etxd_bulk {
    etxd_pool *pool;
    pthread_mutex_t lock;
    pthread_cond_t ended; /* some order is to end */
    place places[PLACES];
};

typedef struct page {
    char gid[PAGE][ETX_GID_MAX + 1];
    unsigned count;
} page;

int etxd_bulk_create(etxd_bulk **ret_bulk) {
    etxd_bulk *bulk = calloc(1, sizeof *bulk);
    pthread_condattr_t attr;
    if (bulk == NULL || etxd_pool_create(PLACES, &bulk->pool) != 0) {
        free(bulk);
        return -1;
    }
    pthread_mutex_init(&bulk->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&bulk->ended, &attr);
    pthread_condattr_destroy(&attr);
    *ret_bulk = bulk;
    return 0;
}

/* Under the lock; NULL: it has none. */
static place *place_of(etxd_bulk *bulk, const net_request *request) {
    size_t i = 0;
    while (i < PLACES && bulk->places[i].request != request) {
        i++;
    }
    return i < PLACES ? &bulk->places[i] : NULL;
}

void etxd_bulk_end(etxd_bulk *bulk) {
    size_t i;
    pthread_mutex_lock(&bulk->lock);
    for (i = 0; i < PLACES; i++) {
        bulk->places[i].ends = SERVER_ENDS;
    }
    pthread_cond_broadcast(&bulk->ended);
    pthread_mutex_unlock(&bulk->lock);
}

void etxd_bulk_judge(etxd_bulk *bulk, const etxd_tokens *tokens) {
    size_t i;
    pthread_mutex_lock(&bulk->lock);
    for (i = 0; i < PLACES; i++) {
        place *one = &bulk->places[i];
        if (one->guarded && one->ends == GOES_ON && !etxd_tokens_have(tokens, &one->token)) {
            one->ends = TOKEN_GONE;
        }
    }
    pthread_cond_broadcast(&bulk->ended);
    pthread_mutex_unlock(&bulk->lock);
}

void etxd_bulk_free(etxd_bulk *bulk) {
    if (bulk == NULL) {
        return;
    }
    etxd_bulk_end(bulk);
    etxd_pool_free(bulk->pool);
    pthread_cond_destroy(&bulk->ended);
    pthread_mutex_destroy(&bulk->lock);
    free(bulk);
}

static void on_gone(net_request *request, void *user) {
    etxd_bulk *bulk = user;
    place *its;
    pthread_mutex_lock(&bulk->lock);
    its = place_of(bulk, request);
    if (its != NULL && its->ends == GOES_ON) {
        its->ends = CLIENT_GONE;
        pthread_cond_broadcast(&bulk->ended);
    }
    pthread_mutex_unlock(&bulk->lock);
}

int etxd_bulk_run(etxd_exchange *x, void (*work)(etxd_exchange *x)) {
    etxd_bulk *bulk = x->server->bulk;
    place *its;
    pthread_mutex_lock(&bulk->lock);
    its = place_of(bulk, NULL);
    if (its != NULL) {
        *its = (place){.request = x->request, .guarded = x->token != NULL};
        if (x->token != NULL) {
            its->token = *x->token;
        }
    }
    pthread_mutex_unlock(&bulk->lock);
    if (its == NULL) {
        return etxd_problem_set(&x->problem, ETXD_BUSY_PROBLEM,
                                "%d orders for many transactions are being carried out, and no "
                                "more than that are at once",
                                PLACES);
    }
    net_request_on_gone(x->request, on_gone, bulk);
    net_request_needs_client(x->request);
    if (etxd_pool_give(bulk->pool, x, work) != 0) {
        pthread_mutex_lock(&bulk->lock);
        its->request = NULL;
        pthread_mutex_unlock(&bulk->lock);
        return -1;
    }
    return 0;
}

/* ---- on a thread of its own */

/* Waits so long, or until the order is to end. */
static ending pause_us(etxd_exchange *x, uint64_t us) {
    etxd_bulk *bulk = x->server->bulk;
    struct timespec until;
    place *its;
    ending ends;
    int rc = 0;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += (time_t)(us / 1000000);
    until.tv_nsec += (long)(us % 1000000) * 1000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    pthread_mutex_lock(&bulk->lock);
    its = place_of(bulk, x->request);
    while (its->ends == GOES_ON && us > 0 && rc == 0) {
        rc = pthread_cond_timedwait(&bulk->ended, &bulk->lock, &until);
    }
    ends = its->ends;
    pthread_mutex_unlock(&bulk->lock);
    return ends;
}

static int end_early(etxd_exchange *x, ending ends, uint64_t count) {
    const char *why = ends == CLIENT_GONE  ? "its client has gone"
                      : ends == TOKEN_GONE ? "its token was taken back"
                                           : "the server is ending";
    const etxd_field fields[] = {{"path", x->path, 0}, {"count", NULL, count}, {"why", why, 0}};
    etxd_log_line(&x->server->log, ETXD_INFO, "an order for many has ended early", fields,
                  sizeof fields / sizeof *fields);
    return etxd_problem_set(
        &x->problem, ends == TOKEN_GONE ? ETXD_BAD_TOKEN_PROBLEM : ETXD_CLOSING_PROBLEM,
        "%s; by then it was done to %llu transactions", why, (unsigned long long)count);
}

static int note_gid(const etx_status *status, void *user) {
    page *to = user;
    memcpy(to->gid[to->count++], status->gid, sizeof status->gid);
    return 0;
}

static int operate(etx_engine *engine, const etxd_bulk_order *order, const char *gid) {
    return order->what == ETX_BULK_RETRY  ? etx_retry(engine, gid)
           : order->what == ETX_BULK_PARK ? etx_park(engine, gid, order->who, order->why)
                                          : etx_resume(engine, gid, order->who, order->why);
}

static int operate_page(etxd_exchange *x,
                        const etxd_bulk_order *order,
                        const page *of,
                        uint64_t *count) {
    uint64_t us = 1000000 / (order->per_second > 0 ? order->per_second : PER_SECOND);
    unsigned i;
    for (i = 0; i < of->count; i++) {
        ending ends = pause_us(x, 0);
        int rc = ends != GOES_ON ? 0 : operate(x->server->engine, order, of->gid[i]);
        if (rc == 0 && ends == GOES_ON) {
            (*count)++;
            ends = pause_us(x, us);
        } else if (rc != 0 && rc != ETX_ESTATE && rc != ETX_ENOTFOUND && rc != ETX_EGONE) {
            return etxd_fail(x, rc, NULL); /* those: it went on by itself meanwhile */
        }
        if (ends != GOES_ON) {
            return end_early(x, ends, *count);
        }
    }
    return 0;
}

static int operate_all(etxd_exchange *x, const etxd_bulk_order *order, uint64_t *count) {
    etx_cursor cursor = {{0, 0}};
    int rc;
    do {
        page found;
        found.count = 0;
        rc = etx_list(x->server->engine, order->filter, &cursor, PAGE, note_gid, &found);
        rc = rc != 0 ? etxd_fail(x, rc, NULL) : operate_page(x, order, &found, count);
    } while (rc == 0 && (cursor.word[0] != 0 || cursor.word[1] != 0));
    return rc;
}

int etxd_bulk_operate(etxd_exchange *x, const etxd_bulk_order *order, uint64_t *ret_count) {
    etxd_bulk *bulk = x->server->bulk;
    int rc = 0;
    *ret_count = 0;
    if (order->filter != NULL) {
        rc = operate_all(x, order, ret_count);
    }
    pthread_mutex_lock(&bulk->lock);
    place_of(bulk, x->request)->request = NULL;
    pthread_mutex_unlock(&bulk->lock);
    return rc;
}
