/* Branches that cannot be: names taken, cycles, unknown names in depends_on, wrong kinds. */
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
    /* what is begun against the rules never ends: nobody waits for it */
    assert_int_equal(etx_engine_close(engine, ETX_CLOSE_LEAVE, 60000), 0);
    etx_engine_free(engine);
    return 0;
}

static etx_tx *new_tx(void) {
    etx_tx *tx = NULL;
    etx_tx_options options = ETX_TX_OPTIONS_INIT;
    options.patience_ms = 2000;
    assert_int_equal(etx_tx_new(engine, &options, &tx), 0);
    return tx;
}

static int add(etx_tx *tx, const char *name, const char *const *depends_on, size_t count) {
    etx_branch branch = ETX_BRANCH_INIT;
    branch.participant = "step";
    branch.name = name;
    branch.depends_on = depends_on;
    branch.depends_on_count = count;
    return etx_tx_add_branch(tx, &branch);
}

/* Runs it; checks that it is refused with a reason in words and that nobody was called. */
static void expect_refused(etx_tx *tx, int wanted) {
    etx_outcome outcome = ETX_OUTCOME_INIT;
    assert_int_equal(etx_tx_run(tx, &outcome), wanted);
    assert_true(outcome.reason[0] != '\0');
    assert_int_equal(outcome.durability, 0);
    assert_int_equal(atomic_load(&bank.forwards), 0);
}

static void test_cycles(void **state) {
    (void)state;
    const char *const a[] = {"a"}, *const b[] = {"b"}, *const c[] = {"c"};
    etx_tx *tx = new_tx();
    assert_int_equal(add(tx, "a", b, 1), 0);
    assert_int_equal(add(tx, "b", a, 1), 0);
    expect_refused(tx, ETX_EINVALID);
    tx = new_tx();
    assert_int_equal(add(tx, "a", c, 1), 0);
    assert_int_equal(add(tx, "b", a, 1), 0);
    assert_int_equal(add(tx, "c", b, 1), 0);
    assert_int_equal(add(tx, "d", NULL, 0), 0);
    expect_refused(tx, ETX_EINVALID);
    tx = new_tx();
    int rc = add(tx, "a", a, 1); /* itself: told here, or by run */
    if (rc == 0) {
        expect_refused(tx, ETX_EINVALID);
    } else {
        assert_int_equal(rc, ETX_EINVALID);
        etx_tx_discard(tx);
    }
}

static void test_unknown_names(void **state) {
    (void)state;
    const char *const nobody[] = {"nobody"}, *const empty[] = {""}, *const null[] = {NULL};
    etx_tx *tx = new_tx();
    assert_int_equal(add(tx, "a", nobody, 1), 0);
    expect_refused(tx, ETX_EINVALID);
    const char *const *bad[] = {empty, null};
    for (size_t i = 0; i < 2; i++) {
        tx = new_tx();
        int rc = add(tx, "a", bad[i], 1);
        if (rc == 0) {
            expect_refused(tx, ETX_EINVALID);
        } else {
            assert_int_equal(rc, ETX_EINVALID);
            etx_tx_discard(tx);
        }
    }
    tx = new_tx();
    assert_int_equal(add(tx, "a", NULL, 3), ETX_EINVALID);
    etx_tx_discard(tx);
}

/* A branch may depend on a later one. But a saga step that says nothing follows the one before it,
 * unless it is independent. */
static void test_later_names(void **state) {
    (void)state;
    const char *const b[] = {"b"};
    etx_outcome outcome = ETX_OUTCOME_INIT;
    etx_branch later = ETX_BRANCH_INIT;
    etx_tx *tx = new_tx();
    assert_int_equal(add(tx, "a", b, 1), 0);
    assert_int_equal(add(tx, "b", NULL, 0), 0);
    expect_refused(tx, ETX_EINVALID);
    tx = new_tx();
    later.participant = "step";
    later.name = "b";
    later.independent = 1;
    assert_int_equal(add(tx, "a", b, 1), 0);
    assert_int_equal(etx_tx_add_branch(tx, &later), 0);
    assert_int_equal(etx_tx_run(tx, &outcome), 0);
    assert_int_equal(outcome.state, ETX_COMMITTED);
    assert_int_equal(atomic_load(&bank.forwards), 2);
}

