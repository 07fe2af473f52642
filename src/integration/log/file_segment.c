/* Segment files: prepared ahead, taken into use without a system call, recycled once trimmed.
 *
 * A put must never wait for a file to be made. So a helper thread keeps one spare per partition
 * ready, and a second one when the current segment is half full; the one spare that is left when
 * no second can be made is the reserve for ending what has begun: no batch in which something
 * begins is written there.
 *
 * Zeros written in large pieces make puts wait: so they are written in small ones, no faster than
 * the partition needs them; in large ones while the log is opened, when nothing is put.
 *
 * Making one: a file under a temporary name, space allocated, zeros written, header written, all
 * synced; then renamed to its number, and the directory synced. A crash before the rename leaves
 * a temporary name, which the next open deletes. Recycling one that lies below the (durable) trim
 * mark: renamed to the temporary name and the directory synced, so that its old number is gone
 * for good; header rewritten and synced; renamed to its new number, directory synced. Its old
 * groups stay in it, under stamps of a lower segment: recovery counts them as empty.
 *
 * Numbers are given without gaps: a gap means that a file is missing. An error drops the file
 * that was being made and poisons nothing; the helper tries again every second. */
#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#define RETRY_MS 1000
#define PIECE (64u << 10)
#define OPEN_PIECE (1u << 20)
#define PAUSE_MS 1

void etx__file_queue_push(etx__file_queue *queue, etx__file_segment *segment) {
    segment->next = NULL;
    if (queue->tail)
        queue->tail->next = segment;
    else
        queue->head = segment;
    queue->tail = segment;
    queue->count++;
}

etx__file_segment *etx__file_queue_pop(etx__file_queue *queue) {
    etx__file_segment *segment = queue->head;
    if (!segment)
        return NULL;
    queue->head = segment->next;
    if (!queue->head)
        queue->tail = NULL;
    queue->count--;
    segment->next = NULL;
    return segment;
}

etx__file_segment *etx__file_segment_new(etx__file_log *log, uint32_t number) {
    etx__file_segment *segment = log->allocator.allocate(log->allocator.user, sizeof *segment);
    if (!segment)
        return NULL;
    *segment = (etx__file_segment){.number = number, .fd = -1, .zeroed = ETX__NONE};
    return segment;
}

void etx__file_segment_free(etx__file_log *log, etx__file_segment *segment) {
    if (segment->fd >= 0)
        close(segment->fd);
    log->allocator.release(log->allocator.user, segment, sizeof *segment);
}

void etx__file_queue_free(etx__file_log *log, etx__file_queue *queue) {
    etx__file_segment *segment;
    while ((segment = etx__file_queue_pop(queue)) != NULL)
        etx__file_segment_free(log, segment);
}

/* Opens it as groups are written: each write durable when it returns. 0 or an errno. */
int etx__file_segment_open(etx__file_partition *partition, etx__file_segment *segment) {
    char name[ETX__NAME_SIZE];
    const etx__file_log *log = partition->log;
    int flags = O_RDWR | (log->unsynced ? 0 : O_DSYNC) | (log->direct ? O_DIRECT : 0);
    if (segment->fd >= 0)
        return 0;
    etx__file_segment_name(name, partition->number, segment->number);
    segment->fd = etx__file_open_at(log->dir_fd, name, flags);
    return segment->fd < 0 ? errno : 0;
}

static int header_write(etx__file_partition *partition, int fd, uint32_t number) {
    const etx__file_log *log = partition->log;
    etx__file_buffer buffer = {0};
    int error;
    if (etx__file_buffer_reserve(&log->allocator, &buffer, ETX__BLOCK))
        return ENOMEM;
    etx__file_header_encode(buffer.data, &log->home, partition->number, number);
    error = etx__file_write(fd, buffer.data, ETX__BLOCK, 0);
    if (!error && fdatasync(fd))
        error = errno;
    etx__file_buffer_free(&log->allocator, &buffer);
    return error;
}

static int is_waited_for(const etx__file_log *log) {
    for (uint32_t i = 0; i < log->home.partitions; i++) {
        if (log->partitions[i].wanted_at_once)
            return 1;
    }
    return 0;
}

/* Does the helper have time? It has if nobody waits for a spare, and it is ahead of the puts: what
 * it makes has to be there when the current segment is full, or half full if there is no other. */
static int is_ahead(const etx__file_partition *partition, uint64_t zeroed) {
    const etx__file_log *log = partition->log;
    uint64_t half = log->home.segment_size / 2;
    uint64_t begun = partition->spares.count > 0 ? half : 0;
    uint64_t end = atomic_load_explicit(&partition->end, memory_order_relaxed);
    return partition->working && !is_waited_for(log) && !partition->held_up && !log->stop &&
           (end <= begun || (end - begun) * 2 <= zeroed);
}

