/* What the system may answer, one call at a time: each is an error with the right name, or is got
 * over; nothing leaks, and the log is well afterwards. */
#include "../../../src/integration/log/file.h"
#include "calls.h"
#include "fixture.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int open_new(log_fixture *fixture, const char *name) {
    log_subject *subject = &fixture->subject;
    snprintf(subject->url, sizeof subject->url, "file:%s/%s?partitions=1&segment=1M", subject->dir,
             name);
    return fixture_open(fixture, 0);
}

/* ---- making and opening */

/* A program without standard streams may write there all the same: no file of the log is there. */
static void test_the_numbers_of_closed_streams(void **state) {
    int kept[3], taken = 0;
    fixture_close(*state, 1);
    fflush(NULL);
    for (int fd = 0; fd < 3; fd++) {
        kept[fd] = fcntl(fd, F_DUPFD_CLOEXEC, 10);
        close(fd);
    }
    int rc = fixture_open(*state, 0);
    for (int fd = 0; fd < 3; fd++) {
        taken += fcntl(fd, F_GETFD) != -1;
        dup2(kept[fd], fd);
        close(kept[fd]);
    }
    assert_int_equal(rc, 0);
    assert_int_equal(taken, 0);
}

/* What cannot be made, and why: which the caller can do something about is told apart. */
static void test_a_log_that_cannot_be_made(void **state) {
    log_fixture *fixture = *state;
    static const struct {
        call_kind kind;
        int error;
        const char *name;
        int rc;
        const char *words;
    } all[] = {{CALL_MKDIR, EACCES, NULL, ETX_EINVALID, "make it by hand"},
               {CALL_MKDIR, EPERM, NULL, ETX_EINVALID, "make it by hand"},
               {CALL_MKDIR, EROFS, NULL, ETX_EINVALID, "mount it for writing"},
               {CALL_MKDIR, EDQUOT, NULL, ETX_EFULL, "cannot make"},
               {CALL_OPEN, EACCES, "home.tmp", ETX_EINVALID, "change its owner or mode"},
               {CALL_OPEN, EPERM, "home.tmp", ETX_EINVALID, "change its owner or mode"},
               {CALL_OPEN, EROFS, "home.tmp", ETX_EINVALID, "mount it for writing"},
               {CALL_OPEN, EFBIG, "home.tmp", ETX_EFULL, "home.tmp"},
               {CALL_OPEN, EPERM, "lock", ETX_EINVALID, "use the account"},
               {CALL_OPEN, EROFS, "lock", ETX_EINVALID, "mount it for writing"},
               {CALL_OPEN, ENFILE, "lock", ETX_EIO, "raise its limit (fs.file-max)"},
               {CALL_OPEN, EIO, "lock", ETX_EIO, "lock for writing"},
               {CALL_RANDOM, EIO, NULL, ETX_EIO, "no random numbers"},
               {CALL_THREAD, EAGAIN, NULL, ETX_ENOMEM, "helper thread"},
               {CALL_LIST, EMFILE, NULL, ETX_EIO, "cannot list"},
               {CALL_WRITE, 0, NULL, ETX_EIO, "owner"},
               {CALL_ALLOCATE, ENOSPC, NULL, ETX_EFULL, "cannot make the segments"},
               {CALL_MEMORY, 0, NULL, ETX_ENOMEM, "out of memory"}};
    fixture_close(fixture, 1);
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        char name[32];
        uint64_t count;
        unsigned before = calls_descriptors();
        snprintf(name, sizeof name, "made-%zu", i);
        calls_fail(all[i].kind, 1, all[i].error, all[i].name);
        fixture_expect(fixture, open_new(fixture, name), all[i].rc, all[i].words);
        assert_int_equal(calls_now()->fault[all[i].kind].struck, 1);
        assert_int_equal(calls_descriptors(), before);
        calls_clear();
        assert_int_equal(fixture_read(fixture, 0, &count), 0);
        assert_int_equal(calls_descriptors(), before);
    }
}

