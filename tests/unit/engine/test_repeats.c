/* Repeats: one gid, one outcome, across restarts, for as long as is promised. */
#include "rig.h"

struct shop {
    rig_log log;
    rig_bank bank;
    etx_options options;
    etx_engine *engine;
};

static void shop_open(struct shop *shop) {
    shop->engine = rig_engine(&shop->options, shop->log.url, NULL);
    rig_bank_register(&shop->bank, shop->engine, "bank", ETX_TCC, ETX_INLINE);
    rig_start(shop->engine);
}

static void shop_make(struct shop *shop) {
    rig_log_make(&shop->log, NULL, "partitions=1");
    rig_bank_make(&shop->bank, 20000);
    shop->options = rig_options();
}

static void shop_end(struct shop *shop) {
    rig_close(shop->engine, ETX_CLOSE_FINISH);
    rig_bank_end(&shop->bank);
    rig_log_end(&shop->log);
}

static int run(struct shop *shop, const char *gid, char what, etx_outcome *outcome) {
    *outcome = (etx_outcome)ETX_OUTCOME_INIT;
    return etx_tx_run(rig_pair(shop->engine, "bank", gid, what), outcome);
}

static void a_repeat_runs_nothing(void **state) {
    struct shop shop;
    etx_outcome outcome = ETX_OUTCOME_INIT;
    (void)state;
    shop_make(&shop);
    shop_open(&shop);
    rig_must(shop.engine, run(&shop, "good", 'D', &outcome), "run");
    assert_int_equal(outcome.state, ETX_COMMITTED);
    rig_must(shop.engine, run(&shop, "bad", 'R', &outcome), "run");
    assert_int_equal(outcome.state, ETX_ABORTED);
    assert_string_equal(outcome.reason, "no money");
    unsigned calls = shop.bank.calls;
    for (int restart = 0; restart < 3; restart++) {
        rig_must(shop.engine, run(&shop, "good", 'D', &outcome), "repeat");
        assert_int_equal(outcome.state, ETX_COMMITTED);
        assert_string_equal(outcome.gid, "good");
        assert_true(outcome.marks & ETX_MARK_CHOSEN);
        rig_must(shop.engine, run(&shop, "bad", 'R', &outcome), "repeat");
        assert_int_equal(outcome.state, ETX_ABORTED);
        assert_string_equal(outcome.reason, "no money");
        assert_int_equal(run(&shop, "good", 'R', &outcome), ETX_ECONFLICT);
        assert_int_equal(run(&shop, "bad", 'D', &outcome), ETX_ECONFLICT);
        assert_int_equal(shop.bank.calls, calls);
        rig_done done = {0};
        assert_int_equal(
            etx_tx_submit(rig_pair(shop.engine, "bank", "good", 'D'), rig_done_fn, &done), 0);
        assert_true(host_wait_for(&done.count, 1));
        assert_int_equal(done.rc, 0);
        assert_int_equal(done.outcome.state, ETX_COMMITTED);
        rig_close(shop.engine, restart % 2 ? ETX_CLOSE_ABRUPT : ETX_CLOSE_FINISH);
        shop_open(&shop);
    }
    assert_int_equal(shop.bank.calls, calls);
    shop_end(&shop);
}

/* A repeat while the first is under way gets the first one's outcome. */
static void a_repeat_under_way_waits(void **state) {
    struct shop shop;
    host_bank gated;
    (void)state;
    shop_make(&shop);
    host_bank_make(&gated);
    gated.gated = true;
    shop.engine = rig_engine(&shop.options, shop.log.url, NULL);
    etx_participant participant = host_participant("bank", ETX_TCC, 0, &gated);
    rig_must(shop.engine, etx_engine_register(shop.engine, &participant), "register");
    rig_start(shop.engine);
    rig_done first = {0}, second = {0}, other = {0};
    assert_int_equal(etx_tx_submit(rig_pair(shop.engine, "bank", "one", 'D'), rig_done_fn, &first),
                     0);
    assert_true(host_wait_for(&gated.blocked, 2));
    assert_int_equal(etx_tx_submit(rig_pair(shop.engine, "bank", "one", 'D'), rig_done_fn, &second),
                     0);
    assert_int_equal(etx_tx_submit(rig_pair(shop.engine, "bank", "one", 'R'), rig_done_fn, &other),
                     0);
    assert_true(host_wait_for(&other.count, 1));
    assert_int_equal(other.rc, ETX_ECONFLICT);
    assert_int_equal(second.count, 0);
    sem_post(&gated.gate);
    sem_post(&gated.gate);
    assert_true(host_wait_for(&first.count, 1));
    assert_true(host_wait_for(&second.count, 1));
    assert_int_equal(first.outcome.state, ETX_COMMITTED);
    assert_int_equal(second.outcome.state, ETX_COMMITTED);
    assert_int_equal(gated.forwards, 2);
    shop_end(&shop);
}

