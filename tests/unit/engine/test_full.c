/* A store that is full and does not say so, but for the puts that it refuses. */
#include "rig_cluster.h"

enum { LARGE = 3000, ROOM = 8 * 1024 };

struct shop {
    rig_log first, second;
    rig_bank bank;
    etx_engine *engine;
    atomic_uint told[32];
    char why[200]; /* of the event that the first is full */
    etx_tx *begun; /* "begun", at the first */
};

static void note(const etx_event *event, void *user) {
    struct shop *shop = user;
    if (event->type == ETX_EVENT_LOG_FULL && shop->told[event->type] == 0) {
        snprintf(shop->why, sizeof shop->why, "%s %s", event->home, event->reason);
    }
    atomic_fetch_add(&shop->told[event->type], 1);
}

static void shop_make(struct shop *shop) {
    etx_options options = rig_options();
    etx_monitor monitor = ETX_MONITOR_INIT;
    etx_tx_options begin = ETX_TX_OPTIONS_INIT;
    memset(shop, 0, sizeof *shop);
    monitor.on_event = note;
    monitor.user = shop;
    monitor.events = 1u << ETX_EVENT_HOME_DOWN | 1u << ETX_EVENT_HOME_UP |
                     1u << ETX_EVENT_LOG_FULL | 1u << ETX_EVENT_LOG_ROOM;
    options.monitor = &monitor;
    options.hold_down_ms = 1;
    rig_log_make(&shop->first, NULL, "partitions=1");
    rig_log_make(&shop->second, NULL, "partitions=1");
    rig_bank_make(&shop->bank, 1000);
    shop->engine = rig_engine(&options, shop->first.url, shop->second.url);
    rig_bank_register(&shop->bank, shop->engine, "bank", ETX_TCC, ETX_INLINE);
    rig_start(shop->engine);
    begin.gid = "begun";
    begin.deadline_ms = 600000;
    rig_must(shop->engine, etx_tx_begin(shop->engine, &begin, &shop->begun), "begin");
}

/* A step of "begun" that its initiator does, while there is room. */
static void enlist(struct shop *shop, const char *name) {
    etx_branch branch = ETX_BRANCH_INIT;
    branch.participant = "bank";
    branch.name = name;
    branch.flags = ETX_BY_INITIATOR;
    rig_must(shop->engine, etx_tx_enlist(shop->begun, &branch), "enlist");
}

static void shop_end(struct shop *shop) {
    rig_log_fail(&shop->first, RIG_WELL, 0);
    rig_close(shop->engine, ETX_CLOSE_FINISH);
    rig_bank_end(&shop->bank);
    rig_log_end(&shop->first);
    rig_log_end(&shop->second);
}

static etx_home_status first_of(struct shop *shop) {
    etx_home_status status = {.size = sizeof status};
    assert_int_equal(etx_engine_home_status(shop->engine, 0, &status), 0);
    return status;
}

/* Of a transaction that is too large for what is left. */
static int run_large(struct shop *shop, const char *gid, etx_outcome *outcome) {
    etx_tx_options options = ETX_TX_OPTIONS_INIT;
    char payload[LARGE] = "";
    rig_order order = {1, 'D'};
    etx_tx *tx = NULL;
    memcpy(payload, &order, sizeof order);
    options.gid = gid;
    *outcome = (etx_outcome)ETX_OUTCOME_INIT;
    rig_must(shop->engine, etx_tx_new(shop->engine, &options, &tx), "new");
    rig_must(shop->engine, etx_tx_add(tx, "bank", payload, sizeof payload), "add");
    return etx_tx_run(tx, outcome);
}

static bool lives_at_first(struct shop *shop, const char *gid) {
    return strstr(gid, first_of(shop).id) != NULL;
}

static uint64_t bytes_put(etx_engine *engine) {
    etx_metrics metrics = {.size = sizeof metrics};
    assert_int_equal(etx_engine_metrics(engine, &metrics), 0);
    return metrics.put_bytes;
}

/* It refuses what is large, and that was noticed. */
static void crowd(struct shop *shop) {
    etx_outcome outcome = ETX_OUTCOME_INIT;
    unsigned refused = shop->first.faults;
    rig_log_fail(&shop->first, RIG_CROWDED, -1);
    assert_int_equal(run_large(shop, NULL, &outcome), 0);
    assert_false(lives_at_first(shop, outcome.gid));
    assert_true(host_wait_for(&shop->first.faults, refused + 5)); /* nobody comes, it is tried */
    assert_int_equal(first_of(shop).usable, 0);
}

/* Returns how much was written before the home was called well. */
static uint64_t make_room(struct shop *shop, unsigned up) {
    uint64_t before = bytes_put(shop->engine);
    rig_log_fail(&shop->first, RIG_WELL, 0);
    assert_true(host_wait_for(&shop->told[ETX_EVENT_HOME_UP], up));
    return bytes_put(shop->engine) - before;
}

