/* A file log whose place another takes, and that other one, where the system or the place is not as
 * it should be: each is an error that says what, and what was there stays. */
#include "../../conformance/log_copier.h"
#include "calls.h"
#include "fixture.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int retire(log_fixture *fixture, etx_retirement what) {
    log_subject *subject = &fixture->subject;
    subject->message[0] = 0;
    return subject->ops->retire(subject->log, what, "it went away", subject->message,
                                sizeof subject->message);
}

/* ---- the note that it went away */

/* Whatever of it fails: it is told, and the next try is as good as the first. */
static void test_a_note_that_cannot_be_written(void **state) {
    log_fixture *fixture = *state;
    static const struct {
        call_kind kind;
        int error;
        int rc;
        const char *name;
    } all[] = {{CALL_OPEN, EIO, ETX_EIO, "moved.tmp"}, {CALL_WRITE, EIO, ETX_EIO, NULL},
               {CALL_WRITE, ENOSPC, ETX_EFULL, NULL},  {CALL_SYNC, EIO, ETX_EIO, NULL},
               {CALL_RENAME, EIO, ETX_EIO, NULL},      {CALL_UNLINK, EIO, ETX_EIO, "moved"}};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        etx_retirement what = all[i].kind == CALL_UNLINK ? ETX_RETIRE_NOT : ETX_RETIRE_MOVED;
        calls_fail(all[i].kind, 1, all[i].error, all[i].name);
        fixture_expect(fixture, retire(fixture, what), all[i].rc, "/moved: ");
        assert_int_equal(calls_now()->fault[all[i].kind].struck, 1);
        calls_clear();
    }
    assert_int_equal(retire(fixture, ETX_RETIRE_MOVED), 0);
    fixture_close(fixture, 1);
    fixture_expect(fixture, fixture_open(fixture, 0), ETX_ECONFLICT, "it went away");
}

static void take_note(const etx_file_finding *finding, void *user) {
    assert_int_equal(finding->state, ETX_FILE_SOUND);
    assert_non_null(strstr(finding->file, "/log/moved"));
    snprintf(user, 100, "%s", finding->text);
}

/* Who only looks is told as well; it is no damage, and neither is a note that cannot be read. */
static void test_who_looks_is_told(void **state) {
    log_fixture *fixture = *state;
    etx_file_report report = {.size = sizeof report};
    char text[100] = "";
    assert_int_equal(retire(fixture, ETX_RETIRE_MOVED), 0);
    fixture_close(fixture, 1);
    assert_int_equal(
        etx_log_file_verify(fixture_path(fixture, "log"), take_note, text, &report, NULL, 0), 0);
    assert_int_equal(report.state, ETX_FILE_SOUND);
    assert_string_equal(text, "it went away");
    assert_int_equal(
        etx_log_file_verify(fixture_path(fixture, "log"), NULL, NULL, &report, NULL, 0), 0);
    text[0] = 0;
    fixture_command("cd '%s/log' && rm moved && mkdir moved", fixture->subject.dir);
    assert_int_equal(
        etx_log_file_verify(fixture_path(fixture, "log"), take_note, text, &report, NULL, 0), 0);
    assert_string_equal(text, "");
}

/* What takes it back may find that nothing is there; and the directory may not sync. */
static void test_taking_back(void **state) {
    log_fixture *fixture = *state;
    assert_int_equal(retire(fixture, ETX_RETIRE_NOT), 0);
    assert_int_equal(retire(fixture, ETX_RETIRE_COPYING), 0);
    calls_fail(CALL_SYNC, 1, EIO, NULL);
    fixture_expect(fixture, retire(fixture, ETX_RETIRE_NOT), ETX_EIO, "/moved: ");
    calls_clear();
    assert_int_equal(retire(fixture, ETX_RETIRE_NOT), 0);
    fixture_close(fixture, 1);
    assert_int_equal(fixture_open(fixture, 0), 0);
}

/* A note that cannot be read refuses the log, and one without words is a note. */
static void test_a_note_that_cannot_be_read(void **state) {
    log_fixture *fixture = *state;
    assert_int_equal(retire(fixture, ETX_RETIRE_MOVED), 0);
    fixture_close(fixture, 1);
    calls_fail(CALL_OPEN, 1, EIO, "moved");
    fixture_expect(fixture, fixture_open(fixture, 0), ETX_EIO, "moved cannot be read");
    calls_clear();
    fixture_command("printf moved >%s", fixture_path(fixture, "log/moved"));
    fixture_expect(fixture, fixture_open(fixture, 0), ETX_ECONFLICT, "another log has its place");
    fixture_command("printf 'moved\\n' >%s", fixture_path(fixture, "log/moved"));
    fixture_expect(fixture, fixture_open(fixture, 0), ETX_ECONFLICT, "another log has its place");
}

