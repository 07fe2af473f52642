/* A partition's round: events into the core; its records into batches, its calls and answers
 * out. */
#include "partition.h"

#include <string.h>

#include "keeper.h"
#include "shard.h"
#include "seen.h"
#include "witness.h"

/* Happy path of a transaction: its BEGIN is stepped, encoded into the forming batch and put;
 * once the batch is durable, the core gives its calls; their answers bring the DECIDE into the
 * batch that forms by then. One put is in flight; what arrives meanwhile forms the next. A crash
 * between any two of these loses only what nobody was told. */

enum { REGRESSED_MS = 5000 }; /* until it is looked whether a loss was accepted */
enum { LACK_MS = 5 };         /* until memory that was lacking is asked for again */

/* ---- outputs of a step */

static void latency(etx__partition *partition, etx__histogram *histogram, const etx__entry *entry) {
    uint64_t now = partition->shard->now.mono_us;
    if (entry->begun_us > 0 && now >= entry->begun_us) {
        etx__histogram_add(histogram, now - entry->begun_us);
    }
}

static void take_records(etx__partition *partition, const etx__out *out) {
    etx__core *core = partition->memory->core;
    int watched = partition->home->engine->monitored != 0;
    for (uint32_t i = 0; i < out->record_count; i++) {
        const etx_record *record = &out->record[i];
        const etx__entry *entry = &core->entry[out->record_entry[i]];
        etx__batch_append(partition, record, entry->kind);
        if (record->type == ETX_RECORD_DECIDE) {
            latency(partition, &partition->decided_us, entry);
        } else if (record->type == ETX_RECORD_END) {
            latency(partition, &partition->ended_us, entry);
        } else if (record->type == ETX_RECORD_MOVE) {
            etx__count(&partition->moves, 1);
        }
        if (watched) {
            etx__tales_keep(partition, record, entry);
        }
        if (out->record_body[i] != NULL) {
            etx__ending_tell(partition, entry, out->record_body[i]);
        }
    }
}

static void tell(etx__partition *partition, const etx__told *told) {
    etx_engine *engine = partition->home->engine;
    etx_event_type type = (etx_event_type)told->type;
    if (!etx__monitor_wants(engine, type)) {
        return;
    }
    etx__core *core = partition->memory->core;
    const etx__entry *entry = told->entry != ETX__NOBODY ? &core->entry[told->entry] : NULL;
    etx_event event = {.size = sizeof event, .type = type};
    event.gid = entry != NULL ? (const char *)entry->gid : "";
    event.state = entry != NULL ? (etx_state)entry->state : ETX_NONE;
    event.marks = entry != NULL ? entry->marks : 0;
    event.begin_ms = entry != NULL ? entry->begin_ms : 0;
    if (told->branch != NULL) {
        event.branch = (const char *)told->branch->s.name;
        event.participant = (const char *)told->branch->s.participant;
        event.kind = (etx_kind)told->branch->s.kind;
    } else if (type == ETX_EVENT_UNREGISTERED && entry != NULL && entry->tx != NULL) {
        event.participant = (const char *)entry->tx->s.initiator;
    }
    event.operation = (etx_operation)told->operation;
    event.attempt = told->attempt;
    event.reason = told->reason;
    event.durability = etx__home_grade(partition->home);
    event.home = partition->home->info.id;
    event.partition = partition->number;
    etx__monitor_tell(engine, &event);
}

static void take_out(etx__partition *partition, const etx__out *out) {
    take_records(partition, out);
    if (out->record_count > 0 || out->want) {
        etx__batch *batch = etx__batch_forming(partition);
        etx_assert(batch != NULL);
        batch->last_seq = partition->memory->core->seq;
        if (out->want) {
            for (etx__batch *each = partition->first; each != NULL; each = each->next) {
                each->wanted = 1;
            }
        }
    }
    for (uint32_t i = 0; i < out->call_count; i++) {
        etx__call_send(partition, &out->call[i]);
    }
    for (uint32_t i = 0; i < out->told_count; i++) {
        tell(partition, &out->told[i]);
    }
    for (etx__waiter *waiter = out->answered; waiter != NULL;) {
        etx__waiter *next = waiter->next;
        etx__waiter_answer(partition, waiter);
        waiter = next;
    }
    if (out->silent > 0) {
        etx__count(&partition->calls_unknown, out->silent);
        etx__workers_watch(partition->home->engine);
    }
    partition->wake_ms = out->wake_ms;
}

