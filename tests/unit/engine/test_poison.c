/* A log that breaks: it is reopened, callers hear unknown, and what is asked later is the truth. */
#include "rig.h"

struct shop {
    rig_log log;
    rig_bank bank;
    etx_engine *engine;
};

static void shop_make(struct shop *shop, const char *partitions) {
    rig_log_make(&shop->log, NULL, partitions);
    rig_bank_make(&shop->bank, 20000);
    shop->engine = rig_engine(NULL, shop->log.url, NULL);
    rig_bank_register(&shop->bank, shop->engine, "bank", ETX_TCC, 0);
    rig_bank_register(&shop->bank, shop->engine, "quick", ETX_TCC, ETX_INLINE);
    rig_start(shop->engine);
}

static void shop_end(struct shop *shop) {
    assert_true(rig_quiet(shop->engine));
    rig_close(shop->engine, ETX_CLOSE_FINISH);
    assert_int_equal(rig_bank_torn(&shop->bank), 0);
    assert_int_equal(shop->bank.empty_commits, 0);
    rig_bank_end(&shop->bank);
    rig_log_end(&shop->log);
}

/* Until the engine says something definite. */
static etx_state truth(etx_engine *engine, const char *gid, int *ret_rc) {
    uint64_t end = host_now_ms() + 60000;
    for (;;) {
        etx_status status = {.size = sizeof status};
        *ret_rc = etx_query(engine, gid, &status);
        if (*ret_rc != ETX_EUNKNOWN || host_now_ms() > end) {
            return status.state;
        }
        usleep(1000);
    }
}

static void lost_begin(void **state) {
    struct shop shop;
    int rc = 0;
    (void)state;
    shop_make(&shop, "partitions=1");
    rig_log_fail(&shop.log, RIG_BROKEN, 1);
    etx_outcome outcome = ETX_OUTCOME_INIT;
    assert_int_equal(etx_tx_run(rig_pair(shop.engine, "bank", "one", 'D'), &outcome), ETX_EUNKNOWN);
    assert_string_equal(outcome.gid, "one");
    assert_int_equal(outcome.state, ETX_NONE);
    assert_int_equal(outcome.durability, ETX_DURABILITY_DEFAULT);
    truth(shop.engine, "one", &rc);
    assert_int_equal(rc, ETX_ENOTFOUND);
    assert_int_equal(shop.log.reopened, 1);
    rig_must(shop.engine, etx_tx_run(rig_pair(shop.engine, "bank", "one", 'D'), &outcome), "run");
    assert_int_equal(outcome.state, ETX_COMMITTED);
    shop_end(&shop);
}

/* All places are taken, by transactions that wait. */
static void take_places(etx_engine *engine, const char *prefix, int places) {
    for (int i = 0; i < places; i++) {
        char gid[32];
        etx_outcome outcome = ETX_OUTCOME_INIT;
        snprintf(gid, sizeof gid, "%s-%d", prefix, i);
        assert_int_equal(etx_tx_submit(rig_pair(engine, "slow", gid, 'D'), NULL, NULL), 0);
        rig_must(engine, etx_wait_for(engine, gid, ETX_WAIT_BEGUN, 0, &outcome), "begin");
    }
}

