/* The wrapped functions that work on names: open, close, rename, remove, make, list. */
#include "disk_calls.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

int disk_at(int at, const char *path, disk **ret_on, disk_place *ret_place, int *ret_error) {
    const disk_fd *open;
    const char *below = path;
    *ret_error = 0;
    if (path[0] == '/') {
        *ret_on = disk_of_path(path, &below);
        if (!*ret_on && strncmp(path, "/sim/", 5) == 0)
            *ret_error = ENOENT;
        else if (*ret_on)
            *ret_error = disk_walk(*ret_on, DISK_ROOT, below, ret_place);
        return *ret_on || *ret_error;
    }
    open = disk_fd_of(at);
    if (!open || open->proc)
        return 0;
    *ret_on = open->on;
    *ret_error = open->on->inodes[open->inode]->is_dir
                     ? disk_walk(open->on, open->inode, path, ret_place)
                     : ENOTDIR;
    return 1;
}

/* ---- opening */

static long file_create(disk *on, const disk_place *place, int flags) {
    disk_step step = {.kind = DISK_CREATE, .name = place->name};
    disk_fault fault = {0};
    uint32_t inode;
    int fd = -1;
    if (disk_begin(on, DISK_CREATE, place->name, &fault)) {
        step.error = fault.error;
    } else {
        inode = disk_inode_new(on, 0, place->dir);
        fd = disk_fd_open(on, inode, flags);
        if (fd >= 0)
            disk_dir_change(on, place->dir, "", place->name, inode);
        else
            step.error = EMFILE;
    }
    disk_tell(on, &step);
    return disk_leave(fd, step.error);
}

static long file_open(disk *on, const disk_place *place, int flags) {
    const disk_inode *inode;
    disk_fault fault;
    int fd;
    if (place->inode == DISK_NONE && flags & O_CREAT)
        return file_create(on, place, flags);
    if (disk_begin(on, DISK_OPEN, place->name, &fault))
        return disk_leave(0, fault.error);
    if (place->inode == DISK_NONE)
        return disk_leave(0, ENOENT);
    inode = on->inodes[place->inode];
    if (flags & O_CREAT && flags & O_EXCL)
        return disk_leave(0, EEXIST);
    if (inode->is_dir && (flags & O_ACCMODE) != O_RDONLY)
        return disk_leave(0, EISDIR);
    if (flags & O_DIRECTORY && !inode->is_dir)
        return disk_leave(0, ENOTDIR);
    fd = disk_fd_open(on, place->inode, flags);
    if (fd < 0)
        return disk_leave(0, EMFILE);
    if (flags & O_TRUNC && inode->size) {
        disk_step step = {.kind = DISK_WRITE, .name = place->name};
        disk_size_set(on, place->inode, 0);
        disk_tell(on, &step);
    }
    return disk_leave(fd, 0);
}

static disk_proc proc_kind(const char *path) {
    size_t len = strlen(path);
    if (!disk_alone() || strncmp(path, "/proc/", 6) != 0)
        return DISK_PROC_NONE;
    if (strcmp(path, "/proc/self/fd") == 0)
        return DISK_PROC_FDS;
    return len > 5 && strcmp(path + len - 5, "/stat") == 0 ? DISK_PROC_STAT : DISK_PROC_NONE;
}

/* 1: it is ours, and *ret_fd what open returns. */
static int path_open(int at, const char *path, int flags, int *ret_fd) {
    disk_place place;
    disk *on;
    int error = 0;
    disk_lock();
    if (proc_kind(path) != DISK_PROC_NONE) {
        int fd = disk_proc_open(path, proc_kind(path));
        *ret_fd = (int)disk_leave(fd, fd < 0 ? ENOENT : 0);
        return 1;
    }
    if (!disk_at(at, path, &on, &place, &error)) {
        disk_leave(0, 0);
        return 0;
    }
    *ret_fd = (int)(error ? disk_leave(0, error) : file_open(on, &place, flags));
    return 1;
}

