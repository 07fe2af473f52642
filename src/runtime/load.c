/* Loading a partition: reading its log into a new core, and claiming it. */
#include <stdio.h>
#include <string.h>

#include "keeper.h"
#include "seen.h"
#include "shard.h"
#include "slot.h"
#include "witness.h"

typedef struct reader {
    etx__partition *partition;
    etx__core *core;
    etx_record_room room;
    char *message;
    size_t message_size;
    uint64_t slot; /* which is read */
    int said;      /* what is wrong is in the message */
    etx_seen_mark remembered;
    etx__word told[ETX__WORDS]; /* known, as long as it was not found: as the one before */
} reader;

static int fail(reader *r, int rc, uint64_t slot, const char *what) {
    snprintf(r->message, r->message_size, "slot %llu of partition %u: %s", (unsigned long long)slot,
             r->partition->number, what);
    r->said = 1;
    return rc;
}

/* A record of the batch, by its place there. What its slot's checksum covers was written like
 * this: 'etx log verify' finds nothing, and a repair would copy it. */
static int fail_at(reader *r, int rc, uint64_t slot, size_t at) {
    char what[200];
    const char *why =
        "a record that no version writes there. 'etx log show' prints what is before "
        "it; restore a backup";
    if (rc == ETX_EVERSION) {
        why = "a record of a newer version: open the log with that version";
    } else if (rc == ETX_ENOMEM) {
        why = "no memory to read a record";
    }
    snprintf(what, sizeof what, "byte %zu: %s", at, why);
    return fail(r, rc, slot, what);
}

static int fail_full(reader *r, uint64_t slot) {
    const etx__core *core = r->core;
    char what[128];
    if (core->live >= core->options.transactions_room) {
        snprintf(what, sizeof what, "more are in flight than transactions_max (%u): raise it",
                 core->options.transactions_room);
    } else {
        snprintf(what, sizeof what,
                 "what is in flight and remembered needs more than memory_max (%zu): raise it",
                 core->options.pool_size);
    }
    return fail(r, ETX_EBUSY, slot, what);
}

/* The newest stands; it is repeated by each claim. */
static void keep_loss(etx__partition *partition, const etx_record_loss *loss) {
    etx_record_loss *kept = &partition->loss;
    if (loss->time_ms > kept->time_ms) {
        *kept = *loss;
        kept->who.data = partition->loss_who;
        kept->why.data = partition->loss_why;
        memcpy(partition->loss_who, loss->who.data, loss->who.len);
        memcpy(partition->loss_why, loss->why.data, loss->why.len);
    }
}

static int read_record(const etx_record *record, size_t at, void *user) {
    reader *r = user;
    if (record->type == ETX_RECORD_OWN) {
        size_t len = record->u.own.chosen_home.len;
        if (len > 0 && len <= ETX_HOME_ID_LEN) {
            memcpy(r->partition->chosen_then, record->u.own.chosen_home.data, len);
            r->partition->chosen_then[len] = 0;
        }
    }
    if (record->type == ETX_RECORD_LOSS) {
        keep_loss(r->partition, &record->u.loss);
    }
    int rc = etx__core_fold(r->core, record);
    if (rc == ETX_EBUSY) {
        return fail_full(r, r->slot);
    }
    return rc == 0 ? 0 : fail_at(r, rc, r->slot, at);
}

static int read_batch(reader *r, const etx_slot *slot) {
    size_t at;
    r->slot = slot->slot;
    int rc = etx__slot_each(r->partition->home->engine, slot, &r->room, read_record, r, &at);
    if (rc == 0 || r->said) {
        return rc;
    }
    char what[200];
    etx__slot_codec_lacks(slot, what, sizeof what);
    return at > 0 ? fail_at(r, rc, slot->slot, at) : fail(r, rc, slot->slot, what);
}

/* What is there is not missed. */
static void look_for(etx_seen_mark *mark, const etx_slot *slot) {
    if (mark->slot == slot->slot && mark->checksum == slot->checksum) {
        mark->known = 0;
    }
}

