/* Messages: each call's reason goes with its own outcome, each thread hears its own, none is
 * stale. */
#include "host.h"

struct talker {
    pthread_t thread;
    etx_engine *engine;
    int depends;    /* a branch that depends on what is not there; else: no branch */
    unsigned wrong; /* reasons and messages that were another's */
};

static void *talk(void *argument) {
    struct talker *talker = argument;
    const char *want = talker->depends ? "nope" : "without branches";
    const char *names[] = {"nope"};
    for (int i = 0; i < 2000; i++) {
        etx_tx *tx = NULL;
        etx_outcome outcome = ETX_OUTCOME_INIT;
        etx_branch branch = ETX_BRANCH_INIT;
        char message[256];
        branch.participant = "stock";
        branch.depends_on = names;
        branch.depends_on_count = 1;
        int rc = etx_tx_new(talker->engine, NULL, &tx);
        if (rc == 0 && talker->depends) {
            rc = etx_tx_add_branch(tx, &branch);
        }
        talker->wrong += rc != 0 || etx_tx_run(tx, &outcome) != ETX_EINVALID;
        talker->wrong += strstr(outcome.reason, want) == NULL;
        etx_engine_message(talker->engine, message, sizeof message);
        talker->wrong += strstr(message, want) == NULL;
    }
    return NULL;
}

static void test_threads_hear_their_own(void **state) {
    (void)state;
    host_bank bank;
    host_bank_make(&bank);
    etx_engine *engine = host_engine("memory:", NULL, &bank);
    struct talker talker[4];
    for (int i = 0; i < 4; i++) {
        talker[i] = (struct talker){.engine = engine, .depends = i % 2};
        assert_int_equal(pthread_create(&talker[i].thread, NULL, talk, &talker[i]), 0);
    }
    for (int i = 0; i < 4; i++) {
        pthread_join(talker[i].thread, NULL);
        assert_int_equal(talker[i].wrong, 0);
    }
    host_engine_end(engine);
}

/* The newest message is about this: it says so, and is not the one before. */
static void says(etx_engine *engine, int rc, int want, const char *text) {
    char message[512];
    assert_int_equal(rc, want);
    etx_engine_message(engine, message, sizeof message);
    if (strstr(message, text) == NULL) {
        print_error("\"%s\" does not say \"%s\"\n", message, text);
    }
    assert_non_null(strstr(message, text));
    /* what comes next starts from another message */
    assert_int_equal(etx_tx_begin(engine, NULL, NULL) < 0, 1);
}

static void test_each_error_has_one(void **state) {
    (void)state;
    host_bank bank;
    etx_engine *engine = NULL;
    etx_options options = host_options();
    etx_status status = {.size = sizeof status};
    etx_outcome outcome = ETX_OUTCOME_INIT;
    etx_completion nonsense = ETX_COMPLETION_INIT;
    etx_participant again = host_participant("stock", ETX_TCC, 0, &bank);
    host_bank_make(&bank);
    assert_int_equal(etx_engine_create(&options, &engine), 0);
    says(engine, etx_engine_home(engine, NULL), ETX_EINVALID, "URL");
    says(engine, etx_query(engine, "g", &status), ETX_ESTATE, "not started");
    etx_engine_free(engine);
    engine = host_engine("memory:", NULL, &bank);
    says(engine, etx_engine_start(engine), ETX_ESTATE, "started already");
    says(engine, etx_query(engine, "nobody", &status), ETX_ENOTFOUND, "nobody: no such");
    says(engine, etx_query(engine, "no name", &status), ETX_EINVALID, "no name: a gid is");
    says(engine, etx_query(engine, NULL, &status), ETX_EINVALID, "gid");
    says(engine, etx_query(engine, "g", NULL), ETX_EINVALID, "not valid");
    says(engine, etx_wait_for(engine, "nobody", ETX_WAIT_ENDED, 100, &outcome), ETX_ENOTFOUND,
         "nobody: no such");
    nonsense.reply = (etx_reply)77;
    says(engine, etx_complete(engine, (etx_token){{0, 0}}, &nonsense), ETX_EINVALID, "completion");
    says(engine, etx_engine_register(engine, &again), ETX_ECONFLICT, "stock is registered");
    says(engine, etx_park(engine, "g", NULL, NULL), ETX_EINVALID, "who");
    assert_int_equal(etx_engine_close(engine, ETX_CLOSE_FINISH, 1000), 0);
    says(engine, etx_query(engine, "g", &status), ETX_ECLOSED, "closed");
    says(engine, etx_complete(engine, (etx_token){{0, 0}}, &nonsense), ETX_ECLOSED, "closed");
    says(engine, etx_engine_register(engine, &again), ETX_ECLOSED, "closed");
    says(engine, etx_engine_close(engine, ETX_CLOSE_FINISH, 1000), ETX_ESTATE, "closed already");
    etx_engine_free(engine);
}

static void test_enlist_names_what_is_not_there(void **state) {
    (void)state;
    host_bank bank;
    host_bank_make(&bank);
    etx_engine *engine = host_engine("memory:", NULL, &bank);
    etx_tx *tx = NULL;
    const char *names[] = {"there", "nope"};
    etx_branch branch = ETX_BRANCH_INIT;
    branch.participant = "stock";
    branch.name = "there";
    assert_int_equal(etx_tx_begin(engine, NULL, &tx), 0);
    assert_int_equal(etx_tx_enlist(tx, &branch), 0);
    branch.name = "next";
    branch.depends_on = names;
    branch.depends_on_count = 2;
    says(engine, etx_tx_enlist(tx, &branch), ETX_EINVALID,
         "branch next depends on nope, which is not there");
    assert_int_equal(etx_tx_abort(tx, NULL), 0);
    host_engine_end(engine);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_threads_hear_their_own),
        cmocka_unit_test(test_each_error_has_one),
        cmocka_unit_test(test_enlist_names_what_is_not_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
