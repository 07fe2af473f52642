/* Callbacks that do not return, or not yet: what ends without them, and what waits. */
#include "rig.h"

struct yard {
    rig_log log;
    etx_engine *engine;
    host_bank bank;       /* of "slow": its forward calls wait at the gate */
    host_bank well;       /* of "good" */
    atomic_uint slow;     /* alarms told of calls past their timeout */
    atomic_uint stuck;    /* ... that all workers are in such calls */
    atomic_uint workflow; /* resume calls that decided */
    etx_outcome decided;  /* what the first of them heard */
    _Atomic int decided_rc;
    uint64_t decided_in_ms;
    sem_t gate; /* after that */
};

static void on_event(const etx_event *event, void *user) {
    struct yard *yard = user;
    if (event->type == ETX_EVENT_CALL_SLOW) {
        atomic_fetch_add(&yard->slow, 1);
    } else if (event->type == ETX_EVENT_WORKERS_STUCK) {
        rig_check(event->alarm && event->reason[0]);
        atomic_fetch_add(&yard->stuck, 1);
    }
}

/* The workflow: does its one step, decides, and stays for a while. */
static etx_reply resume(etx_call *call, void *user) {
    struct yard *yard = user;
    etx_tx *tx = NULL;
    etx_branch branch = ETX_BRANCH_INIT;
    etx_engine *engine = etx_call_engine(call);
    branch.participant = "good";
    branch.name = "step";
    branch.flags = ETX_BY_INITIATOR;
    rig_check(etx_tx_attach(engine, etx_call_gid(call), etx_call_run(call), &tx) == 0);
    rig_check(etx_tx_enlist(tx, &branch) == 0);
    rig_check(etx_tx_result(tx, "step", ETX_DONE, "r", 1, NULL) == 0);
    uint64_t before = host_now_ms();
    atomic_store(&yard->decided_rc, etx_tx_commit(tx, &yard->decided));
    yard->decided_in_ms = host_now_ms() - before;
    atomic_fetch_add(&yard->workflow, 1);
    while (sem_wait(&yard->gate) != 0) {
    }
    /* What the call gives is there although the transaction has ended. */
    rig_check(strcmp(etx_call_gid(call), "flow") == 0 && etx_call_begin_ms(call) > 0 &&
              etx_call_deadline_ms(call) > etx_call_begin_ms(call));
    return ETX_DONE;
}

static void yard_make(struct yard *yard, uint32_t workers) {
    memset(yard, 0, sizeof *yard);
    etx_options options = rig_options();
    etx_monitor monitor = ETX_MONITOR_INIT;
    monitor.on_event = on_event;
    monitor.user = yard;
    options.monitor = &monitor;
    options.workers = workers;
    options.call_timeout_ms = 40;
    options.flags |= ETX_NO_CALLER_DRIVES;
    rig_log_make(&yard->log, NULL, "partitions=1");
    host_bank_make(&yard->bank);
    host_bank_make(&yard->well);
    yard->bank.gated = true;
    sem_init(&yard->gate, 0, 0);
    yard->decided = (etx_outcome)ETX_OUTCOME_INIT;
    yard->engine = rig_engine(&options, yard->log.url, NULL);
    etx_participant slow = host_participant("slow", ETX_TCC, 0, &yard->bank);
    slow.attempts_max = 2;
    rig_must(yard->engine, etx_engine_register(yard->engine, &slow), "slow");
    etx_participant good = host_participant("good", ETX_TCC, 0, &yard->well);
    good.call_timeout_ms = 60000; /* so that nothing goes on because a call of its counts as slow */
    rig_must(yard->engine, etx_engine_register(yard->engine, &good), "good");
    etx_participant initiator = ETX_PARTICIPANT_INIT;
    initiator.name = "initiator";
    initiator.resume = resume;
    initiator.user = yard;
    initiator.call_timeout_ms = 30000;
    rig_must(yard->engine, etx_engine_register(yard->engine, &initiator), "initiator");
    rig_start(yard->engine);
}

/* Lets everybody through who waits at the gates. */
static void yard_end(struct yard *yard) {
    for (int i = 0; i < 64; i++) {
        sem_post(&yard->bank.gate);
        sem_post(&yard->gate);
    }
    rig_close(yard->engine, ETX_CLOSE_FINISH);
    rig_log_end(&yard->log);
}

