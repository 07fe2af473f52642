/* Eight threads that do everything at once, for a few seconds; then the audit. */
#include "rig.h"

enum { THREADS = 8, SECONDS = 4 };

struct actor {
    pthread_t thread;
    etx_engine *engine;
    rig_bank *bank;
    rig_log *log;
    unsigned number;
    uint64_t end_ms;
    uint32_t seed;
    unsigned done;
    atomic_uint submitted, answered;
};

static uint32_t chance(struct actor *actor, uint32_t of) {
    actor->seed = actor->seed * 1664525 + 1013904223;
    return (actor->seed >> 8) % of;
}

static void answered(int rc, const etx_outcome *outcome, void *user) {
    struct actor *actor = user;
    rig_check(rc != 0 || outcome->gid[0] != 0);
    atomic_fetch_add(&actor->answered, 1);
}

static bool excused(int rc) {
    return rc == ETX_EUNKNOWN || rc == ETX_EUNAVAILABLE || rc == ETX_EFULL || rc == ETX_EBUSY ||
           rc == ETX_ENOMEM;
}

static void run_one(struct actor *actor, const char *gid) {
    static const char *const names[] = {"quick", "bank", "step", "xa"};
    etx_outcome outcome = ETX_OUTCOME_INIT;
    etx_tx *tx =
        rig_pair(actor->engine, names[chance(actor, 4)], gid, chance(actor, 6) ? 'D' : 'R');
    int rc = etx_tx_run(tx, &outcome);
    if (rc == 0) {
        int effect = rig_bank_effect(actor->bank, outcome.gid);
        rig_check((effect == 1) == (outcome.state == ETX_COMMITTED));
    } else {
        rig_check(excused(rc) || rc == ETX_ECONFLICT);
    }
}

static void talk_one(struct actor *actor, const char *gid) {
    etx_tx_options options = ETX_TX_OPTIONS_INIT;
    etx_tx *tx = NULL;
    rig_order order;
    memset(&order, 0, sizeof order);
    order.branches = 2;
    order.what = 'D';
    options.gid = gid;
    options.deadline_ms = chance(actor, 5) ? 5000 : 20;
    int rc = etx_tx_begin(actor->engine, &options, &tx);
    for (int i = 0; rc == 0 && i < 2; i++) {
        etx_branch branch = ETX_BRANCH_INIT;
        branch.participant = "bank";
        branch.name = i == 0 ? "a" : "b";
        branch.payload = &order;
        branch.payload_len = sizeof order;
        rc = etx_tx_enlist(tx, &branch);
    }
    if (tx == NULL) {
        rig_check(excused(rc));
        return;
    }
    etx_outcome outcome = ETX_OUTCOME_INIT;
    if (rc == 0 && chance(actor, 3)) {
        rc = etx_tx_commit(tx, &outcome);
    } else if (chance(actor, 3)) {
        rc = etx_tx_abort(tx, &outcome);
    } else {
        etx_tx_discard(tx); /* its deadline ends it */
    }
    rig_check(rc == 0 || excused(rc) || rc == ETX_ESTATE || rc == ETX_ENOTFOUND || rc == ETX_EGONE);
}

static int look(const etx_status *status, void *user) {
    (void)user;
    rig_check(status->gid[0] != 0);
    return 0;
}

static void operate_one(struct actor *actor, const char *gid) {
    etx_status status = {.size = sizeof status};
    etx_outcome outcome = ETX_OUTCOME_INIT;
    etx_filter filter = ETX_FILTER_INIT;
    etx_cursor cursor = {{0, 0}};
    etx_metrics metrics = {.size = sizeof metrics};
    int rc = 0;
    switch (chance(actor, 7)) {
        case 0:
            rc = etx_query(actor->engine, gid, &status);
            break;
        case 1:
            rc = etx_park(actor->engine, gid, "test", "stress");
            break;
        case 2:
            rc = etx_retry(actor->engine, gid);
            break;
        case 3:
            filter.participant = "bank";
            rc = etx_list(actor->engine, &filter, &cursor, 20, look, NULL);
            break;
        case 4:
            rc = etx_wait_for(actor->engine, gid, ETX_WAIT_DECIDED, 5, &outcome);
            break;
        case 5:
            rc = etx_engine_metrics(actor->engine, &metrics);
            break;
        default:
            rig_log_fail(actor->log, (rig_fault)chance(actor, 7), (int)chance(actor, 3));
            return;
    }
    if (rc == 0 && status.gid[0] == 0) {
        etx_resume(actor->engine, gid, "test", "stress");
    }
    rig_check(rc == 0 || excused(rc) || rc == ETX_ENOTFOUND || rc == ETX_ESTATE || rc == ETX_EGONE);
}

