/* No lock is held while the user's code runs: from every kind of callback what is allowed works,
 * and what would wait is refused rather than waited for. */
#include "host.h"

/* What a callback tried, told to the test's own thread: cmocka asserts only there. */
typedef struct probe {
    etx_engine *engine;
    atomic_uint ran;
    atomic_uint submitted; /* transactions begun in callbacks and answered */
    char wrong[160];       /* the first call that did not answer as it should */
} probe;

static void expect(probe *p, const char *what, int rc, int wanted) {
    if (rc != wanted && p->wrong[0] == '\0') {
        snprintf(p->wrong, sizeof(p->wrong), "%s: %s, not %s", what, etx_error_name(rc),
                 etx_error_name(wanted));
    }
}

static void count_submitted(int rc, const etx_outcome *outcome, void *user) {
    probe *p = user;
    expect(p, "outcome of submit", rc, 0);
    expect(p, "state after submit", (int)outcome->state, ETX_COMMITTED);
    atomic_fetch_add(&p->submitted, 1);
}

static void ignore_done(int rc, const etx_outcome *outcome, void *user) {
    (void)rc;
    (void)outcome;
    (void)user;
}

/* All that is marked "from inline callbacks". */
static void try_allowed(probe *p) {
    char message[64];
    etx_metrics metrics = {.size = sizeof(metrics)};
    etx_home_status home = {.size = sizeof(home)};
    etx_completion completion = ETX_COMPLETION_INIT;
    etx_tx *tx = NULL;
    etx_engine_message(p->engine, message, sizeof(message));
    expect(p, "metrics", etx_engine_metrics(p->engine, &metrics), 0);
    expect(p, "home status", etx_engine_home_status(p->engine, 0, &home), 0);
    completion.reply = ETX_DONE;
    (void)etx_complete(p->engine, (etx_token){{0, 0}}, &completion);
    expect(p, "new", etx_tx_new(p->engine, NULL, &tx), 0);
    expect(p, "add", etx_tx_add(tx, "stock", "x", 1), 0);
    expect(p, "gid", etx_tx_gid(tx) != NULL ? 0 : ETX_EUNAVAILABLE, 0);
    etx_tx_discard(tx);
    tx = NULL;
    expect(p, "new", etx_tx_new(p->engine, NULL, &tx), 0);
    expect(p, "add", etx_tx_add(tx, "stock", "x", 1), 0);
    expect(p, "submit", etx_tx_submit(tx, count_submitted, p), 0);
    expect(p, "query", etx_query_async(p->engine, "no-such-gid", ignore_done, NULL), 0);
}

static int no_status(const etx_status *status, void *user) {
    (void)status;
    (void)user;
    return 0;
}

/* All that waits: refused on the engine's threads. */
static void try_waiting(probe *p) {
    etx_outcome outcome = ETX_OUTCOME_INIT;
    etx_status status = {.size = sizeof(status)};
    etx_filter filter = ETX_FILTER_INIT;
    etx_cursor cursor = {{0, 0}};
    etx_tx *tx = NULL;
    expect(p, "run", host_run(p->engine, "stock", &outcome), ETX_EINVALID);
    expect(p, "begin", etx_tx_begin(p->engine, NULL, &tx), ETX_EINVALID);
    expect(p, "query", etx_query(p->engine, "g", &status), ETX_EINVALID);
    expect(p, "wait", etx_wait_for(p->engine, "g", ETX_WAIT_ENDED, 100, &outcome), ETX_EINVALID);
    expect(p, "list", etx_list(p->engine, &filter, &cursor, 10, no_status, NULL), ETX_EINVALID);
    expect(p, "retry", etx_retry(p->engine, "g"), ETX_EINVALID);
    expect(p, "park", etx_park(p->engine, "g", "test", "test"), ETX_EINVALID);
    expect(p, "resume", etx_resume(p->engine, "g", "test", "test"), ETX_EINVALID);
    expect(p, "force",
           etx_force_by_hand(p->engine, "g", ETX_FORCE_ABORT, NULL, ETX_FORWARD, "test", "test"),
           ETX_EINVALID);
    expect(p, "close", etx_engine_close(p->engine, ETX_CLOSE_LEAVE, 100), ETX_EINVALID);
}

