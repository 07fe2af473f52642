/* Writes that fail, fall short, or find no space; and a process that ends at every single step
 * that changes the disk. */
#include "faults.h"
#include "fixture.h"

#include <errno.h>
#include <sched.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static int setup(void **state) {
    memset(faults_now(), 0, sizeof *faults_now());
    return fixture_setup(state);
}

static int teardown(void **state) {
    memset(faults_now(), 0, sizeof *faults_now());
    return fixture_teardown(state);
}

enum { OLDER = 2 }; /* `begins` of a put whose struct ends before it */

static etx_put_result put_some(log_fixture *fixture, size_t len, uint8_t begins, etx_put *ret_put) {
    uint8_t bytes[30000];
    assert_true(len <= sizeof bytes);
    batch_fill(fixture->chain.next, bytes, len);
    *ret_put = put_make(&fixture->chain, fixture->chain.next, bytes, len);
    ret_put->begins = begins;
    ret_put->size = begins == OLDER ? offsetof(etx_put, begins) : sizeof *ret_put;
    return fixture->subject.ops->put(fixture->subject.log, ret_put);
}

static etx_put_result put_next(log_fixture *fixture, size_t len, etx_put *ret_put) {
    return put_some(fixture, len, 0, ret_put);
}

static void test_short_writes(void **state) {
    log_fixture *fixture = *state;
    uint64_t count;
    faults_now()->write_most = 4096;
    fixture_puts(fixture, 80, 25000);
    fixture_close(fixture, 0);
    assert_int_equal(fixture_read(fixture, 0, &count), 0);
    assert_int_equal(count, 80);
}

/* After a failed write: unknown until reopened; then the same put settles it. `first` bytes of the
 * failed group reached the disk. */
static void poison(log_fixture *fixture, size_t first) {
    const etx_log_ops *ops = fixture->subject.ops;
    etx_put put;
    snprintf(faults_now()->watched, sizeof faults_now()->watched, "p00-%08u.seg",
             fixture_last_segment(fixture));
    faults_now()->write_error = EIO;
    faults_now()->write_first = first;
    assert_int_equal(put_next(fixture, 9000, &put), ETX_PUT_UNKNOWN);
    assert_int_equal(put.error, ETX_EIO);
    faults_now()->write_error = 0;
    faults_now()->watched_writes = 0;
    faults_now()->watching = 1;
    assert_int_equal(put_next(fixture, 9000, &put), ETX_PUT_UNKNOWN);
    assert_int_equal(put.error, ETX_EIO);
    assert_int_equal(ops->reopen(fixture->subject.log, 0, fixture->subject.message,
                                 sizeof fixture->subject.message),
                     0);
    etx_put_result result = put_next(fixture, 9000, &put);
    if (result == ETX_PUT_OCCUPIED) {
        assert_int_equal(put.found_checksum, put.checksum);
        assert_int_equal(put.found_nonce, put.nonce);
    } else {
        assert_int_equal(result, ETX_PUT_WRITTEN);
    }
    assert_int_equal(result == ETX_PUT_OCCUPIED, first >= 12288);
    fixture->chain.next++;
    fixture->chain.checksum = put.checksum;
    fixture_puts(fixture, 3, 9000);
    assert_int_equal(chain_check(&fixture->subject, 0, 0, NULL), fixture->chain.next);
    assert_int_equal(faults_now()->watched_writes, 0); /* never written again */
    faults_now()->watching = 0;
}

static void test_poisoned_and_reopened(void **state) {
    log_fixture *fixture = *state;
    uint64_t count;
    for (int full = 0; full < 2; full++) {
        for (size_t first = 0; first <= 12288; first += 4096) {
            poison(fixture, first);
            if (full)
                fixture_puts(fixture, 20, 9000);
        }
    }
    fixture_close(fixture, 0);
    assert_int_equal(fixture_read(fixture, 0, &count), 0);
    assert_int_equal(count, fixture->chain.next);
    assert_int_equal(fixture_open(fixture, 0), 0);
    poison(fixture, 4096);
    fixture_close(fixture, 1);
    assert_int_equal(fixture_read(fixture, 0, &count), 0);
    assert_int_equal(count, fixture->chain.next);
}

