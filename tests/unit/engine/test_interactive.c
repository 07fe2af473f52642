/* Interactive and resumed transactions, messages with query-back. */
#include "rig.h"

struct shop {
    rig_log log;
    rig_bank bank;
    etx_engine *engine;
    _Atomic int query_reply;
    atomic_uint queries, resumes;
    _Atomic uint64_t run;
    atomic_uint told;  /* bytes that a resume was given with the initiator */
    atomic_uint given; /* bytes of the result that a resume was given of step "one" */
};

static etx_reply query(etx_call *call, void *user) {
    struct shop *shop = user;
    (void)call;
    atomic_fetch_add(&shop->queries, 1);
    return (etx_reply)atomic_load(&shop->query_reply);
}

static etx_reply resume(etx_call *call, void *user) {
    struct shop *shop = user;
    size_t len = 0;
    const void *result = etx_call_result_of(call, "one", &len);
    size_t told = 0;
    const void *payload = etx_call_payload(call, &told);
    atomic_store(&shop->told,
                 payload != NULL && memcmp(payload, "at 7", 4) == 0 ? (unsigned)told : 0u);
    atomic_store(&shop->given, result != NULL ? (unsigned)len : 0u);
    atomic_store(&shop->run, etx_call_run(call));
    atomic_fetch_add(&shop->resumes, 1);
    return ETX_DONE;
}

static void shop_open(struct shop *shop) {
    shop->engine = rig_engine(NULL, shop->log.url, NULL);
    rig_bank_register(&shop->bank, shop->engine, "bank", ETX_TCC, 0);
    rig_bank_register(&shop->bank, shop->engine, "step", ETX_SAGA, ETX_INLINE);
    rig_bank_register(&shop->bank, shop->engine, "post", ETX_MESSAGE, ETX_INLINE);
    etx_participant initiator = ETX_PARTICIPANT_INIT;
    initiator.name = "initiator";
    initiator.kind = ETX_MESSAGE;
    initiator.query = query;
    initiator.resume = resume;
    initiator.user = shop;
    rig_must(shop->engine, etx_engine_register(shop->engine, &initiator), "initiator");
    rig_start(shop->engine);
}

static void shop_make(struct shop *shop) {
    memset(shop, 0, sizeof *shop);
    rig_log_make(&shop->log, NULL, "partitions=2");
    rig_bank_make(&shop->bank, 1000);
    atomic_store(&shop->query_reply, ETX_DONE);
    shop_open(shop);
}

static void shop_end(struct shop *shop) {
    rig_close(shop->engine, ETX_CLOSE_FINISH);
    assert_int_equal(rig_bank_torn(&shop->bank), 0);
    rig_bank_end(&shop->bank);
    rig_log_end(&shop->log);
}

static etx_branch branch_of(const char *participant, const char *name, const rig_order *order) {
    etx_branch branch = ETX_BRANCH_INIT;
    branch.participant = participant;
    branch.name = name;
    branch.payload = order;
    branch.payload_len = sizeof *order;
    return branch;
}

static etx_tx *begin(struct shop *shop, const char *gid, uint32_t deadline_ms) {
    etx_tx_options options = ETX_TX_OPTIONS_INIT;
    etx_tx *tx = NULL;
    options.gid = gid;
    options.deadline_ms = deadline_ms;
    rig_must(shop->engine, etx_tx_begin(shop->engine, &options, &tx), "begin");
    return tx;
}

static void enlist(struct shop *shop, etx_tx *tx, const char *participant, const char *name) {
    static const rig_order order = {2, 'D'};
    etx_branch branch = branch_of(participant, name, &order);
    rig_must(shop->engine, etx_tx_enlist(tx, &branch), name);
}

