/* Who has the log: what is concluded where its process has lost the lock, where what /proc says of
 * it is odd, and where the system does not tell. */
#include "calls.h"
#include "fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* Another process that has the log open, and has lost its lock: it closed a descriptor of it. */
typedef struct holder {
    pid_t pid;
    int fd; /* it lives until this is closed */
    unsigned long long start;
} holder;

/* Gives `lock` a lower descriptor than the directory has. */
static void make_room(const char *name, void *user) {
    int *low = user;
    if (*low >= 0 && strcmp(name, "lock") == 0) {
        close(*low);
        *low = -1;
    }
}

static void hold(log_fixture *fixture, int low, int fd) {
    char byte = 0;
    calls_now()->user = &low;
    calls_now()->on_open = make_room;
    if (fixture_open(fixture, 0))
        _exit(1);
    close(open(fixture_path(fixture, "log/lock"), O_RDONLY));
    if (write(fd, &byte, 1) != 1)
        _exit(2);
    _exit(read(fd, &byte, 1) != 0);
}

static holder holder_start(log_fixture *fixture, int lock_first) {
    holder made;
    int ends[2];
    char byte;
    char line[65] = "";
    char *start = line;
    fixture_await(fixture, 2); /* it makes no segment, for which it would take the lock again */
    fixture_close(fixture, 1);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    made.pid = fork();
    if (made.pid == 0) {
        close(ends[0]);
        hold(fixture, lock_first ? open("/dev/null", O_RDONLY) : -1, ends[1]);
    }
    close(ends[1]);
    made.fd = ends[0];
    assert_int_equal(read(made.fd, &byte, 1), 1);
    int fd = open(fixture_path(fixture, "log/owner"), O_RDONLY);
    assert_int_equal(read(fd, line, 64), 64);
    close(fd);
    assert_int_equal(strtol(line, &start, 10), made.pid);
    made.start = strtoull(start, NULL, 10);
    fixture_command("cp '%s/log/owner' '%s/named'", fixture->subject.dir, fixture->subject.dir);
    return made;
}

static void holder_end(holder *done) {
    int status;
    close(done->fd);
    assert_int_equal(waitpid(done->pid, &status, 0), done->pid);
    assert_int_equal(status, 0);
}

/* Neither an open nor verify takes the log for free. */
static void is_kept(log_fixture *fixture, const holder *by, const char *words) {
    etx_file_report report = {.size = sizeof report};
    fixture_expect(fixture, fixture_open(fixture, 0), ETX_EBUSY, words);
    assert_int_equal(
        etx_log_file_verify(fixture_path(fixture, "log"), NULL, NULL, &report, NULL, 0), 0);
    assert_int_equal(report.in_use, 1);
    assert_int_equal(report.owner_pid, by->pid);
}

/* Whichever of its descriptors is found first, and whether `lock` is there or not: nobody comes
 * in. Nor where the system does not say what a descriptor is. */
static void test_a_lock_that_its_process_lost(void **state) {
    log_fixture *fixture = *state;
    for (int lock_first = 0; lock_first < 2; lock_first++) {
        holder other = holder_start(fixture, lock_first);
        is_kept(fixture, &other, "though its lock is gone");
        for (int at = 1, struck = 1; struck; at++) {
            calls_fail(CALL_STAT, at, EIO, NULL);
            assert_int_equal(fixture_open(fixture, 0), ETX_EBUSY);
            struck = calls_now()->fault[CALL_STAT].struck != 0;
            calls_clear();
        }
        fixture_command("rm '%s/log/lock'", fixture->subject.dir);
        is_kept(fixture, &other, "'lock' was removed");
        holder_end(&other);
        assert_int_equal(fixture_open(fixture, 0), 0);
    }
}

/* A name of the same length from another boot: a number of a process means nothing then. */
static void test_an_owner_of_another_boot(void **state) {
    log_fixture *fixture = *state;
    size_t len;
    holder other = holder_start(fixture, 0);
    is_kept(fixture, &other, "though its lock is gone");
    uint8_t *line = file_load(fixture_path(fixture, "log/owner"), &len);
    const uint8_t *boot = memchr(line, '-', len);
    assert_non_null(boot);
    file_spoil(fixture_path(fixture, "log/owner"), (uint64_t)(boot - line) - 1);
    free(line);
    assert_int_equal(fixture_open(fixture, 0), 0);
    holder_end(&other);
}

