/* Operators: park, resume, force, many at once; query, list page by page, wait for each state. */
#include "rig.h"

struct shop {
    rig_log log;
    host_bank stuck;
    rig_bank bank;
    etx_engine *engine;
};

static void shop_open(struct shop *shop) {
    shop->engine = rig_engine(NULL, shop->log.url, NULL);
    etx_participant participant = host_participant("stuck", ETX_TCC, ETX_INLINE, &shop->stuck);
    rig_must(shop->engine, etx_engine_register(shop->engine, &participant), "register");
    rig_bank_register(&shop->bank, shop->engine, "bank", ETX_TCC, ETX_INLINE);
    rig_start(shop->engine);
}

static void shop_make(struct shop *shop) {
    rig_log_make(&shop->log, NULL, "partitions=3");
    host_bank_make(&shop->stuck);
    rig_bank_make(&shop->bank, 1000);
    shop_open(shop);
}

static void shop_end(struct shop *shop) {
    rig_close(shop->engine, ETX_CLOSE_FINISH);
    rig_bank_end(&shop->bank);
    rig_log_end(&shop->log);
}

static void submit(struct shop *shop, const char *gid) {
    assert_int_equal(etx_tx_submit(rig_pair(shop->engine, "stuck", gid, 'D'), NULL, NULL), 0);
    etx_outcome outcome = ETX_OUTCOME_INIT;
    rig_must(shop->engine, etx_wait_for(shop->engine, gid, ETX_WAIT_BEGUN, 0, &outcome), gid);
}

/* By its state, in words. */
static void is_refused_with(struct shop *shop, int rc, const char *words) {
    char message[300] = "";
    assert_int_equal(rc, ETX_ESTATE);
    etx_engine_message(shop->engine, message, sizeof message);
    if (strstr(message, words) == NULL) {
        fail_msg("'%s' does not say '%s'", message, words);
    }
}

static void parked_until_resumed(void **state) {
    struct shop shop;
    etx_outcome outcome = ETX_OUTCOME_INIT;
    (void)state;
    shop_make(&shop);
    atomic_store(&shop.stuck.forward_reply, ETX_WORKING);
    submit(&shop, "one");
    assert_int_equal(etx_park(shop.engine, "one", NULL, "why"), ETX_EINVALID);
    rig_must(shop.engine, etx_park(shop.engine, "one", "ann", "look at it"), "park");
    rig_close(shop.engine, ETX_CLOSE_ABRUPT);
    shop_open(&shop);
    etx_metrics metrics = {.size = sizeof metrics};
    rig_must(shop.engine, etx_engine_metrics(shop.engine, &metrics), "metrics");
    assert_int_equal(metrics.recovered, 1);
    atomic_store(&shop.stuck.forward_reply, ETX_DONE);
    unsigned calls = shop.stuck.forwards;
    assert_int_equal(etx_wait_for(shop.engine, "one", ETX_WAIT_DECIDED, 100, &outcome),
                     ETX_EUNKNOWN);
    assert_true(rig_reaches(shop.engine, "one", ETX_ACTIVE, ETX_MARK_PARKED));
    assert_int_equal(shop.stuck.forwards, calls); /* also by the new owner */
    is_refused_with(&shop, etx_retry(shop.engine, "one"), "etx tx resume");
    is_refused_with(&shop, etx_park(shop.engine, "one", "ann", "again"), "parked already");
    assert_int_equal(shop.stuck.forwards, calls);
    rig_must(shop.engine, etx_resume(shop.engine, "one", "ann", "fine"), "resume");
    rig_must(shop.engine, etx_wait_for(shop.engine, "one", ETX_WAIT_ENDED, 0, &outcome), "wait");
    assert_int_equal(outcome.state, ETX_COMMITTED);
    is_refused_with(&shop, etx_park(shop.engine, "one", "ann", "too late"), "ended: COMMITTED");
    is_refused_with(&shop, etx_retry(shop.engine, "one"), "ended: COMMITTED");
    assert_int_equal(etx_retry(shop.engine, "none"), ETX_ENOTFOUND);
    shop_end(&shop);
}

