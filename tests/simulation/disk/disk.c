/* Simulated disks, where they are mounted, and the descriptors that are open on them. */
#include "disk_inner.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

disk_table *disk_table_now(void) {
    static disk_table table = {.mutex = PTHREAD_MUTEX_INITIALIZER, .random = 0x9e3779b97f4a7c15u};
    return &table;
}

int disk_alone(void) {
    const disk_table *table = disk_table_now();
    return table->mount_count && !table->threads;
}

void *disk_memory(size_t size) {
    void *block = calloc(1, size);
    if (!block)
        abort();
    return block;
}

void *disk_memory_more(void *block, size_t size) {
    void *more = realloc(block, size);
    if (!more)
        abort();
    return more;
}

static void disk_mount(disk *on, const char *mount) {
    disk_table *table = disk_table_now();
    on->device = DISK_DEVICE + ++table->device;
    if (!mount)
        return;
    if (table->mount_count == DISK_MOUNTS || strlen(mount) >= sizeof on->mount)
        abort();
    snprintf(on->mount, sizeof on->mount, "%s", mount);
    on->mount_len = strlen(mount);
    table->mounts[table->mount_count++] = on;
}

static void disk_unmount(const disk *on) {
    disk_table *table = disk_table_now();
    for (uint32_t i = 0; i < table->mount_count; i++) {
        if (table->mounts[i] == on) {
            table->mounts[i] = table->mounts[--table->mount_count];
            return;
        }
    }
}

disk *disk_make(const char *mount) {
    disk *on = disk_memory(sizeof *on);
    on->limit = UINT64_MAX;
    disk_mount(on, mount);
    disk_inode_new(on, 1, DISK_ROOT);
    return on;
}

disk *disk_clone(const disk *from, const char *mount) {
    disk *on = disk_memory(sizeof *on);
    on->limit = from->limit;
    on->next_number = from->next_number;
    on->steps = from->steps;
    on->inode_count = from->inode_count;
    on->inodes = disk_memory(from->inode_count * sizeof *on->inodes);
    for (uint32_t i = 0; i < from->inode_count; i++) {
        on->inodes[i] = from->inodes[i];
        if (on->inodes[i])
            on->inodes[i]->refs++;
    }
    disk_mount(on, mount);
    return on;
}

void disk_free(disk *gone) {
    if (!gone)
        return;
    disk_close_all(gone);
    disk_unmount(gone);
    for (uint32_t i = 0; i < gone->inode_count; i++)
        disk_inode_release(gone->inodes[i]);
    free(gone->inodes);
    free(gone);
}

/* The disk that a path is on, and what of the path lies below its mount. */
disk *disk_of_path(const char *path, const char **ret_below) {
    const disk_table *table = disk_table_now();
    for (uint32_t i = 0; i < table->mount_count; i++) {
        disk *on = table->mounts[i];
        if (strncmp(path, on->mount, on->mount_len) == 0 &&
            (path[on->mount_len] == '/' || !path[on->mount_len])) {
            *ret_below = path + on->mount_len;
            return on;
        }
    }
    return NULL;
}

/* ---- descriptors */

disk_fd *disk_fd_of(int fd) {
    disk_fd *open;
    if (fd < DISK_FD_BASE || fd >= DISK_FD_BASE + DISK_FDS)
        return NULL;
    open = &disk_table_now()->fds[fd - DISK_FD_BASE];
    return open->on || open->proc ? open : NULL;
}

/* The least free number, or -1. */
int disk_fd_open(disk *on, uint32_t inode, int flags) {
    disk_table *table = disk_table_now();
    for (int i = 0; i < DISK_FDS; i++) {
        disk_fd *open = &table->fds[i];
        if (open->on || open->proc)
            continue;
        *open = (disk_fd){.on = on, .inode = inode, .flags = flags};
        if (i >= table->fd_high)
            table->fd_high = i + 1;
        return DISK_FD_BASE + i;
    }
    return -1;
}

void disk_stream_free(disk_stream *stream) {
    free(stream->names.at);
    *stream = (disk_stream){0};
}

uint32_t disk_descriptors(const disk *on) {
    const disk_table *table = disk_table_now();
    uint32_t count = 0;
    for (int i = 0; i < table->fd_high; i++)
        count += table->fds[i].on == on;
    return count;
}

void disk_close_all(disk *on) {
    disk_table *table = disk_table_now();
    uint32_t kept = 0;
    for (int i = 0; i < table->fd_high; i++) {
        if (table->fds[i].on != on)
            continue;
        table->fds[i] = (disk_fd){0};
        for (int j = 0; j < DISK_STREAMS; j++) {
            if (table->streams[j].fd == DISK_FD_BASE + i)
                disk_stream_free(&table->streams[j]);
        }
    }
    for (uint32_t i = 0; i < table->log_count; i++) {
        if (table->logs[i].on != on)
            table->logs[kept++] = table->logs[i];
    }
    table->log_count = kept;
}

/* ---- time, threads, chance */

void disk_threads(int on) {
    disk_table_now()->threads = on != 0;
}

void disk_clock_set(uint64_t now_ms) {
    disk_table_now()->now_ms = now_ms;
}

void disk_random_set(uint64_t seed) {
    disk_table_now()->random = seed * 0x9e3779b97f4a7c15u + 1;
}
