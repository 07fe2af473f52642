/* Bodies: one block holds a transaction, its branches and their bytes; what comes later has
 * blocks of its own. */
#include "rules.h"

#include <string.h>

#include "../protocol/assert.h"
#include "../protocol/copy.h"

typedef struct cursor {
    uint8_t *at;
} cursor;

static size_t round_up(size_t size) {
    return (size + 15) & ~(size_t)15;
}

static int has_rare(const etx_record_branch *branch, uint64_t digest) {
    return (digest | branch->attempts_max | branch->call_timeout_ms | branch->retry_first_ms |
            branch->retry_cap_ms) != 0;
}

static size_t branch_bytes(const etx_record_branch *branch, uint64_t digest) {
    return round_up((has_rare(branch, digest) ? sizeof(etx__rare) : 0) + branch->name.len + 1 +
                    branch->participant.len + 1 + branch->payload.len +
                    branch->depends_on_count * sizeof(uint16_t) + 1);
}

static void *take(cursor *at, size_t size) {
    void *block = at->at;
    at->at += size;
    return block;
}

static const uint8_t *take_text(cursor *at, etx_bytes text) {
    uint8_t *copy = take(at, text.len + 1);
    etx__copy(copy, text.data, text.len);
    copy[text.len] = 0;
    return copy;
}

static void branch_fill(etx__branch *branch,
                        const etx_record_branch *from,
                        uint64_t digest,
                        cursor *at) {
    memset(branch, 0, sizeof *branch);
    etx__branch_state *s = &branch->s;
    uint8_t *start = at->at;
    if (has_rare(from, digest)) {
        etx__rare *rare = take(at, sizeof *rare);
        *rare = (etx__rare){digest, from->attempts_max, from->call_timeout_ms, from->retry_first_ms,
                            from->retry_cap_ms};
        s->rare = rare;
    }
    uint16_t *depends_on = take(at, from->depends_on_count * sizeof(uint16_t));
    etx__copy(depends_on, from->depends_on, from->depends_on_count * sizeof(uint16_t));
    s->depends_on = depends_on;
    s->depends_on_count = from->depends_on_count;
    s->name = take_text(at, from->name);
    s->name_len = (uint8_t)from->name.len;
    s->participant = take_text(at, from->participant);
    s->participant_len = (uint8_t)from->participant.len;
    uint8_t *payload = take(at, from->payload.len);
    etx__copy(payload, from->payload.data, from->payload.len);
    s->payload = payload;
    s->payload_len = (uint32_t)from->payload.len;
    s->kind = from->kind;
    s->flags = from->flags;
    branch->r.participant = ETX__NOBODY;
    at->at = start + round_up((size_t)(at->at - start) + 1); /* as branch_bytes says */
}

static size_t body_size(const etx_record_begin *begin, const etx_record_progress *progress) {
    size_t size = round_up(sizeof(etx__tx)) +
                  begin->branch_count * (sizeof(etx__branch) + sizeof(etx__branch *)) +
                  begin->initiator.len + 1 + begin->initiator_payload.len + 16;
    size += begin->initiator.len > 0 ? sizeof(etx__attempt) : 0;
    for (uint16_t i = 0; i < begin->branch_count; i++) {
        size += branch_bytes(&begin->branches[i], progress != NULL ? progress[i].digest : 0);
    }
    return size;
}

etx__tx *etx__body_make(etx__core *core,
                        const etx_record_begin *begin,
                        const etx_record_progress *progress) {
    size_t size = body_size(begin, progress);
    uint8_t *block = size <= UINT32_MAX ? etx__pool_alloc(&core->pool, size) : NULL;
    if (block == NULL) {
        return NULL;
    }
    cursor cut = {block};
    etx__tx *tx = take(&cut, round_up(sizeof(etx__tx)));
    memset(tx, 0, sizeof *tx);
    tx->block_size = (uint32_t)size;
    tx->branch_room = begin->branch_count;
    if (begin->initiator.len > 0) {
        tx->r.asking = take(&cut, sizeof(etx__attempt));
        memset(tx->r.asking, 0, sizeof *tx->r.asking);
    }
    etx__branch *branches = take(&cut, begin->branch_count * sizeof(etx__branch));
    tx->branch = take(&cut, begin->branch_count * sizeof(etx__branch *));
    tx->s.branch_count = begin->branch_count;
    tx->image_size = (uint32_t)size;
    cut.at = block + round_up((size_t)(cut.at - block));
    for (uint16_t i = 0; i < begin->branch_count; i++) {
        tx->branch[i] = &branches[i];
        branch_fill(&branches[i], &begin->branches[i], progress != NULL ? progress[i].digest : 0,
                    &cut);
        branches[i].s.place = i;
        tx->r.ordered |= branches[i].s.depends_on_count > 0;
    }
    tx->s.initiator = take_text(&cut, begin->initiator);
    tx->s.initiator_len = (uint8_t)begin->initiator.len;
    if (begin->initiator_payload.len > 0) {
        uint8_t *payload = take(&cut, begin->initiator_payload.len);
        memcpy(payload, begin->initiator_payload.data, begin->initiator_payload.len);
        tx->s.initiator_payload_len = (uint32_t)begin->initiator_payload.len;
    }
    tx->s.deadline_ms = begin->deadline_ms;
    tx->s.resume_ms = begin->resume_ms;
    tx->s.mode = begin->mode;
    tx->s.durability = begin->durability;
    tx->r.initiator = ETX__NOBODY;
    etx_assert(cut.at <= block + size);
    return tx;
}

