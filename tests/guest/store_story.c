/* Engines on a log in a store: what is the same for all stores. */
#include "store_story.h"

enum { STEPS = 6000, CALLERS = 4 };

void story_found_again(const char *url) {
    etx_options options = host_options();
    etx_outcome outcome[8];
    host_bank bank;
    host_bank_make(&bank);
    etx_engine *engine = host_engine(url, &options, &bank);
    for (int i = 0; i < 8; i++) {
        outcome[i] = (etx_outcome)ETX_OUTCOME_INIT;
        assert_int_equal(host_run(engine, i % 2 ? "stock" : "step", &outcome[i]), 0);
        assert_int_equal(outcome[i].state, ETX_COMMITTED);
        assert_int_equal(outcome[i].durability, ETX_LOCAL);
    }
    host_engine_end(engine);
    engine = host_engine(url, &options, &bank);
    for (int i = 0; i < 8; i++) {
        etx_status now = {.size = sizeof now};
        assert_int_equal(etx_query(engine, outcome[i].gid, &now), 0);
        assert_int_equal(now.state, ETX_COMMITTED);
    }
    host_engine_end(engine);
}

static etx_engine *node_start(const char *url, const char *name, host_bank *bank) {
    etx_options options = host_options();
    options.node = name;
    options.lease_ms = 1000;
    return host_engine(url, &options, bank);
}

static unsigned count_here(etx_engine *engine) {
    unsigned count = 0;
    for (uint32_t i = 0; i < 6; i++) {
        etx_partition_status status = {.size = sizeof status};
        assert_int_equal(etx_engine_partition_status(engine, 0, i, &status), 0);
        count += status.here;
    }
    return count;
}

static void await_count(etx_engine *engine, unsigned count) {
    uint64_t until = host_now_ms() + 60000;
    while (count_here(engine) != count) {
        assert_true(host_now_ms() < until);
        usleep(5000);
    }
}

void story_nodes_share(const char *url) {
    host_bank bank;
    etx_outcome outcome = ETX_OUTCOME_INIT;
    host_bank_make(&bank);
    etx_engine *one = node_start(url, "one", &bank);
    etx_engine *two = node_start(url, "two", &bank);
    etx_engine *three = node_start(url, "three", &bank);
    await_count(one, 2);
    await_count(two, 2);
    await_count(three, 2);
    assert_int_equal(host_run(one, "stock", &outcome), 0);
    assert_int_equal(outcome.state, ETX_COMMITTED);
    host_engine_end(one);
    await_count(two, 3);
    await_count(three, 3);
    etx_engine_close(two, ETX_CLOSE_ABRUPT, 0);
    etx_engine_free(two);
    await_count(three, 6);
    etx_status now = {.size = sizeof now};
    assert_int_equal(etx_query(three, outcome.gid, &now), 0);
    assert_int_equal(now.state, ETX_COMMITTED);
    host_engine_end(three);
}

typedef struct caller {
    pthread_t thread;
    etx_engine *engine;
    atomic_uint *committed;
    atomic_bool *stop;
} caller;

static void *call_on(void *user) {
    caller *c = user;
    while (!*c->stop) {
        etx_outcome outcome = ETX_OUTCOME_INIT;
        int rc = host_run(c->engine, "stock", &outcome);
        if (rc == 0 && outcome.state == ETX_COMMITTED)
            ++*c->committed;
    }
    return NULL;
}

static void await_in_use(etx_engine *engine, unsigned place) {
    etx_home_status home = {.size = sizeof home};
    for (int i = 0; i < STEPS; i++) {
        assert_int_equal(etx_engine_home_status(engine, place, &home), 0);
        if (home.in_use)
            return;
        usleep(10000);
    }
    fail_msg("home %u is not in use: %s", place, home.why);
}

static void await_quiet(etx_engine *engine, unsigned homes) {
    uint64_t in_flight = 1;
    for (int i = 0; in_flight > 0 && i < STEPS; i++) {
        in_flight = 0;
        for (unsigned place = 0; place < homes; place++) {
            etx_home_status home = {.size = sizeof home};
            assert_int_equal(etx_engine_home_status(engine, place, &home), 0);
            in_flight += home.in_flight;
        }
        usleep(10000);
    }
    assert_int_equal(in_flight, 0);
}

static etx_engine *engine_of_two(const char *url, const char *second, host_bank *bank) {
    etx_options options = host_options();
    etx_engine *engine = NULL;
    etx_participant stock = host_participant("stock", ETX_TCC, 0, bank);
    options.durability = ETX_LOCAL;
    options.patience_ms = 1000;
    options.hold_down_ms = 100;
    assert_int_equal(etx_engine_create(&options, &engine), 0);
    assert_int_equal(etx_engine_home(engine, url), 0);
    assert_int_equal(etx_engine_home(engine, second), 0);
    assert_int_equal(etx_engine_register(engine, &stock), 0);
    int rc = etx_engine_start(engine);
    if (rc != 0) {
        char message[512];
        etx_engine_message(engine, message, sizeof message);
        fail_msg("%s", message);
    }
    return engine;
}

void story_go_and_come_back(const char *url, void (*go)(void), void (*come)(void)) {
    host_dir dir;
    host_bank bank;
    caller callers[CALLERS];
    atomic_uint committed = 0;
    atomic_bool stop = false;
    host_dir_make(&dir);
    host_bank_make(&bank);
    etx_engine *engine = engine_of_two(url, dir.url, &bank);
    for (int i = 0; i < CALLERS; i++) {
        callers[i] = (caller){.engine = engine, .committed = &committed, .stop = &stop};
        assert_int_equal(pthread_create(&callers[i].thread, NULL, call_on, &callers[i]), 0);
    }
    assert_true(host_wait_for(&committed, 20));
    await_in_use(engine, 0);
    go();
    await_in_use(engine, 1);
    assert_true(host_wait_for(&committed, committed + 20));
    come();
    await_in_use(engine, 0);
    assert_true(host_wait_for(&committed, committed + 20));
    stop = true;
    for (int i = 0; i < CALLERS; i++)
        pthread_join(callers[i].thread, NULL);
    await_quiet(engine, 2);
    assert_true(bank.commits >= committed);
    host_engine_end(engine);
    host_dir_remove(&dir);
}

void story_restored(const char *url, void (*lose)(void)) {
    etx_options options = host_options();
    etx_outcome outcome = ETX_OUTCOME_INIT;
    etx_home_status home = {.size = sizeof home};
    host_bank bank;
    host_bank_make(&bank);
    options.patience_ms = 5000;
    options.flush_ms = 1; /* nothing is being put while the store is changed */
    etx_engine *engine = host_engine(url, &options, &bank);
    for (int i = 0; i < 3; i++)
        assert_int_equal(host_run(engine, "stock", &outcome), 0);
    await_quiet(engine, 1);
    usleep(100000);
    lose();
    assert_true(host_run(engine, "stock", &outcome) < 0);
    assert_int_equal(etx_engine_home_status(engine, 0, &home), 0);
    assert_int_equal(home.usable, 0);
    assert_non_null(strstr(home.why, "lost what it acknowledged"));
    assert_int_equal(etx_engine_close(engine, ETX_CLOSE_FINISH, 5000), 0);
    etx_engine_free(engine);
}
