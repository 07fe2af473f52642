/* Several engines in one process share nothing but the process. */
#include "host.h"

#define ENGINES 3

static void test_several_engines_work_side_by_side(void **state) {
    (void)state;
    host_dir dir[ENGINES];
    host_bank bank[ENGINES];
    etx_engine *engine[ENGINES];
    host_runner runner[ENGINES];
    for (int i = 0; i < ENGINES; i++) {
        host_dir_make(&dir[i]);
        host_bank_make(&bank[i]);
        engine[i] = host_engine(i == 0 ? "memory:" : dir[i].url, NULL, &bank[i]);
    }
    for (int round = 0; round < 10; round++) {
        for (int i = 0; i < ENGINES; i++) {
            host_runner_start(&runner[i], engine[i], round % 2 ? "slow" : "stock");
        }
        for (int i = 0; i < ENGINES; i++) {
            host_runner_join(&runner[i]);
            assert_int_equal(runner[i].rc, 0);
            assert_int_equal(runner[i].outcome.state, ETX_COMMITTED);
        }
    }
    for (int i = 0; i < ENGINES; i++) {
        etx_status status = {.size = sizeof(status)};
        assert_int_equal(atomic_load(&bank[i].commits), 10);
        assert_int_equal(etx_query(engine[i], runner[i].outcome.gid, &status), 0);
        int rc = etx_query(engine[i], runner[(i + 1) % ENGINES].outcome.gid, &status);
        assert_true(rc == ETX_ENOTFOUND || rc == ETX_EGONE || rc == ETX_EUNKNOWN ||
                    rc == ETX_EUNAVAILABLE);
    }
    /* one ends, the others do not notice */
    host_engine_end(engine[1]);
    for (int i = 0; i < ENGINES; i += 2) {
        etx_outcome outcome = ETX_OUTCOME_INIT;
        assert_int_equal(host_run(engine[i], "slow", &outcome), 0);
        host_engine_end(engine[i]);
    }
    for (int i = 0; i < ENGINES; i++) {
        host_dir_remove(&dir[i]);
    }
}

static void test_one_directory_has_one_engine(void **state) {
    (void)state;
    host_dir dir;
    host_bank bank;
    etx_options options = host_options();
    etx_engine *second = NULL;
    etx_outcome outcome = ETX_OUTCOME_INIT;
    char message[512];
    host_dir_make(&dir);
    host_bank_make(&bank);
    etx_engine *engine = host_engine(dir.url, NULL, &bank);
    assert_int_equal(etx_engine_create(&options, &second), 0);
    assert_int_equal(etx_engine_home(second, dir.url), 0);
    assert_int_equal(etx_engine_start(second), ETX_EBUSY);
    etx_engine_message(second, message, sizeof(message));
    assert_non_null(strstr(message, dir.path));
    etx_engine_free(second);
    assert_int_equal(host_run(engine, "stock", &outcome), 0);
    host_engine_end(engine);
    engine = host_engine(dir.url, NULL, &bank);
    host_engine_end(engine);
    host_dir_remove(&dir);
}

/* An allocator of the user's gets back what it gave. */
typedef struct ledger {
    atomic_size_t blocks;
    atomic_size_t bytes;
    atomic_uint wrong;
} ledger;

static void *ledger_allocate(void *user, size_t size) {
    ledger *l = user;
    void *block = calloc(1, size);
    if (block != NULL) {
        atomic_fetch_add(&l->blocks, 1);
        atomic_fetch_add(&l->bytes, size);
    }
    return block;
}

static void ledger_release(void *user, void *block, size_t size) {
    ledger *l = user;
    if (block == NULL) {
        return;
    }
    if (atomic_load(&l->bytes) < size) {
        atomic_fetch_add(&l->wrong, 1);
    }
    atomic_fetch_sub(&l->blocks, 1);
    atomic_fetch_sub(&l->bytes, size);
    free(block);
}

/* Waits until all is given back: a callback's thread may be the last to leave. */
static void await_all(ledger *l) {
    uint64_t end = host_now_ms() + 60000;
    while (atomic_load(&l->blocks) > 0 && host_now_ms() < end) {
        usleep(1000);
    }
    assert_int_equal(atomic_load(&l->blocks), 0);
}

static void test_an_allocator_gets_everything_back(void **state) {
    (void)state;
    host_bank bank;
    host_dir dir;
    ledger l = {0};
    etx_allocator allocator = {ledger_allocate, ledger_release, &l};
    etx_options options = host_options();
    etx_outcome outcome = ETX_OUTCOME_INIT;
    host_bank_make(&bank);
    host_dir_make(&dir);
    options.allocator = &allocator;
    etx_engine *engine = host_engine(dir.url, &options, &bank);
    assert_true(atomic_load(&l.blocks) > 0);
    for (int i = 0; i < 50; i++) {
        assert_int_equal(host_run(engine, i % 2 ? "slow" : "step", &outcome), 0);
    }
    host_engine_end(engine);
    await_all(&l);
    assert_int_equal(atomic_load(&l.wrong), 0);
    assert_int_equal(atomic_load(&l.bytes), 0);
    host_dir_remove(&dir);
}

/* An allocator that has nothing: a clear error each time, and nothing is left behind. */
typedef struct miser {
    ledger ledger;
    atomic_int left;
} miser;

static void *miser_allocate(void *user, size_t size) {
    miser *m = user;
    if (atomic_fetch_sub(&m->left, 1) <= 0) {
        return NULL;
    }
    return ledger_allocate(&m->ledger, size);
}

static void miser_release(void *user, void *block, size_t size) {
    miser *m = user;
    ledger_release(&m->ledger, block, size);
}

static void test_start_without_memory(void **state) {
    (void)state;
    int rc = ETX_ENOMEM;
    for (int left = 0; rc != 0 && left < 2000; left++) {
        miser m = {.left = left};
        etx_allocator allocator = {miser_allocate, miser_release, &m};
        etx_options options = host_options();
        etx_engine *engine = NULL;
        options.allocator = &allocator;
        rc = etx_engine_create(&options, &engine);
        if (rc == 0) {
            rc = etx_engine_home(engine, "memory:");
            if (rc == 0) {
                rc = etx_engine_start(engine);
            }
            if (rc == 0) {
                /* workers may ask later; they get what they need from here on */
                atomic_store(&m.left, 1 << 30);
                assert_int_equal(etx_engine_close(engine, ETX_CLOSE_FINISH, 60000), 0);
            }
            etx_engine_free(engine);
        }
        /* a home without room for its first record is full */
        assert_true(rc == 0 || rc == ETX_ENOMEM || rc == ETX_EFULL);
        await_all(&m.ledger);
    }
    assert_int_equal(rc, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_several_engines_work_side_by_side),
        cmocka_unit_test(test_one_directory_has_one_engine),
        cmocka_unit_test(test_an_allocator_gets_everything_back),
        cmocka_unit_test(test_start_without_memory),
    };
    alarm(120);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
