/* After fork: the child's calls say so, and whatever it does on its way out harms nothing. */
#include "host.h"

#include <sys/wait.h>

static void never_called(int rc, const etx_outcome *outcome, void *user) {
    (void)rc;
    (void)outcome;
    (void)user;
}

static int no_status(const etx_status *status, void *user) {
    (void)status;
    (void)user;
    return 0;
}

/* The outcome and the message are of this call, not of what the parent did before. */
static bool says_why(etx_engine *engine, etx_tx *begun_before) {
    char message[160] = "";
    etx_outcome outcome = ETX_OUTCOME_INIT;
    outcome.state = ETX_COMMITTED;
    if (etx_tx_commit(begun_before, &outcome) != ETX_EFORKED) {
        return false;
    }
    etx_engine_message(engine, message, sizeof(message));
    return outcome.state == ETX_NONE && strcmp(outcome.gid, "before") == 0 &&
           strstr(outcome.reason, "after fork") != NULL && strstr(message, "after fork") != NULL;
}

/* What the child tries, one after another. Returns the number of the first call that did not
 * answer ETX_EFORKED, or 0. */
static int try_all(etx_engine *engine, etx_tx *made_before, etx_tx *begun_before, host_bank *bank) {
    etx_outcome outcome = ETX_OUTCOME_INIT;
    etx_status status = {.size = sizeof(status)};
    etx_metrics metrics = {.size = sizeof(metrics)};
    etx_home_status home = {.size = sizeof(home)};
    etx_filter filter = ETX_FILTER_INIT;
    etx_cursor cursor = {{0, 0}};
    etx_completion completion = ETX_COMPLETION_INIT;
    etx_participant late = host_participant("late", ETX_TCC, 0, bank);
    etx_tx *tx = NULL;
    completion.reply = ETX_DONE;
    const int rc[] = {
        etx_tx_run(made_before, &outcome),
        host_run(engine, "stock", &outcome),
        etx_tx_begin(engine, NULL, &tx),
        etx_query(engine, "g", &status),
        etx_query_async(engine, "g", never_called, NULL),
        etx_wait_for(engine, "g", ETX_WAIT_ENDED, 10, &outcome),
        etx_list(engine, &filter, &cursor, 1, no_status, NULL),
        etx_engine_metrics(engine, &metrics),
        etx_engine_home_status(engine, 0, &home),
        etx_engine_register(engine, &late),
        etx_complete(engine, (etx_token){{0, 0}}, &completion),
        etx_retry(engine, "g"),
        etx_park(engine, "g", "test", "test"),
        etx_engine_lend(engine, 1),
        etx_engine_close(engine, ETX_CLOSE_FINISH, 100),
    };
    for (size_t i = 0; i < sizeof(rc) / sizeof(rc[0]); i++) {
        if (rc[i] != ETX_EFORKED) {
            return (int)i + 1;
        }
    }
    if (!says_why(engine, begun_before)) {
        return 100;
    }
    etx_engine_free(engine);
    return 0;
}

/* Runs transactions through the parent, and checks its log after it was closed. */
static void parent_goes_on(etx_engine *engine, const host_dir *dir) {
    char path[HOST_PATH_MAX + 8], message[256];
    etx_file_report report = {.size = sizeof(report)};
    for (int i = 0; i < 20; i++) {
        etx_outcome outcome = ETX_OUTCOME_INIT;
        assert_int_equal(host_run(engine, i % 2 ? "slow" : "step", &outcome), 0);
        assert_int_equal(outcome.state, ETX_COMMITTED);
    }
    host_engine_end(engine);
    snprintf(path, sizeof(path), "%s/log", dir->path);
    assert_int_equal(etx_log_file_verify(path, NULL, NULL, &report, message, sizeof(message)), 0);
    assert_int_equal(report.state, ETX_FILE_SOUND);
    assert_int_equal(report.clean, 1);
}

