/* Several engines share a log: each has its part of the partitions, by leases, and what one leaves
 * or loses goes on at another. */
#include "rig_cluster.h"

static void one_node_has_all(void **state) {
    struct cluster cluster;
    etx_outcome outcome = ETX_OUTCOME_INIT;
    (void)state;
    cluster_make(&cluster);
    etx_engine *one = cluster_node_start(&cluster, "one", "");
    assert_int_equal(cluster_count_here(one), PARTITIONS); /* once it has started */
    rig_must(one, cluster_run(one, NULL, &outcome), "run");
    assert_int_equal(outcome.state, ETX_COMMITTED);
    rig_close(one, ETX_CLOSE_FINISH);
    cluster_end(&cluster);
}

static void two_share_evenly(void **state) {
    struct cluster cluster;
    (void)state;
    cluster_make(&cluster);
    etx_engine *one = cluster_node_start(&cluster, "one", "");
    etx_engine *two = cluster_node_start(&cluster, "two", "");
    cluster_wait_for(one, PARTITIONS / 2);
    cluster_wait_for(two, PARTITIONS / 2);
    etx_engine *three = cluster_node_start(&cluster, "three", "");
    cluster_wait_for(three, 1); /* in the order of names: one, three, two */
    cluster_wait_for(two, 1);
    cluster_wait_for(one, 2);
    rig_close(one, ETX_CLOSE_FINISH);
    rig_close(two, ETX_CLOSE_FINISH);
    cluster_wait_for(three, PARTITIONS);
    rig_close(three, ETX_CLOSE_FINISH);
    cluster_end(&cluster);
}

/* The answer names the node and where it is reached. */
static void a_wrong_node_names_the_right_one(void **state) {
    struct cluster cluster;
    etx_outcome outcome = ETX_OUTCOME_INIT;
    char gid[32];
    (void)state;
    cluster_make(&cluster);
    etx_engine *one = cluster_node_start(&cluster, "one", "http://one:7400");
    etx_engine *two = cluster_node_start(&cluster, "two", "http://two:7400");
    cluster_wait_for_halves(one, two);
    cluster_begin_at(one, "order", gid);
    assert_int_equal(cluster_run(two, gid, &outcome), ETX_EELSEWHERE);
    assert_non_null(strstr(outcome.reason, "node one at http://one:7400"));
    etx_status status = {.size = sizeof status};
    assert_int_equal(etx_query(two, gid, &status), ETX_EELSEWHERE);
    etx_partition_status where = {.size = sizeof where};
    rig_must(two, etx_engine_gid_status(two, gid, &where), "gid");
    assert_true(where.elsewhere && where.shared && !where.here);
    assert_string_equal(where.address, "http://one:7400");
    assert_true(where.node_left_ms > 0);
    rig_must(one, etx_engine_gid_status(one, gid, &where), "gid");
    assert_true(where.here && !where.elsewhere && where.lease_left_ms > 0);
    /* What ETX names is begun where it can be. */
    for (int i = 0; i < 50; i++) {
        rig_must(two, cluster_run(two, NULL, &outcome), "run");
    }
    rig_close(one, ETX_CLOSE_FINISH);
    rig_close(two, ETX_CLOSE_FINISH);
    cluster_end(&cluster);
}

/* Each knows who is there; and where, if they said so. */
static int count_gid(const etx_status *status, void *user) {
    assert_int_equal(status->state, ETX_COMMITTED);
    ++*(unsigned *)user;
    return 0;
}

