/* After fork: the child's calls say so, and whatever it does on its way out harms nothing. */
#include "all_calls.h"

#include <sys/wait.h>

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

/* What the child tries. Returns 0, or which of it did not answer ETX_EFORKED. */
static int try_all(all_calls *all, etx_tx *begun_before) {
    etx_outcome outcome = ETX_OUTCOME_INIT;
    const char *wrong = all_calls_wrong(all, ETX_EFORKED, ETX_EFORKED);
    if (wrong != NULL) {
        print_message("in a forked child: %s says another thing\n", wrong);
        fflush(NULL);
        return 1;
    }
    if (host_run(all->engine, "stock", &outcome) != ETX_EFORKED ||
        etx_engine_lend(all->engine, 0) != ETX_EFORKED ||
        etx_engine_close(all->engine, ETX_CLOSE_FINISH, 100) != ETX_EFORKED) {
        return 2;
    }
    if (!says_why(all->engine, begun_before)) {
        return 100;
    }
    etx_engine_free(all->engine);
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
    all_calls all;
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
    all_calls_make(&all, engine);
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        alarm(120);
        leave(try_all(&all, begun));
    }
    all_calls_discard(&all);
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
