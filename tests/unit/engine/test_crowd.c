/* Callbacks that wait for the engine on its own workers: others take their place, up to a bound,
 * and go when they are not needed any more. */
#include "rig.h"

#include <dirent.h>
#include <signal.h>

enum { WORKERS = 2, PARENTS = 12, BOUND = 16 };

struct crowd {
    rig_log log;
    etx_engine *engine;
    atomic_uint children;   /* calls of children */
    atomic_uint impatient;  /* children that were not answered in time */
    atomic_uint crowded;    /* callbacks that were made while WORKERS others waited */
    atomic_uint waiting;    /* callbacks that wait now */
    atomic_uint wrong_mask; /* callbacks that a signal could have interrupted */
};

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

static void crowd_register(struct crowd *crowd, const char *name, etx_operation_fn forward) {
    etx_participant participant = ETX_PARTICIPANT_INIT;
    participant.name = name;
    participant.kind = ETX_SAGA;
    participant.forward = forward;
    participant.undo = child;
    participant.user = crowd;
    rig_must(crowd->engine, etx_engine_register(crowd->engine, &participant), name);
}

static void crowd_make(struct crowd *crowd, uint32_t workers) {
    etx_options options = rig_options();
    memset(crowd, 0, sizeof *crowd);
    options.workers = workers;
    options.call_timeout_ms = 120000;
    rig_log_make(&crowd->log, NULL, "partitions=2");
    crowd->engine = rig_engine(&options, crowd->log.url, NULL);
    crowd_register(crowd, "child", child);
    crowd_register(crowd, "parent", parent);
    crowd_register(crowd, "waits", waits);
    rig_start(crowd->engine);
}

static void crowd_end(struct crowd *crowd) {
    rig_close(crowd->engine, ETX_CLOSE_FINISH);
    rig_log_end(&crowd->log);
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

static bool workers_become(unsigned at_most) {
    uint64_t end = host_now_ms() + 60000;
    while (workers_now() > at_most && host_now_ms() < end) {
        usleep(10000);
    }
    return workers_now() <= at_most;
}

static void parents_do_not_starve_their_children(void **state) {
    struct crowd crowd;
    rig_done done = {0};
    (void)state;
    crowd_make(&crowd, WORKERS);
    for (int i = 0; i < PARENTS; i++) {
        rig_must(crowd.engine, etx_tx_submit(one_of(&crowd, "parent"), rig_done_fn, &done),
                 "submit");
    }
    assert_true(host_wait_for(&done.count, PARENTS));
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
    rig_done done = {0};
    etx_tx_options options = ETX_TX_OPTIONS_INIT;
    etx_tx *open = NULL;
    (void)state;
    crowd_make(&crowd, 1);
    options.gid = "open";
    rig_must(crowd.engine, etx_tx_begin(crowd.engine, &options, &open), "begin");
    for (int i = 0; i < 2 * BOUND; i++) {
        rig_must(crowd.engine, etx_tx_submit(one_of(&crowd, "waits"), rig_done_fn, &done),
                 "submit");
    }
    assert_true(host_wait_for(&crowd.waiting, BOUND));
    usleep(50000);
    assert_int_equal(atomic_load(&crowd.waiting), BOUND);
    assert_int_equal(workers_now(), BOUND);
    rig_must(crowd.engine, etx_tx_abort(open, NULL), "abort");
    assert_true(host_wait_for(&done.count, 2 * BOUND));
    assert_true(workers_become(1));
    crowd_end(&crowd);
    assert_true(workers_become(0));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parents_do_not_starve_their_children),
        cmocka_unit_test(there_is_a_bound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