/* What is read anew has the places that it had, and leaves them when it ends. */
static void places_are_counted_once(void **state) {
    enum { PLACES = 4 };
    rig_log log;
    host_bank slow;
    rig_bank bank;
    etx_outcome outcome = ETX_OUTCOME_INIT;
    etx_options options = rig_options();
    etx_home_status home = {.size = sizeof home};
    etx_metrics metrics = {.size = sizeof metrics};
    (void)state;
    rig_log_make(&log, NULL, "partitions=2");
    host_bank_make(&slow);
    rig_bank_make(&bank, 100);
    options.transactions_max = PLACES;
    etx_engine *engine = rig_engine(&options, log.url, NULL);
    etx_participant participant = host_participant("slow", ETX_TCC, ETX_INLINE, &slow);
    rig_must(engine, etx_engine_register(engine, &participant), "register");
    rig_bank_register(&bank, engine, "bank", ETX_TCC, ETX_INLINE);
    rig_start(engine);
    atomic_store(&slow.forward_reply, ETX_WORKING);
    take_places(engine, "slow", PLACES);
    rig_must(engine, etx_engine_home_status(engine, 0, &home), "home");
    assert_int_equal(home.in_flight, PLACES);
    assert_int_equal(etx_tx_run(rig_pair(engine, "bank", NULL, 'D'), &outcome), ETX_EBUSY);
    rig_log_fail(&log, RIG_BROKEN, 1);
    assert_int_equal(
        etx_force_by_hand(engine, "slow-0", ETX_FORCE_ABORT, NULL, ETX_FORWARD, "ann", "why"),
        ETX_EUNKNOWN);
    assert_true(host_wait_for(&log.reopened, 1));
    atomic_store(&slow.forward_reply, ETX_DONE);
    for (int i = 0; i < PLACES; i++) {
        char gid[32];
        snprintf(gid, sizeof gid, "slow-%d", i);
        assert_true(rig_reaches(engine, gid, ETX_COMMITTED, ETX_MARK_ENDED));
    }
    atomic_store(&slow.forward_reply, ETX_WORKING);
    take_places(engine, "again", PLACES);
    atomic_store(&slow.forward_reply, ETX_DONE);
    assert_true(rig_quiet(engine));
    rig_must(engine, etx_engine_metrics(engine, &metrics), "metrics");
    assert_int_equal(metrics.in_flight, 0);
    assert_int_equal(metrics.refused_busy, 1);
    rig_close(engine, ETX_CLOSE_FINISH);
    rig_bank_end(&bank);
    rig_log_end(&log);
}

/* Whoever decides is told what is durable, not what was to be. */
static void lost_decision(void **state) {
    struct shop shop;
    etx_tx_options options = ETX_TX_OPTIONS_INIT;
    etx_outcome outcome = ETX_OUTCOME_INIT;
    etx_tx *tx = NULL;
    int rc = 0;
    (void)state;
    shop_make(&shop, "partitions=1");
    options.gid = "one";
    for (int commit = 0; commit < 2; commit++) {
        rig_must(shop.engine, etx_tx_begin(shop.engine, &options, &tx), "begin");
        rig_log_fail(&shop.log, RIG_BROKEN, 1);
        assert_int_equal(commit ? etx_tx_commit(tx, &outcome) : etx_tx_abort(tx, &outcome),
                         ETX_EUNKNOWN);
        assert_int_equal(outcome.state, ETX_ACTIVE);
        assert_int_equal(outcome.durability, ETX_LOCAL);
        assert_int_equal(truth(shop.engine, "one", &rc), ETX_ACTIVE);
        assert_int_equal(rc, 0);
    }
    rig_must(shop.engine, etx_tx_attach(shop.engine, "one", 0, &tx), "attach");
    rig_must(shop.engine, etx_tx_commit(tx, &outcome), "commit");
    assert_int_equal(outcome.state, ETX_COMMITTED);
    shop_end(&shop);
}

static void kept_begin(void **state) {
    struct shop shop;
    (void)state;
    shop_make(&shop, "partitions=1");
    rig_log_fail(&shop.log, RIG_BROKEN_WRITTEN, 1);
    rig_done done = {0};
    assert_int_equal(etx_tx_submit(rig_pair(shop.engine, "bank", "one", 'D'), rig_done_fn, &done),
                     0);
    assert_true(host_wait_for(&done.count, 1));
    assert_int_equal(done.rc, ETX_EUNKNOWN);
    assert_string_equal(done.outcome.gid, "one");
    assert_true(rig_reaches(shop.engine, "one", ETX_COMMITTED, 0));
    assert_int_equal(rig_bank_effect(&shop.bank, "one"), 1);
    assert_int_equal(done.count, 1);
    shop_end(&shop);
}

