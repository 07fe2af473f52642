/* Shards: who drives one drains its queue, steps the cores, makes inline calls, puts, and
 * sleeps. */
#include "shard.h"

#include <string.h>

#include "home.h"

/* Whoever holds `drive` is the shard's thread for the time: its own thread, or a caller that
 * waits and found nothing else going on. So a lone caller pays no wake-up: it steps, calls and
 * puts on its own thread. Work is handed over by the bell: after leaving, a driver rings if
 * something is queued or is due before the sleeping thread would wake by itself.
 *
 * A put is done here if nothing else is to be done meanwhile, by the writer's thread otherwise.
 * It is begun when the answers of the one before were all dealt with, or when dealing with them
 * takes longer than a put does. Where little is in progress the writer drives as well once its put
 * is done: what follows from it is the next put, as a rule. */

static int64_t read_clocks(etx__now *now) {
    now->mono_us = etx__clock_us();
    now->mono_ms = now->mono_us / 1000;
    now->wall_ms = etx__clock_wall_ms();
    return (int64_t)now->wall_ms - (int64_t)now->mono_ms;
}

/* A process that is paused between the two clocks sees them apart, and no clock has stepped: so
 * what looks like a step is looked at twice. */
void etx__shard_look(etx__shard *shard) {
    enum { STEP_MS = 200 };
    int64_t apart = read_clocks(&shard->now);
    if (apart > shard->apart_ms + STEP_MS || apart < shard->apart_ms - STEP_MS) {
        apart = read_clocks(&shard->now);
    }
    shard->apart_ms = apart;
    shard->seed ^= shard->seed << 13;
    shard->seed ^= shard->seed >> 7;
    shard->seed ^= shard->seed << 17;
    shard->now.random = (uint32_t)(shard->seed >> 32);
}

int etx__shard_init(etx__shard *shard, etx_engine *engine, uint32_t place) {
    shard->engine = engine;
    shard->place = place;
    shard->seed = etx__random() | 1;
    shard->due_room = 4096;
    shard->due = etx__engine_alloc(engine, shard->due_room * sizeof *shard->due);
    shard->partition = etx__engine_alloc(engine, engine->partition_room * sizeof *shard->partition);
    pthread_mutex_init(&shard->drive, NULL);
    return shard->due != NULL && shard->partition != NULL ? 0 : ETX_ENOMEM;
}

void etx__shard_free(etx__shard *shard) {
    etx_engine *engine = shard->engine;
    if (engine == NULL) {
        return;
    }
    while (shard->pending_chunks != NULL) {
        etx__chunk *chunk = shard->pending_chunks;
        shard->pending_chunks = chunk->next;
        etx__engine_release(engine, chunk, chunk->size);
    }
    etx__engine_release(engine, shard->due, shard->due_room * sizeof *shard->due);
    etx__engine_release(engine, shard->partition,
                        engine->partition_room * sizeof *shard->partition);
    pthread_mutex_destroy(&shard->drive);
}

etx__pending *etx__shard_pending_take(etx__shard *shard) {
    enum { MANY = 1024 };
    if (shard->pendings == NULL) {
        size_t size = sizeof(etx__chunk) + MANY * sizeof(etx__pending);
        etx__chunk *chunk = etx__engine_alloc(shard->engine, size);
        if (chunk == NULL) {
            return NULL;
        }
        chunk->size = size;
        chunk->next = shard->pending_chunks;
        shard->pending_chunks = chunk;
        etx__pending *pending = (etx__pending *)(void *)(chunk + 1);
        for (int i = 0; i < MANY; i++) {
            etx__shard_pending_give(shard, &pending[i]);
        }
    }
    etx__pending *pending = shard->pendings;
    shard->pendings = (etx__pending *)(void *)pending->waiter.next;
    return pending;
}

void etx__shard_pending_give(etx__shard *shard, etx__pending *pending) {
    pending->waiter.next = (etx__waiter *)(void *)shard->pendings;
    shard->pendings = pending;
}

/* A thread that sleeps is told once: on a busy machine it takes a while until it runs, and whoever
 * has something for it meanwhile would call the system again. The bell is rung after the mark is
 * gone, so the thread whose mark it was cannot fall asleep without it: it is in the call, and is
 * woken, or finds another bell than it looked at when its turn began. */
