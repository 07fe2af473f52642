/* System calls by seccomp: a list of those that serving needs; all others give EPERM. */
#include "confine.h"

#ifdef ETXD_WITH_SECCOMP

#include <errno.h>
#include <linux/netlink.h>
#include <seccomp.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sched.h>

enum { KIND_OF_SOCKET = 0xf }; /* the rest are flags */

/* What is allowed whatever its arguments are. */
static const char *const allowed[] = {
    /* memory and threads */
    "brk", "munmap", "mremap", "madvise", "futex", "futex_waitv", "set_robust_list",
    "get_robust_list", "rseq", "set_tid_address", "sched_yield", "sched_getaffinity", "getcpu",
    "membarrier", "gettid", "getpid", "getppid", "exit", "exit_group", "restart_syscall",
    "setpriority", "mlock", "munlock",
    /* signals, to itself as well */
    "rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "rt_sigpending", "rt_sigtimedwait",
    "sigaltstack", "tgkill", "signalfd4", "kill",
    /* time */
    "clock_gettime", "clock_getres", "clock_nanosleep", "nanosleep", "gettimeofday", "time",
    "timerfd_create", "timerfd_settime", "timerfd_gettime",
    /* files */
    "open", "openat", "close", "close_range", "read", "write", "readv", "writev", "pread64",
    "pwrite64", "preadv", "pwritev", "preadv2", "pwritev2", "lseek", "fsync", "fdatasync",
    "sync_file_range", "fallocate", "ftruncate", "fadvise64", "stat", "fstat", "lstat",
    "newfstatat", "statx", "statfs", "fstatfs", "access", "faccessat", "faccessat2", "readlink",
    "readlinkat", "getdents64", "getcwd", "mkdir", "mkdirat", "rename", "renameat", "renameat2",
    "unlink", "unlinkat", "fcntl", "flock", "dup", "dup2", "dup3", "pipe2", "umask", "fchmod",
    /* waiting */
    "epoll_create1", "epoll_ctl", "epoll_wait", "epoll_pwait", "epoll_pwait2", "eventfd2", "poll",
    "ppoll", "select", "pselect6",
    /* network: no listen, and `socket` by its arguments */
    "connect", "accept", "accept4", "bind", "getsockname", "getpeername", "getsockopt",
    "setsockopt", "shutdown", "recvfrom", "recvmsg", "recvmmsg", "sendto", "sendmsg", "sendmmsg",
    "sendfile",
    /* who and where it is */
    "getuid", "geteuid", "getgid", "getegid", "getresuid", "getresgid", "uname", "sysinfo",
    "getrandom", "getrlimit", "prlimit64", "getrusage", "times",
    /* taking more away */
    "seccomp"};

static int add(scmp_filter_ctx filter, const char *name, unsigned count, struct scmp_arg_cmp *at) {
    int number = seccomp_syscall_resolve_name(name);
    int rc = number == __NR_SCMP_ERROR
                 ? 0 /* not of this machine */
                 : seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, number, count, at);
    return rc == -EDOM ? 0 : rc;
}

static int add_one(scmp_filter_ctx filter, const char *name, struct scmp_arg_cmp at) {
    return add(filter, name, 1, &at);
}

/* Memory is never writable and executable at once. */
static int add_memory(scmp_filter_ctx filter) {
    static const char *const names[] = {"mmap", "mprotect"};
    size_t i;
    int rc = 0;
    for (i = 0; i < 2; i++) {
        rc = rc != 0 ? rc : add_one(filter, names[i], SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
        rc = rc != 0 ? rc : add_one(filter, names[i], SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_WRITE, 0));
    }
    return rc;
}

/* Threads, no processes. What clone3 is asked cannot be seen: who hears ENOSYS asks clone. */
static int add_threads(scmp_filter_ctx filter) {
    int rc = add_one(filter, "clone", SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, CLONE_THREAD));
    return rc != 0 ? rc : seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
}

static int add_sockets(scmp_filter_ctx filter) {
    static const struct {
        int family, kind;
    } sockets[] = {{AF_INET, SOCK_STREAM}, {AF_INET, SOCK_DGRAM},  {AF_INET6, SOCK_STREAM},
                   {AF_INET6, SOCK_DGRAM}, {AF_UNIX, SOCK_STREAM}, {AF_UNIX, SOCK_DGRAM},
                   {AF_NETLINK, SOCK_RAW}}; /* the resolver asks which addresses there are */
    size_t i;
    int rc = 0;
    for (i = 0; i < sizeof sockets / sizeof *sockets && rc == 0; i++) {
        struct scmp_arg_cmp at[] = {
            SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)sockets[i].family),
            SCMP_A1(SCMP_CMP_MASKED_EQ, KIND_OF_SOCKET, (scmp_datum_t)sockets[i].kind),
            SCMP_A2(SCMP_CMP_EQ, NETLINK_ROUTE)};
        rc = add(filter, "socket", sockets[i].family == AF_NETLINK ? 3 : 2, at);
    }
    return rc != 0 ? rc : add_one(filter, "socketpair", SCMP_A0(SCMP_CMP_EQ, AF_UNIX));
}

static int add_some(scmp_filter_ctx filter) {
    static const unsigned ioctls[] = {0x5421 /* FIONBIO */, 0x541b /* FIONREAD */,
                                      0x5401 /* TCGETS */};
    size_t i;
    int rc = add_one(filter, "prctl", SCMP_A0(SCMP_CMP_EQ, PR_SET_NAME));
    rc = rc != 0 ? rc : add_one(filter, "prctl", SCMP_A0(SCMP_CMP_EQ, PR_GET_NAME));
    for (i = 0; i < sizeof ioctls / sizeof *ioctls && rc == 0; i++) {
        rc = add_one(filter, "ioctl", SCMP_A1(SCMP_CMP_EQ, ioctls[i]));
    }
    return rc;
}

static int add_all(scmp_filter_ctx filter) {
    size_t i;
    int rc = 0;
    for (i = 0; i < sizeof allowed / sizeof *allowed && rc == 0; i++) {
        rc = add(filter, allowed[i], 0, NULL);
    }
    rc = rc != 0 ? rc : add_memory(filter);
    rc = rc != 0 ? rc : add_threads(filter);
    rc = rc != 0 ? rc : add_sockets(filter);
    return rc != 0 ? rc : add_some(filter);
}

int etxd_seccomp(char *why, size_t size) {
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(EPERM));
    int rc = filter == NULL ? -ENOMEM : seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1);
    rc = rc != 0 ? rc : seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2); /* a tree */
    rc = rc != 0 ? rc : add_all(filter);
    rc = rc != 0 ? rc : seccomp_load(filter);
    if (rc != 0) {
        snprintf(why, size, "seccomp: %s", strerror(-rc));
    }
    seccomp_release(filter);
    return rc;
}

#else

int etxd_seccomp(char *why, size_t size) {
    snprintf(why, size, "etxd was built without libseccomp");
    return -1;
}

#endif
