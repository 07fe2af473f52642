/* Random records for the codec tests, and their comparison. */
#include "records.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

uint64_t dice_roll(dice *from) {
    from->state ^= from->state << 13;
    from->state ^= from->state >> 7;
    from->state ^= from->state << 17;
    return from->state;
}

unsigned dice_below(dice *from, unsigned limit) {
    return (unsigned)((dice_roll(from) >> 32) % limit);
}

/* Small, middle and huge numbers alike, and 0 often. */
static uint64_t draw_number(dice *from, unsigned bits_max) {
    unsigned bits = dice_below(from, bits_max + 1);
    return bits == 0 ? 0 : dice_roll(from) >> (64 - bits);
}

static uint64_t draw_present(dice *from, unsigned bits_max) {
    uint64_t number = draw_number(from, bits_max);
    return number != 0 ? number : 1;
}

static etx_bytes draw_bytes(dice *from, record_stock *stock, size_t len, unsigned low, unsigned n) {
    unsigned char *at = stock->bytes + stock->bytes_used;
    assert_true(stock->bytes_used + len <= STOCK_BYTES);
    for (size_t i = 0; i < len; i++) {
        at[i] = (unsigned char)(low + dice_below(from, n));
    }
    stock->bytes_used += len;
    return (etx_bytes){len > 0 ? at : NULL, len};
}

static etx_bytes draw_name(dice *from, record_stock *stock, unsigned max) {
    return draw_bytes(from, stock, 1 + dice_below(from, max), '!', '~' - '!' + 1);
}

static etx_bytes draw_name_or_empty(dice *from, record_stock *stock) {
    return dice_below(from, 2) ? draw_name(from, stock, ETX_NAME_MAX) : (etx_bytes){NULL, 0};
}

/* Empty, printable, or anything. */
static etx_bytes draw_octets(dice *from, record_stock *stock) {
    unsigned len = dice_below(from, 4) == 0 ? 0 : dice_below(from, 300);
    return dice_below(from, 2) ? draw_bytes(from, stock, len, ' ', 95)
                               : draw_bytes(from, stock, len, 0, 256);
}

static void draw_depends_on(dice *from,
                            record_stock *stock,
                            etx_record_branch *branch,
                            unsigned place,
                            unsigned limit) {
    uint16_t *places = stock->depends_on + stock->depends_on_used;
    unsigned count = 0;
    for (unsigned i = 0; i < limit && count < 5; i++) {
        if (i != place && dice_below(from, 4) == 0 &&
            stock->depends_on_used + count < STOCK_DEPENDS_ON) {
            places[count++] = (uint16_t)i;
        }
    }
    branch->depends_on = count > 0 ? places : NULL;
    branch->depends_on_count = (uint16_t)count;
    stock->depends_on_used += count;
}

static etx_record_branch draw_branch(dice *from,
                                     record_stock *stock,
                                     unsigned place,
                                     unsigned limit) {
    etx_record_branch branch = {0};
    branch.name = draw_name(from, stock, ETX_NAME_MAX);
    branch.participant = draw_name(from, stock, ETX_NAME_MAX);
    branch.payload = draw_octets(from, stock);
    branch.kind = (uint8_t)(ETX_TCC + dice_below(from, ETX_NOTIFICATION));
    branch.flags = (uint8_t)dice_below(from, 8);
    draw_depends_on(from, stock, &branch, place, limit);
    if (dice_below(from, 3) == 0) {
        branch.attempts_max = (uint32_t)draw_number(from, 32);
        branch.call_timeout_ms = (uint32_t)draw_number(from, 32);
        branch.retry_first_ms = (uint32_t)draw_number(from, 32);
        branch.retry_cap_ms = (uint32_t)draw_number(from, 32);
    }
    return branch;
}

static etx_record_begin draw_begin(dice *from, record_stock *stock, unsigned count) {
    etx_record_begin begin = {0};
    begin.time_ms = draw_number(from, 64);
    begin.deadline_ms = dice_below(from, 2) ? draw_number(from, 64) : 0;
    begin.digest = dice_roll(from);
    begin.mode = (uint8_t)(ETX_SUBMITTED + dice_below(from, 3));
    begin.marks = dice_below(from, 2) ? ETX_MARK_CHOSEN : 0;
    begin.durability = (uint8_t)dice_below(from, 4);
    begin.initiator = draw_name_or_empty(from, stock);
    if (begin.initiator.len > 0) {
        begin.initiator_payload = draw_octets(from, stock);
    }
    begin.resume_ms = (uint32_t)draw_number(from, 32);
    begin.branch_count = (uint16_t)count;
    begin.branches = stock->branches;
    for (unsigned i = 0; i < count; i++) {
        stock->branches[i] = draw_branch(from, stock, i, count);
    }
    return begin;
}

