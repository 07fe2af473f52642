/* Steps of the real core, each done once: restored, stepped, and kept under a number. */
#include "explore.h"

#include <stdlib.h>
#include <string.h>

enum { BUFFER = 256 * 1024, RECORDS = 8192, SPANS = 32 };

typedef struct step {
    explore_cores *c;
    explore_out *out;
    uint8_t bytes[RECORDS];
    size_t len;
    struct pending { /* calls whose callbacks return at once: later */
        uint64_t serial;
        const etx__tx *tx;
        etx__results *results;
        uint32_t entry;
        uint16_t place;
    } pending[EXPLORE_CALLS];
    unsigned pendings;
} step;

static void options_of(etx__core_options *ret_options) {
    *ret_options = (etx__core_options){
        .transactions_max = EXPLORE_TX,
        .branches_max = EXPLORE_BRANCHES,
        .history_max = EXPLORE_TX,
        .history_age_ms = 1ull << 40,
        .participants_max = 4,
        .image_max = 64 * 1024,
        .call_timeout_ms = 30000,
        .retry_first_ms = 1000,
        .retry_cap_ms = 60000,
        .working_ms = 1000,
        .park_after = 2,
        .first_serial = 0,
        .pool_size = SPANS * (size_t)ETX__SPAN,
    };
}

static uint32_t keep_memory(explore_cores *c) {
    int is_new;
    size_t len = explore_save(c);
    uint32_t number = explore_intern_bytes(&c->memory, c->buffer, len, &is_new);
    if (is_new) {
        if (number >= c->facts_room) {
            c->facts_room = c->facts_room * 2 + 256;
            c->facts = explore_grow(c->facts, c->facts_room * sizeof *c->facts);
        }
        explore_facts_of(c, &c->facts[number]);
    }
    return number;
}

explore_cores *explore_cores_make(const explore_config *config) {
    explore_cores *c = explore_make(1, sizeof *c);
    etx__core_options options;
    int is_new;
    options_of(&options);
    c->config = config;
    c->codec = etx_codec_binary();
    c->block = aligned_alloc(64, (etx__core_size(&options) + 63) & ~(size_t)63);
    if (c->block == NULL) {
        exit(2);
    }
    memset(c->block, 0, etx__core_size(&options));
    c->core = etx__core_init(c->block, &options);
    c->dirty = explore_make(SPANS, sizeof *c->dirty);
    c->buffer = explore_make(1, BUFFER);
    c->empty = keep_memory(c);
    etx_bytes nothing = etx__owner_empty();
    c->nothing = explore_intern_bytes(&c->bytes, nothing.data, nothing.len, &is_new);
    explore_twins_make(c);
    return c;
}

void explore_cores_free(explore_cores *c) {
    explore_intern_free(&c->memory);
    explore_intern_free(&c->bytes);
    explore_memo_free(&c->memo);
    explore_memo_free(&c->joined);
    etx_record_room_free(&c->room);
    free(c->facts);
    free(c->out);
    free(c->block);
    free(c->dirty);
    free(c->buffer);
    free(c);
}

/* ---- outputs */

static void take_records(step *s, const etx__out *out) {
    for (uint32_t i = 0; i < out->record_count; i++) {
        const etx_record *record = &out->record[i];
        if (s->len + s->c->codec->bound(record) > RECORDS) {
            s->out->wrong = "more records than the explorer has room for";
            return;
        }
        size_t len = s->c->codec->encode(record, s->bytes + s->len);
        if (len == 0) {
            s->out->wrong = "a record that cannot be encoded";
        }
        s->len += len;
    }
}

static uint8_t given_of(const etx__call *call) {
    unsigned given = 0;
    for (uint32_t i = 0; call->results != NULL && i < call->results->count; i++) {
        if (call->results->item[i].bytes.len > 0) {
            given |= 1u << (call->results->item[i].name[0] - 'a');
        }
    }
    return (uint8_t)given;
}

