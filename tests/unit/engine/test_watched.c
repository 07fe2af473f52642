/* What a node sees of its store while it runs: what that promises, what time it has, and that it is
 * not heard of any more. */
#include "rig_cluster.h"

static etx_home_status home_of(etx_engine *engine) {
    etx_home_status status = {.size = sizeof status};
    rig_must(engine, etx_engine_home_status(engine, 0, &status), "home");
    return status;
}

static int run_for(etx_engine *engine, etx_durability durability, etx_outcome *outcome) {
    etx_tx_options options = ETX_TX_OPTIONS_INIT;
    etx_tx *tx = NULL;
    options.durability = durability;
    *outcome = (etx_outcome)ETX_OUTCOME_INIT;
    rig_must(engine, etx_tx_new(engine, &options, &tx), "new");
    rig_must(engine, etx_tx_add(tx, "bank", "x", 1), "add");
    return etx_tx_run(tx, outcome);
}

/* Somebody changes the settings of the store, or it fails over to one that has others. */
static void a_promise_that_changes_is_told(void **state) {
    struct cluster cluster;
    etx_outcome outcome = ETX_OUTCOME_INIT;
    (void)state;
    cluster_make(&cluster);
    atomic_store(&cluster.log.grade, ETX_REPLICATED);
    etx_engine *one = cluster_node_start(&cluster, "one", "");
    assert_int_equal(home_of(one).grade, ETX_REPLICATED);
    rig_must(one, run_for(one, ETX_REPLICATED, &outcome), "run");
    assert_int_equal(outcome.durability, ETX_REPLICATED);
    atomic_store(&cluster.log.grade, ETX_LOCAL);
    assert_true(host_wait_for(&cluster.graded, 1));
    assert_int_equal(home_of(one).grade, ETX_LOCAL);
    assert_int_equal(run_for(one, ETX_REPLICATED, &outcome), ETX_EUNAVAILABLE);
    rig_must(one, run_for(one, ETX_LOCAL, &outcome), "run");
    assert_int_equal(outcome.durability, ETX_LOCAL);
    atomic_store(&cluster.log.grade, ETX_REPLICATED);
    assert_true(host_wait_for(&cluster.graded, 2));
    rig_must(one, run_for(one, ETX_REPLICATED, &outcome), "run");
    rig_close(one, ETX_CLOSE_FINISH);
    cluster_end(&cluster);
}

static int enlist_xa(etx_tx *tx, const char *name) {
    etx_branch branch = ETX_BRANCH_INIT;
    branch.participant = "xa";
    branch.name = name;
    return etx_tx_enlist(tx, &branch);
}

/* What is taken follows the promise of now, both ways: no matter what it was when the partition was
 * read. */
static void what_is_taken_follows_the_promise(void **state) {
    struct cluster cluster;
    etx_outcome outcome = ETX_OUTCOME_INIT;
    etx_tx_options options = ETX_TX_OPTIONS_INIT;
    etx_tx *tx = NULL;
    (void)state;
    cluster_make(&cluster);
    cluster.flags = ETX_ALLOW_VOLATILE;
    atomic_store(&cluster.log.grade, ETX_VOLATILE);
    etx_engine *one = cluster_node_start(&cluster, "one", "");
    rig_bank_register(&cluster.bank, one, "xa", ETX_XA, ETX_INLINE);
    options.durability = ETX_VOLATILE;
    options.gid = "mine";
    rig_must(one, etx_tx_begin(one, &options, &tx), "begin");
    host_says(one, enlist_xa(tx, "a"), ETX_EINVALID, "a volatile home refuses XA");
    assert_int_equal(cluster_run(one, "first", &outcome), ETX_EUNAVAILABLE);
    atomic_store(&cluster.log.grade, ETX_LOCAL);
    assert_true(host_wait_for(&cluster.graded, 1));
    rig_must(one, enlist_xa(tx, "b"), "enlist");
    rig_must(one, cluster_run(one, "second", &outcome), "run");
    atomic_store(&cluster.log.grade, ETX_VOLATILE);
    assert_true(host_wait_for(&cluster.graded, 2));
    host_says(one, enlist_xa(tx, "c"), ETX_EINVALID, "a volatile home refuses XA");
    rig_must(one, enlist_xa(tx, "b"), "enlist again");
    assert_int_equal(cluster_run(one, "third", &outcome), ETX_EUNAVAILABLE);
    rig_must(one, cluster_run(one, "second", &outcome), "run again");
    rig_must(one, etx_tx_abort(tx, &outcome), "abort");
    rig_close(one, ETX_CLOSE_FINISH);
    cluster_end(&cluster);
}

/* Told once, in words that stay until the clock is set. */
static void a_clock_that_is_hours_off_is_told(void **state) {
    struct cluster cluster;
    (void)state;
    cluster_make(&cluster);
    atomic_store(&cluster.log.clock_off_ms, -4 * 3600000);
    etx_engine *one = cluster_node_start(&cluster, "one", "");
    assert_true(host_wait_for(&cluster.clock_off, 1));
    assert_non_null(strstr(home_of(one).remark, " s ahead of the store's"));
    usleep(LEASE_MS * 1000); /* it has been looked at again by then */
    assert_int_equal(atomic_load(&cluster.clock_off), 1);
    atomic_store(&cluster.log.clock_off_ms, 0);
    for (uint64_t until = host_now_ms() + 60000; strstr(home_of(one).remark, "clock") != NULL;) {
        assert_true(host_now_ms() < until);
        usleep(2000);
    }
    atomic_store(&cluster.log.clock_off_ms, 60000);
    assert_true(host_wait_for(&cluster.clock_off, 2));
    assert_non_null(strstr(home_of(one).remark, " s behind the store's"));
    rig_close(one, ETX_CLOSE_FINISH);
    cluster_end(&cluster);
}