static void wake_thread(etx__shard *shard) {
    if (atomic_load(&shard->asleep) && atomic_exchange(&shard->asleep, 0)) {
        atomic_fetch_add(&shard->bell, 1);
        etx__futex_wake(&shard->bell, 1);
    }
}

void etx__shard_ring(etx__shard *shard) {
    atomic_fetch_add(&shard->bell, 1);
    wake_thread(shard);
}

static int has_little(const etx__shard *shard) {
    enum { LITTLE = 16 };
    return atomic_load_explicit(&shard->live, memory_order_relaxed) <= LITTLE;
}

/* Little is in progress, and this thread has promised to look after the shard by itself. */
static int is_lent(const etx__shard *shard) {
    return atomic_load_explicit(&shard->engine->lender, memory_order_relaxed) ==
               (uintptr_t)pthread_self() &&
           has_little(shard);
}

void etx__shard_send(etx__shard *shard, etx__node *node) {
    etx__queue_push(&shard->queue, node);
    if (atomic_load(&shard->asleep) && !is_lent(shard)) {
        etx__shard_ring(shard);
    }
}

uint64_t etx__shard_depth(const etx__shard *shard) {
    uint64_t handled = atomic_load_explicit(&shard->handled, memory_order_relaxed);
    uint64_t pushed = atomic_load_explicit(&shard->queue.pushed, memory_order_relaxed);
    return pushed > handled ? pushed - handled : 0; /* pushed is counted a moment late */
}

int etx__shard_admit(etx__shard *shard, uint32_t patience_ms) {
    enum { FAR_BEHIND = 4096, PAUSE_US = 50 };
    uint64_t until = 0;
    while (atomic_load_explicit(&shard->submitted, memory_order_relaxed) > FAR_BEHIND) {
        uint64_t now = etx__clock_us();
        until = until > 0 ? until : now + (uint64_t)patience_ms * 1000;
        if (now >= until || etx__engine_usable(shard->engine) != 0) {
            return ETX_EBUSY;
        }
        etx__pause_us(PAUSE_US);
    }
    return 0;
}

/* ---- work */

/* What the next request will touch is brought near while this one is dealt with. */
static void prefetch(const etx__node *node) {
    const etx_tx *next = (const etx_tx *)(const void *)node;
    if (node != NULL && node->kind == ETX__NODE_REQUEST && next->partition->memory != NULL) {
        etx__core_prefetch(next->partition->memory->core, next->hash);
        __builtin_prefetch(next->few);
    }
}

static void handle(etx__shard *shard, etx__node *node) {
    switch ((etx__node_kind)node->kind) {
        case ETX__NODE_REQUEST:
            if (!((etx_tx *)(void *)node)->blocking) {
                atomic_fetch_sub_explicit(&shard->submitted, 1, memory_order_relaxed);
            }
            etx__request_handle((etx_tx *)(void *)node);
            return;
        case ETX__NODE_REPLY:
            etx__reply_handle(shard, (etx__reply *)(void *)node);
            return;
        case ETX__NODE_JOB:
            etx__partition_job_done(
                (etx__partition *)(void *)((char *)node - offsetof(etx__partition, job_done)));
            return;
        case ETX__NODE_NEWS:
            etx__news_handle(shard, node);
            return;
    }
}

/* The clock is looked at after each taking: this thread may stand still anywhere, also for longer
 * than a deadline; what came meanwhile must not be judged by the time before. 0: it is empty. */
static int take_queue(etx__shard *shard) {
    shard->taken = etx__queue_take(&shard->queue);
    return shard->taken != NULL;
}

static int is_stopping(const etx__shard *shard) {
    return atomic_load_explicit(&shard->stopping, memory_order_relaxed) != 0;
}

/* One thing from the queue, or one inline call. 0: there is nothing. */
static int work_once(etx__shard *shard) {
    if (shard->due_count > 0 && etx__call_run_inline(shard)) {
        return 1;
    }
    if (shard->taken == NULL && take_queue(shard)) {
        etx__shard_look(shard);
    }
    if (shard->taken != NULL) {
        etx__node *node = shard->taken;
        shard->taken = node->next;
        etx__count(&shard->handled, 1);
        prefetch(shard->taken);
        handle(shard, node);
        return 1;
    }
    return 0;
}

