/* Callbacks that wait for the engine on its own workers: others take their place, up to a bound,
 * and go when they are not needed any more. */
#include "rig.h"

#include <dirent.h>
#include <signal.h>

/* Of one worker, BOUND threads may wait for what nobody began from within a callback. */
enum { WORKERS = 2, PARENTS = 12, BOUND = 8, LEVELS = 8, PATIENT_MS = 120000 };

struct crowd {
    rig_log log;
    etx_engine *engine;
    atomic_uint children;   /* calls of children */
    atomic_uint impatient;  /* children that were not answered in time */
    atomic_uint crowded;    /* callbacks that were made while WORKERS others waited */
    atomic_uint waiting;    /* callbacks that wait now */
    atomic_uint wrong_mask; /* callbacks that a signal could have interrupted */
    atomic_uint leaves;     /* calls of nests that have no child */
    atomic_uint closed;     /* ... and are not done yet */
    atomic_uint stuck;      /* alarms */
    _Atomic char top;       /* nests of this level wait for "open" first; 0: none do */
};

/* Several engine threads may say so at a time. */
static void count_done(int rc, const etx_outcome *outcome, void *user) {
    atomic_uint *committed = user;
    atomic_fetch_add(committed, rc == 0 && outcome->state == ETX_COMMITTED);
}

static etx_reply child(etx_call *call, void *user) {
    struct crowd *crowd = user;
    sigset_t mask;
    (void)call;
    pthread_sigmask(SIG_SETMASK, NULL, &mask);
    if (!sigismember(&mask, SIGTERM)) {
        atomic_fetch_add(&crowd->wrong_mask, 1);
    }
    if (atomic_load(&crowd->waiting) >= WORKERS) {
        atomic_fetch_add(&crowd->crowded, 1);
    }
    atomic_fetch_add(&crowd->children, 1);
    return ETX_DONE;
}

/* Its Try is a transaction that ends before it answers. */
static etx_reply parent(etx_call *call, void *user) {
    struct crowd *crowd = user;
    char gid[ETX_GID_MAX + 1];
    etx_tx_options options = ETX_TX_OPTIONS_INIT;
    etx_outcome outcome = ETX_OUTCOME_INIT;
    etx_tx *tx = NULL;
    etx_engine *engine = etx_call_engine(call);
    rig_check(etx_gid_child(etx_call_gid(call), etx_call_branch(call), gid) == 0);
    options.gid = gid;
    int rc = etx_tx_new(engine, &options, &tx);
    if (rc != 0) {
        return ETX_RETRY;
    }
    rig_check(etx_tx_add(tx, "child", "x", 1) == 0);
    atomic_fetch_add(&crowd->waiting, 1);
    rc = etx_tx_run(tx, &outcome);
    atomic_fetch_sub(&crowd->waiting, 1);
    if (rc != 0) {
        atomic_fetch_add(&crowd->impatient, 1);
        return ETX_RETRY;
    }
    return outcome.state == ETX_COMMITTED ? ETX_DONE : ETX_REFUSED;
}

/* Waits for a transaction that nobody decides. */
static etx_reply waits(etx_call *call, void *user) {
    struct crowd *crowd = user;
    etx_outcome outcome = ETX_OUTCOME_INIT;
    atomic_fetch_add(&crowd->waiting, 1);
    (void)etx_wait_for(etx_call_engine(call), "open", ETX_WAIT_ENDED, 60000, &outcome);
    atomic_fetch_sub(&crowd->waiting, 1);
    return ETX_DONE;
}

/* Its operations are transactions down to level '0'. */
static etx_reply nest(etx_call *call, void *user) {
    struct crowd *crowd = user;
    char gid[ETX_GID_MAX + 1];
    etx_tx_options options = ETX_TX_OPTIONS_INIT;
    etx_outcome outcome = ETX_OUTCOME_INIT;
    etx_tx *tx = NULL;
    const char *level = etx_call_payload(call, NULL);
    if (*level == '0') {
        atomic_fetch_add(&crowd->leaves, 1);
        return atomic_load(&crowd->closed) ? ETX_RETRY : ETX_DONE;
    }
    if (*level == atomic_load(&crowd->top)) {
        (void)waits(call, user);
    }
    char below = (char)(*level - 1);
    rig_check(etx_gid_child(etx_call_gid(call), etx_call_branch(call), gid) == 0);
    options.gid = gid;
    if (etx_tx_new(etx_call_engine(call), &options, &tx) != 0) {
        return ETX_RETRY;
    }
    rig_check(etx_tx_add(tx, "nest", &below, 1) == 0);
    atomic_fetch_add(&crowd->waiting, 1);
    int rc = etx_tx_run(tx, &outcome);
    atomic_fetch_add(&crowd->impatient, rc != 0);
    atomic_fetch_sub(&crowd->waiting, 1);
    return rc != 0 ? ETX_RETRY : outcome.state == ETX_COMMITTED ? ETX_DONE : ETX_REFUSED;
}

