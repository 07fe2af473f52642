/* Gids and names that are none: empty, too long, unprintable, unknown. */
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

static int new_with_gid(const char *gid) {
    etx_tx_options options = ETX_TX_OPTIONS_INIT;
    etx_tx *tx = NULL;
    options.gid = gid;
    int rc = etx_tx_new(engine, &options, &tx);
    if (rc == 0) {
        etx_tx_discard(tx);
    } else {
        assert_null(tx);
    }
    return rc;
}

/* Fills `text` with `len` times 'g'. */
static const char *long_name(char *text, size_t len) {
    memset(text, 'g', len);
    text[len] = '\0';
    return text;
}

static void test_gids(void **state) {
    (void)state;
    char text[ETX_GID_MAX + 8];
    const char *const bad[] = {"", " ", "a b", "a\tb", "a\nb", "\x7f", "caf\xc3\xa9", "\x01"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        etx_status status = {.size = sizeof(status)};
        etx_outcome outcome = ETX_OUTCOME_INIT;
        etx_tx *tx = NULL;
        etx_tx_options options = ETX_TX_OPTIONS_INIT;
        options.gid = bad[i];
        assert_int_equal(new_with_gid(bad[i]), ETX_EINVALID);
        assert_int_equal(etx_tx_begin(engine, &options, &tx), ETX_EINVALID);
        assert_int_equal(etx_tx_attach(engine, bad[i], 0, &tx), ETX_EINVALID);
        assert_null(tx);
        assert_int_equal(etx_query(engine, bad[i], &status), ETX_EINVALID);
        assert_int_equal(etx_wait_for(engine, bad[i], ETX_WAIT_ENDED, 10, &outcome), ETX_EINVALID);
        assert_int_equal(etx_retry(engine, bad[i]), ETX_EINVALID);
        assert_int_equal(etx_gid_check(bad[i], strlen(bad[i])), ETX_EINVALID);
    }
    assert_int_equal(new_with_gid(long_name(text, ETX_GID_MAX)), 0);
    assert_int_equal(new_with_gid(long_name(text, ETX_GID_MAX + 1)), ETX_EINVALID);
    assert_int_equal(new_with_gid("!~order-17/\"%s%n"), 0);
    assert_int_equal(etx_gid_check(NULL, 0), ETX_EINVALID);
    assert_int_equal(etx_gid_check("a\0b", 3), ETX_EINVALID);
    assert_int_equal(etx_query(engine, NULL, NULL), ETX_EINVALID);
}

static void test_a_gid_of_an_unknown_home(void **state) {
    (void)state;
    etx_tx_options options = ETX_TX_OPTIONS_INIT;
    etx_outcome outcome = ETX_OUTCOME_INIT;
    etx_tx *tx = NULL;
    options.gid = "@dzzzzzz:order-1";
    int rc = etx_tx_new(engine, &options, &tx);
    if (rc == 0) {
        assert_int_equal(etx_tx_add(tx, "stock", NULL, 0), 0);
        rc = etx_tx_run(tx, &outcome);
    }
    assert_true(rc == ETX_EUNAVAILABLE || rc == ETX_EINVALID || rc == ETX_EUNKNOWN);
    assert_int_equal(atomic_load(&bank.forwards), 0);
}

static void test_a_gid_that_was_never_begun(void **state) {
    (void)state;
    etx_status status = {.size = sizeof(status)};
    etx_outcome outcome = ETX_OUTCOME_INIT;
    assert_int_equal(etx_query(engine, "never-begun", &status), ETX_ENOTFOUND);
    assert_int_equal(etx_wait_for(engine, "never-begun", ETX_WAIT_ENDED, 10, &outcome),
                     ETX_ENOTFOUND);
    assert_int_equal(etx_retry(engine, "never-begun"), ETX_ENOTFOUND);
    assert_int_equal(etx_park(engine, "never-begun", "test", "test"), ETX_ENOTFOUND);
    assert_int_equal(etx_resume(engine, "never-begun", "test", "test"), ETX_ENOTFOUND);
    assert_int_equal(etx_force_by_hand(engine, "never-begun", ETX_FORCE_ABORT, NULL, ETX_FORWARD,
                                       "test", "test"),
                     ETX_ENOTFOUND);
}