/* What was never away does not come back. */
static void a_first_opening_is_no_return(void **state) {
    struct cluster cluster;
    rig_log own;
    (void)state;
    cluster_make(&cluster);
    rig_log_make(&own, NULL, "partitions=1");
    etx_engine *one = cluster_node_start(&cluster, "one", "");
    assert_true(host_wait_for(&cluster.first, 1));
    assert_int_equal(atomic_load(&cluster.back), 0);
    atomic_store(&cluster.log.away, 1);
    assert_true(host_wait_for(&cluster.down, 1));
    atomic_store(&cluster.log.away, 0);
    assert_true(host_wait_for(&cluster.back, 1));
    assert_int_equal(atomic_load(&cluster.first), 1);
    rig_close(one, ETX_CLOSE_FINISH);
    atomic_store(&cluster.log.away, 1);
    one = cluster_node_start_with(&cluster, "one", "", own.url, 1);
    assert_true(host_wait_for(&cluster.down, 2)); /* away at start is away */
    atomic_store(&cluster.log.away, 0);
    assert_true(host_wait_for(&cluster.back, 2));
    assert_int_equal(atomic_load(&cluster.first), 1);
    rig_close(one, ETX_CLOSE_FINISH);
    rig_log_end(&own);
    cluster_end(&cluster);
}

/* Asks until the answer is that. */
static void await_answer(etx_engine *engine, const char *gid, int rc, etx_status *status) {
    for (uint64_t until = host_now_ms() + 60000; etx_query(engine, gid, status) != rc;) {
        assert_true(host_now_ms() < until);
        usleep(2000);
    }
}

/* Another may have decided it by now; what was decided before stays so. */
static void who_is_cut_off_does_not_say_that_it_is_active(void **state) {
    struct cluster cluster;
    etx_outcome ended = ETX_OUTCOME_INIT;
    etx_tx_options options = ETX_TX_OPTIONS_INIT;
    etx_tx *tx = NULL;
    char words[300];
    etx_status status = {.size = sizeof status};
    (void)state;
    cluster_make(&cluster);
    etx_engine *one = cluster_node_start(&cluster, "one", "");
    rig_must(one, cluster_run(one, "ended", &ended), "run");
    options.gid = "open";
    rig_must(one, etx_tx_begin(one, &options, &tx), "begin");
    rig_must(one, etx_query(one, "open", &status), "query");
    assert_int_equal(status.state, ETX_ACTIVE);
    atomic_store(&cluster.log.away, 1);
    await_answer(one, "open", ETX_EUNAVAILABLE, &status);
    etx_engine_message(one, words, sizeof words);
    assert_non_null(strstr(words, "for longer than its lease"));
    rig_must(one, etx_query(one, "ended", &status), "query");
    assert_int_equal(status.state, ETX_COMMITTED);
    atomic_store(&cluster.log.away, 0);
    await_answer(one, "open", 0, &status);
    assert_int_equal(status.state, ETX_ACTIVE);
    rig_must(one, etx_tx_abort(tx, NULL), "abort");
    rig_close(one, ETX_CLOSE_LEAVE);
    cluster_end(&cluster);
}

/* That is no fault of this node's, for which others should have the partition for a while. */
static void what_could_not_be_read_meanwhile_is_read_soon(void **state) {
    enum { TIMES = 7, SOON_MS = 8000 }; /* a look of the keeper, and six reads of the shard */
    struct cluster cluster;
    etx_outcome outcome = ETX_OUTCOME_INIT;
    (void)state;
    cluster_make(&cluster);
    rig_member_be(&cluster.log, "another", 600000);
    etx_engine *one = cluster_node_start(&cluster, "one", "");
    cluster_wait_for(one, PARTITIONS / 2);
    cluster_give_away_rest(&cluster, one);
    atomic_store(&cluster.log.get_rc, ETX_EUNAVAILABLE);
    for (uint32_t i = 0; i < PARTITIONS; i++) {
        etx_partition_status at = {.size = sizeof at};
        rig_must(one, etx_engine_partition_status(one, 0, i, &at), "status");
        if (at.here) {
            rig_lease_take(&cluster.log, i, LEASE_MS);
        }
    }
    assert_true(host_wait_for(&cluster.log.gets_failed, TIMES * PARTITIONS / 2));
    atomic_store(&cluster.log.get_rc, 0);
    assert_true(cluster_wait_for(one, PARTITIONS / 2) < SOON_MS);
    rig_must(one, cluster_run(one, NULL, &outcome), "run");
    rig_close(one, ETX_CLOSE_FINISH);
    cluster_end(&cluster);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_promise_that_changes_is_told),
        cmocka_unit_test(what_is_taken_follows_the_promise),
        cmocka_unit_test(a_clock_that_is_hours_off_is_told),
        cmocka_unit_test(a_first_opening_is_no_return),
        cmocka_unit_test(who_is_cut_off_does_not_say_that_it_is_active),
        cmocka_unit_test(what_could_not_be_read_meanwhile_is_read_soon),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
