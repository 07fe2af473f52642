/* The writing half of the binary codec: a record becomes bytes in one pass. */
#include <stdlib.h>
#include <string.h>

#include "binary.h"

/* ---- bytes. Each function writes at `at` and returns where the next goes. */

static inline uint8_t *put_byte(uint8_t *at, unsigned value) {
    *at = (uint8_t)value;
    return at + 1;
}

static inline uint8_t *put_varint(uint8_t *at, uint64_t value) {
    while (value >= 0x80) {
        *at++ = (uint8_t)(value | 0x80);
        value >>= 7;
    }
    return put_byte(at, (unsigned)value);
}

static inline uint8_t *put_fixed(uint8_t *at, uint64_t value) {
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    value = __builtin_bswap64(value);
#endif
    memcpy(at, &value, sizeof value);
    return at + sizeof value;
}

/* Gids and names are short: words, the last of which may overlap, cost less than a call of
 * memcpy. */
static inline uint8_t *put_raw(uint8_t *at, const void *data, size_t len) {
    const uint8_t *from = data;
    if (len > 40) {
        memcpy(at, from, len);
    } else if (len >= 8) {
        for (size_t i = 0; i + 8 < len; i += 8) {
            memcpy(at + i, from + i, 8);
        }
        memcpy(at + len - 8, from + len - 8, 8);
    } else {
        for (size_t i = 0; i < len; i++) {
            at[i] = from[i];
        }
    }
    return at + len;
}

static inline uint8_t *put_bytes(uint8_t *at, etx_bytes bytes) {
    at = put_varint(at, bytes.len);
    return put_raw(at, bytes.data, bytes.len);
}

static inline unsigned bit_if(uint64_t present, unsigned bit) {
    return present != 0 ? bit : 0;
}

/* ---- bound: every varint at its longest, every head byte present. Cheap, at most some tens of
 * bytes too large for each branch. */

enum {
    VARINT_MAX = 10,  /* of 64 bits */
    VARINT32_MAX = 5, /* of 32 bits */
    VARINT16_MAX = 3,
    FIXED = 8,
    HEAD = VARINT_MAX + 1, /* length and type */
    BEGIN_FIXED = 1 + 2 * VARINT_MAX + FIXED + VARINT_MAX + VARINT32_MAX + VARINT16_MAX,
    BRANCH_FIXED = 2 + 3 * VARINT_MAX + VARINT16_MAX + 4 * VARINT32_MAX,
    PROGRESS_FIXED = 2 + FIXED + VARINT_MAX,
    MOVE_FIXED = 2 + 4 * VARINT_MAX,
    SMALL_FIXED = 1 + 2 * VARINT_MAX + VARINT16_MAX + 2 * VARINT_MAX /* all other records */
};

static size_t branch_bound(const etx_record_branch *branch) {
    return BRANCH_FIXED + branch->name.len + branch->participant.len + branch->payload.len +
           (size_t)VARINT16_MAX * branch->depends_on_count;
}

static size_t begin_bound(const etx_record_begin *begin) {
    size_t bound = BEGIN_FIXED + begin->initiator.len + 1 + begin->initiator_payload.len;
    for (unsigned i = 0; i < begin->branch_count; i++) {
        bound += branch_bound(&begin->branches[i]);
    }
    return bound;
}

static size_t move_bound(const etx_record_move *move) {
    size_t bound = MOVE_FIXED + move->reason.len + begin_bound(&move->begin);
    for (unsigned i = 0; i < move->begin.branch_count; i++) {
        bound += PROGRESS_FIXED + move->progress[i].result.len;
    }
    return bound;
}

static size_t body_bound(const etx_record *record) {
    switch ((etx_record_type)record->type) {
        case ETX_RECORD_OWN:
            return FIXED + SMALL_FIXED + record->u.own.node.len + record->u.own.chosen_home.len;
        case ETX_RECORD_BEGIN:
            return begin_bound(&record->u.begin);
        case ETX_RECORD_ENLIST:
            return branch_bound(&record->u.enlist.branch) + FIXED;
        case ETX_RECORD_RESULT:
            return SMALL_FIXED + record->u.result.bytes.len;
        case ETX_RECORD_DECIDE:
            return SMALL_FIXED + record->u.decide.reason.len + record->u.decide.who.len;
        case ETX_RECORD_FORCE:
            return SMALL_FIXED + record->u.force.who.len + record->u.force.why.len;
        case ETX_RECORD_LOSS:
            return SMALL_FIXED + record->u.loss.who.len + record->u.loss.why.len;
        case ETX_RECORD_MOVE:
            return move_bound(&record->u.move);
        case ETX_RECORD_HELD:
        case ETX_RECORD_END:
            return SMALL_FIXED;
    }
    return 0;
}

