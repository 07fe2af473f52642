/* A partition's state file: the trim mark, and the slot below which nothing may be cut.
 *
 * Two blocks, each with one sector of content; a store overwrites the older one in place, so that
 * it needs no space (a full disk can be trimmed) and a crash leaves the other. A sector is atomic,
 * hence one that does not check is damage, never a tear. A store that failed is not tried again
 * on that file: the next one makes a new file and renames it over.
 *
 * It is stored by who puts (a trim, the close), and by the helper, once the first group of a
 * segment was acknowledged: so no segment that was begun can be missing unnoticed. The mark
 * changes on the owner's thread only, which therefore reads it without a lock. */
#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

static void state_name(char name[ETX__NAME_SIZE], uint32_t partition, const char *suffix) {
    snprintf(name, ETX__NAME_SIZE, "p%02u.state%s", partition, suffix);
}

static int state_write(etx__file_partition *partition, int fd, const etx__file_state *state) {
    const etx__file_log *log = partition->log;
    etx__file_buffer buffer = {0};
    int error;
    if (etx__file_buffer_reserve(&log->allocator, &buffer, ETX__BLOCK))
        return ENOMEM;
    etx__file_state_encode(buffer.data, log->home.id, partition->number, state);
    memset(buffer.data + ETX__SECTOR, 0, ETX__BLOCK - ETX__SECTOR);
    error = etx__file_write(fd, buffer.data, ETX__BLOCK, state->sequence % 2 * ETX__BLOCK);
    if (!error && fdatasync(fd))
        error = errno;
    etx__file_buffer_free(&log->allocator, &buffer);
    return error;
}

static void state_set(etx__file_partition *partition, const etx__file_state *state) {
    uint64_t *mark = &partition->state.mark;
    partition->state.sequence = state->sequence;
    partition->state.settled = state->settled;
    partition->state.offset = state->offset;
    partition->state.checksum = state->checksum;
    partition->state.segment = state->segment;
    partition->state.flags = state->flags;
    if (*mark != state->mark)
        *mark = state->mark;
}

/* Makes the file anew, with `state` in both blocks, and opens it. 0 or an errno. */
int etx__file_state_make(etx__file_partition *partition, const etx__file_state *state) {
    int dir_fd = partition->log->dir_fd;
    char name[ETX__NAME_SIZE];
    char temporary[ETX__NAME_SIZE];
    etx__file_state twin = *state;
    int error;
    int fd;
    state_name(name, partition->number, "");
    state_name(temporary, partition->number, ".tmp");
    fd = etx__file_open_at(dir_fd, temporary, O_RDWR | O_CREAT | O_TRUNC);
    if (fd < 0)
        return errno;
    etx__file_own(dir_fd, fd);
    error = state_write(partition, fd, &twin);
    twin.sequence++;
    if (!error)
        error = state_write(partition, fd, &twin);
    if (!error && fsync(fd))
        error = errno;
    if (!error && renameat(dir_fd, temporary, dir_fd, name))
        error = errno;
    if (!error)
        error = etx__file_sync_dir(dir_fd);
    if (error) {
        close(fd);
        return error;
    }
    if (partition->state_fd >= 0)
        close(partition->state_fd);
    partition->state_fd = fd;
    state_set(partition, &twin);
    partition->state_bad = 0;
    return 0;
}

/* Makes `state` durable; its sequence is set here. 0 or an errno. */
int etx__file_state_store(etx__file_partition *partition, const etx__file_state *state) {
    etx__file_state fresh = *state;
    int error;
    fresh.sequence = partition->state.sequence + 1;
    if (partition->state_bad)
        return etx__file_state_make(partition, &fresh);
    error = state_write(partition, partition->state_fd, &fresh);
    if (error) {
        if (error != ENOMEM)
            partition->state_bad = 1;
        return error;
    }
    state_set(partition, &fresh);
    return 0;
}

static void storing_begin(etx__file_partition *partition) {
    etx__file_log *log = partition->log;
    pthread_mutex_lock(&log->mutex);
    while (partition->storing)
        pthread_cond_wait(&log->changed, &log->mutex);
    partition->storing = 1;
    pthread_mutex_unlock(&log->mutex);
}

static void storing_end(etx__file_partition *partition) {
    etx__file_log *log = partition->log;
    pthread_mutex_lock(&log->mutex);
    partition->storing = 0;
    pthread_cond_broadcast(&log->changed);
    pthread_mutex_unlock(&log->mutex);
}

static etx__file_settled settled_now(const etx__file_partition *partition) {
    return (etx__file_settled){.next = partition->next,
                               .offset = partition->last_offset,
                               .checksum = partition->last_checksum,
                               .segment = partition->current->number};
}

