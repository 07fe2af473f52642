/* Starting, where something is wanting: threads, a place for one more participant, what an adapter
 * should give. Linked with --wrap. */
#include "rig.h"

#include <errno.h>

/* The n-th thread from now is not made; 0: all are. */
static atomic_int *thread_fails(void) {
    static atomic_int at;
    return &at;
}

int __real_pthread_create(pthread_t *ret_thread,
                          const pthread_attr_t *attributes,
                          void *(*run)(void *),
                          void *argument);
int __wrap_pthread_create(pthread_t *ret_thread,
                          const pthread_attr_t *attributes,
                          void *(*run)(void *),
                          void *argument);
int __wrap_pthread_create(pthread_t *ret_thread,
                          const pthread_attr_t *attributes,
                          void *(*run)(void *),
                          void *argument) {
    if (atomic_load(thread_fails()) > 0 && atomic_fetch_sub(thread_fails(), 1) == 1) {
        return EAGAIN;
    }
    return __real_pthread_create(ret_thread, attributes, run, argument);
}

/* Whichever thread cannot be made: the start says so, nothing is left behind, and the next start
 * finds all as it was. */
static void each_thread_fails(void **state) {
    (void)state;
    rig_log log;
    rig_bank bank;
    int failed = 0;
    rig_log_make(&log, NULL, "partitions=3");
    rig_bank_make(&bank, 100);
    for (int at = 1;; at++) {
        etx_engine *engine = rig_engine(NULL, log.url, NULL);
        rig_bank_register(&bank, engine, "bank", ETX_TCC, 0);
        atomic_store(thread_fails(), at);
        int rc = etx_engine_start(engine);
        int left = atomic_exchange(thread_fails(), 0);
        if (left > 0) {
            etx_outcome outcome = ETX_OUTCOME_INIT;
            assert_int_equal(rc, 0);
            rig_must(engine, etx_tx_run(rig_pair(engine, "bank", NULL, 'D'), &outcome), "run");
            assert_int_equal(outcome.state, ETX_COMMITTED);
            rig_close(engine, ETX_CLOSE_FINISH);
            break;
        }
        assert_int_equal(rc, ETX_ENOMEM);
        assert_int_not_equal(etx_engine_start(engine), 0);
        etx_engine_free(engine);
        failed++;
    }
    assert_true(failed >= 5); /* three for the log, a worker, a shard */
    rig_bank_end(&bank);
    rig_log_end(&log);
}

/* The first thread for callbacks is started when the first call is made, and cannot be: the call is
 * made as soon as it can, though nothing else happens. */
static void a_worker_is_started_later(void **state) {
    (void)state;
    rig_log log;
    rig_bank bank;
    etx_outcome outcome = ETX_OUTCOME_INIT;
    etx_options options = rig_options();
    rig_log_make(&log, NULL, "partitions=3");
    rig_bank_make(&bank, 100);
    options.patience_ms = 4000;
    etx_engine *engine = rig_engine(&options, log.url, NULL);
    rig_bank_register(&bank, engine, "bank", ETX_TCC, 0);
    rig_start(engine);
    rig_order order = {1, 'D'};
    etx_tx *tx = NULL;
    rig_must(engine, etx_tx_new(engine, NULL, &tx), "new");
    rig_must(engine, etx_tx_add(tx, "bank", &order, sizeof order), "add");
    atomic_store(thread_fails(), 1);
    rig_must(engine, etx_tx_run(tx, &outcome), "run");
    assert_int_equal(outcome.state, ETX_COMMITTED);
    assert_int_equal(atomic_load(thread_fails()), 0); /* it did fail */
    rig_close(engine, ETX_CLOSE_FINISH);
    rig_bank_end(&bank);
    rig_log_end(&log);
}

static etx_reply never_called(etx_call *call, void *user) {
    (void)call;
    (void)user;
    return ETX_RETRY;
}

int __real_etx__record_room_grow(const etx_allocator *allocator, etx_record_room *room);
int __wrap_etx__record_room_grow(const etx_allocator *allocator, etx_record_room *room);
int __wrap_etx__record_room_grow(const etx_allocator *allocator, etx_record_room *room) {
    return atomic_load(thread_fails()) < 0 ? ETX_ENOMEM
                                           : __real_etx__record_room_grow(allocator, room);
}

