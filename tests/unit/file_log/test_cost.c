/* What a durable write costs: measured as the log writes, and what the system may answer. */
#include "calls.h"
#include "fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int cost_of(log_fixture *fixture, uint32_t ms, etx_sync_cost *ret_cost) {
    ret_cost->size = sizeof *ret_cost;
    fixture->subject.message[0] = 0;
    return etx_log_file_sync_cost(fixture->subject.dir, ms, ret_cost, fixture->subject.message,
                                  sizeof fixture->subject.message);
}

static void test_cost_fails(void **state) {
    log_fixture *fixture = *state;
    static const struct {
        call_kind kind;
        int at;
        int error;
        const char *name;
        int rc;
    } all[] = {{CALL_MEMORY, 1, 0, NULL, ETX_ENOMEM},    {CALL_MEMORY, 2, 0, NULL, ETX_ENOMEM},
               {CALL_MEMORY, 3, 0, NULL, ETX_ENOMEM},    {CALL_OPEN, 1, EOPNOTSUPP, NULL, ETX_EIO},
               {CALL_WRITE, 1, ENOSPC, NULL, ETX_EFULL}, {CALL_WRITE, 17, EIO, NULL, ETX_EIO},
               {CALL_SYNC, 1, EIO, NULL, ETX_EIO}};
    etx_sync_cost cost;
    fixture_close(fixture, 1);
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        unsigned before = calls_descriptors();
        calls_fail(all[i].kind, all[i].at, all[i].error, all[i].name);
        fixture_expect(fixture, cost_of(fixture, 1, &cost), all[i].rc, "cannot measure");
        assert_int_equal(calls_now()->fault[all[i].kind].struck, 1);
        calls_clear();
        assert_int_equal(calls_descriptors(), before);
    }
}

static void no_opens(const char *name, void *user) {
    int *left = user;
    if (strstr(name, "/proc/self/fd/") && (*left)-- > 0)
        calls_fail(CALL_OPEN, 1, EINVAL, NULL);
}

/* Without O_DIRECT it is measured as it is then; and a disk that takes no time gives no rate. */
static void test_cost_odd(void **state) {
    log_fixture *fixture = *state;
    etx_sync_cost cost;
    int left = 1;
    fixture_close(fixture, 1);
    calls_now()->user = &left;
    calls_now()->on_open = no_opens;
    assert_int_equal(cost_of(fixture, 1, &cost), 0);
    assert_true(cost.count > 0 && cost.per_s > 0);
    left = 2;
    fixture_expect(fixture, cost_of(fixture, 1, &cost), ETX_EIO, "cannot measure");
    calls_clear();
    calls_now()->pretend_writes = 1;
    assert_int_equal(cost_of(fixture, 1000, &cost), 0);
    assert_int_equal(cost.count, 65536); /* as many as are kept */
    assert_true(cost.per_s == 0 && cost.p99_us == 0);
}

/* ---- as the log writes */

/* What was written durably by this thread, and the zeros before that. */
typedef struct written {
    int flags;
    unsigned count;
    size_t len;
    uint64_t zeroed; /* bytes, from the start of the file without a gap */
    uint64_t beyond; /* bytes of writes that met no zeros */
    struct stat file;
} written;

static int is_zero(const uint8_t *bytes, size_t len) {
    return bytes[0] == 0 && !memcmp(bytes, bytes + 1, len - 1);
}

static void note_write(int fd, const void *from, size_t len, uint64_t offset, void *user) {
    written *all = user;
    int flags = fcntl(fd, F_GETFL, 0);
    if (!(flags & O_DSYNC)) {
        if (is_zero(from, len) && offset == all->zeroed)
            all->zeroed += len;
        return;
    }
    assert_int_equal(fstat(fd, &all->file), 0);
    all->beyond += offset + len > all->zeroed ? len : 0;
    all->flags = flags & (O_ACCMODE | O_DSYNC | O_DIRECT);
    all->len = len;
    all->count++;
}