static void enlisted_and_decided(void **state) {
    static const rig_order other = {2, 'X'};
    struct shop shop;
    etx_outcome outcome = ETX_OUTCOME_INIT;
    (void)state;
    shop_make(&shop);
    etx_tx *tx = begin(&shop, "yes", 0);
    enlist(&shop, tx, "bank", "a");
    enlist(&shop, tx, "bank", "a");
    etx_branch changed = branch_of("bank", "a", &other);
    assert_int_equal(etx_tx_enlist(tx, &changed), ETX_ECONFLICT);
    enlist(&shop, tx, "bank", "b");
    assert_int_equal(rig_state(shop.engine, "yes"), ETX_ACTIVE);
    rig_must(shop.engine, etx_tx_commit(tx, &outcome), "commit");
    assert_int_equal(outcome.state, ETX_COMMITTED);
    assert_int_equal(rig_bank_effect(&shop.bank, "yes"), 1);
    tx = begin(&shop, "no", 0);
    enlist(&shop, tx, "bank", "a");
    enlist(&shop, tx, "bank", "b");
    rig_must(shop.engine, etx_tx_abort(tx, &outcome), "abort");
    assert_int_equal(outcome.state, ETX_ABORTED);
    assert_int_equal(rig_bank_effect(&shop.bank, "no"), 0);
    shop_end(&shop);
}

static void attached_and_continued(void **state) {
    struct shop shop;
    etx_outcome outcome = ETX_OUTCOME_INIT;
    etx_tx *other = NULL;
    (void)state;
    shop_make(&shop);
    etx_tx *tx = begin(&shop, "shared", 0);
    enlist(&shop, tx, "bank", "a");
    etx_tx_discard(tx);
    rig_close(shop.engine, ETX_CLOSE_ABRUPT); /* and by another process */
    shop_open(&shop);
    rig_must(shop.engine, etx_tx_attach(shop.engine, "shared", 0, &other), "attach");
    enlist(&shop, other, "bank", "b");
    rig_must(shop.engine, etx_tx_commit(other, &outcome), "commit");
    assert_int_equal(outcome.state, ETX_COMMITTED);
    rig_must(shop.engine, etx_tx_attach(shop.engine, "nobody", 0, &other), "attach");
    assert_int_equal(etx_tx_commit(other, &outcome), ETX_ENOTFOUND);
    shop_end(&shop);
}

enum { GID = 32, LONGEST_MS = 60000 };

/* Begins `name`-N with the deadline of the options, and enlists so many branches before it. The
 * machine may be slower than that: then another one, with twice the time. */
static etx_tx *begin_in_time(struct shop *shop,
                             etx_tx_options *options,
                             const char *name,
                             const char *participant,
                             uint32_t branches,
                             char gid[GID]) {
    const rig_order order = {branches, 'D'};
    for (unsigned n = 0; options->deadline_ms < LONGEST_MS; n++, options->deadline_ms *= 2) {
        etx_tx *tx = NULL;
        snprintf(gid, GID, "%s-%u", name, n);
        options->gid = gid;
        int rc = etx_tx_begin(shop->engine, options, &tx);
        for (uint32_t i = 0; rc == 0 && i < branches; i++) {
            etx_branch branch = branch_of(participant, i == 0 ? "a" : "b", &order);
            rc = etx_tx_enlist(tx, &branch);
        }
        if (rc == 0) {
            return tx;
        }
        assert_int_equal(rc, ETX_ESTATE);
        etx_tx_discard(tx);
    }
    fail_msg("no branch can be enlisted within a minute");
    return NULL;
}

