/* A shared home that is away at start: the engine starts without it if it can, and takes it up when
 * it is there. */
#include "rig.h"

enum { PARTITIONS = 4, LEASE_MS = 1000 };

struct shop {
    rig_log store; /* that nodes share */
    rig_log local;
    rig_bank bank;
    host_dir dir;
    char url[64];
    char state[HOST_PATH_MAX + 16];
    atomic_uint down;
};

static void on_event(const etx_event *event, void *user) {
    struct shop *shop = user;
    if (event->type == ETX_EVENT_HOME_DOWN) {
        atomic_fetch_add(&shop->down, 1);
    }
}

static void shop_make(struct shop *shop) {
    memset(shop, 0, sizeof *shop);
    host_dir_make(&shop->dir);
    snprintf(shop->state, sizeof shop->state, "%s/state", shop->dir.path);
    rig_log_make(&shop->store, NULL, "partitions=4");
    rig_log_make(&shop->local, NULL, "partitions=2");
    snprintf(shop->url, sizeof shop->url, "shared%s", strchr(shop->store.url, ':'));
    rig_bank_make(&shop->bank, 10000);
}

static void shop_end(struct shop *shop) {
    rig_bank_end(&shop->bank);
    rig_log_end(&shop->store);
    rig_log_end(&shop->local);
    host_dir_remove(&shop->dir);
}

struct node {
    const char *state;
    uint32_t flags;
    bool alone;       /* without the local home */
    bool local_first; /* which is then that of chosen gids */
    uint32_t hold_down_ms;
    const char *accepts; /* the home that chosen gids belonged to */
};

static etx_engine *node_make(struct shop *shop, struct node how) {
    etx_options options = rig_options();
    etx_monitor monitor = ETX_MONITOR_INIT;
    etx_engine *engine = NULL;
    monitor.on_event = on_event;
    monitor.user = shop;
    options.monitor = &monitor;
    options.node = "one";
    options.lease_ms = LEASE_MS;
    options.hold_down_ms = how.hold_down_ms > 0 ? how.hold_down_ms : 50;
    options.accept_chosen_home = how.accepts;
    options.state_dir = how.state;
    options.flags |= how.flags;
    assert_int_equal(etx_engine_create(&options, &engine), 0);
    rig_must(engine, etx_engine_log(engine, rig_shared_ops()), "shared");
    rig_must(engine, etx_engine_log(engine, rig_log_ops()), "log");
    if (how.local_first) {
        rig_must(engine, etx_engine_home(engine, shop->local.url), "local");
    }
    rig_must(engine, etx_engine_home(engine, shop->url), "home");
    if (!how.alone && !how.local_first) {
        rig_must(engine, etx_engine_home(engine, shop->local.url), "local");
    }
    rig_bank_register(&shop->bank, engine, "bank", ETX_TCC, ETX_INLINE);
    return engine;
}

static etx_engine *node_start(struct shop *shop, struct node how) {
    etx_engine *engine = node_make(shop, how);
    rig_start(engine);
    return engine;
}

static int run(etx_engine *engine, const char *gid, etx_outcome *outcome) {
    *outcome = (etx_outcome)ETX_OUTCOME_INIT;
    return etx_tx_run(rig_pair(engine, "bank", gid, 'D'), outcome);
}

/* Nothing can be begun under that gid. */
static void refuses(etx_engine *engine, const char *gid) {
    etx_tx_options options = ETX_TX_OPTIONS_INIT;
    etx_status status = {.size = sizeof status};
    etx_tx *tx = NULL;
    char message[300];
    options.gid = gid;
    assert_int_equal(etx_tx_new(engine, &options, &tx), ETX_EUNAVAILABLE);
    etx_engine_message(engine, message, sizeof message);
    assert_non_null(strstr(message, "the store is away"));
    assert_int_equal(etx_query(engine, gid, &status), ETX_EUNAVAILABLE);
}