/* One event says which home is full, and it is not called well because something small fits. */
static void a_small_put_makes_no_room(void **state) {
    struct shop shop;
    etx_outcome outcome = ETX_OUTCOME_INIT;
    char id[ETX_HOME_ID_LEN + 1];
    (void)state;
    shop_make(&shop);
    enlist(&shop, "a");
    crowd(&shop);
    unsigned puts = shop.first.puts;
    rig_must(shop.engine, etx_tx_result(shop.begun, "a", ETX_DONE, "", 0, NULL),
             "what has begun goes on");
    assert_true(host_wait_for(&shop.first.puts, puts + 3));
    assert_int_equal(first_of(&shop).usable, 0);
    assert_non_null(strstr(first_of(&shop).why, "no space"));
    assert_int_equal(run_large(&shop, "late", &outcome), ETX_EFULL);
    rig_must(shop.engine, etx_tx_commit(shop.begun, &outcome), "commit");
    assert_int_equal(outcome.state, ETX_COMMITTED);
    assert_int_equal(shop.told[ETX_EVENT_HOME_DOWN], 1);
    assert_int_equal(shop.told[ETX_EVENT_LOG_FULL], 1);
    assert_int_equal(shop.told[ETX_EVENT_HOME_UP] + shop.told[ETX_EVENT_LOG_ROOM], 0);
    snprintf(id, sizeof id, "%s", first_of(&shop).id);
    assert_int_equal(strncmp(shop.why, id, strlen(id)), 0);
    assert_non_null(strstr(shop.why, "no space"));
    assert_true(make_room(&shop, 1) >= ROOM);
    assert_int_equal(shop.told[ETX_EVENT_LOG_ROOM], 1);
    assert_int_equal(shop.told[ETX_EVENT_LOG_FULL], 1);
    uint64_t end = host_now_ms() + 60000;
    do {
        assert_int_equal(run_large(&shop, NULL, &outcome), 0);
    } while (!lives_at_first(&shop, outcome.gid) && host_now_ms() < end);
    assert_true(lives_at_first(&shop, outcome.gid));
    shop_end(&shop);
}

/* A log is told in which puts something begins: so it can keep a reserve for the rest. */
static void nothing_begins_in_the_reserve(void **state) {
    struct shop shop;
    etx_outcome outcome = ETX_OUTCOME_INIT;
    (void)state;
    shop_make(&shop);
    enlist(&shop, "a");
    rig_log_fail(&shop.first, RIG_RESERVE, -1);
    assert_int_equal(run_large(&shop, "new", &outcome), ETX_EFULL);
    rig_must(shop.engine, etx_tx_result(shop.begun, "a", ETX_DONE, "", 0, NULL), "result");
    rig_must(shop.engine, etx_tx_commit(shop.begun, &outcome), "commit");
    assert_int_equal(outcome.state, ETX_COMMITTED);
    shop_end(&shop);
}

/* What has begun is not held up by what is written to see whether there is room; and it does not
 * count, however much it is. */
static void what_has_begun_comes_first(void **state) {
    struct shop shop;
    etx_outcome outcome = ETX_OUTCOME_INIT;
    char payload[350] = "";
    (void)state;
    shop_make(&shop);
    for (int i = 0; i < 60; i++) {
        char name[8];
        snprintf(name, sizeof name, "b%d", i);
        enlist(&shop, name);
    }
    crowd(&shop);
    assert_true(host_wait_for(&shop.first.faults, shop.first.faults + 1));
    for (int i = 0; i < 60; i++) { /* before a put that is larger is tried again, and refused */
        char name[8];
        snprintf(name, sizeof name, "b%d", i);
        rig_must(shop.engine,
                 etx_tx_result(shop.begun, name, ETX_DONE, payload, sizeof payload, NULL),
                 "result");
    }
    assert_true(sizeof payload * 60 > 2 * ROOM);
    assert_int_equal(first_of(&shop).usable, 0);
    assert_int_equal(shop.told[ETX_EVENT_HOME_UP], 0);
    rig_must(shop.engine, etx_tx_abort(shop.begun, &outcome), "abort");
    assert_int_equal(outcome.state, ETX_ABORTED);
    shop_end(&shop);
}

/* What is left there is for what must be written: no branch is added, and nothing is held that is
 * not yet. What was said before is answered as it stands; results and the decision are taken. */
