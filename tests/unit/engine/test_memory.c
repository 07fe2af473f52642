/* A user's allocator: all comes back, and any allocation of a start may fail. */
#include "rig.h"

struct counted {
    pthread_mutex_t lock;
    size_t blocks, bytes;
    long left; /* so many succeed; below 0: all */
    bool once; /* then one fails, and the others succeed again */
    unsigned failed, wrong;
};

static void *counted_allocate(void *user, size_t size) {
    struct counted *counted = user;
    pthread_mutex_lock(&counted->lock);
    int fails = counted->left == 0;
    counted->left -= counted->left > 0;
    counted->failed += fails;
    if (fails && counted->once) {
        counted->left = -1;
    }
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

/* Waits until all is given back: a callback's thread may be the last to leave. */
static void await_all(struct counted *counted) {
    uint64_t end = host_now_ms() + 60000;
    size_t blocks = 1;
    while (blocks > 0 && host_now_ms() < end) {
        pthread_mutex_lock(&counted->lock);
        blocks = counted->blocks;
        pthread_mutex_unlock(&counted->lock);
        usleep(blocks > 0 ? 1000 : 0);
    }
    assert_int_equal(blocks, 0);
    assert_int_equal(counted->bytes, 0);
    assert_int_equal(counted->wrong, 0);
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

/* So many allocations succeed from now on; below 0: all. */
static void lacks_from(struct counted *counted, long left, bool once) {
    pthread_mutex_lock(&counted->lock);
    counted->left = left;
    counted->once = once;
    counted->failed = 0;
    pthread_mutex_unlock(&counted->lock);
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
        await_all(&counted);
    }
    host_dir_remove(&dir);
    rig_bank_end(&bank);
}

/* Creates and starts an engine with so many allocations. 0, or how it failed. */
static int start_with(struct counted *counted, long allocations, const char *url, host_bank *bank) {
    etx_allocator allocator = {counted_allocate, counted_release, counted};
    etx_options options = small_options(&allocator);
    etx_engine *engine = NULL;
    lacks_from(counted, allocations, false);
    int rc = etx_engine_create(&options, &engine);
    if (rc != 0) {
        return rc;
    }
    etx_participant participant = host_participant("bank", ETX_TCC, 0, bank);
    rc = etx_engine_home(engine, url);
    rc = rc != 0 ? rc : etx_engine_home(engine, "memory:");
    rc = rc != 0 ? rc : etx_engine_register(engine, &participant);
    rc = rc != 0 ? rc : etx_engine_start(engine);
    if (rc == 0) {
        lacks_from(counted, -1, false);
        rc = etx_engine_close(engine, ETX_CLOSE_LEAVE, 60000);
    }
    etx_engine_free(engine);
    return rc;
}

static void any_allocation_of_a_start_may_fail(void **state) {
    host_dir dir;
    rig_bank bank;
    host_bank called;
    struct counted counted = {.left = -1};
    (void)state;
    pthread_mutex_init(&counted.lock, NULL);
    host_dir_make(&dir);
    host_bank_make(&called);
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
        rc = start_with(&counted, allocations, dir.url, &called);
        if (rc != 0 && rc != ETX_ENOMEM) {
            print_error("%ld allocations: %s\n", allocations, etx_error_name(rc));
        }
        assert_true(rc == 0 || rc == ETX_ENOMEM);
        await_all(&counted);
    }
    assert_true(allocations > 10);
    host_dir_remove(&dir);
    rig_bank_end(&bank);
}

/* ---- while it runs */

/* Is it an answer of somebody who had no memory, or whose patience was over meanwhile? */
static bool lacked(int rc) {
    return rc == ETX_ENOMEM || rc == ETX_EUNKNOWN || rc == ETX_EUNAVAILABLE;
}

enum { BIG = 200 * 1024 };

static etx_reply bulky(etx_call *call, void *user) {
    etx_call_result(call, user, BIG); /* where it is not kept, the call counts as unknown */
    return ETX_DONE;
}

static etx_branch branch_of(const char *participant, const char *name, const void *payload) {
    etx_branch branch = ETX_BRANCH_INIT;
    branch.participant = participant;
    branch.name = name;
    branch.payload = payload;
    branch.payload_len = BIG;
    return branch;
}

