/* Closing: everybody who waits is woken, in time, whatever hangs. */
#include "rig.h"

struct waiting {
    pthread_t thread;
    etx_engine *engine;
    etx_outcome outcome;
    int rc;
    uint32_t patience_ms;
    atomic_uint back;
};

static void *wait_body(void *argument) {
    struct waiting *waiting = argument;
    waiting->rc = etx_tx_run(rig_pair(waiting->engine, "bank", NULL, 'D'), &waiting->outcome);
    atomic_fetch_add(&waiting->back, 1);
    return NULL;
}

static void wait_start(struct waiting *waiting, etx_engine *engine) {
    memset(waiting, 0, sizeof *waiting);
    waiting->engine = engine;
    waiting->outcome = (etx_outcome)ETX_OUTCOME_INIT;
    assert_int_equal(pthread_create(&waiting->thread, NULL, wait_body, waiting), 0);
}

/* A put that hangs holds up neither the caller's patience nor the close. */
static void a_hanging_put_holds_up_nobody(void **state) {
    rig_log log;
    rig_bank bank;
    struct waiting caller;
    (void)state;
    rig_log_make(&log, NULL, "partitions=1");
    rig_bank_make(&bank, 100);
    etx_options options = rig_options();
    options.patience_ms = 100;
    etx_engine *engine = rig_engine(&options, log.url, NULL);
    rig_bank_register(&bank, engine, "bank", ETX_TCC, ETX_INLINE);
    rig_start(engine);
    rig_log_fail(&log, RIG_HANGS, 1);
    uint64_t hung = host_now_ms(); /* at the earliest */
    wait_start(&caller, engine);
    assert_true(host_wait_for(&log.hanging, 1));
    assert_true(host_wait_for(&caller.back, 1));
    pthread_join(caller.thread, NULL);
    assert_int_equal(caller.rc, ETX_EUNKNOWN);
    assert_string_not_equal(caller.outcome.gid, "");
    rig_done done = {0};
    assert_int_equal(etx_tx_submit(rig_pair(engine, "bank", "late", 'D'), rig_done_fn, &done), 0);
    uint64_t before = host_now_ms();
    assert_int_equal(etx_engine_close(engine, ETX_CLOSE_LEAVE, 200), ETX_EBUSY);
    assert_true(host_now_ms() - before < 60000);
    assert_true(host_wait_for(&done.count, 1));
    if (host_now_ms() - hung < 800) {
        assert_int_equal(done.rc, ETX_ECLOSED);
    } else { /* the machine was slow: the home was given up meanwhile, and that was said */
        assert_true(done.rc == ETX_ECLOSED || done.rc == ETX_EUNAVAILABLE);
    }
    etx_engine_free(engine); /* its memory goes when the put is back */
    unsigned puts = log.puts;
    assert_int_equal(log.closed, 0); /* the put is at it */
    sem_post(&log.gate);
    assert_true(host_wait_for(&log.closed, 1));
    assert_int_equal(log.puts, puts);
    rig_bank_end(&bank);
    rig_log_end(&log);
}

/* Patience ends with unknown; the answer is there later. */
static void patience_ends(void **state) {
    rig_log log;
    rig_bank bank;
    (void)state;
    rig_log_make(&log, NULL, "partitions=1");
    rig_bank_make(&bank, 100);
    etx_engine *engine = rig_engine(NULL, log.url, NULL);
    rig_bank_register(&bank, engine, "bank", ETX_TCC, 0);
    rig_start(engine);
    rig_log_fail(&log, RIG_UNKNOWN, -1);
    etx_tx_options options = ETX_TX_OPTIONS_INIT;
    etx_tx *tx = NULL;
    options.patience_ms = 50;
    options.gid = "one";
    rig_must(engine, etx_tx_new(engine, &options, &tx), "new");
    rig_must(engine, etx_tx_add(tx, "bank", "x", 1), "add");
    etx_outcome outcome = ETX_OUTCOME_INIT;
    assert_int_equal(etx_tx_run(tx, &outcome), ETX_EUNKNOWN);
    assert_string_equal(outcome.gid, "one");
    outcome = (etx_outcome)ETX_OUTCOME_INIT;
    assert_int_equal(etx_wait_for(engine, "one", ETX_WAIT_BEGUN, 20, &outcome), ETX_EUNKNOWN);
    rig_log_fail(&log, RIG_WELL, 0);
    rig_must(engine, etx_wait_for(engine, "one", ETX_WAIT_ENDED, 0, &outcome), "wait");
    assert_int_equal(outcome.state, ETX_COMMITTED);
    rig_close(engine, ETX_CLOSE_FINISH);
    rig_bank_end(&bank);
    rig_log_end(&log);
}

