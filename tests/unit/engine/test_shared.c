/* Several engines share a log: each has its part of the partitions, by leases, and what one leaves
 * or loses goes on at another. */
#include "rig.h"

enum { PARTITIONS = 4, LEASE_MS = 1000 };

struct cluster {
    rig_log log;
    rig_bank bank;
    char url[64];
    atomic_uint lost; /* partitions, as the nodes tell */
};

static void on_event(const etx_event *event, void *user) {
    struct cluster *cluster = user;
    if (event->type == ETX_EVENT_PARTITION_LOST) {
        atomic_fetch_add(&cluster->lost, 1);
    }
}

static void cluster_make(struct cluster *cluster) {
    atomic_store(&cluster->lost, 0);
    rig_log_make(&cluster->log, NULL, "partitions=4");
    snprintf(cluster->url, sizeof cluster->url, "shared%s", strchr(cluster->log.url, ':'));
    rig_bank_make(&cluster->bank, 1000);
}

static void cluster_end(struct cluster *cluster) {
    rig_bank_end(&cluster->bank);
    rig_log_end(&cluster->log);
}

/* `own`: the URL of a home that this node prefers, and has for itself; or NULL. */
static etx_engine *node_start_at(struct cluster *cluster,
                                 const char *name,
                                 const char *address,
                                 const char *own) {
    etx_options options = rig_options();
    etx_monitor monitor = ETX_MONITOR_INIT;
    etx_engine *engine = NULL;
    monitor.on_event = on_event;
    monitor.user = cluster;
    options.monitor = &monitor;
    options.node = name;
    options.address = address;
    options.lease_ms = LEASE_MS;
    assert_int_equal(etx_engine_create(&options, &engine), 0);
    rig_must(engine, etx_engine_log(engine, rig_shared_ops()), "log");
    if (own) {
        rig_must(engine, etx_engine_log(engine, rig_log_ops()), "own log");
        rig_must(engine, etx_engine_home(engine, own), "own home");
        rig_must(engine, etx_engine_chosen_home(engine, 1), "chosen home");
    }
    rig_must(engine, etx_engine_home(engine, cluster->url), "home");
    rig_bank_register(&cluster->bank, engine, "bank", ETX_TCC, ETX_INLINE);
    rig_start(engine);
    return engine;
}

static etx_engine *node_start(struct cluster *cluster, const char *name, const char *address) {
    return node_start_at(cluster, name, address, NULL);
}

static unsigned count_here(etx_engine *engine) {
    unsigned count = 0;
    for (uint32_t i = 0; i < PARTITIONS; i++) {
        etx_partition_status status = {.size = sizeof status};
        rig_must(engine, etx_engine_partition_status(engine, 0, i, &status), "status");
        count += status.here;
    }
    return count;
}

/* Waits until the engine works on so many; a minute at most. How long it took. */
static uint64_t wait_for(etx_engine *engine, unsigned count) {
    uint64_t begin = host_now_ms();
    while (count_here(engine) != count) {
        assert_true(host_now_ms() < begin + 60000);
        usleep(2000);
    }
    return host_now_ms() - begin;
}

static int run(etx_engine *engine, const char *gid, etx_outcome *outcome) {
    *outcome = (etx_outcome)ETX_OUTCOME_INIT;
    return etx_tx_run(rig_pair(engine, "bank", gid, 'D'), outcome);
}

/* Two nodes have half of the partitions each, and both know it. */
static void wait_for_halves(etx_engine *one, etx_engine *two) {
    etx_engine *both[] = {one, two};
    unsigned known = 0;
    for (uint64_t begin = host_now_ms(); known < 2 * PARTITIONS;) {
        known = 0;
        for (uint32_t i = 0; i < 2 * PARTITIONS; i++) {
            etx_partition_status status = {.size = sizeof status};
            etx_engine *engine = both[i % 2];
            rig_must(engine, etx_engine_partition_status(engine, 0, i / 2, &status), "status");
            known += status.here == (strcmp(status.node, i % 2 == 0 ? "one" : "two") == 0) &&
                     status.node[0] != 0;
        }
        known = count_here(one) == PARTITIONS / 2 && count_here(two) == PARTITIONS / 2 ? known : 0;
        assert_true(host_now_ms() < begin + 60000);
        usleep(2000);
    }
}

/* Gids of the caller's own, until one was begun at this engine; else where it should go. */
static void begin_at(etx_engine *engine, const char *prefix, char gid[32]) {
    etx_outcome outcome;
    int rc = ETX_EELSEWHERE;
    for (int i = 0; i < 64 && rc == ETX_EELSEWHERE; i++) {
        snprintf(gid, 32, "%s-%d", prefix, i);
        rc = run(engine, gid, &outcome);
    }
    rig_must(engine, rc, "run");
    assert_int_equal(outcome.state, ETX_COMMITTED);
}

