/* The worker pool: threads for callbacks that may block. */
#include <string.h>
#include <time.h>

#include "shard.h"

/* A callback may itself wait for the engine: a branch that is a transaction runs it, and the
 * child's participants are on this pool too. If all workers were in such calls, none would be left
 * for what they wait for. So a worker that waits inside the engine does not count: another thread
 * takes its place while something is queued and nobody is idle. These extra threads end when there
 * are enough without them.
 *
 * Threads have a bound, and who waits must not have them all. A call is as deep as its
 * transaction: one deeper than the callback that waits for that. The deepest call is made first,
 * and each depth has threads that none above it may have: so what runs deepest finds one for what
 * it waits for, and ends, and then the next, however many were begun above. */
enum {
    EXTRA_TIMES = 16,    /* so many threads for each of etx_options.workers */
    EXTRA_MOST = 1024,   /* ... and not more than this */
    EXTRA_IDLE_MS = 200, /* so long an extra thread stays with nothing to do */
    LEVELS = 8           /* so many depths beneath the first have threads of their own */
};

/* Calls of one depth that wait for a thread, the oldest first: a ring. */
typedef struct depth_line {
    etx__due *ring;
    uint32_t first, count, room;
} depth_line;

/* A call that a worker makes now: on its stack. */
typedef struct running {
    struct running *next, **link;
    const etx__due *due;
    uint64_t until_us; /* then its timeout is over */
    pthread_t thread;
} running;

struct etx__worker_pool {
    etx_engine *engine;
    pthread_mutex_t lock;
    pthread_cond_t work;
    pthread_cond_t idle;
    depth_line line[LEVELS + 1]; /* the last is of all that are deeper, too */
    uint32_t count;              /* in all of them */
    struct running *calls;       /* whose callbacks have not returned */
    _Atomic uint32_t running;    /* so many; written with the lock held */
    uint32_t threads;
    uint32_t waiting;  /* for a call */
    uint32_t inside;   /* whose callbacks wait for the engine */
    uint32_t limit;    /* of threads, those inside included */
    uint32_t level;    /* so many of them each depth has for itself */
    uint32_t started;  /* threads, ever: for their names */
    uint32_t ordinary; /* threads that are not extra: at most etx_options.workers, and stay */
    uint8_t stopping;
    uint8_t stuck; /* it was told that all hang */
};

static void limit_set(etx__worker_pool *pool, uint32_t workers) {
    enum { OTHERS = EXTRA_TIMES - 1 };
    uint32_t limit = workers > EXTRA_MOST / EXTRA_TIMES ? EXTRA_MOST : workers * EXTRA_TIMES;
    pool->limit = limit > workers + OTHERS ? limit : workers + OTHERS;
    pool->level = (pool->limit - workers) / OTHERS;
}

static void pool_free(etx_engine *engine, etx__worker_pool *pool) {
    for (uint32_t depth = 0; depth <= LEVELS; depth++) {
        const depth_line *line = &pool->line[depth];
        etx__engine_release(engine, line->ring, line->room * sizeof *line->ring);
    }
    pthread_mutex_destroy(&pool->lock);
    pthread_cond_destroy(&pool->work);
    pthread_cond_destroy(&pool->idle);
    etx__engine_release(engine, pool, sizeof *pool);
}

static depth_line *line_of(etx__worker_pool *pool, uint8_t depth) {
    return &pool->line[depth < LEVELS ? depth : LEVELS];
}

/* The deepest one, from which a call may be made now; NULL: none. Where there is no thread for the
 * deepest there is none for the others. */
static depth_line *line_next(etx__worker_pool *pool) {
    uint32_t most = pool->limit;
    uint32_t depth = LEVELS;
    while (depth > 0 && pool->line[depth].count == 0) {
        depth--;
        most -= pool->level;
    }
    return pool->line[depth].count > 0 && pool->running < most ? &pool->line[depth] : NULL;
}

