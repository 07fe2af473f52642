/* What may stand in a record: each rule of etx_record_check, broken one at a time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <etx/record.h>

static etx_record record_of(unsigned type) {
    return (etx_record){.type = (uint8_t)type, .gid = {"g", type == ETX_RECORD_OWN ? 0 : 1}};
}

static void assert_valid(const etx_record *record) {
    assert_int_equal(etx_record_check(record), 0);
}

static void assert_invalid(const etx_record *record) {
    assert_int_equal(etx_record_check(record), ETX_EINVALID);
}

/* Sets a member, expects a refusal, and puts the member back. */
#define REFUSES(record, member, value)                          \
    do {                                                        \
        __typeof__((record)->member) before = (record)->member; \
        (record)->member = value;                               \
        assert_invalid(record);                                 \
        (record)->member = before;                              \
        assert_valid(record);                                   \
    } while (0)

static const etx_bytes no_name = {"a b", 3};

static void test_gid(void **state) {
    (void)state;
    etx_record held = record_of(ETX_RECORD_HELD);
    assert_valid(&held);
    REFUSES(&held, gid.len, 0);
    REFUSES(&held, gid, no_name);
    REFUSES(&held, type, 0);
    REFUSES(&held, type, 11);
    REFUSES(&held, type, ETX_RECORD_OWN); /* has no gid */
    etx_record end = record_of(ETX_RECORD_END);
    assert_valid(&end);
    etx_record own = record_of(ETX_RECORD_OWN);
    assert_valid(&own);
    REFUSES(&own, u.own.node, no_name);
    REFUSES(&own, u.own.chosen_home, no_name);
}

static void test_loss(void **state) {
    static const char many[ETX_REASON_MAX + 1] = "";
    (void)state;
    etx_record loss = record_of(ETX_RECORD_LOSS);
    loss.gid = (etx_bytes){NULL, 0};
    loss.u.loss = (etx_record_loss){.time_ms = 1, {many, ETX_NAME_MAX}, {many, ETX_REASON_MAX}};
    assert_valid(&loss);
    REFUSES(&loss, u.loss.time_ms, 0);
    REFUSES(&loss, u.loss.who.len, ETX_NAME_MAX + 1);
    REFUSES(&loss, u.loss.why.len, ETX_REASON_MAX + 1);
    REFUSES(&loss, gid, no_name); /* it has none */
}

static void test_begin(void **state) {
    (void)state;
    uint16_t place = 1;
    etx_record_branch branches[2] = {
        {.name = {"a", 1},
         .participant = {"p", 1},
         .kind = ETX_TCC,
         .depends_on = &place,
         .depends_on_count = 1},
        {.name = {"b", 1}, .participant = {"p", 1}, .kind = ETX_NOTIFICATION, .flags = 7}};
    etx_record begin = record_of(ETX_RECORD_BEGIN);
    begin.u.begin.mode = ETX_RESUMED;
    begin.u.begin.branches = branches;
    begin.u.begin.branch_count = 2;
    assert_valid(&begin);
    REFUSES(&begin, u.begin.mode, 0);
    REFUSES(&begin, u.begin.mode, 4);
    REFUSES(&begin, u.begin.marks, ETX_MARK_FORCED);
    REFUSES(&begin, u.begin.durability, 4);
    REFUSES(&begin, u.begin.initiator, no_name);
    REFUSES(&begin, u.begin.initiator_payload, ((etx_bytes){"x", 1})); /* and no initiator */
    REFUSES(&begin, u.begin.branch_count, ETX_BRANCHES_MAX + 1);
    REFUSES(&begin, u.begin.branch_count, 1); /* a depends on what is not there */
    place = 0;                                /* on itself */
    assert_invalid(&begin);
    place = 1;
    branches[1].flags = 8;
    assert_invalid(&begin);
    branches[1].flags = 0;
    branches[1].kind = 0;
    assert_invalid(&begin);
    branches[1].kind = 6;
    assert_invalid(&begin);
    branches[1].kind = ETX_XA;
    branches[1].name.len = 0;
    assert_invalid(&begin);
    branches[1].name.len = 1;
    branches[1].participant = no_name;
    assert_invalid(&begin);
}

static void test_enlist(void **state) {
    (void)state;
    uint16_t place = ETX_BRANCHES_MAX - 1;
    etx_record enlist = record_of(ETX_RECORD_ENLIST);
    enlist.u.enlist.branch = (etx_record_branch){.name = {"a", 1},
                                                 .participant = {"p", 1},
                                                 .kind = ETX_TCC,
                                                 .depends_on = &place,
                                                 .depends_on_count = 1};
    assert_valid(&enlist);
    REFUSES(&enlist, u.enlist.branch.depends_on_count, ETX_BRANCHES_MAX + 1);
    REFUSES(&enlist, u.enlist.branch.kind, 0);
    place = ETX_BRANCHES_MAX;
    assert_invalid(&enlist);
}

static void test_small(void **state) {
    (void)state;
    etx_record result = record_of(ETX_RECORD_RESULT);
    result.u.result.reply = ETX_DONE;
    assert_valid(&result);
    REFUSES(&result, u.result.reply, 0);
    REFUSES(&result, u.result.reply, ETX_WORKING);
    REFUSES(&result, u.result.operation, ETX_QUERY);
    REFUSES(&result, u.result.branch, ETX_BRANCHES_MAX);
    etx_record decide = record_of(ETX_RECORD_DECIDE);
    assert_valid(&decide);
    REFUSES(&decide, u.decide.commit, 2);
    REFUSES(&decide, u.decide.marks, 0x20);
    etx_record force = record_of(ETX_RECORD_FORCE);
    force.u.force.action = ETX_FORCE_SETTLE;
    assert_valid(&force);
    REFUSES(&force, u.force.action, 0);
    REFUSES(&force, u.force.action, 4);
    REFUSES(&force, u.force.operation, ETX_QUERY);
    REFUSES(&force, u.force.branch, ETX_BRANCHES_MAX);
}

static void test_move(void **state) {
    (void)state;
    const etx_record_branch branch = {.name = {"a", 1}, .participant = {"p", 1}, .kind = ETX_TCC};
    etx_record_progress progress = {.forward = ETX_REFUSED, .finish = ETX_DONE, .settled = 7};
    etx_record move = record_of(ETX_RECORD_MOVE);
    move.u.move.state = ETX_ABORTED;
    move.u.move.marks = 0x1f;
    assert_valid(&move); /* remembered: no branches, no mode */
    move.u.move.begin.mode = ETX_SUBMITTED;
    move.u.move.begin.branches = &branch;
    move.u.move.begin.branch_count = 1;
    move.u.move.progress = &progress;
    assert_valid(&move);
    REFUSES(&move, u.move.begin.mode, 0);
    REFUSES(&move, u.move.state, ETX_NONE);
    REFUSES(&move, u.move.state, 6);
    REFUSES(&move, u.move.marks, 0x20);
    progress.settled = 8;
    assert_invalid(&move);
    progress.settled = 0;
    progress.forward = ETX_WORKING;
    assert_invalid(&move);
    progress.forward = 0;
    progress.finish = ETX_LATER;
    assert_invalid(&move);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gid),    cmocka_unit_test(test_begin), cmocka_unit_test(test_loss),
        cmocka_unit_test(test_enlist), cmocka_unit_test(test_small), cmocka_unit_test(test_move),
    };
    return cmocka_run_group_tests_name("record check", tests, NULL, NULL);
}
