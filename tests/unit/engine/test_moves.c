/* What operators want of shared homes: a partition at another node, a node without any. */
#include "rig_cluster.h"

#include <stddef.h>

static int is_here(etx_engine *engine, uint32_t number) {
    etx_partition_status status = {.size = sizeof status};
    rig_must(engine, etx_engine_partition_status(engine, 0, number, &status), "status");
    return status.here;
}

static uint32_t one_of(etx_engine *engine) {
    uint32_t number = 0;
    while (!is_here(engine, number)) {
        number++;
        assert_true(number < PARTITIONS);
    }
    return number;
}

/* Has both nodes do their part, and waits until it is so. */
static void move(etx_engine *from, etx_engine *to, const char *name, uint32_t number) {
    rig_must(to, etx_engine_move(to, 0, number, name), "take");
    rig_must(from, etx_engine_move(from, 0, number, name), "give");
    for (uint64_t begin = host_now_ms(); !is_here(to, number);) {
        assert_true(host_now_ms() < begin + 60000);
        usleep(2000);
    }
}

/* It stays where it was moved to: the even sharing moves another one instead. Of several that are
 * equally idle the lowest would be handed over. */
static void one_is_moved(void **state) {
    struct cluster cluster;
    etx_outcome outcome = ETX_OUTCOME_INIT;
    char gid[32];
    (void)state;
    cluster_make(&cluster);
    etx_engine *one = cluster_node_start(&cluster, "one", "");
    etx_engine *two = cluster_node_start(&cluster, "two", "");
    etx_partition_status where = {.size = sizeof where};
    cluster_wait_for_halves(one, two);
    cluster_begin_at(one, "order", gid);
    rig_must(one, etx_engine_gid_status(one, gid, &where), "gid");
    move(one, two, "two", where.number);
    cluster_wait_for_halves(one, two);
    assert_true(is_here(two, where.number));
    assert_int_equal(rig_state(two, gid), ETX_COMMITTED);
    assert_int_equal(cluster_run(one, gid, &outcome), ETX_EELSEWHERE);
    if (is_here(two, 0)) {
        move(two, one, "one", 0);
        cluster_wait_for_halves(one, two);
    }
    move(one, two, "two", 0);
    cluster_wait_for_halves(one, two);
    assert_true(is_here(two, 0));
    /* a third comes, and has its share of what was not moved */
    unsigned kept = where.number == 0 ? 1 : 2;
    etx_engine *aaa = cluster_node_start(&cluster, "aaa", "");
    cluster_wait_for(aaa, 3 - kept);
    cluster_wait_for(one, 1);
    cluster_wait_for(two, kept);
    assert_true(is_here(two, 0));
    rig_close(aaa, ETX_CLOSE_FINISH);
    rig_close(one, ETX_CLOSE_FINISH);
    rig_close(two, ETX_CLOSE_FINISH);
    cluster_end(&cluster);
}

/* Long before what cannot be read is tried again. */
enum { SOON_MS = 8000 };

/* It comes back when who was to have it is gone, a lease after it went. */
static void one_is_moved_to_a_node_that_dies(void **state) {
    struct cluster cluster;
    etx_outcome outcome = ETX_OUTCOME_INIT;
    (void)state;
    cluster_make(&cluster);
    rig_member_be(&cluster.log, "ghost", 600000);
    rig_member_be(&cluster.log, "quiet", 600000);
    etx_engine *one = cluster_node_start(&cluster, "one", "");
    cluster_wait_for(one, 1); /* in the order of names: ghost has two */
    uint32_t number = one_of(one);
    cluster_give_away_rest(&cluster, one);
    for (uint64_t begin = host_now_ms();
         is_here(one, number);) { /* once it knows that it owns it */
        (void)etx_engine_move(one, 0, number, "ghost");
        assert_true(host_now_ms() < begin + 60000);
        usleep(2000);
    }
    rig_member_be(&cluster.log, "ghost", 0);
    assert_true(cluster_wait_for(one, 1) < SOON_MS);
    assert_true(is_here(one, number));
    rig_must(one, cluster_run(one, NULL, &outcome), "run");
    rig_close(one, ETX_CLOSE_FINISH);
    cluster_end(&cluster);
}