/* Each lists what it has, and all together everything, once. */
static void each_lists_its_own(void **state) {
    enum { ALL = 32 };
    struct cluster cluster;
    (void)state;
    cluster_make(&cluster);
    etx_engine *node[] = {cluster_node_start(&cluster, "one", ""),
                          cluster_node_start(&cluster, "two", "")};
    cluster_wait_for_halves(node[0], node[1]);
    unsigned begun[2] = {0, 0};
    for (int i = 0; i < ALL; i++) {
        char gid[32];
        etx_outcome outcome = ETX_OUTCOME_INIT;
        snprintf(gid, sizeof gid, "listed-%d", i);
        int at_second = cluster_run(node[0], gid, &outcome) == ETX_EELSEWHERE;
        rig_must(node[at_second], cluster_run(node[at_second], gid, &outcome), "run");
        begun[at_second]++;
    }
    assert_true(begun[0] > 0 && begun[1] > 0);
    for (int i = 0; i < 2; i++) {
        etx_filter filter = ETX_FILTER_INIT;
        etx_cursor cursor = {{0, 0}};
        unsigned listed = 0;
        filter.remembered = 1;
        do {
            rig_must(node[i], etx_list(node[i], &filter, &cursor, 5, count_gid, &listed), "list");
        } while (cursor.word[0] != 0 || cursor.word[1] != 0);
        assert_int_equal(listed, begun[i]);
    }
    rig_close(node[0], ETX_CLOSE_FINISH);
    rig_close(node[1], ETX_CLOSE_FINISH);
    cluster_end(&cluster);
}

static void nodes_are_told(void **state) {
    struct cluster cluster;
    etx_node_status node = {.size = sizeof node};
    (void)state;
    cluster_make(&cluster);
    etx_engine *one = cluster_node_start(&cluster, "one", "http://one:7400");
    etx_engine *two = cluster_node_start(&cluster, "two", "");
    cluster_wait_for_halves(one, two);
    rig_must(two, etx_engine_node_status(two, 0, 0, &node), "node");
    assert_string_equal(node.node, "one");
    assert_string_equal(node.address, "http://one:7400");
    assert_true(!node.here && node.left_ms > 0 && node.left_ms <= LEASE_MS);
    rig_must(two, etx_engine_node_status(two, 0, 1, &node), "node");
    assert_string_equal(node.node, "two");
    assert_string_equal(node.address, "");
    assert_true(node.here);
    assert_int_equal(etx_engine_node_status(two, 0, 2, &node), ETX_ENOTFOUND);
    assert_int_equal(etx_engine_node_status(two, 1, 0, &node), ETX_ENOTFOUND);
    rig_close(one, ETX_CLOSE_FINISH);
    rig_close(two, ETX_CLOSE_FINISH);
    cluster_end(&cluster);
}

/* Its successor knows what was begun there, long before the lease would have run out. */
/* What a node has begun at a home of its own is asked of that node. */
static void a_home_of_one_node_is_named(void **state) {
    struct cluster cluster;
    rig_log own;
    etx_outcome outcome = ETX_OUTCOME_INIT;
    etx_status status = {.size = sizeof status};
    etx_partition_status where = {.size = sizeof where};
    (void)state;
    cluster_make(&cluster);
    rig_log_make(&own, NULL, "partitions=2");
    etx_engine *one = cluster_node_start_with(&cluster, "one", "http://one:1", own.url, 1);
    etx_engine *two = cluster_node_start(&cluster, "two", "");
    cluster_wait_for(two, PARTITIONS / 2);
    rig_must(one, etx_tx_run(rig_pair(one, "bank", NULL, 'D'), &outcome), "run");
    int rc = 0;
    for (uint64_t begin = host_now_ms(); rc != ETX_EELSEWHERE;) {
        rc = etx_query(two, outcome.gid, &status);
        assert_true(rc == ETX_EELSEWHERE || rc == ETX_EUNAVAILABLE);
        assert_true(host_now_ms() < begin + 60000);
    }
    char words[200];
    etx_engine_message(two, words, sizeof words);
    assert_non_null(strstr(words, " is with node one at http://one:1"));
    rig_must(two, etx_engine_gid_status(two, outcome.gid, &where), "gid status");
    assert_string_equal(where.node, "one");
    assert_string_equal(where.address, "http://one:1");
    assert_int_equal(where.elsewhere, 1);
    assert_int_equal(where.place, 1);
    rig_close(one, ETX_CLOSE_FINISH);
    assert_int_equal(etx_query(two, "01m8kp0hhc-f000000000-s3g8jaf7001j", &status),
                     ETX_EUNAVAILABLE);
    rig_close(two, ETX_CLOSE_FINISH);
    rig_log_end(&own);
    cluster_end(&cluster);
}