static void forced(void **state) {
    struct shop shop;
    etx_outcome outcome = ETX_OUTCOME_INIT;
    (void)state;
    shop_make(&shop);
    atomic_store(&shop.stuck.forward_reply, ETX_WORKING);
    submit(&shop, "one");
    is_refused_with(
        &shop,
        etx_force_by_hand(shop.engine, "one", ETX_FORCE_COMMIT, NULL, ETX_FORWARD, "ann", "try"),
        "not all forward results are there");
    rig_must(
        shop.engine,
        etx_force_by_hand(shop.engine, "one", ETX_FORCE_ABORT, NULL, ETX_FORWARD, "ann", "no more"),
        "force");
    rig_must(shop.engine, etx_wait_for(shop.engine, "one", ETX_WAIT_ENDED, 0, &outcome), "wait");
    assert_int_equal(outcome.state, ETX_ABORTED);
    assert_true(outcome.marks & ETX_MARK_FORCED);
    assert_non_null(strstr(outcome.reason, "no more"));
    is_refused_with(&shop, etx_park(shop.engine, "one", "ann", "too late"), "ended: ABORTED");
    /* decided, and its commits fail for ever: settled by hand */
    atomic_store(&shop.stuck.forward_reply, ETX_DONE);
    atomic_store(&shop.stuck.finish_reply, ETX_RETRY);
    submit(&shop, "two");
    rig_must(shop.engine, etx_wait_for(shop.engine, "two", ETX_WAIT_DECIDED, 0, &outcome), "wait");
    assert_int_equal(outcome.state, ETX_COMMITTING);
    assert_int_equal(
        etx_force_by_hand(shop.engine, "two", ETX_FORCE_ABORT, NULL, ETX_FORWARD, "ann", "no"),
        ETX_ESTATE);
    assert_int_equal(
        etx_force_by_hand(shop.engine, "two", ETX_FORCE_DONE, "a", ETX_UNDO, "ann", "no"),
        ETX_ESTATE);
    assert_int_equal(
        etx_force_by_hand(shop.engine, "two", ETX_FORCE_DONE, "z", ETX_COMMIT, "ann", "no"),
        ETX_ENOTFOUND);
    static const char *const branches[] = {"a", "b"};
    for (int i = 0; i < 2; i++) {
        rig_must(shop.engine,
                 etx_force_by_hand(shop.engine, "two", ETX_FORCE_DONE, branches[i], ETX_COMMIT,
                                   "ann", "done by hand"),
                 "settle");
    }
    rig_must(shop.engine, etx_wait_for(shop.engine, "two", ETX_WAIT_ENDED, 0, &outcome), "wait");
    assert_int_equal(outcome.state, ETX_COMMITTED);
    assert_true(outcome.marks & ETX_MARK_FORCED);
    shop_end(&shop);
}

/* What the monitor is told, by type. */
struct told {
    pthread_mutex_t lock;
    unsigned count[32];
    char reason[32][64];
    uint32_t marks[32];
    uint64_t begin_ms[32];
};

static void on_event(const etx_event *event, void *user) {
    struct told *told = user;
    pthread_mutex_lock(&told->lock);
    told->count[event->type]++;
    told->marks[event->type] = event->marks;
    told->begin_ms[event->type] = event->begin_ms;
    snprintf(told->reason[event->type], sizeof told->reason[0], "%s", event->reason);
    pthread_mutex_unlock(&told->lock);
}

static void expect_told(struct told *told,
                        etx_event_type type,
                        unsigned count,
                        const char *reason,
                        uint64_t begin_ms) {
    pthread_mutex_lock(&told->lock);
    for (uint64_t until = host_now_ms() + 20000; told->count[type] < count;) {
        pthread_mutex_unlock(&told->lock);
        assert_true(host_now_ms() < until);
        usleep(1000);
        pthread_mutex_lock(&told->lock);
    }
    assert_int_equal(told->count[type], count);
    assert_string_equal(told->reason[type], reason);
    assert_int_equal(told->begin_ms[type], begin_ms);
    assert_true(told->marks[type] & ETX_MARK_CHOSEN);
    pthread_mutex_unlock(&told->lock);
}

