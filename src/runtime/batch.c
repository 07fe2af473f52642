/* Batches: records on their way to one slot, and the events that are told once they are durable. */
#include <string.h>

#include "home.h"
#include "partition.h"
#include "shard.h"

enum { ROOM = 64 * 1024, RESERVE_MAX = 4 << 20 };

static etx__batch *batch_new(etx_engine *engine, size_t room) {
    etx__batch *batch = etx__engine_alloc(engine, sizeof *batch);
    if (batch == NULL) {
        return NULL;
    }
    batch->room = room;
    batch->bytes = etx__engine_alloc(engine, room);
    if (batch->bytes == NULL) {
        etx__engine_release(engine, batch, sizeof *batch);
        batch = NULL;
    }
    return batch;
}

int etx__batch_reserve(etx__partition *partition) {
    size_t room = partition->home->info.batch_max;
    room = room < RESERVE_MAX ? room : RESERVE_MAX;
    for (int i = 0; i < 2; i++) {
        etx__batch *batch = batch_new(partition->home->engine, room);
        if (batch == NULL) {
            return ETX_ENOMEM;
        }
        batch->reserve = 1;
        batch->next = partition->reserve;
        partition->reserve = batch;
    }
    return 0;
}

int etx__batch_starves(const etx__partition *partition) {
    return partition->reserve == NULL || partition->reserve->next == NULL;
}

static etx__batch *take(etx__batch **from) {
    etx__batch *batch = *from;
    if (batch != NULL) {
        *from = batch->next;
        batch->next = NULL;
    }
    return batch;
}

static etx__batch *batch_make(etx__partition *partition) {
    etx__batch *batch = take(&partition->spare);
    if (batch == NULL) {
        batch = batch_new(partition->home->engine, ROOM);
    }
    return batch != NULL ? batch : take(&partition->reserve);
}

static etx__batch *form_next(etx__partition *partition) {
    etx__batch *batch = batch_make(partition);
    if (batch == NULL) {
        return NULL;
    }
    batch->bytes[0] = partition->home->engine->options.codec->id;
    batch->len = 1;
    batch->since_ms = partition->shard->now.mono_ms;
    if (partition->last != NULL) {
        batch->last_seq = partition->last->last_seq;
        partition->last->next = batch;
    } else {
        partition->first = batch;
    }
    partition->last = batch;
    return batch;
}

etx__batch *etx__batch_forming(etx__partition *partition) {
    return partition->last != NULL ? partition->last : form_next(partition);
}

void etx__batch_recycle(etx__partition *partition, etx__batch *batch) {
    uint8_t *bytes = batch->bytes;
    size_t room = batch->room;
    etx__tale *tale = batch->tale;
    uint32_t tales_room = batch->tales_room;
    uint8_t reserve = batch->reserve;
    etx__batch **to = reserve ? &partition->reserve : &partition->spare;
    memset(batch, 0, sizeof *batch);
    batch->bytes = bytes;
    batch->room = room;
    batch->tale = tale;
    batch->tales_room = tales_room;
    batch->reserve = reserve;
    batch->next = *to;
    *to = batch;
}

void etx__batch_free(etx_engine *engine, etx__batch *batch) {
    while (batch != NULL) {
        etx__batch *next = batch->next;
        etx__engine_release(engine, batch->tale, batch->tales_room * sizeof *batch->tale);
        etx__engine_release(engine, batch->bytes, batch->room);
        etx__engine_release(engine, batch, sizeof *batch);
        batch = next;
    }
}

static int grow(etx_engine *engine, uint8_t **block, size_t used, size_t *room, size_t need) {
    size_t size = *room * 2;
    while (size < need) {
        size *= 2;
    }
    uint8_t *bigger = etx__engine_alloc(engine, size);
    if (bigger == NULL) {
        return ETX_ENOMEM;
    }
    memcpy(bigger, *block, used);
    etx__engine_release(engine, *block, *room);
    *block = bigger;
    *room = size;
    return 0;
}

/* The batch goes on in a block of the reserve, which gets the batch's own. */
static int grow_by_reserve(etx__partition *partition, etx__batch *batch, size_t need) {
    uint8_t *bytes = batch->bytes;
    size_t room = batch->room;
    if (partition->reserve == NULL || partition->reserve->room < need) {
        return ETX_ENOMEM;
    }
    etx__batch *large = take(&partition->reserve);
    memcpy(large->bytes, bytes, batch->len);
    batch->bytes = large->bytes;
    batch->room = large->room;
    batch->reserve = 1;
    large->bytes = bytes;
    large->room = room;
    large->reserve = 0;
    etx__batch_recycle(partition, large);
    return 0;
}

