/* A segment of a file log in memory: making it, and reading it with the log's own reader. */
#include "segment.h"

#include <stdlib.h>
#include <string.h>

segment_bed *segment_make(unsigned blocks) {
    segment_bed *bed = fuzz_alloc(sizeof *bed);
    memset(bed, 0, sizeof *bed);
    bed->size = (size_t)(blocks + 1) * ETX__BLOCK;
    bed->bytes = fuzz_alloc(bed->size);
    memset(bed->bytes, 0, bed->size);
    bed->log.allocator = etx__file_allocator(NULL);
    bed->log.home = (etx__file_home){"fabc123", 4, bed->size};
    bed->log.group_max = bed->size - ETX__BLOCK;
    bed->log.batch_max = etx__file_batch_max(bed->log.group_max);
    bed->partition.log = &bed->log;
    bed->partition.number = SEGMENT_PARTITION;
    bed->partition.seed = etx__file_seed(bed->log.home.id, SEGMENT_PARTITION);
    etx__file_reader_init(&bed->reader, &bed->partition);
    bed->reader.number = SEGMENT_NUMBER;
    /* All of it is in the window, so that the reader never asks a file. */
    bed->reader.window.data = bed->bytes;
    bed->reader.window.size = bed->size;
    bed->reader.window_len = bed->size;
    etx__file_header_encode(bed->bytes, &bed->log.home, SEGMENT_PARTITION, SEGMENT_NUMBER);
    return bed;
}

void segment_free(segment_bed *bed) {
    etx__file_buffer_free(&bed->log.allocator, &bed->reader.group);
    free(bed->bytes);
    free(bed);
}

void segment_put(segment_bed *bed, etx__file_group *group) {
    group->length = etx__file_group_length(group->batch.len);
    fuzz_check(group->offset + group->length <= bed->size);
    etx__file_group_encode(bed->bytes + group->offset, bed->partition.seed, bed->log.home.id,
                           group);
}

void segment_seal(segment_bed *bed, size_t offset) {
    uint8_t *sector = bed->bytes + offset;
    etx__put32(sector, etx_crc32c(bed->partition.seed, sector + 4, ETX__SECTOR - 4));
}

static void check_group(const segment_bed *bed,
                        uint64_t offset,
                        uint64_t slot,
                        const etx__file_group *group) {
    fuzz_check(group->offset == offset && group->slot == slot);
    fuzz_check(group->partition == bed->partition.number && group->segment == bed->reader.number);
    fuzz_check(group->batch.len > 0 && group->batch.len <= bed->log.batch_max);
    fuzz_check(group->length == etx__file_group_length(group->batch.len));
    fuzz_check(offset + group->length <= bed->size);
    fuzz_check(etx_slot_checksum(group->partition, group->slot, group->nonce, group->predecessor,
                                 group->batch) == group->checksum);
}

int segment_read(segment_bed *bed, uint64_t offset, uint64_t slot, etx__file_group *ret_group) {
    etx__file_fault fault = {0};
    int rc = etx__file_reader_group(&bed->reader, offset, slot, ret_group, &fault);
    fuzz_check(rc == 0 || rc == ETX_ECORRUPT || rc == ETX_EVERSION);
    if (rc == 0) {
        check_group(bed, offset, slot, ret_group);
    } else {
        fuzz_check(fault.rc == rc && fault.text[0] != '\0' && fault.offset >= offset);
    }
    return rc;
}
