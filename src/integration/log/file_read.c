/* Reads segment files of the file log: whole groups, and what lies behind the last of them. */
#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

void etx__file_reader_init(etx__file_reader *reader, etx__file_partition *partition) {
    *reader = (etx__file_reader){.partition = partition, .fd = -1};
}

void etx__file_reader_free(etx__file_reader *reader) {
    const etx_allocator *allocator = &reader->partition->log->allocator;
    if (reader->fd >= 0)
        close(reader->fd);
    etx__file_buffer_free(allocator, &reader->window);
    etx__file_buffer_free(allocator, &reader->group);
    reader->fd = -1;
}

static int fault_at(const etx__file_reader *reader,
                    etx__file_fault *fault,
                    int rc,
                    uint64_t offset,
                    uint64_t slot,
                    const char *text) {
    char name[ETX__NAME_SIZE];
    etx__file_segment_name(name, reader->partition->number, reader->number);
    return etx__file_fault_set(fault, rc, name, offset, slot, "%s", text);
}

static int window_fill(etx__file_reader *reader,
                       uint64_t offset,
                       size_t len,
                       etx__file_fault *fault) {
    const etx_allocator *allocator = &reader->partition->log->allocator;
    int error;
    if (etx__file_buffer_reserve(allocator, &reader->window, len))
        return fault_at(reader, fault, ETX_ENOMEM, offset, 0, "out of memory");
    reader->window_at = offset;
    reader->window_len = 0;
    error = etx__file_read(reader->fd, reader->window.data, len, offset, &reader->window_len);
    if (error)
        return fault_at(reader, fault, ETX_EIO, offset, 0, strerror(error));
    return 0;
}

/* The sector at `offset`, which lies below the segment's size. */
static int sector_at(etx__file_reader *reader,
                     uint64_t offset,
                     const uint8_t **ret_sector,
                     etx__file_fault *fault) {
    uint64_t size = reader->partition->log->home.segment_size;
    if (offset < reader->window_at || offset >= reader->window_at + reader->window_len) {
        uint64_t at = offset - offset % ETX__BLOCK;
        size_t len = size - at < ETX__WINDOW ? (size_t)(size - at) : ETX__WINDOW;
        int rc = window_fill(reader, at, len, fault);
        if (rc)
            return rc;
        if (reader->ahead)
            posix_fadvise(reader->fd, (off_t)(at + len), ETX__AHEAD, POSIX_FADV_WILLNEED);
        if (reader->window_len < offset - at + ETX__SECTOR)
            return fault_at(reader, fault, ETX_ECORRUPT, at + reader->window_len, 0,
                            "the file is cut off here");
    }
    *ret_sector = reader->window.data + (offset - reader->window_at);
    return 0;
}

static int header_check(etx__file_reader *reader, etx__file_fault *fault) {
    const etx__file_home *home = &reader->partition->log->home;
    etx__file_home found = {0};
    uint32_t partition = 0;
    uint32_t number = 0;
    int rc = etx__file_header_decode(reader->window.data, &found, &partition, &number);
    if (rc == ETX_EVERSION)
        return fault_at(reader, fault, rc, 0, 0, "made by a newer version: use that version");
    if (rc)
        return fault_at(reader, fault, rc, 0, 0, "the segment's header is damaged");
    if (memcmp(found.id, home->id, sizeof found.id) != 0 || found.partitions != home->partitions ||
        found.segment_size != home->segment_size)
        return fault_at(reader, fault, ETX_ECORRUPT, 16, 0, "the file belongs to another log");
    if (partition != reader->partition->number || number != reader->number) {
        char name[ETX__NAME_SIZE];
        char text[sizeof fault->text];
        etx__file_segment_name(name, partition, number);
        snprintf(text, sizeof text,
                 "the file is that of another segment under this name: of %s; if that is missing "
                 "or mixed up too, to rename it may save everything",
                 name);
        return fault_at(reader, fault, ETX_ECORRUPT, 32, 0, text);
    }
    return 0;
}

