/* What operators say: retry, park, resume, force. */
#include "rules.h"

static void retry_now(etx__tx *tx) {
    for (uint16_t i = 0; i < tx->s.branch_count; i++) {
        etx__attempt *call = &tx->branch[i]->r.call;
        if (call->serial == 0) {
            call->due_ms = 0;
        }
    }
    if (tx->r.asking != NULL && tx->r.asking->serial == 0) {
        tx->r.asking->due_ms = 0;
    }
}

/* What is parked is called by nobody, however soon it would be due. */
static int retry(const etx__core *core, etx__entry *entry) {
    if (entry->marks & ETX_MARK_PARKED) {
        return etx__refuse(core, ETX_ESTATE,
                           "it is parked, and nobody is called until it is resumed: etx_resume, or "
                           "'etx tx resume'");
    }
    retry_now(entry->tx);
    return 0;
}

static int mark(etx__core *core,
                etx__entry *entry,
                const etx__event *event,
                etx_force_action action) {
    etx_record *record = etx__record_next(core, ETX_RECORD_FORCE, event->gid);
    record->u.force.time_ms = event->now.wall_ms;
    record->u.force.action = (uint8_t)action;
    record->u.force.who = event->u.operate.who;
    record->u.force.why = event->u.operate.why;
    if (action == ETX_FORCE_SETTLE) {
        const etx__branch *branch = etx__branch_named(entry->tx, event->u.operate.branch);
        if (branch == NULL) {
            return ETX_ENOTFOUND;
        }
        record->u.force.branch = branch->s.place;
        record->u.force.operation = event->u.operate.operation;
    }
    return etx__append(core, entry, record, 1, 1);
}

/* What it is, since what was asked for is not possible in that. */
static int refuse_state(const etx__core *core, const etx__entry *entry) {
    static const char *const says[] = {
        [ETX_NONE] = "not possible in this state",
        [ETX_ACTIVE] = "it is ACTIVE, and not all forward results are there",
        [ETX_COMMITTING] = "it is decided: COMMITTING",
        [ETX_COMMITTED] = "it has ended: COMMITTED",
        [ETX_ABORTING] = "it is decided: ABORTING",
        [ETX_ABORTED] = "it has ended: ABORTED",
    };
    return etx__refuse(core, ETX_ESTATE, says[entry->state]);
}

static int unpark(etx__core *core, etx__entry *entry, const etx__event *event) {
    int rc = 0;
    if (entry->marks & ETX_MARK_PARKED) { /* told once that record is durable */
        rc = mark(core, entry, event, ETX_FORCE_RESUME);
    } else if (entry->tx->r.stalled) {
        etx__tell(core, ETX_EVENT_RESUMED, entry, NULL, NULL, "by an operator");
    } else {
        return etx__refuse(core, ETX_ESTATE, "it is not parked");
    }
    core->stalled -= entry->tx->r.stalled;
    entry->tx->r.stalled = 0;
    retry_now(entry->tx);
    return rc;
}

static int force_decision(etx__core *core, etx__entry *entry, const etx__event *event, int commit) {
    if (entry->state != ETX_ACTIVE) {
        return refuse_state(core, entry);
    }
    etx__record_results(core, entry, ETX__RECORD_ALL, 0);
    etx_record *record = etx__record_next(core, ETX_RECORD_DECIDE, event->gid);
    record->u.decide.time_ms = event->now.wall_ms;
    record->u.decide.commit = (uint8_t)commit;
    record->u.decide.marks = ETX_MARK_FORCED;
    record->u.decide.reason = event->u.operate.why;
    record->u.decide.who = event->u.operate.who;
    int rc = etx__append(core, entry, record, 1, 1);
    if (rc == 0) {
        etx__attempts_restart(entry->tx);
    }
    return rc == ETX_ESTATE ? refuse_state(core, entry) : rc;
}

static int force(etx__core *core, etx__entry *entry, const etx__event *event) {
    if (event->u.operate.force == ETX_FORCE_DONE) {
        int rc = mark(core, entry, event, ETX_FORCE_SETTLE);
        etx__unstall(core, entry);
        return rc;
    }
    return force_decision(core, entry, event, event->u.operate.force == ETX_FORCE_COMMIT);
}

void etx__on_operator(etx__core *core, const etx__event *event) {
    etx__entry *entry = etx__entry_find(core, event->gid, event->hash);
    if (entry == NULL) {
        etx__await_absent(core, event);
        return;
    }
    if (entry->tx == NULL) {
        etx__await(core, entry, event->waiter, refuse_state(core, entry));
        return;
    }
    int rc = 0;
    if (event->type == ETX__EV_RETRY) {
        rc = retry(core, entry);
    } else if (event->type == ETX__EV_PARK) {
        rc = mark(core, entry, event, ETX_FORCE_PARK);
    } else if (event->type == ETX__EV_UNPARK) {
        rc = unpark(core, entry, event);
    } else {
        rc = force(core, entry, event);
    }
    if (etx__may_lag(rc)) {
        etx__await_refused(core, entry, event->waiter, rc);
    } else {
        etx__await(core, entry, event->waiter, rc);
    }
    etx__settle(core, entry, &event->now);
}