/* Nothing can be made where there is no directory, and not everywhere where there is one. */
static void test_the_directory_above(void **state) {
    log_fixture *fixture = *state;
    log_subject *subject = &fixture->subject;
    int here = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    fixture_close(fixture, 1);
    snprintf(subject->url, sizeof subject->url, "file:/proc/etx-log");
    fixture_expect(fixture, fixture_open(fixture, 0), ETX_EINVALID, "can be made in /proc;");
    snprintf(subject->url, sizeof subject->url, "file:/etx-log-of-a-test");
    calls_fail(CALL_MKDIR, 1, ENOENT, NULL); /* a root that takes nothing */
    fixture_expect(fixture, fixture_open(fixture, 0), ETX_EINVALID, "can be made in /;");
    snprintf(subject->url, sizeof subject->url, "file:etx-log");
    fixture_command("mkdir '%s/gone'", subject->dir);
    assert_int_equal(chdir(fixture_path(fixture, "gone")), 0);
    fixture_command("rmdir '%s/gone'", subject->dir);
    int rc = fixture_open(fixture, 0);
    assert_int_equal(fchdir(here), 0);
    close(here);
    fixture_expect(fixture, rc, ETX_ENOTFOUND, "the directory above it does not exist");
}

/* Names that are seen and may not be durable, the directory's own too: until they are, the log is
 * not used. (Seed 713952: a start that died while it made its log, the next one on a directory
 * above that did not sync, a loss of power, and all that was acknowledged was gone.) */
static void test_names_that_do_not_sync(void **state) {
    log_fixture *fixture = *state;
    static const char *const words[] = {"cannot sync /", "cannot sync the directory above /"};
    uint64_t count;
    fixture_puts(fixture, 3, 100);
    fixture_close(fixture, 1);
    for (int nth = 1; nth <= 2; nth++) {
        calls_fail(CALL_SYNC, nth, EIO, NULL);
        fixture_expect(fixture, fixture_open(fixture, 0), ETX_EIO, words[nth - 1]);
        calls_clear();
    }
    for (int i = 0; i < 2; i++) { /* it may not be read: the file system is synced */
        calls_fail(CALL_OPEN, 1, i == 0 ? EACCES : EPERM, "..");
        assert_int_equal(fixture_open(fixture, 0), 0);
        assert_int_equal(calls_now()->fault[CALL_OPEN].struck, 1);
        fixture_close(fixture, 1);
        calls_clear();
    }
    calls_fail(CALL_OPEN, 1, EMFILE, "..");
    fixture_expect(fixture, fixture_open(fixture, 0), ETX_EIO, words[1]);
    calls_clear();
    assert_int_equal(fixture_read(fixture, 0, &count), 0);
    assert_int_equal(count, 3);
}

/* Only what is known to be a refusal keeps a log from being opened; to read it nothing is asked. */
static void test_a_directory_that_takes_no_files(void **state) {
    log_fixture *fixture = *state;
    static const struct {
        int error;
        const char *words;
    } refusals[] = {{EACCES, "takes no new files: Permission denied; change its owner"},
                    {EROFS, "takes no new files: Read-only file system; mount it for writing"}};
    uint64_t count;
    fixture_puts(fixture, 3, 100);
    fixture_close(fixture, 1);
    for (int i = 0; i < 2; i++) {
        calls_fail(CALL_ACCESS, 1, refusals[i].error, NULL);
        fixture_expect(fixture, fixture_open(fixture, 0), ETX_EINVALID, refusals[i].words);
    }
    calls_fail(CALL_ACCESS, 1, EIO, NULL);
    assert_int_equal(fixture_read(fixture, 0, &count), 0);
    assert_int_equal(calls_now()->fault[CALL_ACCESS].struck, 1);
    calls_fail(CALL_ACCESS, 1, EACCES, NULL);
    assert_int_equal(fixture_read(fixture, ETX_LOG_READ_ONLY, &count), 0);
    assert_int_equal(calls_now()->fault[CALL_ACCESS].struck, 0);
    assert_int_equal(count, 3);
}