static void on_event(const etx_event *event, void *user) {
    struct crowd *crowd = user;
    atomic_fetch_add(&crowd->stuck, event->type == ETX_EVENT_WORKERS_STUCK);
}

static void crowd_register(struct crowd *crowd, const char *name, etx_operation_fn forward) {
    etx_participant participant = ETX_PARTICIPANT_INIT;
    participant.name = name;
    participant.kind = ETX_SAGA;
    participant.forward = forward;
    participant.undo = child;
    participant.user = crowd;
    rig_must(crowd->engine, etx_engine_register(crowd->engine, &participant), name);
}

static void crowd_start(struct crowd *crowd, uint32_t workers, uint32_t timeout_ms) {
    etx_options options = rig_options();
    etx_monitor monitor = ETX_MONITOR_INIT;
    monitor.on_event = on_event;
    monitor.user = crowd;
    options.monitor = &monitor;
    options.workers = workers;
    options.call_timeout_ms = timeout_ms;
    options.retry_cap_ms = 10;
    crowd->engine = rig_engine(&options, crowd->log.url, NULL);
    crowd_register(crowd, "child", child);
    crowd_register(crowd, "parent", parent);
    crowd_register(crowd, "waits", waits);
    crowd_register(crowd, "nest", nest);
    rig_start(crowd->engine);
}

static void crowd_make(struct crowd *crowd, uint32_t workers, uint32_t timeout_ms) {
    memset(crowd, 0, sizeof *crowd);
    rig_log_make(&crowd->log, NULL, "partitions=2");
    crowd_start(crowd, workers, timeout_ms);
}

static void crowd_end(struct crowd *crowd) {
    rig_close(crowd->engine, ETX_CLOSE_FINISH);
    rig_log_end(&crowd->log);
}

static void submit_nests(struct crowd *crowd, unsigned count, unsigned levels, atomic_uint *done) {
    char level = (char)('0' + levels);
    for (unsigned i = 0; i < count; i++) {
        etx_tx *tx = NULL;
        rig_must(crowd->engine, etx_tx_new(crowd->engine, NULL, &tx), "new");
        rig_must(crowd->engine, etx_tx_add(tx, "nest", &level, 1), "add");
        rig_must(crowd->engine, etx_tx_submit(tx, count_done, done), "submit");
    }
}

static etx_tx *one_of(struct crowd *crowd, const char *participant) {
    etx_tx *tx = NULL;
    rig_must(crowd->engine, etx_tx_new(crowd->engine, NULL, &tx), "new");
    rig_must(crowd->engine, etx_tx_add(tx, participant, "x", 1), "add");
    return tx;
}

/* Threads of the pool, told by their names. */
static unsigned workers_now(void) {
    unsigned count = 0;
    DIR *tasks = opendir("/proc/self/task");
    assert_non_null(tasks);
    for (const struct dirent *task; (task = readdir(tasks)) != NULL;) {
        char path[300];
        char name[32] = "";
        snprintf(path, sizeof path, "/proc/self/task/%s/comm", task->d_name);
        FILE *file = fopen(path, "r");
        if (file != NULL) {
            count += fgets(name, sizeof name, file) != NULL && strncmp(name, "etx-work", 8) == 0;
            fclose(file);
        }
    }
    closedir(tasks);
    return count;
}

static bool waiting_end(const struct crowd *crowd) {
    uint64_t end = host_now_ms() + 60000;
    while (atomic_load(&crowd->waiting) > 0 && host_now_ms() < end) {
        usleep(1000);
    }
    return atomic_load(&crowd->waiting) == 0;
}

static bool workers_become(unsigned at_most) {
    uint64_t end = host_now_ms() + 60000;
    while (workers_now() > at_most && host_now_ms() < end) {
        usleep(10000);
    }
    return workers_now() <= at_most;
}

static void parents_do_not_starve_their_children(void **state) {
    struct crowd crowd;
    atomic_uint done = 0;
    (void)state;
    crowd_make(&crowd, WORKERS, PATIENT_MS);
    for (int i = 0; i < PARENTS; i++) {
        rig_must(crowd.engine, etx_tx_submit(one_of(&crowd, "parent"), count_done, &done),
                 "submit");
    }
    assert_true(host_wait_for(&done, PARENTS));
    assert_int_equal(atomic_load(&crowd.impatient), 0);
    assert_int_equal(atomic_load(&crowd.children), PARENTS);
    assert_true(atomic_load(&crowd.crowded) > 0);
    assert_int_equal(atomic_load(&crowd.wrong_mask), 0);
    assert_true(workers_become(WORKERS)); /* those that came in addition go */
    assert_int_equal(etx_tx_run(one_of(&crowd, "parent"), NULL), 0);
    crowd_end(&crowd);
    assert_true(workers_become(0));
}

