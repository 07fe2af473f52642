/* Crashes inside one process: an abrupt close under load, the log opened again, the audit. */
#include "rig.h"

struct client {
    pthread_t thread;
    etx_engine *engine;
    rig_bank *bank;
    unsigned number, round;
    unsigned committed, aborted, unknown;
    atomic_uint *answered;
};

/* Transfers until the engine closes. What it is told must be what was done. */
static void *client_body(void *argument) {
    static const char *const participants[] = {"quick", "bank", "step"};
    struct client *client = argument;
    for (unsigned i = 0;; i++) {
        char gid[48];
        snprintf(gid, sizeof gid, "r%u-c%u-%u", client->round, client->number, i);
        etx_tx *tx = NULL;
        etx_tx_options options = ETX_TX_OPTIONS_INIT;
        options.gid = i % 2 ? gid : NULL;
        if (etx_tx_new(client->engine, &options, &tx) != 0) {
            return NULL;
        }
        rig_order order;
        memset(&order, 0, sizeof order);
        order.branches = 2;
        for (int b = 0; b < 2; b++) {
            order.what = b == 1 && i % 5 == 0 ? 'R' : 'D';
            if (etx_tx_add(tx, participants[(i + client->number) % 3], &order, sizeof order)) {
                etx_tx_discard(tx);
                return NULL;
            }
        }
        etx_outcome outcome = ETX_OUTCOME_INIT;
        int rc = etx_tx_run(tx, &outcome);
        if (rc == ETX_ECLOSED) {
            return NULL;
        }
        if (rc == 0) {
            int effect = rig_bank_effect(client->bank, outcome.gid);
            rig_check((effect == 1) == (outcome.state == ETX_COMMITTED));
            client->committed += outcome.state == ETX_COMMITTED;
            client->aborted += outcome.state == ETX_ABORTED;
        } else if (rc == ETX_EUNAVAILABLE) { /* a disk that takes seconds: it was not begun */
            rig_check(rig_bank_effect(client->bank, outcome.gid) == 0);
            usleep(1000);
            continue;
        } else {
            rig_check(rc == ETX_EUNKNOWN);
            client->unknown++;
        }
        atomic_fetch_add(client->answered, 1);
    }
}

static etx_engine *bank_engine(const char *url, rig_bank *bank) {
    etx_options options = rig_options();
    options.durability = ETX_VOLATILE; /* wherever the tests' directory is */
    options.working_ms = 5;
    options.retry_first_ms = 1;
    options.retry_cap_ms = 5;
    etx_engine *engine = rig_engine(&options, url, NULL);
    rig_bank_register(bank, engine, "quick", ETX_TCC, ETX_INLINE);
    rig_bank_register(bank, engine, "bank", ETX_TCC, 0);
    rig_bank_register(bank, engine, "step", ETX_SAGA, 0);
    rig_start(engine);
    return engine;
}

static void crash_rounds(const char *url, etx_close_mode mode, unsigned rounds) {
    enum { CLIENTS = 4 };
    rig_bank bank;
    unsigned committed = 0, aborted = 0;
    rig_bank_make(&bank, 400000);
    atomic_store(&bank.chaos, 30);
    for (unsigned round = 0; round < rounds; round++) {
        struct client clients[CLIENTS];
        atomic_uint answered = 0;
        etx_engine *engine = bank_engine(url, &bank);
        for (unsigned i = 0; i < CLIENTS; i++) {
            clients[i] = (struct client){.engine = engine, .bank = &bank, .number = i};
            clients[i].round = round;
            clients[i].answered = &answered;
            assert_int_equal(pthread_create(&clients[i].thread, NULL, client_body, &clients[i]), 0);
        }
        assert_true(host_wait_for(&answered, 10 + round * 37 % 101));
        int rc = etx_engine_close(engine, mode, 60000);
        assert_true(rc == 0 || (rc == ETX_EBUSY && mode == ETX_CLOSE_ABRUPT));
        for (unsigned i = 0; i < CLIENTS; i++) {
            pthread_join(clients[i].thread, NULL);
            committed += clients[i].committed;
            aborted += clients[i].aborted;
        }
        etx_engine_free(engine);
    }
    atomic_store(&bank.chaos, 0);
    etx_engine *engine = bank_engine(url, &bank);
    assert_true(rig_quiet(engine));
    rig_close(engine, ETX_CLOSE_FINISH);
    assert_int_equal(rig_bank_torn(&bank), 0);
    assert_int_equal(bank.empty_commits, 0);
    assert_true(committed > rounds);
    assert_true(aborted > 0);
    rig_bank_end(&bank);
}

static void abrupt_on_files(void **state) {
    host_dir dir;
    (void)state;
    host_dir_make(&dir);
    crash_rounds(dir.url, ETX_CLOSE_ABRUPT, 25);
    host_dir_remove(&dir);
}

static void abrupt_in_memory(void **state) {
    rig_log log;
    (void)state;
    rig_log_make(&log, NULL, "partitions=3");
    crash_rounds(log.url, ETX_CLOSE_ABRUPT, 40);
    rig_log_end(&log);
}

static void left_on_files(void **state) {
    host_dir dir;
    (void)state;
    host_dir_make(&dir);
    crash_rounds(dir.url, ETX_CLOSE_LEAVE, 10);
    host_dir_remove(&dir);
}

static void finished_in_memory(void **state) {
    rig_log log;
    (void)state;
    rig_log_make(&log, NULL, "partitions=2");
    crash_rounds(log.url, ETX_CLOSE_FINISH, 10);
    rig_log_end(&log);
}

/* What was begun with a participant that is not there any more waits, and is seen. */
static void an_unregistered_participant_is_waited_for(void **state) {
    rig_log log;
    rig_bank bank;
    host_bank gated;
    (void)state;
    rig_log_make(&log, NULL, "partitions=2");
    rig_bank_make(&bank, 100);
    host_bank_make(&gated);
    etx_engine *engine = rig_engine(NULL, log.url, NULL);
    atomic_store(&gated.forward_reply, ETX_RETRY);
    etx_participant participant = host_participant("bank", ETX_TCC, ETX_INLINE, &gated);
    rig_must(engine, etx_engine_register(engine, &participant), "register");
    rig_start(engine);
    rig_done done = {0};
    assert_int_equal(etx_tx_submit(rig_pair(engine, "bank", "one", 'D'), rig_done_fn, &done), 0);
    assert_true(host_wait_for(&gated.forwards, 1));
    rig_close(engine, ETX_CLOSE_ABRUPT);
    assert_int_equal(done.count, 1);
    assert_int_equal(done.rc, ETX_ECLOSED);
    engine = rig_engine(NULL, log.url, NULL);
    rig_start(engine);
    assert_true(rig_reaches(engine, "one", ETX_ACTIVE, ETX_MARK_UNREGISTERED));
    etx_metrics metrics = {.size = sizeof metrics};
    assert_int_equal(etx_engine_metrics(engine, &metrics), 0);
    assert_int_equal(metrics.recovered, 1);
    rig_bank_register(&bank, engine, "bank", ETX_TCC, 0);
    assert_true(rig_reaches(engine, "one", ETX_COMMITTED, 0));
    assert_int_equal(rig_bank_effect(&bank, "one"), 1);
    rig_close(engine, ETX_CLOSE_FINISH);
    rig_bank_end(&bank);
    rig_log_end(&log);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(abrupt_in_memory),
        cmocka_unit_test(abrupt_on_files),
        cmocka_unit_test(left_on_files),
        cmocka_unit_test(finished_in_memory),
        cmocka_unit_test(an_unregistered_participant_is_waited_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