/* A line of /proc/PID/stat, whose program has a name of its own taste; cut after so many fields. */
static void stat_line(char text[256], char state, int threads, unsigned long long start, int cut) {
    int len = snprintf(text, 256, "1 (a) b) %c", state);
    for (int field = 4; field < cut; field++) {
        unsigned long long value = field == 20 ? (unsigned)threads : field == 22 ? start : 0;
        len += snprintf(text + len, 256 - (size_t)len, " %llu", value);
    }
}

/* A process of several threads whose first has ended looks like a zombie, and is none. */
static void test_what_proc_says(void **state) {
    log_fixture *fixture = *state;
    static const struct {
        char state;
        int threads;
        int fields;
        int lives;
    } rows[] = {{'S', 1, 53, 1}, {'Z', 2, 53, 1}, {'X', 2, 53, 1}, {'Z', 1, 53, 0},
                {'X', 1, 53, 0}, {'Z', 1, 20, 0}, {'S', 1, 22, 0}, {'S', 1, 23, 1}};
    holder other = holder_start(fixture, 0);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char text[256];
        stat_line(text, rows[i].state, rows[i].threads, other.start, rows[i].fields);
        calls_now()->proc = text;
        int rc = fixture_open(fixture, 0);
        calls_clear();
        assert_int_equal(rc, rows[i].lives ? ETX_EBUSY : 0);
        if (rc == 0)
            fixture_close(fixture, 1);
        fixture_command("cp '%s/named' '%s/log/owner'", fixture->subject.dir, fixture->subject.dir);
    }
    holder_end(&other);
}

/* Where there are no pid namespaces the name says so. */
static void test_no_namespace(void **state) {
    log_fixture *fixture = *state;
    unsigned named = 0;
    fixture_await(fixture, 2);
    for (int at = 1, struck = 1; struck; at++) {
        size_t len;
        fixture_close(fixture, 1);
        calls_fail(CALL_STAT_NAME, at, ENOENT, "/ns/pid");
        assert_int_equal(fixture_open(fixture, 0), 0);
        struck = calls_now()->fault[CALL_STAT_NAME].struck != 0;
        calls_clear();
        uint8_t *line = file_load(fixture_path(fixture, "log/owner"), &len);
        line[len] = 0;
        named += strstr((const char *)line, "-0\n") != NULL;
        free(line);
    }
    assert_int_equal(named, 1);
}

/* What the system may say of the lock. */
static void test_locks(void **state) {
    log_fixture *fixture = *state;
    const char *dir = fixture->subject.dir;
    fixture_close(fixture, 1);
    calls_fail(CALL_FLOCK, 1, EINTR, NULL);
    assert_int_equal(fixture_open(fixture, 0), 0);
    fixture_close(fixture, 1);
    calls_fail(CALL_FLOCK, 1, ENOLCK, NULL);
    fixture_expect(fixture, fixture_open(fixture, 0), ETX_EIO, "cannot look at the lock");
    calls_fail(CALL_FCNTL, 1, ENOLCK, NULL);
    fixture_expect(fixture, fixture_open(fixture, 0), ETX_EIO, "cannot lock");
    fixture_command("echo '4711 99' > '%s/log/owner'", dir);
    calls_fail(CALL_FCNTL, 1, EACCES, NULL);
    calls_now()->lock_is = 1; /* gone before we could ask whose it is */
    fixture_expect(fixture, fixture_open(fixture, 0), ETX_EBUSY, "in use by the process 4711");
    calls_fail(CALL_FCNTL, 1, EACCES, NULL);
    calls_now()->lock_is = 3; /* it cannot be asked */
    fixture_expect(fixture, fixture_open(fixture, 0), ETX_EBUSY, "in use by the process 4711");
    calls_fail(CALL_FCNTL, 1, EAGAIN, NULL);
    calls_now()->lock_is = 2; /* of a process that has no number here */
    fixture_expect(fixture, fixture_open(fixture, 0), ETX_EBUSY, "in use by the process 4711");
    etx_file_report report = {.size = sizeof report};
    assert_int_equal(
        etx_log_file_verify(fixture_path(fixture, "log"), NULL, NULL, &report, NULL, 0), 0);
    assert_int_equal(report.in_use, 1);
    assert_int_equal(report.owner_pid, 0);
}

static void no_sleep(void *user) {
    (void)user;
}

