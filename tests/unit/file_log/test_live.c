/* Looking at a log that another has open, and that changes in the middle: what is only half done is
 * waited for, what stays bad is called damage, and what was trimmed meanwhile is read again. The
 * changes come in the pauses of the one who looks, or when it opens a file. */
#include "../../../src/integration/log/file.h"
#include "calls.h"
#include "fixture.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { BLOCK = 4096, SECTOR = 512 };

/* Damage in segment 1, and when it is well again. */
typedef struct change {
    log_fixture *fixture;
    uint64_t at;
    uint8_t kept[BLOCK];
    int pauses; /* left until all is well again; below 0: never */
    int moves;  /* each pause damages another place */
} change;

static const char *segment(log_fixture *fixture, uint32_t number) {
    char name[40];
    snprintf(name, sizeof name, "log/p00-%08u.seg", number);
    return fixture_path(fixture, name);
}

static void bad_at(change *of, uint64_t at) {
    uint8_t junk[SECTOR];
    size_t len;
    uint8_t *bytes = file_load(segment(of->fixture, 1), &len);
    memset(junk, 0x5a, sizeof junk);
    memcpy(of->kept, bytes + at, sizeof of->kept);
    free(bytes);
    of->at = at;
    file_patch(segment(of->fixture, 1), at, junk, sizeof junk);
}

static void well(const change *of) {
    file_patch(segment(of->fixture, 1), of->at, of->kept, sizeof of->kept);
}

static void pause_over(void *user) {
    change *of = user;
    if (of->moves) {
        well(of);
        bad_at(of, of->at ? 0 : BLOCK);
    }
    if (of->pauses >= 0 && of->pauses-- == 0) {
        well(of);
        of->moves = 0;
    }
}

static change *change_start(change *of, log_fixture *fixture) {
    *of = (change){.fixture = fixture, .pauses = -1};
    calls_now()->user = of;
    calls_now()->on_sleep = pause_over;
    return of;
}

typedef struct seen {
    int count;
    etx_file_finding last;
} seen;

static void found(const etx_file_finding *finding, void *user) {
    seen *all = user;
    all->count++;
    all->last = *finding;
}

static etx_file_report verify(log_fixture *fixture, seen *all) {
    etx_file_report report = {.size = sizeof report};
    *all = (seen){0};
    assert_int_equal(
        etx_log_file_verify(fixture_path(fixture, "log"), found, all, &report, NULL, 0), 0);
    assert_int_equal(report.in_use, 1);
    return report;
}

static int look(log_fixture *fixture, uint64_t *ret_count) {
    log_subject other = fixture->subject;
    int rc = subject_open(&other, ETX_LOG_READ_ONLY);
    memcpy(fixture->subject.message, other.message, sizeof other.message);
    *ret_count = 0;
    if (rc)
        return rc;
    *ret_count = chain_check(&other, 0, 0, NULL);
    other.ops->close(other.log, 0);
    return 0;
}

/* A segment that is bad for a few looks was being recycled; one that stays bad is damage. */
static void test_bad_for_a_while(void **state) {
    log_fixture *fixture = *state;
    change of;
    seen all;
    uint64_t count;
    fixture_puts(fixture, 90, 20000);
    for (int open = 0; open < 2; open++) {
        change_start(&of, fixture)->pauses = 2;
        bad_at(&of, BLOCK);
        if (open) {
            assert_int_equal(look(fixture, &count), 0);
            assert_int_equal(count, 90);
        } else {
            assert_int_equal(verify(fixture, &all).slots, 90);
            assert_int_equal(all.count, 0);
        }
    }
    for (int open = 0; open < 2; open++) {
        change_start(&of, fixture);
        calls_now()->sleeps = 0;
        bad_at(&of, BLOCK);
        if (open) {
            assert_int_equal(look(fixture, &count), ETX_ECORRUPT);
        } else {
            assert_int_equal(verify(fixture, &all).state, ETX_FILE_CORRUPT);
            assert_int_equal(all.last.offset, BLOCK);
        }
        assert_in_range(calls_now()->sleeps, 4, 5); /* five looks at the same */
        well(&of);
    }
}

/* What is bad at another place each time is a log that changes: no finding for verify; who wants to
 * read it is told at last that it cannot. */
static void test_bad_elsewhere_each_time(void **state) {
    log_fixture *fixture = *state;
    change of;
    seen all;
    uint64_t count;
    fixture_puts(fixture, 110, 20000);
    change_start(&of, fixture)->moves = 1;
    bad_at(&of, BLOCK);
    assert_int_equal(verify(fixture, &all).state, ETX_FILE_SOUND);
    assert_int_equal(all.count, 0);
    calls_now()->sleeps = 0;
    assert_int_equal(look(fixture, &count), ETX_ECORRUPT);
    assert_true(calls_now()->sleeps >= 100);
    well(&of);
    assert_int_equal(look(fixture, &count), 0);
    assert_int_equal(count, 110);
}