static int read_slot(const etx_slot *slot, void *user) {
    reader *r = user;
    int rc = read_batch(r, slot);
    if (rc == 0) {
        look_for(&r->remembered, slot);
        for (int i = 0; i < ETX__WORDS; i++) {
            look_for(&r->told[i].mark, slot);
        }
        r->partition->read_next = slot->slot + 1;
        r->partition->read_checksum = slot->checksum;
        etx__partition_mark(r->partition, slot->slot + 1, r->core->seq, slot->batch.len);
    }
    return rc;
}

/* ---- the core's memory */

/* The last N of the home: an equal share each, and a quarter more, since load is not quite even. */
static uint64_t history_share(const etx__partition *partition, uint64_t all) {
    uint32_t count = partition->home->partition_count;
    return count == 1 ? all : (all + all / 4) / count + partition->home->turn;
}

/* memory_max and transactions_max hold for the engine; but what a partition may take of them has
 * its place from start. Load is nearly even: so much more than an even part of its home is enough,
 * and all of it where a log holds more. */
static uint64_t part_of(const etx__partition *partition, uint64_t all, uint64_t least) {
    uint64_t part = all / partition->home->partition_count * partition->home->engine->ample;
    part = part > least ? part : least;
    return partition->whole || part > all ? all : part;
}

static void core_options(const etx__partition *partition, etx__core_options *ret_options) {
    enum { TRANSACTIONS_LEAST = 1 << 16, BYTES_LEAST = 64 << 20 };
    const etx_options *o = &partition->home->engine->options;
    *ret_options = (etx__core_options){
        .transactions_max = o->transactions_max,
        .transactions_room = (uint32_t)part_of(partition, o->transactions_max, TRANSACTIONS_LEAST),
        .branches_max = o->branches_max,
        .history_max = history_share(partition, o->history_max),
        .history_age_ms = o->history_age_ms,
        .participants_max = ETX__PARTICIPANTS_MAX,
        .image_max =
            (uint32_t)(partition->home->info.batch_max - partition->home->info.batch_max / 64),
        .call_timeout_ms = o->call_timeout_ms,
        .retry_first_ms = o->retry_first_ms,
        .retry_cap_ms = o->retry_cap_ms,
        .working_ms = o->working_ms,
        .park_after = o->park_after,
        .inspect = (o->flags & ETX_INSPECT) != 0,
        .read_only = (o->flags & ETX_READ_ONLY) != 0,
        .history_strict = (o->flags & ETX_HISTORY_STRICT) != 0,
        .first_serial = etx__random() >> 1,
        .memory_max = o->memory_max,
        .pool_size = part_of(partition, o->memory_max, BYTES_LEAST) & ~(uint64_t)(ETX__SPAN - 1),
    };
}

static etx__memory *memory_make(etx__partition *partition) {
    etx_engine *engine = partition->home->engine;
    etx__core_options options;
    core_options(partition, &options);
    etx__memory *memory = etx__engine_alloc(engine, sizeof *memory);
    if (memory == NULL) {
        return NULL;
    }
    memory->size = etx__core_size(&options);
    memory->block = etx__engine_alloc(engine, memory->size);
    if (memory->block == NULL) {
        etx__engine_release(engine, memory, sizeof *memory);
        return NULL;
    }
    memory->core = etx__core_init(memory->block, &options);
    return memory;
}

static void memory_free(etx__partition *partition, etx__memory *memory) {
    etx__engine_release(partition->home->engine, memory->block, memory->size);
    etx__engine_release(partition->home->engine, memory, sizeof *memory);
}

void etx__memory_return(etx__partition *partition, etx__memory *memory) {
    etx_assert(memory->running > 0);
    memory->running--;
    if (!memory->retired || memory->running > 0) {
        return;
    }
    etx__memory **link = &partition->retired;
    while (*link != memory) {
        link = &(*link)->next;
    }
    *link = memory->next;
    memory_free(partition, memory);
}

