/* The kinds of branches: one row each, and nothing else differs. */
#ifndef ETX__KINDS_H
#define ETX__KINDS_H

#include "../protocol/assert.h"
#include "state.h"

typedef struct etx__kind_row {
    uint8_t forward, commit, undo; /* has the operation */
    uint8_t tolerated;             /* its commit operation may fail for good */
    uint8_t chained;               /* follows the one before it unless told otherwise */
    uint32_t attempts_max;         /* of a tolerated one, where nobody said */
} etx__kind_row;

extern const etx__kind_row etx__kinds[ETX_NOTIFICATION + 1];

/* The row of a kind, which must be one. */
static inline const etx__kind_row *etx__kind_of(uint8_t kind) {
    etx_assert(kind >= ETX_TCC && kind <= ETX_NOTIFICATION);
    return &etx__kinds[kind];
}

/* Does ETX call the branch's forward operation? */
static inline int etx__branch_by_etx(const etx__branch *branch) {
    return etx__kind_of(branch->s.kind)->forward && !(branch->s.flags & ETX_BY_INITIATOR);
}

/* Must the decision's operation still be done? `ours`: this owner put the BEGIN. */
int etx__branch_needs(const etx__branch *branch, etx_operation operation, int ours);

#endif