static void what_operators_do_is_told(void **state) {
    struct shop shop;
    struct told told = {.lock = PTHREAD_MUTEX_INITIALIZER};
    etx_monitor monitor = ETX_MONITOR_INIT;
    etx_options options = rig_options();
    etx_outcome outcome = ETX_OUTCOME_INIT;
    etx_status status = {.size = sizeof status};
    (void)state;
    shop_make(&shop);
    rig_close(shop.engine, ETX_CLOSE_FINISH);
    monitor.on_event = on_event;
    monitor.user = &told;
    options.monitor = &monitor;
    shop.engine = rig_engine(&options, shop.log.url, NULL);
    etx_participant participant = host_participant("stuck", ETX_TCC, ETX_INLINE, &shop.stuck);
    rig_must(shop.engine, etx_engine_register(shop.engine, &participant), "register");
    rig_start(shop.engine);
    atomic_store(&shop.stuck.forward_reply, ETX_WORKING);
    submit(&shop, "one");
    rig_must(shop.engine, etx_query(shop.engine, "one", &status), "query");
    rig_must(shop.engine, etx_park(shop.engine, "one", "ann", "look at it"), "park");
    expect_told(&told, ETX_EVENT_PARKED, 1, "look at it", status.begin_ms);
    assert_int_equal(told.count[ETX_EVENT_RESUMED], 0);
    rig_must(shop.engine, etx_resume(shop.engine, "one", "ann", "fine"), "resume");
    expect_told(&told, ETX_EVENT_RESUMED, 1, "fine", status.begin_ms);
    assert_int_equal(told.count[ETX_EVENT_FORCED], 0);
    rig_must(
        shop.engine,
        etx_force_by_hand(shop.engine, "one", ETX_FORCE_ABORT, NULL, ETX_FORWARD, "ann", "no more"),
        "force");
    rig_must(shop.engine, etx_wait_for(shop.engine, "one", ETX_WAIT_ENDED, 0, &outcome), "wait");
    expect_told(&told, ETX_EVENT_FORCED, 1, "no more", status.begin_ms);
    assert_int_equal(told.count[ETX_EVENT_PARKED], 1);
    shop_end(&shop);
}

struct seen {
    unsigned count, twice;
    uint8_t of[200];
};

static int see(const etx_status *status, void *user) {
    struct seen *seen = user;
    unsigned number = 0;
    if (sscanf(status->gid, "tx-%u", &number) == 1 && number < 200) {
        seen->twice += seen->of[number];
        seen->of[number] = 1;
        seen->count++;
    }
    return 0;
}

static unsigned list_all(struct shop *shop,
                         const etx_filter *filter,
                         uint32_t page,
                         struct seen *seen) {
    etx_cursor cursor = {{0, 0}};
    unsigned pages = 0;
    memset(seen, 0, sizeof *seen);
    do {
        unsigned before = seen->count;
        rig_must(shop->engine, etx_list(shop->engine, filter, &cursor, page, see, seen), "list");
        assert_true(seen->count - before <= page);
        pages++;
    } while (cursor.word[0] != 0 || cursor.word[1] != 0);
    assert_int_equal(seen->twice, 0);
    return pages;
}

static void listed_page_by_page(void **state) {
    enum { MANY = 150 };
    struct shop shop;
    struct seen seen;
    char gid[16];
    (void)state;
    shop_make(&shop);
    atomic_store(&shop.stuck.forward_reply, ETX_WORKING);
    for (int i = 0; i < MANY; i++) {
        snprintf(gid, sizeof gid, "tx-%d", i);
        submit(&shop, gid);
    }
    etx_outcome outcome = ETX_OUTCOME_INIT;
    rig_must(shop.engine, etx_tx_run(rig_pair(shop.engine, "bank", "tx-199", 'R'), &outcome),
             "run");
    etx_filter filter = ETX_FILTER_INIT;
    assert_true(list_all(&shop, &filter, 7, &seen) >= MANY / 7);
    assert_int_equal(seen.count, MANY);
    filter.participant = "bank";
    list_all(&shop, &filter, 7, &seen);
    assert_int_equal(seen.count, 0);
    filter.participant = "stuck";
    filter.gid_prefix = "tx-14";
    list_all(&shop, &filter, 3, &seen);
    assert_int_equal(seen.count, 11);
    filter = (etx_filter)ETX_FILTER_INIT;
    filter.states = 1u << ETX_ABORTED;
    filter.remembered = 1;
    list_all(&shop, &filter, 100, &seen);
    assert_int_equal(seen.count, 1);
    filter = (etx_filter)ETX_FILTER_INIT;
    filter.gid_prefix = "tx-1";
    uint64_t count = 0;
    rig_must(shop.engine,
             etx_bulk_operate(shop.engine, ETX_BULK_PARK, &filter, 100000, "ann", "all", &count),
             "park");
    assert_int_equal(count, 61);
    filter = (etx_filter)ETX_FILTER_INIT;
    filter.marks = ETX_MARK_PARKED;
    list_all(&shop, &filter, 10, &seen);
    assert_int_equal(seen.count, 61);
    atomic_store(&shop.stuck.forward_reply, ETX_DONE);
    rig_must(shop.engine,
             etx_bulk_operate(shop.engine, ETX_BULK_RESUME, &filter, 100000, "ann", "go", &count),
             "resume");
    assert_int_equal(count, 61);
    filter = (etx_filter)ETX_FILTER_INIT;
    rig_must(shop.engine,
             etx_bulk_operate(shop.engine, ETX_BULK_RETRY, &filter, 100000, NULL, NULL, &count),
             "retry");
    assert_true(rig_quiet(shop.engine));
    shop_end(&shop);
}

