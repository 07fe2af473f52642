/* A home that is away: who waits there hears of it, each one, and what goes elsewhere is what was
 * asked for. */
#include "rig.h"

struct shop {
    rig_log first, second;
    rig_bank bank;
    host_bank slow; /* its forward calls wait at a gate, on a worker */
    etx_engine *engine;
    atomic_uint begun; /* events of "mine" */
    atomic_uint up;    /* ... of homes that are well again */
};

static void note(const etx_event *event, void *user) {
    struct shop *shop = user;
    if (event->type == ETX_EVENT_HOME_UP) {
        atomic_fetch_add(&shop->up, 1);
    } else if (event->type == ETX_EVENT_BEGUN && strcmp(event->gid, "mine") == 0) {
        atomic_fetch_add(&shop->begun, 1);
    }
}

static void shop_make(struct shop *shop, uint32_t hold_down_ms, uint32_t flush_ms) {
    etx_options options = rig_options();
    etx_monitor monitor = ETX_MONITOR_INIT;
    memset(shop, 0, sizeof *shop);
    monitor.on_event = note;
    monitor.user = shop;
    monitor.events = 1u << ETX_EVENT_BEGUN | 1u << ETX_EVENT_HOME_UP;
    options.monitor = &monitor;
    options.hold_down_ms = hold_down_ms;
    options.flush_ms = flush_ms;
    rig_log_make(&shop->first, NULL, "partitions=1");
    rig_log_make(&shop->second, NULL, "partitions=1");
    rig_bank_make(&shop->bank, 1000);
    host_bank_make(&shop->slow);
    shop->slow.gated = true;
    shop->engine = rig_engine(&options, shop->first.url, shop->second.url);
    rig_bank_register(&shop->bank, shop->engine, "bank", ETX_TCC, ETX_INLINE);
    rig_bank_register(&shop->bank, shop->engine, "step", ETX_SAGA, ETX_INLINE);
    etx_participant slow = host_participant("slow", ETX_SAGA, 0, &shop->slow);
    etx_participant mail = host_participant("mail", ETX_MESSAGE, ETX_INLINE, &shop->slow);
    rig_must(shop->engine, etx_engine_register(shop->engine, &slow), "register");
    rig_must(shop->engine, etx_engine_register(shop->engine, &mail), "register");
    rig_start(shop->engine);
}

static void shop_end(struct shop *shop) {
    rig_log_fail(&shop->first, RIG_WELL, 0);
    rig_log_fail(&shop->second, RIG_WELL, 0);
    rig_close(shop->engine, ETX_CLOSE_FINISH);
    rig_bank_end(&shop->bank);
    rig_log_end(&shop->first);
    rig_log_end(&shop->second);
}

static void submit(struct shop *shop, const char *gid, rig_done *done) {
    rig_must(
        shop->engine,
        etx_tx_submit(rig_pair(shop->engine, "bank", gid, 'D'), done ? rig_done_fn : NULL, done),
        "submit");
}

static int none(const etx_status *status, void *user) {
    (void)status;
    (void)user;
    return 0;
}

/* Comes back once the engine's threads have taken up all that was said before. */
static void taken_up(struct shop *shop) {
    for (int i = 0; i < 2; i++) { /* the second behind what the first let go */
        etx_filter filter = ETX_FILTER_INIT;
        etx_cursor cursor = {{0, 0}};
        filter.gid_prefix = "nobody";
        rig_must(shop->engine, etx_list(shop->engine, &filter, &cursor, 1, none, NULL), "list");
    }
}

static bool lives_at(struct shop *shop, const char *gid, unsigned place) {
    etx_home_status status = {.size = sizeof status};
    assert_int_equal(etx_engine_home_status(shop->engine, place, &status), 0);
    return strstr(gid, status.id) != NULL;
}

