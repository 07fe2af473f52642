/* apply: the only code that writes durable state. Live and in recovery it is the same code. */
#include "rules.h"

#include <string.h>

#include "../protocol/assert.h"
#include "../protocol/copy.h"

/* Whether a record may be written is admit's to say, before it is appended. What apply meets
 * beyond that comes from a log that two owners wrote, or from a gid that was used again: a
 * second BEGIN or DECIDE changes nothing, a BEGIN behind an END starts anew, a record without
 * its BEGIN is skipped. */

static void remembered_remove(etx__core *core, etx__entry *entry) {
    etx__history_remove(core, entry);
    etx__entry_forget(core, entry);
}

/* The kind of all, one more branch included. */
static uint8_t kind_with(uint8_t kind, uint32_t branches_before, uint8_t more) {
    return branches_before == 0 || kind == more ? more : 0;
}

static etx__entry *entry_live(etx__core *core,
                              etx_bytes gid,
                              uint32_t hash,
                              const etx_record_begin *begin,
                              const etx_record_progress *progress,
                              int *ret_rc) {
    if (core->live >= core->options.transactions_room) {
        *ret_rc = ETX_EBUSY;
        return NULL;
    }
    etx__tx *tx = etx__body_make(core, begin, progress);
    etx__entry *entry = tx != NULL ? etx__entry_make(core, gid, hash) : NULL;
    if (entry == NULL) {
        if (tx != NULL) {
            etx__body_free(core, tx);
        }
        *ret_rc = ETX_EBUSY;
        return NULL;
    }
    entry->tx = tx;
    tx->entry = etx__entry_number(core, entry);
    entry->state = ETX_ACTIVE;
    entry->marks = begin->marks;
    entry->begin_ms = begin->time_ms;
    entry->digest = begin->digest;
    for (uint32_t i = 0; i < begin->branch_count; i++) {
        entry->kind = kind_with(entry->kind, i, begin->branches[i].kind);
    }
    etx__body_resolve(core, tx);
    core->live++;
    etx__ages_add(&core->ages, entry->begin_ms);
    return entry;
}

static etx__entry *apply_begin(etx__core *core,
                               etx__entry *known,
                               uint32_t hash,
                               const etx_record *record,
                               uint64_t seq,
                               int *ret_rc) {
    if (known != NULL && known->tx != NULL) {
        return NULL;
    }
    if (known != NULL) {
        remembered_remove(core, known);
    }
    etx__entry *entry = entry_live(core, record->gid, hash, &record->u.begin, NULL, ret_rc);
    if (entry != NULL) {
        etx__entry_renew(core, entry, seq);
    }
    return entry;
}

static void apply_result(etx__core *core,
                         etx__entry *entry,
                         const etx_record_result *result,
                         int *ret_rc) {
    if (result->branch >= entry->tx->s.branch_count) {
        return;
    }
    etx__branch *branch = entry->tx->branch[result->branch];
    if (result->operation != ETX_FORWARD) {
        branch->r.dirty &= (uint8_t) ~(1u << result->operation);
        if (branch->s.finish == 0) {
            branch->s.finish = result->reply;
            branch->r.finish = result->reply;
        }
        return;
    }
    if (branch->s.forward != 0) {
        return;
    }
    if (result->bytes.len > 0 && result->bytes.data == branch->r.result) {
        branch->s.result = branch->r.result;
        branch->r.result = NULL;
        branch->r.result_len = 0;
    } else if (result->bytes.len > 0) {
        branch->s.result = etx__bytes_keep(core, result->bytes);
        if (branch->s.result == NULL) {
            *ret_rc = ETX_EBUSY;
            return;
        }
        entry->tx->image_size += (uint32_t)result->bytes.len;
    }
    branch->s.result_len = (uint32_t)result->bytes.len;
    branch->s.forward = result->reply;
    branch->r.forward = result->reply;
    branch->r.dirty &= (uint8_t) ~(1u << ETX_FORWARD);
}

/* ---- reasons: in a block behind the gid, which becomes the entry's when it ends. So the end
 * needs no room, and what is remembered no more than the entry. */

/* NULL where there is no room. */
static uint8_t *reason_block(etx__core *core, const etx__entry *entry, etx_bytes reason) {
    uint8_t *block = etx__pool_alloc(&core->pool, entry->gid_len + reason.len + 2);
    if (block != NULL) {
        memcpy(block, entry->gid, entry->gid_len + 1u);
        memcpy(block + entry->gid_len + 1, reason.data, reason.len);
        block[entry->gid_len + 1u + reason.len] = 0;
    }
    return block;
}

