/* The lock of a file log's directory: one process, and in it one engine.
 *
 * `lock` carries a POSIX record lock: it ends with our process whatever children we leave behind,
 * which flock and open-file-description locks do not. But it does not exclude a second open in
 * the same process, and it is gone when the process closes any descriptor of the file: a backup or
 * a checksum made in our process ends it, and we hear nothing of it. So `owner` names the process
 * (pid, start time, boot and pid namespace), and keeps others out as long as that process lives and
 * has the log open, whatever became of the lock; a close of any kind takes the name away. A second
 * open here is refused by it before `lock` is touched, and a brief flock on the directory
 * serialises those who look. An `owner` left by a process that is dead, of another boot or pid
 * namespace, or that went on as another program (exec), counts for nothing: then the lock decides.
 *
 * Somebody may remove `lock`, or the lock may be gone: the log itself looks before each new segment
 * whether it still has the directory, and takes the lock again if nobody came between. */
#include "file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define OWNER_SIZE 64
#define HERE_SIZE 32

/* Field 22 of /proc/PID/stat, behind the last ')'; 0: there is no such process, or it is dead and
 * only waited for: a zombie (field 3) of one thread (field 20). One whose first thread has ended
 * before others looks like one, but has more. */
static unsigned long long process_start(long pid) {
    char stat[1024];
    char path[64];
    unsigned long long start = 0;
    size_t len = 0;
    int fd;
    snprintf(path, sizeof path, "/proc/%ld/stat", pid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0 && !etx__file_read(fd, stat, sizeof stat - 1, 0, &len)) {
        stat[len] = 0;
        const char *at = strrchr(stat, ')');
        int zombie = at && (strncmp(at, ") Z", 3) == 0 || strncmp(at, ") X", 3) == 0);
        for (int field = 2; at && field < 22; field++) {
            at = strchr(at + 1, ' ');
            if (field + 1 == 20 && at && zombie && strtol(at + 1, NULL, 10) <= 1)
                at = NULL;
        }
        if (at)
            start = strtoull(at + 1, NULL, 10);
    }
    if (fd >= 0)
        close(fd);
    return start;
}

/* Where a pid means what it says: 32 bits of the boot's id, and the pid namespace. */
static void here_describe(char text[HERE_SIZE]) {
    char boot[9] = "";
    struct stat space = {0};
    size_t len = 0;
    int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        if (etx__file_read(fd, boot, sizeof boot - 1, 0, &len))
            len = 0;
        close(fd);
    }
    boot[len] = 0;
    if (stat("/proc/self/ns/pid", &space))
        space.st_ino = 0;
    snprintf(text, HERE_SIZE, "%s-%llx", boot, (unsigned long long)space.st_ino);
}

/* "pid starttime boot-namespace" */
static void owner_describe(char text[OWNER_SIZE]) {
    char here[HERE_SIZE];
    here_describe(here);
    memset(text, 0, OWNER_SIZE);
    snprintf(text, OWNER_SIZE, "%ld %llu %s\n", (long)getpid(), process_start((long)getpid()),
             here);
}

/* 0: there is no such file, or it cannot be read. */
static int owner_read(int dir_fd, char text[OWNER_SIZE]) {
    int fd = etx__file_open_at(dir_fd, "owner", O_RDONLY);
    size_t len = 0;
    if (fd >= 0) {
        if (etx__file_read(fd, text, OWNER_SIZE, 0, &len))
            len = 0;
        close(fd);
    }
    memset(text + len, 0, OWNER_SIZE - len);
    text[OWNER_SIZE - 1] = 0;
    return fd >= 0;
}

static int is_same(const struct stat *left, const struct stat *right) {
    return left->st_dev == right->st_dev && left->st_ino == right->st_ino;
}

/* Does a process have one of the two open? `fds` is its /proc/PID/fd. 1 also where that cannot be
 * told. */
static int has_open(const char *fds, const struct stat *one, const struct stat *other) {
    struct stat found;
    const struct dirent *entry;
    int here = 0;
    DIR *dir = opendir(fds);
    if (!dir)
        return 1;
    while (!here && (entry = readdir(dir)) != NULL) {
        if (entry->d_name[0] == '.' || fstatat(dirfd(dir), entry->d_name, &found, 0))
            continue;
        here = is_same(&found, one) || is_same(&found, other);
    }
    closedir(dir);
    return here;
}

/* Does this process have `lock` open? 1 also where that cannot be told. */
static int lock_open_here(int dir_fd) {
    struct stat lock;
    return !fstatat(dir_fd, "lock", &lock, 0) && has_open("/proc/self/fd", &lock, &lock);
}

/* Does another process have the directory open, or its lock? 1 also where that cannot be told. */
static int log_open_there(int dir_fd, long pid) {
    struct stat directory;
    struct stat lock;
    char path[64];
    if (fstat(dir_fd, &directory))
        return 1;
    if (fstatat(dir_fd, "lock", &lock, 0))
        lock = directory;
    snprintf(path, sizeof path, "/proc/%ld/fd", pid);
    return has_open(path, &directory, &lock);
}

