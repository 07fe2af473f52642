/* Trimming: what recovery still needs from old slots is rewritten, then the old slots go. */
#include <string.h>

#include "home.h"
#include "shard.h"

/* Recovery reads what is not trimmed, and it takes space: so the log may hold three times what a
 * rewrite of everything would take, and a little; of blocks, which small batches fill badly, more.
 * (Three, since small transactions, forgotten in time, never reach it: they need no moves at all.)
 * Beyond that the oldest part goes: moves for all that begins before a mark are appended, some with
 * each batch, no more than it has itself; once they are durable, everything below the mark's slot
 * is trimmed. A crash in between finds both, and the move stands for what was folded before.
 *
 * A log that is full does not wait for that much: what can go goes, as long as it gives back what
 * the log trims at once, and its moves fit twice into what is left there, which is the reserve of
 * those that have begun. Nobody need come for it: no batch brings the moves then.
 *
 * Moves stand before the decisions of their batch: a batch with more of them than there is room for
 * would hold these up as well. So where less is left than a batch may take, it has moves for a part
 * of that at most; and a log that is full keeps what those need that are in flight, each put alone:
 * its decision and its end. */

enum {
    LITTLE = 4 * 1024 * 1024, /* bytes of records, unless the adapter says otherwise */
    SPACE = 8,                /* times as much in blocks */
    APART = 8,                /* marks: a part of it */
    MOVES = 4 * 1024,         /* bytes of moves beside what a batch has itself */
    FULL_MOVES = 32 * 1024,   /* ... in a log that is full */
    FULL_ROOM = 128 * 1024,   /* bytes left in it, beside its moves */
    ROOM_PART = 2,            /* what is left: a part of it for the moves of one batch */
    ALONE = 2                 /* puts that one in flight may need */
};

static uint64_t little(const etx__partition *partition) {
    uint32_t slack = partition->home->info.slack;
    return slack > 0 ? slack : LITTLE;
}

void etx__partition_mark(etx__partition *partition, uint64_t slot, uint64_t seq, size_t bytes) {
    partition->bytes += bytes;
    uint64_t block = partition->home->info.block;
    partition->blocks += block > 1 ? (bytes + block - 1) / block * block : bytes;
    etx__mark *newest =
        partition->marks > 0
            ? &partition->mark[(partition->mark_first + partition->marks - 1) % ETX__MARKS]
            : NULL;
    if (newest != NULL && partition->blocks - newest->blocks < little(partition) / APART) {
        return;
    }
    if (partition->marks == ETX__MARKS) { /* every second one is enough, then */
        for (uint32_t i = 0; i < ETX__MARKS / 2; i++) {
            partition->mark[(partition->mark_first + i) % ETX__MARKS] =
                partition->mark[(partition->mark_first + 2 * i + 1) % ETX__MARKS];
        }
        partition->marks = ETX__MARKS / 2;
    }
    etx__mark *mark = &partition->mark[(partition->mark_first + partition->marks) % ETX__MARKS];
    *mark = (etx__mark){slot, seq, partition->bytes, partition->blocks};
    partition->marks++;
}

/* About what a rewrite of everything would take. */
static uint64_t bytes_needed(const etx__partition *partition) {
    const etx__core *core = partition->memory->core;
    return core->pool.used_bytes / 2 + core->remembered * 64ull;
}

/* More than recovery, or the disk, should have to hold? */
static int too_much(const etx__partition *partition, uint64_t needed) {
    return partition->bytes - partition->trimmed.bytes > 3 * needed + little(partition) ||
           partition->blocks - partition->trimmed.blocks > 4 * needed + SPACE * little(partition);
}

/* The newest mark that leaves as much as is needed behind it, or NULL. */
static const etx__mark *mark_to_trim(const etx__partition *partition, uint64_t needed) {
    const etx__mark *found = NULL;
    for (uint32_t i = 0; i < partition->marks; i++) {
        const etx__mark *mark = &partition->mark[(partition->mark_first + i) % ETX__MARKS];
        if (mark->blocks + needed + little(partition) / 4 > partition->blocks) {
            break;
        }
        found = mark;
    }
    return found;
}