/* The forming batch with room for `bytes` more. */
static etx__batch *batch_with_room(etx__partition *partition, size_t bytes) {
    etx__batch *batch = etx__batch_forming(partition);
    if (batch != NULL && batch->len + bytes > partition->home->info.batch_max) {
        batch = form_next(partition);
    }
    if (batch != NULL && batch->len + bytes > batch->room &&
        grow(partition->home->engine, &batch->bytes, batch->len, &batch->room,
             batch->len + bytes) != 0 &&
        grow_by_reserve(partition, batch, batch->len + bytes) != 0) {
        batch = NULL;
    }
    return batch;
}

static void count(etx__batch *batch, const etx_record *record) {
    batch->records++;
    batch->begun += record->type == ETX_RECORD_BEGIN;
    batch->ended += record->type == ETX_RECORD_END;
    if (record->type == ETX_RECORD_DECIDE) {
        batch->committed += record->u.decide.commit;
        batch->aborted += !record->u.decide.commit;
    }
}

void etx__batch_append(etx__partition *partition, const etx_record *record) {
    const etx_codec *codec = partition->home->engine->options.codec;
    etx__batch *batch = batch_with_room(partition, codec->bound(record));
    /* Where there is no memory the reserve is taken, and nothing new is begun until it is back: one
     * batch of it flies, what is live finishes into the other. */
    etx_assert(batch != NULL);
    size_t len = codec->encode(record, batch->bytes + batch->len);
    etx_assert(len > 0); /* what cannot be read again is never written */
    batch->len += len;
    batch->moves += record->type == ETX_RECORD_MOVE ? len : 0;
    count(batch, record);
}

/* ---- events that wait for their batch */

void etx__tale_keep(etx__partition *partition,
                    etx_event_type type,
                    const etx__entry *entry,
                    const char *reason) {
    etx_engine *engine = partition->home->engine;
    etx__batch *batch = etx__batch_forming(partition);
    if (batch == NULL || !etx__monitor_wants(engine, type)) {
        return;
    }
    if (batch->tales == batch->tales_room) {
        size_t room = batch->tales_room * sizeof *batch->tale;
        uint8_t *block = (uint8_t *)batch->tale;
        if (batch->tales_room == 0) {
            room = 16 * sizeof *batch->tale;
            block = etx__engine_alloc(engine, room);
        } else if (grow(engine, &block, room, &room, room + 1) != 0) {
            block = NULL;
        }
        if (block == NULL) {
            return;
        }
        batch->tale = (etx__tale *)(void *)block;
        batch->tales_room = (uint32_t)(room / sizeof *batch->tale);
    }
    etx__tale *tale = &batch->tale[batch->tales++];
    tale->type = (uint8_t)type;
    tale->state = entry->state;
    tale->marks = entry->marks;
    memcpy(tale->gid, entry->gid, entry->gid_len + 1u);
    size_t len = reason != NULL ? strnlen(reason, ETX_REASON_MAX) : 0;
    memcpy(tale->reason, reason != NULL ? reason : "", len);
    tale->reason[len] = 0;
}

void etx__tales_tell(etx__partition *partition, etx__batch *batch) {
    for (uint32_t i = 0; i < batch->tales; i++) {
        const etx__tale *tale = &batch->tale[i];
        etx_event event = {.size = sizeof event, .type = (etx_event_type)tale->type};
        event.gid = tale->gid;
        event.state = (etx_state)tale->state;
        event.marks = tale->marks;
        event.reason = tale->reason;
        event.durability = partition->home->info.grade;
        event.home = partition->home->info.id;
        event.partition = partition->number;
        etx__monitor_tell(partition->home->engine, &event);
    }
    batch->tales = 0;
}

/* ---- giving back */

/* Gids whose BEGIN stands in a batch that was not written. */
typedef struct etx__given_up {
    char (*gid)[ETX_GID_MAX + 1];
    uint32_t count, room;
    etx_record_room decode;
} etx__given_up;

typedef int (*record_fn)(etx__partition *partition,
                         const etx_record *record,
                         etx_bytes raw,
                         void *user);

static int each_record(etx__partition *partition,
                       const etx__batch *batch,
                       etx_record_room *room,
                       record_fn each,
                       void *user) {
    const etx_codec *codec = partition->home->engine->options.codec;
    size_t at = 1;
    while (at < batch->len) {
        etx_record record;
        size_t used = 0;
        int rc =
            codec->decode((etx_bytes){batch->bytes + at, batch->len - at}, room, &record, &used);
        if (rc == ETX_EBUSY) {
            rc = etx_record_room_grow(room);
            if (rc == 0) {
                continue;
            }
        }
        rc = rc != 0 ? rc : each(partition, &record, (etx_bytes){batch->bytes + at, used}, user);
        if (rc != 0) {
            return rc;
        }
        at += used;
    }
    return 0;
}