/* The process that `owner` names, if it lives and has the log open; else 0. */
static long owner_alive(int dir_fd) {
    char text[OWNER_SIZE];
    char here[HERE_SIZE];
    char *end = NULL;
    owner_read(dir_fd, text);
    long pid = strtol(text, &end, 10);
    unsigned long long start = strtoull(end, &end, 10);
    size_t len = strcspn(end + (*end == ' '), "\n");
    here_describe(here);
    if (len && (len != strlen(here) || memcmp(end + 1, here, len) != 0))
        return 0;
    if (pid <= 0 || !start || process_start(pid) != start)
        return 0;
    return pid == (long)getpid() || log_open_there(dir_fd, pid) ? pid : 0;
}

/* `lock` was removed under a process that has the log open: who that is; else 0. */
static long lock_removed(int dir_fd) {
    struct stat found;
    return fstatat(dir_fd, "lock", &found, 0) && errno == ENOENT ? owner_alive(dir_fd) : 0;
}

/* We have the lock, or could; but its process has lost it without ending: who that is; else 0. */
static long lock_lost(int dir_fd) {
    long owner = owner_alive(dir_fd);
    return owner == (long)getpid() ? 0 : owner;
}

/* Always the same length, in place: that works on a full disk too. */
static int owner_write(int dir_fd, const char text[OWNER_SIZE]) {
    int fd = etx__file_open_at(dir_fd, "owner", O_WRONLY | O_CREAT);
    int error = fd < 0 ? errno : 0;
    if (!error)
        etx__file_own(dir_fd, fd);
    if (!error)
        error = etx__file_write(fd, text, OWNER_SIZE, 0);
    if (fd >= 0)
        close(fd);
    return error;
}

static int held_by_us(int dir_fd) {
    char mine[OWNER_SIZE];
    char theirs[OWNER_SIZE];
    owner_describe(mine);
    owner_read(dir_fd, theirs);
    return strcmp(mine, theirs) == 0 && lock_open_here(dir_fd);
}

/* Waits up to five seconds for the others who look. 0 or an errno. */
static int guard_take(int dir_fd) {
    const struct timespec pause = {.tv_nsec = 10 * 1000 * 1000};
    for (int i = 0; i < 500; i++) {
        if (!flock(dir_fd, LOCK_EX | LOCK_NB))
            return 0;
        if (errno != EWOULDBLOCK && errno != EINTR)
            return errno;
        nanosleep(&pause, NULL);
    }
    return EWOULDBLOCK;
}

static int refused(const etx__file_log *log, int fd, const etx__file_words *words) {
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    char owner[OWNER_SIZE];
    long pid = 0;
    if (!fcntl(fd, F_GETLK, &lock) && lock.l_type != F_UNLCK)
        pid = (long)lock.l_pid;
    owner_read(log->dir_fd, owner);
    if (pid <= 0)
        pid = strtol(owner, NULL, 10);
    return etx__file_say(words, ETX_EBUSY,
                         "%s is in use by the process %ld: end it first, or give this one a "
                         "directory of its own",
                         log->dir, pid);
}

static int lock_take(etx__file_log *log, const etx__file_words *words) {
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    char mine[OWNER_SIZE];
    long owner;
    int error;
    int rc;
    int fd;
    if (held_by_us(log->dir_fd))
        return etx__file_say(
            words, ETX_EBUSY,
            "%s is in use by this process (%ld): another engine has it open, or one "
            "engine has it twice in its list of homes",
            log->dir, (long)getpid());
    owner = lock_removed(log->dir_fd);
    if (owner)
        return etx__file_say(words, ETX_EBUSY,
                             "%s is in use by the process %ld, though its file 'lock' was removed: "
                             "end that process first",
                             log->dir, owner);
    fd = etx__file_open_at(log->dir_fd, "lock", O_RDWR | O_CREAT);
    if (fd >= 0)
        etx__file_own(log->dir_fd, fd);
    if (fd < 0 && errno != EACCES && errno != EPERM && errno != EROFS)
        return etx__file_say(words, ETX_EIO, "cannot open %s/lock for writing: %s", log->dir,
                             etx__file_why(errno));
    if (fd < 0)
        return etx__file_say(
            words, ETX_EINVALID,
            "cannot open %s/lock for writing: %s; %s. (To look, reading is enough: 'etx log show', "
            "'etx tx list', ETX_READ_ONLY)",
            log->dir, strerror(errno),
            etx__file_remedy(errno, "use the account that the directory belongs to"));
    if (fcntl(fd, F_SETLK, &lock)) {
        rc = errno == EACCES || errno == EAGAIN
                 ? refused(log, fd, words)
                 : etx__file_say(words, ETX_EIO, "cannot lock %s: %s", log->dir, strerror(errno));
        close(fd);
        return rc;
    }
    owner = lock_lost(log->dir_fd);
    if (owner) {
        close(fd);
        return etx__file_say(words, ETX_EBUSY,
                             "%s is in use by the process %ld, though its lock is gone (it closed "
                             "a descriptor of the file 'lock'): end that process first",
                             log->dir, owner);
    }
    owner_describe(mine);
    error = owner_write(log->dir_fd, mine);
    if (error) {
        close(fd);
        return etx__file_say(words, etx__file_error_code(error), "cannot write %s/owner: %s",
                             log->dir, etx__file_why(error));
    }
    log->lock_fd = fd;
    return 0;
}

