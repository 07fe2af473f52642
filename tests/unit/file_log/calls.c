/* The bodies of the wrapped functions, and the one variable that steers them. */
#include "calls.h"

#include "fixture.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

/* Declares the real function, and begins the one that stands before it. */
#define WRAP(type, name, ...)        \
    type __real_##name(__VA_ARGS__); \
    type __wrap_##name(__VA_ARGS__); \
    type __wrap_##name(__VA_ARGS__)

calls *calls_now(void) {
    static calls now;
    return &now;
}

void calls_clear(void) {
    memset(calls_now(), 0, sizeof(calls));
    calls_now()->thread = pthread_self();
}

void calls_fail(call_kind kind, int at, int error, const char *name) {
    calls_now()->fault[kind] = (struct call_fault){.at = at, .error = error, .name = name};
}

void calls_fail_here(call_kind kind, int at, int error) {
    calls_fail(kind, at, error, NULL);
    calls_now()->fault[kind].here = 1;
}

unsigned calls_descriptors(void) {
    unsigned count = 0;
    DIR *dir = opendir("/proc/self/fd");
    assert_non_null(dir);
    while (readdir(dir))
        count++;
    closedir(dir);
    return count;
}

int calls_setup(void **state) {
    calls_clear();
    return fixture_setup(state);
}

int calls_teardown(void **state) {
    calls_clear();
    return fixture_teardown(state);
}

static int ends_with(const char *path, const char *end) {
    size_t len = strlen(path);
    size_t end_len = strlen(end);
    return len >= end_len && strcmp(path + len - end_len, end) == 0;
}

/* 1: this call fails, with errno. */
static int fails(call_kind kind, const char *path) {
    struct call_fault *fault = &calls_now()->fault[kind];
    if (!fault->at || (fault->here && !pthread_equal(calls_now()->thread, pthread_self())) ||
        (fault->name && !(path && ends_with(path, fault->name))) || --fault->at)
        return 0;
    fault->struck++;
    errno = fault->error;
    return 1;
}

static int open_path(const char *path) {
    calls *now = calls_now();
    void (*on_open)(const char *, void *) = now->on_open;
    if (on_open && pthread_equal(now->thread, pthread_self())) {
        now->on_open = NULL; /* what it opens itself is not told */
        on_open(path, now->user);
        now->on_open = now->on_open ? now->on_open : on_open;
    }
    return fails(CALL_OPEN, path);
}

WRAP(int, openat64, int at, const char *path, int flags, ...) {
    va_list more;
    va_start(more, flags);
    mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(more, mode_t) : 0;
    va_end(more);
    return open_path(path) ? -1 : __real_openat64(at, path, flags, mode);
}

WRAP(int, open64, const char *path, int flags, ...) {
    va_list more;
    va_start(more, flags);
    mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(more, mode_t) : 0;
    va_end(more);
    return open_path(path) ? -1 : __real_open64(path, flags, mode);
}

WRAP(ssize_t, pread64, int fd, void *to, size_t len, off_t offset) {
    const char *proc = calls_now()->proc;
    if (fails(CALL_READ, NULL))
        return -1;
    if (proc && len + (size_t)offset == 1023) {
        size_t have = strlen(proc) > (size_t)offset ? strlen(proc) - (size_t)offset : 0;
        memcpy(to, proc + offset, have);
        return (ssize_t)have;
    }
    return __real_pread64(fd, to, len, offset);
}

WRAP(ssize_t, pwrite64, int fd, const void *from, size_t len, off_t offset) {
    calls *now = calls_now();
    if (now->on_write && pthread_equal(now->thread, pthread_self()))
        now->on_write(fd, from, len, (uint64_t)offset, now->user);
    if (fails(CALL_WRITE, NULL))
        return errno ? -1 : 0;
    return now->pretend_writes ? (ssize_t)len : __real_pwrite64(fd, from, len, offset);
}

WRAP(int, fstat64, int fd, struct stat *ret_stat) {
    return fails(CALL_STAT, NULL) ? -1 : __real_fstat64(fd, ret_stat);
}

WRAP(int, fstatat64, int at, const char *path, struct stat *ret_stat, int flags) {
    return fails(CALL_STAT_NAME, path) ? -1 : __real_fstatat64(at, path, ret_stat, flags);
}