static mode_t mode_of(int flags, va_list args) {
    return flags & (O_CREAT | __O_TMPFILE) ? va_arg(args, mode_t) : 0;
}

DISK_WRAP(int, openat64, int at, const char *path, int flags, ...) {
    va_list args;
    mode_t mode;
    int fd;
    va_start(args, flags);
    mode = mode_of(flags, args);
    va_end(args);
    return path_open(at, path, flags, &fd) ? fd : __real_openat64(at, path, flags, mode);
}

DISK_WRAP(int, openat, int at, const char *path, int flags, ...) {
    va_list args;
    mode_t mode;
    int fd;
    va_start(args, flags);
    mode = mode_of(flags, args);
    va_end(args);
    return path_open(at, path, flags, &fd) ? fd : __real_openat(at, path, flags, mode);
}

DISK_WRAP(int, open64, const char *path, int flags, ...) {
    va_list args;
    mode_t mode;
    int fd;
    va_start(args, flags);
    mode = mode_of(flags, args);
    va_end(args);
    return path_open(AT_FDCWD, path, flags, &fd) ? fd : __real_open64(path, flags, mode);
}

DISK_WRAP(int, open, const char *path, int flags, ...) {
    va_list args;
    mode_t mode;
    int fd;
    va_start(args, flags);
    mode = mode_of(flags, args);
    va_end(args);
    return path_open(AT_FDCWD, path, flags, &fd) ? fd : __real_open(path, flags, mode);
}

DISK_WRAP(int, close, int fd) {
    disk_fd *open;
    if (fd < DISK_FD_BASE)
        return __real_close(fd);
    disk_lock();
    open = disk_fd_of(fd);
    if (open)
        *open = (disk_fd){0};
    return (int)disk_leave(0, open ? 0 : EBADF);
}

/* ---- changing names */

static int name_change(disk *on,
                       disk_kind kind,
                       const disk_place *from,
                       const disk_place *to,
                       uint32_t inode) {
    disk_step step = {.kind = kind, .name = from->name, .to = to ? to->name : NULL};
    disk_fault fault = {0};
    if (disk_begin(on, kind, from->name, &fault))
        step.error = fault.error;
    else if (kind == DISK_MKDIR)
        disk_dir_change(on, from->dir, "", from->name, disk_inode_new(on, 1, from->dir));
    else
        disk_dir_change(on, from->dir, from->name, to ? to->name : "", inode);
    disk_tell(on, &step);
    return (int)disk_leave(0, step.error);
}

/* Within one directory only. */
DISK_WRAP(int, renameat, int from_at, const char *from, int to_at, const char *to) {
    disk_place source;
    disk_place target;
    disk *on;
    disk *to_on;
    int error = 0;
    disk_lock();
    if (!disk_at(from_at, from, &on, &source, &error)) {
        disk_leave(0, 0);
        return __real_renameat(from_at, from, to_at, to);
    }
    if (!error && !disk_at(to_at, to, &to_on, &target, &error))
        error = EXDEV;
    if (!error && (on != to_on || source.dir != target.dir))
        error = EXDEV;
    if (!error && source.inode == DISK_NONE)
        error = ENOENT;
    if (error)
        return (int)disk_leave(0, error);
    return name_change(on, DISK_RENAME, &source, &target, source.inode);
}

/* Its directories take new files always. */
DISK_WRAP(int, faccessat, int at, const char *path, int mode, int flags) {
    disk_place place;
    disk *on;
    int error = 0;
    disk_lock();
    int ours = disk_at(at, path, &on, &place, &error);
    disk_leave(0, 0);
    return ours ? 0 : __real_faccessat(at, path, mode, flags);
}

