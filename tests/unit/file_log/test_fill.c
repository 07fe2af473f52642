/* A new log's first segment, most of which is zeroed while it is in use: zeros and groups never
 * meet, whoever is quicker. */
#include "fixture.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { SEGMENT = 4 << 20, LEN = 20000, GROUP = 20480 };

ssize_t __real_pwrite(int fd, const void *data, size_t len, off_t offset);
ssize_t __wrap_pwrite(int fd, const void *data, size_t len, off_t offset);
ssize_t __wrap_pwrite64(int fd, const void *data, size_t len, off_t offset);

/* What is written to the first segment. */
static struct {
    pthread_mutex_t lock;
    unsigned delay_us; /* of each piece of zeros */
    int error;         /* zeros fail with it */
    unsigned pieces;
    unsigned failed;
    uint64_t from, to; /* zeros that are being written */
    uint64_t zeroed;   /* the end of those that were */
    uint64_t groups;   /* the end of the groups */
    char wrong[100];
} seen = {.lock = PTHREAD_MUTEX_INITIALIZER};

static int is_first_segment(int fd) {
    static const char name[] = "/p00-00000001.seg";
    char link[64];
    char path[600];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t len = readlink(link, path, sizeof path - 1);
    return len >= (ssize_t)sizeof name &&
           memcmp(path + len - (sizeof name - 1), name, sizeof name - 1) == 0;
}

static int is_zero(const uint8_t *data, size_t len) {
    return data[0] == 0 && memcmp(data, data + 1, len - 1) == 0;
}

static void note(int bad, const char *what, off_t offset) {
    if (bad && !seen.wrong[0])
        snprintf(seen.wrong, sizeof seen.wrong, "%s at %lld", what, (long long)offset);
}

static ssize_t write_zeros(int fd, const void *data, size_t len, off_t offset) {
    uint64_t from = (uint64_t)offset;
    ssize_t rc = -1;
    pthread_mutex_lock(&seen.lock);
    int error = seen.error;
    seen.pieces++;
    note(from < seen.groups, "zeros over a group", offset);
    seen.from = from;
    seen.to = from + len;
    pthread_mutex_unlock(&seen.lock);
    usleep(seen.delay_us);
    if (!error)
        rc = __real_pwrite(fd, data, len, offset);
    pthread_mutex_lock(&seen.lock);
    seen.zeroed = rc > 0 ? from + (uint64_t)rc : seen.zeroed;
    seen.failed += error != 0;
    seen.from = seen.to = 0;
    pthread_mutex_unlock(&seen.lock);
    errno = error;
    return rc;
}

ssize_t __wrap_pwrite(int fd, const void *data, size_t len, off_t offset) {
    uint64_t from = (uint64_t)offset;
    uint64_t to = from + len;
    if (!is_first_segment(fd))
        return __real_pwrite(fd, data, len, offset);
    if (is_zero(data, len))
        return write_zeros(fd, data, len, offset);
    pthread_mutex_lock(&seen.lock);
    note(from < seen.to && to > seen.from, "a group where zeros are being written", offset);
    seen.groups = to > seen.groups ? to : seen.groups;
    pthread_mutex_unlock(&seen.lock);
    return __real_pwrite(fd, data, len, offset);
}

/* The name that _FILE_OFFSET_BITS=64 calls it by. */
ssize_t __wrap_pwrite64(int fd, const void *data, size_t len, off_t offset) {
    return __wrap_pwrite(fd, data, len, offset);
}

static void begin(log_fixture *fixture, unsigned delay_us, int error) {
    fixture_close(fixture, 1);
    fixture_command("rm -rf '%s/log'", fixture->subject.dir);
    snprintf(fixture->subject.url, sizeof fixture->subject.url,
             "file:%s/log?partitions=1&segment=4M", fixture->subject.dir);
    fixture->chain.next = 0;
    fixture->chain.checksum = 0;
    pthread_mutex_lock(&seen.lock);
    seen.delay_us = delay_us;
    seen.error = error;
    seen.pieces = seen.failed = 0;
    seen.from = seen.to = seen.zeroed = seen.groups = 0;
    seen.wrong[0] = 0;
    pthread_mutex_unlock(&seen.lock);
    assert_int_equal(fixture_open(fixture, 0), 0);
}