/* Waits until something changes that the helper may have to know, but no longer than so. With the
 * mutex held. */
void etx__file_changed_wait(etx__file_log *log, uint32_t most_ms) {
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += (long)(most_ms % 1000) * 1000000;
    until.tv_sec += most_ms / 1000 + until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    pthread_cond_timedwait(&log->changed, &log->mutex, &until);
}

/* Waits a little, if there is time to. */
static void pace(etx__file_partition *partition, uint64_t zeroed) {
    etx__file_log *log = partition->log;
    pthread_mutex_lock(&log->mutex);
    if (is_ahead(partition, zeroed))
        etx__file_changed_wait(log, PAUSE_MS);
    pthread_mutex_unlock(&log->mutex);
}

static int zero_all(etx__file_partition *partition, int fd, uint64_t size) {
    const etx__file_log *log = partition->log;
    uint64_t piece = partition->working ? PIECE : OPEN_PIECE;
    int error = 0;
    for (uint64_t at = 0; at < size && !error; at += piece) {
        pace(partition, at);
        error = etx__file_zero(log, fd, at, piece < size - at ? at + piece : size);
    }
    return error;
}

/* A new file under the temporary name, zero-filled; those of a new log in their first part, if the
 * space of the rest is allocated (file_fill.c). */
static int spare_create(etx__file_partition *partition,
                        const char *temporary,
                        etx__file_segment *segment,
                        int *ret_fd) {
    const etx__file_log *log = partition->log;
    uint64_t size = log->home.segment_size;
    int error = 0;
    int fd;
    if (unlinkat(log->dir_fd, temporary, 0) && errno != ENOENT)
        return errno;
    fd = openat(log->dir_fd, temporary,
                O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | (log->direct ? O_DIRECT : 0), 0600);
    fd = etx__file_above_streams(fd);
    if (fd < 0)
        return errno;
    etx__file_own(log->dir_fd, fd);
    if (fallocate(fd, 0, 0, (off_t)size) == 0) {
        if (log->making && size > ETX__FILL_FIRST)
            size = segment->zeroed = ETX__FILL_FIRST;
    } else if (errno != EOPNOTSUPP && errno != ENOSYS) {
        error = errno;
    }
    if (!error)
        error = zero_all(partition, fd, size);
    if (error)
        close(fd);
    else
        *ret_fd = fd;
    return error;
}

/* The file of a trimmed segment, under the temporary name: its old number is gone for good. */
static int spare_recycle(etx__file_partition *partition,
                         const char *temporary,
                         uint32_t old,
                         int *ret_fd) {
    const etx__file_log *log = partition->log;
    char name[ETX__NAME_SIZE];
    int error;
    etx__file_segment_name(name, partition->number, old);
    if (renameat(log->dir_fd, name, log->dir_fd, temporary))
        return errno;
    error = etx__file_sync_dir(log->dir_fd);
    if (error)
        return error;
    *ret_fd = etx__file_open_at(log->dir_fd, temporary, O_RDWR | (log->direct ? O_DIRECT : 0));
    return *ret_fd < 0 ? errno : 0;
}

static int spare_make(etx__file_partition *partition,
                      etx__file_segment *segment,
                      const etx__file_segment *old) {
    const etx__file_log *log = partition->log;
    char temporary[ETX__NAME_SIZE];
    char name[ETX__NAME_SIZE];
    int fd = -1;
    int error;
    etx__file_spare_name(temporary, partition->number);
    etx__file_segment_name(name, partition->number, segment->number);
    error = old ? spare_recycle(partition, temporary, old->number, &fd)
                : spare_create(partition, temporary, segment, &fd);
    if (!error)
        error = header_write(partition, fd, segment->number);
    if (!error && renameat(log->dir_fd, temporary, log->dir_fd, name))
        error = errno;
    if (fd >= 0)
        close(fd);
    if (error) {
        unlinkat(log->dir_fd, temporary, 0);
        return error;
    }
    error = etx__file_sync_dir(log->dir_fd);
    if (!error)
        error = etx__file_segment_open(partition, segment);
    if (error)
        unlinkat(log->dir_fd, name, 0);
    return error;
}

static etx__file_segment *trimmed_pop(etx__file_partition *partition) {
    etx__file_segment *old;
    pthread_mutex_lock(&partition->log->mutex);
    old = etx__file_queue_pop(&partition->trimmed);
    pthread_mutex_unlock(&partition->log->mutex);
    return old;
}