/* How many are in flight, since when, in how much memory: known before anybody is answered. */
static void note_use(etx__partition *partition, const etx__core *core) {
    etx__shard *shard = partition->shard;
    uint64_t used = atomic_load_explicit(&partition->memory_used, memory_order_relaxed);
    uint32_t live = core->live;
    if (used != core->pool.used_bytes) {
        uint64_t others = atomic_load_explicit(&shard->bytes, memory_order_relaxed) - used;
        used = core->pool.used_bytes;
        atomic_store_explicit(&partition->memory_used, used, memory_order_relaxed);
        atomic_store_explicit(&shard->bytes, others + used, memory_order_relaxed);
    }
    uint32_t before = atomic_load_explicit(&partition->live, memory_order_relaxed);
    if (live != before) {
        atomic_store_explicit(&partition->live, live, memory_order_relaxed);
        before = atomic_load_explicit(&shard->live, memory_order_relaxed) - before;
        atomic_store_explicit(&shard->live, before + live, memory_order_relaxed);
    }
    atomic_store_explicit(&partition->oldest_begin_ms, etx__ages_oldest(&core->ages),
                          memory_order_relaxed);
}

void etx__partition_step(etx__partition *partition, etx__event *event) {
    etx__memory *memory = partition->memory;
    const etx__out *out;
    uint8_t more;
    do {
        event->now = partition->shard->now;
        out = etx__core_step(memory->core, event);
        more = out->more;
        note_use(partition, memory->core);
        take_out(partition, out);
    } while (more && event->type == ETX__EV_FORGET);
}

int etx__partition_step_list(etx__partition *partition, etx__list list, etx__event *event) {
    const etx__core *core = partition->memory->core;
    do {
        if (!etx__room_for_list(partition, list, event)) {
            return 0;
        }
        etx__partition_step(partition, event);
    } while (core->out->more);
    return 1;
}

static void step_durable(etx__partition *partition, uint64_t seq) {
    etx__event event = {.type = ETX__EV_DURABLE};
    event.u.durable.seq = seq;
    partition->unsettled = !etx__partition_step_list(partition, ETX__UNDURABLE, &event);
}

/* ---- durable */

static void count_durable(etx__partition *partition, const etx__batch *batch) {
    etx__count(&partition->puts, 1);
    etx__count(&partition->put_bytes, batch->len);
    etx__count(&partition->put_records, batch->records);
    etx__count(&partition->begun, batch->begun);
    for (int kind = 0; kind < ETX_METRICS_KINDS; kind++) {
        etx__count(&partition->kind_committed[kind], batch->committed[kind]);
        etx__count(&partition->kind_aborted[kind], batch->aborted[kind]);
    }
    etx__count(&partition->ended, batch->ended);
}

/* Full; or newly opened, when a log that was full before may not have noticed yet. */
static int looks_for_room(const etx__partition *partition) {
    return (partition->full || partition->fresh) && !partition->busy;
}

static void batch_durable(etx__partition *partition) {
    etx__batch *batch = partition->flying;
    uint64_t took = etx__clock_us() - partition->put_start_us;
    size_t written = batch->len;
    int padded = batch->padded;
    size_t len = written - batch->moves;
    etx__histogram_add(&partition->put_us, took);
    etx__histogram_add(&partition->put_batch, batch->records);
    if (took > atomic_load_explicit(&partition->put_max_us, memory_order_relaxed)) {
        atomic_store_explicit(&partition->put_max_us, took, memory_order_relaxed);
    }
    partition->put_usual_us = (partition->put_usual_us * 7 + took) / 8;
    int failed = partition->retries > 0 || partition->hangs;
    partition->retries = 0;
    partition->again = 0;
    partition->flying = NULL;
    etx__seen_note(partition, partition->owner.slot - 1, partition->owner.predecessor);
    count_durable(partition, batch);
    /* A step's records may stand in two batches, and the first does not count that step: what was
     * moved there would be trimmed, and not moved again. The newest of all is never too old. */
    etx__partition_mark(partition, partition->owner.slot, partition->memory->core->seq, batch->len);
    etx__tales_tell(partition, batch);
    uint64_t seq = batch->last_seq;
    etx__batch_recycle(partition, batch);
    step_durable(partition, seq);
    etx__full_look(partition);
    etx__full_took(partition, written, padded);
    if (failed) {
        etx__home_well(partition->home);
    }
    etx__partition_trim(partition, len);
}