static void wait_child(pid_t child) {
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void run_fork(void (*leave)(int)) {
    host_dir dir;
    host_bank bank;
    etx_tx *tx = NULL, *begun = NULL;
    etx_tx_options options = ETX_TX_OPTIONS_INIT;
    host_dir_make(&dir);
    host_bank_make(&bank);
    etx_engine *engine = host_engine(dir.url, NULL, &bank);
    etx_outcome outcome = ETX_OUTCOME_INIT;
    assert_int_equal(host_run(engine, "stock", &outcome), 0);
    assert_int_equal(etx_tx_new(engine, NULL, &tx), 0);
    assert_int_equal(etx_tx_add(tx, "stock", NULL, 0), 0);
    options.gid = "before";
    assert_int_equal(etx_tx_begin(engine, &options, &begun), 0);
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        alarm(120);
        leave(try_all(engine, tx, begun, &bank));
    }
    assert_int_equal(etx_tx_run(tx, &outcome), 0);
    assert_int_equal(etx_tx_abort(begun, &outcome), 0);
    wait_child(child);
    parent_goes_on(engine, &dir);
    host_dir_remove(&dir);
}

static void test_a_child_that_exits_at_once(void **state) {
    (void)state;
    run_fork(_exit);
}

/* exit() runs what is registered for the end of a process. cmocka's own output is empty then:
 * it was flushed before. */
static void test_a_child_that_exits_in_order(void **state) {
    (void)state;
    if (HOST_THREAD_SANITIZER) {
        print_message("SKIP: the thread sanitizer does not let a forked child exit in order\n");
        skip();
    }
    if (HOST_ADDRESS_SANITIZER) {
        print_message("SKIP: what the parent's threads hold looks lost to a child's leak check\n");
        skip();
    }
    run_fork(exit);
}

/* The log's lock is the parent's: it ends with the parent's engine, though a child lives on. */
static void test_a_child_that_lives_on_keeps_no_lock(void **state) {
    (void)state;
    host_dir dir;
    host_bank bank;
    int pipes[2];
    char byte;
    host_dir_make(&dir);
    host_bank_make(&bank);
    assert_int_equal(pipe(pipes), 0);
    etx_engine *engine = host_engine(dir.url, NULL, &bank);
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        alarm(120);
        close(pipes[1]);
        _exit(read(pipes[0], &byte, 1) == 0 ? 0 : 1);
    }
    close(pipes[0]);
    host_engine_end(engine);
    engine = host_engine(dir.url, NULL, &bank);
    parent_goes_on(engine, &dir);
    close(pipes[1]);
    wait_child(child);
    host_dir_remove(&dir);
}

/* The child may have an engine of its own, but not on the parent's directory. */
static void test_a_child_makes_its_own_engine(void **state) {
    (void)state;
    host_dir dir, other;
    host_bank bank;
    if (HOST_THREAD_SANITIZER) {
        print_message("SKIP: the thread sanitizer does not let a forked child make threads\n");
        skip();
    }
    if (HOST_ADDRESS_SANITIZER) {
        print_message(
            "SKIP: a lock of the address sanitizer's allocator may be held at the fork\n");
        skip();
    }
    host_dir_make(&dir);
    host_dir_make(&other);
    host_bank_make(&bank);
    etx_engine *engine = host_engine(dir.url, NULL, &bank);
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        etx_options options = host_options();
        etx_outcome outcome = ETX_OUTCOME_INIT;
        etx_engine *own = NULL;
        alarm(120);
        int rc = etx_engine_create(&options, &own) != 0 || etx_engine_home(own, dir.url) != 0;
        rc = rc || etx_engine_start(own) != ETX_EBUSY;
        etx_engine_free(own);
        if (rc == 0) {
            own = host_engine(other.url, NULL, &bank);
            rc = host_run(own, "slow", &outcome) != 0 || outcome.state != ETX_COMMITTED;
            host_engine_end(own);
        }
        _exit(rc);
    }
    wait_child(child);
    parent_goes_on(engine, &dir);
    host_dir_remove(&dir);
    host_dir_remove(&other);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_child_that_exits_at_once),
        cmocka_unit_test(test_a_child_that_exits_in_order),
        cmocka_unit_test(test_a_child_that_lives_on_keeps_no_lock),
        cmocka_unit_test(test_a_child_makes_its_own_engine),
    };
    alarm(120);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