/* Deletes the trimmed segments that cannot be recycled; gives the first that can, or NULL. */
static etx__file_segment *trimmed_next(etx__file_partition *partition) {
    etx__file_segment *old;
    while ((old = trimmed_pop(partition)) != NULL && old->spoiled) {
        char name[ETX__NAME_SIZE];
        etx__file_segment_name(name, partition->number, old->number);
        unlinkat(partition->log->dir_fd, name, 0);
        etx__file_segment_free(partition->log, old);
    }
    return old;
}

/* Makes one spare. Called by the helper, or by whoever holds the helper up. 0 or an ETX error;
 * *ret_error says which errno. */
int etx__file_segment_prepare(etx__file_partition *partition, int *ret_error) {
    etx__file_log *log = partition->log;
    etx__file_segment *segment = etx__file_segment_new(log, partition->highest + 1);
    etx__file_segment *old = trimmed_next(partition);
    int error = segment ? etx__file_lock_check(log) : ENOMEM;
    if (!error)
        error = spare_make(partition, segment, old);
    if (old)
        etx__file_segment_free(log, old);
    if (error && segment)
        etx__file_segment_free(log, segment);
    pthread_mutex_lock(&log->mutex);
    if (!error) {
        partition->highest++;
        etx__file_queue_push(&partition->spares, segment);
    }
    partition->spare_error = error;
    partition->retry_at_ms = error ? etx__file_now_ms() + RETRY_MS : 0;
    partition->attempts++;
    partition->wanted_at_once = 0;
    pthread_cond_broadcast(&log->changed);
    pthread_mutex_unlock(&log->mutex);
    *ret_error = error;
    return error ? etx__file_error_code(error) : 0;
}

/* Of one that could not be read it is not known which files it needs: none is made, none goes. */
static int is_left_alone(const etx__file_partition *partition) {
    return partition->held_up || !partition->loaded;
}

static int spare_wanted(const etx__file_partition *partition, uint64_t now_ms) {
    uint32_t wanted = partition->half ? 2 : 1;
    if (is_left_alone(partition) || partition->spares.count >= wanted)
        return 0;
    return partition->wanted_at_once || partition->trimmed.count ||
           now_ms >= partition->retry_at_ms;
}

/* Trimmed segments that no spare needs are deleted, but for one that may soon be. */
static int surplus(const etx__file_partition *partition) {
    return !is_left_alone(partition) && partition->trimmed.count > 1;
}

static void surplus_delete(etx__file_partition *partition) {
    etx__file_segment *old = trimmed_pop(partition); /* nobody else takes one while we work */
    char name[ETX__NAME_SIZE];
    etx__file_segment_name(name, partition->number, old->number);
    unlinkat(partition->log->dir_fd, name, 0);
    etx__file_segment_free(partition->log, old);
}

static void helper_work(etx__file_partition *partition, int wanted) {
    etx__file_log *log = partition->log;
    int settle = partition->settle;
    int error;
    partition->working = 1;
    partition->settle = 0;
    pthread_mutex_unlock(&log->mutex);
    if (settle)
        etx__file_settle_begun(partition);
    else if (wanted)
        etx__file_segment_prepare(partition, &error);
    else
        surplus_delete(partition);
    pthread_mutex_lock(&log->mutex);
    partition->working = 0;
    pthread_cond_broadcast(&log->changed);
}

/* One round over the partitions: first of all the zeros of segments in use. 1 if there was
 * something to do. */
static int helper_round(etx__file_log *log) {
    etx__file_partition *fill = etx__file_fill_next(log);
    int busy = fill != NULL;
    if (fill)
        etx__file_fill_some(fill);
    for (uint32_t i = 0; i < log->home.partitions && !log->stop; i++) {
        etx__file_partition *partition = &log->partitions[i];
        int wanted =
            (!fill || partition->wanted_at_once) && spare_wanted(partition, etx__file_now_ms());
        int settle = partition->settle && !is_left_alone(partition);
        if (!settle && !wanted && !surplus(partition))
            continue;
        helper_work(partition, wanted);
        busy = 1;
    }
    return busy;
}

/* For who has no helper thread: the work that it would do now, without waiting. 1 if there was
 * something to do. */
int etx__file_helper_turn(etx__file_log *log) {
    int busy;
    pthread_mutex_lock(&log->mutex);
    busy = helper_round(log);
    pthread_mutex_unlock(&log->mutex);
    return busy;
}

static int helper_idle(const etx__file_log *log) {
    for (uint32_t i = 0; i < log->home.partitions; i++) {
        if (log->partitions[i].spare_error)
            return 0;
    }
    return 1;
}