static void wait_until_missed(etx_engine *engine, int missed) {
    etx_node_status gone = {.size = sizeof gone};
    uint64_t end = host_now_ms() + 60000;
    while ((etx_engine_gone_status(engine, 0, 0, &gone) == 0) != missed) {
        assert_true(host_now_ms() < end);
        usleep(1000);
    }
}

/* It says who has it, that this node is not there, and what to do. */
static void expect_missed(etx_engine *engine, const char *gid, const char *home_id) {
    etx_status status = {.size = sizeof status};
    etx_partition_status where = {.size = sizeof where};
    etx_node_status gone = {.size = sizeof gone};
    char words[200];
    wait_until_missed(engine, 1);
    assert_int_equal(etx_query(engine, gid, &status), ETX_EELSEWHERE);
    etx_engine_message(engine, words, sizeof words);
    assert_non_null(strstr(words, "is with node one, which is not there: start it again"));
    rig_must(engine, etx_engine_gid_status(engine, gid, &where), "gid status");
    assert_string_equal(where.node, "one");
    assert_string_equal(where.address, "");
    assert_int_equal(where.elsewhere, 1);
    assert_int_equal(where.node_left_ms, 0);
    assert_non_null(strstr(where.why, home_id));
    rig_must(engine, etx_engine_gone_status(engine, 0, 0, &gone), "gone");
    assert_string_equal(gone.node, "one");
    assert_string_equal(gone.address, "http://one:1");
    assert_string_equal(gone.homes + 1, home_id);
    assert_int_equal(gone.left_ms, 0);
    rig_wait_for_looks(engine, 0, 2);
    assert_int_equal(etx_engine_gone_status(engine, 0, 1, &gone), ETX_ENOTFOUND);
    rig_must(engine, etx_engine_node_status(engine, 0, 0, &gone), "node");
    assert_string_not_equal(gone.node, "one");
}

/* A node that comes again without a home that it had for itself says so, once: it may have been
 * lost, or is not mounted. */
static void a_home_that_a_node_had_before(void **state) {
    struct cluster cluster;
    rig_log own;
    (void)state;
    cluster_make(&cluster);
    rig_log_make(&own, NULL, "partitions=2");
    for (int dies = 0; dies < 2; dies++) {
        atomic_store(&cluster.missed, 0);
        etx_engine *one = cluster_node_start_with(&cluster, "one", "", own.url, 1);
        rig_wait_for_looks(one, 1, 2);
        rig_close(one, dies ? ETX_CLOSE_ABRUPT : ETX_CLOSE_FINISH);
        one = cluster_node_start_with(&cluster, "one", "", own.url, 1);
        rig_wait_for_looks(one, 1, 2);
        assert_int_equal(atomic_load(&cluster.missed), 0);
        rig_close(one, dies ? ETX_CLOSE_ABRUPT : ETX_CLOSE_FINISH);
        one = cluster_node_start(&cluster, "one", "");
        rig_wait_for_looks(one, 0, 2);
        assert_int_equal(atomic_load(&cluster.missed), 1);
        rig_close(one, ETX_CLOSE_FINISH);
        one = cluster_node_start(&cluster, "one", "");
        rig_wait_for_looks(one, 0, 2);
        assert_int_equal(atomic_load(&cluster.missed), 1);
        rig_close(one, ETX_CLOSE_FINISH);
    }
    rig_log_end(&own);
    cluster_end(&cluster);
}

/* What a node has begun at a home of its own is its own when it is gone, left or not heard of, and
 * all others have been started anew. */