static int drained(const etx__shard *shard) {
    return shard->due_count == 0 && shard->taken == NULL && etx__queue_empty(&shard->queue);
}

static void tick_all(etx__shard *shard) {
    for (uint32_t i = 0; i < shard->partition_count; i++) {
        etx__partition_tick(shard->partition[i]);
    }
}

/* May the put be done on this thread? Not while another partition waits for this one, or for its
 * own put. */
static int alone(const etx__shard *shard, const etx__partition *partition) {
    if (shard->engine->home_count > 1) {
        return 0; /* a put that hangs must not hold up the home that takes over */
    }
    for (uint32_t i = 0; i < shard->partition_count; i++) {
        const etx__partition *other = shard->partition[i];
        if (other != partition && (other->busy || etx__partition_put_due(other))) {
            return 0;
        }
    }
    return drained(shard);
}

static int put_all(etx__shard *shard, int may_inline) {
    int done = 0;
    for (uint32_t i = 0; i < shard->partition_count; i++) {
        etx__partition *partition = shard->partition[i];
        if (etx__partition_put_due(partition)) {
            done |= etx__partition_put(partition, may_inline && alone(shard, partition));
        }
    }
    return done;
}

/* The time after which a put is begun although there is more to do. */
static uint64_t usual_put_us(const etx__shard *shard) {
    uint64_t least = 1000;
    for (uint32_t i = 0; i < shard->partition_count; i++) {
        uint64_t usual = shard->partition[i]->put_usual_us;
        least = usual < least ? usual : least;
    }
    return least;
}

static int lacks_workers(const etx__shard *shard) {
    return atomic_load_explicit(&shard->engine->workers_lack, memory_order_relaxed) != 0;
}

static uint64_t next_wake(const etx__shard *shard) {
    enum { LACK_MS = 5 }; /* what waits for memory, or a thread, is looked at again after this */
    int lacks = shard->held != NULL || shard->due_count > 0 || lacks_workers(shard);
    uint64_t wake = lacks ? shard->now.mono_ms + LACK_MS : UINT64_MAX;
    for (uint32_t i = 0; i < shard->partition_count; i++) {
        uint64_t one = etx__partition_wake(shard->partition[i]);
        wake = one < wake ? one : wake;
    }
    return wake;
}

/* Replies that found no room are tried again, and a thread that could not be started. */
static void take_held(etx__shard *shard) {
    if (lacks_workers(shard)) {
        etx__workers_again(shard->engine);
    }
    etx__node *node = shard->held;
    shard->held = NULL;
    while (node != NULL) {
        etx__node *next = node->next;
        handle(shard, node);
        node = next;
    }
}

/* All there is to do but puts, or as much as is done while one takes. 0: there was nothing. */
static int step_all(etx__shard *shard) {
    (void)(shard->taken != NULL || take_queue(shard));
    etx__shard_look(shard);
    etx__limits_look(shard);
    tick_all(shard);
    take_held(shard);
    uint64_t until = shard->now.mono_us + usual_put_us(shard);
    int more = 0;
    for (uint32_t n = 1; !is_stopping(shard) && work_once(shard); n++) {
        more = 1;
        if (n % 64 == 0) {
            etx__shard_look(shard);
            if (shard->now.mono_us >= until) {
                break;
            }
        }
    }
    return more;
}

uint64_t etx__shard_work(etx__shard *shard) {
    int more;
    do {
        more = step_all(shard);
        more |= !is_stopping(shard) && put_all(shard, drained(shard));
    } while (more && !is_stopping(shard));
    return next_wake(shard);
}

/* ---- driving */

static void enter(etx__shard *shard) {
    atomic_store_explicit(&shard->driver, (uintptr_t)pthread_self(), memory_order_relaxed);
}

static void leave(etx__shard *shard) {
    atomic_store_explicit(&shard->driver, 0, memory_order_relaxed);
    pthread_mutex_unlock(&shard->drive);
}

/* The thread may have been about to sleep when this drive began, with a wake-up that is too late by
 * now: the bell tells it so. One that sleeps is woken only if it must be. */
static void hand_back(etx__shard *shard, int must, uint64_t wake_ms) {
    leave(shard);
    atomic_fetch_add(&shard->bell, 1);
    if (must || !etx__queue_empty(&shard->queue) || wake_ms < atomic_load(&shard->armed_ms)) {
        wake_thread(shard);
    }
}