static void await(const void *what, size_t size, uint64_t least) {
    uint64_t value = 0;
    while (value < least) {
        usleep(1000);
        pthread_mutex_lock(&seen.lock);
        memcpy(&value, what, size);
        pthread_mutex_unlock(&seen.lock);
    }
}

static void expect_all(log_fixture *fixture, uint64_t first, uint64_t count) {
    assert_string_equal(seen.wrong, "");
    assert_int_equal(chain_check(&fixture->subject, 0, first, NULL), count);
    fixture_close(fixture, 0);
    assert_int_equal(fixture_open(fixture, 0), 0);
    assert_int_equal(chain_check(&fixture->subject, 0, first, NULL), count);
}

/* The puts are quicker than the zeros, which then end: these are slowed until it is so. */
static void test_puts_overtake(void **state) {
    log_fixture *fixture = *state;
    unsigned delay_us = 3000;
    do {
        begin(fixture, delay_us, 0);
        await(&seen.pieces, sizeof seen.pieces, 2);
        fixture_puts(fixture, SEGMENT / GROUP - 2, LEN);
        expect_all(fixture, 0, SEGMENT / GROUP - 2);
        delay_us *= 2;
    } while (seen.zeroed >= SEGMENT);
}

/* The zeros are quicker: all of the segment has them. */
static void test_zeros_are_ahead(void **state) {
    log_fixture *fixture = *state;
    begin(fixture, 0, 0);
    fixture_puts(fixture, 10, LEN);
    await(&seen.zeroed, sizeof seen.zeroed, SEGMENT);
    fixture_puts(fixture, SEGMENT / GROUP - 12, LEN);
    expect_all(fixture, 0, SEGMENT / GROUP - 2);
}

/* The segment is left and used again under another number meanwhile. */
static void test_the_segment_is_left(void **state) {
    log_fixture *fixture = *state;
    begin(fixture, 3000, 0);
    await(&seen.pieces, sizeof seen.pieces, 2);
    for (int round = 0; round < 3; round++) {
        fixture_puts(fixture, 4, 900000);
        fixture_puts(fixture, 100, LEN);
        assert_int_equal(
            fixture->subject.ops->trim(fixture->subject.log, 0, fixture->chain.next - 50), 0);
    }
    expect_all(fixture, fixture->chain.next - 50, 50);
}

/* Zeros that cannot be written harm nobody. */
static void test_zeros_fail(void **state) {
    log_fixture *fixture = *state;
    begin(fixture, 0, EIO);
    await(&seen.failed, sizeof seen.failed, 1);
    fixture_puts(fixture, SEGMENT / GROUP - 2, LEN);
    expect_all(fixture, 0, SEGMENT / GROUP - 2);
    assert_int_equal(seen.failed, 1);
}

/* The log is closed in the middle of it, and is a whole log. */
static void test_a_close_in_between(void **state) {
    log_fixture *fixture = *state;
    for (int clean = 0; clean < 2; clean++) {
        etx_file_report report = {.size = sizeof report};
        begin(fixture, 3000, 0);
        fixture_puts(fixture, 3, LEN);
        await(&seen.pieces, sizeof seen.pieces, 2);
        fixture_close(fixture, clean);
        assert_int_equal(
            etx_log_file_verify(fixture_path(fixture, "log"), NULL, NULL, &report,
                                fixture->subject.message, sizeof fixture->subject.message),
            0);
        assert_int_equal(report.slots, 3);
        assert_int_equal(fixture_open(fixture, 0), 0);
        fixture_puts(fixture, SEGMENT / GROUP - 5, LEN);
        expect_all(fixture, 0, SEGMENT / GROUP - 2);
    }
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        CASE(test_puts_overtake), CASE(test_zeros_are_ahead),    CASE(test_the_segment_is_left),
        CASE(test_zeros_fail),    CASE(test_a_close_in_between),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
