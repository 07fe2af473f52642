/* Closing: finish or leave what is in flight, in a given time; or abruptly. */
#include <string.h>

#include "arrival.h"
#include "keeper.h"
#include "shard.h"
#include "seen.h"

/* New work is refused first. Then (finish) what is in flight may end, with all that its
 * initiators still say of it, or (leave) the calls that run now may return. Then the shards'
 * threads stop, what is known is put, everybody who still waits hears ETX_ECLOSED, and the logs
 * are closed. A callback that never returns keeps its thread and the engine's memory, and
 * nothing else; an inline one keeps its shard too, and with it the homes that have a partition
 * there: they stay as they are, locked, until it returns and the engine is freed. */

static uint64_t in_flight(const etx_engine *engine) {
    uint64_t live = 0;
    for (uint32_t i = 0; i < engine->partition_count; i++) {
        live += atomic_load(&engine->partition[i]->live);
    }
    return live;
}

static void wait_for_end(etx_engine *engine, uint64_t until_us) {
    /* A callback may still ask what became of it: the shards serve it until it returns. */
    while ((in_flight(engine) > 0 || etx__workers_busy(engine)) && etx__clock_us() < until_us) {
        etx__pause_us(500);
    }
}

/* What was answered meanwhile is stepped, and everything that forms is put. On this thread: the
 * shard's is gone. */
static void put_rest(etx__shard *shard, uint64_t until_us) {
    pthread_mutex_lock(&shard->drive);
    atomic_store(&shard->driver, (uintptr_t)pthread_self());
    atomic_store(&shard->stopping, 0);
    shard->ending = 1;
    etx__shard_drop_calls(shard); /* not made: the next start makes them */
    for (uint32_t i = 0; i < shard->partition_count; i++) {
        if (shard->partition[i]->memory != NULL) { /* nothing new is decided or called */
            shard->partition[i]->memory->core->options.inspect = 1;
        }
    }
    for (;;) {
        uint64_t wake = etx__shard_work(shard);
        uint64_t now = etx__clock_us();
        int busy = 0;
        int left = 0;
        for (uint32_t i = 0; i < shard->partition_count; i++) {
            etx__partition *partition = shard->partition[i];
            busy |= partition->busy;
            left |= partition->state == ETX__OPEN && etx__flush_rest(partition);
        }
        if ((!busy && !left) || now >= until_us) {
            break;
        }
        if (wake * 1000 > now) {
            etx__pause_us(100);
        }
    }
    atomic_store(&shard->stopping, 1);
    atomic_store(&shard->driver, 0);
    pthread_mutex_unlock(&shard->drive);
}

/* Who has it is in it still: nothing beneath it is closed. */
static void leave_stuck(const etx__shard *shard) {
    for (uint32_t i = 0; i < shard->partition_count; i++) {
        shard->partition[i]->home->stuck = 1;
    }
}

static int any_stuck(const etx_engine *engine) {
    for (uint32_t i = 0; i < engine->shard_count; i++) {
        if (atomic_load(&engine->shard[i].stuck)) {
            return 1;
        }
    }
    return 0;
}

static void forget_all(etx__shard *shard, int *ret_clean) {
    pthread_mutex_lock(&shard->drive);
    atomic_store(&shard->driver, (uintptr_t)pthread_self());
    for (uint32_t i = 0; i < shard->partition_count; i++) {
        etx__partition *partition = shard->partition[i];
        *ret_clean &= partition->state == ETX__OPEN && !partition->busy &&
                      partition->first == NULL && partition->flying == NULL;
        if (partition->state == ETX__OPEN) {
            etx__partition_forget(partition, ETX_ECLOSED);
        }
        atomic_store(&partition->state, ETX__CLOSED);
    }
    atomic_store(&shard->closed, 1);
    etx__shard_refuse(shard, ETX_ECLOSED);
    etx__shard_drop_calls(shard);
    atomic_store(&shard->driver, 0);
    pthread_mutex_unlock(&shard->drive);
}

/* How long a close waits: for what may end or return by itself, so that time is left to write what
 * is known; for what holds up a shard; for writes, which have some time even if there is none. */
typedef struct limits {
    uint64_t calls_us, until_us, write_us;
} limits;