static etx_home_status home_of(etx_engine *engine, unsigned place) {
    etx_home_status home = {.size = sizeof home};
    rig_must(engine, etx_engine_home_status(engine, place, &home), "home");
    return home;
}

static void await_use(etx_engine *engine, unsigned place) {
    for (uint64_t until = host_now_ms() + 60000; !home_of(engine, place).in_use;) {
        assert_true(host_now_ms() < until);
        usleep(2000);
    }
}

/* Waits until the home is away for that reason. */
static void await_why(etx_engine *engine, unsigned place, const char *why) {
    for (uint64_t until = host_now_ms() + 60000; strstr(home_of(engine, place).why, why) == NULL;) {
        assert_false(home_of(engine, place).usable);
        assert_true(host_now_ms() < until);
        usleep(2000);
    }
}

static void what_is_new_goes_to_the_next_home(void **state) {
    struct shop shop;
    etx_outcome outcome = ETX_OUTCOME_INIT;
    (void)state;
    shop_make(&shop);
    atomic_store(&shop.store.away, 1);
    etx_engine *one = node_start(&shop, (struct node){0});
    assert_int_equal(atomic_load(&shop.down), 1);
    etx_home_status home = home_of(one, 0);
    assert_false(home.usable);
    assert_string_equal(home.why, "the store is away");
    assert_true(home.since_ms > 0);
    assert_string_equal(home.id, "");
    assert_int_equal(home.partitions, 0);
    assert_true(home.chosen);
    rig_must(one, run(one, NULL, &outcome), "run");
    assert_int_equal(outcome.state, ETX_COMMITTED);
    refuses(one, "order"); /* it belongs there */
    etx_partition_status partition = {.size = sizeof partition};
    assert_int_equal(etx_engine_partition_status(one, 0, 0, &partition), ETX_ENOTFOUND);
    etx_node_status node = {.size = sizeof node};
    assert_int_equal(etx_engine_node_status(one, 0, 0, &node), ETX_ENOTFOUND);

    atomic_store(&shop.store.away, 0);
    await_use(one, 0);
    home = home_of(one, 0);
    assert_string_equal(home.id, shop.store.id);
    assert_int_equal(home.partitions, PARTITIONS);
    rig_must(one, run(one, "order", &outcome), "run");
    assert_int_equal(outcome.state, ETX_COMMITTED);
    rig_must(one, run(one, NULL, &outcome), "run");
    assert_non_null(strstr(outcome.gid, shop.store.id));
    rig_close(one, ETX_CLOSE_FINISH);
    shop_end(&shop);
}

/* By the state directory it is known which log was there. */
static void it_is_known_by_what_is_remembered(void **state) {
    struct shop shop;
    etx_outcome outcome = ETX_OUTCOME_INIT;
    etx_outcome then = ETX_OUTCOME_INIT;
    etx_status status = {.size = sizeof status};
    struct node how = {.state = shop.state};
    (void)state;
    shop_make(&shop);
    etx_engine *one = node_start(&shop, how);
    await_use(one, 0);
    rig_must(one, run(one, NULL, &then), "run");
    rig_close(one, ETX_CLOSE_FINISH);
    atomic_store(&shop.store.away, 1);
    one = node_start(&shop, how);
    assert_string_equal(home_of(one, 0).id, shop.store.id);
    refuses(one, then.gid);
    rig_must(one, run(one, NULL, &outcome), "run");
    atomic_store(&shop.store.away, 0);
    await_use(one, 0);
    rig_must(one, etx_query(one, then.gid, &status), "query");
    assert_int_equal(status.state, ETX_COMMITTED);
    rig_close(one, ETX_CLOSE_FINISH);
    shop_end(&shop);
}

