/* Answers that nobody waits for: written after flush_ms, or with the next put before that. */
#include "rig.h"

enum { SOON_MS = 20, NEVER_MS = 3600000 };

struct shop {
    rig_log log;
    host_bank good, bad; /* two participants, inline */
    etx_engine *engine;
};

static etx_reply give(etx_call *call, void *user) {
    host_bank *bank = user;
    atomic_fetch_add(&bank->forwards, 1);
    rig_check(etx_call_result(call, "kept", 4) == 0);
    return ETX_DONE;
}

static void shop_open(struct shop *shop, uint32_t flush_ms) {
    etx_options options = rig_options();
    options.flush_ms = flush_ms;
    shop->engine = rig_engine(&options, shop->log.url, NULL);
    etx_participant good = host_participant("good", ETX_TCC, ETX_INLINE, &shop->good);
    etx_participant bad = host_participant("bad", ETX_TCC, ETX_INLINE, &shop->bad);
    good.forward = give;
    rig_must(shop->engine, etx_engine_register(shop->engine, &good), "good");
    rig_must(shop->engine, etx_engine_register(shop->engine, &bad), "bad");
    rig_start(shop->engine);
}

static void shop_make(struct shop *shop, uint32_t flush_ms) {
    memset(shop, 0, sizeof *shop);
    rig_log_make(&shop->log, NULL, "partitions=1");
    host_bank_make(&shop->good);
    host_bank_make(&shop->bad);
    shop_open(shop, flush_ms);
}

static void shop_end(struct shop *shop) {
    rig_close(shop->engine, ETX_CLOSE_ABRUPT);
    rig_log_end(&shop->log);
}

/* An interactive transaction that waits for its initiator: its forward call is answered. */
static etx_tx *begin_answered(struct shop *shop, const char *gid) {
    etx_tx_options options = ETX_TX_OPTIONS_INIT;
    etx_branch branch = ETX_BRANCH_INIT;
    etx_tx *tx = NULL;
    options.gid = gid;
    branch.participant = "good";
    branch.name = "one";
    unsigned forwards = shop->good.forwards;
    rig_must(shop->engine, etx_tx_begin(shop->engine, &options, &tx), "begin");
    rig_must(shop->engine, etx_tx_enlist(tx, &branch), "enlist");
    assert_true(host_wait_for(&shop->good.forwards, forwards + 1));
    return tx;
}

/* What the log says of results. */
struct told {
    unsigned results;
    uint64_t slot, begin; /* of the newest result, of the newest begin */
    uint8_t operation, reply;
    size_t len;
};

static void note(const etx_slot *slot, const etx_record *record, void *user) {
    struct told *told = user;
    if (record->type == ETX_RECORD_BEGIN) {
        told->begin = slot->slot;
    } else if (record->type == ETX_RECORD_RESULT) {
        told->results++;
        told->slot = slot->slot;
        told->operation = record->u.result.operation;
        told->reply = record->u.result.reply;
        told->len = record->u.result.bytes.len;
    }
}

static struct told told_by(struct shop *shop) {
    struct told told = {0};
    rig_log_records(&shop->log, 0, 0, note, &told);
    return told;
}

static struct told wait_for_results(struct shop *shop, unsigned count) {
    struct told told = told_by(shop);
    for (uint64_t begin = host_now_ms(); told.results < count; told = told_by(shop)) {
        assert_true(host_now_ms() < begin + 60000);
        usleep(1000);
    }
    return told;
}

/* Nothing else is put, and nobody asks: the answer is in the log all the same, and a start after a
 * crash does not call again. */
static void an_answer_is_written_though_nothing_else_is(void **state) {
    enum { MANY = 8 };
    struct shop shop;
    (void)state;
    shop_make(&shop, SOON_MS);
    for (unsigned n = 1; n <= MANY; n++) {
        char gid[16];
        snprintf(gid, sizeof gid, "waits-%u", n);
        etx_tx_discard(begin_answered(&shop, gid));
        struct told told = wait_for_results(&shop, n);
        assert_int_equal(told.results, n);
        assert_int_equal(told.operation, ETX_FORWARD);
        assert_int_equal(told.reply, ETX_DONE);
        assert_int_equal(told.len, 4);
    }
    rig_close(shop.engine, ETX_CLOSE_ABRUPT);
    shop_open(&shop, SOON_MS);
    etx_tx *tx = NULL;
    etx_outcome outcome = ETX_OUTCOME_INIT;
    rig_must(shop.engine, etx_tx_attach(shop.engine, "waits-2", 0, &tx), "attach");
    rig_must(shop.engine, etx_tx_commit(tx, &outcome), "commit");
    assert_int_equal(outcome.state, ETX_COMMITTED);
    assert_int_equal(shop.good.forwards, MANY);
    shop_end(&shop);
}