static void a_home_of_a_node_that_is_gone(void **state) {
    struct cluster cluster;
    rig_log own;
    etx_outcome outcome = ETX_OUTCOME_INIT;
    etx_status status = {.size = sizeof status};
    etx_home_status home = {.size = sizeof home};
    (void)state;
    cluster_make(&cluster);
    rig_log_make(&own, NULL, "partitions=2");
    for (int dies = 0; dies < 2; dies++) {
        etx_engine *one = cluster_node_start_with(&cluster, "one", "http://one:1", own.url, 1);
        etx_engine *two = cluster_node_start(&cluster, "two", "");
        cluster_wait_for(two, PARTITIONS / 2);
        wait_until_missed(two, 0);
        rig_must(one, etx_tx_run(rig_pair(one, "bank", NULL, 'D'), &outcome), "run");
        rig_must(one, etx_engine_home_status(one, 0, &home), "home");
        rig_close(one, dies ? ETX_CLOSE_ABRUPT : ETX_CLOSE_FINISH);
        expect_missed(two, outcome.gid, home.id);
        rig_close(two, ETX_CLOSE_FINISH);
        etx_engine *three = cluster_node_start(&cluster, "three", "");
        expect_missed(three, outcome.gid, home.id);
        rig_close(three, ETX_CLOSE_FINISH);
    }
    /* who has taken the home over is asked: here this node itself, and then another */
    etx_node_status gone = {.size = sizeof gone};
    etx_partition_status where = {.size = sizeof where};
    etx_engine *four = cluster_node_start_with(&cluster, "four", "", own.url, 1);
    rig_wait_for_looks(four, 1, 2);
    assert_int_equal(etx_engine_gone_status(four, 1, 0, &gone), ETX_ENOTFOUND);
    assert_int_equal(etx_query(four, outcome.gid, &status), 0);
    etx_engine *five = cluster_node_start(&cluster, "five", "");
    rig_wait_for_looks(five, 0, 2);
    assert_int_equal(etx_engine_gone_status(five, 0, 0, &gone), ETX_ENOTFOUND);
    rig_must(five, etx_engine_gid_status(five, outcome.gid, &where), "gid status");
    assert_string_equal(where.node, "four");
    assert_string_equal(where.why, "");
    rig_close(five, ETX_CLOSE_FINISH);
    rig_close(four, ETX_CLOSE_FINISH);
    rig_log_end(&own);
    cluster_end(&cluster);
}

/* A node for which chosen gids belong to another home says so, and takes nothing that others would
 * then miss. */
static void a_node_with_another_list_stays_out(void **state) {
    struct cluster cluster;
    rig_log own;
    etx_outcome outcome = ETX_OUTCOME_INIT;
    etx_home_status home = {.size = sizeof home};
    etx_status status = {.size = sizeof status};
    char gid[32], named[64];
    (void)state;
    cluster_make(&cluster);
    rig_log_make(&own, NULL, "partitions=2");
    etx_engine *one = cluster_node_start(&cluster, "one", "");
    cluster_begin_at(one, "x", gid);
    etx_engine *two = cluster_node_start_with(&cluster, "two", "", own.url, 0);
    for (uint64_t begin = host_now_ms(); strstr(home.why, "for other nodes chosen gids") == NULL;) {
        rig_must(two, etx_engine_home_status(two, 1, &home), "status");
        assert_true(host_now_ms() < begin + 60000);
    }
    assert_true(host_wait_for(&cluster.down, 1));
    cluster_wait_for(one, PARTITIONS);
    rig_must(two, etx_tx_run(rig_pair(two, "bank", NULL, 'D'), &outcome), "run"); /* at its own */
    /* chosen ones are refused, since others would run a repeat again, unless they name that home */
    assert_int_equal(cluster_run(two, "mine", &outcome), ETX_EUNAVAILABLE);
    assert_non_null(strstr(outcome.reason, "for other nodes chosen gids belong to home"));
    assert_int_equal(etx_query(two, "mine", &status), ETX_ENOTFOUND);
    rig_must(two, etx_engine_home_status(two, 0, &home), "status");
    snprintf(named, sizeof named, "@%s:mine", home.id);
    rig_must(two, cluster_run(two, named, &outcome), "run");
    rig_must(one, cluster_run(one, "mine", &outcome), "run");
    rig_close(two, ETX_CLOSE_FINISH);
    rig_close(one, ETX_CLOSE_FINISH);
    rig_log_end(&own);
    cluster_end(&cluster);
}

enum { OVER = 2 };

/* A read of partition 0 that takes longer than its lease; at the next one, how often it was claimed
 * by then. */
struct slow_read {
    int taken; /* another has it meanwhile */
    unsigned claims[2];
    atomic_uint reads;
};

static void count_claims(const etx_slot *slot, const etx_record *record, void *user) {
    (void)slot;
    *(unsigned *)user += record->type == ETX_RECORD_OWN;
}

