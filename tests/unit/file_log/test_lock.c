/* The lock of a log's directory: against other processes, against ourselves, and not against those
 * who come after a process that is dead. */
#include "fixture.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void test_second_open_here(void **state) {
    log_fixture *fixture = *state;
    log_subject second = fixture->subject;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(subject_open(&second, 0), ETX_EBUSY);
        assert_non_null(strstr(second.message, "this process"));
    }
    fixture_puts(fixture, 1, 100); /* and the first is not disturbed */
    fixture_close(fixture, 1);
    assert_int_equal(fixture_open(fixture, 0), 0);
}

/* 0: it could open the log. Else the code, made positive. */
static int open_in_child(log_fixture *fixture, int exec_wait) {
    pid_t pid = fork();
    if (pid == 0) {
        log_subject second = fixture->subject;
        char wanted[32];
        int rc = subject_open(&second, 0);
        snprintf(wanted, sizeof wanted, "%ld", (long)getppid());
        if (rc == ETX_EBUSY && !strstr(second.message, wanted))
            _exit(99);
        if (!rc && exec_wait)
            pause();
        _exit(-rc);
    }
    int status;
    if (exec_wait)
        return (int)pid;
    waitpid(pid, &status, 0);
    return WEXITSTATUS(status);
}

static void test_other_process(void **state) {
    log_fixture *fixture = *state;
    assert_int_equal(open_in_child(fixture, 0), -ETX_EBUSY);
    fixture_close(fixture, 1);
    assert_int_equal(open_in_child(fixture, 0), 0);
    assert_int_equal(fixture_open(fixture, 0), 0); /* the child died with it open */
}

/* Nothing tells whose it is, and nobody can write it down again: the lock is enough. */
static void test_the_lock_alone_keeps_others_out(void **state) {
    log_fixture *fixture = *state;
    fixture_command("ln -sf /nowhere/owner '%s/log/owner'", fixture->subject.dir);
    assert_int_equal(open_in_child(fixture, 0), -ETX_EBUSY);
}

/* Looking must not drop our own lock. */
static void test_verify_keeps_the_lock(void **state) {
    log_fixture *fixture = *state;
    etx_file_report report = {.size = sizeof report};
    char message[200];
    fixture_puts(fixture, 3, 100);
    assert_int_equal(etx_log_file_verify(fixture_path(fixture, "log"), NULL, NULL, &report, message,
                                         sizeof message),
                     0);
    assert_int_equal(report.in_use, 1);
    assert_int_equal(report.owner_pid, getpid());
    assert_int_equal(report.slots, 3);
    assert_int_equal(open_in_child(fixture, 0), -ETX_EBUSY);
}

/* A child that we forked and that outlives us holds nothing. */
static void test_orphan_holds_nothing(void **state) {
    log_fixture *fixture = *state;
    int pipe_fds[2];
    fixture_close(fixture, 1);
    assert_int_equal(pipe(pipe_fds), 0);
    pid_t owner = fork();
    if (owner == 0) {
        if (fixture_open(fixture, 0))
            _exit(1);
        pid_t orphan = fork();
        if (orphan == 0) {
            pause();
            _exit(0);
        }
        if (write(pipe_fds[1], &orphan, sizeof orphan) != sizeof orphan)
            _exit(2);
        _exit(0); /* as a crash: nothing is closed */
    }
    pid_t orphan;
    int status;
    assert_int_equal(read(pipe_fds[0], &orphan, sizeof orphan), sizeof orphan);
    waitpid(owner, &status, 0);
    assert_int_equal(WEXITSTATUS(status), 0);
    assert_int_equal(fixture_open(fixture, 0), 0);
    kill(orphan, SIGKILL);
    close(pipe_fds[0]);
    close(pipe_fds[1]);
}

/* Puts until one is refused; its words must hold `word`. */
static void expect_stop(log_fixture *fixture, const char *word) {
    uint8_t bytes[20000];
    for (int i = 0; i < 400; i++) {
        log_chain *chain = &fixture->chain;
        batch_fill(chain->next, bytes, sizeof bytes);
        etx_put put = put_make(chain, chain->next, bytes, sizeof bytes);
        if (fixture->subject.ops->put(fixture->subject.log, &put) != ETX_PUT_WRITTEN) {
            if (!strstr(put.message, word))
                print_message("%s\n", put.message);
            assert_non_null(strstr(put.message, word));
            return;
        }
        chain->checksum = put.checksum;
        chain->next++;
    }
    fail();
}