static void memory_retire(etx__partition *partition, etx__memory *memory) {
    if (memory->running == 0) {
        memory_free(partition, memory);
        return;
    }
    memory->retired = 1;
    memory->next = partition->retired;
    partition->retired = memory;
}

/* ---- claiming */

static etx_record own_record(const etx__partition *partition, uint64_t nonce) {
    const etx_engine *engine = partition->home->engine;
    const char *chosen = etx__chosen_recorded(partition);
    etx_record record = {.type = ETX_RECORD_OWN};
    record.u.own.nonce = nonce;
    record.u.own.time_ms = etx__clock_wall_ms();
    record.u.own.node = (etx_bytes){engine->node, strlen(engine->node)};
    record.u.own.chosen_home = (etx_bytes){chosen, strlen(chosen)};
    return record;
}

static etx_record loss_record(const etx__partition *partition) {
    etx_record record = {.type = ETX_RECORD_LOSS};
    record.u.loss = partition->loss;
    return record;
}

/* Who only reads owns nothing: what it has read is all that it will ever know. */
static int claim_nothing(etx__partition *partition) {
    partition->loaded_own = partition->read_next;
    return 0;
}

etx_bytes etx__own_batch(const etx__partition *partition, uint64_t nonce, uint8_t *room) {
    const etx_codec *codec = partition->home->engine->options.codec;
    etx_record own = own_record(partition, nonce);
    room[0] = codec->id;
    size_t len = 1 + codec->encode(&own, room + 1);
    if (partition->loss.time_ms != 0) {
        etx_record loss = loss_record(partition);
        len += codec->encode(&loss, room + len);
    }
    return (etx_bytes){room, len};
}

static int claim(etx__partition *partition) {
    uint8_t room[ETX__OWN_ROOM];
    uint64_t nonce = etx__random();
    etx__owner *owner = &partition->owner;
    etx_put *put = &partition->put;
    etx_bytes batch = etx__own_batch(partition, nonce, room);
    etx__owner_claim(owner, partition->number, nonce, partition->read_next,
                     partition->read_checksum);
    etx__owner_fill(owner, batch, put);
    partition->loaded_own = put->slot;
    etx__verdict verdict =
        etx__owner_judge(owner, put, partition->home->ops->put(partition->home->log, put));
    if (verdict == ETX__DURABLE) {
        etx__seen_note(partition, owner->slot - 1, owner->predecessor);
        etx__partition_mark(partition, owner->slot, partition->loaded->core->seq, batch.len);
        return 0;
    }
    snprintf(partition->message, sizeof partition->message, "claiming partition %u: %s",
             partition->number, put->message[0] ? put->message : "the slot is taken");
    return put->error != 0 ? put->error : ETX_EUNAVAILABLE;
}

/* What the claim said goes with its slot: it is said again, and its number is durable with it. */
void etx__partition_own_again(etx__partition *partition) {
    etx_record own = own_record(partition, partition->owner.nonce);
    etx__batch_append(partition, &own, 0);
    if (partition->loss.time_ms != 0) {
        etx_record loss = loss_record(partition);
        etx__batch_append(partition, &loss, 0);
    }
    partition->last->last_seq = etx__core_barrier(partition->memory->core);
}

static void register_all(etx__partition *partition, etx__core *core) {
    etx_engine *engine = partition->home->engine;
    /* One whose news came while the partition was not open is there, and not counted yet. */
    for (uint32_t i = 0; i < ETX__PARTICIPANTS_MAX && engine->registered[i] != NULL; i++) {
        etx__policy policy;
        etx__policy_of(engine->registered[i], &policy);
        etx__event event = {.type = ETX__EV_REGISTERED};
        event.now.mono_ms = etx__clock_us() / 1000;
        event.now.wall_ms = etx__clock_wall_ms();
        event.u.registered.place = i;
        event.u.registered.policy = &policy;
        etx__core_step(core, &event);
    }
}