/* Calls from many threads while the engine closes: each comes back, and hears why. */
struct storm {
    pthread_t thread;
    etx_engine *engine;
    atomic_uint *calls;
    unsigned done, submitted;
    atomic_uint answered;
};

static void storm_done(int rc, const etx_outcome *outcome, void *user) {
    (void)rc;
    (void)outcome;
    atomic_fetch_add(&((struct storm *)user)->answered, 1);
}

static void *storm_body(void *argument) {
    struct storm *storm = argument;
    for (unsigned i = 0;; i++) {
        etx_tx *tx = NULL;
        etx_outcome outcome = ETX_OUTCOME_INIT;
        int rc = etx_tx_new(storm->engine, NULL, &tx);
        if (rc == 0 && etx_tx_add(tx, "bank", "x", 1) != 0) {
            etx_tx_discard(tx);
            rc = ETX_ECLOSED;
        } else if (rc == 0 && i % 2) {
            rc = etx_tx_submit(tx, storm_done, storm);
            storm->submitted += rc == 0;
        } else if (rc == 0) {
            rc = etx_tx_run(tx, &outcome);
        }
        atomic_fetch_add(storm->calls, 1);
        if (rc != 0) {
            rig_check(rc == ETX_ECLOSED);
            return NULL;
        }
    }
}

static void close_in_a_storm(void **state) {
    enum { THREADS = 4, ROUNDS = 40 };
    (void)state;
    for (int round = 0; round < ROUNDS; round++) {
        rig_log log;
        rig_bank bank;
        struct storm storms[THREADS];
        atomic_uint calls = 0;
        memset(storms, 0, sizeof storms);
        rig_log_make(&log, NULL, "partitions=2");
        rig_bank_make(&bank, 100000);
        etx_options options = rig_options();
        options.patience_ms = 600000; /* it is the close that wakes them */
        etx_engine *engine = rig_engine(&options, log.url, NULL);
        rig_bank_register(&bank, engine, "bank", ETX_TCC, ETX_INLINE);
        rig_start(engine);
        for (int i = 0; i < THREADS; i++) {
            storms[i].engine = engine;
            storms[i].calls = &calls;
            assert_int_equal(pthread_create(&storms[i].thread, NULL, storm_body, &storms[i]), 0);
        }
        assert_true(host_wait_for(&calls, 20u + (unsigned)round));
        uint64_t before = host_now_ms();
        assert_int_equal(etx_engine_close(engine, (etx_close_mode)(round % 3), 60000), 0);
        for (int i = 0; i < THREADS; i++) {
            pthread_join(storms[i].thread, NULL);
            assert_int_equal(storms[i].answered, storms[i].submitted);
        }
        assert_true(host_now_ms() - before < 60000);
        etx_engine_free(engine);
        rig_bank_end(&bank);
        rig_log_end(&log);
    }
}

/* Records that nobody waits for are written all the same, without anything else going on. */
static void what_nobody_waits_for_is_written(void **state) {
    rig_log log;
    rig_bank bank;
    (void)state;
    rig_log_make(&log, NULL, "partitions=1");
    rig_bank_make(&bank, 10000);
    etx_engine *engine = rig_engine(NULL, log.url, NULL);
    rig_bank_register(&bank, engine, "bank", ETX_TCC, ETX_INLINE);
    rig_start(engine);
    uint64_t begun = 0;
    for (int i = 0; i < 300; i++) {
        for (int k = 0; k <= i % 5; k++) { /* also while the engine's thread goes to sleep */
            etx_outcome outcome = ETX_OUTCOME_INIT;
            rig_must(engine, etx_tx_run(rig_pair(engine, "bank", NULL, 'D'), &outcome), "run");
            begun++;
        }
        assert_true(rig_written(engine, begun));
    }
    rig_close(engine, ETX_CLOSE_FINISH);
    rig_bank_end(&bank);
    rig_log_end(&log);
}

/* Its forward call waits at the gate, then asks what became of its transaction. */
struct asker {
    etx_engine *engine;
    sem_t gate;
    atomic_uint called;
    _Atomic int rc;
    etx_status status;
};

static etx_reply ask(etx_call *call, void *user) {
    struct asker *asker = user;
    atomic_fetch_add(&asker->called, 1);
    while (sem_wait(&asker->gate) != 0) {
    }
    asker->rc = etx_query(asker->engine, etx_call_gid(call), &asker->status);
    return ETX_DONE;
}

static etx_reply nothing(etx_call *call, void *user) {
    (void)call;
    (void)user;
    return ETX_DONE;
}

