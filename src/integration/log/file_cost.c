/* Measures what a durable write costs on a file system, as the file log writes. */
#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define COST_BYTES ((uint64_t)16 << 20)
#define SAMPLES_MAX 65536u

static double now_us(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

static int compare_doubles(const void *left, const void *right) {
    double a = *(const double *)left;
    double b = *(const double *)right;
    return a < b ? -1 : a > b;
}

/* Opens the file anew, as segments are opened. 0 or an errno. */
static int cost_open(const etx__file_log *log, const char *path, int direct, int *ret_fd) {
    int flags = O_RDWR | O_CLOEXEC | O_DSYNC;
    int fd = direct ? open(path, flags | O_DIRECT) : -1;
    if (fd >= 0 && !etx__file_takes_direct(&log->allocator, fd)) {
        close(fd);
        fd = -1;
    }
    *ret_fd = fd >= 0 ? fd : open(path, flags);
    return *ret_fd < 0 ? errno : 0;
}

/* An unnamed, zero-filled file in the directory, opened as segments are. */
static int cost_file(const etx__file_log *log, const etx__file_url *where, int *ret_fd) {
    char path[64];
    int fd = open(where->dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    int error;
    if (fd < 0)
        return errno;
    error = etx__file_zero(log, fd, 0, COST_BYTES);
    if (!error && fsync(fd))
        error = errno;
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    if (!error)
        error = cost_open(log, path, where->direct != 0, ret_fd);
    close(fd);
    return error;
}

static int cost_measure(int fd,
                        const uint8_t *block,
                        double until,
                        double *samples,
                        size_t *ret_count) {
    uint64_t offset = 0;
    size_t count = 0;
    while (count < SAMPLES_MAX) {
        double start = now_us();
        int error;
        if (start >= until && count)
            break;
        error = etx__file_write(fd, block, ETX__BLOCK, offset);
        if (error)
            return error;
        samples[count++] = now_us() - start;
        offset = (offset + ETX__BLOCK) % COST_BYTES;
    }
    *ret_count = count;
    return 0;
}

static void cost_report(double *samples, size_t count, etx_sync_cost *cost) {
    double sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += samples[i];
    qsort(samples, count, sizeof *samples, compare_doubles);
    cost->count = count;
    cost->p50_us = samples[count / 2];
    cost->p99_us = samples[count * 99 / 100];
    cost->per_s = sum > 0 ? (double)count * 1e6 / sum : 0;
}

/* A directory, or the URL of a log in it: its options say how the log is written. */
static int place_read(const char *dir, etx__file_url *ret_url, const etx__file_words *words) {
    *ret_url = (etx__file_url){.direct = -1};
    if (!dir || !*dir)
        return etx__file_say(words, ETX_EINVALID, "name a directory to measure in");
    if (strncmp(dir, "file:", 5) == 0)
        return etx__file_url_parse(dir, ret_url, words);
    if (strlen(dir) >= sizeof ret_url->dir)
        return etx__file_name_long(strlen(dir), words);
    memcpy(ret_url->dir, dir, strlen(dir) + 1);
    return 0;
}

/* 0 or an errno. */
static int cost_find(const etx__file_url *where, uint32_t milliseconds, etx_sync_cost *cost) {
    const etx__file_log log = {.allocator = etx__file_allocator(NULL)};
    etx__file_buffer samples = {0};
    etx__file_buffer block = {0};
    size_t count = 0;
    int fd = -1;
    int error = ENOMEM;
    if (!etx__file_buffer_reserve(&log.allocator, &samples, SAMPLES_MAX * sizeof(double)) &&
        !etx__file_buffer_reserve(&log.allocator, &block, ETX__BLOCK))
        error = cost_file(&log, where, &fd);
    if (!error) {
        memset(block.data, 0x5a, ETX__BLOCK);
        error = cost_measure(fd, block.data, now_us() + milliseconds * 1e3,
                             (double *)(void *)samples.data, &count);
    }
    if (!error)
        cost_report((double *)(void *)samples.data, count, cost);
    if (fd >= 0)
        close(fd);
    etx__file_buffer_free(&log.allocator, &samples);
    etx__file_buffer_free(&log.allocator, &block);
    return error;
}

int etx_log_file_sync_cost(const char *dir,
                           uint32_t milliseconds,
                           etx_sync_cost *ret_cost,
                           char *message,
                           size_t message_size) {
    const etx__file_words words = {message, message_size};
    etx_sync_cost cost = {.size = sizeof cost};
    etx__file_url where;
    int error;
    int rc = ret_cost ? etx__file_room_check(ret_cost, "etx_sync_cost", &words) : ETX_EINVALID;
    if (!rc)
        rc = place_read(dir, &where, &words);
    if (rc)
        return rc;
    error = cost_find(&where, milliseconds, &cost);
    if (error == ENOENT || error == ENOTDIR)
        return etx__file_say(&words, ETX_ENOTFOUND, "there is no directory %s", where.dir);
    if (error)
        return etx__file_say(&words, etx__file_error_code(error), "cannot measure in %s: %s",
                             where.dir, strerror(error));
    etx__file_give(ret_cost, &cost, sizeof cost);
    return 0;
}