static void read_slowly(rig_log *log, uint32_t partition, uint64_t from) {
    struct slow_read *slow = log->watcher;
    if (partition != 0 || from > 0 || atomic_load(&slow->reads) == OVER) {
        return;
    }
    unsigned number = atomic_fetch_add(&slow->reads, 1);
    rig_log_records(log, 0, 0, count_claims, &slow->claims[number]);
    if (number == 0 && slow->taken) {
        rig_lease_take(log, 0, LEASE_MS);
        usleep(LEASE_MS * 500); /* it is renewed four times a lease, and that is refused */
    } else if (number == 0) {
        atomic_store(&log->away, 1);
        usleep(LEASE_MS * 1200);
        atomic_store(&log->away, 0);
    }
}

static void read_for_too_long(int taken) {
    struct slow_read slow = {.taken = taken, .reads = OVER};
    struct cluster cluster;
    etx_outcome outcome = ETX_OUTCOME_INIT;
    cluster_make(&cluster);
    cluster.log.watcher = &slow;
    cluster.log.on_get = read_slowly;
    etx_engine *one = cluster_node_start(&cluster, "one", "");
    /* so that who looks for what it remembers does not read from the first slot */
    for (int i = 0; rig_log_records(&cluster.log, 0, 0, NULL, NULL) < 2; i++) {
        char gid[32];
        snprintf(gid, sizeof gid, "before-%d", i);
        rig_must(one, cluster_run(one, gid, &outcome), "run");
    }
    atomic_store(&slow.reads, 0);
    rig_lease_take(&cluster.log, 0, LEASE_MS);
    assert_true(host_wait_for(&slow.reads, OVER));
    assert_int_equal(slow.claims[0], 1);
    assert_int_equal(slow.claims[1], 1);
    cluster_wait_for(one, PARTITIONS);
    rig_must(one, cluster_run(one, NULL, &outcome), "run");
    rig_close(one, ETX_CLOSE_FINISH);
    cluster_end(&cluster);
}

/* By then it is another's to claim. */
static void who_reads_longer_than_its_lease_does_not_claim(void **state) {
    (void)state;
    read_for_too_long(0);
    read_for_too_long(1);
}

static void who_leaves_hands_over_at_once(void **state) {
    struct cluster cluster;
    char gid[32];
    (void)state;
    cluster_make(&cluster);
    etx_engine *one = cluster_node_start(&cluster, "one", "");
    etx_engine *two = cluster_node_start(&cluster, "two", "");
    cluster_wait_for_halves(one, two);
    cluster_begin_at(one, "order", gid);
    rig_close(one, ETX_CLOSE_LEAVE);
    uint64_t took = cluster_wait_for(two, PARTITIONS);
    assert_true(took < LEASE_MS / 2);
    assert_int_equal(rig_state(two, gid), ETX_COMMITTED);
    rig_close(two, ETX_CLOSE_FINISH);
    cluster_end(&cluster);
}

/* Neither its place nor what it has was given up; it may have run out. */
static void still_stands_there(rig_log *log, const char *node) {
    unsigned left = 0;
    pthread_mutex_lock(&log->lock);
    for (int i = 0; i < RIG_MEMBERS; i++) {
        left += strcmp(log->member[i].name, node) == 0 && log->member[i].until_ms == 0;
    }
    for (int i = 0; i < RIG_PARTITIONS; i++) {
        left += strcmp(log->lease[i].node, node) == 0 && log->lease[i].until_ms == 0;
    }
    pthread_mutex_unlock(&log->lock);
    assert_int_equal(left, 0);
}