static void one_node_has_all(void **state) {
    struct cluster cluster;
    etx_outcome outcome;
    (void)state;
    cluster_make(&cluster);
    etx_engine *one = node_start(&cluster, "one", "");
    assert_int_equal(count_here(one), PARTITIONS); /* once it has started */
    rig_must(one, run(one, NULL, &outcome), "run");
    assert_int_equal(outcome.state, ETX_COMMITTED);
    rig_close(one, ETX_CLOSE_FINISH);
    cluster_end(&cluster);
}

static void two_share_evenly(void **state) {
    struct cluster cluster;
    (void)state;
    cluster_make(&cluster);
    etx_engine *one = node_start(&cluster, "one", "");
    etx_engine *two = node_start(&cluster, "two", "");
    wait_for(one, PARTITIONS / 2);
    wait_for(two, PARTITIONS / 2);
    etx_engine *three = node_start(&cluster, "three", "");
    wait_for(three, 1); /* in the order of names: one, three, two */
    wait_for(two, 1);
    wait_for(one, 2);
    rig_close(one, ETX_CLOSE_FINISH);
    rig_close(two, ETX_CLOSE_FINISH);
    wait_for(three, PARTITIONS);
    rig_close(three, ETX_CLOSE_FINISH);
    cluster_end(&cluster);
}

