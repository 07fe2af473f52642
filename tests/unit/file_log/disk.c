/* The wrapped functions, which note what is written, synced and named before they do it. */
#include "disk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

ssize_t __real_pwrite(int fd, const void *data, size_t len, off_t offset);
ssize_t __real_pread(int fd, void *data, size_t len, off_t offset);
int __real_renameat(int from_fd, const char *from, int to_fd, const char *to);
int __real_unlinkat(int fd, const char *path, int flags);
int __real_fsync(int fd);
int __real_fdatasync(int fd);
ssize_t __wrap_pwrite(int fd, const void *data, size_t len, off_t offset);
ssize_t __wrap_pread(int fd, void *data, size_t len, off_t offset);
ssize_t __wrap_pwrite64(int fd, const void *data, size_t len, off_t offset);
ssize_t __wrap_pread64(int fd, void *data, size_t len, off_t offset);
int __wrap_renameat(int from_fd, const char *from, int to_fd, const char *to);
int __wrap_unlinkat(int fd, const char *path, int flags);
int __wrap_fsync(int fd);
int __wrap_fdatasync(int fd);

disk *disk_now(void) {
    static disk now = {.lock = PTHREAD_MUTEX_INITIALIZER, .read_fails = -1};
    return &now;
}

static void enter(void) {
    pthread_mutex_lock(&disk_now()->lock);
}

static void leave(void) {
    pthread_mutex_unlock(&disk_now()->lock);
}

static void broken(const char *what, const char *name) {
    disk *d = disk_now();
    if (d->wrong[0] == 0)
        snprintf(d->wrong, sizeof d->wrong, "%s: %s", name, what);
}

static disk_file *file_of(ino_t inode, const char *name) {
    disk *d = disk_now();
    for (unsigned i = 0; i < d->files; i++) {
        if (d->file[i].inode == inode)
            return &d->file[i];
    }
    disk_file *made = &d->file[d->files < DISK_FILES - 1 ? d->files++ : d->files];
    memset(made, 0, sizeof *made);
    made->inode = inode;
    made->lowest = UINT64_MAX;
    snprintf(made->name, sizeof made->name, "%s", name);
    return made;
}

static disk_file *file_of_fd(int fd) {
    char link[64];
    char path[600];
    struct stat stat;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t len = readlink(link, path, sizeof path - 1);
    if (len <= 0 || fstat(fd, &stat) || !S_ISREG(stat.st_mode))
        return NULL;
    path[len] = 0;
    return file_of(stat.st_ino, strrchr(path, '/') + 1);
}

static int ends(const char *name, const char *with) {
    size_t len = strlen(name);
    size_t end = strlen(with);
    return len >= end && strcmp(name + len - end, with) == 0;
}

static void note_write(int fd, size_t len, uint64_t offset) {
    disk_file *file = file_of_fd(fd);
    if (!file)
        return;
    if (file->name_loose && ends(file->name, ".seg"))
        broken("written before its name is durable", file->name);
    if (file->name_loose && ends(file->name, "spare.tmp") && ends(file->before, ".seg"))
        broken("written anew while its old number may come back", file->before);
    if (!(fcntl(fd, F_GETFL) & O_DSYNC))
        file->unsynced = 1;
    file->writes++;
    file->lowest = offset < file->lowest ? offset : file->lowest;
    file->highest = offset + len > file->highest ? offset + len : file->highest;
}

ssize_t __wrap_pwrite(int fd, const void *data, size_t len, off_t offset) {
    enter();
    if (disk_now()->watching)
        note_write(fd, len, (uint64_t)offset);
    leave();
    return __real_pwrite(fd, data, len, offset);
}

ssize_t __wrap_pread(int fd, void *data, size_t len, off_t offset) {
    disk *d = disk_now();
    if (d->read_fails >= 0 && d->read_fails-- == 0) {
        errno = d->read_error;
        return -1;
    }
    return __real_pread(fd, data, len, offset);
}

/* The names that _FILE_OFFSET_BITS=64 calls by. */
ssize_t __wrap_pwrite64(int fd, const void *data, size_t len, off_t offset) {
    return __wrap_pwrite(fd, data, len, offset);
}

ssize_t __wrap_pread64(int fd, void *data, size_t len, off_t offset) {
    return __wrap_pread(fd, data, len, offset);
}

static void forget_name(const char *name) {
    disk *d = disk_now();
    for (unsigned i = 0; i < d->files; i++) {
        if (strcmp(d->file[i].name, name) == 0)
            d->file[i].name[0] = 0;
    }
}

int __wrap_renameat(int from_fd, const char *from, int to_fd, const char *to) {
    struct stat stat;
    enter();
    if (disk_now()->watching && !fstatat(from_fd, from, &stat, 0)) {
        disk_file *file = file_of(stat.st_ino, from);
        if (file->unsynced && !ends(to, ".tmp"))
            broken("named before its content is synced", to);
        forget_name(to); /* who had it is gone */
        snprintf(file->before, sizeof file->before, "%s", from);
        snprintf(file->name, sizeof file->name, "%s", to);
        file->name_loose = 1;
    }
    leave();
    return __real_renameat(from_fd, from, to_fd, to);
}

int __wrap_unlinkat(int fd, const char *path, int flags) {
    struct stat stat;
    enter();
    if (disk_now()->watching && !fstatat(fd, path, &stat, 0)) {
        disk_file *file = file_of(stat.st_ino, path);
        file->inode = 0; /* another may get that number */
        file->name[0] = 0;
    }
    leave();
    return __real_unlinkat(fd, path, flags);
}

static void note_sync(int fd) {
    disk *d = disk_now();
    struct stat stat;
    if (fstat(fd, &stat))
        return;
    for (unsigned i = 0; i < d->files; i++) {
        if (S_ISDIR(stat.st_mode))
            d->file[i].name_loose = 0;
        else if (d->file[i].inode == stat.st_ino)
            d->file[i].unsynced = 0;
    }
}

static int synced(int fd, int (*sync)(int)) {
    int rc = sync(fd);
    enter();
    if (disk_now()->watching && !rc)
        note_sync(fd);
    leave();
    return rc;
}

int __wrap_fsync(int fd) {
    return synced(fd, __real_fsync);
}

/* 1: this one fails. */
static int sync_fails(int fd) {
    enter();
    const disk_file *file = file_of_fd(fd);
    int error = file && ends(file->name, ".state") ? disk_now()->sync_error : 0;
    disk_now()->sync_error = error ? 0 : disk_now()->sync_error;
    leave();
    errno = error ? error : errno;
    return error != 0;
}

int __wrap_fdatasync(int fd) {
    if (sync_fails(fd))
        return -1;
    return synced(fd, __real_fdatasync);
}

void disk_watch(void) {
    enter();
    disk_now()->watching = 1;
    disk_now()->files = 0;
    disk_now()->wrong[0] = 0;
    leave();
}

void disk_end(void) {
    enter();
    disk_now()->watching = 0;
    disk_now()->read_fails = -1;
    leave();
}

void disk_mark(void) {
    enter();
    for (unsigned i = 0; i < disk_now()->files; i++) {
        disk_now()->file[i].writes = 0;
        disk_now()->file[i].lowest = UINT64_MAX;
        disk_now()->file[i].highest = 0;
    }
    leave();
}

const disk_file *disk_find(const char *name) {
    const disk *d = disk_now();
    for (unsigned i = 0; i < d->files; i++) {
        if (d->file[i].inode && strcmp(d->file[i].name, name) == 0)
            return &d->file[i];
    }
    return NULL;
}
