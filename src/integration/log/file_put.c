/* Puts, trims and the space of a file log's partition: what happens while nothing is wrong, and
 * what a put comes to when something is. */
#include "file.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <unistd.h>

static etx_put_result put_fail(etx_put *put, etx_put_result result, int error, const char *text) {
    put->error = error;
    snprintf(put->message, sizeof put->message, "%s", text);
    return result;
}

static int found_take(const etx_slot *slot, void *user) {
    etx_put *put = user;
    put->found_nonce = slot->nonce;
    put->found_checksum = slot->checksum;
    return 1;
}

static etx_put_result put_occupied(etx__file_partition *partition, etx_put *put) {
    etx__file_fault fault;
    if (put->slot < partition->state.mark) {
        put->found_trimmed = 1;
        return ETX_PUT_OCCUPIED;
    }
    if (put->slot + 1 == partition->next) {
        put->found_nonce = partition->last_nonce;
        put->found_checksum = partition->last_checksum;
        return ETX_PUT_OCCUPIED;
    }
    int rc = etx__file_get(partition, put->slot, found_take, put, &fault);
    return rc == 1 ? ETX_PUT_OCCUPIED
                   : put_fail(put, ETX_PUT_UNKNOWN, rc, "the slot is filled, but cannot be read");
}

static etx_put_result append_failed(etx__file_partition *partition, etx_put *put, int error) {
    partition->poisoned = 1;
    partition->poisoned_number = partition->current->number;
    snprintf(put->message, sizeof put->message,
             "writing p%02u-%08u.seg failed: %s; the partition stops until it is opened anew",
             partition->number, partition->current->number, strerror(error));
    put->error = ETX_EIO;
    return ETX_PUT_UNKNOWN;
}

static etx_put_result append_full(etx_put *put, int error) {
    put->error = etx__file_error_code(error);
    if (error == ENOENT || error == ESTALE) {
        snprintf(put->message, sizeof put->message, "no segment can be made: %s",
                 error == ENOENT
                     ? "the directory is gone"
                     : "another process has taken the log (its lock was lost or removed)");
        return ETX_PUT_NOT_WRITTEN;
    }
    snprintf(put->message, sizeof put->message, "no segment can be made: %s%s",
             etx__file_why(error),
             put->error == ETX_EFULL ? "; free some space on the log's file system" : "");
    return ETX_PUT_NOT_WRITTEN;
}

/* The helper makes a second spare once the current segment is half full. */
static void half_note(etx__file_partition *partition, uint64_t before) {
    etx__file_log *log = partition->log;
    uint64_t half = log->home.segment_size / 2;
    if (before > half || partition->end <= half)
        return;
    pthread_mutex_lock(&log->mutex);
    partition->half = 1;
    pthread_cond_broadcast(&log->changed);
    pthread_mutex_unlock(&log->mutex);
}

static void append_done(etx__file_partition *partition, const etx_put *put, uint64_t length) {
    etx__file_segment *segment = partition->current;
    uint64_t before = partition->end;
    int begins = !segment->begun;
    if (begins) {
        segment->begun = 1;
        segment->first = put->slot;
    }
    partition->last_offset = partition->end;
    partition->last_checksum = put->checksum;
    partition->last_nonce = put->nonce;
    partition->end += length;
    partition->next = put->slot + 1;
    partition->changed = 1;
    half_note(partition, before);
    if (begins && !partition->log->unsynced)
        etx__file_settle_soon(partition);
}

static int begins_in(const etx_put *put) {
    return put->size >= offsetof(etx_put, begins) + sizeof put->begins && put->begins;
}

/* Writes the group: one write, durable when it returns. Judges nothing. */
etx_put_result etx__file_append(etx__file_partition *partition, etx_put *put) {
    etx__file_log *log = partition->log;
    etx__file_group group = {.partition = put->partition,
                             .slot = put->slot,
                             .nonce = put->nonce,
                             .predecessor = put->predecessor,
                             .checksum = put->checksum,
                             .batch = put->batch};
    uint64_t length = etx__file_group_length(put->batch.len);
    int error = 0;
    if (etx__file_buffer_reserve(&log->allocator, &partition->buffer, length))
        return put_fail(put, ETX_PUT_NOT_WRITTEN, ETX_ENOMEM, "out of memory");
    if (partition->end + length > log->home.segment_size &&
        etx__file_segment_take(partition, begins_in(put), &error))
        return append_full(put, error);
    group.segment = partition->current->number;
    etx__file_group_encode(partition->buffer.data, partition->seed, log->home.id, &group);
    if (partition->end + length > atomic_load_explicit(&partition->zeroed, memory_order_relaxed))
        etx__file_fill_end(partition);
    error = etx__file_write(partition->current->fd, partition->buffer.data, length, partition->end);
    if (error)
        return append_failed(partition, put, error);
    append_done(partition, put, length);
    return ETX_PUT_WRITTEN;
}