/* The log is full: the newest mark that gives something back, if there is room for the moves. */
static const etx__mark *mark_to_make_room(const etx__partition *partition, uint64_t needed) {
    if (!partition->full || partition->unit == 0 || partition->room < 2 * needed + FULL_ROOM) {
        return NULL;
    }
    const etx__mark *mark = mark_to_trim(partition, needed);
    return mark != NULL && mark->blocks - partition->trimmed.blocks >= partition->unit ? mark
                                                                                       : NULL;
}

static void begin_moves(etx__partition *partition, const etx__mark *mark) {
    partition->moving_seq = mark->seq + 1;
    partition->moved_seq = 0;
    partition->trim_to = *mark;
    while (partition->marks > 0 &&
           partition->mark[partition->mark_first].bytes <= partition->trim_to.bytes) {
        partition->mark_first = (partition->mark_first + 1) % ETX__MARKS;
        partition->marks--;
    }
    etx__partition_own_again(partition);
}

/* May the forming batch have more moves? As long as it fits into what is left. */
static int finds_room(const etx__partition *partition) {
    if (partition->unit == 0) {
        return 1; /* nobody knows what is left */
    }
    uint64_t kept =
        FULL_ROOM + (uint64_t)partition->memory->core->live * ALONE * partition->home->info.block;
    if (partition->full && partition->room < kept) {
        return 0;
    }
    return partition->room >= partition->unit || partition->last == NULL ||
           partition->last->moves < partition->room / ROOM_PART;
}

static void go_on_moving(etx__partition *partition, size_t bytes) {
    const etx__core *core = partition->memory->core;
    uint64_t before = 0;
    size_t most = partition->full && bytes < FULL_MOVES ? FULL_MOVES : bytes + MOVES;
    while (core->seq != before && (partition->last == NULL || partition->last->len < most) &&
           finds_room(partition)) {
        enum { MANY = 64 }; /* moves of what has ended, in one step */
        uint32_t oldest = core->oldest != 0 ? core->oldest - 1 : ETX__NOBODY;
        if (!etx__room_make(
                partition,
                etx__need_of_entry(partition, oldest) + MANY * (size_t)partition->record_room, 0)) {
            return;
        }
        etx__event event = {.type = ETX__EV_MOVE};
        event.u.move.seq = partition->moving_seq;
        before = core->seq;
        etx__partition_step(partition, &event);
    }
    if (core->oldest == 0 || core->entry[core->oldest - 1].first_seq >= partition->moving_seq) {
        partition->moved_seq = core->seq;
    }
    if (partition->last != NULL && (partition->moved_seq != 0 || partition->full)) {
        partition->last->wanted = 1;
    }
}

void etx__partition_trim(etx__partition *partition, size_t bytes) {
    if (partition->state != ETX__OPEN || partition->busy ||
        etx__engine_reads_only(partition->home->engine)) {
        return;
    }
    if (partition->moving_seq != 0) {
        /* A log that does not grow can wait, unless it is full. */
        if (partition->moved_seq == 0 && (bytes > 0 || partition->full)) {
            go_on_moving(partition, bytes);
        } else if (partition->moved_seq != 0 &&
                   partition->memory->core->durable >= partition->moved_seq) {
            partition->moving_seq = 0;
            etx__writer_give(partition, ETX__JOB_TRIM);
        }
        return;
    }
    uint64_t needed = bytes_needed(partition);
    const etx__mark *mark = too_much(partition, needed) ? mark_to_trim(partition, needed)
                                                        : mark_to_make_room(partition, needed);
    if (mark != NULL && etx__room_make(partition, etx__need_of_own(partition), 0)) {
        begin_moves(partition, mark);
        go_on_moving(partition, bytes);
    }
}
