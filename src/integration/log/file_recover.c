/* Finds out what a partition's files hold after a crash, and makes it safe to act on.
 *
 * The chain: segments by number. The first slot of a later segment is the limit of those before
 * it; a segment that begins at or above its limit is superseded (it was written to before a
 * poisoning, and its last group was copied on). Everything from the trim mark on must be there.
 *
 * The end: the last segment that holds a whole group is read to its last whole group. Behind it,
 * and in the segments after it, there may be one torn group, that of the one next slot, or
 * nothing new; anything else is damage. A last group below the settled mark (a clean close, a
 * trim) is never cut.
 *
 * What a crash may have left unsynced, the page cache shows all the same: names (the directory is
 * synced at open), the trim mark (it is written again before it is told or a segment goes), the
 * last group. What lies behind the last whole group is zeroed, then the last group is written again
 * over itself, both synced, before anything acts on it. A crash in between finds the same again.
 * After a poisoning (a write failed and we live) the file is never written again: the last group is
 * copied to the first slot of a new segment instead. */
#include "file.h"

#include <errno.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

/* Forgets what was read of the partition, for reading it anew. Its lock stays. */
void etx__file_partition_forget(etx__file_partition *partition) {
    etx__file_log *log = partition->log;
    etx__file_fill_end(partition);
    etx__file_queue_free(log, &partition->held);
    pthread_mutex_lock(&log->mutex);
    etx__file_queue_free(log, &partition->spares);
    etx__file_queue_free(log, &partition->trimmed);
    partition->half = 0;
    partition->settle = 0;
    pthread_mutex_unlock(&log->mutex);
    partition->current = NULL;
    partition->next = 0;
    partition->end = ETX__BLOCK;
    partition->last_checksum = 0;
    partition->last_nonce = 0;
    partition->last_offset = 0;
    partition->changed = 0;
}

static int missing(const etx__file_partition *partition,
                   uint32_t number,
                   uint64_t slot,
                   const char *text,
                   etx__file_fault *fault) {
    char name[ETX__NAME_SIZE];
    etx__file_segment_name(name, partition->number, number);
    return etx__file_fault_set(fault, ETX_ECORRUPT, name, 0, slot, "%s", text);
}

/* One node for each file, in ascending order, each with its first slot, all in `held`. */
static int nodes_load(etx__file_partition *partition,
                      etx__file_reader *reader,
                      const etx__file_list *list,
                      etx__file_fault *fault) {
    /* First of all: should one of them not be readable, its number is taken all the same. */
    for (size_t i = 0; i < list->count; i++) {
        if (list->entries[i].partition == partition->number)
            partition->highest = list->entries[i].number;
    }
    for (size_t i = 0; i < list->count; i++) {
        etx__file_segment *segment;
        etx__file_stamp stamp;
        int rc;
        if (list->entries[i].partition != partition->number)
            continue;
        rc = etx__file_reader_open(reader, list->entries[i].number, fault);
        if (!rc)
            rc = etx__file_reader_peek(reader, &stamp, fault);
        if (rc < 0)
            return rc;
        segment = etx__file_segment_new(partition->log, list->entries[i].number);
        if (!segment)
            return etx__file_fault_set(fault, ETX_ENOMEM, "", 0, 0, "out of memory");
        segment->begun = rc == 1;
        segment->first = rc == 1 ? stamp.slot : ETX__NONE;
        etx__file_queue_push(&partition->held, segment);
    }
    if (!partition->held.head)
        return missing(partition, 1, 0, "the segment is missing", fault);
    return 0;
}

static etx__file_segment *last_begun(const etx__file_partition *partition) {
    etx__file_segment *last = NULL;
    for (etx__file_segment *at = partition->held.head; at; at = at->next) {
        if (at->begun)
            last = at;
    }
    return last;
}

/* Reads the last segment to its end, from the settled mark where that lies in it. 1: not even its
 * first group is whole. */
static int end_find(etx__file_partition *partition,
                    etx__file_reader *reader,
                    const etx__file_segment *segment,
                    etx__file_fault *fault) {
    const etx__file_state *state = &partition->state;
    uint64_t offset = ETX__BLOCK;
    uint64_t slot = segment->first;
    int rc = etx__file_reader_open(reader, segment->number, fault);
    if (rc)
        return rc;
    if (state->settled > slot && state->segment == segment->number) {
        offset = state->offset;
        slot = state->settled - 1;
    }
    for (partition->next = slot;; partition->next++) {
        etx__file_group group;
        rc = etx__file_reader_group(reader, offset, partition->next, &group, fault);
        if (rc == ETX_ECORRUPT)
            break;
        if (rc)
            return rc;
        if (partition->next > slot && group.predecessor != partition->last_checksum)
            return missing(partition, segment->number, partition->next,
                           "a group does not follow the one before it", fault);
        partition->last_offset = offset;
        partition->last_checksum = group.checksum;
        partition->last_nonce = group.nonce;
        offset += group.length;
    }
    partition->end = offset;
    if (partition->next == slot && slot != segment->first)
        return ETX_ECORRUPT; /* the settled group; the reader has said why */
    return partition->next == slot;
}