/* How long it takes to do that with all of them, by the clock that nobody sets. */
static uint64_t bulk_ms(struct shop *shop, etx_bulk what, uint32_t per_second, uint64_t all) {
    etx_filter filter = ETX_FILTER_INIT;
    uint64_t count = 0;
    uint64_t begin_ms = host_now_ms();
    rig_must(shop->engine,
             etx_bulk_operate(shop->engine, what, &filter, per_second, "ann", "pace", &count),
             "bulk");
    assert_int_equal(count, all);
    return host_now_ms() - begin_ms;
}

/* At most so many a second: who resumes thousands floods no participant. How long a machine takes
 * beyond that is its own affair. */
static void many_at_a_pace(void **state) {
    enum { MANY = 9, PER_SECOND = 40, LEAST_MS = (MANY - 1) * 1000 / PER_SECOND, MOST_MS = 60000 };
    static const etx_bulk whats[] = {ETX_BULK_RETRY, ETX_BULK_PARK, ETX_BULK_RESUME};
    struct shop shop;
    char gid[16];
    (void)state;
    shop_make(&shop);
    atomic_store(&shop.stuck.forward_reply, ETX_WORKING);
    for (int i = 0; i < MANY; i++) {
        snprintf(gid, sizeof gid, "tx-%d", i);
        submit(&shop, gid);
    }
    for (int i = 0; i < 3; i++) {
        assert_in_range(bulk_ms(&shop, whats[i], PER_SECOND, MANY), LEAST_MS, MOST_MS);
    }
    /* 100 a second, if nobody says otherwise */
    assert_in_range(bulk_ms(&shop, ETX_BULK_RETRY, 0, MANY), (MANY - 1) * 10, MOST_MS);
    atomic_store(&shop.stuck.forward_reply, ETX_DONE);
    assert_true(rig_quiet(shop.engine));
    shop_end(&shop);
}

static unsigned list_count(struct shop *shop, const etx_filter *filter) {
    struct seen seen;
    list_all(shop, filter, 10, &seen);
    return seen.count;
}

static uint64_t begin_of(struct shop *shop, const char *gid) {
    etx_status status = {.size = sizeof status};
    rig_must(shop->engine, etx_query(shop->engine, gid, &status), gid);
    return status.begin_ms;
}

static void listed_by_what_it_is(void **state) {
    struct shop shop;
    (void)state;
    shop_make(&shop);
    atomic_store(&shop.stuck.forward_reply, ETX_WORKING);
    submit(&shop, "tx-1");
    usleep(2000); /* by the clock that is told, they were not begun together */
    submit(&shop, "tx-2");
    uint64_t second_ms = begin_of(&shop, "tx-2");
    assert_true(begin_of(&shop, "tx-1") < second_ms);
    etx_filter filter = ETX_FILTER_INIT;
    filter.begun_before_ms = second_ms;
    assert_int_equal(list_count(&shop, &filter), 1);
    filter.begun_before_ms++;
    assert_int_equal(list_count(&shop, &filter), 2);
    filter = (etx_filter)ETX_FILTER_INIT;
    filter.begun_after_ms = second_ms; /* or then */
    assert_int_equal(list_count(&shop, &filter), 1);
    filter.begun_after_ms++;
    assert_int_equal(list_count(&shop, &filter), 0);
    rig_must(shop.engine, etx_park(shop.engine, "tx-2", "ann", "look at it"), "park");
    filter = (etx_filter)ETX_FILTER_INIT;
    filter.marks = ETX_MARK_CHOSEN;
    assert_int_equal(list_count(&shop, &filter), 2);
    filter.marks |= ETX_MARK_PARKED; /* all of them must be set */
    assert_int_equal(list_count(&shop, &filter), 1);
    filter = (etx_filter)ETX_FILTER_INIT;
    filter.kind = ETX_TCC;
    assert_int_equal(list_count(&shop, &filter), 2);
    filter.kind = ETX_SAGA;
    assert_int_equal(list_count(&shop, &filter), 0);
    rig_must(shop.engine, etx_resume(shop.engine, "tx-2", "ann", "fine"), "resume");
    atomic_store(&shop.stuck.forward_reply, ETX_DONE);
    assert_true(rig_quiet(shop.engine));
    shop_end(&shop);
}

