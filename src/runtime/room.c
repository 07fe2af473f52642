/* Room: what a step may bring has its place before it is stepped, so that no lack of memory can
 * come between what the core says and the log. */
#include <string.h>

#include "home.h"
#include "shard.h"

/* A step's records go into the batch that forms, and on into spare ones; its calls into a ring. If
 * there is no memory for that, the step waits: a command that would begin or change something is
 * refused (ETX_ENOMEM) and has not happened; answers, timers and acknowledgements are dealt with
 * later. A batch that was put comes back as a spare one, and what begins leaves one that is large
 * enough for its decision: so what has begun goes on without new memory, one batch at a time. */

enum { BATCH = 64 * 1024 };

/* ---- batches */

static size_t usable(const etx__partition *partition, const etx__batch *batch) {
    size_t most = partition->home->info.batch_max;
    return batch->room < most ? batch->room : most;
}

static etx__batch *batch_make(etx__partition *partition, size_t room) {
    etx_engine *engine = partition->home->engine;
    etx__batch *batch = etx__engine_alloc(engine, sizeof *batch);
    if (batch == NULL) {
        return NULL;
    }
    batch->room = room > BATCH ? room : BATCH;
    batch->bytes = etx__engine_alloc(engine, batch->room);
    if (batch->bytes == NULL) {
        etx__engine_release(engine, batch, sizeof *batch);
        return NULL;
    }
    return batch;
}

etx__batch *etx__spare_take(etx__partition *partition, size_t bytes) {
    for (etx__batch **link = &partition->spare; *link != NULL; link = &(*link)->next) {
        etx__batch *batch = *link;
        if (usable(partition, batch) > bytes) {
            *link = batch->next;
            batch->next = NULL;
            return batch;
        }
    }
    return batch_make(partition, bytes + 1);
}

/* Spare ones that hold so many bytes, `count` times. 0: there are not, and cannot be. */
static int spares(etx__partition *partition, size_t bytes, size_t count) {
    size_t most = partition->home->info.batch_max;
    size_t room = bytes + 1;
    if (room > most) { /* two that follow one another hold more than one is large */
        count *= 2 * (bytes / (most - 1)) + 2;
        room = most;
    }
    for (const etx__batch *batch = partition->spare; batch != NULL && count > 0;
         batch = batch->next) {
        count -= usable(partition, batch) >= room;
    }
    for (; count > 0; count--) {
        etx__batch *batch = batch_make(partition, room);
        if (batch == NULL) {
            return 0;
        }
        batch->next = partition->spare;
        partition->spare = batch;
    }
    return 1;
}

size_t etx__room_left(const etx__partition *partition) {
    const etx__batch *forming = partition->last;
    return forming != NULL ? usable(partition, forming) - forming->len : 0;
}

/* ---- calls */

static int ring_has_room(const etx__shard *shard) {
    return shard->due_room - shard->due_count >= ETX__OUT_MAX;
}

static int ring_grow(etx__shard *shard) {
    uint32_t room = shard->due_room;
    etx__due *ring = etx__engine_alloc(shard->engine, (size_t)room * 2 * sizeof *ring);
    if (ring == NULL) {
        return 0;
    }
    for (uint32_t i = 0; i < shard->due_count; i++) {
        ring[i] = shard->due[(shard->due_first + i) & (room - 1)];
    }
    etx__engine_release(shard->engine, shard->due, room * sizeof *ring);
    shard->due = ring;
    shard->due_first = 0;
    shard->due_room = room * 2;
    return 1;
}

/* ---- what a step needs */

int etx__room_make(etx__partition *partition, size_t need, int begins) {
    int fits = etx__room_left(partition) >= need;
    int found = fits && !begins;
    return (found || spares(partition, need, (fits ? 0u : 1u) + (begins ? 1u : 0u))) &&
           (ring_has_room(partition->shard) || ring_grow(partition->shard));
}

size_t etx__need_bytes(const etx__partition *partition, size_t bytes) {
    return partition->record_room + bytes * partition->byte_room / 16;
}

size_t etx__need_of_own(const etx__partition *partition) {
    size_t loss = etx__need_bytes(partition, ETX_NAME_MAX + ETX_REASON_MAX);
    return etx__need_bytes(partition, ETX_NAME_MAX + ETX_HOME_ID_LEN) + loss;
}

size_t etx__need_of(const etx__partition *partition, const etx__tx *tx) {
    enum { OTHERS = 4 }; /* a decision, an end, what an operator said, a mark */
    size_t branches = tx != NULL ? tx->s.branch_count : 0;
    size_t bytes = tx != NULL ? tx->image_size : 0;
    return (branches + OTHERS) * partition->record_room + etx__need_bytes(partition, bytes);
}

size_t etx__need_of_entry(const etx__partition *partition, uint32_t entry) {
    const etx__core *core = partition->memory->core;
    return etx__need_of(partition, entry < core->entries_top ? core->entry[entry].tx : NULL);
}

static const etx__tx *first_of(const etx__core *core, etx__list list) {
    uint32_t first = core->list[list].first;
    return first != 0 ? core->entry[first - 1].tx : NULL;
}

int etx__room_for_list(etx__partition *partition, etx__list list, etx__event *event) {
    const etx__tx *first = first_of(partition->memory->core, list);
    size_t need = etx__need_of(partition, first);
    if (first != NULL && !etx__room_make(partition, need, 0)) {
        return 0;
    }
    size_t left = etx__room_left(partition);
    for (const etx__batch *batch = partition->spare; left < need && batch != NULL;
         batch = batch->next) {
        left = usable(partition, batch) - 1 > left ? usable(partition, batch) - 1 : left;
    }
    event->u.durable.room = (left > need ? left : need) * 16 / partition->byte_room;
    event->u.durable.each = partition->record_room;
    return 1;
}

/* ---- what the codec makes of it */

static size_t bound_of(const etx__partition *partition, const etx_record *record) {
    return partition->home->engine->options.codec->bound(record);
}

void etx__room_measure(etx__partition *partition) {
    enum { SOME = 1024 };
    uint8_t text[SOME];
    memset(text, '~', sizeof text);
    etx_record record = {.type = ETX_RECORD_DECIDE, .gid = {text, ETX_GID_MAX}};
    size_t none = bound_of(partition, &record);
    record.u.decide.reason = (etx_bytes){text, ETX_REASON_MAX};
    size_t reason = bound_of(partition, &record);
    record.u.decide.who = (etx_bytes){text, ETX_NAME_MAX};
    size_t most = bound_of(partition, &record);
    size_t factor = (reason - none) * 16 / ETX_REASON_MAX + 1;
    record = (etx_record){.type = ETX_RECORD_RESULT, .gid = {text, ETX_GID_MAX}};
    none = bound_of(partition, &record);
    record.u.result.bytes = (etx_bytes){text, SOME};
    size_t bytes = (bound_of(partition, &record) - none) * 16 / SOME + 1;
    partition->record_room = (uint32_t)(most > none ? most : none) + 128;
    partition->byte_room = (uint32_t)(factor > bytes ? factor : bytes);
    partition->byte_room = partition->byte_room < 16 ? 16 : partition->byte_room;
}