static void the_deadline_aborts(void **state) {
    struct shop shop;
    char gid[GID];
    etx_outcome outcome = ETX_OUTCOME_INIT;
    etx_tx_options options = ETX_TX_OPTIONS_INIT;
    (void)state;
    shop_make(&shop);
    options.deadline_ms = 50;
    etx_tx *tx = begin_in_time(&shop, &options, "slow", "bank", 2, gid);
    assert_true(rig_reaches(shop.engine, gid, ETX_ABORTED, 0));
    rig_must(shop.engine, etx_tx_commit(tx, &outcome), "a late commit hears what became of it");
    assert_int_equal(outcome.state, ETX_ABORTED);
    assert_int_equal(rig_bank_effect(&shop.bank, gid), 0);
    /* silence across a restart ends too */
    options.deadline_ms = 50;
    tx = begin_in_time(&shop, &options, "silent", "bank", 1, gid);
    etx_tx_discard(tx);
    rig_close(shop.engine, ETX_CLOSE_ABRUPT);
    shop_open(&shop);
    assert_true(rig_reaches(shop.engine, gid, ETX_ABORTED, 0));
    shop_end(&shop);
}

/* The engine's thread stands still, as if the process were paused: its clock is that of before. */
struct standstill {
    sem_t begins, ends;
};

static void stand_still(int rc, const etx_outcome *outcome, void *user) {
    struct standstill *standstill = user;
    (void)rc;
    (void)outcome;
    sem_post(&standstill->begins);
    sem_wait(&standstill->ends);
}

static void a_commit_that_comes_while_nobody_looks_is_late(void **state) {
    struct standstill standstill;
    struct shop shop;
    char gid[GID];
    rig_done committed = {0};
    etx_tx_options options = ETX_TX_OPTIONS_INIT;
    (void)state;
    assert_int_equal(sem_init(&standstill.begins, 0, 0), 0);
    assert_int_equal(sem_init(&standstill.ends, 0, 0), 0);
    shop_make(&shop);
    options.deadline_ms = 150;
    etx_tx *tx = begin_in_time(&shop, &options, "late", "bank", 1, gid);
    uint64_t past = host_now_ms() + options.deadline_ms + 20;
    /* the same gid's partition, so the same thread: asked for, and answered by it */
    rig_must(shop.engine, etx_query_async(shop.engine, gid, stand_still, &standstill), "query");
    sem_wait(&standstill.begins);
    while (host_now_ms() < past) {
        usleep(1000);
    }
    rig_must(shop.engine, etx_tx_commit_async(tx, rig_done_fn, &committed), "commit");
    sem_post(&standstill.ends);
    assert_true(host_wait_for(&committed.count, 1));
    assert_int_equal(committed.rc, 0);
    assert_true(committed.outcome.state == ETX_ABORTED || committed.outcome.state == ETX_ABORTING);
    assert_true(rig_reaches(shop.engine, gid, ETX_ABORTED, ETX_MARK_ENDED));
    assert_int_equal(rig_bank_effect(&shop.bank, gid), 0);
    shop_end(&shop);
    sem_destroy(&standstill.begins);
    sem_destroy(&standstill.ends);
}

static void all_of_it_without_waiting(void **state) {
    static const rig_order order = {1, 'D'};
    struct shop shop;
    rig_done begun = {0}, enlisted = {0}, resulted = {0}, committed = {0}, aborted = {0};
    etx_tx_options options = ETX_TX_OPTIONS_INIT;
    etx_tx *tx = NULL;
    (void)state;
    shop_make(&shop);
    rig_must(shop.engine, etx_tx_begin_async(shop.engine, &options, rig_done_fn, &begun, &tx),
             "begin");
    assert_true(host_wait_for(&begun.count, 1));
    assert_int_equal(begun.rc, 0);
    assert_string_equal(begun.outcome.gid, etx_tx_gid(tx));
    etx_branch branch = branch_of("bank", "a", &order);
    branch.flags = ETX_BY_INITIATOR;
    rig_must(shop.engine, etx_tx_enlist_async(tx, &branch, rig_done_fn, &enlisted), "enlist");
    assert_true(host_wait_for(&enlisted.count, 1));
    assert_int_equal(enlisted.rc, 0);
    rig_must(shop.engine, etx_tx_result_async(tx, "a", ETX_DONE, "r", 1, rig_done_fn, &resulted),
             "result");
    assert_true(host_wait_for(&resulted.count, 1));
    assert_true(resulted.rc >= 0);
    rig_must(shop.engine, etx_tx_commit_async(tx, rig_done_fn, &committed), "commit");
    assert_true(host_wait_for(&committed.count, 1));
    assert_int_equal(committed.rc, 0);
    assert_int_equal(committed.outcome.state, ETX_COMMITTED);
    tx = begin(&shop, NULL, 0);
    rig_must(shop.engine, etx_tx_abort_async(tx, rig_done_fn, &aborted), "abort");
    assert_true(host_wait_for(&aborted.count, 1));
    assert_int_equal(aborted.outcome.state, ETX_ABORTED);
    shop_end(&shop);
}