/* What cannot be moved, and why. */
static void a_move_is_refused(void **state) {
    struct cluster cluster;
    char message[512];
    (void)state;
    cluster_make(&cluster);
    etx_engine *one = cluster_node_start(&cluster, "one", "http://one:7400");
    etx_engine *two = cluster_node_start(&cluster, "two", "");
    etx_engine *zoo = cluster_node_start(&cluster, "zoo", "");
    cluster_wait_for(one, 2);
    cluster_wait_for(two, 1);
    cluster_wait_for(zoo, 1);
    uint32_t number = one_of(one);
    for (etx_node_status node = {.size = sizeof node};
         etx_engine_node_status(zoo, 0, 2, &node) != 0;) {
        usleep(2000);
    }
    assert_int_equal(etx_engine_move(one, 0, number, "nobody"), ETX_ENOTFOUND);
    etx_engine_message(one, message, sizeof message);
    assert_non_null(strstr(message, "no node nobody attends"));
    assert_int_equal(etx_engine_move(one, 0, PARTITIONS, "two"), ETX_ENOTFOUND);
    assert_int_equal(etx_engine_move(one, 1, 0, "two"), ETX_ENOTFOUND);
    assert_int_equal(etx_engine_move(one, 0, 0, ""), ETX_EINVALID);
    etx_partition_status where = {.size = sizeof where};
    while (strcmp(where.node, "one") != 0) {
        rig_must(zoo, etx_engine_partition_status(zoo, 0, number, &where), "status");
    }
    assert_int_equal(etx_engine_move(zoo, 0, number, "two"), ETX_EELSEWHERE);
    etx_engine_message(zoo, message, sizeof message);
    assert_non_null(strstr(message, "with node one at http://one:7400"));
    rig_close(one, ETX_CLOSE_FINISH);
    rig_close(two, ETX_CLOSE_FINISH);
    rig_close(zoo, ETX_CLOSE_FINISH);
    cluster_end(&cluster);
    etx_engine *alone = rig_engine(NULL, "memory:", NULL);
    rig_start(alone);
    assert_int_equal(etx_engine_move(alone, 0, 0, "two"), ETX_ESTATE);
    assert_int_equal(etx_engine_drain(alone, 0, 1), ETX_ESTATE);
    rig_close(alone, ETX_CLOSE_FINISH);
}

/* A program with an older struct: nothing behind it is written. */
static void told_to_an_older_program(etx_engine *engine) {
    etx_node_status node;
    etx_node_status before;
    memset(&node, 0x5a, sizeof node);
    node.size = offsetof(etx_node_status, left_ms);
    before = node;
    rig_must(engine, etx_engine_node_status(engine, 0, 1, &node), "node");
    assert_string_equal(node.node, "two");
    assert_int_equal(node.size, before.size);
    assert_memory_equal((char *)&node + node.size, (char *)&before + node.size,
                        sizeof node - node.size);
}

