/* The kinds: every operation of every kind, and which of them a decision leaves to do. */
#include "unit.h"

static void test_rows(void **state) {
    (void)state;
    static const struct {
        etx_kind kind;
        const char *operations; /* forward, commit, undo */
    } rows[] = {
        {ETX_TCC, "fcu"},     {ETX_SAGA, "f-u"},         {ETX_XA, "fcu"},
        {ETX_MESSAGE, "-c-"}, {ETX_NOTIFICATION, "-c-"},
    };
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const etx__kind_row *row = etx__kind_of((uint8_t)rows[i].kind);
        assert_int_equal(row->forward, rows[i].operations[0] == 'f');
        assert_int_equal(row->commit, rows[i].operations[1] == 'c');
        assert_int_equal(row->undo, rows[i].operations[2] == 'u');
        assert_int_equal(row->tolerated, rows[i].kind == ETX_NOTIFICATION);
        assert_int_equal(row->chained, rows[i].kind == ETX_SAGA);
    }
}

/* "Nothing to undo" may be said only by the owner that put the BEGIN, and only of a branch whose
 * forward operation ETX alone does and this owner has not called; or of a refusal that is kept. */
static int must_undo(int ours, int by_etx, int called, uint8_t forward, int keeps) {
    if (forward == ETX_REFUSED && keeps) {
        return 0;
    }
    return !(ours && by_etx && !called && forward == 0);
}

static void test_undo(void **state) {
    (void)state;
    for (unsigned bits = 0; bits < 16; bits++) {
        for (uint8_t forward = 0; forward <= ETX_REFUSED; forward++) {
            int ours = bits & 1, by_etx = (bits >> 1) & 1, called = (bits >> 2) & 1;
            int keeps = (bits >> 3) & 1;
            etx__branch branch = {.s.kind = ETX_TCC};
            branch.s.flags =
                (uint8_t)((by_etx ? 0 : ETX_BY_INITIATOR) | (keeps ? ETX_KEEPS_REFUSALS : 0));
            branch.r.called = (uint8_t)called;
            branch.r.forward = forward;
            assert_int_equal(etx__branch_by_etx(&branch), by_etx);
            assert_int_equal(etx__branch_needs(&branch, ETX_UNDO, ours),
                             must_undo(ours, by_etx, called, forward, keeps));
            assert_int_equal(etx__branch_needs(&branch, ETX_COMMIT, ours), 1);
            branch.r.finish = ETX_DONE;
            assert_int_equal(etx__branch_needs(&branch, ETX_UNDO, ours), 0);
            assert_int_equal(etx__branch_needs(&branch, ETX_COMMIT, ours), 0);
            branch.r.finish = 0;
            branch.s.kind = ETX_MESSAGE;
            assert_int_equal(etx__branch_needs(&branch, ETX_UNDO, ours), 0);
            branch.s.kind = ETX_SAGA;
            assert_int_equal(etx__branch_needs(&branch, ETX_COMMIT, ours), 0);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_rows), cmocka_unit_test(test_undo)};
    return cmocka_run_group_tests_name("core kinds", tests, NULL, NULL);
}
