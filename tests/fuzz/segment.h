/* A segment of a file log in memory, read by the log's own reader: no file, no system call. */
#ifndef ETX_TESTS_FUZZ_SEGMENT_H
#define ETX_TESTS_FUZZ_SEGMENT_H

#include "fuzz.h"

#include "../../src/integration/log/file.h"

enum { SEGMENT_NUMBER = 7, SEGMENT_PARTITION = 3, SEGMENT_BLOCKS_MAX = 16 };

typedef struct segment_bed {
    etx__file_log log;
    etx__file_partition partition;
    etx__file_reader reader;
    uint8_t *bytes; /* the whole segment, its header block included */
    size_t size;
} segment_bed;

/* An empty segment of `blocks` blocks behind its header. Free it with segment_free. */
segment_bed *segment_make(unsigned blocks);
void segment_free(segment_bed *bed);
/* Writes the group at its offset; it must fit. Sets its length. */
void segment_put(segment_bed *bed, etx__file_group *group);
/* Gives the sector at `offset` the check that fits its content. */
void segment_seal(segment_bed *bed, size_t offset);
/* The bed's reader. Checks what must hold of every group that it takes. */
int segment_read(segment_bed *bed, uint64_t offset, uint64_t slot, etx__file_group *ret_group);

#endif