static limits limits_make(uint32_t timeout_ms) {
    enum { REST_US = 250000, WRITE_US = 1000000 };
    uint64_t now = etx__clock_us();
    uint64_t time_us = (uint64_t)timeout_ms * 1000;
    uint64_t rest_us = time_us / 8 < REST_US ? time_us / 8 : REST_US;
    return (limits){.calls_us = now + time_us - rest_us,
                    .until_us = now + time_us,
                    .write_us = now + (time_us > WRITE_US ? time_us : WRITE_US)};
}

static int close_started(etx_engine *engine, etx_close_mode mode, const limits *limit) {
    int clean = mode != ETX_CLOSE_ABRUPT;
    int stuck = 0;
    pthread_mutex_lock(&engine->lock); /* a home that is arriving has arrived; none comes now */
    pthread_mutex_unlock(&engine->lock);
    if (mode == ETX_CLOSE_FINISH) {
        wait_for_end(engine, limit->calls_us);
        atomic_store(&engine->life, ETX__CLOSING);
    }
    for (uint32_t i = 0; i < engine->shard_count; i++) {
        if (etx__shard_stop(&engine->shard[i], limit->until_us, limit->write_us) != 0) {
            leave_stuck(&engine->shard[i]);
            stuck = ETX_EBUSY;
        }
    }
    uint32_t left = etx__workers_stop(engine, mode == ETX_CLOSE_ABRUPT ? 0 : limit->calls_us);
    for (uint32_t i = 0; mode != ETX_CLOSE_ABRUPT && i < engine->shard_count; i++) {
        if (!atomic_load(&engine->shard[i].stuck)) {
            put_rest(&engine->shard[i], limit->write_us);
        }
    }
    for (uint32_t i = 0; i < engine->partition_count; i++) {
        etx__partition *partition = engine->partition[i];
        if (etx__writer_stop(partition, limit->write_us) != 0) {
            partition->home->stuck = 1;
            stuck = ETX_EBUSY;
        }
    }
    for (uint32_t i = 0; i < engine->home_count; i++) {
        etx__arrival_stop(engine->home[i]);
        if (etx__keeper_stop(engine->home[i], mode != ETX_CLOSE_ABRUPT, limit->write_us) != 0) {
            engine->home[i]->stuck = 1;
            stuck = ETX_EBUSY;
        }
    }
    etx__seen_stop(engine, mode != ETX_CLOSE_ABRUPT);
    for (uint32_t i = 0; i < engine->shard_count; i++) {
        if (!atomic_load(&engine->shard[i].stuck)) {
            forget_all(&engine->shard[i], &clean);
        }
    }
    for (uint32_t i = 0; i < engine->home_count; i++) {
        if (!engine->home[i]->stuck) { /* else: when what it was asked has come back */
            etx__home_close(engine->home[i], clean);
        }
    }
    return left > 0 ? ETX_EBUSY : stuck;
}

int etx_engine_close(etx_engine *engine, etx_close_mode mode, uint32_t timeout_ms) {
    if (engine == NULL) {
        return ETX_EINVALID;
    }
    if (*engine->alive == 0) {
        return ETX_EFORKED;
    }
    if (mode < ETX_CLOSE_FINISH || mode > ETX_CLOSE_ABRUPT) {
        return etx__engine_fail(engine, ETX_EINVALID, "close: finish, leave or abrupt");
    }
    if (etx__engine_inside(engine) || etx__workers_inside(engine)) {
        return etx__engine_fail(engine, ETX_EINVALID,
                                "etx_engine_close from a callback would wait for itself");
    }
    uint32_t started = ETX__STARTED;
    uint32_t fresh = ETX__NEW;
    if (atomic_compare_exchange_strong(&engine->life, &fresh, ETX__ENDED)) {
        return 0;
    }
    uint32_t next = mode == ETX_CLOSE_FINISH ? ETX__FINISHING : ETX__CLOSING;
    if (!atomic_compare_exchange_strong(&engine->life, &started, next)) {
        return etx__engine_fail(engine, ETX_ESTATE, "the engine is closed already");
    }
    limits limit = limits_make(timeout_ms);
    int before = etx__cancel_off();
    int rc = close_started(engine, mode, &limit);
    atomic_store(&engine->life, ETX__ENDED);
    etx__cancel_back(before);
    if (rc != 0) {
        etx__engine_fail(engine, rc, "%s have not come back",
                         any_stuck(engine) ? "inline callbacks (their log stays locked until they "
                                             "do)"
                                           : "callbacks or writes to a log");
    }
    return rc;
}
