/* A core's memory: its layout, recovery's fold, and its state as MOVE says it. */
#include "rules.h"

#include <string.h>

#include "../protocol/assert.h"

typedef struct layout {
    size_t core, entry, chained, index, timer, ended, policy, named, out, scratch, places, branches,
        progress;
    size_t spans, region, size;
    uint64_t ended_room, ended_turn;
    uint32_t entries_max, buckets, named_room;
} layout;

static size_t take(size_t *size, size_t bytes) {
    size_t at = (*size + 63) & ~(size_t)63;
    *size = at + bytes;
    return at;
}

static uint32_t room_of(const etx__core_options *options) {
    return options->transactions_room != 0 ? options->transactions_room : options->transactions_max;
}

static layout lay_out(const etx__core_options *options) {
    uint32_t room = room_of(options);
    layout l;
    memset(&l, 0, sizeof l);
    /* What ended and is not durable yet may not be forgotten: so much slack, if it must be. */
    l.ended_room = options->history_max + room + 64;
    l.ended_turn = options->history_max + room / 16 + 64;
    l.entries_max = (uint32_t)(room + l.ended_room);
    l.buckets = l.entries_max + ETX__BUCKETS_FIRST;
    l.core = take(&l.size, sizeof(etx__core));
    l.out = take(&l.size, sizeof(etx__out));
    l.policy = take(&l.size, options->participants_max * sizeof(etx__policy));
    l.named_room = 2;
    while (l.named_room < 2 * options->participants_max) {
        l.named_room *= 2;
    }
    l.named = take(&l.size, l.named_room * sizeof(uint16_t));
    l.scratch = take(&l.size, ETX_BRANCHES_MAX);
    l.places = take(&l.size, ETX_BRANCHES_MAX * sizeof(uint16_t));
    l.branches = take(&l.size, ETX_BRANCHES_MAX * sizeof(etx_record_branch));
    l.progress = take(&l.size, ETX_BRANCHES_MAX * sizeof(etx_record_progress));
    l.entry = take(&l.size, l.entries_max * sizeof(etx__entry));
    l.chained = take(&l.size, l.entries_max * sizeof(struct etx__chained));
    l.index = take(&l.size, (size_t)l.buckets * sizeof(uint32_t));
    l.timer = take(&l.size, room * sizeof(etx__timer));
    l.ended = take(&l.size, l.ended_room * sizeof(uint32_t));
    l.spans = take(&l.size, etx__pool_table_size(options->pool_size));
    l.region = take(&l.size, options->pool_size);
    return l;
}

size_t etx__core_size(const etx__core_options *options) {
    return lay_out(options).size;
}

etx__core *etx__core_init(void *memory, const etx__core_options *options) {
    layout l = lay_out(options);
    uint8_t *at = memory;
    etx__core *core = (etx__core *)(void *)(at + l.core);
    memset(core, 0, sizeof *core);
    core->options = *options;
    core->options.transactions_room = room_of(options);
    core->options.memory_max = options->memory_max != 0 ? options->memory_max : options->pool_size;
    core->out = (etx__out *)(void *)(at + l.out);
    core->policy = (etx__policy *)(void *)(at + l.policy);
    core->named = (uint16_t *)(void *)(at + l.named);
    core->named_mask = l.named_room - 1;
    core->scratch = at + l.scratch;
    core->places = (uint16_t *)(void *)(at + l.places);
    core->image_branch = (etx_record_branch *)(void *)(at + l.branches);
    core->image_progress = (etx_record_progress *)(void *)(at + l.progress);
    core->entry = (etx__entry *)(void *)(at + l.entry);
    core->chained = (struct etx__chained *)(void *)(at + l.chained);
    core->bucket = (uint32_t *)(void *)(at + l.index);
    core->buckets = ETX__BUCKETS_FIRST;
    core->buckets_mask = ETX__BUCKETS_FIRST - 1;
    core->timer = (etx__timer *)(void *)(at + l.timer);
    core->ended = (uint32_t *)(void *)(at + l.ended);
    core->ended_room = l.ended_room;
    core->ended_turn = l.ended_turn;
    core->ended_oldest = 1;
    core->serial = options->first_serial;
    core->entries_max = l.entries_max;
    etx__pool_init(&core->pool, at + l.region, options->pool_size, at + l.spans);
    return core;
}

