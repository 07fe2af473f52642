/* Trimming: what recovery still needs from old slots is rewritten, then the old slots go. */
#include <string.h>

#include "home.h"
#include "shard.h"

/* The log may hold twice what a rewrite of everything would take, and a few trim units. Beyond
 * that the oldest part goes: moves for all that begins before a mark are appended; once they are
 * durable, everything below the mark's slot is trimmed. A crash in between finds both, and the
 * move stands for what was folded before. */

void etx__partition_mark(etx__partition *partition, uint64_t slot, uint64_t seq, size_t bytes) {
    partition->bytes += bytes;
    etx__mark *newest =
        partition->marks > 0
            ? &partition->mark[(partition->mark_first + partition->marks - 1) % ETX__MARKS]
            : NULL;
    if (newest != NULL && partition->bytes - newest->bytes < 512 * 1024) {
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
    *mark = (etx__mark){slot, seq, partition->bytes};
    partition->marks++;
}

static uint64_t bytes_wanted(const etx__partition *partition, uint64_t unit) {
    const etx__core *core = partition->memory->core;
    uint64_t needed = core->pool.used_bytes / 2 + core->remembered * 64ull;
    return 2 * needed + 3 * unit;
}

/* The first mark below which a unit goes, or NULL. */
static const etx__mark *mark_to_trim(const etx__partition *partition, uint64_t unit) {
    for (uint32_t i = 0; i < partition->marks; i++) {
        const etx__mark *mark = &partition->mark[(partition->mark_first + i) % ETX__MARKS];
        if (mark->bytes >= partition->trimmed_bytes + unit) {
            return mark;
        }
    }
    return NULL;
}

static void begin_moves(etx__partition *partition, const etx__mark *mark) {
    partition->moving_seq = mark->seq + 1;
    partition->moved_seq = 0;
    partition->trim_slot = mark->slot;
    partition->trim_bytes = mark->bytes;
    while (partition->marks > 0 && partition->mark[partition->mark_first].bytes <= mark->bytes) {
        partition->mark_first = (partition->mark_first + 1) % ETX__MARKS;
        partition->marks--;
    }
}

static void go_on_moving(etx__partition *partition) {
    const etx__core *core = partition->memory->core;
    etx__event event = {.type = ETX__EV_MOVE};
    event.u.move.seq = partition->moving_seq;
    etx__partition_step(partition, &event);
    int left = core->oldest != 0 && core->entry[core->oldest - 1].first_seq < partition->moving_seq;
    if (!left) {
        partition->moved_seq = core->seq;
        if (partition->last != NULL) {
            partition->last->wanted = 1;
        }
    }
}

void etx__partition_trim(etx__partition *partition) {
    etx__home *home = partition->home;
    etx_log_space space = {.size = sizeof space};
    if (partition->state != ETX__OPEN || home->ops->trim == NULL || partition->busy) {
        return;
    }
    if (partition->moving_seq != 0) {
        if (partition->moved_seq == 0) {
            go_on_moving(partition);
        } else if (partition->memory->core->durable >= partition->moved_seq) {
            partition->moving_seq = 0;
            etx__writer_give(partition, ETX__JOB_TRIM);
        }
        return;
    }
    if (partition->bytes - partition->trimmed_bytes < 1024 * 1024 ||
        home->ops->space(home->log, partition->number, &space) != 0) {
        return;
    }
    uint64_t unit = space.trim_unit > 0 ? space.trim_unit : 1024 * 1024;
    if (partition->bytes - partition->trimmed_bytes < bytes_wanted(partition, unit)) {
        return;
    }
    const etx__mark *mark = mark_to_trim(partition, unit);
    if (mark != NULL) {
        begin_moves(partition, mark);
        go_on_moving(partition);
    }
}
