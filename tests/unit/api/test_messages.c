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

/* Of a URL the user's password stays unsaid, also one that should have been written otherwise. */
static void test_no_password_is_said(void **state) {
    static const char *const urls[][2] = {
        {"x://u:secret@h/n", "'x://u:***@h/n'"},
        {"x://u:se@cret@h/n", "'x://u:***@h/n'"},
        {"x://u:se/cret@h/n", "'x://u:***@h/n'"},
        {"u:secret@h/n", "'u:***@h/n'"},
        {"x:/u:secret@h/n", "'x:***@h/n'"},
        {"x://h:1/n?user=a@b", "'x://h:1/n?user=a@b'"},
        {"x://u@h/n?password=secret&a=b", "'x://u@h/n?password=***&a=b'"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof urls / sizeof urls[0]; i++) {
        etx_options options = host_options();
        etx_engine *engine = NULL;
        assert_int_equal(etx_engine_create(&options, &engine), 0);
        host_says(engine, etx_engine_home(engine, urls[i][0]), ETX_EINVALID, urls[i][1]);
        etx_engine_free(engine);
    }
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
    host_says(engine, etx_engine_home(engine, NULL), ETX_EINVALID, "URL");
    host_says(engine, etx_query(engine, "g", &status), ETX_ESTATE, "not started");
    etx_engine_free(engine);
    engine = host_engine("memory:", NULL, &bank);
    host_says(engine, etx_engine_start(engine), ETX_ESTATE, "started already");
    host_says(engine, etx_query(engine, "nobody", &status), ETX_ENOTFOUND, "nobody: no such");
    host_says(engine, etx_query(engine, "no name", &status), ETX_EINVALID, "a gid is 1 to 128");
    host_says(engine, etx_query(engine, NULL, &status), ETX_EINVALID, "gid");
    host_says(engine, etx_query(engine, "g", NULL), ETX_EINVALID, "sizeof(etx_status)");
    host_says(engine, etx_wait_for(engine, "nobody", ETX_WAIT_ENDED, 100, &outcome), ETX_ENOTFOUND,
              "nobody: no such");
    nonsense.reply = (etx_reply)77;
    host_says(engine, etx_complete(engine, (etx_token){{0, 0}}, &nonsense), ETX_EINVALID,
              "completion");
    host_says(engine, etx_engine_register(engine, &again), ETX_ECONFLICT, "stock is registered");
    host_says(engine, etx_park(engine, "g", NULL, NULL), ETX_EINVALID, "who");
    assert_int_equal(etx_engine_close(engine, ETX_CLOSE_FINISH, 1000), 0);
    host_says(engine, etx_query(engine, "g", &status), ETX_ECLOSED, "closed");
    host_says(engine, etx_complete(engine, (etx_token){{0, 0}}, &nonsense), ETX_ECLOSED, "closed");
    host_says(engine, etx_engine_register(engine, &again), ETX_ECLOSED, "closed");
    host_says(engine, etx_engine_close(engine, ETX_CLOSE_FINISH, 1000), ETX_ESTATE,
              "closed already");
    etx_engine_free(engine);
}

/* Whoever makes a handle gives none with an error. */
static void test_no_handle_with_an_error(void **state) {
    (void)state;
    host_bank bank;
    etx_tx_options options = ETX_TX_OPTIONS_INIT;
    host_bank_make(&bank);
    etx_engine *engine = host_engine("memory:", NULL, &bank);
    for (int i = 0; i < 4; i++) {
        etx_tx *tx = (etx_tx *)(void *)&bank;
        options.gid = "no name";
        int rc = i == 0   ? etx_tx_new(engine, &options, &tx)
                 : i == 1 ? etx_tx_begin(engine, &options, &tx)
                 : i == 2 ? etx_tx_begin_async(engine, &options, NULL, NULL, &tx)
                          : etx_tx_attach(engine, options.gid, 0, &tx);
        assert_int_equal(rc, ETX_EINVALID);
        assert_null(tx);
    }
    host_engine_end(engine);
}

/* Why no engine was made is said to the thread that wanted one: the member, and its range. */
static void test_a_failed_create_says_why(void **state) {
    (void)state;
    char message[256];
    for (int i = 0; i < 10; i++) {
        static const char *const words[] = {
            "workers",     "shards",     "branches_max",   "payload_max", "transactions_max",
            "history_max", "memory_max", "retry_first_ms", "node",        "size"};
        etx_options options = ETX_OPTIONS_INIT;
        etx_engine *engine = NULL;
        options.workers = i == 0 ? 4097 : 0;
        options.shards = i == 1 ? 17 : 0;
        options.branches_max = i == 2 ? 1025 : 0;
        options.payload_max = i == 3 ? (64u << 20) + 1 : 0;
        options.transactions_max = i == 4 ? (64u << 20) + 1 : 0;
        options.history_max = i == 5 ? (256u << 20) + 1 : 0;
        options.memory_max = i == 6 ? 1 : 0;
        options.retry_cap_ms = i == 7 ? 1 : 0;
        options.retry_first_ms = i == 7 ? 2 : 0;
        options.node = i == 8 ? "two words" : NULL;
        options.size = i == 9 ? 0 : sizeof options;
        assert_int_equal(etx_engine_create(&options, &engine), ETX_EINVALID);
        etx_engine_message(NULL, message, sizeof message);
        if (strstr(message, words[i]) == NULL) {
            print_error("\"%s\" does not say \"%s\"\n", message, words[i]);
        }
        assert_non_null(strstr(message, words[i]));
    }
    assert_int_equal(etx_engine_create(NULL, NULL), ETX_EINVALID);
    etx_engine_message(NULL, message, sizeof message);
    assert_non_null(strstr(message, "ret_engine"));
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
    host_says(engine, etx_tx_enlist(tx, &branch), ETX_EINVALID,
              "branch next: depends_on names nope, which is not enlisted before");
    assert_int_equal(etx_tx_abort(tx, NULL), 0);
    host_engine_end(engine);
}

static int nobody(const etx_status *status, void *user) {
    (void)status;
    (void)user;
    return 0;
}

/* A struct without its size, a cursor from elsewhere, a number that is none: each is named. */
static void test_what_is_not_valid_is_said(void **state) {
    (void)state;
    etx_status status = {0};
    etx_metrics metrics = {0};
    etx_home_status home = {0};
    etx_filter filter = ETX_FILTER_INIT;
    etx_cursor cursor = {{0, 0}};
    host_bank bank;
    host_bank_make(&bank);
    etx_engine *e = host_engine("memory:", NULL, &bank);
    host_says(e, etx_query(e, "g", &status), ETX_EINVALID, "sizeof(etx_status)");
    host_says(e, etx_engine_metrics(e, &metrics), ETX_EINVALID, "sizeof(etx_metrics)");
    host_says(e, etx_engine_home_status(e, 0, &home), ETX_EINVALID, "sizeof(etx_home_status)");
    host_says(e, etx_list(e, &filter, &cursor, 1, NULL, NULL), ETX_EINVALID, "each is NULL");
    cursor.word[0] = 4711;
    host_says(e, etx_list(e, &filter, &cursor, 1, nobody, NULL), ETX_EINVALID, "cursor: zeros");
    filter.size = 0;
    host_says(e, etx_list(e, &filter, &cursor, 1, nobody, NULL), ETX_EINVALID, "ETX_FILTER_INIT");
    host_says(e, etx_wait_for(e, "g", (etx_wait)9, 1, NULL), ETX_EINVALID, "ETX_WAIT_BEGUN");
    host_says(e, etx_bulk_operate(e, (etx_bulk)9, NULL, 0, "me", "why", NULL), ETX_EINVALID,
              "ETX_BULK_RETRY");
    host_says(e, etx_force_by_hand(e, "g", (etx_force)9, NULL, ETX_FORWARD, "me", "why"),
              ETX_EINVALID, "ETX_FORCE_ABORT");
    host_says(e, etx_force_by_hand(e, "g", ETX_FORCE_DONE, NULL, ETX_FORWARD, "me", "why"),
              ETX_EINVALID, "a branch, and ETX_FORWARD");
    host_says(e, etx_park(e, "g", "", "why"), ETX_EINVALID, "who does it");
    host_says(e, etx_tx_new(e, NULL, NULL), ETX_EINVALID, "ret_tx is NULL");
    etx_participant strange = host_participant("strange", (etx_kind)42, 0, &bank);
    host_says(e, etx_engine_register(e, &strange), ETX_EINVALID, "a kind (ETX_TCC");
    host_engine_end(e);
}

/* A participant that nobody could ask would leave the transaction to its deadline, or for ever. */
static void test_an_initiator_that_cannot_be_asked(void **state) {
    (void)state;
    host_bank bank;
    etx_tx_options options = ETX_TX_OPTIONS_INIT;
    etx_tx *tx = NULL;
    host_bank_make(&bank);
    etx_engine *engine = host_engine("memory:", NULL, &bank);
    options.initiator = "stock";
    host_says(engine, etx_tx_begin(engine, &options, &tx), ETX_EINVALID, "without `query`");
    assert_null(tx);
    options.mode = ETX_RESUMED;
    host_says(engine, etx_tx_begin(engine, &options, &tx), ETX_EINVALID, "without `resume`");
    options.initiator = "of-another-node"; /* it may be registered later */
    assert_int_equal(etx_tx_begin(engine, &options, &tx), 0);
    assert_int_equal(etx_tx_abort(tx, NULL), 0);
    host_engine_end(engine);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_threads_hear_their_own),
        cmocka_unit_test(test_each_error_has_one),
        cmocka_unit_test(test_no_password_is_said),
        cmocka_unit_test(test_what_is_not_valid_is_said),
        cmocka_unit_test(test_an_initiator_that_cannot_be_asked),
        cmocka_unit_test(test_no_handle_with_an_error),
        cmocka_unit_test(test_a_failed_create_says_why),
        cmocka_unit_test(test_enlist_names_what_is_not_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