/* In flight where a node dies: it goes on elsewhere, once the lease is over. */
static void what_a_dead_node_had_goes_on(void **state) {
    struct cluster cluster;
    host_bank slow;
    host_bank other;
    char gid[32];
    (void)state;
    cluster_make(&cluster);
    host_bank_make(&slow);
    host_bank_make(&other);
    slow.gated = true;
    etx_engine *one = cluster_node_start(&cluster, "one", "");
    etx_engine *two = cluster_node_start(&cluster, "two", "");
    etx_participant stuck = host_participant("slow", ETX_TCC, 0, &slow);
    etx_participant quick = host_participant("slow", ETX_TCC, 0, &other);
    rig_must(one, etx_engine_register(one, &stuck), "slow");
    rig_must(two, etx_engine_register(two, &quick), "slow");
    cluster_wait_for_halves(one, two);
    int rc = ETX_EELSEWHERE;
    for (int i = 0; i < 64 && rc == ETX_EELSEWHERE; i++) {
        etx_tx_options options = ETX_TX_OPTIONS_INIT;
        etx_outcome outcome = ETX_OUTCOME_INIT;
        etx_tx *tx = NULL;
        snprintf(gid, sizeof gid, "slow-%d", i);
        options.gid = gid;
        options.wait = ETX_WAIT_BEGUN;
        rig_must(one, etx_tx_new(one, &options, &tx), "new");
        rig_must(one, etx_tx_add(tx, "slow", "x", 1), "add");
        rc = etx_tx_run(tx, &outcome);
    }
    rig_must(one, rc, "begin");
    assert_true(host_wait_for(&slow.blocked, 1));
    etx_engine_close(one, ETX_CLOSE_ABRUPT, 0);
    still_stands_there(&cluster.log, "one"); /* as if it were killed */
    cluster_wait_for(two, PARTITIONS);
    assert_true(rig_reaches(two, gid, ETX_COMMITTED, ETX_MARK_ENDED));
    assert_int_equal(atomic_load(&other.forwards), 1);
    sem_post(&slow.gate);
    etx_engine_free(one);
    rig_close(two, ETX_CLOSE_FINISH);
    assert_true(host_wait_for(&slow.returned, 1));
    cluster_end(&cluster);
}

/* Two processes with one name: the older one stops. */
static void of_two_with_one_name_the_older_stops(void **state) {
    struct cluster cluster;
    etx_outcome outcome = ETX_OUTCOME_INIT;
    (void)state;
    cluster_make(&cluster);
    etx_engine *older = cluster_node_start(&cluster, "one", "");
    etx_engine *newer = cluster_node_start(&cluster, "one", "");
    cluster_wait_for(older, 0);
    cluster_wait_for(newer, PARTITIONS);
    assert_int_equal(cluster_run(older, NULL, &outcome), ETX_EUNAVAILABLE);
    assert_non_null(strstr(outcome.reason, "another process is node one"));
    rig_must(newer, cluster_run(newer, NULL, &outcome), "run");
    rig_close(older, ETX_CLOSE_LEAVE);
    cluster_wait_for(newer, PARTITIONS);
    rig_close(newer, ETX_CLOSE_FINISH);
    cluster_end(&cluster);
}

/* When the newer one is gone, the share of that name is the older one's again: nobody else would
 * take it. */
static void the_older_takes_part_again(void **state) {
    struct cluster cluster;
    etx_outcome outcome = ETX_OUTCOME_INIT;
    (void)state;
    cluster_make(&cluster);
    etx_engine *two = cluster_node_start(&cluster, "two", "");
    etx_engine *older = cluster_node_start(&cluster, "one", "");
    cluster_wait_for_halves(older, two);
    etx_engine *newer = cluster_node_start(&cluster, "one", "");
    cluster_wait_for(older, 0);
    cluster_wait_for_halves(newer, two);
    rig_close(newer, ETX_CLOSE_FINISH);
    cluster_wait_for_halves(older, two);
    rig_must(older, cluster_run(older, NULL, &outcome), "run");
    rig_close(older, ETX_CLOSE_FINISH);
    rig_close(two, ETX_CLOSE_FINISH);
    cluster_end(&cluster);
}

static void wait_without_lease(struct cluster *cluster, etx_engine *engine) {
    etx_partition_status status = {.size = sizeof status};
    atomic_store(&cluster->log.away, 1);
    for (uint32_t i = 0; i < PARTITIONS; i += status.lease_left_ms == 0) {
        usleep(5000);
        rig_must(engine, etx_engine_partition_status(engine, 0, i, &status), "status");
    }
    for (uint32_t i = 0; i < PARTITIONS;) { /* the store's own time for it is over a little later */
        pthread_mutex_lock(&cluster->log.lock);
        i += cluster->log.lease[i].until_ms < host_now_ms();
        pthread_mutex_unlock(&cluster->log.lock);
        usleep(5000);
    }
}

