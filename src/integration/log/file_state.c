/* A partition's state file: the trim mark, and the slot below which nothing may be cut.
 *
 * Two blocks, each with one sector of content; a store overwrites the older one in place, so that
 * it needs no space (a full disk can be trimmed) and a crash leaves the other. A sector is atomic,
 * hence one that does not check is damage, never a tear. A store that failed is not tried again
 * on that file: the next one makes a new file and renames it over. */
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
    fd = openat(dir_fd, temporary, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
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
    partition->state = twin;
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
    partition->state = fresh;
    return 0;
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
    partition->state_fd =
        openat(log->dir_fd, name, (log->read_only ? O_RDONLY : O_RDWR) | O_NONBLOCK | O_CLOEXEC);
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
