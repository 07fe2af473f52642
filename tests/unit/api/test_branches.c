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
    etx_tx_discard(tx);
    text[ETX_NAME_MAX] = '\0';
    tx = new_tx();
    assert_int_equal(add(tx, "a", NULL, 0), 0);
    assert_int_equal(add(tx, text, NULL, 0), 0);
    etx_outcome outcome = ETX_OUTCOME_INIT;
    assert_int_equal(etx_tx_run(tx, &outcome), 0);
    assert_int_equal(outcome.state, ETX_COMMITTED);
    assert_int_equal(atomic_load(&bank.forwards), 2);
}

static void message_says(const char *words) {
    char message[256];
    etx_engine_message(engine, message, sizeof(message));
    if (strstr(message, words) == NULL) {
        fail_msg("\"%s\" is not in: %s", words, message);
    }
}

/* The place is taken, whichever of the two came first: to a fence both would be one. */
static void test_default_names_are_places(void **state) {
    (void)state;
    etx_tx *tx = new_tx();
    assert_int_equal(etx_tx_add(tx, "stock", NULL, 0), 0);
    assert_int_equal(add(tx, "0", NULL, 0), ETX_ECONFLICT);
    etx_tx_discard(tx);
    tx = new_tx();
    assert_int_equal(add(tx, "1", NULL, 0), 0);
    assert_int_equal(etx_tx_add(tx, "stock", NULL, 0), ETX_ECONFLICT);
    message_says("called by its place, 1,");
    expect_refused(tx, ETX_ECONFLICT);
    tx = new_tx();
    for (int i = 0; i < 11; i++) {
        assert_int_equal(i == 3 ? add(tx, "11", NULL, 0) : etx_tx_add(tx, "stock", NULL, 0), 0);
    }
    assert_int_equal(etx_tx_add(tx, "stock", NULL, 0), ETX_ECONFLICT);
    etx_tx_discard(tx);
}

static void test_names_that_are_no_places(void **state) {
    (void)state;
    etx_outcome outcome = ETX_OUTCOME_INIT;
    etx_tx *tx = new_tx();
    assert_int_equal(add(tx, "2", NULL, 0), 0);
    assert_int_equal(etx_tx_add(tx, "stock", NULL, 0), 0);
    assert_int_equal(add(tx, "02", NULL, 0), 0);
    assert_int_equal(add(tx, "x", NULL, 0), 0);
    assert_int_equal(etx_tx_run(tx, &outcome), 0);
    assert_int_equal(outcome.state, ETX_COMMITTED);
    assert_int_equal(atomic_load(&bank.forwards), 4);
}

/* ---- a builder that was refused a branch */

/* What is left would be half of what its maker meant. The first refusal is the one that is told,
 * whatever was said meanwhile. */
static void test_a_refused_branch_is_remembered(void **state) {
    (void)state;
    etx_outcome outcome = ETX_OUTCOME_INIT;
    etx_tx *tx = new_tx();
    assert_int_equal(etx_tx_add(tx, "stock", NULL, 0), 0);
    assert_int_equal(etx_tx_add(tx, "nobody-is-so", NULL, 0), ETX_ENOTFOUND);
    assert_int_equal(add(tx, "a b", NULL, 0), ETX_EINVALID);
    assert_int_equal(etx_tx_add(tx, "stock", NULL, 0), 0);
    assert_non_null(etx_tx_gid(tx));
    char gid[ETX_GID_MAX + 1];
    snprintf(gid, sizeof(gid), "%s", etx_tx_gid(tx));
    assert_int_equal(etx_tx_run(tx, &outcome), ETX_ENOTFOUND);
    assert_non_null(strstr(outcome.reason, "nobody-is-so"));
    assert_int_equal(outcome.state, ETX_NONE);
    message_says("nobody-is-so");
    etx_status status = {.size = sizeof(status)};
    assert_int_equal(etx_query(engine, gid, &status), ETX_EGONE); /* it was never begun */
    assert_int_equal(atomic_load(&bank.forwards), 0);
}

static int no_gid_is_told(const char *gid, void *user) {
    (void)gid;
    (void)user;
    fail_msg("a gid is told of what is not begun");
    return 0;
}

static void nothing_is_done(int rc, const etx_outcome *outcome, void *user) {
    (void)outcome;
    (void)user;
    fail_msg("done was called with %d", rc);
}

