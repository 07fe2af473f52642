/* Whether all branches of a BEGIN have names of their own. */
#include "rules.h"

#include <string.h>

#include "../protocol/assert.h"
#include "../protocol/hash.h"

/* Up to so many, all pairs cost less than one hash of each. */
enum { FEW = 8, SLOTS_MAX = 2 * ETX_BRANCHES_MAX };

/* Names of one transaction often begin alike and end differently: "step-1", "step-2". */
static int is_same(const etx_bytes *a, const etx_bytes *b) {
    const unsigned char *left = a->data, *right = b->data;
    size_t len = a->len;
    return len == b->len &&
           (len == 0 || (left[len - 1] == right[len - 1] && memcmp(left, right, len) == 0));
}

static int few_differ(const etx_record_branch *branches, unsigned count) {
    for (unsigned i = 1; i < count; i++) {
        for (unsigned before = 0; before < i; before++) {
            if (is_same(&branches[before].name, &branches[i].name)) {
                return 0;
            }
        }
    }
    return 1;
}

/* Open addressing: a slot has the number of a branch, from 1 on, or 0. At most half are taken. */
static int many_differ(const etx_record_branch *branches, unsigned count) {
    uint16_t slot[SLOTS_MAX];
    unsigned slots = 4 * FEW;
    while (slots < 2 * count) {
        slots *= 2;
    }
    memset(slot, 0, slots * sizeof *slot);
    for (unsigned i = 0; i < count; i++) {
        const etx_bytes *name = &branches[i].name;
        unsigned at = (unsigned)etx__hash(name->data, name->len) & (slots - 1);
        for (; slot[at] != 0; at = (at + 1) & (slots - 1)) {
            if (is_same(&branches[slot[at] - 1].name, name)) {
                return 0;
            }
        }
        slot[at] = (uint16_t)(i + 1);
    }
    return 1;
}

int etx__names_differ(const etx_record_branch *branches, unsigned count) {
    etx_assert(count <= ETX_BRANCHES_MAX);
    return count <= FEW ? few_differ(branches, count) : many_differ(branches, count);
}
