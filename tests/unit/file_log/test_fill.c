/* A new log's first segment, most of which is zeroed while it is in use: zeros and groups never
 * meet, whoever is quicker. */
#include "../../../src/integration/log/file.h"
#include "fixture.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { SEGMENT = 4 << 20, PIECE = 256 << 10, LEN = 20000, GROUP = 20480 };

ssize_t __real_pwrite(int fd, const void *data, size_t len, off_t offset);
ssize_t __wrap_pwrite(int fd, const void *data, size_t len, off_t offset);
ssize_t __wrap_pwrite64(int fd, const void *data, size_t len, off_t offset);
int __real_fdatasync(int fd);
int __wrap_fdatasync(int fd);
int __real_pthread_cond_timedwait(pthread_cond_t *changed,
                                  pthread_mutex_t *mutex,
                                  const struct timespec *until);
int __wrap_pthread_cond_timedwait(pthread_cond_t *changed,
                                  pthread_mutex_t *mutex,
                                  const struct timespec *until);

/* What is written to the first segment. */
static struct {
    pthread_mutex_t lock;
    unsigned delay_us; /* of each piece of zeros */
    int error;         /* zeros fail with it */
    int sync_error;    /* their sync does */
    int pause;         /* the helper's pause lasts until somebody waits for it, or it is to stop */
    int paused;
    int hold;       /* zeros of partition 1 wait as long as partition 0 wants no segment */
    unsigned other; /* pieces of those zeros */
    const etx__file_log *log;
    unsigned pieces;
    unsigned failed;
    uint64_t from, to; /* zeros that are being written */
    uint64_t zeroed;   /* the end of those that were */
    uint64_t groups;   /* the end of the groups */
    char wrong[100];
} seen = {.lock = PTHREAD_MUTEX_INITIALIZER};

static int is_file(int fd, const char *name) {
    char link[64];
    char path[600];
    size_t name_len = strlen(name);
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t len = readlink(link, path, sizeof path - 1);
    return len > (ssize_t)name_len && memcmp(path + len - name_len, name, name_len) == 0;
}

static int is_first_segment(int fd) {
    return is_file(fd, "/p00-00000001.seg");
}

static int is_held(const etx__file_log **ret_log) {
    pthread_mutex_lock(&seen.lock);
    int hold = seen.hold;
    *ret_log = seen.log;
    pthread_mutex_unlock(&seen.lock);
    return hold;
}

static int is_segment_wanted(const etx__file_log *log) {
    pthread_mutex_t *mutex = (pthread_mutex_t *)&log->mutex;
    pthread_mutex_lock(mutex);
    int wanted = log->partitions[0].wanted_at_once;
    pthread_mutex_unlock(mutex);
    return wanted;
}

static void hold_other(void) {
    const etx__file_log *log;
    pthread_mutex_lock(&seen.lock);
    seen.other++;
    pthread_mutex_unlock(&seen.lock);
    while (is_held(&log) && !(log && is_segment_wanted(log)))
        usleep(1000);
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
    if (is_zero(data, len) && is_file(fd, "/p01-00000001.seg"))
        hold_other();
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

int __wrap_fdatasync(int fd) {
    int error = 0;
    if (is_first_segment(fd)) {
        pthread_mutex_lock(&seen.lock);
        error = seen.sync_error;
        seen.failed += error != 0;
        pthread_mutex_unlock(&seen.lock);
    }
    errno = error;
    return error ? -1 : __real_fdatasync(fd);
}

/* Does the helper have to know of something, while it pauses? With the log's mutex held. */
static int is_awaited(const pthread_mutex_t *mutex) {
    const etx__file_log *log = (const void *)((const char *)mutex - offsetof(etx__file_log, mutex));
    return log->stop || log->partitions[0].fill_ends || log->partitions[0].wanted_at_once;
}

int __wrap_pthread_cond_timedwait(pthread_cond_t *changed,
                                  pthread_mutex_t *mutex,
                                  const struct timespec *until) {
    pthread_mutex_lock(&seen.lock);
    int pause = seen.pause;
    seen.paused |= pause;
    pthread_mutex_unlock(&seen.lock);
    while (pause && !is_awaited(mutex)) {
        pthread_mutex_unlock(mutex);
        usleep(1000);
        pthread_mutex_lock(mutex);
    }
    return pause ? 0 : __real_pthread_cond_timedwait(changed, mutex, until);
}

typedef struct beginning {
    const char *options; /* further ones of the URL */
    unsigned delay_us;
    int error;
    int sync_error;
    int pause;
    int hold;
} beginning;

static void begin(log_fixture *fixture, const beginning *how) {
    fixture_close(fixture, 1);
    fixture_command("rm -rf '%s/log'", fixture->subject.dir);
    snprintf(fixture->subject.url, sizeof fixture->subject.url, "file:%s/log?%s",
             fixture->subject.dir, how->options ? how->options : "partitions=1&segment=4M");
    fixture->chain.next = 0;
    fixture->chain.checksum = 0;
    pthread_mutex_lock(&seen.lock);
    seen.delay_us = how->delay_us;
    seen.error = how->error;
    seen.sync_error = how->sync_error;
    seen.pause = how->pause;
    seen.paused = 0;
    seen.hold = how->hold;
    seen.other = 0;
    seen.log = NULL;
    seen.pieces = seen.failed = 0;
    seen.from = seen.to = seen.zeroed = seen.groups = 0;
    seen.wrong[0] = 0;
    pthread_mutex_unlock(&seen.lock);
    assert_int_equal(fixture_open(fixture, 0), 0);
    pthread_mutex_lock(&seen.lock);
    seen.log = (const etx__file_log *)fixture->subject.log;
    pthread_mutex_unlock(&seen.lock);
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
        begin(fixture, &(beginning){.delay_us = delay_us});
        await(&seen.pieces, sizeof seen.pieces, 2);
        fixture_puts(fixture, SEGMENT / GROUP - 2, LEN);
        expect_all(fixture, 0, SEGMENT / GROUP - 2);
        delay_us *= 2;
    } while (seen.zeroed >= SEGMENT);
}