static void settled_put(etx__file_state *state, const etx__file_settled *settled) {
    state->settled = settled->next;
    state->offset = settled->offset;
    state->checksum = settled->checksum;
    state->segment = settled->segment;
}

/* Makes durable: the mark, and that nothing put so far may be cut. 0 or an errno. */
int etx__file_settle(etx__file_partition *partition, uint64_t mark, uint32_t flags) {
    etx__file_settled settled = settled_now(partition);
    etx__file_state state;
    int error;
    storing_begin(partition);
    state = partition->state;
    state.mark = mark;
    state.flags = flags;
    settled_put(&state, &settled);
    error = etx__file_state_store(partition, &state);
    storing_end(partition);
    return error;
}

/* The helper's part: what it was asked to. One that fails is left to the next one. */
void etx__file_settle_begun(etx__file_partition *partition) {
    etx__file_settled settled;
    etx__file_state state;
    storing_begin(partition);
    pthread_mutex_lock(&partition->log->mutex);
    settled = partition->begun;
    pthread_mutex_unlock(&partition->log->mutex);
    state = partition->state;
    if (settled.next > state.settled) {
        state.flags = 0;
        settled_put(&state, &settled);
        etx__file_state_store(partition, &state);
    }
    storing_end(partition);
}

/* The last group, which is the first of its segment or of this life, is durable: it may not be
 * cut. The helper makes that durable too; nobody waits for it. */
void etx__file_settle_soon(etx__file_partition *partition) {
    etx__file_log *log = partition->log;
    pthread_mutex_lock(&log->mutex);
    partition->begun = settled_now(partition);
    partition->settle = 1;
    pthread_cond_broadcast(&log->changed);
    pthread_mutex_unlock(&log->mutex);
}

static int state_judge(etx__file_partition *partition,
                       const uint8_t *bytes,
                       int tolerant,
                       const char *name,
                       etx__file_fault *fault) {
    int found = 0;
    for (int i = 0; i < 2; i++) {
        etx__file_state state;
        int rc = etx__file_state_decode(bytes + (size_t)i * ETX__BLOCK, partition->log->home.id,
                                        partition->number, &state);
        if (rc == ETX_EVERSION)
            return etx__file_fault_set(fault, rc, name, (uint64_t)i * ETX__BLOCK, 0,
                                       "made by a newer version: use that version");
        if (rc && !tolerant)
            return etx__file_fault_set(fault, rc, name, (uint64_t)i * ETX__BLOCK, 0,
                                       "the trim mark is damaged");
        if (rc || (found && state.sequence < partition->state.sequence))
            continue;
        partition->state = state;
        found = 1;
    }
    if (!found)
        return etx__file_fault_set(fault, ETX_ECORRUPT, name, 0, 0, "the trim mark is damaged");
    return 0;
}

/* Reads the file into partition->state; tolerant: one of the two copies is enough. */
int etx__file_state_load(etx__file_partition *partition, int tolerant, etx__file_fault *fault) {
    const etx__file_log *log = partition->log;
    etx__file_buffer buffer = {0};
    char name[ETX__NAME_SIZE];
    size_t len = 0;
    int error;
    int rc = 0;
    state_name(name, partition->number, "");
    if (partition->state_fd >= 0)
        close(partition->state_fd);
    partition->state_fd = etx__file_open_at(log->dir_fd, name, log->read_only ? O_RDONLY : O_RDWR);
    if (partition->state_fd < 0 && errno == ENOENT)
        return etx__file_fault_set(fault, ETX_ECORRUPT, name, 0, 0, "the file is missing");
    if (partition->state_fd < 0)
        return etx__file_fault_set(fault, ETX_EIO, name, 0, 0, "cannot open: %s",
                                   etx__file_reason(errno));
    if (etx__file_buffer_reserve(&log->allocator, &buffer, 2 * ETX__BLOCK))
        return etx__file_fault_set(fault, ETX_ENOMEM, name, 0, 0, "out of memory");
    error = etx__file_read(partition->state_fd, buffer.data, 2 * ETX__BLOCK, 0, &len);
    if (error)
        rc = etx__file_fault_set(fault, ETX_EIO, name, 0, 0, "cannot read: %s", strerror(error));
    else if (len != 2 * ETX__BLOCK)
        rc = etx__file_fault_set(fault, ETX_ECORRUPT, name, len, 0, "the file is too short");
    else
        rc = state_judge(partition, buffer.data, tolerant, name, fault);
    etx__file_buffer_free(&log->allocator, &buffer);
    return rc;
}