static etx_put_result put_check(const etx__file_log *log, etx_put *put) {
    if (log->read_only)
        return put_fail(put, ETX_PUT_NOT_WRITTEN, ETX_EINVALID, "the log is open read-only");
    if (put->partition >= log->home.partitions)
        return put_fail(put, ETX_PUT_NOT_WRITTEN, ETX_EINVALID, "there is no such partition");
    if (!put->batch.len || put->batch.len > log->batch_max)
        return put_fail(put, ETX_PUT_NOT_WRITTEN, ETX_EINVALID, "the batch is empty or too large");
    if (etx_slot_checksum(put->partition, put->slot, put->nonce, put->predecessor, put->batch) !=
        put->checksum)
        return put_fail(put, ETX_PUT_NOT_WRITTEN, ETX_EINVALID, "the checksum is not the batch's");
    return ETX_PUT_WRITTEN;
}

etx_put_result etx__file_put(etx_log *head, etx_put *put) {
    etx__file_log *log = (etx__file_log *)head;
    etx__file_partition *partition;
    put->error = 0;
    put->message[0] = 0;
    put->found_checksum = 0;
    put->found_nonce = 0;
    put->found_trimmed = 0;
    if (put_check(log, put) != ETX_PUT_WRITTEN)
        return ETX_PUT_NOT_WRITTEN;
    partition = &log->partitions[put->partition];
    if (partition->poisoned)
        return put_fail(put, ETX_PUT_UNKNOWN, ETX_EIO,
                        "an earlier write failed: the partition stops until it is opened anew");
    if (put->slot < partition->next)
        return put_occupied(partition, put);
    if (put->slot > partition->next || put->predecessor != partition->last_checksum)
        return ETX_PUT_PREDECESSOR;
    return etx__file_append(partition, put);
}

/* Hands the segments that lie wholly below the mark to the helper, oldest first. */
static void trim_release(etx__file_partition *partition) {
    etx__file_log *log = partition->log;
    pthread_mutex_lock(&log->mutex);
    while (partition->held.head != partition->current &&
           partition->held.head->limit <= partition->state.mark)
        etx__file_queue_push(&partition->trimmed, etx__file_queue_pop(&partition->held));
    pthread_cond_broadcast(&log->changed);
    pthread_mutex_unlock(&log->mutex);
}

int etx__file_trim(etx_log *head, uint32_t number, uint64_t below) {
    etx__file_log *log = (etx__file_log *)head;
    etx__file_partition *partition;
    if (log->read_only || number >= log->home.partitions)
        return ETX_EINVALID;
    partition = &log->partitions[number];
    if (below >= partition->next)
        below = partition->next ? partition->next - 1 : 0;
    if (below <= partition->state.mark)
        return 0;
    if (etx__file_settle(partition, below, 0))
        return ETX_EIO;
    trim_release(partition);
    return 0;
}

int etx__file_space(etx_log *head, uint32_t number, etx_log_space *ret_space) {
    etx__file_log *log = (etx__file_log *)head;
    etx__file_partition *partition;
    uint64_t size = log->home.segment_size;
    uint32_t held;
    if (number >= log->home.partitions)
        return ETX_EINVALID;
    partition = &log->partitions[number];
    pthread_mutex_lock(&log->mutex);
    held = partition->held.count;
    ret_space->bytes_total = (held + partition->spares.count + partition->trimmed.count) * size;
    ret_space->bytes_used = held ? (held - 1) * size + partition->end : 0;
    ret_space->trim_unit = size;
    ret_space->full = etx__file_error_code(partition->spare_error) == ETX_EFULL &&
                      partition->spares.count < (partition->half ? 2u : 1u);
    pthread_mutex_unlock(&log->mutex);
    return 0;
}
