/* admit: may this record follow? It judges the state with all that was appended, and changes
 * nothing. */
#include "rules.h"

/* What has begun must end: the last sixteenth of the pool, and of what all cores may use, is for
 * results and reasons. */
static int pool_has_room(const etx__core *core) {
    uint64_t reserve = core->pool.capacity_bytes / 16;
    return core->pool.used_bytes + reserve < core->pool.capacity_bytes;
}

static int room_to_begin(const etx__core *core) {
    uint64_t most = core->options.memory_max;
    return pool_has_room(core) && core->pool.used_bytes + core->others.bytes + most / 16 < most;
}

int etx__refuse(const etx__core *core, int rc, const char *why) {
    core->out->why = why;
    return rc;
}

static int no_room(const etx__core *core) {
    return etx__refuse(
        core, ETX_EBUSY,
        pool_has_room(core)
            ? "memory_max is used up by what is in flight and remembered: try again later, raise "
              "it, or lower history_max"
            : "its partition's part of memory_max is used up by what is in flight and remembered: "
              "try again later, raise it, or lower history_max");
}

static int too_many_branches(const etx__core *core) {
    return etx__refuse(core, ETX_EINVALID, "more branches than branches_max allows");
}

static int too_large(const etx__core *core) {
    return etx__refuse(core, ETX_EINVALID,
                       "all payloads and results of the transaction together are more than a "
                       "batch of the log holds");
}

/* Two of one name are one to a fence. No codec refuses them, nor does apply: a log that an earlier
 * version wrote may hold such a BEGIN, which opens and goes on as it was begun. */
static int named_twice(const etx__core *core) {
    return etx__refuse(core, ETX_EINVALID, "two branches have the same name");
}

static int admit_begin(const etx__core *core, const etx__entry *entry, const etx_record *record) {
    if (entry != NULL) {
        return entry->digest == record->u.begin.digest ? ETX_ESTATE : ETX_ECONFLICT;
    }
    if (record->u.begin.branch_count > core->options.branches_max) {
        return too_many_branches(core);
    }
    if (!etx__names_differ(record->u.begin.branches, record->u.begin.branch_count)) {
        return named_twice(core);
    }
    if (core->live + core->others.live >= core->options.transactions_max) {
        return etx__refuse(core, ETX_EBUSY,
                           "transactions_max transactions are in flight: try again later");
    }
    if (core->live >= core->options.transactions_room) {
        return etx__refuse(core, ETX_EBUSY,
                           "its partition's part of transactions_max is in flight: try again "
                           "later");
    }
    return room_to_begin(core) ? 0 : no_room(core);
}

static int admit_enlist(const etx__core *core, const etx__entry *entry, const etx_record *record) {
    const etx__tx *tx = entry->tx;
    if (entry->state != ETX_ACTIVE || tx->s.mode == ETX_SUBMITTED ||
        (entry->marks & ETX_MARK_HELD)) {
        return ETX_ESTATE;
    }
    if (tx->s.branch_count >= core->options.branches_max) {
        return too_many_branches(core);
    }
    if (!room_to_begin(core)) {
        return no_room(core);
    }
    if (tx->image_size + record->u.enlist.branch.payload.len + 1024 > core->options.image_max) {
        return too_large(core);
    }
    return etx__branch_named(tx, record->u.enlist.branch.name) != NULL ? ETX_ECONFLICT : 0;
}

/* Does the operation belong to the state, and has the branch no result of it yet? */
static int admit_operation(const etx__entry *entry, uint16_t place, uint8_t operation) {
    if (place >= entry->tx->s.branch_count) {
        return ETX_ENOTFOUND;
    }
    const etx__branch *branch = entry->tx->branch[place];
    const etx__kind_row *row = etx__kind_of(branch->s.kind);
    if (operation == ETX_COMMIT) {
        return row->commit && entry->state == ETX_COMMITTING && branch->s.finish == 0 ? 0
                                                                                      : ETX_ESTATE;
    }
    if (operation == ETX_UNDO) {
        return row->undo && entry->state == ETX_ABORTING && branch->s.finish == 0 ? 0 : ETX_ESTATE;
    }
    return operation == ETX_FORWARD && row->forward && branch->s.forward == 0 ? 0 : ETX_ESTATE;
}

static int admit_result(const etx__core *core,
                        const etx__entry *entry,
                        const etx_record_result *result) {
    int rc = admit_operation(entry, result->branch, result->operation);
    if (rc != 0 || result->operation != ETX_FORWARD) {
        return rc;
    }
    if (result->reply == ETX_REFUSED && (entry->marks & ETX_MARK_HELD)) {
        return ETX_ESTATE; /* it was said that all is done */
    }
    /* What ETX's own calls gave was counted when it came. */
    int counted = result->bytes.data == entry->tx->branch[result->branch]->r.result;
    uint64_t more = counted ? 0 : result->bytes.len;
    return entry->tx->image_size + more > core->options.image_max && more > 0 ? too_large(core) : 0;
}