/* The initiator falls silent: it is asked whether its own transaction committed. */
static void a_message_is_asked_about(void **state) {
    (void)state;
    for (int answer = ETX_DONE; answer <= ETX_REFUSED; answer++) {
        struct shop shop;
        char gid[GID];
        etx_tx_options options = ETX_TX_OPTIONS_INIT;
        shop_make(&shop);
        atomic_store(&shop.query_reply, ETX_RETRY);
        options.initiator = "initiator";
        options.deadline_ms = 30;
        etx_tx_discard(begin_in_time(&shop, &options, "mail", "post", 1, gid));
        unsigned queries = shop.queries;
        assert_true(host_wait_for(&shop.queries, queries + 2));
        assert_int_equal(rig_state(shop.engine, gid), ETX_ACTIVE);
        atomic_store(&shop.query_reply, answer);
        assert_true(
            rig_reaches(shop.engine, gid, answer == ETX_DONE ? ETX_COMMITTED : ETX_ABORTED, 0));
        assert_int_equal(rig_bank_effect(&shop.bank, gid), answer == ETX_DONE);
        shop_end(&shop);
    }
}

/* Records two steps of the workflow, each in a run of its own. ETX_ESTATE: the machine was slower
 * than its silence may last, and another run was begun meanwhile. */
static int flow_in_two_runs(struct shop *shop, etx_tx *tx, etx_outcome *ret_outcome) {
    static const rig_order order = {2, 'D'};
    etx_reply reply = ETX_RETRY;
    etx_branch one = branch_of("step", "one", &order);
    etx_branch two = branch_of("step", "two", &order);
    etx_branch three = branch_of("step", "three", &order);
    one.flags = two.flags = three.flags = ETX_BY_INITIATOR;
    int rc = etx_tx_enlist(tx, &one);
    rc = rc != 0 ? rc : etx_tx_result(tx, "one", ETX_DONE, "first", 5, &reply);
    etx_tx_discard(tx);
    if (rc != 0) {
        return rc;
    }
    rig_close(shop->engine, ETX_CLOSE_ABRUPT);
    unsigned resumes = shop->resumes;
    shop_open(shop);
    assert_true(host_wait_for(&shop->resumes, resumes + 1));
    assert_int_equal(shop->given, 5);
    assert_int_equal(shop->told, 4);
    rig_must(shop->engine, etx_tx_attach(shop->engine, "flow", shop->run, &tx), "attach");
    rc = etx_tx_enlist(tx, &one);
    rc = rc != 0 ? rc : etx_tx_result(tx, "one", ETX_REFUSED, "x", 1, &reply);
    assert_true(rc != 0 || reply == ETX_DONE); /* the first stands */
    rc = rc != 0 ? rc : etx_tx_enlist(tx, &two);
    resumes = shop->resumes;
    assert_true(host_wait_for(&shop->resumes, resumes + 1));
    host_says(shop->engine, etx_tx_enlist(tx, &three), ETX_ESTATE, "another run");
    etx_tx_discard(tx);
    if (rc != 0) {
        return rc;
    }
    rig_must(shop->engine, etx_tx_attach(shop->engine, "flow", shop->run, &tx), "attach");
    rc = etx_tx_result(tx, "two", ETX_DONE, "second", 6, &reply);
    if (rc != 0) {
        etx_tx_discard(tx);
        return rc;
    }
    return etx_tx_commit(tx, ret_outcome);
}