static int line_grow(const etx__worker_pool *pool, depth_line *line) {
    enum { ROOM_FIRST = 256 };
    uint32_t room = line->room > 0 ? line->room * 2 : ROOM_FIRST;
    etx__due *ring = etx__engine_alloc(pool->engine, room * sizeof *ring);
    if (ring == NULL) {
        return ETX_ENOMEM;
    }
    for (uint32_t i = 0; i < line->count; i++) {
        ring[i] = line->ring[(line->first + i) & (line->room - 1)];
    }
    etx__engine_release(pool->engine, line->ring, line->room * sizeof *ring);
    line->ring = ring;
    line->first = 0;
    line->room = room;
    return 0;
}

static int line_push(etx__worker_pool *pool, const etx__due *due) {
    depth_line *line = line_of(pool, due->call.depth);
    if (line->count == line->room && line_grow(pool, line) != 0) {
        return ETX_ENOMEM;
    }
    line->ring[(line->first + line->count++) & (line->room - 1)] = *due;
    pool->count++;
    return 0;
}

static etx__due line_take(etx__worker_pool *pool, depth_line *line) {
    etx__due due = line->ring[line->first];
    line->first = (line->first + 1) & (line->room - 1);
    line->count--;
    pool->count--;
    if (line->count == 0) {
        line->first = 0; /* so that a long queue's memory is not walked through for ever */
    }
    return due;
}

/* More than `workers` that do not wait inside the engine. */
static int too_many(const etx__worker_pool *pool) {
    return pool->threads - pool->inside > pool->engine->options.workers;
}

/* Waits for something to do. 0: an extra thread that is not needed any more. */
static int await_work(etx__worker_pool *pool, int extra) {
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += EXTRA_IDLE_MS * 1000000l;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    while (line_next(pool) == NULL && !pool->stopping) {
        if (!extra) {
            pthread_cond_wait(&pool->work, &pool->lock);
        } else if (too_many(pool) ||
                   pthread_cond_timedwait(&pool->work, &pool->lock, &until) != 0) {
            return line_next(pool) != NULL && !pool->stopping;
        }
    }
    return !pool->stopping;
}

static int next_call(etx__worker_pool *pool, int extra, etx__due *ret_due) {
    if (extra && too_many(pool)) {
        return 0;
    }
    pool->waiting++;
    int more = await_work(pool, extra);
    pool->waiting--;
    if (!more) {
        return 0;
    }
    *ret_due = line_take(pool, line_next(pool));
    return 1;
}

/* Without memory for its answer no call is made. NULL: the pool stops. */
static etx__reply *spare_or_wait(etx__worker_pool *pool) {
    etx__reply *spare = etx__reply_spare(pool->engine);
    while (spare == NULL && !pool->stopping) {
        pthread_mutex_unlock(&pool->lock);
        etx__pause_us(1000);
        pthread_mutex_lock(&pool->lock);
        spare = etx__reply_spare(pool->engine);
    }
    return spare;
}

static void call_begins(etx__worker_pool *pool, running *call, const etx__due *due) {
    call->until_us = etx__clock_us() + (uint64_t)due->call.timeout_ms * 1000;
    call->due = due;
    call->thread = pthread_self();
    call->next = pool->calls;
    call->link = &pool->calls;
    if (call->next != NULL) {
        call->next->link = &call->next;
    }
    pool->calls = call;
    pool->running++;
}

static void call_ends(etx__worker_pool *pool, const running *call) {
    *call->link = call->next;
    if (call->next != NULL) {
        call->next->link = call->link;
    }
    pool->running--;
    pool->stuck = 0;
}

static int worker_turn(void *argument);

/* Threads are started as they are needed, up to the limit. With the lock held. */
static void start_if_needed(etx__worker_pool *pool) {
    etx_engine *engine = pool->engine;
    pthread_t thread;
    if (pool->waiting >= pool->count || pool->stopping || line_next(pool) == NULL ||
        pool->threads >= pool->limit || pool->threads - pool->inside >= engine->options.workers) {
        return;
    }
    etx__engine_hold(engine);
    if (etx__thread_start(&engine->allocator, &thread, "etx-work", pool->started, worker_turn,
                          pool) != 0) {
        atomic_fetch_sub(&engine->holders, 1);
        /* Where none will come back and take what waits, the shards try again. */
        atomic_store(&engine->workers_lack, pool->threads == pool->inside);
        return;
    }
    etx__thread_detach(thread);
    pool->started++;
    pool->threads++;
}