/* Somebody in our process copies the directory, or hashes it: that ends a POSIX lock. */
static void lose_lock(log_fixture *fixture) {
    int fd = open(fixture_path(fixture, "log/lock"), O_RDONLY);
    assert_true(fd >= 0);
    close(fd);
}

/* 1: to other processes `lock` is locked. */
static int is_locked(log_fixture *fixture) {
    int status;
    pid_t pid = fork();
    if (pid == 0) {
        struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
        int fd = open(fixture_path(fixture, "log/lock"), O_RDONLY);
        _exit(fd < 0 || fcntl(fd, F_GETLK, &lock) ? 9 : lock.l_type != F_UNLCK);
    }
    waitpid(pid, &status, 0);
    return WEXITSTATUS(status);
}

/* The owner lives and has the log open: so nobody comes in though its lock is gone, and it takes it
 * again at the next segment. However it closes, others may come in then. */
static void test_lock_lost(void **state) {
    log_fixture *fixture = *state;
    etx_file_report report = {.size = sizeof report};
    for (int i = 0; i < 3; i++) {
        fixture_puts(fixture, 1, 100);
        do /* until the helper does not take it again at once, for a segment that it makes */
            lose_lock(fixture);
        while (is_locked(fixture));
        assert_int_equal(open_in_child(fixture, 0), -ETX_EBUSY);
        pid_t pid = fork();
        if (pid == 0)
            _exit(etx_log_file_verify(fixture_path(fixture, "log"), NULL, NULL, &report, NULL, 0) ||
                  !report.in_use || report.owner_pid != getppid());
        int status;
        waitpid(pid, &status, 0);
        assert_int_equal(status, 0);
        fixture_puts(fixture, 120, 20000);
        assert_int_equal(is_locked(fixture), 1);
        assert_int_equal(open_in_child(fixture, 0), -ETX_EBUSY);
        lose_lock(fixture);
        fixture_close(fixture, i % 2);
        assert_int_equal(open_in_child(fixture, 0), 0);
        assert_int_equal(fixture_open(fixture, 0), 0);
    }
}

/* A start that failed keeps nobody out. */
static void test_failed_start_releases(void **state) {
    log_fixture *fixture = *state;
    fixture_puts(fixture, 1, 100);
    fixture_close(fixture, 1);
    fixture_command("cd '%s/log' && mv p00-00000001.seg ../kept", fixture->subject.dir);
    assert_int_equal(fixture_open(fixture, 0), ETX_ECORRUPT);
    fixture_command("cd '%s/log' && mv ../kept p00-00000001.seg", fixture->subject.dir);
    assert_int_equal(open_in_child(fixture, 0), 0);
    assert_int_equal(fixture_open(fixture, 0), 0);
}

/* Who lost the lock, and was followed by another, neither writes on nor takes the name from it. */
static void test_followed(void **state) {
    log_fixture *fixture = *state;
    char line[65] = "";
    fixture_puts(fixture, 1, 100);
    lose_lock(fixture);
    fixture_command("echo '1 1' > '%s/log/owner'", fixture->subject.dir);
    expect_stop(fixture, "another process");
    fixture_close(fixture, 0);
    int fd = open(fixture_path(fixture, "log/owner"), O_RDONLY);
    assert_true(read(fd, line, 64) > 0);
    close(fd);
    assert_string_equal(line, "1 1\n");
}

/* `owner` alone was removed: it is written again. */
static void test_owner_removed(void **state) {
    log_fixture *fixture = *state;
    fixture_puts(fixture, 1, 100);
    fixture_command("rm '%s/log/owner'", fixture->subject.dir);
    fixture_puts(fixture, 120, 20000);
    assert_int_equal(access(fixture_path(fixture, "log/owner"), F_OK), 0);
    lose_lock(fixture);
    assert_int_equal(open_in_child(fixture, 0), -ETX_EBUSY);
}

