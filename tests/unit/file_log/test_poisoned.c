/* After a poisoning: what a failed write touched is never written again, not even as a recycled
 * segment, and whatever the disk shows of it later, the log opens. */
#include "faults.h"
#include "fixture.h"
#include "../../../src/integration/log/file_format.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LEN = 9000, GROUP = 3 * 4096 }; /* of a batch, and what it takes in the file */

static int setup(void **state) {
    memset(faults_now(), 0, sizeof *faults_now());
    return fixture_setup(state);
}

static int teardown(void **state) {
    memset(faults_now(), 0, sizeof *faults_now());
    return fixture_teardown(state);
}

static etx_put_result put_next(log_fixture *fixture, etx_put *ret_put) {
    uint8_t bytes[LEN];
    batch_fill(fixture->chain.next, bytes, sizeof bytes);
    *ret_put = put_make(&fixture->chain, fixture->chain.next, bytes, sizeof bytes);
    return fixture->subject.ops->put(fixture->subject.log, ret_put);
}

/* A write fails, `first` bytes of which reached the disk. */
static void poison(log_fixture *fixture, size_t first) {
    etx_put put;
    faults_now()->only = ".seg";
    faults_now()->write_error = EIO;
    faults_now()->write_first = first;
    assert_int_equal(put_next(fixture, &put), ETX_PUT_UNKNOWN);
}

static int reopen(log_fixture *fixture) {
    return fixture->subject.ops->reopen(fixture->subject.log, 0, NULL, 0);
}

/* Puts again what was unknown, trims what was before it, then puts more than a segment holds: a
 * spare is wanted, and made of what was trimmed if that can be. */
static void go_on_and_trim(log_fixture *fixture) {
    etx_put put;
    etx_put_result result = put_next(fixture, &put);
    assert_true(result == ETX_PUT_WRITTEN || result == ETX_PUT_OCCUPIED);
    fixture->chain.next++;
    fixture->chain.checksum = put.checksum;
    fixture_puts(fixture, 2, LEN);
    assert_int_equal(fixture->subject.ops->trim(fixture->subject.log, 0, put.slot), 0);
    fixture_puts(fixture, 150, LEN);
}

/* The file that a failed write touched, held open: so its inode is nobody else's. */
static int hold_touched(log_fixture *fixture) {
    char path[400];
    snprintf(path, sizeof path, "%s/log/%s", fixture->subject.dir, faults_now()->failed);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    return fd;
}

/* It has lost its name, and has no other. */
static void assert_deleted(log_fixture *fixture, int fd, const char *name) {
    struct stat found;
    char path[300];
    snprintf(path, sizeof path, "%s/log/%s", fixture->subject.dir, name);
    for (int i = 0; i < 60 * 1000 && access(path, F_OK) == 0; i++)
        usleep(1000);
    assert_int_equal(fstat(fd, &found), 0);
    assert_int_equal(found.st_nlink, 0);
    close(fd);
}

/* The file that a write failed in is deleted once it is trimmed, and not used again. */
static void assert_not_recycled(log_fixture *fixture) {
    char name[64];
    int fd = hold_touched(fixture);
    memcpy(name, faults_now()->failed, sizeof name);
    faults_now()->write_error = 0;
    assert_int_equal(reopen(fixture), 0);
    go_on_and_trim(fixture);
    assert_deleted(fixture, fd, name);
}

static void test_a_poisoned_segment_is_not_recycled(void **state) {
    log_fixture *fixture = *state;
    fixture_puts(fixture, 5, LEN);
    poison(fixture, 4096);
    assert_not_recycled(fixture);
}

/* The write that failed was none of a put: who reads a log anew writes its last group again. */
static void test_a_failed_repeat_is_not_recycled(void **state) {
    log_fixture *fixture = *state;
    fixture_puts(fixture, 5, LEN);
    faults_now()->only = ".seg";
    faults_now()->write_error = EIO;
    assert_int_equal(reopen(fixture), ETX_EIO);
    assert_not_recycled(fixture);
}

static void test_a_failed_copy_is_not_recycled(void **state) {
    log_fixture *fixture = *state;
    fixture_puts(fixture, 5, LEN);
    poison(fixture, 0);
    faults_now()->write_first = 4096;
    assert_int_equal(reopen(fixture), ETX_EIO); /* the copy fails too */
    assert_not_recycled(fixture);
}

/* A close that means to be clean, of a partition that is poisoned, says nothing of it: what the
 * failed write left there is not known. */
static etx__file_state state_of(log_fixture *fixture, const char *id) {
    etx__file_state newest = {0};
    size_t len;
    uint8_t *bytes = file_load(fixture_path(fixture, "log/p00.state"), &len);
    for (size_t at = 0; at + 512 <= len; at += 4096) {
        etx__file_state found;
        assert_int_equal(etx__file_state_decode(bytes + at, id, 0, &found), 0);
        newest = found.sequence >= newest.sequence ? found : newest;
    }
    free(bytes);
    return newest;
}

static void test_a_poisoned_close_settles_nothing(void **state) {
    log_fixture *fixture = *state;
    uint64_t count;
    for (size_t first = 0; first <= GROUP; first += 4096) {
        etx_put put;
        etx_log_info info = {.size = sizeof info};
        fixture_puts(fixture, 5, LEN);
        fixture_close(fixture, 0);
        assert_int_equal(fixture_open(fixture, 0), 0);
        fixture->subject.ops->info(fixture->subject.log, &info);
        poison(fixture, first);
        faults_now()->write_error = 0;
        fixture_close(fixture, 1);
        etx__file_state after = state_of(fixture, info.id);
        assert_int_equal(after.flags & ETX__STATE_CLEAN, 0);
        assert_true(after.settled <= fixture->chain.next);
        assert_int_equal(fixture_read(fixture, 0, &count), 0);
        assert_int_equal(count, fixture->chain.next + (first == GROUP));
        assert_int_equal(fixture_open(fixture, 0), 0);
        if (first == GROUP)
            assert_int_equal(put_next(fixture, &put), ETX_PUT_OCCUPIED);
    }
}

/* A failed write that the disk shows only later: first the copy of the group before it is torn,
 * then it stands there itself, whole. Neither is damage. */
static void test_a_failed_write_shows_late(void **state) {
    log_fixture *fixture = *state;
    static const uint8_t zeros[GROUP];
    uint64_t count;
    size_t len;
    uint64_t offset = 4096 + 5 * GROUP;
    char path[300];
    snprintf(path, sizeof path, "%s/log/p00-00000001.seg", fixture->subject.dir);
    fixture_puts(fixture, 5, LEN);
    log_chain chain = fixture->chain;
    fixture_puts(fixture, 1, LEN);
    fixture_close(fixture, 0);
    uint8_t *bytes = file_load(path, &len);
    file_patch(path, offset, zeros, GROUP);
    fixture->chain = chain;
    assert_int_equal(fixture_open(fixture, 0), 0);
    poison(fixture, 0);
    faults_now()->write_first = 4096;
    assert_int_equal(reopen(fixture), ETX_EIO);
    faults_now()->write_error = 0;
    fixture_close(fixture, 0);
    file_patch(path, offset, bytes + offset, GROUP);
    free(bytes);
    assert_int_equal(fixture_read(fixture, 0, &count), 0);
    assert_int_equal(count, 6);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        CASE(test_a_poisoned_segment_is_not_recycled), CASE(test_a_failed_repeat_is_not_recycled),
        CASE(test_a_failed_copy_is_not_recycled),      CASE(test_a_poisoned_close_settles_nothing),
        CASE(test_a_failed_write_shows_late),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
