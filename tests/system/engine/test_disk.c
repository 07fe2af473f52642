/* Directories that are full, read-only, or in use by another process. */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "rig.h"

static etx_engine *make_engine(rig_bank *bank, const char *url) {
    etx_options options = rig_options();
    options.durability = ETX_VOLATILE;
    options.history_max = 200;
    etx_engine *engine = rig_engine(&options, url, NULL);
    rig_bank_register(bank, engine, "bank", ETX_TCC, ETX_INLINE);
    return engine;
}

static void fill_disk(const char *path) {
    char name[HOST_PATH_MAX + 16];
    static const char block[4096] = {1};
    snprintf(name, sizeof name, "%s/ballast", path);
    int fd = open(name, O_WRONLY | O_CREAT | O_APPEND, 0600);
    assert_true(fd >= 0);
    while (write(fd, block, sizeof block) > 0) {
    }
    assert_int_equal(errno, ENOSPC);
    close(fd);
}

static void free_disk(const char *path) {
    char name[HOST_PATH_MAX + 16];
    snprintf(name, sizeof name, "%s/ballast", path);
    assert_int_equal(unlink(name), 0);
}

static etx_tx *bulky(etx_engine *engine, const void *bytes, size_t len) {
    etx_tx *tx = NULL;
    rig_must(engine, etx_tx_new(engine, NULL, &tx), "new");
    rig_must(engine, etx_tx_add(tx, "bank", bytes, len), "add");
    return tx;
}

/* In a mount namespace of its own. */
static bool small_disk(const char *path, const char *size) {
    return unshare(CLONE_NEWNS) == 0 && mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
           mount("etx-test", path, "tmpfs", 0, size) == 0;
}

/* 0: done; 77: not allowed here. */
static int full_disk(const char *path) {
    rig_bank bank;
    char url[HOST_PATH_MAX + 64];
    etx_outcome outcome = ETX_OUTCOME_INIT;
    static char bytes[32 * 1024];
    if (!small_disk(path, "size=24m")) {
        return 77;
    }
    snprintf(url, sizeof url, "file:%s/log?segment=1M&partitions=1", path);
    rig_bank_make(&bank, 100000);
    etx_engine *engine = make_engine(&bank, url);
    rig_start(engine);
    etx_tx_options options = ETX_TX_OPTIONS_INIT;
    etx_tx *begun = NULL;
    options.gid = "begun";
    rig_must(engine, etx_tx_begin(engine, &options, &begun), "begin");
    fill_disk(path);
    int rc = 0;
    for (int i = 0; i < 2000 && rc == 0; i++) {
        rc = etx_tx_run(bulky(engine, bytes, sizeof bytes), &outcome);
    }
    rig_check(rc == ETX_EFULL || rc == ETX_EUNAVAILABLE);
    etx_home_status status = {.size = sizeof status};
    rig_check(etx_engine_home_status(engine, 0, &status) == 0 && !status.usable);
    rig_check(status.why[0] != 0);
    rig_must(engine, etx_tx_commit(begun, &outcome), "what has begun ends");
    rig_check(outcome.state == ETX_COMMITTED);
    free_disk(path);
    uint64_t end = host_now_ms() + 30000;
    do {
        rc = etx_tx_run(bulky(engine, bytes, sizeof bytes), &outcome);
    } while (rc != 0 && host_now_ms() < end && usleep(1000) == 0);
    rig_check(rc == 0 && outcome.state == ETX_COMMITTED);
    rig_close(engine, ETX_CLOSE_FINISH);
    engine = make_engine(&bank, url);
    rig_start(engine);
    rig_check(rig_state(engine, "begun") != ETX_NONE);
    rig_close(engine, ETX_CLOSE_FINISH);
    rig_bank_end(&bank);
    return 0;
}