/* More may be made now than before. With the lock held. */
static void wake_next(etx__worker_pool *pool) {
    start_if_needed(pool);
    if (pool->waiting > 0 && line_next(pool) != NULL) {
        pthread_cond_signal(&pool->work);
    }
}

static int worker_turn(void *argument) {
    etx__worker_pool *pool = argument;
    etx_engine *engine = pool->engine;
    etx__due due;
    etx__reply *spare;
    pthread_mutex_lock(&pool->lock);
    int extra = ++pool->ordinary > engine->options.workers;
    pool->ordinary -= (uint32_t)extra;
    while ((spare = spare_or_wait(pool)) != NULL) {
        if (!next_call(pool, extra, &due)) {
            etx__reply_free(engine, spare);
            break;
        }
        running call;
        call_begins(pool, &call, &due);
        pthread_mutex_unlock(&pool->lock);
        etx__call_run_worker(engine, &due, spare);
        pthread_mutex_lock(&pool->lock);
        call_ends(pool, &call);
    }
    pool->threads--;
    wake_next(pool); /* its last call may have kept others from being made */
    pthread_cond_broadcast(&pool->idle);
    pthread_mutex_unlock(&pool->lock);
    etx__engine_drop(engine);
    return 0;
}

int etx__workers_start(etx_engine *engine) {
    etx__worker_pool *pool = etx__engine_alloc(engine, sizeof *pool);
    if (pool == NULL) {
        return ETX_ENOMEM;
    }
    pool->engine = engine;
    limit_set(pool, engine->options.workers);
    if (line_grow(pool, &pool->line[0]) != 0) {
        etx__engine_release(engine, pool, sizeof *pool);
        return ETX_ENOMEM;
    }
    pthread_mutex_init(&pool->lock, NULL);
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&pool->work, &monotonic);
    pthread_cond_init(&pool->idle, &monotonic);
    pthread_condattr_destroy(&monotonic);
    engine->workers = pool;
    return 0;
}

int etx__workers_give(etx_engine *engine, const etx__due *due) {
    etx__worker_pool *pool = engine->workers;
    pthread_mutex_lock(&pool->lock);
    if (line_push(pool, due) != 0) {
        pthread_mutex_unlock(&pool->lock);
        return ETX_ENOMEM;
    }
    start_if_needed(pool);
    int wake = pool->waiting > 0;
    pthread_mutex_unlock(&pool->lock);
    if (wake) {
        pthread_cond_signal(&pool->work);
    }
    return 0;
}

/* Is every worker in a call that is past its timeout? Once for as long as it lasts. */
static int stuck_now(etx__worker_pool *pool) {
    uint64_t now = etx__clock_us();
    int full = pool->count > 0 && line_next(pool) == NULL;
    if (pool->stuck || (!full && pool->running < pool->engine->options.workers + pool->inside)) {
        return 0;
    }
    for (const running *call = pool->calls; call != NULL; call = call->next) {
        if (call->until_us > now) {
            return 0;
        }
    }
    pool->stuck = 1;
    return 1;
}

void etx__workers_watch(etx_engine *engine) {
    etx__worker_pool *pool = engine->workers;
    pthread_mutex_lock(&pool->lock);
    int stuck = stuck_now(pool);
    int inside = pool->inside == pool->running;
    pthread_mutex_unlock(&pool->lock);
    if (stuck) {
        etx_event event = {.size = sizeof event, .type = ETX_EVENT_WORKERS_STUCK};
        event.reason =
            inside ? "every callback on the worker threads waits for the engine, and has not "
                     "returned in time: what is queued finds no thread. Are transactions nested "
                     "too deep, or workers too few?"
                   : "every worker thread is in a callback that has not returned in time: no "
                     "other is called until one returns";
        etx__monitor_tell(engine, &event);
    }
}

void etx__workers_again(etx_engine *engine) {
    etx__worker_pool *pool = engine->workers;
    pthread_mutex_lock(&pool->lock);
    atomic_store(&engine->workers_lack, 0);
    start_if_needed(pool);
    pthread_mutex_unlock(&pool->lock);
}

