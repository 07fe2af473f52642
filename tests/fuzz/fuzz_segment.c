/* Fuzzes the reading of a whole segment, built from the input as a list of steps.
 *
 * What the writer and a crash do (groups, a torn last one, sectors of an earlier life) must read
 * back exactly, with the tear told as a tear. One flipped bit in it must be told as damage, with
 * every group before it still there. Whatever else is done to the bytes, only groups with the right
 * checksum are taken, and the reader neither crashes nor reads beyond the segment. */
#include "segment.h"

#include <stdlib.h>
#include <string.h>

enum { STEPS_MAX = 64 };

typedef enum step_kind {
    STEP_PUT,
    STEP_FILL,
    STEP_TEAR,
    STEP_STALE,
    STEP_FLIP,
    STEP_PATCH,
    STEP_COPY,
    STEP_WRONG,
    STEP_KINDS
} step_kind;

typedef struct segment_run {
    segment_bed *bed;
    fuzz_input input;
    etx__file_group put[SEGMENT_BLOCKS_MAX]; /* those that are whole; batches are not kept */
    unsigned count;
    uint64_t first; /* slot */
    uint64_t end;   /* where the next group goes */
    int torn;       /* what stands at `end` is a torn group */
    int flipped;    /* one bit, when all else is done */
    size_t flip_at;
    uint8_t flip_bit;
    int damaged; /* something else was done */
} segment_run;

static size_t room_left(const segment_run *run) {
    return run->end < run->bed->size ? etx__file_batch_max(run->bed->size - run->end) : 0;
}

/* The next group with a batch of up to `len` bytes, as its owner would put it. 0: no room. */
static int group_next(segment_run *run,
                      size_t len,
                      etx__file_group *ret_group,
                      uint8_t **ret_batch) {
    size_t room = room_left(run);
    if (room == 0 || run->torn || run->count == SEGMENT_BLOCKS_MAX) {
        return 0;
    }
    len = 1 + len % room;
    uint8_t *batch = fuzz_alloc(len);
    etx_bytes given = fuzz_bytes(&run->input, len < 64 ? len : 64);
    memset(batch, (int)len, len);
    if (given.len > 0) {
        memcpy(batch, given.data, given.len);
    }
    *ret_group = (etx__file_group){.partition = SEGMENT_PARTITION,
                                   .segment = SEGMENT_NUMBER,
                                   .slot = run->first + run->count,
                                   .nonce = fuzz_byte(&run->input),
                                   .batch = {batch, len},
                                   .offset = run->end};
    if (run->count > 0) {
        ret_group->predecessor = run->put[run->count - 1].checksum;
    }
    ret_group->checksum = etx_slot_checksum(ret_group->partition, ret_group->slot, ret_group->nonce,
                                            ret_group->predecessor, ret_group->batch);
    *ret_batch = batch;
    return 1;
}

static void step_put(segment_run *run, size_t len) {
    etx__file_group group;
    uint8_t *batch;
    if (group_next(run, len, &group, &batch)) {
        segment_put(run->bed, &group);
        run->end += group.length;
        run->put[run->count++] = group;
        free(batch);
    }
}

/* A put that a crash cut short: each sector is wholly there, or as it was before. */
static void step_tear(segment_run *run) {
    size_t len = fuzz_number(&run->input, 2);
    uint64_t mask = fuzz_number(&run->input, 3);
    etx__file_group group;
    uint8_t *batch;
    if (!group_next(run, len, &group, &batch)) {
        return;
    }
    uint8_t *before = fuzz_alloc(run->bed->size);
    uint32_t kept = 0;
    memcpy(before, run->bed->bytes, run->bed->size);
    segment_put(run->bed, &group);
    uint32_t count = (uint32_t)(group.length / ETX__SECTOR);
    for (uint32_t i = 0; i < count; i++) {
        size_t at = group.offset + (size_t)i * ETX__SECTOR;
        if (mask >> (i % 24) & 1) {
            memcpy(run->bed->bytes + at, before + at, ETX__SECTOR);
        } else {
            kept++;
        }
    }
    if (kept == count) {
        run->end += group.length;
        run->put[run->count++] = group;
    } else {
        run->torn = kept > 0;
    }
    free(before);
    free(batch);
}

/* Sectors behind the end that an earlier life of the file has left. */
static void step_stale(segment_run *run) {
    size_t at = run->end + (size_t)(fuzz_byte(&run->input) % 16) * ETX__SECTOR;
    unsigned count = fuzz_byte(&run->input) % 16;
    for (; count > 0 && at < run->bed->size && !run->torn; count--, at += ETX__SECTOR) {
        uint8_t *sector = run->bed->bytes + at;
        etx__put32(sector + 4, fuzz_byte(&run->input) % SEGMENT_NUMBER);
        etx__put64(sector + 8, fuzz_byte(&run->input));
        etx__put32(sector + 16, count);
        etx__put32(sector + 20, count + 1);
        segment_seal(run->bed, at);
    }
}

