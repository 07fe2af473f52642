/* A store without space: told once for its home, which is well again when there is room. */
#include <string.h>

#include "keeper.h"
#include "shard.h"

/* Some logs say of themselves that they are full (etx_log_space); of others it is known only when
 * they refuse a put. A put that is smaller may fit into what is left in some page, and says
 * nothing: so the home is not well before as much as was refused, and a little, has been written.
 * Nobody need come for that. What is put again anyway is filled with the claim, said once more and
 * once more, as long as there is no record in it: what has begun must fit into what is left. If it
 * is full again soon, twice as much is written before it is believed. */

enum {
    PIECE_MIN = 1024, /* bytes of a put that tells whether there is room */
    PIECE_MAX = 32 * 1024,
    ROOM = 8 * 1024,     /* bytes to be written, at least, until there is room */
    RELAPSES_MAX = 4,    /* ... and twice as many with each of these */
    SOON_MS = 60 * 1000, /* after there was room: then it is a relapse */
    AGAIN_MS = 400       /* a put that was refused is put again after this */
};

void etx__full_look(etx__partition *partition) {
    etx_log_space space = {.size = sizeof space};
    etx__home *home = partition->home;
    if (home->ops->space == NULL || home->ops->space(home->log, partition->number, &space) != 0) {
        return;
    }
    partition->unit = space.trim_unit;
    partition->room =
        space.bytes_total > space.bytes_used ? space.bytes_total - space.bytes_used : 0;
    if (space.full == partition->full) {
        return;
    }
    partition->full = space.full;
    if (space.full) {
        etx__home_down(home, ETX_EFULL,
                       "no space is left there: free some. Until then only what has begun can end");
    } else {
        etx__home_well(home);
    }
}

static uint32_t piece_of(size_t len) {
    return len < PIECE_MIN ? PIECE_MIN : len > PIECE_MAX ? PIECE_MAX : (uint32_t)len;
}

void etx__full_note(etx__partition *partition) {
    uint64_t now = partition->shard->now.mono_ms;
    uint32_t piece = piece_of(partition->put.batch.len);
    etx__full_look(partition);
    if (partition->full) { /* it says itself when there is room */
        atomic_store(&partition->lacks, 1);
        partition->piece = 0;
        return;
    }
    if (atomic_load(&partition->lacks) == 0) {
        int soon = partition->room_was_ms != 0 && now < partition->room_was_ms + SOON_MS;
        partition->relapses = !soon                                ? 0
                              : partition->relapses < RELAPSES_MAX ? partition->relapses + 1
                                                                   : RELAPSES_MAX;
        partition->piece = 0;
    }
    partition->piece = piece > partition->piece ? piece : partition->piece;
    uint32_t room = partition->piece > ROOM ? partition->piece : ROOM;
    atomic_store(&partition->lacks, room << partition->relapses);
}

void etx__full_again(etx__partition *partition) {
    uint64_t soon = partition->shard->now.mono_ms + AGAIN_MS;
    if (atomic_load(&partition->lacks) > 0 && soon < partition->retry_ms) {
        partition->retry_ms = soon;
    }
}

void etx__full_probe(etx__partition *partition) {
    if (atomic_load(&partition->lacks) == 0 || partition->state != ETX__OPEN || partition->busy ||
        partition->again || partition->first != NULL || partition->shard->ending ||
        !etx__partition_ours(partition)) {
        return;
    }
    etx__batch *batch = etx__batch_forming(partition);
    if (batch != NULL) { /* else there is memory for it later */
        batch->last_seq = partition->memory->core->seq;
        batch->wanted = 1;
    }
}

void etx__full_pad(etx__partition *partition, etx__batch *batch) {
    uint8_t room[ETX__OWN_ROOM];
    size_t most = partition->home->info.batch_max;
    most = batch->room < most ? batch->room : most;
    most = partition->piece < most ? partition->piece : most;
    if (batch->len > 1 || partition->full || atomic_load(&partition->lacks) == 0) {
        return;
    }
    etx_bytes own = etx__own_batch(partition, partition->owner.nonce, room);
    for (; batch->len + own.len - 1 <= most; batch->len += own.len - 1) {
        memcpy(batch->bytes + batch->len, (const uint8_t *)own.data + 1, own.len - 1);
        batch->padded = 1;
    }
}

void etx__full_unpad(etx__batch *batch) {
    batch->len = batch->padded ? 1 : batch->len;
    batch->padded = 0;
}

void etx__full_took(etx__partition *partition, size_t len, int padded) {
    uint32_t lacks = atomic_load(&partition->lacks);
    if (lacks == 0) {
        return;
    }
    if (partition->full) { /* it says itself when there is room */
        atomic_store(&partition->lacks, 0);
    } else if (padded || len >= partition->piece) {
        lacks -= len < lacks ? (uint32_t)len : lacks;
        atomic_store(&partition->lacks, lacks);
        if (lacks == 0) {
            partition->room_was_ms = partition->shard->now.mono_ms;
            etx__home_well(partition->home);
        }
    }
    etx__full_probe(partition);
}