/* Whatever is asked about it: the same answer. */
static void all_say(const struct shop *shop, const char *gid, int wanted) {
    etx_branch branch = {
        .size = sizeof branch, .participant = "bank", .kind = ETX_TCC, .name = "late"};
    etx_outcome outcome = ETX_OUTCOME_INIT;
    etx_tx *tx;
    rig_must(shop->engine, etx_tx_attach(shop->engine, gid, 0, &tx), "attach");
    assert_int_equal(etx_tx_enlist(tx, &branch), wanted);
    assert_int_equal(etx_tx_result(tx, "late", ETX_DONE, NULL, 0, NULL), wanted);
    assert_int_equal(etx_tx_commit(tx, &outcome), wanted);
    assert_int_equal(etx_retry(shop->engine, gid), wanted);
    assert_int_equal(etx_park(shop->engine, gid, "ann", "why not"), wanted);
}

/* What is forgotten: chosen gids begin anew, those made by ETX are gone. */
static void the_window_is_small(void **state) {
    struct shop shop;
    etx_outcome outcome = ETX_OUTCOME_INIT;
    char made[ETX_GID_MAX + 1];
    (void)state;
    shop_make(&shop);
    shop.options.history_max = 8;
    shop_open(&shop);
    rig_must(shop.engine, run(&shop, "old", 'D', &outcome), "run");
    rig_must(shop.engine, run(&shop, NULL, 'D', &outcome), "run");
    snprintf(made, sizeof made, "%s", outcome.gid);
    etx_status status = {.size = sizeof status};
    rig_must(shop.engine, etx_query(shop.engine, made, &status), "query");
    assert_int_equal(status.state, ETX_COMMITTED);
    assert_true(status.marks & ETX_MARK_ENDED);
    rig_must(shop.engine, run(&shop, made, 'D', &outcome), "a repeat by its made gid");
    for (int i = 0; i < 40; i++) {
        rig_must(shop.engine, run(&shop, NULL, 'D', &outcome), "run");
    }
    assert_int_equal(etx_query(shop.engine, made, &status), ETX_EGONE);
    assert_int_equal(run(&shop, made, 'D', &outcome), ETX_EGONE);
    all_say(&shop, made, ETX_EGONE);
    assert_int_equal(etx_query(shop.engine, "old", &status), ETX_ENOTFOUND);
    all_say(&shop, "old", ETX_ENOTFOUND);
    assert_true(status.begin_ms > 0);
    unsigned calls = shop.bank.calls;
    rig_must(shop.engine, run(&shop, "old", 'D', &outcome), "anew");
    assert_true(shop.bank.calls > calls);
    rig_close(shop.engine, ETX_CLOSE_FINISH);
    shop_open(&shop);
    assert_int_equal(run(&shop, made, 'D', &outcome), ETX_EGONE);
    rig_must(shop.engine, etx_query(shop.engine, "old", &status), "query");
    shop_end(&shop);
}

static void strict_refuses_rather_than_forgets(void **state) {
    struct shop shop;
    etx_outcome outcome = ETX_OUTCOME_INIT;
    char gid[16];
    int rc = 0;
    (void)state;
    shop_make(&shop);
    shop.options.history_max = 8;
    shop.options.flags |= ETX_HISTORY_STRICT;
    shop_open(&shop);
    int i = 0;
    for (; i < 100 && rc == 0; i++) {
        snprintf(gid, sizeof gid, "gid-%d", i);
        rc = run(&shop, gid, 'D', &outcome);
    }
    assert_int_equal(rc, ETX_EBUSY);
    assert_non_null(strstr(outcome.reason, "history"));
    assert_non_null(strstr(outcome.reason, "ETX_HISTORY_STRICT"));
    assert_true(i >= 8);
    rig_must(shop.engine, run(&shop, "gid-0", 'D', &outcome), "a repeat is no new one");
    assert_int_equal(outcome.state, ETX_COMMITTED);
    shop_end(&shop);
}

