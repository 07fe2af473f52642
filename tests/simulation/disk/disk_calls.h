/* How a function of the C library is wrapped: the linker's --wrap gives both names. */
#ifndef ETX_TESTS_SIMULATION_DISK_CALLS_H
#define ETX_TESTS_SIMULATION_DISK_CALLS_H

#include "disk_inner.h"

#include <errno.h>

/* Declares the real function, and begins the one that stands before it. */
#define DISK_WRAP(type, name, ...)   \
    type __real_##name(__VA_ARGS__); \
    type __wrap_##name(__VA_ARGS__); \
    type __wrap_##name(__VA_ARGS__)

/* Without threads there is nobody to keep out, and a watcher may leave by longjmp. */
static inline void disk_lock(void) {
    if (disk_table_now()->threads)
        pthread_mutex_lock(&disk_table_now()->mutex);
}

/* Leaves with what the operation came to: 0 or more, or -1 with errno. */
static inline long disk_leave(long result, int error) {
    if (disk_table_now()->threads)
        pthread_mutex_unlock(&disk_table_now()->mutex);
    if (error)
        errno = error;
    return error ? -1 : result;
}

/* disk_calls_dir.c: where (at, path) leads. 1: on a simulated disk, `ret_error` or the rest is set;
 * 0: it is the C library's. */
int disk_at(int at, const char *path, disk **ret_on, disk_place *ret_place, int *ret_error);

/* disk_calls_process.c: opens a file of /proc for the simulated process; -1: it has none. */
int disk_proc_open(const char *path, disk_proc kind);
int disk_proc_read(void *to, size_t len, uint64_t offset);
/* Fills the stream of /proc/self/fd. */
void disk_proc_list(disk_stream *stream);

#endif
