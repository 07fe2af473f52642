/* Repairs a damaged file log by copying what is sound, up to the first damage of each partition.
 *
 * What is read here is read leniently: a damaged `home` is inferred from a segment's header, one
 * of two copies of the trim mark is enough, a damaged header does not hide the groups behind it.
 * A slot is still copied only if it is whole and follows from the one before it.
 *
 * Damage that hides no slot (a state file, `home`, an empty segment, a stray copy) is repaired
 * without anybody's acceptance. Where it cannot be shown that it hides none, it counts as loss. */
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
    etx_file_state worst;
    const etx__file_words *words;
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
    snprintf(path, sizeof path, "%s%s%s", salvage->log->dir, fault->file[0] ? "/" : "",
             fault->file);
    if (fault->state > salvage->worst)
        salvage->worst = fault->state;
    if (!salvage->told && salvage->found)
        salvage->found(&finding, salvage->user);
}

/* What stops the whole repair. */
static int salvage_fail(file_salvage *salvage, const etx__file_fault *fault) {
    return etx__file_fault_say(salvage->log, fault, salvage->words);
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
        int fd = etx__file_open_at(log->dir_fd, name, O_RDONLY);
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

/* Not only that it could not be read: nothing is concluded from that. */
static int is_damage(int rc) {
    return rc == ETX_ECORRUPT || rc == ETX_EVERSION;
}

/* A segment whose first group is torn counts as empty: 1. Or an error, which is no damage. */
static int first_torn(etx__file_reader *reader, uint64_t slot, etx__file_fault *fault) {
    etx__file_group group;
    int rc = etx__file_reader_group(reader, ETX__BLOCK, slot, &group, fault);
    if (rc == ETX_ECORRUPT)
        rc = etx__file_reader_tail(reader, ETX__BLOCK, slot, slot, fault);
    return is_damage(rc) ? 0 : rc;
}

/* Would `number` be the segment behind those that are known so far? */
static int is_next(const etx__file_partition *partition, uint32_t number) {
    const etx__file_segment *last = partition->held.tail;
    return number == (last ? last->number + 1 : 1);
}

/* Does a segment whose beginning is damaged hold groups of its own? A block of damage may. Or an
 * error. */
static int segment_holds(const etx__file_reader *reader, etx__file_fault *fault) {
    const uint64_t size = reader->partition->log->home.segment_size;
    uint8_t block[ETX__BLOCK];
    unsigned bad = 0;
    size_t len = sizeof block;
    for (uint64_t at = ETX__BLOCK; at < size && len == sizeof block; at += ETX__BLOCK) {
        int error = etx__file_read(reader->fd, block, sizeof block, at, &len);
        if (error)
            return etx__file_fault_set(fault, ETX_EIO, fault->file, at, 0, "cannot read: %s",
                                       strerror(error));
        for (size_t i = 0; i + ETX__SECTOR <= len; i += ETX__SECTOR) {
            etx__file_stamp stamp = {0};
            etx__file_sector_kind kind =
                etx__file_sector_decode(block + i, reader->partition->seed, &stamp);
            bad += kind == ETX__SECTOR_BAD;
            if (bad >= ETX__SECTORS_PER_BLOCK ||
                (kind == ETX__SECTOR_STAMPED && stamp.segment == reader->number))
                return 1;
        }
    }
    return 0;
}

/* What one file is: `spoiled` if its header is not its own, `torn` if it does not begin but may
 * hold groups, as one may whose name is a link to nothing. Damage is told. */
static int node_judge(file_salvage *salvage,
                      const etx__file_partition *partition,
                      etx__file_reader *reader,
                      etx__file_segment *segment,
                      etx__file_fault *fault) {
    etx__file_stamp stamp;
    int rc = etx__file_reader_open(reader, segment->number, fault);
    int stray = rc && fault->offset == 32;
    int begins;
    if (rc && rc != ETX_ECORRUPT)
        return rc;
    segment->spoiled = rc != 0;
    if (rc)
        salvage_tell(salvage, partition->number, fault);
    if (reader->fd < 0) {
        segment->torn = 1;
        segment->first = ETX__NONE;
        return 0;
    }
    begins = etx__file_reader_peek(reader, &stamp, fault);
    if (begins == ETX_ECORRUPT)
        salvage_tell(salvage, partition->number, fault);
    else if (begins < 0)
        return begins;
    rc = begins == 1 ? first_torn(reader, stamp.slot, fault) : 0;
    if (rc == 1)
        salvage_tell(salvage, partition->number, fault);
    segment->begun = begins == 1 && rc == 0;
    segment->first = segment->begun ? stamp.slot : ETX__NONE;
    if (rc >= 0 && !segment->begun && (segment->spoiled || begins < 0)) {
        rc = segment_holds(reader, fault);
        segment->torn = rc == 1 || (stray && is_next(partition, segment->number));
    }
    return rc < 0 ? rc : 0;
}

/* One node for each file. */
static int nodes_collect(file_salvage *salvage,
                         etx__file_partition *partition,
                         etx__file_reader *reader) {
    for (size_t i = 0; i < salvage->list->count; i++) {
        const struct etx__file_entry *entry = &salvage->list->entries[i];
        etx__file_fault fault = {0};
        etx__file_segment *segment;
        if (entry->partition != partition->number)
            continue;
        segment = etx__file_segment_new(salvage->log, entry->number);
        if (!segment)
            return etx__file_say(salvage->words, ETX_ENOMEM, "out of memory");
        if (node_judge(salvage, partition, reader, segment, &fault)) {
            etx__file_segment_free(salvage->log, segment);
            return salvage_fail(salvage, &fault);
        }
        etx__file_queue_push(&partition->held, segment);
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

/* Reads one segment, which begins with the next slot, to its limit, or to where it ends. 1: here is
 * damage, or the end. */
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
        if (rc == ETX_ECORRUPT || (!rc && progress->any && group.predecessor != progress->checksum))
            return 1;
        if (rc)
            return rc;
        offset += group.length;
        rc = group_take(partition, progress, &group);
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

/* Is a file missing behind the last segment that begins, or does one there hide groups? */
static int rest_doubtful(const etx__file_partition *partition) {
    const etx__file_segment *at = partition->held.head;
    uint32_t number = 0;
    for (const etx__file_segment *each = at; each; each = each->next) {
        if (each->begun)
            at = each;
    }
    for (; at; at = at->next) {
        if (at->torn)
            return 1;
        if (number && at->number != number + 1 && !at->spoiled)
            return 1;
        if (!number || at->number == number + 1)
            number = at->number;
    }
    return 0;
}

/* Does the state say that this is all? As it does to a start (chain_empty). */
static int is_all(const etx__file_state *state, const salvage_progress *progress) {
    if (!progress->any && (state->flags & ETX__STATE_EMPTY))
        return state->settled <= state->mark;
    return (state->flags & (ETX__STATE_CLEAN | ETX__STATE_EMPTY)) &&
           (progress->any ? progress->next : state->mark) == state->settled;
}

/* Judges what was read of a partition: may something that was acknowledged be missing? */
static void salvage_conclude(file_salvage *salvage,
                             etx__file_partition *partition,
                             const salvage_progress *progress,
                             int known) {
    const etx__file_state *state = &partition->state;
    const etx__file_segment *first = partition->held.head;
    etx__file_fault fault = {0};
    int proven = known && is_all(state, progress);
    int empty = !progress->any && first && first->number == 1 && !rest_doubtful(partition);
    if (known && progress->next < state->settled && !proven)
        etx__file_fault_set(&fault, ETX_ECORRUPT, "", 0, progress->next,
                            "the slots from here on are missing");
    else if (!proven && (rest_doubtful(partition) || (!progress->any && !empty)))
        etx__file_fault_set(&fault, ETX_ECORRUPT, "", 0, progress->next,
                            "there may have been slots from here on; none are found");
    else if (!known && state->mark)
        etx__file_fault_set(&fault, ETX_ECORRUPT, "", 0, state->mark,
                            "nothing tells whether the slots below were trimmed or are missing");
    if (!fault.rc)
        return;
    salvage_tell(salvage, partition->number, &fault);
    salvage->lost = 1;
}

/* The state, where one of its copies is enough. *ret_known: there is one. */
static int state_salvage(file_salvage *salvage, etx__file_partition *partition, int *ret_known) {
    etx__file_fault fault = {0};
    int rc = etx__file_state_load(partition, 0, &fault);
    *ret_known = 1;
    if (!rc)
        return 0;
    if (!is_damage(rc))
        return salvage_fail(salvage, &fault);
    salvage_tell(salvage, partition->number, &fault);
    rc = etx__file_state_load(partition, 1, &fault);
    *ret_known = rc == 0;
    if (rc == 0)
        return 0;
    partition->state = (etx__file_state){0};
    return is_damage(rc) ? 0 : salvage_fail(salvage, &fault);
}

/* Reads the segments in their order. *ret_end: 2 the end, 1 it is torn, negative: damage. */
static int segments_salvage(etx__file_partition *partition,
                            etx__file_reader *reader,
                            int known,
                            salvage_progress *progress,
                            int *ret_end,
                            etx__file_fault *fault) {
    int rc = 0;
    *ret_end = 0;
    for (etx__file_segment *at = partition->held.head; at && !rc && !*ret_end; at = at->next) {
        uint64_t offset = ETX__BLOCK;
        uint64_t limit = limit_of(at);
        if (!at->begun || at->first >= limit || (known && limit <= partition->state.mark))
            continue;
        if (!progress->any && !known)
            partition->state.mark = at->first;
        if (at->first > (progress->any ? progress->next : partition->state.mark)) {
            etx__file_segment_name(fault->file, partition->number, at->number);
            *ret_end = etx__file_fault_set(fault, ETX_ECORRUPT, fault->file, 0, at->first,
                                           "an earlier segment is missing; nothing from here on "
                                           "is kept");
            return 0;
        }
        rc = segment_salvage(partition, reader, at, progress, &offset, fault);
        if (rc != 1)
            continue;
        rc = 0;
        *ret_end = end_judge(partition, reader, at, offset,
                             progress->any ? progress->next : at->first, fault);
        if (!*ret_end)
            *ret_end = 2;
    }
    return rc;
}

/* The newest slot that any sector of a segment names. What stands there from before it was recycled
 * is older, and what cannot be read names none. */
static uint64_t newest_in(const etx__file_partition *partition, int fd) {
    uint8_t block[ETX__BLOCK];
    uint64_t newest = 0;
    for (uint64_t at = ETX__BLOCK; at < partition->log->home.segment_size; at += ETX__BLOCK) {
        size_t len = 0;
        (void)etx__file_read(fd, block, sizeof block, at, &len);
        for (size_t i = 0; i + ETX__SECTOR <= len; i += ETX__SECTOR) {
            etx__file_stamp stamp = {0};
            etx__file_sector_kind kind =
                etx__file_sector_decode(block + i, partition->seed, &stamp);
            if (kind == ETX__SECTOR_STAMPED && stamp.slot > newest)
                newest = stamp.slot;
        }
    }
    return newest;
}

/* How much it is that is lost, as far as anything tells: not only where the damage begins. `newest`
 * counts to behind it. */
static void loss_tell(file_salvage *salvage,
                      etx__file_partition *partition,
                      uint64_t from,
                      uint64_t at_least) {
    uint64_t newest =
        from + at_least > partition->state.settled ? from + at_least : partition->state.settled;
    etx__file_fault fault = {0};
    etx__file_reader reader;
    int ends = (partition->state.flags & ETX__STATE_CLEAN) != 0;
    if (salvage->told)
        return;
    etx__file_reader_init(&reader, partition);
    for (const etx__file_segment *at = partition->held.head; at; at = at->next) {
        etx__file_fault ignored = {0};
        (void)etx__file_reader_open(&reader, at->number, &ignored);
        uint64_t seen = reader.fd >= 0 ? newest_in(partition, reader.fd) : 0;
        ends |= seen > 0 && seen >= from && !rest_doubtful(partition);
        newest = seen + 1 > newest ? seen + 1 : newest;
    }
    etx__file_reader_free(&reader);
    if (newest <= from)
        return;
    newest--;
    etx__file_fault_set(&fault, ETX_ECORRUPT, "", 0, from,
                        "a repair leaves out %sslots %llu to %llu (%llu): all of the partition "
                        "from the damage on%s",
                        ends ? "" : "at least ", (unsigned long long)from,
                        (unsigned long long)newest, (unsigned long long)(newest - from + 1),
                        ends ? "" : ", and nothing tells how far it went");
    salvage_tell(salvage, partition->number, &fault);
}

/* Gives every slot of a partition up to the first damage to `visit`. */
static int partition_salvage(file_salvage *salvage,
                             etx__file_partition *partition,
                             etx_slot_fn visit,
                             void *user) {
    salvage_progress progress = {.visit = visit, .user = user};
    etx__file_fault fault = {0};
    etx__file_reader reader;
    int before = salvage->lost;
    int known = 0;
    int end = 0;
    int rc;
    salvage->lost = 0;
    rc = state_salvage(salvage, partition, &known);
    if (rc)
        return rc;
    etx__file_partition_forget(partition);
    etx__file_reader_init(&reader, partition);
    rc = nodes_collect(salvage, partition, &reader);
    if (!rc)
        rc = segments_salvage(partition, &reader, known, &progress, &end, &fault);
    etx__file_reader_free(&reader);
    if (end == 1 || end < 0)
        salvage_tell(salvage, partition->number, &fault);
    if (rc)
        return rc == fault.rc ? salvage_fail(salvage, &fault) : rc;
    if (end < 0)
        salvage->lost = 1;
    else
        salvage_conclude(salvage, partition, &progress, known);
    if (salvage->lost)
        loss_tell(salvage, partition, progress.any ? progress.next : partition->state.mark,
                  end < 0);
    salvage->lost |= before;
    return 0;
}

static int nothing_visit(const etx_slot *slot, void *user) {
    (void)slot;
    (void)user;
    return 0;
}

/* What keeps the log from opening and nothing here explains: nobody knows what it hides. */
static int unexplained_tell(file_salvage *salvage, etx__file_partition *partition) {
    etx__file_fault fault = {0};
    int rc = etx__file_state_load(partition, 0, &fault);
    etx__file_partition_forget(partition);
    if (!rc)
        rc = etx__file_chain_load(partition, salvage->list, &fault);
    if (rc == 0 || rc == 1)
        return 0;
    if (rc != ETX_ECORRUPT)
        return salvage_fail(salvage, &fault);
    salvage_tell(salvage, partition->number, &fault);
    salvage->lost = 1;
    return 0;
}

/* Files that keep the log from opening and hold nothing of it. */
static void strays_tell(file_salvage *salvage) {
    etx__file_fault fault = {0};
    if (salvage->list->foreign[0]) {
        etx__file_fault_set(&fault, ETX_EINVALID, "", 0, 0,
                            "a file that is not the log's: '%.100s'", salvage->list->foreign);
        salvage_tell(salvage, 0, &fault);
    }
    for (size_t i = 0; i < salvage->list->count; i++) {
        const struct etx__file_entry *entry = &salvage->list->entries[i];
        char name[ETX__NAME_SIZE];
        if (entry->partition < salvage->log->home.partitions)
            continue;
        etx__file_segment_name(name, entry->partition, entry->number);
        etx__file_fault_set(&fault, ETX_ECORRUPT, name, 0, 0,
                            "of a partition that the log does not have");
        salvage_tell(salvage, entry->partition, &fault);
    }
}

static int salvage_tell_all(file_salvage *salvage) {
    int rc = 0;
    strays_tell(salvage);
    for (uint32_t i = 0; i < salvage->log->home.partitions && !rc; i++) {
        etx__file_partition *partition = &salvage->log->partitions[i];
        etx_file_state before = salvage->worst;
        salvage->worst = ETX_FILE_SOUND;
        rc = partition_salvage(salvage, partition, nothing_visit, NULL);
        if (!rc && salvage->worst != ETX_FILE_CORRUPT)
            rc = unexplained_tell(salvage, partition);
        if (salvage->worst < before)
            salvage->worst = before;
    }
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
    rc = etx__file_copy_end(copy, rc, report, words);
    if (!rc && report)
        report->state = salvage->worst;
    return rc;
}

static int repair(file_salvage *salvage,
                  const char *dest,
                  int accept_loss,
                  etx_file_report *report,
                  const etx__file_words *words) {
    int rc = etx__file_partitions_make(salvage->log);
    if (rc)
        return etx__file_say(words, rc, "out of memory");
    rc = salvage_tell_all(salvage);
    if (rc)
        return rc;
    if (salvage->lost && !accept_loss)
        return etx__file_say(words, ETX_ECORRUPT,
                             "a repair of %s would lose what is damaged: accept the loss to have "
                             "the rest copied",
                             salvage->log->dir);
    if (accept_loss || salvage->worst == ETX_FILE_CORRUPT)
        return salvage_copy(salvage, dest, report, words);
    rc = report
             ? etx_log_file_verify(salvage->log->dir, NULL, NULL, report, words->text, words->size)
             : 0;
    if (!rc && report)
        report->state = salvage->worst;
    return rc;
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
    file_salvage salvage = {.found = found, .user = user, .words = &words};
    etx_file_report report = {.size = sizeof report};
    etx__file_list list;
    int pid = 0;
    int rc = etx__file_room_check(ret_report, "etx_file_report", &words);
    if (rc)
        return rc;
    rc = etx__file_care_open(dir, &salvage.log, &list, &words);
    if (rc && rc != ETX_ECORRUPT)
        return rc;
    salvage.list = &list;
    if (rc && !list.copying)
        rc = home_infer(&salvage);
    if (!rc && etx__file_lock_probe(dir, &pid))
        rc = etx__file_say(&words, ETX_EBUSY, "%s is in use by the process %d: end it first", dir,
                           pid);
    if (!rc)
        rc = repair(&salvage, dest, accept_loss, ret_report ? &report : NULL, &words);
    if (!rc)
        etx__file_give(ret_report, &report, sizeof report);
    etx__file_list_free(&salvage.log->allocator, &list);
    etx__file_free(salvage.log);
    return rc;
}