/* ---- the place of the copy */

static log_copier copier_to(log_fixture *fixture, const char *behind) {
    char url[400];
    snprintf(url, sizeof url, "file:%s/%s", fixture->subject.dir, behind);
    return copier_of(&fixture->subject, url);
}

static void expect_begin(log_fixture *fixture, const char *behind, int rc, const char *words) {
    log_copier copier = copier_to(fixture, behind);
    assert_int_equal(copier_begin(&copier), rc);
    if (!strstr(copier.dest.message, words))
        fail_msg("'%s' is not in: %s", words, copier.dest.message);
}

/* Only what is empty, or an unfinished copy that nobody makes now, is a place for one. */
static void test_places_that_are_none(void **state) {
    static const char *const content[] = {"home", "home.tmp", "p00-00000001.seg", "p00-spare.tmp",
                                          "notes"};
    log_fixture *fixture = *state;
    for (size_t i = 0; i < sizeof content / sizeof content[0]; i++) {
        char place[32];
        snprintf(place, sizeof place, "place-%zu", i);
        fixture_command("mkdir -p %s", fixture_path(fixture, place));
        fixture_command("touch %s/%s", fixture_path(fixture, place), content[i]);
        expect_begin(fixture, place, ETX_EBUSY, "is not empty: name a new directory");
    }
    expect_begin(fixture, "log", ETX_EBUSY, "is in use by process");
    fixture_command("touch %s", fixture_path(fixture, "file"));
    expect_begin(fixture, "file", ETX_EINVALID, "cannot open");
    expect_begin(fixture, "other?partitions=7", ETX_EINVALID, "has the 1 partitions of its source");
    expect_begin(fixture, "other?partitions=x", ETX_EINVALID, "partitions");
    expect_begin(fixture, "no/such/place", ETX_ENOTFOUND, "no/such");
    calls_fail(CALL_LIST, 1, EMFILE, NULL);
    fixture_command("mkdir -p %s", fixture_path(fixture, "empty"));
    expect_begin(fixture, "empty", ETX_EIO, "cannot list");
}

/* Fills what was begun, and it has so many slots. */
static void finish_copy(log_copier *copier, int slots) {
    assert_int_equal(copier_fill(copier, 0), 0);
    assert_int_equal(copier_end(copier, 1), 0);
    assert_int_equal(subject_open(&copier->dest, ETX_LOG_NO_CREATE), 0);
    assert_int_equal(chain_check(&copier->dest, 0, 0, NULL), slots);
    copier->dest.ops->close(copier->dest.log, 1);
}

/* An unfinished copy is begun anew, but not beside who still makes it; and what its directory
 * refuses is told. */
static void test_a_copy_begun_anew(void **state) {
    log_fixture *fixture = *state;
    log_copier copier = copier_to(fixture, "copy?partitions=1");
    fixture_puts(fixture, 20, 4000);
    assert_int_equal(copier_begin(&copier), 0);
    assert_int_equal(copier_fill(&copier, 0), 0);
    expect_begin(fixture, "copy", ETX_EBUSY, "is in use by process");
    assert_int_equal(copier_end(&copier, 0), 0);
    calls_fail(CALL_RENAME, 1, EIO, "home");
    log_copier again = copier_to(fixture, "copy");
    int rc = copier_begin(&again);
    if (calls_now()->fault[CALL_RENAME].struck) {
        assert_int_equal(rc, ETX_EIO);
        calls_clear();
        rc = copier_begin(&again);
    }
    calls_clear();
    assert_int_equal(rc, 0);
    finish_copy(&again, 20);
}