/* The copying fails too, some times. Then a crash; nothing is lost. */
static void test_poisoned_again(void **state) {
    log_fixture *fixture = *state;
    const etx_log_ops *ops = fixture->subject.ops;
    uint64_t count;
    uint64_t mark;
    etx_put put;
    fixture_puts(fixture, 5, 9000);
    for (size_t first = 0; first <= 12288; first += 4096) {
        faults_now()->only = ".seg";
        faults_now()->write_error = EIO;
        faults_now()->write_first = first;
        assert_int_equal(put_next(fixture, 9000, &put), ETX_PUT_UNKNOWN);
        assert_int_equal(ops->reopen(fixture->subject.log, 0, NULL, 0), ETX_EIO);
        assert_int_equal(ops->get(fixture->subject.log, 0, 0, NULL, NULL, &mark, NULL, 0), ETX_EIO);
        assert_int_equal(put_next(fixture, 9000, &put), ETX_PUT_UNKNOWN);
        faults_now()->write_error = 0;
        if (first == 4096) {
            fixture_close(fixture, 0);
            assert_int_equal(fixture_read(fixture, 0, &count), 0);
            assert_true(count == fixture->chain.next || count == fixture->chain.next + 1);
            assert_int_equal(fixture_open(fixture, 0), 0);
        } else {
            assert_int_equal(ops->reopen(fixture->subject.log, 0, NULL, 0), 0);
        }
        etx_put_result result = put_next(fixture, 9000, &put);
        assert_true(result == ETX_PUT_WRITTEN || result == ETX_PUT_OCCUPIED);
        assert_int_equal(put.found_nonce, result == ETX_PUT_OCCUPIED ? 77 : 0);
        fixture->chain.next++;
        fixture->chain.checksum = put.checksum;
    }
    assert_int_equal(chain_check(&fixture->subject, 0, 0, NULL), fixture->chain.next);
    /* such segments are trimmed like others */
    fixture_puts(fixture, 150, 20000);
    assert_int_equal(ops->trim(fixture->subject.log, 0, fixture->chain.next - 10), 0);
    fixture_puts(fixture, 150, 20000);
    fixture_close(fixture, 0);
    assert_int_equal(fixture_read(fixture, 0, &count), 0);
    assert_int_equal(count, 160);
}

/* The copying fails too: the file that it went to is left alone from then on, as the first is. */
static void test_a_failed_copy_is_left(void **state) {
    log_fixture *fixture = *state;
    const etx_log_ops *ops = fixture->subject.ops;
    etx_put put;
    fixture_puts(fixture, 5, 9000);
    for (size_t first = 0; first <= 12288; first += 4096) {
        faults_now()->only = ".seg";
        faults_now()->write_error = EIO;
        faults_now()->write_first = first;
        assert_int_equal(put_next(fixture, 9000, &put), ETX_PUT_UNKNOWN);
        assert_int_equal(ops->reopen(fixture->subject.log, 0, NULL, 0), ETX_EIO);
        faults_now()->write_error = 0;
        snprintf(faults_now()->watched, sizeof faults_now()->watched, "%s", faults_now()->failed);
        faults_now()->watched_writes = 0;
        faults_now()->watching = 1;
        assert_int_equal(ops->reopen(fixture->subject.log, 0, NULL, 0), 0);
        etx_put_result result = put_next(fixture, 9000, &put);
        assert_true(result == ETX_PUT_WRITTEN || result == ETX_PUT_OCCUPIED);
        fixture->chain.next++;
        fixture->chain.checksum = put.checksum;
        fixture_puts(fixture, 150, 9000);
        assert_int_equal(faults_now()->watched_writes, 0);
        faults_now()->watching = 0;
    }
    assert_int_equal(chain_check(&fixture->subject, 0, 0, NULL), fixture->chain.next);
}

/* Waits until the helper has made its spare, or has said that there is no space for it. */
static void await_helper(log_fixture *fixture, etx_log_space *space) {
    char name[24];
    struct stat found;
    int made = 0;
    snprintf(name, sizeof name, "log/p00-%08u.seg", fixture_last_segment(fixture) + 1);
    for (int i = 0; i < 60 * 1000; i++) {
        assert_int_equal(fixture->subject.ops->space(fixture->subject.log, 0, space), 0);
        made = made || stat(fixture_path(fixture, name), &found) == 0;
        if (made || space->full)
            return;
        usleep(1000);
    }
    fail();
}

/* Puts until one is refused, and that one is not written, never unknown. How many were written. */
static int puts_until_full(log_fixture *fixture, uint8_t begins, int awaits) {
    etx_log_space space = {.size = sizeof space};
    etx_put put;
    int count = 0;
    for (; put_some(fixture, 20000, begins, &put) == ETX_PUT_WRITTEN; count++) {
        assert_in_range(count, 0, 2000);
        if (awaits)
            await_helper(fixture, &space);
        fixture->chain.next++;
        fixture->chain.checksum = put.checksum;
    }
    assert_int_equal(put_some(fixture, 20000, begins, &put), ETX_PUT_NOT_WRITTEN);
    assert_int_equal(put.error, ETX_EFULL);
    assert_non_null(strstr(put.message, "free some space"));
    return count;
}