static int is_lost(const etx_seen_mark *mark, uint64_t trimmed) {
    return mark->known && mark->slot >= trimmed;
}

/* Is what was acknowledged there, or trimmed, as far as nodes know? If not: was that accepted? */
static int judge_loss(const reader *all, uint64_t trimmed) {
    etx__partition *partition = all->partition;
    uint64_t accepted_ms = partition->loss.time_ms;
    int lost = is_lost(&all->remembered, trimmed);
    int told = 0;
    if (lost && accepted_ms <= all->remembered.accepted_ms) {
        return etx__seen_refuse(partition, &all->remembered, "", trimmed);
    }
    for (int i = 0; i < ETX__WORDS; i++) {
        const etx__word *word = &all->told[i];
        if (is_lost(&word->mark, trimmed) && accepted_ms <= word->mark.accepted_ms) {
            return etx__seen_refuse(partition, &word->mark, word->node, trimmed);
        }
        told |= is_lost(&word->mark, trimmed);
    }
    partition->loss_new = lost || (told && atomic_load(&partition->regressed));
    return 0;
}

static int read_into(etx__partition *partition) {
    etx__home *home = partition->home;
    uint64_t mark = 0;
    reader all = {.partition = partition,
                  .message = partition->message,
                  .message_size = sizeof partition->message};
    partition->loaded = memory_make(partition);
    if (partition->loaded == NULL) {
        snprintf(all.message, all.message_size,
                 "no memory for partition %u: raise the limit on address space (ulimit -v, "
                 "LimitAS=), or lower memory_max",
                 partition->number);
        return ETX_ENOMEM;
    }
    all.core = partition->loaded->core;
    all.remembered = etx__seen_of(partition);
    atomic_store(&partition->told_new, 0);
    etx__witness_of(partition, all.told);
    partition->chosen_then[0] = 0;
    partition->loss = (etx_record_loss){0};
    partition->loss_new = 0;
    partition->read_next = 0;
    partition->read_checksum = 0;
    partition->marks = 0;
    partition->bytes = 0;
    partition->blocks = 0;
    partition->trimmed = (etx__mark){0};
    partition->moving_seq = 0;
    int rc = home->ops->get(home->log, partition->number, 0, read_slot, &all, &mark, all.message,
                            all.message_size);
    etx__record_room_free(&home->engine->allocator, &all.room);
    return rc != 0 ? rc : judge_loss(&all, mark);
}

static int keep_loaded(etx__partition *partition, int rc) {
    if (rc != 0 && partition->loaded != NULL) {
        memory_free(partition, partition->loaded);
        partition->loaded = NULL;
    }
    return rc;
}

/* Reads the log into a new core, partition->loaded. */
static int read_all(etx__partition *partition) {
    const etx__home *home = partition->home;
    partition->message[0] = 0;
    if (atomic_load(&home->engine->life) != ETX__NEW && home->ops->reopen != NULL) {
        int rc = home->ops->reopen(home->log, partition->number, partition->message,
                                   sizeof partition->message);
        if (rc != 0) {
            return rc;
        }
    }
    int rc = read_into(partition);
    if (rc == ETX_EBUSY && !partition->whole) {
        partition->whole = 1;
        keep_loaded(partition, rc);
        rc = read_into(partition);
    }
    return rc;
}

void etx__partition_unload(etx__partition *partition) {
    keep_loaded(partition, ETX_ENOMEM);
}

int etx__partition_read(etx__partition *partition) {
    return keep_loaded(partition, read_all(partition));
}

int etx__partition_claim(etx__partition *partition) {
    return keep_loaded(partition, etx__engine_reads_only(partition->home->engine)
                                      ? claim_nothing(partition)
                                      : claim(partition));
}

/* Reading may have taken longer than its lease: it is another's to claim by now. */
static int may_claim(const etx__partition *partition) {
    return etx__partition_ours(partition) && etx__clock_us() < atomic_load(&partition->lease_us);
}