/* A signal that the program had pending before is its own, also where the open fails. */
static void test_a_pending_signal(void **state) {
    log_fixture *fixture = *state;
    const struct timespec now = {0};
    sigset_t too_large;
    sigset_t before;
    fixture_close(fixture, 1);
    sigemptyset(&too_large);
    sigaddset(&too_large, SIGXFSZ);
    pthread_sigmask(SIG_BLOCK, &too_large, &before);
    for (int pending = 0; pending < 2; pending++) {
        if (pending)
            raise(SIGXFSZ);
        calls_fail(CALL_MKDIR, 1, EIO, NULL);
        fixture_expect(fixture, fixture_open(fixture, 0), ETX_EIO, "cannot make");
        assert_int_equal(sigtimedwait(&too_large, NULL, &now), pending ? SIGXFSZ : -1);
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

/* Each listing of the directory fails in turn. */
static void test_listings(void **state) {
    log_fixture *fixture = *state;
    uint64_t count;
    fixture_puts(fixture, 3, 100);
    fixture_close(fixture, 1);
    for (int at = 1, made = 0; made < 2; at++) {
        unsigned before = calls_descriptors();
        int struck;
        calls_fail(CALL_LIST, at, EMFILE, NULL);
        int rc = open_new(fixture, made ? "log" : "another");
        struck = calls_now()->fault[CALL_LIST].struck != 0;
        if (!rc)
            fixture_close(fixture, 0);
        calls_clear();
        if (rc)
            assert_int_equal(rc, ETX_EIO);
        assert_int_equal(calls_descriptors(), before);
        fixture_command("rm -rf '%s/another'", fixture->subject.dir);
        made += !struck;
        at = struck ? at : 0;
    }
    assert_int_equal(open_new(fixture, "log"), 0);
    fixture_close(fixture, 1);
    assert_int_equal(fixture_read(fixture, 0, &count), 0);
    assert_int_equal(count, 3);
}

/* A making that was interrupted is taken apart; what is gone already is no trouble. */
static void test_the_rest_of_a_making(void **state) {
    log_fixture *fixture = *state;
    uint64_t count;
    fixture_close(fixture, 1);
    for (int i = 0; i < 2; i++) {
        fixture_command("mv '%s/log/home' '%s/log/home.tmp'", fixture->subject.dir,
                        fixture->subject.dir);
        calls_fail(CALL_UNLINK, 1, i ? ENOENT : EACCES, ".seg");
        int rc = fixture_read(fixture, 0, &count);
        assert_int_equal(calls_now()->fault[CALL_UNLINK].struck, 1);
        fixture_expect(fixture, rc, i ? 0 : ETX_EIO, i ? "" : "cannot remove");
        calls_clear();
        assert_int_equal(fixture_read(fixture, 0, &count), 0);
    }
}

/* The first segment does not open once more for its zeros: it goes without, and is right. */
static void test_a_new_log_without_its_zeros(void **state) {
    log_fixture *fixture = *state;
    log_subject *subject = &fixture->subject;
    fixture_close(fixture, 1);
    snprintf(subject->url, sizeof subject->url, "file:%s/large?partitions=1&segment=2M",
             subject->dir);
    calls_fail(CALL_OPEN, 2, EMFILE, "p00-00000001.seg");
    assert_int_equal(fixture_open(fixture, 0), 0);
    assert_int_equal(calls_now()->fault[CALL_OPEN].struck, 1);
    fixture_puts(fixture, 100, 20000); /* beyond what has zeros */
    fixture_close(fixture, 0);
    assert_int_equal(fixture_open(fixture, 0), 0);
    assert_int_equal(chain_check(subject, 0, 0, NULL), 100);
}

/* `home` cut short is damage. */
static void test_a_short_home(void **state) {
    log_fixture *fixture = *state;
    fixture_close(fixture, 1);
    fixture_command("truncate -s 100 '%s/log/home'", fixture->subject.dir);
    fixture_expect(fixture, fixture_open(fixture, 0), ETX_ECORRUPT, "home at byte 0 is damaged");
}

/* Files of a plain user are their own; those of root go to whom the directory belongs to. */
static void count_own(void *user) {
    ++*(int *)user;
}

static void test_owners(void **state) {
    log_fixture *fixture = *state;
    const char *dir = fixture->subject.dir;
    uint64_t count;
    int owned = 0;
    if (geteuid() != 0)
        skip();
    fixture_await(fixture, 2); /* no spare is made below */
    fixture_close(fixture, 1);
    calls_now()->user = &owned;
    calls_now()->on_own = count_own;
    fixture_command("chgrp 65534 '%s'/log/*", dir); /* only the group is another */
    fixture_command("rm '%s/log/lock'", dir);
    assert_int_equal(fixture_read(fixture, 0, &count), 0);
    assert_int_equal(owned, 1);
    struct stat found;
    assert_int_equal(stat(fixture_path(fixture, "log/lock"), &found), 0);
    assert_int_equal(found.st_gid, 65534);
    fixture_command("rm '%s/log/lock'", dir);
    calls_fail(CALL_OWN, 1, EPERM, NULL); /* a file system without owners */
    assert_int_equal(fixture_read(fixture, 0, &count), 0);
    assert_int_equal(calls_now()->fault[CALL_OWN].struck, 1);
    fixture_command("rm '%s/log/lock'", dir);
    owned = 0;
    calls_now()->plain_user = 1;
    assert_int_equal(fixture_read(fixture, 0, &count), 0);
    assert_int_equal(owned, 0);
}

static void test_words(void **state) {
    (void)state;
    char text[4] = "abc";
    const etx__file_words none = {text, 0};
    assert_int_equal(etx__file_error_code(EDQUOT), ETX_EFULL);
    assert_int_equal(etx__file_error_code(EFBIG), ETX_EFULL);
    assert_int_equal(etx__file_error_code(EBADF), ETX_EIO);
    assert_non_null(strstr(etx__file_why(EFBIG), "ulimit -f"));
    assert_non_null(strstr(etx__file_reason(EPERM), "may not be read by this user"));
    assert_int_equal(etx__file_say(&none, ETX_EIO, "long words"), ETX_EIO);
    assert_string_equal(text, "abc");
}

static void test_grades(void **state) {
    log_fixture *fixture = *state;
    static const long memory[] = {0x01021994, 0x858458f6};
    etx_log_info info = {.size = sizeof info};
    for (int i = 0; i < 2; i++) {
        calls_now()->fs_type = memory[i];
        fixture->subject.ops->info(fixture->subject.log, &info);
        assert_int_equal(info.grade, ETX_VOLATILE);
    }
    calls_now()->fs_type = 0xef53;
    fixture->subject.ops->info(fixture->subject.log, &info);
    assert_int_equal(info.grade, ETX_LOCAL);
}

/* Closed in a forked child it is only forgotten: no file is touched, and the parent goes on. */
static void test_close_in_a_child(void **state) {
    log_fixture *fixture = *state;
    calls_now()->other_process = 1;
    fixture->subject.ops->close(fixture->subject.log, 1);
    calls_clear();
    fixture_puts(fixture, 3, 100);
    ((etx__file_log *)(void *)fixture->subject.log)->lock_fd = -1; /* as it left it */
    fixture_close(fixture, 1);
    uint64_t count;
    fixture_command("rm '%s/log/owner' '%s/log/lock'", fixture->subject.dir, fixture->subject.dir);
    assert_int_equal(fixture_read(fixture, 0, &count), 0);
    assert_int_equal(count, 3);
}

/* ---- segments */

static etx_log_space space_of(log_fixture *fixture) {
    etx_log_space space = {.size = sizeof space};
    assert_int_equal(fixture->subject.ops->space(fixture->subject.log, 0, &space), 0);
    return space;
}

/* A file system that cannot allocate ahead, of either kind, is written to all the same. */
static void test_no_allocation_ahead(void **state) {
    log_fixture *fixture = *state;
    static const int errors[] = {EOPNOTSUPP, ENOSYS};
    fixture_close(fixture, 1);
    for (int i = 0; i < 2; i++) {
        uint64_t count;
        calls_fail(CALL_ALLOCATE, 1, errors[i], NULL);
        assert_int_equal(open_new(fixture, i ? "one" : "two"), 0);
        assert_int_equal(calls_now()->fault[CALL_ALLOCATE].struck, 1);
        fixture->chain.next = fixture->chain.checksum = 0;
        fixture_puts(fixture, 60, 20000);
        fixture_close(fixture, 0);
        assert_int_equal(fixture_read(fixture, 0, &count), 0);
        assert_int_equal(count, 60);
    }
}

/* A spare that was not finished lies in the way, and can or cannot be removed. The helper has its
 * one spare then, and begins no other before the puts. */
static void spare_in_the_way(log_fixture *fixture, int fails) {
    fixture_await(fixture, 2);
    fixture_command("echo junk > '%s/log/p00-spare.tmp'", fixture->subject.dir);
    if (fails)
        calls_fail(CALL_UNLINK, 1, EIO, "spare.tmp");
    fixture_puts(fixture, 30, 20000); /* more than half of a segment: another spare is wanted */
    fixture_await(fixture, 3);
    fixture_puts(fixture, 70, 20000);
    assert_int_equal(calls_now()->fault[CALL_UNLINK].struck, fails);
    assert_int_equal(chain_check(&fixture->subject, 0, 0, NULL), 100);
}

static void test_a_spare_in_the_way(void **state) {
    spare_in_the_way(*state, 0);
}

static void test_a_spare_that_stays_in_the_way(void **state) {
    spare_in_the_way(*state, 1);
}

/* A spare that a torn group stands in: until that is cut nothing is begun, and cutting can fail. */
static void test_a_torn_spare(void **state) {
    log_fixture *fixture = *state;
    etx_log_info info = {.size = sizeof info};
    uint8_t block[4096];
    uint8_t batch[100];
    uint64_t count;
    int failed = 0;
    fixture_puts(fixture, 5, 100);
    fixture_await(fixture, 2);
    fixture->subject.ops->info(fixture->subject.log, &info);
    fixture_close(fixture, 0);
    etx__file_group group = {.segment = 2, .slot = 5, .nonce = 77};
    group.batch = (etx_bytes){batch, batch_fill(5, batch, sizeof batch)};
    etx__file_group_encode(block, etx__file_seed(info.id, 0), info.id, &group);
    file_patch(fixture_path(fixture, "log/p00-00000002.seg"), 4096, block, 1024);
    for (int at = 1, struck = 1; struck; at++) {
        calls_fail(CALL_OPEN, at, EIO, "p00-00000002.seg");
        int rc = fixture_read(fixture, 0, &count);
        struck = calls_now()->fault[CALL_OPEN].struck != 0;
        assert_int_equal(rc, struck ? ETX_EIO : 0);
        failed += struck;
    }
    assert_int_equal(count, 5);
    assert_true(failed >= 3); /* to look, to judge, to cut */
}

/* A file that is cut short, and cannot be read either: repair says the same as without the error,
 * or that it cannot. */
static void test_repair_of_a_short_segment(void **state) {
    log_fixture *fixture = *state;
    char source[300];
    fixture_puts(fixture, 60, 20000);
    fixture_close(fixture, 0);
    fixture_command("truncate -s 1000 '%s/log/p00-00000002.seg'", fixture->subject.dir);
    snprintf(source, sizeof source, "%s/log", fixture->subject.dir);
    for (int at = 0, struck = 1; struck; at++) { /* without an error first */
        etx_file_report report = {.size = sizeof report};
        fixture_command("rm -rf '%s/repaired'", fixture->subject.dir);
        calls_fail(CALL_READ, at, EIO, NULL);
        int rc = etx_log_file_repair(source, fixture_path(fixture, "repaired"), 1, NULL, NULL,
                                     &report, NULL, 0);
        struck = calls_now()->fault[CALL_READ].struck != 0;
        if (rc == 0)
            assert_int_equal(report.slots, 42);
        else
            assert_true(struck);
        struck |= at == 0;
    }
}

/* What a reopen could not read keeps its files: the helper, which knows less then, makes none that
 * takes the place of another, and none at all however often it fails. (Seed 364527 of the
 * simulation: a new spare took the name of the segment that could not be read.) */
static void test_a_reopen_that_cannot_read(void **state) {
    enum { PAUSE_US = 20000 }; /* for a helper that does what it must not */
    log_fixture *fixture = *state;
    const etx_log_ops *ops = fixture->subject.ops;
    int failed = 0;
    fixture_puts(fixture, 250, 9000);
    fixture_await(fixture, fixture_last_segment(fixture) + 1);
    for (int rc = ETX_EIO; rc != 0;
         failed += rc != 0) { /* until the one that fails is the helper's */
        calls_fail(CALL_READ, failed + 1, EIO, NULL);
        rc = ops->reopen(fixture->subject.log, 0, NULL, 0);
        calls_clear();
        assert_true(rc == 0 || rc == ETX_EIO);
        assert_true(failed < 60); /* more reads each time would be more files each time */
        usleep(PAUSE_US);
    }
    assert_true(failed >= 4); /* a look at each segment at least */
    assert_int_equal(ops->reopen(fixture->subject.log, 0, NULL, 0), 0);
    assert_int_equal(chain_check(&fixture->subject, 0, 0, NULL), fixture->chain.next);
    fixture_puts(fixture, 250, 9000);
    assert_int_equal(chain_check(&fixture->subject, 0, 0, NULL), fixture->chain.next);
    fixture_command("test $(ls '%s'/log/*.seg | wc -l) -le 12", fixture->subject.dir);
}

static void test_a_root_that_does_not_open(void **state) {
    log_fixture *fixture = *state;
    char source[300];
    snprintf(source, sizeof source, "%s/log", fixture->subject.dir);
    calls_fail(CALL_OPEN, 1, EMFILE, "///");
    assert_int_equal(etx_log_file_backup(source, "///", 1, NULL, NULL, 0), ETX_EBUSY);
    assert_int_equal(calls_now()->fault[CALL_OPEN].struck, 1);
}

/* Full is what has an error and no spare. What a partition that cannot be opened anew holds is not
 * known, and counts as nothing. */
static void test_space(void **state) {
    log_fixture *fixture = *state;
    const etx_log_ops *ops = fixture->subject.ops;
    char words[200];
    uint8_t sector[512];
    fixture_await(fixture, 2);
    fixture_puts(fixture, 5, 20000);
    assert_false(space_of(fixture).full);
    for (int i = 0; i < 3000 && !space_of(fixture).full; i++) {
        calls_fail(CALL_ALLOCATE, 1, ENOSPC, NULL);
        if (i < 30)
            fixture_puts(fixture, 1, 20000); /* beyond the half */
        usleep(10 * 1000);
    }
    assert_true(space_of(fixture).full);
    assert_int_equal(ops->reopen(fixture->subject.log, 0, words, sizeof words), 0);
    assert_false(space_of(fixture).full); /* one spare, and one is wanted */
    calls_clear();
    memset(sector, 7, sizeof sector);
    file_patch(fixture_path(fixture, "log/p00-00000001.seg"), 4096, sector, sizeof sector);
    assert_int_equal(ops->reopen(fixture->subject.log, 0, words, sizeof words), ETX_ECORRUPT);
    assert_int_equal(space_of(fixture).bytes_used, 0);
}

/* A slot that is filled, and cannot be shown: that is not known, with the damage as the reason. */
static void test_an_occupied_slot_that_cannot_be_read(void **state) {
    log_fixture *fixture = *state;
    uint8_t bytes[100];
    fixture_puts(fixture, 5, 100);
    file_spoil(fixture_path(fixture, "log/p00-00000001.seg"), 4096 + 4096 + 30);
    etx_put put = put_make(&fixture->chain, 1, bytes, batch_fill(1, bytes, sizeof bytes));
    assert_int_equal(fixture->subject.ops->put(fixture->subject.log, &put), ETX_PUT_UNKNOWN);
    assert_int_equal(put.error, ETX_ECORRUPT);
    assert_non_null(strstr(put.message, "cannot be read"));
    fixture_puts(fixture, 3, 100); /* it goes on */
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, calls_setup, calls_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        CASE(test_the_numbers_of_closed_streams),
        CASE(test_a_log_that_cannot_be_made),
        CASE(test_the_directory_above),
        CASE(test_names_that_do_not_sync),
        CASE(test_a_directory_that_takes_no_files),
        CASE(test_a_pending_signal),
        CASE(test_listings),
        CASE(test_the_rest_of_a_making),
        CASE(test_a_new_log_without_its_zeros),
        CASE(test_a_short_home),
        CASE(test_owners),
        CASE(test_words),
        CASE(test_grades),
        CASE(test_close_in_a_child),
        CASE(test_no_allocation_ahead),
        CASE(test_a_spare_in_the_way),
        CASE(test_a_spare_that_stays_in_the_way),
        CASE(test_a_torn_spare),
        CASE(test_repair_of_a_short_segment),
        CASE(test_a_reopen_that_cannot_read),
        CASE(test_a_root_that_does_not_open),
        CASE(test_space),
        CASE(test_an_occupied_slot_that_cannot_be_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