WRAP(int, stat64, const char *path, struct stat *ret_stat) {
    return fails(CALL_STAT_NAME, path) ? -1 : __real_stat64(path, ret_stat);
}

WRAP(int, faccessat, int at, const char *path, int mode, int flags) {
    return fails(CALL_ACCESS, path) ? -1 : __real_faccessat(at, path, mode, flags);
}

WRAP(int, fstatfs64, int fd, struct statfs *ret_stat) {
    int rc = __real_fstatfs64(fd, ret_stat);
    if (calls_now()->fs_type)
        ret_stat->f_type = calls_now()->fs_type;
    return rc;
}

WRAP(int, flock, int fd, int operation) {
    return fails(CALL_FLOCK, NULL) ? -1 : __real_flock(fd, operation);
}

WRAP(int, fcntl64, int fd, int command, ...) {
    va_list more;
    va_start(more, command);
    struct flock *lock = va_arg(more, struct flock *);
    va_end(more);
    if (command == F_SETLK && fails(CALL_FCNTL, NULL))
        return -1;
    if (command == F_GETLK && calls_now()->lock_is == 3) {
        errno = ENOLCK;
        return -1;
    }
    if (command == F_GETLK && calls_now()->lock_is) {
        lock->l_type = calls_now()->lock_is == 1 ? F_UNLCK : F_WRLCK;
        lock->l_pid = 0;
        return 0;
    }
    return __real_fcntl64(fd, command, lock);
}

WRAP(int, mkdir, const char *path, mode_t mode) {
    return fails(CALL_MKDIR, path) ? -1 : __real_mkdir(path, mode);
}

WRAP(int, unlinkat, int at, const char *path, int flags) {
    return fails(CALL_UNLINK, path) ? -1 : __real_unlinkat(at, path, flags);
}

WRAP(int, renameat, int from_at, const char *from, int to_at, const char *to) {
    return fails(CALL_RENAME, to) ? -1 : __real_renameat(from_at, from, to_at, to);
}

WRAP(int, fallocate64, int fd, int mode, off_t offset, off_t len) {
    return fails(CALL_ALLOCATE, NULL) ? -1 : __real_fallocate64(fd, mode, offset, len);
}

WRAP(int, fsync, int fd) {
    return fails(CALL_SYNC, NULL) ? -1 : __real_fsync(fd);
}

WRAP(DIR *, fdopendir, int fd) {
    return fails(CALL_LIST, NULL) ? NULL : __real_fdopendir(fd);
}

WRAP(DIR *, opendir, const char *path) {
    return fails(CALL_LIST, path) ? NULL : __real_opendir(path);
}

WRAP(int, fchown, int fd, uid_t owner, gid_t group) {
    if (calls_now()->on_own)
        calls_now()->on_own(calls_now()->user);
    return fails(CALL_OWN, NULL) ? -1 : __real_fchown(fd, owner, group);
}

WRAP(ssize_t, getrandom, void *to, size_t len, unsigned flags) {
    return fails(CALL_RANDOM, NULL) ? -1 : __real_getrandom(to, len, flags);
}

WRAP(void *, calloc, size_t count, size_t size) {
    return fails(CALL_MEMORY, NULL) ? NULL : __real_calloc(count, size);
}

WRAP(int,
     pthread_create,
     pthread_t *ret_thread,
     const pthread_attr_t *attributes,
     void *(*run)(void *),
     void *argument) {
    return fails(CALL_THREAD, NULL) ? EAGAIN
                                    : __real_pthread_create(ret_thread, attributes, run, argument);
}

WRAP(pid_t, getpid, void) {
    return __real_getpid() + (calls_now()->other_process != 0);
}

WRAP(uid_t, geteuid, void) {
    return calls_now()->plain_user ? 1000 : __real_geteuid();
}

WRAP(int, nanosleep, const struct timespec *time, struct timespec *ret_left) {
    calls *now = calls_now();
    now->sleeps++;
    if (!now->on_sleep)
        return __real_nanosleep(time, ret_left);
    now->on_sleep(now->user);
    return 0;
}

WRAP(int, clock_gettime, clockid_t clock, struct timespec *ret_time) {
    int rc = __real_clock_gettime(clock, ret_time);
    if (calls_now()->pretend_writes)
        *ret_time = (struct timespec){.tv_sec = 1};
    return rc;
}
