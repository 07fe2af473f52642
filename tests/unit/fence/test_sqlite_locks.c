/* The SQLite fence with two connections: who may not write decides nothing. */
#include <sqlite3.h>

#include "bank.h"

static void test_second_connection_is_told_busy(void **state) {
    fixture *f = *state;
    etx_fence_call try = make_call("g", ETX_TCC, ETX_FORWARD);
    etx_fence_call cancel = make_call("g", ETX_TCC, ETX_UNDO);
    etx_fence_answer answer = ETX_FENCE_ANSWER_INIT;
    assert_int_equal(sqlite3_busy_timeout(f->other->db, 0), SQLITE_OK);
    execute(f->db, "BEGIN IMMEDIATE");
    assert_int_equal(enter(f->db, &try).verdict, ETX_FENCE_RUN);
    execute(f->db, SQL_HOLD);
    /* a deferred transaction gets no lock, and takes no decision on what it cannot see */
    execute(f->other, "BEGIN");
    assert_int_equal(etx_fence_sqlite_enter(f->other->db, &cancel, &answer), ETX_EBUSY);
    execute(f->other, "ROLLBACK");
    assert_int_equal(etx_fence_sqlite_finish(f->db->db, &try, ETX_DONE, NULL, NULL, 0), 0);
    execute(f->db, "COMMIT");
    assert_int_equal(operate(f->other, &cancel, SQL_DROP, ETX_DONE), 0);
    assert_int_equal(ask(f->db, "SELECT held FROM account"), 0);
}

/* A preparation that fails leaves no transaction behind. */
static void test_failed_preparation_ends_its_transaction(void **state) {
    fixture *f = *state;
    execute(f->db, "UPDATE etx_fence_meta SET version = 2");
    assert_int_equal(etx_fence_sqlite_prepare(f->db->db), ETX_EVERSION);
    assert_true(sqlite3_get_autocommit(f->db->db));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_second_connection_is_told_busy, bank_set_up,
                                        bank_tear_down),
        cmocka_unit_test_setup_teardown(test_failed_preparation_ends_its_transaction, bank_set_up,
                                        bank_tear_down),
    };
    return cmocka_run_group_tests_name("sqlite_locks", tests, NULL, NULL);
}