int etx__partition_load(etx__partition *partition) {
    int rc = read_all(partition);
    if (rc == 0 && etx__chosen_check_again(partition) != 0) {
        rc = ETX_ECONFLICT;
    }
    if (rc == 0 && !may_claim(partition)) {
        rc = ETX_EUNAVAILABLE;
        snprintf(partition->message, sizeof partition->message,
                 "the lease of partition %u was over before it was read", partition->number);
    }
    keep_loaded(partition, rc);
    return rc != 0 ? rc : etx__partition_claim(partition);
}

enum { LOOK_MS = 200 }; /* from the opening until the log is asked how much room it has */

static void tell_owned(etx__partition *partition) {
    const etx_record_loss *loss = &partition->loss;
    char text[ETX_NAME_MAX + ETX_REASON_MAX + 8];
    etx__partition_regained(partition);
    etx__monitor_home(partition->home, partition->number, ETX_EVENT_PARTITION_OWNED, "");
    if (partition->loss_new) {
        snprintf(text, sizeof text, "%.*s: %.*s", (int)loss->who.len, (const char *)loss->who.data,
                 (int)loss->why.len, (const char *)loss->why.data);
        etx__monitor_home(partition->home, partition->number, ETX_EVENT_LOSS_ACCEPTED, text);
    }
}

void etx__partition_install(etx__partition *partition) {
    etx_assert(partition->memory == NULL); /* what was there was forgotten before */
    partition->memory = partition->loaded;
    partition->loaded = NULL;
    partition->retries = 0;
    partition->retry_ms = 0;
    partition->fresh = 1;
    partition->room_ms = etx__clock_us() / 1000 + LOOK_MS;
    register_all(partition, partition->memory->core);
    atomic_store(&partition->nonce, partition->owner.nonce);
    atomic_store(&partition->recovered, partition->memory->core->live);
    atomic_store(&partition->lapsed, 0);
    atomic_store(&partition->state, ETX__OPEN);
    etx__event event = {.type = ETX__EV_RECOVERED};
    event.u.recovered.slot = partition->loaded_own;
    etx__partition_step(partition, &event);
    etx__partition_gauges(partition);
    if (!etx__engine_reads_only(partition->home->engine)) {
        tell_owned(partition);
    }
}

void etx__partition_forget(etx__partition *partition, int rc) {
    etx_assert(partition->memory != NULL); /* only what is open is forgotten */
    etx__event event = {.type = ETX__EV_FORGET};
    event.u.forget.rc = rc;
    etx__partition_step(partition, &event);
    /* What a put that has not come back reads stays as it is. */
    etx__batch *batches[2] = {partition->stuck ? NULL : partition->flying, partition->first};
    for (int i = 0; i < 2; i++) {
        for (etx__batch *batch = batches[i]; batch != NULL;) {
            etx__batch *next = batch->next;
            etx__batch_recycle(partition, batch);
            batch = next;
        }
    }
    partition->flying = partition->stuck ? partition->flying : NULL;
    partition->first = NULL;
    partition->last = NULL;
    partition->again = 0;
    partition->wake_ms = UINT64_MAX;
    partition->flush_ms = UINT64_MAX;
    memory_retire(partition, partition->memory);
    partition->memory = NULL;
    uint32_t before = atomic_exchange(&partition->live, 0);
    atomic_store(&partition->oldest_begin_ms, 0);
    atomic_fetch_sub(&partition->shard->live, before);
    atomic_fetch_sub(&partition->shard->bytes, atomic_exchange(&partition->memory_used, 0));
}

/* ---- partitions and their writers */