/* The answer names the node and where it is reached. */
static void a_wrong_node_names_the_right_one(void **state) {
    struct cluster cluster;
    etx_outcome outcome;
    char gid[32];
    (void)state;
    cluster_make(&cluster);
    etx_engine *one = node_start(&cluster, "one", "http://one:7400");
    etx_engine *two = node_start(&cluster, "two", "http://two:7400");
    wait_for_halves(one, two);
    begin_at(one, "order", gid);
    assert_int_equal(run(two, gid, &outcome), ETX_EELSEWHERE);
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
        rig_must(two, run(two, NULL, &outcome), "run");
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
    etx_engine *node[] = {node_start(&cluster, "one", ""), node_start(&cluster, "two", "")};
    wait_for_halves(node[0], node[1]);
    unsigned begun[2] = {0, 0};
    for (int i = 0; i < ALL; i++) {
        char gid[32];
        etx_outcome outcome;
        snprintf(gid, sizeof gid, "listed-%d", i);
        int at_second = run(node[0], gid, &outcome) == ETX_EELSEWHERE;
        rig_must(node[at_second], run(node[at_second], gid, &outcome), "run");
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
    etx_engine *one = node_start(&cluster, "one", "http://one:7400");
    etx_engine *two = node_start(&cluster, "two", "");
    wait_for_halves(one, two);
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
    etx_engine *one = node_start_at(&cluster, "one", "http://one:1", own.url);
    etx_engine *two = node_start(&cluster, "two", "");
    wait_for(two, PARTITIONS / 2);
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

static void who_leaves_hands_over_at_once(void **state) {
    struct cluster cluster;
    char gid[32];
    (void)state;
    cluster_make(&cluster);
    etx_engine *one = node_start(&cluster, "one", "");
    etx_engine *two = node_start(&cluster, "two", "");
    wait_for_halves(one, two);
    begin_at(one, "order", gid);
    rig_close(one, ETX_CLOSE_LEAVE);
    uint64_t took = wait_for(two, PARTITIONS);
    assert_true(took < LEASE_MS * 3 / 4);
    assert_int_equal(rig_state(two, gid), ETX_COMMITTED);
    rig_close(two, ETX_CLOSE_FINISH);
    cluster_end(&cluster);
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
    etx_engine *one = node_start(&cluster, "one", "");
    etx_engine *two = node_start(&cluster, "two", "");
    etx_participant stuck = host_participant("slow", ETX_TCC, 0, &slow);
    etx_participant quick = host_participant("slow", ETX_TCC, 0, &other);
    rig_must(one, etx_engine_register(one, &stuck), "slow");
    rig_must(two, etx_engine_register(two, &quick), "slow");
    wait_for_halves(one, two);
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
    wait_for(two, PARTITIONS);
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
    etx_outcome outcome;
    (void)state;
    cluster_make(&cluster);
    etx_engine *older = node_start(&cluster, "one", "");
    etx_engine *newer = node_start(&cluster, "one", "");
    wait_for(older, 0);
    wait_for(newer, PARTITIONS);
    assert_int_equal(run(older, NULL, &outcome), ETX_EUNAVAILABLE);
    assert_non_null(strstr(outcome.reason, "another process is node one"));
    rig_must(newer, run(newer, NULL, &outcome), "run");
    rig_close(older, ETX_CLOSE_LEAVE);
    wait_for(newer, PARTITIONS);
    rig_close(newer, ETX_CLOSE_FINISH);
    cluster_end(&cluster);
}

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
    etx_outcome outcome;
    char gid[32];
    (void)state;
    cluster_make(&cluster);
    etx_engine *one = node_start(&cluster, "one", "");
    etx_engine *two = node_start(&cluster, "two", "");
    etx_partition_status where = {.size = sizeof where};
    wait_for_halves(one, two);
    begin_at(one, "order", gid);
    rig_must(one, etx_engine_gid_status(one, gid, &where), "gid");
    move(one, two, "two", where.number);
    wait_for_halves(one, two);
    assert_true(is_here(two, where.number));
    assert_int_equal(rig_state(two, gid), ETX_COMMITTED);
    assert_int_equal(run(one, gid, &outcome), ETX_EELSEWHERE);
    if (is_here(two, 0)) {
        move(two, one, "one", 0);
        wait_for_halves(one, two);
    }
    move(one, two, "two", 0);
    wait_for_halves(one, two);
    assert_true(is_here(two, 0));
    /* a third comes, and has its share of what was not moved */
    unsigned kept = where.number == 0 ? 1 : 2;
    etx_engine *aaa = node_start(&cluster, "aaa", "");
    wait_for(aaa, 3 - kept);
    wait_for(one, 1);
    wait_for(two, kept);
    assert_true(is_here(two, 0));
    rig_close(aaa, ETX_CLOSE_FINISH);
    rig_close(one, ETX_CLOSE_FINISH);
    rig_close(two, ETX_CLOSE_FINISH);
    cluster_end(&cluster);
}

/* What cannot be moved, and why. */
static void a_move_is_refused(void **state) {
    struct cluster cluster;
    char message[512];
    (void)state;
    cluster_make(&cluster);
    etx_engine *one = node_start(&cluster, "one", "http://one:7400");
    etx_engine *two = node_start(&cluster, "two", "");
    etx_engine *zoo = node_start(&cluster, "zoo", "");
    wait_for(one, 2);
    wait_for(two, 1);
    wait_for(zoo, 1);
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

/* It gives all away, goes on knowing who has what, and takes its part again when it is told. */
static void one_is_drained(void **state) {
    struct cluster cluster;
    etx_outcome outcome;
    etx_node_status node = {.size = sizeof node};
    etx_home_status home = {.size = sizeof home};
    char gid[32];
    (void)state;
    cluster_make(&cluster);
    etx_engine *one = node_start(&cluster, "one", "");
    etx_engine *two = node_start(&cluster, "two", "");
    wait_for_halves(one, two);
    begin_at(one, "order", gid);
    rig_must(one, etx_engine_drain(one, 0, 1), "drain");
    wait_for(two, PARTITIONS);
    assert_int_equal(count_here(one), 0);
    assert_int_equal(rig_state(two, gid), ETX_COMMITTED);
    assert_int_equal(run(one, NULL, &outcome), ETX_EUNAVAILABLE);
    assert_non_null(strstr(outcome.reason, "drained"));
    rig_must(one, etx_engine_home_status(one, 0, &home), "home");
    assert_true(home.drained && !home.usable);
    for (uint64_t begin = host_now_ms(); run(one, gid, &outcome) != ETX_EELSEWHERE;) {
        assert_true(host_now_ms() < begin + 60000);
        usleep(2000);
    }
    assert_int_equal(etx_engine_node_status(two, 0, 1, &node), ETX_ENOTFOUND);
    assert_int_equal(etx_engine_move(one, 0, 0, "one"), ETX_ESTATE);
    assert_int_equal(etx_engine_move(two, 0, 0, "one"), ETX_ENOTFOUND);
    /* the last one cannot go */
    assert_int_equal(etx_engine_drain(two, 0, 1), ETX_ESTATE);
    rig_must(one, etx_engine_drain(one, 0, 0), "undo");
    wait_for_halves(one, two);
    rig_must(one, run(one, NULL, &outcome), "run");
    rig_close(one, ETX_CLOSE_FINISH);
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
    etx_engine *one = node_start(&cluster, "one", "");
    wait_without_lease(&cluster, one);
    rig_log_put(&cluster.log, 2, 4711, (etx_bytes){"\x01", 1});
    atomic_store(&cluster.log.away, 0);
    assert_true(host_wait_for(&cluster.lost, 1));
    wait_for(one, PARTITIONS);
    assert_int_equal(atomic_load(&cluster.lost), 1);
    rig_close(one, ETX_CLOSE_FINISH);
    cluster_end(&cluster);
}

/* Without its lease it writes nothing new; with it, it goes on. */
static void without_a_lease_nothing_new_is_written(void **state) {
    struct cluster cluster;
    etx_outcome outcome;
    (void)state;
    cluster_make(&cluster);
    etx_engine *one = node_start(&cluster, "one", "");
    wait_without_lease(&cluster, one);
    unsigned puts = atomic_load(&cluster.log.puts);
    assert_int_equal(run(one, NULL, &outcome), ETX_EUNAVAILABLE);
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
    while (run(one, NULL, &outcome) != 0) {
        assert_true(host_now_ms() < until);
        usleep(5000);
    }
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
        cmocka_unit_test(who_leaves_hands_over_at_once),
        cmocka_unit_test(what_a_dead_node_had_goes_on),
        cmocka_unit_test(of_two_with_one_name_the_older_stops),
        cmocka_unit_test(one_is_moved),
        cmocka_unit_test(a_move_is_refused),
        cmocka_unit_test(one_is_drained),
        cmocka_unit_test(a_lease_that_had_run_out_is_proved),
        cmocka_unit_test(without_a_lease_nothing_new_is_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