int etx__core_fold(etx__core *core, const etx_record *record) {
    int rc = 0;
    while (core->buried != NULL) {
        etx__tx *tx = core->buried;
        core->buried = tx->buried_next;
        etx__body_free(core, tx);
    }
    core->seq++;
    core->durable = core->seq;
    uint32_t hash = etx__core_hash(record->gid);
    etx__entry *known = etx__entry_find(core, record->gid, hash);
    etx__entry *entry = etx__apply(core, known, hash, record, core->seq, &rc);
    if (entry != NULL) {
        entry->last_seq = core->seq;
    }
    etx__history_trim(core);
    return rc;
}

etx_state etx__core_durable_state(const etx__core *core, const etx__entry *entry) {
    if (entry->rests_on <= core->durable) {
        return (etx_state)entry->state;
    }
    if (entry->tx == NULL || entry->first_seq > core->durable) {
        return ETX_NONE;
    }
    return entry->tx->r.decided_seq <= core->durable ? (etx_state)entry->state : ETX_ACTIVE;
}

static void image_of_branch(const etx__branch *branch,
                            etx_record_branch *ret_branch,
                            etx_record_progress *ret_progress) {
    static const etx__rare none;
    const etx__branch_state *s = &branch->s;
    const etx__rare *rare = s->rare != NULL ? s->rare : &none;
    *ret_branch = (etx_record_branch){
        .name = {s->name, s->name_len},
        .participant = {s->participant, s->participant_len},
        .payload = {s->payload, s->payload_len},
        .depends_on = s->depends_on,
        .depends_on_count = s->depends_on_count,
        .kind = s->kind,
        .flags = s->flags,
        .attempts_max = rare->attempts_max,
        .call_timeout_ms = rare->call_timeout_ms,
        .retry_first_ms = rare->retry_first_ms,
        .retry_cap_ms = rare->retry_cap_ms,
    };
    *ret_progress = (etx_record_progress){
        .forward = s->forward,
        .finish = s->finish,
        .settled = s->settled,
        .digest = rare->digest,
        .result = {s->result, s->result_len},
    };
}

static void image_of_live(const etx__tx *tx,
                          etx_record_branch *branches,
                          etx_record_progress *progress,
                          etx_record_move *ret_move) {
    for (uint16_t i = 0; i < tx->s.branch_count; i++) {
        image_of_branch(tx->branch[i], &branches[i], &progress[i]);
    }
    ret_move->begin.deadline_ms = tx->s.deadline_ms;
    ret_move->begin.mode = tx->s.mode;
    ret_move->begin.durability = tx->s.durability;
    ret_move->begin.initiator = (etx_bytes){tx->s.initiator, tx->s.initiator_len};
    ret_move->begin.initiator_payload =
        (etx_bytes){tx->s.initiator + tx->s.initiator_len + 1, tx->s.initiator_payload_len};
    ret_move->begin.resume_ms = tx->s.resume_ms;
    ret_move->begin.branch_count = tx->s.branch_count;
    ret_move->begin.branches = branches;
    ret_move->progress = progress;
    ret_move->decided_ms = tx->s.decided_ms;
    ret_move->reason = (etx_bytes){tx->s.reason, tx->s.reason_len};
}

void etx__core_image(const etx__core *core,
                     const etx__entry *entry,
                     etx_record_branch *branches,
                     etx_record_progress *progress,
                     etx_record *ret_move) {
    (void)core;
    memset(ret_move, 0, sizeof *ret_move);
    ret_move->type = ETX_RECORD_MOVE;
    ret_move->gid = (etx_bytes){entry->gid, entry->gid_len};
    etx_record_move *move = &ret_move->u.move;
    move->begin.time_ms = entry->begin_ms;
    move->begin.digest = entry->digest;
    move->begin.marks = entry->marks & ETX_MARK_CHOSEN;
    move->begin.mode = ETX_SUBMITTED;
    move->begin.durability = ETX_LOCAL;
    move->state = entry->state;
    move->marks = entry->marks;
    move->ended_ms = entry->ended_ms;
    move->ended_no = entry->ended_no;
    if (entry->tx != NULL) {
        image_of_live(entry->tx, branches, progress, move);
    } else if (entry->reason_len > 0) {
        move->reason = (etx_bytes){entry->gid + entry->gid_len + 1, entry->reason_len};
    }
}