/* However many wait, there are no more threads than the bound. */
static void there_is_a_bound(void **state) {
    struct crowd crowd;
    atomic_uint done = 0;
    etx_tx_options options = ETX_TX_OPTIONS_INIT;
    etx_tx *open = NULL;
    (void)state;
    crowd_make(&crowd, 1, PATIENT_MS);
    options.gid = "open";
    rig_must(crowd.engine, etx_tx_begin(crowd.engine, &options, &open), "begin");
    for (int i = 0; i < 2 * BOUND; i++) {
        rig_must(crowd.engine, etx_tx_submit(one_of(&crowd, "waits"), count_done, &done), "submit");
    }
    assert_true(host_wait_for(&crowd.waiting, BOUND));
    usleep(50000);
    assert_int_equal(atomic_load(&crowd.waiting), BOUND);
    assert_int_equal(workers_now(), BOUND);
    rig_must(crowd.engine, etx_tx_abort(open, NULL), "abort");
    assert_true(host_wait_for(&done, 2 * BOUND));
    assert_true(workers_become(1));
    crowd_end(&crowd);
    assert_true(workers_become(0));
}

/* As many parents as may have threads wait before they begin their children: none is missing for
 * these. */
static void all_nests_end(uint32_t workers, unsigned count, unsigned levels) {
    struct crowd crowd;
    atomic_uint done = 0;
    etx_tx_options options = ETX_TX_OPTIONS_INIT;
    etx_tx *open = NULL;
    crowd_make(&crowd, workers, PATIENT_MS);
    options.gid = "open";
    rig_must(crowd.engine, etx_tx_begin(crowd.engine, &options, &open), "begin");
    atomic_store(&crowd.top, (char)('0' + levels));
    submit_nests(&crowd, count, levels, &done);
    assert_true(host_wait_for(&crowd.waiting, BOUND * workers));
    usleep(50000); /* more of them, if there were threads */
    rig_must(crowd.engine, etx_tx_abort(open, NULL), "abort");
    assert_true(host_wait_for(&done, count));
    assert_int_equal(atomic_load(&crowd.impatient), 0);
    assert_int_equal(atomic_load(&crowd.leaves), count);
    crowd_end(&crowd);
}

static void many_parents_of_three_levels(void **state) {
    (void)state;
    all_nests_end(16, 400, 2);
}

static void one_worker_serves_three_levels(void **state) {
    (void)state;
    all_nests_end(1, 20, 2);
}

static void one_worker_serves_all_levels(void **state) {
    (void)state;
    all_nests_end(1, 20, LEVELS);
}

/* What was begun before the engine started is as deep as what waits for it. */
static void children_are_known_again(void **state) {
    enum { MANY = 100 };
    struct crowd crowd;
    atomic_uint done = 0;
    (void)state;
    crowd_make(&crowd, 16, PATIENT_MS);
    atomic_store(&crowd.closed, 1);
    submit_nests(&crowd, MANY, 1, &done);
    assert_true(host_wait_for(&crowd.waiting, MANY));
    assert_true(host_wait_for(&crowd.leaves, 5 * MANY));
    rig_close(crowd.engine, ETX_CLOSE_ABRUPT);
    assert_true(waiting_end(&crowd));
    atomic_store(&crowd.impatient, 0);
    atomic_store(&crowd.closed, 0);
    crowd_start(&crowd, 1, PATIENT_MS);
    assert_true(rig_quiet(crowd.engine));
    assert_int_equal(atomic_load(&crowd.impatient), 0);
    crowd_end(&crowd);
}

/* Where all wait inside, and others are queued, somebody is told. */
static void all_that_wait_are_an_alarm(void **state) {
    struct crowd crowd;
    atomic_uint done = 0;
    etx_tx_options options = ETX_TX_OPTIONS_INIT;
    etx_tx *open = NULL;
    (void)state;
    crowd_make(&crowd, 1, 40);
    options.gid = "open";
    rig_must(crowd.engine, etx_tx_begin(crowd.engine, &options, &open), "begin");
    for (int i = 0; i < BOUND + 1; i++) {
        rig_must(crowd.engine, etx_tx_submit(one_of(&crowd, "waits"), count_done, &done), "submit");
    }
    assert_true(host_wait_for(&crowd.stuck, 1));
    assert_int_equal(atomic_load(&crowd.waiting), BOUND);
    rig_must(crowd.engine, etx_tx_abort(open, NULL), "abort");
    assert_true(host_wait_for(&done, BOUND + 1));
    crowd_end(&crowd);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parents_do_not_starve_their_children),
        cmocka_unit_test(there_is_a_bound),
        cmocka_unit_test(many_parents_of_three_levels),
        cmocka_unit_test(one_worker_serves_three_levels),
        cmocka_unit_test(one_worker_serves_all_levels),
        cmocka_unit_test(children_are_known_again),
        cmocka_unit_test(all_that_wait_are_an_alarm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
