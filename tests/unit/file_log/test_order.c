/* The order in which the file log touches its disk: what must be durable is, before anything rests
 * on it. */
#include "disk.h"
#include "fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void expect_nothing_wrong(void) {
    if (disk_now()->wrong[0])
        fail_msg("%s", disk_now()->wrong);
}

/* Whenever a put is acknowledged its bytes are synced, in a file whose name is. */
static void test_written_is_durable(void **state) {
    log_fixture *fixture = *state;
    fixture_close(fixture, 1);
    disk_watch();
    assert_int_equal(fixture_open(fixture, 0), 0);
    for (int i = 0; i < 250; i++) {
        disk_mark();
        fixture_puts(fixture, 1, 20000);
        for (unsigned f = 0; f < disk_now()->files; f++) {
            const disk_file *file = &disk_now()->file[f];
            if (strstr(file->name, ".seg") && file->writes && file->lowest >= 4096)
                assert_false(file->unsynced || file->name_loose);
        }
        expect_nothing_wrong();
    }
    disk_end();
}

/* Neither a segment nor a state file gets its name before its content is synced. */
static void test_names_come_last(void **state) {
    log_fixture *fixture = *state;
    disk_watch();
    fixture_puts(fixture, 250, 20000);
    fixture_await(fixture, fixture_last_segment(fixture) + 1);
    expect_nothing_wrong();
    fixture_close(fixture, 1);
    fixture_command("rm -rf '%s/log'", fixture->subject.dir);
    assert_int_equal(fixture_open(fixture, 0), 0);
    expect_nothing_wrong();
    disk_end();
}

/* A recycled segment is not written anew while a crash could bring its old number back. */
static void test_old_numbers_are_gone(void **state) {
    log_fixture *fixture = *state;
    const etx_log_ops *ops = fixture->subject.ops;
    unsigned recycled = 0;
    disk_watch();
    for (int round = 0; round < 8; round++) {
        fixture_puts(fixture, 60, 20000);
        assert_int_equal(ops->trim(fixture->subject.log, 0, fixture->chain.next - 2), 0);
        usleep(20000);
        for (unsigned f = 0; f < disk_now()->files; f++)
            recycled += strstr(disk_now()->file[f].before, "spare") != NULL;
    }
    assert_true(recycled > 0);
    expect_nothing_wrong();
    disk_end();
}

/* A trim comes back with its mark durable: only then may anything be deleted. */
static void test_the_mark_comes_first(void **state) {
    log_fixture *fixture = *state;
    const etx_log_ops *ops = fixture->subject.ops;
    fixture_puts(fixture, 120, 20000);
    disk_watch();
    for (uint64_t below = 1; below < 100; below += 9) {
        disk_mark();
        assert_int_equal(ops->trim(fixture->subject.log, 0, below), 0);
        const disk_file *file = disk_find("p00.state");
        assert_non_null(file);
        assert_int_equal(file->writes, 1);
        assert_false(file->unsynced);
    }
    disk_end();
}

/* Also where it was made anew, since its file had failed: that one's name is durable by then. */
static void test_a_mark_made_anew_is_durable(void **state) {
    log_fixture *fixture = *state;
    const etx_log_ops *ops = fixture->subject.ops;
    fixture_puts(fixture, 120, 20000);
    assert_int_equal(ops->trim(fixture->subject.log, 0, 3), 0);
    disk_watch();
    disk_now()->sync_error = EIO;
    assert_int_equal(ops->trim(fixture->subject.log, 0, 5), ETX_EIO);
    assert_int_equal(ops->trim(fixture->subject.log, 0, 10), 0); /* no segment goes by that */
    const disk_file *file = disk_find("p00.state");
    assert_non_null(file);
    assert_string_equal(file->before, "p00.state.tmp");
    assert_false(file->unsynced);
    assert_false(file->name_loose);
    disk_end();
}

/* After a crash the last group is written again over itself, before anything acts on it: what was
 * read may never have reached the disk. Not after a clean close. */
static void test_what_is_read_back_is_written_again(void **state) {
    log_fixture *fixture = *state;
    uint64_t groups = 0;
    for (int clean = 0; clean < 2; clean++) {
        fixture_puts(fixture, 3, 5000);
        groups += 3;
        fixture_close(fixture, clean);
        disk_watch();
        assert_int_equal(fixture_open(fixture, 0), 0);
        const disk_file *file = disk_find("p00-00000001.seg");
        if (clean) {
            assert_true(file == NULL || file->writes == 0);
        } else {
            assert_non_null(file);
            assert_int_equal(file->lowest, 4096 + (groups - 1) * 8192);
            assert_false(file->unsynced);
        }
        disk_end();
        assert_int_equal(chain_check(&fixture->subject, 0, 0, NULL), groups);
    }
}