/* Finds the last whole group. Segments whose first group is torn count as empty. */
static int end_search(etx__file_partition *partition,
                      etx__file_reader *reader,
                      etx__file_fault *fault) {
    etx__file_segment *segment;
    while ((segment = last_begun(partition)) != NULL) {
        int rc = end_find(partition, reader, segment, fault);
        if (rc < 0)
            return rc;
        if (rc == 0) {
            partition->current = segment;
            return 0;
        }
        rc = etx__file_reader_tail(reader, ETX__BLOCK, segment->first, segment->first, fault);
        if (rc < 0)
            return rc;
        segment->begun = 0;
    }
    partition->current = NULL;
    partition->next = 0;
    partition->end = ETX__BLOCK;
    return 0;
}

/* Sets the limits, from the back. */
static void limits_set(etx__file_partition *partition) {
    for (etx__file_segment *at = partition->held.head; at; at = at->next) {
        at->limit = partition->next;
        for (const etx__file_segment *later = at->next; later; later = later->next) {
            if (later->begun && later->first < at->limit)
                at->limit = later->first;
        }
        if (!partition->current || at->number > partition->current->number)
            continue;
        if (!at->begun || at->first >= at->limit) {
            at->begun = 0;
            at->spoiled = 1;
            at->first = at->limit;
        }
    }
}

static int chain_empty(etx__file_partition *partition, etx__file_fault *fault) {
    const etx__file_state *state = &partition->state;
    if ((state->flags & ETX__STATE_EMPTY) && state->settled <= state->mark) {
        partition->next = state->mark;
        return 0;
    }
    if (state->settled || state->mark || partition->held.head->number != 1)
        return missing(partition, partition->held.head->number, state->mark,
                       "the slots from here on are missing", fault);
    return 0;
}

/* From the mark on nothing may be missing: neither a file nor a slot. */
static int chain_check(etx__file_partition *partition, etx__file_fault *fault) {
    const etx__file_state *state = &partition->state;
    uint64_t limit = 0; /* of the segment before: what is missing begins there */
    uint32_t number = 0;
    int first = 1;
    if (!partition->current)
        return chain_empty(partition, fault);
    for (const etx__file_segment *at = partition->held.head; at; at = at->next) {
        if (number && at->number != number + 1 && at->limit > state->mark &&
            !(at->begun && at->first <= state->mark))
            return missing(partition, number + 1, limit, "the segment is missing", fault);
        number = at->number;
        limit = at->limit;
        if (!at->begun || at->limit <= state->mark)
            continue;
        /* Each later one begins where the one before has its limit: that is what limits are. */
        if (first && at->first > state->mark)
            return missing(
                partition, at->number, state->mark,
                "the segment does not begin with the slot that is due; an earlier one is "
                "missing",
                fault);
        first = 0;
    }
    if (partition->next < state->settled || partition->next <= state->mark)
        return missing(partition, partition->current->number, partition->next,
                       "the slots from here on were acknowledged, and are missing", fault);
    return 0;
}

/* What lies behind the end, and in the empty segments that follow. 1: something is torn. */
static int rest_judge(etx__file_partition *partition,
                      etx__file_reader *reader,
                      const etx__file_segment *segment,
                      etx__file_fault *fault) {
    uint64_t next = partition->next;
    uint64_t offset = segment == partition->current ? partition->end : ETX__BLOCK;
    uint64_t least = segment == partition->current ? next : next > 2 ? next - 2 : 0;
    int rc = etx__file_reader_open(reader, segment->number, fault);
    return rc ? rc : etx__file_reader_tail(reader, offset, least, next, fault);
}

/* In a log that another writes to, what lies behind the end may have grown while it was judged. If
 * the group that was not there is there now, it was being written, and the end was the end. */
static int rest_grew(etx__file_partition *partition,
                     etx__file_reader *reader,
                     const etx__file_segment *segment) {
    const struct timespec pause = {.tv_nsec = 10 * 1000 * 1000};
    uint64_t offset = segment == partition->current ? partition->end : ETX__BLOCK;
    for (int i = 0; i < 5; i++) {
        etx__file_fault ignored;
        etx__file_group group;
        reader->window_len = 0;
        if (!etx__file_reader_group(reader, offset, partition->next, &group, &ignored))
            return 1;
        nanosleep(&pause, NULL);
    }
    return 0;
}

