/* Results of forward operations: when they are written down, and which a call is given. */
#include "rules.h"

#include "../protocol/assert.h"

/* Is there a branch whose calls are given the result of `place`? */
static int is_wanted(const etx__tx *tx, uint16_t place) {
    for (uint16_t i = 0; i < tx->s.branch_count; i++) {
        const etx__branch *branch = tx->branch[i];
        for (uint16_t d = 0;
             (branch->s.flags & ETX_WANTS_RESULTS) && d < branch->s.depends_on_count; d++) {
            if (branch->s.depends_on[d] == place) {
                return 1;
            }
        }
    }
    return 0;
}

/* Once it is decided a result says nothing more, unless it has bytes that a call may be given. */
static int says_more(const etx__tx *tx, const etx__branch *branch, int commit) {
    const etx__kind_row *row = etx__kind_of(branch->s.kind);
    return branch->r.result_len > 0 && /* so it has a forward operation, and with it an undo */
           (!commit || row->commit || is_wanted(tx, branch->s.place));
}

/* Of what is answered and not recorded. */
static int is_recorded(const etx__entry *entry,
                       etx__branch *branch,
                       uint8_t operation,
                       etx__recorded which) {
    if (operation != ETX_FORWARD) {
        return which == ETX__RECORD_ALL;
    }
    int commit = entry->state == ETX_COMMITTING;
    if (entry->state != ETX_ACTIVE && !says_more(entry->tx, branch, commit)) {
        branch->r.dirty &= (uint8_t) ~(1u << ETX_FORWARD);
        return 0;
    }
    return which == ETX__RECORD_ALL || (which == ETX__RECORD_BYTES && branch->r.result_len > 0) ||
           (which == ETX__RECORD_FOR_COMMIT && says_more(entry->tx, branch, 1));
}

void etx__record_results(etx__core *core, etx__entry *entry, etx__recorded which, int waited) {
    etx__tx *tx = entry->tx;
    for (uint16_t i = 0; i < tx->s.branch_count; i++) {
        etx__branch *branch = tx->branch[i];
        for (uint8_t operation = ETX_FORWARD; branch->r.dirty && operation <= ETX_UNDO;
             operation++) {
            if (!(branch->r.dirty & (1u << operation)) ||
                !is_recorded(entry, branch, operation, which)) {
                continue;
            }
            int has_bytes = operation == ETX_FORWARD && branch->r.result_len > 0;
            etx_record *record = etx__record_next(core, ETX_RECORD_RESULT, etx__gid_of(entry));
            record->u.result.branch = i;
            record->u.result.operation = operation;
            record->u.result.reply =
                operation == ETX_FORWARD ? branch->r.forward : branch->r.finish;
            record->u.result.bytes =
                (etx_bytes){branch->r.result, has_bytes ? branch->r.result_len : 0};
            /* What a call may be given is durable before any later call leaves. */
            int rc = etx__append(core, entry, record, waited || has_bytes, waited);
            etx_assert(rc == 0);
        }
    }
}

static int bytes_pending(const etx__branch *branch) {
    return (branch->r.dirty & (1u << ETX_FORWARD)) && branch->r.result_len > 0;
}

/* Which branches' results the call is given: its own, those it depends on, or (a resume) all. */
static int is_given(const etx__tx *tx, const etx__branch *to, uint16_t place) {
    if (to == NULL || to->s.place == place) {
        return 1;
    }
    if (!(to->s.flags & ETX_WANTS_RESULTS)) {
        return 0;
    }
    for (uint16_t i = 0; i < to->s.depends_on_count; i++) {
        if (to->s.depends_on[i] == place) {
            return tx != NULL;
        }
    }
    return 0;
}

int etx__results_pending(const etx__tx *tx, const etx__branch *to) {
    if (to != NULL && !(to->s.flags & ETX_WANTS_RESULTS)) {
        return bytes_pending(to);
    }
    for (uint16_t i = 0; i < tx->s.branch_count; i++) {
        if (bytes_pending(tx->branch[i]) && is_given(tx, to, i)) {
            return 1;
        }
    }
    return 0;
}

static uint32_t count_given(const etx__tx *tx, const etx__branch *to) {
    if (to != NULL && !(to->s.flags & ETX_WANTS_RESULTS)) {
        return to->s.forward != 0;
    }
    uint32_t count = 0;
    for (uint16_t i = 0; i < tx->s.branch_count; i++) {
        count += tx->branch[i]->s.forward != 0 && is_given(tx, to, i);
    }
    return count;
}

etx__results *etx__results_make(etx__core *core,
                                const etx__tx *tx,
                                const etx__branch *to,
                                int *ret_rc) {
    uint32_t count = count_given(tx, to);
    if (count == 0) {
        return NULL;
    }
    uint32_t size = (uint32_t)(sizeof(etx__results) + count * sizeof(struct etx__given));
    etx__results *results = etx__pool_alloc(&core->pool, size);
    if (results == NULL) {
        *ret_rc = ETX_EBUSY;
        return NULL;
    }
    results->size = size;
    results->count = 0;
    for (uint16_t i = 0; i < tx->s.branch_count && results->count < count; i++) {
        const etx__branch *branch = tx->branch[i];
        if (branch->s.forward != 0 && is_given(tx, to, i)) {
            results->item[results->count++] = (struct etx__given){
                (const char *)branch->s.name, {branch->s.result, branch->s.result_len}};
        }
    }
    return results;
}

uint32_t etx__spans_for_calls(const etx__core *core) {
    return core->pool.span_count / 32 + 1;
}

void etx__results_free(etx__core *core, etx__results *results) {
    if (results != NULL) {
        etx__pool_free(&core->pool, results, results->size);
    }
}
