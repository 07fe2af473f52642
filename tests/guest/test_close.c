/* Closing: in time whatever runs, blocked callers wake, calls afterwards say so, nothing that was
 * acknowledged is lost. */
#include "all_calls.h"

static void test_blocked_callers_wake(void **state) {
    (void)state;
    host_dir dir;
    host_bank bank;
    host_runner runner[3];
    host_dir_make(&dir);
    host_bank_make(&bank);
    atomic_store(&bank.finish_reply, ETX_WORKING);
    etx_engine *engine = host_engine(dir.url, NULL, &bank);
    for (int i = 0; i < 3; i++) {
        host_runner_start(&runner[i], engine, i == 0 ? "slow" : "stock");
    }
    assert_true(host_wait_for(&bank.commits, 3));
    uint64_t began = host_now_ms();
    assert_int_equal(etx_engine_close(engine, ETX_CLOSE_LEAVE, 20000), 0);
    for (int i = 0; i < 3; i++) {
        host_runner_join(&runner[i]);
        assert_int_equal(runner[i].rc, ETX_ECLOSED);
        assert_true(runner[i].done_ms - began < 20000);
    }
    etx_engine_free(engine);
    /* what was left goes on with the next start, and ends */
    atomic_store(&bank.finish_reply, ETX_DONE);
    engine = host_engine(dir.url, NULL, &bank);
    for (int i = 0; i < 3; i++) {
        etx_outcome outcome = ETX_OUTCOME_INIT;
        assert_int_equal(
            etx_wait_for(engine, runner[i].outcome.gid, ETX_WAIT_ENDED, 60000, &outcome), 0);
        assert_int_equal(outcome.state, ETX_COMMITTED);
    }
    host_engine_end(engine);
    host_dir_remove(&dir);
}

typedef struct waiter {
    etx_engine *engine;
    const char *gid;
    int rc;
} waiter;

static void *wait_thread(void *arg) {
    waiter *w = arg;
    etx_outcome outcome = ETX_OUTCOME_INIT;
    w->rc = etx_wait_for(w->engine, w->gid, ETX_WAIT_ENDED, 30000, &outcome);
    return NULL;
}

static void test_finish_gives_up_in_time(void **state) {
    (void)state;
    host_bank bank;
    etx_tx *tx = NULL;
    pthread_t thread;
    char gid[ETX_GID_MAX + 1];
    host_bank_make(&bank);
    atomic_store(&bank.forward_reply, ETX_LATER); /* and nobody completes it */
    etx_engine *engine = host_engine("memory:", NULL, &bank);
    assert_int_equal(etx_tx_new(engine, NULL, &tx), 0);
    assert_int_equal(etx_tx_add(tx, "slow", NULL, 0), 0);
    snprintf(gid, sizeof(gid), "%s", etx_tx_gid(tx));
    assert_int_equal(etx_tx_submit(tx, NULL, NULL), 0);
    assert_true(host_wait_for(&bank.forwards, 1));
    waiter w = {engine, gid, 1};
    assert_int_equal(pthread_create(&thread, NULL, wait_thread, &w), 0);
    usleep(50000);
    uint64_t began = host_now_ms();
    assert_int_equal(etx_engine_close(engine, ETX_CLOSE_FINISH, 300), 0);
    assert_true(host_now_ms() - began < 20000);
    assert_true(host_now_ms() - began >= 250);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(w.rc, ETX_ECLOSED);
    etx_engine_free(engine);
}

static void count_rc(int rc, const etx_outcome *outcome, void *user) {
    _Atomic int *seen = user;
    (void)outcome;
    atomic_store(seen, rc);
}

static void test_submitted_ones_are_answered_by_close(void **state) {
    (void)state;
    host_bank bank;
    etx_tx *tx = NULL;
    _Atomic int seen = 1;
    host_bank_make(&bank);
    atomic_store(&bank.finish_reply, ETX_WORKING);
    etx_engine *engine = host_engine("memory:", NULL, &bank);
    assert_int_equal(etx_tx_new(engine, NULL, &tx), 0);
    assert_int_equal(etx_tx_add(tx, "stock", NULL, 0), 0);
    assert_int_equal(etx_tx_submit(tx, count_rc, &seen), 0);
    assert_true(host_wait_for(&bank.commits, 1));
    assert_int_equal(etx_engine_close(engine, ETX_CLOSE_LEAVE, 20000), 0);
    assert_int_equal(atomic_load(&seen), ETX_ECLOSED);
    etx_engine_free(engine);
}