/* ---- putting */

int etx__partition_has_lease(const etx__partition *partition) {
    return partition->shard->now.mono_us <
           atomic_load_explicit(&partition->lease_us, memory_order_relaxed);
}

int etx__partition_put_due(const etx__partition *partition) {
    uint64_t now = partition->shard->now.mono_ms;
    if (partition->state != ETX__OPEN || partition->busy) {
        return 0;
    }
    if (partition->again) { /* what is outstanding is settled, with the lease or without */
        return now >= partition->retry_ms;
    }
    const etx__batch *first = partition->first;
    return first != NULL && etx__partition_has_lease(partition) && now >= partition->retry_ms &&
           (first->wanted || now >= first->since_ms + partition->home->engine->options.flush_ms);
}

/* What nobody waits for rides along; then the oldest batch is closed. */
static void take_off(etx__partition *partition) {
    etx__event event = {.type = ETX__EV_FLUSH};
    if (partition->first->next == NULL) { /* what finds no room comes with the next */
        etx__partition_step_list(partition, ETX__DIRTY, &event);
        etx__flush_note(partition);
    }
    partition->flying = partition->first;
    partition->first = partition->flying->next;
    if (partition->first == NULL) {
        partition->last = NULL;
    }
    partition->flying->next = NULL;
}

static void judge(etx__partition *partition);

int etx__partition_put(etx__partition *partition, int may_inline) {
    if (!partition->again) {
        take_off(partition);
        etx__full_pad(partition, partition->flying);
    }
    partition->again = 0;
    etx__batch *batch = partition->flying;
    etx__owner_fill(&partition->owner, (etx_bytes){batch->bytes, batch->len}, &partition->put);
    partition->put.begins = batch->begun > 0;
    partition->put_start_us = etx__clock_us();
    if (may_inline && (partition->home->info.flags & ETX_LOG_FAST)) {
        atomic_store(&partition->shard->writes, 1);
        partition->put_result = partition->home->ops->put(partition->home->log, &partition->put);
        atomic_store(&partition->shard->writes, 0);
        etx__count(&partition->inline_puts, 1);
        etx__shard_look(partition->shard);
        judge(partition);
        return 1;
    }
    etx__writer_give(partition, ETX__JOB_PUT);
    return 1;
}

uint64_t etx__partition_pause_ms(uint32_t retries) {
    uint64_t pause = 20ull << (retries < 9 ? retries : 9);
    return pause < 5000 ? pause : 5000;
}

/* New transactions do not wait for a home that does not answer: what is only queued there goes
 * elsewhere, or is refused. */
static void down(etx__partition *partition, const char *why, int error) {
    etx__home_down(partition->home, error, why);
    if (partition->first != NULL) {
        etx__batch_give_back(partition, &partition->first, error);
    }
}

static void watch_put(etx__partition *partition) {
    uint64_t since_us = partition->shard->now.mono_us - partition->put_start_us;
    if (!partition->hangs && since_us >= ETX__PUT_HANGS_MS * 1000ull) {
        partition->hangs = 1;
        down(partition, "a write to its log does not come back", ETX_EUNAVAILABLE);
    }
}

static void put_later(etx__partition *partition, uint8_t again) {
    partition->again = again;
    partition->retry_ms =
        partition->shard->now.mono_ms + etx__partition_pause_ms(partition->retries++);
    etx__full_again(partition);
}

