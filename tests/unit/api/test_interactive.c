/* The interactive family: conflicts, wrong states, silence, late commits, aborts of the unknown. */
#include "host.h"

static etx_engine *engine;
static host_bank bank;

static int set_up(void **state) {
    (void)state;
    host_bank_make(&bank);
    engine = host_engine("memory:", NULL, &bank);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    host_engine_end(engine);
    return 0;
}

static etx_tx *begin(const char *gid, uint32_t deadline_ms) {
    etx_tx_options options = ETX_TX_OPTIONS_INIT;
    etx_tx *tx = NULL;
    options.gid = gid;
    options.deadline_ms = deadline_ms;
    assert_int_equal(etx_tx_begin(engine, &options, &tx), 0);
    return tx;
}

static int enlist(etx_tx *tx, const char *name, const char *payload, uint32_t flags) {
    etx_branch branch = ETX_BRANCH_INIT;
    branch.participant = "stock";
    branch.name = name;
    branch.payload = payload;
    branch.payload_len = strlen(payload);
    branch.flags = flags;
    return etx_tx_enlist(tx, &branch);
}

static void test_repeats_and_conflicts(void **state) {
    (void)state;
    etx_outcome outcome = ETX_OUTCOME_INIT;
    etx_tx *tx = begin("i-1", 0);
    assert_int_equal(enlist(tx, "a", "one", 0), 0);
    assert_int_equal(enlist(tx, "a", "one", 0), 0);
    assert_int_equal(enlist(tx, "a", "two", 0), ETX_ECONFLICT);
    assert_int_equal(enlist(tx, NULL, "x", 0), ETX_EINVALID);
    assert_int_equal(etx_tx_commit(tx, &outcome), 0);
    assert_int_equal(outcome.state, ETX_COMMITTED);
    assert_int_equal(atomic_load(&bank.forwards), 1);
    assert_int_equal(atomic_load(&bank.commits), 1);
}

static void test_results_of_the_initiator(void **state) {
    (void)state;
    etx_outcome outcome = ETX_OUTCOME_INIT;
    etx_reply first = (etx_reply)0;
    etx_tx *tx = begin("i-2", 0);
    assert_int_equal(enlist(tx, "a", "one", ETX_BY_INITIATOR), 0);
    assert_int_equal(enlist(tx, "b", "one", 0), 0);
    host_says(engine, etx_tx_result(tx, "nobody", ETX_DONE, NULL, 0, NULL), ETX_ENOTFOUND,
              "no branch of that name");
    host_says(engine, etx_tx_result(tx, "b", ETX_DONE, NULL, 0, NULL), ETX_ESTATE,
              "ETX calls it itself");
    assert_int_equal(etx_tx_result(tx, "a", (etx_reply)55, NULL, 0, NULL), ETX_EINVALID);
    assert_int_equal(etx_tx_result(tx, "a", ETX_DONE, "r", 1, &first), 0);
    assert_int_equal(first, ETX_DONE);
    assert_int_equal(etx_tx_result(tx, "a", ETX_REFUSED, NULL, 0, &first), 0);
    assert_int_equal(first, ETX_DONE);
    assert_int_equal(etx_tx_commit(tx, &outcome), 0);
    assert_int_equal(outcome.state, ETX_COMMITTED);
    assert_int_equal(atomic_load(&bank.forwards), 1);
    assert_int_equal(atomic_load(&bank.commits), 2);
}

static void test_silence_aborts(void **state) {
    (void)state;
    etx_outcome outcome = ETX_OUTCOME_INIT;
    etx_tx *tx = NULL;
    char gid[16] = "";
    int enlisted = ETX_ESTATE;
    for (uint32_t ms = 200; enlisted == ETX_ESTATE && ms < 60000; ms *= 2) {
        etx_tx_discard(tx); /* the machine was slower than its deadline */
        snprintf(gid, sizeof(gid), "i-3-%u", ms);
        tx = begin(gid, ms);
        enlisted = enlist(tx, "a", "one", ETX_BY_INITIATOR);
    }
    assert_int_equal(enlisted, 0);
    assert_int_equal(etx_wait_for(engine, gid, ETX_WAIT_ENDED, 60000, &outcome), 0);
    assert_int_equal(outcome.state, ETX_ABORTED);
    assert_int_equal(atomic_load(&bank.undos), 1);
    host_says(engine, enlist(tx, "b", "one", 0), ETX_ESTATE, "it has ended");
    int rc = etx_tx_commit(tx, &outcome); /* too late */
    assert_int_equal(rc, 0);
    assert_true(outcome.state == ETX_ABORTED || outcome.state == ETX_ABORTING);
    assert_int_equal(atomic_load(&bank.commits), 0);
}