DISK_WRAP(int, unlinkat, int at, const char *path, int flags) {
    disk_place place;
    disk *on;
    int error = 0;
    disk_lock();
    if (!disk_at(at, path, &on, &place, &error)) {
        disk_leave(0, 0);
        return __real_unlinkat(at, path, flags);
    }
    if (!error && place.inode == DISK_NONE)
        error = ENOENT;
    if (!error && on->inodes[place.inode]->is_dir)
        error = EISDIR;
    return error ? (int)disk_leave(0, error)
                 : name_change(on, DISK_UNLINK, &place, NULL, DISK_NONE);
}

DISK_WRAP(int, mkdir, const char *path, mode_t mode) {
    disk_place place;
    disk *on;
    int error = 0;
    disk_lock();
    if (!disk_at(AT_FDCWD, path, &on, &place, &error)) {
        disk_leave(0, 0);
        return __real_mkdir(path, mode);
    }
    if (!error && place.inode != DISK_NONE)
        error = EEXIST;
    return error ? (int)disk_leave(0, error) : name_change(on, DISK_MKDIR, &place, NULL, DISK_NONE);
}

/* ---- listing */

static disk_stream *stream_of(const DIR *dir) {
    const disk_table *table = disk_table_now();
    const char *at = (const char *)dir;
    const char *first = (const char *)table->streams;
    if (at < first || at >= (const char *)(table->streams + DISK_STREAMS))
        return NULL;
    return &disk_table_now()->streams[(size_t)(at - first) / sizeof table->streams[0]];
}

static DIR *stream_open(int fd) {
    disk_table *table = disk_table_now();
    const disk_fd *open = disk_fd_of(fd);
    for (int i = 0; open && i < DISK_STREAMS; i++) {
        disk_stream *stream = &table->streams[i];
        if (stream->fd)
            continue;
        stream->fd = fd;
        stream->at = 0;
        if (open->proc)
            disk_proc_list(stream);
        else
            disk_entries_copy(&stream->names, &open->on->inodes[open->inode]->seen);
        disk_leave(0, 0);
        return (DIR *)(void *)stream;
    }
    disk_leave(0, open ? EMFILE : EBADF);
    return NULL;
}

DISK_WRAP(DIR *, fdopendir, int fd) {
    if (fd < DISK_FD_BASE)
        return __real_fdopendir(fd);
    disk_lock();
    return stream_open(fd);
}

DISK_WRAP(DIR *, opendir, const char *path) {
    int fd;
    if (!path_open(AT_FDCWD, path, O_RDONLY | O_DIRECTORY, &fd))
        return __real_opendir(path);
    return fd < 0 ? NULL : __wrap_fdopendir(fd);
}

/* `.` and `..` are not given. */
DISK_WRAP(struct dirent64 *, readdir64, DIR *dir) {
    disk_stream *stream = stream_of(dir);
    const disk_fd *open;
    disk_fault fault;
    if (!stream)
        return __real_readdir64(dir);
    disk_lock();
    open = disk_fd_of(stream->fd);
    if (!open || (open->on && disk_begin(open->on, DISK_LIST, "", &fault))) {
        disk_leave(0, open ? fault.error : EBADF);
        return NULL;
    }
    disk_leave(0, 0);
    if (stream->at == stream->names.count)
        return NULL;
    snprintf(stream->entry.d_name, sizeof stream->entry.d_name, "%s",
             stream->names.at[stream->at++].name);
    return &stream->entry;
}

DISK_WRAP(struct dirent *, readdir, DIR *dir) {
    return stream_of(dir) ? (struct dirent *)(void *)__wrap_readdir64(dir) : __real_readdir(dir);
}

DISK_WRAP(int, dirfd, DIR *dir) {
    const disk_stream *stream = stream_of(dir);
    return stream ? stream->fd : __real_dirfd(dir);
}

DISK_WRAP(int, closedir, DIR *dir) {
    disk_stream *stream = stream_of(dir);
    disk_fd *open;
    if (!stream)
        return __real_closedir(dir);
    disk_lock();
    open = disk_fd_of(stream->fd);
    if (open)
        *open = (disk_fd){0};
    disk_stream_free(stream);
    return (int)disk_leave(0, 0);
}
