/* Callbacks that may block, and may not return before their timeouts are over: a node's worker
 * pool. It stands in the place of src/runtime/worker.c, as machine.c does of its namesake. What a
 * callback asks of its participant happens when it begins; what it answers is told when it
 * returns, and by then the world may have gone on. */
#include "sim.h"

enum { HANG_US = 7000000 }; /* at most: live.c knows of it */

typedef struct callback {
    struct callback *next;
    etx__worker_pool *pool;
    etx__due due;
    sim_message message;
    etx__reply *spare; /* without it no call is made */
    uint8_t running;
} callback;

struct etx__worker_pool {
    etx_engine *engine;
    sim_node *node;
    callback *first; /* those that wait for a worker, and those that run: the newest first */
    uint32_t count, running;
    uint8_t stopping;
};

int etx__workers_start(etx_engine *engine) {
    etx__worker_pool *pool = etx__engine_alloc(engine, sizeof *pool);
    if (pool == NULL) {
        return ETX_ENOMEM;
    }
    *pool = (etx__worker_pool){.engine = engine, .node = (*sim_current())->running};
    engine->workers = pool;
    return 0;
}

static int is_lost(const callback *call) {
    return call->message.life != call->message.node->life || !call->message.node->up;
}

static void leave(callback *call) {
    callback **at = &call->pool->first;
    while (*at != call) {
        at = &(*at)->next;
    }
    *at = call->next;
    call->pool->count--;
    call->pool->running -= call->running;
}

static void come_back(sim_node *node, void *what) {
    callback *call = what;
    etx_engine *engine = call->pool->engine;
    node->returning = &call->message;
    leave(call);
    etx__call_run_worker(engine, &call->due, call->spare);
    node->returning = NULL;
    etx__engine_drop(engine);
}

static void begin_next(etx__worker_pool *pool);

static void end(sim *s, void *what) {
    callback *call = what;
    sim_node *node = call->message.node;
    if (is_lost(call)) {
        return;
    }
    if (node->paused) {
        sim_at(s, node->paused_until_us - s->now_us + sim_about(s, 100), end, call);
        return;
    }
    etx__worker_pool *pool = call->pool;
    if (sim_node_run(node, come_back, call)) {
        begin_next(pool);
    }
}

/* Nothing is called for a branch beside a callback for it that has not returned. */
static void check_alone(const callback *call) {
    sim *s = call->message.node->world;
    for (const callback *other = call->pool->first; other != NULL; other = other->next) {
        if (other != call && other->due.memory == call->due.memory &&
            other->due.call.tx == call->due.call.tx &&
            other->due.call.place == call->due.call.place) {
            sim_break(s, "one callback at a time for a branch", call->message.truth->gid,
                      "branch %u is called while its callback still runs", call->message.place);
        }
    }
}

static void take_spare(sim_node *node, void *what) {
    callback *call = what;
    (void)node;
    call->spare = etx__reply_spare(call->pool->engine);
}

static void begin(sim *s, void *what) {
    callback *call = what;
    sim_node *node = call->message.node;
    if (is_lost(call) || call->pool->stopping) {
        return;
    }
    if (node->paused) {
        sim_at(s, node->paused_until_us - s->now_us + sim_about(s, 100), begin, call);
        return;
    }
    if (!sim_node_run(node, take_spare, call)) {
        return;
    }
    if (call->spare == NULL) {
        sim_at(s, 1000, begin, call);
        return;
    }
    uint32_t hang_us = sim_below(s, SIM_NET, HANG_US);
    int hangs = sim_bank_begin(&call->message) || sim_happens(s, SIM_HANG);
    if (hangs) {
        sim_say(s, call->message.truth->gid, "%s: the callback of branch %u hangs for %.1f s",
                node->name, call->message.place, (double)hang_us / 1e6);
        s->stats.hangs++;
    }
    sim_at(s, hangs ? hang_us : sim_about(s, 300), end, call);
}

/* Starts the oldest that waits, if a worker is free. */
static void begin_next(etx__worker_pool *pool) {
    callback *oldest = NULL;
    for (callback *call = pool->first; call != NULL; call = call->next) {
        oldest = call->running ? oldest : call;
    }
    if (oldest == NULL || pool->running == pool->engine->options.workers || pool->stopping) {
        return;
    }
    oldest->running = 1;
    pool->running++;
    etx__engine_hold(pool->engine);
    sim *s = pool->node->world;
    sim_at(s, sim_about(s, 20), begin, oldest);
}

int etx__workers_give(etx_engine *engine, const etx__due *due) {
    etx__worker_pool *pool = engine->workers;
    callback *call = sim_alloc(pool->node->world, sizeof *call);
    *call = (callback){.next = pool->first, .pool = pool, .due = *due};
    pool->first = call;
    pool->count++;
    sim_bank_called(pool->node, due, &call->message);
    check_alone(call);
    begin_next(pool);
    return 0;
}

/* Some return in the time that is left; those that do not are left behind, and those that have
 * not begun are not made. */
uint32_t etx__workers_stop(etx_engine *engine, uint64_t until_us) {
    etx__worker_pool *pool = engine->workers;
    callback *next;
    if (pool == NULL) {
        return 0;
    }
    pool->stopping = 1;
    for (callback *call = pool->first; call != NULL; call = next) {
        sim_node *node = pool->node;
        next = call->next;
        if (call->spare == NULL) {
            leave(call);
            etx__memory_return(call->due.partition, call->due.memory);
            if (call->running) {
                etx__engine_drop(engine);
            }
        } else if (until_us > 0 && sim_below(node->world, SIM_NET, 2) == 0) {
            come_back(node, call);
        }
    }
    return pool->running;
}

int etx__workers_busy(const etx_engine *engine) {
    return engine->workers->running > 0;
}

void etx__workers_free(etx_engine *engine) {
    if (engine->workers != NULL) {
        etx__engine_release(engine, engine->workers, sizeof *engine->workers);
        engine->workers = NULL;
    }
}

void etx__workers_watch(etx_engine *engine) {
    (void)engine;
}

/* Nobody waits inside the engine: all requests of the simulation are asynchronous. */
int etx__workers_inside(const etx_engine *engine) {
    (void)engine;
    return 0;
}

uint8_t etx__workers_depth(const etx_engine *engine, const char *gid) {
    (void)engine;
    (void)gid;
    return 0;
}

void etx__workers_raise(etx_engine *engine, const etx__tx *tx, uint8_t depth) {
    (void)engine;
    (void)tx;
    (void)depth;
}

void etx__workers_again(etx_engine *engine) {
    (void)engine;
}

void etx__workers_wait_begins(etx_engine *engine) {
    (void)engine;
}

void etx__workers_wait_ends(etx_engine *engine) {
    (void)engine;
}
