/* Homes that were away at start: each is asked for at growing intervals, and becomes part of the
 * engine when it is there. */
#include "arrival.h"

#include <stdio.h>
#include <string.h>

#include "keeper.h"
#include "seen.h"
#include "seen_file.h"
#include "shard.h"

/* Only a store that nodes share may be away: a directory that cannot be opened stays so until
 * somebody has looked. The home opens by itself: its partitions get their shards, writers and a
 * keeper, and then, while nobody drives a shard, a place in the tables of the engine, which have
 * room from start. From then on it is like any other home whose store has come back. */

struct etx__arrival {
    pthread_t thread;
    _Atomic uint32_t bell; /* a futex */
    _Atomic uint32_t stopping;
    uint32_t retries;
    uint8_t has_thread;
};

int etx__arrival_may_wait(const etx__home *home, int rc) {
    return rc == ETX_EUNAVAILABLE && home->ops->renew != NULL &&
           !(home->engine->options.flags & ETX_INSPECT);
}

static void note_why(etx__home *home) {
    char said[512];
    etx_engine_message(home->engine, said, sizeof said);
    const char *why = strncmp(said, "home ", 5) == 0 ? strstr(said, ": ") : NULL;
    etx__home_down(home, ETX_EUNAVAILABLE, why != NULL ? why + 2 : said);
}

int etx__arrival_make(etx__home *home) {
    char message[300];
    etx_seen seen;
    etx_engine *engine = home->engine;
    home->arrival = etx__engine_alloc(engine, sizeof *home->arrival);
    if (home->arrival == NULL) {
        return ETX_ENOMEM;
    }
    if (engine->seen != NULL &&
        etx__seen_find(engine->state_dir, home->url, &seen, message, sizeof message) == 0) {
        memcpy(home->known_id, seen.home, sizeof home->known_id);
        etx_seen_free(&seen);
    }
    note_why(home);
    atomic_store(&home->well_ms, 1); /* when it comes it is held down first */
    atomic_store(&home->since_ms, etx__clock_wall_ms());
    return 0;
}

/* ---- taking it up */

static int check(const etx__home *home) {
    etx_engine *engine = home->engine;
    const etx__home *twin = etx__home_of(engine, home->info.id);
    if (twin != NULL && twin != home) {
        return etx__engine_fail(engine, ETX_ECONFLICT, "home %s: its id %s is that of %s",
                                home->url, home->info.id, twin->url);
    }
    if (engine->partition_count + home->info.partitions > engine->partition_room) {
        return etx__engine_fail(engine, ETX_EBUSY, "home %s: 65535 partitions at most", home->url);
    }
    return etx__chosen_check_arrival(home);
}

static int start_threads(etx__home *home) {
    etx_engine *engine = home->engine;
    uint32_t place = engine->partition_count;
    int rc = 0;
    for (uint32_t i = 0; rc == 0 && i < home->info.partitions; i++) {
        etx__partition *partition = home->partition[i];
        partition->place = place + i;
        partition->shard = &engine->shard[i % engine->shard_count];
        atomic_store(&partition->state, ETX__ELSEWHERE);
        rc = etx__writer_start(partition);
    }
    return rc != 0 ? rc : etx__keeper_start(home);
}

static void stop_threads(etx__home *home) {
    (void)etx__keeper_stop(home, 0, etx__clock_us() + 3600000000ull);
    for (uint32_t i = 0; i < home->info.partitions; i++) {
        etx__writer_stop(home->partition[i], etx__clock_us() + 3600000000ull);
    }
}

static void publish(etx__home *home) {
    etx_engine *engine = home->engine;
    for (uint32_t i = 0; i < engine->shard_count; i++) {
        pthread_mutex_lock(&engine->shard[i].drive);
    }
    for (uint32_t i = 0; i < home->info.partitions; i++) {
        etx__partition *partition = home->partition[i];
        etx__shard *shard = partition->shard;
        engine->partition[partition->place] = partition;
        shard->partition[shard->partition_count++] = partition;
    }
    atomic_fetch_add(&engine->partition_count, home->info.partitions);
    etx__home_join(home);
    for (uint32_t i = 0; i < engine->shard_count; i++) {
        pthread_mutex_unlock(&engine->shard[i].drive);
        etx__shard_ring(&engine->shard[i]); /* who came meanwhile has left it to who drives */
    }
}

/* With the engine's lock: one home at a time, and none once the engine is closing. */
static int take_up(etx__home *home) {
    etx_engine *engine = home->engine;
    int rc = check(home);
    if (rc == 0 && atomic_load(&engine->life) != ETX__STARTED) {
        rc = ETX_ECLOSED;
    }
    if (rc == 0) {
        rc = start_threads(home);
        if (rc != 0) {
            etx__engine_fail(engine, rc, "home %s: no threads for it", home->url);
            stop_threads(home);
        }
    }
    if (rc == 0) {
        publish(home);
    }
    return rc;
}

static int arrive(etx__home *home) {
    etx_engine *engine = home->engine;
    int rc = etx__home_open(home, etx__chosen_lets_make(home));
    if (rc == ETX_ENOTFOUND) {
        return etx__engine_fail(engine, rc,
                                "home %s: there is no log, and chosen gids belong to home %s: "
                                "start again without it, or name that one",
                                home->url, engine->chosen_said);
    }
    if (rc == 0) {
        pthread_mutex_lock(&engine->lock);
        rc = take_up(home);
        pthread_mutex_unlock(&engine->lock);
        if (rc != 0) {
            etx__home_unopen(home);
        }
    }
    return rc;
}

static int arrival_turn(void *argument) {
    etx__home *home = argument;
    struct etx__arrival *arrival = home->arrival;
    uint32_t bell = atomic_load(&arrival->bell);
    if (atomic_load(&arrival->stopping)) {
        return 0;
    }
    uint64_t pause_us = etx__partition_pause_ms(arrival->retries++) * 1000;
    etx__futex_wait(&arrival->bell, bell, pause_us);
    if (atomic_load(&arrival->stopping) || arrive(home) == 0) {
        return 0;
    }
    note_why(home);
    return 1;
}

/* ---- its life */

int etx__arrival_start(etx__home *home) {
    struct etx__arrival *arrival = home->arrival;
    if (arrival == NULL) {
        return 0;
    }
    int rc = etx__thread_start(&home->engine->allocator, &arrival->thread, "etx-open", home->place,
                               arrival_turn, home);
    arrival->has_thread = rc == 0;
    return rc;
}

void etx__arrival_stop(etx__home *home) {
    struct etx__arrival *arrival = home->arrival;
    if (arrival == NULL || !arrival->has_thread) {
        return;
    }
    arrival->has_thread = 0;
    atomic_store(&arrival->stopping, 1);
    atomic_fetch_add(&arrival->bell, 1);
    etx__futex_wake(&arrival->bell, 1);
    etx__thread_join(arrival->thread);
}

void etx__arrival_free(etx__home *home) {
    etx__engine_release(home->engine, home->arrival, sizeof *home->arrival);
    home->arrival = NULL;
}