int etx__shard_drive(etx__shard *shard, etx_tx *request) {
    if ((shard->engine->options.flags & ETX_NO_CALLER_DRIVES) ||
        atomic_load_explicit(&shard->live, memory_order_relaxed) > 0 ||
        pthread_mutex_trylock(&shard->drive) != 0) {
        return 0;
    }
    enter(shard);
    uint64_t wake = 0;
    int stopping = atomic_load(&shard->stopping) != 0;
    while (!stopping && wake <= shard->now.mono_ms &&
           atomic_load_explicit(&request->state, memory_order_acquire) == ETX__WAITING) {
        wake = etx__shard_work(shard);
        stopping = atomic_load(&shard->stopping) != 0;
    }
    hand_back(shard, 0, wake);
    return 1;
}

static int put_is_due(const etx__shard *shard) {
    for (uint32_t i = 0; i < shard->partition_count; i++) {
        if (etx__partition_put_due(shard->partition[i])) {
            return 1;
        }
    }
    return 0;
}

static void help(etx__shard *shard, int puts) {
    if (etx__queue_empty(&shard->queue)) {
        return;
    }
    if (pthread_mutex_trylock(&shard->drive) != 0) {
        return; /* who has it looks at the queue before the thread sleeps */
    }
    enter(shard);
    if (atomic_load(&shard->stopping)) {
        leave(shard);
        return;
    }
    (void)step_all(shard);
    if (puts) {
        (void)put_all(shard, 0);
    }
    hand_back(shard, !drained(shard) || put_is_due(shard), next_wake(shard));
}

void etx__shard_help(etx__shard *shard) {
    help(shard, 0);
}

void etx__shard_report(etx__shard *shard, etx__node *node) {
    if (has_little(shard)) {
        etx__queue_push(&shard->queue, node);
        help(shard, 1);
    } else {
        etx__shard_send(shard, node);
    }
}

/* How long its thread looks for work before it sleeps: while an event loop hands it little, and
 * once more after that. */
static uint64_t poll_us(etx__shard *shard, uint64_t now_us) {
    enum { FEW = 2 };
    uint32_t live = atomic_load_explicit(&shard->live, memory_order_relaxed);
    int few = live <= FEW && (live > 0 || shard->lately > 0);
    shard->lately = live;
    few = few && now_us >= shard->polls_from_us;
    return few && atomic_load_explicit(&shard->engine->lender, memory_order_relaxed) != 0
               ? shard->engine->options.busy_poll_us
               : 0;
}

/* Until its thread is woken, as one that sleeps is; or for so long. Whoever goes first and keeps
 * the processor wants more of it than is left over: then there is none of this for a while, and for
 * twice as long if he does so again soon. */
static void poll_busily(etx__shard *shard, uint64_t now_us, uint64_t until_us) {
    enum { CROWDED_US = 500, PAUSE_FIRST_US = 10000, PAUSE_CAP_US = 1000000, SOON_US = 100000 };
    while (atomic_load(&shard->asleep) && !atomic_load(&shard->stopping) && now_us < until_us) {
        uint64_t before_us = now_us;
        etx__thread_yield();
        now_us = etx__clock_us();
        if (now_us - before_us > CROWDED_US) {
            int soon = now_us < shard->polls_from_us + shard->poll_pause_us + SOON_US;
            uint64_t pause_us = soon ? 2 * shard->poll_pause_us : PAUSE_FIRST_US;
            shard->poll_pause_us = pause_us < PAUSE_CAP_US ? pause_us : PAUSE_CAP_US;
            shard->polls_from_us = now_us + shard->poll_pause_us;
            return;
        }
    }
}

static void sleep_until(etx__shard *shard, uint32_t bell, uint64_t wake_ms) {
    uint64_t now_us = etx__clock_us();
    uint64_t polls_us = poll_us(shard, now_us);
    atomic_store(&shard->armed_ms, wake_ms);
    atomic_store(&shard->asleep, 1);
    if (etx__queue_empty(&shard->queue) && !atomic_load(&shard->stopping)) {
        uint64_t pause = wake_ms == UINT64_MAX     ? UINT64_MAX
                         : wake_ms * 1000 > now_us ? wake_ms * 1000 - now_us
                                                   : 0;
        if (polls_us > 0) {
            poll_busily(shard, now_us, now_us + (polls_us < pause ? polls_us : pause));
        }
        if (pause > polls_us && atomic_load(&shard->asleep)) {
            etx__futex_wait(&shard->bell, bell, pause - polls_us);
        }
    }
    atomic_store(&shard->asleep, 0);
    atomic_store(&shard->armed_ms, 0);
}

