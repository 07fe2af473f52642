/* Fuzzes the reading of one group from arbitrary sectors: what is taken for a group has the right
 * checksum, and what encode writes of it reads back the same. The first byte says how much is put
 * right beforehand, since no mutation guesses a CRC. */
#include "segment.h"

#include <string.h>

enum { SEAL_SECTORS = 1, SEAL_GROUP = 2, STAMP_SECTORS = 4, ADOPT = 8 };

/* The reader becomes one of the log, partition and segment that the head names. Gives the slot. */
static uint64_t adopt(segment_bed *bed) {
    const uint8_t *head = bed->bytes + ETX__BLOCK + ETX__SECTOR_HEAD;
    memcpy(bed->log.home.id, head + 8, ETX_HOME_ID_LEN);
    bed->partition.number = etx__get32(head + 16);
    bed->partition.seed = etx__file_seed(bed->log.home.id, bed->partition.number);
    bed->reader.number = etx__get32(head + 48);
    return etx__get64(head + 24);
}

/* As the writer would have stamped the sectors of one group. */
static void stamp_all(segment_bed *bed, uint64_t slot, uint32_t count) {
    for (uint32_t i = 0; i < count; i++) {
        uint8_t *sector = bed->bytes + ETX__BLOCK + (size_t)i * ETX__SECTOR;
        etx__put32(sector + 4, bed->reader.number);
        etx__put64(sector + 8, slot);
        etx__put32(sector + 16, i);
        etx__put32(sector + 20, count);
    }
}

/* The checksum that fits the batch, if the length in the head is one that fits the segment. */
static void checksum_set(segment_bed *bed, uint32_t sectors) {
    uint8_t *head = bed->bytes + ETX__BLOCK + ETX__SECTOR_HEAD;
    uint32_t len = etx__get32(head + 20);
    uint8_t *batch = fuzz_alloc((size_t)sectors * ETX__SECTOR_BODY);
    for (uint32_t i = 0; i < sectors; i++) {
        memcpy(batch + (size_t)i * ETX__SECTOR_BODY,
               bed->bytes + ETX__BLOCK + (size_t)i * ETX__SECTOR + ETX__SECTOR_HEAD,
               ETX__SECTOR_BODY);
    }
    etx_bytes bytes = {batch + ETX__GROUP_HEAD, len};
    if (len <= (size_t)sectors * ETX__SECTOR_BODY - ETX__GROUP_HEAD) {
        etx__put32(head + 44,
                   etx_slot_checksum(bed->partition.number, etx__get64(head + 24),
                                     etx__get64(head + 32), etx__get32(head + 40), bytes));
    }
    fuzz_free((etx_bytes){batch, 0});
}

/* The group goes into an empty segment, and is read from there. */
static void check_again(const segment_bed *from, const etx__file_group *group, unsigned blocks) {
    segment_bed *bed = segment_make(blocks);
    bed->log.home = from->log.home;
    bed->partition.number = from->partition.number;
    bed->partition.seed = from->partition.seed;
    bed->reader.number = from->reader.number;
    etx__file_group made = *group;
    etx__file_group read;
    segment_put(bed, &made);
    fuzz_check(segment_read(bed, group->offset, group->slot, &read) == 0);
    fuzz_check(read.nonce == group->nonce && read.predecessor == group->predecessor);
    fuzz_check(read.checksum == group->checksum && fuzz_equal(read.batch, group->batch));
    segment_free(bed);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    fuzz_input input = {data, size};
    unsigned how = fuzz_byte(&input);
    uint64_t slot = fuzz_byte(&input);
    unsigned blocks = 1 + (unsigned)(input.left / ETX__BLOCK);
    etx__file_group group;
    if (blocks > SEGMENT_BLOCKS_MAX) {
        return 0;
    }
    segment_bed *bed = segment_make(blocks);
    uint32_t sectors = blocks * ETX__SECTORS_PER_BLOCK;
    if (input.left > 0) {
        memcpy(bed->bytes + ETX__BLOCK, input.at, input.left);
    }
    if (how & ADOPT) {
        slot = adopt(bed);
    }
    if (how & STAMP_SECTORS) {
        stamp_all(bed, slot, sectors);
    }
    if (how & SEAL_GROUP) {
        checksum_set(bed, sectors);
    }
    if (how & (SEAL_SECTORS | STAMP_SECTORS)) {
        for (uint32_t i = 0; i < sectors; i++) {
            segment_seal(bed, ETX__BLOCK + (size_t)i * ETX__SECTOR);
        }
    }
    if (segment_read(bed, ETX__BLOCK, slot, &group) == 0) {
        check_again(bed, &group, blocks);
    }
    segment_free(bed);
    return 0;
}
