/* apply, by folding logs that no single core would have written: repeats, orphans, damage. */
#include "unit.h"

typedef struct log {
    world *w;
    etx__core *core;
    void *memory;
} log;

static log open_log(void) {
    log l = {0};
    say(&l.w, "world transactions=4 history=4");
    l.core = world_fold(l.w, 0, 0, &l.memory);
    return l;
}

static void close_log(log *l) {
    free(l->memory);
    world_free(l->w);
}

static const etx__entry *find(const log *l, const char *gid) {
    return etx__core_find(l->core, text_of(gid), etx__core_hash(text_of(gid)));
}

static const uint16_t none[] = {0};

static etx_record_branch branch(const char *name, etx_kind kind) {
    return (etx_record_branch){.name = text_of(name),
                               .participant = text_of("shop"),
                               .kind = (uint8_t)kind,
                               .depends_on = none};
}

static int begin(log *l, const char *gid, etx_mode mode, uint16_t branches) {
    etx_record_branch made[3] = {branch("a", ETX_TCC), branch("b", ETX_SAGA),
                                 branch("c", ETX_MESSAGE)};
    etx_record record = {.type = ETX_RECORD_BEGIN, .gid = text_of(gid)};
    record.u.begin.time_ms = 100;
    record.u.begin.mode = (uint8_t)mode;
    record.u.begin.digest = 7;
    record.u.begin.branch_count = branches;
    record.u.begin.branches = made;
    return etx__core_fold(l->core, &record);
}

static void decide(log *l, const char *gid, int commit, uint8_t marks, const char *reason) {
    etx_record record = {.type = ETX_RECORD_DECIDE, .gid = text_of(gid)};
    record.u.decide.commit = (uint8_t)commit;
    record.u.decide.marks = marks;
    record.u.decide.time_ms = 200;
    record.u.decide.reason = text_of(reason);
    assert_int_equal(etx__core_fold(l->core, &record), 0);
}

static void end(log *l, const char *gid, uint64_t number) {
    etx_record record = {.type = ETX_RECORD_END, .gid = text_of(gid)};
    record.u.end.time_ms = 300;
    record.u.end.ended_no = number;
    assert_int_equal(etx__core_fold(l->core, &record), 0);
}

static void result(log *l, const char *gid, uint16_t place, etx_operation op, etx_reply reply) {
    etx_record record = {.type = ETX_RECORD_RESULT, .gid = text_of(gid)};
    record.u.result.branch = place;
    record.u.result.operation = (uint8_t)op;
    record.u.result.reply = (uint8_t)reply;
    record.u.result.bytes = text_of(op == ETX_FORWARD ? "bytes" : "");
    assert_int_equal(etx__core_fold(l->core, &record), 0);
}

static void force(log *l, const char *gid, etx_force_action action, uint16_t place, uint8_t op) {
    etx_record record = {.type = ETX_RECORD_FORCE, .gid = text_of(gid)};
    record.u.force.action = (uint8_t)action;
    record.u.force.branch = place;
    record.u.force.operation = op;
    assert_int_equal(etx__core_fold(l->core, &record), 0);
}

static int enlist(log *l, const char *gid, const char *name, uint16_t depends_on) {
    etx_record record = {.type = ETX_RECORD_ENLIST, .gid = text_of(gid)};
    record.u.enlist.branch = branch(name, ETX_TCC);
    record.u.enlist.branch.depends_on = &depends_on;
    record.u.enlist.branch.depends_on_count = depends_on != 999;
    return etx__core_fold(l->core, &record);
}

static void test_the_first_stands(void **state) {
    (void)state;
    log l = open_log();
    assert_int_equal(begin(&l, "t", ETX_SUBMITTED, 3), 0);
    assert_int_equal(begin(&l, "t", ETX_SUBMITTED, 1), 0); /* a second BEGIN changes nothing */
    assert_int_equal(find(&l, "t")->tx->s.branch_count, 3);
    result(&l, "t", 0, ETX_FORWARD, ETX_DONE);
    result(&l, "t", 0, ETX_FORWARD, ETX_REFUSED);
    assert_int_equal(find(&l, "t")->tx->branch[0]->s.forward, ETX_DONE);
    assert_int_equal(find(&l, "t")->tx->branch[0]->s.result_len, 5);
    decide(&l, "t", 1, 0, "");
    decide(&l, "t", 0, 0, "other"); /* nor a second DECIDE */
    assert_int_equal(find(&l, "t")->state, ETX_COMMITTING);
    result(&l, "t", 0, ETX_COMMIT, ETX_DONE);
    result(&l, "t", 0, ETX_COMMIT, ETX_REFUSED);
    assert_int_equal(find(&l, "t")->tx->branch[0]->s.finish, ETX_DONE);
    end(&l, "t", 1);
    end(&l, "t", 2);
    decide(&l, "t", 0, 0, "late");
    result(&l, "t", 0, ETX_FORWARD, ETX_DONE);
    assert_int_equal(find(&l, "t")->state, ETX_COMMITTED);
    assert_int_equal(find(&l, "t")->ended_no, 1);
    assert_int_equal(l.core->live, 0);
    assert_int_equal(l.core->remembered, 1);
    close_log(&l);
}