static void test_abort_of_a_gid_that_nobody_has_begun(void **state) {
    (void)state;
    etx_outcome outcome = ETX_OUTCOME_INIT;
    etx_tx_options options = ETX_TX_OPTIONS_INIT;
    etx_tx *tx = NULL;
    assert_int_equal(etx_tx_attach(engine, "i-4", 0, &tx), 0);
    assert_int_equal(etx_tx_abort(tx, &outcome), 0);
    assert_int_equal(outcome.state, ETX_ABORTED);
    assert_true((outcome.marks & ETX_MARK_NEVER_BEGUN) != 0);
    options.gid = "i-4";
    assert_int_equal(etx_tx_begin(engine, &options, &tx), ETX_ESTATE);
    assert_int_equal(etx_tx_attach(engine, "i-5", 0, &tx), 0);
    assert_int_equal(etx_tx_commit(tx, &outcome), ETX_ENOTFOUND);
}

static void test_after_the_decision(void **state) {
    (void)state;
    etx_outcome outcome = ETX_OUTCOME_INIT;
    etx_tx *tx = begin("i-6", 0), *second = NULL;
    assert_int_equal(enlist(tx, "a", "one", 0), 0);
    assert_int_equal(etx_tx_attach(engine, "i-6", 0, &second), 0);
    assert_int_equal(etx_tx_commit(tx, &outcome), 0);
    assert_int_equal(outcome.state, ETX_COMMITTED);
    assert_int_equal(enlist(second, "b", "one", 0), ETX_ESTATE);
    assert_int_equal(etx_tx_result(second, "a", ETX_REFUSED, NULL, 0, NULL) < 0, 1);
    /* a late abort is answered with what was decided */
    assert_int_equal(etx_tx_abort(second, &outcome), 0);
    assert_int_equal(outcome.state, ETX_COMMITTED);
    assert_int_equal(atomic_load(&bank.undos), 0);
    assert_int_equal(
        etx_force_by_hand(engine, "i-6", ETX_FORCE_ABORT, NULL, ETX_FORWARD, "test", "test"),
        ETX_ESTATE);
}

static void test_builder_calls_on_an_interactive_handle(void **state) {
    (void)state;
    etx_outcome outcome = ETX_OUTCOME_INIT;
    etx_tx *tx = begin("i-7", 0);
    int rc = etx_tx_add(tx, "stock", NULL, 0);
    assert_int_equal(rc, ETX_ESTATE);
    assert_int_equal(etx_tx_abort(tx, &outcome), 0);
    assert_int_equal(outcome.state, ETX_ABORTED);
    assert_int_equal(etx_tx_new(engine, NULL, &tx), 0);
    assert_int_equal(enlist(tx, "a", "one", 0), ETX_ESTATE);
    etx_tx_discard(tx);
}

static void test_a_discarded_handle_leaves_what_is_begun(void **state) {
    (void)state;
    etx_outcome outcome = ETX_OUTCOME_INIT;
    etx_tx *tx = begin("i-8", 0);
    assert_int_equal(enlist(tx, "a", "one", 0), 0);
    etx_tx_discard(tx);
    assert_int_equal(etx_tx_attach(engine, "i-8", 0, &tx), 0);
    assert_int_equal(etx_tx_commit(tx, &outcome), 0);
    assert_int_equal(outcome.state, ETX_COMMITTED);
}

/* Who waits for less than the end is answered while the finishing calls go on. */
static void test_what_is_waited_for(void **state) {
    (void)state;
    etx_outcome outcome = ETX_OUTCOME_INIT;
    etx_tx *tx = begin("i-9", 0);
    assert_int_equal(enlist(tx, "a", "one", 0), 0);
    assert_true(host_wait_for(&bank.forwards, 1));
    atomic_store(&bank.finish_reply, ETX_WORKING);
    assert_int_equal(etx_tx_set_wait(tx, (etx_wait)(ETX_WAIT_ENDED + 1)), ETX_EINVALID);
    assert_int_equal(etx_tx_set_wait(NULL, ETX_WAIT_DECIDED), ETX_EINVALID);
    assert_int_equal(etx_tx_set_wait(tx, ETX_WAIT_DECIDED), 0);
    assert_int_equal(etx_tx_commit(tx, &outcome), 0);
    assert_int_equal(outcome.state, ETX_COMMITTING);
    atomic_store(&bank.finish_reply, ETX_DONE);
    (void)etx_retry(engine, "i-9"); /* sooner, unless it has ended by itself */
    assert_int_equal(etx_tx_attach(engine, "i-9", 0, &tx), 0);
    assert_int_equal(etx_tx_set_wait(tx, ETX_WAIT_DECIDED), 0);
    assert_int_equal(etx_tx_set_wait(tx, ETX_WAIT_DEFAULT), 0);
    assert_int_equal(etx_tx_commit(tx, &outcome), 0);
    assert_int_equal(outcome.state, ETX_COMMITTED);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_repeats_and_conflicts, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_results_of_the_initiator, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_what_is_waited_for, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_silence_aborts, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_abort_of_a_gid_that_nobody_has_begun, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_after_the_decision, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_builder_calls_on_an_interactive_handle, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_a_discarded_handle_leaves_what_is_begun, set_up,
                                        tear_down),
    };
    alarm(120);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
