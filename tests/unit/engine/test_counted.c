/* What is counted of each home: its puts, and what became of leases that were another's. */
#include "rig_cluster.h"

static etx_home_metrics of_home(etx_engine *engine, unsigned place) {
    etx_home_metrics metrics = {.size = sizeof metrics};
    rig_must(engine, etx_engine_home_metrics(engine, place, &metrics), "home metrics");
    return metrics;
}

static uint64_t all(const etx_histogram *histogram) {
    uint64_t count = 0;
    for (int i = 0; i < ETX_METRICS_BUCKETS; i++) {
        count += histogram->bucket[i];
    }
    return count;
}

/* How many it took until one was put there. */
static unsigned run_at(etx_engine *engine, unsigned place) {
    unsigned runs = 0;
    etx_outcome outcome = ETX_OUTCOME_INIT;
    uint64_t end = host_now_ms() + 60000;
    uint64_t before = of_home(engine, place).puts;
    do {
        rig_must(engine, etx_tx_run(rig_pair(engine, "bank", NULL, 'D'), &outcome), "run");
        assert_true(host_now_ms() < end);
        runs++;
    } while (of_home(engine, place).puts == before);
    return runs;
}

/* Two attempts fail in the first home: `unknown` of them may have been written all the same. */
static void two_fail(rig_fault fault, uint64_t unknown) {
    rig_log first, second;
    rig_bank bank;
    rig_log_make(&first, NULL, "partitions=1");
    rig_log_make(&second, NULL, "partitions=1");
    rig_bank_make(&bank, 10000);
    etx_engine *engine = rig_engine(NULL, first.url, second.url);
    rig_bank_register(&bank, engine, "bank", ETX_TCC, ETX_INLINE);
    rig_start(engine);
    unsigned runs = run_at(engine, 0);
    etx_home_metrics before = of_home(engine, 0);
    assert_int_equal(before.put_failures, 0);
    rig_log_fail(&first, fault, 2);
    rig_done waits[2] = {{0}};
    for (int i = 0; i < 2; i++) { /* what is not written is given back: each fails once then */
        rig_must(engine, etx_tx_submit(rig_pair(engine, "bank", NULL, 'D'), rig_done_fn, &waits[i]),
                 "submit");
        assert_true(host_wait_for(&first.faults, 1));
        uint64_t end = host_now_ms() + 60000;
        etx_home_status home = {.size = sizeof home};
        do {
            rig_must(engine, etx_engine_home_status(engine, 0, &home), "status");
            assert_true(host_now_ms() < end);
        } while (!home.usable);
    }
    assert_true(host_wait_for(&waits[0].count, 1) && host_wait_for(&waits[1].count, 1));
    runs += 2 + run_at(engine, 0);
    etx_metrics sums = {.size = sizeof sums};
    rig_must(engine, etx_engine_metrics(engine, &sums), "metrics");
    assert_int_equal(sums.begun, runs); /* what was given up was not begun there */
    etx_home_metrics m = of_home(engine, 0);
    assert_int_equal(m.put_failures, 2);
    assert_int_equal(m.put_unknown, unknown);
    assert_true(m.puts > before.puts);
    assert_int_equal(all(&m.put_us), m.puts);
    assert_int_equal(of_home(engine, 1).put_failures, 0);
    assert_int_equal(m.taken_over + m.handed_over, 0);
    rig_close(engine, ETX_CLOSE_FINISH);
    assert_int_equal(rig_bank_torn(&bank), 0);
    rig_bank_end(&bank);
    rig_log_end(&first);
    rig_log_end(&second);
}

static void unknown_puts_are_counted(void **state) {
    (void)state;
    two_fail(RIG_UNKNOWN, 2);
}

static void what_was_not_written_is_not_unknown(void **state) {
    (void)state;
    two_fail(RIG_NOT_WRITTEN, 0);
}

static void each_home_counts_its_own(void **state) {
    rig_log first, second;
    rig_bank bank;
    (void)state;
    rig_log_make(&first, NULL, "partitions=2");
    rig_log_make(&second, NULL, "partitions=2");
    rig_bank_make(&bank, 10000);
    etx_engine *engine = rig_engine(NULL, first.url, second.url);
    rig_bank_register(&bank, engine, "bank", ETX_TCC, ETX_INLINE);
    rig_start(engine);
    uint64_t idle = of_home(engine, 1).puts;
    run_at(engine, 0);
    etx_home_metrics one = of_home(engine, 0);
    etx_home_metrics two = of_home(engine, 1);
    etx_metrics both = {.size = sizeof both};
    rig_must(engine, etx_engine_metrics(engine, &both), "metrics");
    assert_int_equal(two.puts, idle);
    assert_true(one.puts > 0 && one.put_us.sum <= both.put_us.sum);
    assert_int_equal(one.put_failures + two.put_failures, both.put_failures);
    etx_home_metrics none = {.size = sizeof none};
    assert_int_equal(etx_engine_home_metrics(engine, 2, &none), ETX_ENOTFOUND);
    none.size = 0;
    assert_int_equal(etx_engine_home_metrics(engine, 0, &none), ETX_EINVALID);
    rig_close(engine, ETX_CLOSE_FINISH);
    rig_bank_end(&bank);
    rig_log_end(&first);
    rig_log_end(&second);
}

