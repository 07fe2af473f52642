/* While a put is under way: nobody is told, nothing is trimmed, and a close says that it was not
 * clean. */
#include <dirent.h>

#include "rig.h"

struct shop {
    host_dir dir;
    rig_log log;
    rig_bank bank;
    host_bank slow; /* its forward calls wait at a gate, on a worker */
    atomic_uint told[32];
    etx_engine *engine;
};

static void count_event(const etx_event *event, void *user) {
    struct shop *shop = user;
    if (strcmp(event->gid, "slow-1") == 0) {
        atomic_fetch_add(&shop->told[event->type], 1);
    }
}

static void shop_start(struct shop *shop, etx_durability durability) {
    etx_monitor monitor = ETX_MONITOR_INIT;
    etx_options options = rig_options();
    options.durability = durability;
    options.history_max = 200;
    options.flush_ms = 5000;
    monitor.on_event = count_event;
    monitor.events = ~0ull;
    monitor.user = shop;
    options.monitor = &monitor;
    shop->engine = rig_engine(&options, shop->log.url, NULL);
    rig_bank_register(&shop->bank, shop->engine, "bank", ETX_TCC, ETX_INLINE);
    etx_participant participant = host_participant("slow", ETX_TCC, 0, &shop->slow);
    rig_must(shop->engine, etx_engine_register(shop->engine, &participant), "register");
    rig_start(shop->engine);
}

static void shop_make(struct shop *shop) {
    memset(shop, 0, sizeof *shop);
    rig_log_make(&shop->log, NULL, "partitions=1");
    rig_bank_make(&shop->bank, 20000);
    host_bank_make(&shop->slow);
    shop->slow.gated = true;
    shop_start(shop, ETX_LOCAL);
}

static void shop_end(struct shop *shop) {
    rig_bank_end(&shop->bank);
    rig_log_end(&shop->log);
}

static int count_one(const etx_status *status, void *user) {
    assert_int_equal(status->state, ETX_COMMITTING);
    ++*(unsigned *)user;
    return 0;
}

static unsigned committing(etx_engine *engine) {
    etx_filter filter = ETX_FILTER_INIT;
    etx_cursor cursor = {{0, 0}};
    unsigned count = 0;
    filter.states = 1u << ETX_COMMITTING;
    rig_must(engine, etx_list(engine, &filter, &cursor, 1000, count_one, &count), "list");
    return count;
}

static void nothing_is_told_before_it_is_durable(void **state) {
    struct shop shop;
    (void)state;
    shop_make(&shop);
    rig_submit_slow(shop.engine, &shop.slow);
    assert_true(host_wait_for(&shop.told[ETX_EVENT_BEGUN], 1));
    rig_log_fail(&shop.log, RIG_HANGS, 1);
    sem_post(&shop.slow.gate);
    assert_true(host_wait_for(&shop.log.hanging, 1)); /* with the DECIDE */
    assert_int_equal(committing(shop.engine), 0);
    assert_int_equal(shop.told[ETX_EVENT_DECIDED], 0);
    assert_int_equal(shop.slow.commits, 0);
    etx_metrics metrics = {.size = sizeof metrics};
    assert_int_equal(etx_engine_metrics(shop.engine, &metrics), 0);
    assert_int_equal(metrics.committed, 0);
    sem_post(&shop.log.gate);
    assert_true(rig_reaches(shop.engine, "slow-1", ETX_COMMITTED, 0));
    assert_true(host_wait_for(&shop.told[ETX_EVENT_ENDED], 1));
    assert_int_equal(shop.told[ETX_EVENT_DECIDED], 1);
    rig_close(shop.engine, ETX_CLOSE_FINISH);
    assert_int_equal(shop.log.clean, 1);
    shop_end(&shop);
}

/* ---- trim */

static void note_slow(const etx_slot *slot, const etx_record *record, void *user) {
    (void)slot;
    if (record->type == ETX_RECORD_MOVE || record->type == ETX_RECORD_BEGIN) {
        *(int *)user |= record->gid.len == 6 && memcmp(record->gid.data, "slow-1", 6) == 0;
    }
}

/* What lives must stand, whole, in slots that stay. */
static void check_trim(rig_log *log, uint32_t partition, uint64_t below) {
    int found = 0;
    rig_log_records(log, partition, below, note_slow, &found);
    rig_check(found);
}