size_t etx__binary_bound(const etx_record *record) {
    return HEAD + VARINT_MAX + record->gid.len + body_bound(record);
}

/* ---- bodies */

static uint8_t *put_options(uint8_t *at, const etx_record_branch *branch) {
    at = put_byte(at, bit_if(branch->attempts_max, OPTION_ATTEMPTS) |
                          bit_if(branch->call_timeout_ms, OPTION_TIMEOUT) |
                          bit_if(branch->retry_first_ms, OPTION_RETRY_FIRST) |
                          bit_if(branch->retry_cap_ms, OPTION_RETRY_CAP));
    const uint32_t values[] = {branch->attempts_max, branch->call_timeout_ms,
                               branch->retry_first_ms, branch->retry_cap_ms};
    for (unsigned i = 0; i < 4; i++) {
        if (values[i] != 0) {
            at = put_varint(at, values[i]);
        }
    }
    return at;
}

static uint8_t *put_branch(uint8_t *at, const etx_record_branch *branch) {
    unsigned options = branch->attempts_max | branch->call_timeout_ms | branch->retry_first_ms |
                       branch->retry_cap_ms;
    at = put_byte(at, branch->kind | (unsigned)branch->flags << BRANCH_FLAGS_SHIFT |
                          bit_if(branch->depends_on_count, BRANCH_DEPENDS) |
                          bit_if(options, BRANCH_OPTIONS));
    at = put_bytes(at, branch->name);
    at = put_bytes(at, branch->participant);
    at = put_bytes(at, branch->payload);
    if (branch->depends_on_count > 0) {
        at = put_varint(at, branch->depends_on_count);
        for (unsigned i = 0; i < branch->depends_on_count; i++) {
            at = put_varint(at, branch->depends_on[i]);
        }
    }
    return options != 0 ? put_options(at, branch) : at;
}

/* The initiator's name; what it is given follows a NUL, which no name has. */
static uint8_t *put_initiator(uint8_t *at, const etx_record_begin *begin) {
    const etx_bytes *payload = &begin->initiator_payload;
    if (payload->len == 0) {
        return put_bytes(at, begin->initiator);
    }
    at = put_varint(at, begin->initiator.len + 1 + payload->len);
    memcpy(at, begin->initiator.data, begin->initiator.len);
    at += begin->initiator.len;
    *at++ = 0;
    memcpy(at, payload->data, payload->len);
    return at + payload->len;
}

/* All of BEGIN but its branches. The deadline goes as its distance from the begin, modulo 2^64. */
static uint8_t *put_begin_head(uint8_t *at, const etx_record_begin *begin) {
    at = put_byte(at, begin->mode | bit_if(begin->marks, BEGIN_CHOSEN) |
                          bit_if(begin->deadline_ms, BEGIN_DEADLINE) |
                          bit_if(begin->initiator.len, BEGIN_INITIATOR) |
                          bit_if(begin->resume_ms, BEGIN_RESUME) |
                          (unsigned)begin->durability << BEGIN_DURABILITY_SHIFT);
    at = put_varint(at, begin->time_ms);
    at = put_fixed(at, begin->digest);
    if (begin->deadline_ms != 0) {
        at = put_varint(at, begin->deadline_ms - begin->time_ms);
    }
    if (begin->initiator.len != 0) {
        at = put_initiator(at, begin);
    }
    if (begin->resume_ms != 0) {
        at = put_varint(at, begin->resume_ms);
    }
    return put_varint(at, begin->branch_count);
}

static uint8_t *put_begin(uint8_t *at, const etx_record_begin *begin) {
    at = put_begin_head(at, begin);
    for (unsigned i = 0; i < begin->branch_count; i++) {
        at = put_branch(at, &begin->branches[i]);
    }
    return at;
}

static uint8_t *put_progress(uint8_t *at, const etx_record_progress *progress) {
    unsigned more =
        bit_if(progress->digest, MORE_DIGEST) | bit_if(progress->result.len, MORE_RESULT);
    at = put_byte(at, progress->forward | (unsigned)progress->finish << PROGRESS_FINISH_SHIFT |
                          (unsigned)progress->settled << PROGRESS_SETTLED_SHIFT |
                          bit_if(more, PROGRESS_MORE));
    if (more != 0) {
        at = put_byte(at, more);
    }
    if (progress->digest != 0) {
        at = put_fixed(at, progress->digest);
    }
    return progress->result.len != 0 ? put_bytes(at, progress->result) : at;
}