static void an_only_home_must_be_there(void **state) {
    struct shop shop;
    char message[300];
    (void)state;
    shop_make(&shop);
    atomic_store(&shop.store.away, 1);
    etx_engine *one = node_make(&shop, (struct node){.alone = true});
    assert_int_equal(etx_engine_start(one), ETX_EUNAVAILABLE);
    etx_engine_message(one, message, sizeof message);
    assert_non_null(strstr(message, "the store is away"));
    etx_engine_free(one);
    shop_end(&shop);
}

static void unless_the_engine_is_to_wait(void **state) {
    struct shop shop;
    etx_outcome outcome = ETX_OUTCOME_INIT;
    (void)state;
    shop_make(&shop);
    atomic_store(&shop.store.away, 1);
    etx_engine *one = node_start(&shop, (struct node){.alone = true, .flags = ETX_START_WAITS});
    assert_int_equal(run(one, NULL, &outcome), ETX_EUNAVAILABLE);
    assert_non_null(strstr(outcome.reason, "the store is away"));
    refuses(one, "order");
    atomic_store(&shop.store.away, 0);
    await_use(one, 0);
    rig_must(one, run(one, "order", &outcome), "run");
    assert_int_equal(outcome.state, ETX_COMMITTED);
    rig_close(one, ETX_CLOSE_FINISH);
    shop_end(&shop);
}

/* What somebody has to correct fails the start; later it is said, and tried again. */
static void what_is_refused_is_not_waited_for(void **state) {
    struct shop shop;
    (void)state;
    shop_make(&shop);
    atomic_store(&shop.store.open_rc, ETX_EINVALID);
    etx_engine *one = node_make(&shop, (struct node){.flags = ETX_START_WAITS});
    assert_int_equal(etx_engine_start(one), ETX_EINVALID);
    etx_engine_free(one);
    atomic_store(&shop.store.away, 1);
    one = node_start(&shop, (struct node){0});
    atomic_store(&shop.store.away, 0);
    await_why(one, 0, "it does not let anybody in");
    atomic_store(&shop.store.open_rc, 0);
    await_use(one, 0);
    rig_close(one, ETX_CLOSE_FINISH);
    shop_end(&shop);
}

static void who_only_looks_does_not_wait(void **state) {
    struct shop shop;
    (void)state;
    shop_make(&shop);
    atomic_store(&shop.store.away, 1);
    etx_engine *one = node_make(&shop, (struct node){.flags = ETX_READ_ONLY | ETX_START_WAITS});
    assert_int_equal(etx_engine_start(one), ETX_EUNAVAILABLE);
    etx_engine_free(one);
    shop_end(&shop);
}

static void it_closes_without_it(void **state) {
    static const etx_close_mode modes[] = {ETX_CLOSE_FINISH, ETX_CLOSE_LEAVE, ETX_CLOSE_ABRUPT};
    struct shop shop;
    (void)state;
    shop_make(&shop);
    for (int i = 0; i < 3; i++) {
        atomic_store(&shop.store.away, 1);
        etx_engine *one = node_start(&shop, (struct node){0});
        atomic_store(&shop.store.away, i % 2); /* it may arrive just then */
        rig_close(one, modes[i]);
    }
    shop_end(&shop);
}

static void another_log_in_its_place_stays_away(void **state) {
    struct shop shop;
    etx_outcome outcome = ETX_OUTCOME_INIT;
    struct node how = {.state = shop.state};
    (void)state;
    shop_make(&shop);
    etx_engine *one = node_start(&shop, how);
    rig_close(one, ETX_CLOSE_FINISH);
    atomic_store(&shop.store.away, 1);
    one = node_start(&shop, how);
    shop.store.id[1] = shop.store.id[1] == 'x' ? 'y' : 'x';
    atomic_store(&shop.store.away, 0);
    await_why(one, 0, "is the log");
    rig_must(one, run(one, NULL, &outcome), "run");
    rig_close(one, ETX_CLOSE_FINISH);
    shop_end(&shop);
}