static void take_calls(step *s, const etx__out *out) {
    for (uint32_t i = 0; i < out->call_count; i++) {
        const etx__call *call = &out->call[i];
        if (s->out->calls == EXPLORE_CALLS || s->pendings == EXPLORE_CALLS) {
            s->out->wrong = "more calls than the explorer has room for";
            return;
        }
        if (call->rests_on > s->c->core->durable) {
            s->out->wrong = "a call left before what it rests on was durable";
        }
        int initiator = call->place == ETX__INITIATOR;
        s->out->call[s->out->calls++] = (explore_call){
            .run = (uint32_t)call->run_no,
            .tx = (uint8_t)explore_tx_of((etx_bytes){call->gid, strlen(call->gid)}),
            .place = (uint8_t)(initiator ? EXPLORE_INITIATOR : call->place),
            .operation = initiator ? 0 : call->operation,
            .given = given_of(call),
        };
        s->pending[s->pendings++] =
            (struct pending){call->serial, call->tx, call->results, call->entry, call->place};
    }
}

static void take_answers(step *s, const etx__out *out) {
    for (const etx__waiter *waiter = out->answered; waiter != NULL; waiter = waiter->next) {
        const etx__entry *entry =
            waiter->entry != ETX__NOBODY ? &s->c->core->entry[waiter->entry] : NULL;
        if (s->out->answers == EXPLORE_CLIENTS) {
            s->out->wrong = "answered more often than asked";
            return;
        }
        if (entry != NULL && s->c->core->started && entry->rests_on > s->c->core->durable) {
            s->out->wrong = "an answer was given before what it rests on was durable";
        }
        int resumed = entry != NULL && entry->tx != NULL && entry->tx->s.mode == ETX_RESUMED;
        s->out->answer[s->out->answers++] = (explore_answer){
            .run = resumed ? (uint32_t)entry->tx->r.run_no : 0,
            .rc = waiter->rc,
            .client = (uint8_t)(waiter - s->c->waiter),
            .state = entry != NULL ? entry->state : 0,
        };
    }
}

static void step_once(step *s, const etx__event *event) {
    uint8_t more;
    int turns = 0;
    do {
        const etx__out *out = etx__core_step(s->c->core, event);
        more = out->more;
        s->out->want |= out->want;
        take_records(s, out);
        take_calls(s, out);
        take_answers(s, out);
    } while (more && ++turns < 8);
}

static void return_callbacks(step *s, int late) {
    while (s->pendings > 0 && s->out->wrong == NULL) {
        struct pending first = s->pending[0];
        memmove(s->pending, s->pending + 1, --s->pendings * sizeof first);
        etx__event event = {.type = ETX__EV_REPLY, .now = explore_now(late)};
        event.u.reply.serial = first.serial;
        event.u.reply.entry = first.entry;
        event.u.reply.place = first.place;
        event.u.reply.reply = ETX_LATER;
        event.u.reply.returned = 1;
        event.u.reply.tx = first.tx;
        event.u.reply.results = first.results;
        step_once(s, &event);
    }
}

/* ---- what is done before a step */

/* Turns the hands of one clock: that attempt, or silence, is due now. */
static void make_due(explore_cores *c, const explore_ask *ask) {
    etx_bytes gid = explore_gid(ask->tx);
    etx__entry *entry = etx__entry_find(c->core, gid, etx__core_hash(gid));
    if (entry == NULL || entry->tx == NULL) {
        return;
    }
    if (ask->place == EXPLORE_SILENCE) {
        entry->tx->r.silent_ms = 0;
    } else if (ask->place == EXPLORE_INITIATOR) {
        entry->tx->r.asking->due_ms = 0;
    } else if (ask->place < entry->tx->s.branch_count) {
        entry->tx->branch[ask->place]->r.call.due_ms = 0;
    }
    etx__timer_set(c->core, entry->tx, 0);
}

