/* The world: steps the core, keeps its records as bytes, makes and answers its calls. */
#include "world.h"

#include <stdlib.h>
#include <string.h>

static void *need(void *block) {
    if (block == NULL) {
        fprintf(stderr, "out of memory\n");
        abort();
    }
    return block;
}

void world_fail(world *w, const char *what, const char *gid) {
    w->failures++;
    fprintf(stderr, "%s: %s: %s\n", w->at, gid, what);
}

static etx__core *core_make(const world *w, void **ret_memory) {
    size_t size = (etx__core_size(&w->options) + 63) & ~(size_t)63;
    *ret_memory = need(aligned_alloc(64, size));
    memset(*ret_memory, 0, size);
    return etx__core_init(*ret_memory, &w->options);
}

world *world_make(const etx__core_options *options, const char *at) {
    world *w = need(calloc(1, sizeof *w));
    w->options = *options;
    w->codec = etx_codec_binary();
    w->now = (etx__now){.mono_ms = 1000, .mono_us = 1000000, .wall_ms = 1000000, .random = 0x1234};
    w->at = at;
    w->core = core_make(w, &w->memory);
    world_recover(w);
    return w;
}

void world_free(world *w) {
    for (uint32_t i = 0; i < w->records; i++) {
        free(w->record[i].bytes);
    }
    etx_record_room_free(&w->room);
    free(w->memory);
    free(w);
}

/* ---- outputs */

static void keep_record(world *w, const etx_record *record, uint64_t seq) {
    size_t bound = w->codec->bound(record);
    world_record *kept = &w->record[w->records++];
    if (w->records == WORLD_RECORDS) {
        fprintf(stderr, "a story with too many records\n");
        abort();
    }
    kept->bytes = need(malloc(bound));
    kept->len = w->codec->encode(record, kept->bytes);
    kept->seq = seq;
    if (kept->len == 0 || kept->len > bound) {
        world_fail(w, "a record that cannot be encoded", etx_record_name(record->type));
    }
}

static uint32_t records_upto(const world *w, uint64_t seq) {
    uint32_t count = w->records;
    while (count > 0 && w->record[count - 1].seq > seq) {
        count--;
    }
    return count;
}

static void keep_call(world *w, const etx__call *call) {
    const char *gid = call->gid;
    world_call *kept = &w->call[w->calls++];
    if (w->calls == WORLD_CALLS) {
        fprintf(stderr, "a story with too many calls\n");
        abort();
    }
    if (call->rests_on > w->core->durable) {
        world_fail(w, "a call rests on what is not durable", gid);
    }
    memset(kept, 0, sizeof *kept);
    snprintf(kept->gid, sizeof kept->gid, "%s", gid);
    snprintf(kept->branch, sizeof kept->branch, "%s",
             call->branch != NULL ? (const char *)call->branch->s.name : "-");
    kept->serial = call->serial;
    kept->tx = call->tx;
    kept->results = call->results;
    kept->rests_on = call->rests_on > 0 ? records_upto(w, call->rests_on) : 0;
    kept->rests_on = kept->rests_on > w->read ? kept->rests_on : w->read;
    kept->entry = call->entry;
    kept->place = call->place;
    kept->operation = call->operation;
    kept->kind = call->branch != NULL ? call->branch->s.kind : 0;
    if (w->trace != NULL) {
        trace_call(w->trace, call, kept->rests_on);
    }
}

static void take_answers(world *w, etx__waiter *waiter) {
    for (; waiter != NULL; waiter = waiter->next) {
        world_waiter *of = (world_waiter *)(void *)waiter;
        const etx__entry *entry =
            waiter->entry != ETX__NOBODY ? &w->core->entry[waiter->entry] : NULL;
        if (of->answered) {
            world_fail(w, "answered twice", of->label);
        }
        of->answered = 1;
        if (entry != NULL && entry->gid == NULL) {
            world_fail(w, "answered about what is forgotten", of->label);
        } else if (entry != NULL && entry->rests_on > w->core->durable && w->core->started) {
            world_fail(w, "an answer rests on what is not durable", of->label);
        }
        if (w->trace != NULL) {
            trace_answer(w->trace, w, of);
        }
    }
}