/* ---- leases */

/* Another node hands over one half, and so much later the rest. */
static void what_is_given_up_is_counted(void **state) {
    struct cluster cluster;
    (void)state;
    cluster_make(&cluster);
    etx_engine *one = cluster_node_start(&cluster, "one", "");
    assert_int_equal(of_home(one, 0).handed_over, 0); /* nobody had them */
    etx_engine *two = cluster_node_start(&cluster, "two", "");
    cluster_wait_for_halves(one, two);
    assert_int_equal(of_home(two, 0).handed_over, PARTITIONS / 2);
    rig_close(one, ETX_CLOSE_FINISH);
    cluster_wait_for(two, PARTITIONS);
    etx_home_metrics m = of_home(two, 0);
    assert_int_equal(m.handed_over, PARTITIONS);
    assert_int_equal(m.taken_over, 0);
    rig_close(two, ETX_CLOSE_FINISH);
    cluster_end(&cluster);
}

/* Another node had two of them, and is not heard of again. */
static void what_runs_out_is_counted(void **state) {
    struct cluster cluster;
    (void)state;
    cluster_make(&cluster);
    rig_lease_take(&cluster.log, 0, 3 * LEASE_MS);
    rig_lease_take(&cluster.log, 1, 3 * LEASE_MS);
    etx_engine *one = cluster_node_start(&cluster, "one", "");
    cluster_wait_for(one, PARTITIONS);
    etx_home_metrics m = of_home(one, 0);
    assert_int_equal(m.taken_over, 2);
    assert_int_equal(m.handed_over, 0);
    /* what it gives up itself, and takes again, was nobody else's meanwhile */
    rig_member_be(&cluster.log, "aaa", 600000);
    for (uint64_t begin = host_now_ms(); etx_engine_drain(one, 0, 1) != 0;) {
        assert_true(host_now_ms() < begin + 60000); /* until it knows of the other one */
        usleep(2000);
    }
    cluster_wait_for(one, 0);
    rig_member_be(&cluster.log, "aaa", 0);
    rig_must(one, etx_engine_drain(one, 0, 0), "undo");
    cluster_wait_for(one, PARTITIONS);
    m = of_home(one, 0);
    assert_int_equal(m.taken_over, 2);
    assert_int_equal(m.handed_over, 0);
    rig_close(one, ETX_CLOSE_FINISH);
    cluster_end(&cluster);
}

/* A lease is renewed long before it ends: its age goes up and falls back, and is never its time. */
static void the_age_of_a_lease_is_told(void **state) {
    struct cluster cluster;
    etx_partition_status status = {.size = sizeof status};
    uint64_t oldest = 0;
    uint64_t begin = host_now_ms();
    int renewed = 0;
    (void)state;
    cluster_make(&cluster);
    etx_engine *one = cluster_node_start(&cluster, "one", "");
    while (renewed < 3) {
        rig_must(one, etx_engine_partition_status(one, 0, 0, &status), "status");
        assert_int_equal(status.here, 1);
        assert_true(status.lease_age_ms + status.lease_left_ms <= LEASE_MS);
        renewed += status.lease_age_ms < oldest;
        oldest = status.lease_age_ms;
        assert_true(host_now_ms() < begin + 60000);
        usleep(5000);
    }
    rig_lease_take(&cluster.log, 0, 600000); /* from now on it is another's */
    do {
        rig_must(one, etx_engine_partition_status(one, 0, 0, &status), "status");
        assert_true(host_now_ms() < begin + 60000);
    } while (status.here);
    assert_int_equal(status.lease_age_ms, 0);
    rig_close(one, ETX_CLOSE_FINISH);
    cluster_end(&cluster);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(unknown_puts_are_counted),
        cmocka_unit_test(what_was_not_written_is_not_unknown),
        cmocka_unit_test(each_home_counts_its_own),
        cmocka_unit_test(what_is_given_up_is_counted),
        cmocka_unit_test(what_runs_out_is_counted),
        cmocka_unit_test(the_age_of_a_lease_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