static void test_begin_behind_end_starts_anew(void **state) {
    (void)state;
    log l = open_log();
    begin(&l, "t", ETX_SUBMITTED, 1);
    decide(&l, "t", 0, 0, "no");
    end(&l, "t", 1);
    assert_int_equal(find(&l, "t")->reason_len, 2);
    begin(&l, "t", ETX_SUBMITTED, 2);
    assert_int_equal(find(&l, "t")->state, ETX_ACTIVE);
    assert_int_equal(find(&l, "t")->tx->s.branch_count, 2);
    assert_int_equal(l.core->live, 1);
    assert_int_equal(l.core->remembered, 0);
    decide(&l, "t", 1, 0, "");
    end(&l, "t", 2);
    assert_int_equal(find(&l, "t")->state, ETX_COMMITTED);
    close_log(&l);
}

static void test_orphans_are_skipped(void **state) {
    (void)state;
    log l = open_log();
    decide(&l, "x", 1, 0, "");
    decide(&l, "x", 0, 0, "no");
    end(&l, "x", 9);
    result(&l, "x", 0, ETX_FORWARD, ETX_DONE);
    force(&l, "x", ETX_FORCE_PARK, 0, 0);
    assert_int_equal(enlist(&l, "x", "a", 999), 0);
    assert_null(find(&l, "x"));
    assert_int_equal(l.core->ended_last, 0);
    decide(&l, "x", 0, ETX_MARK_NEVER_BEGUN, "before it was begun"); /* but this one */
    assert_int_equal(find(&l, "x")->state, ETX_ABORTED);
    assert_int_equal(find(&l, "x")->reason_len, 19);
    end(&l, "x", 40); /* says its number */
    assert_int_equal(find(&l, "x")->ended_no, 40);
    assert_int_equal(l.core->ended_last, 40);
    assert_int_equal(l.core->remembered, 1);
    begin(&l, "x", ETX_SUBMITTED, 1);
    decide(&l, "x", 0, ETX_MARK_NEVER_BEGUN, ""); /* and not of one that is there */
    assert_int_equal(find(&l, "x")->marks & ETX_MARK_NEVER_BEGUN, 0);
    close_log(&l);
}

static void test_odd_records_harm_nothing(void **state) {
    (void)state;
    log l = open_log();
    begin(&l, "t", ETX_INTERACTIVE, 0);
    assert_int_equal(enlist(&l, "t", "a", 999), 0);
    assert_int_equal(enlist(&l, "t", "a", 0), 0); /* the name is there: nothing */
    assert_int_equal(enlist(&l, "t", "b", 0), 0);
    assert_int_equal(enlist(&l, "t", "c", 2), ETX_ECORRUPT); /* on a branch that is not there */
    assert_int_equal(find(&l, "t")->tx->s.branch_count, 2);
    result(&l, "t", 9, ETX_FORWARD, ETX_DONE);
    force(&l, "t", ETX_FORCE_SETTLE, 9, ETX_FORWARD);
    end(&l, "t", 1); /* not decided */
    assert_int_equal(find(&l, "t")->state, ETX_ACTIVE);
    force(&l, "t", ETX_FORCE_PARK, 0, 0);
    force(&l, "t", ETX_FORCE_PARK, 0, 0);
    assert_int_equal(l.core->parked, 1);
    force(&l, "t", ETX_FORCE_RESUME, 0, 0);
    force(&l, "t", ETX_FORCE_RESUME, 0, 0);
    assert_int_equal(l.core->parked, 0);
    decide(&l, "t", 0, ETX_MARK_FORCED | ETX_MARK_PARKED, "");
    assert_int_equal(find(&l, "t")->marks, ETX_MARK_FORCED);
    end(&l, "t", 1);
    assert_int_equal(l.core->parked, 0);
    close_log(&l);
}