/* Of a transaction that cannot end because another branch is not done. */
static void so_is_one_of_a_finishing_operation(void **state) {
    struct shop shop;
    (void)state;
    shop_make(&shop, SOON_MS);
    shop.bad.finish_reply = ETX_RETRY;
    etx_tx *tx = NULL;
    rig_must(shop.engine, etx_tx_new(shop.engine, NULL, &tx), "new");
    rig_must(shop.engine, etx_tx_add(tx, "good", NULL, 0), "add");
    rig_must(shop.engine, etx_tx_add(tx, "bad", NULL, 0), "add");
    rig_must(shop.engine, etx_tx_submit(tx, NULL, NULL), "submit");
    struct told told = {0};
    for (uint64_t begin = host_now_ms(); told.operation != ETX_COMMIT; told = told_by(&shop)) {
        assert_true(host_now_ms() < begin + 60000);
        usleep(1000);
    }
    assert_int_equal(told.reply, ETX_DONE);
    shop_end(&shop);
}

/* The next put takes it along: it costs none of its own. */
static void it_rides_along(void **state) {
    struct shop shop;
    (void)state;
    shop_make(&shop, NEVER_MS);
    unsigned puts = shop.log.puts;
    etx_tx_discard(begin_answered(&shop, "first"));
    usleep(20000); /* what is put at once has been put by then, as a rule */
    assert_int_equal(shop.log.puts, puts + 2); /* its begin, its branch */
    etx_tx_options options = ETX_TX_OPTIONS_INIT;
    etx_tx *tx = NULL;
    rig_must(shop.engine, etx_tx_begin(shop.engine, &options, &tx), "begin");
    etx_tx_discard(tx);
    assert_int_equal(shop.log.puts, puts + 3);
    struct told told = told_by(&shop);
    assert_int_equal(told.results, 1);
    assert_int_equal(told.slot, told.begin);
    shop_end(&shop);
}

/* A lone caller's transaction costs two puts: no answer of it is a record, and its end rides along
 * with the next one's begin. */
static void a_lone_transaction_costs_two_puts(void **state) {
    enum { COUNT = 50 };
    struct shop shop;
    (void)state;
    shop_make(&shop, NEVER_MS);
    unsigned puts = shop.log.puts;
    for (int i = 0; i < COUNT; i++) {
        etx_outcome outcome = ETX_OUTCOME_INIT;
        rig_must(shop.engine, host_run(shop.engine, "bad", &outcome), "run");
        assert_int_equal(outcome.state, ETX_COMMITTED);
    }
    assert_int_equal(shop.log.puts, puts + 2 * COUNT);
    assert_int_equal(told_by(&shop).results, 0);
    shop_end(&shop);
}

/* Group commit: who comes while a put is out waits for the next one, all of them for the same. */
static void who_comes_during_a_put_shares_the_next(void **state) {
    enum { MANY = 60 };
    static rig_done done;
    struct shop shop;
    (void)state;
    memset(&done, 0, sizeof done);
    shop_make(&shop, NEVER_MS);
    rig_log_fail(&shop.log, RIG_HANGS, 1);
    for (unsigned i = 0; i <= MANY; i++) {
        etx_tx *tx = NULL;
        rig_must(shop.engine, etx_tx_new(shop.engine, NULL, &tx), "new");
        rig_must(shop.engine, etx_tx_add(tx, "bad", NULL, 0), "add");
        rig_must(shop.engine, etx_tx_submit(tx, rig_done_fn, &done), "submit");
        assert_true(host_wait_for(&shop.log.hanging, 1)); /* with the first one alone */
    }
    unsigned puts = shop.log.puts;
    assert_true(rig_flying(shop.engine, MANY + 1));
    assert_int_equal(shop.log.puts, puts);
    assert_int_equal(shop.bad.forwards, 0);
    sem_post(&shop.log.gate);
    assert_true(host_wait_for(&done.count, MANY + 1));
    /* all begin, then all are decided, the first one perhaps sooner */
    assert_in_range(shop.log.puts, puts + 2, puts + 3);
    shop_end(&shop);
}

/* Nobody comes any more: it is put now. */
static void a_close_writes_it(void **state) {
    struct shop shop;
    (void)state;
    shop_make(&shop, NEVER_MS);
    etx_tx_discard(begin_answered(&shop, "left"));
    rig_close(shop.engine, ETX_CLOSE_LEAVE);
    assert_int_equal(told_by(&shop).results, 1);
    assert_int_equal(shop.log.clean, 1);
    shop_open(&shop, NEVER_MS);
    shop_end(&shop);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_answer_is_written_though_nothing_else_is),
        cmocka_unit_test(so_is_one_of_a_finishing_operation),
        cmocka_unit_test(it_rides_along),
        cmocka_unit_test(a_lone_transaction_costs_two_puts),
        cmocka_unit_test(who_comes_during_a_put_shares_the_next),
        cmocka_unit_test(a_close_writes_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
