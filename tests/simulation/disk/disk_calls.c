/* The wrapped functions that work on an open file: read, write, sync, allocate, stat, lock. */
#include "disk_calls.h"

#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#define MAGIC_EXT4 0xef53

static int is_ours(int fd) {
    return fd >= DISK_FD_BASE && fd < DISK_FD_BASE + DISK_FDS;
}

/* O_DIRECT wants sectors. */
static int is_aligned(const disk_fd *open, const void *data, size_t len, int64_t offset) {
    return !(open->flags & O_DIRECT) ||
           ((uintptr_t)data | len | (uint64_t)offset) % DISK_SECTOR == 0;
}

/* ---- reading */

static long file_read(int fd, void *to, size_t len, int64_t offset) {
    const disk_fd *open = disk_fd_of(fd);
    const disk_inode *inode;
    disk_fault fault;
    if (!open || offset < 0)
        return disk_leave(0, open ? EINVAL : EBADF);
    if (open->proc)
        return disk_leave(disk_proc_read(to, len, (uint64_t)offset), 0);
    inode = open->on->inodes[open->inode];
    if (inode->is_dir || !is_aligned(open, to, len, offset))
        return disk_leave(0, inode->is_dir ? EISDIR : EINVAL);
    if (disk_begin(open->on, DISK_READ, disk_name_of(open->on, open->inode), &fault)) {
        if (fault.error)
            return disk_leave(0, fault.error);
        len = fault.first < len ? fault.first : len;
    }
    if ((uint64_t)offset >= inode->size)
        return disk_leave(0, 0);
    if (len > inode->size - (uint64_t)offset)
        len = inode->size - (uint64_t)offset;
    disk_bytes_read(inode, to, len, (uint64_t)offset);
    return disk_leave((long)len, 0);
}

DISK_WRAP(ssize_t, pread64, int fd, void *to, size_t len, off64_t offset) {
    if (!is_ours(fd))
        return __real_pread64(fd, to, len, offset);
    disk_lock();
    return file_read(fd, to, len, offset);
}

DISK_WRAP(ssize_t, pread, int fd, void *to, size_t len, off64_t offset) {
    return is_ours(fd) ? __wrap_pread64(fd, to, len, offset) : __real_pread(fd, to, len, offset);
}

/* ---- writing */

/* How much of a write there is space for. */
static size_t room_for(disk *on, uint32_t index, size_t len, uint64_t offset) {
    uint64_t allocated = on->inodes[index]->allocated;
    uint64_t have = (allocated + DISK_PAGE - 1) / DISK_PAGE * DISK_PAGE;
    uint64_t used;
    if (on->limit == UINT64_MAX || offset + len <= have)
        return len;
    used = disk_used(on);
    have += used < on->limit ? (on->limit - used) / DISK_PAGE * DISK_PAGE : 0;
    if (offset >= have)
        return 0;
    return offset + len <= have ? len : (size_t)(have - offset);
}

/* A write that fails: O_DIRECT has not gone further; through the cache all is seen, and what the
 * sync in it has not written is dropped. */
static void write_failed(const disk_fd *open, const disk_step *step, const disk_fault *fault) {
    size_t first = fault->first < step->len ? fault->first : step->len;
    size_t seen = open->flags & O_DSYNC && !(open->flags & O_DIRECT) ? step->len : first;
    if (seen)
        disk_bytes_write(open->on, open->inode, step->data, seen, step->offset);
    if (!(open->flags & O_DSYNC))
        return;
    if (first)
        disk_range_sync(open->on, open->inode, step->offset, step->offset + first);
    disk_file_drop(open->on, open->inode, 0);
}

static long file_write(int fd, const void *data, size_t len, int64_t offset) {
    disk_fd *open = disk_fd_of(fd);
    disk_step step = {.kind = DISK_WRITE, .offset = (uint64_t)offset, .data = data};
    disk_fault fault = {0};
    disk *on;
    uint32_t index;
    int durable;
    if (!open || open->proc || (open->flags & O_ACCMODE) == O_RDONLY)
        return disk_leave(0, EBADF);
    if (offset < 0 || !is_aligned(open, data, len, offset))
        return disk_leave(0, EINVAL);
    on = open->on;
    index = open->inode;
    durable = open->flags & O_DSYNC;
    step.name = disk_name_of(on, index);
    step.len = len;
    if (disk_begin(on, DISK_WRITE, step.name, &fault) && !fault.error)
        step.len = fault.first < len ? fault.first : len;
    step.error = fault.error;
    if (!step.error)
        step.len = room_for(on, index, step.len, (uint64_t)offset);
    if (len && !step.len && !fault.at)
        step.error = ENOSPC;
    if (fault.error)
        write_failed(open, &step, &fault);
    else if (step.len)
        disk_bytes_write(on, index, data, step.len, (uint64_t)offset);
    disk_tell(on, &step);
    if (!step.error && durable && step.len)
        disk_range_sync(on, index, (uint64_t)offset, (uint64_t)offset + step.len);
    return disk_leave((long)step.len, step.error);
}

