/* Files of a log damaged, lost, swapped, cut, foreign or too new: refused in words that name the
 * file, or harmless; never other bytes than were put. */
#include "fixture.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* Five segments' worth, trimmed in the first, closed cleanly: slots 30 to 139. */
static uint64_t damage_make(log_fixture *fixture) {
    fixture_puts(fixture, 140, 30000);
    assert_int_equal(fixture->subject.ops->trim(fixture->subject.log, 0, 30), 0);
    fixture_puts(fixture, 2, 100);
    fixture_close(fixture, 1);
    fixture_command("cp -r '%s/log' '%s/saved'", fixture->subject.dir, fixture->subject.dir);
    return 112;
}

static void restore(log_fixture *fixture) {
    fixture_command("rm -rf '%s/log' && cp -r '%s/saved' '%s/log'", fixture->subject.dir,
                    fixture->subject.dir, fixture->subject.dir);
}

static void expect_refused(log_fixture *fixture, int wanted, const char *word) {
    uint64_t count;
    int rc = fixture_read(fixture, ETX_LOG_READ_ONLY, &count);
    assert_int_equal(rc, wanted);
    if (word && !strstr(fixture->subject.message, word)) {
        print_message("%s\n", fixture->subject.message);
        fail();
    }
    rc = fixture_read(fixture, 0, &count);
    assert_int_equal(rc, wanted);
}

/* One flip. 1 if it was refused; else everything must be there. */
static int flip(log_fixture *fixture,
                const char *path,
                const uint8_t *bytes,
                uint64_t at,
                int bit) {
    uint8_t changed = (uint8_t)(bytes[at] ^ 1 << bit);
    uint64_t count;
    file_patch(path, at, &changed, 1);
    int rc = fixture_read(fixture, ETX_LOG_READ_ONLY, &count);
    file_patch(path, at, &bytes[at], 1);
    if (rc == 0) {
        assert_int_equal(count, 112);
        return 0;
    }
    assert_int_equal(rc, ETX_ECORRUPT);
    assert_non_null(strstr(fixture->subject.message, "at byte"));
    assert_non_null(strstr(fixture->subject.message, strrchr(path, '/') + 1));
    return 1;
}

static void flip_file(log_fixture *fixture,
                      const char *name,
                      uint64_t below,
                      int rounds,
                      int refused) {
    char path[300];
    uint64_t random = below;
    size_t len;
    snprintf(path, sizeof path, "%s", fixture_path(fixture, name));
    uint8_t *bytes = file_load(path, &len);
    if (below > len)
        below = len;
    for (int i = 0; i < rounds; i++) {
        uint64_t at = random_next(&random) % below;
        int was_refused = flip(fixture, path, bytes, at, (int)(random_next(&random) % 8));
        if (refused)
            assert_true(was_refused);
    }
    free(bytes);
}

static void test_bit_flips(void **state) {
    log_fixture *fixture = *state;
    char last[64];
    damage_make(fixture);
    snprintf(last, sizeof last, "log/p00-%08u.seg", fixture_last_segment(fixture));
    flip_file(fixture, "log/home", 512, 60, 1);
    flip_file(fixture, "log/p00.state", 512, 40, 1);
    flip_file(fixture, "log/p00.state", 8192, 20, 0);
    flip_file(fixture, "log/p00-00000002.seg", 4096, 40, 1);
    flip_file(fixture, "log/p00-00000002.seg", 4096 + 28 * 32768, 120, 1);
    flip_file(fixture, last, 4096 + 5 * 32768, 120, 1);
    flip_file(fixture, last, 1 << 20, 60, 0);
    flip_file(fixture, "log/owner", 64, 3, 0);
}

static void test_segment_gone(void **state) {
    log_fixture *fixture = *state;
    damage_make(fixture);
    uint32_t last = fixture_last_segment(fixture);
    for (uint32_t number = 1; number <= last; number++) {
        char name[64];
        struct stat stat_;
        snprintf(name, sizeof name, "log/p00-%08u.seg", number);
        if (stat(fixture_path(fixture, name), &stat_))
            continue; /* below the mark, recycled */
        assert_int_equal(unlink(fixture_path(fixture, name)), 0);
        expect_refused(fixture, ETX_ECORRUPT, "missing");
        restore(fixture);
    }
    fixture_command("rm -f '%s'/log/*.seg", fixture->subject.dir);
    expect_refused(fixture, ETX_ECORRUPT, "missing");
    restore(fixture);
    fixture_command("rm -f '%s'/log/home", fixture->subject.dir);
    expect_refused(fixture, ETX_ECORRUPT, "home is missing");
    restore(fixture);
    fixture_command("rm -f '%s'/log/p00.state", fixture->subject.dir);
    expect_refused(fixture, ETX_ECORRUPT, "p00.state");
}