/* Chosen gids belonged to the local home: nobody knew that this one is another, until it came. */
static void keep_chosen_gids(int absent) {
    struct shop shop;
    etx_outcome outcome = ETX_OUTCOME_INIT;
    shop_make(&shop);
    etx_engine *one = node_start(&shop, (struct node){.local_first = true});
    rig_must(one, run(one, "order", &outcome), "run");
    rig_close(one, ETX_CLOSE_FINISH);
    atomic_store(&shop.store.away, 1);
    atomic_store(&shop.store.absent, absent);
    one = node_start(&shop, (struct node){0});
    atomic_store(&shop.store.away, 0);
    await_why(one, 0, "chosen gids belong to home");
    assert_int_equal(atomic_load(&shop.store.absent), absent);
    etx_status status = {.size = sizeof status};
    assert_int_equal(etx_query(one, "order", &status), ETX_EUNAVAILABLE);
    rig_must(one, run(one, NULL, &outcome), "run");
    rig_close(one, ETX_CLOSE_FINISH);
    shop_end(&shop);
}

static void chosen_gids_do_not_change_homes_unseen(void **state) {
    (void)state;
    keep_chosen_gids(0);
}

/* Nor is a log made that could not have them. */
static void nor_is_a_log_made_for_them(void **state) {
    (void)state;
    keep_chosen_gids(1);
}

/* One that is new is made once the local one, which is there, has been read; then it is used. */
static void a_shared_home_is_made_beside_one_that_is_there(void **state) {
    struct shop shop;
    etx_outcome outcome = ETX_OUTCOME_INIT;
    (void)state;
    shop_make(&shop);
    etx_engine *one = node_start(&shop, (struct node){.local_first = true});
    rig_must(one, run(one, "order", &outcome), "run");
    rig_close(one, ETX_CLOSE_FINISH);
    atomic_store(&shop.store.absent, 1);
    one = node_start(&shop, (struct node){.local_first = true});
    assert_int_equal(atomic_load(&shop.store.absent), 0);
    assert_int_equal(home_of(one, 1).partitions, PARTITIONS);
    for (uint64_t until = host_now_ms() + 60000; !home_of(one, 1).usable;) {
        assert_true(host_now_ms() < until);
        usleep(2000);
    }
    rig_must(one, run(one, "order", &outcome), "run");
    assert_int_equal(outcome.state, ETX_COMMITTED);
    rig_close(one, ETX_CLOSE_FINISH);
    shop_end(&shop);
}

/* Chosen gids were at the local home; then the store comes, and has them from then on. */
static void let_them_change(struct shop *shop, const char *accepts) {
    etx_outcome outcome = ETX_OUTCOME_INIT;
    etx_engine *one = node_start(shop, (struct node){.local_first = true});
    rig_must(one, run(one, "order", &outcome), "run");
    rig_close(one, ETX_CLOSE_FINISH);
    atomic_store(&shop->store.away, 1);
    one = node_start(shop, (struct node){.accepts = accepts});
    atomic_store(&shop->store.away, 0);
    for (uint64_t until = host_now_ms() + 60000; !home_of(one, 0).in_use;) {
        assert_null(strstr(home_of(one, 0).why, "chosen gids belong"));
        assert_true(host_now_ms() < until);
        usleep(2000);
    }
    rig_must(one, run(one, "order", &outcome), "run");
    assert_int_equal(outcome.state, ETX_COMMITTED);
    rig_close(one, ETX_CLOSE_FINISH);
}

/* Unless that was accepted by name. */
static void chosen_gids_change_homes_by_name(void **state) {
    struct shop shop;
    (void)state;
    shop_make(&shop);
    let_them_change(&shop, shop.local.id);
    shop_end(&shop);
}

/* Or what was there is gone with its process. */
static void chosen_gids_leave_a_volatile_home(void **state) {
    struct shop shop;
    (void)state;
    shop_make(&shop);
    shop.local.class = 'v';
    let_them_change(&shop, NULL);
    shop_end(&shop);
}