/* Each put of a transaction breaks in turn, written or not; then it is asked about. */
static void every_put_breaks_in_turn(rig_fault fault, const char *participant, char what) {
    for (int at = 1; at <= 6; at++) {
        struct shop shop;
        char gid[16];
        int rc = 0;
        shop_make(&shop, "partitions=1");
        etx_options options = rig_options();
        (void)options;
        snprintf(gid, sizeof gid, "tx-%d", at);
        unsigned before = shop.log.puts;
        rig_done done = {0};
        rig_log_fail(&shop.log, RIG_WELL, 0);
        assert_int_equal(
            etx_tx_submit(rig_pair(shop.engine, participant, gid, what), rig_done_fn, &done), 0);
        uint64_t end = host_now_ms() + 50;
        while (shop.log.puts < before + (unsigned)at - 1 && host_now_ms() < end) {
            usleep(10);
        }
        rig_log_fail(&shop.log, fault, 1);
        assert_true(host_wait_for(&done.count, 1));
        rig_log_fail(&shop.log, RIG_WELL, 0);
        etx_state now = truth(shop.engine, gid, &rc);
        if (rc == 0) {
            etx_state last = what == 'D' ? ETX_COMMITTED : ETX_ABORTED;
            assert_true(rig_reaches(shop.engine, gid, last, 0));
            assert_int_equal(rig_bank_effect(&shop.bank, gid), what == 'D');
        } else {
            assert_int_equal(rc, ETX_ENOTFOUND);
            assert_int_equal(now, ETX_NONE);
            assert_int_equal(done.rc, ETX_EUNKNOWN);
            assert_int_equal(rig_bank_effect(&shop.bank, gid), 0);
        }
        shop_end(&shop);
    }
}

static void each_put_lost(void **state) {
    (void)state;
    every_put_breaks_in_turn(RIG_BROKEN, "bank", 'D');
    every_put_breaks_in_turn(RIG_BROKEN, "quick", 'R');
}

static void each_put_kept(void **state) {
    (void)state;
    every_put_breaks_in_turn(RIG_BROKEN_WRITTEN, "bank", 'R');
    every_put_breaks_in_turn(RIG_BROKEN_WRITTEN, "quick", 'D');
}

/* A callback that outlives the memory of the core that called it. */
static void a_callback_outlives_its_core(void **state) {
    struct shop shop;
    host_bank slow;
    (void)state;
    rig_log_make(&shop.log, NULL, "partitions=1");
    rig_bank_make(&shop.bank, 100);
    host_bank_make(&slow);
    slow.gated = true;
    shop.engine = rig_engine(NULL, shop.log.url, NULL);
    etx_participant participant = host_participant("slow", ETX_TCC, 0, &slow);
    rig_must(shop.engine, etx_engine_register(shop.engine, &participant), "register");
    rig_bank_register(&shop.bank, shop.engine, "bank", ETX_TCC, ETX_INLINE);
    rig_start(shop.engine);
    rig_done done = {0};
    etx_tx *tx = NULL;
    etx_tx_options options = ETX_TX_OPTIONS_INIT;
    options.gid = "slow-1";
    rig_must(shop.engine, etx_tx_new(shop.engine, &options, &tx), "new");
    rig_must(shop.engine, etx_tx_add(tx, "slow", "x", 1), "add");
    assert_int_equal(etx_tx_submit(tx, rig_done_fn, &done), 0);
    assert_true(host_wait_for(&slow.blocked, 1));
    for (unsigned i = 0; i < 3; i++) {
        etx_outcome outcome = ETX_OUTCOME_INIT;
        rig_log_fail(&shop.log, RIG_BROKEN_WRITTEN, 1);
        etx_tx_run(rig_pair(shop.engine, "bank", NULL, 'D'), &outcome);
        assert_true(host_wait_for(&shop.log.reopened, i + 1));
        assert_true(host_wait_for(&slow.blocked, i + 2)); /* the new core calls again */
    }
    assert_int_equal(done.rc, ETX_EUNKNOWN);
    for (int i = 0; i < 8; i++) {
        sem_post(&slow.gate);
    }
    assert_true(rig_reaches(shop.engine, "slow-1", ETX_COMMITTED, 0));
    shop_end(&shop);
}

