/* What may stand in a record: the one place that says it, for all codecs, in both directions. */
#include <etx/record.h>

/* Encode asserts this and decode checks it, so that nothing can be written that could not be read
 * again, and nothing reaches the core that no core has written. */

#define BRANCH_FLAGS (ETX_BY_INITIATOR | ETX_KEEPS_REFUSALS | ETX_WANTS_RESULTS)
#define STORED_MARKS \
    (ETX_MARK_FORCED | ETX_MARK_PARKED | ETX_MARK_HELD | ETX_MARK_NEVER_BEGUN | ETX_MARK_CHOSEN)
#define SETTLED_BITS (1 << ETX_FORWARD | 1 << ETX_COMMIT | 1 << ETX_UNDO)

/* The place of a branch that stands at no place yet. */
enum { NO_PLACE = UINT16_MAX };

static int is_within(unsigned value, unsigned first, unsigned last) {
    return value >= first && value <= last;
}

static int name_or_empty(etx_bytes name) {
    return name.len == 0 || etx_name_check(name.data, name.len) == 0;
}

static int branch_is_valid(const etx_record_branch *branch, unsigned place, unsigned limit) {
    if (etx_name_check(branch->name.data, branch->name.len) != 0 ||
        etx_name_check(branch->participant.data, branch->participant.len) != 0) {
        return 0;
    }
    if (!is_within(branch->kind, ETX_TCC, ETX_NOTIFICATION) ||
        (branch->flags & ~BRANCH_FLAGS) != 0 || branch->depends_on_count > ETX_BRANCHES_MAX) {
        return 0;
    }
    for (unsigned i = 0; i < branch->depends_on_count; i++) {
        if (branch->depends_on[i] >= limit || branch->depends_on[i] == place) {
            return 0;
        }
    }
    return 1;
}

static int begin_is_valid(const etx_record_begin *begin) {
    if (begin->branch_count > ETX_BRANCHES_MAX || (begin->marks & ~ETX_MARK_CHOSEN) != 0 ||
        begin->durability > ETX_REPLICATED || begin->mode > ETX_RESUMED ||
        !name_or_empty(begin->initiator) ||
        (begin->initiator_payload.len > 0 && begin->initiator.len == 0)) {
        return 0;
    }
    for (unsigned i = 0; i < begin->branch_count; i++) {
        if (!branch_is_valid(&begin->branches[i], i, begin->branch_count)) {
            return 0;
        }
    }
    return 1;
}

static int progress_is_valid(const etx_record_progress *progress) {
    return progress->forward <= ETX_REFUSED && progress->finish <= ETX_REFUSED &&
           (progress->settled & ~SETTLED_BITS) == 0;
}

/* A remembered transaction has no branches, and perhaps no mode any more. */
static int move_is_valid(const etx_record_move *move) {
    if (!is_within(move->state, ETX_ACTIVE, ETX_ABORTED) || (move->marks & ~STORED_MARKS) != 0 ||
        !begin_is_valid(&move->begin) || (move->begin.mode == 0 && move->begin.branch_count > 0)) {
        return 0;
    }
    for (unsigned i = 0; i < move->begin.branch_count; i++) {
        if (!progress_is_valid(&move->progress[i])) {
            return 0;
        }
    }
    return 1;
}

static int result_is_valid(const etx_record_result *result) {
    return result->branch < ETX_BRANCHES_MAX && result->operation <= ETX_UNDO &&
           is_within(result->reply, ETX_DONE, ETX_REFUSED);
}

static int force_is_valid(const etx_record_force *force) {
    return force->branch < ETX_BRANCHES_MAX && force->operation <= ETX_UNDO &&
           is_within(force->action, ETX_FORCE_PARK, ETX_FORCE_SETTLE);
}

static int decide_is_valid(const etx_record_decide *decide) {
    return decide->commit <= 1 && (decide->marks & ~STORED_MARKS) == 0;
}

static int own_is_valid(const etx_record_own *own) {
    return name_or_empty(own->node) && name_or_empty(own->chosen_home);
}

static int loss_is_valid(const etx_record_loss *loss) {
    return loss->time_ms != 0 && loss->who.len <= ETX_NAME_MAX && loss->why.len <= ETX_REASON_MAX;
}

static int body_is_valid(const etx_record *record) {
    switch ((etx_record_type)record->type) {
        case ETX_RECORD_OWN:
            return own_is_valid(&record->u.own);
        case ETX_RECORD_BEGIN:
            return record->u.begin.mode != 0 && begin_is_valid(&record->u.begin);
        case ETX_RECORD_ENLIST:
            return branch_is_valid(&record->u.enlist.branch, NO_PLACE, ETX_BRANCHES_MAX);
        case ETX_RECORD_RESULT:
            return result_is_valid(&record->u.result);
        case ETX_RECORD_DECIDE:
            return decide_is_valid(&record->u.decide);
        case ETX_RECORD_FORCE:
            return force_is_valid(&record->u.force);
        case ETX_RECORD_MOVE:
            return move_is_valid(&record->u.move);
        case ETX_RECORD_LOSS:
            return loss_is_valid(&record->u.loss);
        case ETX_RECORD_HELD:
        case ETX_RECORD_END:
            return 1;
    }
    return 0;
}

int etx_record_check(const etx_record *record) {
    int gid_is_valid = record->type == ETX_RECORD_OWN || record->type == ETX_RECORD_LOSS
                           ? record->gid.len == 0
                           : etx_gid_check(record->gid.data, record->gid.len) == 0;
    return gid_is_valid && body_is_valid(record) ? 0 : ETX_EINVALID;
}