static void what_has_begun_grows_no_more(void **state) {
    struct shop shop;
    etx_outcome outcome = ETX_OUTCOME_INIT;
    etx_branch branch = ETX_BRANCH_INIT;
    char message[256];
    (void)state;
    for (int says_so = 0; says_so < 2; says_so++) {
        shop_make(&shop);
        enlist(&shop, "a");
        if (says_so) {
            atomic_store(&shop.first.full, 1);
            assert_int_equal(run_large(&shop, NULL, &outcome), 0);
        } else {
            crowd(&shop);
        }
        branch.participant = "bank";
        branch.name = "b";
        branch.flags = ETX_BY_INITIATOR;
        assert_int_equal(etx_tx_enlist(shop.begun, &branch), ETX_EFULL);
        etx_engine_message(shop.engine, message, sizeof message);
        assert_non_null(strstr(message, "space"));
        assert_int_equal(etx_tx_hold(shop.begun), ETX_EFULL);
        enlist(&shop, "a");
        branch.name = "a";
        branch.payload = "other";
        branch.payload_len = 5;
        assert_int_equal(etx_tx_enlist(shop.begun, &branch), ETX_ECONFLICT);
        branch.payload_len = 0;
        rig_must(shop.engine, etx_tx_result(shop.begun, "a", ETX_DONE, "", 0, NULL), "result");
        rig_must(shop.engine, etx_tx_commit(shop.begun, &outcome), "commit");
        assert_int_equal(outcome.state, ETX_COMMITTED);
        atomic_store(&shop.first.full, 0);
        shop_end(&shop);
    }
}

/* It was full again soon after there was room: then more is written before it is believed. */
static void a_relapse_is_believed_later(void **state) {
    struct shop shop;
    (void)state;
    shop_make(&shop);
    for (unsigned i = 0; i < 3; i++) {
        crowd(&shop);
        assert_true(make_room(&shop, i + 1) >= (uint64_t)ROOM << i);
        etx_outcome outcome = ETX_OUTCOME_INIT;
        do { /* it is held for a moment */
            assert_int_equal(run_large(&shop, NULL, &outcome), 0);
        } while (!lives_at_first(&shop, outcome.gid));
    }
    assert_int_equal(shop.told[ETX_EVENT_LOG_FULL], 3);
    assert_int_equal(shop.told[ETX_EVENT_LOG_ROOM], 3);
    rig_must(shop.engine, etx_tx_abort(shop.begun, NULL), "abort");
    shop_end(&shop);
}

/* A log that says itself when it is full is believed: nothing is written for it. */
static void a_log_that_says_so_is_believed(void **state) {
    struct shop shop;
    etx_outcome outcome = ETX_OUTCOME_INIT;
    (void)state;
    shop_make(&shop);
    atomic_store(&shop.first.full, 1);
    rig_log_fail(&shop.first, RIG_FULL, 3);
    assert_int_equal(run_large(&shop, NULL, &outcome), 0);
    assert_false(lives_at_first(&shop, outcome.gid));
    assert_true(host_wait_for(&shop.first.faults, 3));
    assert_int_equal(run_large(&shop, "late", &outcome), ETX_EFULL);
    assert_int_equal(shop.told[ETX_EVENT_LOG_FULL], 1);
    assert_int_equal(shop.told[ETX_EVENT_HOME_UP], 0);
    uint64_t before = bytes_put(shop.engine);
    atomic_store(&shop.first.full, 0);
    assert_true(host_wait_for(&shop.told[ETX_EVENT_HOME_UP], 1));
    assert_true(bytes_put(shop.engine) - before < ROOM);
    assert_int_equal(shop.told[ETX_EVENT_LOG_ROOM], 1);
    rig_must(shop.engine, etx_tx_abort(shop.begun, NULL), "abort");
    shop_end(&shop);
}

/* Not even a lease finds room. */
static void a_lease_without_room(void **state) {
    struct cluster cluster;
    etx_outcome outcome = ETX_OUTCOME_INIT;
    (void)state;
    cluster_make(&cluster);
    etx_engine *engine = cluster_node_start(&cluster, "a", "");
    (void)cluster_wait_for(engine, PARTITIONS);
    atomic_store(&cluster.log.away, ETX_EFULL);
    assert_true(host_wait_for(&cluster.down, 1));
    assert_int_equal(cluster_run(engine, NULL, &outcome), ETX_EFULL);
    assert_non_null(strstr(outcome.reason, "no space"));
    atomic_store(&cluster.log.away, 0);
    uint64_t end = host_now_ms() + 60000;
    while (cluster_run(engine, NULL, &outcome) == ETX_EFULL && host_now_ms() < end) {
        usleep(1000);
    }
    assert_int_equal(outcome.state, ETX_COMMITTED);
    rig_close(engine, ETX_CLOSE_FINISH);
    cluster_end(&cluster);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_small_put_makes_no_room),
        cmocka_unit_test(nothing_begins_in_the_reserve),
        cmocka_unit_test(what_has_begun_comes_first),
        cmocka_unit_test(what_has_begun_grows_no_more),
        cmocka_unit_test(a_relapse_is_believed_later),
        cmocka_unit_test(a_log_that_says_so_is_believed),
        cmocka_unit_test(a_lease_without_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