/* Also without a clean close: the spare behind it gives the loss away. */
static void test_last_segment_gone_unclean(void **state) {
    log_fixture *fixture = *state;
    char name[64];
    uint32_t last;
    fixture_puts(fixture, 60, 30000);
    last = fixture_last_segment(fixture);
    snprintf(name, sizeof name, "log/p00-%08u.seg", last);
    fixture_await(fixture, last + 1);
    fixture_close(fixture, 0);
    assert_int_equal(unlink(fixture_path(fixture, name)), 0);
    expect_refused(fixture, ETX_ECORRUPT, "missing");
}

/* The greater of the settled marks in the state file's two copies. */
static uint64_t settled_of(log_fixture *fixture) {
    size_t len = 0;
    uint8_t *bytes = file_load(fixture_path(fixture, "log/p00.state"), &len);
    uint64_t most = 0;
    for (size_t at = 40; at + 8 <= len; at += 4096) {
        uint64_t found = 0;
        for (size_t i = 8; i-- > 0;)
            found = found << 8 | bytes[at + i];
        most = found > most ? found : most;
    }
    free(bytes);
    return most;
}

/* ... and without a spare: the settled mark does, which the helper advances in each segment that
 * is begun. Here the process dies right after; nothing was closed. */
static void test_begun_segments_gone(void **state) {
    log_fixture *fixture = *state;
    fixture_puts(fixture, 1, 30000);
    for (uint32_t round = 0; round < 3; round++) {
        uint32_t last = fixture_last_segment(fixture);
        uint64_t count;
        while (fixture_last_segment(fixture) == last) /* ... and its first group is put */
            fixture_puts(fixture, 1, 30000);
        for (int i = 0; settled_of(fixture) < fixture->chain.next; i++) {
            assert_true(i < 6000);
            usleep(10000);
        }
        assert_int_equal(settled_of(fixture), fixture->chain.next);
        fixture_close(fixture, 0);
        fixture_command("rm -rf '%s/saved'; cp -r '%s/log' '%s/saved'", fixture->subject.dir,
                        fixture->subject.dir, fixture->subject.dir);
        for (uint32_t from = last + 1; from > 0 && from + 2 > last; from--) {
            fixture_command(
                "cd '%s/log' && for n in *.seg; do "
                "[ $n '<' p00-%08u.seg ] || rm $n; done",
                fixture->subject.dir, from);
            expect_refused(fixture, ETX_ECORRUPT, "missing");
            assert_null(strstr(fixture->subject.message, "18446744073709551615"));
        }
        restore(fixture);
        assert_int_equal(fixture_read(fixture, 0, &count), 0);
        assert_int_equal(count, fixture->chain.next);
        fixture_command("rm -rf '%s/log'; mv '%s/saved' '%s/log'", fixture->subject.dir,
                        fixture->subject.dir, fixture->subject.dir);
        assert_int_equal(fixture_open(fixture, 0), 0);
    }
}

/* A log of before, which has settled nothing: opened, it does. */
static void test_settled_at_open(void **state) {
    log_fixture *fixture = *state;
    fixture_command("cp '%s/log/p00.state' '%s/kept'", fixture->subject.dir, fixture->subject.dir);
    fixture_puts(fixture, 3, 100);
    fixture_close(fixture, 0);
    fixture_command("cp '%s/kept' '%s/log/p00.state'", fixture->subject.dir, fixture->subject.dir);
    assert_int_equal(fixture_open(fixture, 0), 0);
    for (int i = 0; settled_of(fixture) < 3; i++) {
        assert_true(i < 6000);
        usleep(10000);
    }
    fixture_puts(fixture, 3, 100);
}