/* No memory for a record that is read: the start says that, and not that the log is bad. */
static void no_memory_to_read(void **state) {
    (void)state;
    rig_log log;
    rig_bank bank;
    rig_log_make(&log, NULL, "partitions=1");
    rig_bank_make(&bank, 100);
    for (int start = 0; start < 3; start++) {
        etx_outcome outcome = ETX_OUTCOME_INIT;
        etx_engine *engine = rig_engine(NULL, log.url, NULL);
        rig_bank_register(&bank, engine, "bank", ETX_TCC, 0);
        atomic_store(thread_fails(), start == 1 ? -1 : 0);
        int rc = etx_engine_start(engine);
        atomic_store(thread_fails(), 0);
        if (start == 1) {
            char message[512];
            etx_engine_message(engine, message, sizeof message);
            assert_int_equal(rc, ETX_ENOMEM);
            assert_non_null(strstr(message, "no memory to read a record"));
            etx_engine_free(engine);
            continue;
        }
        rig_must(engine, rc, "start");
        rig_must(engine, etx_tx_run(rig_pair(engine, "bank", "one", 'D'), &outcome), "run");
        assert_int_equal(outcome.state, ETX_COMMITTED);
        rig_close(engine, ETX_CLOSE_FINISH);
    }
    rig_bank_end(&bank);
    rig_log_end(&log);
}

/* A callback has not returned, its core was forgotten, and then the engine is closed and freed: all
 * goes when it returns. */
static void a_callback_outlives_the_engine(void **state) {
    (void)state;
    rig_log log;
    rig_bank bank;
    static host_bank slow; /* its callback may end after this test */
    rig_log_make(&log, NULL, "partitions=1");
    rig_bank_make(&bank, 100);
    host_bank_make(&slow);
    slow.gated = true;
    etx_engine *engine = rig_engine(NULL, log.url, NULL);
    etx_participant participant = host_participant("slow", ETX_TCC, 0, &slow);
    rig_must(engine, etx_engine_register(engine, &participant), "register");
    rig_bank_register(&bank, engine, "bank", ETX_TCC, ETX_INLINE);
    rig_start(engine);
    rig_done done = {0};
    etx_tx *tx = NULL;
    rig_must(engine, etx_tx_new(engine, NULL, &tx), "new");
    rig_must(engine, etx_tx_add(tx, "slow", "x", 1), "add");
    assert_int_equal(etx_tx_submit(tx, rig_done_fn, &done), 0);
    assert_true(host_wait_for(&slow.blocked, 1));
    etx_outcome outcome = ETX_OUTCOME_INIT;
    rig_log_fail(&log, RIG_BROKEN_WRITTEN, 1);
    etx_tx_run(rig_pair(engine, "bank", NULL, 'D'), &outcome);
    assert_true(host_wait_for(&slow.blocked, 2)); /* the new core calls again */
    assert_int_equal(etx_engine_close(engine, ETX_CLOSE_LEAVE, 100), ETX_EBUSY);
    etx_engine_free(engine);
    for (int i = 0; i < 8; i++) {
        sem_post(&slow.gate);
    }
    assert_true(host_wait_for(&log.closed, 1));
    usleep(100 * 1000);
    rig_bank_end(&bank);
    rig_log_end(&log);
}

/* As many participants as there can be, and no more; the last one is called. */
static void all_places_taken(void **state) {
    enum { ALL = 1024 };
    (void)state;
    rig_log log;
    rig_bank bank;
    char name[ETX_NAME_MAX];
    rig_log_make(&log, NULL, "partitions=1");
    rig_bank_make(&bank, 100);
    etx_engine *engine = rig_engine(NULL, log.url, NULL);
    for (int i = 0; i < ALL; i++) {
        snprintf(name, sizeof name, "bank-%d", i);
        rig_bank_register(&bank, engine, name, ETX_TCC, 0);
    }
    etx_participant more = ETX_PARTICIPANT_INIT;
    more.name = "one-more";
    more.kind = ETX_MESSAGE;
    more.commit = never_called;
    assert_int_equal(etx_engine_register(engine, &more), ETX_EBUSY);
    rig_start(engine);
    etx_outcome outcome = ETX_OUTCOME_INIT;
    rig_must(engine, etx_tx_run(rig_pair(engine, name, NULL, 'D'), &outcome), "run");
    assert_int_equal(outcome.state, ETX_COMMITTED);
    rig_close(engine, ETX_CLOSE_FINISH);
    rig_bank_end(&bank);
    rig_log_end(&log);
}

/* ---- adapters that do less than they should, or may */