static uint8_t *put_move(uint8_t *at, const etx_record_move *move) {
    at = put_byte(at, move->state | bit_if(move->decided_ms, MOVE_DECIDED) |
                          bit_if(move->ended_ms, MOVE_ENDED) |
                          bit_if(move->ended_no, MOVE_ENDED_NO) |
                          bit_if(move->reason.len, MOVE_REASON));
    at = put_byte(at, move->marks);
    const uint64_t values[] = {move->decided_ms, move->ended_ms, move->ended_no};
    for (unsigned i = 0; i < 3; i++) {
        if (values[i] != 0) {
            at = put_varint(at, values[i]);
        }
    }
    if (move->reason.len != 0) {
        at = put_bytes(at, move->reason);
    }
    at = put_begin_head(at, &move->begin);
    for (unsigned i = 0; i < move->begin.branch_count; i++) {
        at = put_branch(at, &move->begin.branches[i]);
        at = put_progress(at, &move->progress[i]);
    }
    return at;
}

static uint8_t *put_own(uint8_t *at, const etx_record_own *own) {
    at = put_fixed(at, own->nonce);
    at = put_varint(at, own->time_ms);
    at = put_bytes(at, own->node);
    return put_bytes(at, own->chosen_home);
}

static uint8_t *put_result(uint8_t *at, const etx_record_result *result) {
    at = put_byte(at, result->operation | bit_if(result->reply == ETX_REFUSED, RESULT_REFUSED) |
                          bit_if(result->bytes.len, RESULT_BYTES));
    at = put_varint(at, result->branch);
    return result->bytes.len != 0 ? put_bytes(at, result->bytes) : at;
}

static uint8_t *put_decide(uint8_t *at, const etx_record_decide *decide) {
    at = put_byte(at, bit_if(decide->commit, DECIDE_COMMIT) |
                          bit_if(decide->reason.len, DECIDE_REASON) |
                          bit_if(decide->who.len, DECIDE_WHO) |
                          (unsigned)decide->marks << DECIDE_MARKS_SHIFT);
    at = put_varint(at, decide->time_ms);
    if (decide->reason.len != 0) {
        at = put_bytes(at, decide->reason);
    }
    return decide->who.len != 0 ? put_bytes(at, decide->who) : at;
}

static uint8_t *put_force(uint8_t *at, const etx_record_force *force) {
    at = put_byte(at, force->action | (unsigned)force->operation << FORCE_OPERATION_SHIFT);
    at = put_varint(at, force->time_ms);
    at = put_varint(at, force->branch);
    at = put_bytes(at, force->who);
    return put_bytes(at, force->why);
}

static uint8_t *put_loss(uint8_t *at, const etx_record_loss *loss) {
    at = put_varint(at, loss->time_ms);
    at = put_bytes(at, loss->who);
    return put_bytes(at, loss->why);
}

static uint8_t *put_body(uint8_t *at, const etx_record *record) {
    if (record->type != ETX_RECORD_OWN && record->type != ETX_RECORD_LOSS) {
        at = put_bytes(at, record->gid);
    }
    switch ((etx_record_type)record->type) {
        case ETX_RECORD_OWN:
            return put_own(at, &record->u.own);
        case ETX_RECORD_BEGIN:
            return put_begin(at, &record->u.begin);
        case ETX_RECORD_ENLIST:
            at = put_branch(at, &record->u.enlist.branch);
            return put_fixed(at, record->u.enlist.digest);
        case ETX_RECORD_HELD:
            return at;
        case ETX_RECORD_RESULT:
            return put_result(at, &record->u.result);
        case ETX_RECORD_DECIDE:
            return put_decide(at, &record->u.decide);
        case ETX_RECORD_FORCE:
            return put_force(at, &record->u.force);
        case ETX_RECORD_MOVE:
            return put_move(at, &record->u.move);
        case ETX_RECORD_END:
            at = put_varint(at, record->u.end.time_ms);
            return put_varint(at, record->u.end.ended_no);
        case ETX_RECORD_LOSS:
            return put_loss(at, &record->u.loss);
    }
    return at;
}

static size_t varint_len(size_t value) {
    size_t len = 1;
    for (; value >= 0x80; value >>= 7) {
        len++;
    }
    return len;
}

/* The body's length stands before it and is known after it. Room for the length is left as the
 * bound says; where the body comes out shorter by a varint byte it is moved down. */
size_t etx__binary_encode(const etx_record *record, void *buffer) {
    if (etx_record_check(record) != 0) {
        return 0;
    }
    size_t bound = etx__binary_bound(record);
    uint8_t *start = buffer;
    size_t gap = varint_len(bound);
    uint8_t *body = start + gap + 1;
    size_t len = (size_t)(put_body(body, record) - body);
    size_t fits = varint_len(len);
    if (fits < gap) {
        memmove(start + fits + 1, body, len);
    }
    put_byte(put_varint(start, len), record->type);
    return fits + 1 + len;
}