/* No file of a directory is waited for that is none: a FIFO would be for ever. */
static void test_fifos(void **state) {
    log_fixture *fixture = *state;
    static const char *const names[] = {"home", "lock", "owner", "p00.state", "p00-00000001.seg"};
    const char *dir = fixture->subject.dir;
    damage_make(fixture);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        etx_file_report report = {.size = sizeof report};
        char message[400] = "";
        uint64_t count;
        fixture_command("rm -f '%s/log/%s' && mkfifo '%s/log/%s'", dir, names[i], dir, names[i]);
        assert_int_not_equal(fixture_read(fixture, 0, &count), 0);
        if (!strstr(fixture->subject.message, "no regular file") ||
            !strstr(fixture->subject.message, names[i]))
            fail_msg("%s", fixture->subject.message);
        etx_log_file_verify(fixture_path(fixture, "log"), NULL, NULL, &report, message,
                            sizeof message);
        char source[320];
        snprintf(source, sizeof source, "%s", fixture_path(fixture, "log"));
        etx_log_file_repair(source, fixture_path(fixture, "mended"), 0, NULL, NULL, &report,
                            message, sizeof message);
        fixture_command("rm -rf '%s/mended'", dir);
        restore(fixture);
    }
}

/* What the words say to do is what helps. */
static void test_words_that_help(void **state) {
    log_fixture *fixture = *state;
    log_subject *subject = &fixture->subject;
    uint64_t count;
    struct rlimit limit;
    fixture_close(fixture, 1);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    rlim_t before = limit.rlim_cur;
    int next = open("/dev/null", O_RDONLY);
    close(next);
    for (int more = 1; more < 8; more++) {
        limit.rlim_cur = (rlim_t)(next + more);
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
        int rc = fixture_read(fixture, 0, &count);
        limit.rlim_cur = before;
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
        if (rc == 0)
            break;
        if (!strstr(subject->message, "ulimit -n"))
            fail_msg("%d more: %s", more, subject->message);
    }
    snprintf(subject->url, sizeof subject->url, "file:/proc/no-such-thing");
    assert_int_equal(fixture_open(fixture, 0), ETX_EINVALID);
    assert_non_null(strstr(subject->message, "no directory can be made in /proc"));
    snprintf(subject->url, sizeof subject->url, "file:/nowhere/at/all");
    assert_int_equal(fixture_open(fixture, 0), ETX_ENOTFOUND);
    assert_non_null(strstr(subject->message, "mkdir -p"));
}

/* A limit of file sizes is an error that is told, and no signal. */
static void test_limited_file_size(void **state) {
    log_fixture *fixture = *state;
    fixture_close(fixture, 1);
    pid_t pid = fork();
    if (pid == 0) {
        const struct rlimit limit = {.rlim_cur = 1 << 19, .rlim_max = RLIM_INFINITY};
        log_subject *subject = &fixture->subject;
        setrlimit(RLIMIT_CORE, &(struct rlimit){0});
        setrlimit(RLIMIT_FSIZE, &limit);
        snprintf(subject->url, sizeof subject->url, "file:%s/other", subject->dir);
        _exit(fixture_open(fixture, 0) == ETX_EFULL && strstr(subject->message, "ulimit -f") ? 0
                                                                                             : 1);
    }
    int status;
    waitpid(pid, &status, 0);
    assert_int_equal(status, 0);
}

static void test_segments_mixed_up(void **state) {
    log_fixture *fixture = *state;
    const char *dir = fixture->subject.dir;
    damage_make(fixture);
    fixture_command(
        "cd '%s/log' && mv p00-00000002.seg x && mv p00-00000003.seg p00-00000002.seg "
        "&& mv x p00-00000003.seg",
        dir);
    expect_refused(fixture, ETX_ECORRUPT, "another segment under this name: of p00-00000003.seg;");
    restore(fixture);
    fixture_command("cd '%s/log' && cp p00-00000002.seg p00-00000003.seg", dir);
    expect_refused(fixture, ETX_ECORRUPT, "another segment");
    restore(fixture);
    fixture_command("cd '%s/log' && cp p00-00000003.seg p00-00000099.seg", dir);
    expect_refused(fixture, ETX_ECORRUPT, "p00-00000099.seg");
    restore(fixture);
    fixture_command("cd '%s/log' && cp p00-00000003.seg p01-00000003.seg", dir);
    expect_refused(fixture, ETX_ECORRUPT, "partition 1");
    restore(fixture);
    fixture_command("cd '%s/log' && truncate -s 500000 p00-00000003.seg", dir);
    expect_refused(fixture, ETX_ECORRUPT, "p00-00000003.seg at byte 500000");
    restore(fixture);
    fixture_command("cd '%s/log' && : > p00-00000003.seg", dir);
    expect_refused(fixture, ETX_ECORRUPT, "p00-00000003.seg");
    restore(fixture);
    fixture_command("cd '%s/log' && truncate -s +4096 p00-00000003.seg", dir);
    expect_refused(fixture, ETX_ECORRUPT, "p00-00000003.seg");
}