/* A byte behind the header. */
static size_t place_draw(segment_run *run) {
    return ETX__BLOCK + fuzz_number(&run->input, 2) % (run->bed->size - ETX__BLOCK);
}

static void step_flip(segment_run *run) {
    run->flip_at = place_draw(run);
    run->flip_bit = (uint8_t)(1 << fuzz_byte(&run->input) % 8);
    run->flipped = 1;
}

static void step_patch(segment_run *run) {
    size_t at = place_draw(run);
    unsigned how = fuzz_byte(&run->input);
    etx_bytes bytes = fuzz_bytes(&run->input, 1 + how % 64);
    if (bytes.len > run->bed->size - at) {
        bytes.len = run->bed->size - at;
    }
    if (bytes.len > 0) {
        memcpy(run->bed->bytes + at, bytes.data, bytes.len);
    }
    if (how & 64) {
        segment_seal(run->bed, at - at % ETX__SECTOR);
    }
    run->damaged = 1;
}

static void step_copy(segment_run *run) {
    size_t from = place_draw(run) / ETX__SECTOR * ETX__SECTOR;
    size_t to = place_draw(run) / ETX__SECTOR * ETX__SECTOR;
    memmove(run->bed->bytes + to, run->bed->bytes + from, ETX__SECTOR);
    run->damaged = 1;
}

/* A group that no owner would have put there, with every check right. */
static void step_wrong(segment_run *run) {
    unsigned how = fuzz_byte(&run->input);
    etx__file_group group;
    uint8_t *batch;
    if (!group_next(run, fuzz_number(&run->input, 2), &group, &batch)) {
        return;
    }
    group.slot += how & 3;
    group.predecessor += how >> 2 & 1;
    group.segment += (how >> 3 & 3) - 1;
    group.partition += how >> 5 & 1;
    if (how & 64) {
        group.checksum = etx_slot_checksum(group.partition, group.slot, group.nonce,
                                           group.predecessor, group.batch);
    }
    segment_put(run->bed, &group);
    free(batch);
    run->end += group.length;
    run->damaged = 1;
}

static void step_do(segment_run *run) {
    switch ((step_kind)(fuzz_byte(&run->input) % STEP_KINDS)) {
        case STEP_PUT:
            step_put(run, fuzz_byte(&run->input));
            return;
        case STEP_FILL:
            step_put(run, fuzz_number(&run->input, 2));
            return;
        case STEP_TEAR:
            step_tear(run);
            return;
        case STEP_STALE:
            step_stale(run);
            return;
        case STEP_FLIP:
            step_flip(run);
            return;
        case STEP_PATCH:
            step_patch(run);
            return;
        case STEP_COPY:
            step_copy(run);
            return;
        case STEP_WRONG:
            step_wrong(run);
            return;
        case STEP_KINDS:
            return;
    }
}

/* How many groups there must be, if that can be told. */
static unsigned expected_count(const segment_run *run) {
    unsigned count = 0;
    while (count < run->count &&
           (!run->flipped || run->put[count].offset + run->put[count].length <= run->flip_at)) {
        count++;
    }
    return count;
}

static void check_segment(segment_run *run) {
    uint64_t offset = ETX__BLOCK;
    uint64_t slot = run->first;
    etx__file_group group;
    etx__file_fault fault = {0};
    etx__file_stamp stamp = {0};
    (void)etx__file_reader_peek(&run->bed->reader, &stamp, &fault);
    while (offset < run->bed->size && segment_read(run->bed, offset, slot, &group) == 0) {
        unsigned place = (unsigned)(slot - run->first);
        if (!run->damaged) {
            fuzz_check(place < run->count);
            fuzz_check(group.checksum == run->put[place].checksum);
            fuzz_check(group.nonce == run->put[place].nonce && offset == run->put[place].offset);
        }
        offset += group.length;
        slot++;
    }
    fault = (etx__file_fault){0};
    int tail = offset < run->bed->size
                   ? etx__file_reader_tail(&run->bed->reader, offset, slot, slot, &fault)
                   : 0;
    fuzz_check(tail == 0 || tail == 1 || tail == ETX_ECORRUPT);
    fuzz_check(tail == 0 || (fault.text[0] != '\0' && fault.offset >= offset));
    if (run->damaged) {
        return;
    }
    fuzz_check(slot - run->first == expected_count(run));
    fuzz_check(tail == (run->flipped ? ETX_ECORRUPT : run->torn));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    segment_run run = {.input = {data, size}, .end = ETX__BLOCK};
    run.bed = segment_make(1 + fuzz_byte(&run.input) % 5);
    run.first = fuzz_byte(&run.input);
    for (unsigned i = 0; i < STEPS_MAX && run.input.left > 0; i++) {
        step_do(&run);
    }
    if (run.flipped) {
        run.bed->bytes[run.flip_at] ^= run.flip_bit;
    }
    check_segment(&run);
    segment_free(run.bed);
    return 0;
}