static void poisoned(etx__partition *partition) {
    etx__home *home = partition->home;
    const char *message = partition->put.message;
    const char *why = message[0] ? message : "a write to the log failed";
    atomic_store(&partition->state, ETX__POISONED);
    etx__home_down(home, ETX_EUNAVAILABLE, why);
    etx__monitor_home(home, partition->number, ETX_EVENT_LOG_POISONED, why);
    etx__partition_forget(partition, ETX_EUNKNOWN);
    partition->retry_ms =
        partition->shard->now.mono_ms + etx__partition_pause_ms(partition->retries++);
}

/* Its transactions go on at its new owner. Who waits for one asks by gid. */
static void leave(etx__partition *partition, etx_event_type type, const char *why) {
    atomic_store(&partition->state, ETX__ELSEWHERE);
    atomic_store(&partition->lease_us, 0);
    etx__monitor_home(partition->home, partition->number, type, why);
    etx__partition_forget(partition, ETX_EUNKNOWN);
    partition->retries = 0;
    partition->retry_ms = 0;
}

static void gone(etx__partition *partition, etx_event_type type, const char *why) {
    if (type == ETX_EVENT_PARTITION_LOST && etx__home_shared(partition->home)) {
        uint32_t own = ETX__WISH_OWN; /* until the keeper has looked anew */
        atomic_compare_exchange_strong(&partition->wish, &own, ETX__WISH_AWAY);
        leave(partition, type, why);
        return;
    }
    if (etx__home_shared(partition->home)) { /* it is read again: somebody may accept that */
        atomic_store(&partition->state, ETX__ELSEWHERE);
        etx__partition_regress(partition, why);
        etx__partition_forget(partition, ETX_EUNKNOWN);
        return;
    }
    atomic_store(&partition->state, ETX__GONE);
    etx__home_down(partition->home, ETX_EUNAVAILABLE, why);
    etx__monitor_home(partition->home, partition->number, type, why);
    etx__partition_forget(partition, ETX_EUNKNOWN);
}

static void judge(etx__partition *partition) {
    etx__verdict verdict =
        etx__owner_judge(&partition->owner, &partition->put, partition->put_result);
    if (verdict != ETX__DURABLE) {
        etx__count(&partition->put_failures, 1);
        etx__count(&partition->put_unknown, partition->put_result == ETX_PUT_UNKNOWN);
        if (partition->put.error == ETX_EFULL) {
            etx__full_note(partition);
        }
    }
    switch (verdict) {
        case ETX__DURABLE:
            batch_durable(partition);
            return;
        case ETX__AGAIN:
            put_later(partition, 1);
            down(partition, partition->put.message, partition->put.error);
            return;
        case ETX__PROVE:
            put_later(partition, 1);
            return;
        case ETX__GIVE_BACK:
            if (partition->put.error != ETX_ENOMEM) { /* the memory is this process's */
                etx__home_down(partition->home, partition->put.error, partition->put.message);
            }
            put_later(partition, 0);
            etx__full_unpad(partition->flying);
            if (etx__batch_give_back(partition, &partition->flying, partition->put.error) != 0) {
                partition->again = 1; /* then the same is put again */
            }
            return;
        case ETX__LOST:
            gone(partition, ETX_EVENT_PARTITION_LOST, "another process owns the partition now");
            return;
        case ETX__BROKEN:
            poisoned(partition);
            return;
        case ETX__REGRESSED:
            gone(partition, ETX_EVENT_LOG_REGRESSED,
                 "the store has lost what it acknowledged: nothing is decided here any more");
            return;
    }
}

/* Could another node do better with what the log says? Not while the store is away. */
static uint32_t is_of_this_node(int rc) {
    return rc != ETX_EUNAVAILABLE && rc != ETX_EBUSY && rc != ETX_EFULL && rc != ETX_EIO;
}