static etx_bytes reason_cut(etx_bytes reason) {
    return (etx_bytes){reason.data, etx__cut(reason.data, reason.len, ETX_REASON_MAX)};
}

/* Live, what finds no room is left out of the record too (etx__append): so what is folded from it
 * is the same. */
static void reason_keep(etx__core *core, etx__entry *entry, etx_bytes reason, int *ret_rc) {
    etx__tx *tx = entry->tx;
    reason = reason_cut(reason);
    uint8_t *block = reason.len > 0 ? reason_block(core, entry, reason) : NULL;
    if (block != NULL) {
        tx->s.reason = block + entry->gid_len + 1;
        tx->s.reason_len = (uint8_t)reason.len;
        tx->s.reason_at = (uint8_t)(entry->gid_len + 1);
    } else if (reason.len > 0 && !core->started) {
        *ret_rc = ETX_EBUSY;
    }
}

static void gid_is(etx__core *core, etx__entry *entry, uint8_t *block, size_t reason_len) {
    etx__pool_free(&core->pool, entry->gid, entry->gid_len + 1u);
    entry->gid = block;
    entry->reason_len = (uint8_t)reason_len;
}

/* Of one that is remembered at once. 0 or ETX_EBUSY. */
static int gid_with_reason(etx__core *core, etx__entry *entry, etx_bytes reason) {
    reason = reason_cut(reason);
    if (reason.len == 0) {
        return 0;
    }
    uint8_t *block = reason_block(core, entry, reason);
    if (block == NULL) {
        return ETX_EBUSY;
    }
    gid_is(core, entry, block, reason.len);
    return 0;
}

static void reason_to_gid(etx__core *core, etx__entry *entry) {
    etx__tx_state *s = &entry->tx->s;
    if (s->reason != NULL) {
        gid_is(core, entry, s->reason - s->reason_at, s->reason_len);
        s->reason = NULL;
        s->reason_len = 0;
    }
}

/* In MOVE an end at 0 would say that it is live. */
static uint64_t moment_of_end(uint64_t time_ms) {
    return time_ms > 0 ? time_ms : 1;
}

/* The recorded abort of a gid that nobody had begun: it counts as ended at once. Its END only
 * says its number, which cannot be counted any more once what stood before it is trimmed. */
static etx__entry *apply_never_begun(etx__core *core,
                                     uint32_t hash,
                                     const etx_record *record,
                                     uint64_t seq,
                                     int *ret_rc) {
    etx__entry *entry = etx__entry_make(core, record->gid, hash);
    if (entry == NULL) {
        *ret_rc = ETX_EBUSY;
        return NULL;
    }
    entry->state = ETX_ABORTED;
    entry->marks = record->u.decide.marks;
    entry->begin_ms = record->u.decide.time_ms;
    entry->ended_ms = moment_of_end(record->u.decide.time_ms);
    entry->ended_no = core->ended_last + 1;
    if (gid_with_reason(core, entry, record->u.decide.reason) != 0) {
        etx__entry_forget(core, entry);
        *ret_rc = ETX_EBUSY;
        return NULL;
    }
    etx__entry_renew(core, entry, seq);
    return etx__history_add(core, entry);
}

static etx__entry *apply_number(etx__core *core, etx__entry *entry, const etx_record_end *end) {
    if (entry->ended_no != end->ended_no) {
        etx__history_remove(core, entry);
        entry->ended_no = end->ended_no;
        return etx__history_add(core, entry);
    }
    return entry;
}

static void apply_decide(etx__core *core,
                         etx__entry *entry,
                         const etx_record_decide *decide,
                         int *ret_rc) {
    if (entry->state != ETX_ACTIVE) {
        return;
    }
    entry->state = decide->commit ? ETX_COMMITTING : ETX_ABORTING;
    entry->marks |= decide->marks & ETX_MARK_FORCED;
    entry->tx->s.decided_ms = decide->time_ms;
    reason_keep(core, entry, decide->reason, ret_rc);
}

