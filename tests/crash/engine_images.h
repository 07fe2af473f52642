/* Crash images of a run of the whole engine, with its threads. */
#ifndef ETX_TESTS_CRASH_ENGINE_IMAGES_H
#define ETX_TESTS_CRASH_ENGINE_IMAGES_H

#include <stdint.h>

typedef struct engine_tally {
    uint64_t images;
    uint64_t violations;
} engine_tally;

/* Makes `images` of them, spread over the moments of the run. */
void engine_images_judge(uint64_t seed, uint64_t images, engine_tally *tally);

#endif