static void moves_are_durable_before_the_trim(void **state) {
    struct shop shop;
    char payload[16 * 1024];
    rig_done done = {0};
    (void)state;
    memset(payload, 'p', sizeof payload);
    shop_make(&shop);
    rig_submit_slow(shop.engine, &shop.slow);
    shop.log.on_trim = check_trim;
    for (unsigned i = 0; i < 2500 && shop.log.trims < 4; i++) {
        etx_tx *tx = NULL;
        rig_must(shop.engine, etx_tx_new(shop.engine, NULL, &tx), "new");
        rig_must(shop.engine, etx_tx_add(tx, "bank", payload, sizeof payload), "add");
        rig_must(shop.engine, etx_tx_submit(tx, rig_done_fn, &done), "submit");
        if (i % 16 == 15) {
            assert_true(host_wait_for(&done.count, i));
        }
    }
    assert_true(host_wait_for(&shop.log.trims, 4));
    sem_post(&shop.slow.gate);
    assert_true(rig_quiet(shop.engine));
    assert_int_equal(rig_state(shop.engine, "slow-1"), ETX_COMMITTED);
    rig_close(shop.engine, ETX_CLOSE_FINISH);
    shop_end(&shop);
}

/* ---- close */

static void note_decide(const etx_slot *slot, const etx_record *record, void *user) {
    (void)slot;
    *(int *)user += record->type == ETX_RECORD_DECIDE;
}

/* Does a thread of that name live? */
static bool thread_lives(const char *name) {
    DIR *dir = opendir("/proc/self/task");
    bool lives = false;
    rig_check(dir != NULL);
    for (struct dirent *entry = readdir(dir); entry != NULL; entry = readdir(dir)) {
        char path[300];
        char comm[32] = "";
        snprintf(path, sizeof path, "/proc/self/task/%s/comm", entry->d_name);
        FILE *file = fopen(path, "re");
        if (file != NULL) {
            lives |= fgets(comm, sizeof comm, file) != NULL && strstr(comm, name) == comm;
            fclose(file);
        }
    }
    closedir(dir);
    return lives;
}

/* Lets the call return once the engine decides nothing any more: its own threads are gone. */
static void *open_gate(void *user) {
    struct shop *shop = user;
    while (thread_lives("etx-core")) {
        usleep(1000);
    }
    sem_post(&shop->slow.gate);
    return NULL;
}

/* ... or lets the put, after a while: whoever only looks at what is durable has looked by then. */
static void *open_log(void *user) {
    struct shop *shop = user;
    usleep(100000);
    sem_post(&shop->log.gate);
    return NULL;
}

static void note_end(const etx_slot *slot, const etx_record *record, void *user) {
    (void)slot;
    *(int *)user += record->type == ETX_RECORD_END;
}

/* Nobody waits for an END, and it would ride with the next put: a close leaves none behind. */
static void a_close_writes_what_nobody_waits_for(void **state) {
    struct shop shop;
    int ended = 0;
    (void)state;
    shop_make(&shop);
    etx_outcome outcome = ETX_OUTCOME_INIT;
    rig_must(shop.engine, etx_tx_run(rig_pair(shop.engine, "bank", "one", 'D'), &outcome), "run");
    rig_close(shop.engine, ETX_CLOSE_FINISH);
    rig_log_records(&shop.log, 0, 0, note_end, &ended);
    assert_int_equal(ended, 1);
    assert_int_equal(shop.log.clean, 1);
    shop_end(&shop);
}

/* A call that comes back while the engine closes is recorded; what follows is for the next. */
static void a_close_decides_nothing(void **state) {
    struct shop shop;
    pthread_t thread;
    int decided = 0;
    (void)state;
    shop_make(&shop);
    rig_submit_slow(shop.engine, &shop.slow);
    assert_int_equal(pthread_create(&thread, NULL, open_gate, &shop), 0);
    rig_close(shop.engine, ETX_CLOSE_LEAVE);
    pthread_join(thread, NULL);
    rig_log_records(&shop.log, 0, 0, note_decide, &decided);
    assert_int_equal(decided, 0);
    assert_int_equal(shop.slow.commits, 0);
    shop.slow.gated = false;
    shop_start(&shop, ETX_LOCAL);
    assert_true(rig_reaches(shop.engine, "slow-1", ETX_COMMITTED, 0));
    rig_close(shop.engine, ETX_CLOSE_FINISH);
    shop_end(&shop);
}

