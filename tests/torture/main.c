/* etx-torture: real processes are killed and paused, again and again; every ledger is audited.
 *
 * Each job is a process that makes cells, one after another: a directory with a log and three
 * banks, in which a coordinator lives, is killed, and is started again (cell.c, fault.c). This file
 * has main and the points: the few functions by which libetx and SQLite write, sync, rename, unlink
 * and read the clock are defined here, so that a process can be struck before, inside or after each
 * of them. The one global variable says who this process is. */
#include <dlfcn.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "torture.h"

static struct {
    torture_page *page;
    uint64_t role;
    int (*clock)(clockid_t clock, struct timespec *ret_now); /* the C library's clock_gettime */
} here;

static volatile sig_atomic_t stop_asked;

/* ---- points */

void torture_place(torture_page *page, torture_role role) {
    here.page = page;
    here.role = (uint64_t)role;
}

const char *torture_point_name(torture_point point) {
    static const char *const names[TORTURE_POINTS] = {[TORTURE_NOWHERE] = "",
#define X(name, text) [TORTURE_##name] = text,
                                                      TORTURE_POINT_MAP(X)
#undef X
    };
    return names[point];
}

static int is_armed(torture_point point) {
    return here.page != NULL && atomic_load(&here.page->armed_point) == (uint64_t)point &&
           atomic_load(&here.page->armed_role) == here.role;
}

void torture_pass(torture_point point) {
    if (is_armed(point) && atomic_fetch_sub(&here.page->armed_left, 1) == 1) {
        int number = (int)atomic_load(&here.page->armed_signal);
        atomic_store(&here.page->struck, 1);
        (void)kill(getpid(), number);
    }
}

/* What libetx.so and libsqlite3.so call instead of the C library's: see above. */
ETX_API ssize_t pwrite64(int fd, const void *bytes, size_t len, off64_t offset);
ETX_API int fdatasync(int fd);
ETX_API int fsync(int fd);
ETX_API int renameat(int from_dir, const char *from, int to_dir, const char *to);
ETX_API int unlinkat(int dir, const char *name, int flags);
ETX_API int clock_gettime(clockid_t clock, struct timespec *ret_now);

/* Calls the C library's not the kernel, which would take ten times as long. */
int clock_gettime(clockid_t clock, struct timespec *ret_now) {
    int rc = here.clock != NULL ? here.clock(clock, ret_now)
                                : (int)syscall(SYS_clock_gettime, clock, ret_now);
    if (clock == CLOCK_REALTIME) {
        torture_pass(TORTURE_LOOKED);
    }
    return rc;
}

ssize_t pwrite64(int fd, const void *bytes, size_t len, off64_t offset) {
    size_t half = len / 2 / 512 * 512;
    ssize_t n = 0;
    torture_pass(TORTURE_WRITE);
    if (half > 0 && is_armed(TORTURE_TEAR)) {
        (void)syscall(SYS_pwrite64, fd, bytes, half, offset);
        torture_pass(TORTURE_TEAR);
    }
    n = syscall(SYS_pwrite64, fd, bytes, len, offset);
    torture_pass(TORTURE_WRITTEN);
    return n;
}

int fdatasync(int fd) {
    int rc;
    torture_pass(TORTURE_SYNC);
    rc = (int)syscall(SYS_fdatasync, fd);
    torture_pass(TORTURE_SYNCED);
    return rc;
}

int fsync(int fd) {
    int rc;
    torture_pass(TORTURE_SYNC);
    rc = (int)syscall(SYS_fsync, fd);
    torture_pass(TORTURE_SYNCED);
    return rc;
}

int renameat(int from_dir, const char *from, int to_dir, const char *to) {
    int rc;
    torture_pass(TORTURE_RENAME);
    rc = (int)syscall(SYS_renameat2, from_dir, from, to_dir, to, 0);
    torture_pass(TORTURE_RENAMED);
    return rc;
}

int unlinkat(int dir, const char *name, int flags) {
    int rc;
    torture_pass(TORTURE_UNLINK);
    rc = (int)syscall(SYS_unlinkat, dir, name, flags);
    torture_pass(TORTURE_UNLINKED);
    return rc;
}

static void note_signal(int number) {
    (void)number;
    stop_asked = 1;
}

int main(int argc, char **argv) {
    cli_context cli = {.out = stdout, .err = stderr, .stop = &stop_asked, .path = "torture"};
    struct sigaction action = {.sa_handler = note_signal, .sa_flags = (int)SA_RESETHAND};
    int code;
    here.clock = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    (void)sigaction(SIGINT, &action, NULL);
    (void)sigaction(SIGTERM, &action, NULL);
    code = torture_campaign(&cli, argc, argv);
    return fflush(stdout) == 0 ? code : CLI_BAD;
}