/* A put hangs: what is said now waits behind it, in the batch that forms. */
static void hang(struct shop *shop, rig_fault fault) {
    rig_log_fail(&shop->first, fault, 1);
    submit(shop, NULL, NULL);
    assert_true(host_wait_for(&shop->first.hanging, 1));
}

/* Two callers begin one chosen gid; its home cannot take it: both hear so, at once. */
static void each_who_waits_hears(void **state) {
    struct shop shop;
    rig_done one = {0}, other = {0};
    (void)state;
    shop_make(&shop, 200, 0);
    hang(&shop, RIG_HANGS_UNWRITTEN);
    submit(&shop, "mine", &one);
    submit(&shop, "mine", &other);
    taken_up(&shop);
    sem_post(&shop.first.gate);
    while (one.count + other.count == 0) {
        usleep(1000);
    }
    taken_up(&shop);
    assert_int_equal(one.count, 1);
    assert_int_equal(other.count, 1);
    assert_int_equal(one.rc, ETX_EUNAVAILABLE);
    assert_int_equal(other.rc, ETX_EUNAVAILABLE);
    shop_end(&shop);
}

/* ... also that nothing is lacking but space. */
static void each_who_waits_hears_of_space(void **state) {
    struct shop shop;
    rig_done one = {0}, other = {0};
    (void)state;
    shop_make(&shop, 200, 0);
    hang(&shop, RIG_HANGS);
    submit(&shop, "mine", &one);
    submit(&shop, "mine", &other);
    taken_up(&shop);
    rig_log_fail(&shop.first, RIG_FULL, 1);
    sem_post(&shop.first.gate);
    assert_true(host_wait_for(&one.count, 1));
    assert_true(host_wait_for(&other.count, 1));
    assert_int_equal(one.rc, ETX_EFULL);
    assert_int_equal(other.rc, ETX_EFULL);
    shop_end(&shop);
}

/* What was not sent yet goes with what was not written: nothing new waits for a home that is away,
 * and what its caller heard of as not begun is not begun later. */
static void what_is_queued_goes_too(void **state) {
    struct shop shop;
    rig_done chosen = {0}, other = {0};
    (void)state;
    shop_make(&shop, 200, 0);
    hang(&shop, RIG_HANGS_UNWRITTEN);
    submit(&shop, "mine", &chosen);
    submit(&shop, NULL, &other);
    taken_up(&shop);
    sem_post(&shop.first.gate);
    assert_true(host_wait_for(&chosen.count, 1));
    assert_int_equal(chosen.rc, ETX_EUNAVAILABLE);
    assert_true(host_wait_for(&other.count, 1));
    assert_int_equal(other.rc, 0);
    assert_true(lives_at(&shop, other.outcome.gid, 1));
    shop_end(&shop);
}

/* What was given up is never told as begun, when the rest of its batch is written. */
static void what_is_given_up_is_not_told(void **state) {
    struct shop shop;
    rig_done given_up = {0};
    (void)state;
    shop_make(&shop, 200, 0);
    rig_log_fail(&shop.first, RIG_NOT_WRITTEN, 1);
    submit(&shop, "mine", &given_up);
    assert_true(host_wait_for(&given_up.count, 1));
    assert_int_equal(given_up.rc, ETX_EUNAVAILABLE);
    assert_true(host_wait_for(&shop.up, 1)); /* it has put what was left */
    taken_up(&shop);
    assert_int_equal(shop.begun, 0);
    shop_end(&shop);
}

/* A question waits for a put of its own, and that is not written. What formed meanwhile, and nobody
 * waits for, is put for the question's sake. */