static int submitted(etx_engine *engine,
                     const char *gid,
                     uint32_t deadline_ms,
                     const uint8_t *bytes,
                     etx_outcome *out) {
    etx_tx_options options = ETX_TX_OPTIONS_INIT;
    etx_tx *tx = NULL;
    (void)deadline_ms;
    options.gid = gid;
    options.patience_ms = 50;
    int rc = etx_tx_new(engine, &options, &tx);
    const char *const names[] = {"inline", "pool", "inline"};
    for (int i = 0; rc == 0 && i < 3; i++) {
        rc = etx_tx_add(tx, names[i], bytes, BIG);
    }
    if (rc != 0) {
        etx_tx_discard(tx);
        return rc;
    }
    return etx_tx_run(tx, out);
}

/* What is begun and then not heard of ends at its deadline. */
static int interactive(etx_engine *engine,
                       const char *gid,
                       uint32_t deadline_ms,
                       const uint8_t *bytes,
                       etx_outcome *out) {
    etx_tx_options options = ETX_TX_OPTIONS_INIT;
    etx_branch own = branch_of("inline", "own", bytes), other = branch_of("pool", "other", bytes);
    etx_tx *tx = NULL;
    options.gid = gid;
    options.patience_ms = 50;
    options.deadline_ms = deadline_ms;
    own.flags = ETX_BY_INITIATOR;
    int rc = etx_tx_begin(engine, &options, &tx);
    rc = rc != 0 ? rc : etx_tx_enlist(tx, &own);
    rc = rc != 0 ? rc : etx_tx_enlist(tx, &other);
    rc = rc != 0 ? rc : etx_tx_result(tx, "own", ETX_DONE, bytes, BIG, NULL);
    if (rc != 0) {
        etx_tx_discard(tx);
        return rc;
    }
    return etx_tx_commit(tx, out);
}

typedef int (*transaction_fn)(etx_engine *engine,
                              const char *gid,
                              uint32_t deadline_ms,
                              const uint8_t *bytes,
                              etx_outcome *out);

/* One transaction while allocations fail, until it was answered; then there is memory again, and
 * what was begun ends as it was told. Tells how many failed. False: it took longer than its
 * deadline, which decided instead; that says nothing of memory. */
static bool one_that_lacks(etx_engine *engine,
                           struct counted *counted,
                           transaction_fn transact,
                           uint32_t deadline_ms,
                           unsigned *ret_failed) {
    static uint8_t bytes[BIG];
    char gid[32];
    etx_outcome outcome = ETX_OUTCOME_INIT;
    etx_outcome end = ETX_OUTCOME_INIT;
    snprintf(gid, sizeof gid, "one-%u", deadline_ms);
    uint64_t before = host_now_ms();
    int rc = transact(engine, gid, deadline_ms, bytes, &outcome);
    bool late = host_now_ms() - before >= deadline_ms;
    pthread_mutex_lock(&counted->lock);
    *ret_failed = counted->failed;
    pthread_mutex_unlock(&counted->lock);
    lacks_from(counted, -1, false);
    int later = etx_wait_for(engine, gid, ETX_WAIT_ENDED, 60000, &end);
    assert_true(later == 0 || later == ETX_ENOTFOUND);
    if (late && (rc == ETX_ESTATE || (rc == 0 && outcome.state != ETX_COMMITTED))) {
        assert_int_equal(later, 0);
        assert_int_equal(end.state, ETX_ABORTED);
        return false;
    }
    assert_true(rc == 0 || lacked(rc));
    if (rc == 0) {
        assert_int_equal(outcome.state, ETX_COMMITTED);
        assert_int_equal(later, 0);
        assert_int_equal(end.state, ETX_COMMITTED);
    }
    return true;
}