static int empty_get(etx_log *log,
                     uint32_t partition,
                     uint64_t from,
                     etx_slot_fn visit,
                     void *user,
                     uint64_t *ret_mark,
                     char *message,
                     size_t message_size) {
    etx_slot slot = {.partition = partition, .slot = from, .batch = {"", 0}};
    (void)log;
    (void)message;
    (void)message_size;
    *ret_mark = 0;
    return visit(&slot, user);
}

/* A slot without bytes says nothing that could be read: it is refused, not passed over. */
static void a_slot_without_bytes(void **state) {
    (void)state;
    rig_log log;
    etx_log_ops ops = *rig_log_ops();
    etx_options options = rig_options();
    etx_engine *engine = NULL;
    rig_log_make(&log, NULL, "partitions=1");
    ops.get = empty_get;
    assert_int_equal(etx_engine_create(&options, &engine), 0);
    rig_must(engine, etx_engine_log(engine, &ops), "log");
    rig_must(engine, etx_engine_home(engine, log.url), "home");
    assert_int_equal(etx_engine_start(engine), ETX_EVERSION);
    etx_engine_free(engine);
    rig_log_end(&log);
}

/* An adapter without reopen: what breaks is only read again. */
static void no_reopen(void **state) {
    (void)state;
    rig_log log;
    rig_bank bank;
    etx_log_ops ops = *rig_log_ops();
    etx_options options = rig_options();
    etx_engine *engine = NULL;
    rig_log_make(&log, NULL, "partitions=1");
    rig_bank_make(&bank, 100);
    ops.reopen = NULL;
    assert_int_equal(etx_engine_create(&options, &engine), 0);
    rig_must(engine, etx_engine_log(engine, &ops), "log");
    rig_must(engine, etx_engine_home(engine, log.url), "home");
    rig_bank_register(&bank, engine, "bank", ETX_TCC, 0);
    rig_start(engine);
    rig_log_fail(&log, RIG_BROKEN_WRITTEN, 1);
    etx_outcome outcome = ETX_OUTCOME_INIT;
    assert_int_equal(etx_tx_run(rig_pair(engine, "bank", "one", 'D'), &outcome), ETX_EUNKNOWN);
    assert_true(rig_reaches(engine, "one", ETX_COMMITTED, 0));
    assert_int_equal(log.reopened, 0);
    rig_close(engine, ETX_CLOSE_FINISH);
    rig_bank_end(&bank);
    rig_log_end(&log);
}

/* While the log was broken another engine claimed it, to which the chosen gids belong elsewhere:
 * it is not taken back. */
static void chosen_elsewhere_meanwhile(void **state) {
    (void)state;
    rig_log log;
    rig_bank bank;
    uint8_t batch[256] = {0};
    etx_record own = {.type = ETX_RECORD_OWN};
    const etx_codec *codec = etx_codec_binary();
    rig_log_make(&log, NULL, "partitions=1");
    rig_bank_make(&bank, 100);
    etx_engine *engine = rig_engine(NULL, log.url, NULL);
    rig_bank_register(&bank, engine, "bank", ETX_TCC, 0);
    rig_start(engine);
    own.u.own.nonce = 4711;
    own.u.own.node = (etx_bytes){"other", 5};
    own.u.own.chosen_home = (etx_bytes){"m123456", 7};
    batch[0] = codec->id;
    size_t len = 1 + codec->encode(&own, batch + 1);
    rig_log_put(&log, 0, 4711, (etx_bytes){batch, len});
    rig_log_fail(&log, RIG_BROKEN, 1);
    etx_outcome outcome = ETX_OUTCOME_INIT;
    assert_int_equal(etx_tx_run(rig_pair(engine, "bank", "one", 'D'), &outcome), ETX_EUNKNOWN);
    uint64_t end = host_now_ms() + 30000;
    char message[512] = "";
    while (strstr(message, "m123456") == NULL && host_now_ms() < end) {
        assert_int_not_equal(etx_tx_run(rig_pair(engine, "bank", "two", 'D'), &outcome), 0);
        etx_engine_message(engine, message, sizeof message);
        usleep(1000);
    }
    assert_non_null(strstr(message, "chosen gids belong to home m123456"));
    etx_engine_close(engine, ETX_CLOSE_ABRUPT, 1000);
    etx_engine_free(engine);
    rig_bank_end(&bank);
    rig_log_end(&log);
}

/* Slow, and one at a time. */
static etx_reply slowly(etx_call *call, void *user) {
    (void)call;
    atomic_fetch_add((atomic_uint *)user, 1);
    usleep(100 * 1000);
    return ETX_DONE;
}

/* Calls that stand in the queue when the engine is closed are never made; the next start makes
 * them, and all ends. */