/* Nobody has the lease that had run out; but somebody had: a node that has nothing to write asks
 * the log, and reads it anew. */
static void a_lease_that_had_run_out_is_proved(void **state) {
    struct cluster cluster;
    (void)state;
    cluster_make(&cluster);
    etx_engine *one = cluster_node_start(&cluster, "one", "");
    rig_log_put(&cluster.log, 2, 4711, (etx_bytes){"\x01", 1});
    pthread_mutex_lock(&cluster.log.lock);
    for (uint32_t i = 0; i < PARTITIONS; i++) { /* while the store was well all the time */
        cluster.log.lease[i].until_ms = 0;
    }
    pthread_mutex_unlock(&cluster.log.lock);
    assert_true(host_wait_for(&cluster.lost, 1));
    cluster_wait_for(one, PARTITIONS);
    assert_int_equal(atomic_load(&cluster.lost), 1);
    rig_close(one, ETX_CLOSE_FINISH);
    cluster_end(&cluster);
}

/* Without its lease it writes nothing new; with it, it goes on. */
static void without_a_lease_nothing_new_is_written(void **state) {
    struct cluster cluster;
    etx_outcome outcome = ETX_OUTCOME_INIT;
    (void)state;
    cluster_make(&cluster);
    etx_engine *one = cluster_node_start(&cluster, "one", "");
    wait_without_lease(&cluster, one);
    unsigned puts = atomic_load(&cluster.log.puts);
    assert_int_equal(cluster_run(one, NULL, &outcome), ETX_EUNAVAILABLE);
    rig_done done = {.count = 0};
    etx_tx *tx = rig_pair(one, "bank", "order", 'D'); /* it belongs here, and waits */
    rig_must(one, etx_tx_submit(tx, rig_done_fn, &done), "submit");
    usleep(200000); /* it would have been written long ago */
    assert_int_equal(atomic_load(&done.count), 0);
    assert_int_equal(atomic_load(&cluster.log.puts), puts);
    atomic_store(&cluster.log.away, 0);
    assert_true(host_wait_for(&done.count, 1));
    assert_int_equal(done.rc, 0);
    uint64_t until = host_now_ms() + 60000;
    while (cluster_run(one, NULL, &outcome) != 0) {
        assert_true(host_now_ms() < until);
        usleep(5000);
    }
    rig_close(one, ETX_CLOSE_FINISH);
    cluster_end(&cluster);
}

/* Another was faster, which the store has not told yet: that is no failure of the store, and the
 * others are taken all the same. */
static void who_is_too_late_takes_the_rest(void **state) {
    struct cluster cluster;
    (void)state;
    cluster_make(&cluster);
    atomic_store(&cluster.log.hides, 1);
    rig_lease_take(&cluster.log, 0, 600000);
    rig_lease_take(&cluster.log, 2, 600000);
    etx_engine *one = cluster_node_start(&cluster, "one", "");
    cluster_wait_for(one, PARTITIONS - 2);
    assert_int_equal(atomic_load(&cluster.down), 0);
    rig_close(one, ETX_CLOSE_FINISH);
    cluster_end(&cluster);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_node_has_all),
        cmocka_unit_test(two_share_evenly),
        cmocka_unit_test(a_wrong_node_names_the_right_one),
        cmocka_unit_test(each_lists_its_own),
        cmocka_unit_test(nodes_are_told),
        cmocka_unit_test(a_home_of_one_node_is_named),
        cmocka_unit_test(a_home_of_a_node_that_is_gone),
        cmocka_unit_test(a_home_that_a_node_had_before),
        cmocka_unit_test(a_node_with_another_list_stays_out),
        cmocka_unit_test(who_reads_longer_than_its_lease_does_not_claim),
        cmocka_unit_test(who_is_too_late_takes_the_rest),
        cmocka_unit_test(who_leaves_hands_over_at_once),
        cmocka_unit_test(what_a_dead_node_had_goes_on),
        cmocka_unit_test(of_two_with_one_name_the_older_stops),
        cmocka_unit_test(the_older_takes_part_again),
        cmocka_unit_test(a_lease_that_had_run_out_is_proved),
        cmocka_unit_test(without_a_lease_nothing_new_is_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