void etx__partition_job_done(etx__partition *partition) {
    partition->busy = 0;
    if (partition->state == ETX__CLOSED) {
        return; /* it came back after the close: nobody is left to be told */
    }
    if (partition->job_was == ETX__JOB_PUT) {
        judge(partition);
        partition->hangs = 0;
    } else if (partition->job_was == ETX__JOB_TRIM && partition->job_rc == 0) {
        partition->trimmed = partition->trim_to;
        etx__count(&partition->trims, 1);
        etx__full_look(partition);
    } else if (partition->job_was == ETX__JOB_LOAD) {
        atomic_store(&partition->loading, 0);
        if (!etx__partition_ours(partition)) { /* given up meanwhile */
            etx__partition_unload(partition);
            atomic_store(&partition->state, ETX__ELSEWHERE);
            return;
        }
        if (partition->job_rc == 0) {
            atomic_store(&partition->load_failures, 0);
            etx__partition_install(partition);
            etx__home_well(partition->home);
            return;
        }
        if (partition->job_rc == ETX_EREGRESSED) {
            etx__partition_regress(partition, partition->message);
            partition->retry_ms = partition->shard->now.mono_ms + REGRESSED_MS;
            return;
        }
        atomic_fetch_add(&partition->load_failures, is_of_this_node(partition->job_rc));
        if (partition->job_rc == ETX_ECONFLICT) { /* a start with this list would be refused */
            atomic_store(&partition->home->unfit, 1);
        }
        partition->retry_ms =
            partition->shard->now.mono_ms + etx__partition_pause_ms(partition->retries++);
        etx__home_down(partition->home, partition->job_rc, partition->message);
    }
}

/* ---- time */

/* Nothing is in flight, or on its way to the log. */
static int is_quiet(const etx__partition *partition) {
    return atomic_load_explicit(&partition->live, memory_order_relaxed) == 0 &&
           partition->first == NULL && partition->flying == NULL;
}

void etx__partition_gauges(etx__partition *partition) {
    const etx__core *core = partition->memory->core;
    atomic_store_explicit(&partition->parked, core->parked, memory_order_relaxed);
    atomic_store_explicit(&partition->stalled, core->stalled, memory_order_relaxed);
    atomic_store_explicit(&partition->remembered, core->remembered, memory_order_relaxed);
    atomic_store_explicit(&partition->calls_out, core->calls, memory_order_relaxed);
    atomic_store_explicit(&partition->oldest_ms, etx__core_known_since(core), memory_order_relaxed);
}

/* Is it to be read and claimed, and when it is time? */
static int wants_load(const etx__partition *partition) {
    return !partition->busy &&
           (partition->state == ETX__POISONED ||
            (partition->state == ETX__ELSEWHERE && partition->wish == ETX__WISH_OWN));
}

/* Its lease had run out: did another have it meanwhile? A put will tell: the claim said again. */
static void ask_the_log(etx__partition *partition) {
    if (partition->state != ETX__OPEN || partition->busy) {
        return;
    }
    if (etx__room_make(partition, etx__need_of_own(partition), 0)) {
        atomic_store(&partition->lapsed, 0);
        etx__partition_own_again(partition);
        partition->last->wanted = 1;
    }
}

/* Another node remembers what it did not find: it is read again, with that in mind, unless that was
 * accepted before. */
static void weigh(etx__partition *partition) {
    etx__word told[ETX__WORDS];
    int counts = 0;
    atomic_store(&partition->told_new, 0);
    etx__witness_of(partition, told);
    for (int i = 0; i < ETX__WORDS; i++) {
        counts |= told[i].mark.known && told[i].mark.accepted_ms >= partition->loss.time_ms;
    }
    if (counts) {
        atomic_store(&partition->state, ETX__ELSEWHERE);
        etx__partition_forget(partition, ETX_EUNKNOWN);
        partition->retries = 0;
        partition->retry_ms = 0;
    }
}

