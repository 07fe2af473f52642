/* Starting an engine: homes are opened, shared with other nodes, read, claimed and taken up.
 *
 * A log that is not there yet is made last, when those that are there have been read and judged: a
 * start that these refuse has made nothing, whose remedy may be to put a backup in that place. A
 * crash before leaves nothing, one after it an empty log that the next start takes. */
#include "arrival.h"
#include "keeper.h"
#include "seen.h"
#include "shard.h"

/* The first in the list with an id has it. */
static int check_twins(etx_engine *engine, const etx__home *home) {
    const etx__home *twin = etx__home_of(engine, home->info.id);
    if (twin == home) {
        return 0;
    }
    return etx__engine_fail(
        engine, ETX_ECONFLICT,
        "homes %s and %s have the same id %s: one is a copy of the other, and both would "
        "decide. Leave the copy out; 'etx log' and 'etx tx' look at it by itself",
        twin->url, home->url, twin->info.id);
}

static int open_home(etx__home *home, int create) {
    etx_engine *engine = home->engine;
    int rc = etx__home_open(home, create);
    home->absent = rc == ETX_ENOTFOUND && !create && !(engine->options.flags & ETX_INSPECT);
    if (home->absent) {
        return 0;
    }
    if (etx__arrival_may_wait(home, rc)) {
        return etx__arrival_make(home) == 0
                   ? 0
                   : etx__engine_fail(engine, ETX_ENOMEM, "no memory for a home");
    }
    if (rc == 0) {
        etx__home_join(home);
        rc = check_twins(engine, home);
    }
    return rc;
}

/* Those that are there, or if `absent` those that are not: these are made. */
static int open_each(etx_engine *engine, int absent) {
    int rc = 0;
    for (uint32_t i = 0; rc == 0 && i < engine->home_count; i++) {
        if (engine->home[i]->absent == absent) {
            rc = open_home(engine->home[i], absent);
        }
    }
    return rc;
}

/* The partitions of the homes that are open. */
static int count_partitions(etx_engine *engine, uint32_t *ret_count) {
    uint32_t count = 0;
    for (uint32_t i = 0; i < engine->home_count; i++) {
        count += engine->home[i]->partition_count;
    }
    *ret_count = count;
    return count <= UINT16_MAX ? 0
                               : etx__engine_fail(engine, ETX_EINVALID, "65535 partitions at most");
}

static int open_homes(etx_engine *engine) {
    if (engine->home_count == 0) {
        return etx__engine_fail(engine, ETX_EINVALID,
                                "no home: call etx_engine_home(engine, \"file:DIR\") first");
    }
    if (engine->chosen_home >= engine->home_count) {
        return etx__engine_fail(engine, ETX_EINVALID,
                                "the home for chosen gids is not in the list");
    }
    uint32_t count = 0;
    int rc = open_each(engine, 0);
    rc = rc != 0 ? rc : count_partitions(engine, &count);
    if (rc == 0 && count == 0) { /* nothing is there that could refuse */
        rc = open_each(engine, 1);
        rc = rc != 0 ? rc : count_partitions(engine, &count);
    }
    engine->partition_room = etx__homes_away(engine) ? UINT16_MAX : count;
    return rc;
}

static void place_home(etx_engine *engine, etx__home *home) {
    for (uint32_t i = 0; i < home->partition_count; i++) {
        etx__partition *partition = home->partition[i];
        etx__shard *shard = &engine->shard[i % engine->shard_count];
        partition->place = engine->partition_count++;
        partition->shard = shard;
        engine->partition[partition->place] = partition;
        shard->partition[shard->partition_count++] = partition;
    }
}

static int make_shards(etx_engine *engine) {
    engine->shard_count = engine->options.shards < engine->partition_room ? engine->options.shards
                                                                          : engine->partition_room;
    engine->shard = etx__engine_alloc(engine, engine->shard_count * sizeof *engine->shard);
    engine->partition =
        etx__engine_alloc(engine, engine->partition_room * sizeof *engine->partition);
    if (engine->shard == NULL || engine->partition == NULL) {
        etx__engine_release(engine, engine->shard, engine->shard_count * sizeof *engine->shard);
        engine->shard = NULL;
        engine->shard_count = 0;
        return ETX_ENOMEM;
    }
    for (uint32_t i = 0; i < engine->shard_count; i++) {
        if (etx__shard_init(&engine->shard[i], engine, i) != 0) {
            return ETX_ENOMEM;
        }
        etx__shard_look(&engine->shard[i]);
    }
    for (uint32_t i = 0; i < engine->home_count; i++) {
        place_home(engine, engine->home[i]);
    }
    return 0;
}

