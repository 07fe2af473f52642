/* A user's allocator: all comes back, and any allocation of a start may fail. */
#include "rig.h"

struct counted {
    pthread_mutex_t lock;
    size_t blocks, bytes;
    long left; /* so many succeed; below 0: all */
    unsigned wrong;
};

static void *counted_allocate(void *user, size_t size) {
    struct counted *counted = user;
    pthread_mutex_lock(&counted->lock);
    int fails = counted->left == 0;
    counted->left -= counted->left > 0;
    void *block = NULL;
    if (!fails && posix_memalign(&block, 16, size) == 0) {
        memset(block, 0, size);
        counted->blocks++;
        counted->bytes += size;
    }
    pthread_mutex_unlock(&counted->lock);
    return block;
}

static void counted_release(void *user, void *block, size_t size) {
    struct counted *counted = user;
    pthread_mutex_lock(&counted->lock);
    counted->wrong += counted->blocks == 0 || counted->bytes < size;
    counted->blocks--;
    counted->bytes -= size;
    pthread_mutex_unlock(&counted->lock);
    free(block);
}

static etx_options small_options(const etx_allocator *allocator) {
    etx_options options = rig_options();
    options.durability = ETX_VOLATILE;
    options.transactions_max = 100;
    options.history_max = 100;
    options.memory_max = 4u << 20;
    options.allocator = allocator;
    return options;
}

static void all_comes_back(void **state) {
    host_dir dir;
    rig_bank bank;
    struct counted counted = {.left = -1};
    (void)state;
    etx_allocator allocator = {counted_allocate, counted_release, &counted};
    pthread_mutex_init(&counted.lock, NULL);
    host_dir_make(&dir);
    rig_bank_make(&bank, 10000);
    for (int round = 0; round < 3; round++) {
        etx_options options = small_options(&allocator);
        etx_engine *engine = rig_engine(&options, dir.url, "memory:");
        rig_bank_register(&bank, engine, "bank", ETX_TCC, 0);
        rig_start(engine);
        assert_true(counted.blocks > 0);
        for (int i = 0; i < 50; i++) {
            etx_outcome outcome = ETX_OUTCOME_INIT;
            etx_status status = {.size = sizeof status};
            rig_must(engine,
                     etx_tx_run(rig_pair(engine, "bank", NULL, i % 3 ? 'D' : 'R'), &outcome),
                     "run");
            rig_must(engine, etx_query(engine, outcome.gid, &status), "query");
        }
        etx_tx *unused = rig_pair(engine, "bank", NULL, 'D');
        etx_tx_discard(unused);
        assert_int_equal(etx_tx_submit(rig_pair(engine, "bank", NULL, 'D'), NULL, NULL), 0);
        rig_close(engine, (etx_close_mode)round);
        uint64_t end = host_now_ms() + 10000; /* a callback's thread may be the last to leave */
        while (host_now_ms() < end) {
            pthread_mutex_lock(&counted.lock);
            size_t blocks = counted.blocks;
            pthread_mutex_unlock(&counted.lock);
            if (blocks == 0) {
                break;
            }
            usleep(1000);
        }
        assert_int_equal(counted.blocks, 0);
        assert_int_equal(counted.bytes, 0);
        assert_int_equal(counted.wrong, 0);
    }
    host_dir_remove(&dir);
    rig_bank_end(&bank);
}

/* Creates and starts an engine with so many allocations. 0, or how it failed. */
static int start_with(struct counted *counted, long allocations, const char *url) {
    etx_allocator allocator = {counted_allocate, counted_release, counted};
    etx_options options = small_options(&allocator);
    host_bank bank;
    host_bank_make(&bank);
    etx_engine *engine = NULL;
    counted->left = allocations;
    int rc = etx_engine_create(&options, &engine);
    if (rc != 0) {
        return rc;
    }
    etx_participant participant = host_participant("bank", ETX_TCC, 0, &bank);
    rc = etx_engine_home(engine, url);
    rc = rc != 0 ? rc : etx_engine_home(engine, "memory:");
    rc = rc != 0 ? rc : etx_engine_register(engine, &participant);
    rc = rc != 0 ? rc : etx_engine_start(engine);
    if (rc == 0) {
        counted->left = -1;
        rc = etx_engine_close(engine, ETX_CLOSE_LEAVE, 10000);
    }
    etx_engine_free(engine);
    return rc;
}

static void any_allocation_of_a_start_may_fail(void **state) {
    host_dir dir;
    rig_bank bank;
    struct counted counted = {.left = -1};
    (void)state;
    pthread_mutex_init(&counted.lock, NULL);
    host_dir_make(&dir);
    rig_bank_make(&bank, 100);
    etx_options options = small_options(NULL); /* something to read and to call at each start */
    etx_engine *engine = rig_engine(&options, dir.url, NULL);
    rig_bank_register(&bank, engine, "bank", ETX_TCC, 0);
    rig_start(engine);
    atomic_store(&bank.chaos, 1);
    assert_int_equal(etx_tx_submit(rig_pair(engine, "bank", "one", 'D'), NULL, NULL), 0);
    assert_true(host_wait_for(&bank.calls, 2));
    rig_close(engine, ETX_CLOSE_LEAVE);
    int rc = ETX_ENOMEM;
    long allocations = 0;
    for (; rc != 0; allocations++) {
        assert_true(allocations < 2000);
        rc = start_with(&counted, allocations, dir.url);
        if (rc != 0) {
            assert_int_equal(rc, ETX_ENOMEM);
        }
        uint64_t end = host_now_ms() + 10000;
        while (counted.blocks != 0 && host_now_ms() < end) {
            usleep(1000);
        }
        if (counted.blocks != 0) {
            print_error("%ld allocations: %zu blocks stay\n", allocations, counted.blocks);
        }
        assert_int_equal(counted.blocks, 0);
        assert_int_equal(counted.bytes, 0);
    }
    assert_true(allocations > 10);
    host_dir_remove(&dir);
    rig_bank_end(&bank);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_comes_back),
        cmocka_unit_test(any_allocation_of_a_start_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