static void a_close_with_something_unwritten_is_not_clean(void **state) {
    struct shop shop;
    rig_done done = {0};
    (void)state;
    shop_make(&shop);
    rig_log_fail(&shop.log, RIG_UNKNOWN, -1);
    rig_must(shop.engine,
             etx_tx_submit(rig_pair(shop.engine, "bank", "mine", 'D'), rig_done_fn, &done),
             "submit");
    assert_true(host_wait_for(&shop.log.faults, 1));
    atomic_store(&shop.log.clean, 1);
    etx_engine_close(shop.engine, ETX_CLOSE_LEAVE, 100);
    etx_engine_free(shop.engine);
    assert_true(host_wait_for(&shop.log.closed, 1)); /* if a put was under way: when it is back */
    assert_int_equal(shop.log.clean, 0);
    assert_true(host_wait_for(&done.count, 1));
    assert_int_not_equal(done.rc, 0);
    shop_end(&shop);
}

/* The order for many finds also what has a record on its way: here an abort of what is parked. */
static void an_order_for_many_takes_what_changes_meanwhile(void **state) {
    struct shop shop;
    rig_done done = {0};
    etx_filter filter = ETX_FILTER_INIT;
    etx_tx_options options = ETX_TX_OPTIONS_INIT;
    etx_tx *tx = NULL;
    pthread_t thread;
    uint64_t count = 0;
    (void)state;
    shop_make(&shop);
    options.gid = "parked";
    rig_must(shop.engine, etx_tx_begin(shop.engine, &options, &tx), "begin");
    rig_must(shop.engine, etx_park(shop.engine, "parked", "ann", "look"), "park");
    rig_log_fail(&shop.log, RIG_HANGS, 1);
    rig_must(shop.engine, etx_tx_abort_async(tx, rig_done_fn, &done), "abort");
    assert_true(host_wait_for(&shop.log.hanging, 1));
    filter.marks = ETX_MARK_PARKED;
    assert_int_equal(pthread_create(&thread, NULL, open_log, &shop), 0);
    rig_must(shop.engine,
             etx_bulk_operate(shop.engine, ETX_BULK_RESUME, &filter, 0, "ann", "go on", &count),
             "resume");
    assert_int_equal(count, 1);
    pthread_join(thread, NULL);
    assert_true(rig_reaches(shop.engine, "parked", ETX_ABORTED, 0));
    rig_close(shop.engine, ETX_CLOSE_FINISH);
    shop_end(&shop);
}

/* A log that takes no more: who waits for the decision hears how far it is in the log. */
static void an_impatient_caller_hears_what_is_durable(void **state) {
    struct shop shop;
    etx_tx_options options = ETX_TX_OPTIONS_INIT;
    etx_outcome outcome = ETX_OUTCOME_INIT;
    etx_tx *tx = NULL;
    (void)state;
    shop_make(&shop);
    options.patience_ms = 1500;
    rig_must(shop.engine, etx_tx_begin(shop.engine, &options, &tx), "begin");
    rig_log_fail(&shop.log, RIG_NOT_WRITTEN, -1);
    assert_int_equal(etx_tx_commit(tx, &outcome), ETX_EUNKNOWN);
    assert_int_equal(outcome.state, ETX_ACTIVE);
    rig_log_fail(&shop.log, RIG_WELL, 0);
    assert_true(rig_reaches(shop.engine, outcome.gid, ETX_COMMITTED, 0));
    rig_close(shop.engine, ETX_CLOSE_FINISH);
    shop_end(&shop);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_told_before_it_is_durable),
        cmocka_unit_test(moves_are_durable_before_the_trim),
        cmocka_unit_test(a_close_writes_what_nobody_waits_for),
        cmocka_unit_test(a_close_decides_nothing),
        cmocka_unit_test(a_close_with_something_unwritten_is_not_clean),
        cmocka_unit_test(an_impatient_caller_hears_what_is_durable),
        cmocka_unit_test(an_order_for_many_takes_what_changes_meanwhile),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