static int rest_judge_all(etx__file_partition *partition,
                          etx__file_reader *reader,
                          etx__file_fault *fault) {
    etx__file_segment *at = partition->current ? partition->current : partition->held.head;
    etx__file_fault first = {0};
    int torn = 0;
    for (; at; at = at->next) {
        int rc = rest_judge(partition, reader, at, fault);
        if (rc == ETX_ECORRUPT && partition->log->live && rest_grew(partition, reader, at))
            break;
        if (rc < 0)
            return rc;
        at->torn = rc == 1;
        if (at->torn && !torn++)
            first = *fault;
    }
    *fault = first;
    return torn != 0;
}

/* For those who look at a live log: damage is what is found at one place five times running. */
int etx__file_fault_again(const etx__file_fault *fault, etx__file_fault *before, int *times) {
    if (strcmp(fault->file, before->file) != 0 || fault->offset != before->offset)
        *times = 0;
    *before = *fault;
    return ++*times >= 5;
}

/* Reads the chain: held, current, next, end. Changes nothing. 1 and `fault`: its last group is
 * torn. Errors: ETX_ECORRUPT, ETX_EVERSION, ETX_EIO, ETX_ENOMEM, each with `fault`. */
int etx__file_chain_load(etx__file_partition *partition,
                         const etx__file_list *list,
                         etx__file_fault *fault) {
    etx__file_reader reader;
    int rc;
    etx__file_reader_init(&reader, partition);
    rc = nodes_load(partition, &reader, list, fault);
    if (!rc)
        rc = end_search(partition, &reader, fault);
    if (!rc) {
        limits_set(partition);
        rc = chain_check(partition, fault);
    }
    if (!rc)
        rc = rest_judge_all(partition, &reader, fault);
    etx__file_reader_free(&reader);
    return rc;
}

static int trouble(const etx__file_partition *partition,
                   const etx__file_segment *segment,
                   int error,
                   const char *what,
                   etx__file_fault *fault) {
    char name[ETX__NAME_SIZE];
    etx__file_segment_name(name, partition->number, segment->number);
    return etx__file_fault_set(fault, etx__file_error_code(error), name, 0, partition->next,
                               "%s: %s", what, etx__file_why(error));
}

/* Gives the segments behind the current one to the spares, and those below the mark to be
 * recycled. After a poisoning, empty ones up to the poisoned one are never used. */
static void nodes_share_out(etx__file_partition *partition, int poisoned) {
    etx__file_log *log = partition->log;
    etx__file_queue all = partition->held;
    etx__file_segment *current = partition->current;
    etx__file_segment *segment;
    int behind = current == NULL;
    partition->held = (etx__file_queue){0};
    pthread_mutex_lock(&log->mutex);
    while ((segment = etx__file_queue_pop(&all)) != NULL) {
        int dead = poisoned && segment->number <= partition->poisoned_number;
        if (behind && !dead)
            etx__file_queue_push(&partition->spares, segment);
        else if (segment != current && !behind && segment->limit <= partition->state.mark)
            etx__file_queue_push(&partition->trimmed, segment);
        else
            etx__file_queue_push(&partition->held, segment);
        if (dead)
            segment->spoiled = 1;
        if (behind && dead)
            segment->first = segment->limit = partition->next;
        behind |= segment == current;
    }
    pthread_mutex_unlock(&log->mutex);
}

/* Writes the last group to `offset` of the current segment: again in place, or as a copy. */
static int tail_write(etx__file_partition *partition,
                      const etx__file_segment *from,
                      uint64_t offset,
                      etx__file_fault *fault) {
    etx__file_log *log = partition->log;
    etx__file_reader reader;
    etx__file_group group = {0};
    int rc;
    etx__file_reader_init(&reader, partition);
    rc = etx__file_reader_open(&reader, from->number, fault);
    if (!rc)
        rc = etx__file_reader_group(&reader, partition->last_offset, partition->next - 1, &group,
                                    fault);
    if (!rc && etx__file_buffer_reserve(&log->allocator, &partition->buffer, group.length))
        rc = trouble(partition, from, ENOMEM, "cannot read the last group", fault);
    if (!rc) {
        int error;
        group.segment = partition->current->number;
        etx__file_group_encode(partition->buffer.data, partition->seed, log->home.id, &group);
        error =
            etx__file_write(partition->current->fd, partition->buffer.data, group.length, offset);
        if (error)
            rc = trouble(partition, partition->current, error, "cannot write the last group again",
                         fault);
    }
    if (!rc) {
        partition->last_offset = offset;
        partition->end = offset + group.length;
    }
    etx__file_reader_free(&reader);
    return rc;
}