/* No space for spares: what begins is refused, and full is told, while a whole segment is left for
 * the rest, however quickly it comes; and a trim ends it. */
static void fill_up(log_fixture *fixture, uint8_t older, int awaits) {
    enum { SEGMENT = 42 }; /* such puts fit into one */
    const etx_log_ops *ops = fixture->subject.ops;
    etx_log_space space = {.size = sizeof space};
    uint64_t count;
    etx_put put;
    assert_true(puts_until_full(fixture, 1, awaits) > 0);
    assert_int_equal(ops->space(fixture->subject.log, 0, &space), 0);
    assert_int_equal(space.full, 1);
    assert_int_equal(puts_until_full(fixture, older, 0), SEGMENT);
    assert_int_equal(put_next(fixture, 20000, &put), ETX_PUT_NOT_WRITTEN);
    assert_int_equal(chain_check(&fixture->subject, 0, 0, NULL), fixture->chain.next);
    fixture_close(fixture, 0);
    assert_int_equal(fixture_read(fixture, 0, &count), 0); /* opens while full */
    assert_int_equal(count, fixture->chain.next);
    assert_int_equal(fixture_open(fixture, 0), 0);
    assert_int_equal(ops->trim(fixture->subject.log, 0, fixture->chain.next - 20), 0);
    for (int i = 0; i < 60 * 100 && (space.full || i < 10); i++) {
        usleep(10000);
        assert_int_equal(ops->space(fixture->subject.log, 0, &space), 0);
    }
    assert_int_equal(space.full, 0);
    fixture_puts(fixture, 30, 20000);
    assert_int_equal(chain_check(&fixture->subject, 0, 0, NULL), 50);
}

/* A mark whose write failed is not written there again: the next one makes a file anew. */
static void test_a_failed_mark_is_left(void **state) {
    log_fixture *fixture = *state;
    const etx_log_ops *ops = fixture->subject.ops;
    uint64_t count = 0;
    fixture_puts(fixture, 30, 100);
    /* after this the helper has no reason to store it */
    assert_int_equal(ops->trim(fixture->subject.log, 0, 3), 0);
    faults_now()->only = "p00.state";
    faults_now()->write_error = EIO;
    assert_int_equal(ops->trim(fixture->subject.log, 0, 5), ETX_EIO);
    faults_now()->write_error = 0;
    faults_now()->only = NULL;
    snprintf(faults_now()->watched, sizeof faults_now()->watched, "p00.state");
    faults_now()->watched_writes = 0;
    faults_now()->watching = 1;
    assert_int_equal(ops->trim(fixture->subject.log, 0, 10), 0);
    faults_now()->watching = 0;
    assert_int_equal(faults_now()->watched_writes, 0);
    /* that one is written like others */
    faults_now()->watching = 1;
    assert_int_equal(ops->trim(fixture->subject.log, 0, 20), 0);
    faults_now()->watching = 0;
    assert_int_equal(faults_now()->watched_writes, 1);
    fixture_close(fixture, 0);
    assert_int_equal(fixture_read(fixture, 0, &count), 0);
    assert_int_equal(count, 10);
}

static void test_no_space(void **state) {
    log_fixture *fixture = *state;
    fixture_puts(fixture, 60, 20000);
    fixture_await(fixture, fixture_last_segment(fixture) + 1);
    faults_now()->allocate_error = ENOSPC;
    fill_up(fixture, 0, 1);
}

static void test_no_space_on_tmpfs(void **state) {
    log_fixture *fixture = *state;
    char whole[sizeof fixture->subject.dir];
    char *dir = fixture->subject.dir;
    fixture_close(fixture, 1);
    memcpy(whole, dir, sizeof whole);
    assert_int_equal(mkdir(fixture_path(fixture, "small"), 0700), 0);
    /* for this process alone: however it ends, nothing stays mounted */
    if (unshare(CLONE_NEWNS) || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
        mount("none", fixture->path, "tmpfs", 0, "size=6m")) {
        print_message("skipped: only root mounts a small tmpfs (%s)\n", strerror(errno));
        skip();
    }
    assert_true(strlen(whole) + sizeof "/small" <= sizeof whole);
    memcpy(dir + strlen(whole), "/small", sizeof "/small");
    snprintf(fixture->subject.url, sizeof fixture->subject.url,
             "file:%s/log?partitions=1&segment=1M", dir);
    assert_int_equal(fixture_open(fixture, 0), 0);
    etx_log_info info = {.size = sizeof info};
    fixture->subject.ops->info(fixture->subject.log, &info);
    assert_int_equal(info.grade, ETX_VOLATILE);
    assert_non_null(info.remark);
    fill_up(fixture, OLDER, 0);
    fixture_close(fixture, 1);
    snprintf(fixture->subject.url, sizeof fixture->subject.url,
             "file:%s/second?partitions=40&segment=1M", dir);
    assert_int_equal(fixture_open(fixture, 0), ETX_EFULL);
    fixture->subject.log = NULL;
    umount(dir);
    memcpy(dir, whole, sizeof whole);
}