static void apply_force(etx__core *core, etx__entry *entry, const etx_record_force *force) {
    etx__tx *tx = entry->tx;
    if (force->action == ETX_FORCE_PARK || force->action == ETX_FORCE_RESUME) {
        int parked = force->action == ETX_FORCE_PARK;
        core->parked += (uint32_t)parked - ((entry->marks & ETX_MARK_PARKED) != 0);
        entry->marks =
            (uint8_t)((entry->marks & ~ETX_MARK_PARKED) | (parked ? ETX_MARK_PARKED : 0));
        return;
    }
    if (force->branch >= tx->s.branch_count || force->operation > ETX_UNDO) {
        return;
    }
    etx__branch *branch = tx->branch[force->branch];
    branch->s.settled |= (uint8_t)(1u << force->operation);
    entry->marks |= ETX_MARK_FORCED;
    if (force->operation == ETX_FORWARD) {
        branch->s.forward = ETX_DONE;
        branch->r.forward = ETX_DONE;
    } else {
        branch->s.finish = ETX_DONE;
        branch->r.finish = ETX_DONE;
    }
    branch->r.dirty &= (uint8_t) ~(1u << force->operation);
}

void etx__body_bury(etx__core *core, etx__entry *entry) {
    etx__tx *tx = entry->tx;
    etx_assert(tx->r.waiters == NULL && (tx->r.running == 0 || tx->lent_gid != NULL));
    etx__timer_set(core, tx, UINT64_MAX);
    etx__list_remove(core, ETX__UNDURABLE, tx);
    etx__list_remove(core, ETX__DIRTY, tx);
    core->live--;
    etx__ages_remove(&core->ages, entry->begin_ms);
    core->calls -= tx->r.calls; /* what they answer comes too late */
    core->stalled -= tx->r.stalled;
    core->parked -= (entry->marks & ETX_MARK_PARKED) != 0;
    entry->tx = NULL;
    tx->r.over = 1;
    if (tx->r.running == 0) {
        etx__body_return(core, tx);
    }
}

void etx__body_return(etx__core *core, etx__tx *tx) {
    etx_assert(tx->r.over && tx->r.running == 0);
    tx->buried_next = core->buried;
    core->buried = tx;
}

int etx__body_lend_gid(etx__core *core, etx__entry *entry) {
    etx__tx *tx = entry->tx;
    size_t size = entry->gid_len + 1u;
    etx_assert(tx->lent_gid == NULL); /* it ends once */
    uint8_t *copy = etx__pool_alloc(&core->pool, size);
    if (copy == NULL) {
        return ETX_EBUSY;
    }
    memcpy(copy, entry->gid, size);
    tx->lent_gid = entry->gid;
    tx->lent_gid_size = (uint32_t)size;
    entry->gid = copy;
    return 0;
}

static etx__entry *apply_end(etx__core *core, etx__entry *entry, const etx_record_end *end) {
    if (entry->tx == NULL) {
        return entry->marks & ETX_MARK_NEVER_BEGUN ? apply_number(core, entry, end) : NULL;
    }
    if (entry->state == ETX_ACTIVE) {
        return NULL;
    }
    entry->state = entry->state == ETX_COMMITTING ? ETX_COMMITTED : ETX_ABORTED;
    entry->ended_ms = moment_of_end(end->time_ms);
    entry->ended_no = end->ended_no;
    reason_to_gid(core, entry);
    etx__body_bury(core, entry);
    entry->marks &= (uint8_t)~ETX_MARK_PARKED;
    return etx__history_add(core, entry);
}

static int fill_progress(etx__core *core, etx__tx *tx, const etx_record_move *move) {
    for (uint16_t i = 0; i < tx->s.branch_count; i++) {
        etx__branch *branch = tx->branch[i];
        const etx_record_progress *progress = &move->progress[i];
        branch->s.result = etx__bytes_keep(core, progress->result);
        if (progress->result.len > 0 && branch->s.result == NULL) {
            return ETX_EBUSY;
        }
        branch->s.result_len = (uint32_t)progress->result.len;
        tx->image_size += (uint32_t)progress->result.len;
        branch->s.forward = branch->r.forward = progress->forward;
        branch->s.finish = branch->r.finish = progress->finish;
        branch->s.settled = progress->settled;
    }
    return 0;
}