/* Errors: ETX_EBUSY (by whom is in the words), ETX_EINVALID (may not be written), ETX_EIO. */
int etx__file_lock_take(etx__file_log *log, const etx__file_words *words) {
    int error = guard_take(log->dir_fd);
    int rc;
    if (error)
        return etx__file_say(words, error == EWOULDBLOCK ? ETX_EBUSY : ETX_EIO,
                             "cannot look at the lock of %s: %s", log->dir, strerror(error));
    rc = lock_take(log, words);
    flock(log->dir_fd, LOCK_UN);
    return rc;
}

/* All is as it was, but for the lock, perhaps, which nobody has: it is ours from here on. Without
 * the guard: who comes just now has the lock by then, or is kept out by it. */
static int lock_kept(const etx__file_log *log, const struct stat *held) {
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    char mine[OWNER_SIZE];
    char found[OWNER_SIZE];
    struct stat there;
    owner_describe(mine);
    owner_read(log->dir_fd, found);
    return !fstatat(log->dir_fd, "lock", &there, 0) && is_same(&there, held) &&
           strcmp(mine, found) == 0 && !fcntl(log->lock_fd, F_SETLK, &lock);
}

/* The lock once more, whether it was lost or not, or removed, as long as `owner` says that nobody
 * came between. Who only removed `owner` gets it back. */
static int lock_again(etx__file_log *log, const struct stat *held) {
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    char mine[OWNER_SIZE];
    char found[OWNER_SIZE];
    struct stat there;
    int named = owner_read(log->dir_fd, found);
    int same = !fstatat(log->dir_fd, "lock", &there, 0) && is_same(&there, held);
    int fd = log->lock_fd;
    owner_describe(mine);
    if (!same)
        fd = etx__file_open_at(log->dir_fd, "lock", O_RDWR | O_CREAT);
    if (fd < 0)
        return errno;
    if ((named ? strcmp(mine, found) != 0 : !same) || fcntl(fd, F_SETLK, &lock)) {
        if (!same)
            close(fd);
        return ESTALE;
    }
    if (!named)
        owner_write(log->dir_fd, mine);
    if (same)
        return 0;
    etx__file_own(log->dir_fd, fd);
    close(log->lock_fd);
    log->lock_fd = fd;
    return 0;
}

/* Is the directory still ours? A lock that was lost or removed is taken again. 0, ENOENT (the
 * directory is gone) or ESTALE (another may have had the log meanwhile). */
int etx__file_lock_check(etx__file_log *log) {
    struct stat held;
    int error;
    if (fstat(log->lock_fd, &held) || lock_kept(log, &held))
        return 0;
    error = guard_take(log->dir_fd);
    if (error)
        return error;
    error = lock_again(log, &held);
    flock(log->dir_fd, LOCK_UN);
    return error;
}

/* Whoever has the log by now keeps it. */
void etx__file_lock_drop(etx__file_log *log) {
    const char nobody[OWNER_SIZE] = {0};
    char mine[OWNER_SIZE];
    char found[OWNER_SIZE];
    int guarded;
    if (log->lock_fd < 0)
        return;
    guarded = !guard_take(log->dir_fd);
    owner_describe(mine);
    owner_read(log->dir_fd, found);
    if (strcmp(mine, found) == 0)
        owner_write(log->dir_fd, nobody);
    close(log->lock_fd);
    log->lock_fd = -1;
    if (guarded)
        flock(log->dir_fd, LOCK_UN);
}

/* Does anyone have the log open? Takes nothing, and never touches `lock` if we hold it. */
int etx__file_lock_probe(const char *dir, int *ret_pid) {
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    int dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int in_use = 0;
    int guarded;
    int fd;
    *ret_pid = 0;
    if (dir_fd < 0)
        return 0;
    guarded = !guard_take(dir_fd);
    if (held_by_us(dir_fd)) {
        in_use = 1;
        *ret_pid = (int)getpid();
    } else if (guarded && (fd = etx__file_open_at(dir_fd, "lock", O_RDONLY)) >= 0) {
        in_use = !fcntl(fd, F_GETLK, &lock) && lock.l_type != F_UNLCK;
        *ret_pid = in_use && lock.l_pid > 0 ? (int)lock.l_pid : 0;
        close(fd);
        if (!in_use) {
            *ret_pid = (int)lock_lost(dir_fd);
            in_use = *ret_pid != 0;
        }
    } else {
        *ret_pid = (int)lock_removed(dir_fd);
        in_use = *ret_pid != 0;
    }
    if (guarded)
        flock(dir_fd, LOCK_UN);
    close(dir_fd);
    return in_use;
}