static void test_names(void **state) {
    (void)state;
    char text[ETX_NAME_MAX + 2];
    memset(text, 'n', sizeof(text));
    text[ETX_NAME_MAX + 1] = '\0';
    etx_tx *tx = new_tx();
    assert_int_equal(add(tx, "a", NULL, 0), 0);
    assert_int_equal(add(tx, "a", NULL, 0), ETX_ECONFLICT);
    assert_int_equal(add(tx, "", NULL, 0), ETX_EINVALID);
    assert_int_equal(add(tx, "a b", NULL, 0), ETX_EINVALID);
    assert_int_equal(add(tx, text, NULL, 0), ETX_EINVALID);
    text[ETX_NAME_MAX] = '\0';
    assert_int_equal(add(tx, text, NULL, 0), 0);
    etx_outcome outcome = ETX_OUTCOME_INIT;
    assert_int_equal(etx_tx_run(tx, &outcome), 0); /* what was refused is not in it */
    assert_int_equal(outcome.state, ETX_COMMITTED);
    assert_int_equal(atomic_load(&bank.forwards), 2);
}

static void test_default_names_are_places(void **state) {
    (void)state;
    etx_tx *tx = new_tx();
    assert_int_equal(etx_tx_add(tx, "stock", NULL, 0), 0);
    assert_int_equal(add(tx, "0", NULL, 0), ETX_ECONFLICT);
    etx_tx_discard(tx);
}

static void test_a_kind_that_is_not_the_participants(void **state) {
    (void)state;
    etx_branch branch = ETX_BRANCH_INIT;
    etx_tx *tx = new_tx();
    branch.participant = "stock";
    branch.kind = ETX_SAGA;
    assert_int_equal(etx_tx_add_branch(tx, &branch), ETX_EINVALID);
    branch.kind = (etx_kind)77;
    assert_int_equal(etx_tx_add_branch(tx, &branch), ETX_EINVALID);
    branch.kind = ETX_TCC;
    assert_int_equal(etx_tx_add_branch(tx, &branch), 0);
    branch.kind = (etx_kind)0;
    branch.flags = 1u << 30;
    assert_int_equal(etx_tx_add_branch(tx, &branch), ETX_EINVALID);
    etx_tx_discard(tx);
}

static void test_no_branches(void **state) {
    (void)state;
    etx_outcome outcome = ETX_OUTCOME_INIT;
    int rc = etx_tx_run(new_tx(), &outcome);
    assert_true(rc == ETX_EINVALID || (rc == 0 && outcome.state == ETX_COMMITTED));
}

static void test_registrations_that_lack_something(void **state) {
    (void)state;
    const etx_kind kinds[] = {ETX_TCC, ETX_SAGA, ETX_XA, ETX_MESSAGE, ETX_NOTIFICATION};
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        etx_participant participant = host_participant("lacking", kinds[i], 0, &bank);
        if (participant.commit != NULL) {
            participant.commit = NULL;
            assert_int_equal(etx_engine_register(engine, &participant), ETX_EINVALID);
        }
        participant = host_participant("lacking", kinds[i], 0, &bank);
        if (participant.undo != NULL) {
            participant.undo = NULL;
            assert_int_equal(etx_engine_register(engine, &participant), ETX_EINVALID);
        }
    }
    etx_participant strange = host_participant("strange", (etx_kind)42, 0, &bank);
    assert_int_equal(etx_engine_register(engine, &strange), ETX_EINVALID);
    strange = host_participant("strange", ETX_TCC, 1u << 20, &bank);
    assert_int_equal(etx_engine_register(engine, &strange), ETX_EINVALID);
    assert_int_equal(etx_engine_register(engine, NULL), ETX_EINVALID);
    assert_int_equal(etx_engine_register(NULL, &strange), ETX_EINVALID);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_cycles, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_unknown_names, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_later_names, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_names, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_default_names_are_places, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_kind_that_is_not_the_participants, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_no_branches, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_registrations_that_lack_something, set_up, tear_down),
    };
    alarm(120);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
