/* Confinement: what must still work does, and what is forbidden fails. Each in a child, since
 * nobody gets out of it again. */
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../../etxd/confine.h"

enum { GOOD = 0, WRONG = 1, SKIPPED = 77, PATH_MAX_HERE = 300 };

static char folder[64];

static const char *below(const char *name, char *path) {
    snprintf(path, PATH_MAX_HERE, "%s/%s", folder, name);
    return path;
}

static void expect(int good, const char *what) {
    if (!good) {
        fprintf(stderr, "not as it must be: %s (%s)\n", what, strerror(errno));
        _exit(WRONG);
    }
}

/* A call that must fail with that error. */
static void forbid(long rc, int error, const char *what) {
    if (rc >= 0 || errno != error) {
        fprintf(stderr, "not forbidden: %s: %ld (%s)\n", what, rc, strerror(errno));
        _exit(WRONG);
    }
}

static long open_at(const char *name, int flags) {
    char path[PATH_MAX_HERE];
    return open(below(name, path), flags | O_CLOEXEC, 0600);
}

static void write_file(const char *name) {
    int fd = (int)open_at(name, O_WRONLY | O_CREAT);
    if (fd < 0 || write(fd, "x", 1) != 1) {
        exit(WRONG);
    }
    close(fd);
}

static int bind_any(int type) {
    const struct sockaddr_in any = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);
    return fd < 0 ? -1 : bind(fd, (const struct sockaddr *)&any, sizeof any);
}

/* ---- files */

static int confine_files(etxd_config *config, unsigned *ret_version) {
    char why[160] = "";
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
        etxd_landlock(config, ret_version, why, sizeof why) != 0) {
        printf("SKIP: %s\n", why);
        fflush(stdout);
        return -1;
    }
    return 0;
}

static int child_of_files(void) {
    char home[PATH_MAX_HERE + 8], tokens[PATH_MAX_HERE], path[PATH_MAX_HERE];
    char state[PATH_MAX_HERE];
    char *items[] = {home};
    char nothing[] = "";
    unsigned version = 0;
    etxd_config config = {.home = {items, 1},
                          .state = state,
                          .token_file = tokens,
                          .tls_certificate = nothing,
                          .tls_key = nothing,
                          .tls_client_ca = nothing,
                          .call_ca = nothing,
                          .call_certificate = nothing,
                          .call_key = nothing,
                          .trace_ca = nothing,
                          .sign_key = nothing};
    snprintf(home, sizeof home, "file:%s/home?partitions=1", folder);
    below("conf/tokens", tokens);
    below("kept", state);
    if (confine_files(&config, &version) != 0) {
        return SKIPPED;
    }
    expect(open_at("home/new", O_RDWR | O_CREAT) >= 0, "a file in the home");
    expect(open_at("kept/new", O_RDWR | O_CREAT) >= 0, "a file in the state directory");
    expect(rename(below("kept/new", state), below("kept/file", path)) == 0, "renaming it");
    expect(unlink(path) == 0, "removing it");
    expect(rename(below("home/new", path), tokens) != 0, "nothing leaves the home");
    expect(unlink(below("home/new", path)) == 0, "removing it");
    expect(open_at("conf/tokens", O_RDONLY) >= 0, "reading the tokens");
    forbid(open_at("conf/tokens", O_WRONLY), EACCES, "writing the tokens");
    forbid(open_at("other", O_RDONLY), EACCES, "reading what nobody named");
    forbid(open_at("mine", O_WRONLY | O_CREAT), EACCES, "a file elsewhere");
    forbid(mkdir(below("home/sub", path), 0700), EACCES, "a directory in the home");
    forbid(unlink(below("other", path)), EACCES, "removing what is elsewhere");
    forbid(open("/etc/passwd", O_WRONLY | O_CLOEXEC), EACCES, "writing what is the system's");
    expect(open("/etc/hosts", O_RDONLY | O_CLOEXEC) >= 0, "reading what is the system's");
    forbid(execl("/bin/true", "true", (char *)NULL), EACCES, "a program");
    if (version >= 4) {
        forbid(bind_any(SOCK_STREAM), EACCES, "a port");
    }
    expect(bind_any(SOCK_DGRAM) == 0, "a port of UDP");
    return GOOD;
}

/* ---- system calls */

