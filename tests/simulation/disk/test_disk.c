/* The simulated disk itself: what survives a crash, what faults do; and the real file log on it. */
#include "disk.h"

#include "../../conformance/log_subject.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static int setup(void **state) {
    *state = disk_make("/sim/0");
    return 0;
}

static int teardown(void **state) {
    assert_int_equal(disk_descriptors(*state), 0);
    disk_free(*state);
    return 0;
}

static uint32_t choose_nothing(void *user, uint32_t ways) {
    (void)user;
    (void)ways;
    return 0;
}

static int file_make(const char *path, int flags) {
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | flags, 0600);
    assert_true(fd >= 0);
    return fd;
}

static void dir_sync(const char *path) {
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(fsync(fd), 0);
    close(fd);
}

/* Sectors of the file that begin with `byte`. */
static uint32_t sectors_of(const disk *on, const char *path, char byte) {
    uint64_t size = disk_file_size(on, path);
    uint32_t count = 0;
    for (uint64_t at = 0; size != UINT64_MAX && at < size; at += 512) {
        char first = 0;
        disk_file_read(on, path, at, &first, 1);
        count += first == byte;
    }
    return count;
}

static void test_unsynced_is_lost(void **state) {
    disk *on = *state;
    char bytes[4096];
    memset(bytes, 'a', sizeof bytes);
    int fd = file_make("/sim/0/file", 0);
    assert_int_equal(pwrite(fd, bytes, sizeof bytes, 0), sizeof bytes);
    assert_int_equal(fdatasync(fd), 0);
    dir_sync("/sim/0");
    memset(bytes, 'b', sizeof bytes);
    assert_int_equal(pwrite(fd, bytes, sizeof bytes, 0), sizeof bytes);
    close(file_make("/sim/0/other", 0));
    assert_int_equal(sectors_of(on, "file", 'b'), 8);
    disk_crash(on, choose_nothing, NULL);
    assert_int_equal(sectors_of(on, "file", 'a'), 8);
    assert_true(disk_file_size(on, "other") == UINT64_MAX);
    assert_int_equal(open("/sim/0/other", O_RDONLY), -1);
    assert_int_equal(errno, ENOENT);
    assert_int_equal(open("/sim/1/other", O_RDONLY), -1);
    assert_int_equal(errno, ENOENT);
}

static void test_all_subsets(void **state) {
    disk *on = *state;
    disk_script script = {0};
    char bytes[1536];
    uint32_t seen = 0;
    uint32_t images = 0;
    int fd = file_make("/sim/0/file", O_DSYNC);
    memset(bytes, 'a', sizeof bytes);
    assert_int_equal(pwrite(fd, bytes, sizeof bytes, 0), sizeof bytes);
    close(fd);
    dir_sync("/sim/0");
    fd = file_make("/sim/0/file", 0);
    memset(bytes, 'b', sizeof bytes);
    assert_int_equal(pwrite(fd, bytes, sizeof bytes, 0), sizeof bytes);
    close(fd);
    do {
        disk *image = disk_clone(on, NULL);
        uint32_t mask = 0;
        char found[1536];
        disk_crash(image, disk_script_choose, &script);
        disk_file_read(image, "file", 0, found, sizeof found);
        for (int i = 0; i < 3; i++)
            mask |= (uint32_t)(found[i * 512 + 511] == 'b') << i;
        seen |= 1u << mask;
        images++;
        disk_free(image);
    } while (disk_script_next(&script));
    assert_int_equal(images, 8);
    assert_int_equal(seen, 0xff);
}

/* A sync that fails: the reader sees it, the next sync succeeds, the crash shows that it lied. */
static void test_sync_that_fails(void **state) {
    disk *on = *state;
    char bytes[4096];
    memset(bytes, 'a', sizeof bytes);
    int fd = file_make("/sim/0/file", 0);
    assert_int_equal(pwrite(fd, bytes, sizeof bytes, 0), sizeof bytes);
    dir_sync("/sim/0");
    disk_fault_add(on, &(disk_fault){.kind = DISK_SYNC, .at = 1, .error = EIO});
    assert_int_equal(fdatasync(fd), -1);
    assert_int_equal(errno, EIO);
    assert_int_equal(fdatasync(fd), 0);
    assert_int_equal(sectors_of(on, "file", 'a'), 8);
    close(fd);
    disk_crash(on, disk_rng_choose, &(disk_rng){.state = 3});
    assert_int_equal(sectors_of(on, "file", 'a'), 0);
    disk_fault_clear(on);
}