static void take_out(world *w, const etx__out *out) {
    uint64_t seq = w->core->seq - out->record_count;
    for (uint32_t i = 0; i < out->record_count; i++) {
        if (w->trace != NULL) {
            fprintf(w->trace, "    %u ", w->records + 1);
            trace_record(w->trace, w, &out->record[i]);
        }
        keep_record(w, &out->record[i], seq + i + 1);
    }
    if (w->trace != NULL && out->want) {
        fprintf(w->trace, "    a put is wanted\n");
    }
    for (uint32_t i = 0; i < out->call_count; i++) {
        keep_call(w, &out->call[i]);
    }
    for (uint32_t i = 0; w->trace != NULL && i < out->told_count; i++) {
        trace_told(w->trace, w, &out->told[i]);
    }
    take_answers(w, out->answered);
}

void world_step(world *w, etx__event *event) {
    uint8_t more;
    do {
        event->now = w->now;
        const etx__out *out = etx__core_step(w->core, event);
        more = out->more;
        take_out(w, out);
    } while (more && event->type != ETX__EV_TICK);
    if (w->check_every == 0 || ++w->steps % w->check_every == 0) {
        equal_check(w);
    }
}

/* ---- events */

void world_event(world *w, etx__event *event, etx__event_type type, const char *gid) {
    (void)w;
    memset(event, 0, sizeof *event);
    event->type = type;
    if (gid != NULL) {
        event->gid = (etx_bytes){gid, strlen(gid)};
        event->hash = etx__core_hash(event->gid);
    }
}

etx__waiter *world_waiter_make(world *w, const char *label, etx_wait wait, int look) {
    world_waiter *made = &w->waiter[w->waiters++];
    if (w->waiters == WORLD_WAITERS) {
        fprintf(stderr, "a story with too many waiters\n");
        abort();
    }
    memset(made, 0, sizeof *made);
    snprintf(made->label, sizeof made->label, "%s", label);
    made->waiter.wait = (uint8_t)wait;
    made->waiter.look = (uint8_t)look;
    return &made->waiter;
}

void world_register(world *w, const etx__policy *policy) {
    etx__event event;
    world_event(w, &event, ETX__EV_REGISTERED, NULL);
    event.u.registered.place = w->policies;
    event.u.registered.policy = policy;
    w->policy[w->policies++] = *policy;
    world_step(w, &event);
}

void world_tick(world *w, uint64_t ms) {
    w->now.mono_ms += ms;
    w->now.mono_us += ms * 1000;
    w->now.wall_ms += ms;
    for (int i = 0; i < 1000 && etx__timer_next(w->core) <= w->now.mono_ms; i++) {
        etx__event event;
        world_event(w, &event, ETX__EV_TICK, NULL);
        world_step(w, &event);
    }
}

void world_fly(world *w) {
    etx__event event;
    world_event(w, &event, ETX__EV_FLUSH, NULL);
    world_step(w, &event);
    w->flying = w->records;
    w->flying_seq = w->core->seq;
}

void world_durable(world *w) {
    etx__event event;
    world_event(w, &event, ETX__EV_DURABLE, NULL);
    event.u.durable.seq = w->flying > 0 ? w->flying_seq : w->core->seq;
    w->flying = 0;
    world_step(w, &event);
}

static int decode_kept(const world *w,
                       const world_record *kept,
                       etx_record_room *room,
                       etx_record *ret_record) {
    size_t used = 0;
    int rc;
    do {
        rc = w->codec->decode((etx_bytes){kept->bytes, kept->len}, room, ret_record, &used);
    } while (rc == ETX_EBUSY && etx_record_room_grow(room) == 0);
    return rc;
}