static etx_reply inline_forward(etx_call *call, void *user) {
    probe *p = user;
    expect(p, "engine of the call", etx_call_engine(call) == p->engine ? 0 : ETX_EINVALID, 0);
    try_allowed(p);
    try_waiting(p);
    atomic_fetch_add(&p->ran, 1);
    return ETX_DONE;
}

static etx_reply done_at_once(etx_call *call, void *user) {
    (void)call;
    (void)user;
    return ETX_DONE;
}

/* May do what it likes: also run transactions and wait for them. */
static etx_reply worker_forward(etx_call *call, void *user) {
    probe *p = user;
    etx_outcome outcome = ETX_OUTCOME_INIT;
    etx_status status = {.size = sizeof(status)};
    char child[ETX_GID_MAX + 1];
    etx_tx_options options = ETX_TX_OPTIONS_INIT;
    etx_tx *tx = NULL;
    try_allowed(p);
    expect(p, "nested run", host_run(p->engine, "stock", &outcome), 0);
    expect(p, "nested state", (int)outcome.state, ETX_COMMITTED);
    expect(p, "nested query", etx_query(p->engine, outcome.gid, &status), 0);
    expect(p, "child gid", etx_gid_child(etx_call_gid(call), etx_call_branch(call), child), 0);
    options.gid = child;
    expect(p, "child begin", etx_tx_begin(p->engine, &options, &tx), 0);
    expect(p, "child abort", etx_tx_abort(tx, &outcome), 0);
    expect(p, "child state", (int)outcome.state, ETX_ABORTED);
    expect(p, "close", etx_engine_close(p->engine, ETX_CLOSE_LEAVE, 100), ETX_EINVALID);
    atomic_fetch_add(&p->ran, 1);
    return ETX_DONE;
}

static void register_probe(etx_engine *engine,
                           const char *name,
                           etx_operation_fn forward,
                           etx_operation_fn commit,
                           uint32_t flags,
                           probe *p) {
    etx_participant participant = ETX_PARTICIPANT_INIT;
    participant.name = name;
    participant.kind = ETX_TCC;
    participant.forward = forward;
    participant.commit = commit;
    participant.undo = done_at_once;
    participant.flags = flags;
    participant.user = p;
    assert_int_equal(etx_engine_register(engine, &participant), 0);
}

static void expect_none_wrong(probe *p) {
    if (p->wrong[0] != '\0') {
        fail_msg("%s", p->wrong);
    }
}

static void test_inline_callbacks(void **state) {
    (void)state;
    host_bank bank;
    probe p = {0};
    etx_outcome outcome = ETX_OUTCOME_INIT;
    host_bank_make(&bank);
    p.engine = host_engine("memory:", NULL, &bank);
    register_probe(p.engine, "forward", inline_forward, done_at_once, ETX_INLINE, &p);
    register_probe(p.engine, "commit", done_at_once, inline_forward, ETX_INLINE, &p);
    assert_int_equal(host_run(p.engine, "forward", &outcome), 0);
    assert_int_equal(outcome.state, ETX_COMMITTED);
    assert_int_equal(host_run(p.engine, "commit", &outcome), 0);
    assert_int_equal(outcome.state, ETX_COMMITTED);
    assert_int_equal(atomic_load(&p.ran), 2);
    assert_true(host_wait_for(&p.submitted, 2));
    expect_none_wrong(&p);
    host_engine_end(p.engine);
}

static void test_worker_callbacks_may_run_transactions(void **state) {
    (void)state;
    host_bank bank;
    probe p = {0};
    etx_outcome outcome = ETX_OUTCOME_INIT;
    host_bank_make(&bank);
    p.engine = host_engine("memory:", NULL, &bank);
    register_probe(p.engine, "worker", worker_forward, done_at_once, 0, &p);
    assert_int_equal(host_run(p.engine, "worker", &outcome), 0);
    assert_int_equal(outcome.state, ETX_COMMITTED);
    assert_int_equal(atomic_load(&p.ran), 1);
    assert_true(host_wait_for(&p.submitted, 1));
    expect_none_wrong(&p);
    host_engine_end(p.engine);
}

static void done_probe(int rc, const etx_outcome *outcome, void *user) {
    probe *p = user;
    expect(p, "outcome", rc, 0);
    expect(p, "state", (int)outcome->state, ETX_COMMITTED);
    try_allowed(p);
    try_waiting(p);
    atomic_fetch_add(&p->ran, 1);
}

