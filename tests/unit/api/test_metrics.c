/* The metrics snapshot: what was decided by kind, histograms that agree with the counters, the age
 * of the oldest, and the queue. */
#include "host.h"

#include <time.h>

static etx_metrics take(etx_engine *engine) {
    etx_metrics metrics = {.size = sizeof metrics};
    assert_int_equal(etx_engine_metrics(engine, &metrics), 0);
    return metrics;
}

static uint64_t all(const etx_histogram *histogram) {
    uint64_t count = 0;
    for (int i = 0; i < ETX_METRICS_BUCKETS; i++) {
        count += histogram->bucket[i];
    }
    return count;
}

static void run_two(etx_engine *engine, const char *first, const char *second) {
    etx_tx *tx = NULL;
    etx_outcome outcome = ETX_OUTCOME_INIT;
    assert_int_equal(etx_tx_new(engine, NULL, &tx), 0);
    assert_int_equal(etx_tx_add(tx, first, "", 0), 0);
    assert_int_equal(etx_tx_add(tx, second, "", 0), 0);
    assert_int_equal(etx_tx_run(tx, &outcome), 0);
}

static void test_kinds(void **state) {
    host_bank bank;
    host_bank_make(&bank);
    etx_engine *engine = host_engine("memory:", NULL, &bank);
    (void)state;
    run_two(engine, "stock", "stock");
    run_two(engine, "stock", "step");
    run_two(engine, "step", "step");
    atomic_store(&bank.forward_reply, ETX_REFUSED);
    run_two(engine, "step", "step");
    etx_metrics m = take(engine);
    assert_int_equal(m.kind_committed[ETX_TCC], 1);
    assert_int_equal(m.kind_committed[ETX_SAGA], 1);
    assert_int_equal(m.kind_committed[0], 1);
    assert_int_equal(m.kind_aborted[ETX_SAGA], 1);
    assert_int_equal(m.committed, 3);
    assert_int_equal(m.aborted, 1);
    host_engine_end(engine);
}

/* Enlisted one by one, and aborted when there is nothing to undo. */
static void test_kind_of_what_is_enlisted(void **state) {
    host_bank bank;
    etx_tx *tx = NULL;
    etx_tx_options options = ETX_TX_OPTIONS_INIT;
    etx_branch branch = ETX_BRANCH_INIT;
    etx_outcome outcome = ETX_OUTCOME_INIT;
    (void)state;
    host_bank_make(&bank);
    etx_engine *engine = host_engine("memory:", NULL, &bank);
    assert_int_equal(etx_tx_begin(engine, &options, &tx), 0);
    branch.participant = "stock";
    branch.name = "one";
    assert_int_equal(etx_tx_enlist(tx, &branch), 0);
    branch.name = "two";
    assert_int_equal(etx_tx_enlist(tx, &branch), 0);
    assert_int_equal(etx_tx_commit(tx, &outcome), 0);
    assert_int_equal(etx_tx_begin(engine, &options, &tx), 0);
    assert_int_equal(etx_tx_abort(tx, &outcome), 0);
    etx_metrics m = take(engine);
    assert_int_equal(m.kind_committed[ETX_TCC], 1);
    assert_int_equal(m.kind_aborted[0], 1);
    host_engine_end(engine);
}

static void test_histograms(void **state) {
    host_bank bank;
    etx_outcome outcome = ETX_OUTCOME_INIT;
    (void)state;
    host_bank_make(&bank);
    etx_engine *engine = host_engine("memory:", NULL, &bank);
    for (int i = 0; i < 20; i++) {
        assert_int_equal(host_run(engine, "stock", &outcome), 0);
    }
    etx_metrics m = take(engine);
    assert_int_equal(all(&m.decided_us), 20);
    assert_int_equal(all(&m.ended_us), 20);
    assert_true(m.ended_us.sum >= m.decided_us.sum);
    assert_true(m.puts > 0);
    assert_int_equal(all(&m.put_us), m.puts);
    assert_int_equal(all(&m.put_batch), m.puts);
    assert_int_equal(m.put_batch.sum, m.put_records);
    assert_int_equal(m.put_batch.bucket[0], 0); /* no batch is empty */
    host_engine_end(engine);
}

static void test_oldest_and_queue(void **state) {
    enum { A_WHILE_MS = 30 };
    host_bank bank;
    etx_tx *first = NULL;
    etx_tx *second = NULL;
    etx_tx_options options = ETX_TX_OPTIONS_INIT;
    etx_outcome outcome = ETX_OUTCOME_INIT;
    const struct timespec pause = {0, A_WHILE_MS * 1000000L};
    (void)state;
    host_bank_make(&bank);
    etx_engine *engine = host_engine("memory:", NULL, &bank);
    assert_int_equal(take(engine).oldest_age_ms, 0);
    assert_int_equal(etx_tx_begin(engine, &options, &first), 0);
    nanosleep(&pause, NULL);
    assert_true(take(engine).oldest_age_ms >= A_WHILE_MS);
    assert_int_equal(etx_tx_begin(engine, &options, &second), 0);
    assert_int_equal(take(engine).in_flight, 2);
    assert_int_equal(etx_tx_abort(first, &outcome), 0);
    assert_int_equal(etx_tx_abort(second, &outcome), 0);
    etx_metrics m = take(engine);
    for (uint64_t until = host_now_ms() + 60000; m.queue_depth > 0 && host_now_ms() < until;) {
        nanosleep(&pause, NULL);
        m = take(engine);
    }
    assert_int_equal(m.queue_depth, 0);
    assert_int_equal(m.in_flight, 0);
    assert_int_equal(m.oldest_age_ms, 0);
    host_engine_end(engine);
}

/* A thread that waits for nothing else puts by itself: to wake the log's own thread, and to be
 * woken by it, would cost a tenth of the put. How many of the puts of a lone caller who waits are
 * so made, in percent. */
static unsigned in_line(etx_engine *engine) {
    enum { SOME = 200 };
    etx_outcome outcome = ETX_OUTCOME_INIT;
    etx_metrics before = take(engine);
    for (int i = 0; i < SOME; i++) {
        assert_int_equal(host_run(engine, "stock", &outcome), 0);
    }
    etx_metrics after = take(engine);
    assert_true(after.puts - before.puts >= 2 * SOME); /* BEGIN, and DECIDE */
    assert_true(after.inline_puts - before.inline_puts <= after.puts - before.puts);
    return (unsigned)(100 * (after.inline_puts - before.inline_puts) / (after.puts - before.puts));
}

static void test_puts_in_line(void **state) {
    enum { MOST = 80 }; /* not while something else comes to the one partition */
    host_dir dir;
    host_bank bank;
    char url[HOST_PATH_MAX + 32];
    etx_options options = host_options();
    (void)state;
    host_dir_make(&dir);
    host_bank_make(&bank);
    snprintf(url, sizeof url, "%s?partitions=1", dir.url);
    options.shards = 1;
    for (int drives = 0; drives < 2; drives++) { /* the engine's thread, and the caller's own */
        options.flags = ETX_ALLOW_VOLATILE | (drives ? 0 : ETX_NO_CALLER_DRIVES);
        etx_engine *engine = host_engine(url, &options, &bank);
        assert_in_range(in_line(engine), MOST, 100);
        host_engine_end(engine);
    }
    host_dir_remove(&dir);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kinds),        cmocka_unit_test(test_kind_of_what_is_enlisted),
        cmocka_unit_test(test_histograms),   cmocka_unit_test(test_oldest_and_queue),
        cmocka_unit_test(test_puts_in_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