/* It gives all away, goes on knowing who has what, and takes its part again when it is told. */
static void one_is_drained(void **state) {
    struct cluster cluster;
    etx_outcome outcome = ETX_OUTCOME_INIT;
    etx_node_status node = {.size = sizeof node};
    etx_home_status home = {.size = sizeof home};
    char gid[32];
    (void)state;
    cluster_make(&cluster);
    etx_engine *one = cluster_node_start(&cluster, "one", "");
    etx_engine *two = cluster_node_start(&cluster, "two", "");
    cluster_wait_for_halves(one, two);
    told_to_an_older_program(two);
    cluster_begin_at(one, "order", gid);
    rig_must(one, etx_engine_drain(one, 0, 1), "drain");
    cluster_wait_for(two, PARTITIONS);
    assert_int_equal(cluster_count_here(one), 0);
    assert_int_equal(rig_state(two, gid), ETX_COMMITTED);
    assert_int_equal(cluster_run(one, NULL, &outcome), ETX_EUNAVAILABLE);
    assert_non_null(strstr(outcome.reason, "drained"));
    rig_must(one, etx_engine_home_status(one, 0, &home), "home");
    assert_true(home.drained && !home.usable);
    for (uint64_t begin = host_now_ms(); cluster_run(one, gid, &outcome) != ETX_EELSEWHERE;) {
        assert_true(host_now_ms() < begin + 60000);
        usleep(2000);
    }
    assert_int_equal(etx_engine_node_status(two, 0, 1, &node), ETX_ENOTFOUND);
    assert_int_equal(etx_engine_move(one, 0, 0, "one"), ETX_ESTATE);
    assert_int_equal(etx_engine_move(two, 0, 0, "one"), ETX_ENOTFOUND);
    /* the last one cannot go */
    assert_int_equal(etx_engine_drain(two, 0, 1), ETX_ESTATE);
    rig_must(one, etx_engine_drain(one, 0, 0), "undo");
    cluster_wait_for_halves(one, two);
    rig_must(one, cluster_run(one, NULL, &outcome), "run");
    rig_close(one, ETX_CLOSE_FINISH);
    rig_close(two, ETX_CLOSE_FINISH);
    cluster_end(&cluster);
}

/* The last node cannot be drained: also where it becomes the last one later. */
static void who_is_drained_and_the_last_takes_part_again(void **state) {
    struct cluster cluster;
    etx_outcome outcome = ETX_OUTCOME_INIT;
    etx_home_status home = {.size = sizeof home};
    (void)state;
    cluster_make(&cluster);
    etx_engine *one = cluster_node_start(&cluster, "one", "");
    etx_engine *two = cluster_node_start(&cluster, "two", "");
    cluster_wait_for_halves(one, two);
    rig_must(one, etx_engine_drain(one, 0, 1), "drain");
    cluster_wait_for(two, PARTITIONS);
    rig_close(two, ETX_CLOSE_ABRUPT);
    cluster_wait_for(one, PARTITIONS);
    rig_must(one, etx_engine_home_status(one, 0, &home), "home");
    assert_int_equal(home.drained, 0);
    rig_must(one, cluster_run(one, NULL, &outcome), "run");
    two = cluster_node_start(&cluster, "two", "");
    cluster_wait_for_halves(one, two);
    rig_close(one, ETX_CLOSE_FINISH);
    rig_close(two, ETX_CLOSE_FINISH);
    cluster_end(&cluster);
}

/* What was moved to it goes as well. */
static void what_was_moved_there_is_drained_too(void **state) {
    struct cluster cluster;
    (void)state;
    cluster_make(&cluster);
    etx_engine *one = cluster_node_start(&cluster, "one", "");
    etx_engine *two = cluster_node_start(&cluster, "two", "");
    cluster_wait_for_halves(one, two);
    move(one, two, "two", one_of(one));
    cluster_wait_for_halves(one, two);
    rig_must(two, etx_engine_drain(two, 0, 1), "drain");
    cluster_wait_for(one, PARTITIONS);
    assert_int_equal(cluster_count_here(two), 0);
    rig_close(one, ETX_CLOSE_FINISH);
    rig_close(two, ETX_CLOSE_FINISH);
    cluster_end(&cluster);
}