static pthread_barrier_t confined;

/* It was there before. */
static void *run_thread(void *user) {
    (void)user;
    pthread_barrier_wait(&confined);
    forbid(syscall(SYS_unshare, CLONE_NEWUSER), EPERM, "in a thread that was there before");
    return NULL;
}

static void *run_nothing(void *user) {
    return user;
}

static void expect_calls_that_serving_needs(void) {
    pthread_t thread;
    struct addrinfo *found = NULL;
    void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    expect(page != MAP_FAILED && munmap(page, 4096) == 0, "memory");
    expect(pthread_create(&thread, NULL, run_nothing, NULL) == 0, "a thread");
    expect(pthread_join(thread, NULL) == 0, "its end");
    expect(getaddrinfo("localhost", "80", NULL, &found) == 0, "a name");
    freeaddrinfo(found);
    expect(socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0) >= 0 || errno == EAFNOSUPPORT, "TCP");
    expect(bind_any(SOCK_DGRAM) == 0, "UDP");
}

static int child_of_calls(void) {
    char why[160] = "";
    pthread_t before;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    pthread_barrier_init(&confined, NULL, 2);
    expect(pthread_create(&before, NULL, run_thread, NULL) == 0, "a thread before");
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || etxd_seccomp(why, sizeof why) != 0) {
        printf("SKIP: %s\n", why);
        fflush(stdout);
        return SKIPPED;
    }
    pthread_barrier_wait(&confined);
    expect_calls_that_serving_needs();
    forbid(execl("/bin/true", "true", (char *)NULL), EPERM, "execve");
    forbid(syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0), EPERM, "a process");
    forbid(ptrace(PTRACE_TRACEME, 0, 0, 0), EPERM, "ptrace");
    forbid(socket(AF_INET, SOCK_RAW, IPPROTO_ICMP), EPERM, "a raw socket");
    forbid(socket(AF_PACKET, SOCK_RAW, 0), EPERM, "a packet socket");
    forbid(listen(listener, 1), EPERM, "listen");
    forbid(syscall(SYS_unshare, CLONE_NEWUSER), EPERM, "unshare");
    forbid(syscall(SYS_setuid, 0), EPERM, "setuid");
    forbid(syscall(SYS_mount, "a", "/", "tmpfs", 0, NULL), EPERM, "mount");
    forbid(syscall(SYS_io_uring_setup, 1, NULL), EPERM, "io_uring");
    forbid((long)(intptr_t)mmap(NULL, 4096, PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1,
                                0),
           EPERM, "memory that is writable and executable");
    expect(pthread_join(before, NULL) == 0, "the thread from before");
    return GOOD;
}

/* ---- */

static int run_child(int (*body)(void)) {
    int status = 0;
    pid_t child = fork();
    if (child == 0) {
        _exit(body());
    }
    if (child < 0 || waitpid(child, &status, 0) != child || !WIFEXITED(status)) {
        return WRONG;
    }
    return WEXITSTATUS(status);
}

static void remove_all(void) {
    static const char *const names[] = {"home/new",    "kept/new", "kept/file",
                                        "conf/tokens", "other",    "mine"};
    static const char *const folders[] = {"home/sub", "home", "kept", "conf", ""};
    char path[PATH_MAX_HERE];
    size_t i;
    for (i = 0; i < sizeof names / sizeof names[0]; i++) {
        (void)unlink(below(names[i], path));
    }
    for (i = 0; i < sizeof folders / sizeof folders[0]; i++) {
        (void)rmdir(below(folders[i], path));
    }
}

int main(void) {
    char path[PATH_MAX_HERE];
    int files, calls;
    snprintf(folder, sizeof folder, "/tmp/etxd-confine-XXXXXX");
    if (mkdtemp(folder) == NULL || mkdir(below("conf", path), 0700) != 0) {
        return WRONG;
    }
    write_file("conf/tokens");
    write_file("other");
    files = run_child(child_of_files);
    calls = run_child(child_of_calls);
    remove_all();
    printf("files: %d, system calls: %d\n", files, calls);
    return files == WRONG || calls == WRONG       ? WRONG
           : files == SKIPPED || calls == SKIPPED ? SKIPPED
           : files == GOOD && calls == GOOD       ? GOOD
                                                  : WRONG;
}