/* A copy whose home was written and whose end was not is an unfinished one. */
static void test_a_copy_with_its_home(void **state) {
    log_fixture *fixture = *state;
    log_copier copier = copier_to(fixture, "copy");
    fixture_puts(fixture, 3, 100);
    assert_int_equal(copier_begin(&copier), 0);
    assert_int_equal(copier_fill(&copier, 0), 0);
    assert_int_equal(copier_end(&copier, 1), 0);
    fixture_command("touch %s", fixture_path(fixture, "copy/copying"));
    calls_fail(CALL_RENAME, 1, EIO, "home.tmp");
    expect_begin(fixture, "copy", ETX_EIO, "cannot begin");
    assert_int_equal(calls_now()->fault[CALL_RENAME].struck, 1);
    calls_clear();
    assert_int_equal(copier_begin(&copier), 0);
    finish_copy(&copier, 3);
}

/* One that was interrupted before it had a home. */
static void test_a_copy_without_its_home(void **state) {
    log_fixture *fixture = *state;
    log_copier copier = copier_to(fixture, "copy");
    fixture_puts(fixture, 3, 100);
    fixture_command("mkdir %s", fixture_path(fixture, "copy"));
    fixture_command("touch %s", fixture_path(fixture, "copy/copying"));
    assert_int_equal(copier_begin(&copier), 0);
    finish_copy(&copier, 3);
}

/* ---- slots */

/* Slots that the copy has no room for, and a disk that fails. */
static void test_slots_that_do_not_come(void **state) {
    log_fixture *fixture = *state;
    log_copier copier = copier_to(fixture, "copy?segment=1M");
    static uint8_t bytes[2 << 20];
    batch_fill(0, bytes, sizeof bytes);
    etx_put put = put_make(&fixture->chain, 0, bytes, sizeof bytes);
    etx_slot slot = {.nonce = put.nonce, .checksum = put.checksum, .batch = put.batch};
    fixture_puts(fixture, 5, 4000);
    assert_int_equal(copier_begin(&copier), 0);
    fixture_expect(&(log_fixture){.subject = copier.dest}, copier_slot(&copier, &slot),
                   ETX_EINVALID, "");
    assert_non_null(strstr(copier.dest.message, "choose a larger segment="));
    assert_int_equal(copier_end(&copier, 0), 0);
}

/* The n-th write or sync of it fails: what was made is no log, or it was one that nothing rests on,
 * and all is there. 1: it has not so many. */
static int copy_with(log_fixture *fixture, call_kind kind, int nth, int *ret_at_end) {
    char place[32];
    snprintf(place, sizeof place, "copy-%d-%d", kind, nth);
    log_copier copier = copier_to(fixture, place);
    assert_int_equal(copier_begin(&copier), 0);
    calls_fail_here(kind, nth, EIO);
    int fill_rc = copier_fill(&copier, 0);
    int end_rc = copier_end(&copier, fill_rc == 0);
    int rc = fill_rc ? fill_rc : end_rc;
    int is_over = !calls_now()->fault[kind].struck;
    calls_clear();
    if (rc) {
        assert_int_equal(rc, ETX_EIO);
        assert_int_not_equal(copier.dest.message[0], 0);
        *ret_at_end += strstr(copier.dest.message, "cannot finish partition 0 of ") != NULL;
        assert_int_not_equal(subject_open(&copier.dest, ETX_LOG_NO_CREATE), 0);
        return 0;
    }
    assert_int_equal(subject_open(&copier.dest, ETX_LOG_NO_CREATE), 0);
    assert_int_equal(chain_check(&copier.dest, 0, 0, NULL), 8);
    copier.dest.ops->close(copier.dest.log, 1);
    return is_over;
}

static void test_a_disk_that_fails(void **state) {
    static const call_kind kinds[] = {CALL_WRITE, CALL_SYNC};
    log_fixture *fixture = *state;
    int at_end = 0;
    fixture_puts(fixture, 8, 4000);
    for (size_t i = 0; i < 2; i++) {
        int nth = 1;
        while (!copy_with(fixture, kinds[i], nth, &at_end))
            nth++;
        assert_true(nth > 1);
    }
    assert_true(at_end > 0);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, calls_setup, calls_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        CASE(test_a_note_that_cannot_be_written),
        CASE(test_who_looks_is_told),
        CASE(test_taking_back),
        CASE(test_a_note_that_cannot_be_read),
        CASE(test_places_that_are_none),
        CASE(test_a_copy_begun_anew),
        CASE(test_a_copy_with_its_home),
        CASE(test_a_copy_without_its_home),
        CASE(test_slots_that_do_not_come),
        CASE(test_a_disk_that_fails),
    };
    return cmocka_run_group_tests_name("file_log_retire", tests, NULL, NULL);
}
