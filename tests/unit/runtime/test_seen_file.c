/* How a file of the state directory is replaced, and which directory and file are refused. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "../../../src/runtime/machine.h"
#include "../../../src/runtime/seen_file.h"

static const char home[] = "pabcdef";

/* ---- what changes the disk, noted in its order: the one of that number fails */

static char noted[8];
static size_t fails_at;
static int takes_no_files;

static int note(char what) {
    size_t len = strlen(noted);
    assert_true(len + 1 < sizeof noted);
    noted[len] = what;
    errno = EIO;
    return len + 1 == fails_at ? -1 : 0;
}

int __real_fsync(int fd);
int __wrap_fsync(int fd);
int __wrap_fsync(int fd) {
    struct stat what;
    assert_int_equal(fstat(fd, &what), 0);
    return note(S_ISDIR(what.st_mode) ? 'd' : 'f') != 0 ? -1 : __real_fsync(fd);
}

int __real_rename(const char *from, const char *to);
int __wrap_rename(const char *from, const char *to);
int __wrap_rename(const char *from, const char *to) {
    assert_string_not_equal(from, to);
    return note('r') != 0 ? -1 : __real_rename(from, to);
}

int __real_faccessat(int dir_fd, const char *path, int mode, int flags);
int __wrap_faccessat(int dir_fd, const char *path, int mode, int flags);
int __wrap_faccessat(int dir_fd, const char *path, int mode, int flags) {
    errno = EACCES;
    return takes_no_files && (mode & W_OK) ? -1 : __real_faccessat(dir_fd, path, mode, flags);
}

/* ---- a directory of its own */

static char dir[256];

static void path_of(char path[300], const char *of) {
    snprintf(path, 300, "%s/%s.state", dir, of);
}

static int make_dir(void **state) {
    const char *above = getenv("TMPDIR");
    (void)state;
    snprintf(dir, sizeof dir, "%s/etx-seen-XXXXXX", above != NULL ? above : "/tmp");
    return mkdtemp(dir) == NULL ? -1 : 0;
}

static int remove_dir(void **state) {
    char path[310];
    (void)state;
    path_of(path, home);
    (void)unlink(path);
    snprintf(path + strlen(path), sizeof path - strlen(path), ".new");
    (void)unlink(path);
    return rmdir(dir);
}

static int write_slot(uint64_t slot) {
    char message[300];
    etx_seen_mark mark = {slot, 0, 0x4711, 1};
    etx_seen seen = {.size = sizeof seen, .partitions = 1, .mark = &mark};
    snprintf(seen.home, sizeof seen.home, "%s", home);
    snprintf(seen.url, sizeof seen.url, "shared:there");
    memset(noted, 0, sizeof noted);
    return etx__seen_write(&etx__allocator, dir, &seen, message, sizeof message);
}

static uint64_t read_slot(void) {
    char message[300];
    etx_seen seen = {.size = sizeof seen};
    assert_int_equal(etx_seen_read(dir, home, &seen, message, sizeof message), 0);
    assert_int_equal(seen.partitions, 1);
    uint64_t slot = seen.mark[0].slot;
    etx_seen_free(&seen);
    return slot;
}

/* ---- */

/* A crash leaves the old one or the new one, and what was written is there after it. */
static void test_replaced_durably(void **state) {
    (void)state;
    fails_at = 0;
    assert_int_equal(write_slot(7), 0);
    assert_string_equal(noted, "frd");
    assert_int_equal(read_slot(), 7);
    static const uint64_t then[] = {7, 7, 8}; /* from the renaming on it is the new one */
    for (size_t i = 0; i < 3; i++) {
        fails_at = i + 1;
        assert_int_equal(write_slot(8), ETX_EIO);
        assert_int_equal(read_slot(), then[i]);
    }
    fails_at = 0;
    assert_int_equal(write_slot(9), 0);
    assert_int_equal(read_slot(), 9);
}

/* A file that was given another's name tells nothing of that one. */
static void test_of_another_home(void **state) {
    char message[300];
    char path[300];
    char other[300];
    etx_seen seen = {.size = sizeof seen};
    (void)state;
    assert_int_equal(write_slot(7), 0);
    path_of(path, home);
    path_of(other, "pfedcba");
    assert_int_equal(__real_rename(path, other), 0);
    assert_int_equal(etx_seen_read(dir, "pfedcba", &seen, message, sizeof message), ETX_ECORRUPT);
    assert_non_null(strstr(message, "of another home"));
    assert_int_equal(unlink(other), 0);
}

/* It is said at the start, not once something is to be written. */
static void test_takes_no_files(void **state) {
    char message[300];
    int fd = -1;
    (void)state;
    takes_no_files = 1;
    assert_int_equal(etx__seen_dir_take(dir, &fd, message, sizeof message), ETX_EIO);
    assert_non_null(strstr(message, "cannot be written to"));
    takes_no_files = 0;
    assert_int_equal(etx__seen_dir_take(dir, &fd, message, sizeof message), 0);
    close(fd);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_replaced_durably, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(test_of_another_home, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(test_takes_no_files, make_dir, remove_dir),
    };
    return cmocka_run_group_tests_name("runtime seen_file", tests, NULL, NULL);
}