static void a_workflow_decides_in_its_callback(void **state) {
    struct yard yard;
    etx_tx_options options = ETX_TX_OPTIONS_INIT;
    etx_tx *tx = NULL;
    etx_status status = {.size = sizeof status};
    (void)state;
    yard_make(&yard, 4);
    options.gid = "flow";
    options.mode = ETX_RESUMED;
    options.initiator = "initiator";
    options.resume_ms = 10;
    rig_must(yard.engine, etx_tx_begin(yard.engine, &options, &tx), "begin");
    etx_tx_discard(tx);
    assert_true(host_wait_for(&yard.workflow, 1));
    assert_int_equal(atomic_load(&yard.decided_rc), 0);
    assert_int_equal(yard.decided.state, ETX_COMMITTED);
    assert_true(yard.decided.marks & ETX_MARK_ENDED);
    assert_true(yard.decided_in_ms < 10000); /* its patience is 30 s */
    rig_must(yard.engine, etx_query(yard.engine, "flow", &status), "query");
    assert_int_equal(status.state, ETX_COMMITTED);
    assert_true(rig_quiet(yard.engine));
    for (int i = 0; i < 50; i++) { /* others take the places that it had */
        etx_outcome outcome = ETX_OUTCOME_INIT;
        rig_must(yard.engine, etx_tx_run(rig_pair(yard.engine, "good", NULL, 'D'), &outcome),
                 "run");
        assert_int_equal(outcome.state, ETX_COMMITTED);
    }
    yard_end(&yard);
    assert_int_equal(atomic_load(&yard.workflow), 1);
}

/* The limit of attempts decides although the callback never returns, and an operator ends it. */
static void one_that_hangs_for_ever(void **state) {
    struct yard yard;
    etx_tx_options options = ETX_TX_OPTIONS_INIT;
    etx_outcome outcome = ETX_OUTCOME_INIT;
    etx_metrics metrics = {.size = sizeof metrics};
    etx_tx *tx = NULL;
    (void)state;
    yard_make(&yard, 4);
    options.gid = "hangs";
    options.wait = ETX_WAIT_DECIDED;
    rig_must(yard.engine, etx_tx_new(yard.engine, &options, &tx), "new");
    rig_must(yard.engine, etx_tx_add(tx, "good", "", 0), "add");
    rig_must(yard.engine, etx_tx_add(tx, "slow", "", 0), "add");
    rig_must(yard.engine, etx_tx_run(tx, &outcome), "run");
    assert_int_equal(outcome.state, ETX_ABORTING);
    assert_string_equal(outcome.reason, "no answer within the limit of attempts");
    rig_must(yard.engine, etx_engine_metrics(yard.engine, &metrics), "metrics");
    assert_true(metrics.calls_unknown >= 2);
    assert_true(atomic_load(&yard.slow) == 1);
    assert_true(host_wait_for(&yard.well.undos, 1)); /* the other branch does not wait for it */
    assert_true(rig_reaches(yard.engine, "hangs", ETX_ABORTING, ETX_MARK_STALLED));
    rig_must(
        yard.engine,
        etx_force_by_hand(yard.engine, "hangs", ETX_FORCE_DONE, "1", ETX_UNDO, "me", "by hand"),
        "force");
    rig_must(yard.engine, etx_wait_for(yard.engine, "hangs", ETX_WAIT_ENDED, 30000, &outcome),
             "the end");
    assert_int_equal(outcome.state, ETX_ABORTED);
    assert_true(outcome.marks & ETX_MARK_FORCED);
    assert_int_equal(atomic_load(&yard.bank.undos), 0);
    yard_end(&yard); /* now it returns: too late, and harmless */
    assert_int_equal(atomic_load(&yard.bank.undos), 0);
}

static void an_alarm_when_all_workers_hang(void **state) {
    struct yard yard;
    rig_done done = {0};
    (void)state;
    yard_make(&yard, 2);
    for (int i = 0; i < 2; i++) {
        etx_tx *tx = NULL;
        rig_must(yard.engine, etx_tx_new(yard.engine, NULL, &tx), "new");
        rig_must(yard.engine, etx_tx_add(tx, "slow", "", 0), "add");
        rig_must(yard.engine, etx_tx_submit(tx, NULL, NULL), "submit");
    }
    assert_true(host_wait_for(&yard.bank.blocked, 2));
    rig_must(yard.engine,
             etx_tx_submit(rig_pair(yard.engine, "good", NULL, 'D'), rig_done_fn, &done), "submit");
    assert_true(host_wait_for(&yard.stuck, 1));
    assert_int_equal(atomic_load(&done.count), 0);
    usleep(200000);
    assert_int_equal(atomic_load(&yard.stuck), 1); /* once for as long as it lasts */
    sem_post(&yard.bank.gate);
    assert_true(host_wait_for(&done.count, 1));
    assert_int_equal(done.outcome.state, ETX_COMMITTED);
    yard_end(&yard);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_workflow_decides_in_its_callback),
        cmocka_unit_test(one_that_hangs_for_ever),
        cmocka_unit_test(an_alarm_when_all_workers_hang),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