static void *helper_main(void *user) {
    etx__file_log *log = user;
    setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), 10);
    pthread_mutex_lock(&log->mutex);
    while (!log->stop) {
        if (helper_round(log))
            continue;
        if (helper_idle(log))
            pthread_cond_wait(&log->changed, &log->mutex);
        else
            etx__file_changed_wait(log, RETRY_MS);
    }
    pthread_mutex_unlock(&log->mutex);
    return NULL;
}

int etx__file_helper_start(etx__file_log *log) {
    sigset_t all;
    sigset_t before;
    int error;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    error = pthread_create(&log->helper, NULL, helper_main, log);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error)
        return error;
    pthread_setname_np(log->helper, "etx-seg");
    log->helper_runs = 1;
    return 0;
}

void etx__file_helper_stop(etx__file_log *log) {
    if (!log->helper_runs)
        return;
    pthread_mutex_lock(&log->mutex);
    log->stop = 1;
    pthread_cond_broadcast(&log->changed);
    pthread_mutex_unlock(&log->mutex);
    pthread_join(log->helper, NULL);
    log->helper_runs = 0;
}

/* From here until the release the partition's spares belong to the caller. */
void etx__file_helper_hold(etx__file_partition *partition) {
    etx__file_log *log = partition->log;
    pthread_mutex_lock(&log->mutex);
    partition->held_up = 1;
    while (partition->working)
        pthread_cond_wait(&log->changed, &log->mutex);
    pthread_mutex_unlock(&log->mutex);
}

void etx__file_helper_release(etx__file_partition *partition) {
    etx__file_log *log = partition->log;
    pthread_mutex_lock(&log->mutex);
    partition->held_up = 0;
    pthread_cond_broadcast(&log->changed);
    pthread_mutex_unlock(&log->mutex);
}

/* Is there more space than all partitions' next segments take? */
static int is_ample(const etx__file_log *log) {
    uint64_t segments = log->home.partitions + 1;
    struct statfs fs = {0};
    (void)fstatfs(log->dir_fd, &fs); /* what is not known is not ample */
    return (uint64_t)fs.f_bavail * (uint64_t)fs.f_bsize > segments * log->home.segment_size;
}

/* The last spare is the reserve of what has begun. Nothing begins there before it is known that
 * another one can be made: there is ample space, or it is there. */
static uint32_t spares_needed(const etx__file_partition *partition, int begins) {
    return begins && (partition->spare_error || !is_ample(partition->log)) ? 2 : 1;
}

static int is_reserve(const etx__file_partition *partition, uint32_t needed) {
    return partition->spares.count < needed &&
           etx__file_error_code(partition->spare_error) == ETX_EFULL;
}

/* Makes the next spare the current segment. Waits for one that is being made; if none is, one
 * attempt is made for it, by the caller if the helper does not run or is held up. `begins`: a
 * transaction begins in what is put; ENOSPC then if only the reserve is left. 0 or an errno. */
int etx__file_segment_take(etx__file_partition *partition, int begins, int *ret_error) {
    etx__file_log *log = partition->log;
    etx__file_segment *segment = NULL;
    uint64_t attempts;
    uint32_t needed;
    int by_helper;
    etx__file_fill_end(partition);
    if (log->unsynced && partition->current && fdatasync(partition->current->fd)) {
        *ret_error = errno;
        return errno;
    }
    pthread_mutex_lock(&log->mutex);
    by_helper = log->helper_runs && !partition->held_up;
    if (!by_helper && !partition->spares.count) {
        int error;
        pthread_mutex_unlock(&log->mutex);
        etx__file_segment_prepare(partition, &error);
        pthread_mutex_lock(&log->mutex);
    }
    needed = partition->spares.count < 2 ? spares_needed(partition, begins) : 1;
    attempts = partition->attempts + (partition->working ? 2 : 1);
    while (by_helper && partition->spares.count < needed && partition->attempts < attempts) {
        partition->half = 1;
        partition->wanted_at_once = 1;
        pthread_cond_broadcast(&log->changed);
        pthread_cond_wait(&log->changed, &log->mutex);
    }
    if (!is_reserve(partition, needed))
        segment = etx__file_queue_pop(&partition->spares);
    *ret_error = segment ? 0 : partition->spare_error;
    if (segment) {
        partition->half = 0;
        if (partition->current && partition->current->fd >= 0) {
            close(partition->current->fd);
            partition->current->fd = -1;
        }
        if (partition->current)
            partition->current->limit = partition->next;
        etx__file_queue_push(&partition->held, segment);
        partition->current = segment;
        partition->end = ETX__BLOCK;
        etx__file_fill_begin(partition);
        pthread_cond_broadcast(&log->changed);
    }
    pthread_mutex_unlock(&log->mutex);
    return *ret_error;
}