/* A transaction "t" whose forward call waits at the gate. */
static void asker_open(struct asker *asker, rig_log *log) {
    etx_participant participant = ETX_PARTICIPANT_INIT;
    etx_tx_options options = ETX_TX_OPTIONS_INIT;
    etx_tx *tx = NULL;
    memset(asker, 0, sizeof *asker);
    asker->status.size = sizeof asker->status;
    rig_log_make(log, NULL, "partitions=1");
    assert_int_equal(sem_init(&asker->gate, 0, 0), 0);
    asker->engine = rig_engine(NULL, log->url, NULL);
    participant.name = "asker";
    participant.kind = ETX_TCC;
    participant.user = asker;
    participant.forward = ask;
    participant.commit = participant.undo = nothing;
    rig_must(asker->engine, etx_engine_register(asker->engine, &participant), "register");
    rig_start(asker->engine);
    options.gid = "t";
    rig_must(asker->engine, etx_tx_new(asker->engine, &options, &tx), "new");
    rig_must(asker->engine, etx_tx_add(tx, "asker", NULL, 0), "add");
    rig_must(asker->engine, etx_tx_submit(tx, NULL, NULL), "submit");
    assert_true(host_wait_for(&asker->called, 1));
}

static void *close_body(void *argument) {
    rig_check(etx_engine_close(argument, ETX_CLOSE_FINISH, 60000) == 0);
    return NULL;
}

static void *leave_body(void *argument) {
    rig_check(etx_engine_close(argument, ETX_CLOSE_LEAVE, 60000) == 0);
    return NULL;
}

/* Once the close has begun the callback may go on. */
static void open_the_gate(struct asker *asker) {
    etx_tx *tx = NULL;
    while (etx_tx_new(asker->engine, NULL, &tx) == 0) {
        etx_tx_discard(tx);
    }
    usleep(20000); /* a close that does not wait goes on now */
    sem_post(&asker->gate);
}

static void asker_end(struct asker *asker, rig_log *log) {
    etx_engine_free(asker->engine);
    sem_destroy(&asker->gate);
    rig_log_end(log);
}

/* Who leaves the rest to the next start waits for the calls that run. */
static void a_call_that_runs_is_waited_for(void **state) {
    rig_log log;
    pthread_t closing;
    struct asker asker;
    (void)state;
    asker_open(&asker, &log);
    assert_int_equal(pthread_create(&closing, NULL, leave_body, asker.engine), 0);
    open_the_gate(&asker);
    pthread_join(closing, NULL);
    assert_int_equal(asker.rc, ETX_ECLOSED);
    asker_end(&asker, &log);
}

/* As if it were killed: nothing is waited for. */
static void an_abrupt_close_waits_for_no_call(void **state) {
    enum { LONG_MS = 10000 };
    rig_log log;
    struct asker asker;
    (void)state;
    asker_open(&asker, &log);
    uint64_t begin = host_now_ms();
    assert_int_equal(etx_engine_close(asker.engine, ETX_CLOSE_ABRUPT, LONG_MS), ETX_EBUSY);
    assert_true(host_now_ms() < begin + LONG_MS);
    sem_post(&asker.gate);
    while (asker.rc == 0) { /* it was told that the engine is closed */
        usleep(1000);
    }
    asker_end(&asker, &log);
}

/* Its transaction was ended by hand, and nothing is in flight: the close waits for the callback all
 * the same, and it is answered until it returns. */
static void a_callback_is_answered_until_it_returns(void **state) {
    rig_log log;
    pthread_t closing;
    struct asker asker;
    (void)state;
    asker_open(&asker, &log);
    rig_must(asker.engine,
             etx_force_by_hand(asker.engine, "t", ETX_FORCE_ABORT, NULL, ETX_FORWARD, "ann", "why"),
             "abort");
    rig_must(asker.engine,
             etx_force_by_hand(asker.engine, "t", ETX_FORCE_DONE, "0", ETX_UNDO, "ann", "why"),
             "done");
    assert_true(rig_reaches(asker.engine, "t", ETX_ABORTED, 0));
    assert_int_equal(pthread_create(&closing, NULL, close_body, asker.engine), 0);
    open_the_gate(&asker);
    pthread_join(closing, NULL);
    assert_int_equal(asker.rc, 0);
    assert_int_equal(asker.status.state, ETX_ABORTED);
    asker_end(&asker, &log);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_hanging_put_holds_up_nobody),
        cmocka_unit_test(patience_ends),
        cmocka_unit_test(close_in_a_storm),
        cmocka_unit_test(what_nobody_waits_for_is_written),
        cmocka_unit_test(a_callback_is_answered_until_it_returns),
        cmocka_unit_test(a_call_that_runs_is_waited_for),
        cmocka_unit_test(an_abrupt_close_waits_for_no_call),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
