/* The kinds table, and what follows from a row. */
#include "kinds.h"

const etx__kind_row etx__kinds[] = {
    [ETX_TCC] = {1, 1, 1, 0, 0, 0},          [ETX_SAGA] = {1, 0, 1, 0, 1, 0},
    [ETX_XA] = {1, 1, 1, 0, 0, 0},           [ETX_MESSAGE] = {0, 1, 0, 0, 0, 0},
    [ETX_NOTIFICATION] = {0, 1, 0, 1, 0, 3},
};

static int needs_undo(const etx__branch *branch, int ours) {
    if (!etx__kind_of(branch->s.kind)->undo) {
        return 0;
    }
    if (branch->r.forward == ETX_REFUSED && (branch->s.flags & ETX_KEEPS_REFUSALS)) {
        return 0; /* a late copy of the refused call is refused again */
    }
    /* Calls are not in the log: only the owner that put the BEGIN knows what it has not called. */
    return !(ours && etx__branch_by_etx(branch) && !branch->r.called && branch->r.forward == 0);
}

int etx__branch_needs(const etx__branch *branch, etx_operation operation, int ours) {
    if (branch->r.finish != 0) {
        return 0;
    }
    return operation == ETX_COMMIT ? etx__kind_of(branch->s.kind)->commit
                                   : needs_undo(branch, ours);
}
