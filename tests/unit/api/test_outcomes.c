/* What is told of an outcome on every error, and that one without a size is refused. */
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
    if (engine != NULL) {
        host_engine_end(engine);
    }
    return 0;
}

/* As the one that an earlier transaction left in the same struct. */
static etx_outcome stale(void) {
    etx_outcome outcome = ETX_OUTCOME_INIT;
    outcome.state = ETX_COMMITTED;
    outcome.marks = ETX_MARK_ENDED;
    outcome.durability = ETX_REPLICATED;
    snprintf(outcome.gid, sizeof(outcome.gid), "stale");
    snprintf(outcome.reason, sizeof(outcome.reason), "stale");
    return outcome;
}

/* The call returned `want`, and the outcome is of this call: of that gid, and says why. */
static void says(int rc, int want, const etx_outcome *outcome, const char *gid, const char *why) {
    assert_string_equal(etx_error_name(rc), etx_error_name(want));
    assert_int_equal(outcome->state, ETX_NONE);
    assert_int_equal(outcome->marks, 0);
    assert_int_equal(outcome->durability, 0);
    assert_string_equal(outcome->gid, gid);
    if (strstr(outcome->reason, why) == NULL) {
        fail_msg("'%s' does not say '%s'", outcome->reason, why);
    }
    assert_int_equal(outcome->size, sizeof(*outcome));
}

static etx_tx *begin(const char *gid) {
    etx_tx_options options = ETX_TX_OPTIONS_INIT;
    etx_tx *tx = NULL;
    options.gid = gid;
    assert_int_equal(etx_tx_begin(engine, &options, &tx), 0);
    return tx;
}

static etx_tx *builder(void) {
    etx_tx *tx = NULL;
    assert_int_equal(etx_tx_new(engine, NULL, &tx), 0);
    assert_int_equal(etx_tx_add(tx, "stock", NULL, 0), 0);
    return tx;
}

static void test_no_handle(void **state) {
    (void)state;
    etx_outcome outcome = stale();
    says(etx_tx_run(NULL, &outcome), ETX_EINVALID, &outcome, "", "not valid");
    outcome = stale();
    says(etx_tx_commit(NULL, &outcome), ETX_EINVALID, &outcome, "", "not valid");
    outcome = stale();
    says(etx_tx_abort(NULL, &outcome), ETX_EINVALID, &outcome, "", "not valid");
    outcome = stale();
    says(etx_wait_for(NULL, "g", ETX_WAIT_ENDED, 1, &outcome), ETX_EINVALID, &outcome, "g", "");
    assert_int_equal(etx_tx_run(NULL, NULL), ETX_EINVALID);
    assert_int_equal(etx_tx_commit(NULL, NULL), ETX_EINVALID);
}

static void test_the_wrong_handle(void **state) {
    (void)state;
    etx_outcome outcome = stale();
    says(etx_tx_commit(builder(), &outcome), ETX_ESTATE, &outcome, "", "not begun");
    outcome = stale();
    says(etx_tx_abort(builder(), &outcome), ETX_ESTATE, &outcome, "", "not begun");
    outcome = stale();
    says(etx_tx_run(begin("o-1"), &outcome), ETX_ESTATE, &outcome, "o-1", "use etx_tx_commit");
    etx_tx *tx = NULL;
    assert_int_equal(etx_tx_attach(engine, "o-1", 0, &tx), 0);
    assert_int_equal(etx_tx_abort(tx, &outcome), 0);
}

static void test_waits_that_cannot_be(void **state) {
    (void)state;
    char longer[ETX_GID_MAX + 2];
    etx_outcome outcome = stale();
    says(etx_wait_for(engine, "g", (etx_wait)9, 1, &outcome), ETX_EINVALID, &outcome, "g", "wait:");
    outcome = stale();
    says(etx_wait_for(engine, NULL, ETX_WAIT_ENDED, 1, &outcome), ETX_EINVALID, &outcome, "",
         "a gid is needed");
    memset(longer, 'g', sizeof(longer) - 1);
    longer[sizeof(longer) - 1] = 0;
    outcome = stale();
    says(etx_wait_for(engine, longer, ETX_WAIT_ENDED, 1, &outcome), ETX_EINVALID, &outcome, "",
         "1 to 128");
    longer[ETX_GID_MAX] = 0; /* one that is as long as a gid may be is said */
    outcome = stale();
    says(etx_wait_for(engine, longer, ETX_WAIT_ENDED, 1, &outcome), ETX_ENOTFOUND, &outcome, longer,
         "");
}