/* It breaks again and again under load from several partitions. */
static void breaks_under_load(void **state) {
    enum { MANY = 1500 };
    struct shop shop;
    (void)state;
    shop_make(&shop, "partitions=3");
    rig_done *done = calloc(MANY, sizeof *done);
    assert_non_null(done);
    for (int i = 0; i < MANY; i++) {
        char gid[24];
        snprintf(gid, sizeof gid, "load-%d", i);
        if (i % 50 == 25) {
            rig_log_fail(&shop.log, i % 100 == 25 ? RIG_BROKEN : RIG_BROKEN_WRITTEN, 1);
        }
        int rc =
            etx_tx_submit(rig_pair(shop.engine, i % 2 ? "bank" : "quick", gid, i % 7 ? 'D' : 'R'),
                          rig_done_fn, &done[i]);
        assert_int_equal(rc, 0);
        if (i % 10 == 9) {
            assert_true(host_wait_for(&done[i].count, 1));
        }
    }
    rig_log_fail(&shop.log, RIG_WELL, 0);
    for (int i = 0; i < MANY; i++) {
        char gid[24];
        int rc = 0;
        snprintf(gid, sizeof gid, "load-%d", i);
        assert_true(host_wait_for(&done[i].count, 1));
        assert_int_equal(done[i].count, 1);
        assert_string_equal(done[i].outcome.gid, gid);
        etx_state now = truth(shop.engine, gid, &rc);
        if (done[i].rc == 0) { /* its END may have been lost: then it ends once more, the same */
            etx_state on_its_way = i % 7 ? ETX_COMMITTING : ETX_ABORTING;
            assert_int_equal(rc, 0);
            assert_true(now == done[i].outcome.state || now == on_its_way);
            assert_true(rig_reaches(shop.engine, gid, done[i].outcome.state, 0));
        } else if (rc == 0) { /* unknown, and it was begun */
            assert_true(rig_reaches(shop.engine, gid, i % 7 ? ETX_COMMITTED : ETX_ABORTED, 0));
        } else {
            assert_int_equal(rc, ETX_ENOTFOUND);
            assert_int_equal(rig_bank_effect(&shop.bank, gid), 0);
        }
    }
    assert_true(shop.log.reopened >= 5);
    free(done);
    shop_end(&shop);
}

/* A registration while the log is being reopened reaches the new core. */
static void registered_while_it_is_broken(void **state) {
    struct shop shop;
    (void)state;
    shop_make(&shop, "partitions=1");
    etx_tx_options options = ETX_TX_OPTIONS_INIT;
    options.gid = "early";
    etx_tx *tx = NULL;
    etx_branch branch = ETX_BRANCH_INIT;
    rig_order order = {1, 'D'};
    branch.participant = "late";
    branch.kind = ETX_TCC;
    branch.payload = &order;
    branch.payload_len = sizeof order;
    rig_must(shop.engine, etx_tx_new(shop.engine, &options, &tx), "new");
    rig_must(shop.engine, etx_tx_add_branch(tx, &branch), "add");
    rig_done done = {0};
    assert_int_equal(etx_tx_submit(tx, rig_done_fn, &done), 0);
    assert_true(rig_reaches(shop.engine, "early", ETX_ACTIVE, ETX_MARK_UNREGISTERED));
    atomic_store(&shop.log.reopen_rc, ETX_EIO);
    rig_log_fail(&shop.log, RIG_BROKEN, 1);
    etx_outcome outcome = ETX_OUTCOME_INIT;
    assert_int_equal(etx_tx_run(rig_pair(shop.engine, "bank", NULL, 'D'), &outcome), ETX_EUNKNOWN);
    assert_true(host_wait_for(&shop.log.reopened, 1));
    rig_bank_register(&shop.bank, shop.engine, "late", ETX_TCC, ETX_INLINE);
    atomic_store(&shop.log.reopen_rc, 0);
    assert_true(rig_reaches(shop.engine, "early", ETX_COMMITTED, 0));
    shop_end(&shop);
}

/* A log that stays broken is opened anew later and later, not all the time. */
static void what_stays_broken_is_tried_more_seldom(void **state) {
    struct shop shop;
    etx_outcome outcome = ETX_OUTCOME_INIT;
    (void)state;
    shop_make(&shop, "partitions=1");
    atomic_store(&shop.log.reopen_rc, ETX_EIO);
    rig_log_fail(&shop.log, RIG_BROKEN, 1);
    uint64_t began_ms = host_now_ms();
    assert_int_equal(etx_tx_run(rig_pair(shop.engine, "bank", NULL, 'D'), &outcome), ETX_EUNKNOWN);
    assert_true(host_wait_for(&shop.log.reopened, 5));
    assert_true(host_now_ms() - began_ms >= 20 + 40 + 80 + 160 + 320);
    atomic_store(&shop.log.reopen_rc, 0);
    shop_end(&shop);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lost_begin),
        cmocka_unit_test(places_are_counted_once),
        cmocka_unit_test(lost_decision),
        cmocka_unit_test(kept_begin),
        cmocka_unit_test(each_put_lost),
        cmocka_unit_test(each_put_kept),
        cmocka_unit_test(a_callback_outlives_its_core),
        cmocka_unit_test(breaks_under_load),
        cmocka_unit_test(registered_while_it_is_broken),
        cmocka_unit_test(what_stays_broken_is_tried_more_seldom),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
