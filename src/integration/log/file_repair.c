/* Repairs a damaged file log by copying what is sound, up to the first damage of each partition.
 *
 * What is read here is read leniently: a damaged `home` is inferred from a segment's header, one
 * of two copies of the trim mark is enough, a damaged header does not hide the groups behind it.
 * A slot is still copied only if it is whole and follows from the one before it. */
#include "file.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

typedef struct file_salvage {
    etx__file_log *log;
    const etx__file_list *list;
    etx_file_finding_fn found;
    void *user;
    int lost; /* something acknowledged may be missing */
    int told; /* findings are told in the first of two passes */
} file_salvage;

static void salvage_tell(file_salvage *salvage, uint32_t partition, const etx__file_fault *fault) {
    char path[sizeof salvage->log->dir + ETX__NAME_SIZE];
    etx_file_finding finding = {.size = sizeof finding,
                                .state = fault->state,
                                .partition = partition,
                                .file = path,
                                .offset = fault->offset,
                                .slot = fault->slot,
                                .text = fault->text};
    snprintf(path, sizeof path, "%s/%s", salvage->log->dir, fault->file);
    if (!salvage->told && salvage->found)
        salvage->found(&finding, salvage->user);
}

/* The home as the first sound segment header has it. */
static int home_infer(file_salvage *salvage) {
    etx__file_log *log = salvage->log;
    etx__file_fault fault = {0};
    uint8_t block[ETX__BLOCK];
    int rc = ETX_ECORRUPT;
    for (size_t i = 0; rc && i < salvage->list->count; i++) {
        char name[ETX__NAME_SIZE];
        uint32_t partition;
        uint32_t number;
        size_t len = 0;
        etx__file_segment_name(name, salvage->list->entries[i].partition,
                               salvage->list->entries[i].number);
        int fd = openat(log->dir_fd, name, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
            continue;
        if (!etx__file_read(fd, block, sizeof block, 0, &len) && len == sizeof block)
            rc = etx__file_header_decode(block, &log->home, &partition, &number);
        close(fd);
    }
    if (rc)
        return rc;
    etx__file_fault_set(&fault, ETX_ECORRUPT, "home", 0, 0,
                        "damaged or missing; inferred from a segment");
    salvage_tell(salvage, 0, &fault);
    return 0;
}

/* A segment whose first group is torn counts as empty. */
static int first_torn(etx__file_reader *reader, uint64_t slot, etx__file_fault *fault) {
    etx__file_group group;
    return etx__file_reader_group(reader, ETX__BLOCK, slot, &group, fault) == ETX_ECORRUPT &&
           etx__file_reader_tail(reader, ETX__BLOCK, slot, slot, fault) == 1;
}

/* One node for each file that can be opened at all. */
static int nodes_collect(file_salvage *salvage,
                         etx__file_partition *partition,
                         etx__file_reader *reader) {
    for (size_t i = 0; i < salvage->list->count; i++) {
        etx__file_fault fault = {0};
        etx__file_segment *segment;
        etx__file_stamp stamp;
        int rc;
        if (salvage->list->entries[i].partition != partition->number)
            continue;
        rc = etx__file_reader_open(reader, salvage->list->entries[i].number, &fault);
        if (rc)
            salvage_tell(salvage, partition->number, &fault);
        if (rc && rc != ETX_ECORRUPT)
            return rc;
        rc = reader->fd >= 0 ? etx__file_reader_peek(reader, &stamp, &fault) : 0;
        if (rc == ETX_ECORRUPT)
            salvage_tell(salvage, partition->number, &fault);
        else if (rc < 0)
            return rc;
        segment = etx__file_segment_new(salvage->log, salvage->list->entries[i].number);
        if (!segment)
            return ETX_ENOMEM;
        segment->begun = rc == 1 && !first_torn(reader, stamp.slot, &fault);
        segment->first = segment->begun ? stamp.slot : ETX__NONE;
        etx__file_queue_push(&partition->held, segment);
        if (rc == 1 && !segment->begun)
            salvage_tell(salvage, partition->number, &fault);
    }
    return 0;
}

static uint64_t limit_of(const etx__file_segment *segment) {
    uint64_t limit = ETX__NONE;
    for (const etx__file_segment *at = segment->next; at; at = at->next) {
        if (at->begun && at->first < limit)
            limit = at->first;
    }
    return limit;
}

typedef struct salvage_progress {
    uint64_t next;
    uint32_t checksum;
    uint8_t any;
    etx_slot_fn visit;
    void *user;
} salvage_progress;

static int group_take(const etx__file_partition *partition,
                      salvage_progress *progress,
                      const etx__file_group *group) {
    etx_slot slot = {.partition = group->partition,
                     .predecessor = group->predecessor,
                     .slot = group->slot,
                     .nonce = group->nonce,
                     .checksum = group->checksum,
                     .batch = group->batch};
    progress->next = group->slot + 1;
    progress->checksum = group->checksum;
    progress->any = 1;
    return group->slot < partition->state.mark ? 0 : progress->visit(&slot, progress->user);
}

/* Reads one segment to its limit, or to where it ends. 1: here is damage, or the end. */
static int segment_salvage(etx__file_partition *partition,
                           etx__file_reader *reader,
                           const etx__file_segment *segment,
                           salvage_progress *progress,
                           uint64_t *ret_offset,
                           etx__file_fault *fault) {
    uint64_t limit = limit_of(segment);
    uint64_t offset = ETX__BLOCK;
    int rc = etx__file_reader_open(reader, segment->number, fault);
    if (rc && rc != ETX_ECORRUPT)
        return rc;
    for (uint64_t slot = segment->first; slot < limit; slot++) {
        etx__file_group group;
        *ret_offset = offset;
        rc = etx__file_reader_group(reader, offset, slot, &group, fault);
        if (rc == ETX_ECORRUPT || (!rc && progress->any && slot == progress->next &&
                                   group.predecessor != progress->checksum))
            return 1;
        if (rc)
            return rc;
        offset += group.length;
        rc = progress->any && slot < progress->next ? 0 : group_take(partition, progress, &group);
        if (rc)
            return rc;
    }
    return 0;
}

/* Is what stands at the end of the log only its end? */
static int end_judge(etx__file_partition *partition,
                     etx__file_reader *reader,
                     const etx__file_segment *segment,
                     uint64_t offset,
                     uint64_t next,
                     etx__file_fault *fault) {
    int rc;
    if (limit_of(segment) != ETX__NONE)
        return ETX_ECORRUPT; /* the reader has said what is wrong there */
    rc = etx__file_reader_tail(reader, offset, next, next, fault);
    if (rc < 0 || next >= partition->state.settled)
        return rc;
    return etx__file_fault_set(fault, ETX_ECORRUPT, fault->file, offset, next,
                               "the slots from here on were acknowledged, and are damaged");
}

/* Gives every slot of a partition up to the first damage to `visit`. */
static int partition_salvage(file_salvage *salvage,
                             etx__file_partition *partition,
                             etx_slot_fn visit,
                             void *user) {
    salvage_progress progress = {.visit = visit, .user = user};
    etx__file_fault fault = {0};
    etx__file_reader reader;
    int rc = etx__file_state_load(partition, 1, &fault);
    int known = rc == 0;
    int end = 0;
    if (rc)
        salvage_tell(salvage, partition->number, &fault);
    etx__file_partition_forget(partition);
    etx__file_reader_init(&reader, partition);
    rc = nodes_collect(salvage, partition, &reader);
    for (etx__file_segment *at = partition->held.head; at && !rc && !end; at = at->next) {
        uint64_t offset = ETX__BLOCK;
        uint64_t limit = limit_of(at);
        if (!at->begun || at->first >= limit || (known && limit <= partition->state.mark))
            continue;
        if (!progress.any && !known)
            partition->state.mark = at->first;
        if (at->first > (progress.any ? progress.next : partition->state.mark)) {
            etx__file_segment_name(fault.file, partition->number, at->number);
            etx__file_fault_set(&fault, ETX_ECORRUPT, fault.file, 0, at->first,
                                "an earlier segment is missing; nothing from here on is kept");
            end = ETX_ECORRUPT;
            break;
        }
        rc = segment_salvage(partition, &reader, at, &progress, &offset, &fault);
        if (rc != 1)
            continue;
        rc = 0;
        end = end_judge(partition, &reader, at, offset, progress.any ? progress.next : at->first,
                        &fault);
        end = end ? end : 2;
    }
    etx__file_reader_free(&reader);
    if (end == 1 || end < 0)
        salvage_tell(salvage, partition->number, &fault);
    if (!rc && end < 0)
        salvage->lost = 1;
    if (!rc && end >= 0 && progress.next < partition->state.settled) {
        etx__file_fault_set(&fault, ETX_ECORRUPT, "", 0, progress.next,
                            "the slots from here on are missing");
        salvage_tell(salvage, partition->number, &fault);
        salvage->lost = 1;
    }
    return rc;
}

static int nothing_visit(const etx_slot *slot, void *user) {
    (void)slot;
    (void)user;
    return 0;
}

static int salvage_tell_all(file_salvage *salvage) {
    int rc = 0;
    for (uint32_t i = 0; i < salvage->log->home.partitions && !rc; i++)
        rc = partition_salvage(salvage, &salvage->log->partitions[i], nothing_visit, NULL);
    salvage->told = 1;
    return rc;
}

static int salvage_copy(file_salvage *salvage,
                        const char *dest,
                        etx_file_report *report,
                        const etx__file_words *words) {
    etx__file_log *copy = NULL;
    int rc = etx__file_copy_begin(salvage->log, dest, 1, &copy, words);
    if (rc)
        return rc;
    for (uint32_t i = 0; i < copy->home.partitions && !rc; i++) {
        etx__file_partition *from = &salvage->log->partitions[i];
        rc = partition_salvage(salvage, from, etx__file_copy_slot, &copy->partitions[i]);
        if (!rc)
            rc = etx__file_copy_partition_end(&copy->partitions[i], from->state.mark);
        if (rc)
            etx__file_say(words, rc, "cannot copy partition %u to %s", i, dest);
    }
    return etx__file_copy_end(copy, rc, report, words);
}

static int repair(file_salvage *salvage,
                  const char *dest,
                  int accept_loss,
                  etx_file_report *report,
                  const etx__file_words *words) {
    int rc = etx__file_partitions_make(salvage->log);
    if (!rc)
        rc = salvage_tell_all(salvage);
    if (rc)
        return etx__file_say(words, rc, "%s cannot be read: %s", salvage->log->dir,
                             etx_error_name(rc));
    if (accept_loss)
        return salvage_copy(salvage, dest, report, words);
    if (salvage->lost)
        return etx__file_say(words, ETX_ECORRUPT,
                             "a repair of %s would lose what is damaged: accept the loss to have "
                             "the rest copied",
                             salvage->log->dir);
    return 0;
}

int etx_log_file_repair(const char *dir,
                        const char *dest,
                        int accept_loss,
                        etx_file_finding_fn found,
                        void *user,
                        etx_file_report *ret_report,
                        char *message,
                        size_t message_size) {
    const etx__file_words words = {message, message_size};
    file_salvage salvage = {.found = found, .user = user};
    etx__file_list list;
    int pid = 0;
    int rc = etx__file_care_open(dir, &salvage.log, &list, &words);
    if (rc && rc != ETX_ECORRUPT)
        return rc;
    salvage.list = &list;
    if (rc)
        rc = home_infer(&salvage);
    if (!rc && etx__file_lock_probe(dir, &pid))
        rc = etx__file_say(&words, ETX_EBUSY, "%s is in use by the process %d: end it first", dir,
                           pid);
    if (!rc)
        rc = repair(&salvage, dest, accept_loss, ret_report, &words);
    etx__file_list_free(&salvage.log->allocator, &list);
    etx__file_free(salvage.log);
    return rc;
}