/* A workflow that fell silent, across a restart, goes on with what is recorded. */
static void a_workflow_is_resumed(void **state) {
    int rc = ETX_ESTATE;
    (void)state;
    for (uint32_t silence_ms = 50; rc == ETX_ESTATE && silence_ms < LONGEST_MS; silence_ms *= 2) {
        struct shop shop;
        etx_tx_options options = ETX_TX_OPTIONS_INIT;
        etx_outcome outcome = ETX_OUTCOME_INIT;
        etx_tx *tx = NULL;
        shop_make(&shop);
        options.initiator_payload = "at 7";
        options.initiator_payload_len = 4;
        options.gid = "flow";
        options.mode = ETX_RESUMED;
        options.initiator = "initiator";
        options.resume_ms = silence_ms;
        rig_must(shop.engine, etx_tx_begin(shop.engine, &options, &tx), "begin");
        rc = flow_in_two_runs(&shop, tx, &outcome);
        if (rc == ETX_ESTATE) {
            rig_must(shop.engine, etx_tx_attach(shop.engine, "flow", 0, &tx), "attach");
            rig_must(shop.engine, etx_tx_abort(tx, &outcome), "abort");
        } else {
            rig_must(shop.engine, rc, "flow");
            assert_int_equal(outcome.state, ETX_COMMITTED);
        }
        shop_end(&shop);
    }
    assert_int_equal(rc, 0);
}

/* A begin that does not wait gives the run that is valid, too. */
static void resumed_without_waiting(void **state) {
    struct shop shop;
    rig_done begun = {0};
    etx_tx *tx = NULL;
    etx_tx_options options = ETX_TX_OPTIONS_INIT;
    etx_outcome outcome = ETX_OUTCOME_INIT;
    rig_order order = {1, 'D'};
    (void)state;
    shop_make(&shop);
    options.gid = "flow";
    options.mode = ETX_RESUMED;
    options.initiator = "initiator";
    rig_must(shop.engine, etx_tx_begin_async(shop.engine, &options, rig_done_fn, &begun, &tx),
             "begin");
    assert_true(host_wait_for(&begun.count, 1));
    assert_int_equal(begun.rc, 0);
    etx_branch one = branch_of("step", "one", &order);
    one.flags = ETX_BY_INITIATOR;
    rig_must(shop.engine, etx_tx_enlist(tx, &one), "enlist");
    rig_must(shop.engine, etx_tx_result(tx, "one", ETX_DONE, NULL, 0, NULL), "result");
    rig_must(shop.engine, etx_tx_commit(tx, &outcome), "commit");
    assert_int_equal(outcome.state, ETX_COMMITTED);
    shop_end(&shop);
}

/* Waits for too short a time, until it is told how far it is: that may be too much for it too. */
static void is_told(struct shop *shop, etx_wait wait, etx_outcome *outcome) {
    uint64_t end = host_now_ms() + LONGEST_MS;
    do {
        *outcome = (etx_outcome)ETX_OUTCOME_INIT;
        assert_int_equal(etx_wait_for(shop->engine, "far", wait, 20, outcome), ETX_EUNKNOWN);
    } while (outcome->state == ETX_NONE && host_now_ms() < end);
}

