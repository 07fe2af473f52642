/* Back from the log: what a put that was not written held, and a home that is well again. */
#include "rig.h"

struct shop {
    rig_log log, second;
    rig_bank bank;
    host_bank slow; /* its forward calls wait at a gate, on a worker */
    etx_engine *engine;
    unsigned runs; /* that ended */
};

static void shop_start(struct shop *shop, uint32_t hold_down_ms, const char *second) {
    etx_options options = rig_options();
    options.hold_down_ms = hold_down_ms;
    shop->engine = rig_engine(&options, shop->log.url, second);
    rig_bank_register(&shop->bank, shop->engine, "bank", ETX_TCC, ETX_INLINE);
    etx_participant participant = host_participant("slow", ETX_TCC, 0, &shop->slow);
    rig_must(shop->engine, etx_engine_register(shop->engine, &participant), "register");
    rig_start(shop->engine);
}

static void shop_make(struct shop *shop) {
    shop->runs = 0;
    rig_log_make(&shop->log, NULL, "partitions=1");
    rig_log_make(&shop->second, NULL, "partitions=1");
    rig_bank_make(&shop->bank, 1000);
    host_bank_make(&shop->slow);
    shop->slow.gated = true;
}

static void shop_end(struct shop *shop) {
    rig_close(shop->engine, ETX_CLOSE_FINISH);
    rig_bank_end(&shop->bank);
    rig_log_end(&shop->log);
    rig_log_end(&shop->second);
}

static etx_home_status home_of(struct shop *shop, uint8_t usable) {
    etx_home_status home = {.size = sizeof home};
    for (uint64_t until = host_now_ms() + 60000;;) {
        rig_must(shop->engine, etx_engine_home_status(shop->engine, 0, &home), "home");
        if (home.usable == usable) {
            return home;
        }
        assert_true(host_now_ms() < until);
        usleep(1000);
    }
}

/* Since when a home is as it is, and why it cannot be used, as long as it cannot. */
static void since_when_and_why_is_told(void **state) {
    struct shop shop;
    etx_outcome outcome = ETX_OUTCOME_INIT;
    (void)state;
    shop_make(&shop);
    shop_start(&shop, 0, shop.second.url);
    etx_home_status at_first = home_of(&shop, 1);
    assert_string_equal(at_first.why, "");
    usleep(2000); /* by the clock that is told, it is later */
    rig_log_fail(&shop.log, RIG_NOT_WRITTEN, -1);
    rig_must(shop.engine, etx_tx_run(rig_pair(shop.engine, "bank", NULL, 'D'), &outcome), "run");
    etx_home_status away = home_of(&shop, 0);
    assert_true(away.since_ms > at_first.since_ms);
    assert_string_not_equal(away.why, "");
    usleep(2000);
    rig_log_fail(&shop.log, RIG_WELL, 0);
    etx_home_status again = home_of(&shop, 1);
    assert_true(again.since_ms > away.since_ms);
    assert_string_equal(again.why, "");
    shop_end(&shop);
}

typedef struct seen {
    unsigned begun, decided, other;
    int wrong;
} seen;

static void note(const etx_slot *slot, const etx_record *record, void *user) {
    seen *s = user;
    (void)slot;
    if (record->gid.len == 6 && memcmp(record->gid.data, "slow-1", 6) == 0) {
        s->begun += record->type == ETX_RECORD_BEGIN;
        s->decided += record->type == ETX_RECORD_DECIDE;
        s->wrong |= record->type == ETX_RECORD_END && s->decided == 0;
    } else if (record->gid.len == 7 && memcmp(record->gid.data, "slow-10", 7) == 0) {
        s->other++;
    }
}

static int count_one(const etx_status *status, void *user) {
    (void)status;
    ++*(unsigned *)user;
    return 0;
}

/* Waits until the decision stands in the batch that forms: what is not durable is not listed. What
 * was submitted before stands there too, since the question stood behind it. */
static void await_decision(struct shop *shop) {
    uint64_t end = host_now_ms() + 60000;
    unsigned listed;
    do {
        etx_filter filter = ETX_FILTER_INIT;
        etx_cursor cursor = {{0, 0}};
        filter.gid_prefix = "slow-1";
        listed = 0;
        rig_must(shop->engine, etx_list(shop->engine, &filter, &cursor, 10, count_one, &listed),
                 "list");
        assert_true(host_now_ms() < end);
    } while (listed > 0);
}

/* A batch with a decision and a begin is not written: the begin is given up and its caller told,
 * the decision goes into the next, and is in the log before anything follows from it. Although its
 * gid is how the other one begins. */