DISK_WRAP(ssize_t, pwrite64, int fd, const void *data, size_t len, off64_t offset) {
    if (!is_ours(fd))
        return __real_pwrite64(fd, data, len, offset);
    disk_lock();
    return file_write(fd, data, len, offset);
}

DISK_WRAP(ssize_t, pwrite, int fd, const void *data, size_t len, off64_t offset) {
    return is_ours(fd) ? __wrap_pwrite64(fd, data, len, offset)
                       : __real_pwrite(fd, data, len, offset);
}

static long file_allocate(int fd, int mode, int64_t offset, int64_t len) {
    const disk_fd *open = disk_fd_of(fd);
    disk_step step = {.kind = DISK_ALLOCATE, .offset = (uint64_t)offset, .len = (size_t)len};
    disk_fault fault = {0};
    uint64_t end = (uint64_t)(offset + len);
    if (!open || open->proc || mode || offset < 0 || len <= 0)
        return disk_leave(0, open ? EOPNOTSUPP : EBADF);
    step.name = disk_name_of(open->on, open->inode);
    if (disk_begin(open->on, DISK_ALLOCATE, step.name, &fault))
        step.error = fault.error;
    else if (room_for(open->on, open->inode, step.len, step.offset) < step.len)
        step.error = ENOSPC;
    else if (end > open->on->inodes[open->inode]->size)
        disk_size_set(open->on, open->inode, end);
    disk_tell(open->on, &step);
    return disk_leave(0, step.error);
}

DISK_WRAP(int, fallocate64, int fd, int mode, off64_t offset, off64_t len) {
    if (!is_ours(fd))
        return __real_fallocate64(fd, mode, offset, len);
    disk_lock();
    return (int)file_allocate(fd, mode, offset, len);
}

DISK_WRAP(int, fallocate, int fd, int mode, off64_t offset, off64_t len) {
    return is_ours(fd) ? __wrap_fallocate64(fd, mode, offset, len)
                       : __real_fallocate(fd, mode, offset, len);
}

/* ---- syncing */

static long file_sync(int fd) {
    const disk_fd *open = disk_fd_of(fd);
    disk_step step = {.kind = DISK_SYNC};
    disk_fault fault = {0};
    disk *on;
    uint32_t index;
    if (!open || open->proc)
        return disk_leave(0, EBADF);
    on = open->on;
    index = open->inode;
    if (on->inodes[index]->is_dir)
        step.kind = DISK_SYNC_DIR;
    step.name = disk_name_of(on, index);
    if (disk_begin(on, step.kind, step.name, &fault))
        step.error = fault.error;
    if (step.error && step.kind == DISK_SYNC)
        disk_file_drop(on, index, fault.keep);
    disk_tell(on, &step);
    if (step.error)
        return disk_leave(0, step.error);
    if (step.kind == DISK_SYNC)
        disk_range_sync(on, index, 0, UINT64_MAX);
    else
        disk_dir_sync(on, index, on->inodes[index]->change_count);
    return disk_leave(0, 0);
}

DISK_WRAP(int, fsync, int fd) {
    if (!is_ours(fd))
        return __real_fsync(fd);
    disk_lock();
    return (int)file_sync(fd);
}

DISK_WRAP(int, fdatasync, int fd) {
    if (!is_ours(fd))
        return __real_fdatasync(fd);
    disk_lock();
    return (int)file_sync(fd);
}

/* ---- what is known of a file */

static void stat_fill(const disk *on, uint32_t index, struct stat *ret_stat) {
    const disk_inode *inode = on->inodes[index];
    memset(ret_stat, 0, sizeof *ret_stat);
    ret_stat->st_dev = on->device;
    ret_stat->st_ino = inode->number;
    ret_stat->st_mode = inode->is_dir ? S_IFDIR | 0700 : S_IFREG | 0600;
    ret_stat->st_size = (off_t)inode->size;
    ret_stat->st_uid = 0;
    ret_stat->st_gid = 0;
    ret_stat->st_nlink = 1;
}

static long file_stat(int fd, struct stat *ret_stat) {
    const disk_fd *open = disk_fd_of(fd);
    disk_fault fault;
    if (!open)
        return disk_leave(0, EBADF);
    if (open->proc) {
        memset(ret_stat, 0, sizeof *ret_stat);
        return disk_leave(0, 0);
    }
    if (disk_begin(open->on, DISK_STAT, disk_name_of(open->on, open->inode), &fault))
        return disk_leave(0, fault.error);
    stat_fill(open->on, open->inode, ret_stat);
    return disk_leave(0, 0);
}

DISK_WRAP(int, fstat64, int fd, struct stat *ret_stat) {
    if (!is_ours(fd))
        return __real_fstat64(fd, ret_stat);
    disk_lock();
    return (int)file_stat(fd, ret_stat);
}

DISK_WRAP(int, fstat, int fd, struct stat *ret_stat) {
    return is_ours(fd) ? __wrap_fstat64(fd, ret_stat) : __real_fstat(fd, ret_stat);
}