/* What a thread asks while its patience is short and the engine busy does it no harm. */
static void impatient_lists(void **state) {
    struct shop shop;
    (void)state;
    shop_make(&shop);
    rig_close(shop.engine, ETX_CLOSE_FINISH);
    etx_options options = rig_options();
    options.patience_ms = 1;
    shop.engine = rig_engine(&options, shop.log.url, NULL);
    rig_bank_register(&shop.bank, shop.engine, "bank", ETX_TCC, 0);
    rig_start(shop.engine);
    for (int i = 0; i < 300; i++) {
        char prefix[16];
        etx_filter filter = ETX_FILTER_INIT;
        etx_cursor cursor = {{0, 0}};
        struct seen seen = {0};
        snprintf(prefix, sizeof prefix, "tx-%d", i);
        filter.gid_prefix = prefix;
        filter.remembered = 1;
        assert_int_equal(etx_tx_submit(rig_pair(shop.engine, "bank", NULL, 'D'), NULL, NULL), 0);
        int rc = etx_list(shop.engine, &filter, &cursor, 10, see, &seen);
        assert_true(rc == 0 || rc == ETX_EUNKNOWN);
        memset(prefix, 'x', sizeof prefix - 1);
    }
    assert_true(rig_quiet(shop.engine));
    shop_end(&shop);
}

static int look(const etx_branch_status *branch, void *user) {
    unsigned *good = user;
    assert_int_equal(branch->payload.len, sizeof(rig_order));
    *good += strcmp(branch->participant, "stuck") == 0 && branch->kind == ETX_TCC &&
             branch->forward == ETX_DONE && branch->finish == 0;
    return 0;
}

static int stop_at_once(const etx_branch_status *branch, void *user) {
    (void)branch;
    ++*(unsigned *)user;
    return 7;
}

/* As an older caller asks, who knows less of it: what is behind that stays as it was. */
static void query_as_before(etx_engine *engine) {
    etx_status status = {.size = offsetof(etx_status, branch_count), .branch_count = 4711};
    rig_must(engine, etx_query(engine, "one", &status), "query");
    assert_int_equal(status.size, offsetof(etx_status, branch_count));
    assert_int_equal(status.branch_count, 4711);
    assert_int_equal(status.state, ETX_COMMITTING);
}

static void queried_with_branches(void **state) {
    struct shop shop;
    unsigned good = 0;
    unsigned told = 0;
    etx_status status = {.size = sizeof status};
    etx_outcome outcome = ETX_OUTCOME_INIT;
    (void)state;
    shop_make(&shop);
    atomic_store(&shop.stuck.finish_reply, ETX_RETRY);
    submit(&shop, "one");
    rig_must(shop.engine, etx_wait_for(shop.engine, "one", ETX_WAIT_DECIDED, 0, &outcome), "wait");
    rig_must(shop.engine, etx_query_branches(shop.engine, "one", &status, look, &good), "query");
    assert_int_equal(good, 2);
    assert_int_equal(status.branch_count, 2);
    assert_int_equal(status.state, ETX_COMMITTING);
    assert_true(status.decided_ms >= status.begin_ms);
    assert_int_equal(etx_query_branches(shop.engine, "one", &status, stop_at_once, &told), 7);
    assert_int_equal(told, 1);
    query_as_before(shop.engine);
    assert_int_equal(etx_wait_for(shop.engine, "one", ETX_WAIT_DEFAULT, 20, &outcome),
                     ETX_EUNKNOWN); /* it has not ended */
    rig_done done = {0};
    rig_must(shop.engine, etx_query_async(shop.engine, "one", rig_done_fn, &done), "query");
    assert_true(host_wait_for(&done.count, 1));
    assert_int_equal(done.outcome.state, ETX_COMMITTING);
    atomic_store(&shop.stuck.finish_reply, ETX_DONE);
    assert_true(rig_reaches(shop.engine, "one", ETX_COMMITTED, ETX_MARK_ENDED));
    shop_end(&shop);
}