/* Half of a group behind the end, of a log in use: no finding, it is being written. */
static void half_group(log_fixture *fixture,
                       uint32_t number,
                       uint64_t offset,
                       uint64_t slot,
                       int whole) {
    etx_log_info info = {.size = sizeof info};
    uint8_t bytes[BLOCK];
    uint8_t batch[100];
    fixture->subject.ops->info(fixture->subject.log, &info);
    batch_fill(slot, batch, sizeof batch);
    etx__file_group group = {.segment = number,
                             .slot = slot,
                             .nonce = 77,
                             .predecessor = fixture->chain.checksum,
                             .batch = {batch, sizeof batch}};
    group.checksum = etx_slot_checksum(0, slot, 77, group.predecessor, group.batch);
    etx__file_group_encode(bytes, etx__file_seed(info.id, 0), info.id, &group);
    file_patch(segment(fixture, number), offset, bytes, whole ? BLOCK : BLOCK / 2);
}

static void test_half_a_group(void **state) {
    log_fixture *fixture = *state;
    change of;
    seen all;
    uint64_t count;
    fixture_puts(fixture, 5, 3000);
    fixture_await(fixture, 2);
    change_start(&of, fixture);
    half_group(fixture, 1, 6 * BLOCK, 5, 0);
    assert_int_equal(verify(fixture, &all).state, ETX_FILE_SOUND);
    assert_int_equal(all.count, 0);
    assert_int_equal(look(fixture, &count), 0);
    assert_int_equal(count, 5);
}

/* Behind the end stands what is no tear; while it is judged it becomes the next group. */
typedef struct growth {
    log_fixture *fixture;
    uint32_t number;
    uint64_t offset;
    int pauses;
} growth;

static void grow(void *user) {
    growth *of = user;
    if (of->pauses-- == 0)
        half_group(of->fixture, of->number, of->offset, 5, 1);
}

static void test_the_end_grows(void **state) {
    log_fixture *fixture = *state;
    uint64_t count;
    fixture_puts(fixture, 5, 3000);
    fixture_await(fixture, 2);
    for (uint32_t number = 1; number <= 2; number++) {
        growth of = {.fixture = fixture,
                     .number = number,
                     .offset = number == 1 ? 6 * BLOCK : BLOCK,
                     .pauses = 2};
        uint8_t junk[SECTOR];
        uint8_t zeros[BLOCK] = {0};
        calls_now()->user = &of;
        calls_now()->on_sleep = grow;
        memset(junk, 7, sizeof junk);
        file_patch(segment(fixture, number), of.offset + 2 * SECTOR, junk, sizeof junk);
        assert_int_equal(look(fixture, &count), 0);
        assert_in_range(count, 5, 6);
        file_patch(segment(fixture, number), of.offset, zeros, sizeof zeros);
    }
    assert_int_equal(look(fixture, &count), 0);
    assert_int_equal(count, 5);
    growth never = {.fixture = fixture, .pauses = -1};
    uint8_t junk[SECTOR];
    memset(junk, 7, sizeof junk);
    calls_now()->user = &never;
    file_patch(segment(fixture, 1), 7 * BLOCK, junk, sizeof junk);
    assert_int_equal(look(fixture, &count), ETX_ECORRUPT); /* it does not become one */
}

/* ---- trimmed while it is read */

typedef struct trimmer {
    log_fixture *fixture;
    int left;        /* so many times more */
    uint64_t below;  /* what the last one trimmed */
    uint32_t oldest; /* the segment that is there yet */
    int copies;      /* backups that were begun */
    int looks;       /* at the source, since */
    int opens;       /* of the oldest segment in that, and one */
    int trims;       /* 0: the file goes, and no trim explains it */
} trimmer;

/* The oldest segment goes, as the helper would have it go; the log is written on. */
static void trim_it(trimmer *of) {
    log_fixture *fixture = of->fixture;
    of->left--;
    if (of->trims) {
        fixture_puts(fixture, 42, 20000);
        of->below += 42;
        assert_int_equal(fixture->subject.ops->trim(fixture->subject.log, 0, of->below), 0);
    }
    fixture_command("mv -f '%s/log/p00-%08u.seg' '%s/aside' 2>/dev/null || true",
                    fixture->subject.dir, of->oldest, fixture->subject.dir);
    of->oldest += of->trims != 0;
}