/* Somebody who looks, and never ends. */
static void test_a_guard_that_is_never_free(void **state) {
    log_fixture *fixture = *state;
    fixture_close(fixture, 1);
    int fd = open(fixture_path(fixture, "log"), O_RDONLY | O_DIRECTORY);
    assert_true(fd >= 0);
    fixture_command("flock -n -x '%s/log' true", fixture->subject.dir);
    assert_int_equal(flock(fd, LOCK_EX), 0);
    calls_now()->on_sleep = no_sleep;
    fixture_expect(fixture, fixture_open(fixture, 0), ETX_EBUSY, "cannot look at the lock");
    assert_int_equal(calls_now()->sleeps, 500);
    close(fd);
    assert_int_equal(fixture_open(fixture, 0), 0);
}

/* `owner` where nobody's process is named: it counts for nothing. */
static void test_owners_that_are_none(void **state) {
    log_fixture *fixture = *state;
    char own[40];
    const char *none[] = {"0 5", "4711", "4194000 7", own};
    uint64_t count;
    snprintf(own, sizeof own, "%d 7", (int)getpid()); /* our number, another start */
    fixture_close(fixture, 1);
    for (int i = 0; i < 4; i++) {
        fixture_command("rm -f '%s/log/lock'; echo '%s' > '%s/log/owner'", fixture->subject.dir,
                        none[i], fixture->subject.dir);
        assert_int_equal(fixture_read(fixture, 0, &count), 0);
    }
    /* What /proc says is no line of a process: then its start is not known. */
    calls_now()->proc = "no brackets";
    fixture_command("rm '%s/log/lock'; echo '1 5' > '%s/log/owner'", fixture->subject.dir,
                    fixture->subject.dir);
    assert_int_equal(fixture_read(fixture, 0, &count), 0);
    calls_now()->proc = "1 (init) S too short";
    assert_int_equal(fixture_read(fixture, 0, &count), 0);
    calls_now()->proc = NULL;
    calls_fail(CALL_READ, 1, EIO, NULL); /* of /proc: nothing is read before it */
    assert_int_equal(fixture_read(fixture, 0, &count), 0);
    assert_int_equal(calls_now()->fault[CALL_READ].struck, 1);
    calls_fail(CALL_OPEN, 1, ENFILE, "/stat");
    assert_int_equal(fixture_read(fixture, 0, &count), 0);
    assert_int_equal(calls_now()->fault[CALL_OPEN].struck, 1);
}

/* Whether we have it open ourselves cannot be told: then it is taken as open. */
static void test_descriptors_that_cannot_be_listed(void **state) {
    log_fixture *fixture = *state;
    etx_log *held = fixture->subject.log;
    calls_fail(CALL_LIST, 1, EMFILE, "/proc/self/fd");
    fixture_expect(fixture, fixture_open(fixture, 0), ETX_EBUSY, "by this process");
    calls_fail(CALL_STAT_NAME, 1, ENOENT, "0"); /* one that was closed meanwhile */
    fixture_expect(fixture, fixture_open(fixture, 0), ETX_EBUSY, "by this process");
    fixture->subject.log = held;
    fixture_puts(fixture, 1, 10);
}

/* `lock` was removed, and it cannot be found out whether the directory is ours still: no new
 * segment is begun; once it can, the log goes on. */
static void test_a_removed_lock(void **state) {
    log_fixture *fixture = *state;
    fixture_await(fixture, 2);
    for (int i = 0; i < 2; i++) {
        fixture_command("rm '%s/log/lock'", fixture->subject.dir);
        calls_fail(i ? CALL_FCNTL : CALL_FLOCK, 1, i ? EAGAIN : ENOLCK, NULL);
        for (int k = 0; !calls_now()->fault[i ? CALL_FCNTL : CALL_FLOCK].struck && k < 200; k++)
            fixture_puts(fixture, 1, 20000);
        calls_clear();
        fixture_puts(fixture, 100, 20000);
    }
    assert_true(chain_check(&fixture->subject, 0, 0, NULL) > 200);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, calls_setup, calls_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        CASE(test_a_lock_that_its_process_lost),
        CASE(test_an_owner_of_another_boot),
        CASE(test_what_proc_says),
        CASE(test_no_namespace),
        CASE(test_locks),
        CASE(test_a_guard_that_is_never_free),
        CASE(test_owners_that_are_none),
        CASE(test_descriptors_that_cannot_be_listed),
        CASE(test_a_removed_lock),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