void world_give_up(world *w, const char *gid) {
    etx__event event;
    world_event(w, &event, ETX__EV_GIVE_UP, gid);
    event.u.forget.rc = ETX_EUNAVAILABLE;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < w->records; i++) {
        etx_record record = {0};
        decode_kept(w, &w->record[i], &w->room, &record);
        if (record.gid.len == strlen(gid) && memcmp(record.gid.data, gid, record.gid.len) == 0) {
            free(w->record[i].bytes);
        } else {
            w->record[kept++] = w->record[i];
        }
    }
    w->records = kept;
    world_step(w, &event);
}

world_call *world_call_find(world *w, const char *gid, const char *branch) {
    for (uint32_t i = w->calls; i > 0; i--) {
        world_call *call = &w->call[i - 1];
        if (!call->over && strcmp(call->gid, gid) == 0 && strcmp(call->branch, branch) == 0) {
            return call;
        }
    }
    return NULL;
}

void world_reply(world *w,
                 world_call *call,
                 etx_reply reply,
                 etx_bytes bytes,
                 etx_bytes reason,
                 uint32_t after_ms) {
    etx__event event;
    world_event(w, &event, ETX__EV_REPLY, NULL);
    event.u.reply.serial = call->serial;
    event.u.reply.entry = call->entry;
    event.u.reply.place = call->place;
    event.u.reply.reply = (uint8_t)reply;
    event.u.reply.returned = !call->returned;
    event.u.reply.retry_after_ms = after_ms;
    event.u.reply.bytes = bytes;
    event.u.reply.reason = reason;
    event.u.reply.tx = call->returned ? NULL : call->tx;
    event.u.reply.results = call->returned ? NULL : call->results;
    call->returned = 1;
    call->over = reply != ETX_LATER;
    world_step(w, &event);
}

/* ---- crashes */

static int fold_one(const world *from, etx__core *core, uint32_t at, etx_record_room *room) {
    etx_record record;
    int rc = decode_kept(from, &from->record[at], room, &record);
    return rc != 0 ? rc : etx__core_fold(core, &record);
}

etx__core *world_fold(const world *from, uint32_t first, uint32_t last, void **ret_memory) {
    etx_record_room room = {0};
    etx__core *core = core_make(from, ret_memory);
    for (uint32_t i = first; i < last; i++) {
        int rc = fold_one(from, core, i, &room);
        if (rc != 0) {
            fprintf(stderr, "%s: record %u folds with %s\n", from->at, i + 1, etx_error_name(rc));
            abort();
        }
    }
    etx_record_room_free(&room);
    return core;
}

/* Claims the log behind its last record. */
void world_recover(world *w) {
    etx_record own = {.type = ETX_RECORD_OWN};
    w->read = w->records;
    own.u.own.nonce = ++w->slot;
    own.u.own.time_ms = w->now.wall_ms;
    own.u.own.node = (etx_bytes){"node", 4};
    etx__core_fold(w->core, &own);
    keep_record(w, &own, w->core->seq);
    for (uint32_t i = 0; i < w->policies; i++) {
        etx__event event;
        world_event(w, &event, ETX__EV_REGISTERED, NULL);
        event.u.registered.place = i;
        event.u.registered.policy = &w->policy[i];
        event.now = w->now;
        etx__core_step(w->core, &event);
    }
    etx__event event;
    world_event(w, &event, ETX__EV_RECOVERED, NULL);
    event.u.recovered.slot = w->slot;
    world_step(w, &event);
}

void world_crash(world *w) {
    uint32_t kept = records_upto(w, w->core->durable);
    for (uint32_t i = kept; i < w->records; i++) {
        free(w->record[i].bytes);
    }
    w->records = kept;
    for (uint32_t i = 0; i < w->calls; i++) {
        w->call[i].over = 1;
    }
    free(w->memory);
    w->options.first_serial += 1000000;
    w->core = world_fold(w, w->first, w->records, &w->memory);
    for (uint32_t i = w->first; i < w->records; i++) {
        w->record[i].seq = i - w->first + 1;
    }
    for (uint32_t i = 0; i < w->first; i++) {
        w->record[i].seq = 0;
    }
    w->flying = 0;
    world_recover(w);
}