/* What is to be called before start says that it was started. */
static void test_calls_after_close(void **state) {
    (void)state;
    host_bank bank;
    all_calls all;
    etx_outcome outcome = ETX_OUTCOME_INIT;
    char message[64];
    host_bank_make(&bank);
    etx_engine *engine = host_engine("memory:", NULL, &bank);
    all_calls_make(&all, engine);
    assert_int_equal(etx_engine_close(engine, ETX_CLOSE_FINISH, 20000), 0);
    const char *wrong = all_calls_wrong(&all, ETX_ECLOSED, ETX_ESTATE);
    if (wrong != NULL) {
        fail_msg("%s says another thing after close", wrong);
    }
    assert_int_equal(host_run(engine, "stock", &outcome), ETX_ECLOSED);
    assert_int_equal(etx_engine_lend(engine, 0), 0); /* the promise ends, as it may at any time */
    assert_int_equal(etx_engine_close(engine, ETX_CLOSE_LEAVE, 10), ETX_ESTATE);
    etx_engine_message(engine, message, sizeof(message));
    etx_engine_free(engine);
    etx_engine_free(NULL);
}

/* A callback that does not return keeps neither close nor the log, and harms nothing when it
 * returns after all. */
static void test_a_callback_that_never_returns(void **state) {
    (void)state;
    host_dir dir;
    host_bank *bank = test_malloc(sizeof(*bank));
    host_bank second;
    host_runner runner;
    host_dir_make(&dir);
    host_bank_make(bank);
    host_bank_make(&second);
    bank->gated = true;
    etx_engine *engine = host_engine(dir.url, NULL, bank);
    host_runner_start(&runner, engine, "slow");
    assert_true(host_wait_for(&bank->blocked, 1));
    uint64_t began = host_now_ms();
    assert_int_equal(etx_engine_close(engine, ETX_CLOSE_LEAVE, 300), ETX_EBUSY);
    assert_true(host_now_ms() - began < 20000);
    host_runner_join(&runner);
    assert_int_equal(runner.rc, ETX_ECLOSED);
    etx_engine_free(engine);
    /* the log is closed all the same: the next engine takes it, and asks again */
    engine = host_engine(dir.url, NULL, &second);
    etx_outcome outcome = ETX_OUTCOME_INIT;
    assert_int_equal(etx_wait_for(engine, runner.outcome.gid, ETX_WAIT_ENDED, 60000, &outcome), 0);
    assert_int_equal(outcome.state, ETX_COMMITTED);
    assert_true(atomic_load(&second.forwards) >= 1);
    sem_post(&bank->gate);
    assert_true(host_wait_for(&bank->returned, 1));
    usleep(100000);
    host_engine_end(engine);
    host_dir_remove(&dir);
    test_free(bank);
}

static void count_unknown(const etx_event *event, void *user) {
    atomic_fetch_add((atomic_uint *)user, event->type == ETX_EVENT_CALL_UNKNOWN);
}

/* The log is free as soon as who had it has freed its engine: asked for up to a minute. */
static etx_engine *reopened(const host_dir *dir, host_bank *bank) {
    uint64_t until = host_now_ms() + 60000;
    int rc = ETX_EBUSY;
    while (rc == ETX_EBUSY && host_now_ms() < until) {
        etx_options options = host_options();
        etx_engine *probe = NULL;
        options.flags |= ETX_INSPECT;
        assert_int_equal(etx_engine_create(&options, &probe), 0);
        assert_int_equal(etx_engine_home(probe, dir->url), 0);
        rc = etx_engine_start(probe);
        etx_engine_free(probe);
        usleep(1000);
    }
    return host_engine(dir->url, NULL, bank);
}

enum { HANG_MS = 300 };

/* An inline one keeps its shard and the log, but not the close: gives how long that took. When it
 * returns after all, the engine that it was called by does nothing more, and the log is free. */