static void test_completion_callbacks(void **state) {
    (void)state;
    host_bank bank;
    probe p = {0};
    etx_tx *tx = NULL;
    host_bank_make(&bank);
    p.engine = host_engine("memory:", NULL, &bank);
    assert_int_equal(etx_tx_new(p.engine, NULL, &tx), 0);
    assert_int_equal(etx_tx_add(tx, "stock", NULL, 0), 0);
    assert_int_equal(etx_tx_submit(tx, done_probe, &p), 0);
    assert_true(host_wait_for(&p.ran, 1));
    assert_true(host_wait_for(&p.submitted, 1));
    expect_none_wrong(&p);
    host_engine_end(p.engine);
}

static void event_probe(const etx_event *event, void *user) {
    probe *p = user;
    if (event->type == ETX_EVENT_DECIDED && atomic_fetch_add(&p->ran, 1) == 0) {
        try_allowed(p);
        try_waiting(p);
    }
}

static void test_monitor_callbacks(void **state) {
    (void)state;
    host_bank bank;
    probe p = {0};
    etx_outcome outcome = ETX_OUTCOME_INIT;
    etx_options options = host_options();
    etx_monitor monitor = ETX_MONITOR_INIT;
    host_bank_make(&bank);
    monitor.on_event = event_probe;
    monitor.user = &p;
    monitor.events = UINT64_C(1) << ETX_EVENT_DECIDED;
    options.monitor = &monitor;
    p.engine = host_engine("memory:", &options, &bank);
    assert_int_equal(host_run(p.engine, "stock", &outcome), 0);
    assert_true(host_wait_for(&p.ran, 1));
    assert_true(host_wait_for(&p.submitted, 1));
    expect_none_wrong(&p);
    host_engine_end(p.engine);
}

/* While a callback on a worker does not return, everybody else goes on. */
static void test_a_blocked_worker_blocks_nobody(void **state) {
    (void)state;
    host_bank bank, others;
    host_runner runner;
    etx_outcome outcome = ETX_OUTCOME_INIT;
    etx_status status = {.size = sizeof(status)};
    host_bank_make(&bank);
    host_bank_make(&others);
    bank.gated = true;
    etx_engine *engine = host_engine("memory:", NULL, &bank);
    etx_participant other = host_participant("other", ETX_SAGA, 0, &others);
    host_runner_start(&runner, engine, "slow");
    assert_true(host_wait_for(&bank.blocked, 1));
    assert_int_equal(etx_engine_register(engine, &other), 0);
    for (int i = 0; i < 20; i++) {
        assert_int_equal(host_run(engine, "other", &outcome), 0);
        assert_int_equal(outcome.state, ETX_COMMITTED);
        assert_int_equal(etx_query(engine, outcome.gid, &status), 0);
    }
    sem_post(&bank.gate);
    host_runner_join(&runner);
    assert_int_equal(runner.rc, 0);
    assert_int_equal(runner.outcome.state, ETX_COMMITTED);
    host_engine_end(engine);
}

/* While an inline callback runs, other threads make what needs no answer of the engine. */
static void test_an_inline_callback_holds_no_lock(void **state) {
    (void)state;
    host_bank bank, gate;
    host_runner runner;
    etx_metrics metrics = {.size = sizeof(metrics)};
    etx_home_status home = {.size = sizeof(home)};
    etx_tx *tx = NULL;
    char message[64];
    host_bank_make(&bank);
    host_bank_make(&gate);
    gate.gated = true;
    etx_engine *engine = host_engine("memory:", NULL, &bank);
    etx_participant gated = host_participant("gated", ETX_TCC, ETX_INLINE, &gate);
    assert_int_equal(etx_engine_register(engine, &gated), 0);
    host_runner_start(&runner, engine, "gated");
    assert_true(host_wait_for(&gate.blocked, 1));
    etx_engine_message(engine, message, sizeof(message));
    assert_int_equal(etx_engine_metrics(engine, &metrics), 0);
    assert_int_equal(etx_engine_home_status(engine, 0, &home), 0);
    assert_int_equal(etx_tx_new(engine, NULL, &tx), 0);
    assert_int_equal(etx_tx_add(tx, "stock", NULL, 0), 0);
    assert_int_equal(etx_tx_submit(tx, NULL, NULL), 0);
    sem_post(&gate.gate);
    host_runner_join(&runner);
    assert_int_equal(runner.rc, 0);
    host_engine_end(engine);
}