static int count_listed(const etx_status *status, void *user) {
    (void)status;
    ++*(unsigned *)user;
    return 0;
}

static void is_only_read(etx_engine *engine, int rc) {
    char message[200];
    assert_int_equal(rc, ETX_ESTATE);
    etx_engine_message(engine, message, sizeof message);
    assert_non_null(strstr(message, "ETX_READ_ONLY"));
}

static void changes_nothing(etx_engine *engine) {
    etx_outcome outcome = ETX_OUTCOME_INIT;
    is_only_read(engine, etx_park(engine, "one", "ann", "look at it"));
    is_only_read(engine, etx_retry(engine, "one"));
    is_only_read(engine, etx_force_by_hand(engine, "one", ETX_FORCE_ABORT, NULL, 0, "ann", "so"));
    etx_tx *tx = NULL;
    rig_must(engine, etx_tx_attach(engine, "one", 0, &tx), "attach");
    is_only_read(engine, etx_tx_abort(tx, &outcome));
    is_only_read(engine, etx_tx_run(rig_pair(engine, "bank", "three", 'D'), &outcome));
}

/* Beside the program that has the log open: what is there is told, and nothing is changed. */
static void looked_at_beside_its_owner(void **state) {
    host_dir dir;
    struct shop shop;
    unsigned listed = 0;
    etx_options look = rig_options();
    etx_filter filter = ETX_FILTER_INIT;
    etx_cursor cursor = {{0, 0}};
    etx_outcome outcome = ETX_OUTCOME_INIT;
    (void)state;
    host_dir_make(&dir);
    rig_log_make(&shop.log, dir.path, "partitions=3");
    host_bank_make(&shop.stuck);
    rig_bank_make(&shop.bank, 1000);
    shop_open(&shop);
    atomic_store(&shop.stuck.forward_reply, ETX_WORKING);
    submit(&shop, "one");
    rig_must(shop.engine, etx_tx_run(rig_pair(shop.engine, "bank", "two", 'D'), &outcome), "run");
    assert_true(rig_written(shop.engine, 1));

    look.flags |= ETX_READ_ONLY;
    etx_engine *reader = rig_engine(&look, shop.log.inner_url, NULL);
    rig_bank_register(&shop.bank, reader, "bank", ETX_TCC, ETX_INLINE);
    rig_start(reader);
    assert_int_equal(rig_state(reader, "one"), ETX_ACTIVE);
    assert_int_equal(rig_state(reader, "two"), ETX_COMMITTED);
    etx_status none = {.size = sizeof none};
    assert_int_equal(etx_query(reader, "never", &none), ETX_ENOTFOUND);
    filter.remembered = 1;
    assert_int_equal(etx_list(reader, &filter, &cursor, 10, count_listed, &listed), 0);
    assert_int_equal(listed, 2);
    changes_nothing(reader);
    rig_must(shop.engine, etx_park(shop.engine, "one", "ann", "look at it"), "park");
    assert_true(rig_reaches(shop.engine, "one", ETX_ACTIVE, ETX_MARK_PARKED));
    etx_status status = {.size = sizeof status};
    rig_must(reader, etx_query(reader, "one", &status), "query");
    assert_int_equal(status.marks & ETX_MARK_PARKED, 0); /* it knows what was there */
    rig_close(reader, ETX_CLOSE_LEAVE);

    atomic_store(&shop.stuck.forward_reply, ETX_DONE);
    rig_must(shop.engine, etx_resume(shop.engine, "one", "ann", "fine"), "resume");
    rig_must(shop.engine, etx_wait_for(shop.engine, "one", ETX_WAIT_ENDED, 0, &outcome), "wait");
    assert_int_equal(outcome.state, ETX_COMMITTED);
    shop_end(&shop);
    host_dir_remove(&dir);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parked_until_resumed),      cmocka_unit_test(forced),
        cmocka_unit_test(listed_page_by_page),       cmocka_unit_test(many_at_a_pace),
        cmocka_unit_test(impatient_lists),           cmocka_unit_test(listed_by_what_it_is),
        cmocka_unit_test(queried_with_branches),     cmocka_unit_test(looked_at_beside_its_owner),
        cmocka_unit_test(what_operators_do_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
