/* Memory for what is made of one body and given back as a whole.
 *
 * jansson makes a hundred small objects of a body, and malloc takes a tenth of the loop's time for
 * them. While a body is read, what its thread takes comes from one piece, one after another; what
 * is given back of it stays there until the piece is released, with all that is in it. So a piece
 * belongs to its body: to that of a begun transaction until its last branch is enlisted. What does
 * not fit, what other threads take (those of the pool read payloads that are shown) and what is
 * taken at other times comes from malloc, and goes back to it. */
#include "scratch.h"

#include <stdint.h>
#include <stdlib.h>

enum { ALIGNED = 16 };

void etxd_scratch_open(etxd_scratch *scratch) {
    int i;
    *scratch = (etxd_scratch){.owner = pthread_self()};
    scratch->memory = aligned_alloc(ALIGNED, (size_t)ETXD_SCRATCH_PIECES * ETXD_SCRATCH_BYTES);
    for (i = 0; i < ETXD_SCRATCH_PIECES && scratch->memory != NULL; i++) {
        scratch->free[scratch->free_count++] = i;
    }
}

void etxd_scratch_close(etxd_scratch *scratch) {
    free(scratch->memory);
    scratch->memory = NULL;
    scratch->free_count = 0;
}

int etxd_scratch_begin(etxd_scratch *scratch) {
    int piece;
    if (scratch == NULL || scratch->free_count == 0) {
        return -1;
    }
    piece = scratch->free[--scratch->free_count];
    scratch->at = scratch->memory + (size_t)piece * ETXD_SCRATCH_BYTES;
    scratch->end = scratch->at + ETXD_SCRATCH_BYTES;
    scratch->spilled = 0;
    atomic_store_explicit(&scratch->filling, 1, memory_order_relaxed);
    return piece;
}

int etxd_scratch_end(etxd_scratch *scratch) {
    if (scratch == NULL) {
        return 0;
    }
    atomic_store_explicit(&scratch->filling, 0, memory_order_relaxed);
    return !scratch->spilled;
}

void etxd_scratch_release(etxd_scratch *scratch, int piece) {
    if (scratch != NULL && piece >= 0) {
        scratch->free[scratch->free_count++] = piece;
    }
}

static void *take_from_piece(etxd_scratch *scratch, size_t size) {
    size_t left = (size_t)(scratch->end - scratch->at);
    size_t whole = (size + ALIGNED - 1) & ~(size_t)(ALIGNED - 1);
    void *taken = scratch->at;
    if (size > left || whole > left) {
        scratch->spilled = 1;
        return malloc(size);
    }
    scratch->at += whole;
    return taken;
}

void *etxd_scratch_take(etxd_scratch *scratch, size_t size) {
    return atomic_load_explicit(&scratch->filling, memory_order_relaxed) &&
                   pthread_equal(scratch->owner, pthread_self())
               ? take_from_piece(scratch, size)
               : malloc(size);
}

void etxd_scratch_give(const etxd_scratch *scratch, void *bytes) {
    uintptr_t from = (uintptr_t)scratch->memory;
    if ((uintptr_t)bytes - from >= (uintptr_t)ETXD_SCRATCH_PIECES * ETXD_SCRATCH_BYTES) {
        free(bytes);
    }
}