static void a_question_outlives_its_put(void **state) {
    struct shop shop;
    rig_done first = {0}, answer = {0};
    etx_tx *tx = NULL;
    etx_tx_options options = ETX_TX_OPTIONS_INIT;
    (void)state;
    shop_make(&shop, 200, 600000);
    atomic_store(&shop.slow.finish_reply, ETX_WORKING);
    options.gid = "sent";
    rig_must(shop.engine, etx_tx_new(shop.engine, &options, &tx), "new");
    rig_must(shop.engine, etx_tx_add(tx, "mail", "x", 1), "add");
    rig_must(shop.engine, etx_tx_submit(tx, NULL, NULL), "submit");
    assert_true(host_wait_for(&shop.slow.commits, 1));
    assert_true(rig_reaches(shop.engine, "sent", ETX_COMMITTING, 0));
    rig_log_fail(&shop.first, RIG_HANGS, 1);
    rig_must(shop.engine, etx_query_async(shop.engine, "unknown", rig_done_fn, &first), "query");
    assert_true(host_wait_for(&shop.first.hanging, 1));
    rig_must(shop.engine, etx_query_async(shop.engine, "unknown", rig_done_fn, &answer), "query");
    taken_up(&shop);
    rig_log_fail(&shop.first, RIG_HANGS_UNWRITTEN, 1);
    sem_post(&shop.first.gate);
    assert_true(host_wait_for(&shop.first.hanging, 2));
    atomic_store(&shop.slow.finish_reply, ETX_DONE); /* its END forms: nobody waits for that */
    int rc = etx_retry(shop.engine, "sent");
    assert_true(rc == 0 || rc == ETX_ESTATE); /* its pause was over by itself: it has ended */
    taken_up(&shop);
    sem_post(&shop.first.gate);
    for (int i = 0; i < 2000 && answer.count == 0; i++) {
        usleep(1000);
    }
    assert_int_equal(answer.count, 1);
    assert_int_equal(answer.rc, ETX_ENOTFOUND);
    shop_end(&shop);
}

/* Begun elsewhere it is what was asked for: step by step, and told when it is begun. */
static void elsewhere_it_is_the_same(void **state) {
    static const char *const before[] = {"a"};
    struct shop shop;
    rig_done done = {0};
    rig_order order = {1, 'D'};
    etx_tx *tx = NULL;
    etx_branch branch = ETX_BRANCH_INIT;
    etx_tx_options options = ETX_TX_OPTIONS_INIT;
    (void)state;
    shop_make(&shop, 200, 0);
    rig_log_fail(&shop.first, RIG_NOT_WRITTEN, -1);
    options.wait = ETX_WAIT_BEGUN;
    rig_must(shop.engine, etx_tx_new(shop.engine, &options, &tx), "new");
    branch.participant = "slow";
    branch.name = "a";
    rig_must(shop.engine, etx_tx_add_branch(tx, &branch), "add");
    branch.participant = "step";
    branch.name = "b";
    branch.payload = &order;
    branch.payload_len = sizeof order;
    branch.depends_on = before;
    branch.depends_on_count = 1;
    rig_must(shop.engine, etx_tx_add_branch(tx, &branch), "add");
    rig_must(shop.engine, etx_tx_submit(tx, rig_done_fn, &done), "submit");
    assert_true(host_wait_for(&shop.slow.blocked, 1));
    taken_up(&shop);
    assert_int_equal(shop.bank.calls, 0); /* the second step waits for the first */
    assert_int_equal(done.count, 1);      /* and who asked for the beginning for nothing more */
    assert_int_equal(done.rc, 0);
    assert_int_equal(done.outcome.state, ETX_ACTIVE);
    assert_true(lives_at(&shop, done.outcome.gid, 1));
    sem_post(&shop.slow.gate);
    assert_true(rig_reaches(shop.engine, done.outcome.gid, ETX_COMMITTED, 0));
    assert_int_equal(shop.bank.calls, 1);
    shop_end(&shop);
}

/* ---- which home */

static void run_at(struct shop *shop, unsigned place) {
    etx_outcome outcome = ETX_OUTCOME_INIT;
    rig_must(shop->engine, etx_tx_run(rig_pair(shop->engine, "bank", NULL, 'D'), &outcome), "run");
    assert_true(lives_at(shop, outcome.gid, place));
}