/* What it has handed over is measured where it is now. */
static void what_was_handed_over_is_not_measured(void **state) {
    struct cluster cluster;
    host_bank slow;
    etx_outcome outcome = ETX_OUTCOME_INIT;
    etx_metrics metrics = {.size = sizeof metrics};
    (void)state;
    cluster_make(&cluster);
    host_bank_make(&slow);
    atomic_store(&slow.forward_reply, ETX_WORKING);
    etx_participant participant = host_participant("slow", ETX_TCC, ETX_INLINE, &slow);
    etx_engine *one = cluster_node_start(&cluster, "one", "");
    etx_engine *two = cluster_node_start(&cluster, "two", "");
    rig_must(one, etx_engine_register(one, &participant), "slow");
    rig_must(two, etx_engine_register(two, &participant), "slow");
    cluster_wait_for_halves(one, two);
    assert_int_equal(etx_tx_submit(rig_pair(one, "slow", NULL, 'D'), NULL, NULL), 0);
    do { /* some time of the clock that is told */
        rig_must(one, etx_engine_metrics(one, &metrics), "metrics");
        usleep(2000);
    } while (metrics.in_flight == 0 || metrics.oldest_age_ms == 0);
    rig_must(one, etx_engine_drain(one, 0, 1), "drain");
    cluster_wait_for(two, PARTITIONS);
    rig_must(one, etx_engine_metrics(one, &metrics), "metrics");
    assert_int_equal(metrics.in_flight, 0);
    assert_int_equal(metrics.oldest_age_ms, 0);
    assert_int_equal(metrics.memory_used, 0);
    rig_must(two, etx_engine_metrics(two, &metrics), "metrics");
    assert_int_equal(metrics.in_flight, 1);
    assert_true(metrics.oldest_age_ms > 0);
    atomic_store(&slow.forward_reply, ETX_DONE);
    rig_must(two, cluster_run(two, NULL, &outcome), "run");
    assert_true(rig_quiet(two));
    rig_close(one, ETX_CLOSE_FINISH);
    rig_close(two, ETX_CLOSE_FINISH);
    cluster_end(&cluster);
}

/* A put that is on its way comes back first, however long that takes. */
static void who_is_drained_waits_for_a_put(void **state) {
    enum { LONGER_MS = 1800 }; /* than anything else is waited for */
    struct cluster cluster;
    rig_done done = {0};
    (void)state;
    cluster_make(&cluster);
    etx_engine *one = cluster_node_start(&cluster, "one", "");
    etx_engine *two = cluster_node_start(&cluster, "two", "");
    cluster_wait_for_halves(one, two);
    rig_log_fail(&cluster.log, RIG_HANGS, 1);
    rig_must(one, etx_tx_submit(rig_pair(one, "bank", NULL, 'D'), rig_done_fn, &done), "submit");
    assert_true(host_wait_for(&cluster.log.hanging, 1));
    rig_must(one, etx_engine_drain(one, 0, 1), "drain");
    cluster_wait_for(two, PARTITIONS - 1);
    for (uint64_t begin = host_now_ms(); host_now_ms() < begin + LONGER_MS; usleep(2000)) {
        assert_int_equal(cluster_count_here(one), 1);
    }
    sem_post(&cluster.log.gate);
    cluster_wait_for(two, PARTITIONS);
    assert_true(host_wait_for(&done.count, 1));
    assert_true(rig_quiet(two));
    etx_home_status home = {.size = sizeof home};
    rig_must(one, etx_engine_home_status(one, 0, &home), "home");
    assert_true(home.drained && !home.usable);
    rig_close(one, ETX_CLOSE_FINISH);
    rig_close(two, ETX_CLOSE_FINISH);
    cluster_end(&cluster);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_is_moved),
        cmocka_unit_test(one_is_moved_to_a_node_that_dies),
        cmocka_unit_test(a_move_is_refused),
        cmocka_unit_test(one_is_drained),
        cmocka_unit_test(who_is_drained_and_the_last_takes_part_again),
        cmocka_unit_test(what_was_moved_there_is_drained_too),
        cmocka_unit_test(what_was_handed_over_is_not_measured),
        cmocka_unit_test(who_is_drained_waits_for_a_put),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