uint32_t etx__workers_stop(etx_engine *engine, uint64_t until_us) {
    etx__worker_pool *pool = engine->workers;
    struct timespec until = {(time_t)(until_us / 1000000), (long)(until_us % 1000000) * 1000};
    if (pool == NULL) {
        return 0;
    }
    pthread_mutex_lock(&pool->lock);
    pool->stopping = 1;
    pthread_cond_broadcast(&pool->work);
    int rc = 0;
    while (pool->threads > 0 && (rc == 0 || pool->running == 0)) { /* the idle ones leave at once */
        rc = rc == 0 ? pthread_cond_timedwait(&pool->idle, &pool->lock, &until)
                     : pthread_cond_wait(&pool->idle, &pool->lock);
    }
    uint32_t left = pool->running;
    for (uint8_t depth = 0; depth <= LEVELS; depth++) {
        while (pool->line[depth].count > 0) { /* never made */
            etx__due due = line_take(pool, &pool->line[depth]);
            etx__memory_return(due.partition, due.memory);
        }
    }
    pthread_mutex_unlock(&pool->lock);
    return left;
}

int etx__workers_busy(const etx_engine *engine) {
    etx__worker_pool *pool = engine->workers;
    pthread_mutex_lock(&pool->lock);
    int busy = pool->running > 0;
    pthread_mutex_unlock(&pool->lock);
    return busy;
}

void etx__workers_free(etx_engine *engine) {
    if (engine->workers != NULL) {
        pool_free(engine, engine->workers);
        engine->workers = NULL;
    }
}

/* Finds this thread's own call; the pool's lock is held if there is one. */
static const running *lock_own(etx__worker_pool *pool) {
    const running *call;
    if (pool == NULL || atomic_load_explicit(&pool->running, memory_order_relaxed) == 0) {
        return NULL; /* this thread would have seen its own call */
    }
    pthread_mutex_lock(&pool->lock);
    call = pool->calls;
    while (call != NULL && !pthread_equal(call->thread, pthread_self())) {
        call = call->next;
    }
    if (call == NULL) {
        pthread_mutex_unlock(&pool->lock);
    }
    return call;
}

int etx__workers_inside(const etx_engine *engine) {
    int inside = lock_own(engine->workers) != NULL;
    if (inside) {
        pthread_mutex_unlock(&engine->workers->lock);
    }
    return inside;
}

/* Its own transaction is not deeper than the callback that speaks of it; but its initiator's call
 * is above its branches. */
static uint8_t depth_beneath(const etx__call *call, const char *gid) {
    int own = call->branch != NULL && strcmp(call->gid, gid) == 0;
    return (uint8_t)(call->depth + (own || call->depth == UINT8_MAX ? 0 : 1));
}

uint8_t etx__workers_depth(const etx_engine *engine, const char *gid) {
    const running *call = lock_own(engine->workers);
    uint8_t depth = 0;
    if (call != NULL) {
        depth = depth_beneath(&call->due->call, gid);
        pthread_mutex_unlock(&engine->workers->lock);
    }
    return depth;
}

void etx__workers_raise(etx_engine *engine, const etx__tx *tx, uint8_t depth) {
    etx__worker_pool *pool = engine->workers;
    pthread_mutex_lock(&pool->lock);
    for (depth_line *from = pool->line; from < line_of(pool, depth); from++) {
        for (uint32_t left = from->count; left > 0; left--) { /* each to the end of its line */
            etx__due due = line_take(pool, from);
            uint8_t before = due.call.depth;
            due.call.depth = due.call.tx == tx && due.call.branch != NULL ? depth : before;
            if (line_push(pool, &due) != 0) {
                due.call.depth = before; /* it has room where it was */
                (void)line_push(pool, &due);
            }
        }
    }
    wake_next(pool);
    pthread_mutex_unlock(&pool->lock);
}

void etx__workers_wait_begins(etx_engine *engine) {
    etx__worker_pool *pool = engine->workers;
    pthread_mutex_lock(&pool->lock);
    pool->inside++;
    start_if_needed(pool);
    pthread_mutex_unlock(&pool->lock);
}

void etx__workers_wait_ends(etx_engine *engine) {
    etx__worker_pool *pool = engine->workers;
    pthread_mutex_lock(&pool->lock);
    pool->inside--;
    pthread_mutex_unlock(&pool->lock);
}