static int note_begin(etx__partition *partition,
                      const etx_record *record,
                      etx_bytes raw,
                      void *user) {
    etx__given_up *up = user;
    (void)raw;
    if (record->type != ETX_RECORD_BEGIN) {
        return 0;
    }
    if (up->count == up->room) {
        size_t size = up->room * sizeof *up->gid;
        uint8_t *block = (uint8_t *)up->gid;
        if (up->room == 0) {
            size = 64 * sizeof *up->gid;
            block = etx__engine_alloc(partition->home->engine, size);
        } else if (grow(partition->home->engine, &block, size, &size, size + 1) != 0) {
            block = NULL;
        }
        if (block == NULL) {
            return ETX_ENOMEM;
        }
        up->gid = (void *)block;
        up->room = (uint32_t)(size / sizeof *up->gid);
    }
    memcpy(up->gid[up->count], record->gid.data, record->gid.len);
    up->gid[up->count++][record->gid.len] = 0;
    return 0;
}

static int is_given_up(const etx__given_up *up, etx_bytes gid) {
    for (uint32_t i = 0; i < up->count; i++) {
        if (strlen(up->gid[i]) == gid.len && memcmp(up->gid[i], gid.data, gid.len) == 0) {
            return 1;
        }
    }
    return 0;
}

/* What stays goes into the batches that form now, as it is. */
static int keep_others(etx__partition *partition,
                       const etx_record *record,
                       etx_bytes raw,
                       void *user) {
    if (is_given_up(user, record->gid)) {
        return 0;
    }
    etx__batch *batch = batch_with_room(partition, raw.len);
    if (batch == NULL) {
        return ETX_ENOMEM;
    }
    memcpy(batch->bytes + batch->len, raw.data, raw.len);
    batch->len += raw.len;
    count(batch, record);
    return 0;
}

static void give_up_one(etx__partition *partition, const char *gid, int error) {
    etx__core *core = partition->memory->core;
    etx__event event = {.type = ETX__EV_GIVE_UP, .now = partition->shard->now};
    event.gid = (etx_bytes){gid, strlen(gid)};
    event.hash = etx__core_hash(event.gid);
    const etx__entry *entry = etx__core_find(core, event.gid, event.hash);
    if (entry == NULL || entry->tx == NULL) {
        return;
    }
    etx_record image;
    etx__core_image(core, entry, core->image_branch, core->image_progress, &image);
    etx__waiter *waiter = entry->tx->r.waiters;
    if (waiter != NULL && waiter->next == NULL && entry->tx->s.branch_count > 0) {
        entry->tx->r.waiters = NULL;
        etx__request_begin_elsewhere(partition, waiter, &image, error);
    }
    event.u.forget.rc = error == ETX_EFULL ? ETX_EFULL : ETX_EUNAVAILABLE;
    etx__partition_step(partition, &event);
}

void etx__batch_give_back(etx__partition *partition, etx__batch **from, int error) {
    etx__given_up up = {0};
    etx__batch *old = *from;
    uint64_t last_seq = partition->last != NULL ? partition->last->last_seq : old->last_seq;
    if (from == &partition->flying) {
        old->next = partition->first;
    }
    int rc = each_record(partition, old, &up.decode, note_begin, &up);
    for (etx__batch *batch = old->next; rc == 0 && batch != NULL; batch = batch->next) {
        rc = each_record(partition, batch, &up.decode, note_begin, &up);
    }
    *from = NULL;
    partition->first = NULL;
    partition->last = NULL;
    uint8_t wanted = 0;
    for (etx__batch *batch = old; rc == 0 && batch != NULL; batch = batch->next) {
        rc = each_record(partition, batch, &up.decode, keep_others, &up);
        wanted |= batch->wanted;
    }
    etx_assert(rc == 0);
    etx__batch *forming = etx__batch_forming(partition);
    etx_assert(forming != NULL);
    for (etx__batch *batch = partition->first; batch != NULL; batch = batch->next) {
        batch->last_seq = batch->next != NULL ? old->last_seq : last_seq;
        batch->wanted |= wanted;
    }
    for (uint32_t i = 0; i < up.count; i++) {
        give_up_one(partition, up.gid[i], error);
    }
    while (old != NULL) {
        etx__batch *next = old->next;
        etx__batch_recycle(partition, old);
        old = next;
    }
    etx__engine_release(partition->home->engine, up.gid, up.room * sizeof *up.gid);
    etx_record_room_free(&up.decode);
}