/* Opens segment `number`, checks its size and header, and has its first block read. */
int etx__file_reader_open(etx__file_reader *reader, uint32_t number, etx__file_fault *fault) {
    const etx__file_log *log = reader->partition->log;
    char name[ETX__NAME_SIZE];
    struct stat stat;
    int rc;
    if (reader->fd >= 0)
        close(reader->fd);
    reader->number = number;
    etx__file_segment_name(name, reader->partition->number, number);
    reader->fd = etx__file_open_at(log->dir_fd, name, O_RDONLY);
    if (reader->fd < 0 && errno == ENOENT)
        return fault_at(reader, fault, ETX_ECORRUPT, 0, 0,
                        fstatat(log->dir_fd, name, &stat, AT_SYMLINK_NOFOLLOW)
                            ? "the file is missing"
                            : "the file is missing: a symbolic link to nothing has its name");
    if (reader->fd < 0 || fstat(reader->fd, &stat))
        return fault_at(reader, fault, ETX_EIO, 0, 0, etx__file_reason(errno));
    rc = window_fill(reader, 0, 2 * ETX__BLOCK, fault);
    if (rc)
        return rc;
    if ((uint64_t)stat.st_size != log->home.segment_size)
        return fault_at(reader, fault, ETX_ECORRUPT, (uint64_t)stat.st_size, 0,
                        "the file has not the size of a segment");
    return header_check(reader, fault);
}

/* The first sector's stamp, if it is one of this segment: then 1. 0: the segment is empty. */
int etx__file_reader_peek(etx__file_reader *reader,
                          etx__file_stamp *ret_stamp,
                          etx__file_fault *fault) {
    const uint8_t *sector = NULL;
    int rc = sector_at(reader, ETX__BLOCK, &sector, fault);
    if (rc)
        return rc;
    switch (etx__file_sector_decode(sector, reader->partition->seed, ret_stamp)) {
        case ETX__SECTOR_ZERO:
            return 0;
        case ETX__SECTOR_BAD:
            return fault_at(reader, fault, ETX_ECORRUPT, ETX__BLOCK, 0, "the sector is damaged");
        case ETX__SECTOR_STAMPED:
            break;
    }
    if (ret_stamp->segment > reader->number)
        return fault_at(reader, fault, ETX_ECORRUPT, ETX__BLOCK, ret_stamp->slot,
                        "the sector is one of a later segment");
    return ret_stamp->segment == reader->number;
}

static int group_head_check(etx__file_reader *reader,
                            const uint8_t *sector,
                            const etx__file_stamp *stamp,
                            etx__file_group *group,
                            etx__file_fault *fault) {
    const etx__file_log *log = reader->partition->log;
    uint64_t offset = group->offset;
    uint64_t slot = group->slot;
    int rc = etx__file_group_head_decode(sector + ETX__SECTOR_HEAD, log->home.id, group);
    if (rc == ETX_EVERSION)
        return fault_at(reader, fault, rc, offset, slot, "a group made by a newer version");
    if (rc || group->partition != reader->partition->number || group->slot != slot ||
        group->segment != reader->number || !group->batch.len ||
        group->batch.len > log->batch_max ||
        etx__file_group_length(group->batch.len) != (uint64_t)stamp->count * ETX__SECTOR)
        return fault_at(reader, fault, ETX_ECORRUPT, offset, slot, "the group's header is damaged");
    group->length = (uint64_t)stamp->count * ETX__SECTOR;
    if (offset + group->length > log->home.segment_size)
        return fault_at(reader, fault, ETX_ECORRUPT, offset, slot,
                        "the group does not fit into its segment");
    return 0;
}

static int stamp_check(etx__file_reader *reader,
                       const uint8_t *sector,
                       uint64_t offset,
                       uint64_t slot,
                       uint32_t index,
                       etx__file_stamp *stamp,
                       etx__file_fault *fault) {
    if (etx__file_sector_decode(sector, reader->partition->seed, stamp) != ETX__SECTOR_STAMPED)
        return fault_at(reader, fault, ETX_ECORRUPT, offset, slot,
                        "a sector of the group is damaged");
    if (stamp->segment != reader->number || stamp->slot != slot || stamp->index != index)
        return fault_at(reader, fault, ETX_ECORRUPT, offset, slot,
                        "a sector of the group is missing");
    return 0;
}