/* Its process is dead, though nobody has asked how it ended; or it is another program by now. */
static void test_owner_that_ended(void **state) {
    log_fixture *fixture = *state;
    fixture_close(fixture, 1);
    for (int i = 0; i < 2; i++) {
        int ends[2];
        char byte;
        assert_int_equal(pipe(ends), 0);
        pid_t pid = fork();
        if (pid == 0) {
            if (fixture_open(fixture, 0) || fcntl(ends[1], F_SETFD, FD_CLOEXEC))
                _exit(1);
            if (i == 0)
                _exit(0);
            execlp("sleep", "sleep", "1000", (char *)NULL);
            _exit(2);
        }
        close(ends[1]);
        assert_int_equal(read(ends[0], &byte, 1), 0); /* its descriptors are closed */
        close(ends[0]);
        siginfo_t info;
        if (i == 0)
            assert_int_equal(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
        assert_int_equal(fixture_open(fixture, 0), 0);
        fixture_close(fixture, 1);
        if (i == 1)
            kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
    }
}

/* The process that `owner` names, as it is written now, but of another boot or pid namespace. */
static void test_owner_elsewhere(void **state) {
    log_fixture *fixture = *state;
    int status;
    fixture_puts(fixture, 1, 100);
    fixture_command("cp '%s/log/owner' '%s/named'", fixture->subject.dir, fixture->subject.dir);
    for (int i = 0; i < 2; i++) {
        fixture_close(fixture, 1);
        fixture_command("cp '%s/named' '%s/log/owner'", fixture->subject.dir, fixture->subject.dir);
        if (i == 1)
            fixture_command("sed -i 's/-/0-/' '%s/log/owner'", fixture->subject.dir);
        int fd = open(fixture_path(fixture, "log"), O_RDONLY); /* as if it had it open */
        pid_t pid = fork();
        if (pid == 0) {
            close(fd);
            _exit(-subject_open(&fixture->subject, 0));
        }
        waitpid(pid, &status, 0);
        assert_int_equal(WEXITSTATUS(status), i ? 0 : -ETX_EBUSY);
        close(fd);
        assert_int_equal(fixture_open(fixture, 0), 0);
    }
}

static void test_stale_owner(void **state) {
    log_fixture *fixture = *state;
    fixture_close(fixture, 1);
    fixture_command("echo '1 1' > '%s/log/owner'", fixture->subject.dir);
    assert_int_equal(fixture_open(fixture, 0), 0);
    fixture_close(fixture, 1);
    fixture_command("head -c 64 /dev/urandom > '%s/log/owner'", fixture->subject.dir);
    assert_int_equal(fixture_open(fixture, 0), 0);
}

static void test_killed_owner(void **state) {
    log_fixture *fixture = *state;
    etx_file_report report = {.size = sizeof report};
    char message[200];
    fixture_close(fixture, 1);
    pid_t pid = (pid_t)open_in_child(fixture, 1);
    for (int i = 0; i < 60 * 100; i++) {
        assert_int_equal(etx_log_file_verify(fixture_path(fixture, "log"), NULL, NULL, &report,
                                             message, sizeof message),
                         0);
        if (report.in_use)
            break;
        usleep(10000);
    }
    assert_int_equal(report.in_use, 1);
    assert_int_equal(report.owner_pid, pid);
    assert_int_equal(fixture_open(fixture, 0), ETX_EBUSY);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    assert_int_equal(fixture_open(fixture, 0), 0);
}

static void test_read_only_directory(void **state) {
    log_fixture *fixture = *state;
    uint64_t count;
    if (geteuid() == 0) {
        print_message("skipped: root may write everywhere\n");
        skip();
    }
    fixture_puts(fixture, 3, 100);
    fixture_close(fixture, 1);
    fixture_command("chmod 0500 '%s/log' && chmod 0400 '%s'/log/*", fixture->subject.dir,
                    fixture->subject.dir);
    assert_int_equal(fixture_open(fixture, 0), ETX_EINVALID);
    assert_non_null(strstr(fixture->subject.message, "lock"));
    assert_int_equal(fixture_read(fixture, ETX_LOG_READ_ONLY, &count), 0);
    assert_int_equal(count, 3);
    fixture_command("chmod 0700 '%s/log' && chmod 0600 '%s'/log/*", fixture->subject.dir,
                    fixture->subject.dir);
}

/* Who removes `lock` lets nobody in, and the log takes it again. */
static void test_lock_removed(void **state) {
    log_fixture *fixture = *state;
    fixture_puts(fixture, 1, 100);
    for (int i = 0; i < 3; i++) {
        fixture_command("rm -f '%s/log/lock'", fixture->subject.dir);
        assert_int_equal(open_in_child(fixture, 0), -ETX_EBUSY);
        log_subject second = fixture->subject;
        assert_int_equal(subject_open(&second, 0), ETX_EBUSY);
        fixture_puts(fixture, 120, 20000);
        assert_int_equal(access(fixture_path(fixture, "log/lock"), F_OK), 0);
        assert_int_equal(open_in_child(fixture, 0), -ETX_EBUSY);
    }
}

static void test_directory_gone(void **state) {
    log_fixture *fixture = *state;
    etx_log_space space = {0};
    fixture_puts(fixture, 1, 100);
    fixture_await(fixture, 2); /* from here on the helper makes nothing that rm would not see */
    fixture_command("rm -rf '%s/log'", fixture->subject.dir);
    expect_stop(fixture, "the directory is gone");
    assert_int_equal(fixture->subject.ops->space(fixture->subject.log, 0, &space), 0);
    assert_int_equal(space.full, 0);
}

static void test_lock_and_owner_removed(void **state) {
    log_fixture *fixture = *state;
    fixture_puts(fixture, 1, 100);
    fixture_command("cd '%s/log' && rm -f lock owner", fixture->subject.dir);
    expect_stop(fixture, "another process");
}

/* What root makes in another's log is the other's. */
static void test_owner_of_new_files(void **state) {
    log_fixture *fixture = *state;
    uint64_t count;
    if (geteuid() != 0) {
        print_message("skipped: only root makes files for others\n");
        skip();
    }
    fixture_close(fixture, 1);
    fixture_command("chmod 755 '%s' && chown -R 65534:65534 '%s/log'", fixture->subject.dir,
                    fixture->subject.dir);
    assert_int_equal(fixture_open(fixture, 0), 0);
    fixture_puts(fixture, 200, 20000);
    fixture_close(fixture, 1);
    fixture_command("test -z \"$(find '%s/log' ! -user 65534 -o ! -group 65534)\"",
                    fixture->subject.dir);
    fixture_command("chown 0:0 '%s/log/p00-00000002.seg'", fixture->subject.dir);
    pid_t pid = fork();
    if (pid == 0) {
        etx_file_report report = {.size = sizeof report};
        char message[400] = "";
        if (setgid(65534) || setuid(65534))
            _exit(1);
        if (etx_log_file_verify(fixture_path(fixture, "log"), NULL, NULL, &report, message,
                                sizeof message) != ETX_EIO ||
            !strstr(message, "may not be read by this user"))
            _exit(2);
        if (fixture_read(fixture, 0, &count) != ETX_EIO ||
            !strstr(fixture->subject.message, "may not be read by this user"))
            _exit(3);
        _exit(0);
    }
    int status;
    waitpid(pid, &status, 0);
    assert_int_equal(WEXITSTATUS(status), 0);
}

/* A directory that takes no new files is refused at once, not when the last segment is full. */
static void test_directory_takes_no_files(void **state) {
    log_fixture *fixture = *state;
    fixture_puts(fixture, 1, 100);
    fixture_close(fixture, 1);
    fixture_command("chmod 755 '%s' && chmod 500 '%s/log'", fixture->subject.dir,
                    fixture->subject.dir);
    if (geteuid() == 0)
        fixture_command("chown -R 65534:65534 '%s/log'", fixture->subject.dir);
    pid_t pid = fork();
    if (pid == 0) {
        uint64_t count;
        if (geteuid() == 0 && (setgid(65534) || setuid(65534)))
            _exit(1);
        if (fixture_open(fixture, 0) != ETX_EINVALID ||
            !strstr(fixture->subject.message, "takes no new files"))
            _exit(2);
        if (fixture_read(fixture, ETX_LOG_READ_ONLY, &count) != 0 || count == 0)
            _exit(3);
        _exit(0);
    }
    int status;
    waitpid(pid, &status, 0);
    fixture_command("chmod 700 '%s/log'", fixture->subject.dir);
    assert_int_equal(WEXITSTATUS(status), 0);
    assert_int_equal(fixture_open(fixture, 0), 0);
}

static void test_descriptors_close_on_exec(void **state) {
    log_fixture *fixture = *state;
    fixture_puts(fixture, 1, 100);
    for (int fd = 3; fd < 200; fd++) {
        char link[64];
        char target[512] = "";
        snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
        if (readlink(link, target, sizeof target - 1) < 0)
            continue;
        if (strstr(target, fixture->subject.dir))
            assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    }
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        CASE(test_second_open_here),
        CASE(test_other_process),
        CASE(test_the_lock_alone_keeps_others_out),
        CASE(test_verify_keeps_the_lock),
        CASE(test_orphan_holds_nothing),
        CASE(test_lock_lost),
        CASE(test_failed_start_releases),
        CASE(test_followed),
        CASE(test_owner_removed),
        CASE(test_owner_that_ended),
        CASE(test_owner_elsewhere),
        CASE(test_stale_owner),
        CASE(test_directory_takes_no_files),
        CASE(test_killed_owner),
        CASE(test_read_only_directory),
        CASE(test_descriptors_close_on_exec),
        CASE(test_lock_removed),
        CASE(test_directory_gone),
        CASE(test_lock_and_owner_removed),
        CASE(test_owner_of_new_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