static int rest_zero(etx__file_partition *partition,
                     etx__file_segment *segment,
                     uint64_t offset,
                     etx__file_fault *fault) {
    const etx__file_log *log = partition->log;
    uint64_t end = offset + log->group_max;
    int error = etx__file_segment_open(partition, segment);
    if (end > log->home.segment_size)
        end = log->home.segment_size;
    if (!error)
        error = etx__file_zero(log, segment->fd, offset, end);
    segment->torn = 0;
    return error ? trouble(partition, segment, error, "cannot cut the torn group", fault) : 0;
}

static int spares_ready(etx__file_partition *partition, etx__file_fault *fault) {
    for (etx__file_segment *at = partition->spares.head; at; at = at->next) {
        int rc = at->torn ? rest_zero(partition, at, ETX__BLOCK, fault) : 0;
        int error = rc ? 0 : etx__file_segment_open(partition, at);
        if (rc)
            return rc;
        if (error)
            return trouble(partition, at, error, "cannot open", fault);
    }
    return 0;
}

/* Is the last group where the settled mark, which was written after it was durable, has it? A copy
 * of that group, made after a poisoning, stands in another segment, and may not be durable. */
static int is_settled(const etx__file_partition *partition) {
    const etx__file_state *state = &partition->state;
    return partition->next == state->settled && partition->current->number == state->segment;
}

/* After a crash: the current segment is written on. */
static int recover_in_place(etx__file_partition *partition, int torn, etx__file_fault *fault) {
    etx__file_segment *current = partition->current;
    int error;
    int rc = 0;
    if (!current) /* all of them are spares, and one is there */
        return etx__file_segment_take(partition, 0, &error);
    error = etx__file_segment_open(partition, current);
    if (error)
        return trouble(partition, current, error, "cannot open for writing", fault);
    if (!torn && is_settled(partition))
        return 0;
    if (partition->end < partition->log->home.segment_size)
        rc = rest_zero(partition, current, partition->end, fault);
    return rc ? rc : tail_write(partition, current, partition->last_offset, fault);
}

/* After a poisoning: a new segment begins with a copy of the last group. */
static int recover_elsewhere(etx__file_partition *partition, etx__file_fault *fault) {
    etx__file_segment *from = partition->current;
    uint64_t last = partition->next - 1;
    int error;
    int rc = etx__file_segment_take(partition, 0, &error);
    if (rc)
        return etx__file_fault_set(fault, etx__file_error_code(error), "", 0, partition->next,
                                   "cannot make a segment: %s", etx__file_why(error));
    if (!from)
        return 0;
    partition->poisoned_number = partition->current->number;
    rc = tail_write(partition, from, ETX__BLOCK, fault);
    if (rc)
        return rc;
    for (etx__file_segment *at = partition->held.head; at != partition->current; at = at->next) {
        if (at->limit > last)
            at->limit = last;
        if (at->begun && at->first >= at->limit)
            at->begun = 0;
        if (!at->begun)
            at->first = at->limit;
    }
    from->spoiled = 1;
    partition->current->begun = 1;
    partition->current->first = last;
    return 0;
}

/* A mark that a process wrote which died before it was synced, or whose sync failed, is seen, and
 * may not be durable: then no segment below it may go. Written again, it is. */
static int mark_settle(etx__file_partition *partition, etx__file_fault *fault) {
    char name[ETX__NAME_SIZE];
    int error;
    if (!partition->state.mark)
        return 0;
    error = etx__file_state_store(partition, &partition->state);
    snprintf(name, sizeof name, "p%02u.state", partition->number);
    return error ? etx__file_fault_set(fault, etx__file_error_code(error), name, 0,
                                       partition->state.mark,
                                       "cannot write the trim mark again: %s", strerror(error))
                 : 0;
}

/* Reads the partition and makes it safe to act on. The helper does not run for it meanwhile. */
int etx__file_recover(etx__file_partition *partition,
                      const etx__file_list *list,
                      int poisoned,
                      etx__file_fault *fault) {
    const etx__file_log *log = partition->log;
    char temporary[ETX__NAME_SIZE];
    int torn = etx__file_chain_load(partition, list, fault);
    int rc;
    if (torn < 0 || log->read_only)
        return torn < 0 ? torn : 0;
    rc = mark_settle(partition, fault);
    if (rc)
        return rc;
    etx__file_spare_name(temporary, partition->number);
    unlinkat(log->dir_fd, temporary, 0);
    nodes_share_out(partition, poisoned);
    rc = spares_ready(partition, fault);
    if (!rc)
        rc = poisoned ? recover_elsewhere(partition, fault)
                      : recover_in_place(partition, torn, fault);
    if (!rc && !log->unsynced && partition->current->begun &&
        partition->state.settled <= partition->current->first)
        etx__file_settle_soon(partition);
    return rc;
}
