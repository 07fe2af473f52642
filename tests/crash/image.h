/* One crash image: made, opened with the real log, judged, and worked on. */
#ifndef ETX_TESTS_CRASH_IMAGE_H
#define ETX_TESTS_CRASH_IMAGE_H

#include "workload.h"

#define IMAGE_MOUNT "/sim/image"
#define IMAGE_DIR IMAGE_MOUNT "/log"

typedef struct image_tally {
    uint64_t images;
    uint64_t torn;    /* something was cut */
    uint64_t crashed; /* power was lost once more while it was opened */
    uint64_t violations;
    uint64_t images_max; /* stop there */
} image_tally;

/* Makes crash images of moments `from` to below `to` of a run: all choices where there are at most
 * `all`, else `samples` of them. Prints what is wrong, with what replays it. */
void images_judge(const workload *run,
                  uint64_t seed,
                  uint32_t steps,
                  size_t from,
                  size_t to,
                  uint32_t all,
                  uint32_t samples,
                  image_tally *tally);

#endif