static int table_grow(etx__core *core, etx__tx *tx) {
    uint32_t room = tx->branch_room < 4 ? 8 : tx->branch_room * 2;
    size_t size = room * sizeof(etx__branch *);
    etx__branch **table = etx__pool_alloc(&core->pool, size);
    if (table == NULL) {
        return ETX_EBUSY;
    }
    memcpy(table, tx->branch, tx->s.branch_count * sizeof(etx__branch *));
    if (tx->table_size > 0) {
        etx__pool_free(&core->pool, tx->branch, tx->table_size);
    }
    tx->branch = table;
    tx->branch_room = room;
    tx->table_size = (uint32_t)size;
    return 0;
}

int etx__body_add(etx__core *core, etx__tx *tx, const etx_record_branch *from, uint64_t digest) {
    for (uint16_t i = 0; i < from->depends_on_count; i++) {
        if (from->depends_on[i] >= tx->s.branch_count) {
            return ETX_ECORRUPT;
        }
    }
    if (tx->s.branch_count >= ETX_BRANCHES_MAX) {
        return ETX_ECORRUPT; /* admit has a limit that is no larger */
    }
    if (tx->s.branch_count == tx->branch_room && table_grow(core, tx) != 0) {
        return ETX_EBUSY;
    }
    size_t size = round_up(sizeof(etx__branch)) + branch_bytes(from, digest);
    uint8_t *block = size <= UINT32_MAX ? etx__pool_alloc(&core->pool, size) : NULL;
    if (block == NULL) {
        return ETX_EBUSY;
    }
    cursor cut = {block};
    etx__branch *branch = take(&cut, round_up(sizeof(etx__branch)));
    branch_fill(branch, from, digest, &cut);
    branch->block_size = (uint32_t)size;
    branch->s.place = tx->s.branch_count;
    tx->branch[tx->s.branch_count++] = branch;
    tx->image_size += (uint32_t)size;
    tx->r.ordered |= branch->s.depends_on_count > 0;
    return 0;
}

void etx__body_free(etx__core *core, etx__tx *tx) {
    for (uint16_t i = 0; i < tx->s.branch_count; i++) {
        etx__branch *branch = tx->branch[i];
        etx__pool_free(&core->pool, branch->s.result, branch->s.result_len);
        etx__pool_free(&core->pool, branch->r.result, branch->r.result_len);
        etx__pool_free(&core->pool, branch->r.reason, branch->r.reason_len + 1u);
        if (branch->block_size > 0) {
            etx__pool_free(&core->pool, branch, branch->block_size);
        }
    }
    if (tx->table_size > 0) {
        etx__pool_free(&core->pool, tx->branch, tx->table_size);
    }
    if (tx->s.reason != NULL) {
        etx__pool_free(&core->pool, tx->s.reason - tx->s.reason_at,
                       tx->s.reason_at + tx->s.reason_len + 1u);
    }
    etx__pool_free(&core->pool, tx->lent_gid, tx->lent_gid_size);
    etx__pool_free(&core->pool, tx, tx->block_size);
}

uint8_t *etx__bytes_keep(etx__core *core, etx_bytes bytes) {
    if (bytes.len == 0) {
        return NULL;
    }
    uint8_t *copy = etx__pool_alloc(&core->pool, bytes.len);
    if (copy != NULL) {
        memcpy(copy, bytes.data, bytes.len);
    }
    return copy;
}

void etx__body_resolve(const etx__core *core, etx__tx *tx) {
    tx->r.initiator = etx__policy_find(core, tx->s.initiator, tx->s.initiator_len);
    for (uint16_t i = 0; i < tx->s.branch_count; i++) {
        etx__branch *branch = tx->branch[i];
        if (branch->r.participant == ETX__NOBODY) {
            branch->r.participant =
                etx__policy_find(core, branch->s.participant, branch->s.participant_len);
        }
    }
}
