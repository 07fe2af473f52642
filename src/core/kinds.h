/* The kinds of branches: one row each, and nothing else differs. */
#ifndef ETX__KINDS_H
#define ETX__KINDS_H

#include "state.h"

typedef struct etx__kind_row {
    uint8_t forward, commit, undo; /* has the operation */
    uint8_t tolerated;             /* its commit operation may fail for good */
    uint8_t chained;               /* follows the one before it unless told otherwise */
    uint32_t attempts_max;         /* of a tolerated one, where nobody said */
} etx__kind_row;

/* The row of a kind, which must be one. */
const etx__kind_row *etx__kind_of(uint8_t kind);
/* Does ETX call the branch's forward operation? */
int etx__branch_by_etx(const etx__branch *branch);
/* Must the decision's operation still be done? `ours`: this owner put the BEGIN. */
int etx__branch_needs(const etx__branch *branch, etx_operation operation, int ours);

#endif