/* A call finished by another thread, and one finished before its callback has returned. */
typedef struct later {
    etx_engine *engine;
    etx_token token;
    atomic_uint asked;
    bool at_once;
} later;

static etx_reply answer_later(etx_call *call, void *user) {
    later *l = user;
    l->token = etx_call_token(call);
    l->engine = etx_call_engine(call);
    if (l->at_once) {
        etx_completion completion = ETX_COMPLETION_INIT;
        completion.reply = ETX_DONE;
        etx_complete(l->engine, l->token, &completion);
    }
    atomic_fetch_add(&l->asked, 1);
    return ETX_LATER;
}

static void run_later(uint32_t flags, bool at_once) {
    host_bank bank;
    later l = {.at_once = at_once};
    host_runner runner;
    etx_completion completion = ETX_COMPLETION_INIT;
    host_bank_make(&bank);
    etx_engine *engine = host_engine("memory:", NULL, &bank);
    etx_participant participant = host_participant("later", ETX_TCC, flags, &bank);
    participant.forward = answer_later;
    participant.commit = done_at_once;
    participant.undo = done_at_once;
    participant.user = &l;
    assert_int_equal(etx_engine_register(engine, &participant), 0);
    host_runner_start(&runner, engine, "later");
    assert_true(host_wait_for(&l.asked, 1));
    completion.reply = at_once ? ETX_REFUSED : ETX_DONE; /* the second one is ignored */
    assert_int_equal(etx_complete(engine, l.token, &completion), 0);
    host_runner_join(&runner);
    assert_int_equal(runner.rc, 0);
    assert_int_equal(runner.outcome.state, ETX_COMMITTED);
    host_engine_end(engine);
}

static void test_calls_are_completed_later(void **state) {
    (void)state;
    run_later(0, false);
    run_later(ETX_INLINE, false);
    run_later(0, true);
    run_later(ETX_INLINE, true);
}

typedef struct alarms {
    atomic_uint nonsense;
    host_bank *bank;
} alarms;

static void count_nonsense(const etx_event *event, void *user) {
    alarms *a = user;
    if (event->type == ETX_EVENT_CALL_NONSENSE && event->alarm) {
        atomic_store(&a->bank->forward_reply, ETX_DONE);
        atomic_fetch_add(&a->nonsense, 1);
    }
}

static void test_a_nonsense_reply_is_an_alarm_and_asked_again(void **state) {
    (void)state;
    const int nonsense[] = {77, -1, ETX_UNSENT + 1};
    for (size_t i = 0; i < sizeof(nonsense) / sizeof(nonsense[0]); i++) {
        host_bank bank;
        etx_outcome outcome = ETX_OUTCOME_INIT;
        etx_options options = host_options();
        etx_monitor monitor = ETX_MONITOR_INIT;
        alarms a = {.bank = &bank};
        host_bank_make(&bank);
        monitor.on_event = count_nonsense;
        monitor.user = &a;
        options.monitor = &monitor;
        etx_engine *engine = host_engine("memory:", &options, &bank);
        atomic_store(&bank.forward_reply, nonsense[i]);
        assert_int_equal(host_run(engine, i == 0 ? "slow" : "stock", &outcome), 0);
        assert_int_equal(outcome.state, ETX_COMMITTED);
        assert_true(atomic_load(&a.nonsense) >= 1);
        assert_true(atomic_load(&bank.forwards) >= 2);
        host_engine_end(engine);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_inline_callbacks),
        cmocka_unit_test(test_worker_callbacks_may_run_transactions),
        cmocka_unit_test(test_completion_callbacks),
        cmocka_unit_test(test_monitor_callbacks),
        cmocka_unit_test(test_a_blocked_worker_blocks_nobody),
        cmocka_unit_test(test_an_inline_callback_holds_no_lock),
        cmocka_unit_test(test_calls_are_completed_later),
        cmocka_unit_test(test_a_nonsense_reply_is_an_alarm_and_asked_again),
    };
    alarm(120);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