/* Until so many writers have sent their news: nothing else is queued yet, and none comes later. */
static void await_writers(etx_engine *engine, uint32_t count) {
    for (uint32_t done = 0; done < count;) {
        etx__pause_us(100);
        for (uint32_t i = 0; i < engine->shard_count; i++) {
            for (etx__node *node = etx__queue_take(&engine->shard[i].queue); node != NULL;
                 node = node->next) {
                etx__count(&engine->shard[i].handled, 1);
                done++;
            }
        }
    }
}

/* Of a shared home it is tried again, once the engine runs. */
static int can_wait(const etx__partition *partition) {
    return partition->home->keeper != NULL &&
           (partition->job_rc == ETX_EUNAVAILABLE || partition->job_rc == ETX_EREGRESSED ||
            partition->job_was == ETX__JOB_CLAIM);
}

/* By the thread of each partition's writer, all from `first` on at the same time. What cannot be
 * read is not claimed. */
static int do_everywhere(etx_engine *engine, etx__job job, uint32_t first) {
    int rc = 0;
    uint32_t given = 0;
    for (uint32_t i = first; i < engine->partition_count; i++) {
        etx__partition *partition = engine->partition[i];
        if (etx__partition_ours(partition) && (job == ETX__JOB_READ || partition->loaded != NULL)) {
            etx__writer_give(partition, job);
            given++;
        }
    }
    await_writers(engine, given);
    for (uint32_t i = first; i < engine->partition_count; i++) {
        etx__partition *partition = engine->partition[i];
        partition->busy = 0;
        if (partition->job_rc == ETX_EREGRESSED && partition->home->keeper != NULL) {
            etx__partition_regress(partition, partition->message);
        }
        if (rc == 0 && partition->job_rc != 0 && !can_wait(partition)) {
            rc = etx__engine_fail(engine, partition->job_rc, "home %s: %s", partition->home->url,
                                  partition->message);
        }
    }
    return rc;
}

/* Of all from `first` on. What is read of them is judged with the rest. */
static int read_all(etx_engine *engine, uint32_t first) {
    int rc = 0;
    for (uint32_t i = first; i < engine->partition_count; i++) {
        rc = rc != 0 ? rc : etx__writer_start(engine->partition[i]);
    }
    if (rc != 0) {
        return etx__engine_fail(engine, rc, "no threads for the log");
    }
    rc = do_everywhere(engine, ETX__JOB_READ, first);
    if (rc == ETX_ENOMEM) { /* with less address space */
        engine->ample = 1;
        for (uint32_t i = first; i < engine->partition_count; i++) {
            etx__partition_unload(engine->partition[i]);
        }
        rc = do_everywhere(engine, ETX__JOB_READ, first);
    }
    return rc != 0 ? rc : etx__chosen_check(engine);
}

/* Each says that it is there, and takes its share of what is free. A store that does not answer may
 * be waited for as one that could not be opened. */
static int attend(etx__home *home, uint32_t *usable) {
    int rc = home->keeper != NULL ? etx__keeper_first(home) : 0;
    *usable += rc == 0 && home->arrival == NULL;
    return etx__arrival_may_wait(home, rc) ? 0 : rc;
}

static int attend_all(etx_engine *engine) {
    uint32_t usable = 0;
    int rc = 0;
    for (uint32_t i = 0; i < engine->home_count && rc == 0; i++) {
        rc = attend(engine->home[i], &usable);
    }
    if (rc != 0 || usable > 0 || (engine->options.flags & ETX_START_WAITS)) {
        return rc;
    }
    return ETX_EUNAVAILABLE; /* the message tells of the last */
}

static int some_absent(const etx_engine *engine) {
    uint32_t absent = 0;
    for (uint32_t i = 0; i < engine->home_count; i++) {
        absent |= engine->home[i]->absent;
    }
    return absent != 0;
}

/* What is there has nothing against it. Each catches up with the rest. */
static int make_absent(etx_engine *engine) {
    uint32_t first = engine->partition_count;
    uint32_t count = 0;
    uint32_t usable = 0;
    int rc = 0;
    for (uint32_t i = 0; rc == 0 && i < engine->home_count; i++) {
        etx__home *home = engine->home[i];
        if (home->absent) {
            rc = open_home(home, 1);
            rc = rc != 0 ? rc : count_partitions(engine, &count);
            if (rc == 0) {
                place_home(engine, home);
                rc = attend(home, &usable);
            }
        }
    }
    return rc != 0 ? rc : read_all(engine, first);
}