/* A name that a process gave which died before it was durable is there to see, and may be gone
 * tomorrow: it is durable before anything is written under it. */
static void test_names_found_are_made_durable(void **state) {
    log_fixture *fixture = *state;
    static const char name[] = "p00-00000001.seg";
    fixture_puts(fixture, 3, 5000);
    fixture_close(fixture, 0);
    int dir = open(fixture_path(fixture, "log"), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(dir >= 0);
    disk_watch();
    assert_int_equal(renameat(dir, name, dir, "aside.tmp"), 0);
    assert_int_equal(renameat(dir, "aside.tmp", dir, name), 0);
    close(dir);
    assert_int_equal(fixture_open(fixture, 0), 0);
    expect_nothing_wrong();
    disk_end();
    assert_int_equal(chain_check(&fixture->subject, 0, 0, NULL), 3);
}

/* So is a trim mark that is found: only then do segments go by it. */
static void test_a_mark_found_is_made_durable(void **state) {
    log_fixture *fixture = *state;
    fixture_puts(fixture, 120, 20000);
    assert_int_equal(fixture->subject.ops->trim(fixture->subject.log, 0, 100), 0);
    fixture_close(fixture, 0);
    disk_watch();
    assert_int_equal(fixture_open(fixture, 0), 0);
    const disk_file *file = disk_find("p00.state");
    assert_non_null(file);
    assert_true(file->writes > 0);
    assert_false(file->unsynced);
    disk_end();
    assert_int_equal(chain_check(&fixture->subject, 0, 0, NULL), 20);
}

/* Each read of an open, and of a get behind it, fails in turn: it is an error, and nothing is
 * called damaged, cut or lost. */
static void test_a_read_error_is_no_damage(void **state) {
    log_fixture *fixture = *state;
    static const int errors[] = {EIO, EACCES};
    uint64_t count;
    int failed = 1;
    fixture_puts(fixture, 60, 20000);
    fixture_close(fixture, 0);
    for (int at = 0; failed && at < 200; at++) {
        disk_now()->read_error = errors[at % 2];
        disk_now()->read_fails = at;
        int rc = fixture_read(fixture, at % 3 == 2 ? ETX_LOG_READ_ONLY : 0, &count);
        failed = disk_now()->read_fails < 0;
        disk_now()->read_fails = -1;
        if (failed && rc != 0) /* a lock's owner that cannot be read is no owner */
            assert_int_equal(rc, ETX_EIO);
        assert_true(rc != 0 || count == 60);
        assert_int_equal(fixture_read(fixture, 0, &count), 0);
        assert_int_equal(count, 60);
    }
    assert_false(failed);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

/* A backup that is told as done holds its slots also where the machine loses power then. */
static void test_a_backup_is_durable(void **state) {
    log_fixture *fixture = *state;
    etx_file_report report = {.size = sizeof report};
    char dest[300];
    char message[400] = "";
    unsigned segments = 0;
    fixture_puts(fixture, 120, 20000);
    snprintf(dest, sizeof dest, "%s/copy", fixture->subject.dir);
    disk_watch();
    assert_int_equal(etx_log_file_backup(fixture_path(fixture, "log"), dest, 1, &report, message,
                                         sizeof message),
                     0);
    for (unsigned f = 0; f < disk_now()->files; f++) {
        const disk_file *file = &disk_now()->file[f];
        if (strstr(file->name, ".seg") && file->writes) {
            assert_false(file->unsynced || file->name_loose);
            segments++;
        }
    }
    assert_true(segments > 1);
    expect_nothing_wrong();
    disk_end();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        CASE(test_written_is_durable),           CASE(test_names_come_last),
        CASE(test_old_numbers_are_gone),         CASE(test_the_mark_comes_first),
        CASE(test_a_mark_made_anew_is_durable),  CASE(test_what_is_read_back_is_written_again),
        CASE(test_names_found_are_made_durable), CASE(test_a_mark_found_is_made_durable),
        CASE(test_a_read_error_is_no_damage),    CASE(test_a_backup_is_durable),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