static void test_renaming(void **state) {
    disk *on = *state;
    int dir = open("/sim/0", O_RDONLY | O_DIRECTORY);
    close(file_make("/sim/0/one", 0));
    assert_int_equal(renameat(dir, "one", dir, "two"), 0);
    assert_int_equal(fsync(dir), 0);
    assert_int_equal(renameat(dir, "two", dir, "three"), 0);
    close(dir);
    assert_int_equal(disk_file_size(on, "three"), 0);
    disk_crash(on, choose_nothing, NULL);
    assert_int_equal(disk_file_size(on, "two"), 0);
    assert_true(disk_file_size(on, "three") == UINT64_MAX);
}

static void test_full(void **state) {
    disk *on = *state;
    char bytes[8192] = "x";
    int fd = file_make("/sim/0/file", 0);
    disk_limit_set(on, 4096 * 3);
    assert_int_equal(pwrite(fd, bytes, 8192, 0), 8192);
    assert_int_equal(pwrite(fd, bytes, 8192, 8192), 4096);
    assert_int_equal(pwrite(fd, bytes, 4096, 12288), -1);
    assert_int_equal(errno, ENOSPC);
    assert_int_equal(fallocate(fd, 0, 0, 16384), -1);
    assert_int_equal(pwrite(fd, bytes, 4096, 0), 4096);
    close(fd);
}

static void log_open_there(log_subject *subject, uint32_t flags) {
    subject->ops = etx_log_file();
    snprintf(subject->url, sizeof subject->url, "file:/sim/0/log?partitions=1&segment=64K");
    if (subject_open(subject, flags)) {
        print_message("%s\n", subject->message);
        fail();
    }
}

static void test_log(void **state) {
    disk *on = *state;
    log_subject subject = {0};
    log_chain chain = {.subject = &subject, .nonce = 5};
    uint8_t bytes[3000];
    struct timespec before;
    struct timespec after;
    log_open_there(&subject, 0);
    clock_gettime(CLOCK_MONOTONIC, &before);
    for (int i = 0; i < 3000; i++) {
        batch_fill(chain.next, bytes, sizeof bytes);
        assert_int_equal(chain_put(&chain, bytes, sizeof bytes), ETX_PUT_WRITTEN);
        while (disk_turn(on))
            ;
        if (i % 100 == 99)
            assert_int_equal(subject.ops->trim(subject.log, 0, chain.next - 20), 0);
    }
    clock_gettime(CLOCK_MONOTONIC, &after);
    print_message("%.1f us a put\n", ((double)(after.tv_sec - before.tv_sec) * 1e9 +
                                      (double)(after.tv_nsec - before.tv_nsec)) /
                                         3e6);
    assert_int_equal(subject_open(&subject, 0), ETX_EBUSY);
    for (uint64_t crash = 0; crash < 20; crash++) {
        disk *other = disk_clone(on, "/sim/1");
        log_subject second = {.ops = subject.ops, .url = "file:/sim/1/log"};
        log_chain chain_there = chain;
        if (crash)
            disk_crash(other, disk_rng_choose, &(disk_rng){.state = crash});
        chain_there.subject = &second;
        assert_int_equal(subject_open(&second, 0), 0);
        assert_int_equal(chain_check(&second, 0, chain.next - 20, NULL), 20);
        batch_fill(chain.next, bytes, sizeof bytes);
        assert_int_equal(chain_put(&chain_there, bytes, sizeof bytes), ETX_PUT_WRITTEN);
        subject_reopen(&second, 0);
        assert_int_equal(chain_check(&second, 0, chain.next - 20, NULL), 21);
        second.ops->close(second.log, 1);
        assert_int_equal(disk_descriptors(other), 0);
        disk_free(other);
    }
    subject.ops->close(subject.log, 1);
    assert_int_equal(disk_descriptors(on), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_unsynced_is_lost, setup, teardown),
        cmocka_unit_test_setup_teardown(test_all_subsets, setup, teardown),
        cmocka_unit_test_setup_teardown(test_sync_that_fails, setup, teardown),
        cmocka_unit_test_setup_teardown(test_renaming, setup, teardown),
        cmocka_unit_test_setup_teardown(test_full, setup, teardown),
        cmocka_unit_test_setup_teardown(test_log, setup, teardown)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