static etx_record_move draw_move(dice *from, record_stock *stock) {
    etx_record_move move = {0};
    unsigned count = dice_below(from, 4) ? dice_below(from, STOCK_BRANCHES) : 0;
    move.begin = draw_begin(from, stock, count);
    if (count == 0 && dice_below(from, 2)) {
        move.begin.mode = 0;
    }
    move.state = (uint8_t)(ETX_ACTIVE + dice_below(from, 5));
    move.marks = (uint8_t)dice_below(from, 32);
    move.decided_ms = draw_number(from, 64);
    move.ended_ms = draw_number(from, 64);
    move.ended_no = draw_number(from, 64);
    move.reason = draw_octets(from, stock);
    move.progress = stock->progress;
    for (unsigned i = 0; i < count; i++) {
        stock->progress[i] = (etx_record_progress){
            .forward = (uint8_t)dice_below(from, 3),
            .finish = (uint8_t)dice_below(from, 3),
            .settled = (uint8_t)dice_below(from, 8),
            .digest = draw_number(from, 64),
        };
        stock->progress[i].result = draw_octets(from, stock);
    }
    return move;
}

static void draw_small(dice *from, record_stock *stock, etx_record *record) {
    if (record->type == ETX_RECORD_OWN) {
        record->u.own.nonce = dice_roll(from);
        record->u.own.time_ms = draw_number(from, 64);
        record->u.own.node = draw_name_or_empty(from, stock);
        record->u.own.chosen_home = draw_name_or_empty(from, stock);
    } else if (record->type == ETX_RECORD_RESULT) {
        record->u.result.branch = (uint16_t)dice_below(from, ETX_BRANCHES_MAX);
        record->u.result.operation = (uint8_t)dice_below(from, 3);
        record->u.result.reply = (uint8_t)(ETX_DONE + dice_below(from, 2));
        record->u.result.bytes = draw_octets(from, stock);
    } else if (record->type == ETX_RECORD_DECIDE) {
        record->u.decide.time_ms = draw_number(from, 64);
        record->u.decide.commit = (uint8_t)dice_below(from, 2);
        record->u.decide.marks = (uint8_t)dice_below(from, 32);
        record->u.decide.reason = draw_octets(from, stock);
        record->u.decide.who = draw_octets(from, stock);
    } else if (record->type == ETX_RECORD_FORCE) {
        record->u.force.time_ms = draw_number(from, 64);
        record->u.force.action = (uint8_t)(ETX_FORCE_PARK + dice_below(from, 3));
        record->u.force.operation = (uint8_t)dice_below(from, 3);
        record->u.force.branch = (uint16_t)dice_below(from, ETX_BRANCHES_MAX);
        record->u.force.who = draw_octets(from, stock);
        record->u.force.why = draw_octets(from, stock);
    } else if (record->type == ETX_RECORD_END) {
        record->u.end.time_ms = draw_number(from, 64);
        record->u.end.ended_no = draw_present(from, 64);
    } else if (record->type == ETX_RECORD_LOSS) {
        record->u.loss.time_ms = draw_present(from, 64);
        record->u.loss.who = draw_name_or_empty(from, stock);
        record->u.loss.why = draw_name_or_empty(from, stock);
    }
}

etx_record record_draw(dice *from, record_stock *stock, unsigned type) {
    etx_record record = {.type = (uint8_t)type};
    stock->bytes_used = 0;
    stock->depends_on_used = 0;
    if (type != ETX_RECORD_OWN && type != ETX_RECORD_LOSS) {
        record.gid = draw_name(from, stock, ETX_GID_MAX);
    }
    if (type == ETX_RECORD_BEGIN) {
        record.u.begin = draw_begin(from, stock, dice_below(from, STOCK_BRANCHES));
    } else if (type == ETX_RECORD_ENLIST) {
        record.u.enlist.branch = draw_branch(from, stock, ETX_BRANCHES_MAX, STOCK_BRANCHES);
        record.u.enlist.digest = dice_roll(from);
    } else if (type == ETX_RECORD_MOVE) {
        record.u.move = draw_move(from, stock);
    } else {
        draw_small(from, stock, &record);
    }
    return record;
}

/* ---- comparison */

static void bytes_assert_equal(etx_bytes a, etx_bytes b) {
    assert_int_equal(a.len, b.len);
    if (a.len > 0) {
        assert_memory_equal(a.data, b.data, a.len);
    } else {
        assert_null(b.data);
    }
}

static void branch_assert_equal(const etx_record_branch *a, const etx_record_branch *b) {
    bytes_assert_equal(a->name, b->name);
    bytes_assert_equal(a->participant, b->participant);
    bytes_assert_equal(a->payload, b->payload);
    assert_int_equal(a->kind, b->kind);
    assert_int_equal(a->flags, b->flags);
    assert_int_equal(a->attempts_max, b->attempts_max);
    assert_int_equal(a->call_timeout_ms, b->call_timeout_ms);
    assert_int_equal(a->retry_first_ms, b->retry_first_ms);
    assert_int_equal(a->retry_cap_ms, b->retry_cap_ms);
    assert_int_equal(a->depends_on_count, b->depends_on_count);
    for (unsigned i = 0; i < a->depends_on_count; i++) {
        assert_int_equal(a->depends_on[i], b->depends_on[i]);
    }
}