static void what_never_was_is_told_apart(void **state) {
    struct shop shop;
    etx_outcome outcome = ETX_OUTCOME_INIT;
    (void)state;
    shop_make(&shop);
    shop_open(&shop);
    etx_tx *tx = NULL;
    etx_status status = {.size = sizeof status};
    assert_int_equal(etx_query(shop.engine, "never", &status), ETX_ENOTFOUND);
    rig_must(shop.engine, etx_tx_new(shop.engine, NULL, &tx), "new");
    char gid[ETX_GID_MAX + 1];
    snprintf(gid, sizeof gid, "%s", etx_tx_gid(tx));
    assert_int_equal(etx_query(shop.engine, gid, &status), ETX_EGONE);
    rig_must(shop.engine, etx_tx_add(tx, "bank", "x", 1), "add");
    outcome = (etx_outcome)ETX_OUTCOME_INIT;
    rig_must(shop.engine, etx_tx_run(tx, &outcome), "the first begin by its own handle");
    assert_string_equal(outcome.gid, gid);
    /* an abort of what nobody began is recorded, and refuses a late begin */
    rig_must(shop.engine, etx_tx_attach(shop.engine, "ghost", 0, &tx), "attach");
    rig_must(shop.engine, etx_tx_abort(tx, &outcome), "abort");
    assert_int_equal(outcome.state, ETX_ABORTED);
    assert_true(outcome.marks & ETX_MARK_NEVER_BEGUN);
    unsigned calls = shop.bank.calls;
    int rc = run(&shop, "ghost", 'D', &outcome);
    assert_true(rc == 0 ? outcome.state == ETX_ABORTED : rc == ETX_ESTATE || rc == ETX_ECONFLICT);
    assert_int_equal(shop.bank.calls, calls);
    shop_end(&shop);
}

/* The last N are known, though partitions do not get an equal share of them. */
static void uneven_partitions_keep_the_last_n(void **state) {
    enum { N = 100 };
    struct shop shop;
    etx_outcome outcome = ETX_OUTCOME_INIT;
    char gid[16];
    (void)state;
    shop_make(&shop);
    rig_log_end(&shop.log);
    rig_log_make(&shop.log, NULL, "partitions=2");
    shop.options.history_max = N;
    shop_open(&shop);
    for (int i = 0; i < N; i++) {
        snprintf(gid, sizeof gid, "t-%d", i);
        rig_must(shop.engine, run(&shop, gid, 'D', &outcome), "run");
    }
    assert_true(rig_written(shop.engine, N));
    for (int i = 0; i < N; i++) {
        snprintf(gid, sizeof gid, "t-%d", i);
        assert_int_equal(rig_state(shop.engine, gid), ETX_COMMITTED);
    }
    shop_end(&shop);
}

/* The same content, though its participant is registered otherwise each time; and other content is
 * a conflict each time. */
static void a_registration_that_changed(void **state) {
    static const uint32_t flags[] = {0, ETX_KEEPS_REFUSALS, ETX_KEEPS_REFUSALS | ETX_WANTS_RESULTS,
                                     0, ETX_WANTS_RESULTS,  0};
    struct shop shop;
    host_bank bank;
    etx_outcome outcome = ETX_OUTCOME_INIT;
    etx_branch branch = {.size = sizeof branch, .participant = "bank", .name = "a"};
    (void)state;
    shop_make(&shop);
    host_bank_make(&bank);
    for (int i = 0; i < 6; i++) {
        etx_tx *tx = NULL;
        etx_participant participant = host_participant("bank", ETX_TCC, ETX_INLINE, &bank);
        participant.branch_flags = flags[i];
        participant.forward = i < 5 ? participant.forward : NULL; /* then the initiator does it */
        shop.engine = rig_engine(&shop.options, shop.log.url, NULL);
        rig_must(shop.engine, etx_engine_register(shop.engine, &participant), "register");
        rig_start(shop.engine);
        rig_must(shop.engine, run(&shop, "run", 'D', &outcome), "run");
        assert_int_equal(outcome.state, ETX_COMMITTED);
        assert_int_equal(run(&shop, "run", 'R', &outcome), ETX_ECONFLICT);
        etx_tx_options options = ETX_TX_OPTIONS_INIT;
        options.gid = "begun";
        rig_must(shop.engine, etx_tx_begin(shop.engine, &options, &tx), "begin");
        branch.payload_len = 0;
        rig_must(shop.engine, etx_tx_enlist(tx, &branch), "enlist");
        branch.payload = "x";
        branch.payload_len = 1;
        assert_int_equal(etx_tx_enlist(tx, &branch), ETX_ECONFLICT);
        etx_tx_discard(tx);
        rig_close(shop.engine, ETX_CLOSE_ABRUPT);
    }
    assert_int_equal(bank.commits, 2);
    rig_bank_end(&shop.bank);
    rig_log_end(&shop.log);
}

