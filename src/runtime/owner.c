/* Owning a partition by write-once slots. */
#include "owner.h"

#include <string.h>

#include "../protocol/assert.h"

/* One put is outstanding. Written: durable. Not written: a promise, but only if no attempt of
 * this put ended unknown; otherwise the same bytes go to the same slot until the answer is
 * written or occupied. Occupied by our own bytes is not yet durable: an empty batch behind it
 * proves both. Occupied by others, or below the trim mark: lost. A predecessor that differs, and
 * was acknowledged: the store has regressed. */

static const uint8_t empty_batch[] = {1};

etx_bytes etx__owner_empty(void) {
    return (etx_bytes){empty_batch, sizeof empty_batch};
}

void etx__owner_claim(etx__owner *owner,
                      uint32_t partition,
                      uint64_t nonce,
                      uint64_t next,
                      uint32_t predecessor) {
    memset(owner, 0, sizeof *owner);
    owner->state = ETX__OWNER_IDLE;
    owner->partition = partition;
    owner->nonce = nonce;
    owner->slot = next;
    owner->predecessor = predecessor;
}

static void fill(const etx__owner *owner,
                 uint64_t slot,
                 uint32_t predecessor,
                 etx_bytes batch,
                 etx_put *put) {
    memset(put, 0, sizeof *put);
    put->size = sizeof *put;
    put->partition = owner->partition;
    put->slot = slot;
    put->predecessor = predecessor;
    put->nonce = owner->nonce;
    put->batch = batch;
    put->checksum = etx_slot_checksum(owner->partition, slot, owner->nonce, predecessor, batch);
}

void etx__owner_fill(etx__owner *owner, etx_bytes batch, etx_put *ret_put) {
    etx_assert(owner->state != ETX__OWNER_NONE && owner->state != ETX__OWNER_OVER);
    if (owner->state == ETX__OWNER_PROVE) {
        fill(owner, owner->slot + 1, owner->checksum, etx__owner_empty(), ret_put);
        return;
    }
    fill(owner, owner->slot, owner->predecessor, batch, ret_put);
    if (owner->state == ETX__OWNER_IDLE) {
        owner->state = ETX__OWNER_PUT;
        owner->checksum = ret_put->checksum;
        owner->doubtful = 0;
    }
    etx_assert(owner->checksum == ret_put->checksum); /* no other bytes go to that slot */
}

static etx__verdict over(etx__owner *owner, etx__verdict verdict) {
    owner->state = ETX__OWNER_OVER;
    return verdict;
}

static etx__verdict stands(etx__owner *owner, uint64_t slots, uint32_t checksum) {
    owner->state = ETX__OWNER_IDLE;
    owner->slot += slots;
    owner->predecessor = checksum;
    owner->acknowledged = 1;
    return ETX__DURABLE;
}

static etx__verdict unknown(etx__owner *owner, const etx_put *put) {
    owner->doubtful = 1;
    return put->error == ETX_EIO ? over(owner, ETX__BROKEN) : ETX__AGAIN;
}

static etx__verdict judge_proof(etx__owner *owner, const etx_put *put, etx_put_result result) {
    switch (result) {
        case ETX_PUT_WRITTEN:
            return stands(owner, 2, put->checksum);
        case ETX_PUT_OCCUPIED:
            /* Ours (after an attempt that ended unknown) proves no more than what it was to
             * prove: a new claim, written behind both, does. */
            return over(owner, put->found_trimmed || put->found_nonce != owner->nonce
                                   ? ETX__LOST
                                   : ETX__BROKEN);
        case ETX_PUT_PREDECESSOR: /* what we found was erased again, and never acknowledged */
            owner->state = ETX__OWNER_PUT;
            return ETX__AGAIN;
        case ETX_PUT_NOT_WRITTEN:
            return put->error == ETX_EIO ? over(owner, ETX__BROKEN) : ETX__PROVE;
        case ETX_PUT_UNKNOWN:
            return put->error == ETX_EIO ? over(owner, ETX__BROKEN) : ETX__PROVE;
    }
    return over(owner, ETX__BROKEN);
}

static etx__verdict judge_put(etx__owner *owner, const etx_put *put, etx_put_result result) {
    switch (result) {
        case ETX_PUT_WRITTEN:
            return stands(owner, 1, put->checksum);
        case ETX_PUT_OCCUPIED:
            if (put->found_trimmed || put->found_nonce != owner->nonce) {
                return over(owner, ETX__LOST);
            }
            if (put->found_checksum != put->checksum) { /* a late copy of an empty batch */
                return over(owner, ETX__BROKEN);
            }
            owner->state = ETX__OWNER_PROVE;
            owner->doubtful = 1; /* an attempt took effect, and may yet be undone and redone */
            return ETX__PROVE;
        case ETX_PUT_PREDECESSOR:
            return over(owner, owner->acknowledged ? ETX__REGRESSED : ETX__LOST);
        case ETX_PUT_NOT_WRITTEN:
            if (owner->doubtful) {
                return ETX__AGAIN;
            }
            owner->state = ETX__OWNER_IDLE;
            return ETX__GIVE_BACK;
        case ETX_PUT_UNKNOWN:
            return unknown(owner, put);
    }
    return over(owner, ETX__BROKEN);
}

etx__verdict etx__owner_judge(etx__owner *owner, const etx_put *put, etx_put_result result) {
    etx_assert(owner->state == ETX__OWNER_PUT || owner->state == ETX__OWNER_PROVE);
    return owner->state == ETX__OWNER_PROVE ? judge_proof(owner, put, result)
                                            : judge_put(owner, put, result);
}