static void test_too_much(void **state) {
    (void)state;
    log l = open_log();
    char gid[2] = "a";
    for (int i = 0; i < 4; i++, gid[0]++) {
        assert_int_equal(begin(&l, gid, ETX_SUBMITTED, 1), 0);
    }
    assert_int_equal(begin(&l, gid, ETX_SUBMITTED, 1), ETX_EBUSY);
    decide(&l, "a", 1, 0, "");
    end(&l, "a", 1);
    assert_int_equal(begin(&l, gid, ETX_INTERACTIVE, 0), 0);
    for (int i = 0; i < ETX_BRANCHES_MAX; i++) {
        char name[16];
        snprintf(name, sizeof name, "b%d", i);
        assert_int_equal(enlist(&l, gid, name, 999), 0);
    }
    assert_int_equal(enlist(&l, gid, "more", 999), ETX_ECORRUPT); /* no core wrote that */
    close_log(&l);
}

static int move(log *l, etx_state is, uint64_t ended_ms, etx_mode mode) {
    etx_record_branch made[1] = {branch("a", ETX_TCC)};
    etx_record_progress progress[1] = {{.forward = ETX_DONE, .result = text_of("kept")}};
    etx_record record = {.type = ETX_RECORD_MOVE, .gid = text_of("t")};
    record.u.move.begin.mode = (uint8_t)mode;
    record.u.move.begin.branch_count = ended_ms == 0;
    record.u.move.begin.branches = made;
    record.u.move.progress = progress;
    record.u.move.state = (uint8_t)is;
    record.u.move.marks = ETX_MARK_PARKED;
    record.u.move.ended_ms = ended_ms;
    record.u.move.ended_no = ended_ms > 0 ? 3 : 0;
    return etx__core_fold(l->core, &record);
}

static void test_move_replaces(void **state) {
    (void)state;
    log l = open_log();
    begin(&l, "t", ETX_SUBMITTED, 3);
    assert_int_equal(move(&l, ETX_ABORTING, 0, ETX_SUBMITTED), 0);
    assert_int_equal(find(&l, "t")->state, ETX_ABORTING);
    assert_int_equal(find(&l, "t")->tx->branch[0]->s.result_len, 4);
    assert_int_equal(l.core->live, 1);
    assert_int_equal(l.core->parked, 1);
    assert_int_equal(move(&l, ETX_COMMITTED, 0, ETX_SUBMITTED), ETX_ECORRUPT);
    assert_int_equal(move(&l, ETX_ACTIVE, 5, ETX_SUBMITTED), ETX_ECORRUPT);
    close_log(&l);
    l = open_log();
    begin(&l, "t", ETX_SUBMITTED, 3);
    assert_int_equal(move(&l, ETX_ABORTED, 5, 0), 0);
    assert_int_equal(move(&l, ETX_ABORTED, 5, 0), 0);
    assert_int_equal(l.core->live, 0);
    assert_int_equal(l.core->parked, 0);
    assert_int_equal(l.core->remembered, 1);
    assert_int_equal(move(&l, ETX_ACTIVE, 0, 0), ETX_ECORRUPT);
    close_log(&l);
}

/* By a clock that stands at 0 it ended all the same: its MOVE is no live one's. */
static void test_ended_at_0(void **state) {
    (void)state;
    log l = open_log();
    etx_record never = {.type = ETX_RECORD_DECIDE, .gid = text_of("x")};
    etx_record over = {.type = ETX_RECORD_END, .gid = text_of("t")};
    etx_record image;
    never.u.decide.marks = ETX_MARK_NEVER_BEGUN;
    over.u.end.ended_no = 2;
    assert_int_equal(etx__core_fold(l.core, &never), 0);
    begin(&l, "t", ETX_SUBMITTED, 0);
    decide(&l, "t", 1, 0, "");
    assert_int_equal(etx__core_fold(l.core, &over), 0);
    etx__core_image(l.core, find(&l, "x"), NULL, NULL, &image);
    assert_int_equal(etx__core_fold(l.core, &image), 0);
    etx__core_image(l.core, find(&l, "t"), NULL, NULL, &image);
    assert_int_equal(etx__core_fold(l.core, &image), 0);
    assert_int_equal(l.core->remembered, 2);
    close_log(&l);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_first_stands),
        cmocka_unit_test(test_begin_behind_end_starts_anew),
        cmocka_unit_test(test_orphans_are_skipped),
        cmocka_unit_test(test_odd_records_harm_nothing),
        cmocka_unit_test(test_too_much),
        cmocka_unit_test(test_move_replaces),
        cmocka_unit_test(test_ended_at_0),
    };
    return cmocka_run_group_tests_name("core apply", tests, NULL, NULL);
}