static etx__entry *entry_moved(etx__core *core,
                               uint32_t hash,
                               const etx_record *record,
                               int *ret_rc) {
    const etx_record_move *move = &record->u.move;
    int ended = move->state == ETX_COMMITTED || move->state == ETX_ABORTED;
    etx__entry *entry;
    if (ended != (move->ended_ms != 0) || (!ended && move->begin.mode == 0)) {
        *ret_rc = ETX_ECORRUPT;
        return NULL;
    }
    if (!ended) {
        entry = entry_live(core, record->gid, hash, &move->begin, move->progress, ret_rc);
        if (entry == NULL) {
            return NULL;
        }
        entry->tx->s.decided_ms = move->decided_ms;
        *ret_rc = fill_progress(core, entry->tx, move);
        reason_keep(core, entry, move->reason, ret_rc);
    } else {
        entry = etx__entry_make(core, record->gid, hash);
        if (entry == NULL) {
            *ret_rc = ETX_EBUSY;
            return NULL;
        }
        *ret_rc = gid_with_reason(core, entry, move->reason);
        entry->begin_ms = move->begin.time_ms;
        entry->digest = move->begin.digest;
        entry->ended_ms = move->ended_ms;
        entry->ended_no = move->ended_no;
    }
    entry->state = move->state;
    entry->marks = move->marks;
    core->parked += entry->tx != NULL && (entry->marks & ETX_MARK_PARKED) != 0;
    return entry;
}

/* Live, the state stands as it is, and only needs nothing older any more. */
static etx__entry *apply_move(etx__core *core,
                              etx__entry *known,
                              uint32_t hash,
                              const etx_record *record,
                              uint64_t seq,
                              int *ret_rc) {
    if (known != NULL && core->started) {
        etx__entry_renew(core, known, seq);
        return known;
    }
    if (known != NULL && known->tx != NULL) {
        etx__body_bury(core, known);
        etx__entry_forget(core, known);
    } else if (known != NULL) {
        remembered_remove(core, known);
    }
    etx__entry *entry = entry_moved(core, hash, record, ret_rc);
    if (entry == NULL) {
        return NULL;
    }
    etx__entry_renew(core, entry, seq);
    return entry->ended_ms != 0 ? etx__history_add(core, entry) : entry;
}

static int apply_enlist(etx__core *core, etx__entry *entry, const etx_record_enlist *enlist) {
    if (etx__branch_named(entry->tx, enlist->branch.name) != NULL) {
        return 0;
    }
    uint32_t before = entry->tx->s.branch_count;
    int rc = etx__body_add(core, entry->tx, &enlist->branch, enlist->digest);
    if (rc == 0) {
        entry->kind = kind_with(entry->kind, before, enlist->branch.kind);
    }
    etx__body_resolve(core, entry->tx);
    return rc;
}

static void apply_to_live(etx__core *core,
                          etx__entry *entry,
                          const etx_record *record,
                          int *ret_rc) {
    switch ((etx_record_type)record->type) {
        case ETX_RECORD_ENLIST:
            *ret_rc = apply_enlist(core, entry, &record->u.enlist);
            return;
        case ETX_RECORD_HELD:
            entry->marks |= ETX_MARK_HELD;
            return;
        case ETX_RECORD_RESULT:
            apply_result(core, entry, &record->u.result, ret_rc);
            return;
        case ETX_RECORD_DECIDE:
            apply_decide(core, entry, &record->u.decide, ret_rc);
            return;
        case ETX_RECORD_FORCE:
            apply_force(core, entry, &record->u.force);
            return;
        case ETX_RECORD_END:
        case ETX_RECORD_OWN:
        case ETX_RECORD_LOSS:
        case ETX_RECORD_BEGIN:
        case ETX_RECORD_MOVE:
            return;
    }
}

etx__entry *etx__apply(etx__core *core,
                       etx__entry *known,
                       uint32_t hash,
                       const etx_record *record,
                       uint64_t seq,
                       int *ret_rc) {
    if (record->type == ETX_RECORD_OWN || record->type == ETX_RECORD_LOSS) {
        return NULL;
    }
    if (record->type == ETX_RECORD_BEGIN) {
        return apply_begin(core, known, hash, record, seq, ret_rc);
    }
    if (record->type == ETX_RECORD_MOVE) {
        return apply_move(core, known, hash, record, seq, ret_rc);
    }
    if (known == NULL) {
        int never = record->type == ETX_RECORD_DECIDE && !record->u.decide.commit &&
                    (record->u.decide.marks & ETX_MARK_NEVER_BEGUN);
        return never ? apply_never_begun(core, hash, record, seq, ret_rc) : NULL;
    }
    if (record->type == ETX_RECORD_END) {
        return apply_end(core, known, &record->u.end);
    }
    if (known->tx == NULL) {
        return NULL;
    }
    apply_to_live(core, known, record, ret_rc);
    return known;
}