static void register_all(step *s, int late) {
    static const char *const name[] = {"p0", "p1", "p2", "i"};
    for (uint32_t i = 0; i < 4; i++) {
        etx__policy policy = {.attempts_max = i == 1 || i == 2 ? i : 0};
        policy.name_len = (uint8_t)strlen(name[i]);
        memcpy(policy.name, name[i], policy.name_len);
        etx__event event = {.type = ETX__EV_REGISTERED, .now = explore_now(late)};
        event.u.registered.place = i;
        event.u.registered.policy = &policy;
        step_once(s, &event);
    }
}

static void fold(step *s, uint32_t batch) {
    etx_bytes bytes = explore_batch_bytes(s->c, batch);
    const uint8_t *at = bytes.data;
    for (size_t i = 1; i < bytes.len;) {
        etx_record record;
        size_t used = 0;
        int rc = explore_decode(s->c, (etx_bytes){at + i, bytes.len - i}, &record, &used);
        rc = rc != 0 ? rc : etx__core_fold(s->c->core, &record);
        if (rc != 0) {
            s->out->wrong = "a log that cannot be read";
            return;
        }
        i += used;
    }
}

static void do_step(step *s, const explore_ask *ask) {
    etx__event event;
    etx_record_begin begin;
    etx_record_branch branches[EXPLORE_BRANCHES];
    explore_event(s->c, ask, &event, &begin, branches);
    if (ask->type == EXPLORE_FOLD) {
        fold(s, ask->number);
        return;
    }
    if (ask->type == EXPLORE_RECOVER) {
        register_all(s, ask->late);
    } else if (ask->type == EXPLORE_TICK) {
        make_due(s->c, ask);
    }
    step_once(s, &event);
    return_callbacks(s, ask->late);
    for (int i = 0; i < 8 && etx__timer_next(s->c->core) <= event.now.mono_ms; i++) {
        etx__event tick = {.type = ETX__EV_TICK, .now = event.now};
        step_once(s, &tick);
        return_callbacks(s, ask->late);
    }
}

static uint32_t keep_out(explore_cores *c, const explore_out *out) {
    if (c->outs == c->outs_room) {
        c->outs_room = c->outs_room * 2 + 256;
        c->out = explore_grow(c->out, c->outs_room * sizeof *c->out);
    }
    c->out[c->outs] = *out;
    return c->outs++;
}

const explore_out *explore_step(explore_cores *c,
                                uint32_t core,
                                explore_ask ask,
                                uint32_t *ret_core) {
    uint64_t value, key;
    memcpy(&key, &ask, sizeof key);
    uint64_t a = (uint64_t)core << 32 | ask.number;
    if (!explore_memo_get(&c->memo, a, key, &value)) {
        explore_out out;
        step s;
        int is_new;
        memset(&out, 0, sizeof out);
        s.c = c;
        s.out = &out;
        s.len = 0;
        s.pendings = 0;
        explore_restore(c, core);
        do_step(&s, &ask);
        c->steps++;
        explore_canon(c, ask.late);
        out.records = s.len > 0 ? explore_intern_bytes(&c->bytes, s.bytes, s.len, &is_new) : 0;
        out.seq = (uint32_t)c->core->seq;
        uint32_t after = keep_memory(c);
        value = (uint64_t)after << 32 | keep_out(c, &out);
        explore_memo_put(&c->memo, a, key, value);
        explore_twins_step(c, core, ask, after, (uint32_t)value);
    }
    *ret_core = (uint32_t)(value >> 32);
    return &c->out[(uint32_t)value];
}

int explore_same(explore_cores *c, uint32_t core, explore_ask one, explore_ask other) {
    uint32_t after, after_other;
    explore_out out = *explore_step(c, core, one, &after);
    const explore_out *out_other = explore_step(c, core, other, &after_other);
    return after == after_other && memcmp(&out, out_other, sizeof out) == 0;
}
