/* Ages: how many live transactions began when, so that the oldest is known without a search. */
#ifndef ETX__AGES_H
#define ETX__AGES_H

#include <stdint.h>

enum { ETX__AGES = 128, ETX__AGE_MS = 1000 };

/* Spans of time in order, none empty, none over another. A new one is ETX__AGE_MS long at most;
 * when there are too many, neighbours become one: so what is said is the exact begin of the oldest
 * until it has ended, and then no later than the oldest that is left. */
typedef struct etx__ages {
    uint32_t used;
    struct etx__age {
        uint64_t from_ms, to_ms; /* begins of the first and the last in it */
        uint64_t count;
    } age[ETX__AGES];
} etx__ages;

void etx__ages_add(etx__ages *ages, uint64_t begin_ms);
/* One that was added. */
void etx__ages_remove(etx__ages *ages, uint64_t begin_ms);
/* 0: there is none. */
static inline uint64_t etx__ages_oldest(const etx__ages *ages) {
    return ages->used > 0 ? ages->age[0].from_ms : 0;
}

#endif