/* What the process that will die does: puts, over segment changes, with trims. It writes each
 * acknowledged slot and mark into the pipe. */
static void work(log_fixture *fixture, int fd, int poisoned) {
    uint64_t told[2] = {0, 0};
    for (int i = 0; i < 70; i++) {
        etx_put put;
        if (poisoned && i % 9 == 8) {
            faults_now()->only = ".seg";
            faults_now()->write_error = EIO;
            faults_now()->write_first = (size_t)i % 4 * 4096;
            put_next(fixture, 12000, &put);
            faults_now()->write_error = 0;
            fixture->subject.ops->reopen(fixture->subject.log, 0, NULL, 0);
        }
        etx_put_result result = put_next(fixture, i % 3 ? 30000 : 12000, &put);
        if (result == ETX_PUT_OCCUPIED && put.slot + 1 == fixture->chain.next + 1)
            put.checksum = put.found_checksum;
        else if (result != ETX_PUT_WRITTEN)
            _exit(7);
        fixture->chain.next++;
        fixture->chain.checksum = put.checksum;
        told[0] = fixture->chain.next;
        if (i % 20 == 19) {
            fixture->subject.ops->trim(fixture->subject.log, 0, fixture->chain.next - 10);
            told[1] = fixture->chain.next - 10;
        }
        if (write(fd, told, sizeof told) != sizeof told)
            _exit(8);
    }
    fixture_close(fixture, 1);
}

static int die_at(log_fixture *fixture, int step, int torn, int poisoned) {
    uint64_t told[2] = {0, 0};
    uint64_t last[2] = {0, 0};
    int fds[2];
    int status;
    assert_int_equal(pipe(fds), 0);
    pid_t pid = fork();
    if (pid == 0) {
        faults_now()->die_at = step;
        faults_now()->die_torn = torn;
        if (fixture_open(fixture, 0))
            _exit(9);
        work(fixture, fds[1], poisoned);
        _exit(1);
    }
    close(fds[1]);
    while (read(fds[0], told, sizeof told) == sizeof told)
        memcpy(last, told, sizeof last);
    close(fds[0]);
    waitpid(pid, &status, 0);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) <= 1);
    if (fixture_open(fixture, 0)) {
        print_message("step %d torn %d: %s\n", step, torn, fixture->subject.message);
        fail();
    }
    uint64_t mark;
    uint64_t count = chain_check(&fixture->subject, 0, 0, &mark);
    assert_true(mark >= last[1]);
    assert_true(mark + count >= last[0]);
    assert_true(mark + count <= last[0] + 2);
    /* it goes on from there, and a crash of the one that recovered finds the same */
    fixture_close(fixture, 0);
    assert_int_equal(fixture_open(fixture, 0), 0);
    assert_int_equal(chain_check(&fixture->subject, 0, 0, NULL), count);
    fixture_close(fixture, 0);
    fixture_command("rm -rf '%s/log'", fixture->subject.dir);
    return WEXITSTATUS(status) == 0;
}

static void test_dies_at_every_step(void **state) {
    log_fixture *fixture = *state;
    fixture_close(fixture, 1);
    fixture_command("rm -rf '%s/log'", fixture->subject.dir);
    int step = 1;
    while (die_at(fixture, step, step % 2, 0))
        step += step < 20 ? 1 : 2;
    assert_true(step > 90);
}

static void test_dies_at_every_step_poisoned(void **state) {
    log_fixture *fixture = *state;
    fixture_close(fixture, 1);
    fixture_command("rm -rf '%s/log'", fixture->subject.dir);
    int step = 20;
    while (die_at(fixture, step, step % 2, 1))
        step += 3;
    assert_true(step > 90);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        CASE(test_short_writes),
        CASE(test_poisoned_and_reopened),
        CASE(test_poisoned_again),
        CASE(test_a_failed_copy_is_left),
        CASE(test_a_failed_mark_is_left),
        CASE(test_no_space),
        CASE(test_no_space_on_tmpfs),
        CASE(test_dies_at_every_step),
        CASE(test_dies_at_every_step_poisoned),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
