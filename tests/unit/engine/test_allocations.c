/* Once it is warm, the engine asks for no memory: not for one transaction more, neither the user's
 * allocator nor malloc. Linked with --wrap. */
#include "rig.h"

/* What grows with the most that was ever there at once (handles, batches, the ring of a log in
 * memory) may still do so in some of the first rounds; what is asked for with each transaction, or
 * with each hundredth, is asked for in every round. */
enum { LONE = 100, SHARED = 1000, AT_ONCE = 64, BRANCHES = 3, QUIET = 2, ROUNDS_MAX = 60 };

static struct counts {
    atomic_ulong given;   /* by the user's allocator */
    atomic_ulong plain;   /* by malloc and the like */
    atomic_ulong segment; /* to the thread that makes a file log's segments, ahead of the puts */
} all;

static void count(atomic_ulong *of) {
    char name[16] = "";
    pthread_getname_np(pthread_self(), name, sizeof name);
    atomic_fetch_add(strcmp(name, "etx-seg") == 0 ? &all.segment : of, 1);
}

void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t number, size_t size);
void *__wrap_realloc(void *block, size_t size);
int __wrap_posix_memalign(void **ret_block, size_t alignment, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size);
char *__wrap_strdup(const char *text);
void *__real_malloc(size_t size);
void *__real_calloc(size_t number, size_t size);
void *__real_realloc(void *block, size_t size);
int __real_posix_memalign(void **ret_block, size_t alignment, size_t size);
void *__real_aligned_alloc(size_t alignment, size_t size);
char *__real_strdup(const char *text);

void *__wrap_malloc(size_t size) {
    count(&all.plain);
    return __real_malloc(size);
}

void *__wrap_calloc(size_t number, size_t size) {
    count(&all.plain);
    return __real_calloc(number, size);
}

void *__wrap_realloc(void *block, size_t size) {
    count(&all.plain);
    return __real_realloc(block, size);
}

int __wrap_posix_memalign(void **ret_block, size_t alignment, size_t size) {
    count(&all.plain);
    return __real_posix_memalign(ret_block, alignment, size);
}

void *__wrap_aligned_alloc(size_t alignment, size_t size) {
    count(&all.plain);
    return __real_aligned_alloc(alignment, size);
}

char *__wrap_strdup(const char *text) {
    count(&all.plain);
    return __real_strdup(text);
}

static void *counted_allocate(void *user, size_t size) {
    (void)user;
    count(&all.given);
    return __real_calloc(1, size);
}

static void counted_release(void *user, void *block, size_t size) {
    (void)user;
    (void)size;
    free(block);
}

static etx_tx *make(etx_engine *engine, const char *participant) {
    etx_tx *tx = NULL;
    rig_must(engine, etx_tx_new(engine, NULL, &tx), "new");
    for (int i = 0; i < BRANCHES; i++) {
        rig_must(engine, etx_tx_add(tx, participant, "twenty bytes payload", 20), "add");
    }
    return tx;
}

/* One after another, by a caller who waits. */
static void run_alone(etx_engine *engine, const char *participant) {
    for (int i = 0; i < LONE; i++) {
        etx_outcome outcome = ETX_OUTCOME_INIT;
        rig_must(engine, etx_tx_run(make(engine, participant), &outcome), participant);
        assert_int_equal(outcome.state, ETX_COMMITTED);
    }
}

typedef struct crowd {
    sem_t room;
    atomic_uint committed;
} crowd;

static void leave(int rc, const etx_outcome *outcome, void *user) {
    crowd *of = user;
    atomic_fetch_add(&of->committed, rc == 0 && outcome->state == ETX_COMMITTED);
    sem_post(&of->room);
}

/* So many at once, by a caller who is told. */
static void run_many(etx_engine *engine, const char *participant) {
    crowd of = {.committed = 0};
    assert_int_equal(sem_init(&of.room, 0, AT_ONCE), 0);
    for (int i = 0; i < SHARED; i++) {
        while (sem_wait(&of.room) != 0) {
        }
        rig_must(engine, etx_tx_submit(make(engine, participant), leave, &of), participant);
    }
    for (int i = 0; i < AT_ONCE; i++) {
        while (sem_wait(&of.room) != 0) {
        }
    }
    assert_int_equal(atomic_load(&of.committed), SHARED);
    sem_destroy(&of.room);
}

static void run_round(etx_engine *engine) {
    static const char *const participants[] = {"stock", "step", "slow"};
    for (int i = 0; i < 3; i++) {
        run_alone(engine, participants[i]);
        run_many(engine, participants[i]);
    }
}

/* Rounds, until some in a row have asked for nothing. */
static void expect_quiet(const char *url) {
    host_bank bank;
    etx_allocator allocator = {counted_allocate, counted_release, NULL};
    etx_options options = host_options();
    options.allocator = &allocator;
    host_bank_make(&bank);
    unsigned long before = atomic_load(&all.given);
    etx_engine *engine = host_engine(url, &options, &bank);
    assert_true(atomic_load(&all.given) > before);
    unsigned long given = 0;
    unsigned long plain = 0;
    for (int round = 0, quiet = 0; round < ROUNDS_MAX && quiet < QUIET; round++) {
        given = atomic_load(&all.given);
        plain = atomic_load(&all.plain);
        run_round(engine);
        given = atomic_load(&all.given) - given;
        plain = atomic_load(&all.plain) - plain;
        quiet = given + plain == 0 ? quiet + 1 : 0;
    }
    if (given + plain > 0) {
        fail_msg("in %s %lu allocations, and %lu by malloc, for the last %d transactions", url,
                 given, plain, 3 * (LONE + SHARED));
    }
    host_engine_end(engine);
}

static void test_none_in_memory(void **state) {
    (void)state;
    expect_quiet("memory:");
}

/* Its segments are made by a thread of their own, which needs a buffer of zeros for each piece, and
 * nothing for a transaction. */
static void test_none_with_a_file(void **state) {
    host_dir dir;
    (void)state;
    host_dir_make(&dir);
    expect_quiet(dir.url);
    assert_true(atomic_load(&all.segment) > 0); /* so it is told apart */
    host_dir_remove(&dir);
}

/* What is counted is all that there is. */
static void test_what_is_asked_for_is_counted(void **state) {
    (void)state;
    unsigned long plain = atomic_load(&all.plain);
    etx_record_room room = {.bytes_need = 1};
    assert_int_equal(etx_record_room_grow(&room), 0);
    etx_record_room_free(&room);
    assert_true(atomic_load(&all.plain) > plain);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_asked_for_is_counted),
        cmocka_unit_test(test_none_in_memory),
        cmocka_unit_test(test_none_with_a_file),
    };
    alarm(300);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
