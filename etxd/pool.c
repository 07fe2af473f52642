/* A few threads for what waits: queries with branches, lists, operating. */
#include <pthread.h>
#include <stdlib.h>

#include "etxd.h"

enum { QUEUE_MAX = 1024 };

struct etxd_pool {
    pthread_mutex_t lock;
    pthread_cond_t more;
    etxd_exchange *first;
    etxd_exchange **last;
    unsigned queued;
    int ending;
    unsigned count;
    pthread_t threads[];
};

static void *work_on(void *user) {
    etxd_pool *pool = user;
    pthread_mutex_lock(&pool->lock);
    for (;;) {
        etxd_exchange *x = pool->first;
        if (x == NULL && pool->ending) {
            break;
        }
        if (x == NULL) {
            pthread_cond_wait(&pool->more, &pool->lock);
            continue;
        }
        pool->first = x->next;
        pool->last = pool->first != NULL ? pool->last : &pool->first;
        pool->queued--;
        pthread_mutex_unlock(&pool->lock);
        x->work(x);
        pthread_mutex_lock(&pool->lock);
    }
    pthread_mutex_unlock(&pool->lock);
    return NULL;
}

int etxd_pool_create(unsigned threads, etxd_pool **ret_pool) {
    etxd_pool *pool = calloc(1, sizeof *pool + threads * sizeof pool->threads[0]);
    if (pool == NULL) {
        return -1;
    }
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->more, NULL);
    pool->last = &pool->first;
    for (pool->count = 0; pool->count < threads; pool->count++) {
        if (pthread_create(&pool->threads[pool->count], NULL, work_on, pool) != 0) {
            etxd_pool_free(pool);
            return -1;
        }
    }
    *ret_pool = pool;
    return 0;
}

int etxd_pool_run(etxd_exchange *x, void (*work)(etxd_exchange *x)) {
    return etxd_pool_give(x->server->pool, x, work);
}

int etxd_pool_give(etxd_pool *pool, etxd_exchange *x, void (*work)(etxd_exchange *x)) {
    int taken = 0;
    net_request_alone(x->request); /* first: it may be answered at once, and is gone then */
    pthread_mutex_lock(&pool->lock);
    if (pool->queued < QUEUE_MAX && !pool->ending) {
        x->work = work;
        x->next = NULL;
        *pool->last = x;
        pool->last = &x->next;
        pool->queued++;
        taken = 1;
        pthread_cond_signal(&pool->more);
    }
    pthread_mutex_unlock(&pool->lock);
    return taken ? 0
                 : etxd_problem_set(&x->problem, ETXD_BUSY_PROBLEM, "%d requests wait for a thread",
                                    QUEUE_MAX);
}

void etxd_pool_free(etxd_pool *pool) {
    unsigned i;
    if (pool == NULL) {
        return;
    }
    pthread_mutex_lock(&pool->lock);
    pool->ending = 1;
    pthread_cond_broadcast(&pool->more);
    pthread_mutex_unlock(&pool->lock);
    for (i = 0; i < pool->count; i++) {
        pthread_join(pool->threads[i], NULL);
    }
    pthread_cond_destroy(&pool->more);
    pthread_mutex_destroy(&pool->lock);
    free(pool);
}

unsigned etxd_pool_queued(etxd_pool *pool) {
    unsigned queued;
    pthread_mutex_lock(&pool->lock);
    queued = pool->queued;
    pthread_mutex_unlock(&pool->lock);
    return queued;
}