/* How far it is, when the patience is over first. */
static void a_wait_that_is_too_short_tells_how_far_it_is(void **state) {
    static const rig_order order = {1, 'D'};
    struct shop shop;
    etx_outcome outcome = ETX_OUTCOME_INIT;
    (void)state;
    shop_make(&shop);
    etx_tx *tx = begin(&shop, "far", 0);
    is_told(&shop, ETX_WAIT_DECIDED, &outcome);
    assert_int_equal(outcome.state, ETX_ACTIVE);
    etx_branch branch = branch_of("bank", "a", &order);
    rig_must(shop.engine, etx_tx_enlist(tx, &branch), "enlist");
    atomic_store(&shop.bank.chaos, 1); /* nobody can say yet */
    rig_must(shop.engine, etx_tx_abort_async(tx, NULL, NULL), "abort");
    rig_must(shop.engine, etx_wait_for(shop.engine, "far", ETX_WAIT_DECIDED, LONGEST_MS, &outcome),
             "decided");
    is_told(&shop, ETX_WAIT_ENDED, &outcome);
    assert_int_equal(outcome.state, ETX_ABORTING);
    assert_int_equal(outcome.durability, shop.log.grade);
    assert_string_equal(outcome.gid, "far");
    atomic_store(&shop.bank.chaos, 0);
    rig_must(shop.engine, etx_wait_for(shop.engine, "far", ETX_WAIT_ENDED, LONGEST_MS, &outcome),
             "end");
    assert_int_equal(outcome.state, ETX_ABORTED);
    shop_end(&shop);
}

struct closing {
    pthread_t thread;
    struct shop *shop;
    etx_tx *tx;
    etx_outcome outcome;
    int begin_rc, enlist_rc, commit_rc;
};

/* Waits until the engine is closing, and goes on with what is begun. */
static void *goes_on(void *argument) {
    static const rig_order order = {2, 'D'};
    struct closing *closing = argument;
    etx_engine *engine = closing->shop->engine;
    etx_branch branch = branch_of("bank", "b", &order);
    do {
        etx_tx *none = NULL;
        closing->begin_rc = etx_tx_new(engine, NULL, &none);
        etx_tx_discard(none);
        usleep(1000);
    } while (closing->begin_rc == 0);
    closing->enlist_rc = etx_tx_enlist(closing->tx, &branch);
    closing->commit_rc = etx_tx_commit(closing->tx, &closing->outcome);
    return NULL;
}

/* New ones are refused while the engine closes; what is begun may still be ended. */
static void a_close_lets_what_is_begun_end(void **state) {
    struct shop shop;
    struct closing closing = {.shop = &shop, .outcome = ETX_OUTCOME_INIT};
    (void)state;
    shop_make(&shop);
    closing.tx = begin(&shop, "last", 0);
    enlist(&shop, closing.tx, "bank", "a");
    assert_int_equal(pthread_create(&closing.thread, NULL, goes_on, &closing), 0);
    uint64_t before = host_now_ms();
    int rc = etx_engine_close(shop.engine, ETX_CLOSE_FINISH, 120000);
    assert_true(host_now_ms() - before < LONGEST_MS);
    pthread_join(closing.thread, NULL);
    assert_int_equal(rc, 0);
    assert_int_equal(closing.begin_rc, ETX_ECLOSED);
    assert_int_equal(closing.enlist_rc, 0);
    assert_int_equal(closing.commit_rc, 0);
    assert_int_equal(closing.outcome.state, ETX_COMMITTED);
    assert_int_equal(rig_bank_effect(&shop.bank, "last"), 1);
    etx_engine_free(shop.engine);
    shop_open(&shop);
    shop_end(&shop);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(enlisted_and_decided),
        cmocka_unit_test(attached_and_continued),
        cmocka_unit_test(the_deadline_aborts),
        cmocka_unit_test(a_commit_that_comes_while_nobody_looks_is_late),
        cmocka_unit_test(all_of_it_without_waiting),
        cmocka_unit_test(a_message_is_asked_about),
        cmocka_unit_test(a_workflow_is_resumed),
        cmocka_unit_test(resumed_without_waiting),
        cmocka_unit_test(a_wait_that_is_too_short_tells_how_far_it_is),
        cmocka_unit_test(a_close_lets_what_is_begun_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
