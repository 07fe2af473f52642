/* The bodies of the wrapped functions, and the one variable that steers them. */
#include "faults.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

ssize_t __real_pwrite(int fd, const void *data, size_t len, off_t offset);
int __real_fallocate(int fd, int mode, off_t offset, off_t len);
int __real_renameat(int from_fd, const char *from, int to_fd, const char *to);
int __real_unlinkat(int fd, const char *path, int flags);
int __real_fsync(int fd);
int __real_fdatasync(int fd);
ssize_t __wrap_pwrite(int fd, const void *data, size_t len, off_t offset);
int __wrap_fallocate(int fd, int mode, off_t offset, off_t len);
ssize_t __wrap_pwrite64(int fd, const void *data, size_t len, off_t offset);
int __wrap_fallocate64(int fd, int mode, off_t offset, off_t len);
int __wrap_renameat(int from_fd, const char *from, int to_fd, const char *to);
int __wrap_unlinkat(int fd, const char *path, int flags);
int __wrap_fsync(int fd);
int __wrap_fdatasync(int fd);

faults *faults_now(void) {
    static faults now;
    return &now;
}

static size_t path_of(int fd, char path[600]) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t len = readlink(link, path, 599);
    path[len > 0 ? len : 0] = 0;
    return len > 0 ? (size_t)len : 0;
}

static int path_ends(int fd, const char *wanted) {
    char path[600];
    size_t len = path_of(fd, path);
    size_t wanted_len = strlen(wanted);
    return len >= wanted_len && strcmp(path + len - wanted_len, wanted) == 0;
}

static void failed_note(int fd) {
    char path[600];
    path_of(fd, path);
    const char *name = strrchr(path, '/');
    snprintf(faults_now()->failed, sizeof faults_now()->failed, "%.60s", name ? name + 1 : path);
}

/* 1: this is the step at which to die. */
static int step_take(void) {
    faults *now = faults_now();
    return now->die_at && __atomic_add_fetch(&now->steps, 1, __ATOMIC_SEQ_CST) >= now->die_at;
}

ssize_t __wrap_pwrite(int fd, const void *data, size_t len, off_t offset) {
    faults *now = faults_now();
    if (step_take()) {
        if (now->die_torn && len > 512)
            __real_pwrite(fd, data, len / 1024 * 512, offset);
        _exit(0);
    }
    if (now->watching && path_ends(fd, now->watched))
        now->watched_writes++;
    if (now->write_error && (!now->only || path_ends(fd, now->only))) {
        size_t first = now->write_first < len ? now->write_first : len;
        if (first)
            __real_pwrite(fd, data, first, offset);
        failed_note(fd);
        errno = now->write_error;
        return -1;
    }
    if (now->write_most && len > now->write_most)
        len = now->write_most;
    return __real_pwrite(fd, data, len, offset);
}

int __wrap_fallocate(int fd, int mode, off_t offset, off_t len) {
    if (faults_now()->allocate_error) {
        errno = faults_now()->allocate_error;
        return -1;
    }
    return __real_fallocate(fd, mode, offset, len);
}

/* The names that _FILE_OFFSET_BITS=64 calls by. */
ssize_t __wrap_pwrite64(int fd, const void *data, size_t len, off_t offset) {
    return __wrap_pwrite(fd, data, len, offset);
}

int __wrap_fallocate64(int fd, int mode, off_t offset, off_t len) {
    return __wrap_fallocate(fd, mode, offset, len);
}

int __wrap_renameat(int from_fd, const char *from, int to_fd, const char *to) {
    if (step_take())
        _exit(0);
    return __real_renameat(from_fd, from, to_fd, to);
}

int __wrap_unlinkat(int fd, const char *path, int flags) {
    if (step_take())
        _exit(0);
    return __real_unlinkat(fd, path, flags);
}

int __wrap_fsync(int fd) {
    if (step_take())
        _exit(0);
    return __real_fsync(fd);
}

int __wrap_fdatasync(int fd) {
    if (step_take())
        _exit(0);
    return __real_fdatasync(fd);
}