/* One slot of the log that `options` make, and what is measured for them. */
static void expect_same(log_fixture *fixture, const char *name, const char *options) {
    log_subject *subject = &fixture->subject;
    written log = {0};
    written cost = {0};
    etx_sync_cost numbers = {.size = sizeof numbers};
    char url[700];
    snprintf(subject->url, sizeof subject->url, "file:%s/%s?partitions=1&segment=1M%s",
             subject->dir, name, options);
    snprintf(url, sizeof url, "file:%s?%s", subject->dir, options);
    assert_int_equal(fixture_open(fixture, 0), 0);
    fixture->chain = (log_chain){.subject = subject, .nonce = 77};
    calls_now()->user = &log;
    calls_now()->on_write = note_write;
    fixture_puts(fixture, 1, 100);
    calls_now()->user = &cost;
    assert_int_equal(etx_log_file_sync_cost(url, 5, &numbers, NULL, 0), 0);
    calls_clear();
    fixture_close(fixture, 1);
    assert_int_equal(log.count, 1);
    assert_int_equal(cost.count, numbers.count);
    assert_int_equal(cost.flags, log.flags);
    assert_int_equal(cost.len, log.len);
    assert_int_equal(cost.len, 4096);
    assert_int_equal(cost.beyond, 0); /* as the log overwrites zeros */
    assert_int_equal(cost.file.st_nlink, 0);
    assert_int_equal(cost.file.st_dev, log.file.st_dev);
    if (strstr(options, "direct=0"))
        assert_int_equal(cost.flags & O_DIRECT, 0);
}

static void test_cost_as_the_log_writes(void **state) {
    log_fixture *fixture = *state;
    fixture_close(fixture, 1);
    expect_same(fixture, "plain", "");
    expect_same(fixture, "direct", "&direct=1");
    expect_same(fixture, "cached", "&direct=0");
}

/* Of a file system that has O_DIRECT, but not in the units of the log, neither makes use. */
static void test_cost_without_direct(void **state) {
    log_fixture *fixture = *state;
    written cost = {0};
    etx_sync_cost numbers = {.size = sizeof numbers};
    fixture_close(fixture, 1);
    calls_now()->user = &cost;
    calls_now()->on_write = note_write;
    calls_fail(CALL_READ, 1, EINVAL, NULL);
    assert_int_equal(etx_log_file_sync_cost(fixture->subject.dir, 1, &numbers, NULL, 0), 0);
    assert_int_equal(calls_now()->fault[CALL_READ].struck, 1);
    assert_int_equal(cost.flags & O_DIRECT, 0);
}

static void test_cost_of_urls(void **state) {
    log_fixture *fixture = *state;
    static const struct {
        const char *url;
        int rc;
        const char *words;
    } all[] = {{NULL, ETX_EINVALID, "name a directory"},
               {"", ETX_EINVALID, "name a directory"},
               {"file:", ETX_EINVALID, "names its directory"},
               {"file:/?direct=2", ETX_EINVALID, "0 or 1"},
               {"file:/no/such?direct=0", ETX_ENOTFOUND, "there is no directory /no/such"},
               {"/no/such", ETX_ENOTFOUND, "there is no directory /no/such"}};
    etx_sync_cost cost = {.size = sizeof cost};
    char *message = fixture->subject.message;
    size_t size = sizeof fixture->subject.message;
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        fixture_expect(fixture, etx_log_file_sync_cost(all[i].url, 1, &cost, message, size),
                       all[i].rc, all[i].words);
    assert_int_equal(etx_log_file_sync_cost("/", 1, NULL, NULL, 0), ETX_EINVALID);
    cost.size = 0;
    fixture_expect(fixture, etx_log_file_sync_cost("/", 1, &cost, message, size), ETX_EINVALID,
                   "sizeof(etx_sync_cost)");
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, calls_setup, calls_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        CASE(test_cost_fails),          CASE(test_cost_odd),     CASE(test_cost_as_the_log_writes),
        CASE(test_cost_without_direct), CASE(test_cost_of_urls),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