/* A full home whose log failed, and is well again, is full all the same. */
static void a_full_home_is_not_well(void **state) {
    struct shop shop;
    etx_home_status status = {.size = sizeof status};
    etx_tx *tx = NULL;
    etx_branch branch = ETX_BRANCH_INIT;
    etx_tx_options options = ETX_TX_OPTIONS_INIT;
    (void)state;
    shop_make(&shop, 1, 0);
    options.gid = "begun";
    rig_must(shop.engine, etx_tx_begin(shop.engine, &options, &tx), "begin");
    branch.participant = "bank";
    branch.flags = ETX_BY_INITIATOR;
    branch.name = "a";
    rig_must(shop.engine, etx_tx_enlist(tx, &branch), "enlist");
    branch.name = "b";
    rig_must(shop.engine, etx_tx_enlist(tx, &branch), "enlist");
    atomic_store(&shop.first.full, 1);
    rig_must(shop.engine, etx_tx_result(tx, "a", ETX_DONE, "", 0, NULL), "result");
    rig_log_fail(&shop.first, RIG_NOT_WRITTEN, 1);
    rig_must(shop.engine, etx_tx_result(tx, "b", ETX_DONE, "", 0, NULL), "result");
    taken_up(&shop);
    assert_int_equal(etx_engine_home_status(shop.engine, 0, &status), 0);
    assert_int_equal(status.usable, 0);
    assert_int_equal(shop.up, 0);
    run_at(&shop, 1);
    atomic_store(&shop.first.full, 0);
    rig_must(shop.engine, etx_tx_abort(tx, NULL), "abort");
    shop_end(&shop);
}

/* A store that answers nothing is not asked all the time: each attempt at the same put waits
 * longer than the one before. */
static void an_unknown_put_is_made_again_later(void **state) {
    struct shop shop;
    etx_outcome outcome = ETX_OUTCOME_INIT;
    (void)state;
    shop_make(&shop, 1, 0);
    rig_log_fail(&shop.first, RIG_UNKNOWN, 5);
    uint64_t began_ms = host_now_ms();
    rig_must(shop.engine, etx_tx_run(rig_pair(shop.engine, "bank", NULL, 'D'), &outcome), "run");
    assert_int_equal(shop.first.faults, 5);
    assert_true(host_now_ms() - began_ms >= 20 + 40 + 80 + 160 + 320);
    assert_int_equal(outcome.state, ETX_COMMITTED);
    shop_end(&shop);
}

/* None is well for long enough: then the first of the list, as ever. */
static void the_first_of_those_on_probation(void **state) {
    struct shop shop;
    etx_outcome outcome = ETX_OUTCOME_INIT;
    (void)state;
    shop_make(&shop, 600000, 0);
    rig_log_fail(&shop.first, RIG_NOT_WRITTEN, 1);
    rig_log_fail(&shop.second, RIG_NOT_WRITTEN, 1);
    assert_int_equal(etx_tx_run(rig_pair(shop.engine, "bank", NULL, 'D'), &outcome),
                     ETX_EUNAVAILABLE);
    assert_true(host_wait_for(&shop.up, 2));
    for (int i = 0; i < 3; i++) {
        run_at(&shop, 0);
    }
    shop_end(&shop);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_who_waits_hears),
        cmocka_unit_test(each_who_waits_hears_of_space),
        cmocka_unit_test(what_is_queued_goes_too),
        cmocka_unit_test(what_is_given_up_is_not_told),
        cmocka_unit_test(a_question_outlives_its_put),
        cmocka_unit_test(elsewhere_it_is_the_same),
        cmocka_unit_test(a_full_home_is_not_well),
        cmocka_unit_test(an_unknown_put_is_made_again_later),
        cmocka_unit_test(the_first_of_those_on_probation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
