/* Batches: records on their way to one slot, and the events that are told once they are durable. */
#include <string.h>

#include "../protocol/copy.h"
#include "home.h"
#include "../protocol/room.h"
#include "partition.h"
#include "shard.h"

static etx__batch *form_next(etx__partition *partition, size_t bytes) {
    etx__batch *batch = etx__spare_take(partition, bytes);
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
    return partition->last != NULL ? partition->last : form_next(partition, 1);
}

void etx__batch_recycle(etx__partition *partition, etx__batch *batch) {
    uint8_t *bytes = batch->bytes;
    size_t room = batch->room;
    etx__tale *tale = batch->tale;
    uint32_t tales_room = batch->tales_room;
    memset(batch, 0, sizeof *batch);
    batch->bytes = bytes;
    batch->room = room;
    batch->tale = tale;
    batch->tales_room = tales_room;
    batch->next = partition->spare;
    partition->spare = batch;
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

/* The forming batch with room for `bytes` more. It grows as far as a put takes it; without memory
 * for that the next one forms. */
static etx__batch *batch_with_room(etx__partition *partition, size_t bytes) {
    etx__batch *batch = partition->last;
    if (batch == NULL || batch->len + bytes > partition->home->info.batch_max) {
        return form_next(partition, bytes);
    }
    if (batch->len + bytes > batch->room && grow(partition->home->engine, &batch->bytes, batch->len,
                                                 &batch->room, batch->len + bytes) != 0) {
        return form_next(partition, bytes);
    }
    return batch;
}

static void count(etx__batch *batch, const etx_record *record, unsigned kind) {
    batch->records++;
    batch->begun += record->type == ETX_RECORD_BEGIN;
    batch->ended += record->type == ETX_RECORD_END;
    if (record->type == ETX_RECORD_DECIDE) {
        (record->u.decide.commit ? batch->committed : batch->aborted)[kind]++;
    }
}

void etx__batch_append(etx__partition *partition, const etx_record *record, unsigned kind) {
    const etx_codec *codec = partition->home->engine->options.codec;
    etx__batch *batch = batch_with_room(partition, codec->bound(record));
    etx_assert(batch != NULL); /* there was room before the step */
    size_t len = codec->encode(record, batch->bytes + batch->len);
    etx_assert(len > 0); /* what cannot be read again is never written */
    batch->len += len;
    batch->moves += record->type == ETX_RECORD_MOVE ? len : 0;
    count(batch, record, kind);
}

/* ---- events that wait for their batch */

static void keep_tale(etx__partition *partition,
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
    tale->begin_ms = entry->begin_ms;
    tale->type = (uint8_t)type;
    tale->state = entry->state;
    tale->marks = entry->marks;
    memcpy(tale->gid, entry->gid, entry->gid_len + 1u);
    size_t len = reason != NULL ? etx__cut_text(reason, ETX_REASON_MAX) : 0;
    memcpy(tale->reason, reason != NULL ? reason : "", len);
    tale->reason[len] = 0;
}

static const char *reason_text(etx_bytes reason, char *room) {
    size_t len = etx__cut(reason.data, reason.len, ETX_REASON_MAX);
    if (len > 0) {
        memcpy(room, reason.data, len);
    }
    room[len] = 0;
    return room;
}

void etx__tales_keep(etx__partition *partition, const etx_record *record, const etx__entry *entry) {
    char room[ETX_REASON_MAX + 1];
    if (record->type == ETX_RECORD_BEGIN) {
        keep_tale(partition, ETX_EVENT_BEGUN, entry, NULL);
    } else if (record->type == ETX_RECORD_DECIDE) {
        const char *reason = reason_text(record->u.decide.reason, room);
        keep_tale(partition, ETX_EVENT_DECIDED, entry, reason);
        if (record->u.decide.marks & ETX_MARK_FORCED) {
            keep_tale(partition, ETX_EVENT_FORCED, entry, reason);
        }
    } else if (record->type == ETX_RECORD_END) {
        keep_tale(partition, ETX_EVENT_ENDED, entry, NULL);
    } else if (record->type == ETX_RECORD_FORCE) {
        static const etx_event_type types[] = {ETX_EVENT_FORCED, ETX_EVENT_PARKED,
                                               ETX_EVENT_RESUMED, ETX_EVENT_FORCED};
        keep_tale(partition, types[record->u.force.action & 3], entry,
                  reason_text(record->u.force.why, room));
    }
}

void etx__tales_tell(etx__partition *partition, etx__batch *batch) {
    for (uint32_t i = 0; i < batch->tales; i++) {
        const etx__tale *tale = &batch->tale[i];
        etx_event event = {.size = sizeof event, .type = (etx_event_type)tale->type};
        event.gid = tale->gid;
        event.state = (etx_state)tale->state;
        event.marks = tale->marks;
        event.reason = tale->reason;
        event.begin_ms = tale->begin_ms;
        event.durability = etx__home_grade(partition->home);
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
    uint32_t *place; /* of gids + 1, by their hashes; at most half full */
    uint32_t places; /* a power of 2 */
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
            rc = etx__record_room_grow(&partition->home->engine->allocator, room);
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

/* Where the gid stands, or would. */
static uint32_t *place_of(const etx__given_up *up, etx_bytes gid) {
    uint32_t at = etx__core_hash(gid) & (up->places - 1);
    for (; up->place[at] != 0; at = (at + 1) & (up->places - 1)) {
        const char *other = up->gid[up->place[at] - 1];
        if (strncmp(other, gid.data, gid.len) == 0 && other[gid.len] == 0) {
            break;
        }
    }
    return &up->place[at];
}

/* Once all are noted: there may be as many as records that are looked for. */
static int index_noted(const etx_engine *engine, etx__given_up *up) {
    up->places = 2;
    while (up->places < 2 * up->count) {
        up->places *= 2;
    }
    up->place = etx__engine_alloc(engine, up->places * sizeof *up->place);
    if (up->place == NULL) {
        return ETX_ENOMEM;
    }
    memset(up->place, 0, up->places * sizeof *up->place);
    for (uint32_t i = 0; i < up->count; i++) {
        *place_of(up, (etx_bytes){up->gid[i], strlen(up->gid[i])}) = i + 1;
    }
    return 0;
}

static int is_given_up(const etx__given_up *up, etx_bytes gid) {
    return gid.len > 0 && *place_of(up, gid) != 0; /* a claim has none */
}

/* A batch while what is given up is taken out of it. */
typedef struct etx__sieve {
    const etx__given_up *up;
    etx__batch *batch;
    size_t len; /* of what stays */
} etx__sieve;

/* What stays moves to the front, as it is. */
static int keep_others(etx__partition *partition,
                       const etx_record *record,
                       etx_bytes raw,
                       void *user) {
    etx__sieve *sieve = user;
    const etx__entry *entry;
    if (is_given_up(sieve->up, record->gid)) {
        return 0;
    }
    entry = etx__core_find(partition->memory->core, record->gid, etx__core_hash(record->gid));
    count(sieve->batch, record, entry != NULL ? entry->kind : 0);
    sieve->batch->moves += record->type == ETX_RECORD_MOVE ? raw.len : 0;
    memmove(sieve->batch->bytes + sieve->len, raw.data, raw.len);
    sieve->len += raw.len;
    return 0;
}

static void keep_tales(etx__batch *batch, const etx__given_up *up) {
    uint32_t kept = 0;
    for (uint32_t i = 0; i < batch->tales; i++) {
        const char *gid = batch->tale[i].gid;
        if (!is_given_up(up, (etx_bytes){gid, strlen(gid)})) {
            batch->tale[kept++] = batch->tale[i];
        }
    }
    batch->tales = kept;
}

/* Takes what is given up out of a batch. */
static void sift(etx__partition *partition, etx__batch *batch, etx__given_up *up) {
    etx__sieve sieve = {up, batch, 1};
    batch->records = batch->begun = batch->ended = 0;
    memset(batch->committed, 0, sizeof batch->committed);
    memset(batch->aborted, 0, sizeof batch->aborted);
    batch->moves = 0;
    int rc = each_record(partition, batch, &up->decode, keep_others, &sieve);
    etx_assert(rc == 0); /* it was read once, with the same room */
    batch->len = sieve.len;
    keep_tales(batch, up);
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
    event.u.forget.rc = etx__request_given_back(error);
    etx__partition_step(partition, &event);
}

/* What is left of the batches forms, in order; one at least, since somebody may wait for a put. */
static void form_again(etx__partition *partition, etx__batch *batch, uint8_t wanted) {
    partition->first = NULL;
    partition->last = NULL;
    while (batch != NULL) {
        etx__batch *next = batch->next;
        if (batch->len == 1 && next != NULL) {
            etx__batch_recycle(partition, batch);
        } else {
            batch->next = NULL;
            batch->wanted |= wanted;
            if (partition->last != NULL) {
                partition->last->next = batch;
            } else {
                partition->first = batch;
            }
            partition->last = batch;
        }
        batch = next;
    }
}

int etx__batch_give_back(etx__partition *partition, etx__batch **from, int error) {
    etx__given_up up = {0};
    etx__batch *old = *from;
    int flew = from == &partition->flying;
    int rc = each_record(partition, old, &up.decode, note_begin, &up);
    for (etx__batch *batch = flew ? partition->first : old->next; rc == 0 && batch != NULL;
         batch = batch->next) {
        rc = each_record(partition, batch, &up.decode, note_begin, &up);
    }
    rc = rc != 0 ? rc : index_noted(partition->home->engine, &up);
    if (rc == 0) {
        *from = NULL;
        old->next = flew ? partition->first : old->next;
        uint8_t wanted = 0;
        for (etx__batch *batch = old; batch != NULL; batch = batch->next) {
            sift(partition, batch, &up);
            wanted |= batch->wanted;
        }
        form_again(partition, old, wanted);
        for (uint32_t i = 0; i < up.count; i++) {
            give_up_one(partition, up.gid[i], error);
        }
    }
    etx__engine_release(partition->home->engine, up.gid, up.room * sizeof *up.gid);
    etx__engine_release(partition->home->engine, up.place, up.places * sizeof *up.place);
    etx__record_room_free(&partition->home->engine->allocator, &up.decode);
    return rc;
}