/* Of a handle's transaction it stays known that it was begun. */
static void test_a_closed_engine(void **state) {
    (void)state;
    etx_outcome outcome = stale();
    etx_tx *committed = begin("o-2"), *aborted = begin("o-3"), *run = builder();
    assert_int_equal(etx_engine_close(engine, ETX_CLOSE_LEAVE, 10000), 0);
    says(etx_tx_commit(committed, &outcome), ETX_ECLOSED, &outcome, "o-2", "closed");
    outcome = stale();
    says(etx_tx_abort(aborted, &outcome), ETX_ECLOSED, &outcome, "o-3", "closed");
    outcome = stale();
    says(etx_tx_run(run, &outcome), ETX_ECLOSED, &outcome, "", "closed");
    outcome = stale();
    says(etx_wait_for(engine, "o-2", ETX_WAIT_ENDED, 1, &outcome), ETX_ECLOSED, &outcome, "o-2",
         "closed");
    etx_engine_free(engine);
    engine = NULL;
}

static etx_outcome inside;
static int inside_rc;

static etx_reply waits_inside(etx_call *call, void *user) {
    (void)user;
    inside = stale();
    inside_rc = etx_wait_for(etx_call_engine(call), "o-4", ETX_WAIT_ENDED, 1, &inside);
    return ETX_DONE;
}

static void test_from_an_inline_callback(void **state) {
    (void)state;
    etx_outcome outcome = ETX_OUTCOME_INIT;
    etx_participant participant = host_participant("waits", ETX_TCC, ETX_INLINE, &bank);
    participant.forward = waits_inside;
    assert_int_equal(etx_engine_register(engine, &participant), 0);
    assert_int_equal(host_run(engine, "waits", &outcome), 0);
    says(inside_rc, ETX_EINVALID, &inside, "o-4", "inline callback");
}

static void test_without_a_size_nothing_is_done(void **state) {
    (void)state;
    etx_outcome none = {0};
    etx_status status = {.size = sizeof(status)};
    const char *gid = "o-5";
    host_says(engine, etx_tx_run(builder(), &none), ETX_EINVALID, "outcome: its size");
    assert_int_equal(atomic_load(&bank.forwards), 0);
    etx_tx *tx = begin(gid);
    host_says(engine, etx_wait_for(engine, gid, ETX_WAIT_BEGUN, 1, &none), ETX_EINVALID,
              "outcome: its size");
    host_says(engine, etx_tx_commit(tx, &none), ETX_EINVALID, "outcome: its size");
    assert_int_equal(etx_tx_attach(engine, gid, 0, &tx), 0);
    host_says(engine, etx_tx_abort(tx, &none), ETX_EINVALID, "outcome: its size");
    assert_int_equal(etx_query(engine, gid, &status), 0);
    assert_int_equal(status.state, ETX_ACTIVE);
    assert_int_equal(none.size, 0);
    assert_int_equal(etx_tx_attach(engine, gid, 0, &tx), 0);
    assert_int_equal(etx_tx_abort(tx, NULL), 0); /* nobody is told, then */
    assert_int_equal(etx_wait_for(engine, gid, ETX_WAIT_ENDED, 0, NULL), 0);
    assert_int_equal(etx_tx_run(builder(), NULL), 0);
    assert_int_equal(atomic_load(&bank.forwards), 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_no_handle, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_the_wrong_handle, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_waits_that_cannot_be, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_closed_engine, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_from_an_inline_callback, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_without_a_size_nothing_is_done, set_up, tear_down),
    };
    alarm(120);
    return cmocka_run_group_tests_name("api-outcomes", tests, NULL, NULL);
}