/* One branch with that payload, of which `content` is content (NULL: all). 'i': enlisted, in what
 * has an initiator, which is given the same. */
static int say(struct shop *shop, char how, const char *payload, const char *content) {
    etx_outcome outcome = ETX_OUTCOME_INIT;
    etx_tx_options options = ETX_TX_OPTIONS_INIT;
    etx_branch branch = ETX_BRANCH_INIT;
    etx_tx *tx;
    branch.participant = "bank";
    branch.name = "a";
    branch.payload = payload;
    branch.payload_len = strlen(payload);
    branch.content = content;
    branch.content_len = content != NULL ? strlen(content) : 0;
    options.gid = how == 'i' ? "begun" : "run";
    options.deadline_ms = 60000;
    if (how != 'i') {
        rig_must(shop->engine, etx_tx_new(shop->engine, &options, &tx), "new");
        rig_must(shop->engine, etx_tx_add_branch(tx, &branch), "add");
        return etx_tx_run(tx, &outcome);
    }
    options.initiator = "shop";
    options.initiator_payload = payload;
    options.initiator_payload_len = branch.payload_len;
    options.initiator_content = content;
    options.initiator_content_len = branch.content_len;
    int rc = etx_tx_begin(shop->engine, &options, &tx);
    if (rc == 0) {
        rc = etx_tx_enlist(tx, &branch);
        etx_tx_discard(tx);
    }
    return rc;
}

static etx_reply ask_nobody(etx_call *call, void *user) {
    (void)call;
    (void)user;
    return ETX_REFUSED;
}

/* The shop of `say`: its bank, and who is asked about what it began. */
static void shop_open_asked(struct shop *shop) {
    etx_participant asked = ETX_PARTICIPANT_INIT;
    asked.name = "shop";
    asked.kind = ETX_TCC;
    asked.forward = asked.commit = asked.undo = asked.query = ask_nobody;
    shop->engine = rig_engine(&shop->options, shop->log.url, NULL);
    rig_bank_register(&shop->bank, shop->engine, "bank", ETX_TCC, ETX_INLINE);
    rig_must(shop->engine, etx_engine_register(shop->engine, &asked), "register");
    rig_start(shop->engine);
}

/* A repeat is known by the content, whatever else the payload holds; and by the payload where that
 * is all that is known, as where an earlier version began it. */
static void content_is_less_than_the_payload(void **state) {
    static const char ways[] = {'s', 'i'};
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct shop shop;
        shop_make(&shop);
        shop_open_asked(&shop);
        assert_int_equal(say(&shop, ways[i], "Dx1", "Dx"), 0);
        assert_int_equal(say(&shop, ways[i], "Dx2", "Dx"), 0);
        assert_int_equal(say(&shop, ways[i], "Dx", NULL), 0);
        assert_int_equal(say(&shop, ways[i], "Dx1", NULL), ETX_ECONFLICT);
        assert_int_equal(say(&shop, ways[i], "Dx1", "Dy"), ETX_ECONFLICT);
        assert_int_equal(say(&shop, ways[i], "Dx1", ""), ETX_ECONFLICT);
        rig_close(shop.engine, ETX_CLOSE_ABRUPT);
        rig_log_end(&shop.log);
        rig_log_make(&shop.log, NULL, "partitions=1");
        shop_open_asked(&shop);
        assert_int_equal(say(&shop, ways[i], "Dx1", NULL), 0);
        assert_int_equal(say(&shop, ways[i], "Dx1", "Dx"), 0);
        assert_int_equal(say(&shop, ways[i], "Dx2", "Dx"), ETX_ECONFLICT);
        rig_close(shop.engine, ETX_CLOSE_ABRUPT);
        rig_bank_end(&shop.bank);
        rig_log_end(&shop.log);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(content_is_less_than_the_payload),
        cmocka_unit_test(a_repeat_runs_nothing),
        cmocka_unit_test(a_repeat_under_way_waits),
        cmocka_unit_test(a_registration_that_changed),
        cmocka_unit_test(the_window_is_small),
        cmocka_unit_test(strict_refuses_rather_than_forgets),
        cmocka_unit_test(what_never_was_is_told_apart),
        cmocka_unit_test(uneven_partitions_keep_the_last_n),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
