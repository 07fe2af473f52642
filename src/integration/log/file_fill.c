/* The zeros of a new log's first segments, most of which are written while it is in use already.
 *
 * Whoever makes a log waits for the first part of each (ETX__FILL_FIRST), on space that is
 * allocated: what is not written yet reads as zeros, and a put there is right, but slower. The
 * helper writes the rest in small pieces behind `zeroed`, ahead of the puts. A put that would reach
 * beyond `zeroed` ends the filling first, and so does whoever leaves the segment or reads the
 * partition anew: so zeros and groups never meet. After an error, and in a process that opens the
 * log later, the rest stays as it is. */
#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#define PIECE (256u << 10)
#define PAUSE_MS 4

/* The current segment, which has just become that, is filled from here on by the helper if it lacks
 * zeros. With the mutex held. */
void etx__file_fill_begin(etx__file_partition *partition) {
    const etx__file_log *log = partition->log;
    const etx__file_segment *segment = partition->current;
    char name[ETX__NAME_SIZE];
    if (segment->zeroed == ETX__NONE)
        return;
    etx__file_segment_name(name, partition->number, segment->number);
    partition->fill_fd =
        etx__file_open_at(log->dir_fd, name, O_RDWR | (log->direct ? O_DIRECT : 0));
    if (partition->fill_fd >= 0)
        atomic_store(&partition->zeroed, segment->zeroed);
}

/* With the mutex held, as long as nothing is written. */
static void done(etx__file_partition *partition) {
    if (partition->fill_fd >= 0)
        close(partition->fill_fd);
    partition->fill_fd = -1;
    atomic_store(&partition->zeroed, ETX__NONE);
}

/* No zeros are written to the current segment any more when it returns. */
void etx__file_fill_end(etx__file_partition *partition) {
    etx__file_log *log = partition->log;
    pthread_mutex_lock(&log->mutex);
    partition->fill_ends = 1;
    while (partition->filling)
        pthread_cond_wait(&log->changed, &log->mutex);
    partition->fill_ends = 0;
    done(partition);
    pthread_mutex_unlock(&log->mutex);
}

/* How far the zeros are ahead of the puts. */
static uint64_t lead(const etx__file_partition *partition) {
    uint64_t end = atomic_load_explicit(&partition->end, memory_order_relaxed);
    return atomic_load_explicit(&partition->zeroed, memory_order_relaxed) - end;
}

/* The partition whose puts come nearest to the end of their zeros, or NULL. With the mutex held. */
etx__file_partition *etx__file_fill_next(const etx__file_log *log) {
    etx__file_partition *next = NULL;
    for (uint32_t i = 0; i < log->home.partitions; i++) {
        etx__file_partition *partition = &log->partitions[i];
        if (partition->fill_fd >= 0 && !partition->fill_ends &&
            (!next || lead(partition) < lead(next)))
            next = partition;
    }
    return next;
}

/* Gives way to the puts, if there is time to. With the mutex held. 0: the filling is to end. */
static int pause_between(etx__file_partition *partition) {
    etx__file_log *log = partition->log;
    if (lead(partition) >= ETX__FILL_FIRST / 2)
        etx__file_changed_wait(log, PAUSE_MS);
    return !partition->fill_ends && !log->stop;
}

/* Writes the next piece and syncs it, with what the file system notes about the space: or the next
 * put would have to. With the mutex held, which it leaves meanwhile. */
void etx__file_fill_some(etx__file_partition *partition) {
    etx__file_log *log = partition->log;
    uint64_t size = log->home.segment_size;
    uint64_t at = atomic_load(&partition->zeroed);
    uint64_t to = size - at < PIECE ? size : at + PIECE;
    int error;
    partition->filling = 1;
    if (pause_between(partition)) {
        pthread_mutex_unlock(&log->mutex);
        error = etx__file_zero(log, partition->fill_fd, at, to);
        if (!error && fdatasync(partition->fill_fd))
            error = errno;
        pthread_mutex_lock(&log->mutex);
        atomic_store(&partition->zeroed, to);
        if (error || to == size)
            done(partition);
    }
    partition->filling = 0;
    pthread_cond_broadcast(&log->changed);
}