/* The zeros are quicker: all of the segment has them. */
static void test_zeros_are_ahead(void **state) {
    log_fixture *fixture = *state;
    begin(fixture, &(beginning){0});
    fixture_puts(fixture, 10, LEN);
    await(&seen.zeroed, sizeof seen.zeroed, SEGMENT);
    fixture_puts(fixture, SEGMENT / GROUP - 12, LEN);
    expect_all(fixture, 0, SEGMENT / GROUP - 2);
}

/* The segment is left and used again under another number meanwhile. */
static void test_the_segment_is_left(void **state) {
    log_fixture *fixture = *state;
    begin(fixture, &(beginning){.delay_us = 3000});
    await(&seen.pieces, sizeof seen.pieces, 2);
    for (int round = 0; round < 3; round++) {
        fixture_puts(fixture, 4, 900000);
        fixture_puts(fixture, 100, LEN);
        assert_int_equal(
            fixture->subject.ops->trim(fixture->subject.log, 0, fixture->chain.next - 50), 0);
    }
    expect_all(fixture, fixture->chain.next - 50, 50);
}

/* Zeros that cannot be written, or made durable, harm nobody. */
static void test_zeros_fail(void **state) {
    log_fixture *fixture = *state;
    static const beginning how[] = {{.error = EIO}, {.sync_error = EIO}};
    for (int i = 0; i < 2; i++) {
        begin(fixture, &how[i]);
        await(&seen.failed, sizeof seen.failed, 1);
        fixture_puts(fixture, SEGMENT / GROUP - 2, LEN);
        expect_all(fixture, 0, SEGMENT / GROUP - 2);
        assert_int_equal(seen.failed, 1);
    }
}

/* A put and a close that wait for the end of the zeros do not wait for another piece of them. */
static void test_a_pause_ends(void **state) {
    log_fixture *fixture = *state;
    for (int closed = 0; closed < 2; closed++) {
        begin(fixture, &(beginning){.pause = 1});
        await(&seen.paused, sizeof seen.paused, 1);
        if (!closed)
            fixture_puts(fixture, SEGMENT / GROUP - 2, LEN);
        fixture_close(fixture, 0);
        assert_int_equal(seen.pieces, 0);
        assert_int_equal(fixture_open(fixture, 0), 0);
        expect_all(fixture, 0, closed ? 0 : SEGMENT / GROUP - 2);
    }
}

/* Who needs a segment at once does not wait for the zeros of another partition. */
static void test_a_segment_before_zeros(void **state) {
    log_fixture *fixture = *state;
    begin(fixture, &(beginning){.options = "partitions=2&segment=4M", .error = EIO, .hold = 1});
    await(&seen.other, sizeof seen.other, 1);
    fixture_puts(fixture, SEGMENT / GROUP + 1, LEN);
    pthread_mutex_lock(&seen.lock);
    unsigned other = seen.other;
    seen.hold = 0;
    pthread_mutex_unlock(&seen.lock);
    assert_in_range(other, 1, (SEGMENT - ETX__FILL_FIRST) / PIECE - 1);
    expect_all(fixture, 0, SEGMENT / GROUP + 1);
}

/* A segment's last piece may be smaller than the others; with and without the page cache. */
static void test_the_last_piece(void **state) {
    log_fixture *fixture = *state;
    for (int direct = 0; direct < 2; direct++) {
        static const char *const options[] = {"partitions=1&segment=1284K&direct=0",
                                              "partitions=1&segment=1284K&direct=1"};
        begin(fixture, &(beginning){.options = options[direct]});
        await(&seen.zeroed, sizeof seen.zeroed, 1284 << 10);
        fixture_puts(fixture, 50, LEN);
        assert_int_equal(seen.zeroed, 1284 << 10);
        assert_int_equal(seen.pieces, 2);
        expect_all(fixture, 0, 50);
    }
}

/* The log is closed in the middle of it, and is a whole log. */
static void test_a_close_in_between(void **state) {
    log_fixture *fixture = *state;
    for (int clean = 0; clean < 2; clean++) {
        etx_file_report report = {.size = sizeof report};
        begin(fixture, &(beginning){.delay_us = 3000});
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
        CASE(test_puts_overtake),  CASE(test_zeros_are_ahead),    CASE(test_the_segment_is_left),
        CASE(test_zeros_fail),     CASE(test_a_pause_ends),       CASE(test_a_segment_before_zeros),
        CASE(test_the_last_piece), CASE(test_a_close_in_between),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