static int shard_turn(void *argument) {
    etx__shard *shard = argument;
    uint32_t bell = atomic_load(&shard->bell);
    pthread_mutex_lock(&shard->drive);
    enter(shard);
    uint64_t wake = atomic_load(&shard->stopping) ? 0 : etx__shard_work(shard);
    leave(shard);
    sleep_until(shard, bell, wake);
    if (!atomic_load(&shard->stopping)) {
        return 1;
    }
    etx_engine *engine = shard->engine;
    if (atomic_exchange(&shard->end, ETX__THREAD_OVER) == ETX__THREAD_LEFT) {
        etx__engine_drop(engine);
    }
    return 0;
}

int etx__shard_start(etx__shard *shard) {
    int rc = etx__thread_start(&shard->engine->allocator, &shard->thread, "etx-core", shard->place,
                               shard_turn, shard);
    shard->has_thread = rc == 0;
    return rc;
}

/* May be had, and so can be stopped? */
static int comes_free(etx__shard *shard, uint64_t until_us, uint64_t write_us) {
    while (pthread_mutex_trylock(&shard->drive) != 0) {
        if (etx__clock_us() >= (atomic_load(&shard->writes) ? write_us : until_us)) {
            return 0;
        }
        etx__pause_us(100);
    }
    return 1;
}

/* Its thread frees the engine, if it is the last that has it. */
static void leave_thread(etx__shard *shard) {
    etx_engine *engine = shard->engine;
    etx__engine_hold(engine);
    shard->has_thread = 0;
    if (atomic_exchange(&shard->end, ETX__THREAD_LEFT) == ETX__THREAD_OVER) {
        atomic_fetch_sub(&engine->holders, 1); /* whoever drives is a caller: he is in the engine */
        etx__thread_join(shard->thread);
    } else {
        etx__thread_detach(shard->thread);
    }
}

int etx__shard_stop(etx__shard *shard, uint64_t until_us, uint64_t write_us) {
    enum { STEP_US = 50000 }; /* a callback that had just returned has its step */
    uint64_t soon_us = etx__clock_us() + STEP_US;
    atomic_store(&shard->stopping, 1);
    etx__shard_ring(shard);
    if (!comes_free(shard, until_us > soon_us ? until_us : soon_us, write_us)) {
        atomic_store(&shard->stuck, ETX__STUCK_ASKED);
        soon_us = etx__clock_us() + STEP_US;
        if (!comes_free(shard, soon_us, soon_us)) {
            atomic_store(&shard->stuck, ETX__STUCK_LEFT);
            leave_thread(shard);
            return ETX_EBUSY;
        }
        atomic_store(&shard->stuck, 0);
    }
    pthread_mutex_unlock(&shard->drive); /* whoever takes it now does nothing, and gives no job */
    if (shard->has_thread) {
        etx__thread_join(shard->thread);
        shard->has_thread = 0;
    }
    return 0;
}

void etx__shard_refuse(etx__shard *shard, int rc) {
    take_held(shard);
    for (;;) {
        etx__node *node = shard->taken != NULL ? shard->taken : etx__queue_take(&shard->queue);
        if (node == NULL) {
            return;
        }
        shard->taken = node->next;
        etx__count(&shard->handled, 1);
        if (node->kind == ETX__NODE_REQUEST) {
            atomic_store(&shard->submitted, 0);
            etx__request_refuse((etx_tx *)(void *)node, rc, etx_strerror(rc));
        } else {
            handle(shard, node);
        }
    }
}

void etx__shard_refuse_late(etx__shard *shard) {
    if (!atomic_load(&shard->closed)) {
        return;
    }
    int before = etx__cancel_off();
    pthread_mutex_lock(&shard->drive);
    enter(shard);
    etx__shard_refuse(shard, ETX_ECLOSED);
    leave(shard);
    etx__cancel_back(before);
}