static void begin_assert_equal(const etx_record_begin *a, const etx_record_begin *b) {
    assert_true(a->time_ms == b->time_ms);
    assert_true(a->deadline_ms == b->deadline_ms);
    assert_true(a->digest == b->digest);
    assert_int_equal(a->mode, b->mode);
    assert_int_equal(a->marks, b->marks);
    assert_int_equal(a->durability, b->durability);
    bytes_assert_equal(a->initiator, b->initiator);
    bytes_assert_equal(a->initiator_payload, b->initiator_payload);
    assert_int_equal(a->resume_ms, b->resume_ms);
    assert_int_equal(a->branch_count, b->branch_count);
    for (unsigned i = 0; i < a->branch_count; i++) {
        branch_assert_equal(&a->branches[i], &b->branches[i]);
    }
}

static void move_assert_equal(const etx_record_move *a, const etx_record_move *b) {
    begin_assert_equal(&a->begin, &b->begin);
    assert_int_equal(a->state, b->state);
    assert_int_equal(a->marks, b->marks);
    assert_true(a->decided_ms == b->decided_ms);
    assert_true(a->ended_ms == b->ended_ms);
    assert_true(a->ended_no == b->ended_no);
    bytes_assert_equal(a->reason, b->reason);
    for (unsigned i = 0; i < a->begin.branch_count; i++) {
        assert_int_equal(a->progress[i].forward, b->progress[i].forward);
        assert_int_equal(a->progress[i].finish, b->progress[i].finish);
        assert_int_equal(a->progress[i].settled, b->progress[i].settled);
        assert_true(a->progress[i].digest == b->progress[i].digest);
        bytes_assert_equal(a->progress[i].result, b->progress[i].result);
    }
}

static void small_assert_equal(const etx_record *a, const etx_record *b) {
    if (a->type == ETX_RECORD_OWN) {
        assert_true(a->u.own.nonce == b->u.own.nonce);
        assert_true(a->u.own.time_ms == b->u.own.time_ms);
        bytes_assert_equal(a->u.own.node, b->u.own.node);
        bytes_assert_equal(a->u.own.chosen_home, b->u.own.chosen_home);
    } else if (a->type == ETX_RECORD_RESULT) {
        assert_int_equal(a->u.result.branch, b->u.result.branch);
        assert_int_equal(a->u.result.operation, b->u.result.operation);
        assert_int_equal(a->u.result.reply, b->u.result.reply);
        bytes_assert_equal(a->u.result.bytes, b->u.result.bytes);
    } else if (a->type == ETX_RECORD_DECIDE) {
        assert_true(a->u.decide.time_ms == b->u.decide.time_ms);
        assert_int_equal(a->u.decide.commit, b->u.decide.commit);
        assert_int_equal(a->u.decide.marks, b->u.decide.marks);
        bytes_assert_equal(a->u.decide.reason, b->u.decide.reason);
        bytes_assert_equal(a->u.decide.who, b->u.decide.who);
    } else if (a->type == ETX_RECORD_FORCE) {
        assert_true(a->u.force.time_ms == b->u.force.time_ms);
        assert_int_equal(a->u.force.action, b->u.force.action);
        assert_int_equal(a->u.force.operation, b->u.force.operation);
        assert_int_equal(a->u.force.branch, b->u.force.branch);
        bytes_assert_equal(a->u.force.who, b->u.force.who);
        bytes_assert_equal(a->u.force.why, b->u.force.why);
    } else if (a->type == ETX_RECORD_END) {
        assert_true(a->u.end.time_ms == b->u.end.time_ms);
        assert_true(a->u.end.ended_no == b->u.end.ended_no);
    } else if (a->type == ETX_RECORD_LOSS) {
        assert_true(a->u.loss.time_ms == b->u.loss.time_ms);
        bytes_assert_equal(a->u.loss.who, b->u.loss.who);
        bytes_assert_equal(a->u.loss.why, b->u.loss.why);
    }
}

void record_assert_equal(const etx_record *a, const etx_record *b) {
    assert_int_equal(a->type, b->type);
    bytes_assert_equal(a->gid, b->gid);
    if (a->type == ETX_RECORD_BEGIN) {
        begin_assert_equal(&a->u.begin, &b->u.begin);
    } else if (a->type == ETX_RECORD_ENLIST) {
        branch_assert_equal(&a->u.enlist.branch, &b->u.enlist.branch);
        assert_true(a->u.enlist.digest == b->u.enlist.digest);
    } else if (a->type == ETX_RECORD_MOVE) {
        move_assert_equal(&a->u.move, &b->u.move);
    } else {
        small_assert_equal(a, b);
    }
}

int record_decode(const etx_codec *codec,
                  etx_bytes bytes,
                  etx_record_room *room,
                  etx_record *ret_record,
                  size_t *ret_used) {
    int rc = codec->decode(bytes, room, ret_record, ret_used);
    if (rc == ETX_EBUSY) {
        assert_int_equal(etx_record_room_grow(room), 0);
        rc = codec->decode(bytes, room, ret_record, ret_used);
        assert_int_not_equal(rc, ETX_EBUSY);
    }
    return rc;
}
