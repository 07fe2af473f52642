/* Every bit of a log turned over, one at a time. */
#ifndef ETX_TESTS_CRASH_FLIP_H
#define ETX_TESTS_CRASH_FLIP_H

#include <stdint.h>

typedef struct flip_tally {
    uint64_t flips;
    uint64_t refused;
    uint64_t harmless;
    uint64_t bytes; /* of the files whose bits were turned */
    uint64_t violations;
} flip_tally;

/* Turns every `step`-th bit from number `from` on, of every file of a log that was closed in order
 * (`clean`) or was killed. `most` 0: to the end; else so many flips. */
void flips_judge(int clean, uint64_t from, uint64_t step, uint64_t most, flip_tally *tally);

#endif