static int group_body(etx__file_reader *reader,
                      etx__file_group *group,
                      uint32_t count,
                      etx__file_fault *fault) {
    size_t left = group->batch.len;
    size_t skip = ETX__GROUP_HEAD;
    uint8_t *to = reader->group.data;
    for (uint32_t i = 0; i < count; i++) {
        uint64_t offset = group->offset + (uint64_t)i * ETX__SECTOR;
        size_t len = left < ETX__SECTOR_BODY - skip ? left : ETX__SECTOR_BODY - skip;
        etx__file_stamp stamp;
        const uint8_t *sector = NULL;
        int rc = sector_at(reader, offset, &sector, fault);
        if (!rc)
            rc = stamp_check(reader, sector, offset, group->slot, i, &stamp, fault);
        if (!rc && stamp.count != count)
            rc = fault_at(reader, fault, ETX_ECORRUPT, offset, group->slot, "a foreign sector");
        if (rc)
            return rc;
        memcpy(to, sector + ETX__SECTOR_HEAD + skip, len);
        to += len;
        left -= len;
        skip = 0;
    }
    return 0;
}

/* Reads the group at `offset`, which must be that of `slot` and whole. Errors: ETX_ECORRUPT (not
 * so: `fault` says what is there), ETX_EVERSION, ETX_EIO, ETX_ENOMEM. The batch is borrowed until
 * the next read. */
int etx__file_reader_group(etx__file_reader *reader,
                           uint64_t offset,
                           uint64_t slot,
                           etx__file_group *ret_group,
                           etx__file_fault *fault) {
    const etx_allocator *allocator = &reader->partition->log->allocator;
    etx__file_group group = {.offset = offset, .slot = slot};
    const uint8_t *sector = NULL;
    etx__file_stamp stamp;
    int rc;
    if (offset + ETX__BLOCK > reader->partition->log->home.segment_size)
        return fault_at(reader, fault, ETX_ECORRUPT, offset, slot, "the segment ends here");
    rc = sector_at(reader, offset, &sector, fault);
    if (!rc)
        rc = stamp_check(reader, sector, offset, slot, 0, &stamp, fault);
    if (!rc)
        rc = group_head_check(reader, sector, &stamp, &group, fault);
    if (rc)
        return rc;
    if (etx__file_buffer_reserve(allocator, &reader->group, group.batch.len))
        return fault_at(reader, fault, ETX_ENOMEM, offset, slot, "out of memory");
    rc = group_body(reader, &group, stamp.count, fault);
    if (rc)
        return rc;
    group.batch.data = reader->group.data;
    if (etx_slot_checksum(group.partition, slot, group.nonce, group.predecessor, group.batch) !=
        group.checksum)
        return fault_at(reader, fault, ETX_ECORRUPT, offset, slot, "the group's checksum is wrong");
    *ret_group = group;
    return 0;
}

/* What the sectors of a torn group have in common. */
typedef struct tail_tear {
    uint64_t offset;
    uint64_t slot_min;
    uint64_t slot_max;
    uint64_t slot;
    uint32_t count;
    uint32_t found;
} tail_tear;

/* One sector behind the last group: 0 if it is old, or new and part of the tear. */
static int tear_take(etx__file_reader *reader,
                     tail_tear *tear,
                     const uint8_t *sector,
                     uint64_t offset,
                     etx__file_fault *fault) {
    etx__file_stamp stamp;
    switch (etx__file_sector_decode(sector, reader->partition->seed, &stamp)) {
        case ETX__SECTOR_ZERO:
            return 0;
        case ETX__SECTOR_BAD:
            return fault_at(reader, fault, ETX_ECORRUPT, offset, tear->slot_max,
                            "the sector is damaged, not torn");
        case ETX__SECTOR_STAMPED:
            break;
    }
    if (stamp.segment < reader->number)
        return 0;
    if (stamp.segment > reader->number)
        return fault_at(reader, fault, ETX_ECORRUPT, offset, stamp.slot,
                        "the sector is one of a later segment");
    if (!tear->found) {
        tear->slot = stamp.slot;
        tear->count = stamp.count;
    }
    if (stamp.slot < tear->slot_min || stamp.slot > tear->slot_max || stamp.slot != tear->slot ||
        stamp.count != tear->count || stamp.index >= stamp.count ||
        tear->offset + (uint64_t)stamp.index * ETX__SECTOR != offset)
        return fault_at(reader, fault, ETX_ECORRUPT, offset, tear->slot_max,
                        "what lies behind the last whole group is not its torn successor");
    tear->found++;
    return 0;
}