static uint64_t hang_inline(etx_close_mode mode, uint32_t flags) {
    host_dir dir;
    host_bank *bank = test_malloc(sizeof(*bank));
    host_bank second;
    host_runner runner;
    etx_options options = host_options();
    etx_monitor monitor = ETX_MONITOR_INIT;
    etx_outcome outcome = ETX_OUTCOME_INIT;
    etx_engine *other = NULL;
    atomic_uint told = 0;
    int early = (flags & ETX_NO_CALLER_DRIVES) != 0; /* the caller waits */
    host_dir_make(&dir);
    host_bank_make(bank);
    host_bank_make(&second);
    bank->gated = true;
    atomic_store(&bank->forward_reply, ETX_RETRY); /* of which the monitor is told at once */
    monitor.on_event = count_unknown;
    monitor.user = &told;
    options.monitor = &monitor;
    options.flags |= flags;
    options.patience_ms = 60000;
    etx_engine *engine = host_engine(dir.url, &options, bank);
    host_runner_start(&runner, engine, "stock");
    assert_true(host_wait_for(&bank->blocked, 1));
    uint64_t began = host_now_ms();
    host_says(engine, etx_engine_close(engine, mode, HANG_MS), ETX_EBUSY, "inline callbacks");
    uint64_t took = host_now_ms() - began;
    assert_true(took < 20000);
    if (early) { /* the close wakes who waits for what nobody will answer */
        host_runner_join(&runner);
        assert_true(runner.done_ms < began + 20000);
        etx_engine_free(engine);
    }
    assert_int_equal(etx_engine_create(&options, &other), 0);
    assert_int_equal(etx_engine_home(other, dir.url), 0);
    assert_int_equal(etx_engine_start(other), ETX_EBUSY);
    etx_engine_free(other);
    began = host_now_ms();
    sem_post(&bank->gate);
    if (!early) {
        host_runner_join(&runner);
        /* It may be back before: a close wakes those that wait. */
        assert_true(runner.done_ms < began + 20000);
        etx_engine_free(engine);
    }
    assert_true(host_wait_for(&bank->returned, 1));
    assert_string_equal(etx_error_name(runner.rc), "ETX_EUNKNOWN");
    engine = reopened(&dir, &second);
    assert_int_equal(atomic_load(&told), 0); /* nor is anybody else of the host called */
    assert_int_equal(etx_wait_for(engine, runner.outcome.gid, ETX_WAIT_ENDED, 60000, &outcome), 0);
    assert_int_equal(outcome.state, ETX_COMMITTED);
    assert_int_equal(atomic_load(&second.forwards), 1); /* what it answered is lost */
    assert_int_equal(atomic_load(&bank->commits), 0);
    host_engine_end(engine);
    host_dir_remove(&dir);
    test_free(bank);
    return took;
}

static void test_an_inline_callback_that_does_not_return(void **state) {
    (void)state;
    uint64_t least = hang_inline(ETX_CLOSE_LEAVE, ETX_NO_CALLER_DRIVES);
    uint64_t took = hang_inline(ETX_CLOSE_ABRUPT, 0);
    least = took < least ? took : least;
    took = hang_inline(ETX_CLOSE_FINISH, 0);
    least = took < least ? took : least;
    assert_in_range(least, HANG_MS, HANG_MS + 600); /* a slow machine is not that slow thrice */
}

static void test_abrupt_close_is_like_a_crash(void **state) {
    (void)state;
    host_dir dir;
    host_bank bank;
    etx_outcome outcome[20];
    host_dir_make(&dir);
    host_bank_make(&bank);
    etx_engine *engine = host_engine(dir.url, NULL, &bank);
    for (int i = 0; i < 20; i++) {
        outcome[i] = (etx_outcome)ETX_OUTCOME_INIT;
        atomic_store(&bank.forward_reply, i % 3 == 0 ? ETX_REFUSED : ETX_DONE);
        assert_int_equal(host_run(engine, i % 2 ? "stock" : "step", &outcome[i]), 0);
        assert_int_equal(outcome[i].state, i % 3 == 0 ? ETX_ABORTED : ETX_COMMITTED);
    }
    assert_int_equal(etx_engine_close(engine, ETX_CLOSE_ABRUPT, 20000), 0);
    etx_engine_free(engine);
    atomic_store(&bank.forward_reply, ETX_DONE);
    engine = host_engine(dir.url, NULL, &bank);
    for (int i = 0; i < 20; i++) {
        etx_status status = {.size = sizeof(status)};
        assert_int_equal(etx_wait_for(engine, outcome[i].gid, ETX_WAIT_ENDED, 60000, NULL), 0);
        assert_int_equal(etx_query(engine, outcome[i].gid, &status), 0);
        assert_int_equal(status.state, outcome[i].state);
    }
    host_engine_end(engine);
    host_dir_remove(&dir);
}

static void test_closing_and_freeing_what_never_started(void **state) {
    (void)state;
    etx_engine *engine = NULL;
    etx_options options = host_options();
    assert_int_equal(etx_engine_create(&options, &engine), 0);
    etx_engine_free(engine);
    assert_int_equal(etx_engine_create(&options, &engine), 0);
    assert_int_equal(etx_engine_home(engine, "memory:"), 0);
    etx_engine_free(engine);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_blocked_callers_wake),
        cmocka_unit_test(test_finish_gives_up_in_time),
        cmocka_unit_test(test_submitted_ones_are_answered_by_close),
        cmocka_unit_test(test_calls_after_close),
        cmocka_unit_test(test_a_callback_that_never_returns),
        cmocka_unit_test(test_an_inline_callback_that_does_not_return),
        cmocka_unit_test(test_abrupt_close_is_like_a_crash),
        cmocka_unit_test(test_closing_and_freeing_what_never_started),
    };
    alarm(120);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