/* A child's Try says that all forward operations are done. */
static int admit_held(const etx__entry *entry) {
    const etx__tx *tx = entry->tx;
    if (entry->state != ETX_ACTIVE || tx->s.mode == ETX_SUBMITTED) {
        return ETX_ESTATE;
    }
    for (uint16_t i = 0; i < tx->s.branch_count; i++) {
        const etx__branch *branch = tx->branch[i];
        int told = etx__branch_by_etx(branch) || tx->s.mode == ETX_RESUMED;
        if (branch->s.forward == ETX_REFUSED ||
            (etx__kind_of(branch->s.kind)->forward && told && branch->s.forward == 0)) {
            return ETX_ESTATE;
        }
    }
    return 0;
}

static int admit_decide(const etx__entry *entry, const etx_record *record) {
    if (entry->state != ETX_ACTIVE || (record->u.decide.marks & ETX_MARK_NEVER_BEGUN)) {
        return ETX_ESTATE;
    }
    if (!record->u.decide.commit) {
        return 0;
    }
    for (uint16_t i = 0; i < entry->tx->s.branch_count; i++) {
        const etx__branch *branch = entry->tx->branch[i];
        int needed = entry->tx->s.mode == ETX_RESUMED || (record->u.decide.marks & ETX_MARK_FORCED);
        if (branch->s.forward == ETX_REFUSED ||
            (needed && etx__kind_of(branch->s.kind)->forward && branch->s.forward == 0)) {
            return ETX_ESTATE;
        }
    }
    return 0;
}

static int admit_force(const etx__core *core, const etx__entry *entry, const etx_record *record) {
    const etx_record_force *force = &record->u.force;
    switch ((etx_force_action)force->action) {
        case ETX_FORCE_PARK:
            return entry->marks & ETX_MARK_PARKED
                       ? etx__refuse(core, ETX_ESTATE, "it is parked already")
                       : 0;
        case ETX_FORCE_RESUME:
            return 0;
        case ETX_FORCE_SETTLE:
            if (force->operation == ETX_FORWARD && entry->state != ETX_ACTIVE) {
                return ETX_ESTATE;
            }
            return admit_operation(entry, force->branch, force->operation);
    }
    return ETX_EINVALID;
}

/* Only the abort of a gid that nobody has begun may come without its BEGIN. */
static int admit_unknown(const etx__core *core, const etx_record *record) {
    if (record->type == ETX_RECORD_BEGIN) {
        return admit_begin(core, NULL, record);
    }
    if (record->type == ETX_RECORD_DECIDE && !record->u.decide.commit &&
        (record->u.decide.marks & ETX_MARK_NEVER_BEGUN)) {
        return etx__history_has_room(core) && room_to_begin(core) ? 0 : no_room(core);
    }
    return ETX_ENOTFOUND;
}

/* Of what is remembered only a MOVE may follow; and the END that gives the abort of an unknown
 * gid its number. */
static int admit_remembered(const etx__core *core,
                            const etx__entry *entry,
                            const etx_record *record) {
    if (record->type == ETX_RECORD_BEGIN) {
        return admit_begin(core, entry, record);
    }
    if (record->type == ETX_RECORD_MOVE) {
        return entry->last_seq <= core->durable ? 0 : ETX_EBUSY;
    }
    int number = record->type == ETX_RECORD_END && (entry->marks & ETX_MARK_NEVER_BEGUN) &&
                 entry->ended_no == record->u.end.ended_no && entry->last_seq > core->durable;
    return number ? 0 : ETX_ESTATE;
}

int etx__admit(const etx__core *core, const etx__entry *entry, const etx_record *record) {
    if (entry == NULL) {
        return admit_unknown(core, record);
    }
    if (entry->tx == NULL) {
        return admit_remembered(core, entry, record);
    }
    switch ((etx_record_type)record->type) {
        case ETX_RECORD_OWN:
        case ETX_RECORD_LOSS:
            return ETX_EINVALID;
        case ETX_RECORD_BEGIN:
            return admit_begin(core, entry, record);
        case ETX_RECORD_ENLIST:
            return admit_enlist(core, entry, record);
        case ETX_RECORD_HELD:
            return admit_held(entry);
        case ETX_RECORD_RESULT:
            return admit_result(core, entry, &record->u.result);
        case ETX_RECORD_DECIDE:
            return admit_decide(entry, record);
        case ETX_RECORD_FORCE:
            return admit_force(core, entry, record);
        case ETX_RECORD_MOVE:
            return entry->last_seq <= core->durable ? 0 : ETX_EBUSY;
        case ETX_RECORD_END:
            return entry->state == ETX_COMMITTING || entry->state == ETX_ABORTING ? 0 : ETX_ESTATE;
    }
    return ETX_EINVALID;
}