/* Judges what lies at `offset`, where no whole group is. 0: nothing new; 1: the torn group of one
 * slot from slot_min to slot_max; else an error, ETX_ECORRUPT for anything else. */
int etx__file_reader_tail(etx__file_reader *reader,
                          uint64_t offset,
                          uint64_t slot_min,
                          uint64_t slot_max,
                          etx__file_fault *fault) {
    const etx__file_log *log = reader->partition->log;
    uint64_t size = log->home.segment_size;
    uint64_t end = offset + log->group_max + ETX__BLOCK;
    tail_tear tear = {.offset = offset, .slot_min = slot_min, .slot_max = slot_max};
    if (end > size)
        end = size;
    for (uint64_t at = offset; at < end; at += ETX__SECTOR) {
        const uint8_t *sector = NULL;
        int rc = sector_at(reader, at, &sector, fault);
        if (!rc)
            rc = tear_take(reader, &tear, sector, at, fault);
        if (rc)
            return rc;
    }
    if (tear.found && tear.found == tear.count)
        return fault_at(reader, fault, ETX_ECORRUPT, offset, tear.slot,
                        "all sectors of the group are there, but it is not sound");
    if (!tear.found)
        return 0;
    fault_at(reader, fault, 0, offset, tear.slot,
             "the last group is torn: opening the log cuts it, nothing acknowledged is lost");
    fault->state = ETX_FILE_TORN;
    return 1;
}

typedef struct slot_walk {
    uint64_t from;
    uint64_t slot; /* of the group read last, plus one */
    uint32_t checksum;
    etx_slot_fn visit;
    void *user;
} slot_walk;

static int walk_visit(const slot_walk *walk, const etx__file_group *group) {
    etx_slot slot = {.partition = group->partition,
                     .predecessor = group->predecessor,
                     .slot = group->slot,
                     .nonce = group->nonce,
                     .checksum = group->checksum,
                     .batch = group->batch};
    return group->slot < walk->from ? 0 : walk->visit(&slot, walk->user);
}

static int walk_segment(etx__file_reader *reader,
                        slot_walk *walk,
                        const etx__file_segment *segment,
                        uint64_t limit,
                        etx__file_fault *fault) {
    uint64_t offset = ETX__BLOCK;
    int rc = etx__file_reader_open(reader, segment->number, fault);
    for (uint64_t slot = segment->first; !rc && slot < limit; slot++) {
        etx__file_group group;
        rc = etx__file_reader_group(reader, offset, slot, &group, fault);
        if (rc)
            break;
        if (slot && slot == walk->slot && group.predecessor != walk->checksum)
            return fault_at(reader, fault, ETX_ECORRUPT, offset, slot,
                            "the group does not follow the one before it");
        offset += group.length;
        walk->slot = slot + 1;
        walk->checksum = group.checksum;
        fault->rc = 0;
        rc = walk_visit(walk, &group);
        if (rc)
            break;
    }
    return rc;
}

/* Gives the slots from max(from, mark) on. fault->rc is set if the error is the log's own, and is
 * 0 if it is what `visit` returned. */
int etx__file_get(etx__file_partition *partition,
                  uint64_t from,
                  etx_slot_fn visit,
                  void *user,
                  etx__file_fault *fault) {
    slot_walk walk = {.from = from, .slot = ETX__NONE, .visit = visit, .user = user};
    etx__file_reader reader;
    int rc = 0;
    fault->rc = 0;
    if (walk.from < partition->state.mark)
        walk.from = partition->state.mark;
    etx__file_reader_init(&reader, partition);
    reader.ahead = 1;
    for (const etx__file_segment *segment = partition->held.head; segment && !rc;
         segment = segment->next) {
        uint64_t limit = segment == partition->current ? partition->next : segment->limit;
        if (segment->begun && limit > walk.from)
            rc = walk_segment(&reader, &walk, segment, limit, fault);
    }
    etx__file_reader_free(&reader);
    return rc;
}