static void test_what_was_refused_is_not_submitted(void **state) {
    (void)state;
    etx_branch unknown = ETX_BRANCH_INIT;
    unknown.size = 3;
    for (int how = 0; how < 4; how++) {
        etx_tx *tx = new_tx();
        assert_int_equal(etx_tx_add(tx, "stock", NULL, 0), 0);
        assert_int_equal(how % 2 ? etx_tx_add_branch(tx, &unknown) : etx_tx_add_branch(tx, NULL),
                         ETX_EINVALID);
        int rc = how < 2 ? etx_tx_submit(tx, nothing_is_done, NULL)
                         : etx_tx_submit_named(tx, no_gid_is_told, nothing_is_done, NULL);
        assert_int_equal(rc, ETX_EINVALID);
    }
    assert_int_equal(atomic_load(&bank.forwards), 0);
}

/* Of one that is begun each branch is a question to the engine: what it refused is not in it. */
static void test_a_begun_one_goes_on(void **state) {
    (void)state;
    etx_outcome outcome = ETX_OUTCOME_INIT;
    etx_branch branch = ETX_BRANCH_INIT;
    etx_tx *tx = NULL;
    assert_int_equal(etx_tx_begin(engine, NULL, &tx), 0);
    assert_int_equal(etx_tx_add(tx, "stock", NULL, 0), ETX_ESTATE);
    branch.participant = "stock";
    assert_int_equal(etx_tx_enlist(tx, &branch), ETX_EINVALID);
    branch.name = "1";
    assert_int_equal(etx_tx_enlist(tx, &branch), 0);
    branch.participant = "nobody-is-so";
    assert_int_equal(etx_tx_enlist(tx, &branch), ETX_ENOTFOUND);
    branch.participant = "step";
    assert_int_equal(etx_tx_enlist(tx, &branch), ETX_ECONFLICT);
    assert_int_equal(etx_tx_commit(tx, &outcome), 0);
    assert_int_equal(outcome.state, ETX_COMMITTED);
    assert_int_equal(atomic_load(&bank.forwards), 1);
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

static etx_reply asked(etx_call *call, void *user) {
    (void)call;
    (void)user;
    return ETX_DONE;
}

/* It would be committed, and have nothing to commit with. */
static void test_who_only_answers_queries(void **state) {
    (void)state;
    etx_options options = host_options();
    etx_participant asker = ETX_PARTICIPANT_INIT;
    etx_branch branch = ETX_BRANCH_INIT;
    etx_engine *own = NULL;
    etx_tx *tx = NULL;
    asker.name = branch.participant = "asker";
    asker.kind = ETX_TCC;
    asker.query = asked;
    assert_int_equal(etx_engine_create(&options, &own), 0);
    assert_int_equal(etx_engine_home(own, "memory:"), 0);
    assert_int_equal(etx_engine_register(own, &asker), 0);
    assert_int_equal(etx_engine_start(own), 0);
    assert_int_equal(etx_tx_new(own, NULL, &tx), 0);
    assert_int_equal(etx_tx_add_branch(tx, &branch), ETX_EINVALID);
    etx_tx_discard(tx);
    assert_int_equal(etx_engine_close(own, ETX_CLOSE_FINISH, 60000), 0);
    etx_engine_free(own);
}

/* Not only their lowest byte counts. */
static void test_words_out_of_range(void **state) {
    (void)state;
    etx_tx_options options = ETX_TX_OPTIONS_INIT;
    etx_tx *tx = NULL;
    options.durability = (etx_durability)(256 + ETX_LOCAL);
    assert_int_equal(etx_tx_new(engine, &options, &tx), ETX_EINVALID);
    options.durability = (etx_durability)0;
    options.wait = (etx_wait)(256 + ETX_WAIT_BEGUN);
    assert_int_equal(etx_tx_new(engine, &options, &tx), ETX_EINVALID);
    assert_null(tx);
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
        cmocka_unit_test_setup_teardown(test_names_that_are_no_places, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_refused_branch_is_remembered, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_what_was_refused_is_not_submitted, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_begun_one_goes_on, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_kind_that_is_not_the_participants, set_up,
                                        tear_down),
        cmocka_unit_test(test_who_only_answers_queries),
        cmocka_unit_test_setup_teardown(test_words_out_of_range, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_no_branches, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_registrations_that_lack_something, set_up, tear_down),
    };
    alarm(120);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