static void do_job(etx__partition *partition, etx__job job) {
    etx__home *home = partition->home;
    partition->job_rc = 0;
    if (job == ETX__JOB_PUT) {
        partition->put_result = home->ops->put(home->log, &partition->put);
    } else if (job == ETX__JOB_TRIM) {
        partition->job_rc = home->ops->trim(home->log, partition->number, partition->trim_to.slot);
    } else if (job == ETX__JOB_READ) {
        partition->job_rc = etx__partition_read(partition);
    } else if (job == ETX__JOB_CLAIM) {
        partition->job_rc = etx__partition_claim(partition);
    } else {
        etx_assert(job == ETX__JOB_LOAD);
        partition->job_rc = etx__partition_load(partition);
    }
}

static int writer_turn(void *argument) {
    etx__partition *partition = argument;
    etx__job job = (etx__job)atomic_load(&partition->job);
    if (job == ETX__JOB_NONE) {
        etx__futex_wait(&partition->job, ETX__JOB_NONE, UINT64_MAX);
        return 1;
    }
    if (job == ETX__JOB_STOP) {
        etx_engine *engine = partition->home->engine;
        atomic_store(&partition->writer_over, 1);
        etx__futex_wake(&partition->writer_over, 1);
        etx__engine_drop(engine);
        return 0;
    }
    do_job(partition, job);
    partition->job_was = job;
    uint32_t expected = job;
    atomic_compare_exchange_strong(&partition->job, &expected, ETX__JOB_NONE);
    if (job == ETX__JOB_PUT) {
        etx__shard_report(partition->shard, &partition->job_done);
    } else {
        etx__shard_send(partition->shard, &partition->job_done);
    }
    return 1;
}

int etx__writer_start(etx__partition *partition) {
    etx_engine *engine = partition->home->engine;
    etx__engine_hold(engine);
    int rc = etx__thread_start(&engine->allocator, &partition->writer, "etx-log", partition->place,
                               writer_turn, partition);
    partition->has_writer = rc == 0;
    if (rc != 0) {
        atomic_fetch_sub(&engine->holders, 1);
    }
    return rc;
}

void etx__writer_give(etx__partition *partition, etx__job job) {
    partition->busy = 1;
    atomic_store(&partition->job, job);
    etx__futex_wake(&partition->job, 1);
}

int etx__writer_stop(etx__partition *partition, uint64_t until_us) {
    if (!partition->has_writer) {
        return 0;
    }
    partition->has_writer = 0;
    atomic_store(&partition->job, ETX__JOB_STOP);
    etx__futex_wake(&partition->job, 1);
    for (uint64_t now;
         !atomic_load(&partition->writer_over) && (now = etx__clock_us()) < until_us;) {
        etx__futex_wait(&partition->writer_over, 0, until_us - now);
    }
    if (atomic_load(&partition->writer_over)) {
        etx__thread_join(partition->writer);
        return 0;
    }
    etx__thread_detach(partition->writer);
    partition->stuck = 1;
    return ETX_EBUSY;
}

etx__partition *etx__partition_make(etx__home *home, uint32_t number) {
    etx__partition *partition = etx__engine_alloc(home->engine, sizeof *partition);
    if (partition != NULL) {
        partition->home = home;
        partition->number = number;
        partition->job_done.kind = ETX__NODE_JOB;
        partition->put_usual_us = 100;
        partition->wake_ms = UINT64_MAX;
        partition->flush_ms = UINT64_MAX;
        partition->lease_us = etx__home_shared(home) ? 0 : UINT64_MAX;
        etx__room_measure(partition);
    }
    return partition;
}

void etx__partition_free(etx__partition *partition) {
    etx_engine *engine = partition->home->engine;
    etx__batch_free(engine, partition->flying);
    etx__batch_free(engine, partition->first);
    etx__batch_free(engine, partition->spare);
    if (partition->memory != NULL) {
        memory_free(partition, partition->memory);
    }
    if (partition->loaded != NULL) {
        memory_free(partition, partition->loaded);
    }
    while (partition->retired != NULL) {
        etx__memory *memory = partition->retired;
        partition->retired = memory->next;
        memory_free(partition, memory);
    }
    etx__engine_release(engine, partition, sizeof *partition);
}