static void test_other_log(void **state) {
    log_fixture *fixture = *state;
    const char *dir = fixture->subject.dir;
    log_subject other = fixture->subject;
    log_chain chain = {.subject = &other, .nonce = 1};
    uint8_t bytes[100];
    damage_make(fixture);
    snprintf(other.url, sizeof other.url, "file:%s/other?partitions=1&segment=1M", dir);
    assert_int_equal(subject_open(&other, 0), 0);
    batch_fill(0, bytes, sizeof bytes);
    assert_int_equal(chain_put(&chain, bytes, sizeof bytes), ETX_PUT_WRITTEN);
    other.ops->close(other.log, 1);
    fixture_command("cp '%s/other/p00-00000001.seg' '%s/log/p00-00000003.seg'", dir, dir);
    expect_refused(fixture, ETX_ECORRUPT, "another log");
    restore(fixture);
    fixture_command("cp '%s/other/p00.state' '%s/log/'", dir, dir);
    expect_refused(fixture, ETX_ECORRUPT, "p00.state");
    restore(fixture);
    fixture_command("cp '%s/other/home' '%s/log/'", dir, dir);
    expect_refused(fixture, ETX_ECORRUPT, NULL);
}

static void test_foreign_file(void **state) {
    log_fixture *fixture = *state;
    const char *dir = fixture->subject.dir;
    uint64_t count;
    damage_make(fixture);
    fixture_command("echo hello > '%s/log/notes.txt'", dir);
    expect_refused(fixture, ETX_EINVALID, "notes.txt");
    fixture_command("rm '%s/log/notes.txt' && mkdir '%s/log/lost+found'", dir, dir);
    assert_int_equal(fixture_read(fixture, 0, &count), 0);
    assert_int_equal(count, 112);
    fixture_command("rm -rf '%s/log' && mkdir '%s/log' && touch '%s/log/.profile'", dir, dir, dir);
    assert_int_equal(fixture_open(fixture, 0), ETX_EINVALID);
    assert_non_null(strstr(fixture->subject.message, ".profile"));
    fixture_command("test $(ls -A '%s/log' | wc -l) = 1", dir); /* nothing was put into it */
}

/* A sector with another format version, sealed as every version seals it. */
static void version_patch(const char *path, uint64_t at) {
    size_t len;
    uint8_t *bytes = file_load(path, &len);
    bytes[at + 8] = 2;
    uint32_t crc = etx_crc32c(0, bytes + at, 508);
    for (int i = 0; i < 4; i++)
        bytes[at + 508 + (size_t)i] = (uint8_t)(crc >> 8 * i);
    file_patch(path, at, bytes + at, 512);
    free(bytes);
}

static void test_newer_version(void **state) {
    log_fixture *fixture = *state;
    damage_make(fixture);
    version_patch(fixture_path(fixture, "log/home"), 0);
    expect_refused(fixture, ETX_EVERSION, "newer version");
    restore(fixture);
    version_patch(fixture_path(fixture, "log/p00.state"), 0);
    expect_refused(fixture, ETX_EVERSION, "newer version");
    restore(fixture);
    version_patch(fixture_path(fixture, "log/p00-00000003.seg"), 0);
    expect_refused(fixture, ETX_EVERSION, "newer version");
}

/* A whole group behind a torn one is no tear. */
static void test_group_behind_a_bad_one(void **state) {
    log_fixture *fixture = *state;
    const uint8_t zeros[4096] = {0};
    fixture_puts(fixture, 10, 100);
    fixture_close(fixture, 0);
    for (uint64_t slot = 0; slot < 9; slot++) {
        const char *path = fixture_path(fixture, "log/p00-00000001.seg");
        size_t len;
        uint8_t *bytes = file_load(path, &len);
        file_patch(path, 4096 + slot * 4096, zeros, sizeof zeros);
        expect_refused(fixture, ETX_ECORRUPT, "p00-00000001.seg at byte");
        file_patch(path, 4096 + slot * 4096, bytes + 4096 + slot * 4096, 4096);
        free(bytes);
    }
}