static void test_repeats_of_a_chosen_gid(void **state) {
    (void)state;
    etx_outcome outcome = ETX_OUTCOME_INIT;
    etx_tx_options options = ETX_TX_OPTIONS_INIT;
    options.gid = "order-17";
    for (int i = 0; i < 3; i++) {
        etx_tx *tx = NULL;
        assert_int_equal(etx_tx_new(engine, &options, &tx), 0);
        assert_int_equal(etx_tx_add(tx, "stock", "same", 4), 0);
        assert_int_equal(etx_tx_run(tx, &outcome), 0);
        assert_int_equal(outcome.state, ETX_COMMITTED);
        assert_string_equal(outcome.gid, "order-17");
    }
    assert_int_equal(atomic_load(&bank.forwards), 1);
    assert_int_equal(atomic_load(&bank.commits), 1);
    etx_tx *tx = NULL;
    assert_int_equal(etx_tx_new(engine, &options, &tx), 0);
    assert_int_equal(etx_tx_add(tx, "stock", "other", 5), 0);
    assert_int_equal(etx_tx_run(tx, &outcome), ETX_ECONFLICT);
    assert_int_equal(atomic_load(&bank.forwards), 1);
}

static void test_children(void **state) {
    (void)state;
    char parent[ETX_GID_MAX + 2], first[ETX_GID_MAX + 1], second[ETX_GID_MAX + 1];
    assert_int_equal(etx_gid_child("order-17", "stock", first), 0);
    assert_int_equal(etx_gid_child("order-17", "stock", second), 0);
    assert_string_equal(first, second);
    assert_int_equal(etx_gid_check(first, strlen(first)), 0);
    assert_int_equal(etx_gid_child("order-17", "payment", second), 0);
    assert_string_not_equal(first, second);
    assert_int_equal(etx_gid_child(long_name(parent, ETX_GID_MAX), "stock", first), 0);
    assert_int_equal(etx_gid_check(first, strlen(first)), 0);
    assert_int_equal(etx_gid_child(long_name(parent, ETX_GID_MAX + 1), "stock", first),
                     ETX_EINVALID);
    assert_int_equal(etx_gid_child("", "stock", first), ETX_EINVALID);
    assert_int_equal(etx_gid_child("order-17", "", first), ETX_EINVALID);
    assert_int_equal(etx_gid_child("order-17", "a b", first), ETX_EINVALID);
}

static void test_participants(void **state) {
    (void)state;
    char text[ETX_NAME_MAX + 8];
    const char *const bad[] = {NULL, "", "a b", "\n", "caf\xc3\xa9"};
    etx_tx *tx = NULL;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        etx_participant participant = host_participant(bad[i], ETX_TCC, 0, &bank);
        assert_int_equal(etx_engine_register(engine, &participant), ETX_EINVALID);
    }
    etx_participant longest = host_participant(long_name(text, ETX_NAME_MAX), ETX_TCC, 0, &bank);
    assert_int_equal(etx_engine_register(engine, &longest), 0);
    assert_int_equal(etx_engine_register(engine, &longest), ETX_ECONFLICT);
    longest.name = long_name(text, ETX_NAME_MAX + 1);
    assert_int_equal(etx_engine_register(engine, &longest), ETX_EINVALID);

    assert_int_equal(etx_tx_new(engine, NULL, &tx), 0);
    assert_int_equal(etx_tx_add(tx, "nobody", NULL, 0), ETX_ENOTFOUND);
    assert_true(etx_tx_add(tx, "", NULL, 0) < 0);
    assert_true(etx_tx_add(tx, NULL, NULL, 0) < 0);
    assert_true(etx_tx_add(tx, long_name(text, ETX_NAME_MAX + 1), NULL, 0) < 0);
    etx_tx_discard(tx);
}

static void test_words(void **state) {
    (void)state;
    assert_string_equal(etx_error_name(ETX_EBUSY), "ETX_EBUSY");
    assert_string_equal(etx_error_name(0), "ETX_OK");
    assert_string_equal(etx_error_name(12345), "?");
    assert_non_null(etx_strerror(0));
    assert_non_null(etx_strerror(-9999));
    assert_string_equal(etx_operation_name(ETX_TCC, ETX_FORWARD), "try");
    assert_string_equal(etx_operation_name(ETX_SAGA, ETX_UNDO), "compensate");
    assert_string_equal(etx_operation_name(ETX_XA, ETX_COMMIT), "commit");
    assert_string_equal(etx_state_name((etx_state)99), "?");
    assert_string_equal(etx_kind_name((etx_kind)0), "?");
    assert_string_equal(etx_event_name((etx_event_type)99), "?");
    assert_string_equal(etx_version(), "0.1.0");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_gids, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_gid_of_an_unknown_home, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_gid_that_was_never_begun, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_repeats_of_a_chosen_gid, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_participants, set_up, tear_down),
        cmocka_unit_test(test_children),
        cmocka_unit_test(test_words),
    };
    alarm(120);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
