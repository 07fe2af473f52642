/* The wrapped functions that ask for the process, the time, chance and threads; and the file log's
 * helper, which takes turns instead of running. */
#include "disk_calls.h"

#include "../../../src/integration/log/file.h"

#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

/* ---- /proc, as the simulated process has it */

int disk_proc_open(const char *path, disk_proc kind) {
    char own[64];
    int fd;
    snprintf(own, sizeof own, "/proc/%d/stat", DISK_PID);
    if (kind == DISK_PROC_STAT && strcmp(path, own) != 0)
        return -1;
    fd = disk_fd_open(NULL, DISK_NONE, 0);
    if (fd >= 0)
        disk_table_now()->fds[fd - DISK_FD_BASE].proc = (uint8_t)kind;
    return fd;
}

int disk_proc_read(void *to, size_t len, uint64_t offset) {
    char text[256];
    int have = snprintf(text, sizeof text, "%d (sim) S%s 1\n", DISK_PID,
                        " 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0");
    if (offset >= (uint64_t)have)
        return 0;
    if (len > (size_t)have - offset)
        len = (size_t)have - offset;
    memcpy(to, text + offset, len);
    return (int)len;
}

void disk_proc_list(disk_stream *stream) {
    const disk_table *table = disk_table_now();
    disk_entries *names = &stream->names;
    *names = (disk_entries){0};
    names->at = disk_memory((size_t)table->fd_high * sizeof names->at[0]);
    for (int i = 0; i < table->fd_high; i++) {
        if (table->fds[i].on)
            snprintf(names->at[names->count++].name, DISK_NAME, "%d", DISK_FD_BASE + i);
    }
}

DISK_WRAP(pid_t, getpid, void) {
    return disk_alone() ? DISK_PID : __real_getpid();
}

/* ---- time and chance */

DISK_WRAP(int, nanosleep, const struct timespec *time, struct timespec *ret_left) {
    return disk_alone() ? 0 : __real_nanosleep(time, ret_left);
}

DISK_WRAP(int,
          pthread_cond_timedwait,
          pthread_cond_t *condition,
          pthread_mutex_t *mutex,
          const struct timespec *until) {
    return disk_alone() ? ETIMEDOUT : __real_pthread_cond_timedwait(condition, mutex, until);
}

DISK_WRAP(ssize_t, getrandom, void *to, size_t len, unsigned flags) {
    disk_rng rng;
    uint8_t *at = to;
    if (!disk_alone())
        return __real_getrandom(to, len, flags);
    rng = (disk_rng){.state = disk_table_now()->random};
    for (size_t i = 0; i < len; i++)
        at[i] = (uint8_t)(disk_rng_next(&rng) >> 40);
    disk_table_now()->random = rng.state;
    return (ssize_t)len;
}

DISK_WRAP(uint64_t, etx__file_now_ms, void) {
    return disk_alone() ? disk_table_now()->now_ms : __real_etx__file_now_ms();
}

/* ---- the helper */

DISK_WRAP(int, etx__file_helper_start, etx__file_log *log) {
    disk_table *table = disk_table_now();
    const char *below;
    disk *on = disk_of_path(log->dir, &below);
    if (!on || !disk_alone())
        return __real_etx__file_helper_start(log);
    if (table->log_count == DISK_LOGS)
        return EAGAIN;
    table->logs[table->log_count].log = log;
    table->logs[table->log_count++].on = on;
    return 0;
}

DISK_WRAP(void, etx__file_helper_stop, etx__file_log *log) {
    disk_table *table = disk_table_now();
    for (uint32_t i = 0; i < table->log_count; i++) {
        if (table->logs[i].log == log) {
            table->logs[i] = table->logs[--table->log_count];
            break;
        }
    }
    __real_etx__file_helper_stop(log);
}

int disk_turn(disk *on) {
    const disk_table *table = disk_table_now();
    int busy = 0;
    for (uint32_t i = 0; i < table->log_count; i++) {
        if (table->logs[i].on == on)
            busy |= etx__file_helper_turn(table->logs[i].log);
    }
    return busy;
}