/* An entry of /proc/self/fd leads to what is open under that number. */
static long proc_stat(const char *name, struct stat *ret_stat) {
    int fd = 0;
    for (; *name >= '0' && *name <= '9' && fd < DISK_FD_BASE * 2; name++)
        fd = fd * 10 + (*name - '0');
    return file_stat(fd, ret_stat);
}

DISK_WRAP(int, fstatat64, int at, const char *path, struct stat *ret_stat, int flags) {
    const disk_fd *open;
    disk_place place;
    disk_fault fault;
    disk *on;
    int error = 0;
    disk_lock();
    open = disk_fd_of(at);
    if (open && open->proc)
        return (int)proc_stat(path, ret_stat);
    if (!disk_at(at, path, &on, &place, &error)) {
        disk_leave(0, 0);
        return __real_fstatat64(at, path, ret_stat, flags);
    }
    if (!error && disk_begin(on, DISK_STAT, place.name, &fault))
        error = fault.error;
    if (!error && place.inode == DISK_NONE)
        error = ENOENT;
    if (!error)
        stat_fill(on, place.inode, ret_stat);
    return (int)disk_leave(0, error);
}

DISK_WRAP(int, fstatat, int at, const char *path, struct stat *ret_stat, int flags) {
    return __wrap_fstatat64(at, path, ret_stat, flags);
}

DISK_WRAP(int, fstatfs64, int fd, struct statfs *ret_stat) {
    const disk_fd *open;
    disk_fault fault;
    if (!is_ours(fd))
        return __real_fstatfs64(fd, ret_stat);
    disk_lock();
    open = disk_fd_of(fd);
    if (!open || open->proc)
        return (int)disk_leave(0, EBADF);
    if (disk_begin(open->on, DISK_STAT, "", &fault))
        return (int)disk_leave(0, fault.error);
    memset(ret_stat, 0, sizeof *ret_stat);
    ret_stat->f_type = MAGIC_EXT4;
    return (int)disk_leave(0, 0);
}

DISK_WRAP(int, fstatfs, int fd, struct statfs *ret_stat) {
    return is_ours(fd) ? __wrap_fstatfs64(fd, ret_stat) : __real_fstatfs(fd, ret_stat);
}

DISK_WRAP(int, posix_fadvise64, int fd, off64_t offset, off64_t len, int advice) {
    return is_ours(fd) ? 0 : __real_posix_fadvise64(fd, offset, len, advice);
}

DISK_WRAP(int, posix_fadvise, int fd, off64_t offset, off64_t len, int advice) {
    return is_ours(fd) ? 0 : __real_posix_fadvise(fd, offset, len, advice);
}

DISK_WRAP(int, fchown, int fd, uid_t owner, gid_t group) {
    return is_ours(fd) ? 0 : __real_fchown(fd, owner, group);
}

/* ---- locks: one process, so a record lock is free always; flock excludes other descriptors */

static int flock_taken(const disk_fd *open) {
    const disk_table *table = disk_table_now();
    for (int i = 0; i < table->fd_high; i++) {
        const disk_fd *other = &table->fds[i];
        if (other != open && other->flocked && other->on == open->on && other->inode == open->inode)
            return 1;
    }
    return 0;
}

DISK_WRAP(int, flock, int fd, int operation) {
    disk_fd *open;
    disk_fault fault;
    if (!is_ours(fd))
        return __real_flock(fd, operation);
    disk_lock();
    open = disk_fd_of(fd);
    if (!open || open->proc)
        return (int)disk_leave(0, EBADF);
    if (operation & LOCK_UN) {
        open->flocked = 0;
        return (int)disk_leave(0, 0);
    }
    if (disk_begin(open->on, DISK_LOCK, "", &fault))
        return (int)disk_leave(0, fault.error);
    if (flock_taken(open))
        return (int)disk_leave(0, EWOULDBLOCK);
    open->flocked = 1;
    return (int)disk_leave(0, 0);
}

static int file_fcntl(int fd, int command, void *argument) {
    const disk_fd *open = disk_fd_of(fd);
    disk_fault fault;
    if (!open || open->proc)
        return (int)disk_leave(0, EBADF);
    if (command != F_SETLK && command != F_GETLK)
        return (int)disk_leave(0, EINVAL);
    if (disk_begin(open->on, DISK_LOCK, disk_name_of(open->on, open->inode), &fault))
        return (int)disk_leave(0, fault.error);
    if (command == F_GETLK)
        ((struct flock *)argument)->l_type = F_UNLCK;
    return (int)disk_leave(0, 0);
}

DISK_WRAP(int, fcntl64, int fd, int command, ...) {
    va_list args;
    void *argument;
    va_start(args, command);
    argument = va_arg(args, void *);
    va_end(args);
    if (!is_ours(fd))
        return __real_fcntl64(fd, command, argument);
    disk_lock();
    return file_fcntl(fd, command, argument);
}

DISK_WRAP(int, fcntl, int fd, int command, ...) {
    va_list args;
    void *argument;
    va_start(args, command);
    argument = va_arg(args, void *);
    va_end(args);
    return is_ours(fd) ? __wrap_fcntl64(fd, command, argument)
                       : __real_fcntl(fd, command, argument);
}