static void test_options_at_reopen(void **state) {
    log_fixture *fixture = *state;
    uint64_t count;
    fixture_close(fixture, 1);
    snprintf(fixture->subject.url, sizeof fixture->subject.url, "file:%s/log?partitions=2",
             fixture->subject.dir);
    expect_refused(fixture, ETX_EINVALID, "partitions=1");
    snprintf(fixture->subject.url, sizeof fixture->subject.url, "file:%s/log?segment=2M",
             fixture->subject.dir);
    expect_refused(fixture, ETX_EINVALID, "segment=1024K");
    snprintf(fixture->subject.url, sizeof fixture->subject.url, "file:%s/log",
             fixture->subject.dir);
    assert_int_equal(fixture_read(fixture, 0, &count), 0);
    snprintf(fixture->subject.url, sizeof fixture->subject.url, "file:%s/no/such/dir",
             fixture->subject.dir);
    assert_int_equal(fixture_open(fixture, 0), ETX_ENOTFOUND);
    assert_non_null(strstr(fixture->subject.message, "mkdir"));
}

/* Somebody's directory is no log that has a foreign file in it: unless one is to be made there. */
static void test_no_log_there(void **state) {
    log_fixture *fixture = *state;
    uint64_t count;
    fixture_close(fixture, 1);
    fixture_command("rm -r '%s/log' && mkdir '%s/log' && touch '%s/log/hosts'",
                    fixture->subject.dir, fixture->subject.dir, fixture->subject.dir);
    assert_int_equal(fixture_read(fixture, ETX_LOG_READ_ONLY, &count), ETX_ENOTFOUND);
    assert_non_null(strstr(fixture->subject.message, "there is no log at"));
    assert_int_equal(fixture_open(fixture, ETX_LOG_NO_CREATE), ETX_ENOTFOUND);
    assert_int_equal(fixture_open(fixture, 0), ETX_EINVALID);
    assert_non_null(strstr(fixture->subject.message, "'hosts'"));
}

/* A making that was interrupted is made anew. */
static void test_interrupted_making(void **state) {
    log_fixture *fixture = *state;
    uint64_t count;
    fixture_close(fixture, 0);
    fixture_command("cd '%s/log' && mv home home.tmp", fixture->subject.dir);
    assert_int_equal(fixture_read(fixture, ETX_LOG_READ_ONLY, &count), ETX_ENOTFOUND);
    assert_int_equal(fixture_read(fixture, 0, &count), 0);
    fixture_command("cd '%s/log' && test -e home && ! test -e home.tmp", fixture->subject.dir);
}

/* Of a making that was interrupted no segment holds anything: here one does, so it is damage, and
 * where is said. */
static void test_interrupted_making_with_more(void **state) {
    log_fixture *fixture = *state;
    fixture_close(fixture, 0);
    fixture_command("cd '%s/log' && mv home home.tmp", fixture->subject.dir);
    file_spoil(fixture_path(fixture, "log/p00-00000001.seg"), 4393);
    expect_refused(fixture, ETX_ECORRUPT, "/log/p00-00000001.seg at byte 4096");
    fixture_command("cd '%s/log' && ! test -e home && test -e home.tmp", fixture->subject.dir);
}

static void test_modes(void **state) {
    log_fixture *fixture = *state;
    struct stat found;
    assert_int_equal(stat(fixture_path(fixture, "log"), &found), 0);
    assert_int_equal(found.st_mode & 0777, 0700);
    assert_int_equal(stat(fixture_path(fixture, "log/p00-00000001.seg"), &found), 0);
    assert_int_equal(found.st_mode & 0777, 0600);
    assert_int_equal(stat(fixture_path(fixture, "log/home"), &found), 0);
    assert_int_equal(found.st_mode & 0777, 0600);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        CASE(test_bit_flips),
        CASE(test_segment_gone),
        CASE(test_last_segment_gone_unclean),
        CASE(test_begun_segments_gone),
        CASE(test_settled_at_open),
        CASE(test_fifos),
        CASE(test_words_that_help),
        CASE(test_limited_file_size),
        CASE(test_segments_mixed_up),
        CASE(test_other_log),
        CASE(test_foreign_file),
        CASE(test_newer_version),
        CASE(test_group_behind_a_bad_one),
        CASE(test_options_at_reopen),
        CASE(test_no_log_there),
        CASE(test_interrupted_making),
        CASE(test_interrupted_making_with_more),
        CASE(test_modes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