static int in_child(int (*body)(const char *), const char *path) {
    int status = 0;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        _exit(body(path));
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void on_a_small_disk(int (*body)(const char *)) {
    host_dir dir;
    host_dir_make(&dir);
    int rc = in_child(body, dir.path);
    host_dir_remove(&dir);
    if (rc == 77) {
        print_message("skipped: a small file system cannot be mounted here (needs root)\n");
        skip();
    }
    assert_int_equal(rc, 0);
}

static void a_full_disk(void **state) {
    (void)state;
    on_a_small_disk(full_disk);
}

static etx_reply agree(etx_call *call, void *user) {
    (void)call;
    (void)user;
    return ETX_DONE;
}

struct crowd {
    atomic_uint out, refused, other;
};

static void take(int rc, const etx_outcome *outcome, void *user) {
    struct crowd *crowd = user;
    (void)outcome;
    atomic_fetch_add(&crowd->refused, rc == ETX_EFULL);
    atomic_fetch_add(&crowd->other, rc != 0 && rc != ETX_EFULL);
    atomic_fetch_sub(&crowd->out, 1);
}

/* Whether it was taken. */
static bool submit_bulky(etx_engine *engine, struct crowd *crowd) {
    enum { STEPS = 3 };
    static const char bytes[4000];
    etx_tx *tx = NULL;
    int rc = etx_tx_new(engine, NULL, &tx);
    for (int i = 0; rc == 0 && i < STEPS; i++) {
        rc = etx_tx_add(tx, "a", bytes, sizeof bytes);
    }
    atomic_fetch_add(&crowd->out, 1);
    rc = rc != 0 ? rc : etx_tx_submit(tx, take, crowd);
    if (rc != 0) {
        rig_check(rc == ETX_EFULL);
        atomic_fetch_sub(&crowd->out, 1);
    }
    return rc == 0;
}

static bool all_answered(const struct crowd *crowd, uint64_t ms) {
    uint64_t end = host_now_ms() + ms;
    while (crowd->out > 0 && host_now_ms() < end) {
        usleep(1000);
    }
    return crowd->out == 0;
}

/* All are answered, and what has begun has ended, though nobody frees any space: nothing begins in
 * the reserve, whatever was on its way when the disk was found full. */
static int filled_by_the_log(const char *path) {
    enum { WIDE = 64, FULL = 100 };
    struct crowd crowd = {0};
    char url[HOST_PATH_MAX + 64];
    etx_options options = rig_options();
    etx_participant participant = ETX_PARTICIPANT_INIT;
    if (!small_disk(path, "size=16m")) {
        return 77;
    }
    snprintf(url, sizeof url, "file:%s/log?segment=1M&partitions=1", path);
    options.durability = ETX_VOLATILE;
    etx_engine *engine = rig_engine(&options, url, NULL);
    participant.name = "a";
    participant.flags = ETX_INLINE;
    participant.forward = participant.commit = participant.undo = agree;
    rig_must(engine, etx_engine_register(engine, &participant), "register");
    rig_start(engine);
    uint64_t end = host_now_ms() + 20000;
    unsigned refused = 0;
    while (refused + crowd.refused < FULL && host_now_ms() < end) {
        if (crowd.out >= WIDE) {
            usleep(100);
        } else if (!submit_bulky(engine, &crowd)) {
            refused++;
            usleep(100);
        }
    }
    rig_check(refused + crowd.refused >= FULL || crowd.out >= WIDE);
    rig_check(all_answered(&crowd, 20000));
    rig_check(crowd.other == 0);
    rig_close(engine, ETX_CLOSE_FINISH);
    return 0;
}

/* How it comes to be full differs: now and again the last that fits is not what is put next. */
static void a_disk_that_the_log_fills(void **state) {
    (void)state;
    for (int i = 0; i < 8; i++) {
        on_a_small_disk(filled_by_the_log);
    }
}

/* It does not start, and says where and `word`. */
static int start_and_say(const char *path, int expected, const char *word) {
    rig_bank bank;
    char url[HOST_PATH_MAX + 16];
    char message[512];
    snprintf(url, sizeof url, "file:%s/log", path);
    rig_bank_make(&bank, 10);
    etx_engine *engine = make_engine(&bank, url);
    int rc = etx_engine_start(engine);
    etx_engine_message(engine, message, sizeof message);
    etx_engine_free(engine);
    rig_bank_end(&bank);
    if (rc != expected || strstr(message, path) == NULL || strstr(message, word) == NULL) {
        print_error("%s: %s\n", etx_error_name(rc), message);
        return 1;
    }
    return 0;
}

static int read_only(const char *path) {
    if (geteuid() == 0 && (setgroups(0, NULL) != 0 || setgid(65534) != 0 || setuid(65534) != 0)) {
        return 77;
    }
    return access(path, W_OK) == 0 ? 77 : start_and_say(path, ETX_EINVALID, "");
}

static void a_read_only_directory(void **state) {
    host_dir dir;
    (void)state;
    host_dir_make(&dir);
    assert_int_equal(chmod(dir.path, 0555), 0);
    int rc = in_child(read_only, dir.path);
    assert_int_equal(chmod(dir.path, 0700), 0);
    host_dir_remove(&dir);
    if (rc == 77) {
        print_message("skipped: no ordinary user can be had here\n");
        skip();
    }
    assert_int_equal(rc, 0);
}

static int not_ours(const char *path) {
    if (geteuid() == 0 && (setgroups(0, NULL) != 0 || setgid(65534) != 0 || setuid(65534) != 0)) {
        return 77;
    }
    return start_and_say(path, ETX_EINVALID, "use the account that the directory belongs to");
}

/* A log that this account may not write: what to do is something that can be done. */
static void a_log_of_another_account(void **state) {
    host_dir dir;
    char url[HOST_PATH_MAX + 16];
    char lock[HOST_PATH_MAX + 16];
    rig_bank bank;
    (void)state;
    host_dir_make(&dir);
    rig_bank_make(&bank, 10);
    snprintf(url, sizeof url, "file:%s/log", dir.path);
    snprintf(lock, sizeof lock, "%s/log/lock", dir.path);
    etx_engine *engine = make_engine(&bank, url);
    rig_start(engine);
    rig_close(engine, ETX_CLOSE_FINISH);
    rig_bank_end(&bank);
    assert_int_equal(chmod(lock, 0400), 0);
    assert_int_equal(chmod(dir.path, 0755), 0);
    lock[strlen(lock) - strlen("/lock")] = 0;
    assert_int_equal(chmod(lock, 0755), 0);
    int rc = in_child(not_ours, dir.path);
    host_dir_remove(&dir);
    if (rc == 77) {
        print_message("skipped: no ordinary user can be had here\n");
        skip();
    }
    assert_int_equal(rc, 0);
}

static int busy_directory(const char *path) {
    return start_and_say(path, ETX_EBUSY, "in use");
}

static void two_processes(void **state) {
    host_dir dir;
    rig_bank bank;
    int ready[2];
    int done[2];
    char byte = 0;
    (void)state;
    host_dir_make(&dir);
    rig_bank_make(&bank, 10);
    assert_int_equal(pipe(ready), 0);
    assert_int_equal(pipe(done), 0);
    pid_t owner = fork();
    assert_true(owner >= 0);
    if (owner == 0) {
        etx_engine *engine = make_engine(&bank, dir.url);
        rig_start(engine);
        rig_check(write(ready[1], "r", 1) == 1);
        rig_check(read(done[0], &byte, 1) == 1);
        _exit(0); /* it dies with the directory open */
    }
    assert_int_equal(read(ready[0], &byte, 1), 1);
    assert_int_equal(in_child(busy_directory, dir.path), 0);
    assert_int_equal(write(done[1], "d", 1), 1);
    assert_int_equal(waitpid(owner, NULL, 0), owner);
    etx_engine *engine = make_engine(&bank, dir.url);
    rig_start(engine);
    rig_close(engine, ETX_CLOSE_FINISH);
    for (int i = 0; i < 2; i++) {
        close(ready[i]);
        close(done[i]);
    }
    rig_bank_end(&bank);
    host_dir_remove(&dir);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_full_disk),           cmocka_unit_test(a_disk_that_the_log_fills),
        cmocka_unit_test(a_read_only_directory), cmocka_unit_test(a_log_of_another_account),
        cmocka_unit_test(two_processes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
