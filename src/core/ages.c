/* Ages of live transactions, counted by the span of time in which they began. */
#include "ages.h"

#include <string.h>

#include "../protocol/assert.h"

/* How many spans begin at or before that time. Nearly always all of them. */
static uint32_t up_to(const etx__ages *ages, uint64_t begin_ms) {
    uint32_t at = ages->used;
    while (at > 0 && ages->age[at - 1].from_ms > begin_ms) {
        at--;
    }
    return at;
}

static void merge_pairs(etx__ages *ages) {
    uint32_t half = ages->used / 2;
    for (uint32_t i = 0; i < half; i++) {
        const struct etx__age *two = &ages->age[i * 2];
        const struct etx__age one = {two[0].from_ms, two[1].to_ms, two[0].count + two[1].count};
        ages->age[i] = one;
    }
    ages->used = half;
}

void etx__ages_add(etx__ages *ages, uint64_t begin_ms) {
    if (ages->used == ETX__AGES) {
        merge_pairs(ages);
    }
    uint32_t at = up_to(ages, begin_ms);
    struct etx__age *age = at > 0 ? &ages->age[at - 1] : NULL;
    if (age != NULL && (begin_ms <= age->to_ms || begin_ms - age->from_ms < ETX__AGE_MS)) {
        age->to_ms = begin_ms > age->to_ms ? begin_ms : age->to_ms;
        age->count++;
        return;
    }
    memmove(&ages->age[at + 1], &ages->age[at], (ages->used - at) * sizeof *ages->age);
    ages->age[at] = (struct etx__age){begin_ms, begin_ms, 1};
    ages->used++;
}

void etx__ages_remove(etx__ages *ages, uint64_t begin_ms) {
    uint32_t at = up_to(ages, begin_ms);
    etx_assert(at > 0 && ages->age[at - 1].count > 0 && ages->age[at - 1].to_ms >= begin_ms);
    if (--ages->age[at - 1].count == 0) {
        memmove(&ages->age[at - 1], &ages->age[at], (ages->used - at) * sizeof *ages->age);
        ages->used--;
    }
}