static void calls_never_made(void **state) {
    enum { ALL = 12 };
    (void)state;
    rig_log log;
    atomic_uint calls = 0;
    rig_log_make(&log, NULL, "partitions=1");
    for (int start = 0; start < 2; start++) {
        etx_options options = rig_options();
        options.workers = 1;
        etx_engine *engine = rig_engine(&options, log.url, NULL);
        etx_participant slow = ETX_PARTICIPANT_INIT;
        slow.name = "slow";
        slow.kind = ETX_MESSAGE;
        slow.commit = slowly;
        slow.user = &calls;
        rig_must(engine, etx_engine_register(engine, &slow), "register");
        rig_start(engine);
        rig_done done[ALL];
        memset(done, 0, sizeof done);
        for (int i = 0; start == 0 && i < ALL; i++) {
            etx_tx *tx = NULL;
            rig_must(engine, etx_tx_new(engine, NULL, &tx), "new");
            rig_must(engine, etx_tx_add(tx, "slow", "x", 1), "add");
            rig_must(engine, etx_tx_submit(tx, rig_done_fn, &done[i]), "submit");
        }
        if (start == 0) {
            assert_true(host_wait_for(&calls, 1));
            etx_engine_close(engine, ETX_CLOSE_LEAVE, 5000);
            assert_true(calls < ALL);
            etx_engine_free(engine);
        } else {
            assert_true(rig_quiet(engine));
            assert_true(calls >= ALL);
            rig_close(engine, ETX_CLOSE_FINISH);
        }
    }
    rig_log_end(&log);
}

/* Calls that come back when they are told to, each by its number. */
typedef struct ordered {
    atomic_uint calls;
    atomic_bool back[3];
} ordered;

static etx_reply in_order(etx_call *call, void *user) {
    ordered *all = user;
    unsigned number = atomic_fetch_add(&all->calls, 1);
    (void)call;
    while (number < 3 && !atomic_load(&all->back[number])) {
        usleep(1000);
    }
    return ETX_DONE;
}

/* Two cores were forgotten while callbacks ran for them; the older one's returns first. */
static void the_older_core_goes_first(void **state) {
    (void)state;
    rig_log log;
    rig_bank bank;
    ordered all = {0};
    rig_log_make(&log, NULL, "partitions=1");
    rig_bank_make(&bank, 100);
    etx_engine *engine = rig_engine(NULL, log.url, NULL);
    etx_participant participant = ETX_PARTICIPANT_INIT;
    participant.name = "ordered";
    participant.kind = ETX_MESSAGE;
    participant.commit = in_order;
    participant.user = &all;
    rig_must(engine, etx_engine_register(engine, &participant), "register");
    rig_bank_register(&bank, engine, "bank", ETX_TCC, ETX_INLINE);
    rig_start(engine);
    rig_done done = {0};
    etx_tx *tx = NULL;
    etx_tx_options options = ETX_TX_OPTIONS_INIT;
    options.gid = "one";
    rig_must(engine, etx_tx_new(engine, &options, &tx), "new");
    rig_must(engine, etx_tx_add(tx, "ordered", "x", 1), "add");
    assert_int_equal(etx_tx_submit(tx, rig_done_fn, &done), 0);
    for (unsigned i = 0; i < 2; i++) {
        etx_outcome outcome = ETX_OUTCOME_INIT;
        assert_true(host_wait_for(&all.calls, i + 1));
        rig_log_fail(&log, RIG_BROKEN_WRITTEN, 1);
        etx_tx_run(rig_pair(engine, "bank", NULL, 'D'), &outcome);
    }
    assert_true(host_wait_for(&all.calls, 3));
    for (unsigned i = 0; i < 3; i++) {
        atomic_store(&all.back[i], true);
        usleep(100 * 1000);
    }
    assert_true(rig_reaches(engine, "one", ETX_COMMITTED, 0));
    rig_close(engine, ETX_CLOSE_FINISH);
    assert_int_equal(all.calls, 3);
    rig_bank_end(&bank);
    rig_log_end(&log);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_thread_fails),
        cmocka_unit_test(a_worker_is_started_later),
        cmocka_unit_test(no_memory_to_read),
        cmocka_unit_test(all_places_taken),
        cmocka_unit_test(a_slot_without_bytes),
        cmocka_unit_test(no_reopen),
        cmocka_unit_test(chosen_elsewhere_meanwhile),
        cmocka_unit_test(calls_never_made),
        cmocka_unit_test(a_callback_outlives_the_engine),
        cmocka_unit_test(the_older_core_goes_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