static void *actor_body(void *argument) {
    struct actor *actor = argument;
    for (unsigned i = 0; host_now_ms() < actor->end_ms; i++) {
        char gid[32];
        snprintf(gid, sizeof gid, "t%u-%u", actor->number, i - i % 4);
        uint32_t what = chance(actor, 10);
        if (what < 4) {
            run_one(actor, what < 2 ? NULL : gid);
        } else if (what < 6) {
            etx_tx *tx = rig_pair(actor->engine, what == 4 ? "quick" : "step", NULL, 'D');
            if (etx_tx_submit(tx, answered, actor) == 0) {
                atomic_fetch_add(&actor->submitted, 1);
            }
        } else if (what < 8) {
            char other[40];
            snprintf(other, sizeof other, "i-%s-%u", gid, i);
            talk_one(actor, other);
        } else {
            operate_one(actor, gid);
        }
        actor->done++;
    }
    return NULL;
}

static bool all_resumed(etx_engine *engine) {
    etx_filter filter = ETX_FILTER_INIT;
    uint64_t count = 0;
    filter.marks = ETX_MARK_PARKED;
    return etx_bulk_operate(engine, ETX_BULK_RESUME, &filter, 100000, "test", "the end", &count) ==
           0;
}

static void everything_at_once(void **state) {
    rig_log first, second;
    rig_bank bank;
    struct actor actors[THREADS];
    (void)state;
    rig_log_make(&first, NULL, "partitions=2");
    rig_log_make(&second, NULL, "partitions=1");
    rig_bank_make(&bank, 600000);
    atomic_store(&bank.chaos, 20);
    etx_options options = rig_options();
    options.retry_first_ms = 1;
    options.retry_cap_ms = 10;
    options.deadline_ms = 2000;
    options.patience_ms = 5000;
    options.hold_down_ms = 20;
    options.transactions_max = 100000;
    etx_engine *engine = rig_engine(&options, first.url, second.url);
    rig_bank_register(&bank, engine, "quick", ETX_TCC, ETX_INLINE);
    rig_bank_register(&bank, engine, "bank", ETX_TCC, 0);
    rig_bank_register(&bank, engine, "step", ETX_SAGA, 0);
    rig_bank_register(&bank, engine, "xa", ETX_XA, ETX_INLINE);
    rig_start(engine);
    memset(actors, 0, sizeof actors);
    for (unsigned i = 0; i < THREADS; i++) {
        actors[i].engine = engine;
        actors[i].bank = &bank;
        actors[i].log = &first;
        actors[i].number = i;
        actors[i].seed = i * 7919 + 1;
        actors[i].end_ms = host_now_ms() + SECONDS * 1000;
        assert_int_equal(pthread_create(&actors[i].thread, NULL, actor_body, &actors[i]), 0);
    }
    unsigned done = 0;
    for (unsigned i = 0; i < THREADS; i++) {
        pthread_join(actors[i].thread, NULL);
        done += actors[i].done;
    }
    rig_log_fail(&first, RIG_WELL, 0);
    atomic_store(&bank.chaos, 0);
    uint64_t end = host_now_ms() + 60000;
    while (!all_resumed(engine) && host_now_ms() < end) {
        usleep(10000);
    }
    assert_true(rig_quiet(engine));
    for (unsigned i = 0; i < THREADS; i++) {
        assert_true(host_wait_for(&actors[i].answered, actors[i].submitted));
        assert_int_equal(actors[i].answered, actors[i].submitted);
    }
    rig_close(engine, ETX_CLOSE_FINISH);
    assert_int_equal(rig_bank_torn(&bank), 0);
    assert_int_equal(bank.empty_commits, 0);
    assert_true(done > 100);
    rig_bank_end(&bank);
    rig_log_end(&first);
    rig_log_end(&second);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(everything_at_once)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