static void what_is_given_back_keeps_the_rest(void **state) {
    struct shop shop;
    rig_done first = {0}, given_up = {0};
    seen s = {0};
    (void)state;
    shop_make(&shop);
    shop_start(&shop, 200, NULL);
    rig_submit_slow(shop.engine, &shop.slow);
    rig_log_fail(&shop.log, RIG_HANGS, 1);
    rig_must(shop.engine,
             etx_tx_submit(rig_pair(shop.engine, "bank", "first", 'D'), rig_done_fn, &first),
             "submit");
    assert_true(host_wait_for(&shop.log.hanging, 1));
    sem_post(&shop.slow.gate);
    assert_true(host_wait_for(&shop.slow.returned, 1));
    rig_must(shop.engine,
             etx_tx_submit(rig_pair(shop.engine, "bank", "slow-10", 'D'), rig_done_fn, &given_up),
             "submit");
    await_decision(&shop);
    rig_log_fail(&shop.log, RIG_NOT_WRITTEN, 1);
    sem_post(&shop.log.gate);
    assert_true(host_wait_for(&given_up.count, 1));
    assert_int_equal(given_up.rc, ETX_EUNAVAILABLE);
    assert_true(rig_reaches(shop.engine, "slow-1", ETX_COMMITTED, 0));
    assert_int_equal(shop.slow.commits, 1);
    assert_true(host_wait_for(&first.count, 1));
    rig_close(shop.engine, ETX_CLOSE_FINISH);
    rig_log_records(&shop.log, 0, 0, note, &s);
    assert_int_equal(s.begun, 1);
    assert_int_equal(s.decided, 1);
    assert_int_equal(s.wrong, 0);
    assert_int_equal(s.other, 0);
    assert_int_equal(rig_bank_effect(&shop.bank, "slow-10"), 0);
    shop_start(&shop, 200, NULL);
    assert_int_equal(rig_state(shop.engine, "slow-1"), ETX_COMMITTED);
    shop_end(&shop);
}

static void *park(void *user) {
    struct shop *shop = user;
    rig_check(etx_park(shop->engine, "slow-1", "ann", "a reason") == 0);
    return NULL;
}

static void *resume(void *user) {
    struct shop *shop = user;
    rig_check(etx_resume(shop->engine, "slow-1", "ann", "a reason") == 0);
    return NULL;
}

/* 1: parked; 2: and resumed behind it; -1: the other way round. */
static void note_order(const etx_slot *slot, const etx_record *record, void *user) {
    int *order = user;
    (void)slot;
    if (record->type == ETX_RECORD_FORCE) {
        *order = record->u.force.action == ETX_FORCE_PARK && *order == 0 ? 1 : *order == 1 ? 2 : -1;
    }
}

/* Parked in a batch that is not written, resumed in the one behind it: in the log, in this order.
 */
static void what_is_given_back_keeps_its_order(void **state) {
    struct shop shop;
    pthread_t thread[2];
    (void)state;
    shop_make(&shop);
    shop_start(&shop, 200, NULL);
    rig_submit_slow(shop.engine, &shop.slow);
    rig_log_fail(&shop.log, RIG_HANGS_UNWRITTEN, 1);
    assert_int_equal(pthread_create(&thread[0], NULL, park, &shop), 0);
    assert_true(host_wait_for(&shop.log.hanging, 1));
    assert_int_equal(pthread_create(&thread[1], NULL, resume, &shop), 0);
    usleep(100000); /* it stands in the batch that forms; later, and it is behind all the same */
    sem_post(&shop.log.gate);
    pthread_join(thread[0], NULL);
    pthread_join(thread[1], NULL);
    rig_log_fail(&shop.log, RIG_WELL, 0);
    sem_post(&shop.slow.gate);
    assert_true(host_wait_for(&shop.slow.returned, 1));
    rig_close(shop.engine, ETX_CLOSE_ABRUPT);
    int order = 0;
    rig_log_records(&shop.log, 0, 0, note_order, &order);
    assert_int_equal(order, 2);
    shop.slow.gated = false;
    shop_start(&shop, 200, NULL);
    assert_true(rig_reaches(shop.engine, "slow-1", ETX_COMMITTED, 0));
    shop_end(&shop);
}

/* ---- homes */

static etx_home_status status_of(etx_engine *engine, unsigned place) {
    etx_home_status status = {.size = sizeof status};
    assert_int_equal(etx_engine_home_status(engine, place, &status), 0);
    return status;
}

static void run_at(struct shop *shop, unsigned place) {
    etx_outcome outcome = ETX_OUTCOME_INIT;
    rig_must(shop->engine, etx_tx_run(rig_pair(shop->engine, "bank", NULL, 'D'), &outcome), "run");
    assert_int_equal(outcome.state, ETX_COMMITTED);
    assert_non_null(strstr(outcome.gid, status_of(shop->engine, place).id));
    assert_true(rig_written(shop->engine, ++shop->runs));
}

/* Well again, it is held for a while before new transactions go there: nobody flaps. */
static void a_home_is_held_before_it_is_used_again(void **state) {
    struct shop shop;
    (void)state;
    shop_make(&shop);
    shop_start(&shop, 60000, shop.second.url);
    run_at(&shop, 0);
    rig_log_fail(&shop.log, RIG_BROKEN, 1);
    etx_outcome outcome = ETX_OUTCOME_INIT;
    assert_int_equal(etx_tx_run(rig_pair(shop.engine, "bank", NULL, 'D'), &outcome), ETX_EUNKNOWN);
    assert_true(host_wait_for(&shop.log.reopened, 1));
    etx_status status = {.size = sizeof status};
    while (etx_query(shop.engine, outcome.gid, &status) == ETX_EUNKNOWN) {
        usleep(1000);
    }
    usleep(50000); /* it is open again, and known to be */
    for (int i = 0; i < 5; i++) {
        run_at(&shop, 1);
    }
    shop_end(&shop);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(since_when_and_why_is_told),
        cmocka_unit_test(what_is_given_back_keeps_the_rest),
        cmocka_unit_test(what_is_given_back_keeps_its_order),
        cmocka_unit_test(a_home_is_held_before_it_is_used_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