/* An engine, and one transaction while `left` allocations succeed. Returns how many failed. */
static unsigned all_that_lacks(rig_log *log, transaction_fn transact, long left, bool once) {
    static uint8_t bytes[BIG];
    unsigned failed = 0;
    bool in_time = false;
    for (uint32_t deadline_ms = 150; !in_time; deadline_ms *= 2) {
        struct counted counted = {.left = -1};
        etx_allocator allocator = {counted_allocate, counted_release, &counted};
        etx_options options = small_options(&allocator);
        pthread_mutex_init(&counted.lock, NULL);
        options.durability = ETX_LOCAL;
        options.memory_max = 16u << 20;
        options.workers = 2;
        options.retry_first_ms = 1;
        options.retry_cap_ms = 5;
        etx_engine *engine = rig_engine(&options, log->url, NULL);
        etx_participant participant = ETX_PARTICIPANT_INIT;
        participant.name = "pool";
        participant.forward = participant.commit = participant.undo = bulky;
        participant.user = bytes;
        rig_must(engine, etx_engine_register(engine, &participant), "register");
        participant.name = "inline";
        participant.flags = ETX_INLINE;
        rig_must(engine, etx_engine_register(engine, &participant), "register");
        rig_start(engine);
        lacks_from(&counted, left, once);
        in_time = one_that_lacks(engine, &counted, transact, deadline_ms, &failed);
        rig_close(engine, ETX_CLOSE_FINISH);
        await_all(&counted);
        pthread_mutex_destroy(&counted.lock);
        assert_true(in_time || deadline_ms < 60000);
    }
    return failed;
}

static void any_allocation_afterwards_may_fail(void **state) {
    transaction_fn const modes[] = {submitted, interactive};
    (void)state;
    for (int mode = 0; mode < 2; mode++) {
        for (int once = 0; once < 2; once++) {
            unsigned failed = 1;
            for (long left = 0; failed > 0; left++) {
                rig_log log;
                rig_log_make(&log, NULL, "partitions=1");
                failed = all_that_lacks(&log, modes[mode], left, once);
                rig_log_end(&log);
                assert_true(left < 2000);
            }
        }
    }
}

/* ---- a put that lacks memory */

static void check_in_use(etx_engine *engine) {
    etx_home_status home = {.size = sizeof home};
    rig_must(engine, etx_engine_home_status(engine, 0, &home), "home");
    assert_true(home.in_use);
}

/* The memory is the process's: no other home has more of it, and this one is as good as before. */
static void a_lack_of_memory_is_no_homes(void **state) {
    rig_log first, second;
    rig_bank bank;
    etx_outcome outcome = ETX_OUTCOME_INIT;
    etx_tx *tx = NULL; /* what has begun goes on */
    (void)state;
    rig_log_make(&first, NULL, "partitions=1");
    rig_log_make(&second, NULL, "partitions=1");
    rig_bank_make(&bank, 100);
    etx_engine *engine = rig_engine(NULL, first.url, second.url);
    rig_bank_register(&bank, engine, "bank", ETX_TCC, ETX_INLINE);
    rig_start(engine);
    unsigned puts = second.puts;
    rig_must(engine, etx_tx_begin(engine, NULL, &tx), "begin");
    rig_log_fail(&first, RIG_NO_MEMORY, 3);
    for (int i = 0; i < 2; i++) {
        int rc = etx_tx_run(rig_pair(engine, "bank", i ? "mine" : NULL, 'D'), &outcome);
        assert_int_equal(rc, ETX_ENOMEM);
        assert_string_equal(outcome.reason, etx_strerror(ETX_ENOMEM));
        check_in_use(engine);
    }
    rig_must(engine, etx_tx_commit(tx, &outcome), "commit");
    assert_int_equal(first.faults, 3);
    assert_int_equal(outcome.state, ETX_COMMITTED);
    rig_must(engine, etx_tx_run(rig_pair(engine, "bank", NULL, 'D'), &outcome), "run");
    assert_int_equal(second.puts, puts); /* nothing was begun there */
    rig_close(engine, ETX_CLOSE_FINISH);
    assert_int_equal(rig_bank_torn(&bank), 0);
    rig_bank_end(&bank);
    rig_log_end(&first);
    rig_log_end(&second);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_lack_of_memory_is_no_homes),
        cmocka_unit_test(all_comes_back),
        cmocka_unit_test(any_allocation_of_a_start_may_fail),
        cmocka_unit_test(any_allocation_afterwards_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