static int load_all(etx_engine *engine) {
    int rc = read_all(engine, 0);
    if (rc == 0 && some_absent(engine)) {
        rc = make_absent(engine);
    }
    return rc != 0 ? rc : do_everywhere(engine, ETX__JOB_CLAIM, 0);
}

/* Takes up what was claimed. Of a shared home the others may come later. */
static void install_all(etx_engine *engine) {
    for (uint32_t i = 0; i < engine->partition_count; i++) {
        etx__partition *partition = engine->partition[i];
        if (partition->loaded != NULL) {
            etx__partition_install(partition);
        } else {
            atomic_store(&partition->state, ETX__ELSEWHERE);
        }
    }
    for (uint32_t i = 0; i < engine->home_count; i++) {
        etx__home *home = engine->home[i];
        if (home->keeper != NULL) {
            etx__home_well(home);
            continue;
        }
        if (home->arrival != NULL) {
            continue;
        }
        atomic_store(&home->health, ETX__HOME_UP);
        atomic_store(&home->since_ms, etx__clock_wall_ms());
    }
}

static int start_keepers(etx_engine *engine) {
    int rc = 0;
    for (uint32_t i = 0; rc == 0 && i < engine->home_count; i++) {
        rc = engine->home[i]->keeper != NULL ? etx__keeper_start(engine->home[i]) : 0;
        rc = rc != 0 ? rc : etx__arrival_start(engine->home[i]);
    }
    return rc;
}

static int run_all(etx_engine *engine) {
    int rc = etx__workers_start(engine);
    for (uint32_t i = 0; i < engine->shard_count; i++) {
        pthread_mutex_lock(&engine->shard[i].drive); /* callbacks that run already may ask */
        etx__shard_look(&engine->shard[i]);
    }
    atomic_store(&engine->life, ETX__STARTED);
    if (rc == 0) {
        install_all(engine);
    }
    for (uint32_t i = 0; i < engine->shard_count; i++) {
        pthread_mutex_unlock(&engine->shard[i].drive);
    }
    for (uint32_t i = 0; rc == 0 && i < engine->shard_count; i++) {
        rc = etx__shard_start(&engine->shard[i]);
    }
    rc = rc != 0 ? rc : start_keepers(engine);
    rc = rc != 0 ? rc : etx__seen_start(engine);
    return rc == 0 ? 0 : etx__engine_fail(engine, rc, "no threads or memory to start with");
}

static int start(etx_engine *engine) {
    int rc = etx__seen_open(engine);
    rc = rc != 0 ? rc : open_homes(engine);
    if (rc == 0 && make_shards(engine) != 0) {
        rc = etx__engine_fail(engine, ETX_ENOMEM, "no memory to start with");
    }
    rc = rc != 0 ? rc : attend_all(engine);
    rc = rc != 0 ? rc : load_all(engine);
    return rc != 0 ? rc : run_all(engine);
}

/* What of it was started ends. */
static void give_up(etx_engine *engine) {
    atomic_store(&engine->life, ETX__ENDED);
    for (uint32_t i = 0; i < engine->home_count; i++) {
        etx__arrival_stop(engine->home[i]);
    }
    for (uint32_t i = 0; engine->partition != NULL && i < engine->partition_count; i++) {
        if (engine->partition[i] != NULL) {
            etx__writer_stop(engine->partition[i], etx__clock_us() + 3600000000ull);
        }
    }
    for (uint32_t i = 0; i < engine->shard_count; i++) {
        (void)etx__shard_stop(&engine->shard[i], UINT64_MAX, UINT64_MAX);
    }
    etx__workers_stop(engine, 0);
    etx__seen_stop(engine, 0);
    for (uint32_t i = 0; i < engine->home_count; i++) {
        (void)etx__keeper_stop(engine->home[i], 1, etx__clock_us() + 3600000000ull);
    }
}

int etx_engine_start(etx_engine *engine) {
    int rc = etx__engine_new(engine);
    if (rc != 0) {
        return rc;
    }
    int before = etx__cancel_off();
    rc = start(engine);
    if (rc != 0) {
        give_up(engine);
    }
    etx__cancel_back(before);
    return rc;
}