/* Does what the keeper wants. */
static void obey(etx__partition *partition) {
    uint32_t wish = atomic_load_explicit(&partition->wish, memory_order_relaxed);
    if (atomic_load_explicit(&partition->told_new, memory_order_relaxed) && !partition->busy &&
        partition->state == ETX__OPEN) {
        weigh(partition);
    }
    if (wish == ETX__WISH_OWN && atomic_load_explicit(&partition->lapsed, memory_order_relaxed)) {
        ask_the_log(partition);
    }
    if (wish == ETX__WISH_OWN || partition->busy) {
        return; /* a put that is on its way comes back first */
    }
    if (partition->state == ETX__POISONED) {
        atomic_store(&partition->state, ETX__ELSEWHERE);
    } else if (partition->state == ETX__OPEN && wish == ETX__WISH_AWAY) {
        leave(partition, ETX_EVENT_PARTITION_LOST, "another node has its lease now");
    } else if (partition->state == ETX__OPEN &&
               (is_quiet(partition) ||
                partition->shard->now.mono_us >= atomic_load(&partition->leave_us))) {
        leave(partition, ETX_EVENT_PARTITION_LEFT, "handed over");
    }
}

void etx__partition_tick(etx__partition *partition) {
    uint64_t now = partition->shard->now.mono_ms;
    if (partition->home->keeper != NULL) {
        obey(partition);
    }
    if (wants_load(partition) && now >= partition->retry_ms) {
        atomic_store(&partition->loading, 1);
        if (wants_load(partition)) { /* still: from now on the keeper sees that it is read */
            etx__writer_give(partition, ETX__JOB_LOAD);
        } else {
            atomic_store(&partition->loading, 0);
        }
    }
    if (partition->state != ETX__OPEN) {
        return;
    }
    if (partition->unsettled) {
        step_durable(partition, partition->memory->core->durable);
    }
    etx__full_probe(partition);
    for (int i = 0; i < 256 && partition->wake_ms <= now; i++) {
        const etx__core *core = partition->memory->core;
        uint32_t due = core->timer_count > 0 ? core->timer[0].entry : ETX__NOBODY;
        if (!etx__room_make(partition, etx__need_of_entry(partition, due), 0)) {
            partition->wake_ms = now + LACK_MS;
            break;
        }
        etx__event event = {.type = ETX__EV_TICK};
        etx__partition_step(partition, &event);
    }
    etx__flush_look(partition);
    if (partition->busy && partition->flying != NULL) {
        watch_put(partition);
    }
    if (looks_for_room(partition) && now >= partition->room_ms) {
        partition->fresh = 0;
        partition->room_ms = now + 200;
        etx__full_look(partition);
        etx__partition_trim(partition, 0);
    }
    etx__partition_gauges(partition);
}

/* To be handed over: when the time for that is up. */
static uint64_t leave_wake(const etx__partition *partition) {
    return partition->home->keeper != NULL && partition->wish == ETX__WISH_LEAVE && !partition->busy
               ? atomic_load(&partition->leave_us) / 1000 + 1
               : UINT64_MAX;
}

static uint64_t sooner(uint64_t a, uint64_t b) {
    return a < b ? a : b;
}

uint64_t etx__partition_wake(etx__partition *partition) {
    if (wants_load(partition)) {
        return partition->retry_ms;
    }
    if (partition->state != ETX__OPEN) {
        return UINT64_MAX;
    }
    etx__flush_note(partition);
    uint64_t wake = sooner(partition->wake_ms, leave_wake(partition));
    if (partition->unsettled) {
        wake = sooner(wake, partition->shard->now.mono_ms + LACK_MS);
    }
    if (looks_for_room(partition)) {
        wake = sooner(wake, partition->room_ms);
    }
    if (partition->busy) {
        uint64_t hangs_ms = partition->put_start_us / 1000 + ETX__PUT_HANGS_MS + 1;
        return partition->flying != NULL && !partition->hangs ? sooner(wake, hangs_ms) : wake;
    }
    if (partition->again) {
        return sooner(wake, partition->retry_ms);
    }
    if (!etx__partition_has_lease(partition)) {
        return wake; /* the keeper rings */
    }
    if (partition->first != NULL) {
        uint64_t flush = partition->first->since_ms + partition->home->engine->options.flush_ms;
        uint64_t due = partition->first->wanted ? 0 : flush;
        wake = sooner(wake, due > partition->retry_ms ? due : partition->retry_ms);
    }
    return sooner(wake, etx__flush_wake(partition));
}