/* As one that returns: what is new goes on where it was, until it has been well for a while. */
static void it_is_held_down_first(void **state) {
    enum { LONG_MS = 3600000 };
    struct shop shop;
    etx_outcome outcome = ETX_OUTCOME_INIT;
    (void)state;
    shop_make(&shop);
    atomic_store(&shop.store.away, 1);
    etx_engine *one = node_start(&shop, (struct node){.hold_down_ms = LONG_MS});
    etx_home_status then = home_of(one, 0);
    usleep(2000); /* by the clock that is told, it is later */
    atomic_store(&shop.store.away, 0);
    for (uint64_t until = host_now_ms() + 60000; !home_of(one, 0).usable;) {
        assert_true(host_now_ms() < until);
        usleep(2000);
    }
    assert_true(home_of(one, 0).since_ms > then.since_ms);
    assert_false(home_of(one, 0).in_use);
    assert_true(home_of(one, 1).in_use);
    rig_must(one, run(one, NULL, &outcome), "run");
    assert_null(strstr(outcome.gid, shop.store.id));
    rig_close(one, ETX_CLOSE_FINISH);
    shop_end(&shop);
}

typedef struct caller {
    pthread_t thread;
    etx_engine *engine;
    atomic_bool *stop;
    atomic_uint *ran;
} caller;

static void *call_on(void *user) {
    caller *c = user;
    while (!atomic_load(c->stop)) {
        etx_outcome outcome = ETX_OUTCOME_INIT;
        etx_metrics metrics = {.size = sizeof metrics};
        rig_check(run(c->engine, NULL, &outcome) == 0);
        rig_check(etx_engine_metrics(c->engine, &metrics) == 0);
        atomic_fetch_add(c->ran, 1);
    }
    return NULL;
}

/* It arrives while all is in use. */
static void it_arrives_under_load(void **state) {
    enum { CALLERS = 3 };
    struct shop shop;
    caller callers[CALLERS];
    atomic_bool stop = false;
    atomic_uint ran = 0;
    (void)state;
    shop_make(&shop);
    atomic_store(&shop.store.away, 1);
    etx_engine *one = node_start(&shop, (struct node){0});
    for (int i = 0; i < CALLERS; i++) {
        callers[i] = (caller){.engine = one, .stop = &stop, .ran = &ran};
        assert_int_equal(pthread_create(&callers[i].thread, NULL, call_on, &callers[i]), 0);
    }
    assert_true(host_wait_for(&ran, 20));
    atomic_store(&shop.store.away, 0);
    await_use(one, 0);
    assert_true(host_wait_for(&ran, atomic_load(&ran) + 20));
    atomic_store(&stop, true);
    for (int i = 0; i < CALLERS; i++) {
        pthread_join(callers[i].thread, NULL);
    }
    assert_true(rig_quiet(one));
    assert_int_equal(rig_bank_torn(&shop.bank), 0);
    rig_close(one, ETX_CLOSE_FINISH);
    shop_end(&shop);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_new_goes_to_the_next_home),
        cmocka_unit_test(it_is_known_by_what_is_remembered),
        cmocka_unit_test(an_only_home_must_be_there),
        cmocka_unit_test(unless_the_engine_is_to_wait),
        cmocka_unit_test(what_is_refused_is_not_waited_for),
        cmocka_unit_test(who_only_looks_does_not_wait),
        cmocka_unit_test(it_closes_without_it),
        cmocka_unit_test(another_log_in_its_place_stays_away),
        cmocka_unit_test(chosen_gids_do_not_change_homes_unseen),
        cmocka_unit_test(nor_is_a_log_made_for_them),
        cmocka_unit_test(a_shared_home_is_made_beside_one_that_is_there),
        cmocka_unit_test(chosen_gids_change_homes_by_name),
        cmocka_unit_test(chosen_gids_leave_a_volatile_home),
        cmocka_unit_test(it_is_held_down_first),
        cmocka_unit_test(it_arrives_under_load),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