/* A get looks at the directory first, whereby it opens the oldest segment once; then it reads from
 * there: that is when. */
static void when_copied(const char *name, void *user) {
    trimmer *of = user;
    char oldest[40];
    size_t len = strlen(name);
    snprintf(oldest, sizeof oldest, "p00-%08u.seg", of->oldest);
    of->copies += strcmp(name, "copying") == 0;
    if (of->copies > of->looks && len > 4 && strcmp(name + len - 4, "/log") == 0) {
        of->looks++;
        of->opens = 1;
    }
    if (of->left > 0 && of->opens && strcmp(name, oldest) == 0 && of->opens++ == 2) {
        of->opens = 0;
        trim_it(of);
    }
}

static int back_up(trimmer *of, char message[300], etx_file_report *report) {
    log_fixture *fixture = of->fixture;
    char source[300];
    snprintf(source, sizeof source, "%s/log", fixture->subject.dir);
    fixture_puts(fixture, 84, 20000);
    calls_now()->user = of;
    calls_now()->on_open = when_copied;
    int rc = etx_log_file_backup(source, fixture_path(fixture, "copy"), 1, report, message, 300);
    calls_now()->on_open = NULL;
    return rc;
}

/* A backup whose source is trimmed under it begins again. */
static void test_trimmed_under_a_backup(void **state) {
    trimmer of = {.fixture = *state, .left = 2, .oldest = 1, .trims = 1};
    char message[300] = "";
    etx_file_report report = {.size = sizeof report};
    assert_int_equal(back_up(&of, message, &report), 0);
    assert_int_equal(of.left, 0);
    assert_int_equal(of.copies, 3);
    log_subject copy = of.fixture->subject;
    uint64_t mark = 0;
    snprintf(copy.url, sizeof copy.url, "file:%s/copy", copy.dir);
    assert_int_equal(subject_open(&copy, 0), 0);
    assert_int_equal(chain_check(&copy, 0, 0, &mark), 84);
    assert_int_equal(mark, 84);
    copy.ops->close(copy.log, 1);
}

/* One that never gets through says so, and leaves nothing. */
static void test_trimmed_too_fast(void **state) {
    trimmer of = {.fixture = *state, .left = 1000, .oldest = 1, .trims = 1};
    char message[300] = "";
    assert_int_equal(back_up(&of, message, NULL), ETX_EBUSY);
    assert_non_null(strstr(message, "trimmed faster than it can be copied"));
    assert_int_equal(of.copies, 10);
    assert_int_not_equal(access(fixture_path(of.fixture, "copy/home"), F_OK), 0);
}

/* A segment that goes without a trim is missing. */
static void test_gone_under_a_backup(void **state) {
    trimmer of = {.fixture = *state, .left = 1, .oldest = 1};
    char message[300] = "";
    assert_int_equal(back_up(&of, message, NULL), ETX_ECORRUPT);
    assert_non_null(strstr(message, "missing"));
    assert_int_equal(of.copies, 1);
}

/* A copy that fails takes away what is its own, and nothing else. */
static void lay_down(const char *name, void *user) {
    const char *dir = ((log_fixture *)user)->subject.dir;
    if (strcmp(name, "p00.state") == 0)
        fixture_command("test ! -e '%s/copy/copying' || echo mine > '%s/copy/mine'", dir, dir);
}

static void test_a_failed_copy_leaves_what_is_not_its_own(void **state) {
    log_fixture *fixture = *state;
    char source[300];
    char message[300] = "";
    fixture_puts(fixture, 5, 100);
    fixture_close(fixture, 1);
    snprintf(source, sizeof source, "%s/log", fixture->subject.dir);
    calls_now()->user = fixture;
    calls_now()->on_open = lay_down;
    calls_fail(CALL_RENAME, 1, EIO, "home");
    assert_int_not_equal(etx_log_file_backup(source, fixture_path(fixture, "copy"), 1, NULL,
                                             message, sizeof message),
                         0);
    assert_int_equal(access(fixture_path(fixture, "copy/mine"), F_OK), 0);
    assert_int_not_equal(access(fixture_path(fixture, "copy/home"), F_OK), 0);
    assert_int_not_equal(access(fixture_path(fixture, "copy/p00-00000001.seg"), F_OK), 0);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, calls_setup, calls_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        CASE(test_bad_for_a_while),        CASE(test_bad_elsewhere_each_time),
        CASE(test_half_a_group),           CASE(test_the_end_grows),
        CASE(test_trimmed_under_a_backup), CASE(test_trimmed_too_fast),
        CASE(test_gone_under_a_backup),    CASE(test_a_failed_copy_leaves_what_is_not_its_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
